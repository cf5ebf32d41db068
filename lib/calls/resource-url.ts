import { InsecureTransportError, type OAuthError, OriginNotAllowedError } from '../errors.ts'
import { type RequestTarget, targetOf } from '../http/transport.ts'
import { isSecureUrl } from '../oauth/urls.ts'
import type { ProviderConfig } from '../providers/config.ts'

// Reject ambiguous paths: parts that a URL parser would remove or change. Repeated escaping counts, and so do dots with
// a suffix that some servers cut off (`..;a`, `..%00`), or with a scheme before them: `https:..` is relative to a base
// of the same scheme.
// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u001f\u007f\\]|^\u0020|\u0020$/
const DOTS = /(?:^(?:[a-z][\w+.-]*:)?|\/)(?:\.|%(?:25)*2e){1,2}(?:(?:;|%(?:25)*(?:3b|[01][\da-f]))[^/]*)?(?:\/|$)/i
const ENCODED_SEPARATOR = /%(?:25)*(?:2f|5c)/i
// `%2F` at the edge of a segment, or beside another, decodes to an empty segment, which servers read differently.
const SLASH_AT_EDGE = /(?:^|\/|%2f)%2f|%2f(?:\/|$)/i
// Names, slashes and a plain query are parsed the same everywhere.
const PLAIN = /^\w[\w/-]*(?:\?[\w=&%+,.:@/-]+)?$/

/**
 * Resolves a handler's URL against the first resource server, and refuses one that the token must not be sent to.
 * @throws FST_OAUTH_ORIGIN_NOT_ALLOWED, FST_OAUTH_INSECURE_TRANSPORT
 */
export function resolveResourceUrl (input: string | URL, config: ProviderConfig): RequestTarget {
  if (typeof input === 'string') {
    const [first] = config.resourceBases
    if (first !== undefined && PLAIN.test(input)) return { origin: first.origin, path: first.path + input }
    // A plain path below a base is covered by it, and need not be parsed either.
    for (const { href, origin, path } of config.resourceBases) {
      const rest = input.startsWith(href) ? input.slice(href.length) : ''
      if (PLAIN.test(rest)) return { origin, path: path + rest }
    }
  }
  const url = resolveUrl(input, config)
  if (!isResourceUrl(url, config, true)) {
    throw notCovered(url, config, typeof input === 'string' && input.startsWith('/'))
  }
  return targetOf(url)
}

/**
 * Resolves a URL that no token is sent to: any server, but not over plain http.
 * @throws FST_OAUTH_ORIGIN_NOT_ALLOWED if it is ambiguous, FST_OAUTH_INSECURE_TRANSPORT
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
 * Checks that a resource server covers a URL that the app wrote, by origin and whole path segments.
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

/** @throws FST_OAUTH_INSECURE_TRANSPORT if the hop is plain http beyond loopback */
export function assertTransport (url: URL, config: ProviderConfig): void {
  if (isSecureUrl(url) || (config.allowInsecureRequests && url.protocol === 'http:')) return
  throw new InsecureTransportError(
    `a call with the token of provider "${config.name}" would go over ${url.protocol}; use https`,
    { provider: config.name }
  )
}

/**
 * Tells whether a resource server covers a URL.
 * @param written whether the app itself wrote the URL: it may hold `%2F` where the entry allows it, a redirect may not
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
 * Tells whether the only encoded separators of a path are `%2F` inside segments, and the path stays unambiguous when it
 * is decoded.
 */
function hasPlainSlashes (path: string): boolean {
  if (SLASH_AT_EDGE.test(path)) return false
  const decoded = path.replace(/%2f/gi, '/')
  return !ENCODED_SEPARATOR.test(decoded) && !DOTS.test(decoded)
}
