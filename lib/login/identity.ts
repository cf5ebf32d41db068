import { hasProfile, requestProfile } from '../calls/profile.ts'
import { InvalidResponseError, type OAuthError } from '../errors.ts'
import { identifierText } from '../oauth/json.ts'
import type { TokenSet } from '../oauth/token-set.ts'
import type { User, UserProfile } from '../providers/options.ts'
import type { ProviderClient } from '../providers/provider.ts'
import type { PendingLogin } from './transaction.ts'

/** Who logged in. */
export interface Identity {
  /** Null where the provider tells nobody's name: OAuth 2 alone is no login, and no userinfo endpoint is known. */
  user: User | null
  claims: Record<string, unknown>
  /** False where the answer proves nobody's identity. */
  identityProven?: false
  /** What a refreshed ID token must name. */
  identity?: { sub: string, iss: string }
}

/**
 * Finds out who logged in: from the validated ID token, from userinfo where that says too little, and by `fetchProfile`
 * where the options have one.
 * @throws FST_OAUTH_INVALID_ID_TOKEN, FST_OAUTH_INVALID_RESPONSE, FST_OAUTH_PROVIDER_UNAVAILABLE, and what
 *   `fetchProfile` throws
 */
export async function identify (
  provider: ProviderClient,
  tokens: TokenSet,
  pending: Pick<PendingLogin, 'nonce' | 'maxAge' | 'scope'>
): Promise<Identity> {
  const { profileSource: profile } = provider.config
  if (!provider.expectsIdToken(pending.scope) || tokens.idToken === undefined) {
    if (profile === 'id_token' || !await hasProfile(provider)) return { user: null, claims: {} }
    const claims = await requestProfile(provider, tokens)
    return { user: makeUser(provider, claims), claims }
  }

  const claims = await provider.validateIdToken(tokens.idToken, {
    nonce: pending.nonce,
    maxAge: pending.maxAge,
    accessToken: tokens.accessToken
  })
  const identity = { sub: claims.sub, iss: claims.iss }
  const wanted = profile === 'auto' && saysTooLittle(claims, pending.scope)
  if (profile === 'userinfo' || (wanted && await hasProfile(provider))) {
    try {
      const raw = withProfile(claims, await requestProfile(provider, tokens, claims.sub))
      return { user: makeUser(provider, raw, identity), claims, identity }
    } catch (error) {
      // Somebody else's profile is an attack; none at all costs a name and a picture, not the login.
      const { reason } = error as OAuthError
      if (reason === 'subject_mismatch' || profile === 'userinfo') throw error
    }
  }
  return { user: makeUser(provider, claims, identity), claims, identity }
}

// Scopes that ask for claims which providers may keep for userinfo (OpenID Connect Core, section 5.4).
function saysTooLittle (claims: Record<string, unknown>, scope: readonly string[]): boolean {
  return (scope.includes('profile') && claims.name === undefined && claims.preferred_username === undefined) ||
    (scope.includes('email') && claims.email === undefined)
}

// What an ID token says of the login itself (OpenID Connect Core, sections 2 and 3.1.3.6).
const LOGIN_CLAIMS = [
  'iss', 'sub', 'aud', 'exp', 'iat', 'nbf', 'jti', 'nonce', 'azp', 'auth_time', 'acr', 'amr',
  'at_hash', 'c_hash', 's_hash', 'sid'
]
/** Claim → what says whether it is verified. */
const VERIFIED = { email: 'email_verified', phone_number: 'phone_number_verified' }

/**
 * The claims of an ID token and a profile together: the profile knows the user better, the ID token alone the login.
 */
function withProfile (claims: Record<string, unknown>, profile: Record<string, unknown>): Record<string, unknown> {
  const merged = { ...claims, ...profile }
  for (const name of LOGIN_CLAIMS) if (claims[name] !== undefined) merged[name] = claims[name]
  // That an address is verified is said of the one that stands beside it, and of no other.
  for (const [name, verified] of Object.entries(VERIFIED)) {
    const isAnother = profile[name] !== undefined && profile[name] !== claims[name]
    if (isAnother && profile[verified] === undefined) delete merged[verified]
  }
  return merged
}

/** @param identity subject and issuer of the ID token, where there is one */
function makeUser (provider: ProviderClient, claims: Record<string, unknown>, identity?: Identity['identity']): User {
  const { userProfile } = provider.config
  const named = identity && idOf(provider, identity)
  const { id: given, ...profile } = userProfile === undefined ? standardProfile(claims, named) : userProfile(claims)
  const id = identifierText(given)
  if (id === undefined) {
    const { name } = provider
    const found = typeof given === 'number' ? 'has an id that a number cannot hold; keep it as text' : 'names no user'
    const remedy = 'give the provider a `userProfile` that finds the id'
    const message = `the profile that provider "${name}" sent ${found}; ${remedy}`
    throw new InvalidResponseError(message, { provider: name, reason: 'no_subject' })
  }
  const user: User = { id, raw: claims }
  for (const [key, value] of Object.entries(profile)) {
    if (value !== undefined && value !== null) Object.assign(user, { [key]: value })
  }
  return user
}

/**
 * A `sub` is unique within its issuer alone (OpenID Connect Core, section 2). Where a function decides who may issue ID
 * tokens, a user of another issuer than the provider's own is named with it: `https://two.example#alice`. An issuer has
 * no fragment, so its first "#" ends it.
 */
function idOf ({ config }: ProviderClient, { sub, iss }: NonNullable<Identity['identity']>): string {
  if (typeof config.idTokenIssuer !== 'function') return sub
  return iss === config.issuer && !sub.includes('#') ? sub : `${iss.replaceAll('#', '%23')}#${sub}`
}

function standardProfile (claims: Record<string, unknown>, id?: string): UserProfile {
  const text = (name: string) => typeof claims[name] === 'string' ? claims[name] as string : undefined
  const profile: Record<string, unknown> = {
    // OAuth 2 alone says nothing of its kind, and some write a number.
    id: id ?? identifierText(claims.sub) ?? identifierText(claims.id),
    name: text('name') ?? text('preferred_username') ?? text('nickname'),
    email: text('email'),
    // Some providers write the boolean as a string.
    emailVerified:
      claims.email_verified === undefined
        ? undefined
        : claims.email_verified === true || claims.email_verified === 'true',
    picture: text('picture')
  }
  return profile as unknown as UserProfile
}
