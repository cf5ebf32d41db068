import { Redis } from 'ioredis'
import { createClient } from 'redis'
import t, { type Test } from 'tap'
import { redisStore } from '../../lib/redis.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { movingClock } from '../helpers/moving-clock.ts'
import type { RedisServer } from '../helpers/redis.ts'
import { startTokenProcess } from '../helpers/token-process.ts'
import { until } from '../helpers/until.ts'
import { unlessAway, wrappedStore } from '../helpers/wrapped-store.ts'

// Redis was away for longer than a lease lives, and the process that holds the new tokens reconnects last.

/** Milliseconds: at once, with commands that wait for it; and the longest back-off of the clients by default. */
const AT_ONCE_MS = 20
const LONGEST_BACK_OFF_MS = 2_200

/** Connects; after an outage, tries again after so many milliseconds. */
const connectors = {
  'node-redis': async (t: Test, url: string, reconnectMs: number) => {
    const client = createClient({
      url,
      disableOfflineQueue: reconnectMs > AT_ONCE_MS,
      socket: { reconnectStrategy: reconnectMs }
    })
    client.on('error', () => {})
    t.after(() => client.destroy())
    return await client.connect() as object
  },
  ioredis: async (t: Test, url: string, reconnectMs: number) => {
    const client = new Redis(url, {
      lazyConnect: true,
      enableOfflineQueue: reconnectMs <= AT_ONCE_MS,
      retryStrategy: () => reconnectMs
    })
    client.on('error', () => {})
    t.after(() => client.disconnect())
    await client.connect()
    return client as object
  }
}
type Connect = typeof connectors.ioredis

/** Alice's record on a Redis, and processes that refresh it. */
async function setUp (t: Test, connect: Connect) {
  const cluster = await loggedInApp(t, { processes: 1 })
  if (cluster === undefined) return undefined
  const { provider, redis, client, key } = cluster
  const id = key.slice('oauth:'.length)
  const start = async (reconnectMs: number) =>
    startTokenProcess(t, redisStore(await connect(t, redis.url, reconnectMs)), provider)
  return {
    ...cluster,
    id,
    start,
    refresh: async ({ refresher, client }: Awaited<ReturnType<typeof start>>) =>
      await refresher.refresh(client, id, { version: 1 }),
    /** Lets the lease on the record run out at once. */
    endLease: async () => { await client.hSet(key, 'u', '1') },
    /** Leaves the lease of a process that has died. */
    leaveLease: async () => { await client.hSet(key, { o: 'another process', u: '1', h: '1' }) },
    read: async (name: string) => await client.hGet(key, name)
  }
}

async function outage (redis: RedisServer, during: () => unknown): Promise<void> {
  await redis.stop('SIGKILL')
  await during()
  await redis.start()
}

for (const [name, connect] of Object.entries(connectors)) {
  for (const other of ['a process that starts', 'a process that was idle'] as const) {
    t.test(`${name}: ${other} while Redis is away waits until the lease holder can write`, async (t) => {
      const setup = await setUp(t, connect)
      if (setup === undefined) return
      const { provider, redis, tokenRecords, start, refresh, endLease } = setup
      const holder = await start(LONGEST_BACK_OFF_MS)
      const idle = other === 'a process that was idle' ? await start(AT_ONCE_MS) : undefined
      const gate = provider.holdTokenEndpoint({ afterwards: true })
      const refreshed = refresh(holder)
      await gate.arrived
      await endLease()
      await outage(redis, async () => {
        gate.release()
        t.match(await refreshed, { version: 2 }, 'its holder has the new tokens in memory')
        t.equal(holder.records.unsaved, 1)
      })
      const first = idle ?? await start(AT_ONCE_MS)
      t.match(await refresh(first), { version: 2 })
      t.equal(provider.tokenRequests.length, 2, 'a login and one refresh')
      t.equal(provider.refreshTokenReuses, 0)
      t.equal([...(await tokenRecords()).values()][0]?.version, 2)
    })
  }

  t.test(`${name}: a lease holder whose refresh goes on over an outage is not taken for a dead one`, async (t) => {
    const setup = await setUp(t, connect)
    if (setup === undefined) return
    const { provider, redis, start, refresh, endLease, read } = setup
    const holder = await start(LONGEST_BACK_OFF_MS)
    const gate = provider.holdTokenEndpoint({ afterwards: true })
    const refreshed = refresh(holder)
    await gate.arrived
    await endLease()
    await outage(redis, () => {})
    const waiting = refresh(await start(AT_ONCE_MS))
    await until(async () => await read('u') !== '1', 'the lease is extended again')
    gate.release()
    await Promise.all([refreshed, waiting])
    t.equal(provider.tokenRequests.length, 2)
    t.equal(provider.refreshTokenReuses, 0)
  })
}

t.test(
  'a set whose write was carried out, but not acknowledged, is not refreshed before Redis can be told',
  async t => {
    const setup = await setUp(t, connectors['node-redis'])
    if (setup === undefined) return
    const { provider, redis, start, refresh, id } = setup
    let away = false
    const connection = await connectors['node-redis'](t, redis.url, AT_ONCE_MS)
    const store = wrappedStore(redisStore(connection), store => {
      const methods = unlessAway(store, () => away)
      const finishRefresh = async (...args: Parameters<typeof store.finishRefresh>) => {
        const isWritten = await methods.finishRefresh(...args)
        if (!isWritten) return isWritten
        away = true
        throw new Error('connection lost')
      }
      return { ...methods, finishRefresh }
    })
    const holder = startTokenProcess(t, store, provider)
    t.match(await refresh(holder), { version: 2 })
    t.equal(holder.records.unsaved, 1)
    await t.rejects(holder.refresher.refresh(holder.client, id, { version: 2 }), { message: 'connection lost' })
    const other = await start(AT_ONCE_MS)
    const { version } = await other.refresher.refresh(other.client, id, { version: 2 })
    t.ok(version > 2)
    away = false
    t.match(await holder.refresher.refresh(holder.client, id, { version: 2 }), { version })
    t.equal(provider.refreshTokenReuses, 0)
  }
)

t.test('a lease has its whole life although the clock is set while an earlier call of Redis is awaited', async (t) => {
  const setup = await setUp(t, connectors['node-redis'])
  if (setup === undefined) return
  const { provider, redis, refresh, id } = setup
  const clock = movingClock(t)
  const lives: number[] = []
  let tries = 0
  const store = wrappedStore(redisStore(await connectors['node-redis'](t, redis.url, AT_ONCE_MS)), store => ({
    acquireRefresh: async (id, lease) => {
      lives.push(lease.until - Date.now())
      return await store.acquireRefresh(id, lease)
    },
    finishRefresh: async (id, outcome) => {
      if (tries++ === 0) throw new Error('connection lost')
      clock.pass(600)
      return await store.finishRefresh(id, outcome)
    }
  }))
  const holder = startTokenProcess(t, store, provider)
  t.match(await refresh(holder), { version: 2 })
  await holder.refresher.refresh(holder.client, id, { version: 2 })
  t.strictSame(lives, [5_000, 5_000])
})

t.test('the lease of a dead process is given up when Redis has been available for long enough', async (t) => {
  const setup = await setUp(t, connectors['node-redis'])
  if (setup === undefined) return
  const { provider, start, refresh, leaveLease, read } = setup
  await leaveLease()
  const process = await start(AT_ONCE_MS)
  const refreshed = refresh(process)
  await until(async () => {
    return await process.records.read('another') === undefined && process.records.steadyMs >= 1_000
  }, 'Redis has been there for a second')
  t.equal(await read('o'), 'another process')
  t.equal(provider.tokenRequests.length, 1)
  t.match(await refreshed, { tokens: {} })
  t.equal(provider.tokenRequests.length, 2)
  t.equal(provider.refreshTokenReuses, 0)
})

t.test('a refresh that its lease holder has given up is done by the next process at once', async (t) => {
  const setup = await setUp(t, connectors['node-redis'])
  if (setup === undefined) return
  const { provider, start, refresh } = setup
  provider.failTokenEndpoint({ status: 504 }, { times: 1, grantType: 'refresh_token' })
  await t.rejects(refresh(await start(AT_ONCE_MS)), { code: 'FST_OAUTH_PROVIDER_UNAVAILABLE' })
  const next = await start(AT_ONCE_MS)
  await refresh(next)
  t.ok(next.records.steadyMs < 3_500)
  t.equal(provider.refreshTokenReuses, 0)
})
