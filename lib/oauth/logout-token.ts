import type { JWTPayload } from 'jose'
import { InvalidLogoutTokenError } from '../errors.ts'
import { isObject } from '../util/is-object.ts'
import { CLOCK_TOLERANCE } from './jwt-refusal.ts'
import { assertAcceptedIssuer, type JwtExpectation, type Refuse, verifyProviderJwt } from './jwt.ts'

/** The claims of a validated logout token (OpenID Connect Back-Channel Logout 1.0, section 2.4). */
export interface LogoutTokenClaims extends JWTPayload {
  iss: string
  /** Of `sub` and `sid` there is at least one. */
  sub?: string
  sid?: string
  jti: string
  iat: number
  exp: number
}

const EVENT = 'http://schemas.openid.net/event/backchannel-logout'
/** Seconds for which a logout token is accepted, whatever its `exp`; providers give it two minutes. */
const MAX_AGE = 300
/** Characters of a `jti`, a `sub` or a `sid`. */
const MAX_LENGTH = 2_048

/**
 * Validates a logout token (OpenID Connect Back-Channel Logout 1.0, section 2.6), save for whether its `jti` has been
 * used before.
 * @throws FST_OAUTH_INVALID_LOGOUT_TOKEN, its `reason` naming the check that failed; FST_OAUTH_PROVIDER_UNAVAILABLE
 */
export async function validateLogoutToken (
  logoutToken: string, expected: JwtExpectation
): Promise<LogoutTokenClaims> {
  const refuse = logoutTokenRefused(expected.provider)
  const { payload: claims, protectedHeader: { typ, kid } } = await verifyProviderJwt(logoutToken, expected, refuse, {
    requiredClaims: ['iss', 'aud', 'iat', 'exp', 'jti', 'events'], maxTokenAge: MAX_AGE
  })
  // No JWT of another kind passes for a logout token (section 2.4; RFC 8725, section 3.11). `JWT` names no kind.
  if (typ !== undefined && !isKnownType(typ)) {
    throw refuse('typ', 'it is of another type')
  }
  await assertAcceptedIssuer(claims, kid, expected, refuse)
  if (!isObject(claims.events) || !Object.hasOwn(claims.events, EVENT) || !isObject(claims.events[EVENT])) {
    throw refuse('events', 'its events are not that of a back-channel logout')
  }
  // Section 2.4: so that it cannot pass for an ID token.
  if (claims.nonce !== undefined) throw refuse('nonce', 'it has a nonce')
  for (const name of ['jti', 'sub', 'sid'] as const) {
    const value = claims[name]
    const isMissing = value === undefined && name !== 'jti'
    if (!isMissing && (typeof value !== 'string' || value === '' || value.length > MAX_LENGTH)) {
      throw refuse(name, `its ${name} is no text, or a very long one`)
    }
  }
  if (claims.sub === undefined && claims.sid === undefined) throw refuse('sub', 'it names neither a user nor a session')
  return claims as LogoutTokenClaims
}

/** Seconds after which a logout token is refused for its age, on any process. */
export function lifeOf (
  { iat, exp }: LogoutTokenClaims, { now, clockTolerance = CLOCK_TOLERANCE }: { now: number, clockTolerance?: number }
): number {
  // Once for the clock of the provider, once for those of other processes.
  return Math.max(1, Math.ceil(Math.min(exp, iat + MAX_AGE) - now + 2 * clockTolerance))
}

/** Makes the error of a logout token. */
export function logoutTokenRefused (provider: string): Refuse {
  return (reason, what, cause) =>
    new InvalidLogoutTokenError(`a logout token of provider "${provider}" is refused: ${what}`, {
      provider, reason, cause
    })
}

const isKnownType = (typ: unknown) =>
  typeof typ === 'string' && /^(?:application\/)?(?:logout\+jwt|jwt)$/i.test(typ)
