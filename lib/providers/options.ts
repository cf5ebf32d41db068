import type { ClientCertificateOptions } from '../http/client-certificate.ts'
import type { AuthorizationDetail } from '../oauth/authorization-details.ts'
import type { ClientAuthenticationFunction, ClientAuthenticationMethod } from '../oauth/client-authentication.ts'
import type { ClientKeyInput } from '../oauth/client-keys.ts'
import type { ResponseMode } from '../oauth/response-mode.ts'
import type { Conform, HttpResponse } from '../oauth/token-response.ts'
import type { TokenSet } from '../oauth/token-set.ts'
import type { RequestParameters } from '../oauth/urls.ts'

/** The user who is logged in, in one shape for every provider. */
export interface User {
  /**
   * The provider's own, stable id: `sub` if there is one. Unique within this provider only. If `idTokenIssuer` is
   * a function, users of another issuer than `issuer` are `<iss>#<sub>`: a `sub` is unique within its issuer alone.
   */
  id: string
  /** The full name. */
  name?: string
  /** An address that the provider knows. It identifies no user, even if `emailVerified` is true: `id` does. */
  email?: string
  /** Whether the provider has checked that the address is the user's. */
  emailVerified?: boolean
  /** URL of a portrait. */
  picture?: string
  /** The claims or the profile that this was made from. */
  raw: Record<string, unknown>
}

/** What `userProfile` returns: a User without `raw`. A number as `id` becomes a string of its digits. */
export type UserProfile = Omit<User, 'raw' | 'id'> & { id: string | number }

/** Options of a call for the profile. */
export interface ProfileCallOptions {
  /** The HTTP method. Default GET. */
  method?: string
  /** Header fields by name. */
  headers?: Record<string, string | string[] | undefined>
  /** A value that is sent as JSON. */
  json?: unknown
  /** A body in place of `json`. An `access_token` in URLSearchParams takes the place of the Authorization header. */
  body?: string | Uint8Array | URLSearchParams | FormData | null
  /**
   * Parameters that are added to the URL's query. An `access_token` among them takes the place of the Authorization
   * header.
   */
  query?: Record<string, unknown>
  /** Aborts the call. */
  signal?: AbortSignal | null
  /** The most bytes that are read of the response. Default 1 MiB. */
  maxResponseSize?: number
}

/** A call for the profile. Awaited, it is the response as a stream; a method reads it whole, and needs a status 2xx. */
export interface ProfileResponse extends Promise<{
  statusCode: number
  headers: Record<string, string | string[] | undefined>
  body: AsyncIterable<Uint8Array> & { json (): Promise<unknown>, text (): Promise<string> }
}> {
  /** The body as JSON. @throws FST_OAUTH_RESPONSE_STATUS, FST_OAUTH_INVALID_RESPONSE */
  json<T = unknown> (): Promise<T>
  /** The body as text. @throws FST_OAUTH_RESPONSE_STATUS */
  text (): Promise<string>
  /** The body as bytes. @throws FST_OAUTH_RESPONSE_STATUS */
  bytes (): Promise<Uint8Array>
}

type ProfileVerb = (url: string | URL, options?: Omit<ProfileCallOptions, 'method'>) => ProfileResponse

/**
 * Calls the provider with the access token of the login: below `resourceServers` (the first resolves relative URLs) and
 * the userinfo endpoint itself, nowhere else. Redirects are not followed.
 */
export interface ProfileCall {
  (url: string | URL, options?: ProfileCallOptions): ProfileResponse
  /** Sends a GET. */
  get: ProfileVerb
  /** Sends a POST. */
  post: ProfileVerb
  /** Sends a PUT. */
  put: ProfileVerb
  /** Sends a PATCH. */
  patch: ProfileVerb
  /** Sends a DELETE. */
  delete: ProfileVerb
  /** Sends a HEAD. */
  head: ProfileVerb
}

/**
 * Fetches the user's profile in place of the userinfo request.
 * @param context.tokens the token set of the login
 * @param context.call sends calls with its access token, until the function has returned
 * @returns the claims, from which `userProfile` makes the user
 */
export type FetchProfile = (context: { tokens: TokenSet, call: ProfileCall }) => object | Promise<object>

/**
 * Decides whether an ID token's issuer is the provider.
 * @param claims the token's, its signature checked
 * @param key the key that signed, as the key set has it
 */
export type IdTokenIssuerFunction =
  (issuer: string, claims: Record<string, unknown>, key: Record<string, unknown>) => boolean | Promise<boolean>

/** The request that a client assertion is made for. */
export interface ClientAssertionContext {
  /** URL of the endpoint that the request goes to. */
  endpoint: string
  /** The provider's issuer, if it is known. */
  issuer: string | undefined
}

/** Claims and header of a client assertion, beside those that every one has (RFC 7523, section 3). */
export interface ClientAssertionOptions {
  /** `aud`. Default the issuer if it is known, else the token endpoint. */
  audience?: string | readonly string[]
  /**
   * Further members of the JOSE header (`x5t#S256`, `kid`, …); `undefined` removes one. `alg` is the algorithm that
   * the key signs with.
   */
  header?: Record<string, unknown>
}

/** Returns one client assertion, signed elsewhere, or the options of one that is signed with `clientKeys`. */
export type ClientAssertionFunction =
  (context: ClientAssertionContext) => ClientAssertionOptions | string | Promise<ClientAssertionOptions | string>

/** How tokens are obtained. `password` and `implicit` are legacy. */
export type GrantType = 'authorization_code' | 'implicit' | 'password' | 'client_credentials' | 'device_code'

/**
 * What happens when the token has expired: `auto` refreshes and saves; `notify` refreshes and throws TokensUpdatedError
 * with the new set; `manual` throws TokenExpiredError.
 */
export type RefreshMode = 'auto' | 'notify' | 'manual'

/** A request to the token endpoint that a hook may change. */
export interface TokenHookRequest {
  /** The token endpoint. */
  url: URL
  /** Header fields, in lower case. */
  headers: Record<string, string>
  /** The parameters of the request. */
  body: URLSearchParams
}

/** A call to an API that a hook may change; its URL is checked again after the hook. */
export interface ProtectedHookRequest {
  /** Where the call goes. */
  url: URL
  /** The HTTP method. */
  method: string
  /** Header fields, in lower case, the token among them. */
  headers: Record<string, string | string[] | undefined>
  /** The body as it is sent. */
  body: unknown
}

/** Functions that see, and may change, requests and responses. All are awaited. */
export interface ProviderHooks {
  /** Sees each token request of a login or a grant before it is sent. */
  accessTokenRequest?: (request: TokenHookRequest) => unknown
  /** Sees the response to such a request; may return another one in its place. */
  accessTokenResponse?: (response: HttpResponse) => HttpResponse | void | Promise<HttpResponse | void>
  /** Sees each refresh before it is sent. */
  refreshTokenRequest?: (request: TokenHookRequest) => unknown
  /** Sees the response to a refresh; may return another one in its place. */
  refreshTokenResponse?: (response: HttpResponse) => HttpResponse | void | Promise<HttpResponse | void>
  /** Sees each call to an API that is sent with the token. */
  protectedRequest?: (request: ProtectedHookRequest) => unknown
}

/** An API that the access token may be sent to, with a setting beside its URL. */
export interface ResourceServer {
  /** Origin and path, below which the token may be sent. */
  url: string
  /**
   * Allows `%2F` inside a segment of the paths that a handler writes below `url`, for an API that takes an id with a
   * slash as one segment (`projects/group%2Fproject`). Default false.
   */
  encodedSlashes?: boolean
}

/** A set of requirements for client and provider: FAPI 2.0 Security Profile. */
export type SecurityProfile = 'fapi2'

/**
 * One provider: either `issuer`, whose metadata is discovered, or the endpoints themselves.
 */
export interface ProviderOptions {
  /** The provider's name on buttons and pages. Default its name in `providers`. */
  title?: string
  /**
   * Issuer URL, exactly as the provider writes it. Endpoints are discovered there (OpenID Connect Discovery, RFC 8414).
   */
  issuer?: string
  /** URL of the authorization endpoint. Endpoints in the options take precedence over discovered ones. */
  authorizationEndpoint?: string
  /** URL of the pushed authorization request endpoint (RFC 9126). */
  pushedAuthorizationRequestEndpoint?: string
  /** URL of the token endpoint. */
  tokenEndpoint?: string
  /** URL of the userinfo endpoint (OpenID Connect Core, section 5.3). */
  userinfoEndpoint?: string
  /** URL of the revocation endpoint (RFC 7009). */
  revocationEndpoint?: string
  /** URL of the introspection endpoint (RFC 7662). */
  introspectionEndpoint?: string
  /** URL of the end-session endpoint (OpenID Connect RP-Initiated Logout). */
  endSessionEndpoint?: string
  /** URL of the device authorization endpoint (RFC 8628). */
  deviceAuthorizationEndpoint?: string
  /** URL of the key set that ID tokens are checked with. */
  jwksUri?: string
  /**
   * Who may issue ID tokens, if that is not `issuer`. Needs `issuer` or `jwksUri`. A list is one issuer under
   * several names; a function decides for a login endpoint of many tenants.
   */
  idTokenIssuer?: string | readonly string[] | IdTokenIssuerFunction

  /** How tokens are obtained. Default `authorization_code`. */
  grantType?: GrantType
  /** The id that the provider gave the app. */
  clientId: string
  /** The secret that the provider gave the app. A client without secret, keys or certificate is public. */
  clientSecret?: string
  /**
   * How the token endpoint authenticates the client. Default a method that the provider supports, Basic first; with
   * `clientKeys` and no secret `private_key_jwt`.
   */
  clientAuthentication?: ClientAuthenticationMethod | ClientAuthenticationFunction
  /**
   * The client's private keys: PEM, JWK, KeyObject, or `{ key, kid, alg, use }`; one or a list. The first signing key
   * signs client assertions and request objects; those with `use: 'enc'` decrypt. `jwks()` has the public halves.
   */
  clientKeys?: ClientKeyInput | readonly ClientKeyInput[]
  /**
   * Refuses ID tokens that are not encrypted for a key of `clientKeys` (OpenID Connect Core, section 3.1.3.7). Without
   * it, ID tokens may be encrypted. Default false.
   */
  encryptedIdToken?: boolean
  /**
   * Audience and further header members of the assertions of `private_key_jwt` and `client_secret_jwt`. A function is
   * called for each assertion; it may also return a whole assertion that was signed elsewhere. `kid`, `x5t` and
   * `x5t#S256` of a key are always in the header.
   */
  clientAssertion?: ClientAssertionOptions | ClientAssertionFunction
  /**
   * The client's TLS certificate, `{ cert, key, passphrase, ca }` in PEM: it authenticates the client (RFC 8705) and
   * binds access tokens. It is sent to the provider and, if tokens are bound to it, to the resource servers.
   */
  clientCertificate?: ClientCertificateOptions
  /**
   * Whether access tokens are bound to the client's certificate (RFC 8705, section 3): calls to resource servers are
   * sent with it then. Default whether there is a `clientCertificate`.
   */
  tlsClientCertificateBoundAccessTokens?: boolean
  /**
   * `fapi2` switches on what the FAPI 2.0 Security Profile requires of a client: pushed requests, PKCE S256, a response
   * that names its issuer, tokens bound to a key (`dpop`) or a certificate, and client authentication by `clientKeys`
   * or `clientCertificate`. Options and providers that do not meet it are refused.
   */
  securityProfile?: SecurityProfile
  /** A redirect URI that is registered already, in place of `baseUrl` + callback route. */
  redirectUri?: string
  /** The scope to ask for: a list, or a string with spaces. */
  scope?: string | readonly string[]
  /** What separates scopes in the authorization request. Default a space. */
  scopeSeparator?: string

  /**
   * Sends authorization requests directly to the provider, and the browser with a reference to them (RFC 9126).
   * Default: only if the provider's metadata requires it. False: never.
   */
  pushedAuthorizationRequests?: boolean
  /**
   * Sends authorization requests as JWTs (RFC 9101), signed by the first signing key of `clientKeys`. Default: only if
   * the provider's metadata requires it. False: never.
   */
  requestObjects?: boolean
  /** Further parameters of the authorization request (`prompt`, `access_type`, repeated `resource`, …). */
  authorizationParams?: RequestParameters
  /**
   * What the tokens shall allow (RFC 9396): sent with authorization requests, device authorizations, and requests for
   * the app's own tokens.
   */
  authorizationDetails?: readonly AuthorizationDetail[]
  /** Further parameters of the code exchange. */
  tokenParams?: RequestParameters
  /** Further parameters of each refresh. */
  refreshParams?: RequestParameters
  /**
   * The PKCE code challenge method (RFC 7636). Default S256. `plain` and false are for providers that refuse S256 or
   * the parameters; a client without a secret uses S256 in place of false.
   */
  pkce?: 'S256' | 'plain' | false
  /**
   * Names of parameters of the authorization response that are sent with the code exchange and each refresh (VK's
   * `device_id`). Default none.
   */
  callbackParams?: readonly string[]
  /** Parameters of `GET /login/:provider` that are passed on in the authorization request. Default none. */
  forwardedLoginParams?: readonly string[]
  /** The HTTP method of requests to the token endpoint. Default POST. */
  tokenEndpointMethod?: 'POST' | 'GET'
  /** Where the parameters of a POST to the token endpoint are sent. Default `body`. */
  tokenRequestPlacement?: 'body' | 'query'
  /** Refuses token responses without `token_type`. Default false: Bearer is assumed. */
  requireTokenType?: boolean
  /**
   * How the authorization response comes back: with a GET (`query`) or a POST (`form_post`). With `query.jwt`,
   * `form_post.jwt` or `jwt` the response is a JWT that the provider has signed, and parameters beside it are ignored
   * (JWT Secured Authorization Response Mode). Default `query`, for `code id_token` `form_post`.
   */
  responseMode?: ResponseMode
  /**
   * What the authorization response has: a code, or a code and an ID token, which is checked before the code is
   * exchanged (the hybrid flow of OpenID Connect Core, section 3.3). Default `code`.
   */
  responseType?: 'code' | 'code id_token'

  /** URLs below which the access token may be sent; the first resolves relative URLs. Default userinfo only. */
  resourceServers?: readonly (string | ResourceServer)[]
  /**
   * Binds the tokens of each login to a key of its own, and sends a proof of it with each token request, refresh and
   * call (DPoP, RFC 9449). Existing logins keep their bearer tokens. Default false.
   */
  dpop?: boolean
  /** Where a call carries its token (RFC 6750, section 2). Default `header`. */
  tokenPlacement?: 'header' | 'query' | 'body'

  /** What a call does when its token has expired. Default the plugin's `refresh`. */
  refresh?: RefreshMode
  /** Seconds before its end from which a token is replaced; never more than half of its life. Default 30. */
  expiryLeeway?: number
  /** Lifetime of a token in seconds, for token responses without `expires_in`. Default no end. */
  defaultExpiresIn?: number
  /** Milliseconds that a caller waits for the provider. Default 10,000. */
  requestTimeout?: number
  /** Seconds that the provider's clock may differ from this machine's, for times in JWTs. Default 60. */
  clockTolerance?: number
  /**
   * Audiences beside this client that an ID token may name without `azp` (OpenID Connect Core, section 3.1.3.7, step
   * 3), as Oracle's do. Default none.
   */
  trustedAudiences?: readonly string[]
  /**
   * Refreshes a token near its end while calls still use it. Set it to false if a refresh invalidates the old token.
   * Default true.
   */
  refreshAhead?: boolean
  /**
   * Seconds without a request of the app after which a login ends. Sessions without a request are not affected. Default
   * the plugin's `idleTimeout`.
   */
  idleTimeout?: number
  /** Seconds since the login after which it ends, even if it is in use. Default the plugin's `absoluteTimeout`. */
  absoluteTimeout?: number
  /** Revokes the tokens at logout. Default true. */
  revokeAtLogout?: boolean
  /** Where the provider sends the browser after its own logout, in place of `baseUrl` + the loggedOut route. */
  postLogoutRedirectUri?: string
  /** Where the profile comes from at login. Default `auto`: the ID token, and userinfo if that says too little. */
  profileSource?: 'id_token' | 'userinfo' | 'auto'
  /**
   * Fetches the profile, from userinfo or by `fetchProfile`, after each refresh too. If that fails, user and claims
   * stay as they were; the profile of another user ends the login. Default false: only a refreshed ID token changes
   * them.
   */
  refreshProfile?: boolean
  /**
   * Fetches the profile in place of the userinfo request, whatever `profileSource` is. If there is an ID token, a
   * profile with another `sub` is refused.
   */
  fetchProfile?: FetchProfile
  /** Makes `request.oauth.user` from the claims, the userinfo response or the result of `fetchProfile`. */
  userProfile?: (claims: Record<string, unknown>) => UserProfile
  /** Normalizes the provider's token responses before they are read. */
  conform?: Conform
  /** Functions that see, and may change, requests and responses. */
  hooks?: ProviderHooks
  /** Allows plain http to this provider and its APIs beyond loopback. Default false. */
  allowInsecureRequests?: boolean
}
