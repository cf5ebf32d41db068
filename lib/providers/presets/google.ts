import type { TokenMembers } from '../../oauth/token-response.ts'
import type { ProviderOptions } from '../options.ts'
import { optional, optionsOf, preset, type PresetOptions } from './preset.ts'

/** Options of the preset `google`. */
export interface GoogleOptions extends PresetOptions {
  /**
   * Ask for a refresh token. Google shows its consent page at each login then, since it hands one out with a consent
   * alone.
   */
  offline?: boolean
}

const ISSUER = 'https://accounts.google.com'

/**
 * Google: OpenID Connect.
 *
 * Facts (developers.google.com/identity/protocols/oauth2/web-server, "Using OAuth 2.0 for Web Server Applications";
 * developers.google.com/identity/openid-connect: "OpenID Connect" (openid-connect) and "Google OpenID Connect API
 * Reference" (reference); accounts.google.com/.well-known/openid-configuration):
 * - ID tokens are issued by `https://accounts.google.com`, for legacy implementations by `accounts.google.com`.
 * - Basic or the form; PKCE with S256. The metadata names all endpoints.
 * - Refresh tokens come for `access_type=offline`, and only with the first consent; `prompt=consent` asks for one
 *   again.
 * - Revoking an access token revokes its refresh token too. That it ends the app's whole access to the account, other
 *   sessions included, is not in those pages (not verified); no token is revoked at logout because of it.
 * - There is no end-session endpoint.
 * - The answer names the scopes `email` and `profile` by their long names (not verified in a page; seen in answers).
 *
 * @param options clientId and clientSecret; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS
 */
export function google (options: GoogleOptions): ProviderOptions {
  const { offline = false, ...others } = optionsOf('Google', options)
  optional('google', 'offline', offline, 'boolean')
  return preset({
    title: 'Google',
    issuer: ISSUER,
    idTokenIssuer: [ISSUER, 'accounts.google.com'],
    scope: ['openid', 'profile', 'email'],
    resourceServers: ['https://www.googleapis.com/'],
    revokeAtLogout: false,
    ...(offline && { authorizationParams: { access_type: 'offline', prompt: 'consent' } }),
    conform: (answer) => shortScope(answer, String(others.scope))
  }, others)
}

const LONG_NAME = /https:\/\/www\.googleapis\.com\/auth\/userinfo\.(email|profile)(?= |$)/g

// As the app asked for them: a guard compares names.
function shortScope (answer: TokenMembers, asked: string): TokenMembers {
  if (typeof answer.scope !== 'string' || asked.includes('/auth/userinfo.')) return answer
  return { ...answer, scope: answer.scope.replace(LONG_NAME, '$1') }
}
