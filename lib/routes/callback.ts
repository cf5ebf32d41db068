import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ProviderClient } from '../client/provider-client.ts'
import { codeGrant } from '../client/grants.ts'
import { InvalidIdTokenError } from '../errors.ts'
import { parseAuthorizationResponse, stateOf } from '../protocol/authorization-response.ts'
import type { PendingLogin } from '../session/pending-logins.ts'
import { commitLogin, linkAccount, type Login } from './commit-login.ts'
import { callbackParams, noStore, refuseEmbedded, sessionOf } from './http.ts'
import { takeLoginCookie } from './login-cookie.ts'
import { identify } from './identity.ts'
import { readImplicitLogin, sendFragmentRelay } from './implicit.ts'
import { sendProblem } from './problem.ts'
import { providerOf, type Runtime } from './runtime.ts'

/** `GET` and `POST` of the callback route: a page or JSON for every failure, and a way on. */
export async function callbackRoute (runtime: Runtime, request: FastifyRequest, reply: FastifyReply, name: string): Promise<FastifyReply> {
  let pending: PendingLogin | undefined
  try {
    const provider = providerOf(runtime, name)
    // An implicit answer is in the fragment, which only the browser sees.
    if (provider.config.grantType === 'implicit' && request.method === 'GET' && stateOf(callbackParams(request)) === undefined) return sendFragmentRelay(reply)
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
  // First: a load that is refused must not use up the login that it would answer.
  refuseEmbedded(request)
  sessionOf(request)
  const state = stateOf(callbackParams(request))
  const cookie = takeLoginCookie(runtime, request, reply, state, provider.config.responseMode)
  return await runtime.pendingLogins.take(state, cookie, provider.name, provider.config.identity)
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
  if (pending.linkTo === undefined) await commitLogin(runtime, request, reply, provider, login)
  else await linkAccount(runtime, request, reply, provider, login, pending.linkTo)
  return reply.sent ? reply : reply.redirect(pending.returnTo, 302)
}

async function exchange (provider: ProviderClient, pending: PendingLogin, code: string): Promise<Login> {
  const { tokens, scopeChange } = await codeGrant(provider, { code, redirectUri: pending.redirectUri, codeVerifier: pending.codeVerifier, scope: pending.scope })
  if (pending.nonce !== undefined && tokens.idToken === undefined) {
    throw new InvalidIdTokenError(`provider "${provider.name}" sent no ID token though "openid" was asked for`, { provider: provider.name, reason: 'missing' })
  }
  return { tokens, scopeChange, ...await identify(provider, tokens, pending) }
}
