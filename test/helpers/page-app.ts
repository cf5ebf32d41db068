import cookie from '@fastify/cookie'
import session, { type FastifySessionOptions } from '@fastify/session'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import type { Test } from 'tap'
import type { TestProvider, TestVisitor } from '../../lib/testing.ts'
import { authorize } from '../../lib/testing/authorize.ts'
import { SESSION_SECRET } from './build-app.ts'
import { JsonStore } from './stores.ts'

/** What a browser says when it loads a page. */
export const pageLoad = { headers: { accept: 'text/html', 'sec-fetch-mode': 'navigate' } }

/** An app with sessions, in which the code of a page registers the plugin. Its visitors are those of `loginAs`. */
export async function pageApp (
  t: Test, options: FastifyServerOptions = {}, own: Partial<FastifySessionOptions> = {}
): Promise<FastifyInstance> {
  const app = Fastify(options)
  t.after(() => app.close())
  await app.register(cookie)
  await app.register(session, { secret: SESSION_SECRET, saveUninitialized: false, store: new JsonStore(), ...own })
  return app
}

/** Logs a visitor in where the app has sent them to, and opens the callback. */
export async function finishLogin (
  visitor: TestVisitor,
  provider: TestProvider,
  location: string | null,
  { accountId = 'alice', ...rest }: { accountId?: string, acr?: string } = {}
): Promise<Response> {
  const { url } = await authorize(provider, new URL(location ?? ''), { login: { accountId, ...rest } })
  return await visitor.fetch(url.pathname + url.search, pageLoad)
}
