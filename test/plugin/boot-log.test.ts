import session from '@fastify/session'
import { createClient } from 'redis'
import t, { type Test } from 'tap'
import { redisStore, type TokenStore } from '../../lib/redis.ts'
import { buildApp } from '../helpers/build-app.ts'
import { captureLog } from '../helpers/log.ts'
import { matchEach } from '../helpers/match-each.ts'
import { startMisbehavingProvider } from '../helpers/misbehaving-provider.ts'
import { startRedis } from '../helpers/redis.ts'
import { RedisSessionStore } from '../helpers/redis-session-store.ts'
import { wrappedStore } from '../helpers/wrapped-store.ts'

// What is said once at boot of stores that could lose logins.

async function connect (t: Test, appendonly: boolean) {
  const redis = await startRedis(t, { appendonly })
  if (redis === undefined) return undefined
  const client = await createClient({ url: redis.url }).connect()
  t.after(() => client.destroy())
  return client
}

/** The warnings of an app that has booted, looked at its stores and answered requests. */
async function warnings (t: Test, store: object, tokenStore?: TokenStore): Promise<string[]> {
  let inspecting: Promise<string[]> | undefined
  const inspected = tokenStore && wrappedStore(tokenStore, store => ({ inspect: () => (inspecting = store.inspect()) }))
  const log = captureLog()
  const provider = await startMisbehavingProvider(t)
  const { app, url } = await buildApp(t, {
    fastify: { logger: log.logger },
    oauth: { providers: { acme: provider.providerOptions }, ...(inspected !== undefined && { tokenStore: inspected }) },
    session: { store: store as never }
  })
  await fetch(url)
  t.equal(inspecting !== undefined, tokenStore !== undefined)
  await inspecting
  await fetch(url)
  await app.close()
  return log.lines.filter(({ level }) => Number(level) >= 40).map(({ msg }) => String(msg))
}

t.test(
  'a session store on Redis without tokenStore: that refreshes are coordinated within one process only, and how to ' +
    'change it',
  async t => {
    const client = await connect(t, true)
    if (client === undefined) return
    const said = await warnings(t, new RedisSessionStore(client))
    t.equal(said.length, 1, 'once')
    t.match(said[0], /coordinated within this process only/)
    t.match(said[0], /tokenStore: redisStore\(client\) from fastify-oauth-session\/redis/)
  }
)

t.test('the same with tokenStore, and the in-memory store: nothing to say', async (t) => {
  const client = await connect(t, true)
  if (client === undefined) return
  t.strictSame(await warnings(t, new RedisSessionStore(client), redisStore(client)), [])
  t.strictSame(await warnings(t, new session.MemoryStore()), [])
})

t.test('a Redis that may lose what it has acknowledged: how, and what to set', async (t) => {
  const client = await connect(t, false)
  if (client === undefined) return
  await client.configSet('maxmemory-policy', 'allkeys-lru')
  const said = await warnings(t, new RedisSessionStore(client), redisStore(client))
  matchEach(t, said, [/maxmemory-policy is allkeys-lru.*noeviction/, /set appendonly yes/])
})
