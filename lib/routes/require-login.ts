import type { FastifyReply, FastifyRequest } from 'fastify'
import type { PluginContext } from '../context.ts'
import { InvalidOptionsError, LoginRequiredError, type OAuthError } from '../errors.ts'
import { isExpired } from '../oauth/token-set.ts'
import type { ProviderName } from '../providers/presets/names.ts'
import { unknownOption } from '../providers/presets/unknown-option.ts'
import { tokenExpired } from '../providers/refresh-errors.ts'
import { accountTokens } from '../session/account-tokens.ts'
import type { Account, SessionLogin } from '../session/accounts.ts'
import { providerOf } from '../session/context.ts'
import { currentSession, type SessionObject, sessionOf } from '../session/fastify-session.ts'
import { isRecordOf, type TokenRecord } from '../tokens/record.ts'
import { isRenewable } from '../tokens/refresher.ts'
import { sendToProvider } from './login.ts'
import { loginPath, requestedPath, routePath } from './paths.ts'
import { isOwnRoute, isPageLoad, noStore } from './reply.ts'
import { MAX_RETURN_TO, readReturnTo, warnOfReturnTo } from './return-to.ts'

export interface RequireLoginOptions {
  /** Name of the provider that must be logged in with; any where absent. */
  provider?: ProviderName
}

/** Octets of a URL that every recipient takes (RFC 9110, section 4.1). */
const MAX_URL = 8_000

/** What says of a login that it is over. */
const ENDED = ['FST_OAUTH_LOGIN_ENDED', 'FST_OAUTH_REFRESH_LOST', 'FST_OAUTH_TOKEN_EXPIRED']

/**
 * Makes an onRequest hook that lets only logged-in users pass, and everybody to the plugin's own routes. It reads the
 * token record, so a login that ended elsewhere does not pass; nor does one whose token has expired and cannot be
 * refreshed. A browser's page load is sent to log in and comes back to the URL that it asked for; anything else gets
 * 401.
 * @throws FST_OAUTH_INVALID_OPTIONS, FST_OAUTH_UNKNOWN_PROVIDER; from the hook FST_OAUTH_LOGIN_REQUIRED,
 *   FST_OAUTH_TOKEN_EXPIRED, FST_OAUTH_SESSION_UNAVAILABLE, FST_OAUTH_STORE_UNAVAILABLE
 */
export function createGuard (context: PluginContext, options: RequireLoginOptions = {}) {
  // A guard that is misunderstood lets people pass.
  const unknown =
    typeof options === 'object' ? Object.keys(options).filter(name => name !== 'provider') : [String(options)]
  if (unknown.length > 0) {
    const meant = unknown.map(name => `${name} ${unknownOption(name, ['provider'])}`)
    throw new InvalidOptionsError(
      `requireLogin takes { provider } and nothing else; take out ${unknown.join(', ')} (${meant.join('; ')})`
    )
  }
  const { provider } = options
  if (provider !== undefined) providerOf(context, provider)
  return async function requireLogin (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> {
    // A hook of the whole app runs for these as well, and they are the way to a login.
    if (isOwnRoute(request)) return
    // Without a session nobody is ever logged in, and the browser would be sent round and round.
    const session = currentSession(request) === null ? null : sessionOf(request)
    const accounts = context.sessionLogins.of(session)
    const name = provider ?? accounts?.active
    const account = name === undefined ? undefined : accounts?.accounts[name]
    const unproven = account?.identityProven === false
    let ended: OAuthError | undefined
    if (accounts !== undefined && account !== undefined && name !== undefined && !unproven) {
      // An account that was added to a login stands and falls with the one that was logged in with.
      const active = accounts.accounts[accounts.active]!
      const [record] = await Promise.all([account, active].map(needed => readTokens(context, session, needed)))
      if (record !== undefined && context.sessionLogins.of(session)?.accounts[name] !== undefined) {
        ended = await endOfTokens(context, request, accounts, name, record)
        if (ended === undefined) return
      }
    }
    const wanted = provider ?? (ended === undefined ? context.config.defaultProvider : name)
    // Whoever came back as nobody would be sent round and round.
    if (!isPageLoad(request) || (unproven && wanted === name)) {
      const remedy = unproven
        ? 'its answer proved nobody\'s identity: ask for the scope "openid"'
        : 'log in and try again'
      // Also where the app's own error handler does not look at the error's headers.
      reply.header('www-authenticate', 'Bearer')
      throw (
        ended ??
        new LoginRequiredError(
          `nobody is logged in${wanted === undefined ? '' : ` with provider "${wanted}"`}; ${remedy}`,
          { provider: wanted }
        )
      )
    }
    // An account beside the one that was logged in with is added again: a login of its own would end the other one's.
    const login = context.sessionLogins.of(session)
    const link = account !== undefined && login !== undefined && login.active !== name
    return await sendToLogin(context, request, reply, wanted, link)
  }
}

/** Reads the tokens of an account; one that has none any more leaves the session. */
async function readTokens (
  context: PluginContext,
  session: SessionObject | null,
  { recordId: id, providerIdentity }: Account
): Promise<TokenRecord | undefined> {
  const record = await context.records.read(id)
  if (isRecordOf(record, { identity: providerIdentity })) return record
  context.sessionLogins.remove(session, id)
  return undefined
}

/**
 * Why the tokens of a login are of no use for good, or undefined where they are of use or may be again. In refresh mode
 * `auto` a page load finds out: once for each token that has expired, and not while the provider is away.
 */
async function endOfTokens (
  context: PluginContext,
  request: FastifyRequest,
  login: SessionLogin,
  name: string,
  record: TokenRecord
): Promise<OAuthError | undefined> {
  const {
    tokens: { expiresAt },
    obtainedAt
  } = record
  // Of one that came expired another login brings another such.
  if (expiresAt === undefined || expiresAt <= obtainedAt || !isExpired(expiresAt, context.clock.now())) return undefined
  const provider = providerOf(context, name)
  if (!isRenewable(provider, record)) return tokenExpired(provider)
  const { refresh = context.config.refresh ?? 'auto' } = provider.config
  const source = accountTokens(context, () => currentSession(request), login, name)
  if (refresh !== 'auto' || !isPageLoad(request) || source.refreshIsPaused) return undefined
  try {
    await source.current()
  } catch (error) {
    const { code } = error as OAuthError
    if (ENDED.includes(code)) return error as OAuthError
    if (code === 'FST_OAUTH_STORE_UNAVAILABLE') throw error
    // That the provider is away ends no login; the route's own calls tell what is wrong.
    source.pauseRefresh()
    request.log.warn({ provider: name, code }, 'a guard could not refresh an expired token; the login is kept')
  }
  return undefined
}

/** Sends a page load to log in, and has it come back to the URL that it asked for. */
async function sendToLogin (
  context: PluginContext,
  request: FastifyRequest,
  reply: FastifyReply,
  wanted: string | undefined,
  link: boolean
): Promise<FastifyReply> {
  const { config } = context
  const asked = requestedPath(context, request)
  if (link && wanted !== undefined) {
    return await sendToProvider(context, request, reply, providerOf(context, wanted), { returnTo: asked, link })
  }
  if (config.routes === false) {
    if (wanted === undefined) {
      throw new LoginRequiredError(
        'nobody is logged in, and with several providers and no routes the guard needs a provider',
        {}
      )
    }
    return await sendToProvider(context, request, reply, providerOf(context, wanted), { returnTo: asked })
  }
  const pathTo = (returnTo?: string) => wanted === undefined
    ? `${routePath(context, 'login')}${returnTo === undefined ? '' : `?${new URLSearchParams({ returnTo })}`}`
    : loginPath(context, wanted, returnTo)
  const location = pathTo(readReturnTo(request, asked, config.baseUrl()))
  const fits = location.length <= MAX_URL
  if (!fits) warnOfReturnTo(request, asked.length, MAX_RETURN_TO)
  return noStore(reply).redirect(fits ? location : pathTo(), 302)
}
