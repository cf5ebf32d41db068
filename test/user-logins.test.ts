import { createClient } from 'redis'
import t, { type Test } from 'tap'
import { SessionLogins, type SessionObject } from '../lib/session/accounts.ts'
import { followSession } from '../lib/session/lifecycle.ts'
import { SessionTokenStore } from '../lib/session/session-token-store.ts'
import { TokenRecords } from '../lib/session/token-records.ts'
import type { TokenStore } from '../lib/session/token-store.ts'
import { UserLogins } from '../lib/session/user-logins.ts'
import { redisStore } from '../lib/redis.ts'
import { startRedis } from './helpers/redis.ts'
import { JsonStore } from './helpers/stores.ts'
import { tokenSet } from './helpers/token-process.ts'

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

for (const [name, open] of Object.entries(stores)) {
  t.test(name, async (t) => {
    const store = await open(t)
    if (store === undefined) return

    t.test('logins of one user at the same moment are all found', async (t) => {
      const logins = new UserLogins(store, () => 0)
      const names = Array.from({ length: 20 }, (_, index) => `record-${index}`).sort()
      await Promise.all(names.map(record => logins.add('acme', 'alice', { record, sessionId: `session of ${record}` }, 60)))
      t.strictSame((await logins.of('acme', 'alice')).map(({ record }) => record).sort(), names)
      await Promise.all(names.map(record => logins.remove('acme', 'alice', record)))
      t.strictSame(await logins.of('acme', 'alice'), [])
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
      const account = { record, ...identity, user, claims: { sid: 'of the provider' }, scope: [], loginAt: now }
      const session = {
        sessionId: 'the session', cookie: { originalMaxAge: 3_600_000 }, isSaved: () => true, oauth: { accounts: { acme: account }, active: 'acme' }
      } as unknown as SessionObject
      await userLogins.add('acme', 'bob', { record, sessionId: 'the session', sid: 'of the provider' }, 3600)
      // A request now and then, for three hours: the session of an hour is extended by each.
      for (let minutes = 0; minutes < 180; minutes += 20) {
        now += 1200
        await followSession({ sessionLogins, records, userLogins }, { sessionId: 'the session', accounts: session.oauth!.accounts }, session)
      }
      await userLogins.add('acme', 'bob', { record: 'another', sessionId: 'another session' }, 3600)
      t.match((await userLogins.of('acme', 'bob')).find(login => login.record === record), { sessionId: 'the session', sid: 'of the provider' })
    })
  })
}
