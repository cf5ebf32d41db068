import { InsecureTransportError, OriginNotAllowedError } from '../errors.ts'
import type { ProviderConfig } from '../options.ts'
import { isSecureUrl } from '../protocol/urls.ts'

// What a URL parser would quietly take away or turn into something else: whoever writes it means no good, or is mistaken.
// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u0020\u007f\\]/
const DOTS = /(?:^|\/)(?:\.|%2e){1,2}(?:\/|$)/i
const ENCODED_SEPARATOR = /%2f|%5c/i

/**
 * Resolves what a handler passes against the first resource server, and refuses what the token must not go to.
 * @throws FST_OAUTH_ORIGIN_NOT_ALLOWED, FST_OAUTH_INSECURE_TRANSPORT
 */
export function resolveResourceUrl (input: string | URL, config: ProviderConfig): URL {
  const url = resolveUrl(input, config)
  assertCovered(url, config)
  return url
}

/**
 * Resolves a URL that no token is sent to: anywhere, but not in plain text.
 * @throws FST_OAUTH_ORIGIN_NOT_ALLOWED where it is written to deceive, FST_OAUTH_INSECURE_TRANSPORT
 */
export function resolveUrl (input: string | URL, config: ProviderConfig): URL {
  const text = typeof input === 'string' ? input : input.href
  const end = text.search(/[?#]/)
  const path = end < 0 ? text : text.slice(0, end)
  if (CONTROL.test(path) || DOTS.test(path) || ENCODED_SEPARATOR.test(path) || path.startsWith('//') || /[\r\n\t]/.test(text)) {
    throw new OriginNotAllowedError(`a URL for provider "${config.name}" holds dot segments, encoded separators, control characters or an authority of its own; pass a plain path or URL`, { provider: config.name, reason: 'suspicious_url' })
  }
  const base = config.resourceServers[0]
  let url: URL
  try {
    url = base === undefined ? new URL(text) : new URL(text, base)
  } catch {
    throw new OriginNotAllowedError(`a URL for provider "${config.name}" cannot be read${base === undefined ? '; list its API under resourceServers to use relative URLs' : ''}`, { provider: config.name, reason: 'invalid_url' })
  }
  assertTransport(url, config)
  return url
}

/**
 * Checks one hop: the token goes there only if a resource server covers it, by origin and whole path segments.
 * @throws FST_OAUTH_ORIGIN_NOT_ALLOWED, FST_OAUTH_INSECURE_TRANSPORT
 */
export function assertResourceUrl (url: URL, config: ProviderConfig): void {
  assertTransport(url, config)
  assertCovered(url, config)
}

function assertCovered (url: URL, config: ProviderConfig): void {
  if (isResourceUrl(url, config)) return
  throw new OriginNotAllowedError(`the token of provider "${config.name}" is not sent to ${url.origin}: no entry of its resourceServers covers that URL; add the API's URL there if it should be`, { provider: config.name, reason: 'not_covered' })
}

/** @throws FST_OAUTH_INSECURE_TRANSPORT where the hop is plain http beyond loopback */
export function assertTransport (url: URL, config: ProviderConfig): void {
  if (isSecureUrl(url) || (config.allowInsecureRequests && url.protocol === 'http:')) return
  throw new InsecureTransportError(`a call with the token of provider "${config.name}" would go over ${url.protocol}//; use https`, { provider: config.name })
}

/** Tells whether a resource server covers a URL. */
export function isResourceUrl (url: URL, { resourceServers }: ProviderConfig): boolean {
  if (url.username !== '' || url.password !== '' || ENCODED_SEPARATOR.test(url.pathname)) return false
  return resourceServers.some(({ origin, pathname }) =>
    url.origin === origin && (url.pathname.startsWith(pathname) || `${url.pathname}/` === pathname))
}
