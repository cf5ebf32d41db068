import type { ProviderOptions } from '../options.ts'
import { members, preset, type PresetOptions, text } from './preset.ts'

/**
 * Naver (네이버 로그인): OAuth 2 without OpenID Connect; the profile comes from the API.
 *
 * Facts (developers.naver.com/docs/login: "네이버 로그인 API 명세" (api/api.md), "네이버 로그인 개발가이드"
 * (devguide/devguide.md), "회원 프로필 조회 API 명세" (profile/profile.md)):
 * - Id and secret go into the form; the exchange repeats the login's `state`.
 * - There are no scopes: what a user is asked for is set with the app.
 * - Access tokens last an hour, and `expires_in` is text. A refresh token comes without being asked for, and a refresh
 *   brings no new one.
 * - The profile stands under `response`. Whether the address is verified is not said.
 * - A token is ended by the token endpoint (`grant_type=delete`), which ends the user's consent: logout does not.
 * - PKCE belongs to Naver's newer OpenID Connect endpoints (`/oauth2/authorize`), not to these.
 * - How a refused refresh token is worded is not in those pages.
 *
 * @param options clientId and clientSecret; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS if there are no options
 */
export function naver (options: PresetOptions): ProviderOptions {
  return preset({
    title: 'Naver',
    authorizationEndpoint: 'https://nid.naver.com/oauth2.0/authorize',
    tokenEndpoint: 'https://nid.naver.com/oauth2.0/token',
    userinfoEndpoint: 'https://openapi.naver.com/v1/nid/me',
    clientAuthentication: 'client_secret_post',
    callbackParams: ['state'],
    resourceServers: ['https://openapi.naver.com/v1/'],
    pkce: false,
    profileSource: 'userinfo',
    userProfile: ({ response }) => {
      const { id, name, nickname, email, profile_image: picture } = members(response)
      return { id: id as string, name: text(name) ?? text(nickname), email: text(email), picture: text(picture) }
    }
  }, options)
}
