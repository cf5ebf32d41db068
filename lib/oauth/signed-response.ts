import { decodeJwt, type JWTPayload, type JWTVerifyResult } from 'jose'
import { AuthorizationFailedError, InvalidResponseError } from '../errors.ts'
import { assertAcceptedIssuer, type JwtExpectation, type Refuse, verifyProviderJwt } from './jwt.ts'

/** Claims of ID tokens that no userinfo has: what a login sent, and the hashes of what it brought. */
const ID_TOKEN_CLAIMS = ['nonce', 'at_hash', 'c_hash'] as const
/** Other JWTs that an issuer signs for a client, and that say so (RFC 9068; OpenID Connect Back-Channel Logout 1.0). */
const OTHER_TYPE = /^(?:application\/)?(?:at|logout)\+jwt$/i

/**
 * Validates a signed userinfo response (OpenID Connect Core, sections 5.3.2 and 5.3.4): signature, issuer,
 * audience, and its times if it has some. No `typ` tells it from an ID token: one that this client got in a login has
 * the claims of `ID_TOKEN_CLAIMS` (RFC 8725, section 3.12). The caller compares its subject.
 * @throws FST_OAUTH_INVALID_RESPONSE, its `reason` naming the check that failed
 */
export async function validateUserinfo (jwt: string, expected: JwtExpectation): Promise<JWTPayload> {
  const { provider } = expected
  const refuse: Refuse = (reason, what, cause) =>
    new InvalidResponseError(`the userinfo of provider "${provider}" is refused: ${what}`, { provider, reason, cause })
  const { payload: claims, protectedHeader: { typ } } =
    await verifyResponse(jwt, expected, ['iss', 'aud', 'sub'], refuse)
  if (typ !== undefined && OTHER_TYPE.test(typ)) throw refuse('typ', 'it is a JWT of another type')
  const foreign = ID_TOKEN_CLAIMS.find(name => claims[name] !== undefined && claims[name] !== null)
  if (foreign !== undefined) throw refuse(foreign, `its ${foreign} is that of an ID token, which is no userinfo`)
  return claims
}

/**
 * Validates an authorization response that is a JWT (JWT Secured Authorization Response Mode, section 2.4).
 * @returns its parameters; the binding to a login is theirs: `state` is for the caller to compare
 * @throws FST_OAUTH_AUTHORIZATION_FAILED, its `reason` naming the check that failed
 */
export async function validateAuthorizationResponse (
  jwt: string, expected: JwtExpectation
): Promise<URLSearchParams> {
  const refuse = responseRefused(expected.provider)
  return parametersOf((await verifyResponse(jwt, expected, ['iss', 'aud', 'exp'], refuse)).payload)
}

/** Makes the error of an authorization response that is a JWT. */
export function responseRefused (provider: string): Refuse {
  return (reason, what, cause) => new AuthorizationFailedError(
    `the signed authorization response of provider "${provider}" is refused: ${what}; start the login again`,
    { provider, reason, cause })
}

/**
 * The parameters of an authorization response that is a JWT, before anything of it is checked.
 * @throws FST_OAUTH_AUTHORIZATION_FAILED if it is none
 */
export function readUnverified (jwt: string, provider: string): URLSearchParams {
  try {
    return parametersOf(decodeJwt(jwt))
  } catch (cause) {
    throw responseRefused(provider)('malformed', 'it cannot be read', cause)
  }
}

/** The claims of an authorization response as parameters: those that are text, or a number such as `expires_in`. */
function parametersOf (claims: JWTPayload): URLSearchParams {
  const params = new URLSearchParams()
  for (const [name, value] of Object.entries(claims)) {
    if (typeof value === 'string' || typeof value === 'number') params.append(name, String(value))
  }
  return params
}

async function verifyResponse (
  jwt: string, expected: JwtExpectation, requiredClaims: string[], refuse: Refuse
): Promise<JWTVerifyResult> {
  const verified = await verifyProviderJwt(jwt, expected, refuse, { requiredClaims })
  await assertAcceptedIssuer(verified.payload, verified.protectedHeader.kid, expected, refuse)
  return verified
}
