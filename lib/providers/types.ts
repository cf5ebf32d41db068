import type { ClientAuthenticationFunction, ClientAuthenticationMethod } from '../protocol/client-authentication.ts'
import type { Conform } from '../protocol/token-response.ts'
import type { Parameters } from '../protocol/urls.ts'

/** Who is logged in, the same shape for every provider. */
export interface User {
  /** The provider's own, stable id: `sub` where there is one. Unique within this provider only. */
  id: string
  name?: string
  /** An address the provider knows; it identifies nobody unless `emailVerified` is true, and even then `id` is the key. */
  email?: string
  emailVerified?: boolean
  /** URL of a portrait. */
  picture?: string
  /** The claims or profile this was made from. */
  raw: Record<string, unknown>
}

export type UserProfile = Omit<User, 'raw' | 'id'> & { id: string | number }

/** One provider. Either `issuer` (its metadata is discovered) or the endpoints themselves. */
export interface ProviderOptions {
  /** What a person reads on a button; the provider's name where absent. */
  title?: string
  /** Issuer URL exactly as the provider writes it; endpoints are discovered there (OpenID Connect Discovery, RFC 8414). */
  issuer?: string
  authorizationEndpoint?: string
  tokenEndpoint?: string
  userinfoEndpoint?: string
  revocationEndpoint?: string
  introspectionEndpoint?: string
  endSessionEndpoint?: string
  jwksUri?: string

  clientId: string
  clientSecret?: string
  /** How the app proves itself at the token endpoint; by default what the provider supports, Basic first. */
  clientAuthentication?: Extract<ClientAuthenticationMethod, 'client_secret_basic' | 'client_secret_post' | 'none'> | ClientAuthenticationFunction
  /** A redirect URI that is already registered elsewhere, in place of `baseUrl` + callback route. */
  redirectUri?: string
  /** What is asked for; a list, or a string with spaces. */
  scope?: string | readonly string[]

  /** Further parameters of the authorization request (`prompt`, `access_type`, repeated `resource`, …). */
  authorizationParams?: Parameters
  /** Further parameters of the code exchange. */
  tokenParams?: Parameters
  /** Further parameters of each refresh. */
  refreshParams?: Parameters
  /** Sends the browser back with a GET (`query`, the default) or a POST (`form_post`). */
  responseMode?: 'query' | 'form_post'

  /** URLs below which the access token may be sent; the first resolves relative URLs. None: userinfo alone. */
  resourceServers?: readonly string[]

  /** Seconds before its end from which a token is replaced; never more than half of its life. Default 30. */
  expiryLeeway?: number
  /** Seconds a token lives where the provider tells nothing. */
  defaultExpiresIn?: number
  /** Milliseconds that a caller waits for the provider. Default 10,000. */
  requestTimeout?: number
  /** Replace a token that is near its end while it is still used. Default true; false where a refresh kills the old token. */
  refreshAhead?: boolean
  /** Tell the provider to revoke the tokens at logout. Default true. */
  revokeAtLogout?: boolean
  /** Where the provider sends the browser after its own logout, in place of `baseUrl` + the loggedOut route. */
  postLogoutRedirectUri?: string
  /** Where the user's profile comes from at login; by default the ID token, and userinfo where that says too little. */
  profile?: 'id_token' | 'userinfo' | 'auto'
  /** Makes `request.oauth.user` out of the claims or userinfo answer. */
  userProfile?: (claims: Record<string, unknown>) => UserProfile
  /** Evens out this provider's token answers before they are read. */
  conform?: Conform
  /** Allows plain http to this provider and its APIs beyond loopback. */
  allowInsecureRequests?: boolean
}
