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
  declare readonly tokens?: {
    accessToken: string
    tokenType: string
    expiresAt?: number
    refreshToken?: string
    idToken?: string
    scope: string[]
    raw: Record<string, unknown>
  }

  /** Of ResponseStatusError: what the API answered. Not enumerable. */
  declare readonly response?: {
    statusCode: number
    headers: Record<string, string | string[] | undefined>
    body: Buffer
  }

  /** Headers that Fastify's default error handler puts on the answer. */
  declare readonly headers?: Record<string, string>
}

export type OAuthErrorConstructor<Instance extends OAuthError = OAuthError> = new (
  message: string,
  details?: OAuthErrorDetails
) => Instance

// An undici or jose error can hold the request (and so a token) somewhere below it: keep the words alone.
function describeCause (cause: unknown): Error {
  const { name, code, message } = cause as { name?: string, code?: string, message?: string }
  const plain = new Error(message ?? String(cause)) as Error & { code?: string }
  if (typeof name === 'string') plain.name = name
  if (typeof code === 'string') plain.code = code
  plain.stack = `${plain.name}: ${plain.message}`
  return plain
}

// Every code of this package, once, with its status. A code is never given another meaning.
const STATUS = {
  FST_OAUTH_INVALID_OPTIONS: 500,
  FST_OAUTH_UNKNOWN_PROVIDER: 404,
  FST_OAUTH_LOGIN_REQUIRED: 401,
  FST_OAUTH_LOGIN_ENDED: 401,
  FST_OAUTH_TOKEN_EXPIRED: 401,
  FST_OAUTH_TOKENS_UPDATED: 500,
  FST_OAUTH_REFRESH_LOST: 401,
  FST_OAUTH_STATE_MISMATCH: 400,
  FST_OAUTH_AUTHORIZATION_FAILED: 400,
  FST_OAUTH_TOO_MANY_ATTEMPTS: 429,
  FST_OAUTH_INVALID_TOKEN_RESPONSE: 502,
  FST_OAUTH_INVALID_ID_TOKEN: 502,
  FST_OAUTH_PROVIDER_UNAVAILABLE: 503,
  FST_OAUTH_STORE_UNAVAILABLE: 503,
  FST_OAUTH_ORIGIN_NOT_ALLOWED: 500,
  FST_OAUTH_INSECURE_TRANSPORT: 500,
  FST_OAUTH_UNSUPPORTED_TOKEN_TYPE: 502,
  FST_OAUTH_RESPONSE_STATUS: 502,
  FST_OAUTH_INVALID_RESPONSE: 502,
  FST_OAUTH_API_UNAVAILABLE: 502,
  FST_OAUTH_CROSS_SITE_REQUEST: 403,
  FST_OAUTH_ACTIVE_ACCOUNT: 409,
  FST_OAUTH_SESSION_UNAVAILABLE: 500
} as const

/** Every code an error of this package can carry. */
export type OAuthErrorCode = keyof typeof STATUS

interface Definition<Status extends number> {
  /** In place of the code's own status. */
  statusCode?: Status
  /** The class that this one is a case of. */
  parent?: unknown
}

type Coded<Code extends OAuthErrorCode, Status extends number = (typeof STATUS)[Code]> = OAuthError & {
  readonly code: Code
  readonly statusCode: Status
}

// The literal types keep the classes apart for the compiler: what is no LoginRequiredError may still be another
// OAuthError.
function define<Code extends OAuthErrorCode, Status extends number = (typeof STATUS)[Code]> (
  name: string,
  code: Code,
  { statusCode = STATUS[code] as number as Status, parent = OAuthError }: Definition<Status> = {}
): OAuthErrorConstructor<Coded<Code, Status>> {
  const Base = createError(code, '%s', statusCode, parent as ErrorConstructor) as unknown as new (
    message: string
  ) => OAuthError
  const Class = class extends Base {
    // @fastify/error tells instances by their code alone, and some classes share one.
    static override [Symbol.hasInstance] (value: unknown): boolean {
      return Function.prototype[Symbol.hasInstance].call(this, value)
    }

    constructor (message: string, details: OAuthErrorDetails = {}) {
      super(message)
      // What a log shows as the error's name: the code says more than any class's.
      Object.defineProperty(this, 'name', { value: code, configurable: true, writable: true })
      const { cause, ...rest } = details
      for (const [key, value] of Object.entries(rest)) {
        if (value !== undefined) Object.defineProperty(this, key, { value, enumerable: true, configurable: true })
      }
      if (cause !== undefined) Object.defineProperty(this, 'cause', { value: describeCause(cause), configurable: true })
      const headers: Record<string, string> = {}
      if (details.retryAfter !== undefined) headers['retry-after'] = String(details.retryAfter)
      if (statusCode === 401) headers['www-authenticate'] = 'Bearer'
      if (Object.keys(headers).length > 0) {
        Object.defineProperty(this, 'headers', { value: headers, configurable: true })
      }
    }
  }
  return Object.defineProperty(Class, 'name', { value: name }) as never
}

export const InvalidOptionsError = define('InvalidOptionsError', 'FST_OAUTH_INVALID_OPTIONS')
export const UnknownProviderError = define('UnknownProviderError', 'FST_OAUTH_UNKNOWN_PROVIDER')
export const LoginRequiredError = define('LoginRequiredError', 'FST_OAUTH_LOGIN_REQUIRED')
export const LoginEndedError = define('LoginEndedError', 'FST_OAUTH_LOGIN_ENDED')
export const TokenExpiredError = define('TokenExpiredError', 'FST_OAUTH_TOKEN_EXPIRED')
/** It has the new set with it: `tokens`. */
export const TokensUpdatedError = define('TokensUpdatedError', 'FST_OAUTH_TOKENS_UPDATED') as OAuthErrorConstructor<
  Coded<'FST_OAUTH_TOKENS_UPDATED'> & { readonly tokens: NonNullable<OAuthError['tokens']> }
>
export const RefreshLostError = define('RefreshLostError', 'FST_OAUTH_REFRESH_LOST')
export const StateMismatchError = define('StateMismatchError', 'FST_OAUTH_STATE_MISMATCH')
export const AuthorizationFailedError = define<'FST_OAUTH_AUTHORIZATION_FAILED', 400 | 401 | 403>(
  'AuthorizationFailedError',
  'FST_OAUTH_AUTHORIZATION_FAILED'
)
/** An AuthorizationFailedError with status 403: the user, or the provider for them, said no. */
export const AccessDeniedError = define('AccessDeniedError', 'FST_OAUTH_AUTHORIZATION_FAILED', {
  statusCode: 403,
  parent: AuthorizationFailedError
})
/** An AuthorizationFailedError with status 401: user name and password do not go together. */
export const InvalidCredentialsError = define('InvalidCredentialsError', 'FST_OAUTH_AUTHORIZATION_FAILED', {
  statusCode: 401,
  parent: AuthorizationFailedError
})
export const TooManyAttemptsError = define('TooManyAttemptsError', 'FST_OAUTH_TOO_MANY_ATTEMPTS')
export const InvalidTokenResponseError = define('InvalidTokenResponseError', 'FST_OAUTH_INVALID_TOKEN_RESPONSE')
export const InvalidIdTokenError = define('InvalidIdTokenError', 'FST_OAUTH_INVALID_ID_TOKEN')
export const ProviderUnavailableError = define('ProviderUnavailableError', 'FST_OAUTH_PROVIDER_UNAVAILABLE')
export const StoreUnavailableError = define('StoreUnavailableError', 'FST_OAUTH_STORE_UNAVAILABLE')
export const OriginNotAllowedError = define('OriginNotAllowedError', 'FST_OAUTH_ORIGIN_NOT_ALLOWED')
export const InsecureTransportError = define('InsecureTransportError', 'FST_OAUTH_INSECURE_TRANSPORT')
export const UnsupportedTokenTypeError = define('UnsupportedTokenTypeError', 'FST_OAUTH_UNSUPPORTED_TOKEN_TYPE')
/** It has the API's answer with it: `responseStatus` and `response`. */
export const ResponseStatusError = define('ResponseStatusError', 'FST_OAUTH_RESPONSE_STATUS') as OAuthErrorConstructor<
  Coded<'FST_OAUTH_RESPONSE_STATUS'> & {
    readonly responseStatus: number
    readonly response: NonNullable<OAuthError['response']>
  }
>
export const InvalidResponseError = define('InvalidResponseError', 'FST_OAUTH_INVALID_RESPONSE')
export const ApiUnavailableError = define('ApiUnavailableError', 'FST_OAUTH_API_UNAVAILABLE')
export const CrossSiteRequestError = define('CrossSiteRequestError', 'FST_OAUTH_CROSS_SITE_REQUEST')
/** Of `request.oauth.disconnect`: the account that was logged in with ends with a logout. */
export const ActiveAccountError = define('ActiveAccountError', 'FST_OAUTH_ACTIVE_ACCOUNT')
export const SessionUnavailableError = define<'FST_OAUTH_SESSION_UNAVAILABLE', 400 | 500>(
  'SessionUnavailableError',
  'FST_OAUTH_SESSION_UNAVAILABLE'
)
/** A SessionUnavailableError with status 400: the request target is in absolute form, which is for proxies. */
export const RequestTargetError = define('RequestTargetError', 'FST_OAUTH_SESSION_UNAVAILABLE', {
  statusCode: 400,
  parent: SessionUnavailableError
})
