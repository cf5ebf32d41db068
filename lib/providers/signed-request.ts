import { InvalidOptionsError } from '../errors.ts'
import { signRequestObject } from '../oauth/request-object.ts'
import type { ProviderClient } from './provider.ts'

/**
 * Puts an authorization request into a signed request object (RFC 9101).
 * @returns what is sent in its place: `client_id` and `request` (section 5)
 * @throws FST_OAUTH_INVALID_OPTIONS if the client has no key to sign with
 */
export async function signedRequest (provider: ProviderClient, params: URLSearchParams): Promise<URLSearchParams> {
  const { name, config: { clientId, signingKey }, clock } = provider
  if (signingKey === undefined) {
    const message = `provider "${name}" requires signed request objects, and its options have no key to sign them; ` +
      'write `clientKeys`'
    throw new InvalidOptionsError(message, { provider: name, reason: 'client_key' })
  }
  const server = await provider.metadata()
  const request = await signRequestObject(params, { clientId, clientKey: signingKey, server, now: clock.now() })
  return new URLSearchParams({ client_id: clientId, request })
}

/**
 * The query of a signed request. OpenID Connect wants `response_type` and `scope` beside it, with the values that the
 * request object has (OpenID Connect Core, section 6.1).
 */
export function queryOf (signed: URLSearchParams, params: URLSearchParams): URLSearchParams {
  const query = new URLSearchParams(signed)
  const scope = params.get('scope')
  if (scope?.split(' ').includes('openid') !== true) return query
  query.set('response_type', params.get('response_type')!)
  query.set('scope', scope)
  return query
}
