import { Cluster, Redis } from 'ioredis'
import { createClient, createCluster } from 'redis'
import t, { type Test } from 'tap'
import { redisStore } from '../../lib/redis.ts'
import type { StoredRecord, TokenStore } from '../../lib/index.ts'
import { TOMBSTONE_MS } from '../../lib/tokens/stores/token-store.ts'
import { startRedis, startRedisCluster } from '../helpers/redis.ts'
import { until } from '../helpers/until.ts'

type Command = (...args: string[]) => Promise<unknown>
interface Connection {
  client: object
  /** Sends any command, on a cluster to its only node. */
  command: Command
}

const clients: Record<string, (t: Test, url: string) => Promise<Connection>> = {
  'node-redis': async (t, url) => {
    const client = await createClient({ url }).connect()
    t.after(() => client.destroy())
    return { client, command: (...args) => client.sendCommand(args) }
  },
  ioredis: async (t, url) => {
    const client = new Redis(url)
    t.after(() => client.disconnect())
    return { client, command: (name, ...args) => client.call(name!, ...args) }
  },
  'node-redis on a cluster': async (t, url) => {
    const client = createCluster({ rootNodes: [{ url }] })
    await client.connect()
    t.after(() => client.destroy())
    return { client, command: (...args) => client.sendCommand(undefined, false, args) }
  },
  'ioredis on a cluster': async (t, url) => {
    const client = new Cluster([{ host: '127.0.0.1', port: Number(new URL(url).port) }])
    t.after(() => client.disconnect())
    return { client, command: (name, ...args) => client.nodes('master')[0]!.call(name!, ...args) }
  }
}

const record = (version: number, more = {}): StoredRecord => ({ version, ...more })
const lease = (owner: string, ms = 5_000) => ({ owner, until: Date.now() + ms })

for (const [name, connect] of Object.entries(clients)) {
  t.test(name, async (t) => {
    const isCluster = name.endsWith('cluster')
    const redis = await (isCluster ? startRedisCluster(t) : startRedis(t))
    if (redis === undefined) return
    const { client, command } = await connect(t, redis.url)
    const store = redisStore(client) as Required<TokenStore>

    t.test('keeps what it is given, members of any kind', async (t) => {
      await store.set('a', record(1, { text: 'é\n"', list: [1, null], deep: { __proto__x: true } }), { ttl: 60 })
      t.strictSame(await store.get('a'), record(1, { text: 'é\n"', list: [1, null], deep: { __proto__x: true } }))
      t.equal(await store.get('unknown'), undefined)
    })
    t.test('writes only over the expected version', async (t) => {
      t.equal(await store.set('b', record(1), { ttl: 60, expectedVersion: 0 }), true)
      t.equal(await store.set('b', record(1), { ttl: 60, expectedVersion: 0 }), false)
      t.equal(await store.set('b', record(3), { ttl: 60, expectedVersion: 2 }), false)
      t.equal(await store.set('b', record(2), { ttl: 60, expectedVersion: 1 }), true)
      t.match(await store.get('b'), { version: 2 })
    })
    t.test('a take is had by one of many', async (t) => {
      await store.set('c', record(0), { ttl: 60 })
      const taken = await Promise.all(Array.from({ length: 50 }, () => store.consume('c')))
      t.equal(taken.filter(Boolean).length, 1)
    })
    t.test('what was deleted does not come back by a late write', async (t) => {
      await store.set('d', record(1), { ttl: 60 })
      await store.acquireRefresh('d', lease('me'))
      await store.delete('d')
      t.equal(await store.set('d', record(2), { ttl: 60, expectedVersion: 1 }), false)
      t.equal(await store.finishRefresh('d', { owner: 'me', record: record(2), ttl: 60 }), false)
      t.match(await store.acquireRefresh('d', lease('me')), { state: 'gone' })
      t.equal(await store.get('d'), undefined)
      t.equal(await store.set('d', record(2), { ttl: 60 }), false, 'nor by one that expects no version')
      const left = Number(await command('PTTL', 'oauth:d'))
      t.ok(left > TOMBSTONE_MS - 10_000 && left <= TOMBSTONE_MS, `${left} ms`)
    })
    t.test('what was removed is returned once, and does not come back', async (t) => {
      await store.set('k', record(1, { text: 'é' }), { ttl: 60 })
      const removed = await Promise.all(Array.from({ length: 20 }, () => store.remove('k')))
      t.strictSame(removed.filter(found => found !== undefined), [record(1, { text: 'é' })])
      t.equal(await store.set('k', record(2), { ttl: 60 }), false)
      t.ok(Number(await command('PTTL', 'oauth:k')) > TOMBSTONE_MS - 10_000)
    })
    t.test('a touch lengthens a life and never shortens one', async (t) => {
      await store.set('e', record(1), { ttl: 1000 })
      await store.touch('e', { ttl: 10 })
      t.ok(Number(await command('PTTL', 'oauth:e')) > 900_000)
      await store.touch('e', { ttl: 2000 })
      t.ok(Number(await command('PTTL', 'oauth:e')) > 1_900_000)
      await store.touch('unknown', { ttl: 10 })
      t.equal(await store.get('unknown'), undefined)
    })
    t.test('a set ends with its last member, and members whose time is over are dropped by additions', async (t) => {
      const add = (member: string, ttl: number, onlyIfPresent = false) =>
        store.addMember('set', member, { of: member }, { ttl, onlyIfPresent })
      const end = async () => Number(await command('PTTL', 'oauth:set'))
      await add('short', 100)
      await add('long', 1_000)
      await add('shorter', 10)
      t.ok(await end() > 990_000)
      t.equal(await add('short', 2_000, true), true)
      t.ok(await end() > 1_990_000, 'it lives on')
      // As they will be.
      const over = Array.from({ length: 500 }, (_, index) => `over-${index}`)
      for (const member of over) await command('HSET', 'oauth:set', member, `${Date.now() - 1} {}`)
      t.equal((await store.members('set')).length, 3)
      t.equal(await add('over-7', 60, true), false, 'its time is over')
      for (let index = 0; index < 500; index++) await add('long', 1_000)
      const left = Number(await command('HLEN', 'oauth:set'))
      t.ok(left < 150, `${left} of 503 fields`)
      t.strictSame((await store.members('set')).sort(), [['long', { of: 'long' }], ['short', { of: 'short' }],
        ['shorter', { of: 'shorter' }]])
      await store.removeMembers('set', ['short', 'long', 'shorter'])
      await store.removeMembers('set', over)
      t.equal(await command('EXISTS', 'oauth:set'), 0, 'an empty set is none')
    })
    t.test('what stands in the place of a set\'s value is returned as it is, and harms nothing', async (t) => {
      const odd = { no: 'no json', time: '{}', half: `${Date.now() + 1e6} {"half`, '': '' }
      for (const [member, text] of Object.entries(odd)) await command('HSET', 'oauth:odd', member, text)
      t.strictSame(await store.members('odd'), [['half', '{"half']])
      t.equal(await store.addMember('odd', 'good', {}, { ttl: 60 }), true)
    })
    t.test('every key has an end', async (t) => {
      for (const key of await command('KEYS', '*') as string[]) t.ok(Number(await command('PTTL', key)) > 0, key)
    })
    t.test('one lease holder at a time; others are told until when', async (t) => {
      await store.set('f', record(1), { ttl: 60 })
      t.match(await store.acquireRefresh('f', { ...lease('one'), version: 1 }), {
        state: 'begun',
        abandoned: false,
        record: { version: 1 }
      })
      const busy = await store.acquireRefresh('f', { ...lease('two'), version: 1 })
      t.equal(busy.state, 'busy')
      t.ok(busy.state === 'busy' && busy.until > Date.now())
      t.equal(await store.finishRefresh('f', { owner: 'two', record: record(2), ttl: 60 }), false)
      t.equal(await store.finishRefresh('f', { owner: 'one', record: record(2), ttl: 60 }), true)
      t.match(await store.acquireRefresh('f', { ...lease('two'), version: 1 }), {
        state: 'newer',
        record: { version: 2 }
      })
      t.match(
        await store.acquireRefresh('f', { ...lease('three'), version: 2 }),
        { state: 'begun', abandoned: false },
        'a newer version left no lease'
      )
    })
    t.test('a lease whose time is over is found abandoned', async (t) => {
      await store.set('g', record(1), { ttl: 60 })
      await store.acquireRefresh('g', lease('dead', -1))
      t.match(await store.acquireRefresh('g', lease('alive')), { state: 'begun', abandoned: true })
      t.equal(
        await store.finishRefresh('g', { owner: 'dead', record: record(2), ttl: 60 }),
        false,
        'and its owner comes too late'
      )
    })
    t.test('the owner extends its lease, and releases it without a new set', async (t) => {
      await store.set('h', record(1), { ttl: 60 })
      await store.acquireRefresh('h', lease('one', 50))
      t.match(await store.acquireRefresh('h', lease('one', 60_000)), { state: 'begun', abandoned: false })
      t.match(await store.acquireRefresh('h', lease('two')), { state: 'busy' })
      t.equal(await store.finishRefresh('h', { owner: 'one', ttl: 60 }), true)
      t.match(await store.acquireRefresh('h', lease('two')), { state: 'begun', abandoned: false })
      t.match(await store.get('h'), { version: 1 })
    })
    t.test('a lease ends in its time although the clock of Redis has been set back', async (t) => {
      const setBack = async () => await command('HINCRBY', 'oauth:set back', 'u', '3600000')
      await store.set('set back', record(1), { ttl: 60 })
      await store.acquireRefresh('set back', lease('dead', 50))
      await setBack()
      const onlyIfUnlocked = { ttl: 60, onlyIfUnlocked: true }
      t.equal(await store.set('set back', record(2), onlyIfUnlocked), false, 'its owner, if alive, extends it')
      await setBack()
      t.match(await store.acquireRefresh('set back', lease('two')), { state: 'busy' }, 'so it is for another owner')
      await until(async () => (await store.acquireRefresh('set back', lease('two'))).state === 'begun', 'it has ended')
      await store.acquireRefresh('set back', lease('two', 50))
      await setBack()
      await until(async () => await store.set('set back', record(2), onlyIfUnlocked), 'it has ended for a write')
    })
    t.test('a lease whose end cannot be read is over', async (t) => {
      await store.set('no end', record(1), { ttl: 60 })
      await store.acquireRefresh('no end', lease('dead'))
      await command('HSET', 'oauth:no end', 'u', 'never')
      t.match(await store.acquireRefresh('no end', lease('two')), { state: 'begun', abandoned: true })
      await command('HDEL', 'oauth:no end', 'u')
      t.match(await store.acquireRefresh('no end', lease('three')), { state: 'begun', abandoned: true })
    })
    t.test('a write with onlyIfUnlocked is refused during a refresh', async (t) => {
      await store.set('j', record(1), { ttl: 60 })
      await store.acquireRefresh('j', lease('one'))
      t.equal(await store.set('j', record(2), { ttl: 60, expectedVersion: 1, onlyIfUnlocked: true }), false)
      await store.finishRefresh('j', { owner: 'one', ttl: 60 })
      t.equal(await store.set('j', record(2), { ttl: 60, expectedVersion: 1, onlyIfUnlocked: true }), true)
    })
    t.test('a script cache that was lost is filled again by any command', async (t) => {
      await store.set('i', record(1), { ttl: 60 })
      const steps = {
        acquireRefresh: () => store.acquireRefresh('i', lease('one')),
        finishRefresh: () => store.finishRefresh('i', { owner: 'one', record: record(2), ttl: 60 }),
        touch: () => store.touch('i', { ttl: 60 }),
        set: () => store.set('i', record(3), { ttl: 60, expectedVersion: 2 }),
        consume: () => store.consume('i'),
        delete: () => store.delete('i'),
        addMember: () => store.addMember('set of i', 'one', {}, { ttl: 60 }),
        members: () => store.members('set of i'),
        removeMembers: () => store.removeMembers('set of i', ['one']),
        remove: () => store.remove('i')
      }
      for (const [step, run] of Object.entries(steps)) {
        await command('SCRIPT', 'FLUSH')
        await t.resolves(async () => { await run() }, step)
      }
      t.equal(await store.set('i', record(1), { ttl: 60 }), false, 'and each was carried out')
    })
    t.test('says what would lose logins', async (t) => {
      t.match(await store.inspect(), [/append-only/])
      await command('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru')
      await command('CONFIG', 'SET', 'appendonly', 'yes')
      t.match(await store.inspect(), [/noeviction/])
    })
    if (isCluster) {
      t.test('waitReplicas is refused: WAIT cannot be sent to the node that took the write', async t => {
        t.throws(() => redisStore(client, { waitReplicas: 1 }), {
          code: 'FST_OAUTH_INVALID_OPTIONS',
          message: /waitReplicas/
        })
      })
      return
    }
    t.test('waits for replicas where it is asked to, after each write', async (t) => {
      const waiting = redisStore(client, { prefix: 'w:', waitReplicas: 1 }) as Required<TokenStore>
      await command('CONFIG', 'RESETSTAT')
      t.equal(await waiting.set('a', record(1), { ttl: 60 }), true)
      t.match(await waiting.acquireRefresh('a', lease('one')), { state: 'begun' })
      t.equal(await waiting.finishRefresh('a', { owner: 'one', record: record(2), ttl: 60 }), true)
      t.match(await waiting.get('a'), { version: 2 })
      await waiting.addMember('set', 'one', {}, { ttl: 60 })
      t.strictSame(await waiting.members('set'), [['one', {}]])
      await waiting.removeMembers('set', ['one'])
      t.match(String(await command('INFO', 'commandstats')), /cmdstat_wait:calls=5,/)
    })
  })
}

t.test('a script that failed is not run again: it may have done its work', async (t) => {
  const run: string[] = []
  const store = redisStore({
    evalSha: async () => {
      run.push('by its digest')
      throw new Error('connection lost')
    },
    eval: async () => { run.push('by its source') }
  })
  await t.rejects(store.consume('a'), { message: 'connection lost' })
  t.strictSame(run, ['by its digest'])
})

t.test('a client of no known kind is refused', async (t) => {
  t.throws(() => redisStore({}), { code: 'FST_OAUTH_INVALID_OPTIONS' })
})
