import { preset, type PresetOptions } from './preset.ts'
import type { ProviderOptions } from './types.ts'

/**
 * Weibo: OAuth 2 without OpenID Connect.
 *
 * Facts (open.weibo.com/wiki: "oauth2/access_token" (OAuth2/access_token, of 2022-10-11), "授权机制说明"):
 * - Id and secret go into the form. The answer has no `token_type`, its `expires_in` is text; `uid` is the user's id.
 * - There is no refresh token for web apps (mobile apps that use Weibo's SDK get one): whose token has ended logs in again.
 * - API calls have their token in the query (`access_token`), or in a header with a scheme of Weibo's own (`OAuth2`).
 * - Since userinfo is asked with a Bearer header, it cannot be asked from Weibo: `request.oauth.user` is null, and
 *   `tokens.raw.uid` is in `onLogin`.
 * - Scopes are separated by commas (not verified in a page). PKCE is not in those pages.
 *
 * @param options clientId and clientSecret; anything else replaces what is set here
 */
export function weibo (options: PresetOptions): ProviderOptions {
  return preset({
    title: 'Weibo',
    authorizationEndpoint: 'https://api.weibo.com/oauth2/authorize',
    tokenEndpoint: 'https://api.weibo.com/oauth2/access_token',
    scopeSeparator: ',',
    clientAuthentication: 'client_secret_post',
    resourceServers: ['https://api.weibo.com/2/'],
    tokenPlacement: 'query',
    profile: 'id_token',
    conform: (answer) => ({ ...answer, token_type: answer.token_type ?? 'Bearer' })
  }, options)
}
