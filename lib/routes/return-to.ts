import type { FastifyRequest } from 'fastify'

/** Characters of a path to come back to, at most, after a login: it is part of a URL on the way to the login route. */
export const MAX_RETURN_TO = 4096
/** The same after a logout, where a cookie of 4 KB remembers it while the browser is at the provider. */
export const MAX_LOGOUT_RETURN_TO = 2048

const DOT_SEGMENT = /^[^?#]*\/(?:\.|%2e){1,2}(?:[/?#]|$)/i

/**
 * Turns what a request asks to come back to into a path of the app, or undefined where it is anything else. Only a path
 * on the app's own origin is followed, byte for byte; what a browser would read otherwise than we do is refused.
 * Non-ASCII characters and dot segments come out as the browser sends them (RFC 3986, section 6.2.2).
 * @param base the app's public URL
 * @param limit characters of `value`, at most
 */
export function safeReturnTo (value: unknown, base: URL, limit = MAX_RETURN_TO): string | undefined {
  if (typeof value !== 'string' || value === '' || value.length > limit) return undefined
  // Browsers drop tabs and line breaks out of a URL, and read `\` as `/` before the query.
  // eslint-disable-next-line no-control-regex
  if (/[\u0000-\u0020\u007f]/.test(value) || /^[^?#]*\\/.test(value)) return undefined
  // Two slashes are another origin: each of the two checks, here and below, would do.
  const path = value.startsWith(`${base.origin}/`) ? value.slice(base.origin.length) : value
  if (!path.startsWith('/') || path.startsWith('//') || !URL.canParse(path, base.origin)) return undefined
  const url = new URL(path, base.origin)
  // `/.//evil` is on our origin, and its pathname, sent as a Location, is not.
  if (url.origin !== base.origin || url.username !== '' || url.pathname.startsWith('//')) return undefined
  const exact = /^[\x21-\x7e]+$/.test(path) && !DOT_SEGMENT.test(path)
  const sent = exact ? path : url.pathname + url.search + url.hash
  return sent.length > limit ? undefined : sent
}

/**
 * The same for a value that stands in a request; one that is not followed is told in the log, without the value itself.
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

/** Tells in the log that the browser does not come back to where it was to. */
export function warnOfReturnTo (request: FastifyRequest, length: number, limit: number): void {
  request.log.warn({ length, limit }, 'the path to come back to is not followed, and the start page takes its place: ' +
    `only a path of this app is, of ${limit} characters at most`)
}
