import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'

/** 256 random bits as 43 characters of base64url: a state, nonce, record id or code verifier (RFC 7636, section 4.1). */
export function randomToken (): string {
  return randomBytes(32).toString('base64url')
}

/** The S256 code challenge of a verifier (RFC 7636, section 4.2). */
export function codeChallengeOf (codeVerifier: string): string {
  return createHash('sha256').update(codeVerifier, 'ascii').digest('base64url')
}

/** A short name for a value that must not be seen itself, such as a state in a cookie's name. */
export function shortHash (value: string): string {
  return createHash('sha256').update(value).digest('base64url').slice(0, 22)
}

/** Compares two strings in a time that does not tell where they differ. */
export function safeEqual (a: string, b: string): boolean {
  const left = Buffer.from(a)
  const right = Buffer.from(b)
  return left.length === right.length && timingSafeEqual(left, right)
}
