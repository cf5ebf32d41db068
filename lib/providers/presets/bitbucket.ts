import type { TokenMembers } from '../../oauth/token-response.ts'
import type { ProfileCall, ProviderOptions } from '../options.ts'
import { isWithheld, members, optionsOf, preset, type PresetOptions, text } from './preset.ts'

const API = 'https://api.bitbucket.org/2.0/'

/**
 * Bitbucket Cloud: OAuth 2 without OpenID Connect; the profile comes from the REST API.
 *
 * Facts (developer.atlassian.com/cloud/bitbucket/oauth-2, "OAuth 2.0", of January 2026; rest/intro,
 * "Authentication methods"; support.atlassian.com/bitbucket-cloud/docs/use-oauth-on-bitbucket-cloud):
 * - Basic. What a consumer may do is set with the consumer; `scope` asks for a part of that. The answer lists what was
 *   granted as `scopes`.
 * - Access tokens last two hours; a refresh token comes without being asked for.
 * - `GET /user` needs the scope `account`, which implies `email`; the addresses are a list of their own, with
 *   `is_primary` and `is_confirmed`.
 * - `uuid` does not change; user names do.
 * - PKCE and RFC 7009 are not in those pages.
 *
 * @param options clientId (key) and clientSecret; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS if there are no options
 */
export function bitbucket (options: PresetOptions): ProviderOptions {
  const checked = optionsOf('Bitbucket', options)
  const profile = checked.userinfoEndpoint ?? `${API}user`
  return preset({
    title: 'Bitbucket',
    authorizationEndpoint: 'https://bitbucket.org/site/oauth2/authorize',
    tokenEndpoint: 'https://bitbucket.org/site/oauth2/access_token',
    userinfoEndpoint: profile,
    scope: ['account'],
    clientAuthentication: 'client_secret_basic',
    resourceServers: [API],
    conform,
    fetchProfile: async ({ call }) => {
      const user = await call(profile).json<Record<string, unknown>>()
      return { ...user, ...await primaryAddress(call) }
    },
    userProfile: ({ uuid, display_name: name, username, links, email, email_verified: verified }) => ({
      id: uuid as string,
      name: text(name) ?? text(username),
      email: text(email),
      ...(text(email) !== undefined && { emailVerified: verified === true }),
      picture: text(members(members(links).avatar).href)
    })
  }, checked)
}

function conform ({ scopes, ...answer }: TokenMembers): TokenMembers {
  return { ...(scopes !== undefined && { scope: scopes }), ...answer }
}

async function primaryAddress (call: ProfileCall): Promise<{ email?: string, email_verified?: boolean }> {
  try {
    const { values } = members(await call(`${API}user/emails`).json())
    const primary: unknown = Array.isArray(values) ? values.find(one => members(one).is_primary === true) : undefined
    const { email, is_confirmed: confirmed } = members(primary)
    return text(email) === undefined ? {} : { email: text(email)!, email_verified: confirmed === true }
  } catch (error) {
    if (isWithheld(error)) return {} // the profile has no address then
    throw error
  }
}
