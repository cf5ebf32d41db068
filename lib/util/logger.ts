import { OAuthError } from '../errors.ts'

/** What a log line is about; docs/logging.md says when each is written. A name is never given another meaning. */
export type LogEvent =
  | 'activity_not_stored'
  | 'backchannel_logout'
  | 'backchannel_logout_announced'
  | 'backchannel_logout_failed'
  | 'callback_repeated'
  | 'client_certificate_expires'
  | 'guard_refresh_failed'
  | 'id_token_refused'
  | 'legacy_grant_used'
  | 'link_refused'
  | 'login_ended'
  | 'login_failed'
  | 'login_host_differs'
  | 'login_not_read'
  | 'login_restarted'
  | 'login_timed_out'
  | 'logout_failed'
  | 'options_ignored'
  | 'password_refused'
  | 'profile_not_refreshed'
  | 'provider_logout_failed'
  | 'record_not_decrypted'
  | 'record_not_read'
  | 'redirect_uri_announced'
  | 'redirect_uri_not_routed'
  | 'refresh_failed'
  | 'refresh_lost'
  | 'return_to_refused'
  | 'scope_changed'
  | 'session_call_failed'
  | 'session_cookie_insecure'
  | 'session_not_destroyed'
  | 'session_not_told'
  | 'session_store_failed'
  | 'silent_login_declined'
  | 'token_store_failed'
  | 'token_store_unsafe'
  | 'token_writes_lost'
  | 'tokens_not_deleted'
  | 'tokens_not_revoked'
  | 'tokens_not_written'

/** What a log line holds beside its message. */
export interface LogDetails {
  event: LogEvent
  /** Name of the provider. */
  provider?: string
  /** Made by `errorForLog`; of an error of the app's own, such as that of a hook, by `appErrorForLog`. */
  err?: LoggedError | Error
  /** What ended a login: `reason` of its error. */
  reason?: string
  /** The method of a store that failed. */
  method?: string
  /** The kind of a record in the token store. */
  kind?: string
  /** How many logins were lost. */
  lost?: number
  /** How many logins were ended. */
  ended?: number
  /** Characters of a path that is not followed, and how many it may have. */
  length?: number
  limit?: number
  /** Scopes that were not granted, and those that were not asked for. */
  missing?: string[]
  added?: string[]
}

/** The methods of a logger that are used. */
export interface Logger {
  error (details: LogDetails, message: string): void
  warn (details: LogDetails, message: string): void
  info (details: LogDetails, message: string): void
}

/** The log of a request or of the app. Lines are written through it, so that each has an event. */
export function logOf ({ log }: { log: Logger }): Logger {
  return log
}

/**
 * An error of the app's own for the log, as it is. Fastify's serializer writes into it for the moment, which must not
 * fail at a frozen one.
 */
export function appErrorForLog (error: unknown): Error {
  const given = Object(error) as Error
  return Object.isExtensible(given) ? given : Object.create(given) as Error
}

/** An error as the log holds it: without stack, and of the cause no more than its message. */
export interface LoggedError {
  code?: string
  reason?: string
  oauthError?: string
  oauthErrorDescription?: string
  responseStatus?: number
  excerpt?: string
  cause?: string
  message: string
}

/**
 * Describes an error for the log. A parser's message quotes the text that it could not read, which may be a token: it
 * is left out.
 */
export function errorForLog (error: unknown): LoggedError {
  const { name, code, message } = Object(error) as { name?: unknown, code?: unknown, message?: unknown }
  if (error instanceof OAuthError) {
    const { reason, oauthError, oauthErrorDescription, responseStatus, excerpt } = error
    const { name: causeName, message: cause } = Object(error.cause) as Partial<Error>
    return {
      code: error.code,
      ...(reason !== undefined && { reason }),
      ...(oauthError !== undefined && { oauthError }),
      ...(oauthErrorDescription !== undefined && { oauthErrorDescription }),
      ...(responseStatus !== undefined && { responseStatus }),
      ...(excerpt !== undefined && { excerpt }),
      ...(cause !== undefined && causeName !== 'SyntaxError' && { cause }),
      message: error.message
    }
  }
  // A TypeError is of JSON.stringify, which names members alone.
  const quotes = typeof message !== 'string' || name === 'SyntaxError' ||
    (name !== 'TypeError' && /\bJSON\b/i.test(message))
  return {
    ...(typeof code === 'string' && { code }),
    message: quotes ? 'it holds something that cannot be read' : message
  }
}
