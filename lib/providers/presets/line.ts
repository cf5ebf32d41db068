import type { OAuthError } from '../../errors.ts'
import type { ProfileCall, ProviderOptions } from '../options.ts'
import { optionsOf, preset, type PresetOptions, text } from './preset.ts'

const API = 'https://api.line.me/'

/**
 * LINE (LINE Login v2.1): the profile comes from userinfo, the address from the ID token, which LINE verifies itself.
 *
 * Facts (developers.line.biz/en: "LINE Login v2.1 API reference" (reference/line-login), "Integrating LINE Login with
 * your web app" (docs/line-login/integrate-line-login), "Managing access tokens"
 * (docs/line-login/managing-access-tokens), "PKCE support for LINE Login" (docs/line-login/integrate-pkce)):
 * - Id and secret go into the form. PKCE with S256 is supported and recommended.
 * - ID tokens of web apps are signed with the channel secret (HS256). They are given to `/oauth2/v2.1/verify`, which
 *   checks signature, times and audience; PKCE is what binds them to the login.
 * - The address is in the ID token alone, for the scope `email`, which the channel must have been permitted; the
 *   granted scopes never name it. Whether it is verified is not said.
 * - Access tokens last 30 days; a refresh token comes without being asked for and is good for 90 days.
 * - `/oauth2/v2.1/revoke` takes the token as `access_token`, not as RFC 7009 has it: logout revokes nothing.
 *
 * @param options clientId (channel ID) and clientSecret (channel secret); anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS if there are no options
 */
export function line (options: PresetOptions): ProviderOptions {
  const checked = optionsOf('LINE', options)
  const profile = checked.userinfoEndpoint ?? `${API}oauth2/v2.1/userinfo`
  return preset({
    title: 'LINE',
    authorizationEndpoint: 'https://access.line.me/oauth2/v2.1/authorize',
    tokenEndpoint: `${API}oauth2/v2.1/token`,
    userinfoEndpoint: profile,
    scope: ['openid', 'profile', 'email'],
    clientAuthentication: 'client_secret_post',
    resourceServers: [API],
    fetchProfile: async ({ tokens: { idToken }, call }) => {
      const user = await call(profile).json<Record<string, unknown>>()
      if (idToken === undefined) return user
      const { sub, email } = await verified(call, idToken, checked.clientId)
      return sub === user.sub ? { ...user, email } : user
    },
    userProfile: ({ sub, name, picture, email }) => ({
      id: sub as string,
      name: text(name),
      email: text(email),
      picture: text(picture)
    })
  }, checked)
}

async function verified (call: ProfileCall, idToken: string, clientId: string): Promise<Record<string, unknown>> {
  try {
    const body = new URLSearchParams({ id_token: idToken, client_id: clientId })
    return await call.post(`${API}oauth2/v2.1/verify`, { body }).json()
  } catch (error) {
    // It has ended: a profile that is asked for later has no address.
    const { responseStatus, code } = Object(error) as OAuthError
    if (responseStatus === 400 || code === 'FST_OAUTH_ORIGIN_NOT_ALLOWED') return {}
    throw error
  }
}
