import type { FastifyReply, FastifyRequest } from 'fastify'
import type { PluginContext } from '../context.ts'
import { OAuthError, StateMismatchError } from '../errors.ts'
import { kindOfState } from '../login/state-kind.ts'
import { stateOf } from '../oauth/authorization-response.ts'
import type { ProviderClient } from '../providers/provider.ts'
import { currentSession } from '../session/fastify-session.ts'
import { detailsOf } from '../tokens/account-details.ts'
import { errorForLog, logOf } from '../util/logger.ts'
import { shortHash } from '../util/random.ts'
import { isNavigation, isPageLoad } from './fetch-metadata.ts'
import { sendToProvider } from './login.ts'
import { publicPath } from './paths.ts'
import { tellOpener } from './popup.ts'

/** A response that was refused, and what is known of its login. */
interface LostLogin {
  /** Parameters of the response. */
  params: URLSearchParams
  /** What the browser's cookie says of the login; undefined if no cookie came. */
  cookie: { returnTo: string | undefined } | undefined
  /** Why the response was refused. */
  error: unknown
  /** Called with what was done instead. */
  noteOutcome: (outcome: 'repeated' | 'restarted') => void
}

/** The reasons of a response that belongs to a login which is over, or to none that this browser knows. */
const LOST = ['other_browser', 'unknown_or_used', 'expired']

/**
 * Answers a response that was refused, if the user can be led on. Nothing of the response is used.
 * - If the user is logged in by this login, or in place of it, the browser goes on to where it led.
 * - A page load without any login starts it again. That login's state says so: it is not started a second time.
 * @throws the error of the response if neither applies; FST_OAUTH_STATE_MISMATCH with reason `no_cookie` if a
 *   login that was started again lacks its cookie too; and what `sendToProvider` throws
 */
export async function recoverLogin (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply, provider: ProviderClient,
  { params, cookie, error, noteOutcome }: LostLogin
): Promise<FastifyReply> {
  const state = stateOf(params)
  // The provider's error would come again.
  if (!isNavigation(request) || state === undefined || params.has('error')) throw error
  const { name } = provider
  const start = publicPath(context, '/')
  const login = context.sessionLogins.of(currentSession(request))
  const account = login?.accounts[name]
  const isLoggedIn = account !== undefined && !context.records.isDeleted(account.recordId)
  const kind = kindOfState(state)
  const goOn = async (returnTo: string) => {
    const message = 'the callback of a login that is over was loaded; its user is logged in, and nothing was done'
    logOf(request).info({ event: 'callback_repeated', provider: name }, message)
    noteOutcome('repeated')
    if (kind !== 'popup') return reply.redirect(returnTo, 303)
    return await tellOpener(context, reply, 'window', { outcome: 'logged_in', provider: name, returnTo })
  }
  const hash = shortHash(state)
  const finished = isLoggedIn ? detailsOf(account).callbacks?.find(callback => callback?.state === hash) : undefined
  if (finished !== undefined) return await goOn(finished.returnTo ?? start)
  // A response that another site has posted comes without the session cookie: it cannot be told whether a user is
  // logged in.
  if (!isPageLoad(request)) throw error

  const { reason = '' } = error instanceof OAuthError ? error : {}
  if (!LOST.includes(reason)) throw error
  if (kind === 'again' && reason === 'other_browser') throw cookieMissing(name)
  // If the login asked for something that a new one would not, the user decides. A popup tells its opener.
  if (kind === undefined || kind === 'once' || kind === 'popup') throw error
  // The cookie shows that the login was this browser's own: any other address of a callback leads nowhere.
  if (isLoggedIn && cookie !== undefined) return await goOn(cookie.returnTo ?? start)
  if (login !== undefined || kind !== 'ordinary' || !isWindow(request)) throw error
  const message = 'a login that is over, or whose cookie is gone, starts again'
  logOf(request).info({ event: 'login_restarted', provider: name, err: errorForLog(error as OAuthError) }, message)
  noteOutcome('restarted')
  return await sendToProvider(context, request, reply, provider, {
    restarted: true,
    ...(cookie?.returnTo !== undefined && { returnTo: cookie.returnTo })
  })
}

/** Whether a browser says that it loads a page in a window (Fetch Metadata, sections 2.1 and 2.2). */
function isWindow ({ headers }: FastifyRequest): boolean {
  return headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document'
}

const cookieMissing = (provider: string) => new StateMismatchError(
  `a login at provider "${provider}" was started again, and again came back without its cookie: the browser keeps no ` +
    'cookies of this site, or opens it at another host than that of baseUrl',
  { provider, reason: 'no_cookie' })
