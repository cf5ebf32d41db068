import createError from '@fastify/error'

/** What an error can tell beside its message. None of it is ever a token, code, state, verifier or secret. */
export interface OAuthErrorDetails {
  /** Name of the provider, as given in `providers`. */
  provider?: string | undefined
  /** The provider's own `error` code (RFC 6749, section 5.2). */
  oauthError?: string | undefined
  /** The provider's own `error_description`. */
  oauthErrorDescription?: string | undefined
  /** The provider's own `error_uri`. */
  oauthErrorUri?: string | undefined
  /** HTTP status that the provider or the API answered with. */
  responseStatus?: number | undefined
  /** A short piece of what was answered, without anything that could be a token. */
  excerpt?: string | undefined
  /** Seconds after which another try makes sense; sent on as `Retry-After`. */
  retryAfter?: number | undefined
  /** A machine's word for what went wrong, finer than the code. */
  reason?: string | undefined
  /** The error underneath. Only its name, code and message are kept. */
  cause?: unknown
}

/** The parent of every error of this package: `error instanceof OAuthError`. */
export class OAuthError extends Error {
  declare readonly code: OAuthErrorCode
  declare readonly statusCode: number
  declare readonly provider?: string
  declare readonly oauthError?: string
  declare readonly oauthErrorDescription?: string
  declare readonly oauthErrorUri?: string
  declare readonly responseStatus?: number
  declare readonly excerpt?: string
  declare readonly retryAfter?: number
  declare readonly reason?: string
  /** Of TokensUpdatedError: the new token set. Not enumerable, so that no log prints it. */
  declare readonly tokens?: { accessToken: string, tokenType: string, expiresAt?: number, refreshToken?: string, idToken?: string, scope: string[], raw: Record<string, unknown> }
  /** Of ResponseStatusError: what the API answered. Not enumerable. */
  declare readonly response?: { statusCode: number, headers: Record<string, string | string[] | undefined>, body: Buffer }
  /** Headers that Fastify's default error handler puts on the answer. */
  declare readonly headers?: Record<string, string>
}

export type OAuthErrorConstructor = new (message: string, details?: OAuthErrorDetails) => OAuthError

// An undici or jose error can hold the request (and so a token) somewhere below it: keep the words alone.
function describeCause (cause: unknown): Error {
  const { name, code, message } = cause as { name?: string, code?: string, message?: string }
  const plain = new Error(message ?? String(cause)) as Error & { code?: string }
  if (typeof name === 'string') plain.name = name
  if (typeof code === 'string') plain.code = code
  plain.stack = `${plain.name}: ${plain.message}`
  return plain
}

function define (code: string, statusCode: number): OAuthErrorConstructor {
  const Base = createError(code, '%s', statusCode, OAuthError as unknown as ErrorConstructor) as unknown as new (message: string) => OAuthError
  return class extends Base {
    constructor (message: string, details: OAuthErrorDetails = {}) {
      super(message)
      // What a log shows as the error's type: the code says more than any class's name.
      Object.defineProperty(this, 'name', { value: code, configurable: true, writable: true })
      const { cause, ...rest } = details
      for (const [key, value] of Object.entries(rest)) {
        if (value !== undefined) Object.defineProperty(this, key, { value, enumerable: true, configurable: true })
      }
      if (cause !== undefined) Object.defineProperty(this, 'cause', { value: describeCause(cause), configurable: true })
      const headers: Record<string, string> = {}
      if (details.retryAfter !== undefined) headers['retry-after'] = String(details.retryAfter)
      if (statusCode === 401) headers['www-authenticate'] = 'Bearer'
      if (Object.keys(headers).length > 0) Object.defineProperty(this, 'headers', { value: headers, configurable: true })
    }
  }
}

// Every code of this package, once. A code is never given another meaning.
const table = {
  FST_OAUTH_INVALID_OPTIONS: define('FST_OAUTH_INVALID_OPTIONS', 500),
  FST_OAUTH_UNKNOWN_PROVIDER: define('FST_OAUTH_UNKNOWN_PROVIDER', 404),
  FST_OAUTH_LOGIN_REQUIRED: define('FST_OAUTH_LOGIN_REQUIRED', 401),
  FST_OAUTH_LOGIN_ENDED: define('FST_OAUTH_LOGIN_ENDED', 401),
  FST_OAUTH_TOKEN_EXPIRED: define('FST_OAUTH_TOKEN_EXPIRED', 401),
  FST_OAUTH_TOKENS_UPDATED: define('FST_OAUTH_TOKENS_UPDATED', 500),
  FST_OAUTH_REFRESH_LOST: define('FST_OAUTH_REFRESH_LOST', 401),
  FST_OAUTH_STATE_MISMATCH: define('FST_OAUTH_STATE_MISMATCH', 400),
  FST_OAUTH_AUTHORIZATION_FAILED: define('FST_OAUTH_AUTHORIZATION_FAILED', 400),
  FST_OAUTH_ACCESS_DENIED: define('FST_OAUTH_AUTHORIZATION_FAILED', 403),
  FST_OAUTH_INVALID_CREDENTIALS: define('FST_OAUTH_AUTHORIZATION_FAILED', 401),
  FST_OAUTH_TOO_MANY_ATTEMPTS: define('FST_OAUTH_TOO_MANY_ATTEMPTS', 429),
  FST_OAUTH_INVALID_TOKEN_RESPONSE: define('FST_OAUTH_INVALID_TOKEN_RESPONSE', 502),
  FST_OAUTH_INVALID_ID_TOKEN: define('FST_OAUTH_INVALID_ID_TOKEN', 502),
  FST_OAUTH_PROVIDER_UNAVAILABLE: define('FST_OAUTH_PROVIDER_UNAVAILABLE', 503),
  FST_OAUTH_STORE_UNAVAILABLE: define('FST_OAUTH_STORE_UNAVAILABLE', 503),
  FST_OAUTH_ORIGIN_NOT_ALLOWED: define('FST_OAUTH_ORIGIN_NOT_ALLOWED', 500),
  FST_OAUTH_INSECURE_TRANSPORT: define('FST_OAUTH_INSECURE_TRANSPORT', 500),
  FST_OAUTH_UNSUPPORTED_TOKEN_TYPE: define('FST_OAUTH_UNSUPPORTED_TOKEN_TYPE', 502),
  FST_OAUTH_RESPONSE_STATUS: define('FST_OAUTH_RESPONSE_STATUS', 502),
  FST_OAUTH_INVALID_RESPONSE: define('FST_OAUTH_INVALID_RESPONSE', 502),
  FST_OAUTH_API_UNAVAILABLE: define('FST_OAUTH_API_UNAVAILABLE', 502),
  FST_OAUTH_CROSS_SITE_REQUEST: define('FST_OAUTH_CROSS_SITE_REQUEST', 403),
  FST_OAUTH_SESSION_UNAVAILABLE: define('FST_OAUTH_SESSION_UNAVAILABLE', 500)
} as const

/** Every code an error of this package can carry. */
export type OAuthErrorCode = Exclude<keyof typeof table, 'FST_OAUTH_ACCESS_DENIED' | 'FST_OAUTH_INVALID_CREDENTIALS'>

export const InvalidOptionsError = table.FST_OAUTH_INVALID_OPTIONS
export const UnknownProviderError = table.FST_OAUTH_UNKNOWN_PROVIDER
export const LoginRequiredError = table.FST_OAUTH_LOGIN_REQUIRED
export const LoginEndedError = table.FST_OAUTH_LOGIN_ENDED
export const TokenExpiredError = table.FST_OAUTH_TOKEN_EXPIRED
export const RefreshLostError = table.FST_OAUTH_REFRESH_LOST
export const StateMismatchError = table.FST_OAUTH_STATE_MISMATCH
export const AuthorizationFailedError = table.FST_OAUTH_AUTHORIZATION_FAILED
/** `FST_OAUTH_AUTHORIZATION_FAILED` with status 403: the user, or the provider for them, said no. */
export const AccessDeniedError = table.FST_OAUTH_ACCESS_DENIED
/** `FST_OAUTH_AUTHORIZATION_FAILED` with status 401: user name and password do not go together. */
export const InvalidCredentialsError = table.FST_OAUTH_INVALID_CREDENTIALS
export const TooManyAttemptsError = table.FST_OAUTH_TOO_MANY_ATTEMPTS
export const InvalidTokenResponseError = table.FST_OAUTH_INVALID_TOKEN_RESPONSE
export const InvalidIdTokenError = table.FST_OAUTH_INVALID_ID_TOKEN
export const ProviderUnavailableError = table.FST_OAUTH_PROVIDER_UNAVAILABLE
export const StoreUnavailableError = table.FST_OAUTH_STORE_UNAVAILABLE
export const OriginNotAllowedError = table.FST_OAUTH_ORIGIN_NOT_ALLOWED
export const InsecureTransportError = table.FST_OAUTH_INSECURE_TRANSPORT
export const UnsupportedTokenTypeError = table.FST_OAUTH_UNSUPPORTED_TOKEN_TYPE
export const ResponseStatusError = table.FST_OAUTH_RESPONSE_STATUS
export const InvalidResponseError = table.FST_OAUTH_INVALID_RESPONSE
export const ApiUnavailableError = table.FST_OAUTH_API_UNAVAILABLE
export const CrossSiteRequestError = table.FST_OAUTH_CROSS_SITE_REQUEST
export const SessionUnavailableError = table.FST_OAUTH_SESSION_UNAVAILABLE
export const TokensUpdatedError = table.FST_OAUTH_TOKENS_UPDATED
