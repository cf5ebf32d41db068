import { createClient } from 'redis'
import t, { type Test } from 'tap'
import { SessionLogins } from '../../lib/session/accounts.ts'
import { syncRecords } from '../../lib/session/request-hooks.ts'
import { SessionTokenStore } from '../../lib/tokens/stores/session-store.ts'
import { TokenRecords } from '../../lib/tokens/records.ts'
import type { TokenStore } from '../../lib/tokens/stores/token-store.ts'
import { UserLogins } from '../../lib/session/user-logins.ts'
import { redisStore } from '../../lib/redis.ts'
import { Gate } from '../helpers/gate.ts'
import { startRedis } from '../helpers/redis.ts'
import { JsonStore } from '../helpers/stores.ts'
import { tokenSet } from '../helpers/token-process.ts'
import { wrappedStore } from '../helpers/wrapped-store.ts'
import type { SessionObject } from '../../lib/session/fastify-session.ts'

// The lists by which logoutUser finds all logins of a user.

const stores: Record<string, (t: Test) => Promise<TokenStore | undefined>> = {
  Redis: async (t) => {
    const redis = await startRedis(t)
    if (redis === undefined) return undefined
    const connection = await createClient({ url: redis.url }).connect()
    t.after(() => connection.destroy())
    return redisStore(connection)
  },
  'a session store with get, set and destroy': async () => {
    const store = new JsonStore()
    return new SessionTokenStore(() => store)
  }
}

const accountOf = (id: string, recordId: string) => ({
  recordId,
  providerIdentity: 'of acme',
  user: { id },
  claims: {}
})

for (const [name, open] of Object.entries(stores)) {
  t.test(name, async (t) => {
    const store = await open(t)
    if (store === undefined) return

    t.test('logins of one user at the same moment are all found', async (t) => {
      const logins = new UserLogins(store, () => 0)
      const names = Array.from({ length: 20 }, (_, index) => `record-${index}`).sort()
      await Promise.all(names.map(record => logins.add(accountOf('alice', record), { sessionId: record }, 60)))
      t.strictSame((await logins.of('of acme', 'alice')).map(({ recordId }) => recordId).sort(), names)
      await Promise.all(names.map(record => logins.remove(accountOf('alice', record))))
      t.strictSame(await logins.of('of acme', 'alice'), [])
    })

    t.test('a login whose session is kept alive is found as long as it lives', async (t) => {
      let now = 1_000_000
      const userLogins = new UserLogins(store, () => now)
      const records = new TokenRecords(store, () => now * 1000)
      const sessionLogins = new SessionLogins('oauth', () => 'of acme')
      const user = { id: 'bob', name: undefined, email: undefined, emailVerified: undefined, picture: undefined }
      const identity = { providerIdentity: 'of acme' }
      const tokens = tokenSet('first', now + 60)
      const record = await records.create({
        provider: 'acme', ...identity, tokens, obtainedAt: now, ttl: 3600, user: null
      })
      const account = {
        recordId: record,
        ...identity,
        user,
        claims: { sid: 'of the provider' },
        scope: [],
        loginAt: now
      }
      const session = {
        sessionId: 'the session',
        cookie: { originalMaxAge: 3_600_000 },
        isSaved: () => true,
        oauth: { accounts: { acme: account }, active: 'acme' }
      } as unknown as SessionObject
      await userLogins.add(account, session, 3600)
      // A request now and then, for three hours: the session of an hour is extended by each.
      for (let minutes = 0; minutes < 180; minutes += 20) {
        now += 1200
        await syncRecords(
          { sessionLogins, records, userLogins },
          { sessionId: 'the session', login: session.oauth },
          session
        )
      }
      await userLogins.add(accountOf('bob', 'another'), { sessionId: 'another session' }, 3600)
      const found = (await userLogins.of('of acme', 'bob')).find(login => login.recordId === record)
      t.match(found, { sessionId: 'the session', sid: 'of the provider' })
    })

    t.test('however many logins a user has, none is lost, and none of the records is large', async (t) => {
      let largest = 0
      const watched = wrappedStore(store, inner => ({
        set: async (id, record, options) => {
          largest = Math.max(largest, JSON.stringify(record).length)
          return await inner.set(id, record, options)
        }
      }))
      const processes = [0, 1, 2].map(() => new UserLogins(watched, () => 0))
      const names = Array.from({ length: 1_100 }, (_, index) => `record-${index}`).sort()
      await Promise.all(names.map((record, index) =>
        processes[index % 3]!.add(accountOf('many', record), { sessionId: `session of ${record}` }, 600)))
      const [logins] = processes as [UserLogins]
      t.strictSame((await logins.of('of acme', 'many')).map(({ recordId }) => recordId).sort(), names)
      t.ok(largest < 10_000, `${largest} characters`)

      await logins.add(accountOf('many', 'record-7'), { sessionId: 'another session' }, 600)
      const found = await logins.of('of acme', 'many')
      t.equal(found.find(({ recordId }) => recordId === 'record-7')?.sessionId, 'another session', 'a login that moved')
      t.equal(found.length, names.length)

      await Promise.all(processes.map((logins, index) =>
        logins.removeAll('of acme', 'many', names.filter((_name, at) => at % 3 === index))))
      t.strictSame(await logins.of('of acme', 'many'), [])
    })

    t.test('logins end with their time, in a split list too, and others go on', async (t) => {
      let now = 1_000
      const logins = new UserLogins(store, () => now)
      const add = (record: string, ttl: number) => logins.add(accountOf('carol', record), { sessionId: record }, ttl)
      await Promise.all(Array.from({ length: 200 }, (_, index) => add(`short-${index}`, 60)))
      await add('long', 3_600)
      now += 61
      t.strictSame((await logins.of('of acme', 'carol')).map(({ recordId }) => recordId), ['long'])
      await add('later', 7_200)
      now += 3_600
      t.strictSame((await logins.of('of acme', 'carol')).map(({ recordId }) => recordId), ['later'])
    })

    t.test('the same subject at two providers counts as two users', async (t) => {
      const logins = new UserLogins(store, () => 0)
      await logins.add({ ...accountOf('dave', 'here'), providerIdentity: 'one' }, { sessionId: 'here' }, 60)
      await logins.add({ ...accountOf('dave', 'there'), providerIdentity: 'two' }, { sessionId: 'there' }, 60)
      t.strictSame((await logins.of('one', 'dave')).map(({ recordId }) => recordId), ['here'])
    })
  })
}

t.test('a list that is split by two processes at once loses nothing that came in between', async (t) => {
  const inner = new JsonStore()
  const store = new SessionTokenStore(() => inner)
  const names = Array.from({ length: 64 }, (_, index) => `record-${index}`)
  const first = new UserLogins(store, () => 0)
  await Promise.all(names.map(record => first.add(accountOf('erin', record), { sessionId: record }, 600)))
  const gate = new Gate()
  // This one has read the list, and goes on when another process has split it and moved a login.
  const slow = new UserLogins(wrappedStore(store, store => ({
    set: async (id, record, options) => {
      await gate.pass()
      return await store.set(id, record, options)
    }
  })), () => 0)
  const adding = slow.add(accountOf('erin', 'of the slow one'), { sessionId: 'slow' }, 600)
  await gate.arrived
  await first.add(accountOf('erin', 'of the fast one'), { sessionId: 'fast' }, 600)
  await first.add(accountOf('erin', 'record-3'), { sessionId: 'moved' }, 600)
  gate.release()
  await adding
  const found = await first.of('of acme', 'erin')
  t.strictSame(found.map(({ recordId }) => recordId).sort(), [...names, 'of the fast one', 'of the slow one'].sort())
  t.equal(found.find(({ recordId }) => recordId === 'record-3')?.sessionId, 'moved')
})

t.test('a list that was split while its last login was taken out is put back', async (t) => {
  const inner = new JsonStore()
  const store = new SessionTokenStore(() => inner)
  const first = new UserLogins(store, () => 0)
  await first.add(accountOf('frank', 'the last'), { sessionId: 'last' }, 600)
  const gate = new Gate()
  const slow = new UserLogins(wrappedStore(store, store => ({
    consume: async (id) => {
      await gate.pass()
      return await store.consume(id)
    }
  })), () => 0)
  const removing = slow.remove(accountOf('frank', 'the last'))
  await gate.arrived
  const names = Array.from({ length: 100 }, (_, index) => `record-${index}`)
  await Promise.all(names.map(record => first.add(accountOf('frank', record), { sessionId: record }, 600)))
  gate.release()
  await removing
  t.strictSame((await first.of('of acme', 'frank')).map(({ recordId }) => recordId).sort(), [...names].sort())
})
