import { decodeJwt, type JWTPayload } from 'jose'
import { AuthorizationFailedError, InvalidResponseError } from '../errors.ts'
import { assertAcceptedIssuer, type JwtExpectation, type Refuse, verifyProviderJwt } from './jwt.ts'

/**
 * Validates a signed userinfo response (OpenID Connect Core, sections 5.3.2 and 5.3.4): signature, issuer,
 * audience, and its times if it has some. The caller compares its subject.
 * @throws FST_OAUTH_INVALID_RESPONSE, its `reason` naming the check that failed
 */
export async function validateUserinfo (jwt: string, expected: JwtExpectation): Promise<JWTPayload> {
  const { provider } = expected
  return await verifyResponse(jwt, expected, ['iss', 'aud', 'sub'], (reason, what, cause) =>
    new InvalidResponseError(`the userinfo of provider "${provider}" is refused: ${what}`, { provider, reason, cause }))
}

/**
 * Validates an authorization response that is a JWT (JWT Secured Authorization Response Mode, section 2.4).
 * @returns its parameters; the binding to a login is theirs: `state` is for the caller to compare
 * @throws FST_OAUTH_AUTHORIZATION_FAILED, its `reason` naming the check that failed
 */
export async function validateAuthorizationResponse (
  jwt: string, expected: JwtExpectation
): Promise<URLSearchParams> {
  return parametersOf(await verifyResponse(jwt, expected, ['iss', 'aud', 'exp'], responseRefused(expected.provider)))
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
): Promise<JWTPayload> {
  const { payload, protectedHeader } = await verifyProviderJwt(jwt, expected, refuse, { requiredClaims })
  assertAcceptedIssuer(payload, protectedHeader.kid, expected, refuse)
  return payload
}
