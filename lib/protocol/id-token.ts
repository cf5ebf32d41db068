import { createHash } from 'node:crypto'
import { errors, jwtVerify, type JWK, type JWTHeaderParameters, type JWTPayload } from 'jose'
import { InvalidIdTokenError, OAuthError } from '../errors.ts'
import type { KeySource } from './jwks.ts'
import { safeEqual } from './random.ts'

/** The claims of a validated ID token (OpenID Connect Core, section 2). */
export interface IdTokenClaims extends JWTPayload {
  iss: string
  sub: string
  exp: number
  iat: number
  nonce?: string
  azp?: string
  at_hash?: string
  auth_time?: number
  acr?: string
  sid?: string
}

export interface IdTokenExpectation {
  provider: string
  /** A list is one issuer under several names. */
  issuer: string | readonly string[]
  clientId: string
  keys: KeySource
  /** Epoch seconds. */
  now: number
  /** What the provider says it signs with; `none` and the symmetric ones are never accepted. */
  algorithms?: readonly string[] | undefined
  /** The nonce of the login; undefined for a refreshed token, which need not have one. */
  nonce?: string | undefined
  /** Seconds since the user last typed a password. */
  maxAge?: number | undefined
  /** The access token that came along, for `at_hash`. */
  accessToken?: string | undefined
  /** Subject and issuer of the login that is being refreshed (OpenID Connect Core, section 12.2). */
  previous?: { sub: string, iss: string } | undefined
  /** Seconds that the two clocks may differ. */
  clockTolerance?: number
  /** Accepts other issuers of the same provider, where one login endpoint serves many tenants. */
  acceptIssuer?: ((issuer: string, claims: JWTPayload, key: JWK) => boolean) | undefined
}

const ASYMMETRIC = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519']

/**
 * Validates an ID token: signature and every claim (OpenID Connect Core, section 3.1.3.7).
 * @throws FST_OAUTH_INVALID_ID_TOKEN, its `reason` naming the check that failed
 */
export async function validateIdToken (idToken: string, expected: IdTokenExpectation): Promise<IdTokenClaims> {
  const { provider, issuer, clientId, clockTolerance = 60 } = expected
  const refuse = (reason: string, what: string, cause?: unknown) =>
    new InvalidIdTokenError(`the ID token of provider "${provider}" is refused: ${what}`, { provider, reason, cause })

  const names = typeof issuer === 'string' ? [issuer] : issuer
  let claims: JWTPayload
  let header: JWTHeaderParameters
  try {
    const { payload, protectedHeader } = await jwtVerify(idToken, expected.keys, {
      ...(expected.acceptIssuer === undefined && { issuer: [...names] }),
      audience: clientId,
      algorithms: acceptableAlgorithms(expected.algorithms),
      requiredClaims: ['iss', 'sub', 'aud', 'exp', 'iat'],
      clockTolerance,
      currentDate: new Date(expected.now * 1000)
    })
    claims = payload
    header = protectedHeader
  } catch (cause) {
    // A key set that could not be fetched is the provider's absence, not a bad token.
    if (cause instanceof OAuthError) throw cause
    throw refuse(reasonOf(cause), cause instanceof Error ? cause.message : 'it cannot be read', cause)
  }
  if (typeof claims.sub !== 'string' || claims.sub === '') throw refuse('sub', 'it names no subject')
  const { acceptIssuer } = expected
  if (acceptIssuer !== undefined && !acceptIssuer(String(claims.iss), claims, expected.keys.entry(header.kid) ?? {})) {
    throw refuse('iss', 'it is from another issuer')
  }
  if (claims.iat! > expected.now + clockTolerance) throw refuse('iat', 'it was issued in the future')
  if (Array.isArray(claims.aud) && claims.aud.length > 1 && claims.azp === undefined) throw refuse('azp', 'it has several audiences and no authorized party')
  if (claims.azp !== undefined && claims.azp !== clientId) throw refuse('azp', 'its authorized party is another client')
  if (expected.nonce !== undefined && !(typeof claims.nonce === 'string' && safeEqual(claims.nonce, expected.nonce))) {
    throw refuse('nonce', 'its nonce is not the one of this login')
  }
  if (expected.maxAge !== undefined) {
    const authTime = claims.auth_time
    if (typeof authTime !== 'number' || authTime + expected.maxAge + clockTolerance < expected.now) {
      throw refuse('auth_time', 'the user authenticated too long ago')
    }
  }
  if (claims.at_hash !== undefined && expected.accessToken !== undefined && !matchesHash(claims.at_hash, expected.accessToken, header.alg)) {
    throw refuse('at_hash', 'it does not belong to the access token that came with it')
  }
  const { previous } = expected
  const sameIssuer = (one: string) => one === claims.iss || (names.includes(one) && names.includes(claims.iss!))
  if (previous !== undefined && (claims.sub !== previous.sub || !sameIssuer(previous.iss))) {
    throw refuse('subject_changed', 'it speaks of another user than the login it refreshes')
  }
  return claims as IdTokenClaims
}

function acceptableAlgorithms (promised: readonly string[] | undefined): string[] {
  const acceptable = promised?.filter(algorithm => ASYMMETRIC.includes(algorithm)) ?? []
  return acceptable.length > 0 ? acceptable : ASYMMETRIC
}

function reasonOf (error: unknown): string {
  if (error instanceof errors.JWTClaimValidationFailed || error instanceof errors.JWTExpired) return error.claim
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'signature'
  if (error instanceof errors.JOSEAlgNotAllowed) return 'alg'
  if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys) return 'key'
  return 'malformed'
}

// The left half of the hash that the signature algorithm uses (OpenID Connect Core, section 3.1.3.6).
function matchesHash (hash: unknown, value: string, algorithm: string): boolean {
  const digest = createHash(digestOf(algorithm)).update(value, 'ascii').digest()
  const half = digest.subarray(0, digest.length / 2).toString('base64url')
  return typeof hash === 'string' && safeEqual(hash, half)
}

function digestOf (algorithm: string): string {
  if (algorithm.startsWith('Ed')) return 'sha512'
  return `sha${algorithm.slice(2)}`
}
