import { ApiUnavailableError, InvalidResponseError, ProviderUnavailableError, ResponseStatusError } from '../errors.ts'
import { identifierText } from '../oauth/json.ts'
import { isUnavailable } from '../providers/http.ts'
import type { ProviderClient } from '../providers/provider.ts'
import type { TokenSnapshot, TokenSource } from '../tokens/token-source.ts'
import { withRenewal } from './retry.ts'

/** Whether the user's profile can be requested: from userinfo, or by `fetchProfile`. */
export async function hasProfile (provider: ProviderClient): Promise<boolean> {
  return provider.config.fetchProfile !== undefined || await provider.has('userinfo_endpoint')
}

/**
 * Requests the user's profile: by `fetchProfile` if the options have one, else from userinfo.
 * @param expectedSubject the `sub` of the ID token; a profile of another user is refused
 * @throws FST_OAUTH_INVALID_RESPONSE, FST_OAUTH_PROVIDER_UNAVAILABLE, and what the calls of `fetchProfile` throw;
 *   `responseStatus` 401 if the token is not taken
 */
export async function requestProfile (
  provider: ProviderClient, snapshot: Pick<TokenSnapshot, 'tokens' | 'dpopKey'>, expectedSubject?: string
): Promise<Record<string, unknown>> {
  const { config, name } = provider
  const { tokens, dpopKey } = snapshot
  if (config.fetchProfile === undefined) return await provider.userinfo(tokens, expectedSubject, dpopKey)
  const { fetchProfile } = await import('./fetch-profile.ts')
  const { userinfo_endpoint: userinfo } = await provider.metadata()
  const endpoint = userinfo === undefined ? undefined : await provider.endpoint('userinfo_endpoint')
  const fetching = fetchProfile(provider, { tokens, dpopKey, version: 0 }, endpoint)
  const claims = await fetching.catch((error: unknown) => { throw unavailable(provider, error) })
  // An API need not know the subject of the ID token; another subject is another user (OpenID Connect Core, section
  // 5.3.2).
  if (expectedSubject !== undefined && claims.sub !== undefined && identifierText(claims.sub) !== expectedSubject) {
    const message = `fetchProfile of provider "${name}" returned the profile of another user than the login's`
    throw new InvalidResponseError(message, { provider: name, reason: 'subject_mismatch' })
  }
  return claims
}

// An API that cannot be reached is the provider that cannot be reached, as with userinfo.
function unavailable ({ name: provider, http }: ProviderClient, error: unknown): unknown {
  if (error instanceof ApiUnavailableError) {
    const { reason, cause } = error
    const message = `provider "${provider}" cannot be reached for the profile; try again later`
    return new ProviderUnavailableError(message, { provider, reason, cause })
  }
  if (!(error instanceof ResponseStatusError)) return error
  const { statusCode: status, headers } = error.response
  const answer = { status, headers, text: error.excerpt ?? '' }
  return isUnavailable(answer) ? http.unavailable(answer) : error
}

/**
 * Requests the profile of one account, again with a newer token after a 401.
 * @param subject the `sub` of the login; a profile of another user is refused
 * @throws FST_OAUTH_INVALID_RESPONSE, FST_OAUTH_PROVIDER_UNAVAILABLE, and what the token source throws
 */
export async function currentProfile (
  provider: ProviderClient, source: TokenSource, subject?: string
): Promise<Record<string, unknown>> {
  return await withRenewal(source, async snapshot => await requestProfile(provider, snapshot, subject))
}
