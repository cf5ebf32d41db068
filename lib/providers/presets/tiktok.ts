import type { ProviderOptions } from '../options.ts'
import { commaScope, members, optionsOf, preset, type PresetOptions, text } from './preset.ts'

const API = 'https://open.tiktokapis.com/v2/'

/**
 * TikTok (Login Kit for Web): OAuth 2 without OpenID Connect; the profile comes from the Display API.
 *
 * Facts (developers.tiktok.com/doc: "Get a User Access Token" (oauth-get-a-user-access-token), "Refresh a User Access
 * Token" (oauth-refresh-a-user-access-token), "Manage OAuth Access Tokens" (oauth-user-access-token-management), all of
 * November 2026; "Login Kit for Web" (login-kit-web), "Get User Info" (tiktok-api-v2-get-user-info), "Error Handling"
 * (oauth-error-handling)):
 * - The client id is called `client_key`, in the authorization request and in forms; the secret goes into the form.
 * - Scopes have commas between them, in the request and in the answer.
 * - Access tokens last two hours, refresh tokens 180 days (24 hours and 365 days in older pages). Each refresh brings a
 *   new refresh token and ends the old one.
 * - A code verifier is for mobile and desktop apps alone, whose challenge is no base64url: none is used.
 * - The profile stands under `data.user`; `open_id` is the user's id in this app. No scope brings an address.
 * - `/oauth/revoke/` takes `token`; TikTok means it for a user who disconnects the app, so logout does not call it.
 *
 * @param options clientId (client key) and clientSecret; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS if there are no options
 */
export function tiktok (options: PresetOptions): ProviderOptions {
  const checked = optionsOf('TikTok', options)
  const { clientId, clientSecret } = checked
  return preset({
    title: 'TikTok',
    authorizationEndpoint: 'https://www.tiktok.com/v2/auth/authorize/',
    tokenEndpoint: `${API}oauth/token/`,
    revocationEndpoint: `${API}oauth/revoke/`,
    userinfoEndpoint: `${API}user/info/?fields=open_id,union_id,avatar_url,display_name`,
    scope: ['user.info.basic'],
    scopeSeparator: ',',
    authorizationParams: { client_key: clientId },
    clientAuthentication: ({ body }) => {
      body.set('client_key', clientId)
      if (clientSecret !== undefined) body.set('client_secret', clientSecret)
    },
    resourceServers: [API],
    revokeAtLogout: false,
    pkce: false,
    conform: commaScope,
    profileSource: 'userinfo',
    userProfile: ({ data }) => {
      const { open_id: id, display_name: name, avatar_url: picture } = members(members(data).user)
      return { id: id as string, name: text(name), picture: text(picture) }
    }
  }, checked)
}
