import { InvalidOptionsError } from '../../errors.ts'
import type { TokenMembers } from '../../oauth/token-response.ts'
import { parseScope } from '../../oauth/token-set.ts'
import type { ProviderOptions } from '../options.ts'
import { commaScope, endedGrant, members, optional, optionsOf, preset, type PresetOptions, text } from './preset.ts'

/** Options of the preset `slack`. */
export interface SlackOptions extends PresetOptions {
  /**
   * Scopes of the bot: a bot of the workspace is installed. With `openid` among them they are those of Sign in with
   * Slack.
   */
  scope?: string | readonly string[]
  /** Scopes of the user's own token. Default `users:read` if `actAs` asks for one and there is no bot. */
  userScope?: string | readonly string[]
  /** Whose token calls are made with, if an answer brings both. Default the bot's if bot scopes are asked for. */
  actAs?: 'bot' | 'user'
}

/**
 * Slack: Sign in with Slack (OpenID Connect), or, if scopes of a bot or of the user's own token are asked for, OAuth
 * v2.
 *
 * Facts (docs.slack.dev: "Sign in with Slack" (authentication/sign-in-with-slack), "openid.connect.token",
 * "openid.connect.userInfo" (reference/methods), "Installing with OAuth" (authentication/installing-with-oauth), "Using
 * token rotation" (authentication/using-token-rotation), "Using PKCE" (authentication/using-pkce), "oauth.v2.access"
 * and "auth.test" (reference/methods); slack.com/.well-known/openid-configuration):
 * - Sign in with Slack: issuer `https://slack.com`, scopes `openid`, `profile` and `email`, which cannot be asked for
 *   together with others. The ID token has the login's nonce. Name, verified address and picture are in userinfo, which
 *   answers errors with status 200 and `ok` false.
 * - OAuth v2: `scope` is for the bot, `user_scope` for the user, both separated by commas.
 * - The bot's token is the answer's own (`token_type` `bot`), the user's stands under `authed_user` (`user`); both are
 *   sent as Bearer. The answer to a refresh has the new token at its top, whosever it is.
 * - Tokens last for ever; with token rotation 12 hours, and refresh tokens come without being asked for.
 * - Basic is what Slack recommends. PKCE may be used once an app has enabled it, which makes it a public client for
 *   good (its refresh tokens then end after 30 days): with a secret none is used. `pkce: 'S256'` does if the app has
 *   it enabled.
 * - Errors come with status 200 and `ok` false. That a bad refresh token is `invalid_refresh_token` is not in those
 *   pages.
 * - `auth.test` tells whose token it is: with a bot's token that is the bot, and who installed it is in the token
 *   answer alone. So `request.oauth.user` is null if calls are made as a bot; `tokens.raw.authed_user.id` is in
 *   `onLogin`.
 *
 * @param options clientId and clientSecret; anything else replaces what is set here
 * @returns the options of the provider, for `providers`
 * @throws FST_OAUTH_INVALID_OPTIONS
 */
export function slack (options: SlackOptions): ProviderOptions {
  const { userScope, actAs, ...others } = optionsOf('Slack', options)
  if (actAs !== undefined && actAs !== 'bot' && actAs !== 'user') {
    throw new InvalidOptionsError('slack() takes "bot" or "user" as `actAs`', { reason: 'configuration' })
  }
  const scope = parseScope(others.scope) ?? []
  const userScopes = parseScope(optional('slack', 'userScope', userScope, 'scope'))
  const oauth = userScopes !== undefined || actAs !== undefined
  const openid = scope.includes('openid')
  if (openid && oauth) {
    const message = 'slack() cannot ask for "openid" beside `userScope` or `actAs`; write a second provider for these'
    throw new InvalidOptionsError(message, { reason: 'configuration' })
  }
  return openid || (!oauth && scope.length === 0) ? signIn(others) : oauthV2(others, scope, userScopes, actAs)
}

function signIn ({ scope, ...options }: PresetOptions): ProviderOptions {
  const given = (parseScope(scope) ?? []).length > 0
  return preset({
    title: 'Slack',
    authorizationEndpoint: 'https://slack.com/openid/connect/authorize',
    tokenEndpoint: 'https://slack.com/api/openid.connect.token',
    userinfoEndpoint: 'https://slack.com/api/openid.connect.userInfo',
    jwksUri: 'https://slack.com/openid/connect/keys',
    idTokenIssuer: 'https://slack.com',
    scope: given ? scope! : ['openid', 'profile', 'email'],
    clientAuthentication: 'client_secret_basic',
    resourceServers: ['https://slack.com/api/'],
    pkce: false,
    profileSource: 'userinfo',
    conform: (answer) => conform(answer, true)
  }, options)
}

function oauthV2 (
  options: PresetOptions, botScope: string[], userScopes: string[] | undefined, actAs: SlackOptions['actAs']
): ProviderOptions {
  const asked = userScopes ?? (botScope.length > 0 ? [] : ['users:read'])
  const asUser = actAs === 'user' || (actAs === undefined && botScope.length === 0)
  return preset({
    title: 'Slack',
    authorizationEndpoint: 'https://slack.com/oauth/v2/authorize',
    tokenEndpoint: 'https://slack.com/api/oauth.v2.access',
    userinfoEndpoint: 'https://slack.com/api/auth.test',
    scopeSeparator: ',',
    ...(asked.length > 0 && { authorizationParams: { user_scope: asked.join(',') } }),
    clientAuthentication: 'client_secret_basic',
    resourceServers: ['https://slack.com/api/'],
    pkce: false,
    profileSource: asUser ? 'userinfo' : 'id_token',
    conform: (answer) => conform(answer, asUser),
    userProfile: ({ user_id: id, user }) => ({ id: id as string, name: text(user) })
  }, options)
}

function conform (answer: TokenMembers, asUser: boolean): TokenMembers {
  const user = members(answer.authed_user)
  const nested = user.access_token !== undefined && (asUser || answer.access_token === undefined)
  const { id: _user, ...token } = user
  const flat = nested ? { ...without(answer, ['refresh_token', 'expires_in', 'scope']), ...token } : answer
  const bearer = flat.token_type === 'bot' || flat.token_type === 'user' ? { ...flat, token_type: 'Bearer' } : flat
  return endedGrant(commaScope(bearer), ({ error }) => error === 'invalid_refresh_token')
}

// What belongs to the bot must not be taken for the user's.
function without (answer: TokenMembers, names: string[]): TokenMembers {
  return Object.fromEntries(Object.entries(answer).filter(([name]) => !names.includes(name)))
}
