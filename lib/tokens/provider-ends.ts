import type { TokenSet } from '../oauth/token-set.ts'

/** When the provider ends a login, in epoch seconds. */
export interface ProviderEnds {
  /** Its session with the user: `session_expiry` of the newest ID token that has it. */
  session?: number
  /** The refresh token. */
  refreshToken?: number
}

/** Seconds from which a lifetime means that there is no end (68 years). */
const NO_END = 2 ** 31 - 1
/** Members of a token response that say for how many seconds its refresh token is good; RFC 6749 has none. */
const REFRESH_LIVES = ['refresh_token_expires_in', 'refresh_expires_in']

/**
 * When the refresh token of a token response ends, in epoch seconds; undefined if the response does not say. 0 says
 * that it has no end (Keycloak, for offline access).
 * @param now epoch seconds
 */
export function refreshTokenEnd ({ raw, refreshToken }: TokenSet, now: number): number | undefined {
  if (refreshToken === undefined) return undefined
  for (const member of REFRESH_LIVES) {
    const value = raw[member]
    const life = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
    if (typeof life === 'number' && life > 0 && life < NO_END) return now + Math.floor(life)
  }
  return undefined
}

/** When the provider's session ends, of the claims of an ID token; undefined if they do not say. */
export function sessionEnd ({ session_expiry: end }: Record<string, unknown>): number | undefined {
  return typeof end === 'number' && Number.isFinite(end) && end > 0 ? end : undefined
}

/** Both in one; undefined if neither is known. */
export function providerEnds (session: number | undefined, refreshToken: number | undefined): ProviderEnds | undefined {
  if (session === undefined && refreshToken === undefined) return undefined
  return { ...(session !== undefined && { session }), ...(refreshToken !== undefined && { refreshToken }) }
}

/** What a refresh leaves of the end of the refresh token: the new one's, or that of the one which is still in use. */
export function refreshTokenEndAfter (
  before: ProviderEnds | undefined, used: string | undefined, tokens: TokenSet, now: number
): number | undefined {
  const end = refreshTokenEnd(tokens, now)
  return end === undefined && tokens.refreshToken === used ? before?.refreshToken : end
}
