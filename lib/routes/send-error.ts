import type { FastifyReply, FastifyRequest } from 'fastify'
import type { PluginContext } from '../context.ts'
import { AccessDeniedError, OAuthError } from '../errors.ts'
import { describeError, describeKeptLogin, REFUSED_BY_APP } from '../pages/error-texts.ts'
import type { Link } from '../pages/pages.ts'
import { awaitHook } from '../session/await-hook.ts'
import { appErrorForLog, errorForLog, type LogEvent, logOf } from '../util/logger.ts'
import { wantsHtml } from './fetch-metadata.ts'
import { loginPath, publicPath, routePath } from './paths.ts'
import { popupOf, tellOpener } from './popup.ts'
import { noStore } from './reply.ts'
import { sendPage } from './send-html.ts'

// An import of node:http would read all its exports, and so load Node's own copy of undici: a tenth of an app's start.
const { STATUS_CODES } = process.getBuiltinModule('node:http')

/** What the log calls a failure of the plugin's routes. */
export type FailureEvent = Extract<
  LogEvent, 'login_failed' | 'logout_failed' | 'backchannel_logout_failed' | 'session_not_told'
>

/** What failed, the provider that the request was for, and where its login was to lead. */
interface FailureContext {
  event: FailureEvent
  provider?: string | undefined
  returnTo?: string | undefined
  /** Where trying again starts, in place of a login that leads there. */
  retryAt?: string | undefined
  /** Whether it was to add something to a login, which stays as it was. */
  keepsLogin?: boolean
  /** The window or frame that gets the outcome of a failed login. */
  popup?: 'window' | 'frame' | undefined
}

/**
 * Logs a failure of one of the plugin's routes, and tells `onError` of an error of the plugin's own, which may send the
 * reply.
 * @returns the status for the reply
 */
export async function reportFailure (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply, error: unknown, about: FailureContext
): Promise<number> {
  // A hook may throw anything, and nothing at all.
  const failure = Object(error) as Partial<OAuthError>
  const given = Number(failure.statusCode)
  const statusCode = given >= 400 && given < 600 ? given : 500
  const { provider = about.provider } = failure
  const details = { event: about.event, ...(provider !== undefined && { provider }) }
  const level = statusCode >= 500 ? 'error' : 'warn'
  if (error instanceof OAuthError) {
    logOf(request)[level]({ ...details, err: errorForLog(error) }, error.message)
    await awaitHook(reply, () => context.config.onError?.(request, reply, error))
  } else {
    logOf(request)[level]({ ...details, err: appErrorForLog(error) }, 'a route of fastify-oauth-session failed')
  }
  return statusCode
}

/**
 * Answers a failure of one of the plugin's routes: a page with a way on for a browser, JSON for other clients; the log
 * names the cause.
 */
export async function sendError (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply, error: unknown, about: FailureContext
): Promise<FastifyReply> {
  const statusCode = await reportFailure(context, request, reply, error, about)
  if (reply.sent) return reply
  const failure = Object(error) as Partial<OAuthError>
  const isOwn = error instanceof OAuthError
  const code = typeof failure.code === 'string' ? failure.code : 'INTERNAL'
  const { provider = about.provider, reason, oauthError, oauthErrorDescription } = failure
  reply.code(statusCode)
  for (const [name, value] of Object.entries(failure.headers ?? {})) reply.header(name, value)
  if (wantsHtml(request)) {
    const popup = about.popup ?? popupOf(request, about.event)
    const client = provider === undefined ? undefined : context.providers.get(provider)
    const describe = about.keepsLogin === true ? describeKeptLogin : describeError
    // A refusal of the provider has its `error`.
    const isRefusedByApp = error instanceof AccessDeniedError && oauthError === undefined
    const why = isRefusedByApp ? REFUSED_BY_APP : reason
    const { title, message, retry } = describe(code, statusCode, client?.config.title, why)
    const actions: Link[] = [{ href: publicPath(context, '/'), label: 'Continue to the app' }]
    if (context.config.routes !== false) {
      if (retry && client !== undefined) {
        const { retryAt = loginPath(context, client.name, about.returnTo, popup && 'popup') } = about
        actions.unshift({ href: retryAt, label: about.retryAt === undefined ? 'Log in again' : 'Try again' })
      }
      if (code === 'FST_OAUTH_UNKNOWN_PROVIDER') {
        actions.unshift({ href: routePath(context, 'login'), label: 'Log in another way' })
      }
    }
    if (popup !== undefined) {
      const page = { title, message, actions }
      return await tellOpener(context, reply, popup, { outcome: 'error', provider, code, page })
    }
    return sendPage(context, reply, 'error', { code, statusCode, title, message, requestId: request.id, actions })
  }
  return noStore(reply).send({
    statusCode,
    code,
    error: STATUS_CODES[statusCode],
    // The message of an error that is not the plugin's own may hold anything: a 500 does not repeat it.
    message: isOwn || statusCode < 500 ? failure.message : 'Internal Server Error',
    ...(isOwn && { provider: failure.provider, oauthError, oauthErrorDescription })
  })
}
