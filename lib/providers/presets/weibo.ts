import { identifierText } from '../../oauth/json.ts'
import type { ProfileCall, ProviderOptions } from '../options.ts'
import { optionsOf, preset, type PresetOptions, text } from './preset.ts'

/**
 * Weibo: OAuth 2 without OpenID Connect; the profile comes from the API.
 *
 * Facts (open.weibo.com/wiki: "oauth2/access_token" (OAuth2/access_token, of 2022-10-11), "授权机制说明", "users/show"
 * (2/users/show), "account/get_uid" (2/account/get_uid)):
 * - Id and secret go into the form. The answer has no `token_type`, its `expires_in` is text; `uid` is the user's id.
 * - There is no refresh token for web apps (mobile apps that use Weibo's SDK get one): whose token has ended logs in
 *   again.
 * - API calls have their token in the query (`access_token`), or in a header with a scheme of Weibo's own (`OAuth2`).
 * - `GET /2/users/show.json` tells the profile of the user whose `uid` it is asked for; whose token it is, the token
 *   answer says, or `GET /2/account/get_uid.json`. There is no address.
 * - Scopes are separated by commas (not verified in a page). PKCE is not in those pages.
 *
 * @param options clientId and clientSecret; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS if there are no options
 */
export function weibo (options: PresetOptions): ProviderOptions {
  const checked = optionsOf('Weibo', options)
  const api = 'https://api.weibo.com/2/'
  const profile = checked.userinfoEndpoint ?? `${api}users/show.json`
  return preset({
    title: 'Weibo',
    authorizationEndpoint: 'https://api.weibo.com/oauth2/authorize',
    tokenEndpoint: 'https://api.weibo.com/oauth2/access_token',
    userinfoEndpoint: profile,
    scopeSeparator: ',',
    clientAuthentication: 'client_secret_post',
    resourceServers: [api],
    tokenPlacement: 'query',
    conform: (answer) => ({ ...answer, token_type: answer.token_type ?? 'Bearer' }),
    fetchProfile: async ({ tokens, call }) => {
      // A refreshed set need not say it again.
      const uid = identifierText(tokens.raw.uid) ?? await askForUid(call, `${api}account/get_uid.json`)
      return uid === undefined ? {} : { ...await call(profile, { query: { uid } }).json<object>(), uid }
    },
    userProfile: ({ uid, screen_name: screenName, name, avatar_large: large, profile_image_url: small }) => ({
      id: uid as string,
      name: text(screenName) ?? text(name),
      picture: text(large) ?? text(small)
    })
  }, checked)
}

async function askForUid (call: ProfileCall, url: string): Promise<string | undefined> {
  const { uid } = await call(url).json<{ uid?: unknown }>()
  return identifierText(uid)
}
