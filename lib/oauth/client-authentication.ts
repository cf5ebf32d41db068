import { importJWK, importPKCS8, type JWK } from 'jose'
import { createPrivateKey } from 'node:crypto'
import { type ClientAuth, ClientSecretJwt, type CryptoKey, modifyAssertion, PrivateKeyJwt } from 'oauth4webapi'
import { InvalidOptionsError, type OAuthError } from '../errors.ts'

/** How the app proves itself at the token endpoint (RFC 6749, section 2.3; OpenID Connect Core, section 9). */
export type ClientAuthenticationMethod =
  'client_secret_basic' | 'client_secret_post' | 'client_secret_jwt' | 'private_key_jwt' | 'tls_client_auth' | 'none'

/** A private key: a CryptoKey, a private JWK, or PKCS#8 in PEM. */
export type ClientPrivateKey = CryptoKey | JWK | string

/** What a custom client authentication may change before a request goes to the provider. */
export interface ClientAuthenticationRequest {
  /** The endpoint; its query may be added to. */
  url: URL
  body: URLSearchParams
  headers: Headers
}
export type ClientAuthenticationFunction = (request: ClientAuthenticationRequest) => void | Promise<void>

// RFC 6749, section 2.3.1 wants id and secret form-encoded before base64. The unreserved characters stay as they
// are: oauth4webapi's own Basic escapes `_`, `-` and `.` too, and servers that do not decode refuse that.
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

/** The id alone: a public client, or one known by its TLS certificate (RFC 8705, section 2.1). */
export function clientIdOnly (clientId: string): ClientAuth {
  return (_server, _client, body) => { body.set('client_id', clientId) }
}

/** What one client assertion says beside the claims that every one has (RFC 7523, section 3). */
export interface ClientAssertion {
  audience: string | readonly string[]
  /** Further members of the JOSE header; `alg` chooses the algorithm that the key signs with. */
  header: Record<string, unknown>
}

/**
 * An assertion whose key is the secret, which so stays at home (RFC 7523, section 2.2; OpenID Connect Core, section 9).
 * @returns a client authentication whose requests reject with FST_OAUTH_INVALID_OPTIONS where the header names another
 *   algorithm than HS256
 */
export function clientSecretJwt (clientSecret: string, { audience, header }: ClientAssertion): ClientAuth {
  return ClientSecretJwt(clientSecret, { [modifyAssertion]: assertionModifier({ audience, header }) })
}

/**
 * Makes signed assertions with one key (RFC 7523, section 2.2; OpenID Connect Core, section 9). Thumbprints of the
 * key's certificate that stand in a JWK (`x5t`, `x5t#S256`: RFC 7517, sections 4.8 and 4.9) are in each header.
 * @returns a function from what an assertion says to the client authentication that signs it; its requests reject with
 *   FST_OAUTH_INVALID_OPTIONS where the key cannot sign
 */
export function privateKeyJwt (privateKey: ClientPrivateKey): (assertion: ClientAssertion) => ClientAuth {
  // One for each algorithm: a CryptoKey signs with a single one.
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
      // A JWK's own `alg` would be held against the one that is asked for.
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
