import type { FastifyReply } from 'fastify'
import type { PluginContext } from '../context.ts'
import { contentSecurityPolicy } from '../pages/html.ts'
import { defaultPages, type Pages } from '../pages/pages.ts'
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

/** Sends one of the pages, the app's own if it has one. */
export function sendPage<Name extends keyof Pages> (
  { pages }: PluginContext, reply: FastifyReply, name: Name, data: Parameters<Pages[Name]>[0], formAction?: string[]
): FastifyReply {
  const page = pages[name] as (data: Parameters<Pages[Name]>[0]) => string
  return sendHtml(reply, page(data), page === defaultPages[name] ? { formAction } : null)
}
