import type { TokenMembers } from '../protocol/token-response.ts'
import { commaScope, members, preset, text, type PresetOptions } from './preset.ts'
import type { ProviderOptions } from './types.ts'

/**
 * Instagram (API with Instagram login: business and creator accounts): OAuth 2 without OpenID Connect. What logged in personal
 * accounts, the Basic Display API, has been shut down since December 2024.
 *
 * Facts (developers.facebook.com/documentation/instagram-platform: "Business Login for Instagram"
 * (instagram-api-with-instagram-login/business-login), "Access Token" and "Refresh Access Token" (reference)):
 * - The answer stands in a list under `data`, with `permissions` separated by commas, and tells no lifetime: one hour.
 * - There are no refresh tokens. A token of an hour can be traded for one of 60 days (GET graph.instagram.com/access_token,
 *   `grant_type=ig_exchange_token`), and that one be renewed when it is a day old (refresh_access_token); neither is done here.
 * - API calls have their token in the query.
 * - PKCE is not documented; Facebook's endpoints cannot do with it, so none is used (not verified for this one).
 *
 * @param options clientId and clientSecret; anything else replaces what is set here
 */
export function instagram (options: PresetOptions): ProviderOptions {
  return preset({
    title: 'Instagram',
    authorizationEndpoint: 'https://www.instagram.com/oauth/authorize',
    tokenEndpoint: 'https://api.instagram.com/oauth/access_token',
    userinfoEndpoint: 'https://graph.instagram.com/me?fields=user_id,username,name,profile_picture_url',
    scope: ['instagram_business_basic'],
    scopeSeparator: ',',
    clientAuthentication: 'client_secret_post',
    resourceServers: ['https://graph.instagram.com/'],
    tokenPlacement: 'query',
    defaultExpiresIn: 3600,
    pkce: false,
    profile: 'userinfo',
    conform,
    userProfile: ({ user_id: id, name, username, profile_picture_url: picture }) => ({
      id: id as string,
      name: text(name) ?? text(username),
      picture: text(picture)
    })
  }, options)
}

function conform (answer: TokenMembers): TokenMembers {
  const flat = Array.isArray(answer.data) ? { ...members(answer.data[0]) } : answer
  return commaScope({ ...flat, ...(typeof flat.permissions === 'string' && { scope: flat.permissions }) })
}
