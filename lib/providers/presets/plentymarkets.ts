import type { Conform, TokenMembers } from '../../oauth/token-response.ts'
import type { ProviderOptions } from '../options.ts'
import { endedGrant, optionsOf, preset, type PresetOptions, required, serverUrl, text } from './preset.ts'

/** Options of the preset `plentymarkets`. */
export interface PlentymarketsOptions extends PresetOptions {
  /** URL of the shop, such as `https://shop.example.com`. */
  baseUrl: string
}

/**
 * plentymarkets: users of a shop's backend log in with name and password (RFC 6749, section 4.3).
 *
 * Facts (developers.plentymarkets.com/rest-doc/authentication/details, which could not be read; taken from
 * requests-oauthlib's plentymarkets fix, github.com/requests/requests-oauthlib/pull/263, and the code of several
 * clients, so not verified):
 * - `POST /rest/login` takes user name and password, `POST /rest/login/refresh` the refresh token. In which form the
 *   latter has it is not said even in the description that clients are generated from; clients send `refresh_token`, as
 *   is done here.
 * - `POST /rest/logout` ends the access token that it is called with (the same description). That is no RFC 7009, so
 *   the plugin's logout does not call it.
 * - The answers' members are in camel case, those of a refresh too; newer systems send RFC 6749's names. Access tokens
 *   last a day.
 * - `GET /rest/user` tells who logged in.
 * - There is no client authentication: any `clientId` will do, and a 401 to a refresh can only mean the refresh token.
 *
 * @param options clientId and baseUrl; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS if baseUrl is missing
 */
export function plentymarkets (options: PlentymarketsOptions): ProviderOptions {
  const { baseUrl, ...others } = optionsOf('plentymarkets', options)
  const server = serverUrl(required('plentymarkets', 'baseUrl', baseUrl))
  return preset({
    title: 'plentymarkets',
    grantType: 'password',
    tokenEndpoint: `${server}/rest/login`,
    userinfoEndpoint: `${server}/rest/user`,
    clientAuthentication: 'client_secret_post',
    resourceServers: [`${server}/rest/`],
    hooks: {
      refreshTokenRequest: ({ url }) => { if (url.pathname.endsWith('/rest/login')) url.pathname += '/refresh' }
    },
    profileSource: 'userinfo',
    conform,
    userProfile: ({ id, userId, name, realName, user, email }) => ({
      id: (id ?? userId) as number,
      name: text(realName) ?? text(name) ?? text(user),
      email: text(email)
    })
  }, others)
}

const NAMES: Record<string, string> = {
  accessToken: 'access_token',
  tokenType: 'token_type',
  expiresIn: 'expires_in',
  refreshToken: 'refresh_token'
}

const conform: Conform = (answer, { status, grantType }) => {
  const named: TokenMembers = Object.fromEntries(
    Object.entries(answer).map(([name, value]) => [Object.hasOwn(NAMES, name) ? NAMES[name] : name, value])
  )
  return endedGrant(named, () => status === 401 && grantType === 'refresh_token')
}
