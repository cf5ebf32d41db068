import { type ClientCertificate, parseClientCertificate } from '../http/client-certificate.ts'
import { isTlsMethod } from '../oauth/client-authentication.ts'
import { type ClientKey, keysForProfile, parseClientKeys, signingKeyOf } from '../oauth/client-keys.ts'
import { parseScope } from '../oauth/token-set.ts'
import { isObject } from '../util/is-object.ts'
import { shortHash } from '../util/random.ts'
import { isUnset, type OptionChecker, tryUrl } from './option-checker.ts'
import { type OptionRule, PROVIDER_OPTIONS } from './option-rules.ts'
import type { GrantType, ProviderOptions, ResourceServer } from './options.ts'
import { withProfile } from './security-profile.ts'

type OptionName = keyof typeof PROVIDER_OPTIONS
type WithDefault = {
  [Name in OptionName]: (typeof PROVIDER_OPTIONS)[Name] extends { default: unknown } ? Name : never
}[OptionName]
type WithMetadata = {
  [Name in OptionName]: (typeof PROVIDER_OPTIONS)[Name] extends { metadata: string } ? Name : never
}[OptionName]

/** The options as they were given, with defaults; without those that ProviderConfig has in another shape. */
type Completed = Omit<
  Required<Pick<ProviderOptions, WithDefault>> & ProviderOptions,
  WithMetadata | 'scope' | 'resourceServers' | 'clientKeys' | 'clientCertificate'
>

/** A resource server, prepared for calls; `path` ends with a slash. */
export interface ResourceBase {
  href: string
  origin: string
  path: string
}

/** One provider's options, checked and with defaults. */
export interface ProviderConfig extends Readonly<Completed> {
  readonly name: string
  /**
   * Short stable hash of the provider's identity: its issuer, or its endpoints if it has none, and the client id.
   * Logins, token records and pending logins are bound to it, never to the name alone.
   */
  readonly identity: string
  readonly title: string
  /** The endpoints that are given, by their names in metadata. */
  readonly endpoints: Readonly<Record<string, string>>
  readonly scope: readonly string[]
  /** The same as one text, as most token responses have it. */
  readonly usualScope: string
  /** Read and checked; none if none are given. */
  readonly clientKeys: readonly ClientKey[]
  /** The one that the client signs with: the first of them for signatures. */
  readonly signingKey: ClientKey | undefined
  readonly clientCertificate: ClientCertificate | undefined
  /** Whether the client has a TLS certificate, here or in its dispatcher: `mtls_endpoint_aliases` are used. */
  readonly usesCertificate: true | undefined
  /** Whether calls to resource servers are sent with the certificate. */
  readonly certificateBound: true | undefined
  /** Each ends with a slash, so that `/v1` does not cover `/v10` as well. */
  readonly resourceServers: readonly URL[]
  /** The same as text, in parts, in the same order. */
  readonly resourceBases: readonly ResourceBase[]
  /** Those of `resourceServers` below which a path may have `%2F`; undefined if there are none. */
  readonly encodedSlashes: readonly URL[] | undefined
  /** The app has set `revokeAtLogout`. Without that, a provider's own logout is no cause to revoke its tokens. */
  readonly revokesAtBackchannelLogout?: true
  /** Covered beside `resourceServers`, this path alone: the userinfo endpoint, where the profile is fetched. */
  readonly userinfoResource?: URL | undefined
}

const OPTION_NAMES = Object.keys(PROVIDER_OPTIONS) as OptionName[]

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
  name: string, given: ProviderOptions, check: OptionChecker, path = `providers.${name}`
): ProviderConfig {
  check.known(path, given, OPTION_NAMES)
  const options = withProfile(given)
  for (const option of OPTION_NAMES) {
    PROVIDER_OPTIONS[option].check(check, `${path}.${option}`, options[option], options)
  }
  checkServer(path, options, check)

  const completed: Record<string, unknown> = {}
  const endpoints: Record<string, string> = {}
  for (const option of OPTION_NAMES) {
    const rule: OptionRule<any> = PROVIDER_OPTIONS[option]
    const value = options[option] ?? rule.default
    if (rule.metadata === undefined) completed[option] = value
    else if (value !== undefined) endpoints[rule.metadata] = value
  }
  const { title = name, fetchProfile, forwardedLoginParams, hooks, responseType, responseMode } = options
  const written = parseClientKeys(options.clientKeys)
  const scope = Object.freeze(parseScope(options.scope) ?? [])
  const clientKeys = options.securityProfile === undefined ? written : keysForProfile(written)
  return Object.freeze({
    ...completed as unknown as Completed,
    name,
    identity: identityOf(options),
    title,
    // By default the ID token of a hybrid response is in the fragment, which only the browser sees (OAuth 2.0 Multiple
    // Response Type Encoding Practices, section 5).
    ...(responseType === 'code id_token' && { responseMode: responseMode ?? 'form_post' }),
    endpoints: Object.freeze(endpoints),
    scope,
    usualScope: scope.join(' '),
    clientKeys,
    signingKey: signingKeyOf(clientKeys),
    ...readCertificate(options),
    forwardedLoginParams: Object.freeze(Array.isArray(forwardedLoginParams) ? [...forwardedLoginParams] : []),
    ...readResourceServers(options.resourceServers),
    ...(options.revokeAtLogout === true && { revokesAtBackchannelLogout: true as const }),
    // Like `userinfo`, it is asked at each login, and no ID token is needed for it.
    ...(fetchProfile !== undefined && { profileSource: 'userinfo' as const }),
    hooks: Object.freeze({ ...hooks })
  })
}

/** Checks that the options say where the provider is, and who issues its ID tokens. */
function checkServer (path: string, options: ProviderOptions, check: OptionChecker): void {
  const { issuer, idTokenIssuer, jwksUri, grantType = 'authorization_code' } = options
  const asksIdToken = parseScope(options.scope)?.includes('openid') === true
  const lacking = issuer === undefined
    ? requiredEndpoints(grantType).filter(option => options[option] === undefined)
    : []
  if (idTokenIssuer !== undefined && issuer === undefined && jwksUri === undefined) {
    check.add(`${path}.jwksUri`, 'is missing, and idTokenIssuer is given; write where the keys of its ID tokens are')
  }
  // One cause is one line: what a written issuer would have brought is not asked for beside it.
  if (isUnset(options, 'issuer') && (lacking.length > 0 || asksIdToken)) {
    check.missing(`${path}.issuer`, options, 'write the issuer, or leave the option out and write the endpoints')
    return
  }
  for (const option of lacking) {
    check.missing(`${path}.${option}`, options, 'write it, or `issuer` to have the endpoints discovered')
  }
  const profileAlone = options.profileSource === 'userinfo' || options.fetchProfile !== undefined
  if (asksIdToken && issuer === undefined && idTokenIssuer === undefined && !profileAlone) {
    check.add(
      `${path}.issuer`,
      'is missing, and scope asks for "openid"; an ID token can be checked only against a known issuer (with ' +
        '`profileSource: \'userinfo\'` there need be none)'
    )
  }
}

/** What each grant needs if no issuer brings it; only the token endpoint for those not listed. */
const REQUIRED_ENDPOINTS: { [Grant in GrantType]?: WithMetadata[] } = {
  authorization_code: ['authorizationEndpoint', 'tokenEndpoint'],
  implicit: ['authorizationEndpoint'],
  device_code: ['deviceAuthorizationEndpoint', 'tokenEndpoint']
}

function requiredEndpoints (grantType: GrantType): WithMetadata[] {
  return new Map(Object.entries(REQUIRED_ENDPOINTS)).get(grantType) ?? ['tokenEndpoint']
}

/**
 * Tokens and subjects are an issuer's own (OpenID Connect Core, section 2), a refresh token also its client's (RFC
 * 6749, section 6). Another way to write the same URL is the same provider.
 */
function identityOf ({ issuer, authorizationEndpoint, tokenEndpoint, clientId }: ProviderOptions): string {
  const href = (url: unknown) => typeof url === 'string' ? tryUrl(url)?.href ?? url : ''
  const server = issuer === undefined ? [href(authorizationEndpoint), href(tokenEndpoint)] : [href(issuer)]
  return shortHash(JSON.stringify([...server, typeof clientId === 'string' ? clientId : '']))
}

function readCertificate (options: ProviderOptions) {
  const { clientAuthentication, tlsClientCertificateBoundAccessTokens: bound } = options
  const given = isObject(options.clientCertificate) ? options.clientCertificate : undefined
  const isGiven = given !== undefined
  return {
    clientCertificate: given && parseClientCertificate(given),
    usesCertificate: isGiven || bound === true || isTlsMethod(clientAuthentication) ? true as const : undefined,
    certificateBound: bound ?? isGiven ? true as const : undefined
  }
}

function readResourceServers (servers: ProviderOptions['resourceServers']) {
  const resourceServers: URL[] = []
  const encodedSlashes: URL[] = []
  // What cannot be read has been reported.
  for (const server of Array.isArray(servers) ? servers as (string | ResourceServer)[] : []) {
    const url = tryUrl(typeof server === 'object' ? server?.url : server)
    if (url === undefined) continue
    if (!url.pathname.endsWith('/')) url.pathname += '/'
    resourceServers.push(url)
    if (typeof server === 'object' && server.encodedSlashes === true) encodedSlashes.push(url)
  }
  return {
    resourceServers: Object.freeze(resourceServers),
    resourceBases: Object.freeze(resourceServers.map(({ href, origin, pathname: path }) => ({ href, origin, path }))),
    encodedSlashes: encodedSlashes.length === 0 ? undefined : Object.freeze(encodedSlashes)
  }
}
