import { preset, text, type PresetOptions } from './preset.ts'
import type { ProviderOptions } from './types.ts'

export function discord (options: PresetOptions): ProviderOptions {
  return preset({
    title: 'Discord',
    authorizationEndpoint: 'https://discord.com/oauth2/authorize',
    tokenEndpoint: 'https://discord.com/api/oauth2/token',
    revocationEndpoint: 'https://discord.com/api/oauth2/token/revoke',
    userinfoEndpoint: 'https://discord.com/api/v10/users/@me',
    scope: ['identify', 'email'],
    resourceServers: ['https://discord.com/api/v10/'],
    revokeAtLogout: false,
    profile: 'userinfo',
    userProfile: ({ id, username, global_name: name, email, verified, avatar }) => ({
      id: id as string,
      name: text(name) ?? text(username),
      email: text(email),
      ...(typeof verified === 'boolean' && { emailVerified: verified }),
      ...(text(avatar) !== undefined && { picture: `https://cdn.discordapp.com/avatars/${String(id)}/${String(avatar)}.png` })
    })
  }, options)
}
