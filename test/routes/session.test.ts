import t from 'tap'
import { Browser } from '../helpers/browser.ts'
import { appAt, codeOf, loginApp, type LoginAppOptions } from '../helpers/login-app.ts'
import { movingClock } from '../helpers/moving-clock.ts'
import { tokenRecords } from '../helpers/records.ts'
import { JsonStore } from '../helpers/stores.ts'

// The route `session`, which scripts ask who is logged in.

const options: LoginAppOptions = { oauth: { routes: { session: '/session' } } }
const NOBODY = { authenticated: false, user: null }
const script = { mode: 'cors' } as const

t.test('it is off by default', async (t) => {
  const { app } = await loginApp(t)
  t.equal((await app.inject('/session')).statusCode, 404)
})

t.test('it tells who is logged in, and nobody', async (t) => {
  const { browser, url } = await loginApp(t, options)
  const before = await browser.get(`${url}/session`, script)
  t.match(before, { status: 200, headers: { 'cache-control': 'no-store', 'content-type': /application\/json/ } })
  t.strictSame(before.json(), NOBODY)
  await browser.login(`${url}/login/acme`)
  const after = await browser.get(`${url}/session`, script)
  t.match(after, { status: 200, headers: { 'cache-control': 'no-store' } })
  t.match(after.json(), { authenticated: true, provider: 'acme', user: { id: 'alice' } })
  t.strictSame(Object.keys(after.json()).sort(), ['authenticated', 'provider', 'user'], 'no end, and no claims')
  t.equal(after.json().user.raw, undefined)
  await browser.post(`${url}/logout`)
  t.strictSame((await browser.get(`${url}/session`, script)).json(), NOBODY)
})

t.test('it does not put off an idleTimeout, and says when that ends', async (t) => {
  const clock = movingClock(t)
  const { browser, url } = await loginApp(t, { oauth: { ...options.oauth, idleTimeout: 60 } })
  await browser.login(`${url}/login/acme`)
  const began = Date.now() / 1000
  for (let asked = 0; asked < 5; asked++) {
    clock.pass(10)
    const { authenticated, expiresAt } = (await browser.get(`${url}/session`, script)).json()
    t.equal(authenticated, true)
    t.ok(Math.abs(expiresAt - began - 60) < 2, `${expiresAt - began}`)
  }
  clock.pass(11)
  t.strictSame((await browser.get(`${url}/session`, script)).json(), NOBODY)
})

t.test('another process\'s logout is told', async (t) => {
  const store = new JsonStore()
  const first = await loginApp(t, { ...options, session: { store: store as never } })
  const second = await appAt(t, first.provider, { ...options, session: { store: store as never } })
  const { browser } = first
  await browser.login(`${first.url}/login/acme`)
  const copy = browser.copy()
  t.match((await copy.get(`${second.url}/session`, script)).json(), { authenticated: true })
  await browser.post(`${first.url}/logout`)
  t.strictSame((await copy.get(`${second.url}/session`, script)).json(), NOBODY)
})

t.test('a login whose tokens another process has deleted is over, though its session is still there', async (t) => {
  const { browser, url, store } = await loginApp(t, options)
  await browser.login(`${url}/login/acme`)
  for (const id of tokenRecords(store).keys()) store.records.delete(id)
  t.strictSame((await browser.get(`${url}/session`, script)).json(), NOBODY)
})

t.test('it is a route of routeOptions, and its failures are told as JSON', async (t) => {
  const seen: string[] = []
  const { browser, url, store } = await loginApp(t, {
    oauth: {
      ...options.oauth,
      routeOptions: name => ({ onRequest: async () => { seen.push(name) } })
    }
  })
  await browser.login(`${url}/login/acme`)
  await browser.get(`${url}/session`, script)
  t.equal(seen.at(-1), 'session')
  const hold = store.holdNext('get', id => id.startsWith('oauth:'))
  const asking = browser.get(`${url}/session`, script)
  await hold.arrived
  store.fail.get = true
  hold.release()
  const answer = await asking
  t.strictSame([answer.status, codeOf(answer)], [503, 'FST_OAUTH_STORE_UNAVAILABLE'])
})

// The guard that asks for a header

const METHODS = ['POST', 'PUT', 'PATCH', 'DELETE'] as const

t.test('requireHeader refuses what may change something without the header, and lets the rest pass', async (t) => {
  const { app, browser, url } = await loginApp(t, {
    setup: (app) => {
      app.addHook('onRequest', app.oauth.requireHeader())
      app.get('/thing', async () => 'read')
      for (const method of METHODS) app.route({ method, url: '/thing', handler: async () => 'changed' })
    }
  })
  for (const method of METHODS) {
    const refused = await app.inject({ method, url: '/thing' })
    t.equal(refused.statusCode, 403, method)
    t.match(refused.json(), { code: 'FST_OAUTH_CROSS_SITE_REQUEST', message: /needs the header x-csrf/ })
    t.equal((await app.inject({ method, url: '/thing', headers: { 'x-csrf': '' } })).statusCode, 403)
    t.equal((await app.inject({ method, url: '/thing', headers: { 'X-CSRF': '1' } })).body, 'changed')
  }
  t.equal((await app.inject('/thing')).body, 'read')
  await browser.login(`${url}/login/acme`)
  await browser.post(`${url}/logout`)
  t.strictSame((await new Browser().get(url)).json(), { user: null }, "the plugin's own routes are left out")
  t.strictSame((await browser.get(url)).json(), { user: null })
})

t.test('requireHeader takes another name, and none that any page can send', async (t) => {
  const { app } = await loginApp(t, {
    setup: (app) => {
      app.post('/thing', { onRequest: app.oauth.requireHeader('X-Requested-By') }, async () => 'changed')
    }
  })
  t.equal((await app.inject({ method: 'POST', url: '/thing', headers: { 'x-requested-by': 'app' } })).body, 'changed')
  t.equal((await app.inject({ method: 'POST', url: '/thing', headers: { 'x-csrf': '1' } })).statusCode, 403)
  for (const name of ['', 'Content-Type', 'Accept', 'cookie', 'Sec-Fetch-Site', 'two words', 1, null]) {
    t.throws(() => app.oauth.requireHeader(name as string), { code: 'FST_OAUTH_INVALID_OPTIONS' }, String(name))
  }
})
