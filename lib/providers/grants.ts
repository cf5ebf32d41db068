import { AuthorizationFailedError, InvalidOptionsError, InvalidResponseError, type OAuthError } from '../errors.ts'
import { parseMembers, type TokenMembers, type TokenResponse } from '../oauth/token-response.ts'
import { parseScope, type ScopeChange, type TokenSet } from '../oauth/token-set.ts'
import { type RequestParameters, setParameters } from '../oauth/urls.ts'
import { redact, secretsIn } from '../util/redact.ts'
import type { GrantRequest, ProviderClient } from './provider.ts'
import { loginEnded, readRefusal } from './refresh-errors.ts'

/** What every grant may be given beside its own parameters. */
export interface GrantOptions {
  /** In place of the provider's own scope. */
  scope?: string | readonly string[] | undefined
  /** Further parameters (`audience`, repeated `resource`, …); they win over `tokenParams`. */
  params?: RequestParameters | undefined
  headers?: Record<string, string> | undefined
  hooks?: GrantRequest['hooks']
}

/** A set and how its scope differs from what was asked for. */
export interface GrantResult {
  tokens: TokenSet
  scopeChange: ScopeChange | undefined
}

/**
 * Trades a grant for tokens.
 * @throws FST_OAUTH_AUTHORIZATION_FAILED where the provider refuses, FST_OAUTH_INVALID_TOKEN_RESPONSE,
 *   FST_OAUTH_PROVIDER_UNAVAILABLE
 */
export async function requestGrant (
  provider: ProviderClient,
  grantType: string,
  grant: GrantRequest['grant'],
  options: GrantOptions = {}
): Promise<GrantResult> {
  const scope = parseScope(options.scope) ?? [...provider.config.scope]
  const answer = await provider.requestTokens({
    grantType,
    grant,
    params: [provider.config.tokenParams, options.params],
    scope,
    ...(options.headers !== undefined && { headers: options.headers }),
    ...(options.hooks !== undefined && { hooks: options.hooks })
  })
  return granted(provider, grantType, answer)
}

function granted (provider: ProviderClient, grantType: string, answer: TokenResponse): GrantResult {
  if ('error' in answer) throw refusedGrant(provider, grantType, answer.error)
  return answer
}

const JWT_BEARER_GRANT = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
const TOKEN_EXCHANGE_GRANT = 'urn:ietf:params:oauth:grant-type:token-exchange'
const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code'

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

/** A refused grant is the end of this try; that the client itself is refused is the operator's to mend. */
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

/** Authorization code (RFC 6749, section 4.1.3). The scope is not said again. */
export async function codeGrant (
  provider: ProviderClient,
  {
    code,
    redirectUri,
    codeVerifier,
    ...options
  }: GrantOptions & { code: string, redirectUri?: string | undefined, codeVerifier?: string | undefined }
): Promise<GrantResult> {
  return await requestGrant(
    provider,
    'authorization_code',
    { code, redirect_uri: redirectUri, code_verifier: codeVerifier },
    options
  )
}

/**
 * Resource owner password credentials (RFC 6749, section 4.3): legacy; the app sees the user's password.
 * An empty password is sent: whether there is one is the provider's to say.
 * @throws FST_OAUTH_INVALID_OPTIONS where one of the two is missing
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
  return await requestGrant(
    provider,
    'password',
    { username, password, scope: scopeParameter(provider, options) },
    options
  )
}

/** Client credentials (RFC 6749, section 4.4). */
export async function clientCredentialsGrant (
  provider: ProviderClient,
  options: GrantOptions = {}
): Promise<GrantResult> {
  return await requestGrant(provider, 'client_credentials', { scope: scopeParameter(provider, options) }, options)
}

/** A signed assertion of the app's own in place of a login (RFC 7523, section 2.1). */
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
 * Trades a refresh token that nobody keeps a record of (RFC 6749, section 6). Where none is issued anew, the one given
 * stays good.
 * @throws FST_OAUTH_LOGIN_ENDED, FST_OAUTH_INVALID_TOKEN_RESPONSE, FST_OAUTH_PROVIDER_UNAVAILABLE
 */
export async function refreshGrant (
  provider: ProviderClient,
  { refreshToken, params, scope = provider.config.scope, hooks }: GrantOptions & { refreshToken: string }
): Promise<GrantResult> {
  const answer = await provider.requestTokens({
    grantType: 'refresh_token',
    grant: { refresh_token: refreshToken },
    params: [provider.config.refreshParams, params],
    scope: parseScope(scope) ?? [],
    hooks
  })
  if ('error' in answer) {
    const { error } = answer
    throw readRefusal(error, { isOwn: params === undefined }) === 'ended' ? loginEnded(provider, error) : error
  }
  return { tokens: { refreshToken, ...answer.tokens }, scopeChange: answer.scopeChange }
}

const TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:'

/** What a token exchange trades. Token types may be given short (`access_token`) or as their URN. */
export interface TokenExchange extends GrantOptions {
  subjectToken: string
  subjectTokenType?: string
  actorToken?: string
  actorTokenType?: string
  requestedTokenType?: string
  audience?: string | readonly string[]
  resource?: string | readonly string[]
}

/** Trades one token for another (RFC 8693). */
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

const tokenType = (type: string) => type.includes(':') ? type : TOKEN_TYPE + type

/** What the user is shown, and what the app waits with (RFC 8628, section 3.2). */
export interface DeviceAuthorization {
  deviceCode: string
  userCode: string
  verificationUri: string
  verificationUriComplete?: string
  /** Epoch seconds. */
  expiresAt: number
  /** Seconds between two questions. */
  interval: number
}

/**
 * Starts a device authorization (RFC 8628, section 3.1).
 * @throws FST_OAUTH_AUTHORIZATION_FAILED, FST_OAUTH_INVALID_RESPONSE
 */
export async function startDevice (
  provider: ProviderClient,
  now: number,
  options: GrantOptions = {}
): Promise<DeviceAuthorization> {
  const params = setParameters(new URLSearchParams(), options.params)
  const answer = await provider.form(
    'device_authorization_endpoint',
    setParameters(params, { client_id: provider.config.clientId, scope: scopeParameter(provider, options) })
  )
  const members = parseMembers(answer.text) ?? {}
  if (typeof members.error === 'string' && members.error !== '') throw refusedDevice(provider, answer.status, members)
  // Some write `verification_url`, as the drafts did.
  const uri = members.verification_uri ?? members.verification_url
  if (typeof members.device_code !== 'string' || typeof members.user_code !== 'string' || typeof uri !== 'string') {
    throw new InvalidResponseError(`the device authorization answer of provider "${provider.name}" cannot be used`, {
      provider: provider.name,
      responseStatus: answer.status
    })
  }
  const complete = members.verification_uri_complete
  return {
    deviceCode: members.device_code,
    userCode: members.user_code,
    verificationUri: uri,
    ...(typeof complete === 'string' && { verificationUriComplete: complete }),
    expiresAt: now + secondsOf(members.expires_in, { min: 1, max: MAX_DEVICE_LIFE, otherwise: 600 }),
    interval: secondsOf(members.interval, { min: 1, max: MAX_INTERVAL, otherwise: DEFAULT_INTERVAL })
  }
}

/** Seconds between two questions where the provider says nothing (RFC 8628, section 3.2), and at most. */
const DEFAULT_INTERVAL = 5
const MAX_INTERVAL = 300
/** Seconds that a device code is believed to live. */
const MAX_DEVICE_LIFE = 30 * 86_400

// What becomes a timer: a number that is none, or none that time has, would ask without a pause.
function secondsOf (value: unknown, { min, max, otherwise }: { min: number, max: number, otherwise: number }): number {
  const seconds = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
  if (typeof seconds !== 'number' || Number.isNaN(seconds) || seconds <= 0) return otherwise
  return Math.min(Math.max(seconds, min), max)
}

function refusedDevice (provider: ProviderClient, responseStatus: number, members: TokenMembers): OAuthError {
  const { clientSecret = '' } = provider.config
  const secrets = [clientSecret, ...secretsIn(members)]
  const textOf = (value: unknown) => typeof value === 'string' ? redact(value, secrets) : undefined
  const oauthError = textOf(members.error)
  const refused = `provider "${provider.name}" refused a device authorization: ${oauthError}`
  const remedy = oauthError === 'invalid_client' ? '; check clientId, clientSecret and clientAuthentication' : ''
  return new AuthorizationFailedError(refused + remedy, {
    provider: provider.name,
    oauthError,
    oauthErrorDescription: textOf(members.error_description),
    oauthErrorUri: textOf(members.error_uri),
    responseStatus,
    reason: 'refused'
  })
}

/**
 * Asks until the user has answered (RFC 8628, section 3.4 and 3.5): not before the interval, five seconds slower for
 * good after each `slow_down`.
 * @param wait waits for some seconds; rejects when the caller gave up
 * @throws FST_OAUTH_AUTHORIZATION_FAILED: `access_denied`, `expired_token`, …
 */
export async function pollDevice (
  provider: ProviderClient,
  device: DeviceAuthorization,
  { now, wait }: { now: () => number, wait: (seconds: number) => Promise<void> },
  options: GrantOptions = {}
): Promise<GrantResult> {
  let { interval } = device
  for (;;) {
    const left = device.expiresAt - now()
    await wait(Math.max(0, Math.min(interval, left)))
    if (left < interval || now() > device.expiresAt) throw expiredDevice(provider)
    const answer = await provider.requestTokens({
      grantType: DEVICE_GRANT,
      grant: { device_code: device.deviceCode },
      params: [provider.config.tokenParams],
      scope: parseScope(options.scope) ?? [...provider.config.scope]
    }).catch((error: OAuthError) => {
      // A connection that times out is asked again later (section 3.5), more slowly.
      if (error.code !== 'FST_OAUTH_PROVIDER_UNAVAILABLE') throw error
      return { error }
    })
    if (!('error' in answer)) return answer
    const { oauthError, code, retryAfter = 0 } = answer.error
    if (code === 'FST_OAUTH_PROVIDER_UNAVAILABLE') interval = Math.min(Math.max(interval * 2, retryAfter), MAX_INTERVAL)
    else if (oauthError === 'slow_down') interval += 5
    else if (oauthError !== 'authorization_pending') throw refusedGrant(provider, DEVICE_GRANT, answer.error)
  }
}

function expiredDevice ({ name }: ProviderClient): OAuthError {
  const message = `the device login at provider "${name}" was not confirmed in time; start it again`
  return new AuthorizationFailedError(message, { provider: name, oauthError: 'expired_token', reason: 'refused' })
}
