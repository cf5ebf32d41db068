import { MemoryStore, type FastifySessionOptions } from '@fastify/session'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import oauth, { type PluginOptions } from '../../lib/index.ts'
import { Browser } from '../helpers/browser.ts'
import { registerSession } from '../helpers/build-app.ts'
import { Gate } from '../helpers/gate.ts'
import { callbackUrl, codeOf } from '../helpers/login-app.ts'
import { startMisbehavingProvider, type MisbehavingProvider } from '../helpers/misbehaving-provider.ts'
import { movingClock, movingMonotonic } from '../helpers/moving-clock.ts'
import { expireTokens, tokenRecords } from '../helpers/records.ts'
import { JsonStore } from '../helpers/stores.ts'

// The plugin registered twice below one session, each in a scope of its own: as two apps with two cookies.

type Two<T> = readonly [T, T]

interface Options {
  /** Names of the two providers. */
  names?: Two<string>
  store?: unknown
  session?: Partial<FastifySessionOptions>
  shop?: Partial<PluginOptions>
  admin?: Partial<PluginOptions>
}

function routes (scope: FastifyInstance, name: string): void {
  scope.get('/me', async ({ oauth }) => {
    const { authenticated, user, provider = null } = oauth
    return { authenticated, user: user?.id ?? null, provider }
  })
  scope.get('/call', async ({ oauth }) => ({ status: (await oauth.get('thing')).statusCode }))
  scope.get('/tokens', async ({ oauth }) => ({ token: (await oauth.tokens()).accessToken }))
  scope.get('/guarded', { onRequest: scope.oauth.requireLogin() }, async () => 'in')
  scope.get('/guarded/own', { onRequest: scope.oauth.requireLogin({ provider: name }) }, async () => 'in')
  scope.get('/own-logout', async ({ oauth }) => await oauth.logout())
  scope.get('/step-up', (request, reply) => request.oauth.login(reply, { provider: name as never, link: true }))
  scope.post('/destroy', async (request) => { await request.session.destroy() })
  scope.post('/cart', async (request) => { request.session.set('cart' as never, 'tea' as never) })
  scope.get('/cart', async (request) => ({ cart: request.session.get('cart' as never) ?? null }))
}

async function start (t: Test, options: Options = {}) {
  const { names = ['google', 'corp'] } = options
  const providers = [await startMisbehavingProvider(t), await startMisbehavingProvider(t)] as const
  providers[0].subject = 'shopper'
  providers[1].subject = 'admin'
  const store = options.store ?? new JsonStore()
  const built = await startOn(t, store, providers, names, options)
  return { ...built, providers, names, store: store as JsonStore, browser: new Browser() }
}

/** One process of the app. */
async function startOn (
  t: Test, store: unknown, providers: Two<MisbehavingProvider>, names: Two<string>, options: Options
) {
  const app = Fastify()
  t.after(() => app.close())
  let url = ''
  const scopes: FastifyInstance[] = []
  await registerSession(app, { rolling: false, store: store as never, ...options.session })
  const held = new Gate()
  for (const [index, prefix] of ['/shop', '/admin'].entries()) {
    const provider = providers[index]!
    await app.register(async (scope) => {
      await scope.register(oauth, {
        baseUrl: () => url,
        providers: { [names[index]!]: { ...provider.providerOptions, resourceServers: [`${provider.issuer}/api/`] } },
        ...(index === 0 ? options.shop : options.admin)
      })
      routes(scope, names[index]!)
      scope.get('/slow', async (request) => {
        await held.pass()
        request.session.set('slow' as never, true as never)
        return {}
      })
      scopes.push(scope)
    }, { prefix })
  }
  url = await app.listen({ port: 0, host: '127.0.0.1' })
  const [shop, admin] = scopes as [FastifyInstance, FastifyInstance]
  return { app, url, shop, admin, held }
}

const asJson = { headers: { accept: 'application/json' } }

const loggedOut = { authenticated: false, user: null, provider: null }

/** Every token of one provider that another was sent. */
function strayTokens (to: MisbehavingProvider, from: MisbehavingProvider): string[] {
  const sent = JSON.stringify(to.requests.map(({ headers, form, query }) => [headers, [...form], [...query]]))
  return from.secrets.filter(secret => sent.includes(secret))
}

for (const names of [['google', 'corp'], ['acme', 'acme']] as [string, string][]) {
  t.test(`providers ${names.join(' and ')}: a login in one scope does not log in to the other`, async (t) => {
    const { browser, url, providers } = await start(t, { names })
    await browser.login(`${url}/shop/login/${names[0]}`)
    t.match((await browser.get(`${url}/shop/me`)).json(), { user: 'shopper', provider: names[0] })
    t.strictSame((await browser.get(`${url}/admin/me`)).json(), loggedOut)
    t.equal((await browser.get(`${url}/admin/guarded`, asJson)).status, 401)
    t.equal((await browser.get(`${url}/admin/guarded/own`, asJson)).status, 401)
    const page = await browser.get(`${url}/admin/guarded`, { redirect: 'manual' })
    t.match(page.location, `${url}/admin/login`)
    const call = await browser.get(`${url}/admin/call`, asJson)
    t.strictSame([call.status, codeOf(call)], [401, 'FST_OAUTH_LOGIN_REQUIRED'])
    t.strictSame(strayTokens(providers[1], providers[0]), [])
  })

  t.test(`providers ${names.join(' and ')}: a session can be logged in to both scopes`, async (t) => {
    const { browser, url, providers, store } = await start(t, { names })
    await browser.login(`${url}/shop/login/${names[0]}`)
    const before = browser.cookie('sessionId')
    await browser.post(`${url}/shop/cart`, { json: {} })
    await browser.login(`${url}/admin/login/${names[1]}`)
    t.not(browser.cookie('sessionId'), before, 'a login gives the session a new id')
    t.match((await browser.get(`${url}/shop/me`)).json(), { user: 'shopper', provider: names[0] })
    t.match((await browser.get(`${url}/admin/me`)).json(), { user: 'admin', provider: names[1] })
    const { cart } = (await browser.get(`${url}/shop/cart`)).json()
    t.equal(cart, null, 'what the app kept before the login is cleared as ever')
    expireTokens(store)
    for (const scope of ['shop', 'admin']) {
      t.equal((await browser.get(`${url}/${scope}/guarded`, asJson)).status, 200)
      t.equal((await browser.get(`${url}/${scope}/call`, asJson)).status, 200)
    }
    t.strictSame(strayTokens(providers[1], providers[0]), [])
    t.strictSame(strayTokens(providers[0], providers[1]), [])
    t.equal(tokenRecords(store).size, 2)
  })
}

t.test('a step-up in one scope keeps the other\'s login, also after the other gave the session a new id', async (t) => {
  const { browser, url, names, store } = await start(t)
  await browser.login(`${url}/shop/login/${names[0]}`)
  await browser.login(`${url}/shop/step-up`)
  await browser.login(`${url}/admin/login/${names[1]}`)
  for (const scope of ['shop', 'admin', 'shop']) {
    await browser.login(`${url}/${scope}/step-up`)
    t.equal((await browser.get(`${url}/shop/guarded`, asJson)).status, 200)
    t.equal((await browser.get(`${url}/admin/guarded`, asJson)).status, 200)
    t.equal(tokenRecords(store).size, 2)
  }
  await browser.get(`${url}/shop/own-logout`)
  t.equal((await browser.get(`${url}/shop/guarded`, asJson)).status, 401)
  t.equal((await browser.get(`${url}/admin/guarded`, asJson)).status, 200)
  await browser.login(`${url}/admin/step-up`)
  await browser.get(`${url}/admin/own-logout`)
  t.equal(tokenRecords(store).size, 0)
})

const stores: Record<string, () => unknown> = {
  'a store over a network': () => new JsonStore(),
  'the in-memory store': () => new MemoryStore()
}

for (const [name, open] of Object.entries(stores)) {
  t.test(`${name}: a logout in one scope ends its own login alone`, async (t) => {
    const { browser, url, providers, names } = await start(t, { store: open() })
    for (const one of providers) one.wrong = { metadata: { revocation_endpoint: one.url('revocation') } }
    await browser.login(`${url}/shop/login/${names[0]}`)
    await browser.login(`${url}/admin/login/${names[1]}`)
    await browser.post(`${url}/shop/cart`, { json: {} })
    const copy = browser.copy()
    await browser.post(`${url}/admin/logout`, { from: `${url}/` })
    t.strictSame((await browser.get(`${url}/admin/me`)).json(), loggedOut)
    t.match((await browser.get(`${url}/shop/me`)).json(), { authenticated: true, user: 'shopper' })
    t.equal((await browser.get(`${url}/shop/guarded`, asJson)).status, 200)
    t.equal((await browser.get(`${url}/shop/cart`)).json().cart, null, 'a logout leaves nothing else of the session')
    t.equal((await copy.get(`${url}/admin/guarded`, asJson)).status, 401)
    t.equal((await copy.get(`${url}/shop/guarded`, asJson)).status, 401, 'the id of before has ended for both')
    t.equal((await browser.get(`${url}/shop/guarded`, asJson)).status, 200, 'and no late answer changes that')
    t.strictSame(providers.map(one => one.asked('revocation').length > 0), [false, true])
    await browser.get(`${url}/shop/own-logout`)
    t.strictSame((await browser.get(`${url}/shop/me`)).json(), loggedOut)
  })
}

t.test('a slow request of the session before the other\'s login changes nothing and takes no tokens', async (t) => {
  const { browser, url, names, held, store } = await start(t)
  await browser.login(`${url}/shop/login/${names[0]}`)
  const slow = browser.copy()
  const running = [slow.get(`${url}/shop/slow`), slow.get(`${url}/admin/slow`)]
  await held.arrivedTimes(2)
  await browser.login(`${url}/admin/login/${names[1]}`)
  held.release()
  await Promise.all(running)
  t.equal((await browser.get(`${url}/shop/guarded`, asJson)).status, 200)
  t.equal((await browser.get(`${url}/admin/guarded`, asJson)).status, 200)
  t.equal(tokenRecords(store).size, 2)
  t.equal([...store.records.keys()].filter(id => !id.startsWith('oauth:')).length, 1, 'one session')
})

t.test('where the app destroys the session in one scope, the tokens of both go', async (t) => {
  const { browser, url, names, store } = await start(t)
  await browser.login(`${url}/shop/login/${names[0]}`)
  await browser.login(`${url}/admin/login/${names[1]}`)
  await browser.post(`${url}/admin/destroy`, { json: {} })
  t.equal(tokenRecords(store).size, 0)
})

t.test('requests in one scope keep the tokens of the other alive', async (t) => {
  const clocks = [movingClock(t), movingMonotonic(t)]
  const { browser, url, names, store } = await start(t, {
    session: { rolling: true, cookie: { secure: false, maxAge: 3_000 } }
  })
  await browser.login(`${url}/shop/login/${names[0]}`)
  const [id] = [...tokenRecords(store).keys()] as [string]
  const end = () => store.peek<{ cookie: { expires: string } }>(id)!.cookie.expires
  const before = end()
  // Past half of its life.
  for (const clock of clocks) clock.pass(1.6)
  await browser.get(`${url}/admin/me`)
  t.ok(Date.parse(end()) > Date.parse(before))
})

t.test('logoutUser in one scope ends the login there, and not the other\'s in the same session', async (t) => {
  const { browser, url, names, shop, admin } = await start(t)
  await browser.login(`${url}/shop/login/${names[0]}`)
  await browser.login(`${url}/admin/login/${names[1]}`)
  t.equal(await shop.oauth.logoutUser({ provider: names[0] as never, subject: 'shopper' }), 1, 'found under the new id')
  t.equal((await browser.get(`${url}/shop/guarded`, asJson)).status, 401)
  t.strictSame((await browser.get(`${url}/shop/me`)).json(), loggedOut)
  t.equal((await browser.get(`${url}/admin/guarded`, asJson)).status, 200)
  t.equal(await admin.oauth.logoutUser({ provider: names[1] as never, subject: 'admin' }), 1)
  t.equal((await browser.get(`${url}/admin/guarded`, asJson)).status, 401)
})

t.test('one provider in both scopes: two logins, each with its own end', async (t) => {
  const provider = await startMisbehavingProvider(t)
  const store = new JsonStore()
  const { url, shop } = await startOn(t, store, [provider, provider], ['acme', 'acme'], {})
  const browser = new Browser()
  await browser.login(`${url}/shop/login/acme`)
  t.strictSame((await browser.get(`${url}/admin/me`)).json(), loggedOut)
  await browser.login(`${url}/admin/login/acme`)
  t.equal(tokenRecords(store).size, 2)
  await shop.oauth.logoutUser({ provider: 'acme', subject: 'alice' })
  t.equal((await browser.get(`${url}/admin/guarded`, asJson)).status, 200)
})

t.test('a login that fails in one scope leaves the other\'s login', async (t) => {
  const { browser, url, names } = await start(t, { admin: { onLogin: () => { throw new Error('not one of us') } } })
  await browser.login(`${url}/shop/login/${names[0]}`)
  await browser.login(`${url}/admin/login/${names[1]}`)
  t.strictSame((await browser.get(`${url}/admin/me`)).json(), loggedOut)
  t.equal((await browser.get(`${url}/shop/guarded`, asJson)).status, 200)
})

t.test('a restart keeps both logins', async (t) => {
  const { app, browser, url, names, providers, store } = await start(t)
  await browser.login(`${url}/shop/login/${names[0]}`)
  await browser.login(`${url}/admin/login/${names[1]}`)
  await app.close()
  const again = await startOn(t, store, providers, names, {})
  t.equal((await browser.get(`${again.url}/shop/guarded`, asJson)).status, 200)
  t.equal((await browser.get(`${again.url}/admin/guarded`, asJson)).status, 200)
})

t.test('the callback of a login that was begun in the other scope is refused', async (t) => {
  const { browser, url, providers } = await start(t, { names: ['acme', 'acme'] })
  const back = await callbackUrl(browser, `${url}/shop/login/acme`)
  const answer = await browser.get(back.replace('/shop/', '/admin/'), asJson)
  t.equal(codeOf(answer), 'FST_OAUTH_STATE_MISMATCH')
  t.equal(providers[1].asked('token').length, 0)
})
