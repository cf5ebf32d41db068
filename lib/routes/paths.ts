import type { FastifyRequest } from 'fastify'
import type { PluginContext } from '../context.ts'
import { joinPaths } from '../options.ts'
import type { ProviderClient } from '../providers/provider.ts'

/** A path as the browser sees it: behind a proxy that strips the path of `baseUrl`, that path comes first. */
export function publicPath ({ config }: PluginContext, path: string): string {
  return joinPaths(config.baseUrl().pathname, path === '/' ? '' : path) || '/'
}

/**
 * Path and query that the browser asked for, as it wrote them: before `rewriteUrl`, and with the path of `baseUrl` that
 * a proxy has taken off. Of a request target in absolute form (RFC 9112, section 3.2.2) the host is nobody's concern
 * here.
 */
export function requestedPath ({ config }: PluginContext, { originalUrl, url }: FastifyRequest): string {
  const stripped = config.baseUrl().pathname.replace(/\/+$/, '')
  const path = originalUrl.replace(/^https?:\/\/[^/?#]*/i, '').replace(/^(?!\/)/, '/')
    // Node.js hands on bytes that are no ASCII as Latin-1.
    .replace(/[\x80-\xff]/g, byte => `%${byte.charCodeAt(0).toString(16).toUpperCase()}`)
  // An app that takes the path of `baseUrl` off itself was asked with it.
  const whole = originalUrl !== url && path.startsWith(stripped) && /^(?:[/?]|$)/.test(path.slice(stripped.length))
  return whole ? path : stripped + path
}

/** Path of one of the plugin's routes as the browser sees it. */
export function routePath (context: PluginContext, route: 'login' | 'logout' | 'loggedOut'): string {
  const { config } = context
  if (config.routes === false) return publicPath(context, '/')
  return publicPath(context, joinPaths(config.mount, config.routes[route]))
}

/** Path that starts a login at one provider. */
export function loginPath (context: PluginContext, provider: string, returnTo?: string): string {
  const query = returnTo === undefined ? '' : `?${new URLSearchParams({ returnTo })}`
  return `${routePath(context, 'login')}/${provider}${query}`
}

/**
 * The redirect URI of one provider: the registered one, or `baseUrl`, mount and callback route (RFC 6749, section
 * 3.1.2).
 * @param base in place of the `baseUrl` of the options
 */
export function redirectUriOf ({ config }: PluginContext, { config: provider }: ProviderClient, base?: URL): string {
  if (provider.redirectUri !== undefined) return provider.redirectUri
  base ??= config.baseUrl()
  const route = config.routes === false ? '/login/:provider/callback' : config.routes.callback
  return base.origin + joinPaths(base.pathname, config.mount, route.replace(':provider', provider.name))
}
