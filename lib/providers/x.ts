import { members, preset, text, type PresetOptions } from './preset.ts'
import type { ProviderOptions } from './types.ts'

export function x (options: PresetOptions): ProviderOptions {
  return preset({
    title: 'X',
    authorizationEndpoint: 'https://x.com/i/oauth2/authorize',
    tokenEndpoint: 'https://api.x.com/2/oauth2/token',
    revocationEndpoint: 'https://api.x.com/2/oauth2/revoke',
    userinfoEndpoint: 'https://api.x.com/2/users/me?user.fields=profile_image_url',
    scope: ['tweet.read', 'users.read'],
    clientAuthentication: options.clientSecret === undefined ? 'none' : 'client_secret_basic',
    resourceServers: ['https://api.x.com/2/'],
    profile: 'userinfo',
    userProfile: ({ data }) => {
      const { id, name, username, profile_image_url: picture } = members(data)
      return { id: id as string, name: text(name) ?? text(username), picture: text(picture) }
    }
  }, options)
}
