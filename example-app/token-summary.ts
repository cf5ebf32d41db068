// What the screen shows of an access token: enough to tell one from the next, never the token.
import { createHash } from 'node:crypto'
import type { TokenSet } from 'fastify-oauth-session'

export interface TokenSummary {
  fingerprint: string
  /** Epoch seconds. */
  expiresAt?: number
  /** `expires_in`, in seconds, where the provider sent it. */
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

/** Six hexadecimal digits of the token's SHA-256: the token cannot be derived from them. */
export function fingerprint (token: string): string {
  return createHash('sha256').update(token).digest('hex').slice(0, 6)
}
