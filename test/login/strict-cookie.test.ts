import helmet from '@fastify/helmet'
import t, { type Test } from 'tap'
import { Browser } from '../helpers/browser.ts'
import {
  appAt, asJson, callbackUrl, codeOf, lastPageAtProvider, loginApp, type LoginAppOptions
} from '../helpers/login-app.ts'
import { startMisbehavingProvider } from '../helpers/misbehaving-provider.ts'
import { startProvider } from '../helpers/provider.ts'
import { tokenRecords } from '../helpers/records.ts'

// A session cookie with `SameSite=Strict`: no browser sends it with what another site starts. The app is at 127.0.0.1,
// the providers are at localhost, which is another site.

const STRICT = { cookie: { secure: false, sameSite: 'strict' } } as const
const ELSEWHERE = 'http://evil.test/'

type Changes = Pick<LoginAppOptions, 'session' | 'setup'>

const options: Changes = {
  session: STRICT,
  setup: (app) => {
    app.get('/orders', { onRequest: app.oauth.requireLogin() }, async ({ oauth }) => ({ orders: oauth.user?.id }))
    app.get('/link', (request, reply) => request.oauth.login(reply, { provider: 'posting' as never, link: true }))
    app.get('/accounts', async ({ oauth }) => oauth.accounts.map(({ provider }) => provider).sort())
  }
}

async function start (t: Test, changes: Changes = {}) {
  const provider = await startProvider(t, { host: 'localhost' })
  return await appAt(t, provider, { ...options, ...changes })
}

t.test('a guarded page leads to the login, on a form of another site, and back', async (t) => {
  const { browser, url, provider, store } = await start(t)
  t.match(await browser.login(`${url}/orders`), { status: 200, url: `${url}/orders`, text: '{"orders":"alice"}' })
  t.match(browser.cookies.find(({ name }) => name === 'sessionId'), { sameSite: 'strict' })
  t.equal(tokenRecords(store).size, 1)
  t.strictSame(provider.errors, [])
})

t.test('a second login ends the first one\'s, though the provider\'s redirect comes without its cookie', async (t) => {
  const { browser, url, store } = await start(t)
  await browser.login(`${url}/orders`)
  const [first] = [...tokenRecords(store).keys()]
  await browser.login(`${url}/login/acme`)
  t.equal(tokenRecords(store).size, 1)
  t.not([...tokenRecords(store).keys()][0], first)
})

t.test('the page of the callback uses nothing up, and tells no one its URL', async (t) => {
  const { browser, url, provider } = await start(t)
  const begun = await browser.get(`${url}/login/acme`, { redirect: 'manual' })
  const page = await browser.follow(await lastPageAtProvider(browser, begun), { redirect: 'manual' })
  t.match(page, { status: 200, headers: { 'referrer-policy': 'no-referrer', 'cache-control': 'no-store' } })
  t.match(page.headers['content-security-policy'], /^default-src 'none'/)
  t.equal(page.location, page.url, 'it loads the same once more')
  t.notMatch(page.text, /<script/)
  t.equal(page.headers['set-cookie'], undefined)
  const { length } = provider.requests
  t.strictSame((await browser.follow(page)).json(), { user: 'alice' })
  t.ok(provider.requests.length > length, 'the code is exchanged then')
})

t.test('the page of the callback may be framed by the app alone, and takes no popup its opener', async (t) => {
  const { browser, url } = await start(t, { setup: async (app) => { await app.register(helmet) } })
  const elsewhere = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', accept: 'text/html' }
  const load = async (loginUrl: string, dest: string) => {
    const { location = '' } = await browser.get(loginUrl, { redirect: 'manual' })
    const { searchParams } = new URL(location)
    const headers = { ...elsewhere, 'sec-fetch-dest': dest }
    return (await fetch(`${url}/login/acme/callback?code=a&state=${searchParams.get('state')}`, { headers })).headers
  }
  const framed = await load(`${url}/login/acme?display=popup&prompt=none`, 'iframe')
  t.match(framed.get('content-security-policy'), "frame-ancestors 'self'")
  const popup = await load(`${url}/login/acme?display=popup`, 'document')
  t.equal(popup.get('cross-origin-opener-policy'), 'unsafe-none')
  t.match(popup.get('content-security-policy'), "frame-ancestors 'none'")
  const ordinary = await load(`${url}/login/acme`, 'iframe')
  t.match(ordinary.get('content-security-policy'), "frame-ancestors 'none'")
  t.equal(ordinary.get('cross-origin-opener-policy'), 'same-origin')
})

t.test('a link of another site to a guarded page finds the user logged in', async (t) => {
  const { browser, url, provider } = await start(t)
  await browser.login(`${url}/orders`)
  const { length } = provider.requests
  const session = browser.cookie('sessionId')
  t.strictSame((await browser.get(`${url}/orders`, { from: ELSEWHERE })).json(), { orders: 'alice' })
  t.equal(browser.cookie('sessionId'), session)
  t.equal(provider.requests.length, length, 'the provider is not asked')
})

for (const [name, session] of Object.entries({
  'sessions that are saved at once': { ...STRICT, saveUninitialized: true, rolling: true },
  'strict cookies as `sameSite: true`': { cookie: { secure: false, sameSite: true } }
})) {
  t.test(`${name}: the same`, async (t) => {
    const { browser, url } = await start(t, { session })
    await browser.login(`${url}/orders`)
    t.strictSame((await browser.get(`${url}/orders`, { from: ELSEWHERE })).json(), { orders: 'alice' })
    t.strictSame((await browser.get(`${url}/orders`)).json(), { orders: 'alice' })
  })
}

t.test('a script of another site gets no page that goes on', async (t) => {
  const { browser, url } = await start(t)
  await browser.login(`${url}/orders`)
  const answer = await browser.get(`${url}/orders`, { from: ELSEWHERE, mode: 'cors', ...asJson })
  t.strictSame([answer.status, codeOf(answer)], [401, 'FST_OAUTH_LOGIN_REQUIRED'])
})

t.test('a browser that keeps no cookie is not led in circles', async (t) => {
  const { url } = await start(t)
  const browser = new Browser()
  const page = await browser.get(`${url}/orders`, { from: ELSEWHERE, redirect: 'manual' })
  t.match(page, { status: 200, location: `${url}/orders` })
  t.match(await browser.follow(page, { redirect: 'manual' }), { status: 302 })
})

t.test('a browser without Fetch Metadata is led on by a page after the login', async (t) => {
  const { browser, url } = await start(t)
  const headers = { 'sec-fetch-site': undefined, 'sec-fetch-mode': undefined, 'sec-fetch-dest': undefined }
  const form = await browser.get(`${url}/orders`, { headers })
  const fields = { login: 'alice', password: 'alice-password' }
  t.match(await browser.submitForm(form, fields, { headers }), { status: 200, text: '{"orders":"alice"}' })
})

t.test('the callback loaded once more leads on, and the user stays logged in', async (t) => {
  const app = await loginApp(t, { ...options, host: 'localhost' })
  const { browser, url, provider } = app
  const back = await callbackUrl(browser, `${url}/login/acme?returnTo=/orders`)
  for (const from of [`${provider.issuer}/`, `${provider.issuer}/`, null]) {
    t.strictSame((await browser.get(back, { from })).json(), { orders: 'alice' })
  }
  t.equal(provider.asked('token').length, 1)
})

t.test('a response that is posted, for a login and for a link', async (t) => {
  const posting = await startMisbehavingProvider(t, {}, { host: 'localhost' })
  const { browser, url } = await loginApp(t, {
    ...options,
    providers: ({ providerOptions }) => ({
      acme: providerOptions,
      posting: { ...posting.providerOptions, responseType: 'code id_token' }
    })
  })
  t.strictSame((await browser.login(`${url}/login/posting?returnTo=/orders`)).json(), { orders: 'alice' })
  await browser.login(`${url}/login/acme`)
  await browser.login(`${url}/link`)
  t.strictSame((await browser.get(`${url}/accounts`)).json(), ['acme', 'posting'])
})

t.test('a logout by way of the provider ends on a page of this site', async (t) => {
  const { browser, url } = await start(t)
  await browser.login(`${url}/orders`)
  const page = await browser.logout(`${url}/logout`)
  t.equal(page.url, `${url}/`)
  t.equal(page.text, '{"user":null}')
  t.equal(page.requestHeaders['sec-fetch-site'], 'same-origin')
})
