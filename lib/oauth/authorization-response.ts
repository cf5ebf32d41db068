import { AccessDeniedError, AuthorizationFailedError, StateMismatchError } from '../errors.ts'
import { safeEqual } from '../util/random.ts'
import { redact } from '../util/redact.ts'

const SECRET_PARAMETERS = ['state', 'code', 'access_token', 'id_token', 'response']

function secretsOf (params: URLSearchParams): string[] {
  return SECRET_PARAMETERS.flatMap(name => params.getAll(name))
}

// A parameter that is repeated or empty counts as absent (RFC 6749, section 3.1).
function single (params: URLSearchParams, name: string): string | undefined {
  const values = params.getAll(name)
  return values.length === 1 && values[0]!.trim() !== '' ? values[0] : undefined
}

/** The state of an authorization response, or undefined if it has none, an empty one or several. */
export function stateOf (params: URLSearchParams): string | undefined {
  return single(params, 'state')
}

/** The JWT of a secured authorization response, or undefined if there is none, an empty one or several. */
export function securedResponseOf (params: URLSearchParams): string | undefined {
  return single(params, 'response')
}

/**
 * Checks the state of an authorization response (RFC 6749, section 10.12). Nothing else in it may be used before that.
 * @param state that of the login, or undefined if none is under way
 * @throws FST_OAUTH_STATE_MISMATCH
 */
export function checkState (params: URLSearchParams, state: string | undefined, provider: string): void {
  const given = stateOf(params)
  if (state !== undefined && state !== '' && given !== undefined && safeEqual(given, state)) return
  throw new StateMismatchError(
    `the authorization response of provider "${provider}" does not belong to a login that was started here; start ` +
      'the login again',
    { provider, reason: 'wrong_state' }
  )
}

/**
 * Checks the issuer of an authorization response (RFC 9207, section 2.4).
 * @param issuer the provider's, if it is known
 * @param required the response must have `iss`
 * @throws FST_OAUTH_AUTHORIZATION_FAILED with reason `issuer_mismatch`
 */
export function checkIssuer (
  params: URLSearchParams, { provider, issuer, required }: { provider: string, issuer?: string, required: boolean }
): void {
  if (issuer === undefined) return
  const given = params.getAll('iss')
  if (given.length === 0 && !required) return
  if (given.length === 1 && given[0] === issuer) return
  const named = given.map(name => `"${redact(name)}"`).join(', ') || 'no issuer'
  throw new AuthorizationFailedError(
    `the authorization response of provider "${provider}" is from another issuer: it names ${named}, not ` +
      `"${issuer}"; start the login again`,
    { provider, reason: 'issuer_mismatch' }
  )
}

/**
 * The code of an authorization response (RFC 6749, section 4.1.2).
 * @throws FST_OAUTH_AUTHORIZATION_FAILED if there is none, or several
 */
export function authorizationCodeOf (params: URLSearchParams, provider: string): string {
  const code = single(params, 'code')
  if (code !== undefined) return code
  throw new AuthorizationFailedError(
    `provider "${provider}" sent the browser back without one authorization code; start the login again`,
    { provider, reason: params.getAll('code').length > 1 ? 'duplicate_code' : 'missing_code' }
  )
}

/**
 * The error that a response names, or undefined: for the log alone, since a response that belongs to no login may have
 * been forged.
 */
export function claimedError (params: URLSearchParams): Error | undefined {
  const error = params.get('error')
  if (error === null || error === '') return undefined
  // The characters of RFC 6749, section 4.1.2.1, in the length of an error code.
  const name = redact(error, secretsOf(params)).replace(/[^\x20-\x7e]/g, '?').slice(0, 100)
  return new Error(`the authorization response names the error "${name}"`)
}

// LinkedIn uses the last two where the user declined, Apple the last; LINE writes all of its errors in capitals.
const DENIED = ['access_denied', 'user_cancelled_login', 'user_cancelled_authorize']

/**
 * Throws the error that an authorization response names, if any (RFC 6749, section 4.1.2.1).
 * @throws FST_OAUTH_AUTHORIZATION_FAILED
 */
export function throwAuthorizationError (params: URLSearchParams, provider: string): void {
  const error = params.get('error')
  if (error === null || error === '') return
  const FailedError = DENIED.includes(error.toLowerCase()) ? AccessDeniedError : AuthorizationFailedError
  const secrets = secretsOf(params)
  const [oauthError, oauthErrorDescription, oauthErrorUri] = ['error', 'error_description', 'error_uri'].map(name => {
    const value = params.get(name)
    return value === null ? undefined : redact(value, secrets)
  })
  throw new FailedError(
    `provider "${provider}" did not log the user in: ${oauthError}`,
    { provider, oauthError, oauthErrorDescription, oauthErrorUri }
  )
}
