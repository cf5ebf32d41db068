import { AuthorizationFailedError, InvalidOptionsError, type OAuthError } from '../errors.ts'
import { detailsParameter } from '../oauth/authorization-details.ts'
import type { DpopKey } from '../oauth/dpop-key.ts'
import { parseScope, type ScopeChange, type TokenSet } from '../oauth/token-set.ts'
import { mergeParameters, type RequestParameters, setParameters } from '../oauth/urls.ts'
import { isNonEmptyText } from '../util/is-text.ts'
import { shown } from '../util/shown.ts'
import type { ProviderClient } from './provider.ts'
import { loginEnded, readRefusal } from './refresh-errors.ts'
import { type GrantRequest, requestTokens } from './token-endpoint.ts'

/** Options that every grant has beside its own. */
export interface GrantOptions {
  /** In place of the provider's own scope. */
  scope?: string | readonly string[] | undefined
  /** Further parameters (`audience`, repeated `resource`, …); they override `tokenParams`. */
  params?: RequestParameters | undefined
  /** Further header fields of the token request. */
  headers?: Record<string, string> | undefined
  /** The key that the tokens will be bound to; with `dpop: true` a login makes one of its own if absent. */
  dpopKey?: DpopKey | undefined
  /** Hooks that run after the provider's. */
  hooks?: GrantRequest['hooks']
}

/** A set and how its scope differs from what was asked for. */
export interface GrantResult {
  tokens: TokenSet
  scopeChange: ScopeChange | undefined
  /** The key that the tokens are bound to. */
  dpopKey?: DpopKey | undefined
  /** The `resource` of the request, which each refresh repeats (RFC 8707, section 2.2). */
  resource?: string[] | undefined
  /** Parameters of the authorization response that each refresh repeats. */
  callbackParams?: Record<string, string> | undefined
}

/**
 * Exchanges a grant for tokens.
 * @param usual further parameters, below those of the options
 * @throws FST_OAUTH_AUTHORIZATION_FAILED if the provider refuses, FST_OAUTH_INVALID_TOKEN_RESPONSE,
 *   FST_OAUTH_PROVIDER_UNAVAILABLE
 */
async function requestGrant (
  provider: ProviderClient, grantType: string, grant: GrantRequest['grant'], options: GrantOptions = {},
  usual?: RequestParameters
): Promise<GrantResult> {
  const { params, headers, hooks } = options
  const dpopKey = options.dpopKey ?? (provider.config.dpop === true ? await provider.createDpopKey() : undefined)
  const scope = parseScope(options.scope) ?? [...provider.config.scope]
  const all = mergeParameters(usual, provider.config.tokenParams, params)
  const response = await requestTokens(provider, { grantType, grant, params: [all], scope, headers, dpopKey, hooks })
  if ('error' in response) throw refusedGrant(provider, grantType, response.error)
  const resource = all === undefined ? [] : setParameters(new URLSearchParams(), all).getAll('resource')
  const granted: GrantResult = { tokens: response.tokens, scopeChange: response.scopeChange, dpopKey }
  if (resource.length > 0) granted.resource = resource
  return granted
}

const JWT_BEARER_GRANT = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
const TOKEN_EXCHANGE_GRANT = 'urn:ietf:params:oauth:grant-type:token-exchange'
export const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code'

/** Grant type → what was refused, and what to do. */
const REFUSALS: Record<string, [refused: string, remedy: string]> = {
  password: ['the user name and password', 'try again with the right ones'],
  client_credentials: [
    "the app's request for a token of its own",
    "check scope, resource and audience, and the client's grants at the provider"
  ],
  [JWT_BEARER_GRANT]: ['the assertion', 'check its issuer, subject, audience, times and key'],
  [TOKEN_EXCHANGE_GRANT]: ['the token exchange', 'check the tokens, their types, audience, resource and scope'],
  [DEVICE_GRANT]: ['the login on the device', 'start it again']
}

/** The error of a refused grant, with what to do. A refused client is the operator's mistake and stays as it is. */
export function refusedGrant (provider: ProviderClient, grantType: string, error: OAuthError): OAuthError {
  const { oauthError, oauthErrorDescription, oauthErrorUri, responseStatus, excerpt, reason } = error
  if (reason !== 'refused' || oauthError === 'invalid_client' || oauthError === 'unauthorized_client') return error
  const [refused, remedy] = REFUSALS[grantType] ?? ['the login', 'start the login again']
  const message = `provider "${provider.name}" did not accept ${refused}: ${oauthError}; ${remedy}`
  return new AuthorizationFailedError(message, {
    provider: provider.name, oauthError, oauthErrorDescription, oauthErrorUri, responseStatus, excerpt, reason
  })
}

/** The scope as a parameter, or nothing. */
export function scopeParameter (provider: ProviderClient, { scope }: GrantOptions): string | undefined {
  const list = parseScope(scope) ?? provider.config.scope
  return list.length === 0 ? undefined : list.join(' ')
}

/** An authorization code, and the values of the login that its token request repeats. */
interface CodeGrant {
  code: string
  redirectUri?: string | undefined
  codeVerifier?: string | undefined
  resource?: string[] | undefined
  callbackParams?: Record<string, string> | undefined
}

/** Authorization code (RFC 6749, section 4.1.3). The token request names no scope. */
export async function codeGrant (
  provider: ProviderClient, { code, redirectUri, codeVerifier, resource, callbackParams }: CodeGrant,
  options: GrantOptions
): Promise<GrantResult> {
  const grant = { code, redirect_uri: redirectUri, code_verifier: codeVerifier }
  const usual = mergeParameters(resource && { resource }, callbackParams)
  const granted = await requestGrant(provider, 'authorization_code', grant, options, usual)
  if (callbackParams !== undefined) granted.callbackParams = callbackParams
  return granted
}

/**
 * Resource owner password credentials (RFC 6749, section 4.3): legacy; the app sees the user's password. An empty
 * password is sent: a provider may accept it.
 * @throws FST_OAUTH_INVALID_OPTIONS if one of the two is missing
 */
export async function passwordGrant (
  provider: ProviderClient,
  { username, password, ...options }: GrantOptions & { username: string | undefined, password: string | undefined }
): Promise<GrantResult> {
  if (typeof username !== 'string' || username === '' || typeof password !== 'string') {
    throw new InvalidOptionsError('the password grant needs a user name and a password', {
      provider: provider.name,
      reason: 'missing_credentials'
    })
  }
  const scope = scopeParameter(provider, options)
  return await requestGrant(provider, 'password', { username, password, scope }, options)
}

/** What a request without an authorization request before it has of the options (RFC 9396, sections 3 and 6). */
export function appsOwnParams ({ name, config }: ProviderClient): RequestParameters | undefined {
  const { authorizationDetails } = config
  if (authorizationDetails === undefined) return undefined
  return { authorization_details: detailsParameter(authorizationDetails, name) }
}

/** Client credentials (RFC 6749, section 4.4). */
export async function clientCredentialsGrant (
  provider: ProviderClient, options: GrantOptions = {}
): Promise<GrantResult> {
  const grant = { scope: scopeParameter(provider, options) }
  return await requestGrant(provider, 'client_credentials', grant, options, appsOwnParams(provider))
}

/** JWT bearer assertion, signed by the app (RFC 7523, section 2.1). */
export async function jwtBearerGrant (
  provider: ProviderClient,
  { assertion, ...options }: GrantOptions & { assertion: string }
): Promise<GrantResult> {
  if (typeof assertion !== 'string' || assertion === '') {
    throw new InvalidOptionsError('the JWT bearer grant needs an assertion; sign one for the provider', {
      provider: provider.name,
      reason: 'missing_assertion'
    })
  }
  const scope = scopeParameter(provider, options)
  return await requestGrant(provider, JWT_BEARER_GRANT, { assertion, scope }, options)
}

/**
 * Refreshes tokens that have no record (RFC 6749, section 6). If the response brings no refresh token, the given one
 * stays valid.
 * @throws FST_OAUTH_LOGIN_ENDED, FST_OAUTH_INVALID_TOKEN_RESPONSE, FST_OAUTH_PROVIDER_UNAVAILABLE
 */
export async function refreshGrant (
  provider: ProviderClient,
  { refreshToken, params, scope = provider.config.scope, dpopKey, hooks }: GrantOptions & { refreshToken: string }
): Promise<GrantResult> {
  const response = await requestTokens(provider, {
    grantType: 'refresh_token',
    grant: { refresh_token: refreshToken },
    params: [provider.config.refreshParams, params],
    scope: parseScope(scope) ?? [],
    dpopKey,
    hooks
  })
  if ('error' in response) {
    const { error } = response
    throw readRefusal(error, { isOwn: params === undefined }) === 'ended' ? loginEnded(provider, error) : error
  }
  return { tokens: { refreshToken, ...response.tokens }, scopeChange: response.scopeChange, dpopKey }
}

const TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:'

/** A token exchange. Token types may be given short (`access_token`) or as their URN. */
export interface TokenExchange extends GrantOptions {
  /** The token that is exchanged. */
  subjectToken: string
  /** Its type: a URI, or its last part such as `id_token`. Default `access_token`. */
  subjectTokenType?: string
  /** A token of the party that acts for the subject. */
  actorToken?: string
  /** Its type. Default `access_token`. */
  actorTokenType?: string
  /** The type of token that is asked for. */
  requestedTokenType?: string
  /** Names of the services that the new token is for; repeated. */
  audience?: string | readonly string[]
  /** URIs of the services that the new token is for; repeated (RFC 8707). */
  resource?: string | readonly string[]
}

/** Exchanges one token for another (RFC 8693). */
export async function tokenExchangeGrant (provider: ProviderClient, exchange: TokenExchange): Promise<GrantResult> {
  const {
    subjectToken,
    subjectTokenType = 'access_token',
    actorToken,
    actorTokenType = 'access_token',
    requestedTokenType,
    audience,
    resource,
    ...options
  } = exchange
  if (!isNonEmptyText(subjectToken)) {
    throw new InvalidOptionsError('the token exchange needs a subjectToken; pass the token that is exchanged', {
      provider: provider.name, reason: 'invalid_option'
    })
  }
  const params = setParameters(setParameters(new URLSearchParams(), { audience, resource }), options.params)
  return await requestGrant(provider, TOKEN_EXCHANGE_GRANT, {
    subject_token: subjectToken,
    subject_token_type: tokenType(subjectTokenType),
    actor_token: actorToken,
    actor_token_type: actorToken === undefined ? undefined : tokenType(actorTokenType),
    requested_token_type: requestedTokenType === undefined ? undefined : tokenType(requestedTokenType),
    scope: options.scope === undefined ? undefined : scopeParameter(provider, options)
  }, { ...options, params })
}

function tokenType (type: unknown): string {
  if (isNonEmptyText(type)) return type.includes(':') ? type : TOKEN_TYPE + type
  throw new InvalidOptionsError(`a token type of exchange() is ${shown(type)}; write 'access_token', or a URN`, {
    reason: 'invalid_option'
  })
}
