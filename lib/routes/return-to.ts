import type { FastifyRequest } from 'fastify'
import { logOf } from '../util/logger.ts'

/** Characters, at most, of a path to come back to after a login: it is a parameter of the login route's URL. */
export const MAX_RETURN_TO = 4096
/** The same after a logout, where a cookie of 4 KB remembers it while the browser is at the provider. */
export const MAX_LOGOUT_RETURN_TO = 2048

const DOT_SEGMENT = /^[^?#]*\/(?:\.|%2e){1,2}(?:[/?#]|$)/i

/**
 * The path of the app that a request asks to come back to; undefined if it is anything else. A path on the app's own
 * origin is kept byte for byte; what browsers may read as another URL is refused.
 * Non-ASCII characters and dot segments come out as the browser sends them (RFC 3986, section 6.2.2).
 * @param base the app's public URL
 * @param limit characters of `value`, at most
 */
export function safeReturnTo (value: unknown, base: URL, limit = MAX_RETURN_TO): string | undefined {
  if (typeof value !== 'string' || value === '' || value.length > limit) return undefined
  // Browsers remove tabs and line breaks from a URL, and read `\` as `/` before the query.
  // eslint-disable-next-line no-control-regex
  if (/[\u0000-\u0020\u007f]/.test(value) || /^[^?#]*\\/.test(value)) return undefined
  // `//` begins another origin; `url.origin` below would show it too.
  const path = value.startsWith(`${base.origin}/`) ? value.slice(base.origin.length) : value
  if (!path.startsWith('/') || path.startsWith('//') || !URL.canParse(path, base.origin)) return undefined
  const url = new URL(path, base.origin)
  // `/.//evil` is on this origin, but its pathname, sent as a Location, leads to another one.
  if (url.origin !== base.origin || url.username !== '' || url.pathname.startsWith('//')) return undefined
  const exact = /^[\x21-\x7e]+$/.test(path) && !DOT_SEGMENT.test(path)
  const sent = exact ? path : url.pathname + url.search + url.hash
  return sent.length > limit ? undefined : sent
}

/**
 * The same, with a warning in the log, without the value itself, if there is a value that is not followed.
 */
export function readReturnTo (
  request: FastifyRequest,
  value: unknown,
  base: URL,
  limit = MAX_RETURN_TO
): string | undefined {
  const path = safeReturnTo(value, base, limit)
  if (path === undefined && typeof value === 'string' && value !== '') warnOfReturnTo(request, value.length, limit)
  return path
}

/** Warns in the log that the browser is led to the start page in place of the path that was asked for. */
export function warnOfReturnTo (request: FastifyRequest, length: number, limit: number): void {
  const message = 'the path to come back to is not followed, and the start page takes its place: it has to be a path ' +
    `of this app, of at most ${limit} characters`
  logOf(request).warn({ event: 'return_to_refused', length, limit }, message)
}
