import { decodeProtectedHeader, SignJWT } from 'jose'
import { InvalidOptionsError } from '../errors.ts'
import { randomToken } from '../util/random.ts'
import type { AuthenticateClient } from './client-authentication.ts'
import { algorithmAt, type ClientKey } from './client-keys.ts'

/** Audience and header of one client assertion, beside the claims that each has (RFC 7523, section 3). */
export interface ClientAssertion {
  audience: string | readonly string[]
  /**
   * Further members of the JOSE header; undefined removes one. `alg` is the algorithm that the key signs with.
   */
  header: Record<string, unknown>
  /** Epoch seconds. */
  now: number
}

/** Seconds that an assertion is valid; it is used at once. */
const LIFE = 60
/** The algorithms for signatures with a secret (RFC 7518, section 3.2), the usual one first. */
const HMAC = ['HS256', 'HS384', 'HS512']

/**
 * An assertion signed with the secret, which is not sent (RFC 7523, section 2.2; OpenID Connect Core, section 9).
 * @returns a client authentication whose requests reject with FST_OAUTH_INVALID_OPTIONS if the header names an
 *   algorithm that is not one for secrets
 */
export function clientSecretJwt (clientSecret: string, assertion: ClientAssertion): AuthenticateClient {
  const key = Buffer.from(clientSecret)
  return async (server, client, body) => {
    const supported = server.token_endpoint_auth_signing_alg_values_supported
    const alg = chosenAlgorithm(HMAC, HMAC.find(name => supported?.includes(name)) ?? HMAC[0]!, assertion)
    await addAssertion(body, client.client_id, { key, header: { alg }, assertion })
  }
}

/**
 * An assertion signed with a private key (RFC 7523, section 2.2; OpenID Connect Core, section 9). `kid` and certificate
 * thumbprints (`x5t`, `x5t#S256`: RFC 7517, sections 4.8 and 4.9) are in its header.
 * @returns a client authentication whose requests reject with FST_OAUTH_INVALID_OPTIONS if the header names an
 *   algorithm that does not fit the key
 */
export function privateKeyJwt (clientKey: ClientKey, assertion: ClientAssertion): AuthenticateClient {
  const { key, header, algorithms } = clientKey
  return async (server, client, body) => {
    const usual = algorithmAt(clientKey, server.token_endpoint_auth_signing_alg_values_supported)
    const alg = chosenAlgorithm(algorithms, usual, assertion)
    await addAssertion(body, client.client_id, { key, header: { ...header, alg }, assertion })
  }
}

/** An assertion that was signed elsewhere. */
export function givenAssertion (jwt: string): AuthenticateClient {
  return (_server, client, body) => { setAssertion(body, client.client_id, jwt) }
}

/** The algorithm that an assertion is signed with, or undefined if it is none. */
export function algorithmOfAssertion (jwt: string): string | undefined {
  try {
    return decodeProtectedHeader(jwt).alg
  } catch {
    return undefined
  }
}

interface Signing {
  key: ClientKey['key'] | Buffer
  header: { alg: string }
  assertion: ClientAssertion
}

async function addAssertion (body: URLSearchParams, clientId: string, { key, header, assertion }: Signing) {
  const { audience, header: further, now } = assertion
  const issuedAt = Math.floor(now)
  const jwt = await new SignJWT({ jti: randomToken(), aud: audience as string | string[] })
    .setProtectedHeader({ ...header, ...further, alg: header.alg })
    .setIssuer(clientId)
    .setSubject(clientId)
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + LIFE)
    .sign(key)
  setAssertion(body, clientId, jwt)
}

function setAssertion (body: URLSearchParams, clientId: string, jwt: string): void {
  body.set('client_id', clientId)
  body.set('client_assertion', jwt)
  body.set('client_assertion_type', 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer')
}

function chosenAlgorithm (possible: readonly string[], usual: string, { header: { alg } }: ClientAssertion): string {
  if (alg === undefined) return usual
  if (possible.includes(alg as string)) return alg as string
  const wanted = JSON.stringify(alg)
  const message = `clientAssertion.header.alg is ${wanted}, and the client's key signs with ${possible.join(', ')}`
  throw new InvalidOptionsError(message, { reason: 'client_key' })
}
