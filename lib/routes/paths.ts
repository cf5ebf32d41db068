import type { FastifyRequest } from 'fastify'
import type { PluginContext } from '../context.ts'
import type { ProviderConfig } from '../providers/config.ts'
import type { ProviderClient } from '../providers/provider.ts'
import { joinPaths } from '../util/url-paths.ts'

/** A path as the browser sees it: behind a proxy that strips the path of `baseUrl`, that path comes first. */
export function publicPath ({ config }: PluginContext, path: string): string {
  return joinPaths(config.baseUrl().pathname, path === '/' ? '' : path) || '/'
}

/**
 * Path and query that the browser asked for, as it wrote them: before `rewriteUrl`, and with the path of `baseUrl` that
 * a proxy has taken off. The host of a request target in absolute form (RFC 9112, section 3.2.2) is left out.
 */
export function requestedPath ({ config }: PluginContext, { originalUrl, url }: FastifyRequest): string {
  const stripped = config.baseUrl().pathname.replace(/\/+$/, '')
  const path = originalUrl.replace(/^https?:\/\/[^/?#]*/i, '').replace(/^(?!\/)/, '/')
    // Node.js reads bytes that are not ASCII as Latin-1.
    .replace(/[\x80-\xff]/g, byte => `%${byte.charCodeAt(0).toString(16).toUpperCase()}`)
  // If the app itself takes the path of `baseUrl` off, it is still in the original URL.
  const whole = originalUrl !== url && path.startsWith(stripped) && /^(?:[/?]|$)/.test(path.slice(stripped.length))
  return whole ? path : stripped + path
}

/** Path of one of the plugin's routes as the browser sees it. */
export function routePath (context: PluginContext, route: 'login' | 'logout' | 'loggedOut'): string {
  const { config } = context
  if (config.routes === false) return publicPath(context, '/')
  return publicPath(context, joinPaths(config.mount, config.routes[route]))
}

/** Path that starts a login, at one provider if that is given. */
export function loginPath (context: PluginContext, provider?: string, returnTo?: string, display?: 'popup'): string {
  const params = { ...(returnTo !== undefined && { returnTo }), ...(display !== undefined && { display }) }
  const query = returnTo === undefined && display === undefined ? '' : `?${new URLSearchParams(params)}`
  return `${routePath(context, 'login')}${provider === undefined ? '' : `/${provider}`}${query}`
}

/** Those of the `baseUrl` of the options, which does not change once it is known. */
const redirectUris = new WeakMap<ProviderConfig, string>()

/**
 * The redirect URI of one provider: the registered one, or `baseUrl`, mount and callback route (RFC 6749, section
 * 3.1.2).
 * @param base in place of the `baseUrl` of the options
 */
export function redirectUriOf ({ config }: PluginContext, { config: provider }: ProviderClient, base?: URL): string {
  if (provider.redirectUri !== undefined) return provider.redirectUri
  const known = base === undefined ? redirectUris.get(provider) : undefined
  if (known !== undefined) return known
  const { origin, pathname } = base ?? config.baseUrl()
  const route = config.routes === false ? '/login/:provider/callback' : config.routes.callback
  const uri = origin + joinPaths(pathname, config.mount, route.replace(':provider', provider.name))
  if (base === undefined) redirectUris.set(provider, uri)
  return uri
}

/** Where a provider posts its logout tokens; undefined if there are no routes. @param base the app's public URL */
export function backchannelLogoutUriOf (
  { config }: PluginContext, { name }: ProviderClient, { origin, pathname }: URL
): string | undefined {
  if (config.routes === false) return undefined
  return origin + joinPaths(pathname, config.mount, config.routes.backchannelLogout.replace(':provider', name))
}

// A path is written in two ways: percent-encoded, as in a URL (redirect URIs and links), and as Fastify's router takes
// it (routes), decoded and with `:` and `*` for what varies.

/** Escapes that the router does not decode before it compares: of `/`, `?`, `:` and other reserved characters. */
const RESERVED_ESCAPE = /%(?:2[3-46BCF]|3[ABDF]|40)/i

/**
 * The path of a URL as a route that matches it and nothing else.
 * @returns undefined if its escapes cannot be decoded
 */
export function literalRoute (path: string): string | undefined {
  const segments = path.split('/').map(literalSegment)
  return segments.includes(undefined) ? undefined : segments.join('/')
}

/** A path of the option `routes`, written as in a URL, as a route; segments with a parameter stay as they are. */
export function routePattern (path: string): string {
  return path
    .split('/')
    .map((segment, index) => (segment.includes(':') ? segment : (literalSegment(segment, index) ?? segment)))
    .join('/')
}

// What cannot be written as plain text in a route is a parameter with one value.
function literalSegment (segment: string, index: number): string | undefined {
  const text = decode(segment)
  if (text === undefined) return undefined
  if (!RESERVED_ESCAPE.test(segment) && !text.includes('*')) return text.replaceAll(':', '::')
  const pattern = text
    .split('')
    .map(character =>
      /\w/.test(character) ? character : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
    )
  return `:literal${index}(^${pattern.join('')}$)`
}

/**
 * The part of a path below a base, both as in a URL.
 * @returns the rest with a slash before it, empty if the two are the same, or undefined if it is not below
 */
export function pathBelow (path: string, base: string): string | undefined {
  const parts = path.split('/')
  const first = base.replace(/\/+$/, '').split('/')
  if (first.some((segment, index) => parts[index] === undefined || decode(segment) !== decode(parts[index]))) {
    return undefined
  }
  const rest = parts.slice(first.length)
  return rest.length === 0 ? '' : `/${rest.join('/')}`
}

function decode (segment: string): string | undefined {
  try {
    return decodeURIComponent(segment)
  } catch {
    return undefined
  }
}
