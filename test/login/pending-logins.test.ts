import cookie from '@fastify/cookie'
import session from '@fastify/session'
import Fastify from 'fastify'
import t from 'tap'
import oauth from '../../lib/index.ts'
import { PendingLogins } from '../../lib/login/transaction.ts'
import { SessionTokenStore } from '../../lib/tokens/stores/session-store.ts'
import type { TokenStore } from '../../lib/tokens/stores/token-store.ts'
import { Browser } from '../helpers/browser.ts'
import { SESSION_SECRET } from '../helpers/build-app.ts'
import { callbackUrl, loginApp, pendingLogins, type LoginAppOptions } from '../helpers/login-app.ts'
import { startMisbehavingProvider } from '../helpers/misbehaving-provider.ts'
import { tokenRecords } from '../helpers/records.ts'

// What a login leaves in the browser and in the store before it is finished.

t.test('the cookie of a login is out of reach for scripts and other sites, and ends after a day', async (t) => {
  const { browser, url } = await loginApp(t)
  const { headers } = await browser.get(`${url}/login/acme`, { redirect: 'manual' })
  t.equal(headers['set-cookie']?.length, 1)
  t.match(headers['set-cookie']?.[0], /^oauth-[\w-]{22}=[\w.-]+; Max-Age=86400; Path=\/; HttpOnly; SameSite=Lax$/)
})

t.test('a visitor who only begins a login gets no session', async (t) => {
  const app = await loginApp(t)
  await app.browser.get(`${app.url}/login/acme`, { redirect: 'manual' })
  t.equal(app.browser.cookie('sessionId'), undefined)
  t.strictSame([...app.store.records.keys()], pendingLogins(app.store))
})

for (const headers of [
  { 'sec-purpose': 'prefetch' },
  { 'sec-purpose': 'prefetch;prerender' },
  { purpose: 'prefetch' }
]) {
  t.test(`a prefetch of /login begins no login (${JSON.stringify(headers)})`, async t => {
    const app = await loginApp(t)
    const page = await app.browser.get(`${app.url}/login/acme`, { headers, redirect: 'manual' })
    t.equal(page.status, 403)
    t.equal(page.location, undefined)
    t.strictSame([app.browser.cookies, [...app.store.records.keys()]], [[], []])
  })
}

t.test('HEAD /login begins no login', async (t) => {
  const { app, store } = await loginApp(t)
  t.equal((await app.inject({ method: 'HEAD', url: '/login/acme' })).statusCode, 404)
  t.equal(store.records.size, 0)
})

t.test('memory: logins that are never finished are swept out of a store that never expires anything', async (t) => {
  let now = Date.now()
  const memory = new session.MemoryStore()
  const { store: kept } = memory as unknown as { store: Map<string, unknown> }
  const logins = new PendingLogins(new SessionTokenStore(() => memory as never, () => now), () => now / 1000)
  const begin = () =>
    logins.put({ provider: 'acme', state: 's', codeVerifier: 'v', redirectUri: 'r', returnTo: '/', scope: [] })
  for (let visitor = 0; visitor < 2_000; visitor++) await begin()
  t.equal(kept.size, 2_000)
  now += 601_000
  for (let visitor = 0; visitor < 700; visitor++) await begin()
  t.equal(kept.size, 700, 'only those of the last ten minutes are left')
})

t.test(
  'memory: however many anonymous visitors begin a login, ten thousand are kept, and no user is logged out for them',
  async t => {
    const memory = new session.MemoryStore()
    const { store: kept } = memory as unknown as { store: Map<string, unknown> }
    const store = new SessionTokenStore(() => memory as never)
    await store.set('tokens', { version: 1 }, { ttl: 86_400, expectedVersion: 0 })
    const logins = new PendingLogins(store, () => Date.now() / 1000)
    for (let visitor = 0; visitor < 10_100; visitor++) {
      await logins.put({ provider: 'acme', state: 's', codeVerifier: 'v', redirectUri: 'r', returnTo: '/', scope: [] })
    }
    t.equal(kept.size, 10_001)
    t.match(await store.get('tokens'), { version: 1 })
  }
)

t.test('memory: a login that makes room for another leaves no tombstone, which would pile up', async (t) => {
  const calls: string[] = []
  const store = new Proxy({} as TokenStore, { get: (_target, method) => async () => { calls.push(String(method)) } })
  await new PendingLogins(store, () => 0).drop(`0.${'x'.repeat(43)}`)
  t.strictSame(calls, ['consume'])
})

t.test('made-up login cookies cause no store access', async (t) => {
  const { app, store } = await loginApp(t)
  const made = Array.from(
    { length: 100 },
    (_, number) =>
      `oauth-${String(number).padStart(22, 'x')}=${number.toString(36)}.${String(number).padStart(43, 'y')}`
  )
  const { statusCode } = await app.inject({ url: '/login/acme', headers: { cookie: made.join('; ') } })
  t.equal(statusCode, 302)
  t.ok(store.calls.destroy + store.calls.get + store.calls.set <= 25, JSON.stringify(store.calls))
})

t.test('login cookies whose value is no id are ignored', async (t) => {
  const { browser, url } = await loginApp(t)
  const values = ['', '.', 'x'.repeat(3000), '%', '__proto__', '9.z', '../../x']
  const headers = {
    cookie: values.map((value, index) => `oauth-${String(index).padStart(22, 'a')}=${value}`).join('; ')
  }
  t.equal((await browser.get(`${url}/login/acme`, { headers, redirect: 'manual' })).status, 302)
})

for (const [what, defaults] of Object.entries({
  'a domain': { domain: 'example.com' },
  'a signature': { signed: true },
  SameSite: { sameSite: 'strict' },
  'a path': { path: '/app' }
})) {
  t.test(`${what} among the app's defaults for its own cookies does not break those of login and logout`, async t => {
    const provider = await startMisbehavingProvider(t)
    provider.wrong = { metadata: { end_session_endpoint: `${provider.issuer}/end` } }
    const app = Fastify()
    t.after(() => app.close())
    let url = ''
    await app.register(cookie, { secret: SESSION_SECRET, parseOptions: defaults as never })
    await app.register(session, { secret: SESSION_SECRET, cookie: { secure: false }, saveUninitialized: false })
    await app.register(oauth, { baseUrl: () => url, providers: { acme: provider.providerOptions } })
    url = await app.listen({ port: 0, host: '127.0.0.1' })
    const browser = new Browser()
    const { headers } = await browser.get(`${url}/login/acme`, { redirect: 'manual' })
    t.match(
      headers['set-cookie']?.[0],
      /^oauth-[\w-]{22}=[\w-]+\.[\w-]{43}; Max-Age=86400; Path=\/; HttpOnly; SameSite=Lax$/
    )
    const callback = await callbackUrl(browser, `${url}/login/acme`)
    t.equal((await browser.get(callback, { redirect: 'manual' })).status, 302)
    // With that default @fastify/session cannot read its own cookie: no user is logged in.
    if ('signed' in defaults) return
    const { location } = await browser.post(`${url}/logout`, { from: url, redirect: 'manual' })
    const back = `${url}/logout/callback?state=${new URL(location!).searchParams.get('state')}`
    t.equal((await browser.get(back, { redirect: 'manual' })).location, `${url}/`)
  })
}

for (const [what, options] of Object.entries({
  'rolling, and saved from the first request on': { rolling: true, saveUninitialized: true },
  rolling: { rolling: true },
  'that are written on change alone': { rolling: false },
  'with an end': { cookie: { secure: false, maxAge: 60_000 } },
  'under a name and a prefix of their own': { cookieName: 'sid', cookiePrefix: 's:' },
} as Record<string, LoginAppOptions['session'] & object>)) {
  t.test(`sessions ${what}: log in, be known, log out`, async (t) => {
    const app = await loginApp(t, { session: options })
    const { browser, url, userOf } = app
    t.equal(await userOf(browser), null)
    t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
    t.equal(await userOf(browser), 'alice')
    t.equal(tokenRecords(app.store).size, 1)
    await browser.post(`${url}/logout`)
    t.equal(await userOf(browser), null)
    t.equal(tokenRecords(app.store).size, 0)
  })
}

t.test('requests of two users at the same moment each see their own', async t => {
  const { browser: alice, url, provider } = await loginApp(t, {
    setup: app => {
      app.get('/me', async request => ({
        id: request.oauth.user?.id,
        token: (await request.oauth.tokens()).accessToken
      }))
    }
  })
  const bob = new Browser()
  await alice.login(`${url}/login/acme`)
  provider.subject = 'bob'
  await bob.login(`${url}/login/acme`)
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, number) => (number % 2 === 0 ? alice : bob).get(`${url}/me`))
  )
  const seen = answers.map(page => page.json<{ id: string, token: string }>())
  t.strictSame(
    seen.map(({ id }) => id),
    Array.from({ length: 20 }, (_, number) => (number % 2 === 0 ? 'alice' : 'bob'))
  )
  t.equal(new Set(seen.map(({ id, token }) => `${id} ${token}`)).size, 2)
})
