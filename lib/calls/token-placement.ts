import { InvalidOptionsError } from '../errors.ts'
import type { TransportRequest } from '../http/transport.ts'
import { authorizationOf, boundAuthorizationOf } from '../oauth/bearer-token.ts'
import type { TokenSet } from '../oauth/token-set.ts'
import type { ProviderConfig } from '../providers/config.ts'

/** Header values by their token sets: a token may be kilobytes long, and would be copied and checked for each call. */
const authorizations = new WeakMap<TokenSet, string>()

/**
 * Puts the token into a request (RFC 6750, section 2), as the provider's `tokenPlacement` says.
 * @param request with the path as the caller passed it, which is not changed
 * @throws FST_OAUTH_UNSUPPORTED_TOKEN_TYPE, FST_OAUTH_INVALID_OPTIONS
 */
export function placeToken (
  request: TransportRequest, tokens: TokenSet, { tokenPlacement, name }: ProviderConfig
): TransportRequest {
  let authorization = authorizations.get(tokens)
  if (authorization === undefined) {
    authorization = authorizationOf(tokens, name)
    authorizations.set(tokens, authorization)
  }
  if (tokenPlacement === 'header') {
    request.headers.authorization = authorization
    return request
  }
  if (tokenPlacement === 'query') {
    const { path } = request
    const query = path.indexOf('?')
    // A token of the caller's own stays.
    if (query >= 0 && new URLSearchParams(path.slice(query)).has('access_token')) return request
    const separator = query < 0 ? '?' : '&'
    return { ...request, path: `${path}${separator}access_token=${encodeURIComponent(tokens.accessToken)}` }
  }
  return { ...request, body: bodyWithToken(request, tokens.accessToken, name) }
}

/**
 * Puts a token that is bound to a key into a request (RFC 9449, section 7.1).
 * @throws FST_OAUTH_UNSUPPORTED_TOKEN_TYPE if it is not
 */
export function placeBoundToken (
  request: TransportRequest, tokens: TokenSet, { name }: ProviderConfig
): TransportRequest {
  request.headers.authorization = boundAuthorizationOf(tokens, name)
  return request
}

// Only a form can hold it (RFC 6750, section 2.2), and a GET has no body.
function bodyWithToken ({ method, headers, body }: TransportRequest, accessToken: string, provider: string): string {
  const isForm = String(headers['content-type'] ?? '').startsWith('application/x-www-form-urlencoded')
  const empty = body === undefined || body === null
  if (method === 'GET' || method === 'HEAD' || !(empty || (isForm && typeof body === 'string'))) {
    throw new InvalidOptionsError(
      `the token of provider "${provider}" goes into a form body (tokenPlacement: 'body'), and this call has none; ` +
        'send URLSearchParams, or place the token elsewhere',
      { provider, reason: 'configuration' }
    )
  }
  headers['content-type'] = 'application/x-www-form-urlencoded'
  const field = `access_token=${encodeURIComponent(accessToken)}`
  return empty || body === '' ? field : `${body as string}&${field}`
}
