import type { ProviderOptions } from '../options.ts'
import { members, preset, type PresetOptions, text } from './preset.ts'

/**
 * Spotify: OAuth 2 without OpenID Connect; the profile comes from the Web API.
 *
 * Facts (developer.spotify.com/documentation/web-api: "Authorization Code Flow" (tutorials/code-flow), "Refreshing
 * tokens" (tutorials/refreshing-tokens), "Get Current User's Profile" (reference/get-current-users-profile), "Web API
 * Changelog - May 2026" (references/changes/may-2026), "February 2026 Web API Dev Mode Changes"
 * (tutorials/february-2026-migration-guide)):
 * - Accounts are known by `account_id`, which does not change; `id` is not for that.
 * - Basic. Access tokens last an hour; a refresh token comes without being asked for, and a refresh may bring none: the
 *   old one stays good then (the first two pages were read through a copy of their text).
 * - A refresh token ends six months after the user's authorization, however often it is used, for all apps since 20
 *   July 2026; then a refresh is refused as `invalid_grant`
 *   (developer.spotify.com/blog/2026-06-18-refresh-token-expiration).
 * - The address is unverified, in Spotify's own words. Apps in development mode get none since February 2026.
 * - The metadata of its OpenID provider, which is not for every app, names a revocation endpoint; the pages above have
 *   none.
 * - `localhost` is no redirect URI; http://127.0.0.1 is (concepts/redirect_uri, "Redirect URIs").
 *
 * @param options clientId and clientSecret; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS if there are no options
 */
export function spotify (options: PresetOptions): ProviderOptions {
  return preset({
    title: 'Spotify',
    authorizationEndpoint: 'https://accounts.spotify.com/authorize',
    tokenEndpoint: 'https://accounts.spotify.com/api/token',
    userinfoEndpoint: 'https://api.spotify.com/v1/me',
    scope: ['user-read-private', 'user-read-email'],
    clientAuthentication: 'client_secret_basic',
    resourceServers: ['https://api.spotify.com/v1/'],
    profileSource: 'userinfo',
    userProfile: ({ account_id: account, id, display_name: name, email, images }) => ({
      id: (account ?? id) as string,
      name: text(name),
      email: text(email),
      picture: text(members(Array.isArray(images) ? images[0] : undefined).url)
    })
  }, options)
}
