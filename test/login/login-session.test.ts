import { Signer } from '@fastify/cookie'
import t, { type Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import type { LoginEvent, TokenSet, TokensEvent } from '../../lib/index.ts'
import { MemoryTokenStore } from '../../lib/tokens/stores/memory-store.ts'
import { Browser, type Page } from '../helpers/browser.ts'
import { SESSION_SECRET } from '../helpers/build-app.ts'
import { Gate } from '../helpers/gate.ts'
import {
  asJson,
  assertLoggedOut,
  callbackUrl,
  codeOf,
  loginApp,
  loginCookies,
  pendingLogins,
  type LoginApp
} from '../helpers/login-app.ts'
import { captureLog } from '../helpers/log.ts'
import { matchEach } from '../helpers/match-each.ts'
import { tokenRecords } from '../helpers/records.ts'

// What a login does to the session, and what it leaves of one that fails on the way.

/** Fields of the session, read and written by the app itself. */
function sessionRoutes (app: FastifyInstance): void {
  app.get('/session', async ({ session }) => ({
    id: session.sessionId,
    cart: session.get('cart' as never) ?? null,
    role: session.get('role' as never) ?? null
  }))
  app.post('/session', async ({ session, body }) => {
    for (const [name, value] of Object.entries(body as object)) session.set(name as never, value as never)
    return { id: session.sessionId }
  })
}

const sessionCookie = (browser: Browser) => browser.cookie('sessionId')

t.test('session fixation: the session has a new id after the login, and the old one has ended', async (t) => {
  const { browser, url, store, userOf } = await loginApp(t, { setup: sessionRoutes })
  const attacker = new Browser()
  const { id } = (await attacker.post(`${url}/session`, { json: { cart: 'planted' } })).json<{ id: string }>()
  browser.cookies = attacker.cookies
  await browser.login(`${url}/login/acme`)
  t.equal(await userOf(browser), 'alice')
  t.not((await browser.get(`${url}/session`)).json().id, id)
  t.equal(await userOf(attacker), null)
  t.notOk(store.records.has(id))
})

t.test('session fixation: the contents of the session before the login are gone after it', async (t) => {
  const { browser, url } = await loginApp(t, { setup: sessionRoutes })
  await browser.post(`${url}/session`, { json: { cart: 'planted', role: 'admin' } })
  await browser.login(`${url}/login/acme`)
  t.match((await browser.get(`${url}/session`)).json(), { cart: null, role: null })
})

t.test('the login keeps the session fields of keepSessionFields, and no others', async (t) => {
  const { browser, url, store } = await loginApp(t, { setup: sessionRoutes, oauth: { keepSessionFields: ['cart'] } })
  const { id } = (await browser.post(`${url}/session`, { json: { cart: 'tea', role: 'admin' } })).json<{ id: string }>()
  await browser.login(`${url}/login/acme`)
  const after = (await browser.get(`${url}/session`)).json()
  t.match(after, { cart: 'tea', role: null })
  t.not(after.id, id)
  t.notOk(store.records.has(id))
})

t.test('a login replaces the one before it, and its tokens', async (t) => {
  const { app, browser, url, provider, store, userOf } = await loginApp(t)
  provider.wrong = { metadata: { revocation_endpoint: provider.url('revocation') } }
  await browser.login(`${url}/login/acme`)
  const before = [...tokenRecords(store).keys()]
  const copy = browser.copy()
  provider.subject = 'bob'
  await browser.login(`${url}/login/acme`)
  t.equal(await userOf(browser), 'bob')
  t.equal(await userOf(copy), null, 'the first session has ended')
  t.equal(tokenRecords(store).size, 1)
  t.notOk(tokenRecords(store).has(before[0]!))
  await app.close() // when revocations under way are over
  t.equal(provider.asked('revocation').length, 0, 'not revoked: the new login may stand on the same grant')
})

t.test('account linking: a login at another provider does not join the one that is there', async (t) => {
  const { browser, url, store } = await loginApp(t, {
    providers: ({ providerOptions }) => ({ acme: providerOptions, other: providerOptions }),
    setup: (app) => { app.get('/oauth', async ({ session }) => session.oauth?.accounts) }
  })
  await browser.login(`${url}/login/acme`)
  await browser.login(`${url}/login/other`)
  t.strictSame(Object.keys((await browser.get(`${url}/oauth`)).json()), ['other'])
  t.equal(tokenRecords(store).size, 1)
})

t.test('a pending login is no session: neither its cookie nor its record logs in', async (t) => {
  const { browser, url, userOf, store } = await loginApp(t)
  await callbackUrl(browser, `${url}/login/acme`)
  t.equal(await userOf(browser), null)
  t.equal(sessionCookie(browser), undefined)
  const [id] = pendingLogins(store)
  const [cookie] = loginCookies(browser)
  for (const value of [id!, cookie!.value]) {
    browser.jar.put({ ...cookie!, name: 'sessionId', value })
    t.equal(await userOf(browser), null)
  }
})

t.test(
  'a pending login is no session even where the app has signed its id: it may sign other cookies with the ' +
    "session's secret",
  async t => {
    const { browser, url, userOf, store } = await loginApp(t)
    const callback = await callbackUrl(browser, `${url}/login/acme`)
    const [cookie] = loginCookies(browser)
    const [id] = pendingLogins(store)
    browser.jar.put({ ...cookie!, name: 'sessionId', value: encodeURIComponent(new Signer(SESSION_SECRET).sign(id!)) })
    t.equal(await userOf(browser), null)
    t.equal((await browser.get(callback, { redirect: 'manual' })).headers.location ?? 'refused', '/')
    t.equal(await userOf(browser), 'alice')
  }
)

t.test('the session holds no token, and neither does any cookie', async (t) => {
  const { browser, url, store, provider } = await loginApp(t)
  await browser.login(`${url}/login/acme`)
  const [session] = [...store.records].filter(([id]) => !id.startsWith('oauth:'))
  const cookies = browser.history.map((page) => String(page.headers['set-cookie'])).join()
  t.strictSame(provider.secrets.filter((secret) => session![1].includes(secret)), [])
  t.strictSame(provider.secrets.filter((secret) => cookies.includes(secret)), [])
})

t.test('race: a request slower than the login does not put the browser back onto the old session', async (t) => {
  const slow = new Gate()
  const { browser, url, userOf, store } = await loginApp(t, {
    setup: (app) => {
      sessionRoutes(app)
      app.get('/slow', async ({ session }) => {
        await slow.pass()
        session.set('visits' as never, 1 as never)
        return 'done'
      })
    }
  })
  const { id } = (await browser.post(`${url}/session`, { json: { cart: 'tea' } })).json<{ id: string }>()
  const answer = browser.get(`${url}/slow`)
  await slow.arrived
  await browser.login(`${url}/login/acme`)
  slow.release()
  await answer
  t.equal(await userOf(browser), 'alice')
  t.notOk(store.records.has(id), 'and the old session stays ended')
})

t.test(
  'session fixation: from the moment of a second login the session before it identifies no user, though the store ' +
    'still has it',
  async t => {
    const { browser, url, userOf, store } = await loginApp(t)
    await browser.login(`${url}/login/acme`)
    const copy = browser.copy()
    const callback = await callbackUrl(browser, `${url}/login/acme`)
    const destroying = store.holdNext('destroy', id => !id.includes(':'))
    const answer = browser.get(callback)
    const old = await destroying.arrived
    t.ok(store.records.has(old))
    t.equal(await userOf(copy), null)
    destroying.release()
    await answer
    t.equal(await userOf(browser), 'alice')
  }
)

t.test('race: a session that another request regenerates during the callback does not stop the login', async (t) => {
  const exchange = new Gate()
  const { browser, url, userOf } = await loginApp(t, {
    wrong: { instead: { token: () => exchange.pass() } },
    setup: (app) => {
      sessionRoutes(app)
      app.post('/regenerate', async ({ session }) => {
        await session.regenerate()
        session.set('cart' as never, 'new' as never)
        return {}
      })
    }
  })
  await browser.post(`${url}/session`, { json: { cart: 'tea' } })
  const login = browser.login(`${url}/login/acme`)
  await exchange.arrived
  await browser.post(`${url}/regenerate`, { json: {} })
  exchange.release()
  t.strictSame((await login).json(), { user: 'alice' })
  t.equal(await userOf(browser), 'alice')
})

// Hooks

t.test('onLogin sees the user, and may write into the new session', async (t) => {
  const events: LoginEvent[] = []
  const { browser, url, provider } = await loginApp(t, {
    setup: sessionRoutes,
    oauth: {
      onLogin: async (request, _reply, event) => {
        events.push(event)
        t.equal(request.oauth.user?.id, 'alice')
        request.session.set('role' as never, 'member' as never)
      }
    }
  })
  await browser.login(`${url}/login/acme`)
  t.match(events, [
    {
      provider: 'acme',
      user: { id: 'alice' },
      claims: { sub: 'alice', iss: provider.issuer },
      tokens: { accessToken: String, refreshToken: String }
    }
  ])
  t.equal((await browser.get(`${url}/session`)).json().role, 'member')
})

t.test('onLogin may send the response itself', async t => {
  const { browser, url, userOf } = await loginApp(t, {
    oauth: { onLogin: (_request, reply) => reply.code(201).send({ welcome: true }) }
  })
  const page = await browser.login(`${url}/login/acme`)
  t.match(page, { status: 201 })
  t.strictSame(page.json(), { welcome: true })
  t.equal(await userOf(browser), 'alice')
})

t.test('onLogin that throws undoes the login', async t => {
  const app = await loginApp(t, {
    oauth: {
      onLogin: () => { throw Object.assign(new Error('not one of us'), { statusCode: 403, code: 'NOT_A_MEMBER' }) }
    }
  })
  const page = await app.browser.login(`${app.url}/login/acme`, asJson)
  t.match(page, { status: 403 })
  t.match(page.json(), { code: 'NOT_A_MEMBER', message: 'not one of us' })
  await assertLoggedOut(t, app)
  t.equal(sessionCookie(app.browser), undefined)
  t.equal(app.store.records.size, 0, 'nor is an empty session left behind')
})

t.test('onLogin that throws leaves a session to the error handler, for a message on the next page, say', async t => {
  const { browser, url, userOf } = await loginApp(t, {
    oauth: {
      routes: false,
      onLogin: () => { throw new Error('not one of us') }
    },
    setup: app => {
      app.setErrorHandler((error: Error, { session }, reply) => {
        session.set('cart' as never, error.message as never)
        return reply.redirect('/session')
      })
      app.get('/in', async (request, reply) => request.oauth.login(reply))
      app.get('/login/:provider/callback', async (request, reply) => request.oauth.callback(reply))
      sessionRoutes(app)
    }
  })
  t.match((await browser.login(`${url}/in`)).json(), { cart: 'not one of us' })
  t.equal(await userOf(browser), null)
})

t.test('onLogin that throws after it saved the session undoes the login all the same', async (t) => {
  const app = await loginApp(t, {
    oauth: {
      onLogin: async (request) => {
        await request.session.save()
        throw new Error('too late: 10.1.2.3')
      }
    }
  })
  const page = await app.browser.login(`${app.url}/login/acme`, asJson)
  t.equal(page.status, 500)
  t.notMatch(page.text, '10.1.2.3', 'what is not ours may hold anything')
  await assertLoggedOut(t, app)
})

t.test('onLogin that throws revokes what the provider has issued', async (t) => {
  const app = await loginApp(t, { oauth: { onLogin: () => { throw new Error('no') } } })
  app.provider.wrong = { metadata: { revocation_endpoint: app.provider.url('revocation') } }
  await app.browser.login(`${app.url}/login/acme`)
  await app.app.close()
  const revoked = app.provider.asked('revocation').map(({ form }) => form.get('token')!)
  t.equal(revoked.length, 2)
  for (const token of revoked) t.ok(app.provider.secrets.includes(token))
})

for (const [what, fails] of Object.entries({
  'the tokens': (id: string) => !id.includes(':'),
  'the end of the session before': (id: string) => id.startsWith('dead:')
})) {
  t.test(`a login is undone, and its tokens are revoked, where ${what} cannot be stored`, async (t) => {
    class FailingStore extends MemoryTokenStore {
      override async set (...args: Parameters<MemoryTokenStore['set']>): Promise<boolean> {
        if (fails(args[0])) throw new Error('no space left')
        return await super.set(...args)
      }
    }
    const app = await loginApp(t, { setup: sessionRoutes, oauth: { tokenStore: new FailingStore() } })
    app.provider.wrong = { metadata: { revocation_endpoint: app.provider.url('revocation') } }
    await app.browser.post(`${app.url}/session`, { json: { cart: 'tea' } })
    const page = await app.browser.login(`${app.url}/login/acme`, asJson)
    t.strictSame([page.status, codeOf(page)], [503, 'FST_OAUTH_STORE_UNAVAILABLE'])
    t.equal(await app.userOf(app.browser), null)
    await app.app.close()
    const revoked = app.provider.asked('revocation').map(({ form }) => form.get('token')!)
    t.equal(revoked.length, 2)
    for (const token of revoked) t.ok(app.provider.secrets.includes(token))
  })
}

t.test('the session of a failed login is discarded without a read of its tombstone', async (t) => {
  const asked: string[] = []
  class CountingStore extends MemoryTokenStore {
    override async get (id: string) {
      asked.push(id)
      return await super.get(id)
    }
  }
  const { browser, url, store } = await loginApp(t, {
    oauth: { tokenStore: new CountingStore(), onLogin: () => { throw new Error('no') } },
    session: { saveUninitialized: true }
  })
  const callback = await callbackUrl(browser, `${url}/login/acme`)
  const before = store.records.size
  asked.length = 0
  t.equal((await browser.get(callback)).status, 500)
  t.strictSame(asked.filter(id => id.startsWith('dead:')), [])
  t.equal(store.records.size, before - 1, 'the session before has ended, and there is none in its place')
})

t.test('onTokens is told once, that a login brought them, when they are stored and before onLogin', async (t) => {
  const calls: Array<[TokenSet, TokensEvent]> = []
  const order: string[] = []
  let stored = 0
  const { browser, url, store } = await loginApp(t, {
    oauth: {
      onTokens: (tokens, event) => {
        calls.push([tokens, event])
        order.push('onTokens')
        stored = tokenRecords(store).size
      },
      onLogin: () => { order.push('onLogin') }
    }
  })
  await browser.login(`${url}/login/acme`)
  matchEach(t, calls, [
    [{ accessToken: String }, { provider: 'acme', user: { id: 'alice' }, previous: undefined, reason: 'login' }]
  ])
  t.equal(stored, 1)
  t.strictSame(order, ['onTokens', 'onLogin'])
})

t.test('onTokens that throws at login undoes the login', async (t) => {
  const app = await loginApp(t, { oauth: { onTokens: () => { throw new Error('the vault is shut') } } })
  const page = await app.browser.login(`${app.url}/login/acme`, asJson)
  t.equal(page.status, 500)
  await assertLoggedOut(t, app)
})

t.test('onLogin may use request.oauth of the new login without hanging', { timeout: 10_000 }, async (t) => {
  const { browser, url, provider } = await loginApp(t, {
    oauth: {
      onLogin: async (request) => { await request.oauth.tokens(); await request.oauth.userinfo() }
    }
  })
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
  t.equal(provider.asked('userinfo').length, 1)
})

// A store that fails

const stubbornSessions = {
  'sessions as the documentation has them': {},
  'rolling sessions, saved from the first request on': { rolling: true, saveUninitialized: true }
}

for (const [kind, session] of Object.entries(stubbornSessions)) {
  const assertUnavailable = async (t: Test, app: LoginApp, page: Page) => {
    t.equal(page.status, 503)
    t.equal(codeOf(page), 'FST_OAUTH_STORE_UNAVAILABLE')
    t.notMatch(page.text, '10.1.2.3', 'no address of ours in the body')
    t.notMatch(page.text, 'ECONNREFUSED')
    app.store.fail.set = app.store.fail.destroy = app.store.fail.get = false
    t.equal(await app.userOf(app.browser), null)
    t.equal(tokenRecords(app.store).size, 0)
  }

  t.test(`a store that fails when the session is renewed: 503, and no user is logged in (${kind})`, async (t) => {
    const app = await loginApp(t, { session, setup: sessionRoutes })
    await app.browser.post(`${app.url}/session`, { json: { cart: 'tea' } })
    app.provider.wrong = { instead: { token: () => { app.store.fail.set = app.store.fail.destroy = true } } }
    await assertUnavailable(t, app, await app.browser.login(`${app.url}/login/acme`, asJson))
  })

  t.test(`a store that fails to destroy the session before: 503, and no user is logged in (${kind})`, async (t) => {
    const app = await loginApp(t, { session, setup: sessionRoutes })
    await app.browser.post(`${app.url}/session`, { json: { cart: 'tea' } })
    app.provider.wrong = { instead: { token: () => { app.store.fail.destroy = true } } }
    await assertUnavailable(t, app, await app.browser.login(`${app.url}/login/acme`, asJson))
  })

  t.test(`a store that fails to write the tokens: 503, and no user is logged in (${kind})`, async (t) => {
    const app = await loginApp(t, { session })
    const callback = await callbackUrl(app.browser, `${app.url}/login/acme`)
    const writing = app.store.holdNext('set', (id) => id.startsWith('oauth:'))
    const page = app.browser.get(callback, asJson)
    await writing.arrived
    app.store.fail.set = true
    writing.release()
    await assertUnavailable(t, app, await page)
  })

  t.test(`a store that fails to save the session at last: 503, and no user is logged in (${kind})`, async (t) => {
    const app = await loginApp(t, { session })
    const callback = await callbackUrl(app.browser, `${app.url}/login/acme`)
    const saving = app.store.holdNext(
      'set',
      id => !id.startsWith('oauth:') && app.store.records.has(id) && tokenRecords(app.store).size === 1
    )
    const page = app.browser.get(callback, asJson)
    await saving.arrived
    app.store.fail.set = true
    saving.release()
    await assertUnavailable(t, app, await page)
  })

  t.test(`a store that fails for the whole callback: 5xx, and no user is logged in (${kind})`, async (t) => {
    const app = await loginApp(t, { session })
    const callback = await callbackUrl(app.browser, `${app.url}/login/acme`)
    app.store.fail.get = app.store.fail.set = app.store.fail.destroy = true
    const page = await app.browser.get(callback, asJson)
    t.equal(page.status, 503)
    t.equal(codeOf(page), 'FST_OAUTH_STORE_UNAVAILABLE')
    t.notMatch(page.text, '10.1.2.3')
    t.equal(app.provider.asked('token').length, 0, 'the code is not redeemed')
  })

  t.test(`a store that fails when a login begins: 503, and the browser goes nowhere (${kind})`, async (t) => {
    const app = await loginApp(t, { session })
    app.store.fail.get = app.store.fail.set = app.store.fail.destroy = true
    const page = await app.browser.get(`${app.url}/login/acme`, { ...asJson, redirect: 'manual' })
    t.equal(page.status, 503)
    t.equal(codeOf(page), 'FST_OAUTH_STORE_UNAVAILABLE')
    t.notMatch(page.text, '10.1.2.3')
    t.equal(page.headers['retry-after'], '1')
  })
}

t.test('a store that never calls back leaves no request hanging', async (t) => {
  const [begins, ends, leaves] = [await loginApp(t), await loginApp(t), await loginApp(t)]
  const callback = await callbackUrl(ends.browser, `${ends.url}/login/acme`)
  await leaves.browser.login(`${leaves.url}/login/acme`)
  for (const { store } of [begins, ends, leaves]) store.hang.get = store.hang.set = store.hang.destroy = true
  const pages = await Promise.all([
    begins.browser.get(`${begins.url}/login/acme`, { ...asJson, redirect: 'manual' }),
    ends.browser.get(callback, asJson),
    leaves.browser.post(`${leaves.url}/logout`, asJson)
  ])
  for (const page of pages) {
    t.equal(page.status, 503)
    t.equal(codeOf(page), 'FST_OAUTH_STORE_UNAVAILABLE')
  }
})

t.test('a store that fails: a browser gets a page with a link on', async (t) => {
  const app = await loginApp(t)
  app.store.fail.set = true
  const page = await app.browser.get(`${app.url}/login/acme`)
  t.equal(page.status, 503)
  t.match(page.text, /<h1>This site has a problem right now<\/h1>/)
  t.notMatch(page.text, '10.1.2.3')
})

t.test('a token store of the app\'s own that fails: 503, its address is in the log and nowhere else', async (t) => {
  const log = captureLog()
  let down = false
  class FailingStore extends MemoryTokenStore {
    override async set (...args: Parameters<MemoryTokenStore['set']>): Promise<boolean> {
      if (down) throw new Error('connect ECONNREFUSED 10.1.2.3:6379')
      return await super.set(...args)
    }
  }
  const tokenStore = new FailingStore()
  const app = await loginApp(t, { oauth: { tokenStore }, fastify: { logger: log.logger } })
  const callback = await callbackUrl(app.browser, `${app.url}/login/acme`)
  down = true
  for (const [url, headers] of [
    [callback, asJson.headers],
    [`${app.url}/login/acme`, asJson.headers],
    [`${app.url}/login/acme`, {}]
  ] as const) {
    const page = await app.browser.get(url, { headers, redirect: 'manual' })
    t.equal(page.status, 503)
    t.equal(codeOf(page), 'FST_OAUTH_STORE_UNAVAILABLE')
    t.notMatch(page.text + JSON.stringify(page.headers), '10.1.2.3')
  }
  t.match(log.text, '10.1.2.3')
  await assertLoggedOut(t, app)
})
