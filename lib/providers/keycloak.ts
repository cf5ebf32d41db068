import { preset, required, serverUrl, type PresetOptions } from './preset.ts'
import type { ProviderOptions } from './types.ts'

export interface KeycloakOptions extends PresetOptions {
  baseUrl: string
  realm: string
}

export function keycloak ({ baseUrl, realm, ...options }: KeycloakOptions): ProviderOptions {
  const server = serverUrl(required('keycloak', 'baseUrl', baseUrl))
  return preset({
    title: 'Keycloak',
    issuer: `${server}/realms/${encodeURIComponent(required('keycloak', 'realm', realm))}`,
    scope: ['openid', 'profile', 'email']
  }, options)
}
