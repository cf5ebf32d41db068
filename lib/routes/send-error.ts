import type { FastifyReply, FastifyRequest } from 'fastify'
import { STATUS_CODES } from 'node:http'
import type { PluginContext } from '../context.ts'
import { OAuthError } from '../errors.ts'
import { contentSecurityPolicy, defaultPages, describeError, type Link, type Pages } from '../pages/pages.ts'
import { awaitHook } from '../session/await-hook.ts'
import { loginPath, publicPath, routePath } from './paths.ts'
import { noStore, wantsHtml } from './reply.ts'

export interface FailedLogin {
  provider?: string | undefined
  returnTo?: string | undefined
}

/** Sends one of the pages; the plugin's own come with the policy that they were made for. */
export function sendPage<Name extends keyof Pages> (
  context: PluginContext,
  reply: FastifyReply,
  name: Name,
  data: Parameters<Pages[Name]>[0],
  formAction?: string[]
): FastifyReply {
  const page = context.pages[name] as (data: Parameters<Pages[Name]>[0]) => string
  if (page === defaultPages[name]) {
    reply.header('content-security-policy', contentSecurityPolicy(formAction === undefined ? {} : { formAction }))
  }
  return noStore(reply).header('x-content-type-options', 'nosniff').type('text/html; charset=utf-8').send(page(data))
}

/**
 * Answers a failure of one of the plugin's routes: a page with a way on for a person, JSON for a program; the log names
 * the cause.
 */
export async function sendError (
  context: PluginContext,
  request: FastifyRequest,
  reply: FastifyReply,
  error: unknown,
  login: FailedLogin = {}
): Promise<FastifyReply> {
  const problem = error as Partial<OAuthError> & { statusCode?: number }
  const own = error instanceof OAuthError
  const statusCode =
    typeof problem.statusCode === 'number' && problem.statusCode >= 400 && problem.statusCode < 600
      ? problem.statusCode
      : 500
  const code = typeof problem.code === 'string' ? problem.code : 'INTERNAL'
  const provider = problem.provider ?? login.provider
  const level = statusCode >= 500 ? 'error' : 'warn'
  if (own) {
    const { reason, oauthError, oauthErrorDescription, responseStatus, excerpt, cause } = problem
    request.log[level](
      {
        code,
        provider,
        reason,
        oauthError,
        oauthErrorDescription,
        responseStatus,
        excerpt,
        cause: (cause as Error | undefined)?.message
      },
      problem.message
    )
    await awaitHook(reply, () => context.config.onError?.(request, reply, error))
    if (reply.sent) return reply
  } else {
    request.log[level]({ err: error }, 'a route of fastify-oauth-session failed')
  }

  reply.code(statusCode)
  for (const [name, value] of Object.entries(problem.headers ?? {})) reply.header(name, value)
  if (wantsHtml(request)) {
    const client = provider === undefined ? undefined : context.providers.get(provider)
    const { title, message, retry } = describeError(code, statusCode, client?.config.title, problem.reason)
    const actions: Link[] = [{ href: publicPath(context, '/'), label: 'Continue to the app' }]
    if (context.config.routes !== false) {
      if (retry && client !== undefined) {
        actions.unshift({ href: loginPath(context, client.name, login.returnTo), label: 'Log in again' })
      }
      if (code === 'FST_OAUTH_UNKNOWN_PROVIDER') {
        actions.unshift({ href: routePath(context, 'login'), label: 'Log in another way' })
      }
    }
    return sendPage(context, reply, 'error', { code, statusCode, title, message, requestId: request.id, actions })
  }
  return noStore(reply).send({
    statusCode,
    code,
    error: STATUS_CODES[statusCode],
    // What is not ours may hold anything: a 500 says no more than that.
    message: own || statusCode < 500 ? problem.message : 'Internal Server Error',
    ...(own && {
      provider: problem.provider,
      oauthError: problem.oauthError,
      oauthErrorDescription: problem.oauthErrorDescription
    })
  })
}
