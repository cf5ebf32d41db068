import { members, preset, text, type PresetOptions } from './preset.ts'
import type { TokenMembers } from '../protocol/token-response.ts'
import type { ProviderOptions } from './types.ts'

export function mailchimp (options: PresetOptions): ProviderOptions {
  return preset({
    title: 'Mailchimp',
    authorizationEndpoint: 'https://login.mailchimp.com/oauth2/authorize',
    tokenEndpoint: 'https://login.mailchimp.com/oauth2/token',
    userinfoEndpoint: 'https://login.mailchimp.com/oauth2/metadata',
    clientAuthentication: 'client_secret_post',
    resourceServers: [],
    profile: 'userinfo',
    conform,
    userProfile: ({ user_id: id, accountname, login }) => ({
      id: (id ?? members(login).login_id) as string,
      name: text(members(login).login_name) ?? text(accountname),
      email: text(members(login).email)
    })
  }, options)
}

function conform ({ scope, ...answer }: TokenMembers): TokenMembers {
  return {
    ...answer,
    ...(scope !== null && scope !== undefined && { scope }),
    ...(answer.expires_in === 0 && { expires_in: 3600 })
  }
}
