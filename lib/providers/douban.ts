import { preset, text, type PresetOptions } from './preset.ts'
import type { ProviderOptions } from './types.ts'

export function douban (options: PresetOptions): ProviderOptions {
  return preset({
    title: 'Douban',
    authorizationEndpoint: 'https://www.douban.com/service/auth2/auth',
    tokenEndpoint: 'https://www.douban.com/service/auth2/token',
    userinfoEndpoint: 'https://api.douban.com/v2/user/~me',
    scopeSeparator: ',',
    clientAuthentication: 'client_secret_post',
    resourceServers: ['https://api.douban.com/v2/'],
    tokenPlacement: 'query',
    profile: 'userinfo',
    conform: (answer) => ({ ...answer, token_type: answer.token_type ?? 'Bearer' }),
    userProfile: ({ id, name, avatar }) => ({ id: id as string, name: text(name), picture: text(avatar) })
  }, options)
}
