import type { ProviderClient } from '../client/provider-client.ts'
import { InvalidResponseError, type OAuthError } from '../errors.ts'
import type { TokenSet } from '../protocol/token-set.ts'
import type { User, UserProfile } from '../providers/types.ts'
import type { PendingLogin } from '../session/pending-logins.ts'

/** Who logged in. */
export interface Identity {
  /** Null where the provider tells nobody's name: OAuth 2 alone is no login, and no userinfo endpoint is known. */
  user: User | null
  claims: Record<string, unknown>
  /** False where the answer proves nobody's identity. */
  login?: false
  /** What a refreshed ID token must name. */
  identity?: { sub: string, iss: string }
}

/**
 * Finds out who logged in: from the validated ID token, and from userinfo where that says too little.
 * @throws FST_OAUTH_INVALID_ID_TOKEN, FST_OAUTH_INVALID_RESPONSE, FST_OAUTH_PROVIDER_UNAVAILABLE
 */
export async function identify (provider: ProviderClient, tokens: TokenSet, pending: Pick<PendingLogin, 'nonce' | 'maxAge' | 'scope'>): Promise<Identity> {
  const { profile, userProfile } = provider.config
  if (!provider.expectsIdToken(pending.scope) || tokens.idToken === undefined) {
    if (profile === 'id_token' || !await provider.has('userinfo_endpoint')) return { user: null, claims: {} }
    const claims = await provider.userinfo(tokens)
    return { user: makeUser(provider, claims, userProfile), claims }
  }

  const claims = await provider.validateIdToken(tokens.idToken, { nonce: pending.nonce, maxAge: pending.maxAge, accessToken: tokens.accessToken })
  const identity = { sub: claims.sub, iss: claims.iss }
  if (profile === 'userinfo' || (profile === 'auto' && saysTooLittle(claims, pending.scope) && await provider.has('userinfo_endpoint'))) {
    try {
      const raw = { ...claims, ...await provider.userinfo(tokens, claims.sub) }
      return { user: makeUser(provider, raw, userProfile), claims, identity }
    } catch (error) {
      // Somebody else's profile is an attack; none at all costs a name and a picture, not the login.
      const { reason } = error as OAuthError
      if (reason === 'subject_mismatch' || profile === 'userinfo') throw error
    }
  }
  return { user: makeUser(provider, claims, userProfile), claims, identity }
}

// Scopes that ask for claims which providers may keep for userinfo (OpenID Connect Core, section 5.4).
function saysTooLittle (claims: Record<string, unknown>, scope: readonly string[]): boolean {
  return (scope.includes('profile') && claims.name === undefined && claims.preferred_username === undefined) ||
    (scope.includes('email') && claims.email === undefined)
}

function makeUser (provider: ProviderClient, claims: Record<string, unknown>, userProfile: ((claims: Record<string, unknown>) => UserProfile) | undefined): User {
  const { id, ...profile } = userProfile === undefined ? standardProfile(claims) : userProfile(claims)
  if ((typeof id !== 'string' && typeof id !== 'number') || id === '') {
    throw new InvalidResponseError(`the profile that provider "${provider.name}" sent names no user; give the provider a \`userProfile\` that finds the id`, { provider: provider.name, reason: 'no_subject' })
  }
  const user: User = { id: String(id), raw: claims }
  for (const [key, value] of Object.entries(profile)) if (value !== undefined && value !== null) Object.assign(user, { [key]: value })
  return user
}

function standardProfile (claims: Record<string, unknown>): UserProfile {
  const text = (name: string) => typeof claims[name] === 'string' ? claims[name] as string : undefined
  const profile: Record<string, unknown> = {
    id: text('sub') ?? text('id') ?? (typeof claims.id === 'number' ? claims.id : ''),
    name: text('name') ?? text('preferred_username') ?? text('nickname'),
    email: text('email'),
    // Some providers write the boolean as a string.
    emailVerified: claims.email_verified === undefined ? undefined : claims.email_verified === true || claims.email_verified === 'true',
    picture: text('picture')
  }
  return profile as unknown as UserProfile
}
