// What may be said about an access token on a screen: enough to tell one from the next, and never the token.
import { createHash } from 'node:crypto'
import type { TokenSet } from 'fastify-oauth-session'

export interface TokenSummary {
  fingerprint: string
  /** Epoch seconds. */
  expiresAt?: number
  /** Seconds from beginning to end, where the provider told. */
  lifetime?: number
}

export function summarize (tokens: TokenSet): TokenSummary {
  const lifetime = Number(tokens.raw.expires_in)
  return { fingerprint: fingerprint(tokens.accessToken), expiresAt: tokens.expiresAt, lifetime: lifetime || undefined }
}

/**
 * Names the login that a token set belongs to, the same before and after each refresh: the fingerprint of its record's
 * id. Undefined for a set that came from elsewhere.
 */
export function loginOf ({ recordId }: TokenSet): string | undefined {
  return recordId === undefined ? undefined : fingerprint(recordId)
}

/** Six hexadecimal digits. They are of a SHA-256 of many random bits: the token cannot be found from them. */
export function fingerprint (token: string): string {
  return createHash('sha256').update(token).digest('hex').slice(0, 6)
}
