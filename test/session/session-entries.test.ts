import { Signer } from '@fastify/cookie'
import { MemoryStore } from '@fastify/session'
import t, { type Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import { SessionTokenStore } from '../../lib/tokens/stores/session-store.ts'
import { TOMBSTONE_MS } from '../../lib/tokens/stores/token-store.ts'
import { Browser } from '../helpers/browser.ts'
import { SESSION_SECRET } from '../helpers/build-app.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { appAt } from '../helpers/login-app.ts'
import { tokenRecords } from '../helpers/records.ts'
import { JsonStore } from '../helpers/stores.ts'
import { until } from '../helpers/until.ts'

// What the plugin keeps in the session store, beside the sessions.

type Callback = (error?: Error | null, value?: unknown) => void

/** A JsonStore that takes ids as some databases compare them: without letter case, and without spaces at the end. */
class LaxStore extends JsonStore {
  override get (id: string, callback: Callback): void { super.get(this.#found(id), callback) }
  override set (id: string, session: object, callback: Callback): void { super.set(this.#found(id), session, callback) }
  override destroy (id: string, callback: Callback): void { super.destroy(this.#found(id), callback) }

  #found (id: string): string {
    const plain = (text: string) => text.toLowerCase().trimEnd()
    return [...this.records.keys()].find(known => plain(known) === plain(id)) ?? id
  }
}

const sessionRoutes = (app: FastifyInstance) => {
  app.get('/session', async ({ session }) => ({ ...session, id: session.sessionId }))
  app.post('/session', async ({ session }) => {
    session.set('cart' as never, 'tea' as never)
    return { id: session.sessionId }
  })
  app.get('/guarded', { onRequest: app.oauth.requireLogin() }, async () => 'in')
}

const start = async (t: Test, session: object) =>
  await loggedInApp(t, { wrong: {}, session: { rolling: false, ...session }, setup: sessionRoutes })

/** A browser whose session cookie is a chosen id, signed by the app as another cookie of its own. */
function visitor (browser: Browser, sessionId: string): Browser {
  const chosen = new Browser()
  const cookie = browser.cookies.find(({ name }) => name === 'sessionId')!
  chosen.jar.put({ ...cookie, value: encodeURIComponent(new Signer(SESSION_SECRET).sign(sessionId)) })
  return chosen
}

interface Kept {
  session: object
  ids: () => string[]
  value: (id: string) => string
}

const stores: Record<string, () => Kept> = {
  'a store over a network': () => {
    const store = new JsonStore()
    return { session: { store }, ids: () => [...store.records.keys()], value: id => store.records.get(id)! }
  },
  'the in-memory store': () => {
    const store = new MemoryStore()
    const { store: map } = store as unknown as { store: Map<string, unknown> }
    return { session: { store }, ids: () => [...map.keys()], value: id => JSON.stringify(map.get(id)) }
  }
}

for (const [name, open] of Object.entries(stores)) {
  t.test(`${name}: an id of the plugin's own that is signed as a session cookie opens no session`, async (t) => {
    const { session, ids, value } = open()
    const { app, url, browser } = await start(t, session)
    await browser.get(`${url}/login/acme`, { redirect: 'manual' })
    await browser.login(`${url}/login/acme`)
    const own = ids().filter(id => id.startsWith('oauth:'))
    t.ok(own.length >= 2, 'the list of the user\'s logins, tokens, perhaps a login under way and an ended session')
    for (const id of own) {
      const before = value(id)
      const attacker = visitor(browser, id)
      const seen = (await attacker.get(`${url}/session`)).json<Record<string, unknown>>()
      t.not(seen.id, id, `${id.slice(0, 12)}… is no session`)
      t.notMatch(seen, { record: {} })
      const again = visitor(browser, id)
      t.not((await again.post(`${url}/session`, { json: {} })).json<{ id: string }>().id, id)
      t.equal(value(id), before, 'what stands there is as it was')
    }
    t.equal(await app.oauth.logoutUser({ provider: 'acme', subject: 'alice' }), 1)
    t.equal((await browser.get(`${url}/guarded`, { headers: { accept: 'application/json' } })).status, 401)
  })
}

t.test("an app that writes or destroys a session by an id of the plugin's own does nothing there", async (t) => {
  const { store, run, orders } = await loggedInApp(t)
  const [id] = tokenRecords(store).keys()
  const before = store.records.get(id!)
  await run(async (_oauth, { session, sessionStore }) => {
    await new Promise<void>(resolve => sessionStore.set(id!, session, () => resolve()))
    await new Promise<void>(resolve => sessionStore.destroy(id!, () => resolve()))
  })
  t.equal(store.records.get(id!), before)
  t.equal((await orders()).status, 200)
})

t.test('a store that ignores case and trailing spaces in ids opens no session either', async (t) => {
  const store = new LaxStore()
  const { url, browser } = await start(t, { store })
  const ids = [...store.records.keys()].filter(id => id.startsWith('oauth:'))
  t.not(ids.length, 0)
  for (const id of ids) {
    for (const way of [id.toUpperCase(), `${id} `]) {
      const seen = (await visitor(browser, way).get(`${url}/session`)).json<Record<string, unknown>>()
      t.not(seen.id, way)
      t.notMatch(seen, { record: {} })
    }
  }
})

t.test('a store that is known from the first request on: an id of the plugin\'s own opens no session', async (t) => {
  const store = new JsonStore()
  const { browser, provider } = await start(t, { store })
  let ids = 0
  // The id generator of the app's own fails without a real request, so no session can be made on trial.
  const idGenerator = (request?: { ip?: string }) => {
    if (request?.ip === undefined) throw new Error('no request')
    return `${request.ip}-${ids++}-${'x'.repeat(30)}`
  }
  // Without the first app's guard: its own copy of the same data.
  const copy = new JsonStore()
  for (const [id, json] of store.records) copy.records.set(id, json)
  const { url } = await appAt(t, provider, {
    session: { store: copy, rolling: false, idGenerator: idGenerator as never },
    setup: sessionRoutes
  })
  const list = [...copy.records.keys()].find(id => id.startsWith('oauth:logins:'))!
  const seen = (await visitor(browser, list).get(`${url}/session`)).json<Record<string, unknown>>()
  t.not(seen.id, list)
  t.notMatch(seen, { record: {} })
})

const thirtyDays = 30 * 86_400_000

const oneDay = 86_400_000

/** How session stores find out how long an entry is kept: each another, for a day where that tells nothing. */
const lifetimes: Record<string, (cookie: Record<string, unknown>) => number> = {
  maxAge: ({ maxAge }) => typeof maxAge === 'number' ? maxAge : oneDay,
  originalMaxAge: ({ originalMaxAge }) => typeof originalMaxAge === 'number' ? originalMaxAge : oneDay,
  expires: ({ expires }) => expires instanceof Date ? expires.getTime() - Date.now() : oneDay
}

for (const [member, lifeOf] of Object.entries(lifetimes)) {
  t.test(`a store that reads cookie.${member} keeps the tokens as long as their session`, async (t) => {
    const lives = new Map<string, number>()
    class Store extends JsonStore {
      override set (id: string, session: { cookie: Record<string, unknown> }, callback: Callback): void {
        lives.set(id, lifeOf(session.cookie))
        super.set(id, session, callback)
      }

      touch (id: string, session: { cookie: Record<string, unknown> }, callback: Callback): void {
        this.set(id, session, callback)
      }
    }
    await start(t, { store: new Store(), cookie: { secure: false, maxAge: thirtyDays } })
    const kept = [...lives].filter(([id]) => !id.startsWith('oauth:login:') && !id.startsWith('oauth:dead:'))
    t.equal(kept.length, 3, 'the session, its tokens, and the list of the user\'s logins')
    for (const [id, life] of kept) t.ok(Math.abs(life - thirtyDays) < 60_000, `${id.slice(0, 11)}… ${life}`)
  })
}

t.test('without a maxAge of the session the tokens are kept for 24 hours', async t => {
  const { store } = await start(t, { store: new JsonStore(), cookie: { secure: false } })
  const [id] = tokenRecords(store).keys()
  const { cookie } = store.peek<{ cookie: { maxAge: number } }>(id!)!
  t.equal(cookie.maxAge, oneDay)
})

/** A store whose touch never calls back. */
class TouchStore extends JsonStore {
  touches = 0
  touch (): void { this.touches++ }
}

t.test('a touch that never calls back: what follows is written all the same, and the record is kept alive', async t => {
  const inner = new TouchStore()
  const store = new SessionTokenStore(() => inner, Date.now, { touchMs: 20 })
  t.equal(await store.set('a', { version: 1 }, { ttl: 60, expectedVersion: 0 }), true)
  const before = inner.records.get('oauth:a')
  const [, written] = await Promise.all([
    store.touch('a', { ttl: 3600 }), store.set('a', { version: 2 }, { ttl: 3600, expectedVersion: 1 })
  ])
  t.equal(written, true)
  t.match(await store.get('a'), { version: 2 })
  t.not(inner.records.get('oauth:a'), before)
  await store.touch('a', { ttl: 7200 })
  t.equal(inner.touches, 1, 'it is not asked again at once')
  t.ok(inner.peek<{ cookie: { maxAge: number } }>('oauth:a')!.cookie.maxAge > 3_600_000)
})

t.test('a deleted record cannot be written again for as long as its tombstone lives', async t => {
  const inner = new TouchStore()
  let now = Date.now()
  const store = new SessionTokenStore(() => inner, () => now)
  await store.set('a', { version: 1 }, { ttl: 60 })
  await store.delete('a')
  now += TOMBSTONE_MS - 1
  await store.delete('b') // where old tombstones go
  t.equal(await store.set('a', { version: 2 }, { ttl: 60 }), false)
  now += 2
  await store.delete('c')
  t.equal(await store.set('a', { version: 2 }, { ttl: 60 }), true)
})

t.test('a Map as session store, which expires nothing: what is over goes as others are written', async t => {
  const inner = new JsonStore()
  let now = Date.now()
  const store = new SessionTokenStore(() => inner, () => now)
  for (const id of ['login:a', 'a', 'b']) await store.set(id, { version: 1 }, { ttl: 600 })
  await store.touch('b', { ttl: 3600 })
  now += 600_001
  for (const id of ['login:b', 'c']) await store.set(id, { version: 1 }, { ttl: 600 })
  await until(() => inner.records.size <= 3, 'two entries are dropped')
  t.strictSame([...inner.records.keys()].sort(), ['oauth:b', 'oauth:c', 'oauth:login:b'])
})

t.test('a Map as session store: at most 10,000 pending logins are kept, the newest', async t => {
  const inner = new JsonStore()
  const store = new SessionTokenStore(() => inner)
  await store.set('tokens', { version: 1 }, { ttl: 600 })
  for (let login = 0; login <= 10_000; login++) await store.set(`login:${login}`, { version: 0 }, { ttl: 600 })
  await until(() => !inner.records.has('oauth:login:0'), 'the oldest is dropped')
  t.equal(inner.records.size, 10_001, 'with the tokens, which are none')
})

const changes: Record<'get' | 'set' | 'destroy', (store: SessionTokenStore) => Promise<unknown>> = {
  get: store => store.touch('a', { ttl: 60 }),
  set: store => store.set('a', { version: 2 }, { ttl: 60 }),
  destroy: store => store.consume('a')
}

for (const method of ['get', 'set', 'destroy'] as const) {
  t.test(`a ${method} that never calls back does not hold the record for good`, async (t) => {
    const inner = new JsonStore()
    const store = new SessionTokenStore(() => inner, Date.now, { callMs: 50 })
    await store.set('a', { version: 1 }, { ttl: 60 })
    inner.hang[method] = true
    await t.rejects(changes[method](store), { message: 'no answer within 50 ms' })
    inner.hang[method] = false
    t.equal(await store.set('a', { version: 3 }, { ttl: 60 }), true)
    t.match(await store.get('a'), { version: 3 })
  })
}

t.test('a write that waited too long for those before it is not made later, when its caller has given up', async t => {
  const versions: number[] = []
  const inner = new class extends JsonStore {
    override set (id: string, entry: { record: { version: number } }, callback: Callback): void {
      versions.push(entry.record.version)
      super.set(id, entry, callback)
    }
  }()
  const store = new SessionTokenStore(() => inner, Date.now, { callMs: 50 })
  inner.hang.set = true
  const outcomes = await Promise.allSettled([1, 2, 3].map(version => store.set('a', { version }, { ttl: 60 })))
  t.strictSame(outcomes.map(({ status }) => status), ['rejected', 'rejected', 'rejected'])
  inner.hang.set = false
  const isOver = async () => await store.set('a', { version: 4 }, { ttl: 60 }).catch(() => false)
  await until(isOver, 'the second write is over')
  t.notOk(versions.includes(3))
})

const unreadable: Record<string, unknown> = {
  'is no object': 'text',
  'has no cookie': { oauth: {} },
  'has a cookie with an object in it': { cookie: { originalMaxAge: { toString: 1 } } },
  'has a cookie that ends at no time': { cookie: { expires: 'tomorrow' } },
  'has a cookie with another attribute in its path': { cookie: { path: '/; domain=evil.example' } },
  'has a cookie with markup in its path': { cookie: { path: '"><svg/onload=alert(1)>' } },
  'has a cookie whose domain is none': { cookie: { domain: 'a b<' } },
  'has a cookie of no known policy': { cookie: { sameSite: 'HS256' } }
}
for (const [what, value] of Object.entries(unreadable)) {
  t.test(`a stored session that ${what} is none, and does not end the process`, async (t) => {
    const { app, store, browser, url } = await start(t, {})
    const [id] = [...store.records.keys()].filter(id => !id.startsWith('oauth:'))
    const stored = JSON.parse(store.records.get(id!)!) as { cookie: object }
    const { cookie } = Object(value) as { cookie?: object }
    const changed = cookie === undefined ? value : { ...stored, cookie: { ...stored.cookie, ...cookie } }
    store.records.set(id!, JSON.stringify(changed))
    t.strictSame((await browser.get(`${url}/`)).json(), { user: null })
    t.equal((await browser.get(`${url}/guarded`, { headers: { accept: 'application/json' } })).status, 401)
    t.equal((await app.inject('/')).statusCode, 200, 'and the app goes on')
  })
}

t.test('the id of a session that has ended is in no entry of the store', async (t) => {
  const { browser, url, store } = await start(t, {})
  const { id } = (await browser.get(`${url}/session`)).json<{ id: string }>()
  await browser.logout(`${url}/logout`)
  t.ok([...store.records.keys()].some(key => key.startsWith('oauth:dead:')))
  t.notOk([...store.records].flat().some(text => text.includes(id)))
})
