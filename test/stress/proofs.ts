import { calculateJwkThumbprint, EmbeddedJWK, jwtVerify } from 'jose'
import { hash, randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

/** Milliseconds after which a nonce is replaced; it is taken for as long again. */
const NONCE_MS = 500

/** What a request proves: `none` where it carries no proof. */
export type Proven = { jkt: string } | { asks: 'use_dpop_nonce' } | { wrong: string } | 'none'

/** Checks DPoP proofs as RFC 9449, section 4.3 has it: each `jti` once, with a nonce that changes all the time. */
export class Proofs {
  taken = 0
  noncesAsked = 0
  /** What was wrong with requests that should have been right. */
  readonly wrong: string[] = []
  readonly #seen = new Set<string>()
  #nonces = [randomBytes(9).toString('base64url')]
  #since = Date.now()

  /** The nonce for the next proof. */
  get nonce (): string {
    if (Date.now() - this.#since > NONCE_MS) {
      this.#nonces = [randomBytes(9).toString('base64url'), this.#nonces[0]!]
      this.#since = Date.now()
    }
    return this.#nonces[0]!
  }

  /** @param url without its query */
  async check ({ method, headers }: IncomingMessage, url: string, accessToken?: string): Promise<Proven> {
    const { dpop: proof } = headers
    if (proof === undefined) return 'none'
    const { nonce } = this
    try {
      const { payload, protectedHeader } = await jwtVerify(String(proof), EmbeddedJWK, {
        algorithms: ['ES256'], typ: 'dpop+jwt', requiredClaims: ['jti', 'htm', 'htu', 'iat']
      })
      const ath = accessToken === undefined ? undefined : hash('sha256', accessToken, 'base64url')
      if (payload.htm !== method || payload.htu !== url) return { wrong: `htm or htu: ${payload.htm} ${payload.htu}` }
      if (payload.ath !== ath) return { wrong: 'ath' }
      if (payload.nonce !== nonce && payload.nonce !== this.#nonces[1]) {
        this.noncesAsked++
        return { asks: 'use_dpop_nonce' }
      }
      if (this.#seen.has(payload.jti!)) return { wrong: 'jti used again' }
      this.#seen.add(payload.jti!)
      this.taken++
      return { jkt: await calculateJwkThumbprint(protectedHeader.jwk!) }
    } catch (error) {
      return { wrong: (error as Error).message }
    }
  }
}
