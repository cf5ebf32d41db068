import { createClient } from 'redis'
import t, { type Test } from 'tap'
import { redisStore } from '../../lib/redis.ts'
import { SessionLogins } from '../../lib/session/accounts.ts'
import type { SessionObject } from '../../lib/session/fastify-session.ts'
import { withDetails } from '../../lib/session/known-details.ts'
import { syncRecords } from '../../lib/session/request-hooks.ts'
import { type LoginQuery, UserLogins } from '../../lib/session/user-logins.ts'
import { writeDetails } from '../../lib/tokens/account-details.ts'
import { TokenRecords } from '../../lib/tokens/records.ts'
import { ListedMembers } from '../../lib/tokens/stores/listed-members.ts'
import { MemoryMembers } from '../../lib/tokens/stores/memory-members.ts'
import { MemoryTokenStore } from '../../lib/tokens/stores/memory-store.ts'
import { SessionTokenStore } from '../../lib/tokens/stores/session-store.ts'
import { hasMembers, type MemberStore, type TokenStore } from '../../lib/tokens/stores/token-store.ts'
import { Gate } from '../helpers/gate.ts'
import { startRedis } from '../helpers/redis.ts'
import { JsonStore } from '../helpers/stores.ts'
import { tokenSet } from '../helpers/token-process.ts'

// What logoutUser and a logout by the provider find the logins of a user by.

interface Stores {
  store: TokenStore
  sets: MemberStore
}

let now = 1_000_000

const stores: Record<string, (t: Test) => Promise<Stores | undefined>> = {
  Redis: async (t) => {
    const redis = await startRedis(t)
    if (redis === undefined) return undefined
    const connection = await createClient({ url: redis.url }).connect()
    t.after(() => connection.destroy())
    const store = redisStore(connection)
    return { store, sets: store as TokenStore & MemberStore }
  },
  'in memory': async () => ({ store: new MemoryTokenStore(), sets: new MemoryMembers(() => now * 1000) }),
  'a session store with get, set and destroy': async () => {
    const inner = new JsonStore()
    const store = new SessionTokenStore(() => inner)
    return { store, sets: new ListedMembers(store, () => now) }
  }
}

const accountOf = (id: string | null, recordId: string, claims: Record<string, unknown> = {}) => ({
  recordId,
  providerIdentity: 'of acme',
  user: id === null ? null : { id },
  claims
})

for (const [name, open] of Object.entries(stores)) {
  t.test(name, async (t) => {
    const opened = await open(t)
    if (opened === undefined) return
    const { store, sets } = opened
    const loginsOf = (isAlive: (recordId: string) => Promise<boolean> = async () => true) =>
      new UserLogins(() => sets, isAlive)
    const found = async (query: LoginQuery, identity = 'of acme') =>
      (await loginsOf().find(identity, query)).map(({ recordId }) => recordId).sort()

    t.test('logins of one user at the same moment are all found', async (t) => {
      const logins = loginsOf()
      const names = Array.from({ length: 20 }, (_, index) => `record-${index}`).sort()
      await Promise.all(names.map(record => logins.add(accountOf('alice', record), { sessionId: record }, 60)))
      t.strictSame(await found({ userId: 'alice' }), names)
      await Promise.all(names.map(record => logins.remove(accountOf('alice', record))))
      t.strictSame(await found({ userId: 'alice' }), [])
    })

    t.test('a login is found by its user, by issuer and subject, and by issuer and sid', async (t) => {
      const logins = loginsOf()
      const add = (id: string | null, record: string, claims: object) =>
        logins.add(accountOf(id, record, claims as Record<string, unknown>), { sessionId: `session of ${record}` }, 60)
      const [iss, other] = ['https://one.example', 'https://two.example']
      await add('7', 'plain', { iss, sub: '7', sid: 'a' })
      await add('mapped', 'mapped', { iss, sub: '8', sid: 'b' })
      // The user id that `userProfile` made is another user's subject.
      await add('8', 'confusing', { iss, sub: '9', sid: 'c' })
      await add(`${other}#7`, 'other', { iss: other, sub: '7', sid: 'a' })
      await add('7', 'no ID token', {})
      await add(null, 'no user', { iss, sub: '10' })
      const cases: [LoginQuery, string[]][] = [
        [{ userId: '7' }, ['no ID token', 'plain']],
        [{ userId: 'mapped' }, ['mapped']],
        [{ userId: '8' }, ['confusing']],
        [{ issuer: iss, subject: '7' }, ['plain']],
        [{ issuer: iss, subject: '8' }, ['mapped']],
        [{ issuer: iss, subject: 'mapped' }, []],
        [{ issuer: iss, subject: '10' }, ['no user']],
        [{ issuer: other, subject: '7' }, ['other']],
        [{ issuer: iss, sid: 'a' }, ['plain']],
        [{ issuer: other, sid: 'a' }, ['other']],
        [{ issuer: iss, sid: 'a', subject: '7' }, ['plain']],
        [{ issuer: iss, sid: 'a', subject: '8' }, []],
        [{ issuer: iss, sid: '7' }, []]
      ]
      for (const [query, expected] of cases) t.strictSame(await found(query), expected, JSON.stringify(query))
      t.strictSame(await found({ issuer: iss, sid: 'a' }, 'of another client'), [])

      const [plain] = await logins.find('of acme', { issuer: iss, sid: 'a' })
      t.match(plain, { recordId: 'plain', sessionId: 'session of plain', login: 'plain' })
      await logins.removeAll('of acme', [plain!, ...await logins.find('of acme', { userId: 'mapped' })])
      const gone: LoginQuery[] = [{ issuer: iss, sid: 'a' }, { issuer: iss, subject: '8' }, { issuer: iss, sid: 'b' }]
      for (const query of gone) t.strictSame(await found(query), [], JSON.stringify(query))
      t.strictSame(await found({ userId: '7' }), ['no ID token'])
    })

    t.test('a login that gets another session is found there', async (t) => {
      const logins = loginsOf()
      const account = accountOf('bob', 'linked', { iss: 'https://one.example', sub: '7', sid: 's' })
      await logins.add(account, { sessionId: 'first' }, 60, 'of the login')
      await logins.update(account, { sessionId: 'second' }, 60, 'of the login')
      for (const query of [{ userId: 'bob' }, { issuer: 'https://one.example', sid: 's' }]) {
        t.match(await logins.find('of acme', query), [{ sessionId: 'second', login: 'of the login' }])
      }
    })

    t.test('a slower request brings back no login that has ended, but one that was lost', async (t) => {
      let alive = true
      const logins = loginsOf(async () => alive)
      const account = accountOf('carol', 'ended', { iss: 'https://one.example', sub: '7', sid: 'e' })
      await logins.add(account, { sessionId: 'first' }, 60)
      await logins.remove(account)
      alive = false
      await logins.update(account, { sessionId: 'second' }, 60)
      t.strictSame(await found({ userId: 'carol' }), [])
      alive = true
      await logins.update(account, { sessionId: 'third' }, 60)
      t.strictSame(await found({ userId: 'carol' }), ['ended'])
      t.strictSame(await found({ issuer: 'https://one.example', sid: 'e' }), ['ended'])
    })

    t.test('a logout in the middle of that leaves nothing', async (t) => {
      const gate = new Gate()
      let alive = true
      let asked = 0
      const slow = loginsOf(async () => {
        const answer = alive
        if (asked++ === 0) await gate.pass()
        return answer
      })
      const account = accountOf('dora', 'slow', { iss: 'https://one.example', sub: '7' })
      const updating = slow.update(account, { sessionId: 'second' }, 60)
      await gate.arrived
      alive = false
      await loginsOf().remove(account)
      gate.release()
      await updating
      t.strictSame(await found({ userId: 'dora' }), [])
      t.equal(asked, 2)
    })

    t.test('a login whose session is kept alive is found as long as it lives, refreshes or not', async (t) => {
      const records = new TokenRecords(store, () => now * 1000)
      const userLogins = new UserLogins(() => sets, async id => await records.read(id) !== undefined)
      const sessionLogins = new SessionLogins('oauth', () => 'of acme')
      const identity = { providerIdentity: 'of acme' }
      const tokens = tokenSet('first', now + 60)
      const recordId = await records.create({
        version: 1,
        provider: 'acme',
        ...identity,
        tokens,
        obtainedAt: now,
        ttl: 3600,
        user: null
      })
      const claims = { sid: 'of the provider' }
      const details = writeDetails({ user: { id: 'erin', raw: claims }, claims }, { scope: [], loginAt: now })
      const account = { recordId, ...identity, details }
      const session = {
        sessionId: 'the session',
        cookie: { originalMaxAge: 3_600_000 },
        isSaved: () => true,
        oauth: { accounts: { acme: account }, active: 'acme' }
      } as unknown as SessionObject
      await userLogins.add(withDetails(account), session, 3600)
      // A request now and then, for three hours: the session of an hour is extended by each. A refresh before each of
      // them writes the record, and not what it is found by.
      for (let minutes = 0; minutes < 180; minutes += 20) {
        now += 1200
        const state = records.state(recordId)
        const record = (await records.read(recordId))!
        const next = { ...record, version: record.version + 1 }
        const lease = { owner: 'me', lifeMs: 60_000, version: record.version }
        await records.acquireRefresh(state, lease)
        t.equal(await records.write(state, { owner: 'me', record: next }, record, () => {}), true)
        const loaded = { sessionId: 'the session', login: sessionLogins.of(session) }
        await syncRecords({ sessionLogins, records, userLogins }, loaded, session)
      }
      await userLogins.add(accountOf('erin', 'another'), { sessionId: 'another session' }, 3600)
      const login = (await userLogins.find('of acme', { userId: 'erin' })).find(login => login.recordId === recordId)
      t.match(login, { sessionId: 'the session' })
    })

    t.test('the same subject at two providers counts as two users', async (t) => {
      const logins = loginsOf()
      await logins.add({ ...accountOf('dave', 'here'), providerIdentity: 'one' }, { sessionId: 'here' }, 60)
      await logins.add({ ...accountOf('dave', 'there'), providerIdentity: 'two' }, { sessionId: 'there' }, 60)
      t.strictSame(await found({ userId: 'dave' }, 'one'), ['here'])
    })

    t.test('what stands among the logins and is none is left out', async (t) => {
      const logins = loginsOf()
      await logins.add(accountOf('fred', 'good'), { sessionId: 'good' }, 60)
      const odd = [['odd', { session: 7, user: 'fred' }], ['none', {}]]
      const members = async (id: string) => [...await sets.members(id), ...odd]
      const reading = new UserLogins(() => ({ members }) as unknown as MemberStore, async () => true)
      t.match((await reading.find('of acme', { userId: 'fred' })).map(({ recordId }) => recordId), ['good'])
    })
  })
}

t.test('the store of Redis keeps sets itself, others in lists', async (t) => {
  const client = { evalSha: async () => 1, eval: async () => 1, hmGet: async () => [] }
  t.ok(hasMembers(redisStore(client)))
  t.notOk(hasMembers(new MemoryTokenStore()))
})

t.test('a store is given no undefined members, which some databases refuse', async (t) => {
  const given: object[] = []
  const sets: MemberStore = {
    addMember: async (_id, _member, value) => given.push(value) > 0,
    removeMembers: async () => {},
    members: async () => []
  }
  const logins = new UserLogins(() => sets, async () => true)
  const iss = 'https://id.example'
  for (const claims of [{}, { iss, sub: 'one' }, { iss, sub: 'one', sid: 'of one' }]) {
    for (const id of ['one', null]) await logins.add(accountOf(id, 'record', claims), { sessionId: 'session' }, 60)
  }
  t.strictSame(given.map(value => Object.keys(value)), [
    ['session', 'user'],
    ['session', 'user', 'iss', 'sub'], ['session', 'iss', 'sub'],
    ['session', 'user', 'iss', 'sub', 'sid'], ['session', 'user', 'iss', 'sub', 'sid'],
    ['session', 'iss', 'sub', 'sid'], ['session', 'iss', 'sub', 'sid']
  ])
  t.notOk(given.some(value => Object.values(value).includes(undefined)))
})
