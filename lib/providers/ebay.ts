import { preset, text, type PresetOptions } from './preset.ts'
import type { ProviderOptions } from './types.ts'

export interface EbayOptions extends PresetOptions {
  sandbox?: boolean
}

export function ebay ({ sandbox = false, ...options }: EbayOptions): ProviderOptions {
  const domain = sandbox ? 'sandbox.ebay.com' : 'ebay.com'
  return preset({
    title: 'eBay',
    authorizationEndpoint: `https://auth.${domain}/oauth2/authorize`,
    tokenEndpoint: `https://api.${domain}/identity/v1/oauth2/token`,
    userinfoEndpoint: `https://apiz.${domain}/commerce/identity/v1/user/`,
    scope: ['https://api.ebay.com/oauth/api_scope', 'https://api.ebay.com/oauth/api_scope/commerce.identity.readonly'],
    clientAuthentication: 'client_secret_basic',
    resourceServers: [`https://api.${domain}/`, `https://apiz.${domain}/`],
    profile: 'userinfo',
    conform: (answer) => /^(?:User|Application) Access Token$/.test(String(answer.token_type)) ? { ...answer, token_type: 'Bearer' } : answer,
    userProfile: ({ userId, username }) => ({ id: userId as string, name: text(username) })
  }, options)
}
