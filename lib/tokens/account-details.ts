import type { User } from '../providers/options.ts'
import { standardProfile } from '../providers/standard-profile.ts'
import { isObject } from '../util/is-object.ts'

/** What an account holds of its login that no call needs. */
export interface AccountDetails {
  /** Absent if the standard claims say the same; `raw` is absent if it is the claims. */
  user?: (Omit<User, 'raw'> & { raw?: Record<string, unknown> }) | null
  claims: Record<string, unknown>
  scope: string[]
  /** Epoch seconds of the login. */
  loginAt: number
  /**
   * The callbacks that brought this account, newest first: hash of the state, and the path that the login led to, if
   * that is another one than the start page, and not too long.
   */
  callbacks?: { state: string, returnTo?: string }[] | undefined
}

/** Who logged in, and the claims that said so. */
interface WhoLoggedIn {
  user: User | null
  claims: Record<string, unknown>
}

/** What is kept of who logged in: nothing that is about the ID token. */
export function withoutTokenClaims ({ user, claims }: WhoLoggedIn): WhoLoggedIn {
  // Claims about the ID token itself (OpenID Connect Core, sections 2 and 3.1.3.6), which have been checked.
  const { aud, exp, iat, nbf, jti, nonce, azp, at_hash: _a, c_hash: _c, s_hash: _s, ...kept } = claims
  if (user === null) return { user, claims: kept }
  if (user.raw === claims) return { user: { ...user, raw: kept }, claims: kept }
  // A profile may be the claims of both, the ID token and userinfo.
  const isKept = ([name, value]: [string, unknown]) => Object.hasOwn(kept, name) || claims[name] !== value
  return { user: { ...user, raw: Object.fromEntries(Object.entries(user.raw).filter(isKept)) }, claims: kept }
}

/** What an account holds of a login, written for `detailsOf`, and nothing of it twice. */
export function writeDetails (
  { user, claims }: WhoLoggedIn, details: Pick<AccountDetails, 'scope' | 'loginAt' | 'callbacks'>
): string {
  let stored: AccountDetails['user'] = user
  if (user !== null && user.raw === claims) {
    const { raw: _claims, ...profile } = user
    stored = isStandard(profile, claims) ? undefined : profile
  }
  const written: AccountDetails = stored === undefined ? { claims, ...details } : { user: stored, claims, ...details }
  const text = JSON.stringify(written)
  // The engine builds a text of many parts and joins them when one character is asked for: half the memory.
  text.charCodeAt(0)
  return text
}

/** Whether a profile is what the standard claims say. */
function isStandard (profile: Record<string, unknown>, claims: Record<string, unknown>): boolean {
  const standard = standardProfile(claims) as Record<string, unknown>
  const names = Object.keys(standard)
  return names.length === Object.keys(profile).length && names.every(name => profile[name] === standard[name])
}

/** What an account holds of its login; of one that cannot be read, that no user is known. */
export function detailsOf ({ details }: { details: string }): AccountDetails & { user: User | null } {
  const unknown = { user: null, claims: {}, scope: [], loginAt: 0 }
  let stored: Partial<AccountDetails> | null
  try {
    stored = JSON.parse(details) as Partial<AccountDetails> | null
  } catch {
    return unknown
  }
  if (!isObject(stored?.claims) || !Array.isArray(stored.scope)) return unknown
  if (stored.callbacks !== undefined && !Array.isArray(stored.callbacks)) return unknown
  const { claims } = stored
  const user = (stored.user === undefined ? standardProfile(claims) : stored.user) as AccountDetails['user']
  const isUser = isObject(user) && typeof user.id === 'string'
  return { ...unknown, ...stored, user: isUser ? { ...user, raw: user.raw ?? claims } : null }
}
