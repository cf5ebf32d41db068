import type { ProviderOptions } from '../options.ts'
import { members, optionsOf, preset, type PresetOptions, text } from './preset.ts'

const API = 'https://api.dropboxapi.com/2/'

/**
 * Dropbox: OAuth 2 without OpenID Connect; the profile comes from the API.
 *
 * Facts (dropbox.com/developers: "HTTP API documentation" (documentation/http/documentation); developers.dropbox.com,
 * "OAuth Guide" (oauth-guide); dropbox.tech/developers/using-oauth-2-0-with-offline-access):
 * - Access tokens last four hours. A refresh token comes with `token_access_type=offline`, without a further consent;
 *   it does not end, and a refresh brings no new one.
 * - Id and secret go into the form, or Basic. PKCE with S256 is supported.
 * - Calls are POSTs with their arguments as JSON; `/users/get_current_account` takes none. It says whether the address
 *   is verified.
 * - Files are read and written at content.dropboxapi.com.
 * - `/auth/token/revoke` ends the token that it is called with and, with its refresh token, all checked of that login:
 *   no endpoint of RFC 7009, and logout does not call it.
 *
 * @param options clientId (app key) and clientSecret (app secret); anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS if there are no options
 */
export function dropbox (options: PresetOptions): ProviderOptions {
  const checked = optionsOf('Dropbox', options)
  const profile = checked.userinfoEndpoint ?? `${API}users/get_current_account`
  return preset({
    title: 'Dropbox',
    authorizationEndpoint: 'https://www.dropbox.com/oauth2/authorize',
    tokenEndpoint: 'https://api.dropboxapi.com/oauth2/token',
    userinfoEndpoint: profile,
    scope: ['account_info.read'],
    authorizationParams: { token_access_type: 'offline' },
    clientAuthentication: 'client_secret_post',
    resourceServers: [API, 'https://content.dropboxapi.com/2/'],
    fetchProfile: async ({ call }) => await call.post(profile).json<object>(),
    userProfile: ({ account_id: id, name, email, email_verified: verified, profile_photo_url: picture }) => ({
      id: id as string,
      name: text(members(name).display_name),
      email: text(email),
      ...(text(email) !== undefined && typeof verified === 'boolean' && { emailVerified: verified }),
      picture: text(picture)
    })
  }, checked)
}
