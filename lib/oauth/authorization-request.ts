import { codeChallenge } from '../util/random.ts'
import { type RequestParameters, setParameters, setQuery } from './urls.ts'

/** What one login request says (RFC 6749, section 4.1.1; RFC 7636; OpenID Connect Core, section 3.1.2.1). */
export interface AuthorizationRequest {
  clientId: string
  responseType?: string
  redirectUri?: string | undefined
  scope: readonly string[]
  /** What stands between scopes; a space by the standard. */
  scopeSeparator?: string
  state: string
  codeVerifier?: string | undefined
  /** Default S256. */
  codeChallengeMethod?: 'S256' | 'plain' | undefined
  nonce?: string | undefined
  responseMode?: string | undefined
  /** Parameters of the provider's own; they cannot replace those above. */
  params?: RequestParameters | undefined
}

// Set by the login itself: replacing one of these from outside would take a protection away. A credential of the
// client's has no place in a URL that the browser gets.
const RESERVED = [
  'response_type',
  'client_id',
  'redirect_uri',
  'state',
  'code_challenge',
  'code_challenge_method',
  'nonce',
  'response_mode',
  'client_secret',
  'client_assertion'
]

/**
 * Builds the URL that the browser is sent to. A query that the endpoint brings along stays as it is, but for what the
 * request sets itself (RFC 6749, section 3.1).
 */
export function buildAuthorizationUrl (endpoint: string, request: AuthorizationRequest): string {
  const query = new URLSearchParams({ response_type: request.responseType ?? 'code', client_id: request.clientId })
  if (request.redirectUri !== undefined) query.set('redirect_uri', request.redirectUri)
  if (request.scope.length > 0) query.set('scope', request.scope.join(request.scopeSeparator ?? ' '))
  query.set('state', request.state)
  if (request.codeVerifier !== undefined) {
    const method = request.codeChallengeMethod ?? 'S256'
    query.set('code_challenge', codeChallenge(request.codeVerifier, method))
    query.set('code_challenge_method', method)
  }
  if (request.nonce !== undefined) query.set('nonce', request.nonce)
  if (request.responseMode !== undefined) query.set('response_mode', request.responseMode)
  if (request.params !== undefined) {
    const extra = setParameters(new URLSearchParams(), request.params)
    for (const name of RESERVED) extra.delete(name)
    setParameters(query, extra)
  }
  return setQuery(endpoint, query)
}
