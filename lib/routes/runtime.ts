import type { FastifyRequest } from 'fastify'
import type { AppProvider } from '../client/app-provider.ts'
import type { Clock } from '../client/clock.ts'
import type { ProviderClient } from '../client/provider-client.ts'
import type { Logger, Refresher } from '../client/refresher.ts'
import type { TokenUpdater } from '../client/token-updater.ts'
import type { Transport } from '../client/transport.ts'
import { UnknownProviderError, type OAuthError } from '../errors.ts'
import { joinPaths, type Configuration } from '../options.ts'
import type { SessionLogins } from '../session/accounts.ts'
import type { DeadSessions } from '../session/dead-sessions.ts'
import type { LoginRecords } from '../session/login-records.ts'
import type { PendingLogins } from '../session/pending-logins.ts'
import type { SessionCookie } from '../session/session-cookie.ts'
import type { SessionStore } from '../session/session-token-store.ts'
import type { TokenRecords } from '../session/token-records.ts'
import type { UserLogins } from '../session/user-logins.ts'
import type { LoginThrottle } from './login-throttle.ts'
import type { Pages } from './pages.ts'

/** What the plugin's parts share: made once at registration. */
export interface Runtime {
  readonly config: Configuration
  readonly providers: ReadonlyMap<string, ProviderClient>
  readonly appProviders: ReadonlyMap<string, AppProvider>
  /** All registrations below the same @fastify/session, this one among them. */
  readonly registrations: readonly Runtime[]
  /** The logins that this registration keeps in sessions. */
  readonly sessionLogins: SessionLogins
  readonly records: TokenRecords
  readonly pendingLogins: PendingLogins
  readonly deadSessions: DeadSessions
  readonly sessionCookie: SessionCookie
  readonly loginRecords: LoginRecords
  readonly userLogins: UserLogins
  readonly throttle: LoginThrottle
  readonly sessionStore: () => SessionStore
  readonly refresher: Refresher
  readonly updater: TokenUpdater
  readonly transport: Transport
  readonly clock: Clock
  readonly log: Logger
  readonly pages: Pages
  /** Work that goes on behind an answer and has to be over before the app closes. */
  readonly background: Set<Promise<unknown>>
}

/** @throws FST_OAUTH_UNKNOWN_PROVIDER */
export function providerOf (runtime: Runtime, name: string): ProviderClient {
  const provider = runtime.providers.get(name)
  if (provider === undefined) throw unknownProvider()
  return provider
}

/** A path as the browser sees it: behind a proxy that strips the path of `baseUrl`, that path comes first. */
export function publicPath ({ config }: Runtime, path: string): string {
  return joinPaths(config.baseUrl().pathname, path === '/' ? '' : path) || '/'
}

// A visitor can ask for any name, and is told none.
function unknownProvider (): OAuthError {
  return new UnknownProviderError('there is no provider of that name among the plugin\'s `providers`')
}

const INTERACTIVE = ['authorization_code', 'implicit', 'password']

/** Whether a person logs in there. */
export function isInteractive ({ config }: ProviderClient): boolean {
  return INTERACTIVE.includes(config.grantType)
}

/**
 * The provider that a visitor's URL names. One where nobody logs in is none to a visitor, who is told no other names either.
 * @throws FST_OAUTH_UNKNOWN_PROVIDER
 */
export function visitorsProvider (runtime: Runtime, name: string): ProviderClient {
  const provider = runtime.providers.get(name)
  if (provider === undefined || !isInteractive(provider)) throw unknownProvider()
  return provider
}

/**
 * Path and query that the browser asked for, as it wrote them: before `rewriteUrl`, and with the path of `baseUrl` that a
 * proxy has taken off. Of a request target in absolute form (RFC 9112, section 3.2.2) the host is nobody's concern here.
 */
export function requestedPath ({ config }: Runtime, { originalUrl, url }: FastifyRequest): string {
  const stripped = config.baseUrl().pathname.replace(/\/+$/, '')
  const path = originalUrl.replace(/^https?:\/\/[^/?#]*/i, '').replace(/^(?!\/)/, '/')
    // Node.js hands on bytes that are no ASCII as Latin-1.
    .replace(/[\x80-\xff]/g, byte => `%${byte.charCodeAt(0).toString(16).toUpperCase()}`)
  // An app that takes the path of `baseUrl` off itself was asked with it.
  const whole = originalUrl !== url && path.startsWith(stripped) && /^(?:[/?]|$)/.test(path.slice(stripped.length))
  return whole ? path : stripped + path
}

/** Path of one of the plugin's routes as the browser sees it. */
export function routePath (runtime: Runtime, route: 'login' | 'logout' | 'loggedOut'): string {
  const { config } = runtime
  if (config.routes === false) return publicPath(runtime, '/')
  return publicPath(runtime, joinPaths(config.mount, config.routes[route]))
}

/** Path that starts a login at one provider. */
export function loginPath (runtime: Runtime, provider: string, returnTo?: string): string {
  const query = returnTo === undefined ? '' : `?${new URLSearchParams({ returnTo })}`
  return `${routePath(runtime, 'login')}/${provider}${query}`
}

/**
 * The redirect URI of one provider: the registered one, or `baseUrl`, mount and callback route (RFC 6749, section 3.1.2).
 * @param base in place of the `baseUrl` of the options
 */
export function redirectUriOf ({ config }: Runtime, { config: provider }: ProviderClient, base?: URL): string {
  if (provider.redirectUri !== undefined) return provider.redirectUri
  base ??= config.baseUrl()
  const route = config.routes === false ? '/login/:provider/callback' : config.routes.callback
  return base.origin + joinPaths(base.pathname, config.mount, route.replace(':provider', provider.name))
}
