import type { TokenMembers } from '../../oauth/token-response.ts'
import type { ProviderOptions } from '../options.ts'
import { commaScope, preset, type PresetOptions } from './preset.ts'

/**
 * LinkedIn: the profile comes from OpenID Connect's userinfo.
 *
 * Facts (learn.microsoft.com/linkedin: "Sign In with LinkedIn using OpenID Connect"
 * (consumer/integrations/self-serve/sign-in-with-linkedin-v2), "Authorization Code Flow (3-legged OAuth)"
 * (shared/authentication/authorization-code-flow), "Programmatic Refresh Tokens"
 * (shared/authentication/programmatic-refresh-tokens)):
 * - Access tokens last 60 days. Refresh tokens (a year) are for approved partners alone, without being asked for.
 * - ID tokens do not carry the login's nonce (reports: github.com/authlib/authlib/issues/763,
 *   github.com/linkedin-developers/linkedin-api-js-client/issues/34), so none is used: who logged in is asked from
 *   userinfo.
 * - A confidential client that sends a `code_verifier` is refused as `invalid_client`, with a challenge or without
 *   (github.com/UsefulSoftwareCo/executor/issues/2087, of September 2026; github.com/nextauthjs/next-auth/issues/8831):
 *   no PKCE.
 * - A login that the member cancels comes back as `user_cancelled_login`, a refused consent as
 *   `user_cancelled_authorize` ("Authorization Code Flow"): both count as `access_denied`.
 * - There is no RFC 7009 endpoint in the pages above.
 *
 * @param options clientId and clientSecret; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS if there are no options
 */
export function linkedin (options: PresetOptions): ProviderOptions {
  return preset({
    title: 'LinkedIn',
    authorizationEndpoint: 'https://www.linkedin.com/oauth/v2/authorization',
    tokenEndpoint: 'https://www.linkedin.com/oauth/v2/accessToken',
    userinfoEndpoint: 'https://api.linkedin.com/v2/userinfo',
    scope: ['openid', 'profile', 'email'],
    clientAuthentication: 'client_secret_post',
    resourceServers: ['https://api.linkedin.com/'],
    pkce: false,
    profileSource: 'userinfo',
    conform
  }, options)
}

// An ID token that cannot be bound to the login is no use; `raw` would be the only place for it.
function conform ({ id_token: _unbound, ...answer }: TokenMembers): TokenMembers {
  return commaScope(answer)
}
