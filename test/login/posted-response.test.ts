import t, { type Test } from 'tap'
import { Browser } from '../helpers/browser.ts'
import { asJson, codeOf, loginApp, type LoginAppOptions } from '../helpers/login-app.ts'
import { startMisbehavingProvider } from '../helpers/misbehaving-provider.ts'
import { tokenRecords } from '../helpers/records.ts'

// A provider that makes the browser post its response: a request of another site, with which browsers send no Lax
// session cookie. What the callback needs the session for comes with a second post, from the app's own page.

async function start (t: Test, session: LoginAppOptions['session'] = {}) {
  const posting = await startMisbehavingProvider(t, {}, { host: 'localhost' })
  const app = await loginApp(t, {
    session,
    oauth: { keepSessionFields: ['cart'] as never },
    providers: provider => ({
      acme: provider.providerOptions,
      posting: { ...posting.providerOptions, responseType: 'code id_token' }
    }),
    setup: app => {
      app.get('/add', async ({ oauth }, reply) => await oauth.login(reply, { provider: 'posting', link: true }))
      app.get('/cart', async ({ session }) => {
        session.set('cart' as never, 'tea' as never)
        return 'set'
      })
      app.get('/in-cart', async ({ session }) => ({ cart: session.get('cart' as never) }))
      app.get('/accounts', async ({ oauth }) => oauth.accounts.map(({ provider }) => provider).sort())
    }
  })
  await app.browser.login(`${app.url}/login/acme`)
  return { ...app, posting }
}

for (const [name, session] of Object.entries({
  'sessions that are saved when they have something in them': { saveUninitialized: false },
  'sessions that are saved at once': { saveUninitialized: true, rolling: true }
})) {
  t.test(`${name}: the response is posted once more from the app's own page, and the account is added`, async t => {
    const { browser, url, posting, errors } = await start(t, session)
    const before = browser.cookie('sessionId')
    const form = await browser.get(`${url}/add`)
    const relay = await browser.submitForm(form)
    t.equal(relay.url, `${url}/login/posting/callback`)
    t.equal(relay.headers['cache-control'], 'no-store')
    t.match(relay.headers['content-security-policy'], /form-action 'self'/)
    t.equal(browser.cookie('sessionId'), before, 'the browser keeps its session')
    t.equal(posting.asked('token').length, 0, 'nothing has been used up')
    t.strictSame((await browser.submitForm(relay)).json(), { user: 'alice' })
    t.strictSame((await browser.get(`${url}/accounts`)).json(), ['acme', 'posting'])
    t.strictSame(errors, [], 'the app is told of no error')
  })
}

t.test('what the response holds is escaped on the page that posts it again', async t => {
  const { browser, url, posting } = await start(t)
  posting.wrong = { callback: params => params.set('x', '"><script>alert(1)</script>') }
  const relay = await browser.submitForm(await browser.get(`${url}/add`))
  t.notOk(relay.text.includes('<script>alert'))
  t.strictSame((await browser.submitForm(relay)).json(), { user: 'alice' })
})

t.test('a browser without the session that asked for the account does not get it', async t => {
  const { browser, url } = await start(t)
  const form = await browser.get(`${url}/add`)
  browser.cookies = browser.cookies.filter(({ name }) => name !== 'sessionId')
  const relay = await browser.submitForm(form, {}, asJson)
  const page = relay.status === 200 ? await browser.submitForm(relay, {}, asJson) : relay
  t.equal(codeOf(page), 'FST_OAUTH_STATE_MISMATCH')
  t.strictSame((await browser.get(`${url}/accounts`)).json(), [])
})

t.test('a login ends the one before, whose session and tokens go', async t => {
  const { browser, url, store } = await start(t)
  const before = browser.copy()
  const relay = await browser.submitForm(await browser.get(`${url}/login/posting`))
  t.match(relay.headers['content-security-policy'], /form-action 'self'/)
  t.strictSame((await browser.submitForm(relay)).json(), { user: 'alice' })
  t.strictSame((await browser.get(`${url}/accounts`)).json(), ['posting'])
  t.strictSame((await before.get(`${url}/accounts`)).json(), [], 'the session before is over')
  t.equal(tokenRecords(store).size, 1)
})

t.test('fields of an anonymous session that are to survive a login do', async t => {
  const { url } = await start(t)
  const browser = new Browser()
  await browser.get(`${url}/cart`)
  const relay = await browser.submitForm(await browser.get(`${url}/login/posting`))
  t.strictSame((await browser.submitForm(relay)).json(), { user: 'alice' })
  t.strictSame((await browser.get(`${url}/in-cart`)).json(), { cart: 'tea' })
})

t.test('a session that has gone while the user was away holds no login up', async t => {
  const { url } = await start(t)
  const browser = new Browser()
  await browser.get(`${url}/cart`)
  const form = await browser.get(`${url}/login/posting`)
  browser.cookies = browser.cookies.filter(({ name }) => name !== 'sessionId')
  t.strictSame((await browser.submitForm(await browser.submitForm(form))).json(), { user: 'alice' })
})

t.test('a popup keeps its opener on that page, and a frame, which may not show it, finishes at once', async t => {
  const { browser, url } = await start(t)
  const popup = await browser.submitForm(await browser.get(`${url}/login/posting?display=popup`))
  t.equal(popup.headers['cross-origin-opener-policy'], 'unsafe-none')
  t.match((await browser.submitForm(popup)).text, /postMessage/)

  const framed = { headers: { 'sec-fetch-dest': 'iframe' } }
  const form = await browser.get(`${url}/login/posting?display=popup&prompt=none`, { ...framed, from: url })
  const done = await browser.submitForm(form, {}, framed)
  t.match(done.text, /postMessage/)
  t.strictSame((await browser.get(`${url}/accounts`)).json(), ['posting'])
})

t.test('a login that needs nothing of the session is finished at once', async t => {
  const { url } = await start(t)
  const browser = new Browser()
  const done = await browser.submitForm(await browser.get(`${url}/login/posting`))
  t.strictSame(done.json(), { user: 'alice' })
})
