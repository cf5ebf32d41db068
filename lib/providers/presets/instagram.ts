import type { TokenMembers } from '../../oauth/token-response.ts'
import type { ProviderOptions } from '../options.ts'
import { commaScope, members, optionsOf, preset, type PresetOptions, text } from './preset.ts'

const FIELDS = 'user_id,username,name,profile_picture_url'

/**
 * Instagram (API with Instagram login: business and creator accounts): OAuth 2 without OpenID Connect. What logged in
 * personal accounts, the Basic Display API, has been shut down since December 2024.
 *
 * Facts (developers.facebook.com/documentation/instagram-platform: "Business Login for Instagram"
 * (instagram-api-with-instagram-login/business-login), "Get Started" (instagram-api-with-instagram-login/get-started),
 * "Me", "Access Token" and "Refresh Access Token" (reference)):
 * - The answer stands in a list under `data`, with `permissions` separated by commas, and tells no lifetime: one hour.
 * - There are no refresh tokens. A token of an hour can be traded for one of 60 days (GET
 *   graph.instagram.com/access_token, `grant_type=ig_exchange_token`), and that one be renewed when it is a day old
 *   (refresh_access_token); neither is done here.
 * - API calls have their token in the query, the one for the profile too.
 * - The profile stands in a list under `data` ("Get Started"), or flat, as clients have met it: both are read.
 * - PKCE is not documented; Facebook's endpoints cannot do with it, so none is used (not verified for this one).
 *
 * @param options clientId and clientSecret; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS if there are no options
 */
export function instagram (options: PresetOptions): ProviderOptions {
  const checked = optionsOf('Instagram', options)
  const { userinfoEndpoint: profile = `https://graph.instagram.com/me?fields=${FIELDS}` } = checked
  return preset({
    title: 'Instagram',
    authorizationEndpoint: 'https://www.instagram.com/oauth/authorize',
    tokenEndpoint: 'https://api.instagram.com/oauth/access_token',
    userinfoEndpoint: profile,
    scope: ['instagram_business_basic'],
    scopeSeparator: ',',
    clientAuthentication: 'client_secret_post',
    resourceServers: ['https://graph.instagram.com/'],
    tokenPlacement: 'query',
    defaultExpiresIn: 3600,
    pkce: false,
    conform,
    fetchProfile: async ({ call }) => flat(await call(profile).json()),
    userProfile: ({ user_id: id, name, username, profile_picture_url: picture }) => ({
      id: id as string,
      name: text(name) ?? text(username),
      picture: text(picture)
    })
  }, checked)
}

function conform (answer: TokenMembers): TokenMembers {
  const token = flat(answer)
  return commaScope({ ...token, ...(typeof token.permissions === 'string' && { scope: token.permissions }) })
}

function flat (answer: unknown): Record<string, unknown> {
  const { data } = members(answer)
  return { ...members(Array.isArray(data) ? data[0] : answer) }
}
