/** The Fastify app that all contestants on Fastify start from. */
import cookie from '@fastify/cookie'
import session, { type FastifySessionOptions } from '@fastify/session'
import Fastify, { type FastifyInstance } from 'fastify'
import { SESSION_SECRET, type AppContext } from './context.ts'

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
    secret: SESSION_SECRET,
    cookie: { secure: false, sameSite: 'lax' },
    rolling: false,
    saveUninitialized: false
  }
  if (context.redis !== undefined) {
    const { createSessionStore } = await import('./session-store.ts')
    options.store = await createSessionStore(context.redis)
  }
  await app.register(session, options)
  app.get('/plain', async () => ({ ok: true }))
  return app
}
