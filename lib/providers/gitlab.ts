import { preset, serverUrl, type PresetOptions } from './preset.ts'
import type { ProviderOptions } from './types.ts'

export interface GitlabOptions extends PresetOptions {
  baseUrl?: string
}

export function gitlab ({ baseUrl = 'https://gitlab.com', ...options }: GitlabOptions): ProviderOptions {
  const server = serverUrl(baseUrl)
  return preset({
    title: 'GitLab',
    issuer: server,
    scope: ['openid', 'profile', 'email'],
    resourceServers: [`${server}/api/v4/`],
    refreshAhead: false
  }, options)
}
