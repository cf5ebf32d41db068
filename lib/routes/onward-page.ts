import type { FastifyReply } from 'fastify'
import { html, page } from '../pages/html.ts'
import { sendHtml } from './send-html.ts'

/** Sends a page that goes on by itself, without a script, and has a link for who would wait. */
export function sendOnward (
  reply: FastifyReply, location: string, { title, text }: { title: string, text: string }
): FastifyReply {
  // Its own URL may hold code and state, which are for no one else.
  reply.header('referrer-policy', 'no-referrer')
  return sendHtml(reply, page(title, html`<h1>${title} …</h1>
<p>${text}</p>
<ul><li><a class="button primary" href="${location}">Continue</a></li></ul>`,
  undefined, html`<meta http-equiv="refresh" content="0; url=${location}">`))
}
