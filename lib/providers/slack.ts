import { commaScope, members, preset, text, type PresetOptions } from './preset.ts'
import type { TokenMembers } from '../protocol/token-response.ts'
import type { ProviderOptions } from './types.ts'

export interface SlackOptions extends PresetOptions {
  userScope?: readonly string[]
}

export function slack ({ userScope, ...options }: SlackOptions): ProviderOptions {
  return preset({
    title: 'Slack',
    authorizationEndpoint: 'https://slack.com/oauth/v2/authorize',
    tokenEndpoint: 'https://slack.com/api/oauth.v2.access',
    userinfoEndpoint: 'https://slack.com/api/auth.test',
    scopeSeparator: ',',
    ...(userScope !== undefined && { authorizationParams: { user_scope: userScope.join(',') } }),
    resourceServers: ['https://slack.com/api/'],
    profile: 'userinfo',
    conform,
    userProfile: ({ user_id: id, user }) => ({ id: id as string, name: text(user) })
  }, options)
}

function conform (answer: TokenMembers): TokenMembers {
  const user = members(answer.authed_user)
  const flat = text(answer.access_token) === undefined && text(user.access_token) !== undefined ? { ...answer, ...user } : { ...answer }
  if (flat.token_type === 'bot' || flat.token_type === 'user') flat.token_type = 'Bearer'
  return commaScope(flat)
}
