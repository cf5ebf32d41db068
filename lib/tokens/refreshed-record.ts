import type { TokenSet } from '../oauth/token-set.ts'
import { providerEnds, refreshTokenEndAfter, sessionEnd } from './provider-ends.ts'
import { type TokenRecord, withUsedRefreshToken } from './record.ts'
import type { RefreshedIdToken } from './refreshed-id-token.ts'

/** The result of a refresh. */
interface RefreshResult {
  /** Without an ID token that has still to be checked. */
  tokens: TokenSet
  /** The refresh token that was used. */
  used: string | undefined
  /** Whether the set is pending, beside the current one, until `save` makes it current. */
  keepPending: boolean
  /** Epoch seconds. */
  now: number
}

/** The record that follows a refresh. */
export function refreshedRecord (
  current: TokenRecord, { tokens, used, keepPending, now }: RefreshResult
): TokenRecord {
  const { idToken: previous } = current.tokens
  // The previous ID token stays until there is another one.
  const set: TokenSet = previous === undefined ? tokens : { idToken: previous, ...tokens }
  const refreshTokenEnd = refreshTokenEndAfter(current.providerEnds, used, tokens, now)
  return {
    ...current,
    version: current.version + 1,
    providerEnds: providerEnds(current.providerEnds?.session, refreshTokenEnd),
    usedRefreshTokens: used === undefined || used === tokens.refreshToken
      ? current.usedRefreshTokens
      : withUsedRefreshToken(current, used),
    ...(keepPending ? { pendingTokens: set } : { tokens: set, pendingTokens: undefined, obtainedAt: Math.round(now) })
  }
}

/**
 * The record that follows that one once its ID token is checked.
 * @param checked undefined if none came, or it was refused
 */
export function withIdToken (
  stored: TokenRecord, checked: RefreshedIdToken & { idToken: string } | undefined, keepPending: boolean
): TokenRecord {
  const { version, providerEnds: ends, tokens, pendingTokens } = stored
  const next = { ...stored, version: version + 1 }
  if (checked === undefined) return next
  const { idToken, identity, claims } = checked
  return {
    ...next,
    identity,
    providerEnds: providerEnds(sessionEnd(claims) ?? ends?.session, ends?.refreshToken),
    ...(keepPending ? { pendingTokens: { ...pendingTokens!, idToken } } : { tokens: { ...tokens, idToken } })
  }
}

/** The same record with another refresh token to use next. */
export function withRefreshToken (record: TokenRecord, refreshToken: string): TokenRecord {
  const { pendingTokens, tokens } = record
  // What was known of the end is that of the one before.
  const ends = providerEnds(record.providerEnds?.session, undefined)
  const next = { ...record, version: record.version + 1, providerEnds: ends }
  return pendingTokens === undefined
    ? { ...next, tokens: { ...tokens, refreshToken } }
    : { ...next, pendingTokens: { ...pendingTokens, refreshToken } }
}
