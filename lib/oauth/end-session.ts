import { setQuery } from './urls.ts'

/** The parameters of a logout request. */
export interface EndSessionRequest {
  clientId: string
  idTokenHint?: string | undefined
  postLogoutRedirectUri?: string | undefined
  state?: string | undefined
}

/** Builds the URL that ends the user's session at the provider (OpenID Connect RP-Initiated Logout, section 2). */
export function buildEndSessionUrl (endpoint: string, request: EndSessionRequest): string {
  const query = new URLSearchParams()
  if (request.idTokenHint !== undefined) query.set('id_token_hint', request.idTokenHint)
  query.set('client_id', request.clientId)
  if (request.postLogoutRedirectUri !== undefined) {
    query.set('post_logout_redirect_uri', request.postLogoutRedirectUri)
    if (request.state !== undefined) query.set('state', request.state)
  }
  return setQuery(endpoint, query)
}
