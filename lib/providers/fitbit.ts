import { members, preset, text, type PresetOptions } from './preset.ts'
import type { TokenMembers } from '../protocol/token-response.ts'
import type { ProviderOptions } from './types.ts'

export function fitbit (options: PresetOptions): ProviderOptions {
  return preset({
    title: 'Fitbit',
    authorizationEndpoint: 'https://www.fitbit.com/oauth2/authorize',
    tokenEndpoint: 'https://api.fitbit.com/oauth2/token',
    revocationEndpoint: 'https://api.fitbit.com/oauth2/revoke',
    userinfoEndpoint: 'https://api.fitbit.com/1/user/-/profile.json',
    scope: ['profile'],
    resourceServers: ['https://api.fitbit.com/'],
    profile: 'userinfo',
    conform,
    userProfile: ({ user }) => {
      const { encodedId, fullName, displayName, avatar } = members(user)
      return { id: encodedId as string, name: text(fullName) ?? text(displayName), picture: text(avatar) }
    }
  }, options)
}

function conform (answer: TokenMembers): TokenMembers {
  const { errorType, message } = members(Array.isArray(answer.errors) ? answer.errors[0] : undefined)
  if (typeof errorType !== 'string') return answer
  return { ...answer, error: errorType, error_description: message }
}
