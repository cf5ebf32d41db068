import { preset, required, serverUrl, type PresetOptions } from './preset.ts'
import type { ProviderOptions } from './types.ts'

export interface OktaOptions extends PresetOptions {
  domain: string
  authorizationServer?: string | null
}

export function okta ({ domain, authorizationServer = 'default', ...options }: OktaOptions): ProviderOptions {
  const server = serverUrl(required('okta', 'domain', domain))
  return preset({
    title: 'Okta',
    issuer: authorizationServer === null ? server : `${server}/oauth2/${authorizationServer}`,
    scope: ['openid', 'profile', 'email']
  }, options)
}
