import { hash, randomBytes, randomFillSync, timingSafeEqual } from 'node:crypto'
import { InvalidOptionsError } from '../errors.ts'

const TOKEN_BYTES = 32
// Drawn for 64 tokens at once: a draw costs ten times what the rest of a token costs.
const drawn = Buffer.alloc(64 * TOKEN_BYTES)
let used = drawn.length

/**
 * 256 random bits as 43 characters of base64url: a state, nonce, record id or code verifier (RFC 7636, section 4.1).
 */
export function randomToken (): string {
  if (used === drawn.length) {
    randomFillSync(drawn)
    used = 0
  }
  const start = used
  used += TOKEN_BYTES
  return drawn.toString('base64url', start, used)
}

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
 * @throws FST_OAUTH_INVALID_OPTIONS for another method
 */
export function codeChallenge (codeVerifier: string, method: 'S256' | 'plain' = 'S256'): string {
  if (method === 'S256') return hash('sha256', codeVerifier, 'base64url')
  if (method === 'plain') return codeVerifier
  throw new InvalidOptionsError(`the code challenge method is ${JSON.stringify(method)}; write 'S256'`)
}

/** A short hash of a value that must not be shown, such as a state in a cookie's name. */
export function shortHash (value: string): string {
  return hash('sha256', value, 'base64url').slice(0, 22)
}

/** Compares two strings in constant time. */
export function safeEqual (a: string, b: string): boolean {
  const left = Buffer.from(a)
  const right = Buffer.from(b)
  return left.length === right.length && timingSafeEqual(left, right)
}
