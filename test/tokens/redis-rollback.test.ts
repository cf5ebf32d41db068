import { createClient } from 'redis'
import t, { type Test } from 'tap'
import { redisStore } from '../../lib/redis.ts'
import type { TestCluster } from '../helpers/cluster.ts'
import { Gate } from '../helpers/gate.ts'
import { captureLog } from '../helpers/log.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { startProvider } from '../helpers/provider.ts'
import { startRedis } from '../helpers/redis.ts'
import { startTokenProcess, tokenSet } from '../helpers/token-process.ts'
import { wrappedStore } from '../helpers/wrapped-store.ts'

// A Redis that loses what it has acknowledged, as after a failover to a replica that lags, or a restart without AOF.

async function rollbackApps (t: Test) {
  const log = captureLog()
  const acquiring: Gate[] = []
  const cluster = await loggedInApp(t, {
    processes: 2,
    fastify: { logger: log.logger },
    oauth: (_index, client) => ({
      tokenStore: wrappedStore(redisStore(client), store => ({
        acquireRefresh: async (id, lease) => {
          await acquiring.pop()?.pass()
          return await store.acquireRefresh(id, lease)
        }
      }))
    })
  })
  if (cluster === undefined) return undefined
  const { client } = cluster
  const keys = [...(await cluster.tokenRecords()).keys(), ...await cluster.sessions()]
  /** Returns a function that takes everything back to where it is now. */
  const snapshot = async () => {
    for (const key of keys) await client.copy(key, `kept:${key}`)
    return async () => {
      for (const key of keys) await client.copy(`kept:${key}`, key, { REPLACE: true })
    }
  }
  /** Holds the next `acquireRefresh` of any app. */
  const holdAcquire = () => {
    const gate = new Gate()
    acquiring.push(gate)
    return gate
  }
  const warnings = () => log.lines.filter(({ msg }) => String(msg).includes('had lost writes'))
  return { ...cluster, snapshot, holdAcquire, warnings }
}

const stored = async ({ tokenRecords }: TestCluster) => [...(await tokenRecords()).values()][0]

t.test(
  'a record that went back is repaired by a process that saw the newer one, and no used token is sent',
  async t => {
    const setup = await rollbackApps(t)
    if (setup === undefined) return
    const { provider, snapshot, expireTokens, orders, warnings } = setup
    const rollBack = await snapshot()
    await expireTokens()
    t.equal((await orders(0)).status, 200)
    const newest = await stored(setup)
    await rollBack()
    t.equal((await stored(setup))?.version, 1)
    t.equal((await orders(0)).status, 200)
    t.strictSame(await stored(setup), newest)
    t.match(warnings(), [{ level: 40, provider: 'acme' }], 'and it is said')
    await expireTokens()
    t.equal((await orders(1)).status, 200, 'another process goes on from it')
    t.equal(provider.refreshTokenReuses, 0)
  }
)

t.test('race: a record that goes back between the read and the refresh is repaired, too', async (t) => {
  const setup = await rollbackApps(t)
  if (setup === undefined) return
  const { provider, snapshot, expireTokens, orders, holdAcquire } = setup
  const rollBack = await snapshot()
  await expireTokens()
  t.equal((await orders(0)).status, 200)
  provider.expireAccessTokens()
  const begin = holdAcquire()
  const call = orders(0)
  await begin.arrived
  await rollBack()
  begin.release()
  t.equal((await call).status, 200)
  t.equal((await orders(1)).status, 200)
  t.equal(provider.refreshTokenReuses, 0)
})

t.test('a refresh that another process has begun on the older record keeps its lease', async (t) => {
  const setup = await rollbackApps(t)
  if (setup === undefined) return
  const { snapshot, expireTokens, orders, client, key } = setup
  const rollBack = await snapshot()
  await expireTokens()
  t.equal((await orders(0)).status, 200)
  await rollBack()
  await client.hSet(key, { o: 'another process', u: String(Date.now() + 60_000) })
  t.equal((await orders(0)).status, 200, 'with what this process saw')
  t.match(await stored(setup), { version: 1 })
  t.equal(await client.hGet(key, 'o'), 'another process')
})

t.test('a record that is missing is never brought back', async (t) => {
  const setup = await rollbackApps(t)
  if (setup === undefined) return
  const { expireTokens, orders, client, key } = setup
  await expireTokens()
  t.equal((await orders(0)).status, 200)
  await client.del(key)
  t.match((await orders(0)).json(), { code: 'FST_OAUTH_LOGIN_ENDED' })
  t.equal(await client.hExists(key, 'd'), 0)
})

t.test(
  'a session whose logout Redis forgot is ignored and destroyed again by the process that knows of the logout',
  async t => {
    const setup = await rollbackApps(t)
    if (setup === undefined) return
    const { apps, browser, snapshot, sessions } = setup
    const rollBack = await snapshot()
    const cookies = browser.cookies
    await browser.logout(`${apps[0]!.url}/logout`)
    await rollBack()
    browser.cookies = cookies
    t.strictSame((await browser.get(apps[0]!.url)).json(), { user: null })
    t.strictSame(await sessions(), [])
    t.strictSame((await browser.get(apps[1]!.url)).json(), { user: null }, 'by now for every process')
  }
)

/** A store of a test's own and a process on it. */
async function oneProcess (t: Test) {
  const redis = await startRedis(t)
  if (redis === undefined) return undefined
  const connection = await createClient({ url: redis.url }).connect()
  t.after(() => connection.destroy())
  const consuming = new Gate()
  let hold = false
  const store = redisStore(connection)
  const held = wrappedStore(store, store => ({
    consume: async (id) => {
      if (hold) await consuming.pass()
      return await store.consume(id)
    }
  }))
  const { records, client, pass, rollbacks } = startTokenProcess(t, held, await startProvider(t))
  const create = () => records.create({
    version: 1,
    provider: 'acme',
    providerIdentity: client.config.identity,
    tokens: tokenSet('first', 1),
    obtainedAt: 0,
    ttl: 3600,
    user: null
  })
  const holdConsume = () => {
    hold = true
    return consuming
  }
  return { connection, store, records, pass, rollbacks, create, holdConsume }
}

t.test('a record whose deletion Redis forgot is deleted again by the process that knows of it', async (t) => {
  const setup = await oneProcess(t)
  if (setup === undefined) return
  const { connection, store, records, rollbacks, create } = setup
  const id = await create()
  await connection.copy(`oauth:${id}`, 'kept')
  t.match(await records.remove(id), { version: 1 })
  await connection.copy('kept', `oauth:${id}`, { REPLACE: true })
  t.match(await store.get(id), { version: 1 })
  t.equal(await records.read(id), undefined)
  t.strictSame(rollbacks, ['acme'])
  t.equal(await store.get(id), undefined)
  t.equal(await store.set(id, { version: 2 }, { ttl: 60, expectedVersion: 1 }), false)
})

t.test('race: a read beside a logout is not taken for a deletion that the store forgot', async (t) => {
  const setup = await oneProcess(t)
  if (setup === undefined) return
  const { store, records, rollbacks, create, holdConsume } = setup
  const id = await create()
  const consuming = holdConsume()
  const removing = records.remove(id)
  await consuming.arrived
  t.equal(await records.read(id), undefined, 'gone at once for this process')
  t.match(await store.get(id), { version: 1 })
  consuming.release()
  t.match(await removing, { version: 1 })
  t.strictSame(rollbacks, [])
})

t.test('a version that was seen more than a minute ago does not replace an older one in the store', async (t) => {
  const setup = await oneProcess(t)
  if (setup === undefined) return
  const { store, records, pass, create } = setup
  for (const [passed, version] of [[59_000, 2], [61_000, 1]] as const) {
    const id = await create()
    const first = await records.read(id)
    const older = await store.get(id)
    t.equal(await records.update(id, { ...first!, version: 2, tokens: tokenSet('second', 2) }), true)
    await store.set(id, older!, { ttl: 3600 })
    pass(passed)
    t.equal((await records.read(id))?.version, version)
    t.equal((await store.get(id))?.version, version)
  }
})
