import type { ProviderOptions } from '../options.ts'
import { members, optional, optionsOf, preset, type PresetOptions, text } from './preset.ts'

/** Options of the preset `notion`. */
export interface NotionOptions extends PresetOptions {
  /** The header `Notion-Version` of calls. Default `2025-09-03`. */
  version?: string
}

const API = 'https://api.notion.com/v1/'

/**
 * Notion (public connections): OAuth 2 without OpenID Connect; the profile comes from the API.
 *
 * Facts (developers.notion.com: "Authorization" (guides/get-started/authorization), "Create a token"
 * (reference/create-a-token), "Refresh a token" (reference/refresh-a-token), "Retrieve your token's bot user"
 * (reference/get-self), "Versioning" (reference/versioning)):
 * - `owner=user` is required. Basic. The pages send JSON to the token endpoint; arctic and Auth.js send forms.
 * - There are no scopes: what the app may do is set with it, and the user picks pages.
 * - Answers tell no lifetime. A refresh brings a new refresh token as well. A token is used until Notion answers 401,
 *   and is refreshed then.
 * - Tokens are a bot's; whose it is stands under `bot.owner.user`, with the address if the app may see addresses.
 *   Whether it is verified is not said.
 * - Each call wants the header `Notion-Version`.
 * - Unknown parameters of a request are refused, and PKCE is not in those pages: none is used.
 * - `/oauth/revoke` takes JSON, not a form: logout revokes nothing.
 *
 * @param options clientId and clientSecret; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS
 */
export function notion (options: NotionOptions): ProviderOptions {
  const { version = '2025-09-03', ...others } = optionsOf('Notion', options)
  optional('notion', 'version', version, 'text')
  const profile = others.userinfoEndpoint ?? `${API}users/me`
  return preset({
    title: 'Notion',
    authorizationEndpoint: `${API}oauth/authorize`,
    tokenEndpoint: `${API}oauth/token`,
    userinfoEndpoint: profile,
    authorizationParams: { owner: 'user' },
    clientAuthentication: 'client_secret_basic',
    resourceServers: [API],
    pkce: false,
    hooks: { protectedRequest: ({ headers }) => { headers['notion-version'] ??= version } },
    fetchProfile: async ({ call }) => {
      const { bot } = members(await call(profile).json())
      return { ...members(members(members(bot).owner).user) }
    },
    userProfile: ({ id, name, person, avatar_url: picture }) => ({
      id: id as string,
      name: text(name),
      email: text(members(person).email),
      picture: text(picture)
    })
  }, others)
}
