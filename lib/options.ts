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
import type { TokenSet } from './oauth/token-set.ts'
import { checkProviderName, type ProviderConfig, resolveProvider } from './providers/config.ts'
import { OptionChecker, tryUrl } from './providers/option-checker.ts'
import type { ProviderOptions, RefreshMode, User } from './providers/options.ts'
import type { ProviderName } from './providers/presets/names.ts'
import type { TokensEvent } from './tokens/on-tokens.ts'
import { parseEncryptionKeys } from './tokens/stores/encrypted-store.ts'
import type { TokenStore } from './tokens/stores/token-store.ts'

export interface RouteOptions {
  /** Default `/login`; `/login/:provider` comes with it. */
  login?: string
  /** Default `/login/:provider/callback`. */
  callback?: string
  /** Default `/logout`. */
  logout?: string
  /** Default `/logout/callback`: where a provider sends the browser after its own logout. */
  loggedOut?: string
}

export interface LoginEvent {
  provider: ProviderName
  user: User | null
  claims: Record<string, unknown>
  tokens: TokenSet
}
export interface LogoutEvent {
  provider: ProviderName
  user: User | null
}

/** A request on any kind of server: http, https or http2, with a logger and a type provider of the app's own. */
export type AnyRequest = FastifyRequest<RouteGenericInterface, any, any, FastifySchema, any, any, any, any>
/** The reply to one. */
export type AnyReply = FastifyReply<RouteGenericInterface, any, any, any, any, FastifySchema, any, any>

/** The names under which `routeOptions` knows the plugin's routes. */
export type RouteName = 'login' | 'callback' | 'logout' | 'loggedOut'

/** What an app adds to the plugin's own routes, in Fastify's own words. */
export interface OwnRouteOptions {
  /** For plugins that read a route's `config`: `{ rateLimit: { max: 20 } }`. */
  config?: FastifyContextConfig
  /** In place of `{ hide: true }`, which keeps the routes out of an API's documentation. */
  schema?: FastifySchema & Record<string, unknown>
  logLevel?: LogLevel
  /** Run before the route's own work, after the app's own hooks. */
  onRequest?: OwnRouteHook | OwnRouteHook[]
  constraints?: { version?: string, host?: string | RegExp } & Record<string, unknown>
}

/** An `onRequest` hook, of whatever kind of server. */
export type OwnRouteHook = (this: any, request: any, reply: any, done: any) => void | Promise<unknown>

/** Options of the plugin. */
export interface PluginOptions {
  /**
   * Public URL of the app, or a function asked at first use. Redirect URIs are made from it, never from a request's
   * headers.
   */
  baseUrl: string | (() => string)
  /** Name to provider. */
  providers: Record<ProviderName, ProviderOptions>
  /** The provider that `/login` and `request.oauth` mean where there are several. */
  defaultProvider?: ProviderName
  /** Mounts the routes below this path. */
  prefix?: string
  /** Paths of the routes, or false for none. */
  routes?: RouteOptions | false
  /** Options for the plugin's own routes, or a function of a route's name that returns them. */
  routeOptions?: OwnRouteOptions | ((route: RouteName) => OwnRouteOptions | undefined)
  /** Fields of the session that survive the regeneration at login. */
  keepSessionFields?: readonly string[]
  /** What happens when a token has expired: one of the three refresh methods. Default `auto`. */
  refresh?: RefreshMode
  /** Where token records live; the session's own store by default. */
  tokenStore?: TokenStore
  /**
   * Encrypts token records and pending logins at rest: 32 bytes each, Buffer or base64url. The first encrypts, all
   * decrypt.
   */
  encryptionKeys?: readonly (Uint8Array | string)[]
  /** Awaited before the redirect that ends a login; throwing undoes the login. */
  onLogin?: (request: FastifyRequest, reply: FastifyReply, event: LoginEvent) => unknown
  /** The token updater: awaited once for each new set, after it is stored and before a call goes out with it. */
  onTokens?: (tokens: TokenSet, event: TokensEvent) => unknown
  /** Awaited after a logout took effect. */
  onLogout?: (request: FastifyRequest, reply: FastifyReply | undefined, event: LogoutEvent) => unknown
  /** Awaited before one of the plugin's own routes answers with an error; may answer itself. */
  onError?: (request: FastifyRequest, reply: FastifyReply, error: OAuthError) => unknown
  /** Replaces single pages: each function gets plain data and returns a whole HTML document. */
  pages?: Partial<Pages>
  /** The Dispatcher, of undici 7 or 8, of every outgoing call; an Agent of the plugin's own by default. */
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
  | 'keepSessionFields'
  | 'encryptionKeys'
  | 'routeOptions'
> {
  readonly baseUrl: () => URL
  /** The same where it is known before the first request. */
  readonly staticBaseUrl: URL | undefined
  readonly providers: ReadonlyMap<string, ProviderConfig>
  readonly defaultProvider: string | undefined
  /** Everything before a route's own path: the scope's prefix and `prefix`. */
  readonly mount: string
  readonly routes: Required<RouteOptions> | false
  /** What the app adds to one of the plugin's routes. */
  readonly routeOptions: (route: RouteName) => OwnRouteOptions
  readonly keepSessionFields: string[]
  readonly encryptionKeys: readonly Buffer[] | undefined
}

/** What the app around the plugin looks like, as far as options have to fit it. */
export interface HostApp {
  hasSession: boolean
  /** The session cookie's settings, where they could be read: `auto` is secure on https alone. */
  cookie?: { path: string, secure: boolean | 'auto', sameSite?: unknown }
  /** Prefix of the scope that the plugin is registered in. */
  scopePrefix: string
}

const OPTIONS = [
  'baseUrl',
  'providers',
  'defaultProvider',
  'prefix',
  'routes',
  'routeOptions',
  'keepSessionFields',
  'refresh',
  'tokenStore',
  'encryptionKeys',
  'onLogin',
  'onTokens',
  'onLogout',
  'onError',
  'pages',
  'dispatcher'
]
// What others hand every plugin: Fastify's `register` (and avvio, which calls a plugin by `name`), and fastify-cli with
// --options, which passes the options of the server on, as @fastify/autoload does with what it is given.
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
const PAGES = ['chooser', 'error', 'logoutConfirmation', 'loggedOut', 'loginForm']
const ROUTES: Required<RouteOptions> = {
  login: '/login',
  callback: '/login/:provider/callback',
  logout: '/logout',
  loggedOut: '/logout/callback'
}

/**
 * Checks and completes the options.
 * @param onBaseUrl called once, when a `baseUrl` that is a function has told its value
 * @throws FST_OAUTH_INVALID_OPTIONS naming every mistake at once, each with its option's path and what to write instead
 */
export function resolveOptions (
  options: PluginOptions,
  surroundings: HostApp,
  onBaseUrl: () => void = () => {}
): Configuration {
  const check = new OptionChecker()
  if (!surroundings.hasSession) {
    check.add(
      '@fastify/session',
      'is not registered; register @fastify/cookie and @fastify/session before fastify-oauth-session'
    )
  }
  check.object('options', options)
  check.known('', options, OPTIONS, PASSED_ALONG)

  const baseUrl = checkBaseUrl(options, check)
  const mount = joinPaths(fastifyPath(surroundings.scopePrefix), checkPath('prefix', options.prefix ?? '', check))
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
  for (const hook of ['onLogin', 'onTokens', 'onLogout', 'onError'] as const) {
    check.type(hook, options[hook], 'function')
  }
  check.oneOf('refresh', options.refresh, ['auto', 'notify', 'manual'])
  const keepSessionFields = check.strings('keepSessionFields', options.keepSessionFields) ?? []
  const login = keepSessionFields.find(field => /^oauth(?::|$)/.test(field))
  if (login !== undefined) {
    const remedy = 'the login itself is never carried over to another login, take it out'
    check.add('keepSessionFields', `lists "${login}"; ${remedy}`)
  }
  if (options.tokenStore !== undefined) {
    for (const method of ['get', 'set', 'consume', 'touch', 'delete'] as const) {
      check.type(`tokenStore.${method}`, options.tokenStore[method], 'function', true)
    }
  }
  const encryptionKeys = checkEncryptionKeys(options.encryptionKeys, check)
  check.dispatcher('dispatcher', options.dispatcher)
  if (typeof options.routeOptions !== 'function') checkRouteOptions(options.routeOptions, check)
  check.known('pages', options.pages, PAGES)
  for (const [name, page] of Object.entries(options.pages ?? {})) check.type(`pages.${name}`, page, 'function')
  if (routes !== false && check.isValid) checkSurroundings(routes, mount, baseUrl, surroundings, check)
  const { sameSite, secure } = surroundings.cookie ?? {}
  // With 'auto' it is lax over http: fine for as long as that is all there is.
  if ((sameSite === 'strict' || sameSite === true) && (secure !== 'auto' || baseUrl?.protocol === 'https:')) {
    check.add(
      'cookie.sameSite',
      "of the session is 'strict': no browser sends such a cookie along when it comes back from a provider, and " +
        "everybody would look logged out; write 'lax'"
    )
  }
  check.report()

  return Object.freeze({
    ...options,
    baseUrl: typeof options.baseUrl === 'function' ? lateBaseUrl(options.baseUrl, onBaseUrl) : () => baseUrl!,
    staticBaseUrl: baseUrl,
    providers,
    defaultProvider: defaultProvider ?? (providers.size === 1 ? [...providers.keys()][0] : undefined),
    mount,
    routes,
    routeOptions: routeOptionsOf(options.routeOptions),
    keepSessionFields,
    encryptionKeys
  })
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

/** Options that are none of the plugin's and come along all the same; they are left alone. */
export function passedAlong (options: object | undefined): string[] {
  return Object.keys(options ?? {}).filter(name => PASSED_ALONG.has(name))
}

function checkRouteOptions (given: unknown, check: OptionChecker, path = 'routeOptions'): void {
  if (given === undefined || check.object(path, given) === undefined) return
  const { config, schema, logLevel, onRequest, constraints } = given as OwnRouteOptions
  check.known(path, given as object, ROUTE_OPTIONS)
  for (const [name, value] of Object.entries({ config, schema, constraints })) {
    if (value !== undefined) check.object(`${path}.${name}`, value)
  }
  check.type(`${path}.logLevel`, logLevel, 'string')
  for (const hook of [onRequest].flat()) check.type(`${path}.onRequest`, hook, 'function')
}

// Copies, since Fastify and its plugins write into them.
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

/** What a `baseUrl` function says at this moment, for a look ahead: undefined where it cannot tell yet. */
export function peekBaseUrl (baseUrl: PluginOptions['baseUrl']): URL | undefined {
  try {
    const value = typeof baseUrl === 'function' ? baseUrl() : baseUrl
    const url = baseUrlProblem(value) === undefined ? new URL(value) : undefined
    return url?.port === '0' ? undefined : url
  } catch {
    return undefined
  }
}

// Asked once, at first use: an app that listens on port 0 knows its URL only then.
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

/** A path with everything percent-encoded that a URL cannot hold. */
function encodePath (path: string): string {
  return path.replace(/[^\u0021-\u007e]+/gu, encodeURIComponent)
}

/** A path of Fastify's own, which knows no escapes, as a URL has it. */
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
): Required<RouteOptions> | false {
  if (routes === false) return false
  if (routes !== undefined && check.object('routes', routes) === undefined) return false
  check.known('routes', routes, Object.keys(ROUTES))
  const resolved = { ...ROUTES }
  for (const name of Object.keys(ROUTES) as (keyof RouteOptions)[]) {
    if (routes?.[name] !== undefined) resolved[name] = checkPath(`routes.${name}`, routes[name], check)
  }
  if (providerCount > 1 && !resolved.callback.includes(':provider')) {
    check.add(
      'routes.callback',
      'must hold ":provider" where there are several providers, so that each has a redirect URI of its own'
    )
  }
  return Object.freeze(resolved)
}

// Each of these fails silently in @fastify/session: nothing is stored, and nobody is told.
function checkSurroundings (
  routes: Required<RouteOptions>,
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
  for (const name of ['login', 'callback', 'logout', 'loggedOut'] as const) {
    const path = joinPaths(mount, routes[name])
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
