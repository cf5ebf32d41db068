import type { ClientAuthenticationFunction, ClientAuthenticationMethod } from '../protocol/client-authentication.ts'
import type { ClientPrivateKey } from '../protocol/client-authentication.ts'
import type { Conform, HttpAnswer } from '../protocol/token-response.ts'
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

export type GrantType = 'authorization_code' | 'implicit' | 'password' | 'client_credentials' | 'device_code'

/**
 * What happens when the token has expired: `auto` refreshes and saves; `notify` refreshes and throws TokensUpdatedError with
 * the new set; `manual` throws TokenExpiredError.
 */
export type RefreshMode = 'auto' | 'notify' | 'manual'

/** A request to the token endpoint that a hook may change. */
export interface TokenHookRequest {
  url: URL
  headers: Record<string, string>
  body: URLSearchParams
}

/** A call to an API that a hook may change; where it goes is checked after the hook. */
export interface ProtectedHookRequest {
  url: URL
  method: string
  headers: Record<string, string | string[] | undefined>
  body: unknown
}

/** Looks at, or changes, what goes over the wire at one stage. */
export interface ProviderHooks {
  accessTokenRequest?: (request: TokenHookRequest) => unknown
  /** May return another answer in place of the one it is given. */
  accessTokenResponse?: (answer: HttpAnswer) => HttpAnswer | void | Promise<HttpAnswer | void>
  refreshTokenRequest?: (request: TokenHookRequest) => unknown
  /** May return another answer in place of the one it is given. */
  refreshTokenResponse?: (answer: HttpAnswer) => HttpAnswer | void | Promise<HttpAnswer | void>
  protectedRequest?: (request: ProtectedHookRequest) => unknown
}

/** An API that the access token may be sent to, where more is to be said of it than its URL. */
export interface ResourceServer {
  /** Origin and path, below which the token may be sent. */
  url: string
  /**
   * Lets `%2F` through inside a segment of the paths that a handler writes below `url`, for an API that wants an id with a
   * slash as one segment (`projects/group%2Fproject`). Default false.
   */
  encodedSlashes?: boolean
}

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
  deviceAuthorizationEndpoint?: string
  jwksUri?: string
  /**
   * Who may issue ID tokens, where that is not `issuer`: one login endpoint for many tenants. Needs `jwksUri`. A function is also
   * given the key that signed, as it stands in the key set.
   */
  idTokenIssuer?: string | ((issuer: string, claims: Record<string, unknown>, key: Record<string, unknown>) => boolean)

  /** How tokens are obtained. Default `authorization_code`. */
  grantType?: GrantType
  clientId: string
  clientSecret?: string
  /** How the app proves itself at the token endpoint; by default what the provider supports, Basic first. */
  clientAuthentication?: ClientAuthenticationMethod | ClientAuthenticationFunction
  /** The private key for `private_key_jwt`: a CryptoKey, a JWK, or PKCS#8 PEM (RS256 where a PEM does not say otherwise). */
  clientPrivateKey?: ClientPrivateKey
  /** A redirect URI that is already registered elsewhere, in place of `baseUrl` + callback route. */
  redirectUri?: string
  /** What is asked for; a list, or a string with spaces. */
  scope?: string | readonly string[]
  /** What stands between scopes in the authorization request. Default a space. */
  scopeSeparator?: string

  /** Further parameters of the authorization request (`prompt`, `access_type`, repeated `resource`, …). */
  authorizationParams?: Parameters
  /** Further parameters of the code exchange. */
  tokenParams?: Parameters
  /** Further parameters of each refresh. */
  refreshParams?: Parameters
  /**
   * How a login shows beforehand who will exchange its code (RFC 7636). Default S256; `plain` only for a provider that has nothing
   * better, false only for one that refuses the parameters: a client without a secret has nothing else, and uses S256 all the same.
   */
  pkce?: 'S256' | 'plain' | false
  /** Parameters that `GET /login/:provider` takes from its own query and passes on. Default none. */
  loginParams?: readonly string[]
  /** How the token endpoint is called. Default POST. */
  tokenEndpointMethod?: 'POST' | 'GET'
  /** Where a POST to the token endpoint has its parameters. Default `body`. */
  tokenRequestIn?: 'body' | 'query'
  /** Refuse token answers without `token_type`. Default false: Bearer is assumed. */
  strictTokenType?: boolean
  /** Sends the browser back with a GET (`query`, the default) or a POST (`form_post`). */
  responseMode?: 'query' | 'form_post'

  /** URLs below which the access token may be sent; the first resolves relative URLs. None: userinfo alone. */
  resourceServers?: readonly (string | ResourceServer)[]
  /** Where a call has its token. Default `header`. */
  tokenPlacement?: 'header' | 'query' | 'body'

  /** In place of the plugin's `refresh`. */
  refresh?: RefreshMode
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
  hooks?: ProviderHooks
  /** Allows plain http to this provider and its APIs beyond loopback. */
  allowInsecureRequests?: boolean
}
