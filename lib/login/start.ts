import { InvalidOptionsError } from '../errors.ts'
import { type AuthorizationDetail, detailsParameter } from '../oauth/authorization-details.ts'
import type { DpopKey } from '../oauth/dpop-key.ts'
import { checkCodeVerifier, codeChallengeMethod } from '../oauth/pkce.ts'
import { isSecuredMode } from '../oauth/response-mode.ts'
import { type RequestParameters, setParameters } from '../oauth/urls.ts'
import type { ProviderClient } from '../providers/provider.ts'
import { randomToken } from '../util/random.ts'
import { shown } from '../util/shown.ts'

/** What one login asks for. */
export interface LoginRequest {
  scope: string[]
  redirectUri?: string | undefined
  /** Parameters of the authorization request; they replace those of `authorizationParams`. */
  params?: RequestParameters | undefined
  /** What the tokens are to allow (RFC 9396), in place of the provider's own `authorizationDetails`. */
  authorizationDetails?: readonly AuthorizationDetail[] | undefined
  /** Seconds since the user last authenticated; `max_age` of the parameters if absent. */
  maxAge?: number | undefined
  /** Authentication context classes; one of them is required in the ID token. */
  acrValues?: readonly string[] | undefined
  /** Random if absent, as are `nonce` and `codeVerifier`. */
  state?: string | undefined
  nonce?: string | undefined
  codeVerifier?: string | undefined
  /** In place of the provider's own. */
  pkce?: 'S256' | 'plain' | false | undefined
  /** The key that the tokens will be bound to; one of this login's own if absent. */
  dpopKey?: DpopKey | undefined
  /** Where the provider has none of its own. */
  responseMode?: string | undefined
}

/** What `finishLogin` checks the authorization response and the tokens against. */
export interface PendingAuthorization {
  /** Undefined if no login is under way: no response has that state. */
  state: string | undefined
  scope: string[]
  redirectUri?: string | undefined
  /** Undefined for a login without PKCE. */
  codeVerifier?: string | undefined
  /** Undefined for a login without an ID token. */
  nonce?: string | undefined
  /** Seconds. */
  maxAge?: number | undefined
  /** The provider was asked for no interaction with the user (`prompt=none`). */
  silent?: boolean
  /** Of the ID token's `acr`, one. */
  acrValues?: readonly string[] | undefined
  /** The response is a JWT, by the parameters of this login and not by the provider's `responseMode`. */
  secured?: boolean
  /** What the request named as `resource`, which the token request names as well (RFC 8707, section 2.2). */
  resource?: string[] | undefined
  /** The key that the code is bound to, and the tokens will be. */
  dpopKey?: DpopKey | undefined
}

/**
 * Starts a login: makes the authorization request (RFC 6749, section 4.1.1; RFC 7636; OpenID Connect Core, sections
 * 3.1.2.1 and 3.2.2.1) and says what has to be remembered until the response comes.
 * @throws FST_OAUTH_PROVIDER_UNAVAILABLE, FST_OAUTH_INSECURE_TRANSPORT, FST_OAUTH_INVALID_OPTIONS
 */
export async function startLogin (
  provider: ProviderClient, request: LoginRequest
): Promise<{ url: string, pending: PendingAuthorization & { state: string } }> {
  const { name, config } = provider
  const { scope, redirectUri, acrValues, authorizationDetails, pkce = config.pkce, state = randomToken() } = request
  const withIdToken = provider.expectsIdToken(scope)
  checkRequest(provider, request, pkce, withIdToken)
  const method = codeChallengeMethod(name, config, pkce)
  const codeVerifier = method === undefined ? undefined : request.codeVerifier ?? randomToken()
  if (codeVerifier !== undefined && request.codeVerifier !== undefined) checkCodeVerifier(codeVerifier, name)
  const nonce = request.nonce ?? (withIdToken ? randomToken() : undefined)
  const usual = request.params === undefined && request.maxAge === undefined && acrValues === undefined &&
    authorizationDetails === undefined
  const hasParams =
    !usual || config.authorizationParams !== undefined || config.authorizationDetails !== undefined
  const params = hasParams ? paramsOf(provider, request) : undefined
  const maxAge = request.maxAge ?? wholeNumber(params?.get('max_age'))
  if (maxAge !== undefined) params!.set('max_age', String(maxAge))
  if (acrValues !== undefined) params!.set('acr_values', acrValues.join(' '))
  const dpopKey = request.dpopKey ?? (config.dpop === true ? await provider.createDpopKey() : undefined)
  const url = await provider.authorizationUrls.build({
    responseType: config.grantType !== 'implicit' ? config.responseType : withIdToken ? 'id_token token' : 'token',
    redirectUri,
    scope,
    state,
    codeVerifier,
    codeChallengeMethod: method,
    nonce,
    dpopJkt: dpopKey === undefined ? undefined : await dpopThumbprintOf(dpopKey),
    // `query` is the default of a code (OAuth 2.0 Multiple Response Type Encoding Practices, section 2.1).
    responseMode: config.responseMode === 'query' ? undefined : config.responseMode ?? request.responseMode,
    params
  }, { usual })
  const pending: PendingAuthorization & { state: string } = {
    state, scope, redirectUri, codeVerifier, nonce, maxAge
  }
  if (acrValues !== undefined) pending.acrValues = acrValues
  if (params?.get('prompt')?.split(' ').includes('none') === true) pending.silent = true
  if (config.responseMode === undefined && isSecuredMode(request.responseMode)) pending.secured = true
  if (dpopKey !== undefined) pending.dpopKey = dpopKey
  const resource = params?.getAll('resource') ?? []
  if (resource.length > 0) pending.resource = resource
  return { url, pending }
}

/** @throws FST_OAUTH_INVALID_OPTIONS if the checks that it, or the provider's options, ask for are not possible */
function checkRequest (
  { name, config }: ProviderClient, { maxAge, acrValues }: LoginRequest, pkce: LoginRequest['pkce'],
  withIdToken: boolean
): void {
  if ((maxAge !== undefined || acrValues !== undefined) && !withIdToken) {
    const option = acrValues === undefined ? 'a maxAge' : 'acrValues'
    throw new InvalidOptionsError(
      `a login at provider "${name}" cannot have ${option}: only an ID token tells it; ask for the scope "openid" at ` +
        'a provider with an `issuer`',
      { provider: name }
    )
  }
  if (config.responseType !== 'code' && !withIdToken) {
    const message = `a login at provider "${name}" asks for an ID token by its responseType; keep "openid" in its scope`
    throw new InvalidOptionsError(message, { provider: name })
  }
  if (config.securityProfile !== undefined && pkce !== 'S256') {
    const message = `a login at provider "${name}" has pkce ${shown(pkce)}, and its securityProfile needs S256`
    throw new InvalidOptionsError(message, { provider: name, reason: 'security_profile' })
  }
}

/** The further parameters: those of the options, then those of this one login. */
function paramsOf ({ name, config }: ProviderClient, { params, authorizationDetails }: LoginRequest): URLSearchParams {
  const all = new URLSearchParams()
  if (config.authorizationDetails !== undefined) {
    all.set('authorization_details', detailsParameter(config.authorizationDetails, name))
  }
  setParameters(setParameters(all, config.authorizationParams), params)
  if (authorizationDetails !== undefined) {
    all.set('authorization_details', detailsParameter(authorizationDetails, name))
  }
  return all
}

async function dpopThumbprintOf (key: DpopKey): Promise<string> {
  const { dpopThumbprint } = await import('../oauth/dpop-proof.ts')
  return await dpopThumbprint(key)
}

function wholeNumber (value: string | null | undefined): number | undefined {
  return value !== null && value !== undefined && /^\d+$/.test(value) ? Number(value) : undefined
}
