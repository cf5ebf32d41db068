import type { FastifyReply, FastifyRequest } from 'fastify'
import type { PluginContext } from '../context.ts'
import { currentSession, destroySession, type SessionObject } from '../session/fastify-session.ts'
import { isFramed, isPageLoad, wantsHtml } from './fetch-metadata.ts'
import { sendOnward } from './onward-page.ts'
import { requestedPath } from './paths.ts'
import { keepOpener } from './popup.ts'

// A session cookie with `SameSite=Strict` is not sent with a request that another site has started (RFC 6265bis,
// section 5.2), a provider's redirect to the callback among them. A page of the app's own that goes on by itself starts
// a request of this site.

const ONE_MOMENT = { title: 'One moment', message: 'This page goes on by itself.' }

/** Whether a session's cookie is sent with requests of this site alone. */
export function isStrict (session: SessionObject | null): boolean {
  const sameSite = session?.cookie?.sameSite
  return sameSite === true || (typeof sameSite === 'string' && sameSite.toLowerCase() === 'strict')
}

/** Whether the browser has held a strict session cookie back, as far as can be told. */
function isHeldBack ({ sessionCookie }: PluginContext, request: FastifyRequest): boolean {
  if (request.headers['sec-fetch-site'] !== 'cross-site') return false
  const session = currentSession(request)
  return session !== null && isStrict(session) && sessionCookie.namesOf(request.cookies, session).length === 0
}

/**
 * Has a page load that came from another site, and so without a strict session cookie, come once more from this site.
 * @param popup whether it belongs to a login in a popup or a hidden frame
 * @returns undefined if that is not so
 */
export function loadAgain (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply, popup = false
): Promise<FastifyReply> | undefined {
  return isPageLoad(request) && isHeldBack(context, request) ? sendAgain(context, request, reply, popup) : undefined
}

async function sendAgain (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply, popup: boolean
): Promise<FastifyReply> {
  // The session that was made for this request must not take the place of the browser's own.
  await destroySession(request)
  if (popup) keepOpener(reply)
  const data = { ...ONE_MOMENT, href: requestedPath(context, request) }
  return sendOnward(context, reply, data, popup && isFramed(request))
}

/**
 * Leads the browser on within the app: by a redirect, or, where another site may have started the request and a
 * redirect would come without a strict session cookie, by a page.
 */
export function leadOn (
  context: PluginContext, request: FastifyRequest, reply: FastifyReply, location: string
): FastifyReply {
  const { 'sec-fetch-site': site } = request.headers
  const isFromElsewhere = site === undefined || site === 'cross-site'
  if (!isFromElsewhere || !wantsHtml(request) || !isStrict(currentSession(request))) {
    return reply.redirect(location, 302)
  }
  return sendOnward(context, reply, { ...ONE_MOMENT, href: location })
}
