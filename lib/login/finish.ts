import { InvalidIdTokenError, OAuthError } from '../errors.ts'
import {
  authorizationCodeOf, checkIssuer, checkState, stateOf, throwAuthorizationError
} from '../oauth/authorization-response.ts'
import type { AuthorizationServerMetadata } from '../oauth/discovery.ts'
import type { IdTokenClaims } from '../oauth/id-token.ts'
import { identifierText } from '../oauth/json.ts'
import { isSecuredMode } from '../oauth/response-mode.ts'
import { readTokenParameters } from '../oauth/token-response.ts'
import { codeGrant, type GrantOptions, type GrantResult } from '../providers/grants.ts'
import type { ProviderClient } from '../providers/provider.ts'
import { sessionEnd } from '../tokens/provider-ends.ts'
import { verifiedParameters } from './secured-response.ts'
import type { PendingAuthorization } from './start.ts'

/** The tokens of a login, checked. */
export interface LoginTokens extends GrantResult {
  /** Of the validated ID token, if the login asked for one. */
  idTokenClaims: IdTokenClaims | undefined
}

/** What an authorization response brought (RFC 6749, section 4.1.2). */
export interface AuthorizationResponse {
  code: string
  params: URLSearchParams
}

/**
 * Finishes a login: checks the authorization response, gets the tokens, and checks those (RFC 6749, sections 4.1 and
 * 4.2; OpenID Connect Core, sections 3.1 and 3.2). A login that asked for an ID token, with a nonce, needs one.
 * @param response the parameters of the response, or a code alone, from a response that the app has checked
 * @param options.now epoch seconds
 * @param options.stateChecked the app has checked the state of the response
 * @throws FST_OAUTH_STATE_MISMATCH, FST_OAUTH_AUTHORIZATION_FAILED, FST_OAUTH_INVALID_TOKEN_RESPONSE,
 *   FST_OAUTH_INVALID_ID_TOKEN, FST_OAUTH_PROVIDER_UNAVAILABLE
 */
export async function finishLogin (
  provider: ProviderClient, pending: PendingAuthorization, response: URLSearchParams | string,
  options: Pick<GrantOptions, 'params' | 'headers' | 'hooks'> & { now: number, stateChecked?: boolean }
): Promise<LoginTokens> {
  const { now, stateChecked = false, params, headers, hooks } = options
  const { name, config } = provider
  const { scope, redirectUri, codeVerifier, dpopKey, resource } = pending
  const checked = typeof response === 'string'
    ? undefined
    : await checkResponse(provider, pending, response, stateChecked)
  let granted: GrantResult
  if (checked !== undefined && config.grantType === 'implicit') {
    granted = readImplicitTokens(provider, checked.params, scope, now)
  } else {
    const code = checked === undefined ? response as string : authorizationCodeOf(checked.params, name)
    const callbackParams = config.callbackParams && checked && repeatedParams(config.callbackParams, checked.params)
    const grant = { code, redirectUri, codeVerifier, resource, callbackParams }
    granted = await codeGrant(provider, grant, { scope, params, headers, dpopKey, hooks })
  }
  if (granted.tokens.idToken === undefined && pending.nonce !== undefined && provider.expectsIdToken(scope)) {
    throw missingIdToken(name, 'though "openid" was asked for')
  }
  return await checkIdToken(provider, granted, pending, checked?.frontChannel)
}

/** The errors of a provider that was asked for no interaction with the user and needs one (section 3.1.2.6). */
const NEEDS_USER = ['login_required', 'interaction_required', 'consent_required', 'account_selection_required']

/** Whether a login failed because the provider was asked for no interaction with the user and needs one. */
export function isDeclinedSilently ({ silent = false }: PendingAuthorization, error: unknown): error is OAuthError {
  if (!silent || !(error instanceof OAuthError)) return false
  return error.code === 'FST_OAUTH_AUTHORIZATION_FAILED' && NEEDS_USER.includes(error.oauthError?.toLowerCase() ?? '')
}

const missingIdToken = (provider: string, asked: string) =>
  new InvalidIdTokenError(`provider "${provider}" sent no ID token ${asked}`, { provider, reason: 'missing' })

/**
 * Validates the ID token that came through the browser beside a code: it says that the code is this login's, before
 * the code is exchanged (OpenID Connect Core, sections 3.3.2.9 to 3.3.2.12).
 * @throws FST_OAUTH_INVALID_ID_TOKEN, FST_OAUTH_PROVIDER_UNAVAILABLE
 */
async function checkFrontChannel (
  provider: ProviderClient, { nonce, maxAge }: PendingAuthorization, params: URLSearchParams
): Promise<IdTokenClaims> {
  const { name } = provider
  const code = authorizationCodeOf(params, name)
  const [idToken, another] = params.getAll('id_token')
  if (idToken === undefined || idToken === '' || another !== undefined) {
    throw missingIdToken(name, "beside the code, as responseType 'code id_token' asks for")
  }
  const frontChannel = { code, state: stateOf(params) ?? '' }
  return await provider.jwts.validateIdToken(idToken, { nonce, maxAge, frontChannel })
}

/**
 * Checks the response of a login and returns its code, without redeeming it.
 * @throws FST_OAUTH_STATE_MISMATCH, FST_OAUTH_AUTHORIZATION_FAILED, FST_OAUTH_INVALID_ID_TOKEN of a hybrid response,
 *   FST_OAUTH_PROVIDER_UNAVAILABLE
 */
export async function readAuthorizationResponse (
  provider: ProviderClient, pending: PendingAuthorization, response: URLSearchParams
): Promise<AuthorizationResponse> {
  const { params } = await checkResponse(provider, pending, response)
  return { code: authorizationCodeOf(params, provider.name), params }
}

/**
 * Checks state, issuer, error and, in a hybrid response, the ID token.
 * @returns the parameters, of the JWT if the response is one, and the claims of that ID token
 */
async function checkResponse (
  provider: ProviderClient, pending: PendingAuthorization, response: URLSearchParams, stateChecked = false
): Promise<{ params: URLSearchParams, frontChannel: IdTokenClaims | undefined }> {
  const { name, config } = provider
  const params = isSecured(provider, pending) ? await verifiedParameters(provider, response) : response
  if (!stateChecked) checkState(params, pending.state, name)
  // The issuer comes before the error: an error of another server is not this provider's (RFC 9207, section 2.4).
  if (config.issuer !== undefined) {
    checkIssuerOf(provider, params, provider.knownMetadata ?? await provider.metadata())
  }
  throwAuthorizationError(params, name)
  const isHybrid = config.responseType === 'code id_token'
  return { params, frontChannel: isHybrid ? await checkFrontChannel(provider, pending, params) : undefined }
}

/** Whether the response of a login is a JWT, by the provider's options or by what the login asked for. */
function isSecured ({ config }: ProviderClient, { secured = false }: PendingAuthorization): boolean {
  return secured || isSecuredMode(config.responseMode)
}

function checkIssuerOf (
  { name, config }: ProviderClient, params: URLSearchParams, metadata: AuthorizationServerMetadata
): void {
  // An ID token names its issuer itself, so a response may leave `iss` out beside it (RFC 9207, section 2).
  const asksIdToken = config.grantType === 'implicit' || config.responseType === 'code id_token'
  const hasIdToken = asksIdToken && params.has('id_token')
  const required = metadata.authorization_response_iss_parameter_supported === true && !hasIdToken
  checkIssuer(params, { provider: name, issuer: metadata.issuer, required })
}

/** What token requests repeat of a response; a parameter that is there more than once counts as absent. */
function repeatedParams (names: readonly string[], params: URLSearchParams): Record<string, string> {
  const single = names.map(name => [name, params.getAll(name)] as const).filter(([, values]) => values.length === 1)
  return Object.fromEntries(single.map(([name, [value]]) => [name, value!]))
}

/** Reads the tokens of an implicit login (RFC 6749, section 4.2.2). */
function readImplicitTokens (
  { name: provider, config }: ProviderClient, params: URLSearchParams, scope: readonly string[], now: number
): GrantResult {
  const { defaultExpiresIn, conform, requireTokenType } = config
  const read = readTokenParameters(params, {
    provider, now, grantType: 'implicit', scope, defaultExpiresIn, conform, requireTokenType
  })
  if ('error' in read) throw read.error
  return read
}

/**
 * Validates the ID token that came with a grant, if its issuer is known (OpenID Connect Core, section 3.1.3.7).
 * @param previous the claims of the one that came through the browser: both have to be of one user
 * @throws FST_OAUTH_INVALID_ID_TOKEN, FST_OAUTH_PROVIDER_UNAVAILABLE
 */
export async function checkIdToken (
  provider: ProviderClient, granted: GrantResult,
  { scope, nonce, maxAge, acrValues }: Pick<PendingAuthorization, 'scope' | 'nonce' | 'maxAge' | 'acrValues'>,
  previous?: IdTokenClaims
): Promise<LoginTokens> {
  const { idToken, accessToken } = granted.tokens
  if (idToken === undefined || !provider.hasIdTokens) return withClaims(granted, undefined)
  const claims = await provider.jwts.validateIdToken(idToken, { nonce, maxAge, accessToken, previous })
  if (acrValues !== undefined && !acrValues.includes(identifierText(claims.acr) ?? '')) {
    const { name } = provider
    const message = `the ID token of provider "${name}" is refused: its acr is none of those that were asked for`
    throw new InvalidIdTokenError(message, { provider: name, reason: 'acr' })
  }
  const sessionEndsAt = sessionEnd(claims)
  // Such a login would be over at once, and the browser would be sent to log in again and again.
  if (sessionEndsAt !== undefined && sessionEndsAt <= provider.clock.now()) {
    const { name } = provider
    const message = `the ID token of provider "${name}" is refused: by its session_expiry the session there is over`
    throw new InvalidIdTokenError(message, { provider: name, reason: 'session_expiry' })
  }
  return withClaims(granted, provider.expectsIdToken(scope) ? claims : undefined)
}

// Member by member, as elsewhere on the way of a login: its allocation profile showed the spreads of many members.
function withClaims (
  { tokens, scopeChange, dpopKey, resource, callbackParams }: GrantResult, idTokenClaims: IdTokenClaims | undefined
): LoginTokens {
  return { tokens, scopeChange, dpopKey, resource, callbackParams, idTokenClaims }
}
