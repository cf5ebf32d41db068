import { redact } from '../util/redact.ts'

/** One answer of a token endpoint, made even (RFC 6749, section 5.1). */
export interface TokenSet {
  accessToken: string
  /** As the provider wrote it; `Bearer` where it wrote nothing. */
  tokenType: string
  /** Epoch seconds; absent where the provider told no lifetime. */
  expiresAt?: number
  refreshToken?: string
  idToken?: string
  /** What was granted: the answer's scope, else what was asked for. */
  scope: string[]
  /** The answer's members as they came. */
  raw: Record<string, unknown>
  /**
   * Where the set lives, as `onTokens` hands it out: with this, a background job goes on beside the user's web session.
   */
  recordId?: string
}

/** Tells whether two sets are the same, whatever else the answers said that they came with. */
export function isSameSet (one: TokenSet, other: TokenSet): boolean {
  const [text, otherText] = [one, other].map(({ accessToken, tokenType, expiresAt, refreshToken, idToken, scope }) =>
    JSON.stringify([accessToken, tokenType, expiresAt, refreshToken, idToken, scope]))
  return text === otherText
}

/** How a granted scope differs from the one that was asked for. */
export interface ScopeChange {
  missing: string[]
  added: string[]
}

/**
 * Compares two scopes as sets; undefined where they are the same. Where none was asked for, whatever the provider
 * grants is its own default and no change (RFC 6749, section 3.3).
 */
export function compareScope (granted: readonly string[], asked: readonly string[]): ScopeChange | undefined {
  if (asked.length === 0) return undefined
  const [grantedSet, askedSet] = [new Set(granted), new Set(asked)]
  const missing = asked.filter(item => !grantedSet.has(item))
  const added = granted.filter(item => !askedSet.has(item))
  return missing.length === 0 && added.length === 0 ? undefined : { missing, added }
}

/** Scopes of a change that a log line names. */
const LOGGED_SCOPES = 20

/** A change of scope for the log: a scope is the provider's own text, and there may be thousands. */
export function loggedScopeChange ({ missing, added }: ScopeChange): ScopeChange {
  const [lost, further] = [missing, added].map((list) => {
    const named = list.slice(0, LOGGED_SCOPES).map(item => redact(item))
    return list.length > LOGGED_SCOPES ? [...named, `and ${list.length - LOGGED_SCOPES} more`] : named
  }) as [string[], string[]]
  return { missing: lost, added: further }
}

/**
 * Tells whether a token has to be replaced before it is used.
 * @param expiresAt epoch seconds, or undefined where the token's life is not known
 * @param now epoch seconds
 * @param leeway seconds before the end from which the token counts as expired; the very margin is still valid
 */
export function isExpired (expiresAt: number | undefined, now: number, leeway = 0): boolean {
  return expiresAt !== undefined && now > expiresAt - leeway
}

/**
 * The leeway of one token: what the options say, but never more than half of its life,
 * so that a token of 30 seconds is not born expired.
 */
export function effectiveLeeway (
  leeway: number, expiresAt: number | undefined, obtainedAt: number | undefined
): number {
  if (expiresAt === undefined || obtainedAt === undefined) return leeway
  return Math.min(leeway, Math.max(0, (expiresAt - obtainedAt) / 2))
}

/** Splits a scope as providers send it: a list, or a string with spaces (RFC 6749, section 3.3). */
export function parseScope (scope: unknown): string[] | undefined {
  if (typeof scope === 'string') return scope.split(/\s+/).filter(Boolean)
  if (Array.isArray(scope)) return scope.filter((item): item is string => typeof item === 'string' && item !== '')
  return undefined
}
