import { randomBytes } from 'node:crypto'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import t, { type Test } from 'tap'
import { redisStore } from '../../lib/redis.ts'
import { checkedStore } from '../../lib/tokens/stores/checked-store.ts'
import { encryptedStore } from '../../lib/tokens/stores/encrypted-store.ts'
import { ListedMembers } from '../../lib/tokens/stores/listed-members.ts'
import { MemoryMembers } from '../../lib/tokens/stores/memory-members.ts'
import { SessionTokenStore } from '../../lib/tokens/stores/session-store.ts'
import { hasMembers, type MemberStore, type TokenStore } from '../../lib/tokens/stores/token-store.ts'
import { startRedis } from '../helpers/redis.ts'
import { JsonStore } from '../helpers/stores.ts'

// Sets of members, which every kind of store keeps in its own way and to the same effect.

/** Makes what one process has; several are of the same store. */
type Open = (t: Test) => Promise<(() => MemberStore) | undefined>

const checked = (store: TokenStore) => checkedStore(store, {
  timeoutMs: 5_000, isOfKind: {}, onFailure: () => {}, onUnreadable: () => {}
}) as TokenStore & MemberStore

const key = randomBytes(32)

const stores: Record<string, Open> = {
  'Redis, node-redis': async (t) => {
    const redis = await startRedis(t)
    if (redis === undefined) return undefined
    const client = await createClient({ url: redis.url }).connect()
    t.after(() => client.destroy())
    return () => checked(redisStore(client))
  },
  'Redis, ioredis, encrypted': async (t) => {
    const redis = await startRedis(t)
    if (redis === undefined) return undefined
    const client = new Redis(redis.url)
    t.after(() => client.disconnect())
    return () => checked(encryptedStore(redisStore(client), [key], () => {}))
  },
  'in memory': async () => {
    const owner = {}
    return () => MemoryMembers.of(owner)
  },
  'a session store with get, set and destroy': async () => {
    const inner = new JsonStore()
    const store = new SessionTokenStore(() => inner)
    return () => new ListedMembers(store, () => 0)
  },
  'the same, encrypted': async () => {
    const inner = new JsonStore()
    const store = encryptedStore(new SessionTokenStore(() => inner), [key], () => {})
    return () => new ListedMembers(store, () => 0)
  }
}

const sorted = async (sets: MemberStore, id: string) =>
  (await sets.members(id)).sort(([one], [two]) => one < two ? -1 : 1)

for (const [name, start] of Object.entries(stores)) {
  t.test(name, async (t) => {
    const open = await start(t)
    if (open === undefined) return
    const [sets, other] = [open(), open()]

    t.test('members are added, replaced and removed, and other processes see it', async (t) => {
      t.strictSame(await sets.members('logins:a'), [])
      t.equal(await sets.addMember('logins:a', 'one', { text: 'é\n" 5', list: [1] }, { ttl: 60 }), true)
      await other.addMember('logins:a', 'two', {}, { ttl: 60 })
      t.strictSame(await sorted(other, 'logins:a'), [['one', { text: 'é\n" 5', list: [1] }], ['two', {}]])
      await other.addMember('logins:a', 'one', { moved: true }, { ttl: 60 })
      t.strictSame(await sorted(sets, 'logins:a'), [['one', { moved: true }], ['two', {}]])
      await sets.removeMembers('logins:a', ['one', 'unknown'])
      await sets.removeMembers('logins:a', [])
      t.strictSame(await other.members('logins:a'), [['two', {}]])
      await other.removeMembers('logins:a', ['two'])
      t.strictSame(await sets.members('logins:a'), [])
    })

    t.test('a late writer brings no member back', async (t) => {
      const onlyIfPresent = { ttl: 60, onlyIfPresent: true }
      t.equal(await sets.addMember('logins:b', 'one', {}, onlyIfPresent), false, 'there was none')
      await sets.addMember('logins:b', 'one', {}, { ttl: 60 })
      await sets.addMember('logins:b', 'two', {}, { ttl: 60 })
      t.equal(await other.addMember('logins:b', 'one', { newer: 1 }, onlyIfPresent), true)
      await other.removeMembers('logins:b', ['one'])
      t.equal(await sets.addMember('logins:b', 'one', { late: 1 }, onlyIfPresent), false)
      t.strictSame(await sets.members('logins:b'), [['two', {}]])
    })

    t.test('changes of one member at the same moment are made in their order', async (t) => {
      const onlyIfPresent = { ttl: 60, onlyIfPresent: true }
      await sets.addMember('logins:c', 'there', {}, { ttl: 60 })
      const [, updated, , late, , again] = await Promise.all([
        sets.addMember('logins:c', 'one', { at: 1 }, { ttl: 60 }),
        sets.addMember('logins:c', 'one', { at: 2 }, onlyIfPresent),
        sets.removeMembers('logins:c', ['there']),
        sets.addMember('logins:c', 'there', { at: 4 }, onlyIfPresent),
        sets.addMember('logins:c', 'there', { at: 5 }, { ttl: 60 }),
        sets.addMember('logins:c', 'there', { at: 6 }, onlyIfPresent)
      ])
      t.strictSame([updated, late, again], [true, false, true])
      t.strictSame(await sorted(other, 'logins:c'), [['one', { at: 2 }], ['there', { at: 6 }]])
    })

    t.test('of thousands none is lost, whichever process adds and removes them', async (t) => {
      const processes = [sets, other, open()]
      const names = Array.from({ length: 2_000 }, (_, index) => `member-${index}`).sort()
      const at = (index: number) => processes[index % 3]!
      await Promise.all(names.map((name, index) => at(index).addMember('logins:d', name, { of: name }, { ttl: 600 })))
      t.strictSame(await sorted(sets, 'logins:d'), names.map(name => [name, { of: name }]))
      // Some go and some come at once.
      await Promise.all(names.map((name, index) => index % 2 === 0
        ? at(index + 1).removeMembers('logins:d', [name])
        : at(index).addMember('logins:d', `${name}-more`, {}, { ttl: 600 })))
      const left = names.filter((_name, index) => index % 2 === 1).flatMap(name => [name, `${name}-more`]).sort()
      t.strictSame((await sorted(other, 'logins:d')).map(([name]) => name), left)
      await sets.removeMembers('logins:d', left)
      t.strictSame(await other.members('logins:d'), [])
    })
  })
}

t.test('in memory: a member ends with its time, and what is over is dropped a few at a time', async (t) => {
  let now = 1_000
  const sets = new MemoryMembers(() => now)
  // Those that live longer came first: they are not in the way of the others.
  for (let index = 0; index < 100; index++) await sets.addMember('long', `long-${index}`, {}, { ttl: 1_000 })
  for (let index = 0; index < 300; index++) await sets.addMember(`of ${index % 7}`, `short-${index}`, {}, { ttl: 10 })
  await sets.addMember('of 1', 'extended', {}, { ttl: 1 })
  await sets.addMember('of 1', 'extended', {}, { ttl: 1_000, onlyIfPresent: true })
  now += 10_000
  t.strictSame(await sets.members('of 1'), [['extended', {}]])
  t.equal(await sets.addMember('of 2', 'short-2', {}, { ttl: 10, onlyIfPresent: true }), false, 'its time is over')
  for (let index = 0; index < 300; index++) await sets.addMember('later', 'the same', {}, { ttl: 1_000 })
  t.equal(sets.size, 102)
  t.equal((await sets.members('long')).length, 100)
})

t.test('a value that is none is not returned', async (t) => {
  const reported: string[] = []
  let deep: object = {}
  for (let level = 0; level < 100; level++) deep = { deep }
  const values = [null, 5, 'text', [], deep, { good: 1 }]
  const store = checkedStore({
    addMember: async () => undefined,
    removeMembers: async () => {},
    members: async () => values.map((value, index) => [String(index), value])
  } as unknown as TokenStore, {
    timeoutMs: 5_000, isOfKind: {}, onFailure: () => {}, onUnreadable: (kind) => { reported.push(kind) }
  }) as TokenStore & MemberStore
  t.strictSame(await store.members('logins:a'), [['5', { good: 1 }]])
  await store.members('logins:a')
  t.strictSame(reported, ['logins'])
  t.equal(await store.addMember('logins:a', 'b', {}, { ttl: 1 }), true, 'a store may say nothing')
})

t.test('a store that fails, or has only a part of the methods', async (t) => {
  const failures: string[] = []
  const away = async () => { throw new Error('connect ECONNREFUSED 10.1.2.3:6379') }
  const whole = { addMember: away, removeMembers: away, members: () => new Promise(() => {}) }
  const check = (store: object) => checkedStore(store as TokenStore, {
    timeoutMs: 20, isOfKind: {}, onFailure: (method) => { failures.push(method) }, onUnreadable: () => {}
  }) as TokenStore & MemberStore
  const store = check(whole)
  const calls: Record<string, () => Promise<unknown>> = {
    addMember: () => store.addMember('a', 'b', {}, { ttl: 1 }),
    removeMembers: () => store.removeMembers('a', ['b']),
    members: () => store.members('a')
  }
  for (const [reason, call] of Object.entries(calls)) {
    await t.rejects(call(), { code: 'FST_OAUTH_STORE_UNAVAILABLE', reason, message: /^((?!10\.1).)*$/ })
  }
  t.strictSame(failures, ['addMember', 'removeMembers', 'members'])
  t.notOk(hasMembers(check({ ...whole, members: undefined })))
})
