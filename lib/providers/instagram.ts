import { preset, text, type PresetOptions } from './preset.ts'
import type { ProviderOptions } from './types.ts'

export function instagram (options: PresetOptions): ProviderOptions {
  return preset({
    title: 'Instagram',
    authorizationEndpoint: 'https://www.instagram.com/oauth/authorize',
    tokenEndpoint: 'https://api.instagram.com/oauth/access_token',
    userinfoEndpoint: 'https://graph.instagram.com/me?fields=user_id,username,name,profile_picture_url',
    scope: ['instagram_business_basic'],
    scopeSeparator: ',',
    clientAuthentication: 'client_secret_post',
    resourceServers: ['https://graph.instagram.com/'],
    tokenPlacement: 'query',
    profile: 'userinfo',
    userProfile: ({ user_id: userId, id, name, username, profile_picture_url: picture }) => ({
      id: (userId ?? id) as string,
      name: text(name) ?? text(username),
      picture: text(picture)
    })
  }, options)
}
