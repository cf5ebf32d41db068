import type {
  FastifyContextConfig,
  FastifyReply,
  FastifyRequest,
  FastifySchema,
  LogLevel,
  RouteGenericInterface
} from 'fastify'
import type { Dispatcher } from 'undici'
import type { OAuthError } from './errors.ts'
import type { TokenSet } from './oauth/token-set.ts'
import type { Pages } from './pages/pages.ts'
import type { ProviderOptions, RefreshMode, User } from './providers/options.ts'
import type { ProviderName } from './providers/presets/names.ts'
import type { TokensEvent } from './tokens/on-tokens.ts'
import type { TokenStore } from './tokens/stores/token-store.ts'

/** Paths of the plugin's routes, below `prefix`. */
export interface RouteOptions {
  /** Starts a login. Default `/login`; `/login/:provider` is added to it. */
  login?: string
  /** Where the provider sends the browser back after a login. Default `/login/:provider/callback`. */
  callback?: string
  /** Ends the session. Default `/logout`. */
  logout?: string
  /** Where the provider sends the browser back after its own logout. Default `/logout/callback`. */
  loggedOut?: string
  /**
   * Where a provider with OpenID Connect posts its logout tokens. Default `/login/:provider/backchannel-logout`.
   */
  backchannelLogout?: string
  /** Tells scripts who is logged in, and until when, as JSON. Default no such route. */
  session?: string
}

/** The last argument of `onLogin`. */
export interface LoginEvent {
  /** Name of the provider. */
  provider: ProviderName
  /** The user; null if the provider does not say who it is. */
  user: User | null
  /** Claims of the ID token, or the profile. */
  claims: Record<string, unknown>
  /** The token set of the login. */
  tokens: TokenSet
}

/**
 * Why a login has ended: `logout` by the user, `logoutUser` by the app, `backchannel` by the provider's logout token.
 */
export type LogoutReason = 'logout' | 'logoutUser' | 'backchannel'

/** The last argument of `onLogout`. */
export interface LogoutEvent {
  /** Name of the provider that the user logged in with. */
  provider: ProviderName
  /** The user; null if the provider did not say who it is. */
  user: User | null
  /** Why the login has ended. */
  reason: LogoutReason
}

/** A request of any kind of server (http, https or http2), with any logger and type provider. */
export type AnyRequest = FastifyRequest<RouteGenericInterface, any, any, FastifySchema, any, any, any, any>
/** The reply to such a request. */
export type AnyReply = FastifyReply<RouteGenericInterface, any, any, any, any, FastifySchema, any, any>

/** The names of the plugin's routes, for `routeOptions`. */
export type RouteName = 'login' | 'callback' | 'logout' | 'loggedOut' | 'backchannelLogout' | 'session'

/** Fastify's route options for the plugin's own routes. */
export interface OwnRouteOptions {
  /** For plugins that read a route's `config`: `{ rateLimit: { max: 20 } }`. */
  config?: FastifyContextConfig
  /** Default `{ hide: true }`, which keeps the routes out of an API's documentation. */
  schema?: FastifySchema & Record<string, unknown>
  /** The lowest level that is logged. */
  logLevel?: LogLevel
  /** Hooks that run before the route's handler and after the app's own hooks. */
  onRequest?: OwnRouteHook | OwnRouteHook[]
  /** Constraints of the routes, as Fastify has them. */
  constraints?: { version?: string, host?: string | RegExp } & Record<string, unknown>
}

/** An `onRequest` hook, for any kind of server. */
type OwnRouteHook = (this: any, request: any, reply: any, done: any) => void | Promise<unknown>

/** Options of the plugin: `app.register(oauth, options)`. */
export interface PluginOptions {
  /**
   * Public URL of the app, or a function that is called at first use. Redirect URIs are made from it, never from the
   * headers of a request.
   */
  baseUrl: string | (() => string)
  /** The options of each provider by its name, which is part of the routes. */
  providers: Record<ProviderName, ProviderOptions>
  /** The provider that `/login` leads to if there are several. Default a page that lets the user choose. */
  defaultProvider?: ProviderName
  /** Path that the routes are mounted below. Default none. */
  prefix?: string
  /**
   * The name of the decorator of `app` and `request`, and of the session's field for the login. Default `oauth`. A
   * second registration in the same scope, with logins of its own, needs another name and a `prefix`.
   */
  decorator?: string
  /** Paths of the routes, or false for no routes. */
  routes?: RouteOptions | false
  /** Fastify's route options for the plugin's routes, or a function of a route's name that returns them. */
  routeOptions?: OwnRouteOptions | ((route: RouteName) => OwnRouteOptions | undefined)
  /** Fields of the session that are kept when a login gives the session a new id. Default none. */
  keepSessionFields?: readonly string[]
  /** What a call does when its token has expired. Default `auto`. */
  refresh?: RefreshMode
  /**
   * Seconds without a request of the app after which a login ends. Refreshes do not count as requests. Default no
   * limit. A provider's option of the same name takes precedence.
   */
  idleTimeout?: number
  /**
   * Seconds since the login after which it ends, even if it is in use. Default no limit. A provider's option of the
   * same name takes precedence.
   */
  absoluteTimeout?: number
  /** Where token records and pending logins are stored. Default the session's own store. */
  tokenStore?: TokenStore
  /**
   * Seconds for which calls may use the tokens that this process has read last, without reading the store again for
   * each incoming request. A logout or a refresh by another process may be seen that much later. Default 0.
   */
  tokenCacheMaxAge?: number
  /**
   * Keys that encrypt token records and pending logins at rest, of 32 bytes each, as Buffer or base64url. The first
   * encrypts, all decrypt. Default no encryption.
   */
  encryptionKeys?: readonly (Uint8Array | string)[]
  /** Awaited after a login, before the browser is redirected. An error that it throws undoes the login. */
  onLogin?: (request: FastifyRequest, reply: FastifyReply, event: LoginEvent) => unknown
  /** Awaited once for each new token set, after it is stored and before a call is sent with it. */
  onTokens?: (tokens: TokenSet, event: TokensEvent) => unknown
  /**
   * Awaited once for each login that a logout has ended. The request is the user's; with the reason `backchannel` it is
   * the provider's, and there is no reply.
   */
  onLogout?: (request: FastifyRequest, reply: FastifyReply | undefined, event: LogoutEvent) => unknown
  /** Awaited before one of the plugin's routes answers with an error; may send the reply itself. */
  onError?: (request: FastifyRequest, reply: FastifyReply, error: OAuthError) => unknown
  /** Replaces single pages: each function takes data and returns a whole HTML document. */
  pages?: Partial<Pages>
  /** The Dispatcher (of undici 7 or 8) for all outgoing requests. Default an Agent of the plugin's own. */
  dispatcher?: Dispatcher
}
