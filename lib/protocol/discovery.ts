import { allowInsecureRequests, customFetch, discoveryRequest, processDiscoveryResponse, type AuthorizationServer } from 'oauth4webapi'
import { InvalidOptionsError, OAuthError, ProviderUnavailableError } from '../errors.ts'
import type { HttpAnswer } from './token-response.ts'

/** A provider's metadata, wire names (RFC 8414; OpenID Connect Discovery, section 3). */
export type AuthorizationServerMetadata = AuthorizationServer

export type FetchDocument = (url: string, headers: Record<string, string>) => Promise<HttpAnswer>

/**
 * Fetches a provider's metadata and checks that it speaks for the issuer that was asked (OpenID Connect Discovery, section 4.3).
 * Where the OpenID Connect document does not exist, the OAuth 2 one is tried (RFC 8414, section 3).
 * @throws FST_OAUTH_PROVIDER_UNAVAILABLE, FST_OAUTH_INVALID_OPTIONS where the document is of another issuer
 */
export async function discover (provider: string, issuer: string, fetchDocument: FetchDocument): Promise<AuthorizationServerMetadata> {
  const url = new URL(issuer)
  let status = 0
  const request = async (algorithm: 'oidc' | 'oauth2') => discoveryRequest(url, {
    algorithm,
    [allowInsecureRequests]: true,
    [customFetch]: async (address, { headers }) => {
      const answer = await fetchDocument(address, headers)
      status = answer.status
      const odd = status < 200 || status > 599 || status === 204 || status === 205 || status === 304
      return new Response(odd ? null : answer.text, {
        status: odd ? 502 : status,
        headers: { 'content-type': 'application/json' }
      })
    }
  })
  let response = await request('oidc')
  if (status === 404) response = await request('oauth2')
  if (status !== 200) {
    throw new ProviderUnavailableError(`the metadata of provider "${provider}" could not be read: its issuer answered ${status}; check \`issuer\` if this does not pass`, { provider, responseStatus: status })
  }
  try {
    return await processDiscoveryResponse(url, response)
  } catch (cause) {
    if (cause instanceof OAuthError) throw cause
    const { code } = cause as { code?: string }
    if (code === 'OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED') {
      throw new InvalidOptionsError(`the metadata found at the issuer of provider "${provider}" belongs to another issuer; \`issuer\` must be written exactly as the provider writes it`, { provider, reason: 'issuer_mismatch', cause })
    }
    throw new ProviderUnavailableError(`the metadata of provider "${provider}" cannot be read`, { provider, reason: 'invalid_metadata', cause })
  }
}
