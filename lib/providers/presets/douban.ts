import type { ProviderOptions } from '../options.ts'
import { preset, type PresetOptions, text } from './preset.ts'

/**
 * Douban: OAuth 2 without OpenID Connect; the profile comes from the API.
 *
 * Facts (developers.douban.com/wiki/?title=oauth2, "使用 OAuth 2.0 访问豆瓣 API"):
 * - Scopes are separated by commas. Id and secret go into the form. The answer has no `token_type`; `douban_user_id` is
 *   the user's id.
 * - Closed to new apps: keys for the API have not been handed out since 2016 to 2018, and what it still answers to old
 *   ones is not known (not verified in a page of Douban's). The preset is for apps that have a key.
 * - Calls have their token in the query, as requests-oauthlib means them to; the page shows a Bearer header, which is
 *   how the profile is asked for. `tokenPlacement: 'header'` does the same for calls.
 * - A refresh token comes without being asked for (not verified: the part of the page on refreshing could not be read).
 *
 * @param options clientId and clientSecret; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS if there are no options
 */
export function douban (options: PresetOptions): ProviderOptions {
  return preset({
    title: 'Douban',
    authorizationEndpoint: 'https://www.douban.com/service/auth2/auth',
    tokenEndpoint: 'https://www.douban.com/service/auth2/token',
    userinfoEndpoint: 'https://api.douban.com/v2/user/~me',
    scopeSeparator: ',',
    clientAuthentication: 'client_secret_post',
    resourceServers: ['https://api.douban.com/v2/'],
    tokenPlacement: 'query',
    profileSource: 'userinfo',
    conform: (answer) => ({ ...answer, token_type: answer.token_type ?? 'Bearer' }),
    userProfile: ({ id, name, avatar }) => ({ id: id as string, name: text(name), picture: text(avatar) })
  }, options)
}
