import { members, preset, text, type PresetOptions } from './preset.ts'
import type { ProviderOptions } from './types.ts'

export function spotify (options: PresetOptions): ProviderOptions {
  return preset({
    title: 'Spotify',
    authorizationEndpoint: 'https://accounts.spotify.com/authorize',
    tokenEndpoint: 'https://accounts.spotify.com/api/token',
    userinfoEndpoint: 'https://api.spotify.com/v1/me',
    scope: ['user-read-private', 'user-read-email'],
    resourceServers: ['https://api.spotify.com/v1/'],
    profile: 'userinfo',
    userProfile: ({ id, display_name: name, email, images }) => ({
      id: id as string,
      name: text(name),
      email: text(email),
      picture: text(members(Array.isArray(images) ? images[0] : undefined).url)
    })
  }, options)
}
