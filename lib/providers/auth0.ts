import { preset, required, serverUrl, type PresetOptions } from './preset.ts'
import type { ProviderOptions } from './types.ts'

export interface Auth0Options extends PresetOptions {
  domain: string
  audience?: string
}

export function auth0 ({ domain, audience, ...options }: Auth0Options): ProviderOptions {
  const server = serverUrl(required('auth0', 'domain', domain))
  return preset({
    title: 'Auth0',
    issuer: `${server}/`,
    scope: ['openid', 'profile', 'email'],
    ...(audience !== undefined && { authorizationParams: { audience } })
  }, options)
}
