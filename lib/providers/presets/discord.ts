import type { ProviderOptions } from '../options.ts'
import { preset, type PresetOptions, text } from './preset.ts'

/**
 * Discord: OAuth 2; the profile comes from the API.
 *
 * Facts (docs.discord.com/developers: "OAuth2" (topics/oauth2), "Users Resource" (resources/user)):
 * - Basic, or id and secret in the form. PKCE is not documented for web apps; clients that use it report that it works.
 * - Access tokens last seven days; a refresh token comes without being asked for.
 * - Revoking one token revokes every token of that user's authorization, other sessions' too: logout revokes nothing.
 * - `verified` says whether the address is.
 *
 * @param options clientId and clientSecret; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS if there are no options
 */
export function discord (options: PresetOptions): ProviderOptions {
  return preset(
    {
      title: 'Discord',
      authorizationEndpoint: 'https://discord.com/oauth2/authorize',
      tokenEndpoint: 'https://discord.com/api/oauth2/token',
      revocationEndpoint: 'https://discord.com/api/oauth2/token/revoke',
      userinfoEndpoint: 'https://discord.com/api/v10/users/@me',
      scope: ['identify', 'email'],
      clientAuthentication: 'client_secret_basic',
      resourceServers: ['https://discord.com/api/v10/'],
      revokeAtLogout: false,
      profileSource: 'userinfo',
      userProfile: ({ id, username, global_name: name, email, verified, avatar }) => ({
        id: id as string,
        name: text(name) ?? text(username),
        email: text(email),
        ...(text(email) !== undefined && typeof verified === 'boolean' && { emailVerified: verified }),
        ...(text(id) !== undefined && text(avatar) !== undefined && {
          picture: `https://cdn.discordapp.com/avatars/${text(id)!}/${text(avatar)!}.png`
        })
      })
    },
    options
  )
}
