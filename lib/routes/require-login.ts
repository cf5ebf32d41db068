import type { FastifyReply, FastifyRequest } from 'fastify'
import type { PluginContext } from '../context.ts'
import { InvalidOptionsError, LoginRequiredError, type OAuthError, UnknownProviderError } from '../errors.ts'
import type { StepUp } from '../login/step-up.ts'
import { isExpired } from '../oauth/token-set.ts'
import type { ProviderClient } from '../providers/provider.ts'
import { tokenExpired } from '../providers/refresh-errors.ts'
import { accountTokens, tokensSince } from '../session/account-tokens.ts'
import { type Account, isIdentityProven, type SessionLogin } from '../session/accounts.ts'
import { providerOf } from '../session/context.ts'
import { currentSession, type SessionObject, sessionOf } from '../session/fastify-session.ts'
import { knownDetails } from '../session/known-details.ts'
import { endWhereOver, isTimed, notedEnd } from '../session/login-end.ts'
import { keepPrivate } from '../session/request-hooks.ts'
import { isRecordOf, type TokenRecord } from '../tokens/record.ts'
import { isRenewable } from '../tokens/refresher.ts'
import { errorForLog, logOf } from '../util/logger.ts'
import { isPageLoad } from './fetch-metadata.ts'
import { checkGuardOptions, readStepUp, type RequireLoginOptions } from './guard-options.ts'
import { sendToProvider } from './login.ts'
import { isOwnRoute } from './own-route.ts'
import { loginPath, pathBelow, redirectUriOf, requestedPath } from './paths.ts'
import { noStore } from './reply.ts'
import { MAX_RETURN_TO, readReturnTo, warnOfReturnTo } from './return-to.ts'
import { canGive, lackOfLogin, notGiven, registerStepUp, sendChallenge, stepUpPath } from './step-up.ts'
import { loadAgain } from './strict-cookie.ts'
import { isInteractive } from './visitors-provider.ts'

/** Octets of a URL that every recipient takes (RFC 9110, section 4.1). */
const MAX_URL = 8_000

/** The codes of errors that end a login. */
const ENDED = ['FST_OAUTH_LOGIN_ENDED', 'FST_OAUTH_REFRESH_LOST', 'FST_OAUTH_TOKEN_EXPIRED']

/**
 * Makes an onRequest hook that lets only logged-in users pass; requests to the plugin's own routes always do. It reads
 * the token record, so a login that ended elsewhere does not pass, nor does one whose token has expired and cannot be
 * refreshed. A browser's page load is sent to log in and comes back to the URL that it asked for; any other request
 * gets 401.
 * @throws FST_OAUTH_INVALID_OPTIONS, FST_OAUTH_UNKNOWN_PROVIDER; from the hook FST_OAUTH_LOGIN_REQUIRED,
 *   FST_OAUTH_TOKEN_EXPIRED, FST_OAUTH_SESSION_UNAVAILABLE, FST_OAUTH_STORE_UNAVAILABLE
 */
export function createGuard (context: PluginContext, options: RequireLoginOptions = {}) {
  checkGuardOptions(options)
  const { provider, when } = options
  const only = provider === undefined ? undefined : context.providers.get(provider)
  if (provider !== undefined && only === undefined) {
    const known = [...context.providers.keys()].join(', ')
    throw new UnknownProviderError(`requireLogin: there is no provider "${String(provider)}"; write one of ${known}`)
  }
  const stepUp = readStepUp(options)
  if (stepUp !== undefined) {
    registerStepUp(context, stepUp)
    if (only !== undefined && !canGive(only, [], stepUp)) throw noIdToken(only)
  }
  // What `when` says of a user is known only once there is one.
  const alwaysAsked = when === undefined ? stepUp : undefined
  const { sessionLogins, config } = context
  return async function requireLogin (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> {
    // A hook of the whole app runs for these as well, and they are the way to a login.
    if (isOwnRoute(request) || isAppCallback(context, request)) return
    keepPrivate(reply)
    const current = currentSession(request)
    const login = sessionLogins.of(current)
    // A route without a session never has a login: the browser would be redirected in circles. One that has a login was
    // saved: a test's `inject` with its cookie passes as it would over https.
    const session = current === null || login !== undefined ? current : sessionOf(request)
    // What the hook of this request has found to be over is not in the session any more.
    const over = notedEnd(context, request, provider)
    const name = provider ?? login?.active ?? over?.name
    const account = name === undefined ? undefined : login?.accounts[name]
    const isUnproven = account !== undefined && !isIdentityProven(account)
    let ended = account === undefined ? over?.error : undefined
    if (login !== undefined && account !== undefined && name !== undefined && !isUnproven) {
      const found = await usableRecord(context, request, session, login, name)
      if (found instanceof Error) ended = found
      else if (found !== undefined) {
        return stepUp && await demand(context, request, reply, { stepUp, when, account, name, record: found })
      }
    }
    const again = login === undefined ? loadAgain(context, request, reply) : undefined
    if (again !== undefined) return again
    const wanted = provider ?? (ended === undefined ? config.defaultProvider : name)
    // A login that again proves no identity would redirect the browser in circles.
    if (!isPageLoad(request) || (isUnproven && wanted === name)) {
      // Also if the app's own error handler does not look at the error's headers.
      reply.header('www-authenticate', 'Bearer')
      throw ended ?? loginRequired(wanted, isUnproven)
    }
    // An account beside the active one is added again: a login of its own would end the other one's.
    const now = sessionLogins.of(session)
    const link = (account ?? over) !== undefined && now !== undefined && now.active !== name
    return await sendToLogin(context, request, reply, { wanted, link, stepUp: alwaysAsked })
  }
}

const noIdToken = ({ name: provider }: ProviderClient) => new InvalidOptionsError(
  `requireLogin: maxAge, acrValues and \`when\` need an ID token, and provider "${provider}" has none; ask for the ` +
    'scope "openid" at a provider with an `issuer`',
  { provider })

function loginRequired (provider: string | undefined, isUnproven: boolean): OAuthError {
  const withProvider = provider === undefined ? '' : ` with provider "${provider}"`
  const remedy = isUnproven
    ? 'its answer does not identify the user: ask for the scope "openid"'
    : 'log in and try again'
  return new LoginRequiredError(`no user is logged in${withProvider}; ${remedy}`, { provider })
}

/**
 * Whether a request may be an authorization response for a callback route of the app's own: it has to get through to
 * finish the login.
 */
function isAppCallback (context: PluginContext, request: FastifyRequest): boolean {
  if (context.config.routes !== false) return false
  const isResponse = request.method === 'POST' || request.url.includes('state=')
  return [...context.providers.values()].some((provider) => {
    // The response of an implicit login is in the fragment, which no server sees.
    if (!isInteractive(provider) || !(isResponse || provider.config.grantType === 'implicit')) return false
    const { pathname } = new URL(redirectUriOf(context, provider))
    return pathBelow(requestedPath(context, request).split('?', 1)[0]!, pathname) === ''
  })
}

/**
 * Starts a step-up for a login that lacks something: a page load goes to the provider and comes back, any other request
 * gets a challenge.
 */
async function demand (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply,
  { stepUp, when, account, name, record }: {
    stepUp: StepUp
    when: RequireLoginOptions['when']
    account: Account
    name: string
    record: TokenRecord
  }
): Promise<FastifyReply | undefined> {
  const provider = providerOf(context, name)
  const { claims } = knownDetails(context.records, account)
  if (when !== undefined && await when(claims, request) === false) return undefined
  // The refresh of an expired token may have changed it.
  const { scope } = (context.records.known(account.recordId) ?? record).tokens
  const lack = lackOfLogin(provider, stepUp, { scope, claims })
  if (lack === undefined) return undefined
  if (!canGive(provider, scope, stepUp)) throw notGiven(name, stepUp, lack)
  if (!isPageLoad(request)) return sendChallenge(context, reply, provider, stepUp, lack)
  const link = context.sessionLogins.of(currentSession(request))?.active !== name
  return await sendToProvider(context, request, reply, provider, {
    returnTo: requestedPath(context, request), link, stepUp
  })
}

/**
 * Reads the token record of an account, as long as its login lasts.
 * @returns why the login has ended, if that is known; undefined if the account has left the session
 */
async function usableRecord (
  context: PluginContext, request: FastifyRequest, session: SessionObject | null, login: SessionLogin, name: string
): Promise<TokenRecord | OAuthError | undefined> {
  const account = login.accounts[name]!
  // An added account ends with the active account of the login.
  const active = login.accounts[login.active]!
  const needed = account === active ? [account] : [account, active]
  tokensSince(request, context.clock)
  const found = await Promise.all(needed.map(one => readTokens(context, session, one)))
  const [record] = found
  if (record === undefined || context.sessionLogins.of(session)?.accounts[name] === undefined) return undefined
  const mayHaveEnded = isTimed(context, login) || found.some(one => one?.providerEnds !== undefined)
  const ended = mayHaveEnded ? await endWhereOver(context, request, login, name) : undefined
  return ended ?? await endOfTokens(context, request, login, name, record) ?? record
}

/** Reads the tokens of an account; one that has none any more leaves the session. */
async function readTokens (
  { records, sessionLogins }: PluginContext, session: SessionObject | null, { recordId, providerIdentity }: Account
): Promise<TokenRecord | undefined> {
  const record = await records.read(recordId)
  if (isRecordOf(record, { identity: providerIdentity })) return record
  sessionLogins.remove(session, recordId)
  return undefined
}

/**
 * The error of a login whose tokens are of no use any more; undefined if they are of use, or may be again. In
 * refresh mode `auto` a page load refreshes an expired token: once for each token, and not while the provider is
 * unavailable.
 */
async function endOfTokens (
  context: PluginContext, request: FastifyRequest, login: SessionLogin, name: string,
  record: TokenRecord
): Promise<OAuthError | undefined> {
  const { tokens: { expiresAt }, obtainedAt } = record
  // If a token was expired when it came, a new login would bring another such token.
  if (expiresAt === undefined || expiresAt <= obtainedAt || !isExpired(expiresAt, context.clock.now())) return undefined
  const provider = providerOf(context, name)
  if (!isRenewable(provider, record)) return tokenExpired(provider)
  const { refresh = context.config.refresh ?? 'auto' } = provider.config
  const source = accountTokens(context, request, login, name)
  if (refresh !== 'auto' || !isPageLoad(request) || source.refreshIsPaused) return undefined
  try {
    await source.current()
  } catch (error) {
    const { code } = Object(error) as OAuthError
    if (ENDED.includes(code)) return error as OAuthError
    if (code === 'FST_OAUTH_STORE_UNAVAILABLE') throw error
    // An unavailable provider does not end the login; the route's own calls report the error.
    source.pauseRefresh()
    const message = 'a guard could not refresh an expired token; the login is kept'
    logOf(request).warn({ event: 'guard_refresh_failed', provider: name, err: errorForLog(error) }, message)
  }
  return undefined
}

/**
 * Sends a page load to log in, and has it come back to the URL that it asked for.
 * @param options.wanted name of the provider; if absent the login page lets the user choose
 * @param options.link adds the account to the login of the session
 * @param options.stepUp what the login is to have
 */
async function sendToLogin (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply,
  { wanted, link, stepUp }: { wanted: string | undefined, link: boolean, stepUp: StepUp | undefined }
): Promise<FastifyReply> {
  const { config } = context
  const asked = requestedPath(context, request)
  if (wanted !== undefined && (link || config.routes === false)) {
    const provider = providerOf(context, wanted)
    return await sendToProvider(context, request, reply, provider, { returnTo: asked, link, stepUp })
  }
  if (config.routes === false) {
    const message = 'no user is logged in, and with several providers and no routes the guard needs a provider'
    throw new LoginRequiredError(message, {})
  }
  const pathTo = (returnTo?: string) => wanted === undefined || stepUp === undefined
    ? loginPath(context, wanted, returnTo)
    : stepUpPath(context, wanted, stepUp, { returnTo })
  const location = pathTo(readReturnTo(request, asked, config.baseUrl()))
  if (location.length <= MAX_URL) return noStore(reply).redirect(location, 302)
  warnOfReturnTo(request, asked.length, MAX_RETURN_TO)
  return noStore(reply).redirect(pathTo(), 302)
}
