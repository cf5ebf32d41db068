import { preset, type PresetOptions } from './preset.ts'
import type { ProviderOptions } from './types.ts'

export function weibo (options: PresetOptions): ProviderOptions {
  return preset({
    title: 'Weibo',
    authorizationEndpoint: 'https://api.weibo.com/oauth2/authorize',
    tokenEndpoint: 'https://api.weibo.com/oauth2/access_token',
    userinfoEndpoint: 'https://api.weibo.com/2/account/get_uid.json',
    scopeSeparator: ',',
    clientAuthentication: 'client_secret_post',
    resourceServers: ['https://api.weibo.com/2/'],
    tokenPlacement: 'query',
    profile: 'userinfo',
    conform: (answer) => ({ ...answer, token_type: answer.token_type ?? 'Bearer' }),
    userProfile: ({ uid }) => ({ id: uid as number })
  }, options)
}
