import { LoginEndedError, ProviderUnavailableError, TokenExpiredError, type OAuthError } from '../errors.ts'
import type { ProviderClient } from './provider-client.ts'

/** The login is over, at the provider or by a logout. */
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

/** The token is of no use any more, and nothing replaces it by itself. */
export function tokenExpired (provider: ProviderClient, remedy = 'there is no refresh token: log in again, and ask for offline access if the provider has it'): OAuthError {
  return new TokenExpiredError(`the access token of provider "${provider.name}" has expired; ${remedy}`, { provider: provider.name })
}

/** Nothing came in time; nothing is lost. */
export function timedOut (provider: ProviderClient, reason = 'timed_out'): OAuthError {
  return new ProviderUnavailableError(`provider "${provider.name}" did not answer in time; the login is kept, try again`, { provider: provider.name, reason, retryAfter: 1 })
}

// Where no connection came about, the provider has seen nothing; anything later leaves a doubt.
const NEVER_SENT = ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'UND_ERR_CONNECT_TIMEOUT']

/** Whether the provider may have seen the refresh token although no usable answer came. */
export function mayHaveArrived (error: unknown): boolean {
  const { reason, cause } = error as OAuthError
  if (reason === 'too_large' || reason === 'encoding') return true
  return reason === 'no_answer' && !NEVER_SENT.includes((cause as { code?: string } | undefined)?.code ?? '')
}
