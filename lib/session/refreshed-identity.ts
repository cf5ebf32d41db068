import { isDeepStrictEqual } from 'node:util'
import { requestProfile } from '../calls/profile.ts'
import { InvalidResponseError, ProviderUnavailableError } from '../errors.ts'
import { makeUser, withProfile } from '../login/identity.ts'
import type { TokenSet } from '../oauth/token-set.ts'
import type { User } from '../providers/options.ts'
import type { ProviderClient } from '../providers/provider.ts'
import { withoutTokenClaims } from '../tokens/account-details.ts'
import { type TokenRecord, userOf } from '../tokens/record.ts'
import { claimsOf } from '../tokens/refreshed-id-token.ts'
import type { RefreshedIdentity } from '../tokens/refresher.ts'
import { withTimeout } from '../util/timeout.ts'

type Claims = Record<string, unknown>

/** Milliseconds that a refresh waits for the profile, at most. */
const PROFILE_MS = 5_000

// Claims of the user and of the authentication (OpenID Connect Core, sections 2 and 5.1) that a refreshed ID token may
// leave out although they are still true: section 12.2 asks for no more than those that name token, issuer and subject.
const KEPT_CLAIMS = new Set([
  'sub', 'name', 'given_name', 'family_name', 'middle_name', 'nickname', 'preferred_username', 'profile', 'picture',
  'website', 'email', 'email_verified', 'gender', 'birthdate', 'zoneinfo', 'locale', 'phone_number',
  'phone_number_verified', 'address', 'updated_at', 'auth_time', 'acr', 'amr', 'sid', 'session_expiry'
])

/**
 * The user and the claims after a refresh: by its ID token and, with `refreshProfile`, by userinfo or `fetchProfile`.
 * The user's id stays that of the login.
 * @param record of the login, as it was before
 * @param refreshed.claims of the refreshed ID token, if one came and was good
 * @returns undefined if nothing has changed
 * @throws FST_OAUTH_INVALID_RESPONSE with the reason `subject_mismatch` if the profile is of another user; what the
 *   profile's request and `userProfile` throw
 */
export async function refreshedIdentity (
  provider: ProviderClient, record: TokenRecord, { tokens, claims }: { tokens: TokenSet, claims: Claims | undefined }
): Promise<RefreshedIdentity | undefined> {
  const { identity } = record
  const before = userOf(record)
  if (before === null) return undefined
  const refreshed = identity === undefined
    ? await refreshedProfile(provider, record, before, tokens)
    : await refreshedClaims(provider, record, { before, identity, tokens, claims })
  if (refreshed === undefined) return undefined
  const { raw } = refreshed
  const made = { ...makeUser(provider, raw, identity), id: before.id }
  const { user } = withoutTokenClaims({ user: made, claims: raw })
  const isSame = isDeepStrictEqual(user, before) && isDeepStrictEqual(refreshed.claims, refreshed.known)
  return isSame ? undefined : { user: user!, claims: refreshed.claims }
}

/** The claims of a login with ID tokens, the profile that the user is made of, and the claims that are known so far. */
interface Refreshed {
  raw: Claims
  claims: Claims
  known: Claims
}

async function refreshedClaims (
  provider: ProviderClient, record: TokenRecord,
  { before, identity, tokens, claims }: {
    before: User
    identity: { sub: string }
    tokens: TokenSet
    claims: Claims | undefined
  }
): Promise<Refreshed | undefined> {
  const { refreshProfile } = provider.config
  if (claims === undefined && !refreshProfile) return undefined
  const { idToken } = record.tokens
  const known = record.claims ?? plain(await claimsOf(provider, idToken) ?? {})
  const now = claims === undefined ? known : follow(known, known, plain(claims))
  if (!refreshProfile) return { raw: follow(before.raw, known, now), claims: now, known }
  const profile = await profileOf(provider, record, tokens, identity.sub)
  return { raw: withProfile(now, profile), claims: now, known }
}

/** The same of a login without an ID token: its claims are the profile. */
async function refreshedProfile (
  provider: ProviderClient, record: TokenRecord, before: User, tokens: TokenSet
): Promise<Refreshed | undefined> {
  if (!provider.config.refreshProfile) return undefined
  const raw = plain(await profileOf(provider, record, tokens))
  if (makeUser(provider, raw).id !== before.id) {
    const { name } = provider
    const message = `the profile that provider "${name}" sent after a refresh is of another user than the login`
    throw new InvalidResponseError(message, { provider: name, reason: 'subject_mismatch' })
  }
  return { raw, claims: raw, known: before.raw }
}

const plain = (claims: Claims) => withoutTokenClaims({ user: null, claims }).claims

/**
 * The claims after a refreshed ID token: those that differ from the previous ID token are replaced. A claim that the
 * new one leaves out is removed, as a group that the user has left, unless a refreshed ID token may leave it out.
 */
function follow (claims: Claims, before: Claims, after: Claims): Claims {
  const followed = { ...claims }
  for (const [name, value] of Object.entries(after)) {
    if (!Object.hasOwn(before, name) || !isDeepStrictEqual(before[name], value)) followed[name] = value
  }
  for (const name of Object.keys(before)) {
    if (!Object.hasOwn(after, name) && !KEPT_CLAIMS.has(name)) delete followed[name]
  }
  return followed
}

async function profileOf (
  provider: ProviderClient, { dpopKey }: TokenRecord, tokens: TokenSet, subject?: string
): Promise<Claims> {
  const { name, config: { requestTimeout } } = provider
  const timedOut = () => new ProviderUnavailableError(`provider "${name}" did not answer in time for the profile`, {
    provider: name, reason: 'timed_out'
  })
  const waitMs = Math.min(requestTimeout / 2, PROFILE_MS)
  return await withTimeout(() => requestProfile(provider, { tokens, dpopKey }, subject), waitMs, timedOut)
}
