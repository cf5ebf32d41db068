import type { AuthenticationClaims, IdTokenClaims } from '../oauth/id-token.ts'
import { parseMembers } from '../oauth/token-response.ts'
import type { ProviderClient } from '../providers/provider.ts'
import { shortHash } from '../util/random.ts'
import type { LoginIdentity, TokenRecord } from './record.ts'

/** A refreshed ID token that is good. */
export interface RefreshedIdToken {
  claims: IdTokenClaims
  /** The authentication as before, with the members that this ID token no longer has. */
  identity: LoginIdentity | undefined
}

/**
 * Validates the ID token that came with a refresh: by itself, and against the one that it follows, which the record
 * has (OpenID Connect Core, section 12.2).
 * @throws FST_OAUTH_INVALID_ID_TOKEN, FST_OAUTH_PROVIDER_UNAVAILABLE
 */
export async function validateRefreshedIdToken (
  provider: ProviderClient, { tokens, identity }: TokenRecord,
  { idToken, accessToken }: { idToken: string, accessToken: string }
): Promise<RefreshedIdToken> {
  const before = await claimsOf(provider, tokens.idToken)
  const authentication = authenticationOf(before, identity)
  const previous = identity ?? subjectOf(before)
  const claims = await provider.jwts.validateIdToken(idToken, { previous, authentication, accessToken })
  return { claims, identity: identity && identityAfter(identity, authentication, claims) }
}

/** The claims of an ID token that was validated when it came; undefined if no key decrypts it any more. */
export async function claimsOf (
  provider: ProviderClient, idToken: string | undefined
): Promise<Record<string, unknown> | undefined> {
  if (idToken === undefined) return undefined
  const refuse = (_reason: string, message: string) => new Error(message)
  const signed = await provider.jwts.decrypted(idToken, refuse).catch(() => undefined)
  const [, payload = ''] = signed?.split('.') ?? []
  return parseMembers(Buffer.from(payload, 'base64url').toString())
}

/** What is known of the authentication: by the ID token before, or by the record if that one no longer says it. */
function authenticationOf (
  before: Record<string, unknown> | undefined, identity: LoginIdentity | undefined
): AuthenticationClaims {
  const { nonce, auth_time: authTime } = before ?? {}
  return {
    ...(before !== undefined && { party: { aud: before.aud, azp: before.azp } }),
    nonceHash: identity?.nonceHash ?? (typeof nonce === 'string' ? shortHash(nonce) : undefined),
    authTime: identity?.authTime ?? (typeof authTime === 'number' ? authTime : undefined)
  }
}

/** Whose set it is if no record of a login says it: that of a session without a request. */
function subjectOf (before: Record<string, unknown> | undefined): LoginIdentity | undefined {
  const { sub, iss } = before ?? {}
  return typeof sub === 'string' && typeof iss === 'string' ? { sub, iss } : undefined
}

// Most providers leave the nonce out of a refreshed ID token, as section 12.2 recommends. One that comes later still
// has to be that of the login.
function identityAfter (
  { sub, iss }: LoginIdentity, { nonceHash, authTime }: AuthenticationClaims, claims: IdTokenClaims
): LoginIdentity {
  return {
    sub,
    iss,
    ...(claims.nonce === undefined && nonceHash !== undefined && { nonceHash }),
    ...(claims.auth_time === undefined && authTime !== undefined && { authTime })
  }
}
