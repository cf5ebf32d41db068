import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ProviderClient } from '../client/provider-client.ts'
import { codeGrant } from '../client/grants.ts'
import { InvalidIdTokenError } from '../errors.ts'
import { claimedError, parseAuthorizationResponse, stateOf } from '../protocol/authorization-response.ts'
import { shortHash } from '../protocol/random.ts'
import type { Account, SessionObject } from '../session/accounts.ts'
import type { PendingLogin } from '../session/pending-logins.ts'
import { commitLogin, linkAccount, type Login } from './commit-login.ts'
import { callbackParams, isPageLoad, noStore, refuseEmbedded, refuseHead, sessionOf } from './http.ts'
import { takeLoginCookie } from './login-cookie.ts'
import { identify } from './identity.ts'
import { readImplicitLogin, sendFragmentRelay } from './implicit.ts'
import { sendProblem } from './problem.ts'
import { publicPath, visitorsProvider, type Runtime } from './runtime.ts'

/** Callbacks that an account remembers, and characters of the path that each led to. */
const MAX_CALLBACKS = 3
const MAX_CALLBACK_PATH = 256

/** `GET` and `POST` of the callback route: a page or JSON for every failure, and a way on. */
export async function callbackRoute (runtime: Runtime, request: FastifyRequest, reply: FastifyReply, name: string): Promise<FastifyReply> {
  let returnTo: string | undefined
  try {
    return await answerCallback(runtime, request, reply, visitorsProvider(runtime, name), (pending) => { returnTo = pending.returnTo })
  } catch (error) {
    return await sendProblem(runtime, request, reply, error, { provider: name, returnTo })
  }
}

/**
 * Finishes a login that the browser comes back from (RFC 6749, section 4.1.2): whatever happens, its state is used up. HEAD
 * finishes nothing; a page that is loaded once more where its login is the session's leads on to where that login led.
 * @throws FST_OAUTH_STATE_MISMATCH, FST_OAUTH_AUTHORIZATION_FAILED, FST_OAUTH_INVALID_TOKEN_RESPONSE, FST_OAUTH_INVALID_ID_TOKEN,
 *   FST_OAUTH_PROVIDER_UNAVAILABLE, FST_OAUTH_STORE_UNAVAILABLE, and what `onTokens` and `onLogin` throw
 */
export async function handleCallback (runtime: Runtime, request: FastifyRequest, reply: FastifyReply, provider: ProviderClient): Promise<FastifyReply> {
  return await answerCallback(runtime, request, reply, provider)
}

async function answerCallback (
  runtime: Runtime, request: FastifyRequest, reply: FastifyReply, provider: ProviderClient, onTaken?: (pending: PendingLogin) => void
): Promise<FastifyReply> {
  noStore(reply)
  if (request.method === 'HEAD') return refuseHead(reply)
  const params = callbackParams(request)
  // An implicit answer is in the fragment, which only the browser sees; some providers put an error into the query.
  const implicit = provider.config.grantType === 'implicit' && request.method === 'GET'
  if (implicit && stateOf(params) === undefined && !params.has('error')) return sendFragmentRelay(reply)
  let pending: PendingLogin
  try {
    pending = await takePending(runtime, request, reply, provider, params)
  } catch (error) {
    const location = finishedBefore(runtime, request, provider, params)
    if (location === undefined) throw error
    request.log.info({ provider: provider.name }, 'the callback of a login that is finished was loaded once more; nothing was done')
    return reply.redirect(location, 302)
  }
  onTaken?.(pending)
  return await finishLogin(runtime, request, reply, provider, pending)
}

async function takePending (runtime: Runtime, request: FastifyRequest, reply: FastifyReply, provider: ProviderClient, params: URLSearchParams): Promise<PendingLogin> {
  // First: a load that is refused must not use up the login that it would answer.
  refuseEmbedded(request)
  sessionOf(request)
  const state = stateOf(params)
  const cookie = takeLoginCookie(runtime, request, reply, state, provider.config.responseMode)
  return await runtime.pendingLogins.take(state, cookie, provider.name, provider.config.identity, claimedError(params))
}

/** Where a login led, if this page load is of its callback, and the session has that login. A person who reloads has nothing to mend. */
function finishedBefore (runtime: Runtime, request: FastifyRequest, { name }: ProviderClient, params: URLSearchParams): string | undefined {
  const state = stateOf(params)
  if (!isPageLoad(request) || state === undefined || params.has('error')) return undefined
  const account = runtime.sessionLogins.of(request.session as unknown as SessionObject | null)?.accounts[name]
  if (account === undefined || runtime.records.isGone(account.record)) return undefined
  const hash = shortHash(state)
  const callbacks = Array.isArray(account.callbacks) ? account.callbacks : []
  const finished = callbacks.find(callback => callback?.state === hash)
  return finished === undefined ? undefined : finished.returnTo ?? publicPath(runtime, '/')
}

/** What a login remembers of its callback, and of those before it by which the same user came. */
function callbacksOf (runtime: Runtime, request: FastifyRequest, { name }: ProviderClient, { state, returnTo }: PendingLogin, { user }: Login): Account['callbacks'] {
  const before = runtime.sessionLogins.of(sessionOf(request))?.accounts[name]
  const earlier = user !== null && before?.user?.id === user.id ? before.callbacks ?? [] : []
  const short = returnTo.length <= MAX_CALLBACK_PATH
  return [{ state: shortHash(state), ...(short && { returnTo }) }, ...earlier].slice(0, MAX_CALLBACKS)
}

async function finishLogin (runtime: Runtime, request: FastifyRequest, reply: FastifyReply, provider: ProviderClient, pending: PendingLogin): Promise<FastifyReply> {
  const params = callbackParams(request)
  const metadata = await provider.metadata()
  const expected = {
    provider: provider.name,
    state: pending.state,
    issuer: provider.config.issuer === undefined ? undefined : metadata.issuer,
    issuerPromised: metadata.authorization_response_iss_parameter_supported === true
  }
  const login = provider.config.grantType === 'implicit'
    ? await readImplicitLogin(runtime, provider, pending, params, expected)
    : await exchange(provider, pending, parseAuthorizationResponse(params, expected).code)
  login.callbacks = callbacksOf(runtime, request, provider, pending, login)
  const { linkTo } = pending
  if (linkTo === undefined) await commitLogin(runtime, request, reply, provider, login)
  else await linkAccount(runtime, request, reply, provider, login, { ...pending, linkTo })
  return reply.sent ? reply : reply.redirect(pending.returnTo, 302)
}

async function exchange (provider: ProviderClient, pending: PendingLogin, code: string): Promise<Login> {
  const { tokens, scopeChange } = await codeGrant(provider, { code, redirectUri: pending.redirectUri, codeVerifier: pending.codeVerifier, scope: pending.scope })
  if (pending.nonce !== undefined && tokens.idToken === undefined) {
    throw new InvalidIdTokenError(`provider "${provider.name}" sent no ID token though "openid" was asked for`, { provider: provider.name, reason: 'missing' })
  }
  return { tokens, scopeChange, ...await identify(provider, tokens, pending) }
}
