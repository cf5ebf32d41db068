import type { ProviderOptions } from '../options.ts'
import { preset, type PresetOptions, text } from './preset.ts'

/**
 * Yandex (Yandex ID): OAuth 2 without OpenID Connect; the profile comes from the Yandex ID API.
 *
 * Facts (yandex.com/dev/id/doc/en: "Getting a confirmation code from a URL" (codes/code-url), "Update a token"
 * (tokens/refresh-client), "Token invalidation" (tokens/token-invalidate), "Getting user information"
 * (user-information)):
 * - Basic, or id and secret in the form. PKCE with S256 is supported.
 * - Access tokens last a year or so, and a refresh token comes without being asked for. A refresh brings a new refresh
 *   token, and need not bring a new access token while the old one has long to live.
 * - Scopes are those that the app has been registered with; `login:info` is for the name, `login:email` for the
 *   address, `login:avatar` for the portrait. The answer names them only if they are fewer than those asked for.
 * - The page asks `login.yandex.ru/info` with `Authorization: OAuth`; Bearer is what clients send (not verified in a
 *   page). Whether the address is verified is not said.
 * - `/revoke_token` takes the token as `access_token`, not as RFC 7009 has it: logout revokes nothing.
 *
 * @param options clientId and clientSecret; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS if there are no options
 */
export function yandex (options: PresetOptions): ProviderOptions {
  return preset({
    title: 'Yandex',
    authorizationEndpoint: 'https://oauth.yandex.com/authorize',
    tokenEndpoint: 'https://oauth.yandex.com/token',
    userinfoEndpoint: 'https://login.yandex.ru/info?format=json',
    scope: ['login:info', 'login:email', 'login:avatar'],
    clientAuthentication: 'client_secret_basic',
    resourceServers: ['https://login.yandex.ru/'],
    profileSource: 'userinfo',
    userProfile: ({
      id, display_name: shown, real_name: name, login, default_email: email, default_avatar_id: avatar,
      is_avatar_empty: empty
    }) => ({
      id: id as string,
      name: text(name) ?? text(shown) ?? text(login),
      email: text(email),
      ...(text(avatar) !== undefined && empty !== true && {
        picture: `https://avatars.yandex.net/get-yapic/${String(avatar)}/islands-200`
      })
    })
  }, options)
}
