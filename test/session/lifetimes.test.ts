import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { keycloak } from '../../lib/providers.ts'
import { Activity } from '../../lib/session/activity.ts'
import { MemoryTokenStore } from '../../lib/tokens/stores/memory-store.ts'
import { Browser } from '../helpers/browser.ts'
import { buildApp, type TestApp } from '../helpers/build-app.ts'
import { Gate } from '../helpers/gate.ts'
import { captureLog } from '../helpers/log.ts'
import { loggedInApp, type LoggedInApp, type LoggedInAppOptions } from '../helpers/logged-in-app.ts'
import { asJson, codeOf, type LoginApp, type LoginAppOptions } from '../helpers/login-app.ts'
import {
  startMisbehavingProvider, type Misbehaviour, type MisbehavingProvider
} from '../helpers/misbehaving-provider.ts'
import { matchEach } from '../helpers/match-each.ts'
import { movingClock, type MovingClock } from '../helpers/moving-clock.ts'
import { expireTokens, tokenRecords } from '../helpers/records.ts'
import { JsonStore } from '../helpers/stores.ts'

// How long a login lasts: idleTimeout, absoluteTimeout, and what the provider says.

type Options = Pick<LoggedInAppOptions, 'oauth' | 'session' | 'fastify'> & {
  wrong?: Misbehaviour
  provider?: object
  providers?: LoginAppOptions['providers']
}

function setup (app: FastifyInstance): void {
  app.get('/members', { onRequest: app.oauth.requireLogin() }, async () => 'members only')
  app.get('/me', async ({ oauth }) => ({
    authenticated: oauth.authenticated, user: oauth.user?.id ?? null, expiresAt: oauth.expiresAt ?? null
  }))
}

/** An app with a guarded route and one that says what it knows; its clock stands still. */
async function timedApp (
  t: Test, { wrong = {}, ...options }: Options = {}
): Promise<LoggedInApp<MisbehavingProvider> & { clock: MovingClock }> {
  const clock = movingClock(t)
  const app = await loggedInApp(t, {
    wrong,
    ...options,
    setup
  })
  return { ...app, clock }
}

type App = Pick<LoginApp, 'browser' | 'url' | 'store'>

const refreshesOf = ({ requests }: MisbehavingProvider) =>
  requests.filter(({ form }) => form.get('grant_type') === 'refresh_token').length

const now = () => Date.now() / 1000

/** What the route without a guard knows. */
const knownBy = async ({ browser, url }: App) => (await browser.get(`${url}/me`)).json()

/** Asserts that a login is over for everything that asks, its tokens deleted, and that it stays over. */
async function assertOver (t: Test, { browser, url, store }: App, copy = browser.copy()): Promise<void> {
  const api = await browser.get(`${url}/members`, asJson)
  t.equal(api.status, 401)
  t.equal(codeOf(api), 'FST_OAUTH_LOGIN_ENDED')
  t.equal(tokenRecords(store).size, 0, 'the tokens are deleted')
  t.match(await knownBy({ browser, url, store }), { authenticated: false, user: null, expiresAt: null })
  const again = await copy.get(`${url}/members`, asJson)
  t.equal(again.status, 401, 'also with the cookie of before')
  t.equal(tokenRecords(store).size, 0)
}

// absoluteTimeout

t.test('an absolute login lifetime: a login that is in use all the time ends with absoluteTimeout', async t => {
  const app = await timedApp(t, { oauth: { absoluteTimeout: 100 } })
  const { browser, url, clock } = app
  const end = Math.ceil(now() + 100)
  t.equal((await knownBy(app)).expiresAt, end)
  for (let seconds = 0; seconds < 99; seconds += 33) {
    clock.pass(33)
    t.equal((await browser.get(`${url}/members`)).text, 'members only')
  }
  t.match(await knownBy(app), { authenticated: true, expiresAt: end })
  clock.pass(1)
  await assertOver(t, app)
})

t.test('a refresh does not prolong an absolute login lifetime', async t => {
  const app = await timedApp(t, { oauth: { absoluteTimeout: 100 } })
  app.clock.pass(99)
  await app.run(oauth => oauth.refresh())
  t.equal(refreshesOf(app.provider), 1)
  t.equal((await app.browser.get(`${app.url}/members`)).status, 200)
  app.clock.pass(1)
  await assertOver(t, app)
})

t.test('after the end a page load is sent to log in, comes back, and has a whole lifetime again', async t => {
  const app = await timedApp(t, { oauth: { absoluteTimeout: 100 } })
  const { browser, url, clock } = app
  clock.pass(200)
  const page = await browser.get(`${url}/members?a=b`, { redirect: 'manual' })
  t.strictSame([page.status, page.headers.location], [302, '/login/acme?returnTo=%2Fmembers%3Fa%3Db'])
  const back = await browser.follow(page)
  t.match(back, { status: 200, url: `${url}/members?a=b`, text: 'members only' })
  t.equal((await knownBy(app)).expiresAt, Math.ceil(now() + 100))
})

t.test('a timeout of one second lets the callback of its login lead to a page', async t => {
  const { browser, url, clock } = await timedApp(t, { oauth: { absoluteTimeout: 1, idleTimeout: 1 } })
  clock.pass(0.95)
  t.equal((await browser.get(`${url}/members`, asJson)).status, 200)
  clock.pass(0.1)
  t.equal((await browser.get(`${url}/members`, asJson)).status, 401)
})

// Calls

for (const [what, work] of [
  ['get()', oauth => oauth.get('https://api.example/orders')],
  ['tokens()', oauth => oauth.tokens()],
  ['refresh()', oauth => oauth.refresh()],
  ['userinfo()', oauth => oauth.userinfo()],
  ['fetch()', oauth => oauth.fetch('https://api.example/orders')],
  ['save()', oauth => oauth.save({ accessToken: 'another one' })]
] as [string, Parameters<LoggedInApp['run']>[0]][]) {
  t.test(`${what} fails where the login is over, and reaches nobody`, async t => {
    const app = await timedApp(t, {
      oauth: { absoluteTimeout: 100 }, provider: { resourceServers: ['https://api.example'] }
    })
    app.clock.pass(100)
    const before = app.provider.requests.length
    await t.rejects(app.run(work), { code: 'FST_OAUTH_LOGIN_ENDED', statusCode: 401, reason: 'absolute_timeout' })
    t.equal(app.provider.requests.length, before)
    t.equal(tokenRecords(app.store).size, 0)
  })

  t.test(`${what} fails where the login is over since its request began`, async t => {
    const app = await timedApp(t, {
      oauth: { absoluteTimeout: 100 }, provider: { resourceServers: ['https://api.example'] }
    })
    const before = app.provider.requests.length
    await t.rejects(app.run(async (...args) => {
      await args[0].tokens()
      app.clock.pass(100)
      t.equal(args[0].authenticated, false)
      return await work(...args)
    }), { code: 'FST_OAUTH_LOGIN_ENDED', reason: 'absolute_timeout' })
    t.equal(app.provider.requests.length, before)
    t.equal(tokenRecords(app.store).size, 0)
  })
}

t.test('a refresh that comes after the end brings no record back', async t => {
  const app = await timedApp(t, { oauth: { absoluteTimeout: 100 } })
  const gate = new Gate()
  app.provider.wrong = { instead: { token: async () => { await gate.pass() } } }
  const refresh = app.run(oauth => oauth.refresh()).catch((error: unknown) => error)
  await gate.arrived
  app.clock.pass(100)
  t.equal((await app.browser.copy().get(`${app.url}/members`, asJson)).status, 401)
  gate.release()
  t.match(await refresh, { code: 'FST_OAUTH_LOGIN_ENDED' })
  t.equal(tokenRecords(app.store).size, 0)
})

t.test('the end of a login is in the log, without anything that is secret', async t => {
  const log = captureLog()
  const { browser, url, clock, provider } = await timedApp(t, {
    oauth: { absoluteTimeout: 100 }, fastify: { logger: log.logger }
  })
  clock.pass(100)
  await browser.get(`${url}/members`, asJson)
  const line = log.lines.find(({ event }) => event === 'login_timed_out')
  t.match(line, { provider: 'acme', reason: 'absolute_timeout' })
  t.strictSame(log.leaked(provider.secrets), [])
})

// idleTimeout

t.test('a login ends with idleTimeout seconds without a request, and each request begins them anew', async t => {
  const app = await timedApp(t, { oauth: { idleTimeout: 100 } })
  const { browser, url, clock } = app
  for (let times = 0; times < 4; times++) {
    clock.pass(90)
    t.equal((await knownBy(app)).expiresAt, Math.ceil(now() + 100), 'any request of the app counts')
  }
  clock.pass(99)
  t.equal((await browser.get(`${url}/members`)).status, 200)
  clock.pass(100)
  await assertOver(t, app)
})

t.test('requests that are too close to be written count where they came', async t => {
  const app = await timedApp(t, { oauth: { idleTimeout: 100 } })
  for (let times = 0; times < 4; times++) {
    app.clock.pass(1)
    await knownBy(app)
  }
  app.clock.pass(99)
  t.equal((await knownBy(app)).authenticated, true)
})

t.test('requests are written once in a twentieth of idleTimeout', async t => {
  const { store, browser, url, clock } = await timedApp(t, { oauth: { idleTimeout: 100 }, session: { rolling: false } })
  const { set: before, get: reads } = store.calls
  for (let times = 0; times < 20; times++) {
    clock.pass(1)
    await browser.get(`${url}/me`)
  }
  t.equal(store.calls.set - before, 4)
  t.equal(store.calls.get - reads, 20 + 4, 'beside the read of the session itself')
})

t.test('requests that come together are written once', async t => {
  const { store, browser, url, clock } = await timedApp(t, { oauth: { idleTimeout: 100 }, session: { rolling: false } })
  clock.pass(50)
  const { set: before, get: reads } = store.calls
  await Promise.all(Array.from({ length: 10 }, () => browser.copy().get(`${url}/me`)))
  t.equal(store.calls.set - before, 1)
  t.ok(store.calls.get - reads <= 10 + 10)
})

t.test('without idleTimeout nothing is read or written for it', async t => {
  const { store, browser, url } = await timedApp(t, { oauth: { absoluteTimeout: 100 }, session: { rolling: false } })
  const { set: before, get: reads } = store.calls
  await browser.get(`${url}/me`)
  t.equal(store.calls.set - before, 0)
  t.equal(store.calls.get - reads, 1)
  t.notOk([...store.records.keys()].some(id => id.includes('seen:')))
})

t.test("a refresh is no request of the app: the plugin's own work keeps no login", async t => {
  const app = await timedApp(t, { oauth: { idleTimeout: 100 } })
  const { store, clock, provider } = app
  const [id] = tokenRecords(store).keys()
  const { app: { oauth } } = app
  const headless = oauth.provider('acme').session({
    tokens: await app.run(async oauth => await oauth.tokens())
  })
  clock.pass(60)
  await headless.refresh()
  t.equal(refreshesOf(provider), 1)
  clock.pass(60)
  t.ok(tokenRecords(store).has(id!))
  await assertOver(t, app)
})

t.test('a clock that goes back ends no login, and keeps none for longer than it was wrong', async t => {
  const app = await timedApp(t, { oauth: { idleTimeout: 100 } })
  const { clock } = app
  clock.pass(3600)
  const browser = new Browser()
  await browser.login(`${app.url}/login/acme`)
  clock.pass(-3600)
  t.equal((await knownBy({ ...app, browser })).authenticated, true)
  clock.pass(99)
  t.equal((await knownBy({ ...app, browser })).authenticated, true)
  clock.pass(100)
  t.equal((await knownBy({ ...app, browser })).authenticated, false)
})

t.test('the store that fails when a request is noted ends no login, and lets nobody pass a guard', async t => {
  const log = captureLog()
  const app = await timedApp(t, {
    oauth: { idleTimeout: 100 }, fastify: { logger: log.logger }
  })
  const { browser, url, store, clock } = app
  clock.pass(50)
  const held = store.holdNext('get', id => id.includes('seen:'))
  const page = browser.get(`${url}/members`, asJson)
  await held.arrived
  store.fail.get = true
  held.release()
  t.equal((await page).status, 503)
  t.ok(log.lines.some(({ event }) => event === 'activity_not_stored'))
  store.fail.get = false
  t.equal((await browser.get(`${url}/members`, asJson)).status, 200)
})

// Options that change

t.test('idleTimeout counts from the next request for a login that is older than the option', async t => {
  const app = await timedApp(t, { oauth: { idleTimeout: 100 } })
  for (const id of app.store.records.keys()) if (id.includes('seen:')) app.store.records.delete(id)
  const second = await restarted(t, app, { idleTimeout: 100 })
  app.clock.pass(1000)
  const at = { ...app, url: second.url }
  t.equal((await knownBy(at)).authenticated, true)
  app.clock.pass(101)
  await assertOver(t, at)
})

t.test('absoluteTimeout counts from the login also where it is set later, and not where it is taken out', async t => {
  const app = await timedApp(t)
  app.clock.pass(1000)
  const limited = await restarted(t, app, { absoluteTimeout: 2000 })
  t.match(await knownBy({ ...app, url: limited.url }), { authenticated: true })
  app.clock.pass(1000)
  const free = await restarted(t, app, {})
  t.match(await knownBy({ ...app, url: free.url }), { authenticated: true, expiresAt: null })
  await assertOver(t, { ...app, url: limited.url })
})

t.test("a provider's own timeouts win over the plugin's", async t => {
  const app = await timedApp(t, {
    oauth: { absoluteTimeout: 100, idleTimeout: 50 }, provider: { absoluteTimeout: 300, idleTimeout: 200 }
  })
  app.clock.pass(150)
  t.equal((await knownBy(app)).expiresAt, Math.ceil(now() + 150))
  app.clock.pass(149)
  t.equal((await knownBy(app)).authenticated, true)
  app.clock.pass(1)
  await assertOver(t, app)
})

/** The same app again, with other options, as after a restart: on the same sessions. */
async function restarted (t: Test, { store, provider }: LoggedInApp<MisbehavingProvider>, oauth: object) {
  return await buildApp(t, {
    session: { store: store as never },
    oauth: { providers: { acme: provider.providerOptions }, ...oauth },
    setup
  })
}

t.test('a preset passes timeouts on', async t => {
  t.match(keycloak({ clientId: 'c', baseUrl: 'https://id.example', realm: 'r', idleTimeout: 60, absoluteTimeout: 90 }),
    { idleTimeout: 60, absoluteTimeout: 90 })
})

// What the provider says

t.test("session_expiry of the ID token ends a login with the provider's session", async t => {
  const end = Math.floor(Date.now() / 1000) + 100
  const app = await timedApp(t, { wrong: { claims: { session_expiry: end } } })
  t.equal((await knownBy(app)).expiresAt, end)
  app.clock.pass(99)
  t.equal((await app.browser.get(`${app.url}/members`)).status, 200)
  app.clock.pass(2)
  await assertOver(t, app)
})

t.test('session_expiry of a refreshed ID token takes the place of the one before', async t => {
  const start = Math.floor(Date.now() / 1000)
  const app = await timedApp(t, { wrong: { claims: { session_expiry: start + 100 } } })
  app.provider.wrong = { claims: { session_expiry: start + 200 } }
  app.clock.pass(50)
  await app.run(oauth => oauth.refresh())
  app.clock.pass(100)
  t.match(await knownBy(app), { authenticated: true, expiresAt: start + 200 })
  t.equal((await app.browser.get(`${app.url}/members`)).status, 200)
  app.clock.pass(51)
  await assertOver(t, app)
})

t.test('a login whose session_expiry is over is refused, and the browser is not sent in circles', async t => {
  const app = await timedApp(t)
  app.provider.wrong = { claims: { session_expiry: Math.floor(Date.now() / 1000) - 1 } }
  const page = await new Browser().login(`${app.url}/login/acme`)
  t.equal(page.status, 502)
  t.equal(codeOf(page), 'FST_OAUTH_INVALID_ID_TOKEN')
  matchEach(t, app.errors, [{ reason: 'session_expiry' }])
})

for (const member of ['refresh_token_expires_in', 'refresh_expires_in']) {
  t.test(`${member} ends a login with its refresh token, and a new refresh token moves it`, async t => {
    const app = await timedApp(t, { wrong: { tokens: { [member]: 100 } } })
    t.equal((await knownBy(app)).expiresAt, Math.ceil(now() + 100))
    app.clock.pass(60)
    await app.run(oauth => oauth.refresh())
    app.clock.pass(60)
    t.match(await knownBy(app), { authenticated: true, expiresAt: Math.ceil(now() + 40) })
    t.equal((await app.browser.get(`${app.url}/members`)).status, 200)
    app.clock.pass(40)
    await assertOver(t, app)
  })
}

for (const [what, value] of [
  ['0, which is no end', 0],
  ['a negative number', -5],
  ['a word', 'never'],
  ['null', null],
  ['1e308', 1e308],
  ['a list', [1]]
] as const) {
  t.test(`refresh_expires_in that is ${what} ends nothing`, async t => {
    const app = await timedApp(t, { wrong: { tokens: { refresh_expires_in: value } } })
    app.clock.pass(3000)
    t.match(await knownBy(app), { authenticated: true, expiresAt: null })
  })
}

t.test('the time of a refresh token that is still in use stays, where the refresh does not say it again', async t => {
  const app = await timedApp(t, { wrong: { tokens: { refresh_expires_in: 100 } } })
  app.provider.wrong = { tokens: { refresh_token: undefined } }
  app.clock.pass(50)
  await app.run(oauth => oauth.refresh())
  t.equal((await knownBy(app)).expiresAt, Math.ceil(now() + 50))
  app.clock.pass(50)
  await assertOver(t, app)
})

t.test('a new refresh token of which nothing is said has no end', async t => {
  const app = await timedApp(t, { wrong: { tokens: { refresh_expires_in: 100 } } })
  app.provider.wrong = {}
  app.clock.pass(50)
  await app.run(oauth => oauth.refresh())
  app.clock.pass(3000)
  t.match(await knownBy(app), { authenticated: true, expiresAt: null })
})

// Several accounts

const two = (acme: object, other: object) => ({
  providers: ({ providerOptions }: MisbehavingProvider) =>
    ({ acme: { ...providerOptions, ...acme }, other: { ...providerOptions, ...other } })
})

t.test('an added account ends by the timeouts of its own provider, and the login goes on', async t => {
  const app = await timedApp(t, two({ absoluteTimeout: 1000 }, { absoluteTimeout: 100 }))
  await app.link('other')
  app.clock.pass(100)
  await t.rejects(app.run(oauth => oauth.using('other').tokens()), { code: 'FST_OAUTH_LOGIN_ENDED' })
  t.equal(tokenRecords(app.store).size, 1)
  t.match(await app.run(oauth => [oauth.accounts.length, oauth.using('other').authenticated, oauth.authenticated]),
    [1, false, true])
})

t.test('with the account that was logged in with, the added ones end too', async t => {
  const app = await timedApp(t, two({ absoluteTimeout: 100 }, {}))
  await app.link('other')
  app.clock.pass(99)
  t.equal(await app.run(oauth => oauth.using('other').expiresAt), Math.ceil(now() + 1))
  app.clock.pass(1)
  await t.rejects(app.run(oauth => oauth.using('other').tokens()), { code: 'FST_OAUTH_LOGIN_ENDED' })
  t.equal(tokenRecords(app.store).size, 0)
  t.match(await knownBy(app), { authenticated: false, user: null })
})

// Step-up

for (const [what, later, expected] of [
  ['goes on counting where the user has not authenticated again', 0, 400],
  ['begins anew where the user has', 600, 1000]
] as const) {
  t.test(`absoluteTimeout of a login that is asked for more ${what}`, async t => {
    const authTime = Math.floor(Date.now() / 1000)
    const app = await timedApp(t, { oauth: { absoluteTimeout: 1000 }, wrong: { claims: { auth_time: authTime } } })
    app.clock.pass(600)
    app.provider.wrong = { claims: { auth_time: authTime + later } }
    await app.link('acme')
    t.match(await knownBy(app), { authenticated: true, expiresAt: Math.ceil(now() + expected) })
  })
}

t.test('race: a request that reads its session before a step-up does not end the login that begins anew', async t => {
  const authTime = Math.floor(Date.now() / 1000)
  const app = await timedApp(t, { oauth: { absoluteTimeout: 1000 }, wrong: { claims: { auth_time: authTime } } })
  const { browser, url, store, clock, provider, link } = app
  clock.pass(600)
  const read = store.holdNext('get', id => !id.startsWith('oauth:'), { afterwards: true })
  const slow = browser.copy().get(`${url}/members`, asJson)
  await read.arrived
  provider.wrong = { claims: { auth_time: authTime + 600 } }
  await link('acme')
  clock.pass(500)
  read.release()
  t.equal(codeOf(await slow), 'FST_OAUTH_LOGIN_ENDED')
  t.equal(tokenRecords(store).size, 1)
  t.match(await knownBy(app), { authenticated: true, expiresAt: Math.ceil(now() + 500) })
})

// A session without a request

t.test('a session without a request is no login, and has no timeouts', async t => {
  const app = await timedApp(t, { oauth: { absoluteTimeout: 100, idleTimeout: 100 } })
  const session = app.app.oauth.provider('acme').session({ tokens: { accessToken: 'its own' } })
  app.clock.pass(1000)
  t.match(await session.tokens(), { accessToken: 'its own' })
})

// Sessions that live shorter

t.test('a session whose maxAge is over before idleTimeout ends with that', async t => {
  const app = await timedApp(t, {
    oauth: { idleTimeout: 1000 }, session: { rolling: false, cookie: { secure: false, maxAge: 100_000 } }
  })
  app.clock.pass(99)
  t.match(await knownBy(app), { authenticated: true })
  app.clock.pass(2)
  t.match(await knownBy(app), { authenticated: false, user: null })
})

t.test('an expired token is refreshed up to the end of the login, and not after it', async t => {
  const app = await timedApp(t, { oauth: { absoluteTimeout: 100 } })
  app.clock.pass(50)
  expireTokens(app.store)
  t.equal((await app.browser.get(`${app.url}/members`)).status, 200)
  t.equal(refreshesOf(app.provider), 1)
  expireTokens(app.store)
  app.clock.pass(50)
  t.equal((await app.browser.get(`${app.url}/members`, { redirect: 'manual' })).status, 302)
  t.equal(refreshesOf(app.provider), 1)
})

// Several processes, on Redis

t.test('a request at one process counts at the others, and its end at one is the end at all', async t => {
  const clock = movingClock(t)
  const cluster = await loggedInApp(t, { processes: 3, oauth: { idleTimeout: 100 }, setup })
  if (cluster === undefined) return
  const { browser, apps, tokenRecords } = cluster
  const at = (index: number, path: string) => browser.get(`${apps[index]!.url}${path}`, asJson)
  for (let times = 0; times < 6; times++) {
    clock.pass(80)
    t.equal((await at(times % 3, '/members')).status, 200)
  }
  clock.pass(94)
  t.equal((await at(2, '/me')).json().authenticated, true, 'seen here a while ago, elsewhere a moment ago')
  clock.pass(100)
  const copy = browser.copy()
  const all = await Promise.all([0, 1, 2].map(index => browser.copy().get(`${apps[index]!.url}/members`, asJson)))
  t.strictSame(all.map(({ status }) => status), [401, 401, 401])
  t.equal((await tokenRecords()).size, 0)
  for (const { url } of apps) {
    t.match((await copy.copy().get(`${url}/me`)).json(), { authenticated: false, user: null })
    t.equal((await copy.copy().get(`${url}/members`, asJson)).status, 401)
  }
})

t.test('a call that runs for long asks the store whether another process has seen the user', async t => {
  const clock = movingClock(t)
  const gate = new Gate()
  const cluster = await loggedInApp(t, {
    processes: 2,
    oauth: { idleTimeout: 100 },
    setup: app => {
      setup(app)
      app.get('/long', async request => {
        await gate.pass()
        const { expiresAt = 0 } = request.oauth
        return { before: expiresAt <= now(), tokens: (await request.oauth.tokens()).tokenType }
      })
    }
  })
  if (cluster === undefined) return
  const { browser, apps: [first, second] } = cluster
  const long = browser.copy().get(`${first!.url}/long`, asJson)
  await gate.arrived
  clock.pass(80)
  t.equal((await browser.copy().get(`${second!.url}/me`)).status, 200)
  clock.pass(80)
  gate.release()
  t.strictSame((await long).json(), { before: true, tokens: 'Bearer' })
})

t.test('an end that a refresh at another process has moved is not the end', async t => {
  const clock = movingClock(t)
  const provider = await startMisbehavingProvider(t, { tokens: { refresh_expires_in: 100 } })
  const store = new JsonStore()
  const process = async () => await buildApp(t, {
    session: { store: store as never },
    oauth: { providers: { acme: provider.providerOptions }, baseUrl: () => first.url },
    setup: app => {
      setup(app)
      app.get('/refresh', async request => await request.oauth.refresh().then(() => 'refreshed'))
    }
  })
  const first: TestApp = await process()
  const second = await process()
  const browser = new Browser()
  await browser.login(`${first.url}/login/acme`)
  t.equal((await browser.get(`${second.url}/me`)).json().authenticated, true)
  clock.pass(60)
  t.equal((await browser.get(`${first.url}/refresh`)).status, 200)
  clock.pass(60)
  t.equal((await browser.get(`${second.url}/me`)).json().authenticated, true)
  t.equal((await browser.get(`${second.url}/members`, asJson)).status, 200)
  clock.pass(40)
  t.equal((await browser.get(`${second.url}/members`, asJson)).status, 401)
  t.equal((await browser.get(`${first.url}/members`, asJson)).status, 401)
})

t.test('a process whose clock is a little behind takes nothing away from what others have seen', async t => {
  const store = new MemoryTokenStore()
  let seconds = 1_000_000
  const [right, behind] = [new Activity(store, () => seconds), new Activity(store, () => seconds - 2)]
  await right.write('login', 100, 1000)
  await behind.read('login')
  t.equal(behind.note('login', 100), true)
  await behind.write('login', 100, 1000)
  t.equal(await right.read('login'), seconds)
  seconds += 50
  await behind.write('login', 100, 1000)
  t.equal(await right.read('login'), seconds - 2)
})
