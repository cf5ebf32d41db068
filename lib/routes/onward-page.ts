import type { FastifyReply } from 'fastify'
import type { PluginContext } from '../context.ts'
import { defaultPages, type OnwardData } from '../pages/pages.ts'
import { sendHtml, sendPage } from './send-html.ts'

/**
 * Sends the page that goes on by itself to a path of the app, or to a provider's address.
 * @param framed whether it is for a hidden frame of the app's own: it is not seen, and frames have to show it
 */
export function sendOnward (
  context: PluginContext, reply: FastifyReply, data: OnwardData, framed = false
): FastifyReply {
  // Its own URL may hold code and state, which are for no one else.
  reply.header('referrer-policy', 'no-referrer')
  return framed
    ? sendHtml(reply, defaultPages.onward(data), { framed })
    : sendPage(context, reply, 'onward', data)
}
