import { randomToken } from '../util/random.ts'
import { codeChallenge } from './pkce.ts'
import { type RequestParameters, setParameters, setQuery } from './urls.ts'

/** An authorization request (RFC 6749, section 4.1.1; RFC 7636; OpenID Connect Core, section 3.1.2.1). */
export interface AuthorizationRequest {
  clientId: string
  responseType?: string
  redirectUri?: string | undefined
  scope: readonly string[]
  /** Default a space, as RFC 6749, section 3.3 has it. */
  scopeSeparator?: string
  state: string
  codeVerifier?: string | undefined
  /** Default S256. */
  codeChallengeMethod?: 'S256' | 'plain' | undefined
  nonce?: string | undefined
  /** Thumbprint of the key that the code is bound to (RFC 9449, section 10). */
  dpopJkt?: string | undefined
  responseMode?: string | undefined
  /** Parameters of the provider's own; they cannot replace those above. */
  params?: RequestParameters | undefined
}

// The login sets these itself: replacing one of them would disable a check. Client credentials must not be in a URL
// that the browser gets.
const RESERVED = [
  'response_type', 'client_id', 'redirect_uri', 'state', 'code_challenge', 'code_challenge_method', 'nonce',
  'response_mode', 'dpop_jkt', 'client_secret', 'client_assertion'
]

/** The parameters of an authorization request, in the order in which they are in the URL. */
export function authorizationParameters (request: AuthorizationRequest): URLSearchParams {
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
  if (request.dpopJkt !== undefined) query.set('dpop_jkt', request.dpopJkt)
  if (request.responseMode !== undefined) query.set('response_mode', request.responseMode)
  if (request.params !== undefined) {
    const extra = setParameters(new URLSearchParams(), request.params)
    for (const name of RESERVED) extra.delete(name)
    setParameters(query, extra)
  }
  return query
}

/**
 * Builds the URL that the browser is sent to. The endpoint's own query is kept, except for parameters that the request
 * sets (RFC 6749, section 3.1).
 */
export function buildAuthorizationUrl (endpoint: string, request: AuthorizationRequest): string {
  return setQuery(endpoint, authorizationParameters(request))
}

/** The parameters that differ between the requests of one provider. */
type OwnValues = Pick<AuthorizationRequest, 'state' | 'codeVerifier' | 'nonce'>

/** Placeholders for these parameters in a prepared URL. */
const MARKS = { state: randomToken(), codeVerifier: randomToken(), nonce: randomToken() }

/**
 * Serializes what is the same in many requests once.
 * @param request one of them; the others have a code verifier and a nonce if it has
 * @returns makes the URL of a request: the same that `buildAuthorizationUrl` builds
 */
export function prepareAuthorizationUrl (endpoint: string, request: AuthorizationRequest): (own: OwnValues) => string {
  const { codeVerifier, codeChallengeMethod: method, nonce } = request
  const marked = buildAuthorizationUrl(endpoint, {
    ...request,
    state: MARKS.state,
    ...(codeVerifier !== undefined && { codeVerifier: MARKS.codeVerifier }),
    ...(nonce !== undefined && { nonce: MARKS.nonce })
  })
  const marks = [MARKS.state, codeChallenge(MARKS.codeVerifier, method), MARKS.nonce]
  const [first, ...parts] = marked.split(new RegExp(marks.join('|')))
  return ({ state, codeVerifier, nonce }) => {
    const challenge = codeVerifier === undefined ? undefined : codeChallenge(codeVerifier, method)
    let url = first + formEncode(state) + parts[0]
    let next = 1
    // In the order in which they are in the URL.
    if (challenge !== undefined) url += formEncode(challenge) + parts[next++]
    if (nonce !== undefined) url += formEncode(nonce) + parts[next]
    return url
  }
}

/** A value as URLSearchParams writes it. */
function formEncode (value: string): string {
  return /^[\w*.-]*$/.test(value) ? value : new URLSearchParams({ '': value }).toString().slice(1)
}
