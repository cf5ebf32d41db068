/** The Fastify app that all contestants on Fastify start from. */
import cookie from '@fastify/cookie'
import session, { type FastifySessionOptions } from '@fastify/session'
import Fastify, { type FastifyInstance } from 'fastify'
import type { AppContext } from './context.ts'
import { createSessionStore } from './session-store.ts'

export const SECRET = 'a secret of the session, at least 32 characters'

export function createApp ({ server }: Pick<AppContext, 'server'>): FastifyInstance {
  return Fastify({
    serverFactory (handler) {
      server.on('request', handler)
      return server
    }
  })
}

/** With @fastify/session, set as this project's README sets it; a route that touches nothing. */
export async function createSessionApp (context: AppContext): Promise<FastifyInstance> {
  const app = createApp(context)
  await app.register(cookie)
  const options: FastifySessionOptions = {
    secret: SECRET,
    cookie: { secure: false, sameSite: 'lax' },
    rolling: false,
    saveUninitialized: false
  }
  if (context.redis !== undefined) options.store = await createSessionStore(context.redis)
  await app.register(session, options)
  app.get('/plain', async () => ({ ok: true }))
  return app
}
