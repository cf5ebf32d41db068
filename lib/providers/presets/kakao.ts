import type { ProviderOptions } from '../options.ts'
import { members, preset, type PresetOptions, text } from './preset.ts'

/**
 * Kakao: OAuth 2; the profile comes from the API. (Kakao has OpenID Connect too, for apps that switch it on.)
 *
 * Facts (developers.kakao.com/docs/latest/en/kakaologin: "REST API" (rest-api), "Concepts" (common)):
 * - `clientId` is the REST API key. The client secret, if it is switched on, goes into the form.
 * - Without a scope Kakao asks for the consent items that the app has set in the console. Scopes are separated by
 *   commas in the request, by spaces in the answer. One that the app may not ask for is refused as `invalid_scope`
 *   (KOE205).
 * - Access tokens last six hours; a refresh token (two months) comes without being asked for, and a refresh brings a
 *   new one only in the last month of the old one.
 * - `/v2/user/me` has the id as a number; the address counts as verified if `is_email_valid` and `is_email_verified`
 *   are true.
 * - Logout and unlink are calls of the API (`/v1/user/logout`, `/v1/user/unlink`); there is no RFC 7009 endpoint.
 * - PKCE is in the metadata (`code_challenge_methods_supported`), not in the page.
 *
 * @param options clientId and clientSecret; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS if there are no options
 */
export function kakao (options: PresetOptions): ProviderOptions {
  return preset({
    title: 'Kakao',
    authorizationEndpoint: 'https://kauth.kakao.com/oauth/authorize',
    tokenEndpoint: 'https://kauth.kakao.com/oauth/token',
    userinfoEndpoint: 'https://kapi.kakao.com/v2/user/me',
    scopeSeparator: ',',
    clientAuthentication: 'client_secret_post',
    resourceServers: ['https://kapi.kakao.com/'],
    profileSource: 'userinfo',
    userProfile: ({ id, kakao_account: account }) => {
      const { profile, email, is_email_valid: valid, is_email_verified: verified } = members(account)
      const { nickname, profile_image_url: picture } = members(profile)
      return {
        id: id as number,
        name: text(nickname),
        email: text(email),
        ...(text(email) !== undefined && { emailVerified: valid === true && verified === true }),
        picture: text(picture)
      }
    }
  }, options)
}
