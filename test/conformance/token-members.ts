import type { TokenSet } from '../../lib/index.ts'
import type { Members } from './case.ts'

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
    expires_in: secondsOf(raw.expires_in)
  }
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined && value !== null))
}

function secondsOf (value: unknown): unknown {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
  return typeof number === 'number' && Number.isFinite(number) ? Math.round(number) : value
}
