import { Readable } from 'node:stream'
import websocket from '@fastify/websocket'
import { createClient } from 'redis'
import type { OAuthError, RequestOAuth } from '../../lib/index.ts'
import { redisStore } from '../../lib/redis.ts'
import { buildApp } from './build-app.ts'
import type { TestProvider } from './provider.ts'
import { RedisSessionStore } from './redis-session-store.ts'

export interface AppProcessOptions {
  redisUrl: string
  providerOptions: TestProvider['providerOptions']
}

/** What an app's process reports. */
export type AppProcessReport = { url: string } | { logout: string } | { calling: true }

/** How a request that goes on calling ended. */
export interface LongAnswer { code: string }

async function callUntilRefused (oauth: RequestOAuth): Promise<LongAnswer> {
  for (let calls = 0; ; calls++) {
    const code = await oauth.get('orders').json().then(() => undefined, (error: { code: string }) => error.code)
    if (code !== undefined) return { code }
    if (calls === 0) report({ calling: true })
  }
}

const report = (what: AppProcessReport) => process.send!(what)

// A process of its own with an app on Redis, until the test that has started it is over.
process.on('disconnect', () => process.exit())
const { redisUrl, providerOptions } = JSON.parse(process.argv[2]!) as AppProcessOptions
const client = await createClient({ url: redisUrl, disableOfflineQueue: true }).connect()
const { url } = await buildApp({ after () {} }, {
  session: { store: new RedisSessionStore(client) as never, rolling: true },
  oauth: {
    providers: { acme: providerOptions },
    tokenStore: redisStore(client),
    onLogout: (_request, _reply, { user, reason }) => { report({ logout: `${String(user?.id)}: ${reason}` }) }
  },
  setup: async (app) => {
    await app.register(websocket)
    app.get('/guarded', { onRequest: app.oauth.requireLogin() }, async ({ oauth }) => oauth.claims)
    app.get('/orders', async ({ oauth }) => await oauth.get('orders').json())
    app.get('/slow', async ({ oauth }) => await oauth.get('slow').json())
    app.get('/events', ({ oauth }, reply) => {
      const events = new Readable({ read () {} })
      oauth.signal.addEventListener('abort', () => {
        events.push((oauth.signal.reason as OAuthError).code)
        events.push(null)
      })
      events.push('open\n')
      return reply.type('text/event-stream').send(events)
    })
    // A route of @fastify/websocket is read as such only where that is loaded.
    await app.register(async (scope) => {
      scope.get('/live', { websocket: true }, (socket, { oauth }) => {
        oauth.signal.addEventListener('abort', () => socket.close(4401, (oauth.signal.reason as OAuthError).code))
        socket.send('open')
      })
    })
    app.get('/long', async ({ oauth }) => await callUntilRefused(oauth))
  }
})
report({ url })
