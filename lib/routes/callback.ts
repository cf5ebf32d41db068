import type { FastifyReply, FastifyRequest } from 'fastify'
import type { PluginContext } from '../context.ts'
import { LoginRequiredError, type OAuthError } from '../errors.ts'
import { finishLogin, isDeclinedSilently, type LoginTokens } from '../login/finish.ts'
import { identify } from '../login/identity.ts'
import { claimedParameters } from '../login/secured-response.ts'
import { kindOfState } from '../login/state-kind.ts'
import { begunAt, type PendingLogin } from '../login/transaction.ts'
import { claimedError, stateOf } from '../oauth/authorization-response.ts'
import { isSecuredMode } from '../oauth/response-mode.ts'
import type { ProviderClient } from '../providers/provider.ts'
import { commitLogin, type Login } from '../session/bind-login.ts'
import { sessionOf } from '../session/fastify-session.ts'
import { linkAccount } from '../session/link-account.ts'
import { type AccountDetails, detailsOf } from '../tokens/account-details.ts'
import { errorForLog, logOf } from '../util/logger.ts'
import { shortHash } from '../util/random.ts'
import { type CallbackTrace, channels, traced } from '../util/tracing.ts'
import { isFramed, isNavigation, refuseEmbedded, wantsHtml } from './fetch-metadata.ts'
import { callbackParams } from './form-fields.ts'
import { sendFragmentRelay } from './implicit-page.ts'
import { cookieOfResponse, takePendingLogin } from './login-cookie.ts'
import { tellOpener } from './popup.ts'
import { publicPath } from './paths.ts'
import { relayPostedResponse } from './posted-response.ts'
import { isGetOrPost, noStore, refuseMethod } from './reply.ts'
import { sendError } from './send-error.ts'
import { lackOfLogin, notGiven, stepUpPath } from './step-up.ts'
import { leadOn, loadAgain } from './strict-cookie.ts'
import { visitorsProvider } from './visitors-provider.ts'

/** Callbacks that an account remembers, and characters of the path that each led to, if not to the start page. */
const MAX_CALLBACKS = 3
const MAX_CALLBACK_PATH = 256

/** What is known of the login that a response belongs to, for the answer to an error. */
interface KnownLogin extends Partial<Pick<PendingLogin, 'returnTo' | 'stepUp' | 'popup' | 'linkTo'>> {
  /** How it went, if that is more than an error or a page that leads on. */
  outcome?: CallbackTrace['outcome']
}

/** `GET` and `POST` of the callback route: a page or JSON for every failure, and a way on. */
export async function callbackRoute (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply, name: string
): Promise<FastifyReply> {
  const known: KnownLogin = {}
  try {
    return await handleCallback(context, request, reply, visitorsProvider(context, name), known)
  } catch (error) {
    const { returnTo, stepUp, popup, linkTo } = known
    const keepsLogin = linkTo !== undefined && stepUp === undefined
    const retryAt = stepUp && stepUpPath(context, name, stepUp, { returnTo, again: true })
    const about = { event: 'login_failed', provider: name, returnTo, retryAt, keepsLogin, popup } as const
    return await sendError(context, request, reply, error, about)
  }
}

/**
 * Finishes a login on a callback route of the app's own. An error is the app's, but for one in a popup or a frame: its
 * opener waits for it.
 * @throws as `handleCallback`
 */
export async function appCallback (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply, provider: ProviderClient
): Promise<FastifyReply> {
  const known: KnownLogin = {}
  try {
    return await handleCallback(context, request, reply, provider, known)
  } catch (error) {
    const { returnTo, popup } = known
    if (popup === undefined || reply.sent || !wantsHtml(request)) throw error
    return await sendError(context, request, reply, error, {
      event: 'login_failed', provider: provider.name, returnTo, popup
    })
  }
}

/**
 * Answers an authorization response (RFC 6749, section 4.1.2): finishes the login, which is used up whatever happens,
 * and redirects. A request that is neither GET nor POST finishes nothing. A callback that is loaded again, in the
 * session that it logged in, redirects to where its login led; a login that is lost starts again, once.
 * @param known is given what is known of the login that the response belongs to
 * @throws FST_OAUTH_STATE_MISMATCH, FST_OAUTH_AUTHORIZATION_FAILED, FST_OAUTH_INVALID_TOKEN_RESPONSE,
 *   FST_OAUTH_INVALID_ID_TOKEN, FST_OAUTH_PROVIDER_UNAVAILABLE, FST_OAUTH_STORE_UNAVAILABLE, and what `onTokens` and
 *   `onLogin` throw
 */
function handleCallback (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply, provider: ProviderClient,
  known: KnownLogin
): Promise<FastifyReply> {
  if (!channels.callback.hasSubscribers) return answerCallback(context, request, reply, provider, known)
  const trace: CallbackTrace = { provider: provider.name }
  return traced(channels.callback, trace, 'relayed',
    () => answerCallback(context, request, reply, provider, known).finally(() => {
      if (known.outcome !== undefined) trace.outcome = known.outcome
    }))
}

async function answerCallback (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply, provider: ProviderClient,
  known: KnownLogin
): Promise<FastifyReply> {
  noStore(reply)
  if (!isGetOrPost(request)) return refuseMethod(reply)
  const params = callbackParams(request)
  const isSecured = isSecuredMode(provider.config.responseMode)
  const claimed = isSecured ? await claimedParameters(provider, params) : params
  const state = stateOf(claimed)
  // An implicit response is in the fragment, which only the browser sees; some providers put an error into the query.
  const implicit = provider.config.grantType === 'implicit' && request.method === 'GET'
  if (implicit && state === undefined && !params.has('error')) return sendFragmentRelay(reply)
  const isPopup = state !== undefined && kindOfState(state) === 'popup'
  const framed = isPopup && isFramed(request)
  const again = loadAgain(context, request, reply, isPopup)
  if (again !== undefined) return await again
  if (isPostedElsewhere(request) && await relayPostedResponse(context, request, reply, provider, { params, state })) {
    return reply
  }
  let pending: PendingLogin
  if (isPopup) known.popup = framed ? 'frame' : 'window'
  try {
    // Before the login is taken: a request that is refused must not use it up.
    if (!framed) refuseEmbedded(request)
    sessionOf(request)
    pending = await takePendingLogin(context, request, reply, provider, state, claimedError(claimed))
  } catch (error) {
    const cookie = state === undefined ? undefined : cookieOfResponse(context, request, provider, state)
    if (cookie?.returnTo !== undefined) known.returnTo = cookie.returnTo
    const { recoverLogin } = await import('./lost-login.ts')
    const noteOutcome = (outcome: CallbackTrace['outcome']) => { known.outcome = outcome }
    return await recoverLogin(context, request, reply, provider, { params: claimed, cookie, error, noteOutcome })
  }
  const { returnTo, stepUp, popup, linkTo } = pending
  Object.assign(known, { returnTo, stepUp, popup, linkTo })
  // Who made up the state may have written that it is a popup's.
  if (framed && popup !== 'frame') refuseEmbedded(request)
  return await completeLogin(context, request, reply, provider, pending, params, known)
}

/**
 * Gets and checks what a login brings, binds it to the session, and leads the browser on.
 * @param params of the response
 * @throws as `handleCallback`
 */
async function completeLogin (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply, provider: ProviderClient,
  pending: PendingLogin, params: URLSearchParams, known: KnownLogin
): Promise<FastifyReply> {
  let granted: LoginTokens
  try {
    granted = await finishLogin(provider, pending, params, { now: context.clock.now() })
  } catch (error) {
    if (!isDeclinedSilently(pending, error)) throw error
    known.outcome = 'declined'
    return await answerDeclined(context, request, reply, pending, error)
  }
  // RFC 6749, section 4.2.2: none is issued in an implicit response.
  if (provider.config.grantType === 'implicit') delete granted.tokens.refreshToken
  const { tokens, scopeChange, dpopKey, resource, callbackParams } = granted
  const { user, claims, identityProven, identity } = await identify(provider, granted, pending.scope)
  const login: Login = {
    tokens,
    scopeChange,
    dpopKey,
    resource,
    callbackParams,
    user,
    claims,
    identityProven,
    identity,
    begunAt: begunAt(pending),
    callbacks: callbacksOf(context, request, provider, pending, user)
  }
  const { returnTo, stepUp, popup, linkTo } = pending
  if (linkTo === undefined) await commitLogin(context, request, reply, provider, login)
  else await linkAccount(context, request, reply, provider, login, { ...pending, linkTo })
  known.outcome = linkTo === undefined ? 'succeeded' : 'linked'
  if (reply.sent) return reply
  const lack = stepUp && lackOfLogin(provider, stepUp, { scope: login.tokens.scope, claims: login.claims })
  if (lack !== undefined) known.outcome = 'failed'
  // The guard would send the browser back to the provider, in circles.
  if (lack !== undefined) throw notGiven(provider.name, stepUp!, lack)
  return popup === undefined
    ? leadOn(context, request, reply, returnTo)
    : await tellOpener(context, reply, popup, { outcome: 'logged_in', provider: provider.name, returnTo })
}

/** Whether a page of another site made the browser post the response; in a frame no page of ours could be shown. */
function isPostedElsewhere (request: FastifyRequest): boolean {
  const { method, headers } = request
  return method === 'POST' && headers['sec-fetch-site'] === 'cross-site' && isNavigation(request) && !isFramed(request)
}

/**
 * Answers a login with `prompt=none` for which the provider would have to ask the user: no failure, and a login that
 * there was stays as it was.
 */
async function answerDeclined (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply, { provider, returnTo, popup }: PendingLogin,
  error: OAuthError
): Promise<FastifyReply> {
  const { oauthError } = error
  const message = 'the provider has no login of this user that it could use without a question'
  logOf(request).info({ event: 'silent_login_declined', provider, err: errorForLog(error) }, message)
  if (popup !== undefined) {
    const { code } = new LoginRequiredError(message)
    return await tellOpener(context, reply, popup, { outcome: 'error', provider, code, oauthError, returnTo })
  }
  if (wantsHtml(request)) return leadOn(context, request, reply, returnTo)
  throw new LoginRequiredError(`${message}; log in with a page load`, { provider, oauthError })
}

/** What an account remembers of its callbacks, for `recoverLogin`: this one, and those of the same user before it. */
function callbacksOf (
  context: PluginContext, request: FastifyRequest, { name }: ProviderClient, { state, returnTo }: PendingLogin,
  user: Login['user']
): AccountDetails['callbacks'] {
  const account = context.sessionLogins.of(sessionOf(request))?.accounts[name]
  const before = account && detailsOf(account)
  const earlier = user !== null && before?.user?.id === user.id ? before.callbacks ?? [] : []
  const isNoted = returnTo !== publicPath(context, '/') && returnTo.length <= MAX_CALLBACK_PATH
  return [{ state: shortHash(state), ...(isNoted && { returnTo }) }, ...earlier].slice(0, MAX_CALLBACKS)
}
