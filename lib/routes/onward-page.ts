import type { FastifyReply } from 'fastify'
import type { PluginContext } from '../context.ts'
import type { OnwardData } from '../pages/pages.ts'
import { sendPage } from './send-error.ts'

/** Sends the page that goes on by itself to a path of the app, or to a provider's address. */
export function sendOnward (context: PluginContext, reply: FastifyReply, data: OnwardData): FastifyReply {
  // Its own URL may hold code and state, which are for no one else.
  reply.header('referrer-policy', 'no-referrer')
  return sendPage(context, reply, 'onward', data)
}
