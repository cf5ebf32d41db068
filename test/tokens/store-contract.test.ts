import { randomBytes } from 'node:crypto'
import { Cluster, Redis } from 'ioredis'
import { createClient, createCluster } from 'redis'
import t, { type Test } from 'tap'
import type { TokenStore } from '../../lib/index.ts'
import { redisStore } from '../../lib/redis.ts'
import { checkTokenStore } from '../../lib/testing.ts'
import { checkedStore } from '../../lib/tokens/stores/checked-store.ts'
import { encryptedStore } from '../../lib/tokens/stores/encrypted-store.ts'
import { MemorySessionStore } from '../../lib/tokens/stores/memory-session-store.ts'
import { SessionTokenStore } from '../../lib/tokens/stores/session-store.ts'
import { startRedis, startRedisCluster } from '../helpers/redis.ts'
import { JsonStore } from '../helpers/stores.ts'

// Every store of this package keeps the contract that a store of an app's own is checked against.

const key = randomBytes(32)
const encrypted = (store: TokenStore) => encryptedStore(store, [key], () => {})
const checked = (store: TokenStore) => checkedStore(store, {
  timeoutMs: 5_000, isOfKind: {}, onFailure: () => {}, onUnreadable: () => {}
})
const inSessionStore = () => {
  const inner = new JsonStore()
  return new SessionTokenStore(() => inner)
}

const inProcess: Record<string, () => TokenStore> = {
  'a session store with get, set and destroy': inSessionStore,
  'the same, encrypted, behind the checks of the plugin': () => checked(encrypted(inSessionStore())),
  'in the memory of @fastify/session\'s own store': () => new MemorySessionStore(new Map())
}

for (const [name, createStore] of Object.entries(inProcess)) {
  t.test(name, t => checkTokenStore(createStore, { test: (title, run) => t.test(title, run) }))
}

/** Two clients of one Redis, as two processes have them; undefined where none is installed. */
async function twoClients (t: Test, cluster: boolean): Promise<[object, object] | undefined> {
  const redis = await (cluster ? startRedisCluster(t) : startRedis(t))
  if (redis === undefined) return undefined
  const { url } = redis
  const one = cluster ? createCluster({ rootNodes: [{ url }] }) : createClient({ url })
  await one.connect()
  const two = cluster ? new Cluster([{ host: '127.0.0.1', port: Number(new URL(url).port) }]) : new Redis(url)
  t.after(() => {
    one.destroy()
    two.disconnect()
  })
  return [one, two]
}

for (const cluster of [false, true]) {
  t.test(`redisStore with node-redis and ioredis${cluster ? ', on a cluster' : ''}`, async (t) => {
    const clients = await twoClients(t, cluster)
    if (clients === undefined) return
    const [one, two] = clients
    await t.resolves(checkTokenStore(() => redisStore(one), { createOther: () => redisStore(two) }))
    await t.resolves(checkTokenStore(() => checked(encrypted(redisStore(two))), {
      createOther: () => checked(encrypted(redisStore(one)))
    }), 'encrypted')
  })
}
