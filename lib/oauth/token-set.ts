import { redact } from '../util/redact.ts'

/** The tokens of one token response (RFC 6749, section 5.1). */
export interface TokenSet {
  /** The access token. */
  accessToken: string
  /** The `token_type` as the provider wrote it; `Bearer` if it wrote none. */
  tokenType: string
  /** When the access token expires, in epoch seconds; absent if the provider names no lifetime. */
  expiresAt?: number
  /** The refresh token, if the provider issued one. */
  refreshToken?: string
  /** The ID token as it came, if the provider issued one. */
  idToken?: string
  /** The granted scope: that of the response, or what was asked for if it names none. */
  scope: string[]
  /** The members of the response, after `conform`. */
  raw: Record<string, unknown>
  /** Names the token record, in what `onTokens` gets: `session({ tokens })` in the same app shares it then. */
  recordId?: string
}

/** Whether two sets have the same tokens, expiry and scope. */
export function isSameSet (one: TokenSet, other: TokenSet): boolean {
  const [text, otherText] = [one, other].map(({ accessToken, tokenType, expiresAt, refreshToken, idToken, scope }) =>
    JSON.stringify([accessToken, tokenType, expiresAt, refreshToken, idToken, scope]))
  return text === otherText
}

/** How the granted scope differs from the scope that was asked for. */
export interface ScopeChange {
  /** Asked for, and not granted. */
  missing: string[]
  /** Granted without being asked for. */
  added: string[]
}

/**
 * Compares two scopes as sets; undefined if they are the same. If none was asked for, the provider grants its
 * default, which is no change (RFC 6749, section 3.3).
 */
export function compareScope (granted: readonly string[], asked: readonly string[]): ScopeChange | undefined {
  if (asked.length === 0) return undefined
  const [grantedSet, askedSet] = [new Set(granted), new Set(asked)]
  const missing = asked.filter(item => !grantedSet.has(item))
  const added = granted.filter(item => !askedSet.has(item))
  return missing.length === 0 && added.length === 0 ? undefined : { missing, added }
}

/** How many scopes of a change a log line names. */
const LOGGED_SCOPES = 20

/** A change of scope for the log, redacted and bounded: a scope is the provider's text, and there may be thousands. */
export function loggedScopeChange ({ missing, added }: ScopeChange): ScopeChange {
  const [lost, further] = [missing, added].map((list) => {
    const named = list.slice(0, LOGGED_SCOPES).map(item => redact(item))
    return list.length > LOGGED_SCOPES ? [...named, `and ${list.length - LOGGED_SCOPES} more`] : named
  }) as [string[], string[]]
  return { missing: lost, added: further }
}

/** From here on a time is in milliseconds: as seconds it would be the year 33658, as milliseconds 2001. */
const FROM_MILLISECONDS = 1e12

/** A time as epoch seconds: JavaScript counts milliseconds, and so do some providers and columns. */
export function inSeconds (time: number): number {
  return time >= FROM_MILLISECONDS ? Math.floor(time / 1000) : time
}

/**
 * Whether a token has expired, or will within the leeway.
 * @param expiresAt epoch seconds, or undefined if it is not known
 * @param now epoch seconds
 * @param leeway seconds before its end from which a token counts as expired; at that second it is still valid
 */
export function isExpired (expiresAt: number | undefined, now: number, leeway = 0): boolean {
  return expiresAt !== undefined && now > expiresAt - leeway
}

/**
 * The leeway of one token: that of the options, but never more than half of the token's life. A token of 30 seconds
 * would otherwise be expired from the start.
 */
export function effectiveLeeway (
  leeway: number, expiresAt: number | undefined, obtainedAt: number | undefined
): number {
  if (expiresAt === undefined || obtainedAt === undefined) return leeway
  return Math.min(leeway, Math.max(0, (expiresAt - obtainedAt) / 2))
}

/** Reads a scope, a list or a string with spaces (RFC 6749, section 3.3); undefined for anything else. */
export function parseScope (scope: unknown): string[] | undefined {
  if (typeof scope === 'string') return scope.split(/\s+/).filter(Boolean)
  if (Array.isArray(scope)) return scope.filter((item): item is string => typeof item === 'string' && item !== '')
  return undefined
}
