import type { TokenSet } from '../../lib/index.ts'
import type { Members } from './case.ts'
import { difference, hasAll } from './matches.ts'

/**
 * A token set in the words of the cases, which are those of the wire. `expires_in` is a number of seconds there;
 * our `raw` keeps it as it came.
 */
export function tokenMembers ({ raw, accessToken, refreshToken, idToken, expiresAt }: TokenSet): Members {
  const members: Members = {
    ...raw,
    access_token: accessToken,
    refresh_token: refreshToken,
    id_token: idToken,
    expires_at: expiresAt,
    // The drafts' word for it is kept as it came, too.
    expires_in: secondsOf(raw.expires_in ?? raw.expires)
  }
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined && value !== null))
}

/**
 * The first difference between a set and what is expected of it: `null` is what must not be there, and a scope may be a
 * list.
 */
export function tokenDifference (
  what: string,
  tokens: TokenSet | undefined,
  expected: Members | null
): string | undefined {
  if (tokens === undefined || expected === null) {
    return difference(what, tokens === undefined ? null : tokenMembers(tokens), expected)
  }
  const wanted = Object.fromEntries(Object.entries(expected).map(([name, value]) => [name, value ?? undefined]))
  const actual = tokenMembers(tokens)
  if (Array.isArray(wanted.scope)) {
    wanted.scope = [...wanted.scope].sort()
    actual.scope = [...tokens.scope].sort()
  }
  return difference(what, actual, wanted, hasAll)
}

function secondsOf (value: unknown): unknown {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
  return typeof number === 'number' && Number.isFinite(number) ? Math.floor(number) : value
}
