import { errors, type JWK, type JWTHeaderParameters, type JWTPayload } from 'jose'
import { createHash } from 'node:crypto'
import { InvalidIdTokenError, InvalidResponseError, OAuthError, type OAuthErrorReason } from '../errors.ts'
import { safeEqual } from '../util/random.ts'
import { redact } from '../util/redact.ts'
import type { KeySource } from './jwks.ts'
import { acceptableAlgorithms, verifyJwt } from './jwt.ts'

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

/** What an ID token is checked against. */
export interface IdTokenExpectation {
  provider: string
  /** A list is one issuer under several names. */
  issuer: string | readonly string[]
  clientId: string
  keys: KeySource
  /** Epoch seconds. */
  now: number
  /** The algorithms in the provider's metadata; `none` and symmetric ones are never accepted. */
  algorithms?: readonly string[] | undefined
  /** The nonce of the login; undefined for a refreshed token, which need not have one. */
  nonce?: string | undefined
  /** Seconds since the user last authenticated. */
  maxAge?: number | undefined
  /** The access token that came with it, for `at_hash`. */
  accessToken?: string | undefined
  /** Subject and issuer of the login that is being refreshed (OpenID Connect Core, section 12.2). */
  previous?: { sub: string, iss: string } | undefined
  /** Whether `at_hash` is required beside an access token, as in an implicit login. */
  atHashRequired?: boolean
  /** Seconds that the two clocks may differ. */
  clockTolerance?: number
  /** Accepts other issuers of the same provider, where one login endpoint serves many tenants. */
  acceptIssuer?: ((issuer: string, claims: JWTPayload, key: JWK) => boolean) | undefined
}

/** Default of `clockTolerance`. */
const CLOCK_TOLERANCE = 60

/**
 * Validates an ID token: signature and every claim (OpenID Connect Core, section 3.1.3.7).
 * @throws FST_OAUTH_INVALID_ID_TOKEN, its `reason` naming the check that failed
 */
export async function validateIdToken (idToken: string, expected: IdTokenExpectation): Promise<IdTokenClaims> {
  const { provider, issuer, clientId, clockTolerance = CLOCK_TOLERANCE } = expected
  const refuse = (reason: OAuthErrorReason, what: string, cause?: unknown) =>
    new InvalidIdTokenError(`the ID token of provider "${provider}" is refused: ${what}`, { provider, reason, cause })

  const names = typeof issuer === 'string' ? [issuer] : issuer
  let claims: JWTPayload
  let header: JWTHeaderParameters
  try {
    const { payload, protectedHeader } = await verifyJwt(idToken, expected.keys, {
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
    // A key set that could not be fetched says nothing of the token.
    if (cause instanceof OAuthError) throw cause
    throw refuse(reasonOf(cause), describe(cause, expected), cause)
  }
  if (typeof claims.sub !== 'string' || claims.sub === '') throw refuse('sub', 'it names no subject')
  const { acceptIssuer } = expected
  if (acceptIssuer !== undefined && !acceptIssuer(String(claims.iss), claims, expected.keys.entry(header.kid) ?? {})) {
    throw refuse('iss', 'it is from another issuer')
  }
  const issuedAt = claims.iat!
  if (issuedAt > expected.now + clockTolerance) throw refuse('iat', `it was issued ${fromNow(issuedAt, expected.now)}`)
  // Several audiences need no `azp`: errata set 2 removed that from section 3.1.3.7. One that is there must be this
  // client's.
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
  const { previous } = expected
  const sameIssuer = (one: string) => one === claims.iss || (names.includes(one) && names.includes(claims.iss!))
  if (previous !== undefined && (claims.sub !== previous.sub || !sameIssuer(previous.iss))) {
    throw refuse('subject_changed', 'it is for another user than the login that it refreshes')
  }
  return claims as IdTokenClaims
}

/** What a signed userinfo response is checked against. */
type UserinfoExpectation = Omit<
  IdTokenExpectation, 'nonce' | 'maxAge' | 'accessToken' | 'atHashRequired' | 'previous'
>

/**
 * Validates a signed userinfo response (OpenID Connect Core, sections 5.3.2 and 5.3.4): signature, issuer,
 * audience, and its times where it has some. The caller compares its subject.
 * @throws FST_OAUTH_INVALID_RESPONSE, its `reason` naming the check that failed
 */
export async function validateUserinfo (jwt: string, expected: UserinfoExpectation): Promise<JWTPayload> {
  const { provider, issuer, clientId, acceptIssuer, clockTolerance = CLOCK_TOLERANCE } = expected
  const refuse = (reason: OAuthErrorReason, what: string, cause?: unknown) =>
    new InvalidResponseError(`the userinfo of provider "${provider}" is refused: ${what}`, { provider, reason, cause })
  const { payload, protectedHeader } = await verifyJwt(jwt, expected.keys, {
    ...(acceptIssuer === undefined && { issuer: [issuer].flat() }),
    audience: clientId,
    algorithms: acceptableAlgorithms(expected.algorithms),
    requiredClaims: ['iss', 'aud', 'sub'],
    clockTolerance,
    currentDate: new Date(expected.now * 1000)
  }).catch((cause: unknown) => {
    if (cause instanceof OAuthError) throw cause
    throw refuse(reasonOf(cause), describe(cause, expected), cause)
  })
  const key = expected.keys.entry(protectedHeader.kid) ?? {}
  if (acceptIssuer !== undefined && !acceptIssuer(String(payload.iss), payload, key)) {
    throw refuse('iss', 'it is from another issuer')
  }
  return payload
}

// The message names what mostly causes such an error: clocks, and other names of the same server.
function describe (
  error: unknown,
  { now, issuer, clientId }: Pick<IdTokenExpectation, 'now' | 'issuer' | 'clientId'>
): string {
  if (error instanceof errors.JWTExpired || error instanceof errors.JWTClaimValidationFailed) {
    const time = error.payload[error.claim]
    const said = [time].flat().filter(name => typeof name === 'string').map(name => `"${redact(name)}"`).join(', ')
    if (error.claim === 'iss' && said !== '') {
      const known = [issuer].flat().map(name => `"${name}"`).join(' or ')
      return `it is of issuer ${said}, not of ${known} (another name of the same machine is another issuer); ` +
        'check `issuer`, or write `idTokenIssuer`'
    }
    if (error.claim === 'aud' && said !== '') return `it is for ${said}, not for "${clientId}"; check \`clientId\``
    if (error.claim === 'exp' && typeof time === 'number') return `it expired ${fromNow(time, now)}`
    if (error.claim === 'nbf' && typeof time === 'number') return `it begins to be valid ${fromNow(time, now)}`
  }
  return error instanceof Error ? error.message : 'it cannot be read'
}

function fromNow (time: number, now: number): string {
  const seconds = Math.round(Math.abs(time - now))
  const when = time > now ? `${seconds} seconds in the future` : `${seconds} seconds ago`
  return `${when}; is this machine's clock right? (clockTolerance allows for some seconds)`
}

// The claims that are checked by jose.
const CLAIMS = ['iss', 'sub', 'aud', 'exp', 'iat', 'nbf'] as const

function reasonOf (error: unknown): OAuthErrorReason {
  if (error instanceof errors.JWTClaimValidationFailed || error instanceof errors.JWTExpired) {
    return CLAIMS.find(claim => claim === error.claim) ?? 'malformed'
  }
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
