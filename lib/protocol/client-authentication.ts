import type { ClientAuth } from 'oauth4webapi'

/** How the app proves itself at the token endpoint (RFC 6749, section 2.3; OpenID Connect Core, section 9). */
export type ClientAuthenticationMethod = 'client_secret_basic' | 'client_secret_post' | 'private_key_jwt' | 'tls_client_auth' | 'none'

/** What a custom client authentication may change before a request goes to the provider. */
export interface ClientAuthenticationRequest {
  /** The endpoint; its query may be added to. */
  url: URL
  body: URLSearchParams
  headers: Headers
}
export type ClientAuthenticationFunction = (request: ClientAuthenticationRequest) => void | Promise<void>

// RFC 6749, section 2.3.1 wants id and secret form-encoded before base64. The unreserved characters stay as they
// are: oauth4webapi's own Basic escapes `_`, `-` and `.` too, and servers that do not decode refuse that.
const formEncode = (text: string) => encodeURIComponent(text).replaceAll('%20', '+')

/** HTTP Basic (RFC 6749, section 2.3.1). */
export function clientSecretBasic (clientId: string, clientSecret: string): ClientAuth {
  const credentials = Buffer.from(`${formEncode(clientId)}:${formEncode(clientSecret)}`).toString('base64')
  return (_server, _client, _body, headers) => { headers.set('authorization', `Basic ${credentials}`) }
}

/** Id and secret in the form (RFC 6749, section 2.3.1). */
export function clientSecretPost (clientId: string, clientSecret: string): ClientAuth {
  return (_server, _client, body) => {
    body.set('client_id', clientId)
    body.set('client_secret', clientSecret)
  }
}

/** The id alone: a public client, or one known by its TLS certificate (RFC 8705, section 2.1). */
export function clientIdOnly (clientId: string): ClientAuth {
  return (_server, _client, body) => { body.set('client_id', clientId) }
}
