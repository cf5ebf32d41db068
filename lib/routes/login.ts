import type { FastifyReply, FastifyRequest } from 'fastify'
import type { PluginContext } from '../context.ts'
import { CrossSiteRequestError, InvalidOptionsError, LoginRequiredError } from '../errors.ts'
import { type LoginRequest, startLogin } from '../login/start.ts'
import { specialState } from '../login/state-kind.ts'
import type { StepUp } from '../login/step-up.ts'
import type { AuthorizationDetail } from '../oauth/authorization-details.ts'
import { isPostedMode } from '../oauth/response-mode.ts'
import { parseScope } from '../oauth/token-set.ts'
import { isLoopback, mergeParameters, type RequestParameters } from '../oauth/urls.ts'
import { describeError } from '../pages/error-texts.ts'
import type { ProviderName } from '../providers/presets/names.ts'
import type { ProviderClient } from '../providers/provider.ts'
import type { Account } from '../session/accounts.ts'
import { currentSession, type SessionObject, sessionOf } from '../session/fastify-session.ts'
import { knownDetails } from '../session/known-details.ts'
import { linkTarget } from '../session/link-account.ts'
import { checkSessionCookie } from '../session/session-cookie.ts'
import { errorForLog, logOf } from '../util/logger.ts'
import { shown } from '../util/shown.ts'
import { channels, type LoginTrace, traced } from '../util/tracing.ts'
import { isFramed, isFromOwnSite, isPageLoad, isPrefetch, refuseEmbedded } from './fetch-metadata.ts'
import { type BegunLogin, rememberLogin } from './login-cookie.ts'
import { sendLoginForm } from './password-login.ts'
import { loginPath, publicPath, redirectUriOf, requestedPath } from './paths.ts'
import { displayOf, keepOpener } from './popup.ts'
import { isGetOrPost, noStore, refuseMethod } from './reply.ts'
import { readReturnTo, safeReturnTo } from './return-to.ts'
import { sendPage } from './send-html.ts'
import { namedStepUp, stepUpRequest } from './step-up.ts'
import { isInteractive, visitorsProvider } from './visitors-provider.ts'

/** What one login asks for beyond the provider's options. */
export interface LoginOptions {
  /** Name of the provider; the default one if absent. */
  provider?: ProviderName
  /** Path of the app to come back to. */
  returnTo?: string
  /** In place of the provider's own scope. */
  scope?: string | readonly string[]
  /** Further parameters of the authorization request (`login_hint`, `ui_locales`, …). */
  params?: RequestParameters
  /** What the tokens are to allow (RFC 9396), in place of the provider's own `authorizationDetails`. */
  authorizationDetails?: readonly AuthorizationDetail[]
  /**
   * What the provider may ask of the user (OpenID Connect Core, section 3.1.2.1). With `none` it asks nothing: if it
   * would have to, the browser comes back to `returnTo`, its login unchanged, without an error.
   */
  prompt?: 'none' | 'login' | 'consent' | 'select_account' | (string & {})
  /** Seconds since the user last authenticated; checked in the ID token (OpenID Connect Core, section 3.1.2.1). */
  maxAge?: number
  /**
   * Authentication context classes, a list or a string with spaces, in one of which the user has to authenticate; sent
   * as `acr_values`, checked in the ID token.
   */
  acrValues?: string | readonly string[]
  /** Adds the account to the login of this session, in place of a new login. */
  link?: boolean
  /**
   * With `popup` the login ends with a page that tells its outcome to the window that opened it, and closes itself.
   * OpenID Connect providers are asked for a page that fits a popup (OpenID Connect Core, section 3.1.2.1).
   */
  display?: 'popup'
}

/** What the plugin itself asks for. */
interface AskedByPlugin {
  /** A step-up that a guard asks for. */
  stepUp?: StepUp | undefined
  /** Has the provider ask the user, whatever it knows. */
  again?: boolean | undefined
  /** It takes the place of a login that was lost. */
  restarted?: boolean
}

/**
 * Starts a login: sends the browser to the provider, and remembers what the callback is checked against.
 * @throws FST_OAUTH_PROVIDER_UNAVAILABLE, FST_OAUTH_STORE_UNAVAILABLE, FST_OAUTH_SESSION_UNAVAILABLE,
 *   FST_OAUTH_CROSS_SITE_REQUEST, FST_OAUTH_INVALID_OPTIONS if `maxAge` cannot be checked, FST_OAUTH_LOGIN_REQUIRED
 *   if there is no login to link to
 */
export function sendToProvider (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply, provider: ProviderClient,
  options: LoginOptions & AskedByPlugin = {}
): Promise<FastifyReply> {
  if (!channels.login.hasSubscribers) return beginLogin(context, request, reply, provider, options)
  const trace: LoginTrace = { provider: provider.name }
  return traced(channels.login, trace, 'redirected', async () => {
    const sent = await beginLogin(context, request, reply, provider, options)
    if (reply.statusCode !== 302) trace.outcome = 'not_started'
    return sent
  })
}

async function beginLogin (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply, provider: ProviderClient,
  options: LoginOptions & AskedByPlugin
): Promise<FastifyReply> {
  noStore(reply)
  if (!isGetOrPost(request)) return refuseMethod(reply)
  // Its login would stay in the store, and its cookie may not be kept.
  if (isPrefetch(request)) return reply.code(403).send()
  const { link: asked = false, display, stepUp } = options
  if (display !== undefined) preparePopup(context, request, reply, provider, display)
  else refuseEmbedded(request)
  const { sessionLogins } = context
  const login = sessionLogins.of(currentSession(request))
  const account = login?.accounts[provider.name]
  // An account that is asked for more stays in its login, and what the app keeps in the session stays.
  const isStepUp = stepUp !== undefined && account !== undefined
  const link = asked || (isStepUp && login?.active !== provider.name)
  if (link && !isFromOwnSite(request, context.config.baseUrl())) {
    return askBeforeLink(context, request, reply, provider)
  }
  const session = sessionOf(request)
  warnOfOtherName(context, request)
  checkSessionCookie(context, request)
  const linkTo = link || isStepUp ? linkTarget(context, session) : undefined
  if (link && linkTo === undefined) {
    throw new LoginRequiredError('an account can be added only to a login; log in first', { provider: provider.name })
  }
  const { url, pending } = await startLogin(provider, requestOf(context, provider, options, link, account))
  const framed = isFramed(request)
  // In a frame the user sees nothing of the provider's pages, and must not be asked for anything there.
  if (framed && pending.silent !== true) refuseEmbedded(request)
  const begun = pending as BegunLogin
  begun.returnTo = readReturnTo(request, options.returnTo, context.config.baseUrl()) ?? publicPath(context, '/')
  if (display !== undefined) begun.popup = framed ? 'frame' : 'window'
  // Whether the provider has given it is checked in the callback, when the login is done.
  if (stepUp !== undefined) Object.assign(begun, { stepUp, maxAge: undefined })
  if (linkTo !== undefined) begun.linkTo = linkTo
  if (isPostedMode(provider.config.responseMode) && keepsSomething(context, session)) begun.needsSession = true
  await rememberLogin(context, request, reply, provider, begun)
  return reply.redirect(url, 302)
}

/**
 * What the authorization request asks for.
 * @param link whether an account is added to a login
 * @param account the session's at this provider
 */
function requestOf (
  context: PluginContext, provider: ProviderClient, options: LoginOptions & AskedByPlugin, link: boolean,
  account: Account | undefined
): LoginRequest {
  const { scope, params, prompt, authorizationDetails, maxAge, acrValues, display, stepUp, again, restarted } = options
  const hasOwnOptions = link || [scope, params, prompt, authorizationDetails, maxAge, acrValues].some(isGiven)
  const isPopup = display !== undefined
  const kind = restarted === true ? 'again' : isPopup ? 'popup' : hasOwnOptions ? 'once' : undefined
  const had = stepUp !== undefined && account !== undefined ? knownAccess(context, account) : undefined
  const asParam = isPopup && provider.hasIdTokens ? mergeParameters({ display }, params) : params
  const more = stepUp && stepUpRequest(provider, had, stepUp, { again, params: asParam })
  return {
    redirectUri: redirectUriOf(context, provider),
    scope: more?.scope ?? parseScope(scope) ?? [...provider.config.scope],
    params: more?.params ?? (prompt === undefined ? asParam : mergeParameters(asParam, { prompt })),
    authorizationDetails,
    maxAge,
    acrValues: parseScope(acrValues),
    state: kind && specialState(kind)
  }
}

/**
 * Checks a login that a script of the app's has opened, in a window or in a frame of the app's own page.
 * @throws FST_OAUTH_CROSS_SITE_REQUEST, FST_OAUTH_INVALID_OPTIONS
 */
function preparePopup (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply, { name }: ProviderClient, display: string
): void {
  if (display !== 'popup') {
    const message = `display of a login is 'popup' or nothing, not ${shown(display)}; another value of ` +
      "OpenID Connect's goes into `params: { display }`"
    throw new InvalidOptionsError(message, { provider: name })
  }
  if (!isFramed(request) || !isFromOwnSite(request, context.config.baseUrl())) refuseEmbedded(request)
  keepOpener(reply)
}

const isGiven = (option: unknown) => option !== undefined

/** Whether a login from here replaces another one, or keeps fields of the session. */
function keepsSomething ({ sessionLogins, config }: PluginContext, session: SessionObject): boolean {
  return sessionLogins.of(session) !== undefined ||
    config.keepSessionFields.some(name => (session as unknown as Record<string, unknown>)[name] !== undefined)
}

/** Scope and claims of an account, as far as this process knows. */
function knownAccess (
  { records }: PluginContext, account: Account
): { scope: readonly string[], claims: Record<string, unknown> } {
  const { scope, claims } = knownDetails(records, account)
  return { scope: records.known(account.recordId)?.tokens.scope ?? scope, claims }
}

/**
 * Asks the user before an account is linked: another site may lead the browser to a route that links, after it has
 * logged the browser in at the provider as an attacker. The link of this page is followed as a `same-origin` request.
 */
function askBeforeLink (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply, provider: ProviderClient
): FastifyReply {
  const error = new CrossSiteRequestError(
    `the request to add an account at provider "${provider.name}" came from another site and was not carried out`,
    { provider: provider.name, reason: 'link' })
  if (!isPageLoad(request)) throw error
  const { code, statusCode, reason } = error
  logOf(request).warn({ event: 'link_refused', provider: provider.name, err: errorForLog(error) }, error.message)
  const here = safeReturnTo(requestedPath(context, request), context.config.baseUrl())
  const { title, message } = describeError(code, statusCode, provider.config.title, reason)
  const actions = [{ href: publicPath(context, '/'), label: 'Back to the app' }]
  if (here !== undefined) actions.unshift({ href: here, label: `Continue to ${provider.config.title}` })
  const data = { code, statusCode, title, message, requestId: request.id, actions }
  return sendPage(context, reply.code(statusCode), 'error', data)
}

const PROXY_HEADERS = ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-real-ip']

// A browser keeps the cookies of localhost and 127.0.0.1 apart: Fastify logs the second, developers type the first, and
// the login would end in FST_OAUTH_STATE_MISMATCH.
function warnOfOtherName (context: PluginContext, request: FastifyRequest): void {
  const base = context.config.baseUrl()
  const { host } = request
  if (host === base.host) return
  const { hostname } = request
  if (hostname === base.hostname || !isLoopback(hostname) || !isLoopback(base.hostname)) return
  // A proxy on this machine that sets Host to its own name for the app: it listens on another port, or adds a header.
  if (host.slice(hostname.length) !== base.host.slice(base.hostname.length)) return
  if (PROXY_HEADERS.some(name => request.headers[name] !== undefined)) return
  logOf(request).warn(
    { event: 'login_host_differs' },
    `this login starts at ${hostname} and comes back to ${base.hostname}, where the browser has none of its ` +
      `cookies; open the app at ${base.origin}, as baseUrl has it`
  )
}

/** `GET /login` and `GET /login/:provider`. With several providers and none named, a page with one link for each. */
export async function loginRoute (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply
): Promise<FastifyReply> {
  const { provider: named } = request.params as { provider?: string }
  const { returnTo, stepUp } = request.query as { returnTo?: string, stepUp?: string }
  const display = displayOf(request)
  const back = readReturnTo(request, returnTo, context.config.baseUrl())
  const provider = named === undefined ? soleLogin(context) : visitorsProvider(context, named)
  if (provider === undefined) {
    const providers = interactiveProviders(context).map(({ name, config }) => ({
      href: loginPath(context, name, back, display),
      label: config.title
    }))
    return sendPage(context, reply, 'chooser', { providers })
  }
  if (provider.config.grantType === 'password') return sendLoginForm(context, reply, provider, { returnTo: back })
  const params = forwardedParams(request, provider)
  const options = {
    ...(params !== undefined && { params }),
    ...(back !== undefined && { returnTo: back }),
    ...(display !== undefined && { display }),
    ...(stepUp !== undefined && namedStepUp(context, request))
  }
  return await sendToProvider(context, request, reply, provider, options)
}

/** The parameters of a login route's query that go on to the provider; `prompt` is passed on as `none` alone. */
export function forwardedParams (
  request: FastifyRequest, { config }: ProviderClient
): Record<string, string> | undefined {
  const query = request.query as Record<string, unknown>
  let params: Record<string, string> | undefined = query.prompt === 'none' ? { prompt: 'none' } : undefined
  for (const param of config.forwardedLoginParams) {
    const value = query[param]
    if (typeof value === 'string') params = { ...params, [param]: value }
  }
  return params
}

function interactiveProviders (context: PluginContext): ProviderClient[] {
  return [...context.providers.values()].filter(isInteractive)
}

/** The provider that `/login` means, if there is no choice to make. */
function soleLogin (context: PluginContext): ProviderClient | undefined {
  const { defaultProvider } = context.config
  const chosen = defaultProvider === undefined ? undefined : context.providers.get(defaultProvider)
  if (chosen !== undefined && isInteractive(chosen)) return chosen
  const all = interactiveProviders(context)
  return all.length === 1 ? all[0] : undefined
}
