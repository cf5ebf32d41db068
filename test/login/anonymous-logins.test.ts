import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import session from '@fastify/session'
import { createClient } from 'redis'
import t, { type Test } from 'tap'
import { redisStore } from '../../lib/redis.ts'
import { buildApp, type AppOptions } from '../helpers/build-app.ts'
import { startRedis } from '../helpers/redis.ts'
import { RedisSessionStore } from '../helpers/redis-session-store.ts'
import { startMisbehavingProvider } from '../helpers/misbehaving-provider.ts'

// An anonymous client may begin any number of logins and finish none.

const VISITS = 100_000
const AT_ONCE = 100

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as () => void

/** Bytes of the heap that are in use once the garbage is gone: the least of some readings, between which work ends. */
async function heapUsed (): Promise<number> {
  let least = Infinity
  for (let reading = 0; reading < 5; reading++) {
    for (let turn = 0; turn < 20; turn++) await new Promise(resolve => setImmediate(resolve))
    gc()
    least = Math.min(least, process.memoryUsage().heapUsed)
  }
  return least
}

/**
 * Begins logins, each as a visitor without a cookie; returns by how many bytes the heap has grown since the first tenth
 * of them.
 */
async function visit (
  t: Test,
  options: Pick<AppOptions, 'session'> & { oauth?: Partial<AppOptions['oauth']> }
): Promise<number> {
  const provider = await startMisbehavingProvider(t)
  const { app } = await buildApp(t, {
    oauth: { providers: { acme: provider.providerOptions }, ...options.oauth },
    session: options.session ?? {}
  })
  let failed = 0
  const begin = async (count: number) => {
    for (let done = 0; done < count; done += AT_ONCE) {
      const answers = await Promise.all(Array.from({ length: AT_ONCE }, () => app.inject({ url: '/login' })))
      // Requests that are injected take no turn of the event loop, and much is freed in the next one.
      await new Promise(resolve => setImmediate(resolve))
      failed += answers.filter(({ statusCode }) => statusCode !== 302).length
    }
  }
  await begin(VISITS / 10)
  const before = await heapUsed()
  await begin(VISITS - VISITS / 10)
  t.equal(failed, 0, 'all were sent to the provider')
  return await heapUsed() - before
}

t.test(
  '100,000 anonymous GET /login with Redis: nothing stays in the process, one small key each with an end',
  { timeout: 240_000 },
  async t => {
    const redis = await startRedis(t)
    if (redis === undefined) return
    const client = await createClient({ url: redis.url }).connect()
    t.after(() => client.destroy())
    const memory = async () => Number(/used_memory:(\d+)/.exec(await client.info('memory'))?.[1])
    const empty = await memory()
    const grown = await visit(t, {
      oauth: { tokenStore: redisStore(client) },
      session: { store: new RedisSessionStore(client) as never }
    })
    t.ok(grown < 5_000_000, `the heap grew by ${grown} bytes`)

    const perKey = (await memory() - empty) / VISITS
    t.ok(perKey < 1_500, `${perKey} bytes a key`)
    let keys = 0
    let withoutEnd = 0
    for await (const found of client.scanIterator({ COUNT: 1_000 })) {
      const lives = await Promise.all(found.map(key => client.pTTL(key)))
      keys += found.length
      withoutEnd += lives.filter(ms => ms <= 0 || ms > 600_000).length
    }
    t.equal(keys, VISITS)
    t.equal(withoutEnd, 0, 'each is gone ten minutes after it was begun')
  })

t.test(
  '100,000 anonymous GET /login with the in-memory store: ten thousand are kept, and the heap does not grow',
  { timeout: 240_000 },
  async t => {
    const memory = new session.MemoryStore()
    const { store: kept } = memory as unknown as { store: Map<string, unknown> }
    const grown = await visit(t, { session: { store: memory as never } })
    t.ok(grown < 5_000_000, `the heap grew by ${grown} bytes`)
    t.equal(kept.size, 10_000)
  }
)
