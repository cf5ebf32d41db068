import { InvalidOptionsError, InvalidResponseError, OAuthError, ProviderUnavailableError } from '../errors.ts'
import { parseJson } from '../oauth/json.ts'
import type { TokenSet } from '../oauth/token-set.ts'
import type { ProviderConfig } from '../providers/config.ts'
import type { ProfileCall } from '../providers/options.ts'
import type { ProviderClient } from '../providers/provider.ts'
import type { TokenSnapshot, TokenSource } from '../tokens/token-source.ts'
import { isObject } from '../util/is-object.ts'
import { redact, secretsIn } from '../util/redact.ts'
import { withTimeout } from '../util/timeout.ts'
import { AuthorizedClient, kAccount } from './authorized-client.ts'
import type { CallOptions } from './call-options.ts'

/**
 * Bytes that one call for the profile reads at most by default: as many as a response of the provider may have.
 */
const MAX_RESPONSE_SIZE = 1024 * 1024

/**
 * Runs a provider's `fetchProfile`: its calls carry the token of one login, go to the resource servers and the userinfo
 * endpoint, and end within `requestTimeout`.
 * @param userinfoEndpoint allowed beside the resource servers, with exactly this path
 * @returns the claims
 * @throws FST_OAUTH_INVALID_RESPONSE if the function fails or returns no claims, FST_OAUTH_PROVIDER_UNAVAILABLE
 *   if it takes too long, and what its calls throw
 */
export async function fetchProfile (
  client: ProviderClient, snapshot: TokenSnapshot, userinfoEndpoint: URL | undefined
): Promise<Record<string, unknown>> {
  const { config } = client
  const { name: provider, requestTimeout } = config
  const { tokens } = snapshot
  const ended = new AbortController()
  const timedOut = () => {
    const message = `provider "${provider}" did not tell the profile within ${requestTimeout} ms; try again later`
    const error = new ProviderUnavailableError(message, { provider, reason: 'timeout' })
    ended.abort(error)
    return error
  }
  try {
    const call = profileCall(client, snapshot, userinfoEndpoint, ended.signal)
    const fetching = () => config.fetchProfile!({ tokens: { ...tokens }, call }) as unknown
    return claimsOf(await withTimeout(fetching, requestTimeout, timedOut), provider)
  } catch (error) {
    throw asError(error, provider, tokens)
  } finally {
    // Responses that were not read still hold their connections.
    const message = `fetchProfile of provider "${provider}" is over: await its calls before it returns`
    ended.abort(new InvalidOptionsError(message, { provider, reason: 'profile_over' }))
  }
}

function profileCall (
  provider: ProviderClient, snapshot: TokenSnapshot, userinfoResource: URL | undefined, ended: AbortSignal
): ProfileCall {
  const { config, transport } = provider
  const source: TokenSource = {
    current: () => snapshot,
    renew: async () => undefined,
    accepted: () => {}
  }
  const clientWith = (tokenPlacement: ProviderConfig['tokenPlacement']) => {
    const account = { config: { ...config, tokenPlacement, userinfoResource }, transport, dpop: () => provider.dpop() }
    return new ProfileClient({ [kAccount]: () => ({ provider: account, tokens: source }) }, transport)
  }
  const client = clientWith(config.tokenPlacement)
  // A request carries the token in one way only (RFC 6750, section 2).
  const withTokenInQuery = clientWith('query')
  const withTokenInBody = clientWith('body')
  const send = (method: string | undefined, url: string | URL, options: CallOptions = {}) => {
    const { signal } = options
    const bounded: CallOptions = {
      maxResponseSize: MAX_RESPONSE_SIZE,
      ...options,
      signal: signal === undefined || signal === null ? ended : AbortSignal.any([signal, ended])
    }
    // Without the token the URL would not be checked.
    delete bounded.withholdToken
    if (namesToken(url, options.query)) return withTokenInQuery.call(method, url, bounded)
    const { body } = options
    if (!(body instanceof URLSearchParams) || !body.has('access_token')) return client.call(method, url, bounded)
    const form = new URLSearchParams(body)
    form.delete('access_token')
    return withTokenInBody.call(method, url, { ...bounded, body: form })
  }
  const verb = (method: string) => (url: string | URL, options?: object) => send(method, url, options)
  return Object.assign((url: string | URL, options?: object) => send(undefined, url, options), {
    get: verb('GET'),
    post: verb('POST'),
    put: verb('PUT'),
    patch: verb('PATCH'),
    delete: verb('DELETE'),
    head: verb('HEAD')
  })
}

/** Reads a profile as userinfo is read: an id that is too large for a number is a string. */
class ProfileClient extends AuthorizedClient {
  override parse (text: string): unknown {
    return parseJson(text)
  }
}

function namesToken (url: string | URL, query: CallOptions['query']): boolean {
  return query?.access_token !== undefined || /[?&]access_token=/.test(String(url))
}

function claimsOf (profile: unknown, provider: string): Record<string, unknown> {
  const prototype: unknown = isObject(profile) ? Object.getPrototypeOf(profile) : undefined
  if (prototype === Object.prototype || prototype === null) return profile as Record<string, unknown>
  const message = `fetchProfile of provider "${provider}" returned no claims; return a plain object`
  throw new InvalidResponseError(message, { provider, reason: 'no_claims' })
}

// The function's own error may hold a token: its message is kept, redacted.
function asError (error: unknown, provider: string, tokens: TokenSet): OAuthError {
  if (error instanceof OAuthError) return error
  const { accessToken, refreshToken = '', idToken = '' } = tokens
  const { name, code, message } = (error ?? {}) as { name?: string, code?: string, message?: unknown }
  const secrets = [accessToken, refreshToken, idToken, ...secretsIn(tokens.raw)]
  const cause = { name, code, message: redact(String(message ?? error), secrets) }
  const failed = `fetchProfile of provider "${provider}" failed: the profile cannot be had`
  return new InvalidResponseError(failed, { provider, reason: 'fetch_profile', cause })
}
