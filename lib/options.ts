import type {
  FastifyContextConfig,
  FastifyReply,
  FastifyRequest,
  FastifySchema,
  LogLevel,
  RouteGenericInterface
} from 'fastify'
import type { Dispatcher } from 'undici'
import { InvalidOptionsError, type OAuthError } from './errors.ts'
import type { Pages } from './pages/pages.ts'
import { isPostedMode } from './oauth/response-mode.ts'
import type { TokenSet } from './oauth/token-set.ts'
import { isSecureUrl } from './oauth/urls.ts'
import { checkProviderName, type ProviderConfig, resolveProvider } from './providers/config.ts'
import { OptionChecker, tryUrl } from './providers/option-checker.ts'
import * as is from './providers/option-checks.ts'
import type { ProviderOptions, RefreshMode, User } from './providers/options.ts'
import type { ProviderName } from './providers/presets/names.ts'
import type { TokensEvent } from './tokens/on-tokens.ts'
import { parseEncryptionKeys } from './tokens/stores/encrypted-store.ts'
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

/** The paths of the routes, checked, with defaults. */
export type ResolvedRoutes = Required<Omit<RouteOptions, 'session'>> & Pick<RouteOptions, 'session'>

/** What `onLogin` gets of a login. */
export interface LoginEvent {
  /** Name of the provider. */
  provider: ProviderName
  /** The user; null where the provider told none. */
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

/** What `onLogout` gets of a logout. */
export interface LogoutEvent {
  /** Name of the provider that was logged in with. */
  provider: ProviderName
  /** The user; null where the provider told none. */
  user: User | null
  /** Why the login has ended. */
  reason: LogoutReason
}

/** A request on any kind of server: http, https or http2, with a logger and a type provider of the app's own. */
export type AnyRequest = FastifyRequest<RouteGenericInterface, any, any, FastifySchema, any, any, any, any>
/** The reply to one. */
export type AnyReply = FastifyReply<RouteGenericInterface, any, any, any, any, FastifySchema, any, any>

/** The names under which `routeOptions` knows the plugin's routes. */
export type RouteName = 'login' | 'callback' | 'logout' | 'loggedOut' | 'backchannelLogout' | 'session'

/** Route options of Fastify for the plugin's own routes. */
interface OwnRouteOptions {
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
  /** The provider that `/login` leads to where there are several. Default a page that lets the user choose. */
  defaultProvider?: ProviderName
  /** Path below which the routes are. Default none. */
  prefix?: string
  /**
   * The name under which `app` and `request` have the plugin, and the session its login. Default `oauth`. A second
   * registration in one scope, with logins of its own, needs another name and a `prefix`.
   */
  decorator?: string
  /** Paths of the routes, or false for no routes. */
  routes?: RouteOptions | false
  /** Route options of Fastify for the plugin's routes, or a function of a route's name that returns them. */
  routeOptions?: OwnRouteOptions | ((route: RouteName) => OwnRouteOptions | undefined)
  /** Fields of the session that are kept when a login gives the session a new id. Default none. */
  keepSessionFields?: readonly string[]
  /** What happens when a token has expired. Default `auto`. */
  refresh?: RefreshMode
  /**
   * Seconds without a request of the app after which a login is over. A refresh is no request. Default no end. The
   * provider's option of this name wins, as does that of the next one.
   */
  idleTimeout?: number
  /** Seconds since the login after which it is over, whatever was refreshed. Default no end. */
  absoluteTimeout?: number
  /** Where token records and pending logins are kept. Default the store of the session. */
  tokenStore?: TokenStore
  /**
   * Seconds for which a call uses the tokens that this process has read, in place of a read for each incoming request:
   * for so long it may not see a logout or a refresh of another process. Default 0.
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
   * Awaited after a logout has taken effect, once a login. The request is the user's; with reason `backchannel` it is
   * the provider's, and there is no reply.
   */
  onLogout?: (request: FastifyRequest, reply: FastifyReply | undefined, event: LogoutEvent) => unknown
  /** Awaited before one of the plugin's routes answers with an error; may send the reply itself. */
  onError?: (request: FastifyRequest, reply: FastifyReply, error: OAuthError) => unknown
  /** Replaces single pages: each function takes data and returns a whole HTML document. */
  pages?: Partial<Pages>
  /** The Dispatcher, of undici 7 or 8, of every outgoing request. Default an Agent of the plugin's own. */
  dispatcher?: Dispatcher
}

/** The plugin's options, checked, with defaults, frozen. */
export interface Configuration extends Omit<
  PluginOptions,
  | 'defaultProvider'
  | 'providers'
  | 'baseUrl'
  | 'routes'
  | 'prefix'
  | 'decorator'
  | 'keepSessionFields'
  | 'tokenCacheMaxAge'
  | 'encryptionKeys'
  | 'routeOptions'
> {
  readonly baseUrl: () => URL
  /** The same where it is known before the first request. */
  readonly staticBaseUrl: URL | undefined
  readonly providers: ReadonlyMap<string, ProviderConfig>
  readonly defaultProvider: string | undefined
  readonly decorator: string
  /** Everything before a route's own path: the scope's prefix and `prefix`. */
  readonly mount: string
  readonly routes: ResolvedRoutes | false
  /** What the app adds to one of the plugin's routes. */
  readonly routeOptions: (route: RouteName) => OwnRouteOptions
  readonly keepSessionFields: string[]
  readonly tokenCacheMaxAge: number
  readonly encryptionKeys: readonly Buffer[] | undefined
}

/** What options have to fit in the app around the plugin. */
export interface HostApp {
  hasSession: boolean
  /** The session cookie's settings, where they could be read: `auto` is secure on https alone. */
  cookie?: { path: string, secure: boolean | 'auto' }
  /** Prefix of the scope that the plugin is registered in. */
  scopePrefix: string
  /** What has a decorator's name already; undefined where it is free. */
  takenBy?: (decorator: string) => string | undefined
}

/** How each option is checked; null where `resolveOptions` completes it as well. */
const OPTIONS: Record<keyof PluginOptions, is.OptionCheck<any> | null> = {
  baseUrl: null,
  providers: null,
  defaultProvider: null,
  prefix: null,
  decorator: null,
  routes: null,
  routeOptions: (check, path, value) => { if (typeof value !== 'function') checkRouteOptions(value, check, path) },
  keepSessionFields: is.list,
  refresh: is.oneOf('auto', 'notify', 'manual'),
  idleTimeout: is.number(1),
  absoluteTimeout: is.number(1),
  tokenStore: is.methods<keyof TokenStore>('get', 'set', 'consume', 'touch', 'delete'),
  tokenCacheMaxAge: is.number(0),
  encryptionKeys: null,
  onLogin: is.func,
  onTokens: is.func,
  onLogout: is.func,
  onError: is.func,
  pages: is.functions<keyof Pages>('chooser', 'error', 'logoutConfirmation', 'loggedOut', 'loginForm', 'onward'),
  dispatcher: (check, path, value) => check.dispatcher(path, value)
}
// Options that every plugin may get: from Fastify's `register`, from avvio (`name`), and from fastify-cli with
// --options and @fastify/autoload, which pass on the options of the server.
const PASSED_ALONG = new Set([
  'logLevel',
  'logSerializers',
  'name',
  'skipOverride',
  'ajv',
  'allowErrorHandlerOverride',
  'allowUnsafeRegex',
  'bodyLimit',
  'caseSensitive',
  'childLoggerFactory',
  'clientErrorHandler',
  'connectionTimeout',
  'constraints',
  'disableRequestLogging',
  'exposeHeadRoutes',
  'forceCloseConnections',
  'frameworkErrors',
  'genReqId',
  'handlerTimeout',
  'http',
  'http2',
  'http2SessionTimeout',
  'https',
  'ignoreDuplicateSlashes',
  'ignoreTrailingSlash',
  'jsonShorthand',
  'keepAliveTimeout',
  'logController',
  'logger',
  'loggerInstance',
  'maxParamLength',
  'maxRequestsPerSocket',
  'onConstructorPoisoning',
  'onProtoPoisoning',
  'pluginTimeout',
  'querystringParser',
  'requestIdHeader',
  'requestIdLogLabel',
  'requestTimeout',
  'return503OnClosing',
  'rewriteUrl',
  'routerOptions',
  'schemaController',
  'schemaErrorFormatter',
  'serializerOpts',
  'serverFactory',
  'trustProxy',
  'useSemicolonDelimiter'
])
const ROUTE_OPTIONS = ['config', 'schema', 'logLevel', 'onRequest', 'constraints']
const ROUTES: ResolvedRoutes = {
  login: '/login',
  callback: '/login/:provider/callback',
  logout: '/logout',
  loggedOut: '/logout/callback',
  backchannelLogout: '/login/:provider/backchannel-logout'
}

/**
 * Checks and completes the options.
 * @param onBaseUrl called once, when a `baseUrl` that is a function has returned its value
 * @throws FST_OAUTH_INVALID_OPTIONS that lists all mistakes, each with its option's path and what to write instead
 */
export function resolveOptions (
  options: PluginOptions,
  host: HostApp,
  onBaseUrl: () => void = () => {}
): Configuration {
  const check = new OptionChecker()
  if (!host.hasSession) {
    check.add(
      '@fastify/session',
      'is not registered; register @fastify/cookie and @fastify/session before fastify-oauth-session'
    )
  }
  check.object('options', options)
  check.known('', options, Object.keys(OPTIONS), PASSED_ALONG)
  for (const [name, checkOption] of Object.entries(OPTIONS)) {
    checkOption?.(check, name, options?.[name as keyof PluginOptions], {} as ProviderOptions)
  }

  const baseUrl = checkBaseUrl(options, check)
  const decorator = checkDecorator(options.decorator, host, check)
  keepSessionFields(check, options.keepSessionFields, decorator)
  const mount = joinPaths(fastifyPath(host.scopePrefix), checkPath('prefix', options.prefix ?? '', check))
  const providers = new Map<string, ProviderConfig>()
  const given = check.object('providers', options.providers)
  const entries = Object.entries(given ?? {})
  if (given !== undefined && entries.length === 0) {
    check.add('providers', 'names no provider; give at least one, such as { acme: { issuer, clientId, clientSecret } }')
  }
  for (const [name, provider] of entries) {
    if (typeof provider === 'function') {
      check.add(`providers.${name}`, 'is a function; call it, as in github({ clientId, clientSecret })')
    } else if (check.object(`providers.${name}`, provider) !== undefined) {
      checkProviderName(name, check)
      providers.set(name, resolveProvider(name, provider, check))
    }
  }

  const { defaultProvider } = options
  if (defaultProvider !== undefined && !providers.has(defaultProvider)) {
    check.add(
      'defaultProvider',
      `is "${String(defaultProvider)}", which is not among the providers; write one of ` +
        `${[...providers.keys()].join(', ')}`
    )
  }
  const routes = checkRoutes(options.routes, providers.size, check)
  const encryptionKeys = checkEncryptionKeys(options.encryptionKeys, check)
  if (routes !== false && check.isValid) checkSessionCookie(routes, mount, baseUrl, host, check)
  const problem = baseUrl === undefined || !check.isValid ? undefined : postedModeProblem(baseUrl)
  for (const { name, responseMode } of problem === undefined ? [] : providers.values()) {
    if (isPostedMode(responseMode)) check.add(`providers.${name}.responseMode`, problem!)
  }
  check.report()

  return Object.freeze({
    ...options,
    baseUrl: typeof options.baseUrl === 'function' ? lateBaseUrl(options.baseUrl, onBaseUrl) : () => baseUrl!,
    staticBaseUrl: baseUrl,
    providers,
    defaultProvider: defaultProvider ?? (providers.size === 1 ? [...providers.keys()][0] : undefined),
    decorator,
    mount,
    routes,
    routeOptions: routeOptionsOf(options.routeOptions),
    keepSessionFields: [...options.keepSessionFields ?? []],
    tokenCacheMaxAge: options.tokenCacheMaxAge ?? 0,
    encryptionKeys
  })
}

// Browsers keep a Secure cookie that came over http from this machine alone.
function postedModeProblem (baseUrl: URL): string | undefined {
  if (isSecureUrl(baseUrl)) return undefined
  return 'makes the browser post the response, and baseUrl is http: the cookie of the login would need https; serve ' +
    "the app over https, or write responseMode: 'query'"
}

/**
 * Checks that a response can be posted to a `baseUrl` that was known at first use alone.
 * @throws FST_OAUTH_INVALID_OPTIONS
 */
export function checkPostedMode (baseUrl: URL): void {
  const problem = postedModeProblem(baseUrl)
  if (problem !== undefined) throw new InvalidOptionsError(`responseMode ${problem}`, { reason: 'configuration' })
}

function checkDecorator (value: unknown = 'oauth', { hasSession, takenBy }: HostApp, check: OptionChecker): string {
  if (typeof value !== 'string' || !/^[A-Za-z]\w*$/.test(value)) {
    check.add('decorator', `must be a name such as 'staff', of letters, digits and _, not ${JSON.stringify(value)}`)
    return 'oauth'
  }
  const owner = hasSession ? takenBy?.(value) : undefined
  if (owner !== undefined) {
    const remedy = value === 'oauth'
      ? "give this registration a name of its own, such as decorator: 'staff', and a prefix"
      : 'write another name'
    check.add('decorator', `is "${value}", which ${owner} has already; ${remedy}`)
  }
  return value
}

function keepSessionFields (check: OptionChecker, fields: PluginOptions['keepSessionFields'], member: string): void {
  if (!Array.isArray(fields)) return
  const login = fields.find(field => typeof field === 'string' && [member, 'oauth'].includes(field.split(':', 1)[0]!))
  if (login === undefined) return
  const path = 'keepSessionFields'
  check.add(path, `lists "${login}"; the login itself is never carried over to another login, take it out`)
}

function checkEncryptionKeys (
  keys: PluginOptions['encryptionKeys'],
  check: OptionChecker
): readonly Buffer[] | undefined {
  if (keys === undefined) return undefined
  if (Array.isArray(keys) && keys.includes(undefined)) return check.unset('encryptionKeys', keys) as undefined
  const parsed = Array.isArray(keys) ? parseEncryptionKeys(keys) : undefined
  if (parsed !== undefined) return parsed
  check.add('encryptionKeys', 'must be a list of keys of 32 bytes each, as Buffer or base64url; make one with: ' +
    "node -p \"crypto.randomBytes(32).toString('base64url')\"")
}

/** The names of options that are not the plugin's and that every plugin may get. */
export function passedAlong (options: object | undefined): string[] {
  return Object.keys(options ?? {}).filter(name => PASSED_ALONG.has(name))
}

function checkRouteOptions (given: unknown, check: OptionChecker, path: string): void {
  if (given === undefined || check.object(path, given) === undefined) return
  const { config, schema, logLevel, onRequest, constraints } = given as OwnRouteOptions
  check.known(path, given as object, ROUTE_OPTIONS)
  for (const [name, value] of Object.entries({ config, schema, constraints })) {
    if (value !== undefined) check.object(`${path}.${name}`, value)
  }
  check.type(`${path}.logLevel`, logLevel, 'string')
  for (const hook of [onRequest].flat()) check.type(`${path}.onRequest`, hook, 'function')
}

// Copies: Fastify and its plugins write into them.
function routeOptionsOf (given: PluginOptions['routeOptions']): Configuration['routeOptions'] {
  return (route) => {
    const options = typeof given === 'function' ? given(route) : given
    if (typeof given === 'function') {
      const check = new OptionChecker()
      checkRouteOptions(options, check, `routeOptions('${route}')`)
      check.report()
    }
    return { ...options, schema: { ...options?.schema ?? { hide: true } }, config: { ...options?.config } }
  }
}

function checkBaseUrl (options: PluginOptions | undefined, check: OptionChecker): URL | undefined {
  const value = options?.baseUrl as unknown
  if (typeof value === 'function') return undefined
  if (value === undefined) return check.missing('baseUrl', options, BASE_URL_REMEDY) as undefined
  const problem = baseUrlProblem(value)
  if (problem === undefined) return new URL(value as string)
  check.add('baseUrl', problem)
}

const BASE_URL_REMEDY = "write the app's public URL, such as 'https://app.example.com'"

function baseUrlProblem (value: unknown): string | undefined {
  const example = BASE_URL_REMEDY
  if (value === undefined) return `is missing; ${example}`
  const url = typeof value === 'string' ? tryUrl(value) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol)) return `is no absolute http(s) URL; ${example}`
  if (url.search !== '' || url.hash !== '' || url.username !== '' || url.password !== '') {
    return `must be origin and path alone; ${example}`
  }
}

/** What a `baseUrl` function returns before its first use; undefined where it does not know yet. */
export function peekBaseUrl (baseUrl: PluginOptions['baseUrl']): URL | undefined {
  try {
    const value = typeof baseUrl === 'function' ? baseUrl() : baseUrl
    const url = baseUrlProblem(value) === undefined ? new URL(value) : undefined
    return url?.port === '0' ? undefined : url
  } catch {
    return undefined
  }
}

// Called once, at first use: an app that listens on port 0 knows its URL only then.
function lateBaseUrl (ask: () => string, onKnown: () => void): () => URL {
  let known: URL | undefined
  return () => {
    if (known !== undefined) return known
    const value = ask()
    const problem = baseUrlProblem(value)
    if (problem !== undefined) throw new InvalidOptionsError(`what the baseUrl function returned ${problem}`)
    known = new URL(value)
    onKnown()
    return known
  }
}

function checkPath (name: string, path: unknown, check: OptionChecker): string {
  if (typeof path === 'string' && (path === '' || /^\/[^?#\s]*$/.test(path))) {
    return encodePath(path.replace(/\/+$/, ''))
  }
  check.add(name, `must be a path that starts with "/", not ${JSON.stringify(path)}`)
  return ''
}

/** A path with what a URL cannot have percent-encoded. */
function encodePath (path: string): string {
  return path.replace(/[^\u0021-\u007e]+/gu, encodeURIComponent)
}

/** A path of Fastify's router, which has no escapes, as a URL has it. */
export function fastifyPath (path: string): string {
  return encodePath(path.replaceAll('%', '%25'))
}

export function joinPaths (...parts: string[]): string {
  return parts.map(part => part.replace(/\/+$/, '')).join('')
}

function checkRoutes (
  routes: PluginOptions['routes'],
  providerCount: number,
  check: OptionChecker
): ResolvedRoutes | false {
  if (routes === false) return false
  if (routes !== undefined && check.object('routes', routes) === undefined) return false
  const names = [...Object.keys(ROUTES), 'session'] as (keyof RouteOptions)[]
  check.known('routes', routes, names)
  const resolved = { ...ROUTES }
  for (const name of names) {
    if (routes?.[name] !== undefined) resolved[name] = checkPath(`routes.${name}`, routes[name], check)
  }
  const ofProviders = [['callback', 'redirect URI'], ['backchannelLogout', 'back-channel logout URI']] as const
  for (const [name, what] of ofProviders) {
    if (providerCount <= 1 || resolved[name].includes(':provider')) continue
    check.add(
      `routes.${name}`, `must hold ":provider" where there are several providers, so that each has a ${what} of its own`
    )
  }
  return Object.freeze(resolved)
}

// In each of these cases @fastify/session stores nothing and reports nothing.
function checkSessionCookie (
  routes: ResolvedRoutes,
  mount: string,
  baseUrl: URL | undefined,
  { cookie }: HostApp,
  check: OptionChecker
): void {
  if (cookie === undefined) return
  if (cookie.secure === true && baseUrl?.protocol === 'http:') {
    check.add(
      'baseUrl',
      "is http, and the session cookie is `secure`: no login would ever be kept; set the session's cookie.secure " +
        "to 'auto' for development, or serve the app over https"
    )
  }
  for (const name of ['login', 'callback', 'logout', 'loggedOut', 'session'] as const) {
    const route = routes[name]
    if (route === undefined) continue
    const path = joinPaths(mount, route)
    if (!coversPath(cookie.path, path)) {
      check.add(
        `routes.${name}`,
        `is ${path}, which the session cookie's path ${cookie.path} does not cover; mount it below that path, or ` +
          'widen the session\'s cookie.path'
      )
    }
  }
}

function coversPath (cookiePath: string, path: string): boolean {
  return path === cookiePath || path.startsWith(cookiePath.endsWith('/') ? cookiePath : `${cookiePath}/`)
}
