import { commaScope, endedGrant, preset, text, type PresetOptions } from './preset.ts'
import type { ProviderOptions } from './types.ts'

/**
 * GitHub: OAuth 2 without OpenID Connect; the profile comes from the REST API.
 *
 * Facts (docs.github.com, "Authorizing OAuth apps", "Refreshing user access tokens", "REST API endpoints for users"):
 * - Answers come form-encoded unless JSON is asked for; errors come with status 200.
 * - Granted scopes come separated by commas.
 * - Tokens of OAuth apps do not expire. Those of GitHub Apps do when that is switched on (8 hours, refresh token 6 months),
 *   and a refresh ends the old access token at once: none is made ahead of time.
 * - A refresh token that is no good is called `bad_refresh_token` (not in those pages; in the code of many clients).
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
