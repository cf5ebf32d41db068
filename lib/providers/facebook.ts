import { members, preset, text, type PresetOptions } from './preset.ts'
import type { ProviderOptions } from './types.ts'

export interface FacebookOptions extends PresetOptions {
  version?: string
}

export function facebook ({ version = 'v23.0', ...options }: FacebookOptions): ProviderOptions {
  const graph = `https://graph.facebook.com/${version}`
  return preset({
    title: 'Facebook',
    authorizationEndpoint: `https://www.facebook.com/${version}/dialog/oauth`,
    tokenEndpoint: `${graph}/oauth/access_token`,
    userinfoEndpoint: `${graph}/me?fields=id,name,email,picture`,
    scope: ['public_profile', 'email'],
    scopeSeparator: ',',
    clientAuthentication: 'client_secret_post',
    resourceServers: [`${graph}/`],
    profile: 'userinfo',
    userProfile: ({ id, name, email, picture }) => ({
      id: id as string,
      name: text(name),
      email: text(email),
      picture: text(members(members(picture).data).url)
    })
  }, options)
}
