import type { FastifyReply, FastifyRequest } from 'fastify'
import type { PluginContext } from '../context.ts'
import { InvalidLogoutTokenError, OAuthError } from '../errors.ts'
import { backchannelLogout } from '../session/backchannel-logout.ts'
import { unknownProvider } from '../session/context.ts'
import { postedField } from './form-fields.ts'
import { noStore } from './reply.ts'
import { reportFailure } from './send-error.ts'
import { hasBackchannelLogout } from './visitors-provider.ts'

const FORM = /^application\/x-www-form-urlencoded *(?:;|$)/i

/**
 * `POST` of a provider's logout token (OpenID Connect Back-Channel Logout 1.0, sections 2.5 and 2.8). The request is a
 * server's, without session, cookie or origin: only the token's signature authorizes it.
 */
export async function backchannelLogoutRoute (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply, name: string
): Promise<FastifyReply> {
  noStore(reply)
  try {
    const provider = context.providers.get(name)
    if (provider === undefined || !hasBackchannelLogout(provider)) throw unknownProvider()
    await backchannelLogout(context, provider, logoutTokenOf(request, name), request)
    return reply.code(200).send()
  } catch (error) {
    const statusCode = await reportFailure(
      context, request, reply, error, { event: 'backchannel_logout_failed', provider: name })
    return reply.sent ? reply : sendFailure(reply, error, statusCode)
  }
}

/** The logout token of a request, which must be a form with exactly one. @throws FST_OAUTH_INVALID_LOGOUT_TOKEN */
function logoutTokenOf (request: FastifyRequest, provider: string): string {
  const isForm = FORM.test(request.headers['content-type'] ?? '')
  const logoutToken = isForm ? postedField(request, 'logout_token') : undefined
  if (logoutToken !== undefined && logoutToken !== '') return logoutToken
  throw new InvalidLogoutTokenError(
    `a logout of provider "${provider}" is refused: it has to be a form with one logout_token`,
    { provider, reason: 'missing_logout_token' })
}

/** What OAuth 2 calls a failure, by its status (RFC 6749, sections 4.1.2.1 and 5.2). */
function oauthErrorOf (statusCode: number): string {
  if (statusCode < 500) return 'invalid_request'
  return statusCode === 503 ? 'temporarily_unavailable' : 'server_error'
}

/** Section 2.8; and if the store or the key set is away, a status with which a provider may send it again. */
function sendFailure (reply: FastifyReply, error: unknown, statusCode: number): FastifyReply {
  const { message, headers = {} } = error as OAuthError
  for (const [name, value] of Object.entries(headers)) reply.header(name, value)
  return reply.code(statusCode).send({
    error: oauthErrorOf(statusCode),
    // RFC 6749, section 5.2: no quotation mark, no backslash, ASCII alone.
    ...(error instanceof OAuthError && {
      error_description: message.replaceAll('"', "'").replace(/[^\x20\x21\x23-\x5b\x5d-\x7e]/g, '?')
    })
  })
}
