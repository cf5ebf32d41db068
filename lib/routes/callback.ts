import type { FastifyReply, FastifyRequest } from 'fastify'
import type { PluginContext } from '../context.ts'
import { InvalidIdTokenError } from '../errors.ts'
import { identify } from '../login/identity.ts'
import type { PendingLogin } from '../login/transaction.ts'
import { claimedError, parseAuthorizationResponse, stateOf } from '../oauth/authorization-response.ts'
import { codeGrant } from '../providers/grants.ts'
import type { ProviderClient } from '../providers/provider.ts'
import type { Account } from '../session/accounts.ts'
import { commitLogin, type Login } from '../session/bind-login.ts'
import { currentSession, sessionOf } from '../session/fastify-session.ts'
import { linkAccount } from '../session/link-account.ts'
import { shortHash } from '../util/random.ts'
import { readImplicitLogin, sendFragmentRelay } from './implicit-page.ts'
import { takeLoginCookie } from './login-cookie.ts'
import { publicPath } from './paths.ts'
import { callbackParams, isPageLoad, noStore, refuseEmbedded, refuseHead } from './reply.ts'
import { sendError } from './send-error.ts'
import { visitorsProvider } from './visitors-provider.ts'

/** Callbacks that an account remembers, and characters of the path that each led to. */
const MAX_CALLBACKS = 3
const MAX_CALLBACK_PATH = 256

/** `GET` and `POST` of the callback route: a page or JSON for every failure, and a way on. */
export async function callbackRoute (
  context: PluginContext,
  request: FastifyRequest,
  reply: FastifyReply,
  name: string
): Promise<FastifyReply> {
  let returnTo: string | undefined
  try {
    return await answerCallback(context, request, reply, visitorsProvider(context, name), pending => {
      returnTo = pending.returnTo
    })
  } catch (error) {
    return await sendError(context, request, reply, error, { provider: name, returnTo })
  }
}

/**
 * Finishes a login that the browser comes back from (RFC 6749, section 4.1.2): whatever happens, its state is used up.
 * HEAD finishes nothing; a page that is loaded once more where its login is the session's leads on to where that login
 * led.
 * @throws FST_OAUTH_STATE_MISMATCH, FST_OAUTH_AUTHORIZATION_FAILED, FST_OAUTH_INVALID_TOKEN_RESPONSE,
 *   FST_OAUTH_INVALID_ID_TOKEN, FST_OAUTH_PROVIDER_UNAVAILABLE, FST_OAUTH_STORE_UNAVAILABLE, and what `onTokens` and
 *   `onLogin` throw
 */
export async function handleCallback (
  context: PluginContext,
  request: FastifyRequest,
  reply: FastifyReply,
  provider: ProviderClient
): Promise<FastifyReply> {
  return await answerCallback(context, request, reply, provider)
}

async function answerCallback (
  context: PluginContext,
  request: FastifyRequest,
  reply: FastifyReply,
  provider: ProviderClient,
  onTaken?: (pending: PendingLogin) => void
): Promise<FastifyReply> {
  noStore(reply)
  if (request.method === 'HEAD') return refuseHead(reply)
  const params = callbackParams(request)
  // An implicit answer is in the fragment, which only the browser sees; some providers put an error into the query.
  const implicit = provider.config.grantType === 'implicit' && request.method === 'GET'
  if (implicit && stateOf(params) === undefined && !params.has('error')) return sendFragmentRelay(reply)
  let pending: PendingLogin
  try {
    pending = await takePending(context, request, reply, provider, params)
  } catch (error) {
    const location = finishedBefore(context, request, provider, params)
    if (location === undefined) throw error
    request.log.info(
      { provider: provider.name },
      'the callback of a login that is finished was loaded once more; nothing was done'
    )
    return reply.redirect(location, 302)
  }
  onTaken?.(pending)
  return await finishLogin(context, request, reply, provider, pending)
}

async function takePending (
  context: PluginContext,
  request: FastifyRequest,
  reply: FastifyReply,
  provider: ProviderClient,
  params: URLSearchParams
): Promise<PendingLogin> {
  // First: a load that is refused must not use up the login that it would answer.
  refuseEmbedded(request)
  sessionOf(request)
  const state = stateOf(params)
  const cookie = takeLoginCookie(context, request, reply, state, provider.config.responseMode)
  return await context.pendingLogins.consume(
    state,
    cookie,
    provider.name,
    provider.config.identity,
    claimedError(params)
  )
}

/**
 * Where a login led, if this page load is of its callback, and the session has that login. A person who reloads has
 * nothing to mend.
 */
function finishedBefore (
  context: PluginContext,
  request: FastifyRequest,
  { name }: ProviderClient,
  params: URLSearchParams
): string | undefined {
  const state = stateOf(params)
  if (!isPageLoad(request) || state === undefined || params.has('error')) return undefined
  const account = context.sessionLogins.of(currentSession(request))?.accounts[name]
  if (account === undefined || context.records.isDeleted(account.recordId)) return undefined
  const hash = shortHash(state)
  const callbacks = Array.isArray(account.callbacks) ? account.callbacks : []
  const finished = callbacks.find(callback => callback?.state === hash)
  return finished === undefined ? undefined : finished.returnTo ?? publicPath(context, '/')
}

/** What a login remembers of its callback, and of those before it by which the same user came. */
function callbacksOf (
  context: PluginContext,
  request: FastifyRequest,
  { name }: ProviderClient,
  { state, returnTo }: PendingLogin,
  { user }: Login
): Account['callbacks'] {
  const before = context.sessionLogins.of(sessionOf(request))?.accounts[name]
  const earlier = user !== null && before?.user?.id === user.id ? before.callbacks ?? [] : []
  const short = returnTo.length <= MAX_CALLBACK_PATH
  return [{ state: shortHash(state), ...(short && { returnTo }) }, ...earlier].slice(0, MAX_CALLBACKS)
}

async function finishLogin (
  context: PluginContext,
  request: FastifyRequest,
  reply: FastifyReply,
  provider: ProviderClient,
  pending: PendingLogin
): Promise<FastifyReply> {
  const params = callbackParams(request)
  const metadata = await provider.metadata()
  const expected = {
    provider: provider.name,
    state: pending.state,
    issuer: provider.config.issuer === undefined ? undefined : metadata.issuer,
    issuerPromised: metadata.authorization_response_iss_parameter_supported === true
  }
  const login = provider.config.grantType === 'implicit'
    ? await readImplicitLogin(context, provider, pending, params, expected)
    : await exchange(provider, pending, parseAuthorizationResponse(params, expected).code)
  login.callbacks = callbacksOf(context, request, provider, pending, login)
  const { linkTo } = pending
  if (linkTo === undefined) await commitLogin(context, request, reply, provider, login)
  else await linkAccount(context, request, reply, provider, login, { ...pending, linkTo })
  return reply.sent ? reply : reply.redirect(pending.returnTo, 302)
}

async function exchange (provider: ProviderClient, pending: PendingLogin, code: string): Promise<Login> {
  const { tokens, scopeChange } = await codeGrant(provider, {
    code,
    redirectUri: pending.redirectUri,
    codeVerifier: pending.codeVerifier,
    scope: pending.scope
  })
  if (pending.nonce !== undefined && tokens.idToken === undefined) {
    throw new InvalidIdTokenError(`provider "${provider.name}" sent no ID token though "openid" was asked for`, {
      provider: provider.name,
      reason: 'missing'
    })
  }
  return { tokens, scopeChange, ...await identify(provider, tokens, pending) }
}
