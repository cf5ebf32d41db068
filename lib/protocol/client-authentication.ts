import { createPrivateKey } from 'node:crypto'
import { importJWK, importPKCS8, type JWK } from 'jose'
import { ClientSecretJwt, modifyAssertion, PrivateKeyJwt, type ClientAuth, type CryptoKey } from 'oauth4webapi'

/** How the app proves itself at the token endpoint (RFC 6749, section 2.3; OpenID Connect Core, section 9). */
export type ClientAuthenticationMethod = 'client_secret_basic' | 'client_secret_post' | 'client_secret_jwt' | 'private_key_jwt' | 'tls_client_auth' | 'none'

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

/**
 * An assertion whose key is the secret, which so stays at home (RFC 7523, section 2.2; OpenID Connect Core, section 9).
 * @param audience whom it is for: the issuer where that is known, else the token endpoint
 */
export function clientSecretJwt (clientSecret: string, audience: string): ClientAuth {
  return ClientSecretJwt(clientSecret, { [modifyAssertion]: (_header, payload) => { payload.aud = audience } })
}

/**
 * A signed assertion (RFC 7523, section 2.2; OpenID Connect Core, section 9).
 * @param audience whom it is for: the issuer where that is known, else the token endpoint
 */
export function privateKeyJwt (privateKey: ClientPrivateKey, audience: string): ClientAuth {
  let ready: Promise<ClientAuth> | undefined
  return async (server, client, body, headers) => {
    ready ??= readPrivateKey(privateKey).then(key => PrivateKeyJwt(key, {
      [modifyAssertion]: (_header, payload) => { payload.aud = audience }
    }))
    await (await ready)(server, client, body, headers)
  }
}

async function readPrivateKey (key: ClientPrivateKey): Promise<{ key: CryptoKey, kid?: string }> {
  if (typeof key === 'string') return { key: await importPKCS8(key, algorithmOf(key)) }
  if ('kty' in key) {
    const imported = await importJWK(key as JWK, (key as JWK).alg ?? algorithmOfJwk(key as JWK)) as CryptoKey
    return { key: imported, ...(typeof key.kid === 'string' && { kid: key.kid }) }
  }
  return { key: key as CryptoKey }
}

function algorithmOf (pem: string): string {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = createPrivateKey(pem)
  if (type === 'ec') return ({ prime256v1: 'ES256', secp384r1: 'ES384', secp521r1: 'ES512' })[details?.namedCurve ?? ''] ?? 'ES256'
  return type === 'ed25519' ? 'Ed25519' : 'RS256'
}

function algorithmOfJwk ({ kty, crv }: JWK): string {
  if (kty === 'EC') return ({ 'P-256': 'ES256', 'P-384': 'ES384', 'P-521': 'ES512' })[crv ?? ''] ?? 'ES256'
  return kty === 'OKP' ? 'Ed25519' : 'RS256'
}
