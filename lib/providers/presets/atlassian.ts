import type { ProviderOptions } from '../options.ts'
import { preset, type PresetOptions, text } from './preset.ts'

/**
 * Atlassian (Jira, Confluence and others in the cloud): OAuth 2.0 (3LO); the profile comes from the User identity API.
 *
 * Facts (developer.atlassian.com/cloud: "OAuth 2.0 (3LO) apps" (jira/platform/oauth-2-3lo-apps), "Implementing the
 * Refresh Token Flow" (oauth/getting-started/refresh-tokens), "User identity API"; workos.com/blog,
 * "Refresh token behavior across fourteen providers", of August 2026):
 * - `audience=api.atlassian.com` and `prompt=consent` are required. Id and secret go into the request's body.
 * - A refresh token comes for the scope `offline_access`. Each refresh brings a new one; the old one may be sent again
 *   for a while, for answers that were lost. One that was not used for 90 days has ended.
 * - A refused refresh is `invalid_grant` with status 403; a wrong secret is `access_denied` with 401.
 * - `GET /me` needs the scope `read:me` and says whether the address is verified.
 * - The APIs of a site are below `https://api.atlassian.com/ex/{product}/{cloudid}/`;
 *   `GET /oauth/token/accessible-resources` lists the sites.
 * - PKCE and revocation are not in those pages.
 *
 * @param options clientId and clientSecret; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS if there are no options
 */
export function atlassian (options: PresetOptions): ProviderOptions {
  return preset({
    title: 'Atlassian',
    authorizationEndpoint: 'https://auth.atlassian.com/authorize',
    tokenEndpoint: 'https://auth.atlassian.com/oauth/token',
    userinfoEndpoint: 'https://api.atlassian.com/me',
    scope: ['read:me', 'offline_access'],
    authorizationParams: { audience: 'api.atlassian.com', prompt: 'consent' },
    clientAuthentication: 'client_secret_post',
    resourceServers: ['https://api.atlassian.com/'],
    profileSource: 'userinfo',
    userProfile: ({ account_id: id, name, email, email_verified: verified, picture }) => ({
      id: id as string,
      name: text(name),
      email: text(email),
      ...(text(email) !== undefined && typeof verified === 'boolean' && { emailVerified: verified }),
      picture: text(picture)
    })
  }, options)
}
