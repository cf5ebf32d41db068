import type { FastifyReply } from 'fastify'
import { contentSecurityPolicy } from '../pages/html.ts'
import { noStore } from './reply.ts'

/**
 * Sends an HTML document.
 * @param policy what its Content-Security-Policy allows; no policy where null, for a document of the app's own
 */
export function sendHtml (
  reply: FastifyReply, document: string, policy: Parameters<typeof contentSecurityPolicy>[0] | null = {}
): FastifyReply {
  if (policy !== null) reply.header('content-security-policy', contentSecurityPolicy(policy))
  return noStore(reply).header('x-content-type-options', 'nosniff').type('text/html; charset=utf-8').send(document)
}
