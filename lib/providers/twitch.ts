import { preset, type PresetOptions } from './preset.ts'
import type { ProviderOptions } from './types.ts'

export function twitch (options: PresetOptions): ProviderOptions {
  const claims = { email: null, email_verified: null, picture: null, preferred_username: null }
  return preset({
    title: 'Twitch',
    issuer: 'https://id.twitch.tv/oauth2',
    revocationEndpoint: 'https://id.twitch.tv/oauth2/revoke',
    scope: ['openid', 'user:read:email'],
    authorizationParams: { claims: JSON.stringify({ id_token: claims, userinfo: claims }) },
    clientAuthentication: 'client_secret_post',
    resourceServers: ['https://api.twitch.tv/helix/'],
    hooks: { protectedRequest: ({ headers }) => { headers['client-id'] = options.clientId } }
  }, options)
}
