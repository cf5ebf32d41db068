import type { FastifyReply, FastifyRequest } from 'fastify'
import type { PluginContext } from '../context.ts'
import type { LogEvent } from '../util/logger.ts'
import { isFramed } from './fetch-metadata.ts'
import type { PopupOutcome } from './popup-page.ts'

/** The `display` that a login route's query asks for; other values of OpenID Connect's change nothing here. */
export function displayOf ({ query }: FastifyRequest): 'popup' | undefined {
  return (query as { display?: unknown } | null | undefined)?.display === 'popup' ? 'popup' : undefined
}

/** Where the outcome of a failed login route is posted, if its query asks for a popup. */
export function popupOf (request: FastifyRequest, event: LogEvent): 'window' | 'frame' | undefined {
  if (event !== 'login_failed' || displayOf(request) === undefined) return undefined
  return isFramed(request) ? 'frame' : 'window'
}

/**
 * Leaves a window its opener, which a response with another policy would take away, redirects among them (HTML,
 * section 7.1.3). The opener itself needs a policy that lets it: `same-origin-allow-popups`, or none.
 */
export function keepOpener (reply: FastifyReply): void {
  reply.header('cross-origin-opener-policy', 'unsafe-none')
}

/** Sends the page that posts the outcome of a login to the page that opened it. */
export async function tellOpener (
  context: PluginContext, reply: FastifyReply, popup: 'window' | 'frame', outcome: PopupOutcome
): Promise<FastifyReply> {
  keepOpener(reply)
  const { sendPopupPage } = await import('./popup-page.ts')
  return sendPopupPage(context, reply, popup, outcome)
}
