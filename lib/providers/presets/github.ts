import { InvalidOptionsError } from '../../errors.ts'
import type { ProfileCall, ProviderOptions } from '../options.ts'
import {
  commaScope, endedGrant, isWithheld, members, optionsOf, preset, type PresetOptions, required, serverUrl, text
} from './preset.ts'

/** Options of the preset `github`. */
export interface GithubOptions extends PresetOptions {
  /**
   * A GitHub of your own: `{ baseUrl: 'https://github.example.com' }` for GitHub Enterprise Server, or a subdomain of
   * ghe.com.
   */
  enterprise?: { baseUrl: string }
}

/**
 * GitHub: OAuth 2 without OpenID Connect; the profile comes from the REST API.
 *
 * Facts (docs.github.com: "Authorizing OAuth apps" (apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps),
 * "Refreshing user access tokens"
 * (apps/creating-github-apps/authenticating-with-a-github-app/refreshing-user-access-tokens), "REST API endpoints for
 * users", "REST API endpoints for emails" (rest/users/emails);
 * github.blog/changelog/2025-07-14-pkce-support-for-oauth-and-github-app-authentication):
 * - Id and secret go into the form. PKCE with S256 is supported, and enforced if it was begun.
 * - Answers come form-encoded unless JSON is asked for; errors come with status 200.
 * - Granted scopes come separated by commas.
 * - Tokens of OAuth apps end after eight hours, and come with a refresh token, if the app's settings say so or the
 *   scope `offline_access` is asked for (github.com/orgs/community/discussions/204963, of 2026); else they have no end.
 *   Those of GitHub Apps do unless that is switched off (refresh token 6 months). A refresh ends the old access token
 *   at once: none is made ahead of time. A refresh token is good for one refresh.
 * - A refresh token that is no good is called `bad_refresh_token` (not in those pages; nango.dev/blog, "GitHub App
 *   OAuth BAD_REFRESH_TOKEN").
 * - The address of the profile is the public one, if there is one, and not said to be verified. `GET /user/emails`
 *   lists all with `primary` and `verified`, for the scope `user:email` or `user`; a GitHub App needs the permission
 *   "Email addresses". Without, it answers 404 or 403 ("Authenticating to the REST API").
 * - GitHub Enterprise Server has its API at `/api/v3`, GHE.com on a host of its own, `api.SUBDOMAIN.ghe.com` (the
 *   latter is not verified in a page).
 * - Tokens are revoked through the REST API, with its own authentication; there is no RFC 7009 endpoint.
 *
 * @param options clientId and clientSecret; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS if `enterprise` has no `baseUrl`
 */
export function github (options: GithubOptions): ProviderOptions {
  const { enterprise, ...others } = optionsOf('GitHub', options)
  const { server, api } = hostsOf(enterprise)
  const profile = others.userinfoEndpoint ?? `${api}user`
  return preset({
    title: 'GitHub',
    authorizationEndpoint: `${server}/login/oauth/authorize`,
    tokenEndpoint: `${server}/login/oauth/access_token`,
    userinfoEndpoint: profile,
    scope: ['read:user', 'user:email'],
    resourceServers: [api],
    clientAuthentication: 'client_secret_post',
    refreshAhead: false,
    conform: (answer) => endedGrant(commaScope(answer), ({ error }) => error === 'bad_refresh_token'),
    fetchProfile: async ({ tokens, call }) => {
      const user = await call(profile).json<Record<string, unknown>>()
      const asked = tokens.scope.includes('user:email') || tokens.scope.includes('user')
      return { ...user, ...asked && await primaryAddress(call, `${api}user/emails`) }
    },
    userProfile: ({ id, login, name, email, email_verified: verified, avatar_url: picture }) => ({
      id: id as number,
      name: text(name) ?? text(login),
      email: text(email),
      ...(text(email) !== undefined && typeof verified === 'boolean' && { emailVerified: verified }),
      picture: text(picture)
    })
  }, others)
}

function hostsOf (enterprise: GithubOptions['enterprise']): { server: string, api: string } {
  if (enterprise === undefined) return { server: 'https://github.com', api: 'https://api.github.com/' }
  if (typeof enterprise !== 'object' || enterprise === null) {
    throw new InvalidOptionsError('github() takes { baseUrl } as `enterprise`', { reason: 'configuration' })
  }
  const server = serverUrl(required('github', 'enterprise.baseUrl', enterprise.baseUrl))
  const dataResidency = /^https:\/\/([\w-]+\.ghe\.com)$/.exec(server)
  return { server, api: dataResidency === null ? `${server}/api/v3/` : `https://api.${dataResidency[1]}/` }
}

async function primaryAddress (call: ProfileCall, url: string): Promise<{ email?: string, email_verified?: boolean }> {
  try {
    const list = await call(url).json()
    const primary: unknown = Array.isArray(list) ? list.find(entry => members(entry).primary === true) : undefined
    const { email, verified } = members(primary)
    return text(email) === undefined ? {} : { email: text(email)!, email_verified: verified === true }
  } catch (error) {
    if (isWithheld(error)) return {} // the public address has to do
    throw error
  }
}
