import type { Dispatcher } from 'undici'
import type { TestUsers } from './users.ts'

/** Which URIs are registered: a list, a function, or `'any'`, since an app's port is known only once it listens. */
export type RegisteredUris = readonly string[] | ((uri: string) => boolean) | 'any'

/** Features of oidc-provider that are on. */
export type Feature = 'revocation' | 'introspection' | 'rpInitiatedLogout' | 'userinfo' | 'clientCredentials' |
  'deviceFlow' | 'pushedAuthorizationRequests' | 'backchannelLogout' | 'dPoP'

/** Features of oidc-provider that are off. */
export type ExtraFeature = 'jwtResponseModes' | 'encryption' | 'jwtUserinfo' | 'requestObjects'

/** Options of `createTestProvider`. */
export interface TestProviderOptions {
  /**
   * The issuer; it may be that of the real provider, as the app's configuration names it. Requests to it do not leave
   * the process. Default a host below `.test`, which never exists; `listen()` changes it to the address of the port.
   */
  readonly issuer?: string
  /** For requests to other origins than the issuer's and those of `api()`: a MockAgent. Default an Agent. */
  readonly dispatcher?: Dispatcher
  /** The client's id. Default `test-client`. */
  readonly clientId?: string
  /** The client's secret. Default `test-secret`. */
  readonly clientSecret?: string
  /** Metadata of the client (RFC 7591), over ours: `{ token_endpoint_auth_method: 'client_secret_post' }`. */
  readonly client?: Record<string, unknown>
  /** Further clients, by their metadata: `client_id`, `client_secret`, … */
  readonly clients?: readonly Record<string, unknown>[]
  /** Further users, beside alice and bob, or users in their place. */
  readonly users?: TestUsers
  /** The supported scopes, beside `openid` and `offline_access`. Default every scope that is asked for. */
  readonly scopes?: readonly string[]
  /** Seconds, a whole number above 0. Default 3600; the provider's property of that name changes it later. */
  readonly accessTokenTtl?: number
  /** Seconds, a whole number above 0. Default 14 days; the provider's property of that name changes it later. */
  readonly refreshTokenTtl?: number
  /**
   * Whether each refresh brings a new refresh token, and the second use of one ends the login. Default true.
   */
  readonly rotate?: boolean
  /**
   * When the code is exchanged for a refresh token too. `'offline_access'` is what OIDC Core says in section 11: only
   * with that scope, and oidc-provider drops the scope unless `prompt=consent` came with it. Default `'always'`.
   */
  readonly refreshTokens?: 'always' | 'offline_access' | 'never'
  /** The registered redirect URIs. Default `'any'`. */
  readonly redirectUris?: RegisteredUris
  /** The registered post-logout redirect URIs. Default `'any'`. */
  readonly postLogoutRedirectUris?: RegisteredUris
  /** Switches features on or off. All but the extra features are on by default. */
  readonly features?: Partial<Record<Feature | ExtraFeature, boolean>>
  /** A resource indicator (RFC 8707) → the scopes of that API, separated by spaces. Turns resource indicators on. */
  readonly resourceServers?: Record<string, string>
  /** DPoP proofs at the provider need a nonce. Default false. */
  readonly dpopNonces?: boolean
  /** oidc-provider's own settings of features, by name; they override those of the test provider. */
  readonly furtherFeatures?: Record<string, object>
  /** oidc-provider's own configuration; its members override those of the test provider. */
  readonly configuration?: Record<string, unknown>
}

/** Whether a URI is registered. */
export function isRegistered (rule: RegisteredUris, uri: string): boolean {
  if (rule === 'any') return true
  return typeof rule === 'function' ? rule(uri) : rule.includes(uri)
}
