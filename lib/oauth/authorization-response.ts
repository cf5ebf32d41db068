import { AccessDeniedError, AuthorizationFailedError, StateMismatchError } from '../errors.ts'
import { safeEqual } from '../util/random.ts'
import { redact } from '../util/redact.ts'

/** What came back from the authorization endpoint (RFC 6749, section 4.1.2; RFC 9207). */
export interface AuthorizationResponse {
  code: string
  params: URLSearchParams
}

export interface AuthorizationExpectation {
  provider: string
  state: string
  /** The provider's issuer, where it is known. */
  issuer?: string | undefined
  /** The provider promises `iss` in every answer (RFC 9207). */
  issuerPromised?: boolean
}

const SECRET_PARAMETERS = ['state', 'code', 'access_token', 'id_token']

function secretsOf (params: URLSearchParams): string[] {
  return SECRET_PARAMETERS.flatMap(name => params.getAll(name))
}

// A parameter given twice is an attack or an accident; either way there is no telling which one is meant.
function single (params: URLSearchParams, name: string): string | undefined {
  const values = params.getAll(name)
  return values.length === 1 && values[0]!.trim() !== '' ? values[0] : undefined
}

/** The state of a callback, or undefined where there is none, an empty one or several. */
export function stateOf (params: URLSearchParams): string | undefined {
  return single(params, 'state')
}

/**
 * Checks an authorization response, state first, so that nobody else can make the app show an error of their choice.
 * @throws FST_OAUTH_STATE_MISMATCH, FST_OAUTH_AUTHORIZATION_FAILED
 */
export function parseAuthorizationResponse (
  params: URLSearchParams,
  expected: AuthorizationExpectation
): AuthorizationResponse {
  const { provider } = expected
  checkState(params, expected)
  checkIssuer(params, expected)
  throwAuthorizationError(params, provider)
  const code = single(params, 'code')
  if (code === undefined) {
    const reason = params.getAll('code').length > 1 ? 'duplicate_code' : 'missing_code'
    throw new AuthorizationFailedError(
      `provider "${provider}" sent the browser back without one authorization code; start the login again`,
      { provider, reason }
    )
  }
  return { code, params }
}

/**
 * The error that an answer names, for a log: an answer that belongs to no login may have been written by anybody, so
 * its words are no further than that. Undefined where it names none.
 */
export function claimedError (params: URLSearchParams): Error | undefined {
  const error = params.get('error')
  if (error === null || error === '') return undefined
  // The characters of RFC 6749, section 4.1.2.1, and no more of them than a code has.
  const name = redact(error, secretsOf(params)).replace(/[^\x20-\x7e]/g, '?').slice(0, 100)
  return new Error(`the answer names the error "${name}"`)
}

/** @throws FST_OAUTH_STATE_MISMATCH */
export function checkState (params: URLSearchParams, { provider, state }: AuthorizationExpectation): void {
  const given = stateOf(params)
  if (state === '' || given === undefined || !safeEqual(given, state)) {
    throw new StateMismatchError(
      `the answer of provider "${provider}" does not belong to a login that this browser started; start the login ` +
        'again',
      { provider }
    )
  }
}

/** @throws FST_OAUTH_AUTHORIZATION_FAILED with reason `issuer_mismatch` (RFC 9207, section 2.4) */
export function checkIssuer (
  params: URLSearchParams,
  { provider, issuer, issuerPromised }: AuthorizationExpectation
): void {
  if (issuer === undefined) return
  const given = params.getAll('iss')
  if (given.length === 0 && issuerPromised !== true) return
  if (given.length !== 1 || given[0] !== issuer) {
    const said = given.map(name => `"${redact(name)}"`).join(', ') || 'no issuer'
    const message = `the answer on the callback of provider "${provider}" was issued by somebody else: ` +
      `it names ${said}, not "${issuer}"; start the login again`
    throw new AuthorizationFailedError(message, { provider, reason: 'issuer_mismatch' })
  }
}

// What some providers say for a user who said no: LinkedIn (both) and Apple (the second one).
const DENIED = ['access_denied', 'user_cancelled_login', 'user_cancelled_authorize']

/** @throws FST_OAUTH_AUTHORIZATION_FAILED where the provider named an error (RFC 6749, section 4.1.2.1) */
export function throwAuthorizationError (params: URLSearchParams, provider: string): void {
  const error = params.get('error')
  if (error === null || error === '') return
  const FailedError = DENIED.includes(error) ? AccessDeniedError : AuthorizationFailedError
  const secrets = secretsOf(params)
  const [oauthError, oauthErrorDescription, oauthErrorUri] = ['error', 'error_description', 'error_uri'].map((name) => {
    const value = params.get(name)
    return value === null ? undefined : redact(value, secrets)
  })
  throw new FailedError(`provider "${provider}" did not log the user in: ${oauthError}`, {
    provider,
    oauthError,
    oauthErrorDescription,
    oauthErrorUri
  })
}
