import { hasProfile, requestProfile } from '../calls/profile.ts'
import { InvalidResponseError, type OAuthError } from '../errors.ts'
import { identifierText } from '../oauth/json.ts'
import type { User, UserProfile } from '../providers/options.ts'
import type { ProviderClient } from '../providers/provider.ts'
import { standardProfile } from '../providers/standard-profile.ts'
import { isObject } from '../util/is-object.ts'
import { isPromise } from '../util/is-promise.ts'
import type { LoginTokens } from './finish.ts'

/** Who logged in. */
export interface Identity {
  /** Null if no profile can be had: plain OAuth 2 does not identify the user, and no userinfo endpoint is known. */
  user: User | null
  claims: Record<string, unknown>
  /** False for an implicit login without an ID token: its access token may have been issued to another client. */
  identityProven: boolean
  /** What a refreshed ID token must name. */
  identity?: { sub: string, iss: string } | undefined
}

/**
 * Identifies the user of a login: by the claims of the ID token, by userinfo if these say too little, and by
 * `fetchProfile` if the options have one.
 * @param scope what the login asked for
 * @throws FST_OAUTH_INVALID_RESPONSE, FST_OAUTH_PROVIDER_UNAVAILABLE, and what `fetchProfile` throws
 */
export async function identify (
  provider: ProviderClient, login: LoginTokens, scope: readonly string[]
): Promise<Identity> {
  const { profileSource, grantType } = provider.config
  const { idTokenClaims: claims } = login
  if (claims === undefined) {
    if (grantType === 'implicit') return { user: null, claims: {}, identityProven: false }
    if (profileSource === 'id_token' || !await hasProfile(provider)) {
      return { user: null, claims: {}, identityProven: true }
    }
    const profile = await requestProfile(provider, login)
    return { user: makeUser(provider, profile), claims: profile, identityProven: true }
  }
  const proven = { claims, identity: { sub: claims.sub, iss: claims.iss }, identityProven: true }
  const wanted = profileSource === 'auto' && saysTooLittle(claims, scope) && await hasProfile(provider)
  if (profileSource === 'userinfo' || wanted) {
    try {
      const profile = withProfile(claims, await requestProfile(provider, login, claims.sub))
      return { ...proven, user: makeUser(provider, profile, proven.identity) }
    } catch (error) {
      // The profile of another user is an attack. One that cannot be used costs a name and a picture, not the login.
      if (profileSource === 'userinfo' || (Object(error) as OAuthError).reason === 'subject_mismatch') throw error
    }
  }
  return { ...proven, user: makeUser(provider, claims, proven.identity) }
}

// The claims of these scopes may be in the userinfo response alone (OpenID Connect Core, section 5.4).
function saysTooLittle (claims: Record<string, unknown>, scope: readonly string[]): boolean {
  return (scope.includes('profile') && claims.name === undefined && claims.preferred_username === undefined) ||
    (scope.includes('email') && claims.email === undefined)
}

// Claims about the authentication, not about the user (OpenID Connect Core, sections 2 and 3.1.3.6).
const LOGIN_CLAIMS = [
  'iss', 'sub', 'aud', 'exp', 'iat', 'nbf', 'jti', 'nonce', 'azp', 'auth_time', 'acr', 'amr',
  'at_hash', 'c_hash', 's_hash', 'sid'
]
/** Claim → the claim that says whether it is verified (OpenID Connect Core, section 5.1). */
const VERIFIED = { email: 'email_verified', phone_number: 'phone_number_verified' }

/**
 * Merges the claims of an ID token with a profile: the profile wins, except for the claims about the authentication.
 */
export function withProfile (
  claims: Record<string, unknown>, profile: Record<string, unknown>
): Record<string, unknown> {
  const merged = { ...claims, ...profile }
  for (const name of LOGIN_CLAIMS) if (claims[name] !== undefined) merged[name] = claims[name]
  // `email_verified` of the ID token is about the address of the ID token.
  for (const [name, verified] of Object.entries(VERIFIED)) {
    const isAnother = profile[name] !== undefined && profile[name] !== claims[name]
    if (isAnother && profile[verified] === undefined) delete merged[verified]
  }
  return merged
}

/**
 * The user that claims describe, by `userProfile` if the options have one.
 * @param identity subject and issuer of the ID token, if there is one
 * @throws FST_OAUTH_INVALID_RESPONSE
 */
export function makeUser (
  provider: ProviderClient, claims: Record<string, unknown>, identity?: Identity['identity']
): User {
  const named = identity && userIdOf(provider, identity)
  const { id: given, ...profile } =
    provider.config.userProfile === undefined ? standardProfile(claims, named) : profileByApp(provider, claims)
  const id = identifierText(given)
  if (id === undefined) {
    const { name } = provider
    const found = typeof given === 'number' ? 'has an id that a number cannot hold; keep it as text' : 'names no user'
    const remedy = 'give the provider a `userProfile` that finds the id'
    const message = `the profile that provider "${name}" sent ${found}; ${remedy}`
    throw new InvalidResponseError(message, { provider: name, reason: 'no_subject' })
  }
  return { id, raw: claims, ...profile }
}

/** The app's own function meets whatever a provider sends, and may fail at it. */
function profileByApp ({ name, config }: ProviderClient, claims: Record<string, unknown>): Partial<UserProfile> {
  let cause: unknown
  let what = 'made no profile of the claims that were sent'
  try {
    const profile: unknown = config.userProfile!(claims)
    if (isPromise(profile)) what = 'returned a promise, and has to return the profile at once; fetchProfile may wait'
    else if (isObject(profile)) return present(profile as unknown as UserProfile)
  } catch (error) {
    // One with a status says what is to be answered.
    if (typeof (Object(error) as OAuthError).statusCode === 'number') throw error
    cause = error ?? undefined
  }
  const message = `userProfile of provider "${name}" ${what}`
  throw new InvalidResponseError(message, { provider: name, reason: 'user_profile', cause })
}

function present (profile: UserProfile): Partial<UserProfile> {
  return Object.fromEntries(Object.entries(profile).filter(([, value]) => value !== undefined && value !== null))
}

/**
 * The user's id. A `sub` is unique only within its issuer (OpenID Connect Core, section 2): if `idTokenIssuer` is a
 * function, the id of a user of another issuer contains it: `https://two.example#alice`. An issuer with a fragment is
 * refused, so the first "#" ends it.
 */
function userIdOf ({ config }: ProviderClient, { sub, iss }: NonNullable<Identity['identity']>): string {
  if (typeof config.idTokenIssuer !== 'function') return sub
  return iss === config.issuer && !sub.includes('#') ? sub : `${iss}#${sub}`
}
