import type { FastifyReply, FastifyRequest } from 'fastify'
import type { PluginContext } from '../context.ts'
import { StateMismatchError } from '../errors.ts'
import type { ProviderClient } from '../providers/provider.ts'
import { loginIdOf } from '../session/accounts.ts'
import { membersOfOthers } from '../session/context.ts'
import { announceLogout, type EndedAccount, endLogin, PROVIDER_MS, revokeAccount } from '../session/end-login.ts'
import { markEnded } from '../session/ended-sessions.ts'
import {
  currentSession, destroySession, regenerateSession, type SessionObject, sessionOf
} from '../session/fastify-session.ts'
import { clearSessionCookie } from '../session/session-cookie.ts'
import { detailsOf } from '../tokens/account-details.ts'
import { errorForLog } from '../util/logger.ts'
import { randomToken, safeEqual, shortHash } from '../util/random.ts'
import { waitAtMost, withTimeout } from '../util/timeout.ts'
import { channels, type LogoutTrace, traced } from '../util/tracing.ts'
import { isNavigation, refuseCrossSite, wantsHtml } from './fetch-metadata.ts'
import { field } from './form-fields.ts'
import { loginCookieOptions } from './login-cookie.ts'
import { sendOnward } from './onward-page.ts'
import { publicPath, routePath } from './paths.ts'
import { noStore } from './reply.ts'
import { MAX_LOGOUT_RETURN_TO, readReturnTo, safeReturnTo } from './return-to.ts'
import { sendPage } from './send-html.ts'
import { leadOn } from './strict-cookie.ts'

/** What is left to do after a logout. */
export interface LogoutResult {
  /** Where the browser has to go so that the provider ends its session too. */
  endSessionUrl?: string
}

/** `POST /logout`: ends the session, then the provider's. */
export async function logoutRoute (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply
): Promise<FastifyReply> {
  refuseCrossSite(request, context.config.baseUrl())
  return await logoutAndRedirect(context, request, reply)
}

/**
 * Ends the session and sends the browser on: to the provider's end-session endpoint if there is one, else to
 * `returnTo`.
 */
export async function logoutAndRedirect (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply
): Promise<FastifyReply> {
  noStore(reply)
  const base = context.config.baseUrl()
  const returnTo =
    readReturnTo(request, field(request, 'returnTo'), base, MAX_LOGOUT_RETURN_TO) ?? publicPath(context, '/')
  const { endSessionUrl } = await logout(context, request, reply, returnTo)
  if (reply.sent) return reply // by onLogout
  const location = endSessionUrl ?? returnTo
  if (request.headers.accept?.includes('application/json') === true && !wantsHtml(request)) {
    return reply.send({ loggedOut: true, location })
  }
  if (isNavigation(request) && new URL(location, base).origin !== base.origin) {
    return sendToEndSession(context, reply, location)
  }
  return reply.redirect(location, 302)
}

/**
 * Leads the browser on to another origin from a page. Chromium holds a redirect that answers a form's POST to the
 * `form-action` of the page that the form was on (Content Security Policy Level 3, section 6.4.1): `'self'` would end
 * the logout there. A refresh is not part of the form's submission.
 */
function sendToEndSession (context: PluginContext, reply: FastifyReply, href: string): FastifyReply {
  const message = 'You are logged out of this site. The login service ends its own session next.'
  return sendOnward(context, reply, { title: 'Logging out', message, href })
}

/** `GET /logout` asks first: a link, an image or another site must not log the user out. */
export async function logoutPage (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply
): Promise<FastifyReply> {
  const login = context.sessionLogins.of(sessionOf(request))
  const home = publicPath(context, '/')
  if (login === undefined) {
    const actions = [{ href: home, label: 'Continue' }, { href: routePath(context, 'login'), label: 'Log in' }]
    return sendPage(context, reply, 'loggedOut', { actions })
  }
  const account = login.accounts[login.active]
  const name = account && detailsOf(account).user?.name
  const returnTo = safeReturnTo(field(request, 'returnTo'), context.config.baseUrl(), MAX_LOGOUT_RETURN_TO)
  const data = {
    action: routePath(context, 'logout'),
    cancelHref: home,
    ...(name !== undefined && { userName: name }),
    ...(returnTo !== undefined && { returnTo })
  }
  // Browsers check form-action on every redirect after the post, also on that of an `onLogout` hook to any https URL.
  const endSessionEndpoints = [...context.providers.values()]
    .map(provider => provider.knownMetadata?.end_session_endpoint)
    .filter(url => url !== undefined)
  return sendPage(context, reply, 'logoutConfirmation', data, ["'self'", 'https:', ...endSessionEndpoints])
}

/**
 * Ends the login of a request: the tokens first, so that no late save brings them back; then the session; then tokens
 * are revoked at the provider.
 * @param returnTo where the browser comes back to after the provider's own logout
 * @throws FST_OAUTH_STORE_UNAVAILABLE: the user is still logged in
 */
export function logout (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply | undefined, returnTo?: string
): Promise<LogoutResult> {
  if (!channels.logout.hasSubscribers) return endOwnLogin(context, request, reply, returnTo)
  const session = currentSession(request)
  const login = context.sessionLogins.of(session)
  const trace: LogoutTrace = { reason: 'logout', ...(login !== undefined && { provider: login.active }) }
  return traced(channels.logout, trace, login === undefined ? 'no_login' : 'succeeded', async () => {
    const result = await endOwnLogin(context, request, reply, returnTo)
    trace.ended = login === undefined ? 0 : 1
    return result
  })
}

async function endOwnLogin (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply | undefined, returnTo: string | undefined
): Promise<LogoutResult> {
  const session = currentSession(request) === null ? null : sessionOf(request)
  const login = context.sessionLogins.of(session)
  if (session === null || login === undefined) return {}
  const revoke = (account: EndedAccount) => revokeAccount(context, account)
  const ended = await endLogin(context, login, { sessionId: session.sessionId, onGone: revoke }) ?? []
  await leaveSession(context, request, reply, session)

  await waitAtMost(Promise.all(ended.map(revoke)), PROVIDER_MS)
  const accounts = Object.entries(login.accounts)
    .map(([provider, account]) => ({ provider, user: detailsOf(account).user }))
  await announceLogout(context, loginIdOf(login), request, reply, 'logout', accounts)
  const tokens = ended.find(({ name, record }) => name === login.active && record !== undefined)?.record?.tokens
  const active = context.providers.get(login.active)
  const endSessionUrl = active && await endSessionUrlOf(context, reply, active, tokens?.idToken, returnTo)
  return endSessionUrl === undefined ? {} : { endSessionUrl }
}

/** Ends the session. If it has another registration's login, only that login is kept, under a new session id. */
async function leaveSession (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply | undefined, session: SessionObject
): Promise<void> {
  const others = membersOfOthers(context, session)
  await markEnded(context, request, { movesOn: reply !== undefined || others.length > 0 })
  if (others.length > 0) return await regenerateSession(request, others)
  await destroySession(request)
  if (reply !== undefined) clearSessionCookie(request, reply, session)
}

/** Name of the cookie that belongs to a logout at the provider. */
const logoutCookie = ({ config }: PluginContext) =>
  config.decorator === 'oauth' ? 'oauth-logout' : `oauth-logout-${config.decorator}`

/**
 * Where the browser has to go so that the provider ends its session too (OpenID Connect RP-Initiated Logout, section
 * 2). A provider without a usable endpoint is no failure.
 */
async function endSessionUrlOf (
  context: PluginContext, reply: FastifyReply | undefined, provider: ProviderClient, idTokenHint: string | undefined,
  returnTo = ''
): Promise<string | undefined> {
  const { config, log } = context
  const loggedOut = config.routes === false ? undefined : config.baseUrl().origin + routePath(context, 'loggedOut')
  const postLogoutRedirectUri = provider.config.postLogoutRedirectUri ?? loggedOut
  const state = randomToken()
  const asked = () => provider.endSessionUrl({ idTokenHint, postLogoutRedirectUri, state })
  const url = await withTimeout(asked, PROVIDER_MS).catch((error: unknown) => {
    log.warn(
      { event: 'provider_logout_failed', provider: provider.name, err: errorForLog(error) },
      'the user is logged out here, and was not sent to log out at the provider, whose end-session endpoint cannot ' +
        'be used'
    )
    return undefined
  })
  if (url !== undefined && reply !== undefined && postLogoutRedirectUri !== undefined) {
    // In base64: percent-encoding could make it three times as long, and browsers keep 4 KB.
    const cookie = `${shortHash(state)}.${Buffer.from(returnTo).toString('base64url')}`
    reply.setCookie(logoutCookie(context), cookie, loginCookieOptions(context))
  }
  return url
}

/**
 * `GET /logout/callback`: the browser is back from the provider's own logout (OpenID Connect RP-Initiated Logout,
 * section 3). Nothing is changed here, and the cookie alone says where to go; so an answer without any `state`, which
 * some providers leave out, is followed too. One with another `state` belongs to another logout.
 */
export async function loggedOutRoute (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply
): Promise<FastifyReply> {
  noStore(reply)
  const { state = '' } = request.query as { state?: string | string[] }
  const [, expected, remembered = ''] = /^([^.]+)\.(.*)$/.exec(request.cookies[logoutCookie(context)] ?? '') ?? []
  reply.clearCookie(logoutCookie(context), loginCookieOptions(context))
  // A parameter without a value is none (RFC 6749, section 3.1).
  const isOwn = state === '' || (typeof state === 'string' && safeEqual(shortHash(state), expected ?? ''))
  if (expected === undefined || !isOwn) {
    const message = 'this is not the answer to a logout that this browser started; nothing was done'
    throw new StateMismatchError(message, { reason: 'logout' })
  }
  const returnTo = Buffer.from(remembered, 'base64url').toString()
  const path = safeReturnTo(returnTo, context.config.baseUrl(), MAX_LOGOUT_RETURN_TO) ?? publicPath(context, '/')
  return leadOn(context, request, reply, path)
}
