import { InvalidOptionsError } from '../../errors.ts'
import type { ProviderOptions } from '../options.ts'
import { members, optionsOf, preset, type PresetOptions, text } from './preset.ts'

/** Options of the preset `vk`. */
export interface VkOptions extends PresetOptions {
  /** The host of VK ID: `id.vk.ru` or `id.vk.com`, its name until 2025. Default `id.vk.ru`. */
  domain?: 'id.vk.ru' | 'id.vk.com'
}

const HOSTS = ['id.vk.ru', 'id.vk.com']

/**
 * VK (VK ID, OAuth 2.1): the profile comes from VK ID. What was before it, oauth.vk.com, refuses new apps.
 *
 * Facts (id.vk.com/about/business/go/docs/ru/vkid/latest/vk-id/connection: "Справочник методов"
 * (api-integration/api-description), "Авторизация без SDK для Web" (start-integration/auth-without-sdk-web),
 * "Access token" (tokens/access-token)):
 * - PKCE is required. The callback brings a `device_id`, which the exchange and each refresh repeat, beside `state`.
 * - Access tokens last an hour; each refresh brings a new refresh token.
 * - `/oauth2/user_info` is a POST whose form has the token and the app's id.
 * - Scopes: `vkid.personal_info` (the default of each app), `email` and `phone`. Whether the address is verified is not
 *   said; `verified` is about the account.
 * - The pages name the host id.vk.com; SDKs and clients of 2026 use id.vk.ru. API calls go to api.vk.ru (api.vk.com)
 *   with a parameter `v` for the version.
 * - That the secret may be sent is from the code of clients; the pages show none.
 *
 * @param options clientId and clientSecret; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS if `domain` is another host
 */
export function vk (options: VkOptions): ProviderOptions {
  const { domain = 'id.vk.ru', ...others } = optionsOf('VK', options)
  if (!HOSTS.includes(domain)) {
    throw new InvalidOptionsError('vk() takes "id.vk.ru" or "id.vk.com" as `domain`', { reason: 'configuration' })
  }
  const server = `https://${domain}`
  const profile = others.userinfoEndpoint ?? `${server}/oauth2/user_info`
  return preset({
    title: 'VK',
    authorizationEndpoint: `${server}/authorize`,
    tokenEndpoint: `${server}/oauth2/auth`,
    userinfoEndpoint: profile,
    scope: ['vkid.personal_info', 'email'],
    clientAuthentication: 'client_secret_post',
    callbackParams: ['device_id', 'state'],
    resourceServers: [`https://api.${domain.slice(3)}/method/`],
    fetchProfile: async ({ tokens, call }) => {
      const body = new URLSearchParams({ client_id: others.clientId, access_token: tokens.accessToken })
      return { ...members(members(await call.post(profile, { body }).json()).user) }
    },
    userProfile: ({ user_id: id, first_name: first, last_name: last, email, avatar }) => ({
      id: id as string,
      name: text([first, last].filter(text).join(' ')),
      email: text(email),
      picture: text(avatar)
    })
  }, others)
}
