import { OAuthError } from '../errors.ts'

/** The methods of a logger that are used: `{ err, provider, … }` first (see `errorForLog`), then the message. */
export interface Logger {
  warn (details: object, message: string): void
  info (details: object, message: string): void
}

/** An error as the log holds it: without stack and cause, which may quote a request. */
export interface LoggedError {
  code?: string
  reason?: string
  oauthError?: string
  message: string
}

/**
 * Describes an error for the log. A parser's message quotes the text that it could not read, which may be a token: it
 * is left out.
 */
export function errorForLog (error: unknown): LoggedError {
  const { name, code, message } = Object(error) as { name?: unknown, code?: unknown, message?: unknown }
  if (error instanceof OAuthError) {
    const { reason, oauthError } = error
    return {
      code: error.code,
      ...(reason !== undefined && { reason }),
      ...(oauthError !== undefined && { oauthError }),
      message: error.message
    }
  }
  const quotes = name === 'SyntaxError' || typeof message !== 'string' || /\bJSON\b/i.test(message)
  return {
    ...(typeof code === 'string' && { code }),
    message: quotes ? 'it holds something that cannot be read' : message
  }
}
