import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Dispatcher } from 'undici'
import { InvalidOptionsError, type OAuthError } from './errors.ts'
import type { ClientAuthenticationFunction } from './protocol/client-authentication.ts'
import { parseScope, type TokenSet } from './protocol/token-set.ts'
import type { Conform } from './protocol/token-response.ts'
import { isSecureUrl, type Parameters } from './protocol/urls.ts'
import type { ProviderOptions, User, UserProfile } from './providers/types.ts'
import { parseEncryptionKeys } from './session/encrypted-store.ts'
import type { TokenStore } from './session/token-store.ts'

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
  provider: string
  user: User | null
  claims: Record<string, unknown>
  tokens: TokenSet
}
export interface LogoutEvent {
  provider: string
  user: User | null
}
export interface TokensEvent {
  provider: string
  user: User | null
  /** The set that this one replaces. */
  previous: TokenSet | undefined
  reason: 'login' | 'refresh'
}

/** Functions that make the pages a person may see; each gets plain data and returns a whole HTML document. */
export type PageOverrides = Record<string, (data: never) => string>

/** Options of the plugin. */
export interface OAuthSessionOptions {
  /** Public URL of the app, or a function asked at first use. Redirect URIs are made from it, never from a request's headers. */
  baseUrl: string | (() => string)
  /** Name to provider. */
  providers: Record<string, ProviderOptions>
  /** The provider that `/login` and `request.oauth` mean where there are several. */
  defaultProvider?: string
  /** Mounts the routes below this path. */
  prefix?: string
  /** Paths of the routes, or false for none. */
  routes?: RouteOptions | false
  /** Fields of the session that survive the regeneration at login. */
  keepSessionFields?: readonly string[]
  /** Where token records live; the session's own store by default. */
  tokenStore?: TokenStore
  /** Encrypts token records and pending logins at rest: 32 bytes each, Buffer or base64url. The first encrypts, all decrypt. */
  encryptionKeys?: readonly (Uint8Array | string)[]
  /** Awaited before the redirect that ends a login; throwing undoes the login. */
  onLogin?: (request: FastifyRequest, reply: FastifyReply, event: LoginEvent) => unknown
  /** The token updater: awaited once for each new set, after it is stored and before a call goes out with it. */
  onTokens?: (tokens: TokenSet, event: TokensEvent) => unknown
  /** Awaited after a logout took effect. */
  onLogout?: (request: FastifyRequest, reply: FastifyReply | undefined, event: LogoutEvent) => unknown
  /** Awaited before one of the plugin's own routes answers with an error; may answer itself. */
  onError?: (request: FastifyRequest, reply: FastifyReply, error: OAuthError) => unknown
  /** Replaces single pages. */
  pages?: PageOverrides
  /** The undici Dispatcher of every outgoing call; an Agent of the plugin's own by default. */
  dispatcher?: Dispatcher
}

/** One provider's options, checked and with defaults. */
export interface ProviderConfig {
  readonly name: string
  readonly title: string
  readonly issuer: string | undefined
  readonly endpoints: Readonly<Record<string, string>>
  readonly clientId: string
  readonly clientSecret: string | undefined
  readonly clientAuthentication: 'client_secret_basic' | 'client_secret_post' | 'none' | ClientAuthenticationFunction | undefined
  readonly redirectUri: string | undefined
  readonly scope: readonly string[]
  readonly authorizationParams: Parameters | undefined
  readonly tokenParams: Parameters | undefined
  readonly refreshParams: Parameters | undefined
  readonly responseMode: 'query' | 'form_post' | undefined
  readonly resourceServers: readonly URL[]
  readonly expiryLeeway: number
  readonly defaultExpiresIn: number | undefined
  readonly requestTimeout: number
  readonly refreshAhead: boolean
  readonly revokeAtLogout: boolean
  readonly postLogoutRedirectUri: string | undefined
  readonly profile: 'id_token' | 'userinfo' | 'auto'
  readonly userProfile: ((claims: Record<string, unknown>) => UserProfile) | undefined
  readonly conform: Conform | undefined
  readonly allowInsecureRequests: boolean
}

/** The plugin's options, checked, with defaults, frozen. */
export interface Configuration extends Omit<OAuthSessionOptions, 'providers' | 'baseUrl' | 'routes' | 'prefix' | 'keepSessionFields' | 'encryptionKeys'> {
  readonly baseUrl: () => URL
  readonly providers: ReadonlyMap<string, ProviderConfig>
  readonly defaultProvider: string | undefined
  /** Everything before a route's own path: the scope's prefix and `prefix`. */
  readonly mount: string
  readonly routes: Required<RouteOptions> | false
  readonly keepSessionFields: string[]
  readonly encryptionKeys: readonly Buffer[] | undefined
}

/** What the app around the plugin looks like, as far as options have to fit it. */
export interface Surroundings {
  hasSession: boolean
  /** The session cookie's settings, where they could be read. */
  cookie?: { path: string, secure: boolean, sameSite?: unknown }
  /** Prefix of the scope that the plugin is registered in. */
  scopePrefix: string
}

const OPTIONS = ['baseUrl', 'providers', 'defaultProvider', 'prefix', 'routes', 'keepSessionFields', 'tokenStore', 'encryptionKeys', 'onLogin', 'onTokens', 'onLogout', 'onError', 'pages', 'dispatcher']
const ENDPOINTS = {
  authorizationEndpoint: 'authorization_endpoint',
  tokenEndpoint: 'token_endpoint',
  userinfoEndpoint: 'userinfo_endpoint',
  revocationEndpoint: 'revocation_endpoint',
  introspectionEndpoint: 'introspection_endpoint',
  endSessionEndpoint: 'end_session_endpoint',
  jwksUri: 'jwks_uri'
} as const
const PROVIDER_OPTIONS = ['title', 'issuer', ...Object.keys(ENDPOINTS), 'clientId', 'clientSecret', 'clientAuthentication', 'redirectUri', 'scope',
  'authorizationParams', 'tokenParams', 'refreshParams', 'responseMode', 'resourceServers', 'expiryLeeway', 'defaultExpiresIn', 'requestTimeout',
  'refreshAhead', 'revokeAtLogout', 'postLogoutRedirectUri', 'profile', 'userProfile', 'conform', 'allowInsecureRequests']
const ROUTES: Required<RouteOptions> = { login: '/login', callback: '/login/:provider/callback', logout: '/logout', loggedOut: '/logout/callback' }

/**
 * Checks and completes the options.
 * @throws FST_OAUTH_INVALID_OPTIONS naming every mistake at once, each with its option's path and what to write instead
 */
export function resolveOptions (options: OAuthSessionOptions, surroundings: Surroundings): Configuration {
  const check = new Checker()
  if (!surroundings.hasSession) check.add('@fastify/session', 'is not registered; register @fastify/cookie and @fastify/session before fastify-oauth-session')
  check.object('options', options)
  check.known('', options, OPTIONS)

  const baseUrl = checkBaseUrl(options.baseUrl, check)
  const mount = joinPaths(surroundings.scopePrefix, checkPath('prefix', options.prefix ?? '', check))
  const providers = new Map<string, ProviderConfig>()
  const entries = Object.entries(check.object('providers', options.providers) ?? {})
  if (entries.length === 0) check.add('providers', 'names no provider; give at least one, such as { acme: { issuer, clientId, clientSecret } }')
  for (const [name, provider] of entries) providers.set(name, checkProvider(name, provider, check))

  const { defaultProvider } = options
  if (defaultProvider !== undefined && !providers.has(defaultProvider)) {
    check.add('defaultProvider', `is "${String(defaultProvider)}", which is not among the providers; write one of ${[...providers.keys()].join(', ')}`)
  }
  const routes = checkRoutes(options.routes, providers.size, check)
  for (const hook of ['onLogin', 'onTokens', 'onLogout', 'onError'] as const) check.type(hook, options[hook], 'function')
  const keepSessionFields = check.strings('keepSessionFields', options.keepSessionFields) ?? []
  if (keepSessionFields.includes('oauth')) check.add('keepSessionFields', 'lists "oauth"; the login itself is never carried over to another login, take it out')
  if (options.tokenStore !== undefined) {
    for (const method of ['get', 'set', 'take', 'touch', 'delete'] as const) check.type(`tokenStore.${method}`, options.tokenStore[method], 'function', true)
  }
  const encryptionKeys = options.encryptionKeys === undefined ? undefined : parseEncryptionKeys(options.encryptionKeys)
  if (options.encryptionKeys !== undefined && encryptionKeys === undefined) {
    check.add('encryptionKeys', "must be a list of keys of 32 bytes each, as Buffer or base64url; make one with: node -p \"crypto.randomBytes(32).toString('base64url')\"")
  }
  check.type('dispatcher.dispatch', options.dispatcher === undefined ? undefined : options.dispatcher.dispatch, 'function', options.dispatcher !== undefined)
  if (routes !== false) checkSurroundings(routes, mount, baseUrl, surroundings, check)
  check.report()

  return Object.freeze({
    ...options,
    baseUrl: typeof options.baseUrl === 'function' ? lateBaseUrl(options.baseUrl) : () => baseUrl!,
    providers,
    defaultProvider: defaultProvider ?? (providers.size === 1 ? [...providers.keys()][0] : undefined),
    mount,
    routes,
    keepSessionFields,
    encryptionKeys
  })
}

class Checker {
  readonly #problems: string[] = []

  add (path: string, problem: string): void { this.#problems.push(`${path} ${problem}`) }

  known (path: string, value: object | undefined, names: readonly string[]): void {
    for (const name of Object.keys(value ?? {})) {
      if (names.includes(name)) continue
      const near = names.find(item => item.toLowerCase() === name.toLowerCase().replaceAll('_', ''))
      this.add(join(path, name), near === undefined ? 'is no option; take it out' : `is no option; write ${near}`)
    }
  }

  object<T> (path: string, value: T): T | undefined {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
    this.add(path, `must be an object, not ${kind(value)}`)
  }

  type (path: string, value: unknown, type: string, required = false): void {
    // eslint-disable-next-line valid-typeof
    if ((value !== undefined || required) && typeof value !== type) this.add(path, `must be a ${type}, not ${kind(value)}`)
  }

  number (path: string, value: unknown, min: number): void {
    if (value !== undefined && !(typeof value === 'number' && Number.isFinite(value) && value >= min)) {
      this.add(path, `must be a number of at least ${min}, not ${String(value)}`)
    }
  }

  strings (path: string, value: readonly string[] | undefined): string[] | undefined {
    if (value === undefined) return undefined
    if (Array.isArray(value) && value.every(item => typeof item === 'string')) return [...value]
    this.add(path, 'must be a list of strings')
  }

  oneOf (path: string, value: unknown, values: readonly string[]): void {
    if (value !== undefined && !values.includes(value as string)) this.add(path, `is ${JSON.stringify(value)}; write one of ${values.join(', ')}`)
  }

  url (path: string, value: unknown, allowInsecure: boolean): URL | undefined {
    if (value === undefined) return undefined
    const url = typeof value === 'string' ? URL.parse?.(value) ?? tryUrl(value) : undefined
    if (url === undefined || !/^https?:$/.test(url.protocol)) this.add(path, 'must be an absolute http(s) URL')
    else if (url.username !== '' || url.password !== '') this.add(path, 'must not hold credentials')
    else if (!isSecureUrl(url) && !allowInsecure) this.add(path, 'is plain http; write https, or set allowInsecureRequests for a provider inside your own network')
    else return url
  }

  report (): void {
    if (this.#problems.length === 0) return
    throw new InvalidOptionsError(`fastify-oauth-session cannot start:\n${this.#problems.map(problem => `- ${problem}`).join('\n')}`)
  }
}

const join = (path: string, name: string) => path === '' ? name : `${path}.${name}`
const kind = (value: unknown) => value === undefined ? 'missing' : value === null ? 'null' : Array.isArray(value) ? 'a list' : typeof value

function tryUrl (value: string): URL | undefined {
  return URL.canParse(value) ? new URL(value) : undefined
}

function checkBaseUrl (value: unknown, check: Checker): URL | undefined {
  if (typeof value === 'function') return undefined
  const problem = baseUrlProblem(value)
  if (problem === undefined) return new URL(value as string)
  check.add('baseUrl', problem)
}

function baseUrlProblem (value: unknown): string | undefined {
  const example = "write the app's public URL, such as 'https://app.example.com'"
  if (value === undefined) return `is missing; ${example}`
  const url = typeof value === 'string' ? tryUrl(value) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol)) return `is no absolute http(s) URL; ${example}`
  if (url.search !== '' || url.hash !== '' || url.username !== '') return `must be origin and path alone; ${example}`
}

// Asked once, at first use: an app that listens on port 0 knows its URL only then.
function lateBaseUrl (ask: () => string): () => URL {
  let known: URL | undefined
  return () => {
    if (known !== undefined) return known
    const value = ask()
    const problem = baseUrlProblem(value)
    if (problem !== undefined) throw new InvalidOptionsError(`what the baseUrl function returned ${problem}`)
    known = new URL(value)
    return known
  }
}

function checkPath (name: string, path: unknown, check: Checker): string {
  if (typeof path === 'string' && (path === '' || /^\/[^?#\s]*$/.test(path))) return path.replace(/\/+$/, '')
  check.add(name, `must be a path that starts with "/", not ${JSON.stringify(path)}`)
  return ''
}

export function joinPaths (...parts: string[]): string {
  return parts.map(part => part.replace(/\/+$/, '')).join('')
}

function checkRoutes (routes: OAuthSessionOptions['routes'], providerCount: number, check: Checker): Required<RouteOptions> | false {
  if (routes === false) return false
  if (routes !== undefined && check.object('routes', routes) === undefined) return false
  check.known('routes', routes, Object.keys(ROUTES))
  const resolved = { ...ROUTES }
  for (const name of Object.keys(ROUTES) as (keyof RouteOptions)[]) {
    if (routes?.[name] !== undefined) resolved[name] = checkPath(`routes.${name}`, routes[name], check)
  }
  if (providerCount > 1 && !resolved.callback.includes(':provider')) {
    check.add('routes.callback', 'must hold ":provider" where there are several providers, so that each has a redirect URI of its own')
  }
  return Object.freeze(resolved)
}

function checkProvider (name: string, options: ProviderOptions, check: Checker): ProviderConfig {
  const path = `providers.${name}`
  if (!/^[\w-]+$/.test(name)) check.add(path, 'has a name that does not fit a URL; use letters, digits, "-" and "_"')
  if (check.object(path, options) === undefined) options = { clientId: '' }
  check.known(path, options, PROVIDER_OPTIONS)
  const insecure = options.allowInsecureRequests === true

  if (typeof options.clientId !== 'string' || options.clientId === '') check.add(`${path}.clientId`, 'is missing; write the id that the provider gave the app')
  check.type(`${path}.clientSecret`, options.clientSecret, 'string')
  const { clientAuthentication } = options
  if (typeof clientAuthentication !== 'function') check.oneOf(`${path}.clientAuthentication`, clientAuthentication, ['client_secret_basic', 'client_secret_post', 'none'])
  if ((clientAuthentication === 'client_secret_basic' || clientAuthentication === 'client_secret_post') && !options.clientSecret) {
    check.add(`${path}.clientSecret`, `is missing, and clientAuthentication is '${clientAuthentication}'; write the secret, or 'none' for a public client`)
  }
  if (options.clientSecret === '') check.add(`${path}.clientSecret`, 'is empty; write the secret, or leave it out for a public client')

  const endpoints: Record<string, string> = {}
  for (const [option, member] of Object.entries(ENDPOINTS)) {
    const value = options[option as keyof typeof ENDPOINTS]
    if (check.url(`${path}.${option}`, value, insecure) !== undefined) endpoints[member] = value!
  }
  check.url(`${path}.issuer`, options.issuer, insecure)
  check.url(`${path}.redirectUri`, options.redirectUri, true)
  check.url(`${path}.postLogoutRedirectUri`, options.postLogoutRedirectUri, true)
  if (options.issuer === undefined) {
    for (const option of ['authorizationEndpoint', 'tokenEndpoint'] as const) {
      if (options[option] === undefined) check.add(`${path}.${option}`, 'is missing; write it, or `issuer` to have the endpoints discovered')
    }
  }
  const scope = parseScope(options.scope ?? [])
  if (scope === undefined) check.add(`${path}.scope`, 'must be a list of strings or one string with spaces')
  if (options.issuer === undefined && scope?.includes('openid') === true) {
    check.add(`${path}.issuer`, 'is missing, and scope asks for "openid"; an ID token can be checked only against a known issuer')
  }
  const resourceServers: URL[] = []
  for (const [index, value] of (check.strings(`${path}.resourceServers`, options.resourceServers) ?? []).entries()) {
    const url = check.url(`${path}.resourceServers[${index}]`, value, insecure)
    if (url === undefined) continue
    if (url.search !== '' || url.hash !== '') check.add(`${path}.resourceServers[${index}]`, 'must be origin and path alone')
    if (!url.pathname.endsWith('/')) url.pathname += '/'
    resourceServers.push(url)
  }
  check.number(`${path}.expiryLeeway`, options.expiryLeeway, 0)
  check.number(`${path}.defaultExpiresIn`, options.defaultExpiresIn, 1)
  check.number(`${path}.requestTimeout`, options.requestTimeout, 1)
  for (const option of ['refreshAhead', 'revokeAtLogout', 'allowInsecureRequests'] as const) check.type(`${path}.${option}`, options[option], 'boolean')
  for (const option of ['userProfile', 'conform'] as const) check.type(`${path}.${option}`, options[option], 'function')
  check.oneOf(`${path}.profile`, options.profile, ['id_token', 'userinfo', 'auto'])
  check.oneOf(`${path}.responseMode`, options.responseMode, ['query', 'form_post'])

  return Object.freeze({
    name,
    title: options.title ?? name,
    issuer: options.issuer,
    endpoints: Object.freeze(endpoints),
    clientId: options.clientId,
    clientSecret: options.clientSecret,
    clientAuthentication,
    redirectUri: options.redirectUri,
    scope: Object.freeze(scope ?? []),
    authorizationParams: options.authorizationParams,
    tokenParams: options.tokenParams,
    refreshParams: options.refreshParams,
    responseMode: options.responseMode,
    resourceServers: Object.freeze(resourceServers),
    expiryLeeway: options.expiryLeeway ?? 30,
    defaultExpiresIn: options.defaultExpiresIn,
    requestTimeout: options.requestTimeout ?? 10_000,
    refreshAhead: options.refreshAhead ?? true,
    revokeAtLogout: options.revokeAtLogout ?? true,
    postLogoutRedirectUri: options.postLogoutRedirectUri,
    profile: options.profile ?? 'auto',
    userProfile: options.userProfile,
    conform: options.conform,
    allowInsecureRequests: insecure
  })
}

// Each of these fails silently in @fastify/session: nothing is stored, and nobody is told.
function checkSurroundings (routes: Required<RouteOptions>, mount: string, baseUrl: URL | undefined, { cookie }: Surroundings, check: Checker): void {
  if (cookie === undefined) return
  if (cookie.secure && baseUrl?.protocol === 'http:') {
    check.add('baseUrl', "is http, and the session cookie is `secure`: no login would ever be kept; set the session's cookie.secure to 'auto' for development, or serve the app over https")
  }
  for (const name of ['login', 'callback', 'logout', 'loggedOut'] as const) {
    const path = joinPaths(mount, routes[name])
    if (!coversPath(cookie.path, path)) {
      check.add(`routes.${name}`, `is ${path}, which the session cookie's path ${cookie.path} does not cover; mount it below that path, or widen the session's cookie.path`)
    }
  }
}

function coversPath (cookiePath: string, path: string): boolean {
  return path === cookiePath || path.startsWith(cookiePath.endsWith('/') ? cookiePath : `${cookiePath}/`)
}
