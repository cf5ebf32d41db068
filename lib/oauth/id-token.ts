import type { JWTPayload } from 'jose'
import { hash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { InvalidIdTokenError } from '../errors.ts'
import { safeEqual, shortHash } from '../util/random.ts'
import { shown } from '../util/shown.ts'
import { CLOCK_TOLERANCE, fromNow } from './jwt-refusal.ts'
import { assertAcceptedIssuer, type JwtExpectation, type Refuse, verifyProviderJwt } from './jwt.ts'

/** The claims of a validated ID token (OpenID Connect Core, section 2). */
export interface IdTokenClaims extends JWTPayload {
  iss: string
  sub: string
  exp: number
  iat: number
  nonce?: string
  azp?: string
  at_hash?: string
  c_hash?: string
  s_hash?: string
  auth_time?: number
  acr?: string
  sid?: string
}

/** The authentication that a refreshed ID token must agree with; undefined members are not known. */
export interface AuthenticationClaims {
  /** Of the ID token before. */
  party?: { aud: unknown, azp: unknown }
  /** `shortHash` of the nonce. */
  nonceHash: string | undefined
  /** Epoch seconds. */
  authTime: number | undefined
}

/** What an ID token is checked against, in addition to the checks of any JWT of its provider. */
export interface IdTokenExpectation {
  /** The nonce of the login; undefined for a refreshed token, which need not have one. */
  nonce?: string | undefined
  /** Seconds since the user last authenticated. */
  maxAge?: number | undefined
  /** The access token that came with it, for `at_hash`. */
  accessToken?: string | undefined
  /**
   * Of a token that came through the browser beside a code: that code, for `c_hash`, and the state, for `s_hash`
   * (OpenID Connect Core, section 3.3.2.11; Financial-grade API 1.0 Part 2, section 5.1).
   */
  frontChannel?: { code: string, state: string } | undefined
  /**
   * Subject and issuer of the login that is being refreshed, or of the ID token that came through the browser before
   * (OpenID Connect Core, sections 12.2 and 3.3.3.6).
   */
  previous?: { sub: string, iss: string } | undefined
  /** What is known of the authentication of the login that is being refreshed. */
  authentication?: AuthenticationClaims | undefined
  /** Whether `at_hash` is required beside an access token, as in an implicit login. */
  atHashRequired?: boolean
}

/**
 * Validates an ID token: signature and every claim (OpenID Connect Core, section 3.1.3.7).
 * @param signed what every JWT that its provider signs for this client is checked against
 * @throws FST_OAUTH_INVALID_ID_TOKEN, its `reason` naming the check that failed
 */
export async function validateIdToken (
  idToken: string, signed: JwtExpectation, expected: IdTokenExpectation
): Promise<IdTokenClaims> {
  const { provider, issuer, clientId, now, clockTolerance = CLOCK_TOLERANCE, trustedAudiences = [] } = signed
  const refuse: Refuse = (reason, what, cause) =>
    new InvalidIdTokenError(`the ID token of provider "${provider}" is refused: ${what}`, { provider, reason, cause })

  const names = typeof issuer === 'string' ? [issuer] : issuer
  const requiredClaims = ['iss', 'sub', 'aud', 'exp', 'iat']
  const { payload: claims, protectedHeader: header } =
    await verifyProviderJwt(idToken, signed, refuse, { requiredClaims })
  if (typeof claims.sub !== 'string' || claims.sub === '') throw refuse('sub', 'it names no subject')
  await assertAcceptedIssuer(claims, header.kid, signed, refuse)
  // The same text, and not a copy for each login.
  claims.iss = names.find(name => name === claims.iss) ?? claims.iss!
  const issuedAt = claims.iat!
  if (issuedAt > now + clockTolerance) throw refuse('iat', `it was issued ${fromNow(issuedAt, now)}`)
  if (claims.azp !== undefined && claims.azp !== clientId) throw refuse('azp', 'its authorized party is another client')
  // Step 3: further audiences have to be trusted. One that this client was issued with says so itself, by `azp`.
  const untrusted = [claims.aud].flat().find(audience => audience !== clientId && !trustedAudiences.includes(audience!))
  if (untrusted !== undefined && claims.azp === undefined) {
    throw refuse('azp', `it is also for ${shown(untrusted)}, and no \`azp\` says that this client is who it was ` +
      'issued to; where the provider leaves that out, write such audiences into trustedAudiences')
  }
  if (expected.nonce !== undefined && !(typeof claims.nonce === 'string' && safeEqual(claims.nonce, expected.nonce))) {
    throw refuse('nonce', 'its nonce is not the one of this login')
  }
  if (expected.maxAge !== undefined) {
    const authTime = claims.auth_time
    if (typeof authTime !== 'number' || authTime + expected.maxAge + clockTolerance < now) {
      throw refuse('auth_time', 'the user authenticated too long ago')
    }
  }
  // An access token from the browser may be another user's (OpenID Connect Core, sections 3.2.2.9 and 3.2.2.10).
  if (claims.at_hash === undefined && expected.accessToken !== undefined && expected.atHashRequired === true) {
    throw refuse('at_hash', 'it has no at_hash, which an access token from the browser needs beside it')
  }
  if (
    claims.at_hash !== undefined &&
    expected.accessToken !== undefined &&
    !matchesHash(claims.at_hash, expected.accessToken, header.alg)
  ) {
    throw refuse('at_hash', 'it does not belong to the access token that came with it')
  }
  const { previous, frontChannel } = expected
  if (frontChannel !== undefined) {
    // Without it, any code could stand beside this token (OpenID Connect Core, section 3.3.2.10).
    if (!matchesHash(claims.c_hash, frontChannel.code, header.alg)) {
      throw refuse('c_hash', 'its c_hash is not that of the code that came with it')
    }
    if (claims.s_hash !== undefined && !matchesHash(claims.s_hash, frontChannel.state, header.alg)) {
      throw refuse('s_hash', 'its s_hash is not that of the state of this login')
    }
  }
  const sameIssuer = (one: string) => one === claims.iss || (names.includes(one) && names.includes(claims.iss!))
  if (previous !== undefined && (claims.sub !== previous.sub || !sameIssuer(previous.iss))) {
    throw refuse('subject_changed', 'it is for another user than the one that came before it in this login')
  }
  // After the subject, because another user is the more important error.
  if (expected.authentication !== undefined) assertSameAuthentication(claims, expected.authentication, refuse)
  return claims as IdTokenClaims
}

/** Refuses a refreshed ID token that is of another authentication than the login (section 12.2). */
function assertSameAuthentication (
  { aud, azp, nonce, auth_time: authTime }: JWTPayload, known: AuthenticationClaims, refuse: Refuse
): void {
  const { party, nonceHash } = known
  const audiences = (list: unknown) => [list].flat().sort()
  if (party !== undefined && !isDeepStrictEqual(audiences(aud), audiences(party.aud))) {
    throw refuse('aud', 'its audience is another than that of the ID token before it')
  }
  if (party !== undefined && azp !== party.azp) {
    throw refuse('azp', 'its authorized party is another than that of the ID token before it')
  }
  const isNonce = typeof nonce === 'string' && shortHash(nonce) === nonceHash
  if (nonce !== undefined && nonceHash !== undefined && !isNonce) {
    throw refuse('nonce', 'its nonce is not the one of the login that is refreshed')
  }
  if (authTime !== undefined && known.authTime !== undefined && authTime !== known.authTime) {
    throw refuse('auth_time', 'its auth_time is not that of the login that is refreshed')
  }
}

// The left half of the hash that the signature algorithm uses (OpenID Connect Core, section 3.1.3.6).
function matchesHash (claim: unknown, value: string, algorithm: string): boolean {
  const digest = hash(digestOf(algorithm), Buffer.from(value, 'ascii'), 'buffer')
  const half = digest.subarray(0, digest.length / 2).toString('base64url')
  return typeof claim === 'string' && safeEqual(claim, half)
}

function digestOf (algorithm: string): string {
  if (algorithm.startsWith('Ed')) return 'sha512'
  return `sha${algorithm.slice(2)}`
}
