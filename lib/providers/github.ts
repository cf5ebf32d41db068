import { commaScope, endedGrant, preset, text, type PresetOptions } from './preset.ts'
import type { ProviderOptions } from './types.ts'

/**
 * GitHub: OAuth 2 without OpenID Connect; the profile comes from the REST API.
 *
 * Facts (docs.github.com: "Authorizing OAuth apps" (apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps), "Refreshing user
 * access tokens" (apps/creating-github-apps/authenticating-with-a-github-app/refreshing-user-access-tokens), "REST API endpoints
 * for users"; github.blog/changelog/2025-07-14-pkce-support-for-oauth-and-github-app-authentication):
 * - Id and secret go into the form. PKCE with S256 is supported, and enforced where it was begun.
 * - Answers come form-encoded unless JSON is asked for; errors come with status 200.
 * - Granted scopes come separated by commas.
 * - Tokens of OAuth apps do not expire. Those of GitHub Apps do when that is switched on (8 hours, refresh token 6 months),
 *   and a refresh ends the old access token at once: none is made ahead of time.
 *   A refresh token is good for one refresh.
 * - A refresh token that is no good is called `bad_refresh_token` (not in those pages; nango.dev/blog,
 *   "GitHub App OAuth BAD_REFRESH_TOKEN").
 * - Tokens are revoked through the REST API, with its own authentication; there is no RFC 7009 endpoint.
 *
 * @param options clientId and clientSecret; anything else replaces what is set here
 */
export function github (options: PresetOptions): ProviderOptions {
  return preset({
    title: 'GitHub',
    authorizationEndpoint: 'https://github.com/login/oauth/authorize',
    tokenEndpoint: 'https://github.com/login/oauth/access_token',
    userinfoEndpoint: 'https://api.github.com/user',
    scope: ['read:user'],
    resourceServers: ['https://api.github.com/'],
    clientAuthentication: 'client_secret_post',
    refreshAhead: false,
    profile: 'userinfo',
    conform: (answer) => endedGrant(commaScope(answer), ({ error }) => error === 'bad_refresh_token'),
    userProfile: ({ id, login, name, email, avatar_url: picture }) => ({
      id: id as number,
      name: text(name) ?? text(login),
      // The public address of the profile: GitHub does not say here whether it is verified.
      email: text(email),
      picture: text(picture)
    })
  }, options)
}
