import { preset, type PresetOptions } from './preset.ts'
import type { ProviderOptions } from './types.ts'

export function linkedin (options: PresetOptions): ProviderOptions {
  return preset({
    title: 'LinkedIn',
    issuer: 'https://www.linkedin.com/oauth',
    scope: ['openid', 'profile', 'email'],
    clientAuthentication: 'client_secret_post',
    resourceServers: ['https://api.linkedin.com/']
  }, options)
}
