import type { FastifyReply } from 'fastify'
import type { PluginContext } from '../context.ts'
import { InvalidOptionsError } from '../errors.ts'
import { contentSecurityPolicy } from '../pages/html.ts'
import { defaultPages, type Pages } from '../pages/pages.ts'
import { isPromise } from '../util/is-promise.ts'
import { shown } from '../util/shown.ts'
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
  return sendHtml(reply, documentOf(pages, name, data), pages[name] === defaultPages[name] ? { formAction } : null)
}

/**
 * One of the pages as HTML.
 * @throws FST_OAUTH_INVALID_OPTIONS if a page of the app's own returns something else than a string: Fastify could not
 *   send that, and its error would end the process where the session is saved first
 */
export function documentOf<Name extends keyof Pages> (
  pages: Pages, name: Name, data: Parameters<Pages[Name]>[0]
): string {
  const page = pages[name] as (data: Parameters<Pages[Name]>[0]) => unknown
  const document = page(data)
  if (typeof document === 'string') return document
  const returned = isPromise(document) ? 'a promise' : shown(document)
  throw new InvalidOptionsError(`pages.${name} has to return a string, at once; it returned ${returned}`)
}
