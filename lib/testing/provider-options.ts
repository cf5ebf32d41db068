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
   * The issuer, that of the real provider if the app's configuration names it. No request leaves the process for
   * it. Default one below `.test`, a name that never exists; `listen()` makes it the address of the port.
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
  /** Beside, or in place of, alice and bob. */
  readonly users?: TestUsers
  /** The scopes that there are, beside `openid` and `offline_access`. Default every one that is asked for. */
  readonly scopes?: readonly string[]
  /** Seconds, a whole number above 0. Default 3600; the provider's property of that name changes it later. */
  readonly accessTokenTtl?: number
  /** Seconds, a whole number above 0. Default 14 days; the provider's property of that name changes it later. */
  readonly refreshTokenTtl?: number
  /**
   * Whether each refresh brings a new refresh token, and a used one that comes again ends the login. Default true.
   */
  readonly rotate?: boolean
  /**
   * When the code is exchanged for a refresh token too. `'offline_access'` is what OIDC Core says in section 11: only
   * with that scope, and oidc-provider drops the scope unless `prompt=consent` came with it. Default `'always'`.
   */
  readonly refreshTokens?: 'always' | 'offline_access' | 'never'
  /** Where the client may have users sent back. Default `'any'`. */
  readonly redirectUris?: RegisteredUris
  /** Where the client may have users sent after a logout. Default `'any'`. */
  readonly postLogoutRedirectUris?: RegisteredUris
  /** Everything but the extra ones is on unless it is set to false. */
  readonly features?: Partial<Record<Feature | ExtraFeature, boolean>>
  /** A resource indicator (RFC 8707) → the scopes of that API, separated by spaces. Turns resource indicators on. */
  readonly resourceServers?: Record<string, string>
  /** DPoP proofs at the provider need a nonce. Default false. */
  readonly dpopNonces?: boolean
  /** oidc-provider's own settings of further features, by their names, over ours. */
  readonly furtherFeatures?: Record<string, object>
  /** oidc-provider's own configuration, over ours, member by member. */
  readonly configuration?: Record<string, unknown>
}

/** Whether a URI is registered. */
export function isRegistered (rule: RegisteredUris, uri: string): boolean {
  if (rule === 'any') return true
  return typeof rule === 'function' ? rule(uri) : rule.includes(uri)
}
