import cookie from '@fastify/cookie'
import session, { type FastifySessionOptions } from '@fastify/session'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import oauth, { type PluginOptions } from '../../lib/index.ts'
import { JsonStore } from './stores.ts'

export interface AppOptions {
  /** Options of the plugin; `baseUrl` is the app's own address where absent. */
  oauth: Omit<PluginOptions, 'baseUrl'> & Partial<Pick<PluginOptions, 'baseUrl'>>
  /** Options of @fastify/session over ours. */
  session?: Partial<FastifySessionOptions>
  fastify?: FastifyServerOptions
  /** The app speaks HTTP/2 alone; without TLS, unless `fastify` has `https`. */
  http2?: boolean
  /** Adds routes, hooks and plugins before the app listens. */
  setup?: (app: FastifyInstance) => unknown
}

export interface TestApp {
  app: FastifyInstance
  url: string
  store: JsonStore
}

export const SESSION_SECRET = 'a secret of the tests with at least 32 characters'

/** Registers cookies and sessions, with what an app over http needs. */
export async function registerSession (app: FastifyInstance, options: Partial<FastifySessionOptions>): Promise<void> {
  await app.register(cookie)
  await app.register(session, {
    secret: SESSION_SECRET,
    cookie: { secure: false },
    saveUninitialized: false,
    ...options
  })
}

/** An app as users write it, on a store that serializes, listening on port 0 and closed with the test. */
export async function buildApp (t: { after: (fn: () => unknown) => unknown }, options: AppOptions): Promise<TestApp> {
  const app = Fastify({ ...options.fastify, ...(options.http2 === true && { http2: true }) } as FastifyServerOptions)
  t.after(() => app.close())
  const store = (options.session?.store ?? new JsonStore()) as JsonStore
  let url = ''
  await registerSession(app, { ...options.session, store })
  await app.register(oauth, { baseUrl: () => url, ...options.oauth })
  app.get('/', async (request) => ({ user: request.oauth.user?.id ?? null }))
  await options.setup?.(app)
  url = await app.listen({ port: 0, host: '127.0.0.1' })
  return { app, url, store }
}
