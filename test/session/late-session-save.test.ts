import session from '@fastify/session'
import type { FastifyInstance } from 'fastify'
import { createClient } from 'redis'
import t, { type Test } from 'tap'
import { redisStore } from '../../lib/redis.ts'
import { deferred, Gate } from '../helpers/gate.ts'
import { movingClock } from '../helpers/moving-clock.ts'
import { startRedis } from '../helpers/redis.ts'
import { RedisSessionStore } from '../helpers/redis-session-store.ts'
import { tokenRecords } from '../helpers/records.ts'
import { JsonStore } from '../helpers/stores.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { appAt, callbackUrl, loginApp } from '../helpers/login-app.ts'

// A session that a login or a logout has ended stays ended, whatever slower requests do with it: on the store that
// @fastify/session brings, on Redis, and on a store that has get, set and destroy and no more.

interface Sessions {
  store: { destroy (id: string, done: (error?: unknown) => void): void }
  /** Ids of the sessions that stand there. */
  ids (): Promise<string[]>
  oauth?: { tokenStore: ReturnType<typeof redisStore> }
}

const kinds: Record<string, (t: Test) => Promise<Sessions | undefined>> = {
  'the in-memory store': async () => {
    const store = new session.MemoryStore()
    const { store: kept } = store as unknown as { store: Map<string, unknown> }
    return { store: store as never, ids: async () => [...kept.keys()].filter(id => !id.startsWith('oauth:')) }
  },
  Redis: async (t) => {
    const redis = await startRedis(t)
    if (redis === undefined) return undefined
    const client = await createClient({ url: redis.url }).connect()
    t.after(() => client.destroy())
    return {
      store: new RedisSessionStore(client),
      ids: () => client.keys('session:*'),
      oauth: { tokenStore: redisStore(client) }
    }
  },
  'a store with get, set and destroy': async () => {
    const store = new JsonStore()
    return { store, ids: async () => [...store.records.keys()].filter(id => !id.startsWith('oauth:')) }
  }
}

/** Alice, logged in, on an app with a request that takes as long as its gate. */
async function start (t: Test, sessions: Sessions, rolling: boolean) {
  const slow = new Gate()
  const destroyed = new Gate()
  const over = new Map(['/slow', '/hijacked'].map(path => [path, deferred()]))
  const { url, browser } = await loggedInApp(t, {
    wrong: {},
    oauth: sessions.oauth,
    session: { store: sessions.store as never, rolling },
    setup: (app: FastifyInstance) => {
      // Registered after the plugin's own, which is the last that sees a hijacked reply.
      app.addHook('onResponse', async ({ url }) => { over.get(url)?.resolve() })
      app.get('/slow', async ({ session }) => {
        await slow.pass()
        session.set('visits' as never, 1 as never)
        return 'done'
      })
      app.get('/hijacked', async ({ session }, reply) => {
        await slow.pass()
        reply.hijack()
        await session.save()
        reply.raw.end('done')
      })
      app.get('/write', async ({ session }) => {
        session.set('visits' as never, 1 as never)
        return 'done'
      })
      app.get('/destroy', async ({ session }) => {
        await session.destroy()
        await destroyed.pass()
        return 'destroyed'
      })
    }
  })
  const copy = browser.copy()
  /** Neither the old cookie nor the browser's own logs in. */
  const assertDead = async (t: Test) => {
    t.strictSame((await copy.get(url)).json(), { user: null })
    t.strictSame((await browser.get(url)).json(), { user: null })
  }
  /** Resolves when all is done that a request leaves behind. */
  const isOver = (path: string) => over.get(path)!.promise
  return { url, browser, copy, slow, destroyed, isOver, assertDead }
}

/** Holds the next destruction in a store. */
function holdDestroy (store: Sessions['store']): Gate<string> {
  const gate = new Gate<string>()
  const destroy = store.destroy.bind(store)
  store.destroy = (id, done) => {
    store.destroy = destroy
    gate.pass(id).then(() => destroy(id, done))
  }
  return gate
}

for (const [name, open] of Object.entries(kinds)) {
  for (const rolling of [true, false]) {
    t.test(`${name}, rolling ${rolling}`, async (t) => {
      for (const path of ['/slow', '/hijacked']) {
        t.test(`a slower request that saves the session after a logout (${path})`, async (t) => {
          const sessions = await open(t)
          if (sessions === undefined) return
          const { url, browser, copy, slow, isOver, assertDead } = await start(t, sessions, rolling)
          const late = copy.get(url + path)
          await slow.arrived
          await browser.post(`${url}/logout`)
          slow.release()
          t.equal((await late).headers['set-cookie'], undefined, 'the browser is not put back on it')
          await isOver(path)
          await assertDead(t)
          t.strictSame(await sessions.ids(), [])
        })
      }

      t.test('a request that comes between the logout and the end of the session in the store', async (t) => {
        const sessions = await open(t)
        if (sessions === undefined) return
        const { url, browser, copy, assertDead } = await start(t, sessions, rolling)
        const destroying = holdDestroy(sessions.store)
        const logout = browser.post(`${url}/logout`)
        await destroying.arrived
        await copy.get(`${url}/write`)
        t.strictSame((await copy.get(url)).json(), { user: null }, 'logged out already')
        destroying.release()
        await logout
        await assertDead(t)
        t.strictSame(await sessions.ids(), [])
      })

      t.test(
        'a request that was loaded before the logout and saves before the end of the session in the store',
        async t => {
          const sessions = await open(t)
          if (sessions === undefined) return
          const { url, browser, copy, slow, assertDead } = await start(t, sessions, rolling)
          const late = copy.get(`${url}/slow`)
          await slow.arrived
          const destroying = holdDestroy(sessions.store)
          const logout = browser.post(`${url}/logout`)
          await destroying.arrived
          slow.release()
          await late
          destroying.release()
          await logout
          await assertDead(t)
          t.strictSame(await sessions.ids(), [])
        }
      )

      t.test(
        'a slower request that saves a session which the app has destroyed itself, before its handler is through',
        async t => {
          const sessions = await open(t)
          if (sessions === undefined) return
          const { url, browser, copy, slow, destroyed, assertDead } = await start(t, sessions, rolling)
          const late = copy.get(`${url}/slow`)
          await slow.arrived
          const ending = browser.get(`${url}/destroy`)
          await destroyed.arrived
          slow.release()
          await late
          destroyed.release()
          await ending
          t.strictSame(await sessions.ids(), [])
          await assertDead(t)
        }
      )

      t.test('a slower request that saves the session that a login has replaced', async (t) => {
        const sessions = await open(t)
        if (sessions === undefined) return
        const { url, browser, copy, slow } = await start(t, sessions, rolling)
        const late = browser.get(`${url}/slow`)
        await slow.arrived
        await browser.login(`${url}/login/acme`)
        const now = browser.cookie('sessionId')
        slow.release()
        await late
        t.equal(browser.cookie('sessionId'), now, 'the browser stays on the new one')
        t.strictSame((await browser.get(url)).json(), { user: 'alice' })
        t.strictSame((await copy.get(url)).json(), { user: null })
        t.equal((await sessions.ids()).length, 1)
      })
    })
  }
}

for (const rolling of [true, false]) {
  for (const [what, changes] of [['only reads', false], ['writes', true]] as const) {
    for (const before of ['an anonymous session', 'a login']) {
      t.test(`a slower request that ${what} ${before} keeps the browser's new login, rolling ${rolling}`, async (t) => {
        const slow = new Gate()
        const { url, browser, store } = await loginApp(t, {
          wrong: {},
          session: { rolling },
          setup: (app: FastifyInstance) => {
            app.get('/cart', async ({ session }) => { session.set('cart' as never, ['bread'] as never) })
            app.get('/slow', async ({ session }) => {
              await slow.pass()
              if (changes) session.set('visits' as never, 1 as never)
            })
          }
        })
        if (before === 'a login') await browser.login(`${url}/login/acme`)
        else await browser.get(`${url}/cart`)
        const late = browser.get(`${url}/slow`)
        await slow.arrived
        await browser.login(`${url}/login/acme`)
        slow.release()
        t.equal((await late).headers['set-cookie'], undefined)
        t.strictSame((await browser.get(url)).json(), { user: 'alice' })
        t.equal([...store.records.keys()].filter(id => !id.startsWith('oauth:')).length, 1)
      })
    }
  }
}

/** An app with a request that writes to its session when its gate opens, and alice, logged in. */
async function slowWriter (t: Test) {
  const slow = new Gate()
  const app = await loggedInApp(t, {
    wrong: {},
    setup: (app: FastifyInstance) => {
      app.get('/slow', async ({ session }) => {
        await slow.pass()
        session.set('visits' as never, 1 as never)
      })
    }
  })
  return { ...app, slow }
}

t.test('a slower request with the cookie of a session that logoutUser ended keeps the new login', async t => {
  const { app, url, browser, slow, userOf } = await slowWriter(t)
  await app.oauth.logoutUser({ provider: 'acme', subject: 'alice' })
  const late = browser.get(`${url}/slow`)
  await slow.arrived
  await browser.login(`${url}/login/acme`)
  slow.release()
  t.equal((await late).headers['set-cookie'], undefined)
  t.equal(await userOf(browser), 'alice')
})

t.test('a browser that never got the cookie of its new login is given a session again after ten minutes', async t => {
  const clock = movingClock(t)
  const { url, browser, slow } = await slowWriter(t)
  slow.release()
  const old = browser.copy()
  await browser.login(`${url}/login/acme`)
  t.equal((await old.get(`${url}/slow`)).headers['set-cookie'], undefined)
  clock.pass(601)
  t.match(String((await old.get(`${url}/slow`)).headers['set-cookie']), /^sessionId=/)
})

t.test('a slower request on another process does not write the session that a logout has ended', async (t) => {
  const slow = new Gate()
  const shared = new JsonStore()
  const there = Object.assign(new JsonStore(), { records: shared.records })
  const setup = (app: FastifyInstance) => {
    app.get('/slow', async ({ session }) => {
      await slow.pass()
      session.set('visits' as never, 1 as never)
      return 'done'
    })
  }
  const here = await loggedInApp(t, { wrong: {}, setup, session: { store: shared } })
  const { browser, provider } = here
  const elsewhere = await appAt(t, provider, { oauth: { baseUrl: here.url }, setup, session: { store: there } })
  const late = browser.get(`${elsewhere.url}/slow`)
  await slow.arrived
  await browser.post(`${here.url}/logout`, { redirect: 'manual' })
  const writes = there.calls.set
  slow.release()
  const answer = await late
  t.equal(answer.status, 200)
  t.equal(answer.headers['set-cookie'], undefined)
  t.equal(there.calls.set, writes)
  t.strictSame([...shared.records.keys()].filter(id => !id.startsWith('oauth:')), [])
})

t.test('a login that fails leaves the browser the cookie of a login that another tab has finished', async (t) => {
  const gate = new Gate()
  let isHeld = false
  const { browser, url, userOf } = await loggedInApp(t, {
    wrong: {},
    session: { saveUninitialized: true },
    oauth: {
      onLogin: async () => {
        if (!isHeld) return
        isHeld = false
        await gate.pass()
        throw new Error('the app does not want this login')
      }
    }
  })
  const failing = await callbackUrl(browser, `${url}/login/acme`)
  const good = await callbackUrl(browser, `${url}/login/acme`)
  isHeld = true
  const failed = browser.get(failing, { redirect: 'manual' })
  await gate.arrived
  await browser.get(good)
  t.equal(await userOf(browser), 'alice')
  gate.release()
  t.equal((await failed).status, 500)
  t.equal(await userOf(browser), 'alice')
})

/** Alice, whose session gets a new id when an account of `other` is linked, and requests with the session of before. */
async function linkable (t: Test) {
  const slow = new Gate()
  const started = await loggedInApp(t, {
    wrong: {},
    providers: ({ providerOptions }) => ({ acme: providerOptions, other: providerOptions }),
    setup: (app) => {
      app.get('/write', async ({ session }) => {
        await slow.pass()
        session.set('visits' as never, 1 as never)
      })
      app.get('/forget', async ({ session }) => {
        await slow.pass()
        delete session.oauth
      })
    }
  })
  const { browser, url, store, run } = started
  /** The login continues, with both accounts and their tokens. */
  const assertGoesOn = async (t: Test) => {
    t.strictSame((await browser.get(url)).json(), { user: 'alice' })
    t.equal(tokenRecords(store).size, 2)
    t.match(await run(oauth => oauth.tokens()), { accessToken: String })
  }
  return { ...started, slow, copy: browser.copy(), assertGoesOn }
}

t.test('race: a request that takes the login out of its session ends none that moves to another', async t => {
  const { url, copy, slow, store, link, assertGoesOn } = await linkable(t)
  const late = copy.get(`${url}/forget`)
  await slow.arrived
  const marking = store.holdNext('set', id => id.startsWith('oauth:dead:'))
  const linked = link('other')
  await marking.arrived
  slow.release()
  await late
  marking.release()
  await linked
  await assertGoesOn(t)
})

t.test('race: a login that failed with its store ends the session it came with, no login that moved on', async (t) => {
  const exchange = new Gate()
  const { url, copy, provider, slow, store, link, assertGoesOn } = await linkable(t)
  const late = copy.get(`${url}/write`)
  await slow.arrived
  provider.wrong = { instead: { token: () => exchange.pass() } }
  const failing = copy.login(`${url}/login/acme`)
  await exchange.arrived
  provider.wrong = {}
  await link('other')
  const marking = store.holdNext('set', id => id.startsWith('oauth:dead:'), { afterwards: true })
  exchange.release()
  await marking.arrived
  Object.assign(store.fail, { get: true, set: true, destroy: true })
  marking.release()
  t.equal((await failing).status, 503)
  Object.assign(store.fail, { get: false, set: false, destroy: false })
  slow.release()
  await late
  await assertGoesOn(t)
})
