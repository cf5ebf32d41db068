import { hash, randomBytes } from 'node:crypto'
import { InvalidOptionsError } from '../errors.ts'
import { isNonEmptyText } from '../util/is-text.ts'
import { shown } from '../util/shown.ts'

/**
 * Makes a code verifier (RFC 7636, section 4.1).
 * @param length characters, 43 to 128
 * @returns random characters that fit a URL
 * @throws FST_OAUTH_INVALID_OPTIONS
 */
export function createCodeVerifier (length = 43): string {
  if (!Number.isInteger(length) || length < 43 || length > 128) {
    throw new InvalidOptionsError('a code verifier has 43 to 128 characters')
  }
  return randomBytes(length).toString('base64url').slice(0, length)
}

/**
 * The code challenge of a verifier (RFC 7636, section 4.2).
 * @param codeVerifier 43 to 128 characters
 * @param method default S256
 * @returns the challenge, as base64url
 * @throws FST_OAUTH_INVALID_OPTIONS for another method, or without a verifier
 */
export function codeChallenge (codeVerifier: string, method: 'S256' | 'plain' = 'S256'): string {
  if (!isNonEmptyText(codeVerifier)) {
    throw new InvalidOptionsError(`codeChallenge() takes a code verifier, not ${shown(codeVerifier)}`)
  }
  if (method === 'S256') return hash('sha256', codeVerifier, 'base64url')
  if (method === 'plain') return codeVerifier
  throw new InvalidOptionsError(`the code challenge method is ${shown(method)}; write 'S256'`)
}

/**
 * The PKCE code challenge method of a login (RFC 7636, section 4.3), or undefined for a login without PKCE: an implicit
 * one, which has no code, or one of a confidential client whose `pkce` is false.
 * @throws FST_OAUTH_INVALID_OPTIONS
 */
export function codeChallengeMethod (
  provider: string, { grantType, clientSecret }: { grantType: string, clientSecret?: string | undefined }, pkce: unknown
): 'S256' | 'plain' | undefined {
  if (grantType === 'implicit') return undefined
  if (pkce === 'S256' || pkce === 'plain') return pkce
  if (pkce !== false) throw new InvalidOptionsError(`pkce is ${shown(pkce)}; write 'S256'`, { provider })
  // Nothing else protects the code of a public client.
  return clientSecret === undefined ? 'S256' : undefined
}

/**
 * Checks a code verifier that the app has made: a short one could be guessed (RFC 7636, section 4.1).
 * @throws FST_OAUTH_INVALID_OPTIONS
 */
export function checkCodeVerifier (codeVerifier: string, provider: string): void {
  if (/^[\w.~-]{43,128}$/.test(codeVerifier)) return
  throw new InvalidOptionsError(
    'codeVerifier is no code verifier; write 43 to 128 letters, digits, "-", ".", "_" or "~", or leave it out',
    { provider }
  )
}
