import { importJWK, importPKCS8, type JWK } from 'jose'
import { createPrivateKey } from 'node:crypto'
import { type ClientAuth, ClientSecretJwt, type CryptoKey, modifyAssertion, PrivateKeyJwt } from 'oauth4webapi'
import { InvalidOptionsError, type OAuthError } from '../errors.ts'

/** How the token endpoint authenticates the client (RFC 6749, section 2.3; OpenID Connect Core, section 9). */
export type ClientAuthenticationMethod =
  'client_secret_basic' | 'client_secret_post' | 'client_secret_jwt' | 'private_key_jwt' | 'tls_client_auth' | 'none'

/** A private key: a CryptoKey, a private JWK, or PKCS#8 in PEM. */
export type ClientPrivateKey = CryptoKey | JWK | string

/** The request that a client authentication of the app's own may change. */
interface ClientAuthenticationRequest {
  /** The endpoint; parameters may be added to its query. */
  url: URL
  body: URLSearchParams
  headers: Headers
}
/** Authenticates the client in a way of the app's own, by changing the request. */
export type ClientAuthenticationFunction = (request: ClientAuthenticationRequest) => void | Promise<void>

// Id and secret are form-encoded before base64 (RFC 6749, section 2.3.1). The unreserved characters stay as they are:
// oauth4webapi's own Basic escapes `_`, `-` and `.` too, which servers that do not decode refuse.
const formEncode = (text: string) => encodeURIComponent(text).replaceAll('%20', '+')

/** HTTP Basic (RFC 6749, section 2.3.1). */
export function clientSecretBasic (clientId: string, clientSecret: string): ClientAuth {
  const credentials = Buffer.from(`${formEncode(clientId)}:${formEncode(clientSecret)}`).toString('base64')
  return (_server, _client, _body, headers) => { headers.set('authorization', `Basic ${credentials}`) }
}

/** Id and secret in the form (RFC 6749, section 2.3.1). */
export function clientSecretPost (clientId: string, clientSecret: string): ClientAuth {
  return (_server, _client, body) => {
    body.set('client_id', clientId)
    body.set('client_secret', clientSecret)
  }
}

/** Only the id: a public client, or one with a TLS certificate (RFC 8705, section 2.1). */
export function clientIdOnly (clientId: string): ClientAuth {
  return (_server, _client, body) => { body.set('client_id', clientId) }
}

/** Audience and header of one client assertion, beside the claims that each has (RFC 7523, section 3). */
export interface ClientAssertion {
  audience: string | readonly string[]
  /** Further members of the JOSE header; `alg` chooses the algorithm that the key signs with. */
  header: Record<string, unknown>
}

/**
 * An assertion signed with the secret, which is not sent (RFC 7523, section 2.2; OpenID Connect Core, section 9).
 * @returns a client authentication whose requests reject with FST_OAUTH_INVALID_OPTIONS where the header names another
 *   algorithm than HS256
 */
export function clientSecretJwt (clientSecret: string, { audience, header }: ClientAssertion): ClientAuth {
  return ClientSecretJwt(clientSecret, { [modifyAssertion]: assertionModifier({ audience, header }) })
}

/**
 * Assertions signed with a private key (RFC 7523, section 2.2; OpenID Connect Core, section 9). Certificate thumbprints
 * of a JWK (`x5t`, `x5t#S256`: RFC 7517, sections 4.8 and 4.9) are in each header.
 * @returns makes the client authentication for an assertion; its requests reject with FST_OAUTH_INVALID_OPTIONS where
 *   the key cannot sign
 */
export function privateKeyJwt (privateKey: ClientPrivateKey): (assertion: ClientAssertion) => ClientAuth {
  // By algorithm: a CryptoKey signs with one only.
  const keys = new Map<unknown, Promise<{ key: CryptoKey, kid?: string }>>()
  const keyFor = (alg: unknown) => {
    let key = keys.get(alg)
    if (key === undefined) {
      key = readPrivateKey(privateKey, alg)
      keys.set(alg, key)
    }
    return key
  }
  const thumbprints = typeof privateKey === 'object' && 'kty' in privateKey ? thumbprintsOf(privateKey) : {}
  return ({ audience, header }) => async (server, client, body, headers) => {
    const key = await keyFor(header.alg)
    const modify = assertionModifier({ audience, header: { ...thumbprints, ...header } })
    const sign = PrivateKeyJwt(key, { [modifyAssertion]: modify })
    await sign(server, client, body, headers)
  }
}

type AssertionModifier = (header: Record<string, unknown>, payload: Record<string, unknown>) => void

function assertionModifier ({ audience, header: further }: ClientAssertion): AssertionModifier {
  return (header, payload) => {
    const { alg } = header
    if (further.alg !== undefined && further.alg !== alg) {
      const wanted = JSON.stringify(further.alg)
      throw unusableKey(`the client's key signs with ${String(alg)}, and clientAssertion.header.alg is ${wanted}`)
    }
    Object.assign(header, further, { alg })
    payload.aud = audience
  }
}

function thumbprintsOf (jwk: JWK): Record<string, unknown> {
  const { x5t, 'x5t#S256': x5tS256 } = jwk
  return { ...(typeof x5t === 'string' && { x5t }), ...(typeof x5tS256 === 'string' && { 'x5t#S256': x5tS256 }) }
}

async function readPrivateKey (key: ClientPrivateKey, wanted: unknown): Promise<{ key: CryptoKey, kid?: string }> {
  const alg = wanted as string | undefined
  try {
    if (typeof key === 'string') return { key: await importPKCS8(key, alg ?? algorithmOf(key)) }
    if ('kty' in key) {
      const jwk = key as JWK
      // importJWK would refuse another `alg` than the JWK's own.
      const { alg: own, ...members } = jwk
      const imported = await importJWK(members, alg ?? own ?? algorithmOfJwk(jwk)) as CryptoKey
      return { key: imported, ...(typeof key.kid === 'string' && { kid: key.kid }) }
    }
  } catch (cause) {
    const purpose = alg === undefined ? '' : ` for ${String(alg)}`
    throw unusableKey(`clientPrivateKey cannot be read as a private key${purpose}`, cause)
  }
  return { key: key as CryptoKey }
}

function unusableKey (message: string, cause?: unknown): OAuthError {
  return new InvalidOptionsError(message, { reason: 'client_key', ...(cause !== undefined && { cause }) })
}

function algorithmOf (pem: string): string {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = createPrivateKey(pem)
  if (type === 'ec') {
    return { prime256v1: 'ES256', secp384r1: 'ES384', secp521r1: 'ES512' }[details?.namedCurve ?? ''] ?? 'ES256'
  }
  return type === 'ed25519' ? 'Ed25519' : 'RS256'
}

function algorithmOfJwk ({ kty, crv }: JWK): string {
  if (kty === 'EC') return ({ 'P-256': 'ES256', 'P-384': 'ES384', 'P-521': 'ES512' })[crv ?? ''] ?? 'ES256'
  return kty === 'OKP' ? 'Ed25519' : 'RS256'
}
