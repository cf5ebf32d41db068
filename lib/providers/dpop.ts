import { InvalidOptionsError, LoginEndedError } from '../errors.ts'
import type { AuthorizationServerMetadata } from '../oauth/discovery.ts'
import type { DpopKey } from '../oauth/dpop-key.ts'
import { createDpopProof, DPOP_ALGORITHM, type DpopRequest } from '../oauth/dpop-proof.ts'
import { BoundedMap } from '../util/bounded-map.ts'
import type { Clock } from '../util/clock.ts'

/** What a server is asked as: one origin may be both, with nonces of its own for each (RFC 9449, section 8.2). */
type ServerRole = 'authorization' | 'resource'
type Headers = Record<string, string | string[] | undefined>
interface ResponseHead { readonly statusCode: number, readonly headers: Headers }

/** Servers whose nonces are remembered. */
const MAX_NONCES = 100
/** The characters of a nonce (RFC 9449, section 8.1), and how many of them are taken. */
const NONCE = /^[\x21\x23-\x5b\x5d-\x7e]{1,2048}$/

const ASKS_FOR_NONCE = /\bDPoP\b.*\berror="?use_dpop_nonce\b/is

/** The proofs that requests to one provider and its APIs carry, and the nonces that these servers ask for. */
export class DpopProofs {
  readonly #provider: string
  readonly #clock: Clock
  readonly #nonces = new BoundedMap<string, string>(MAX_NONCES)

  constructor (provider: string, clock: Clock) {
    this.#provider = provider
    this.#clock = clock
  }

  /**
   * Makes the proof for one request.
   * @param nonce that of the response which asked for one; the server's last one if absent
   * @throws FST_OAUTH_LOGIN_ENDED if the stored key is none
   */
  async prove (role: ServerRole, key: DpopKey, request: DpopRequest, nonce?: string): Promise<string> {
    const known = nonce ?? this.#nonces.get(nameOf(role, new URL(request.url).origin))
    try {
      return await createDpopProof(key, request, this.#clock.now(), known)
    } catch {
      // What it says could show a part of the key.
      const message = `the key of the login at provider "${this.#provider}" cannot sign; log in again`
      throw new LoginEndedError(message, { provider: this.#provider, reason: 'dpop_key' })
    }
  }

  /**
   * Remembers the nonce of a response for the next requests to the same server, and returns it. Another origin's never
   * takes its place (RFC 9449, section 8.2).
   */
  noteNonce (role: ServerRole, origin: string, { 'dpop-nonce': nonce }: Headers): string | undefined {
    if (typeof nonce !== 'string' || !NONCE.test(nonce)) return undefined
    this.#nonces.set(nameOf(role, origin), nonce)
    return nonce
  }

  /**
   * Sends a request for a protected resource with a proof, once more if its server asks for a nonce (RFC 9449,
   * section 9).
   * @param send sends it with the proof that it is given
   * @param beforeRepeat gets the response that asks; throws if the request cannot be sent again
   * @throws what `send` throws, FST_OAUTH_LOGIN_ENDED if the stored key is none
   */
  async sendToResource<R extends ResponseHead> (
    key: DpopKey,
    request: DpopRequest,
    send: (proof: string) => Promise<R>,
    beforeRepeat?: (response: R) => Promise<void>
  ): Promise<R> {
    const { origin } = new URL(request.url)
    const sendWith = async (nonce?: string) => {
      const response = await send(await this.prove('resource', key, request, nonce))
      return { response, nonce: this.noteNonce('resource', origin, response.headers) }
    }
    const { response, nonce } = await sendWith()
    if (nonce === undefined || !asksForNonce(response)) return response
    await beforeRepeat?.(response)
    return (await sendWith(nonce)).response
  }
}

function asksForNonce ({ statusCode, headers }: ResponseHead): boolean {
  if (statusCode !== 401) return false
  return [headers['www-authenticate'] ?? ''].flat().some(challenge => ASKS_FOR_NONCE.test(challenge))
}

const nameOf = (role: ServerRole, origin: string) => `${role} ${origin}`

/** @throws FST_OAUTH_INVALID_OPTIONS if the provider takes no proof that this package can make */
export function checkDpopAlgorithm (provider: string, metadata: AuthorizationServerMetadata): void {
  const { dpop_signing_alg_values_supported: algorithms } = metadata
  if (algorithms === undefined || algorithms.includes(DPOP_ALGORITHM)) return
  const message = `provider "${provider}" takes no DPoP proof that is signed with ${DPOP_ALGORITHM}; take \`dpop\` out`
  throw new InvalidOptionsError(message, { provider, reason: 'invalid_metadata' })
}
