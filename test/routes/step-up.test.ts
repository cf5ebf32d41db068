import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import type { ProviderOptions } from '../../lib/index.ts'
import { Browser } from '../helpers/browser.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { asJson, callbackUrl, codeOf, loginApp, pendingLogins } from '../helpers/login-app.ts'
import type { Misbehaviour, MisbehavingProvider } from '../helpers/misbehaving-provider.ts'
import { movingClock } from '../helpers/moving-clock.ts'
import { tokenRecords } from '../helpers/records.ts'

// What requireLogin asks for beyond a login: scope, a recent authentication, a strong one.

const MFA = 'urn:example:mfa'

function guarded (app: FastifyInstance): void {
  const { requireLogin } = app.oauth
  const page = async ({ url }: { url: string }) => `here is ${url}`
  app.get('/scope', { onRequest: requireLogin({ scope: 'orders:write' }) }, page)
  app.get('/recent', { onRequest: requireLogin({ maxAge: 300 }) }, page)
  app.get('/strong', { onRequest: requireLogin({ acrValues: [MFA] }) }, page)
  app.post('/strong', { onRequest: requireLogin({ acrValues: [MFA] }) }, page)
  app.get('/all', { onRequest: requireLogin({ scope: ['orders:write'], maxAge: 300, acrValues: MFA }) }, page)
  app.get('/keep', async request => {
    Object.assign(request.session, { cart: 'tea' })
    return 'kept'
  })
  app.get('/cart', async request => ({
    cart: (request.session as { cart?: string }).cart ?? null,
    user: request.oauth.user?.id ?? null,
    scope: request.oauth.scope
  }))
}

/** Submits the login form of the real provider, where the browser stands at it. */
const signIn = async (browser: Browser, user = 'alice') =>
  await browser.submitForm(browser.page!, { login: user, password: `${user}-password` })

// With a real provider

t.test('scope: a page load goes to the provider for more, keeps what is granted, and comes back', async t => {
  const { browser, url } = await loggedInApp(t, { through: 'browser', setup: guarded })
  await browser.get(`${url}/keep`)
  const sent = await browser.get(`${url}/scope?a=b&c=d%20e`, { redirect: 'manual' })
  t.equal(sent.status, 302)
  t.equal(sent.headers['cache-control'], 'no-store')
  t.strictSame(new URL(sent.location!).searchParams.get('scope')?.split(' ').sort(),
    ['email', 'offline_access', 'openid', 'orders:read', 'orders:write', 'profile'])
  const back = await browser.follow(sent)
  t.match(back, { status: 200, url: `${url}/scope?a=b&c=d%20e`, text: 'here is /scope?a=b&c=d%20e' })
  t.match((await browser.get(`${url}/cart`)).json(), { cart: 'tea', user: 'alice' }, "the app's own fields stay")
  t.ok((await browser.get(`${url}/cart`)).json().scope.includes('orders:write'))
})

t.test('acrValues: the user authenticates in another way, and comes back to the URL', async t => {
  const { browser, url } = await loggedInApp(t, { setup: guarded })
  const form = await browser.get(`${url}/strong?a=b`)
  t.match(form.text, /Sign in/, 'the provider asks, although it has a session')
  const back = await signIn(browser)
  t.match(back, { status: 200, url: `${url}/strong?a=b`, text: 'here is /strong?a=b' })
  t.match((await browser.get(`${url}/strong`)).text, 'here is', 'and is not asked again')
})

t.test('maxAge: the user authenticates again where that was too long ago, and comes back', async t => {
  const { browser, url } = await loggedInApp(t, { setup: guarded, provider: { clockTolerance: 0 } })
  t.equal((await browser.get(`${url}/recent`)).status, 200)
  const clock = movingClock(t)
  clock.pass(400)
  t.match((await browser.get(`${url}/recent?a`)).text, /Sign in/)
  t.match(await signIn(browser), { status: 200, url: `${url}/recent?a`, text: 'here is /recent?a' })
  t.match((await browser.get(`${url}/recent`)).text, 'here is')
})

t.test('all of it in one trip', async t => {
  const { browser, url } = await loggedInApp(t, { setup: guarded })
  const sent = await browser.get(`${url}/all`, { redirect: 'manual' })
  const { searchParams } = new URL(sent.location!)
  t.match(Object.fromEntries(searchParams), { max_age: '300', acr_values: MFA, prompt: 'login' })
  await browser.follow(sent)
  t.match(await signIn(browser), { status: 200, text: 'here is /all' })
})

t.test('who is not logged in gets all of it with the login', async t => {
  const { browser, url } = await loggedInApp(t, { setup: guarded })
  browser.cookies = []
  t.match((await browser.get(`${url}/all?a`)).text, /Sign in/)
  t.equal((await signIn(browser)).url, `${url}/all?a`)
})

t.test('step-up that returns another sub is a new login, and nothing of the session goes over to it', async t => {
  const { browser, url, store, provider } = await loggedInApp(t, { setup: guarded, wrong: {} })
  await browser.get(`${url}/keep`)
  provider.subject = 'bob'
  provider.wrong = acrOf(MFA)
  t.equal((await browser.get(`${url}/strong`)).url, `${url}/strong`)
  t.match((await browser.get(`${url}/cart`)).json(), { cart: null, user: 'bob' })
  t.equal(tokenRecords(store).size, 1)
})

t.test('two tabs that step up at once both come back to their pages, with one login', async t => {
  const { browser, url, store, provider } = await loggedInApp(t, { setup: guarded, wrong: {} })
  provider.wrong = acrOf(MFA)
  const first = await callbackUrl(browser, `${url}/strong?first`)
  const second = await callbackUrl(browser, `${url}/strong?second`)
  const pages = await Promise.all([first, second].map(async callback =>
    await browser.copy().get(callback, { redirect: 'manual' })))
  t.strictSame(pages.map(({ status, headers }) => [status, headers.location]),
    [[302, '/strong?first'], [302, '/strong?second']])
  t.equal(tokenRecords(store).size, 1)
})

t.test('one tab after the other, each with a step-up under way', async t => {
  const { browser, url, store, provider } = await loggedInApp(t, { setup: guarded, wrong: {} })
  provider.wrong = acrOf(MFA)
  const first = await callbackUrl(browser, `${url}/strong?first`)
  const second = await callbackUrl(browser, `${url}/strong?second`)
  t.match(await browser.get(first), { status: 200, text: 'here is /strong?first' })
  t.match(await browser.get(second), { status: 200, text: 'here is /strong?second' })
  t.equal(tokenRecords(store).size, 1)
})

// What the provider does not give

const acrOf = (acr: unknown): Misbehaviour => ({ claims: { acr } })

/** A provider that logs anyone in without a question, and gives what `wrong` says. */
const stubborn = async (t: Test, wrong: Misbehaviour, setup = guarded, provider: Partial<ProviderOptions> = {}) =>
  await loggedInApp(t, { setup, wrong, provider })

for (const [what, path, wrong] of [
  ['no acr', '/strong', acrOf(undefined)],
  ['a weaker acr', '/strong', acrOf('urn:example:pwd')],
  ['an acr that is a list', '/strong', acrOf([MFA])],
  ['no auth_time', '/recent', { claims: { auth_time: undefined } }],
  ['an auth_time older than max_age', '/recent', { claims: { auth_time: Math.floor(Date.now() / 1000) - 400 } }],
  ['less scope', '/scope', { tokens: { scope: 'openid' } }]
] as [string, string, Misbehaviour][]) {
  t.test(`${what}: a clear page and no loop, the login is kept, and a later try is possible`, async t => {
    const app = await stubborn(t, wrong)
    const { browser, url, provider, store } = app
    const before = authorizations(provider)
    const page = await browser.get(`${url}${path}?a=b`)
    t.equal(page.status, 403)
    t.equal(codeOf(page), 'FST_OAUTH_STEP_UP_REQUIRED')
    t.match(page.headers['content-type'], 'text/html')
    t.equal(authorizations(provider) - before, 1, 'the provider was asked once')
    t.equal((await browser.get(`${url}/cart`)).json().user, 'alice', 'still logged in')
    t.equal(tokenRecords(store).size, 1)
    t.equal(pendingLogins(store).length, 0)
    // The page's own link tries again, and has the provider ask.
    const href = /href="([^"]*)">Try again/.exec(page.text)![1]!.replaceAll('&amp;', '&')
    const again = await browser.get(new URL(href, url).href, { redirect: 'manual' })
    t.equal(new URL(again.location!).searchParams.get('prompt'), path === '/scope' ? 'consent' : 'login')
    provider.wrong = { claims: { acr: MFA }, tokens: { scope: 'openid orders:write' } }
    t.equal((await browser.follow(again)).url, `${url}${path}?a=b`)
  })
}

const authorizations = ({ requests }: MisbehavingProvider) =>
  requests.filter(({ path }) => path === '/authorize').length

t.test('a user who cancels is told so, and is still logged in', async t => {
  const { browser, url } = await loggedInApp(t, { setup: guarded })
  await browser.get(`${url}/strong`)
  const page = await browser.submitForm(browser.page!, { cancel: 'yes' })
  t.equal(page.status, 403)
  t.equal(codeOf(page), 'FST_OAUTH_AUTHORIZATION_FAILED')
  t.equal((await browser.get(`${url}/cart`)).json().user, 'alice')
})

// API callers

const challenges: [path: string, wrong: Misbehaviour, status: number, challenge: RegExp][] = [
  ['/scope', {}, 403, /^Bearer error="insufficient_scope", error_description="[^"]+", scope="orders:write"$/],
  ['/strong', {}, 401, /^Bearer error="insufficient_user_authentication", error_desc[^,]+, acr_values="urn:example:mfa"$/],
  ['/recent', { claims: { auth_time: 1 } }, 401,
    /^Bearer error="insufficient_user_authentication", error_desc[^,]+, max_age="300"$/],
  ['/all', { claims: { auth_time: 1 } }, 401, /acr_values="urn:example:mfa", max_age="300", scope="orders:write"$/]
]
for (const [path, wrong, status, challenge] of challenges) {
  t.test(`an API caller of ${path} gets ${status}, a challenge, and a URL that gives a browser more`, async t => {
    const { browser, url, provider } = await stubborn(t, wrong)
    const answer = await browser.get(`${url}${path}`, asJson)
    t.equal(answer.status, status)
    t.match(answer.headers['www-authenticate'], challenge)
    const body = answer.json()
    t.match(body, { statusCode: status, code: 'FST_OAUTH_STEP_UP_REQUIRED', provider: 'acme', message: String })
    t.ok(body.loginUrl.startsWith(`${url}/login/acme?`))
    provider.wrong = { claims: { acr: MFA }, tokens: { scope: 'openid orders:write' } }
    await browser.get(body.loginUrl)
    t.equal((await browser.get(`${url}${path}`, asJson)).status, 200)
  })
}

for (const [what, headers, method] of [
  ['a fetch that accepts pages', { accept: 'text/html', 'sec-fetch-mode': 'cors' }, 'GET'],
  ['a HEAD request', { accept: 'text/html' }, 'HEAD'],
  ['a form that was posted', { accept: 'text/html', 'sec-fetch-mode': 'navigate' }, 'POST']
] as const) {
  t.test(`${what} is not redirected`, async t => {
    const { app, browser } = await stubborn(t, {})
    const cookie = browser.cookieHeader
    const answer = await app.inject({ method, url: '/strong', headers: { ...headers, cookie } })
    const { statusCode, headers: answered } = answer
    t.equal(statusCode, 401)
    t.equal(answered.location, undefined)
    t.match(answered['www-authenticate'], 'insufficient_user_authentication')
  })
}

t.test('a URL can ask for nothing that no guard asks for', async t => {
  const { browser, url } = await stubborn(t, {})
  const page = await browser.get(`${url}/login/acme?stepUp=made-up&scope=admin&acr_values=x`, { redirect: 'manual' })
  const { searchParams } = new URL(page.location!)
  t.equal(searchParams.get('scope'), 'openid')
  t.notOk(searchParams.has('acr_values'))
})

// when

for (const [what, when, expected] of [
  ['false', () => false, 200],
  ['true', () => true, 401],
  ['a promise of false', async () => false, 200],
  ['a promise of true', async () => true, 401],
  ['nothing, which is not false', () => undefined, 401],
  ['0, which is not false', () => 0, 401],
  ['an error', () => { throw new Error('broken') }, 500],
  ['a promise that rejects', async () => { throw new Error('broken') }, 500]
] as [string, () => boolean, number][]) {
  t.test(`when returns ${what}: ${expected}`, async t => {
    const { browser, url } = await stubborn(t, {}, (app) => {
      app.get('/when', { onRequest: app.oauth.requireLogin({ acrValues: [MFA], when }) }, async () => 'in')
    })
    t.equal((await browser.get(`${url}/when`, asJson)).status, expected)
  })
}

t.test('when sees the claims, as a refresh has left them, and the request', async t => {
  const seen: unknown[] = []
  const { browser, url, provider, run } = await stubborn(t, { claims: { role: 'clerk' } }, (app) => {
    const when = (claims: Record<string, unknown>, request: { url: string }) => {
      seen.push([claims.role, request.url])
      return claims.role === 'admin'
    }
    app.get('/when', { onRequest: app.oauth.requireLogin({ acrValues: [MFA], when }) }, async () => 'in')
  })
  t.equal((await browser.get(`${url}/when?a`, asJson)).status, 200)
  provider.wrong = { claims: { role: 'admin' } }
  await run(oauth => oauth.refresh())
  t.equal((await browser.get(`${url}/when?b`, asJson)).status, 401)
  t.strictSame(seen, [['clerk', '/when?a'], ['admin', '/when?b']])
})

t.test('when alone asks for an authentication of this moment', async t => {
  const { browser, url, provider } = await stubborn(t, { claims: { auth_time: 1 } }, (app) => {
    app.get('/when', { onRequest: app.oauth.requireLogin({ when: () => true }) }, async () => 'in')
  })
  const sent = await browser.get(`${url}/when`, { redirect: 'manual' })
  t.equal(new URL(sent.location!).searchParams.get('max_age'), '0')
  provider.wrong = {}
  t.match(await browser.follow(sent), { status: 200, text: 'in' })
})

// An account beside the one that was logged in with

t.test('an added account is asked for more, and stays in its login', async t => {
  const { browser, url, provider, link, run } = await loggedInApp(t, {
    wrong: {},
    providers: ({ providerOptions }) => ({ acme: providerOptions, other: providerOptions }),
    setup: (app) => {
      const onRequest = app.oauth.requireLogin({ provider: 'other', acrValues: [MFA] })
      app.get('/other', { onRequest }, async () => 'in')
    }
  })
  await link('other')
  provider.wrong = acrOf(MFA)
  const { loginUrl } = (await browser.get(`${url}/other`, asJson)).json<{ loginUrl: string }>()
  await browser.get(loginUrl, { from: `${url}/` })
  t.equal((await browser.get(`${url}/other`)).text, 'in')
  t.strictSame(await run(oauth => [oauth.provider, oauth.accounts.length]), ['acme', 2])
})

// Options

for (const [what, options] of [
  ['scope that is a number', { scope: 1 }],
  ['scope that is empty', { scope: [] }],
  ['scope with a quote', { scope: ['a"b'] }],
  ['scope with a hole', { scope: ['a', undefined] }],
  ['maxAge that is negative', { maxAge: -1 }],
  ['maxAge that is text', { maxAge: '300' }],
  ['maxAge without an end', { maxAge: Infinity }],
  ['acrValues that are empty', { acrValues: '' }],
  ['acrValues with a backslash', { acrValues: ['a\\b'] }],
  ['when that is no function', { when: true }],
  ['an option in other letters', { max_age: 300 }],
  ['a list in place of the options', []],
  ['null', null]
] as [string, never][]) {
  t.test(`requireLogin with ${what} is refused at boot`, async t => {
    const { app } = await loginApp(t)
    t.throws(() => app.oauth.requireLogin(options), { code: 'FST_OAUTH_INVALID_OPTIONS' })
  })
}

t.test('a provider without ID tokens cannot say when a user authenticated: refused at boot, or with 403', async t => {
  const { app, browser, url } = await stubborn(t, {}, (app) => {
    app.get('/any', { onRequest: app.oauth.requireLogin({ maxAge: 300 }) }, async () => 'in')
  }, { scope: [] })
  t.throws(() => app.oauth.requireLogin({ provider: 'acme', maxAge: 300 }), { code: 'FST_OAUTH_INVALID_OPTIONS' })
  const page = await browser.get(`${url}/any`)
  t.equal(page.status, 403)
})

// request.oauth.login

t.test('login(reply, { acrValues, maxAge }) asks for both', async t => {
  const { page, provider } = await stubborn(t, {})
  const sent = await page(async (oauth, _request, reply) =>
    await oauth.login(reply, { acrValues: [MFA, 'other'], maxAge: 60, returnTo: '/cart' }))
  const asked = provider.requests.filter(({ path }) => path === '/authorize').at(-1)!.query
  t.match(Object.fromEntries(asked), { acr_values: `${MFA} other`, max_age: '60' })
  t.equal(sent.status, 502, 'and refuses a login that has neither')
})

for (const [acr, status, user] of [[MFA, 200, 'alice'], ['weak', 502, 'alice'], [undefined, 502, 'alice']] as const) {
  t.test(`login(reply, { acrValues }) that comes back with acr ${acr}: ${status}`, async t => {
    const { page, provider, errors, userOf, browser } = await stubborn(t, {})
    provider.wrong = acrOf(acr)
    const back = await page(async (oauth, _request, reply) =>
      await oauth.login(reply, { acrValues: MFA, returnTo: '/cart' }))
    t.equal(back.status, status)
    if (status !== 200) t.match(errors.at(-1), { code: 'FST_OAUTH_INVALID_ID_TOKEN', reason: 'acr' })
    t.equal(await userOf(browser), user, 'the login of before stands')
  })
}
