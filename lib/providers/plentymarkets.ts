import { preset, required, serverUrl, text, type PresetOptions } from './preset.ts'
import type { TokenMembers } from '../protocol/token-response.ts'
import type { ProviderOptions } from './types.ts'

export interface PlentymarketsOptions extends PresetOptions {
  baseUrl: string
}

export function plentymarkets ({ baseUrl, ...options }: PlentymarketsOptions): ProviderOptions {
  const server = serverUrl(required('plentymarkets', 'baseUrl', baseUrl))
  return preset({
    title: 'plentymarkets',
    authorizationEndpoint: `${server}/rest/oauth/authorize`,
    tokenEndpoint: `${server}/rest/oauth/access_token`,
    userinfoEndpoint: `${server}/rest/user`,
    resourceServers: [`${server}/rest/`],
    profile: 'userinfo',
    conform,
    userProfile: ({ id, name, email }) => ({ id: id as number, name: text(name), email: text(email) })
  }, options)
}

const NAMES: Record<string, string> = { accessToken: 'access_token', tokenType: 'token_type', expiresIn: 'expires_in', refreshToken: 'refresh_token' }

function conform (answer: TokenMembers): TokenMembers {
  return Object.fromEntries(Object.entries(answer).map(([name, value]) => [NAMES[name] ?? name, value]))
}
