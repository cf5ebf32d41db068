import type { TokenMembers } from '../../oauth/token-response.ts'
import type { ProviderOptions } from '../options.ts'
import { commaScope, endedGrant, members, preset, type PresetOptions, text } from './preset.ts'

/**
 * Strava: OAuth 2 without OpenID Connect; the profile comes from the API.
 *
 * Facts (developers.strava.com/docs: "Authentication" (authentication), "OAuth Updates" (oauth-updates), "Getting
 * Started with the Strava API" (getting-started)):
 * - Id and secret go into the form. Scopes are separated by commas, and a user may take single ones out of the consent.
 * - Access tokens last six hours. A refresh may bring a new refresh token, and ends the old one then; it brings the
 *   same access token while that has an hour to live.
 * - `/athlete` needs the scope `read`; no scope brings an address. A missing portrait is a path, not a URL.
 * - A refused token is named in a list `errors`, without `error`.
 * - Since June 2026 there is `/oauth/revoke` (Basic, RFC 7009), beside `/oauth/deauthorize`, which goes in June 2027
 *   (from the code of clients): both end the athlete's consent for the app, so logout revokes nothing.
 * - PKCE is not in those pages.
 *
 * @param options clientId and clientSecret; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS if there are no options
 */
export function strava (options: PresetOptions): ProviderOptions {
  return preset({
    title: 'Strava',
    authorizationEndpoint: 'https://www.strava.com/oauth/authorize',
    tokenEndpoint: 'https://www.strava.com/api/v3/oauth/token',
    userinfoEndpoint: 'https://www.strava.com/api/v3/athlete',
    scope: ['read'],
    scopeSeparator: ',',
    clientAuthentication: 'client_secret_post',
    resourceServers: ['https://www.strava.com/api/v3/'],
    revokeAtLogout: false,
    conform: (answer) => endedGrant(commaScope(answer), isRefreshTokenInvalid),
    profileSource: 'userinfo',
    userProfile: ({ id, firstname: first, lastname: last, username, profile: picture }) => ({
      id: id as number,
      name: text([first, last].filter(text).join(' ')) ?? text(username),
      ...(/^https:/.test(String(picture)) && { picture: picture as string })
    })
  }, options)
}

function isRefreshTokenInvalid ({ errors }: TokenMembers): boolean {
  return Array.isArray(errors) && errors.some(error => members(error).field === 'refresh_token')
}
