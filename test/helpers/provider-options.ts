import type { TlsOptions } from 'node:tls'
import type { Configuration } from 'oidc-provider'
import type { Users } from './users.ts'

/** Which URIs are registered: a list, a function, or `'any'`, since an app's port is known only once it listens. */
export type RegisteredUris = readonly string[] | ((uri: string) => boolean) | 'any'

export type Feature = 'revocation' | 'introspection' | 'rpInitiatedLogout' | 'userinfo' | 'clientCredentials' |
  'deviceFlow' | 'pushedAuthorizationRequests' | 'backchannelLogout' | 'dPoP'

/** Of oidc-provider's features, those that are off unless a test needs them. */
export type ExtraFeature = 'jwtResponseModes' | 'encryption' | 'jwtUserinfo' | 'requestObjects'

export interface ProviderOptions {
  /** Default `'any'`. */
  readonly redirectUris?: RegisteredUris
  /** Default `'any'`. */
  readonly postLogoutRedirectUris?: RegisteredUris
  /** Seconds, a whole number above 0. Default 3600; the provider's property of that name changes it later. */
  readonly accessTokenTtl?: number
  /**
   * When the code is exchanged for a refresh token too. `'offline_access'` is what OIDC Core says in section 11: only
   * with that scope, and oidc-provider drops the scope unless `prompt=consent` came with it. Default `'always'`.
   */
  readonly refreshTokens?: 'always' | 'offline_access' | 'never'
  /** Everything but the extra ones is on unless it is set to false. */
  readonly features?: Partial<Record<Feature | ExtraFeature, boolean>>
  /** A resource indicator (RFC 8707) → the scopes of that API, separated by spaces. Turns resource indicators on. */
  readonly resourceServers?: Record<string, string>
  /** DPoP proofs at the provider need a nonce. Default false. */
  readonly dpopNonces?: boolean
  /** Beside, or in place of, alice and bob. */
  readonly users?: Users
  /** Metadata of the client (RFC 7591), over ours: `{ token_endpoint_auth_method: 'client_secret_post' }`. */
  readonly client?: Record<string, unknown>
  /** oidc-provider's own settings of further features, by their names, over ours. */
  readonly furtherFeatures?: Record<string, object>
  /** oidc-provider's own configuration, over ours, member by member. */
  readonly configuration?: Configuration
  /** Over TLS, with these settings; the API as well. */
  readonly tls?: TlsOptions
  /** The host of the issuer, always on the loopback interface: `localhost` is another site than 127.0.0.1. */
  readonly host?: string
}

export function isRegistered (rule: RegisteredUris, uri: string): boolean {
  if (rule === 'any') return true
  return typeof rule === 'function' ? rule(uri) : rule.includes(uri)
}
