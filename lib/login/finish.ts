import { InvalidIdTokenError } from '../errors.ts'
import {
  authorizationCodeOf, checkIssuer, checkState, throwAuthorizationError
} from '../oauth/authorization-response.ts'
import type { AuthorizationServerMetadata } from '../oauth/discovery.ts'
import type { IdTokenClaims } from '../oauth/id-token.ts'
import { readTokenParameters } from '../oauth/token-response.ts'
import { codeGrant, type GrantOptions, type GrantResult } from '../providers/grants.ts'
import type { ProviderClient } from '../providers/provider.ts'
import type { PendingAuthorization } from './start.ts'

/** The tokens of a login, checked. */
export interface LoginTokens extends GrantResult {
  /** Of the validated ID token, where the login asked for one. */
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
  { now, stateChecked = false, ...options }: Omit<GrantOptions, 'scope'> & { now: number, stateChecked?: boolean }
): Promise<LoginTokens> {
  const { name, config } = provider
  const { scope, redirectUri, codeVerifier } = pending
  let granted: GrantResult
  if (typeof response !== 'string') {
    if (!stateChecked) checkState(response, pending.state, name)
    checkResponse(provider, response, await provider.metadata())
  }
  if (typeof response !== 'string' && config.grantType === 'implicit') {
    granted = readImplicitTokens(provider, response, scope, now)
  } else {
    const code = typeof response === 'string' ? response : authorizationCodeOf(response, name)
    granted = await codeGrant(provider, { ...options, scope, code, redirectUri, codeVerifier })
  }
  if (granted.tokens.idToken === undefined && pending.nonce !== undefined && provider.expectsIdToken(scope)) {
    const message = `provider "${name}" sent no ID token though "openid" was asked for`
    throw new InvalidIdTokenError(message, { provider: name, reason: 'missing' })
  }
  return await checkIdToken(provider, granted, pending)
}

/**
 * Checks the response of a login and returns its code, without redeeming it. Whether `iss` is missing is checked once
 * the provider's metadata is known.
 * @throws FST_OAUTH_STATE_MISMATCH, FST_OAUTH_AUTHORIZATION_FAILED
 */
export function readAuthorizationResponse (
  provider: ProviderClient, { state }: PendingAuthorization, params: URLSearchParams
): AuthorizationResponse {
  checkState(params, state, provider.name)
  checkResponse(provider, params, provider.knownMetadata)
  return { code: authorizationCodeOf(params, provider.name), params }
}

// The issuer comes before the error: an error of another server is not this provider's (RFC 9207, section 2.4).
function checkResponse (
  { name, config }: ProviderClient, params: URLSearchParams, metadata: AuthorizationServerMetadata | undefined
): void {
  if (config.issuer !== undefined && metadata !== undefined) {
    // An ID token names its issuer itself, so a response may leave `iss` out beside it (RFC 9207, section 2).
    const hasIdToken = config.grantType === 'implicit' && params.has('id_token')
    const required = metadata.authorization_response_iss_parameter_supported === true && !hasIdToken
    checkIssuer(params, { provider: name, issuer: metadata.issuer, required })
  }
  throwAuthorizationError(params, name)
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
 * Validates the ID token that came with a grant, where its issuer is known (OpenID Connect Core, section 3.1.3.7).
 * @throws FST_OAUTH_INVALID_ID_TOKEN, FST_OAUTH_PROVIDER_UNAVAILABLE
 */
export async function checkIdToken (
  provider: ProviderClient, granted: GrantResult,
  { scope, nonce, maxAge }: Pick<PendingAuthorization, 'scope' | 'nonce' | 'maxAge'>
): Promise<LoginTokens> {
  const { idToken, accessToken } = granted.tokens
  if (idToken === undefined || !provider.hasIdTokens) return { ...granted, idTokenClaims: undefined }
  const claims = await provider.validateIdToken(idToken, { nonce, maxAge, accessToken })
  return { ...granted, idTokenClaims: provider.expectsIdToken(scope) ? claims : undefined }
}
