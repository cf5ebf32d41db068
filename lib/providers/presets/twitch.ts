import type { ProviderOptions } from '../options.ts'
import { endedGrant, preset, type PresetOptions } from './preset.ts'

/**
 * Twitch: OpenID Connect.
 *
 * Facts (dev.twitch.tv/docs/authentication: "Using OIDC to get OAuth Access Tokens" (getting-tokens-oidc), "Refreshing
 * Access Tokens" (refresh-tokens), "Revoking Access Tokens" (revoke-tokens), "Validating Tokens" (validate-tokens)):
 * - Name, picture and address are in the ID token only if the parameter `claims` asks for them; the address also
 *   needs the scope `user:read:email`.
 * - Secret in the form. A refresh token comes without being asked for, and may change with each use; the answer to a
 *   refresh tells no lifetime. A refresh after a 401 is what Twitch recommends.
 * - Granted scopes come as a list. A refresh token that is no good is a 400 with the message "Invalid refresh token".
 * - The metadata has no revocation endpoint; there is one.
 * - Calls to the API (Helix) need the header `Client-Id` beside the token.
 * - Twitch asks apps to validate tokens every hour, at id.twitch.tv/oauth2/validate: that is left to the app.
 *
 * @param options clientId and clientSecret; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS if there are no options
 */
export function twitch (options: PresetOptions): ProviderOptions {
  const claims = { email: null, email_verified: null, picture: null, preferred_username: null }
  return preset({
    title: 'Twitch',
    issuer: 'https://id.twitch.tv/oauth2',
    revocationEndpoint: 'https://id.twitch.tv/oauth2/revoke',
    scope: ['openid', 'user:read:email'],
    authorizationParams: { claims: JSON.stringify({ id_token: claims, userinfo: claims }) },
    clientAuthentication: 'client_secret_post',
    resourceServers: ['https://api.twitch.tv/helix/'],
    hooks: { protectedRequest: ({ headers }) => { headers['client-id'] = options.clientId } },
    conform: (answer) => endedGrant(answer, ({ message }) => message === 'Invalid refresh token')
  }, options)
}
