import { AuthorizationFailedError } from '../errors.ts'
import { securedResponseOf } from '../oauth/authorization-response.ts'
import type { ProviderClient } from '../providers/provider.ts'

/**
 * What a secured response claims before it is verified: by its `state` the login is found that it belongs to, and used
 * up whether or not the response then turns out to be the provider's. Where the parameters hold no secured response
 * they are returned themselves: the login that they name is used up as well.
 * @throws FST_OAUTH_AUTHORIZATION_FAILED if it cannot be read
 */
export async function claimedParameters (
  provider: ProviderClient, params: URLSearchParams
): Promise<URLSearchParams> {
  const response = securedResponseOf(params)
  if (response === undefined) return params
  const { readUnverified, responseRefused } = await import('../oauth/signed-response.ts')
  const { name } = provider
  return readUnverified(await provider.jwts.decrypted(response, responseRefused(name)), name)
}

/**
 * The parameters of a secured response, verified. Parameters beside the JWT are ignored (JWT Secured Authorization
 * Response Mode, section 2.3).
 * @throws FST_OAUTH_AUTHORIZATION_FAILED, FST_OAUTH_PROVIDER_UNAVAILABLE if the provider's keys cannot be had
 */
export async function verifiedParameters (
  provider: ProviderClient, params: URLSearchParams
): Promise<URLSearchParams> {
  const response = securedResponseOf(params)
  if (response !== undefined) return await provider.jwts.validateResponse(response)
  const { name, config: { responseMode } } = provider
  const asked = responseMode === undefined ? '' : ` that responseMode '${responseMode}' asks for`
  throw new AuthorizationFailedError(
    `provider "${name}" sent the browser back without the signed response${asked}; start the login again`,
    { provider: name, reason: 'missing_response' }
  )
}
