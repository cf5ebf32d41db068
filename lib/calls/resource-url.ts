import { InsecureTransportError, type OAuthError, OriginNotAllowedError } from '../errors.ts'
import { isSecureUrl } from '../oauth/urls.ts'
import type { ProviderConfig } from '../providers/config.ts'

// Reject ambiguous paths: what a URL parser would remove or change without a word. Escapes count however often they are
// escaped, and what may be cut off after a segment's dots (`..;a`, `..%00`) does not hide them: some servers undo both.
// A scheme does not hide them either: `https:..` is relative to a base of the same scheme.
// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u001f\u007f\\]|^\u0020|\u0020$/
const DOTS = /(?:^(?:[a-z][\w+.-]*:)?|\/)(?:\.|%(?:25)*2e){1,2}(?:(?:;|%(?:25)*(?:3b|[01][\da-f]))[^/]*)?(?:\/|$)/i
const ENCODED_SEPARATOR = /%(?:25)*(?:2f|5c)/i
// `%2F` at the edge of a segment, or beside another: decoded, it makes an empty segment, which servers read in
// different ways.
const SLASH_AT_EDGE = /(?:^|\/|%2f)%2f|%2f(?:\/|$)/i
// Names, slashes and a plain query mean nothing else to a parser: what it makes of them is known.
const PLAIN = /^\w[\w/-]*(?:\?[\w=&%+,.:@/-]*)?$/

/**
 * Resolves what a handler passes against the first resource server, and refuses what the token must not go to.
 * @throws FST_OAUTH_ORIGIN_NOT_ALLOWED, FST_OAUTH_INSECURE_TRANSPORT
 */
export function resolveResourceUrl (input: string | URL, config: ProviderConfig): URL {
  const base = config.resourceServers[0]
  if (base !== undefined && typeof input === 'string' && PLAIN.test(input)) return new URL(base.href + input)
  const url = resolveUrl(input, config)
  if (!isResourceUrl(url, config, true)) {
    throw notCovered(url, config, typeof input === 'string' && input.startsWith('/'))
  }
  return url
}

/**
 * Resolves a URL that no token is sent to: anywhere, but not in plain text.
 * @throws FST_OAUTH_ORIGIN_NOT_ALLOWED where it is written to deceive, FST_OAUTH_INSECURE_TRANSPORT
 */
export function resolveUrl (input: string | URL, config: ProviderConfig): URL {
  const text = typeof input === 'string' ? input : input?.href
  const base = config.resourceServers[0]
  if (typeof text !== 'string' || !URL.canParse(text, base?.href)) {
    throw new OriginNotAllowedError(
      `a URL for provider "${config.name}" cannot be ` +
        `read${base === undefined ? '; list its API under resourceServers to use relative URLs' : ''}`,
      { provider: config.name, reason: 'invalid_url' }
    )
  }
  const end = text.search(/[?#]/)
  const path = end < 0 ? text : text.slice(0, end)
  const refused = (what: string) =>
    new OriginNotAllowedError(`a URL for provider "${config.name}" ${what}`, {
      provider: config.name,
      reason: 'suspicious_url'
    })
  if (CONTROL.test(path) || DOTS.test(path) || path.startsWith('//') || /[\r\n\t]/.test(text)) {
    throw refused(
      'holds dot segments, encoded separators, control characters or an authority of its own; pass a plain path or URL'
    )
  }
  if (ENCODED_SEPARATOR.test(path) && !isResourceUrl(new URL(text, base), config, true)) {
    throw refused(
      'holds an encoded slash or backslash; where its API wants %2F inside a segment, write { url, encodedSlashes: ' +
        'true } into resourceServers'
    )
  }
  const url = new URL(text, base)
  assertTransport(url, config)
  return url
}

/**
 * Checks a URL of the app's own: the token goes there only if a resource server covers it, by origin and whole path
 * segments.
 * @throws FST_OAUTH_ORIGIN_NOT_ALLOWED, FST_OAUTH_INSECURE_TRANSPORT
 */
export function assertResourceUrl (url: URL, config: ProviderConfig): void {
  assertTransport(url, config)
  if (!isResourceUrl(url, config, true)) throw notCovered(url, config)
}

function notCovered (url: URL, { name, resourceServers }: ProviderConfig, fromRoot = false): OAuthError {
  const hint =
    fromRoot && url.origin === resourceServers[0]?.origin
      ? "a path that starts with '/' starts at the origin, so leave the slash away"
      : "add the API's URL there if it should be"
  return new OriginNotAllowedError(
    `the token of provider "${name}" is not sent to ${url.origin}: no entry of its resourceServers covers that ` +
      `URL; ${hint}`,
    { provider: name, reason: 'not_covered' }
  )
}

/** @throws FST_OAUTH_INSECURE_TRANSPORT where the hop is plain http beyond loopback */
export function assertTransport (url: URL, config: ProviderConfig): void {
  if (isSecureUrl(url) || (config.allowInsecureRequests && url.protocol === 'http:')) return
  throw new InsecureTransportError(
    `a call with the token of provider "${config.name}" would go over ${url.protocol}; use https`,
    { provider: config.name }
  )
}

/**
 * Tells whether a resource server covers a URL.
 * @param written the app itself wrote the URL, which may then hold `%2F` where the entry asks for it; a redirect may
 *   not
 */
export function isResourceUrl (url: URL, config: ProviderConfig, written = false): boolean {
  const { resourceServers, encodedSlashes, userinfoResource } = config
  if (url.username !== '' || url.password !== '' || DOTS.test(url.pathname)) return false
  const encoded = ENCODED_SEPARATOR.test(url.pathname)
  if (!encoded && userinfoResource?.origin === url.origin && userinfoResource.pathname === url.pathname) return true
  return resourceServers.some((entry) => {
    if (url.origin !== entry.origin) return false
    if (!encoded) return url.pathname.startsWith(entry.pathname) || `${url.pathname}/` === entry.pathname
    return written && encodedSlashes?.includes(entry) === true && url.pathname.startsWith(entry.pathname) &&
      hasPlainSlashes(url.pathname.slice(entry.pathname.length))
  })
}

/**
 * Tells whether what is encoded in a path is `%2F` inside segments and nothing else, and means the same when it is
 * decoded.
 */
function hasPlainSlashes (path: string): boolean {
  if (SLASH_AT_EDGE.test(path)) return false
  const decoded = path.replace(/%2f/gi, '/')
  return !ENCODED_SEPARATOR.test(decoded) && !DOTS.test(decoded)
}
