import t from 'tap'
import { asJson, callbackUrl, codeOf, loginApp, type LoginAppOptions } from './helpers/login-app.ts'
import { tokenRecords } from './helpers/records.ts'

// requireLogin: who passes, who is sent to log in, who is refused.

const members: LoginAppOptions = {
  providers: ({ providerOptions }) => ({ acme: providerOptions, other: providerOptions }),
  setup: (app) => {
    app.get('/members', { onRequest: app.oauth.requireLogin() }, async () => 'members only')
    app.post('/members', { onRequest: app.oauth.requireLogin() }, async () => 'members only')
    app.get('/acme', { onRequest: app.oauth.requireLogin({ provider: 'acme' }) }, async () => 'acme only')
    app.get('/after', async (request) => ({ user: request.oauth.user?.id ?? null, authenticated: request.oauth.authenticated, accounts: request.oauth.accounts.length }))
  }
}

t.test('a page load is sent to log in, is not kept, and comes back', async (t) => {
  const { browser, url } = await loginApp(t, members)
  const page = await browser.get(`${url}/acme?a=b&c=d`, { redirect: 'manual' })
  t.match(page, { status: 302, headers: { 'cache-control': 'no-store', location: '/login/acme?returnTo=%2Facme%3Fa%3Db%26c%3Dd' } })
  const back = await browser.follow(page)
  t.match(back, { status: 200, url: `${url}/acme?a=b&c=d`, text: 'acme only' })
})

t.test('with several providers and none named, the person chooses', async (t) => {
  const { browser, url } = await loginApp(t, members)
  const page = await browser.get(`${url}/members`)
  t.equal(page.url, `${url}/login?returnTo=%2Fmembers`)
  t.match(page.text, 'href="/login/other?returnTo=%2Fmembers"')
})

for (const [what, method, headers] of [
  ['an API caller', 'GET', { accept: 'application/json' }],
  ['a script\'s fetch that accepts a page', 'GET', { accept: 'text/html', 'sec-fetch-mode': 'cors' }],
  ['an image', 'GET', { accept: 'image/*' }],
  ['a form that was posted', 'POST', { accept: 'text/html', 'sec-fetch-mode': 'navigate' }]
] as const) {
  t.test(`${what} gets a 401, and no redirect`, async (t) => {
    const { app } = await loginApp(t, members)
    const { statusCode, headers: answered, body } = await app.inject({ method, url: '/members', headers })
    t.equal(statusCode, 401)
    t.equal(answered.location, undefined)
    t.equal(answered['www-authenticate'], 'Bearer')
    t.equal(JSON.parse(body).code, 'FST_OAUTH_LOGIN_REQUIRED')
  })
}

t.test('who is logged in passes; with another provider only where none is named', async (t) => {
  const { browser, url } = await loginApp(t, members)
  await browser.login(`${url}/login/other`)
  t.equal((await browser.get(`${url}/members`)).text, 'members only')
  t.equal((await browser.get(`${url}/acme`, asJson)).status, 401)
  await browser.login(`${url}/login/acme`)
  t.equal((await browser.get(`${url}/acme`)).text, 'acme only')
})

t.test('a login whose tokens another process has taken away does not pass, and is none any more', async (t) => {
  const { browser, url, store } = await loginApp(t, members)
  await browser.login(`${url}/login/acme`)
  t.equal((await browser.get(`${url}/members`)).status, 200)
  for (const id of tokenRecords(store).keys()) store.records.delete(id)
  t.equal((await browser.get(`${url}/members`, asJson)).status, 401)
  t.strictSame((await browser.get(`${url}/after`)).json(), { user: null, authenticated: false, accounts: 0 })
})

t.test('where the store cannot tell, nobody passes, and nobody is logged out', async (t) => {
  const { browser, url, store, userOf } = await loginApp(t, members)
  await browser.login(`${url}/login/acme`)
  const held = store.holdNext('get', (id) => tokenRecords(store).has(id))
  const answer = browser.get(`${url}/members`, asJson)
  await held.arrived
  store.fail.get = true
  held.release()
  const page = await answer
  t.equal(page.status, 503)
  t.equal(codeOf(page), 'FST_OAUTH_STORE_UNAVAILABLE')
  t.notMatch(page.text, '10.1.2.3')
  store.fail.get = false
  t.equal(await userOf(browser), 'alice')
})

t.test('a login under way is none', async (t) => {
  const { browser, url } = await loginApp(t, members)
  await callbackUrl(browser, `${url}/login/acme`)
  t.equal((await browser.get(`${url}/members`, asJson)).status, 401)
})

t.test('a guard for a provider that does not exist is found at boot', async (t) => {
  const { app } = await loginApp(t)
  t.throws(() => app.oauth.requireLogin({ provider: 'nobody' }), { code: 'FST_OAUTH_UNKNOWN_PROVIDER' })
})
