import type { ProviderOptions } from '../options.ts'
import { endedGrant, optional, optionsOf, preset, type PresetOptions, text } from './preset.ts'

/** Options of the preset `reddit`. */
export interface RedditOptions extends PresetOptions {
  /** The User-Agent that Reddit wants: `<platform>:<app ID>:<version> (by /u/<name>)`. */
  userAgent?: string
}

/**
 * Reddit: OAuth 2 without OpenID Connect; the profile comes from the API.
 *
 * Facts (github.com/reddit-archive/reddit/wiki: "OAuth2", "API"; support.reddithelp.com, "Responsible Builder Policy"):
 * - Basic, an empty secret included. A refresh token comes with `duration=permanent`; it does not end, and a refresh
 *   brings no new one.
 * - Each request wants a User-Agent that names app, version and maker; those of libraries are throttled.
 * - Calls go to oauth.reddit.com. The profile needs the scope `identity`; no scope brings an address. `id` does not
 *   change, and has no `t2_` before it. With `raw_json=1` texts come without HTML's escapes.
 * - A refresh token that is no good is answered 400 with `error` 400 (not in those pages; reports of clients).
 * - `/api/v1/revoke_token` is RFC 7009's; a refresh token takes its access tokens along.
 * - New apps need Reddit's approval since the end of 2025. PKCE is not in those pages.
 *
 * @param options clientId and clientSecret; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS
 */
export function reddit (options: RedditOptions): ProviderOptions {
  const { userAgent, ...others } = optionsOf('Reddit', options)
  optional('reddit', 'userAgent', userAgent, 'text')
  const profile = others.userinfoEndpoint ?? 'https://oauth.reddit.com/api/v1/me?raw_json=1'
  const named = ({ headers }: { headers: Record<string, unknown> }) => { headers['user-agent'] = userAgent }
  return preset({
    title: 'Reddit',
    authorizationEndpoint: 'https://www.reddit.com/api/v1/authorize',
    tokenEndpoint: 'https://www.reddit.com/api/v1/access_token',
    revocationEndpoint: 'https://www.reddit.com/api/v1/revoke_token',
    userinfoEndpoint: profile,
    scope: ['identity'],
    authorizationParams: { duration: 'permanent' },
    clientAuthentication: 'client_secret_basic',
    resourceServers: ['https://oauth.reddit.com/'],
    ...(userAgent !== undefined && {
      hooks: { accessTokenRequest: named, refreshTokenRequest: named, protectedRequest: named }
    }),
    conform: (answer, { grantType }) =>
      endedGrant(answer, ({ error }) => grantType === 'refresh_token' && error === 400),
    // A hook sees it, where userinfo's own request has none.
    fetchProfile: async ({ call }) => await call(profile).json<object>(),
    userProfile: ({ id, name, icon_img: picture }) => ({ id: id as string, name: text(name), picture: text(picture) })
  }, others)
}
