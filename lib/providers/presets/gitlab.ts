import type { ProviderOptions } from '../options.ts'
import { optional, optionsOf, preset, type PresetOptions, serverUrl } from './preset.ts'

/** Options of the preset `gitlab`. */
export interface GitlabOptions extends PresetOptions {
  /** URL of a GitLab of your own, with its path if it has one. Default `https://gitlab.com`. */
  baseUrl?: string
}

/**
 * GitLab, gitlab.com or self-managed: OpenID Connect.
 *
 * Facts (docs.gitlab.com/api/oauth2, "OAuth 2.0 identity provider API";
 * docs.gitlab.com/integration/openid_connect_provider, "GitLab as OpenID Connect identity provider"):
 * - Metadata is at `/.well-known/openid-configuration` of each instance. That its `issuer` is the instance's URL
 *   without a slash at the end is not in those pages (not verified for instances below a path).
 * - Id and secret go into the form. PKCE is recommended for server apps too.
 * - Access tokens last two hours. Each exchange brings a refresh token without being asked; a refresh ends the old
 *   refresh token and the old access token at once: none is made ahead of time.
 * - Tokens are revoked at `/oauth/revoke`, which the metadata names.
 * - A namespaced path stands for an id as one segment with `%2F` in it, `GET /api/v4/projects/diaspora%2Fdiaspora`
 *   (docs.gitlab.com/api/rest, "Namespaced paths"); so does the path of a file or the name of a branch.
 *
 * @param options clientId and clientSecret; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS
 */
export function gitlab (options: GitlabOptions): ProviderOptions {
  const { baseUrl = 'https://gitlab.com', ...others } = optionsOf('GitLab', options)
  const server = serverUrl(optional('gitlab', 'baseUrl', baseUrl, 'text'))
  return preset({
    title: 'GitLab',
    issuer: server,
    scope: ['openid', 'profile', 'email'],
    clientAuthentication: 'client_secret_post',
    resourceServers: [{ url: `${server}/api/v4/`, encodedSlashes: true }],
    refreshAhead: false
  }, others)
}
