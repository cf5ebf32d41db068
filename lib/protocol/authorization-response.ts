import { AccessDeniedError, AuthorizationFailedError, StateMismatchError } from '../errors.ts'
import { safeEqual } from './random.ts'

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
export function parseAuthorizationResponse (params: URLSearchParams, expected: AuthorizationExpectation): AuthorizationResponse {
  const { provider } = expected
  checkState(params, expected)
  checkIssuer(params, expected)
  throwAuthorizationError(params, provider)
  const code = single(params, 'code')
  if (code === undefined) {
    const reason = params.getAll('code').length > 1 ? 'duplicate_code' : 'missing_code'
    throw new AuthorizationFailedError(`provider "${provider}" sent the browser back without one authorization code; start the login again`, { provider, reason })
  }
  return { code, params }
}

/** @throws FST_OAUTH_STATE_MISMATCH */
export function checkState (params: URLSearchParams, { provider, state }: AuthorizationExpectation): void {
  const given = stateOf(params)
  if (state === '' || given === undefined || !safeEqual(given, state)) {
    throw new StateMismatchError(`the answer of provider "${provider}" does not belong to a login that this browser started; start the login again`, { provider })
  }
}

/** @throws FST_OAUTH_AUTHORIZATION_FAILED with reason `issuer_mismatch` (RFC 9207, section 2.4) */
export function checkIssuer (params: URLSearchParams, { provider, issuer, issuerPromised }: AuthorizationExpectation): void {
  if (issuer === undefined) return
  const given = params.getAll('iss')
  if (given.length === 0 && issuerPromised !== true) return
  if (given.length !== 1 || given[0] !== issuer) {
    throw new AuthorizationFailedError(`the answer on the callback of provider "${provider}" was issued by somebody else; start the login again`, { provider, reason: 'issuer_mismatch' })
  }
}

/** @throws FST_OAUTH_AUTHORIZATION_FAILED where the provider named an error (RFC 6749, section 4.1.2.1) */
export function throwAuthorizationError (params: URLSearchParams, provider: string): void {
  const error = params.get('error')
  if (error === null || error === '') return
  const FailedError = error === 'access_denied' ? AccessDeniedError : AuthorizationFailedError
  const secrets = SECRET_PARAMETERS.flatMap(name => params.getAll(name))
  const [oauthError, oauthErrorDescription, oauthErrorUri] = ['error', 'error_description', 'error_uri'].map((name) => {
    const value = params.get(name)
    return value === null ? undefined : printable(scrub(value, secrets))
  })
  throw new FailedError(`provider "${provider}" did not log the user in: ${oauthError}`, { provider, oauthError, oauthErrorDescription, oauthErrorUri })
}

/** Text from outside as it may stand in a log or an error: one line, bounded. */
export function printable (text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u001f\u007f\u2028\u2029]+/g, ' ').slice(0, 300)
}

/** Text from outside without what was sent along and may come back in it. */
export function scrub (text: string, secrets: readonly string[] = []): string {
  for (const secret of secrets) {
    if (secret.length < 4) continue
    // As it was sent, and as a server may repeat it.
    const forms = new Set([secret, encodeURIComponent(secret), new URLSearchParams({ s: secret }).toString().slice(2)])
    for (const form of forms) text = text.replaceAll(form, '[redacted]')
  }
  return text
}
