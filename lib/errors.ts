/**
 * Every code of this package with its HTTP status; where a code has several, the first is the usual one. A code is
 * never given another meaning. A new code is an entry here, a class below and a row of the table in docs/errors.md.
 */
const STATUSES = {
  FST_OAUTH_INVALID_OPTIONS: [500],
  FST_OAUTH_UNKNOWN_PROVIDER: [404],
  FST_OAUTH_LOGIN_REQUIRED: [401],
  FST_OAUTH_LOGIN_ENDED: [401],
  FST_OAUTH_TOKEN_EXPIRED: [401],
  FST_OAUTH_TOKENS_UPDATED: [500],
  FST_OAUTH_REFRESH_LOST: [401],
  FST_OAUTH_STATE_MISMATCH: [400],
  FST_OAUTH_AUTHORIZATION_FAILED: [400, 401, 403],
  FST_OAUTH_TOO_MANY_ATTEMPTS: [429],
  FST_OAUTH_INVALID_TOKEN_RESPONSE: [502],
  FST_OAUTH_INVALID_ID_TOKEN: [502],
  FST_OAUTH_INVALID_LOGOUT_TOKEN: [400],
  FST_OAUTH_PROVIDER_UNAVAILABLE: [503],
  FST_OAUTH_STORE_UNAVAILABLE: [503],
  FST_OAUTH_ORIGIN_NOT_ALLOWED: [500],
  FST_OAUTH_INSECURE_TRANSPORT: [500],
  FST_OAUTH_UNSUPPORTED_TOKEN_TYPE: [502],
  FST_OAUTH_RESPONSE_STATUS: [502],
  FST_OAUTH_INVALID_RESPONSE: [502],
  FST_OAUTH_API_UNAVAILABLE: [502],
  FST_OAUTH_CROSS_SITE_REQUEST: [403],
  FST_OAUTH_ACTIVE_ACCOUNT: [409],
  FST_OAUTH_STEP_UP_REQUIRED: [401, 403],
  FST_OAUTH_SESSION_UNAVAILABLE: [500, 400]
} as const

/** Every code that an error of this package can have. */
export type OAuthErrorCode = keyof typeof STATUSES

/**
 * What exactly failed, finer than the code; the same list is in docs/errors.md. A value is never given another meaning.
 */
export type OAuthErrorReason =
  // Options of the plugin, of a preset and of a call
  | 'configuration' // Options that do not fit each other, or that only a request shows to be wrong.
  | 'invalid_option' // An option of a call has a value of the wrong kind.
  | 'unknown_option' // A call, or a login, has no such option.
  | 'client_key' // The key or the secret cannot sign a client assertion.
  | 'client_certificate' // The provider refused the client's certificate in the TLS handshake, or it has expired.
  | 'second_authentication' // A parameter that would authenticate the client a second time (RFC 6749, section 2.3).
  | 'missing_authorization_endpoint' // Neither the options nor the metadata name this endpoint.
  | 'missing_pushed_authorization_request_endpoint' // Neither the options nor the metadata name this endpoint.
  | 'missing_token_endpoint' // Neither the options nor the metadata name this endpoint.
  | 'missing_userinfo_endpoint' // Neither the options nor the metadata name this endpoint.
  | 'missing_revocation_endpoint' // Neither the options nor the metadata name this endpoint.
  | 'missing_introspection_endpoint' // Neither the options nor the metadata name this endpoint.
  | 'missing_end_session_endpoint' // Neither the options nor the metadata name this endpoint.
  | 'missing_device_authorization_endpoint' // Neither the options nor the metadata name this endpoint.
  | 'missing_jwks_uri' // Neither the options nor the metadata name a key set.
  | 'invalid_tokens' // Tokens of the app's own that cannot be a token set.
  | 'missing_credentials' // The password grant needs a username and a password.
  | 'missing_assertion' // The JWT bearer grant needs an assertion.
  | 'implicit' // An implicit login has no token request; its callback holds the tokens.
  | 'callback_url' // `callbackUrl` is not an absolute URL.
  | 'profile_over' // `fetchProfile` sent a call after it had returned.
  // Documents of the provider
  | 'invalid_metadata' // The metadata cannot be read or used (OpenID Connect Discovery, RFC 8414).
  | 'security_profile' // The metadata does not offer what `securityProfile` needs.
  | 'issuer_mismatch' // The metadata or the callback names another issuer (RFC 8414, section 3.3; RFC 9207).
  | 'jwks' // The key set cannot be read.
  // The callback of a login
  | 'missing_state' // The callback has no `state`.
  | 'other_browser' // No cookie came for the `state`: another browser or host, too late, or opened twice.
  | 'no_cookie' // No cookie came for the `state` of a login that had just started again: the browser keeps none.
  | 'unknown_or_used' // The cookie came, but the login is finished (two callbacks at once) or the store has lost it.
  | 'wrong_state' // The `state` is not the one of the login.
  | 'other_provider' // The login was started at another provider, or the provider's options were changed since.
  | 'expired' // The login was started more than 10 minutes ago, and the store still had it.
  | 'missing_code' // The callback has no authorization code.
  | 'duplicate_code' // The callback has more than one authorization code.
  | 'missing_response' // The callback has no signed response, which `responseMode` requires.
  | 'missing' // No ID token came, although the scope has `openid`.
  | 'embedded' // An image, a frame or a script asked for a login; only a page load may.
  | 'missing_header' // The header that `requireHeader` asks for is missing.
  | 'link' // Another user, another session or another site asked to add the account.
  | 'logout' // This browser started no logout that the callback belongs to.
  // The token endpoint and the other endpoints of the provider
  | 'refused' // The provider named an error; see `oauthError`.
  | 'client_refused' // The client authentication was refused.
  | 'empty_response' // The response has no body, or no members.
  | 'unreadable_response' // The response is neither JSON nor a form where one is needed.
  | 'redirect' // The endpoint answered with a redirect, which is not followed.
  | 'status' // The response has an unexpected status.
  | 'missing_token' // The response has no access token; or a session without a request has no token set yet.
  | 'missing_token_type' // The response has no `token_type`, and `requireTokenType` is set.
  | 'not_bound' // The token is not bound to the key of its login, although `dpop` is on (RFC 9449).
  | 'invalid_expires_in' // `expires_in` is not a number.
  | 'conform_failed' // The `conform` function threw an error, or returned no object.
  | 'timed_out' // No response came within `requestTimeout`; the login is kept.
  | 'dpop_key' // The DPoP key of a login is missing, or cannot sign.
  | 'not_sent' // The refresh took too long to begin and was not sent; the login is kept.
  // ID tokens, signed userinfo and signed authorization responses: the claim or the part of the JWT that failed
  | 'iss' // The issuer is not the provider, or is not known.
  | 'sub' // The subject is missing.
  | 'aud' // The audience is another client; of a refreshed ID token, another than before.
  | 'exp' // The token has expired.
  | 'iat' // The token was issued in the future, or does not say when.
  | 'nbf' // The token is not valid yet.
  | 'azp' // The authorized party is another client, or missing beside other audiences; refreshed, another than before.
  | 'nonce' // The nonce is not the one of the login, or the JWT must not have one.
  | 'auth_time' // The user authenticated too long ago for `maxAge`; or a refreshed ID token has another `auth_time`.
  | 'acr' // The `acr` is none of `acrValues`.
  | 'at_hash' // The hash is missing or does not match the access token.
  | 'c_hash' // The hash is missing or does not match the code.
  | 's_hash' // The hash does not match the state of the login.
  | 'alg' // The algorithm of the signature or of the encryption is not allowed.
  | 'key' // No key of the key set fits, or several do.
  | 'signature' // The signature is wrong.
  | 'malformed' // The text is not a signed JWT.
  | 'encrypted' // The JWT is encrypted, and no key of `clientKeys` decrypts it.
  | 'not_encrypted' // The ID token is not encrypted, which `encryptedIdToken` requires.
  | 'subject_changed' // The ID token of a refresh, or the second one of a login, is for another user.
  | 'session_expiry' // The provider's session has ended, by `session_expiry` of its ID token.
  // Logout tokens, beside the reasons of ID tokens
  | 'missing_logout_token' // The request is not a form with exactly one `logout_token`.
  | 'typ' // The JWT is of another type.
  | 'events' // The event of a back-channel logout is missing.
  | 'jti' // The token has no id.
  | 'sid' // The id of the session at the provider is not a string.
  | 'replayed' // The logout token has been used already.
  // How long a login may last
  | 'idle_timeout' // No request came for `idleTimeout` seconds.
  | 'absolute_timeout' // `absoluteTimeout` seconds have passed since the login.
  | 'refresh_token_expired' // The refresh token has expired, by the lifetime that the provider named.
  // What a guard asks for beyond a login
  | 'insufficient_scope' // The login was not granted the scope.
  | 'insufficient_user_authentication' // The user authenticated too long ago, or by none of the required methods.
  // The profile
  | 'subject_mismatch' // The profile is of another user than the ID token.
  | 'no_subject' // The profile has no user id.
  | 'no_claims' // `fetchProfile` did not return an object.
  | 'fetch_profile' // `fetchProfile` threw an error; see `cause`.
  | 'user_profile' // `userProfile` threw an error, see `cause`, or returned no object.
  // Calls to APIs, and responses of any server
  | 'invalid_url' // The URL cannot be read.
  | 'suspicious_url' // The URL has dot segments, encoded separators, control characters or an authority of its own.
  | 'not_covered' // No entry of `resourceServers` covers the URL.
  | 'dpop_nonce' // The API asked for a DPoP nonce, and the body was a stream that cannot be sent again.
  | 'redirect_inside' // A redirect leads from the Internet into a private network or onto this machine.
  | 'redirect_downgrade' // A redirect leads from https to http.
  | 'no_answer' // No connection, or it broke before the whole response came.
  | 'timeout' // The response did not come in time.
  | 'closed' // The app, or the provider made by `createProvider`, has been closed.
  | 'too_large' // The response is larger than the limit.
  | 'encoding' // The response cannot be decompressed.
  | 'body_used' // The body has been read already.
  | 'not_serializable' // A handler returned a whole response, or a call that it did not await.
  // The stores; `get` to `inspect` are the methods that failed
  | 'get' // Reading a record or a session.
  | 'set' // Writing a record or a session.
  | 'consume' // Reading and deleting a record.
  | 'touch' // Keeping a record alive.
  | 'delete' // Deleting a record.
  | 'remove' // Reading and deleting a record for good.
  | 'acquireRefresh' // Beginning a refresh.
  | 'finishRefresh' // Ending a refresh.
  | 'addMember' // Adding a login to the list of its user's logins.
  | 'removeMembers' // Removing logins from the list of their user's logins.
  | 'members' // Finding a user's logins.
  | 'inspect' // Looking at the settings of the store.
  | 'destroy' // Deleting a session.
  | 'session' // The session could not be saved, destroyed or renewed.
  | 'accounts' // Other requests kept changing the accounts of the same login.
  | 'logins' // Other logins kept changing the list of the user's logins.
  | 'save' // Other requests kept changing the same token set.

/** The details of an error beside its message. None of them is ever a token, code, state, verifier or secret. */
export interface OAuthErrorDetails {
  /** Name of the provider, as given in `providers`. */
  provider?: string | undefined
  /** The provider's own `error` code (RFC 6749, sections 4.1.2.1 and 5.2). */
  oauthError?: string | undefined
  /** The provider's own `error_description`. */
  oauthErrorDescription?: string | undefined
  /** The provider's own `error_uri`. */
  oauthErrorUri?: string | undefined
  /** HTTP status of the provider's or the API's response. */
  responseStatus?: number | undefined
  /** The beginning of that response as text, without anything that could be a token. */
  excerpt?: string | undefined
  /** Seconds to wait before another try; also sent as `Retry-After`. */
  retryAfter?: number | undefined
  /** What exactly failed, finer than the code. */
  reason?: OAuthErrorReason | undefined
  /** The error that caused this one. Only its name, code and message are kept. */
  cause?: unknown
}

/** The token set of a TokensUpdatedError: a `TokenSet`. */
export interface UpdatedTokens {
  /** The access token. */
  accessToken: string
  /** `Bearer`, as the provider wrote it. */
  tokenType: string
  /** When the access token expires, in epoch seconds. */
  expiresAt?: number
  /** The refresh token. */
  refreshToken?: string
  /** The ID token. */
  idToken?: string
  /** The granted scope. */
  scope: string[]
  /** The members of the token response. */
  raw: Record<string, unknown>
  /** Names the token record, for `session({ tokens })` in the same app. */
  recordId?: string
}

/** The response of a ResponseStatusError. */
export interface ErrorResponse {
  /** The HTTP status. */
  statusCode: number
  /** Header fields, in lower case. */
  headers: Record<string, string | string[] | undefined>
  /** The body, decompressed. */
  body: Buffer
}

/** The parent of every error of this package: `error instanceof OAuthError`. */
export class OAuthError extends Error {
  /** Which error it is; docs/errors.md says when each is thrown. */
  declare readonly code: OAuthErrorCode
  /** The HTTP status that Fastify answers with if a handler throws the error. */
  declare readonly statusCode: number
  /** Of a TokensUpdatedError: the new token set. Not enumerable, so that no log prints it. */
  declare readonly tokens?: UpdatedTokens
  /** Of a ResponseStatusError: the API's response. Not enumerable. */
  declare readonly response?: ErrorResponse
  /** Headers that Fastify's default error handler sends: `Retry-After`, `WWW-Authenticate`. Not enumerable. */
  declare readonly headers?: Record<string, string>
}
export interface OAuthError extends Readonly<Omit<OAuthErrorDetails, 'cause'>> {}

// Kept out of JSON and logs.
function hide (error: OAuthError, name: 'cause' | 'headers' | 'tokens' | 'response', value: unknown): void {
  if (value !== undefined) Object.defineProperty(error, name, { value, configurable: true })
}

// An error of undici or jose may refer to a request, and so to a token: only its name, code and message are kept.
function describeCause (cause: unknown): Error {
  const { name, code, message } = Object(cause) as { name?: string, code?: string, message?: string }
  const plain = new Error(message ?? String(cause)) as Error & { code?: string }
  if (typeof name === 'string') plain.name = name
  if (typeof code === 'string') plain.code = code
  plain.stack = `${plain.name}: ${plain.message}`
  return plain
}

/** One of the classes below. */
export interface OAuthErrorConstructor<Instance extends OAuthError = OAuthError> {
  new (message: string, details?: OAuthErrorDetails): Instance
  /** The HTTP status of each instance. */
  readonly statusCode: number
}

// The literal types keep the classes apart for the compiler: an OAuthError that is no LoginRequiredError may still be
// one of the others.
type Coded<Code extends OAuthErrorCode> =
  OAuthError & { readonly code: Code, readonly statusCode: (typeof STATUSES)[Code][number] }

/** Makes the class that the error of a code extends. */
function withCode<Code extends OAuthErrorCode> (code: Code): OAuthErrorConstructor<Coded<Code>> {
  return class extends OAuthError {
    static readonly statusCode: number = STATUSES[code][0]

    constructor (message: string, { cause, ...details }: OAuthErrorDetails = {}) {
      super(message)
      const { statusCode } = new.target
      // A log shows the code in place of the class's name.
      for (const [key, value] of Object.entries({ code, name: code, statusCode, message, ...details })) {
        if (value === undefined) continue
        Object.defineProperty(this, key, { value, enumerable: true, configurable: true, writable: true })
      }
      Error.captureStackTrace(this, new.target) // again, since its first line has the name
      hide(this, 'cause', cause === undefined ? undefined : describeCause(cause))
      const headers = {
        ...(details.retryAfter !== undefined && { 'retry-after': String(details.retryAfter) }),
        ...(statusCode === 401 && { 'www-authenticate': 'Bearer' })
      }
      hide(this, 'headers', Object.keys(headers).length > 0 ? headers : undefined)
    }
  } as unknown as OAuthErrorConstructor<Coded<Code>>
}

/** An option of the plugin, of a provider or of a call is wrong. The message says which one and what to write. */
export class InvalidOptionsError extends withCode('FST_OAUTH_INVALID_OPTIONS') {}

/** There is no provider of that name. A route answers with 404; in code, correct the name. */
export class UnknownProviderError extends withCode('FST_OAUTH_UNKNOWN_PROVIDER') {}

/** The session has no login, or not the one that is needed. Send the user to `/login`, as `requireLogin` does. */
export class LoginRequiredError extends withCode('FST_OAUTH_LOGIN_REQUIRED') {}

/** The login was ended by a logout elsewhere, by a timeout, or by the provider. Send the user to log in again. */
export class LoginEndedError extends withCode('FST_OAUTH_LOGIN_ENDED') {}

/**
 * The token has expired. With `refresh: 'manual'`, call `refresh()` and try again. Otherwise there is no refresh token,
 * and the user has to log in again.
 */
export class TokenExpiredError extends withCode('FST_OAUTH_TOKEN_EXPIRED') {}

/** With `refresh: 'notify'`: the token was refreshed, and the call was not sent. Save `tokens` and try again. */
export class TokensUpdatedError extends withCode('FST_OAUTH_TOKENS_UPDATED') {
  declare readonly tokens: UpdatedTokens

  constructor (message: string, { tokens, ...details }: OAuthErrorDetails & { tokens?: UpdatedTokens } = {}) {
    super(message, details)
    hide(this, 'tokens', tokens)
  }
}

/** The login has ended because the response to a refresh was lost on its way. Send the user to log in again. */
export class RefreshLostError extends withCode('FST_OAUTH_REFRESH_LOST') {}

/** A callback belongs to no login that this browser started. `reason` says why; the login has to be started again. */
export class StateMismatchError extends withCode('FST_OAUTH_STATE_MISMATCH') {}

/** The provider refused the login or the grant; see `oauthError`. Its two subclasses say who refused. */
export class AuthorizationFailedError extends withCode('FST_OAUTH_AUTHORIZATION_FAILED') {}

/**
 * With status 403: the user or the provider refused (`access_denied`). An app may throw it in `onLogin` to refuse a
 * login.
 */
export class AccessDeniedError extends AuthorizationFailedError {
  static override readonly statusCode = 403
  declare readonly statusCode: 403
}

/** With status 401: wrong username or password, in the password grant. Let the user try again. */
export class InvalidCredentialsError extends AuthorizationFailedError {
  static override readonly statusCode = 401
  declare readonly statusCode: 401
}

/** Too many failed logins with a password. Try again after `retryAfter` seconds. */
export class TooManyAttemptsError extends withCode('FST_OAUTH_TOO_MANY_ATTEMPTS') {}

/** The token endpoint's response is an error, or is not a token set; see `oauthError`, `reason` and `excerpt`. */
export class InvalidTokenResponseError extends withCode('FST_OAUTH_INVALID_TOKEN_RESPONSE') {}

/** An ID token failed a check; `reason` names it. The login is not made. */
export class InvalidIdTokenError extends withCode('FST_OAUTH_INVALID_ID_TOKEN') {}

/** A logout token of a provider failed a check; `reason` names it. No login has ended. */
export class InvalidLogoutTokenError extends withCode('FST_OAUTH_INVALID_LOGOUT_TOKEN') {}

/** The provider does not answer, or answers 5xx, 408 or 429. Logins are kept; try again later. */
export class ProviderUnavailableError extends withCode('FST_OAUTH_PROVIDER_UNAVAILABLE') {}

/** The session store or the token store failed, or took too long. Try again in a moment; the log has the cause. */
export class StoreUnavailableError extends withCode('FST_OAUTH_STORE_UNAVAILABLE') {}

/** A call was not sent because no entry of `resourceServers` covers its URL. Add the API there, or correct the URL. */
export class OriginNotAllowedError extends withCode('FST_OAUTH_ORIGIN_NOT_ALLOWED') {}

/** A token or secret would go over plain http. Use https, or set `allowInsecureRequests` for a network of your own. */
export class InsecureTransportError extends withCode('FST_OAUTH_INSECURE_TRANSPORT') {}

/** The provider issued a token of another type than Bearer, which no call can be sent with. */
export class UnsupportedTokenTypeError extends withCode('FST_OAUTH_UNSUPPORTED_TOKEN_TYPE') {}

/**
 * `.json()`, `.text()` or `.bytes()` of a call got a status other than 2xx. `responseStatus` and `response` have it.
 */
export class ResponseStatusError extends withCode('FST_OAUTH_RESPONSE_STATUS') {
  declare readonly responseStatus: number
  declare readonly response: ErrorResponse

  constructor (message: string, { response, ...details }: OAuthErrorDetails & { response?: ErrorResponse } = {}) {
    super(message, details)
    hide(this, 'response', response)
  }
}

/** A response cannot be used: it is too large, not JSON, or about another user. `reason` says which. */
export class InvalidResponseError extends withCode('FST_OAUTH_INVALID_RESPONSE') {}

/** An API cannot be reached, or its response broke off. Try again later. */
export class ApiUnavailableError extends withCode('FST_OAUTH_API_UNAVAILABLE') {}

/** Another site made the browser send the request, or it is not a page load although it must be. Nothing was done. */
export class CrossSiteRequestError extends withCode('FST_OAUTH_CROSS_SITE_REQUEST') {}

/** `disconnect` was called for the account that the user logged in with. Call `logout` instead. */
export class ActiveAccountError extends withCode('FST_OAUTH_ACTIVE_ACCOUNT') {}

/**
 * A guard asks for more than the login has: a more recent or stronger authentication. Send the user to the `loginUrl`
 * of the answer.
 */
export class StepUpRequiredError extends withCode('FST_OAUTH_STEP_UP_REQUIRED') {}

/** With status 403: scope is missing; or the provider did not give what a step-up asked for. */
export class StepUpForbiddenError extends StepUpRequiredError {
  static override readonly statusCode = 403
  declare readonly statusCode: 403
}

/** There is no session for this request: check the session cookie's `path`, and `secure` without https. */
export class SessionUnavailableError extends withCode('FST_OAUTH_SESSION_UNAVAILABLE') {}

/** With status 400: the request target is in absolute form, which is for proxies (RFC 9112, section 3.2.2). */
export class RequestTargetError extends SessionUnavailableError {
  static override readonly statusCode = 400
  declare readonly statusCode: 400
}
