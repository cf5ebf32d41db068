import type { FastifyReply, FastifyRequest } from 'fastify'
import type { PluginContext } from '../context.ts'
import { InvalidCredentialsError, type OAuthError, TooManyAttemptsError } from '../errors.ts'
import { checkIdToken } from '../login/finish.ts'
import { identify } from '../login/identity.ts'
import { type Outcome, throttleKeys } from '../login/throttle.ts'
import { isClientRefused } from '../oauth/token-response.ts'
import { passwordGrant } from '../providers/grants.ts'
import type { ProviderClient } from '../providers/provider.ts'
import { commitLogin } from '../session/bind-login.ts'
import { sessionOf } from '../session/fastify-session.ts'
import { checkSessionCookie } from '../session/session-cookie.ts'
import { errorForLog, logOf } from '../util/logger.ts'
import { channels, traced } from '../util/tracing.ts'
import { refuseCrossSite, wantsHtml } from './fetch-metadata.ts'
import { field, postedField } from './form-fields.ts'
import { loginPath, publicPath } from './paths.ts'
import { noStore } from './reply.ts'
import { readReturnTo } from './return-to.ts'
import { sendError } from './send-error.ts'
import { sendPage } from './send-html.ts'

/** Sends the form of the password grant: legacy, for a provider without another grant. */
export function sendLoginForm (
  context: PluginContext,
  reply: FastifyReply,
  { name, config }: ProviderClient,
  data: { returnTo?: string | undefined, username?: string | undefined, error?: string }
): FastifyReply {
  const { returnTo, username, error } = data
  return sendPage(context, reply, 'loginForm', {
    action: loginPath(context, name),
    provider: config.title,
    ...(returnTo !== undefined && { returnTo }),
    ...(username !== undefined && { username }),
    ...(error !== undefined && { error })
  }, ["'self'"])
}

/**
 * `POST /login/:provider`: exchanges user name and password for tokens and does not keep them (RFC 6749, section 4.3).
 * Requests of other sites are refused; attempts are limited by user name, browser and address.
 * @param provider that of the URL, which takes a password
 */
export async function passwordRoute (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply, provider: ProviderClient
): Promise<FastifyReply> {
  const { name } = provider
  const returnTo = readReturnTo(request, field(request, 'returnTo'), context.config.baseUrl())
  const username = postedField(request, 'username')
  try {
    noStore(reply)
    refuseCrossSite(request, context.config.baseUrl())
    const password = postedField(request, 'password') ?? ''
    const logIn = () => login(context, request, reply, provider, username ?? '', password)
    if (channels.login.hasSubscribers) await traced(channels.login, { provider: name }, 'succeeded', logIn)
    else await logIn()
    return reply.sent ? reply : reply.redirect(returnTo ?? publicPath(context, '/'), 302)
  } catch (error) {
    const { statusCode } = Object(error) as OAuthError
    if (statusCode === 401 && wantsHtml(request)) {
      return sendLoginForm(context, reply.code(401), provider, {
        returnTo,
        username,
        error: 'Username or password is wrong.'
      })
    }
    return await sendError(context, request, reply, error, { event: 'login_failed', provider: name, returnTo })
  }
}

async function login (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply, provider: ProviderClient,
  username: string, password: string
): Promise<void> {
  const { throttle, clock } = context
  const begunAt = clock.now()
  const session = sessionOf(request)
  checkSessionCookie(context, request)
  const known = context.sessionCookie.namesOf(request.cookies, session).length > 0 ? session.sessionId : undefined
  const keys = throttleKeys({ provider: provider.name, username, session: known, ip: request.ip })
  if (username === '' || password === '') throw wrong(provider)
  const seconds = throttle.begin(keys)
  if (seconds > 0) {
    const details = { provider: provider.name, retryAfter: seconds }
    throw new TooManyAttemptsError('too many attempts with a wrong password; wait a while', details)
  }
  let granted
  let outcome: Outcome = 'unknown'
  try {
    granted = await passwordGrant(provider, { username, password })
    outcome = 'succeeded'
  } catch (error) {
    const failure = Object(error) as OAuthError
    const refused = isRefusal(failure)
    // An unreadable response may be a refusal too: guesses at such a server have to be limited as well.
    if (refused || isUnreadable(failure)) outcome = 'failed'
    if (!refused) throw error
    // The error's description may tell which user names exist: it is for the log alone.
    const message = 'user name and password were refused'
    logOf(request).info({ event: 'password_refused', provider: provider.name, err: errorForLog(error) }, message)
    throw wrong(provider, failure.oauthError)
  } finally {
    throttle.end(keys, outcome)
  }
  const scope = [...provider.config.scope]
  const tokens = await checkIdToken(provider, granted, { scope })
  const identity = await identify(provider, tokens, scope)
  await commitLogin(context, request, reply, provider, { ...tokens, ...identity, begunAt })
}

// Errors about the client's registration or request, or about the server (RFC 6749, section 5.2; RFC 8707).
const NOT_THE_USERS = new Set([
  'invalid_client', 'unauthorized_client', 'unsupported_grant_type', 'invalid_scope', 'invalid_target', 'server_error',
  'temporarily_unavailable'
])
/** Statuses about the endpoint's URL or the form of the request: for the operator to correct. */
const ABOUT_THE_REQUEST = new Set([404, 405, 406, 410, 411, 413, 414, 415, 421, 431])

/** Whether the provider refused user name and password: servers use other errors than `invalid_grant` too. */
function isRefusal (error: OAuthError): boolean {
  const { code, oauthError, reason, responseStatus } = error
  if (code === 'FST_OAUTH_PROVIDER_UNAVAILABLE' || isClientRefused(error)) return false
  if (reason === 'refused') return !NOT_THE_USERS.has(oauthError ?? '')
  if (oauthError !== undefined || responseStatus === undefined || ABOUT_THE_REQUEST.has(responseStatus)) return false
  return (responseStatus >= 400 && responseStatus <= 499) || (responseStatus === 200 && reason === 'missing_token')
}

/** Whether the response names no error and has no tokens. */
function isUnreadable (error: OAuthError): boolean {
  const { code, oauthError } = error
  return code === 'FST_OAUTH_INVALID_TOKEN_RESPONSE' && oauthError === undefined && !isClientRefused(error)
}

function wrong (provider: ProviderClient, oauthError?: string): OAuthError {
  return new InvalidCredentialsError('user name or password is wrong', { provider: provider.name, oauthError })
}
