import { importJWK, importPKCS8, type JWK } from 'jose'
import { createPrivateKey } from 'node:crypto'
import { ClientSecretJwt, type CryptoKey, modifyAssertion, PrivateKeyJwt } from 'oauth4webapi'
import { InvalidOptionsError, type OAuthError } from '../errors.ts'
import type { AuthenticateClient, ClientPrivateKey } from './client-authentication.ts'

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
export function clientSecretJwt (clientSecret: string, { audience, header }: ClientAssertion): AuthenticateClient {
  const sign = ClientSecretJwt(clientSecret, { [modifyAssertion]: assertionModifier({ audience, header }) })
  // An assertion is in the form alone.
  return async (server, client, body) => { await sign(server, client, body, new Headers()) }
}

/**
 * Assertions signed with a private key (RFC 7523, section 2.2; OpenID Connect Core, section 9). Certificate thumbprints
 * of a JWK (`x5t`, `x5t#S256`: RFC 7517, sections 4.8 and 4.9) are in each header.
 * @returns makes the client authentication for an assertion; its requests reject with FST_OAUTH_INVALID_OPTIONS where
 *   the key cannot sign
 */
export function privateKeyJwt (privateKey: ClientPrivateKey): (assertion: ClientAssertion) => AuthenticateClient {
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
  return ({ audience, header }) => async (server, client, body) => {
    const key = await keyFor(header.alg)
    const modify = assertionModifier({ audience, header: { ...thumbprints, ...header } })
    const sign = PrivateKeyJwt(key, { [modifyAssertion]: modify })
    await sign(server, client, body, new Headers())
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
