import { LoginEndedError, type OAuthError, ProviderUnavailableError, TokenExpiredError } from '../errors.ts'
import { withTimeout } from '../util/timeout.ts'
import type { ProviderClient } from './provider.ts'

/** The error of a login that has ended, at the provider or by a logout. */
export function loginEnded (provider: ProviderClient, cause?: OAuthError): OAuthError {
  return new LoginEndedError(`the login at provider "${provider.name}" has ended; log in again`, {
    provider: provider.name,
    oauthError: cause?.oauthError,
    oauthErrorDescription: cause?.oauthErrorDescription,
    oauthErrorUri: cause?.oauthErrorUri,
    responseStatus: cause?.responseStatus,
    excerpt: cause?.excerpt,
    reason: cause?.reason,
    cause
  })
}

/** The error of a token that has expired and cannot be refreshed. */
export function tokenExpired (
  provider: ProviderClient,
  remedy = 'there is no refresh token: log in again, and ask for offline access if the provider has it'
): OAuthError {
  return new TokenExpiredError(`the access token of provider "${provider.name}" has expired; ${remedy}`, {
    provider: provider.name
  })
}

/** The error if no response came in time; the login is kept. */
export function timedOut (provider: ProviderClient, reason: 'timed_out' | 'not_sent' = 'timed_out'): OAuthError {
  return new ProviderUnavailableError(
    `provider "${provider.name}" did not answer in time; the login is kept, try again`,
    { provider: provider.name, reason, retryAfter: 1 }
  )
}

/** Waits `requestTimeout` at most; the work goes on. @throws FST_OAUTH_PROVIDER_UNAVAILABLE */
export function waitForProvider<T> (work: Promise<T>, provider: ProviderClient): Promise<T> {
  return withTimeout(() => work, provider.config.requestTimeout, () => timedOut(provider))
}

// Without a connection the provider has not seen the request; after any other failure it may have.
const NEVER_SENT = ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'UND_ERR_CONNECT_TIMEOUT']

/** Whether the provider may have used the refresh token although no usable response came. */
export function mayHaveArrived (error: unknown): boolean {
  const { reason, cause } = Object(error) as OAuthError
  if (reason === 'too_large' || reason === 'encoding') return true
  return reason === 'no_answer' && !NEVER_SENT.includes((Object(cause) as { code?: string }).code ?? '')
}

/** What a refused refresh means for the login. */
export type Refusal =
  /** The grant has ended; the user has to log in again. */
  | 'ended'
  /** The provider may have used the refresh token although its response brought none. */
  | 'unsure'
  /** The login is kept: the client, the request or the provider itself has failed. */
  | 'kept'

// Errors whose remedy is a new login: RFC 6749, section 5.2; OpenID Connect Core, section 3.1.2.6; RFC 6750, section
// 3.1. Auth0 writes `mfa_required` for `interaction_required`.
const USER_REMEDIES = new Set(['invalid_grant', 'invalid_token', 'interaction_required', 'login_required',
  'consent_required', 'account_selection_required', 'mfa_required'])
// What providers write for a refresh token that is no good in place of `invalid_grant`: `bad_refresh_token` (GitHub),
// `invalid_refresh_token`, `token_expired` (Slack).
const SPENT_TOKEN =
  /^(?:(?:bad|invalid|expired|revoked)_(?:refresh_)?token|(?:refresh_)?token_(?:invalid|expired|revoked))$/

/**
 * Reads a refused refresh. If the provider is unavailable (408, 429, 5xx), its OAuth error is ignored.
 * @param request.isOwn false if the app added a refresh token or parameters to this one refresh: `invalid_request`
 *   may mean those
 */
export function readRefusal (error: OAuthError, { isOwn }: { isOwn: boolean }): Refusal {
  const { code, oauthError, reason, responseStatus: status = 0 } = error
  if (code === 'FST_OAUTH_PROVIDER_UNAVAILABLE' || status >= 500) {
    // A gateway that gave up may have forwarded the request.
    return status === 500 || status === 502 || status === 504 ? 'unsure' : 'kept'
  }
  if (oauthError === undefined) {
    return reason === 'empty_response' && (status === 400 || status === 401) ? 'ended' : 'kept'
  }
  // Some providers send errors with status 200.
  const refused = (status >= 200 && status <= 299) || (status >= 400 && status <= 499)
  const name = oauthError.toLowerCase()
  const named = USER_REMEDIES.has(name) || SPENT_TOKEN.test(name) || (name === 'invalid_request' && isOwn)
  return refused && named ? 'ended' : 'kept'
}
