import type { ProviderOptions } from '../options.ts'
import { optional, optionsOf, preset, type PresetOptions, required, serverUrl } from './preset.ts'

/** Options of the preset `auth0`. */
export interface Auth0Options extends PresetOptions {
  /** The tenant's domain, such as `example.eu.auth0.com`, or a domain of your own. */
  domain: string
  /** The API that access tokens are for; without it they are good for userinfo alone. */
  audience?: string
}

/**
 * Auth0: OpenID Connect.
 *
 * Facts (auth0.com/docs: "Log Users Out of Auth0 with OIDC Endpoint"
 * (authenticate/login/logout/log-users-out-of-auth0), "Revoke Refresh Tokens"
 * (secure/tokens/refresh-tokens/revoke-refresh-tokens)):
 * - The issuer is the domain with a slash at its end (from configurations of clients, not from those pages).
 * - Refresh tokens come for the scope `offline_access`, if the API allows it.
 * - The end-session endpoint is in the metadata if the tenant's setting "RP-Initiated Logout End Session Endpoint
 *   Discovery" is on.
 * - Revoking a refresh token ends it alone, or with "Refresh Token Revocation Deletes Grant" every one of that user,
 *   app and audience; tenants from before 2021 have that on, and should set `revokeAtLogout: false`.
 *
 * @param options clientId, clientSecret and domain; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS if domain is missing
 */
export function auth0 (options: Auth0Options): ProviderOptions {
  const { domain, audience, ...others } = optionsOf('Auth0', options)
  optional('auth0', 'audience', audience, 'text')
  return preset({
    title: 'Auth0',
    issuer: `${serverUrl(required('auth0', 'domain', domain))}/`,
    scope: ['openid', 'profile', 'email'],
    ...(audience !== undefined && { authorizationParams: { audience } })
  }, others)
}
