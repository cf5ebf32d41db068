import session from '@fastify/session'
import type { FastifyInstance } from 'fastify'
import { createClient } from 'redis'
import t, { type Test } from 'tap'
import { redisStore } from '../../lib/redis.ts'
import { sharedSession } from '../../lib/session/context.ts'
import { endUserLogins } from '../../lib/session/end-login.ts'
import type { LoginQuery } from '../../lib/session/user-logins.ts'
import { Browser } from '../helpers/browser.ts'
import type { TestApp } from '../helpers/build-app.ts'
import { Gate } from '../helpers/gate.ts'
import { appAt, asJson, callbackUrl, codeOf, loginApp } from '../helpers/login-app.ts'
import { startMisbehavingProvider, type MisbehavingProvider } from '../helpers/misbehaving-provider.ts'
import { RedisSessionStore } from '../helpers/redis-session-store.ts'
import { startRedis } from '../helpers/redis.ts'
import { JsonStore } from '../helpers/stores.ts'
import { tokenSet } from '../helpers/token-process.ts'

// Many logins that are ended from outside: by their user, and by the provider's `sub` and `sid`.

interface Stores {
  /** One for each process. */
  sessions: object[]
  tokenStores: (ReturnType<typeof redisStore> | undefined)[]
}

const kinds: Record<string, (t: Test) => Promise<Stores | undefined>> = {
  'the in-memory store': async () => ({ sessions: [new session.MemoryStore()], tokenStores: [undefined] }),
  'a store with get, set and destroy': async () => ({ sessions: [new JsonStore()], tokenStores: [undefined] }),
  'Redis and two processes': async (t) => {
    const redis = await startRedis(t)
    if (redis === undefined) return undefined
    const clients = await Promise.all([0, 1].map(async () => await createClient({ url: redis.url }).connect()))
    t.after(() => { for (const client of clients) client.destroy() })
    return {
      sessions: clients.map(client => new RedisSessionStore(client)),
      tokenStores: clients.map(client => redisStore(client))
    }
  }
}

function routes (app: FastifyInstance): void {
  app.get('/session', async request => request.session.sessionId)
  app.get('/renew', async (request) => {
    await request.session.regenerate(['oauth'])
    return request.session.sessionId
  })
  app.get('/link', async (request, reply) => await request.oauth.login(reply, { provider: 'gh', link: true }))
}

interface Setting {
  first: TestApp
  /** Another process, where there are two. */
  second: TestApp
  acme: MisbehavingProvider
}

async function start (t: Test, open: (t: Test) => Promise<Stores | undefined>): Promise<Setting | undefined> {
  const stores = await open(t)
  if (stores === undefined) return undefined
  const [acme, gh] = [await startMisbehavingProvider(t), await startMisbehavingProvider(t)]
  const appOf = async (index: number, baseUrl?: string) => await appAt(t, acme, {
    providers: () => ({
      // The user's id is not the `sub`.
      acme: { ...acme.providerOptions, userProfile: ({ sub }) => ({ id: `user ${String(sub)}` }) },
      gh: gh.providerOptions
    }),
    oauth: {
      ...(baseUrl !== undefined && { baseUrl }),
      ...(stores.tokenStores[index] !== undefined && { tokenStore: stores.tokenStores[index] })
    },
    session: { store: stores.sessions[index] as never, rolling: false },
    setup: routes
  })
  const first = await appOf(0)
  const second = stores.sessions.length === 1 ? first : await appOf(1, first.url)
  return { first, second, acme }
}

function inside ({ app }: TestApp) {
  const [context] = sharedSession(app).registrations
  const acme = context!.providers.get('acme')!
  return {
    context: context!,
    identity: acme.config.identity,
    find: async (query: LoginQuery) => await context!.userLogins.find(acme.config.identity, query),
    end: async (query: LoginQuery) => await endUserLogins(context!, acme, query)
  }
}

const isLoggedIn = async ({ url }: TestApp, browser: Browser) =>
  (await browser.get(url, asJson)).json<{ user: string | null }>().user !== null

t.test('a login and a logout ask the store for each thing once', async (t) => {
  const redis = await startRedis(t)
  if (redis === undefined) return
  const client = await createClient({ url: redis.url }).connect()
  t.after(() => client.destroy())
  const store = redisStore(client)
  let calls: string[] = []
  const tokenStore = new Proxy(store, {
    get: (_store, name) => typeof store[name as never] !== 'function'
      ? undefined
      : (...args: [string]) => {
          calls.push(`${String(name)} ${/^\w+(?=:)/.exec(args[0])?.[0] ?? 'tokens'}`)
          return (store[name as never] as (...args: unknown[]) => unknown)(...args)
        }
  })
  const acme = await startMisbehavingProvider(t, { claims: { sid: 'of the provider' } })
  const { url, browser } = await appAt(t, acme, { oauth: { tokenStore }, session: { rolling: false } })
  const during = async (work: () => Promise<unknown>) => {
    calls = []
    await work()
    return calls
  }
  const login = await during(async () => await browser.login(`${url}/login/acme`))
  t.strictSame(login, [
    'set login', 'consume login', 'set tokens', 'addMember logins', 'addMember logins',
    // Whether the provider has ended the user or the session meanwhile.
    'get ended', 'get ended',
    'get dead', 'get dead'
  ])
  t.strictSame(await during(async () => await browser.get(url)), [])
  t.strictSame(await during(async () => await browser.post(`${url}/logout`)), [
    'set accounts', 'remove tokens', 'removeMembers logins', 'removeMembers logins', 'set dead'
  ])
})

t.test('logoutUser takes an id that is a number, and refuses what is no id: nobody would be logged out', async t => {
  const { app, browser, url, userOf } = await loginApp(t, { wrong: { claims: { sub: '35' } } })
  await browser.login(`${url}/login/acme`)
  for (const subject of [undefined, null, '', {}, ['35'], Number.NaN, 2 ** 60] as never[]) {
    const error = { code: 'FST_OAUTH_INVALID_OPTIONS', reason: 'invalid_option', provider: 'acme' }
    await t.rejects(app.oauth.logoutUser({ provider: 'acme', subject }), error)
  }
  t.equal(await userOf(browser), '35')
  t.equal(await app.oauth.logoutUser({ provider: 'acme', subject: 35 as never }), 1)
  t.equal(await userOf(browser), null)
})

t.test('a user who is locked before logoutUser: onLogin refuses the login that was under way', async t => {
  let isLocked = false
  const { app, url, browser, userOf } = await loginApp(t, {
    oauth: { onLogin: () => { if (isLocked) throw Object.assign(new Error('locked'), { statusCode: 403 }) } }
  })
  await browser.login(`${url}/login/acme`)
  const other = new Browser()
  const back = await callbackUrl(other, `${url}/login/acme`)
  isLocked = true
  t.equal(await app.oauth.logoutUser({ provider: 'acme', subject: 'alice' }), 1)
  t.equal((await other.get(back, asJson)).status, 403)
  t.strictSame([await userOf(browser), await userOf(other)], [null, null])
})

t.test('a login that logoutUser ends before its tokens are stored is none, and its tokens are revoked', async (t) => {
  const redis = await startRedis(t)
  if (redis === undefined) return
  const client = await createClient({ url: redis.url }).connect()
  t.after(() => client.destroy())
  const acme = await startMisbehavingProvider(t)
  acme.wrong = { metadata: { revocation_endpoint: acme.url('revocation') } }
  const gate = new Gate()
  const store = redisStore(client)
  const set: typeof store.set = async (id, record, options) => {
    if (!id.includes(':')) await gate.pass()
    return await store.set(id, record, options)
  }
  const held = new Proxy(store, {
    get: (_store, name) => name === 'set' ? set : (store[name as never] as (() => void) | undefined)?.bind(store)
  })
  const sessions = () => ({ store: new RedisSessionStore(client) as never, rolling: false })
  const { app: first, url, browser, userOf } =
    await appAt(t, acme, { oauth: { tokenStore: held }, session: sessions() })
  const { app } = await appAt(t, acme, { oauth: { tokenStore: redisStore(client) }, session: sessions() })
  const callback = browser.login(`${url}/login/acme`, asJson)
  await gate.arrived
  while (await app.oauth.logoutUser({ provider: 'acme', subject: 'alice' }) === 0) continue
  gate.release()
  t.strictSame([(await callback).status, codeOf(await callback)], [401, 'FST_OAUTH_LOGIN_ENDED'])
  t.equal(await userOf(browser), null)
  await first.close() // when revocations under way are over
  t.equal(acme.asked('revocation').length, 2)
  t.strictSame(await client.keys('oauth:logins:*'), [])
  const records = (await client.keys('oauth:*')).filter(key => /^oauth:[\w-]{32}$/.test(key))
  t.strictSame(await Promise.all(records.map(async key => await client.hKeys(key))), [['x']], 'a tombstone alone')
  t.strictSame(await client.keys('session:*'), [])
})

for (const [kind, open] of Object.entries(kinds)) {
  t.test(`${kind}: a login is found by sid, subject and user in the session where it is, until it ends`, async (t) => {
    const setting = await start(t, open)
    if (setting === undefined) return
    const { first, second, acme } = setting
    const { find } = inside(second)
    const { issuer } = acme
    acme.wrong = { claims: { sid: 'the session of the provider' } }
    const userId = `user ${acme.subject}`
    const queries = [{ userId }, { issuer, subject: acme.subject }, { issuer, sid: 'the session of the provider' }]
    const browser = new Browser()
    await browser.login(`${first.url}/login/acme`)
    const assertFoundIn = async (sessionId: string, what: string) => {
      for (const query of queries) t.match(await find(query), [{ sessionId }], `${what}: ${JSON.stringify(query)}`)
    }
    await assertFoundIn((await browser.get(`${first.url}/session`)).text, 'after the login')
    await assertFoundIn((await browser.get(`${first.url}/renew`)).text, 'the app has renewed the session')
    await browser.post(`${first.url}/logout`)
    for (const query of queries) t.strictSame(await find(query), [], JSON.stringify(query))
  })

  t.test(`${kind}: the provider's session ends with its accounts, and the user's others do not`, async (t) => {
    const setting = await start(t, open)
    if (setting === undefined) return
    const { first, second, acme } = setting
    const { end } = inside(second)
    const { issuer, subject } = acme
    const browsers = [new Browser(), new Browser(), new Browser()]
    for (const [index, browser] of browsers.entries()) {
      acme.wrong = { claims: { sid: `sid ${index}` } }
      await browser.login(`${first.url}/login/acme`)
    }
    // The session has another id since.
    await browsers[0]!.get(`${first.url}/link`)
    t.equal(await end({ issuer, sid: 'sid 0', subject: 'another' }), 0)
    t.equal(await end({ issuer: 'https://another.example', sid: 'sid 0' }), 0)
    t.equal(await end({ issuer, sid: 'sid 0' }), 1)
    const states = async () => await Promise.all(browsers.map(async browser => await isLoggedIn(first, browser)))
    t.strictSame(await states(), [false, true, true])
    t.equal(await end({ issuer, subject }), 2)
    t.strictSame(await states(), [false, false, false])
    t.equal(await end({ issuer, subject }), 0)
  })

  t.test(`${kind}: logoutUser ends thousands of sessions, and one that begins meanwhile`, async (t) => {
    const setting = await start(t, open)
    if (setting === undefined) return
    const { first, second, acme } = setting
    const { context, identity, find } = inside(first)
    const userId = `user ${acme.subject}`
    const { records, userLogins, sessionStore } = context
    const make = async (index: number) => {
      const tokens = tokenSet(`of ${index}`, Date.now() / 1000 + 3600)
      const record = {
        version: 1, provider: 'acme', providerIdentity: identity, tokens, obtainedAt: 1, ttl: 3600, user: null
      }
      const recordId = await records.create(record)
      const account = { recordId, providerIdentity: identity, user: { id: userId } as never, claims: {} }
      await userLogins.add(account, { sessionId: `session ${index}` }, 3600)
      return recordId
    }
    const made: string[] = []
    const count = kind.startsWith('a store') ? 500 : 2_000
    while (made.length < count) {
      const next = Array.from({ length: 100 }, (_, index) => make(made.length + index))
      made.push(...await Promise.all(next))
    }
    const browser = new Browser()
    await browser.login(`${first.url}/login/acme`)
    const other = inside(second).context
    const { destroy } = other.sessionStore
    const gate = new Gate()
    let atOnce = 0
    let most = 0
    other.sessionStore.destroy = async (sessionId) => {
      most = Math.max(most, ++atOnce)
      await gate.pass()
      await destroy.call(sessionStore, sessionId)
      atOnce--
    }
    const ending = second.app.oauth.logoutUser({ provider: 'acme', subject: userId })
    await gate.arrived
    const late = new Browser()
    await late.login(`${first.url}/login/acme`)
    gate.release()
    t.equal(await ending, count + 2)
    t.ok(most > 1 && most <= 64, `${most} at once`)
    t.strictSame(await find({ userId }), [])
    t.strictSame([await isLoggedIn(first, browser), await isLoggedIn(first, late)], [false, false])
    const left = await Promise.all(made.map(async recordId => await records.read(recordId)))
    t.strictSame(left.filter(record => record !== undefined), [])
  })
}
