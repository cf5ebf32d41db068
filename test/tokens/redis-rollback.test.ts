import { createClient } from 'redis'
import t, { type Test } from 'tap'
import { redisStore } from '../../lib/redis.ts'
import { Browser } from '../helpers/browser.ts'
import { startCluster, type TestCluster } from '../helpers/cluster.ts'
import { Gate } from '../helpers/gate.ts'
import { captureLog } from '../helpers/log.ts'
import { startProvider } from '../helpers/provider.ts'
import { startRedis } from '../helpers/redis.ts'
import { startTokenProcess, tokenSet } from '../helpers/token-process.ts'
import { wrappedStore } from '../helpers/wrapped-store.ts'

// A Redis that loses what it has acknowledged, as after a failover to a replica that lags, or a restart without AOF.

async function loggedIn (t: Test) {
  const log = captureLog()
  const provider = await startProvider(t)
  const beginning: Gate[] = []
  const cluster = await startCluster(t, provider, 2, {
    fastify: { logger: log.logger },
    setup: (app) => { app.get('/orders', async (request) => request.oauth.get('orders').json()) },
    oauth: (_index, client) => ({
      tokenStore: wrappedStore(redisStore(client), store => ({
        acquireRefresh: async (id, intent) => {
          await beginning.pop()?.pass()
          return await store.acquireRefresh(id, intent)
        }
      }))
    })
  })
  if (cluster === undefined) return undefined
  const { apps, client } = cluster
  const browser = new Browser()
  await browser.login(`${apps[0]!.url}/login/acme`)
  const keys = [...(await cluster.tokenRecords()).keys(), ...await cluster.sessions()]
  /** Takes everything back to where it is now. */
  const snapshot = async () => {
    for (const key of keys) await client.copy(key, `kept:${key}`)
    return async () => {
      for (const key of keys) await client.copy(`kept:${key}`, key, { REPLACE: true })
    }
  }
  return {
    ...cluster,
    provider,
    browser,
    key: keys[0]!,
    snapshot,
    /** Holds the next `begin` of any app. */
    holdBegin: () => {
      const gate = new Gate()
      beginning.push(gate)
      return gate
    },
    orders: (index: number) => browser.get(`${apps[index]!.url}/orders`),
    warnings: () => log.lines.filter(({ msg }) => String(msg).includes('had gone back'))
  }
}

const stored = async ({ tokenRecords }: TestCluster) => [...(await tokenRecords()).values()][0]

t.test(
  'a record that went back is repaired by a process that saw the newer one, and no used token is sent',
  async t => {
    const setup = await loggedIn(t)
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

t.test('a record that goes back between the read and the refresh is repaired, too', async (t) => {
  const setup = await loggedIn(t)
  if (setup === undefined) return
  const { provider, snapshot, expireTokens, orders, holdBegin } = setup
  const rollBack = await snapshot()
  await expireTokens()
  t.equal((await orders(0)).status, 200)
  provider.expireAccessTokens()
  const begin = holdBegin()
  const call = orders(0)
  await begin.arrived
  await rollBack()
  begin.release()
  t.equal((await call).status, 200)
  t.equal((await orders(1)).status, 200)
  t.equal(provider.refreshTokenReuses, 0)
})

t.test('a refresh that another process has begun on the older record is not shut out', async (t) => {
  const setup = await loggedIn(t)
  if (setup === undefined) return
  const { snapshot, expireTokens, orders, client, key } = setup
  const rollBack = await snapshot()
  await expireTokens()
  t.equal((await orders(0)).status, 200)
  await rollBack()
  await client.hSet(key, { o: 'somebody', u: String(Date.now() + 60_000) })
  t.equal((await orders(0)).status, 200, 'with what this process saw')
  t.match(await stored(setup), { version: 1 })
  t.equal(await client.hGet(key, 'o'), 'somebody')
})

t.test('a record that is missing is never brought back', async (t) => {
  const setup = await loggedIn(t)
  if (setup === undefined) return
  const { expireTokens, orders, client, key } = setup
  await expireTokens()
  t.equal((await orders(0)).status, 200)
  await client.del(key)
  t.match((await orders(0)).json(), { code: 'FST_OAUTH_LOGIN_ENDED' })
  t.equal(await client.hExists(key, 'd'), 0)
})

t.test(
  "a session whose logout Redis forgot is nobody's to the process that knows of it, and destroyed again",
  async t => {
    const setup = await loggedIn(t)
    if (setup === undefined) return
    const { apps, browser, snapshot, sessions } = setup
    const rollBack = await snapshot()
    const cookies = browser.cookies
    await browser.logout(`${apps[0]!.url}/logout`)
    await rollBack()
    browser.cookies = cookies
    t.strictSame((await browser.get(apps[0]!.url)).json(), { user: null })
    t.strictSame(await sessions(), [])
    t.strictSame((await browser.get(apps[1]!.url)).json(), { user: null }, 'by now to every process')
  }
)

/** A store of a test's own and a process on it. */
async function startAlone (t: Test) {
  const redis = await startRedis(t)
  if (redis === undefined) return undefined
  const connection = await createClient({ url: redis.url }).connect()
  t.after(() => connection.destroy())
  const taking = new Gate()
  let hold = false
  const store = redisStore(connection)
  const held = wrappedStore(store, store => ({
    consume: async (id) => {
      if (hold) await taking.pass()
      return await store.consume(id)
    }
  }))
  const { records, client, pass, rollbacks } = startTokenProcess(t, held, await startProvider(t))
  const create = () => records.create({
    provider: 'acme',
    providerIdentity: client.config.identity,
    tokens: tokenSet('first', 1),
    obtainedAt: 0,
    ttl: 3600,
    user: null
  })
  const holdTake = () => {
    hold = true
    return taking
  }
  return { connection, store, records, pass, rollbacks, create, holdTake }
}

t.test('a record whose deletion Redis forgot is deleted again by the process that knows of it', async (t) => {
  const setup = await startAlone(t)
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

t.test('a read beside a logout is not taken for one that the store forgot', async (t) => {
  const setup = await startAlone(t)
  if (setup === undefined) return
  const { store, records, rollbacks, create, holdTake } = setup
  const id = await create()
  const taking = holdTake()
  const removing = records.remove(id)
  await taking.arrived
  t.equal(await records.read(id), undefined, 'gone at once for this process')
  t.match(await store.get(id), { version: 1 })
  taking.release()
  t.match(await removing, { version: 1 })
  t.strictSame(rollbacks, [])
})

t.test('what was seen more than a minute ago counts no more than what stands in the store', async (t) => {
  const setup = await startAlone(t)
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
