import type { ProviderOptions } from '../options.ts'
import { endedGrant, preset, type PresetOptions, text } from './preset.ts'

/**
 * Zoom: OAuth 2 without OpenID Connect; the profile comes from the API.
 *
 * Facts (developers.zoom.us/docs: "OAuth 2.0" (integrations/oauth), "Using Proof Key for Code Exchange (PKCE)"
 * (integrations/PKCE), "Get a user" (api/users)):
 * - Basic. PKCE with S256 is supported, and the only protection of a public client, which has an id of its own.
 * - What the app may do is set with the app; the authorization request names no scopes. The profile needs
 *   `user:read:user` (`user:read` in apps of before 2024).
 * - Access tokens last an hour; a refresh token comes without being asked for, lasts 90 days, and is good for one
 *   refresh, which brings a new one.
 * - A refresh token that is no good is `invalid_request` with the reason "Invalid Token!" (devforum.zoom.us; not in
 *   those pages).
 * - `verified` is 1 if the address is verified.
 * - `/oauth/revoke` takes `token`, with Basic, as RFC 7009 has it.
 *
 * @param options clientId and clientSecret; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS if there are no options
 */
export function zoom (options: PresetOptions): ProviderOptions {
  return preset({
    title: 'Zoom',
    authorizationEndpoint: 'https://zoom.us/oauth/authorize',
    tokenEndpoint: 'https://zoom.us/oauth/token',
    revocationEndpoint: 'https://zoom.us/oauth/revoke',
    userinfoEndpoint: 'https://api.zoom.us/v2/users/me',
    clientAuthentication: 'client_secret_basic',
    resourceServers: ['https://api.zoom.us/v2/'],
    conform: (answer, { grantType }) => endedGrant(answer, ({ error, reason }) =>
      grantType === 'refresh_token' && error === 'invalid_request' && /^invalid token/i.test(String(reason))),
    profileSource: 'userinfo',
    userProfile: ({
      id, display_name: shown, first_name: first, last_name: last, email, verified, pic_url: picture
    }) => ({
      id: id as string,
      name: text(shown) ?? text([first, last].filter(text).join(' ')),
      email: text(email),
      ...(text(email) !== undefined && typeof verified === 'number' && { emailVerified: verified === 1 }),
      picture: text(picture)
    })
  }, options)
}
