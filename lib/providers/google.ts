import { preset, type PresetOptions } from './preset.ts'
import type { ProviderOptions } from './types.ts'

export interface GoogleOptions extends PresetOptions {
  offline?: boolean
}

export function google ({ offline = false, ...options }: GoogleOptions): ProviderOptions {
  return preset({
    title: 'Google',
    issuer: 'https://accounts.google.com',
    scope: ['openid', 'profile', 'email'],
    resourceServers: ['https://www.googleapis.com/'],
    revokeAtLogout: false,
    ...(offline && { authorizationParams: { access_type: 'offline', prompt: 'consent' } })
  }, options)
}
