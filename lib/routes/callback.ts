import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ProviderClient } from '../client/provider-client.ts'
import { codeGrant } from '../client/grants.ts'
import { InvalidIdTokenError } from '../errors.ts'
import { parseAuthorizationResponse, stateOf } from '../protocol/authorization-response.ts'
import type { TokenSet } from '../protocol/token-set.ts'
import { accountsOf, ttlOf, type Account, type SessionAccounts } from '../session/accounts.ts'
import type { PendingLogin } from '../session/pending-logins.ts'
import { callbackParams, noStore, sessionCall, sessionOf } from './http.ts'
import { takeLoginCookie } from './login-cookie.ts'
import { declareDead, forgetAccount } from './ended-sessions.ts'
import { revokeTokens } from './logout.ts'
import { identify, type Identity } from './identity.ts'
import { sendProblem } from './problem.ts'
import { providerOf, type Runtime } from './runtime.ts'

/** What a login brought, before it is anybody's. */
interface Login extends Identity {
  tokens: TokenSet
}

/** `GET` and `POST` of the callback route: a page or JSON for every failure, and a way on. */
export async function callbackRoute (runtime: Runtime, request: FastifyRequest, reply: FastifyReply, name: string): Promise<FastifyReply> {
  let pending: PendingLogin | undefined
  try {
    const provider = providerOf(runtime, name)
    pending = await takePending(runtime, request, reply, provider)
    return await finishLogin(runtime, request, reply, provider, pending)
  } catch (error) {
    return await sendProblem(runtime, request, reply, error, { provider: name, returnTo: pending?.returnTo })
  }
}

/**
 * Finishes a login that the browser comes back from (RFC 6749, section 4.1.2): whatever happens, its state is used up.
 * @throws FST_OAUTH_STATE_MISMATCH, FST_OAUTH_AUTHORIZATION_FAILED, FST_OAUTH_INVALID_TOKEN_RESPONSE, FST_OAUTH_INVALID_ID_TOKEN,
 *   FST_OAUTH_PROVIDER_UNAVAILABLE, FST_OAUTH_STORE_UNAVAILABLE, and what `onTokens` and `onLogin` throw
 */
export async function handleCallback (runtime: Runtime, request: FastifyRequest, reply: FastifyReply, provider: ProviderClient): Promise<FastifyReply> {
  const pending = await takePending(runtime, request, reply, provider)
  return await finishLogin(runtime, request, reply, provider, pending)
}

async function takePending (runtime: Runtime, request: FastifyRequest, reply: FastifyReply, provider: ProviderClient): Promise<PendingLogin> {
  noStore(reply)
  sessionOf(request)
  const state = stateOf(callbackParams(request))
  const cookie = takeLoginCookie(runtime, request, reply, state, provider.config.responseMode)
  return await runtime.pendingLogins.take(state, cookie, provider.name)
}

async function finishLogin (runtime: Runtime, request: FastifyRequest, reply: FastifyReply, provider: ProviderClient, pending: PendingLogin): Promise<FastifyReply> {
  const metadata = await provider.metadata()
  const { code } = parseAuthorizationResponse(callbackParams(request), {
    provider: provider.name,
    state: pending.state,
    issuer: provider.config.issuer === undefined ? undefined : metadata.issuer,
    issuerPromised: metadata.authorization_response_iss_parameter_supported === true
  })
  const login = await exchange(provider, pending, code)
  await commitLogin(runtime, request, reply, provider, login)
  return reply.sent ? reply : reply.redirect(pending.returnTo, 302)
}

async function exchange (provider: ProviderClient, pending: PendingLogin, code: string): Promise<Login> {
  const { tokens } = await codeGrant(provider, { code, redirectUri: pending.redirectUri, codeVerifier: pending.codeVerifier, scope: pending.scope })
  if (pending.nonce !== undefined && tokens.idToken === undefined) {
    throw new InvalidIdTokenError(`provider "${provider.name}" sent no ID token though "openid" was asked for`, { provider: provider.name, reason: 'missing' })
  }
  return { tokens, ...await identify(provider, tokens, pending) }
}

/** Binds a login to a session of its own: a new id, nothing of the visitor before, the tokens in a record beside it. */
async function commitLogin (runtime: Runtime, request: FastifyRequest, reply: FastifyReply, provider: ProviderClient, login: Login): Promise<void> {
  const { tokens, user, claims } = login
  const { config, records, refresher, clock } = runtime
  const before = accountsOf(sessionOf(request))
  await declareDead(runtime, request)
  // A new id, so that nobody who knew the old one is logged in too; new contents, so that nothing they put there stays.
  await sessionCall(request, 'renewed', done => sessionOf(request).regenerate(config.keepSessionFields, done))
  const session = sessionOf(request)
  const ttl = ttlOf(session)
  const record = await records.create({ provider: provider.name, tokens, obtainedAt: clock.now(), ttl, user, identity: login.identity })
  const account: Account = { record, user: withoutClaims(user, claims), claims, scope: tokens.scope, loginAt: Math.floor(clock.now()) }
  session.oauth = { accounts: { [provider.name]: account }, active: provider.name }
  try {
    if (user !== null) {
      const sid = typeof claims.sid === 'string' ? { sid: claims.sid } : {}
      await runtime.userLogins.add(provider.name, user.id, { record, sessionId: session.sessionId, ...sid }, ttl)
    }
    await refresher.announce(record, records.live(record).record!, undefined, 'login')
    await config.onLogin?.(request, reply, { provider: provider.name, user, claims, tokens })
    await sessionCall(request, 'saved', done => sessionOf(request).save(done))
  } catch (error) {
    delete session.oauth
    await records.remove(record).catch(() => {})
    revokeTokens(runtime, provider, tokens)
    throw error
  }
  await forgetReplaced(runtime, request, before)
}

// Not revoked: providers revoke by grant, and the new login may stand on the same one.
async function forgetReplaced (runtime: Runtime, request: FastifyRequest, before: SessionAccounts | undefined): Promise<void> {
  try {
    for (const [name, account] of Object.entries(before?.accounts ?? {})) await forgetAccount(runtime, name, account)
  } catch {
    request.log.warn('the tokens of a login that was replaced could not be deleted; they expire with their time')
  }
}

function withoutClaims (user: Identity['user'], claims: Record<string, unknown>): Account['user'] {
  if (user === null || user.raw !== claims) return user
  const { raw: _claims, ...rest } = user
  return rest
}
