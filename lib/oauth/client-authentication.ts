import type { AuthorizationServer } from 'oauth4webapi'

/** How the token endpoint authenticates the client (RFC 6749, section 2.3; OpenID Connect Core, section 9). */
export type ClientAuthenticationMethod =
  'client_secret_basic' | 'client_secret_post' | 'client_secret_jwt' | 'private_key_jwt' | 'tls_client_auth' |
  'self_signed_tls_client_auth' | 'none'

export const CLIENT_AUTHENTICATION_METHODS: readonly ClientAuthenticationMethod[] = [
  'client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'private_key_jwt', 'tls_client_auth',
  'self_signed_tls_client_auth', 'none'
]

/** The request that a client authentication of the app's own may change. */
interface ClientAuthenticationRequest {
  /** The endpoint; parameters may be added to its query. */
  url: URL
  body: URLSearchParams
  headers: Headers
}

/** Authenticates the client at an endpoint: adds to the form or to the headers, whose names are in lower case. */
export type AuthenticateClient = (
  server: AuthorizationServer, client: { client_id: string }, body: URLSearchParams, headers: Map<string, string>
) => void | Promise<void>

/** Authenticates the client in a way of the app's own, by changing the request. */
export type ClientAuthenticationFunction = (request: ClientAuthenticationRequest) => void | Promise<void>

/** Whether the client is authenticated by its TLS certificate (RFC 8705, section 2). */
export const isTlsMethod = (method: unknown): boolean =>
  method === 'tls_client_auth' || method === 'self_signed_tls_client_auth'

// Id and secret are form-encoded before base64 (RFC 6749, section 2.3.1). The unreserved characters stay as they are:
// oauth4webapi's own Basic escapes `_`, `-` and `.` too, which servers that do not decode refuse.
const formEncode = (text: string) => encodeURIComponent(text).replaceAll('%20', '+')

/** HTTP Basic (RFC 6749, section 2.3.1). */
export function clientSecretBasic (clientId: string, clientSecret: string): AuthenticateClient {
  const credentials = Buffer.from(`${formEncode(clientId)}:${formEncode(clientSecret)}`).toString('base64')
  return (_server, _client, _body, headers) => { headers.set('authorization', `Basic ${credentials}`) }
}

/** Id and secret in the form (RFC 6749, section 2.3.1). */
export function clientSecretPost (clientId: string, clientSecret: string): AuthenticateClient {
  return (_server, _client, body) => {
    body.set('client_id', clientId)
    body.set('client_secret', clientSecret)
  }
}

/** Only the id: a public client, or one with a TLS certificate (RFC 8705, section 2). */
export function clientIdOnly (clientId: string): AuthenticateClient {
  return (_server, _client, body) => { body.set('client_id', clientId) }
}
