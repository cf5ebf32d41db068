import type { ClientPrivateKey } from '../oauth/client-authentication.ts'
import type { Conform } from '../oauth/token-response.ts'
import { parseScope } from '../oauth/token-set.ts'
import { type RequestParameters, setParameters } from '../oauth/urls.ts'
import { shortHash } from '../util/random.ts'
import { isUnset, type OptionChecker, tryUrl } from './option-checker.ts'
import type {
  FetchProfile, GrantType, ProviderHooks, ProviderOptions, RefreshMode, ResourceServer, UserProfile
} from './options.ts'

/** One provider's options, checked and with defaults. */
export interface ProviderConfig {
  readonly name: string
  /**
   * Short stable hash of who the provider is: its issuer, or its endpoints where there is none, and the client id.
   * Logins, token records and pending logins are bound to it, never to the name alone.
   */
  readonly identity: string
  readonly title: string
  readonly issuer: string | undefined
  readonly endpoints: Readonly<Record<string, string>>
  readonly clientId: string
  readonly clientSecret: string | undefined
  readonly clientAuthentication: ProviderOptions['clientAuthentication']
  readonly clientPrivateKey: ClientPrivateKey | undefined
  readonly clientAssertion: ProviderOptions['clientAssertion']
  readonly grantType: GrantType
  readonly idTokenIssuer: ProviderOptions['idTokenIssuer']
  readonly redirectUri: string | undefined
  readonly scope: readonly string[]
  readonly scopeSeparator: string
  readonly pkce: 'S256' | 'plain' | false
  readonly forwardedLoginParams: readonly string[]
  readonly tokenEndpointMethod: 'POST' | 'GET'
  readonly tokenRequestPlacement: 'body' | 'query'
  readonly requireTokenType: boolean
  readonly tokenPlacement: 'header' | 'query' | 'body'
  /** Undefined where the plugin's `refresh` counts. */
  readonly refresh: RefreshMode | undefined
  readonly authorizationParams: RequestParameters | undefined
  readonly tokenParams: RequestParameters | undefined
  readonly refreshParams: RequestParameters | undefined
  readonly responseMode: 'query' | 'form_post' | undefined
  readonly resourceServers: readonly URL[]
  /** Those of `resourceServers` below which a handler may write `%2F`; undefined where there are none. */
  readonly encodedSlashes: readonly URL[] | undefined
  /** Covered beside `resourceServers`, this path alone: the userinfo endpoint, where the profile is fetched. */
  readonly userinfoResource?: URL | undefined
  readonly expiryLeeway: number
  readonly defaultExpiresIn: number | undefined
  readonly requestTimeout: number
  readonly clockTolerance: number
  readonly refreshAhead: boolean
  readonly revokeAtLogout: boolean
  readonly postLogoutRedirectUri: string | undefined
  readonly profileSource: 'id_token' | 'userinfo' | 'auto'
  readonly fetchProfile: FetchProfile | undefined
  readonly userProfile: ((claims: Record<string, unknown>) => UserProfile) | undefined
  readonly conform: Conform | undefined
  readonly hooks: ProviderHooks
  readonly allowInsecureRequests: boolean
}

const ENDPOINTS = {
  authorizationEndpoint: 'authorization_endpoint',
  tokenEndpoint: 'token_endpoint',
  userinfoEndpoint: 'userinfo_endpoint',
  revocationEndpoint: 'revocation_endpoint',
  introspectionEndpoint: 'introspection_endpoint',
  endSessionEndpoint: 'end_session_endpoint',
  deviceAuthorizationEndpoint: 'device_authorization_endpoint',
  jwksUri: 'jwks_uri'
} as const
const PROVIDER_OPTIONS = [
  'title',
  'issuer',
  ...Object.keys(ENDPOINTS),
  'idTokenIssuer',
  'grantType',
  'clientId',
  'clientSecret',
  'clientAuthentication',
  'clientPrivateKey',
  'clientAssertion',
  'redirectUri',
  'scope',
  'scopeSeparator',
  'authorizationParams',
  'tokenParams',
  'refreshParams',
  'pkce',
  'forwardedLoginParams',
  'tokenEndpointMethod',
  'tokenRequestPlacement',
  'requireTokenType',
  'responseMode',
  'resourceServers',
  'tokenPlacement',
  'refresh',
  'expiryLeeway',
  'defaultExpiresIn',
  'requestTimeout',
  'refreshAhead',
  'clockTolerance',
  'revokeAtLogout', 'postLogoutRedirectUri', 'profileSource', 'fetchProfile', 'userProfile', 'conform', 'hooks',
  'allowInsecureRequests']
/** The longest time a timer of Node's can hold, in milliseconds: a longer one is over at once. */
const MAX_TIMER_MS = 2 ** 31 - 1
const HOOKS = [
  'accessTokenRequest',
  'accessTokenResponse',
  'refreshTokenRequest',
  'refreshTokenResponse',
  'protectedRequest'
] as const

/** Checks the name by which routes and sessions know a provider. */
export function checkProviderName (name: string, check: OptionChecker): void {
  const path = `providers.${name}`
  if (!/^[\w-]+$/.test(name)) check.add(path, 'has a name that does not fit a URL; use letters, digits, "-" and "_"')
  if (name in Object.prototype) check.add(path, 'has a name that every object has a member of; use another')
}

/**
 * Checks and completes one provider's options; what is wrong goes to `check`.
 * @param name what the provider is called in errors
 * @param path where its options stand, for the messages
 */
export function resolveProvider (
  name: string,
  options: ProviderOptions,
  check: OptionChecker,
  path = `providers.${name}`
): ProviderConfig {
  check.known(path, options, PROVIDER_OPTIONS)
  const insecure = options.allowInsecureRequests === true

  if (typeof options.clientId !== 'string' || options.clientId === '') {
    check.missing(`${path}.clientId`, options, 'write the id that the provider gave the app')
  }
  check.type(`${path}.clientSecret`, options.clientSecret, 'string')
  const { clientAuthentication } = options
  if (typeof clientAuthentication !== 'function') {
    check.oneOf(`${path}.clientAuthentication`, clientAuthentication, [
      'client_secret_basic',
      'client_secret_post',
      'client_secret_jwt',
      'private_key_jwt',
      'tls_client_auth',
      'none'
    ])
  }
  if (clientAuthentication === 'private_key_jwt' && options.clientPrivateKey === undefined) {
    check.missing(
      `${path}.clientPrivateKey`,
      options,
      "write the private key as CryptoKey, JWK or PEM: clientAuthentication is 'private_key_jwt'"
    )
  }
  if (options.clientPrivateKey !== undefined && !isPrivateKey(options.clientPrivateKey)) {
    check.add(
      `${path}.clientPrivateKey`,
      'is no private key; write a CryptoKey, a JWK, or PEM that begins with -----BEGIN PRIVATE KEY-----'
    )
  }
  if (
    typeof clientAuthentication === 'string' &&
    clientAuthentication.startsWith('client_secret_') &&
    !options.clientSecret
  ) {
    check.missing(
      `${path}.clientSecret`,
      options,
      `write the secret, or 'none' for a public client: clientAuthentication is '${clientAuthentication}'`
    )
  } else if (clientAuthentication === undefined && isUnset(options, 'clientSecret')) {
    check.missing(`${path}.clientSecret`, options, 'write the secret, or leave the option out for a public client')
  }
  if (options.clientSecret === '') {
    check.add(`${path}.clientSecret`, 'is empty; write the secret, or leave it out for a public client')
  }

  const grantType = options.grantType ?? 'authorization_code'
  check.oneOf(`${path}.grantType`, grantType, [
    'authorization_code',
    'implicit',
    'password',
    'client_credentials',
    'device_code'
  ])
  const endpoints: Record<string, string> = {}
  for (const [option, member] of Object.entries(ENDPOINTS)) {
    const value = options[option as keyof typeof ENDPOINTS]
    if (check.url(`${path}.${option}`, value, insecure) !== undefined) endpoints[member] = value!
  }
  check.url(`${path}.issuer`, options.issuer, insecure)
  // eBay registers a name in a URL's place, and wants that name back.
  if (typeof options.redirectUri !== 'string' || !/^[\w-]+$/.test(options.redirectUri)) {
    check.url(`${path}.redirectUri`, options.redirectUri, true)
  }
  check.url(`${path}.postLogoutRedirectUri`, options.postLogoutRedirectUri, true)
  const lacking =
    options.issuer === undefined ? requiredEndpoints(grantType).filter(option => options[option] === undefined) : []
  // One cause is one line: what a written issuer would have brought is not asked for beside it.
  const issuerUnset =
    isUnset(options, 'issuer') && (lacking.length > 0 || parseScope(options.scope ?? [])?.includes('openid') === true)
  if (issuerUnset) {
    check.missing(`${path}.issuer`, options, 'write the issuer, or leave the option out and write the endpoints')
  } else {
    for (const option of lacking) {
      check.missing(`${path}.${option}`, options, 'write it, or `issuer` to have the endpoints discovered')
    }
  }
  checkClientAssertion(`${path}.clientAssertion`, options.clientAssertion, check)
  const scope = parseScope(options.scope ?? [])
  if (Array.isArray(options.scope) && options.scope.includes(undefined as never)) {
    check.unset(`${path}.scope`, options.scope)
  } else if (scope === undefined) check.add(`${path}.scope`, 'must be a list of strings or one string with spaces')
  if (options.idTokenIssuer !== undefined && options.issuer === undefined && options.jwksUri === undefined) {
    check.add(`${path}.jwksUri`, 'is missing, and idTokenIssuer is given; write where the keys of its ID tokens are')
  }
  const profileAlone = options.profileSource === 'userinfo' || options.fetchProfile !== undefined
  const knowsIssuer = options.issuer !== undefined || options.idTokenIssuer !== undefined
  if (!issuerUnset && !knowsIssuer && !profileAlone && scope?.includes('openid') === true) {
    check.add(
      `${path}.issuer`,
      'is missing, and scope asks for "openid"; an ID token can be checked only against a known issuer (with ' +
        '`profileSource: \'userinfo\'` there need be none)'
    )
  }
  const { resourceServers, encodedSlashes } = readResourceServers(
    `${path}.resourceServers`,
    options.resourceServers,
    insecure,
    check
  )
  check.number(`${path}.expiryLeeway`, options.expiryLeeway, 0)
  check.number(`${path}.defaultExpiresIn`, options.defaultExpiresIn, 1)
  check.number(`${path}.requestTimeout`, options.requestTimeout, 1, MAX_TIMER_MS)
  check.number(`${path}.clockTolerance`, options.clockTolerance, 0)
  for (const option of ['refreshAhead', 'revokeAtLogout', 'allowInsecureRequests', 'requireTokenType'] as const) {
    check.type(`${path}.${option}`, options[option], 'boolean')
  }
  for (const option of ['fetchProfile', 'userProfile', 'conform'] as const) {
    check.type(`${path}.${option}`, options[option], 'function')
  }
  const forwardedLoginParams = check.strings(`${path}.forwardedLoginParams`, options.forwardedLoginParams) ?? []
  const pkce = options.pkce ?? 'S256'
  if (pkce !== false && pkce !== 'S256' && pkce !== 'plain') {
    check.add(`${path}.pkce`, `is ${JSON.stringify(pkce)}; write 'S256', 'plain' or false`)
  }
  check.oneOf(`${path}.tokenEndpointMethod`, options.tokenEndpointMethod, ['POST', 'GET'])
  check.oneOf(`${path}.tokenRequestPlacement`, options.tokenRequestPlacement, ['body', 'query'])
  check.oneOf(`${path}.tokenPlacement`, options.tokenPlacement, ['header', 'query', 'body'])
  check.oneOf(`${path}.refresh`, options.refresh, ['auto', 'notify', 'manual'])
  check.known(`${path}.hooks`, options.hooks, HOOKS)
  for (const hook of HOOKS) check.type(`${path}.hooks.${hook}`, options.hooks?.[hook], 'function')
  check.oneOf(`${path}.profileSource`, options.profileSource, ['id_token', 'userinfo', 'auto'])
  for (const option of ['authorizationParams', 'tokenParams', 'refreshParams'] as const) {
    if (options[option] === undefined || check.object(`${path}.${option}`, options[option]) === undefined) continue
    checkCredentials(
      `${path}.${option}`,
      options[option],
      option === 'authorizationParams' || authenticates(options),
      check
    )
  }
  for (const option of ['title', 'scopeSeparator'] as const) check.type(`${path}.${option}`, options[option], 'string')
  checkIdTokenIssuer(`${path}.idTokenIssuer`, options.idTokenIssuer, check)
  check.oneOf(`${path}.responseMode`, options.responseMode, ['query', 'form_post'])

  return Object.freeze({
    name,
    identity: identityOf(options),
    title: options.title ?? name,
    issuer: options.issuer,
    endpoints: Object.freeze(endpoints),
    clientId: options.clientId,
    clientSecret: options.clientSecret,
    clientAuthentication,
    clientPrivateKey: options.clientPrivateKey,
    clientAssertion: options.clientAssertion,
    grantType,
    idTokenIssuer: options.idTokenIssuer,
    redirectUri: options.redirectUri,
    scope: Object.freeze(scope ?? []),
    scopeSeparator: options.scopeSeparator ?? ' ',
    pkce,
    forwardedLoginParams: Object.freeze(forwardedLoginParams),
    tokenEndpointMethod: options.tokenEndpointMethod ?? 'POST',
    tokenRequestPlacement: options.tokenRequestPlacement ?? 'body',
    requireTokenType: options.requireTokenType ?? false,
    tokenPlacement: options.tokenPlacement ?? 'header',
    refresh: options.refresh,
    authorizationParams: options.authorizationParams,
    tokenParams: options.tokenParams,
    refreshParams: options.refreshParams,
    responseMode: options.responseMode,
    resourceServers: Object.freeze(resourceServers),
    encodedSlashes: encodedSlashes.length === 0 ? undefined : Object.freeze(encodedSlashes),
    expiryLeeway: options.expiryLeeway ?? 30,
    defaultExpiresIn: options.defaultExpiresIn,
    requestTimeout: options.requestTimeout ?? 10_000,
    clockTolerance: options.clockTolerance ?? 60,
    refreshAhead: options.refreshAhead ?? true,
    revokeAtLogout: options.revokeAtLogout ?? true,
    postLogoutRedirectUri: options.postLogoutRedirectUri,
    // Like `userinfo`, it is asked at each login, and no ID token is needed for it.
    profileSource: options.fetchProfile === undefined ? options.profileSource ?? 'auto' : 'userinfo',
    fetchProfile: options.fetchProfile,
    userProfile: options.userProfile,
    conform: options.conform,
    hooks: Object.freeze({ ...options.hooks }),
    allowInsecureRequests: insecure
  })
}

/**
 * Tokens and subjects are an issuer's own (OpenID Connect Core, section 2), a refresh token also its client's (RFC
 * 6749, section 6). Another way to write the same URL is the same provider.
 */
function identityOf ({ issuer, authorizationEndpoint, tokenEndpoint, clientId }: ProviderOptions): string {
  const href = (url: string | undefined) => url === undefined ? '' : tryUrl(url)?.href ?? String(url)
  const server = issuer === undefined ? [href(authorizationEndpoint), href(tokenEndpoint)] : [href(issuer)]
  return shortHash(JSON.stringify([...server, clientId]))
}

/**
 * Reads the list of the APIs that may have the token; each ends with a slash, so that `/v1` does not stand for `/v10`
 * as well.
 */
function readResourceServers (
  path: string, value: ProviderOptions['resourceServers'], insecure: boolean, check: OptionChecker
): { resourceServers: URL[], encodedSlashes: URL[] } {
  const resourceServers: URL[] = []
  const encodedSlashes: URL[] = []
  if (value !== undefined && !Array.isArray(value)) check.add(path, 'must be a list')
  for (const [index, entry] of (Array.isArray(value) ? value as unknown[] : []).entries()) {
    const at = `${path}[${index}]`
    const server = readResourceServer(at, entry, check)
    if (server === undefined) continue
    const url = check.url(typeof entry === 'string' ? at : `${at}.url`, server.url, insecure)
    if (url === undefined) continue
    if (url.search !== '' || url.hash !== '') check.add(at, 'must be origin and path alone')
    if (!url.pathname.endsWith('/')) url.pathname += '/'
    resourceServers.push(url)
    if (server.encodedSlashes === true) encodedSlashes.push(url)
  }
  return { resourceServers, encodedSlashes }
}

function readResourceServer (path: string, entry: unknown, check: OptionChecker): ResourceServer | undefined {
  if (typeof entry === 'string') return { url: entry }
  if (entry === undefined) {
    check.add(path, 'is undefined: an environment variable that is not set? Write the URL of an API')
    return undefined
  }
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry) || entry instanceof URL) {
    check.add(path, 'must be a URL as a string, or { url, encodedSlashes }')
    return undefined
  }
  const server = entry as ResourceServer
  check.known(path, server, ['url', 'encodedSlashes'])
  check.type(`${path}.url`, server.url, 'string', true)
  check.type(`${path}.encodedSlashes`, server.encodedSlashes, 'boolean')
  return typeof server.url === 'string' ? server : undefined
}

function checkIdTokenIssuer (path: string, value: ProviderOptions['idTokenIssuer'], check: OptionChecker): void {
  if (!Array.isArray(value)) {
    if (typeof value !== 'string') check.type(path, value, 'function')
  } else if (value.length === 0 || !value.every(item => typeof item === 'string' && item !== '')) {
    check.add(path, 'must be a string, a list of strings, or a function')
  }
}

function checkClientAssertion (path: string, value: ProviderOptions['clientAssertion'], check: OptionChecker): void {
  if (value === undefined || typeof value === 'function') return
  if (check.object(path, value) === undefined) return
  check.known(path, value, ['audience', 'header'])
  const { audience, header } = value
  if (Array.isArray(audience)) check.strings(`${path}.audience`, audience)
  else check.type(`${path}.audience`, audience, 'string')
  if (header !== undefined) check.object(`${path}.header`, header)
}

/** Whether the client is authenticated in a way that is known before a request is made. */
function authenticates ({ clientAuthentication, clientSecret }: ProviderOptions): boolean {
  if (clientAuthentication === undefined) return clientSecret !== undefined
  return clientAuthentication !== 'none' && typeof clientAuthentication !== 'function'
}

// A request has one client authentication (RFC 6749, section 2.3), and a URL of the browser's has none.
function checkCredentials (path: string, params: RequestParameters, refused: boolean, check: OptionChecker): void {
  const given = setParameters(new URLSearchParams(), params)
  if (!refused || !given.has('client_secret')) return
  check.add(
    `${path}.client_secret`,
    'must not be there: the client is authenticated by clientSecret and clientAuthentication; for the form, write ' +
      "clientAuthentication: 'client_secret_post'"
  )
}

function isPrivateKey (key: unknown): boolean {
  return typeof key === 'string' ? key.includes('-----BEGIN PRIVATE KEY-----') : typeof key === 'object' && key !== null
}

function requiredEndpoints (
  grantType: GrantType
): ('authorizationEndpoint' | 'tokenEndpoint' | 'deviceAuthorizationEndpoint')[] {
  if (grantType === 'implicit') return ['authorizationEndpoint']
  if (grantType === 'device_code') return ['deviceAuthorizationEndpoint', 'tokenEndpoint']
  return grantType === 'authorization_code' ? ['authorizationEndpoint', 'tokenEndpoint'] : ['tokenEndpoint']
}
