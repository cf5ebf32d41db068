import cookie from '@fastify/cookie'
import session from '@fastify/session'
import Fastify, { type FastifyInstance } from 'fastify'
import { createClient } from 'redis'
import oauth from '../../lib/index.ts'
import { redisStore } from '../../lib/redis.ts'
import { RedisSessionStore } from '../helpers/redis-session-store.ts'
import { CLIENT_IDS } from './authority.ts'

export interface WorkerOptions {
  /** Sent along with each token request, so that the provider knows who asks. */
  name: string
  redisUrl: string
  issuer: string
  /** The load balancer's URL: no worker knows another one. */
  baseUrl: string
  rolling: boolean
}

export interface Memory {
  heapUsed: number
  rss: number
}

/** What the driver may ask of a worker. */
export interface WorkerCommand { ask: 'memory' }

interface SessionData { visits: number, slow: boolean }

function addRoutes (app: FastifyInstance): void {
  const data = (request: { session: unknown }) => request.session as SessionData
  app.get('/', async (request) => ({ user: request.oauth.user?.id ?? null }))
  app.get('/orders', async (request) => await request.oauth.get('orders').json())
  app.get('/write', async (request) => {
    data(request).visits = Math.random()
    return { user: request.oauth.user?.id ?? null }
  })
  // A call that is given up, by its time or with the login, wherever it is then: in the middle of a refresh, too.
  app.get<{ Querystring: { ms: string } }>('/given-up', async ({ oauth, query: { ms } }) => {
    const timeout = AbortSignal.timeout(Number(ms))
    try {
      return await oauth.get('orders', { signal: AbortSignal.any([timeout, oauth.signal]) }).json()
    } catch (error) {
      if (error === timeout.reason) return { givenUp: true }
      throw error
    }
  })
  // Ends long after it has loaded its session, and then writes it.
  app.get<{ Querystring: { ms: string } }>('/slow', async (request) => {
    const answer = await request.oauth.get(`slow?ms=${request.query.ms}`).json()
    data(request).slow = true
    return answer
  })
  // One request that outlives several tokens, and goes on through whatever fails meanwhile.
  app.get<{ Querystring: { ms: string } }>('/long', async (request) => {
    const until = Date.now() + Number(request.query.ms)
    for (;;) {
      const answer = await request.oauth.get('orders').json().catch((error: Error) => error)
      if (Date.now() > until) {
        if (answer instanceof Error) throw answer
        return answer
      }
      await new Promise(resolve => setTimeout(resolve, 250))
    }
  })
  app.get('/added', async (request) => await request.oauth.using('gh').get('orders').json())
  app.get('/link', async (request, reply) => await request.oauth.login(reply, { provider: 'gh', link: true }))
  app.get('/step-up', async (request, reply) => await request.oauth.login(reply, { provider: 'acme', link: true }))
  app.post('/disconnect', async (request) => {
    await request.oauth.disconnect('gh')
    return { disconnected: true }
  })
  app.post('/destroy', async (request) => {
    await request.session.destroy()
    return { destroyed: true }
  })
  app.post<{ Querystring: { subject: string } }>('/everywhere', async (request) => {
    const { subject } = request.query
    return { ended: await app.oauth.logoutUser({ provider: 'acme', subject }) }
  })
}

/** A worker's process: an app as users write it, on a port of its own. */
export async function runWorker ({ name, redisUrl, issuer, baseUrl, rolling }: WorkerOptions): Promise<void> {
  // Every second process reconnects as node-redis does by default: up to 2.2 s later than others when Redis was away
  // for long.
  const socket = Number(name.split('.')[1]) % 2 === 0 ? {} : { reconnectStrategy: 20 }
  const client = createClient({ url: redisUrl, disableOfflineQueue: true, socket })
  client.on('error', () => {})
  await client.connect()

  const app = Fastify({ logger: { level: 'warn' } })
  await app.register(cookie)
  await app.register(session, {
    secret: 'a public secret, for the torture alone',
    cookie: { secure: false, maxAge: 3_600_000 },
    saveUninitialized: false,
    rolling,
    store: new RedisSessionStore(client) as never
  })
  const provider = (clientId: string, dpop: boolean) => ({
    issuer,
    clientId,
    clientSecret: 'a secret that the provider does not ask for',
    scope: ['openid', 'profile', 'email'],
    resourceServers: [`${issuer}/v1/`],
    refreshParams: { worker: name },
    dpop
  })
  await app.register(oauth, {
    baseUrl,
    tokenStore: redisStore(client),
    // As while an app is deployed that binds its tokens from now on: every second process does, and one that does not
    // has to go on with the keys of the others.
    providers: {
      acme: provider(CLIENT_IDS.acme, Number(name.split('.')[1]) % 2 === 1),
      gh: provider(CLIENT_IDS.gh, true)
    }
  })
  addRoutes(app)
  const url = await app.listen({ port: 0, host: '127.0.0.1' })

  process.once('SIGTERM', () => {
    app.close().then(() => client.destroy()).then(() => process.exit(0), () => process.exit(1))
  })
  process.on('message', ({ id }: WorkerCommand & { id: number }) => {
    globalThis.gc?.()
    const { heapUsed, rss } = process.memoryUsage()
    process.send!({ id, value: { heapUsed, rss } satisfies Memory })
  })
  process.send!({ ready: url })
}
