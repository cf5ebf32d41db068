import type { ProviderOptions } from '../options.ts'
import { optionsOf, preset, type PresetOptions, required, serverUrl } from './preset.ts'

/** Options of the preset `keycloak`. */
export interface KeycloakOptions extends PresetOptions {
  /** URL of the server, with its path if it has one (`/auth` in old versions). */
  baseUrl: string
  /** The realm's name. */
  realm: string
}

/**
 * Keycloak: OpenID Connect.
 *
 * Facts (keycloak.org/securing-apps/oidc-layers, "Securing applications and services with OpenID Connect"):
 * - A realm's issuer is `{baseUrl}/realms/{realm}`; everything else is in its metadata.
 * - A refresh token comes without being asked for and lasts as long as the user's session at Keycloak; the scope
 *   `offline_access` makes it outlast that (not verified in that page).
 * - Revoking a refresh token ended the user's consent and all of their sessions at that client, other browsers' too,
 *   until that was mended in 26.1, with backports to 26.0 and 24.0 (github.com/keycloak/keycloak/issues/35486). So
 *   logout revokes nothing; the end-session endpoint, where the browser goes next, ends the session and its refresh
 *   tokens (offline ones aside).
 *
 * @param options clientId, clientSecret, baseUrl and realm; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS if baseUrl or realm is missing
 */
export function keycloak (options: KeycloakOptions): ProviderOptions {
  const { baseUrl, realm, ...others } = optionsOf('Keycloak', options)
  const server = serverUrl(required('keycloak', 'baseUrl', baseUrl))
  return preset({
    title: 'Keycloak',
    issuer: `${server}/realms/${encodeURIComponent(required('keycloak', 'realm', realm))}`,
    scope: ['openid', 'profile', 'email'],
    revokeAtLogout: false
  }, others)
}
