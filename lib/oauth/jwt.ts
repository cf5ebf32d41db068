import {
  calculateJwkThumbprint, type CryptoKey, decodeProtectedHeader, errors, exportJWK, type JWK, type JWTPayload,
  jwtVerify, type JWTVerifyOptions, type JWTVerifyResult
} from 'jose'
import { OAuthError, type OAuthErrorReason } from '../errors.ts'
import { ACCEPTED_ALGORITHMS, isAccepted } from './algorithms.ts'
import { isPlainJson, parseJson } from './json.ts'
import type { KeySource } from './jwks.ts'
import { CLOCK_TOLERANCE, describeRefusal, reasonOf } from './jwt-refusal.ts'

/** What a JWT that a provider has signed for this client is checked against. */
export interface JwtExpectation {
  provider: string
  /** A list is one issuer under several names. */
  issuer: string | readonly string[]
  clientId: string
  keys: KeySource
  /** Epoch seconds. */
  now: number
  /** The algorithms in the provider's metadata; `none` and symmetric ones are never accepted. */
  algorithms?: readonly string[] | undefined
  /** Asked for a newer list if an algorithm is none of those; undefined if there is no newer one. */
  renewAlgorithms?: (algorithm: string) => Promise<readonly string[] | undefined>
  /** Seconds that the two clocks may differ. */
  clockTolerance?: number
  /** Who else an ID token without `azp` may be for. */
  trustedAudiences?: readonly string[]
  /** Accepts other issuers of the same provider, if one login endpoint serves many tenants. */
  acceptIssuer?: ((issuer: string, claims: JWTPayload, key: JWK) => boolean | Promise<boolean>) | undefined
}

/** Makes the error for a JWT that is refused. */
export type Refuse = (reason: OAuthErrorReason, what: string, cause?: unknown) => OAuthError

/** How many keys of one `kid` are tried. */
const MAX_CANDIDATES = 16

/** The accepted algorithms among those of a provider's metadata; all of them if it names none. */
function acceptableAlgorithms (promised: unknown): string[] {
  const acceptable = Array.isArray(promised) ? promised.filter(isAccepted) : []
  return acceptable.length > 0 ? acceptable : [...ACCEPTED_ALGORITHMS]
}

/**
 * Verifies a JWT that a provider has signed for this client: signature, audience, the issuer if it is known
 * beforehand (see `assertAcceptedIssuer`), and the times that it has.
 * @returns the claims, in which an integer that a number cannot hold is a string, and the header
 * @throws what `refuse` makes, and what fetching the keys and a newer list of algorithms throws
 */
export async function verifyProviderJwt (
  jwt: string, expected: JwtExpectation, refuse: Refuse,
  checks: Pick<JWTVerifyOptions, 'requiredClaims' | 'maxTokenAge'>
): Promise<JWTVerifyResult> {
  const { issuer, acceptIssuer, clientId, keys, now, clockTolerance = CLOCK_TOLERANCE } = expected
  const options: JWTVerifyOptions = {
    ...checks,
    audience: clientId,
    algorithms: acceptableAlgorithms(expected.algorithms),
    clockTolerance,
    currentDate: new Date(now * 1000)
  }
  if (acceptIssuer === undefined) options.issuer = typeof issuer === 'string' ? issuer : [...issuer]
  try {
    try {
      return await verifyJwt(jwt, keys, options)
    } catch (error) {
      const newer = error instanceof errors.JOSEAlgNotAllowed ? await newerAlgorithms(jwt, expected) : undefined
      if (newer === undefined) throw error
      return await verifyJwt(jwt, keys, { ...options, algorithms: acceptableAlgorithms(newer) })
    }
  } catch (cause) {
    // A key set, or metadata, that could not be fetched says nothing of the JWT.
    if (cause instanceof OAuthError) throw cause
    throw refuse(reasonOf(cause), describeRefusal(cause, expected), cause)
  }
}

/** The list that may have the algorithm of a JWT by now; none if that is one which no list could make acceptable. */
async function newerAlgorithms (jwt: string, expected: JwtExpectation): Promise<readonly string[] | undefined> {
  const { alg } = decodeProtectedHeader(jwt)
  return alg !== undefined && isAccepted(alg) ? await expected.renewAlgorithms?.(alg) : undefined
}

/** Refuses a verified JWT of an issuer that `acceptIssuer`, if there is one, does not accept. */
export async function assertAcceptedIssuer (
  claims: JWTPayload, kid: string | undefined, { acceptIssuer, keys }: JwtExpectation, refuse: Refuse
): Promise<void> {
  if (acceptIssuer === undefined) return
  const { iss } = claims
  // The ids of users rely on it: `<iss>#<sub>`.
  if (typeof iss === 'string' && iss.includes('#')) {
    throw refuse('iss', 'its issuer has a fragment (OpenID Connect Core, section 2)')
  }
  if (typeof iss === 'string' && await acceptIssuer(iss, claims, keys.entry(kid) ?? {})) return
  throw refuse('iss', 'it is from another issuer')
}

/**
 * Verifies a JWT with a set of keys. A signature that fails may be by a new key with an old `kid`: then the key set
 * is fetched once more, unless that happened a moment ago (OpenID Connect Core, section 10.1.1).
 * @throws jose's errors, and what fetching the keys throws
 */
async function verifyJwt (jwt: string, keys: KeySource, options: JWTVerifyOptions): Promise<JWTVerifyResult> {
  const before = keys.generation
  let verified: JWTVerifyResult
  try {
    verified = await verifyOnce(jwt, keys, options)
  } catch (error) {
    if (!(error instanceof errors.JWSSignatureVerificationFailed) || !await keys.reload(before)) throw error
    verified = await verifyOnce(jwt, keys, options)
  }
  verified.payload = exactClaims(jwt, verified.payload)
  return verified
}

async function verifyOnce (jwt: string, keys: KeySource, options: JWTVerifyOptions): Promise<JWTVerifyResult> {
  try {
    return await jwtVerify(jwt, keys.find, options)
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error
    const candidates = await distinctKeys(error)
    // Without a `kid` there must be a single key (OpenID Connect Core, section 10.1).
    if (candidates.length > 1 && decodeProtectedHeader(jwt).kid === undefined) throw error
    return await verifyWithAny(jwt, candidates, options, error)
  }
}

async function verifyWithAny (
  jwt: string, keys: CryptoKey[], options: JWTVerifyOptions, none: Error
): Promise<JWTVerifyResult> {
  let failure = none
  for (const key of keys) {
    try {
      return await jwtVerify(jwt, key, options)
    } catch (error) {
      // A TypeError is of a key that cannot be used with this algorithm: too short, for one.
      if (!(error instanceof errors.JWSSignatureVerificationFailed || error instanceof TypeError)) throw error
      failure = error
    }
  }
  throw failure
}

// A key that a set lists twice is one key (RFC 7638). One without usable numbers takes no other with it.
async function distinctKeys (candidates: AsyncIterable<CryptoKey>): Promise<CryptoKey[]> {
  const distinct = new Map<string, CryptoKey>()
  let seen = 0
  for await (const key of candidates) {
    if (++seen > MAX_CANDIDATES) break
    const thumbprint = await exportJWK(key).then(jwk => calculateJwkThumbprint(jwk)).catch(() => undefined)
    if (thumbprint !== undefined) distinct.set(thumbprint, key)
  }
  return [...distinct.values()]
}

/** Claims that are numbers, and have been checked as such. */
const TIMES = ['exp', 'iat', 'nbf', 'auth_time']

// jose rounds integers as JSON.parse does. What is neither a text nor a time may be such a number, or have one in it.
function exactClaims (jwt: string, payload: JWTPayload): JWTPayload {
  const isExact = ([name, value]: [string, unknown]) =>
    typeof value === 'string' || typeof value === 'boolean' || TIMES.includes(name)
  if (Object.entries(payload).every(isExact)) return payload
  const encoded = Buffer.from(jwt.slice(jwt.indexOf('.') + 1, jwt.lastIndexOf('.')), 'base64url')
  // No character but of ASCII matters to that.
  if (isPlainJson(encoded.toString('latin1'))) return payload
  const exact = parseJson(encoded.toString('utf8')) as JWTPayload
  for (const name of TIMES.filter(name => name in exact)) (exact as Record<string, unknown>)[name] = payload[name]
  // A subject is a string (OpenID Connect Core, section 2): a number does not become one here.
  if ('sub' in exact) exact.sub = payload.sub!
  return exact
}
