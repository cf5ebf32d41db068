import { InvalidOptionsError, InvalidTokenResponseError } from '../errors.ts'
import type { DpopKey } from '../oauth/dpop-key.ts'
import { buildTokenRequest } from '../oauth/token-request.ts'
import {
  type HttpResponse, isClientRefused, issuedRefreshToken, readTokenResponse, type TokenResponse
} from '../oauth/token-response.ts'
import type { TokenSet } from '../oauth/token-set.ts'
import { type RequestParameters, setQuery } from '../oauth/urls.ts'
import { channels, type ExchangeTrace, noteError, traced } from '../util/tracing.ts'
import { isUnavailable, type ProviderRequest } from './http.ts'
import type { ProviderHooks } from './options.ts'
import { combineHooks } from './presets/hooks.ts'
import type { ProviderClient } from './provider.ts'

/** One request to the token endpoint. */
export interface GrantRequest {
  grantType: string
  /** The grant's own parameters; undefined ones are left out. */
  grant: Record<string, string | undefined>
  /** Further parameters; the later ones win. */
  params?: readonly (RequestParameters | undefined)[]
  /** What counts as granted if the response names no scope (RFC 6749, section 5.1). */
  scope: readonly string[]
  /** Milliseconds for the whole exchange; `requestTimeout` if absent. */
  timeoutMs?: number
  headers?: Record<string, string> | undefined
  /** The key that the tokens are, or will be, bound to (RFC 9449, section 5). */
  dpopKey?: DpopKey | undefined
  /** Run after the provider's own hooks. */
  hooks?: ProviderHooks | undefined
  /** Called directly before the request is written to the connection; throwing keeps it from being sent. */
  beforeSend?: () => void
  /** Called with the refresh token of the response before a hook of the app, which may fail, has it. */
  onIssued?: (refreshToken: string) => void
}

/** A response without tokens, and what it may have brought all the same. */
export type TokenError = Extract<TokenResponse, { error: unknown }>

/** Basic encodes some characters of a secret (RFC 6749, section 2.3.1). */
const TRY_POST = "; some servers do not decode such a secret in Basic: try clientAuthentication: 'client_secret_post'"
/** `unauthorized_client`: the client may not use this grant (section 5.2), or, at Keycloak, its secret is wrong. */
const ALLOWED_GRANTS = ', and which grants the provider allows this client'

/**
 * Sends a token request. If Basic is refused and the options name no client authentication, the form is tried once.
 * @returns the tokens, or an `error` if the response holds none
 * @throws FST_OAUTH_PROVIDER_UNAVAILABLE if no complete response came, FST_OAUTH_INVALID_OPTIONS
 */
export function requestTokens (provider: ProviderClient, request: GrantRequest): Promise<TokenResponse> {
  if (!channels.exchange.hasSubscribers) return exchange(provider, request)
  const trace: ExchangeTrace = { provider: provider.name, grantType: request.grantType }
  return traced(channels.exchange, trace, 'succeeded', async () => {
    const response = await exchange(provider, request)
    if ('error' in response) {
      trace.outcome = 'refused'
      noteError(trace, response.error)
    }
    return response
  })
}

async function exchange (provider: ProviderClient, request: GrantRequest): Promise<TokenResponse> {
  const { authenticator } = provider
  const isRefused = (response: TokenResponse) => 'error' in response && isClientRefused(response.error)
  const first = await sendTokenRequest(provider, request)
  if (!('error' in first)) return first
  const response = await authenticator.tryPost(first, () => sendTokenRequest(provider, request), isRefused)
  if (!('error' in response)) return response
  if (response.error.oauthError === 'unauthorized_client') return withHint(provider, response, ALLOWED_GRANTS)
  if (!isClientRefused(response.error)) return response
  return withHint(provider, response, await authenticator.mayNeedPost() ? TRY_POST : '')
}

/** Only the operator can correct a refused client: the error says which options to check. */
function withHint (provider: ProviderClient, refused: TokenError, hint: string): TokenResponse {
  const { code, oauthError, oauthErrorDescription, oauthErrorUri, responseStatus, excerpt, reason } = refused.error
  if (code !== 'FST_OAUTH_INVALID_TOKEN_RESPONSE') return refused
  const check = `check ${provider.authenticator.options}${hint}`
  const message = `provider "${provider.name}" refused the client: ${oauthError ?? responseStatus}; ${check}`
  const error = new InvalidTokenResponseError(message, {
    provider: provider.name, oauthError, oauthErrorDescription, oauthErrorUri, responseStatus, excerpt, reason
  })
  return { ...refused, error }
}

/** @param nonce what the response before this request asked for */
async function sendTokenRequest (
  provider: ProviderClient, request: GrantRequest, nonce?: string
): Promise<TokenResponse> {
  const { config, http, name } = provider
  const { grantType, grant, scope, params = [], headers: given, dpopKey, beforeSend, timeoutMs } = request
  const server = provider.knownMetadata ?? await provider.metadata()
  const endpoint = provider.endpointIn(server, 'token_endpoint')
  const clientAuth = await provider.authenticator.at(endpoint, server)
  const { headers, body } = await buildTokenRequest({
    provider: name,
    server,
    clientId: config.clientId,
    clientAuth,
    grantType,
    grant,
    params,
    headers: given
  })
  const hooks = combineHooks(config.hooks, request.hooks)
  const [onRequest, onResponse] = grantType === 'refresh_token'
    ? [hooks.refreshTokenRequest, hooks.refreshTokenResponse]
    : [hooks.accessTokenRequest, hooks.accessTokenResponse]
  if (onRequest !== undefined) await onRequest({ url: endpoint, headers, body })
  const proofs = dpopKey === undefined ? undefined : await provider.dpop()
  if (dpopKey !== undefined) {
    const { origin, pathname } = endpoint
    const proven = { method: config.tokenEndpointMethod, url: origin + pathname }
    headers.dpop = await proofs!.prove('authorization', dpopKey, proven, nonce)
  }
  const placed = place(provider, endpoint, headers, body)
  placed.beforeSend = beforeSend
  const answer = await http.send(placed, timeoutMs)
  const response = onResponse === undefined ? answer : await afterHook(provider, answer, onResponse, request)
  const secrets = () => [
    ...SECRET_PARAMETERS.flatMap(parameter => body.getAll(parameter)),
    ...(headers.authorization?.split(' ') ?? []),
    config.clientSecret ?? ''
  ]
  const { usualScope, defaultExpiresIn, conform, requireTokenType } = config
  const now = provider.clock.now()
  const result = readTokenResponse(response, {
    provider: name, now, grantType, scope, usualScope, defaultExpiresIn, conform, secrets, requireTokenType
  })
  if (proofs !== undefined) {
    const asked = proofs.noteNonce('authorization', endpoint.origin, answer.headers)
    // Once (RFC 9449, section 8): the code or the refresh token has not been used.
    const isAsked = 'error' in result && result.error.oauthError === 'use_dpop_nonce' && asked !== undefined
    if (isAsked && nonce === undefined) return await sendTokenRequest(provider, request, asked)
    if (!('error' in result) && result.tokens.tokenType.toLowerCase() !== 'dpop') return notBound(provider, result)
  }
  return 'error' in result && isUnavailable(response, result.error)
    ? { ...result, error: http.unavailable(response, secrets(), result.error) }
    : result
}

/** A response as a hook of the app makes it. @throws FST_OAUTH_INVALID_OPTIONS if that is none, and what it throws */
async function afterHook (
  { name: provider }: ProviderClient, answer: HttpResponse,
  hook: NonNullable<ProviderHooks['accessTokenResponse']>, { grantType, onIssued }: GrantRequest
): Promise<HttpResponse> {
  const issued = issuedRefreshToken(answer)
  if (issued !== undefined) onIssued?.(issued)
  // Its own, with headers that it may replace.
  const given = { ...answer }
  const changed = await hook(given) ?? given
  if (typeof (changed as Partial<HttpResponse>).text === 'string') return { ...answer, ...changed }
  const name = grantType === 'refresh_token' ? 'refreshTokenResponse' : 'accessTokenResponse'
  const message = `hooks.${name} of provider "${provider}" has to return the response, with its \`text\`, or nothing`
  throw new InvalidOptionsError(message, { provider })
}

/**
 * The error of a bearer token in place of a bound one, which is good for any bearer (RFC 9449, section 5). A rotated
 * refresh token is kept.
 */
function notBound ({ name }: ProviderClient, { tokens: { refreshToken } }: { tokens: TokenSet }): TokenError {
  const message = `provider "${name}" issued a token that is not bound to a key, and \`dpop\` is on`
  const remedy = 'switch on DPoP for this client at the provider, or take `dpop` out'
  const error = new InvalidTokenResponseError(`${message}; ${remedy}`, { provider: name, reason: 'not_bound' })
  return { error, refreshToken }
}

// Some providers want the token request as a GET, or its parameters in the query.
function place (
  { config }: ProviderClient, url: URL, headers: Record<string, string>, body: URLSearchParams
): ProviderRequest {
  const method = config.tokenEndpointMethod
  if (method === 'POST' && config.tokenRequestPlacement === 'body') {
    return { url, method, headers, body: body.toString() }
  }
  const { 'content-type': _none, ...rest } = headers
  return { url: new URL(setQuery(url.href, body)), method, headers: rest }
}

/** An error may repeat any parameter of the request; the others hold no secret. */
const SECRET_PARAMETERS = ['code', 'code_verifier', 'refresh_token', 'client_secret', 'client_assertion', 'username',
  'password', 'assertion', 'subject_token', 'actor_token', 'device_code']
