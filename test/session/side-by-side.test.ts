import cookie from '@fastify/cookie'
import session, { MemoryStore } from '@fastify/session'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import oauth, { type AppOAuth, type LogoutEvent, type PluginOptions, type RequestOAuth } from '../../lib/index.ts'
import { Browser } from '../helpers/browser.ts'
import { registerSession, SESSION_SECRET } from '../helpers/build-app.ts'
import { Gate } from '../helpers/gate.ts'
import { freePort } from '../helpers/listen.ts'
import { captureLog } from '../helpers/log.ts'
import { asJson, callbackUrl, codeOf } from '../helpers/login-app.ts'
import { postLogoutToken } from '../helpers/logout-token.ts'
import { startMisbehavingProvider, type MisbehavingProvider } from '../helpers/misbehaving-provider.ts'
import { movingClock } from '../helpers/moving-clock.ts'
import { expireTokens, tokenRecords } from '../helpers/records.ts'
import { runBlock } from '../helpers/run-block.ts'
import { JsonStore } from '../helpers/stores.ts'

// Two registrations in one scope, each under a name of its own: customers as `oauth`, staff as `staff`.

declare module 'fastify' {
  interface FastifyInstance {
    staff: AppOAuth
  }
  interface FastifyRequest {
    readonly staff: RequestOAuth
  }
}

interface Options {
  store?: unknown
  /** Both ask one provider, as one client. */
  shared?: boolean
  customers?: Partial<PluginOptions>
  staff?: Partial<PluginOptions>
  logger?: object
  setup?: (app: FastifyInstance) => void
}

const who = ({ authenticated, user }: RequestOAuth) => ({ authenticated, user: user?.id ?? null })
const who2 = (request: FastifyRequest) => ({ customer: who(request.oauth), staff: who(request.staff) })
const alice = { authenticated: true, user: 'alice' }
const bob = { authenticated: true, user: 'bob' }
const nobody = { authenticated: false, user: null }

async function start (t: Test, { store = new JsonStore(), shared, customers, staff, logger, setup }: Options = {}) {
  const first = await startMisbehavingProvider(t)
  const second = shared === true ? first : await startMisbehavingProvider(t)
  if (shared !== true) second.subject = 'bob'
  const app = Fastify(logger)
  t.after(() => app.close())
  let url = ''
  const logouts: [string, LogoutEvent][] = []
  const optionsAt = (provider: MisbehavingProvider, name: string) => ({
    baseUrl: () => url,
    providers: { acme: { ...provider.providerOptions, resourceServers: [`${provider.issuer}/api/`] } },
    onLogout: (_request: unknown, _reply: unknown, event: LogoutEvent) => { logouts.push([name, event]) }
  })
  await registerSession(app, { rolling: false, store: store as never })
  await app.register(oauth, { ...optionsAt(first, 'customers'), ...customers })
  await app.register(oauth, { decorator: 'staff', prefix: '/staff', ...optionsAt(second, 'staff'), ...staff })
  app.get('/', async request => who2(request))
  app.get('/orders', { onRequest: app.oauth.requireLogin() }, async request => request.oauth.user?.id)
  app.get('/staff/orders', { onRequest: app.staff.requireLogin() }, async request => request.staff.user?.id)
  app.get('/calls', async ({ oauth, staff }) => {
    for (const one of [oauth, staff]) await (await one.get('thing')).body.dump()
  })
  const held = new Gate()
  app.get('/slow', async (request) => {
    await held.pass()
    request.session.set('slow' as never, true as never)
    return 'saved'
  })
  setup?.(app)
  url = await app.listen({ port: 0, host: '127.0.0.1' })
  const me = async (browser: Browser) => (await browser.get(url)).json()
  return {
    app, url, store: store as JsonStore, providers: [first, second] as const, browser: new Browser(), held, logouts, me
  }
}

type Started = Awaited<ReturnType<typeof start>>

async function logInBoth ({ browser, url }: Pick<Started, 'browser' | 'url'>): Promise<void> {
  await browser.login(`${url}/login/acme`)
  await browser.login(`${url}/staff/login/acme`)
}

/** Whether the only call that a provider's API got came with a token of that provider. */
function gotOwnToken ({ requests, secrets }: MisbehavingProvider): boolean {
  const calls = requests.filter(({ path }) => path === '/api/thing')
  return calls.length === 1 && secrets.includes(calls[0]!.headers.authorization!.replace('Bearer ', ''))
}

/** The members of the only session that the store has. */
function sessionIn (store: JsonStore): string[] {
  const sessions = [...store.records].filter(([id]) => !id.startsWith('oauth:'))
  if (sessions.length !== 1) throw new Error(`${sessions.length} sessions`)
  return Object.keys(JSON.parse(sessions[0]![1]) as object).filter(name => name !== 'cookie').sort()
}

const stores: Record<string, () => unknown> = {
  'a store over a network': () => new JsonStore(),
  'the in-memory store': () => new MemoryStore()
}

for (const [name, open] of Object.entries(stores)) {
  t.test(`${name}: a login of one is none of the other, and one session holds both`, async (t) => {
    const started = await start(t, { store: open() })
    const { browser, url, me } = started
    await browser.login(`${url}/staff/login/acme`)
    t.strictSame(await me(browser), { customer: nobody, staff: bob })
    t.equal((await browser.get(`${url}/orders`, asJson)).status, 401)
    t.equal((await browser.get(`${url}/staff/orders`)).text, 'bob')
    await browser.login(`${url}/login/acme`)
    t.strictSame(await me(browser), { customer: alice, staff: bob })
    await browser.get(`${url}/calls`)
    t.ok(started.providers.every(gotOwnToken))
  })

  t.test(`${name}: a logout of one leaves the other`, async (t) => {
    const started = await start(t, { store: open() })
    const { browser, url, me, logouts } = started
    await logInBoth(started)
    await browser.post(`${url}/logout`)
    t.strictSame(await me(browser), { customer: nobody, staff: bob })
    t.equal((await browser.get(`${url}/staff/orders`)).text, 'bob')
    await browser.post(`${url}/staff/logout`)
    t.strictSame(await me(browser), { customer: nobody, staff: nobody })
    t.strictSame(logouts.map(([name, { user, reason }]) => [name, user?.id, reason]), [
      ['customers', 'alice', 'logout'], ['staff', 'bob', 'logout']
    ])
  })

  t.test(`${name}: logoutUser of one, and a provider's logout token to one, leave the other`, async (t) => {
    const started = await start(t, { store: open() })
    const { app, browser, url, me, providers: [first, second] } = started
    await logInBoth(started)
    t.equal(await app.staff.logoutUser({ provider: 'acme', subject: 'bob' }), 1)
    t.strictSame(await me(browser), { customer: alice, staff: nobody })
    await browser.login(`${url}/staff/login/acme`)
    t.equal((await postLogoutToken(url, first.logoutToken({ sub: 'alice' }))).status, 200)
    t.strictSame(await me(browser), { customer: nobody, staff: bob })
    await browser.login(`${url}/login/acme`)
    t.equal((await postLogoutToken(`${url}/staff`, second.logoutToken({ sub: 'bob' }))).status, 200)
    t.strictSame(await me(browser), { customer: alice, staff: nobody })
    t.equal((await browser.get(`${url}/orders`)).text, 'alice')
  })
}

t.test('each login stands in the session under the name of its registration', async (t) => {
  const started = await start(t)
  await logInBoth(started)
  t.strictSame(sessionIn(started.store), ['oauth', 'staff'])
  t.equal(tokenRecords(started.store).size, 2)
  await started.browser.post(`${started.url}/staff/logout`)
  t.strictSame(sessionIn(started.store), ['oauth'])
  t.equal(tokenRecords(started.store).size, 1)
})

t.test('both are refreshed, each at its own provider', async (t) => {
  const started = await start(t)
  await logInBoth(started)
  expireTokens(started.store)
  await started.browser.get(`${started.url}/calls`)
  t.ok(started.providers.every(gotOwnToken))
  t.strictSame(started.providers.map(({ refreshRequests }) => refreshRequests.length), [1, 1])
})

t.test('a guard sends to the login of its own registration, and comes back', async (t) => {
  const { browser, url } = await start(t)
  const page = await browser.get(`${url}/staff/orders`, { redirect: 'manual' })
  t.match(page.location, `${url}/staff/login`)
  t.equal((await browser.login(`${url}/staff/orders`)).text, 'bob')
})

t.test('a slow request from before either login or logout brings nothing back', async (t) => {
  const started = await start(t)
  const { browser, url, held, store, me } = started
  await browser.login(`${url}/login/acme`)
  const before = browser.copy()
  const slow = before.get(`${url}/slow`)
  await held.arrived
  await browser.login(`${url}/staff/login/acme`)
  const between = browser.copy()
  const slower = between.get(`${url}/slow`)
  await held.arrivedTimes(2)
  await browser.post(`${url}/staff/logout`)
  held.release()
  await Promise.all([slow, slower])
  t.strictSame(await me(browser), { customer: alice, staff: nobody })
  t.strictSame(await me(before), { customer: nobody, staff: nobody })
  t.strictSame(await me(between), { customer: nobody, staff: nobody })
  t.strictSame(sessionIn(store), ['oauth'])
  t.equal(tokenRecords(store).size, 1)
})

t.test('where the app destroys the session, the tokens of both go', async (t) => {
  const started = await start(t, {
    setup: app => { app.get('/destroy', async (request) => { await request.session.destroy() }) }
  })
  await logInBoth(started)
  await started.browser.get(`${started.url}/destroy`)
  t.equal(tokenRecords(started.store).size, 0)
})

t.test('each has timeouts of its own', async (t) => {
  const clock = movingClock(t)
  const started = await start(t, { staff: { idleTimeout: 60 } })
  await logInBoth(started)
  clock.pass(50)
  t.strictSame(await started.me(started.browser), { customer: alice, staff: bob })
  clock.pass(50)
  t.strictSame(await started.me(started.browser), { customer: alice, staff: bob }, 'a request of the app counts')
  clock.pass(70)
  t.strictSame(await started.me(started.browser), { customer: alice, staff: nobody })
})

t.test('one client at one provider for both: a login begun at one is not finished at the other', async (t) => {
  const { browser, url, providers, me } = await start(t, { shared: true })
  for (const [begun, other] of [['/staff', ''], ['', '/staff']] as const) {
    const back = new URL(await callbackUrl(browser, `${url}${begun}/login/acme`))
    const answer = await browser.get(`${url}${other}/login/acme/callback${back.search}`, asJson)
    t.equal(codeOf(answer), 'FST_OAUTH_STATE_MISMATCH')
  }
  t.equal(providers[0].asked('token').length, 0)
  t.strictSame(await me(browser), { customer: nobody, staff: nobody })
  await browser.login(`${url}/staff/login/acme`)
  t.strictSame(await me(browser), { customer: nobody, staff: alice })
})

t.test('the start says what to register for each', async (t) => {
  const log = captureLog()
  const started = await start(t, { logger: { logger: log.logger } })
  const { url } = started
  await logInBoth(started)
  const announced = log.lines.filter(({ event }) => event === 'redirect_uri_announced').map(({ msg }) => msg)
  t.strictSame(announced, [
    `register at acme: ${url}/login/acme/callback`, `register at acme: ${url}/staff/login/acme/callback`
  ])
})

t.test('a request of an app with two of them runs the hooks of one', async (t) => {
  const store = new JsonStore()
  const started = await start(t, { store })
  await logInBoth(started)
  const reads = store.calls.get
  await started.me(started.browser)
  t.equal(store.calls.get - reads, 1, "the session's")
})

t.test('as the recipe has it', async (t) => {
  const [acme, corp] = [await startMisbehavingProvider(t), await startMisbehavingProvider(t)]
  corp.subject = 'bob'
  const url = `http://127.0.0.1:${await freePort()}`
  const app = Fastify()
  t.after(() => app.close())
  await app.register(cookie)
  await app.register(session, { secret: SESSION_SECRET, cookie: { secure: false } })
  await runBlock('docs/recipes.md', 'Customers and staff side by side', {
    app, env: { BASE_URL: url }, acme: acme.providerOptions, corp: corp.providerOptions
  })
  await app.listen({ port: Number(new URL(url).port), host: '127.0.0.1' })
  const browser = new Browser()
  t.match((await browser.login(`${url}/orders`)).json(), { id: 'alice' })
  t.match((await browser.login(`${url}/staff/orders`)).json(), { id: 'bob' })
  await browser.post(`${url}/logout`)
  t.match((await browser.get(`${url}/staff/orders`)).json(), { id: 'bob' })
  t.equal((await browser.get(`${url}/orders`, asJson)).status, 401)
})

// In a scope inside

async function startInside (t: Test, options: Partial<PluginOptions>) {
  const first = await startMisbehavingProvider(t)
  const second = await startMisbehavingProvider(t)
  second.subject = 'bob'
  const app = Fastify()
  t.after(() => app.close())
  let url = ''
  await registerSession(app, {})
  await app.register(oauth, { baseUrl: () => url, providers: { acme: first.providerOptions } })
  await app.register(async (scope) => {
    await scope.register(oauth, { baseUrl: () => url, providers: { acme: second.providerOptions }, ...options })
    scope.get('/me', async request => ({ oauth: who(request.oauth), staff: request.staff && who(request.staff) }))
  }, { prefix: '/staff' })
  app.get('/me', async request => ({ oauth: who(request.oauth), staff: request.staff ?? null }))
  url = await app.listen({ port: 0, host: '127.0.0.1' })
  return { url, browser: new Browser() }
}

t.test('a registration in a scope inside that of another, under a name of its own', async (t) => {
  const { url, browser } = await startInside(t, { decorator: 'staff' })
  await browser.login(`${url}/login/acme`)
  await browser.login(`${url}/staff/login/acme`)
  t.strictSame((await browser.get(`${url}/staff/me`)).json(), { oauth: alice, staff: bob })
  t.strictSame((await browser.get(`${url}/me`)).json(), { oauth: alice, staff: null })
  await browser.post(`${url}/staff/logout`)
  t.strictSame((await browser.get(`${url}/staff/me`)).json(), { oauth: alice, staff: nobody })
})

t.test('a registration in a scope inside that of another, under the same name: it counts there', async (t) => {
  const { url, browser } = await startInside(t, {})
  await browser.login(`${url}/login/acme`)
  t.match((await browser.get(`${url}/staff/me`)).json(), { oauth: nobody })
  await browser.login(`${url}/staff/login/acme`)
  t.match((await browser.get(`${url}/staff/me`)).json(), { oauth: bob })
  t.match((await browser.get(`${url}/me`)).json(), { oauth: alice })
  await browser.post(`${url}/logout`)
  t.match((await browser.get(`${url}/staff/me`)).json(), { oauth: bob })
  t.match((await browser.get(`${url}/me`)).json(), { oauth: nobody })
})
