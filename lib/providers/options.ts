import type {
  ClientAuthenticationFunction,
  ClientAuthenticationMethod,
  ClientPrivateKey
} from '../oauth/client-authentication.ts'
import type { Conform, HttpResponse } from '../oauth/token-response.ts'
import type { TokenSet } from '../oauth/token-set.ts'
import type { RequestParameters } from '../oauth/urls.ts'

/** Who is logged in, the same shape for every provider. */
export interface User {
  /**
   * The provider's own, stable id: `sub` where there is one. Unique within this provider only. Where `idTokenIssuer` is
   * a function, users of another issuer than `issuer` are `<iss>#<sub>`: a `sub` is unique within its issuer alone.
   */
  id: string
  name?: string
  /**
   * An address the provider knows; it identifies nobody unless `emailVerified` is true, and even then `id` is the key.
   */
  email?: string
  emailVerified?: boolean
  /** URL of a portrait. */
  picture?: string
  /** The claims or profile this was made from. */
  raw: Record<string, unknown>
}

export type UserProfile = Omit<User, 'raw' | 'id'> & { id: string | number }

/** Options of a call for the profile. */
export interface ProfileCallOptions {
  /** Default GET. */
  method?: string
  headers?: Record<string, string | string[] | undefined>
  /** A value that is sent as JSON. */
  json?: unknown
  body?: string | Uint8Array | URLSearchParams | FormData | null
  /**
   * Parameters that are added to the URL's query. An `access_token` among them takes the place of the Authorization
   * header.
   */
  query?: Record<string, unknown>
  signal?: AbortSignal | null
  /** Bytes that are read of the answer at most. Default 1 MiB. */
  maxResponseSize?: number
}

/** A call for the profile: awaited, its response; read whole by one of its methods, an error for any status but 2xx. */
export interface ProfileResponse extends Promise<{
  statusCode: number
  headers: Record<string, string | string[] | undefined>
  body: AsyncIterable<Uint8Array> & { json (): Promise<unknown>, text (): Promise<string> }
}> {
  json<T = unknown> (): Promise<T>
  text (): Promise<string>
  bytes (): Promise<Uint8Array>
}

type ProfileVerb = (url: string | URL, options?: Omit<ProfileCallOptions, 'method'>) => ProfileResponse

/**
 * Calls the provider with the access token of the login: below `resourceServers` (the first resolves relative URLs) and
 * the userinfo endpoint itself, nowhere else. Redirects are not followed.
 */
export interface ProfileCall {
  (url: string | URL, options?: ProfileCallOptions): ProfileResponse
  get: ProfileVerb
  post: ProfileVerb
  put: ProfileVerb
  patch: ProfileVerb
  delete: ProfileVerb
  head: ProfileVerb
}

/**
 * Fetches the user's profile in place of the userinfo request.
 * @param context.tokens the token set of the login
 * @param context.call sends calls with its access token, until the function has returned
 * @returns the claims that `userProfile` makes the user of
 */
export type FetchProfile = (context: { tokens: TokenSet, call: ProfileCall }) => object | Promise<object>

/**
 * Decides whether an ID token's issuer is the provider.
 * @param claims the token's, its signature checked
 * @param key the key that signed, as it stands in the key set
 */
export type IdTokenIssuerFunction =
  (issuer: string, claims: Record<string, unknown>, key: Record<string, unknown>) => boolean

/** What a client assertion is made for. */
export interface ClientAssertionContext {
  /** URL of the endpoint that the request goes to. */
  endpoint: string
  /** The provider's issuer, where it is known. */
  issuer: string | undefined
}

/** What a client assertion says beside the claims that every one has (RFC 7523, section 3). */
export interface ClientAssertionOptions {
  /** `aud`. Default the issuer where it is known, else the token endpoint. */
  audience?: string | readonly string[]
  /** Further members of the JOSE header (`x5t#S256`, `kid`, …); `alg` chooses the algorithm that the key signs with. */
  header?: Record<string, unknown>
}

export type ClientAssertionFunction =
  (context: ClientAssertionContext) => ClientAssertionOptions | Promise<ClientAssertionOptions>

export type GrantType = 'authorization_code' | 'implicit' | 'password' | 'client_credentials' | 'device_code'

/**
 * What happens when the token has expired: `auto` refreshes and saves; `notify` refreshes and throws TokensUpdatedError
 * with the new set; `manual` throws TokenExpiredError.
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
  accessTokenResponse?: (answer: HttpResponse) => HttpResponse | void | Promise<HttpResponse | void>
  refreshTokenRequest?: (request: TokenHookRequest) => unknown
  /** May return another answer in place of the one it is given. */
  refreshTokenResponse?: (answer: HttpResponse) => HttpResponse | void | Promise<HttpResponse | void>
  protectedRequest?: (request: ProtectedHookRequest) => unknown
}

/** An API that the access token may be sent to, where more is to be said of it than its URL. */
export interface ResourceServer {
  /** Origin and path, below which the token may be sent. */
  url: string
  /**
   * Lets `%2F` through inside a segment of the paths that a handler writes below `url`, for an API that wants an id
   * with a slash as one segment (`projects/group%2Fproject`). Default false.
   */
  encodedSlashes?: boolean
}

/** One provider. Either `issuer` (its metadata is discovered) or the endpoints themselves. */
export interface ProviderOptions {
  /** What a person reads on a button; the provider's name where absent. */
  title?: string
  /**
   * Issuer URL exactly as the provider writes it; endpoints are discovered there (OpenID Connect Discovery, RFC 8414).
   */
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
   * Who may issue ID tokens, where that is not `issuer`. Needs `jwksUri`. A list is one issuer under several names; a
   * function decides for one login endpoint of many tenants, and is also given the key that signed, as it stands in the
   * key set.
   */
  idTokenIssuer?: string | readonly string[] | IdTokenIssuerFunction

  /** How tokens are obtained. Default `authorization_code`. */
  grantType?: GrantType
  clientId: string
  clientSecret?: string
  /** How the app proves itself at the token endpoint; by default what the provider supports, Basic first. */
  clientAuthentication?: ClientAuthenticationMethod | ClientAuthenticationFunction
  /**
   * The private key for `private_key_jwt`: a CryptoKey, a JWK, or PKCS#8 PEM (RS256 where a PEM does not say
   * otherwise).
   */
  clientPrivateKey?: ClientPrivateKey
  /**
   * Audience and further header of the assertions of `private_key_jwt` and `client_secret_jwt`; a function is asked for
   * each one. `x5t` and `x5t#S256` of a JWK are in the header without it.
   */
  clientAssertion?: ClientAssertionOptions | ClientAssertionFunction
  /** A redirect URI that is already registered elsewhere, in place of `baseUrl` + callback route. */
  redirectUri?: string
  /** What is asked for; a list, or a string with spaces. */
  scope?: string | readonly string[]
  /** What stands between scopes in the authorization request. Default a space. */
  scopeSeparator?: string

  /** Further parameters of the authorization request (`prompt`, `access_type`, repeated `resource`, …). */
  authorizationParams?: RequestParameters
  /** Further parameters of the code exchange. */
  tokenParams?: RequestParameters
  /** Further parameters of each refresh. */
  refreshParams?: RequestParameters
  /**
   * How a login shows beforehand who will exchange its code (RFC 7636). Default S256; `plain` only for a provider that
   * has nothing better, false only for one that refuses the parameters: a client without a secret has nothing else, and
   * uses S256 all the same.
   */
  pkce?: 'S256' | 'plain' | false
  /** Parameters that `GET /login/:provider` takes from its own query and passes on. Default none. */
  forwardedLoginParams?: readonly string[]
  /** How the token endpoint is called. Default POST. */
  tokenEndpointMethod?: 'POST' | 'GET'
  /** Where a POST to the token endpoint has its parameters. Default `body`. */
  tokenRequestPlacement?: 'body' | 'query'
  /** Refuse token answers without `token_type`. Default false: Bearer is assumed. */
  requireTokenType?: boolean
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
  /** Seconds that the provider's clock may differ from this machine's, where it signs times. Default 60. */
  clockTolerance?: number
  /**
   * Replace a token that is near its end while it is still used. Default true; false where a refresh kills the old
   * token.
   */
  refreshAhead?: boolean
  /** Tell the provider to revoke the tokens at logout. Default true. */
  revokeAtLogout?: boolean
  /** Where the provider sends the browser after its own logout, in place of `baseUrl` + the loggedOut route. */
  postLogoutRedirectUri?: string
  /** Where the user's profile comes from at login; by default the ID token, and userinfo where that says too little. */
  profileSource?: 'id_token' | 'userinfo' | 'auto'
  /**
   * Fetches the profile in place of the userinfo request, whatever `profileSource` says. Where there is an ID token, it
   * still says who logged in: a `sub` that is another one is refused.
   */
  fetchProfile?: FetchProfile
  /** Makes `request.oauth.user` out of the claims, the userinfo answer or what `fetchProfile` returned. */
  userProfile?: (claims: Record<string, unknown>) => UserProfile
  /** Evens out this provider's token answers before they are read. */
  conform?: Conform
  hooks?: ProviderHooks
  /** Allows plain http to this provider and its APIs beyond loopback. */
  allowInsecureRequests?: boolean
}
