import session from '@fastify/session'
import t from 'tap'
import { MemorySessionStore } from '../../lib/tokens/stores/memory-session-store.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'

const record = (version: number) => ({ version, text: 'kept' })

/** A store beside a session of the app's, and its clock. */
function open () {
  const entries = new Map<string, unknown>([['of the app', { cookie: {}, cart: 'tea' }]])
  const clock = { now: 1_000_000 }
  return { entries, clock, store: new MemorySessionStore(entries, () => clock.now) }
}

t.test('a record is found until its time is over, and longer after a touch', async (t) => {
  const { store, clock } = open()
  await store.set('a', record(1), { ttl: 10 })
  clock.now += 9_000
  t.strictSame(await store.get('a'), record(1))
  await store.touch('a', { ttl: 10 })
  clock.now += 9_000
  t.strictSame(await store.get('a'), record(1))
  clock.now += 1_000
  t.equal(await store.get('a'), undefined)
  await store.touch('a', { ttl: 10 })
  t.equal(await store.get('a'), undefined, 'a touch brings nothing back')
})

t.test('of two writers who expect the same version, one writes', async (t) => {
  const { store } = open()
  const create = () => store.set('a', record(1), { ttl: 10, expectedVersion: 0 })
  t.strictSame(await Promise.all([create(), create()]), [true, false])
  t.equal(await store.set('a', record(2), { ttl: 10, expectedVersion: 1 }), true)
  t.equal(await store.set('a', record(2), { ttl: 10, expectedVersion: 1 }), false)
})

t.test('of two consumers one gets the record, and it can be written again', async (t) => {
  const { store } = open()
  await store.set('a', record(1), { ttl: 10 })
  t.strictSame(await Promise.all([store.consume('a'), store.consume('a')]), [record(1), undefined])
  t.equal(await store.set('a', record(1), { ttl: 10 }), true)
})

for (const way of ['delete', 'remove'] as const) {
  t.test(`${way}: no late writer brings a record back`, async (t) => {
    const { store } = open()
    await store.set('a', record(1), { ttl: 10 })
    t.strictSame(await store[way]('a'), way === 'remove' ? record(1) : undefined)
    t.equal(await store.set('a', record(2), { ttl: 10 }), false)
    t.equal(await store.get('a'), undefined)
  })
}

t.test('what has expired is dropped as others are written; sessions of the app stay', async (t) => {
  const { store, entries, clock } = open()
  for (let i = 0; i < 100; i++) await store.set(`old ${i}`, record(1), { ttl: 10 })
  clock.now += 10_000
  for (let i = 0; i < 100; i++) await store.set(`new ${i}`, record(1), { ttl: 10 })
  t.equal(entries.size, 101)
  t.strictSame(entries.get('of the app'), { cookie: {}, cart: 'tea' })
})

t.test('at most 10,000 pending logins are kept, the newest', async (t) => {
  const { store, entries } = open()
  for (let i = 0; i < 10_050; i++) await store.set(`login:${i}`, record(0), { ttl: 600 })
  t.equal(entries.size, 10_001)
  t.equal(await store.get('login:49'), undefined)
  t.strictSame(await store.get('login:50'), record(0))
})

t.test('logins that are finished take no room from one that is pending', async (t) => {
  const { store } = open()
  await store.set('login:slow', record(0), { ttl: 600 })
  for (let i = 0; i < 10_050; i++) {
    await store.set(`login:${i}`, record(0), { ttl: 600 })
    await store.consume(`login:${i}`)
  }
  t.strictSame(await store.get('login:slow'), record(0))
})

t.test('an app that empties the store loses no login that begins afterwards', async (t) => {
  const { store, entries } = open()
  for (let i = 0; i < 10_000; i++) await store.set(`login:${i}`, record(0), { ttl: 600 })
  entries.clear()
  for (const id of ['login:a', 'login:b']) await store.set(id, record(0), { ttl: 600 })
  t.strictSame(await store.get('login:a'), record(0))
})

t.test('the in-memory store keeps no request with a session, and finds the session as before', async (t) => {
  const store = new session.MemoryStore()
  const { browser, url, userOf } = await loggedInApp(t, {
    session: { store },
    setup: (app) => {
      app.post('/cart', async (request) => {
        request.session.set('cart' as never, 'tea' as never)
        return 'ok'
      })
      app.get('/cart', async request => ({ cart: request.session.get('cart' as never) }))
    }
  })
  await browser.post(`${url}/cart`, { json: {} })
  const { store: entries } = store as unknown as { store: Map<string, object> }
  const kept = [...entries].filter(([id]) => !id.startsWith('oauth:'))
  const symbols = kept.map(([, stored]) => Object.getOwnPropertySymbols(stored).map(({ description }) => description))
  t.strictSame(symbols, [['sessionId', 'encryptedSessionId']])
  t.strictSame((await browser.get(`${url}/cart`)).json(), { cart: 'tea' })
  t.equal(await userOf(browser), 'alice')
})
