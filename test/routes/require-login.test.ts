import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import formbody from '@fastify/formbody'
import type { FastifyReply, FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import { Browser } from '../helpers/browser.ts'
import { captureLog } from '../helpers/log.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { asJson, callbackUrl, codeOf, loginApp, type LoginApp, type LoginAppOptions } from '../helpers/login-app.ts'
import { tokenRecords } from '../helpers/records.ts'

// requireLogin: which requests pass, which are sent to log in, which are refused.

const members: LoginAppOptions = {
  providers: ({ providerOptions }) => ({ acme: providerOptions, other: providerOptions }),
  setup: app => {
    app.get('/members', { onRequest: app.oauth.requireLogin() }, async () => 'members only')
    app.post('/members', { onRequest: app.oauth.requireLogin() }, async () => 'members only')
    app.get('/acme', { onRequest: app.oauth.requireLogin({ provider: 'acme' }) }, async () => 'acme only')
    app.get('/after', async request => ({
      user: request.oauth.user?.id ?? null,
      authenticated: request.oauth.authenticated,
      accounts: request.oauth.accounts.length
    }))
  }
}

t.test('a page load is sent to log in, is not kept, and comes back', async t => {
  const { browser, url } = await loginApp(t, members)
  const page = await browser.get(`${url}/acme?a=b&c=d`, { redirect: 'manual' })
  t.match(page, {
    status: 302,
    headers: { 'cache-control': 'no-store', location: '/login/acme?returnTo=%2Facme%3Fa%3Db%26c%3Dd' }
  })
  const back = await browser.follow(page)
  t.match(back, { status: 200, url: `${url}/acme?a=b&c=d`, text: 'acme only' })
})

t.test('with several providers, and no provider named, the user chooses', async t => {
  const { browser, url } = await loginApp(t, members)
  const page = await browser.get(`${url}/members`)
  t.equal(page.url, `${url}/login?returnTo=%2Fmembers`)
  t.match(page.text, 'href="/login/other?returnTo=%2Fmembers"')
})

for (const [what, method, headers] of [
  ['an API caller', 'GET', { accept: 'application/json' }],
  ["a script's fetch that accepts a page", 'GET', { accept: 'text/html', 'sec-fetch-mode': 'cors' }],
  ['an image', 'GET', { accept: 'image/*' }],
  ['a form that was posted', 'POST', { accept: 'text/html', 'sec-fetch-mode': 'navigate' }]
] as const) {
  t.test(`${what} gets a 401, and no redirect`, async t => {
    const { app } = await loginApp(t, members)
    const { statusCode, headers: answered, body } = await app.inject({ method, url: '/members', headers })
    t.equal(statusCode, 401)
    t.equal(answered.location, undefined)
    t.equal(answered['www-authenticate'], 'Bearer')
    t.equal(JSON.parse(body).code, 'FST_OAUTH_LOGIN_REQUIRED')
  })
}

t.test('a logged-in user passes; with another provider only where no provider is named', async t => {
  const { browser, url } = await loggedInApp(t, { wrong: {}, login: 'other', ...members })
  t.equal((await browser.get(`${url}/members`)).text, 'members only')
  t.equal((await browser.get(`${url}/acme`, asJson)).status, 401)
  await browser.login(`${url}/login/acme`)
  t.equal((await browser.get(`${url}/acme`)).text, 'acme only')
})

t.test('a login whose tokens another process has deleted does not pass, and has ended', async t => {
  const { browser, url, store } = await loggedInApp(t, { wrong: {}, ...members })
  t.equal((await browser.get(`${url}/members`)).status, 200)
  for (const id of tokenRecords(store).keys()) store.records.delete(id)
  t.equal((await browser.get(`${url}/members`, asJson)).status, 401)
  t.strictSame((await browser.get(`${url}/after`)).json(), { user: null, authenticated: false, accounts: 0 })
})

t.test('where the store fails, no request passes, and no user is logged out', async t => {
  const { browser, url, store, userOf } = await loggedInApp(t, { wrong: {}, ...members })
  const held = store.holdNext('get', id => tokenRecords(store).has(id))
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

t.test('a login that is not finished does not pass', async t => {
  const { browser, url } = await loginApp(t, members)
  await callbackUrl(browser, `${url}/login/acme`)
  t.equal((await browser.get(`${url}/members`, asJson)).status, 401)
})

t.test('a guard for a provider that does not exist is found at boot', async t => {
  const { app } = await loginApp(t)
  t.throws(() => app.oauth.requireLogin({ provider: 'unknown' }), { code: 'FST_OAUTH_UNKNOWN_PROVIDER' })
})

// Where a login that a guard asked for comes back to

/** A guard on every URL; what is asked for is answered with the URL itself. */
const everywhere: LoginAppOptions = {
  setup: app => {
    app.get('/*', { onRequest: app.oauth.requireLogin() }, async request => `asked for ${request.originalUrl}`)
  }
}

/** Sends a request line as it is written, with a browser's headers, and returns the whole answer. */
async function rawRequest (url: string, line: string): Promise<string> {
  const { hostname, port, host } = new URL(url)
  const socket = connect(Number(port), hostname)
  socket.write(`${line} HTTP/1.1\r\nhost: ${host}\r\naccept: text/html\r\nconnection: close\r\n\r\n`)
  return await text(socket)
}

/** Where a guard sends a browser that asks for a URL as it is written. */
async function sentTo ({ url }: Pick<LoginApp, 'url'>, path: string): Promise<string | undefined> {
  return /^location: (.*)\r$/im.exec(await rawRequest(url, `GET ${path}`))?.[1]
}

/** Asks for a URL as it is written, logs in, and returns the Location that the callback sends. */
async function comesBackTo (app: Pick<LoginApp, 'url'>, path: string): Promise<string | undefined> {
  const browser = new Browser()
  const callback = await callbackUrl(browser, new URL((await sentTo(app, path)) ?? '/not-sent', app.url).href)
  return (await browser.get(callback, { redirect: 'manual' })).headers.location
}

t.test('the way back from a login is the URL that was asked for, byte for byte', async t => {
  const app = await loginApp(t, everywhere)
  for (const path of [
    '/docs/',
    '/docs//',
    '/a//b',
    '/a//',
    '/docs/?',
    '/docs?a=/',
    '/docs/?a=b/',
    '/a?',
    '/a?b?c',
    '/a%2Fb',
    '/a%2fb/',
    '/%2F',
    '/a%20b',
    '/a+b?c+d=e%20f',
    '/%e4%b8%ad',
    '/a%5Cb',
    '/a?b=\\c',
    '/a?b=c\\',
    '/a?%',
    '/a?%zz=%e4',
    '/~a;b=c/d:e@f',
    '/a?b[]=1&b[]=2',
    '/a?b=%26%3D&&=',
    '/a?{}|^`<>"\'',
    '/{a}',
    '/a.b/..c/.d',
    '/a?..=/../..',
    '/a?returnTo=/b&state=c',
    `/${'a/'.repeat(900)}`,
    `/a?${'q'.repeat(4000)}`
  ]) {
    t.equal(await comesBackTo(app, path), path, path.slice(0, 60))
  }
})

t.test('the way back from a login is the URL that the browser asked for, whatever rewriteUrl made of it', async t => {
  const rewriteUrl = ({ url = '' }: { url?: string }) => url.replace(/^\/en(?=\/)/, '')
  const app = await loginApp(t, { ...everywhere, fastify: { rewriteUrl } })
  for (const path of ['/en/page?x=1', '/en/page/', '/page?x=1', '/en/a//']) t.equal(await comesBackTo(app, path), path)
})

for (const [what, rewriteUrl] of [
  ['a proxy', undefined],
  ['rewriteUrl', ({ url = '' }: { url?: string }) => url.replace(/^\/shop(?=[/?]|$)/, '').replace(/^(?!\/)/, '/')]
] as const) {
  t.test(`below a baseUrl with a path that ${what} takes off, a login comes back below it`, async t => {
    const app = await loginApp(t, {
      ...everywhere,
      oauth: { baseUrl: 'https://app.example.com/shop' },
      ...(rewriteUrl !== undefined && { fastify: { rewriteUrl } })
    })
    for (const path of [
      '/shop/a/', '/shop/orders', '/shop/orders/?a=/', '/shop//evil.example', '/shop/shop/', '/shop/shop'
    ]) {
      const asked = rewriteUrl === undefined ? path.slice('/shop'.length) : path
      t.equal(await sentTo(app, asked), `/shop/login/acme?${new URLSearchParams({ returnTo: path })}`)
    }
  })
}

t.test('a URL that is too long to come back to leads to the start page, and the log says so', async t => {
  const log = captureLog()
  const app = await loginApp(t, { ...everywhere, fastify: { logger: log.logger } })
  for (const path of [`/a?${'q'.repeat(4095)}`, `/a?${'/'.repeat(3000)}`, `/${'a'.repeat(9000)}`]) {
    const before = log.lines.length
    t.equal(await comesBackTo(app, path), '/')
    t.match(
      log.lines.slice(before).filter(({ level }) => level === 40),
      [{ length: path.length, limit: 4096, msg: /^the path to come back to is not followed/ }]
    )
  }
})

t.test("open redirect: a guard's own way back leads nowhere else, and to no endless round", async t => {
  const app = await loginApp(t, everywhere)
  for (const path of [
    '//evil.example', '//evil.example/x', '///evil.example', '/\\evil.example', '/.//evil.example',
    '/x/..//evil.example', '/%2e//evil.example', '/x\\..\\\\evil.example'
  ]) {
    t.equal(await comesBackTo(app, path), '/', path)
  }
})

t.test('a request line in absolute form is a 400, not a failure, and no other host gets into a way back', async t => {
  const { url } = await loginApp(t, everywhere)
  for (const host of ['localhost', 'evil.example', 'evil.example:1', 'user@evil.example']) {
    for (const path of [
      '/login/acme', '/login/acme/callback?code=c&state=s', '/docs/', '/logout', '/logout/callback'
    ]) {
      const answer = await rawRequest(url, `GET http://${host}${path}`)
      t.match(answer, /^HTTP\/1\.1 400 /, `${host} ${path}`)
      t.notMatch(answer, /evil\.example|location:/i)
    }
  }
})

// A guard of the whole app

for (const [what, options] of Object.entries({
  'at the root': {},
  'below a prefix': { oauth: { prefix: '/auth' } },
  "on paths of the app's choice": {
    oauth: { routes: { login: '/in', callback: '/back/:provider', logout: '/out', loggedOut: '/gone' } }
  }
} as Record<string, LoginAppOptions>)) {
  t.test(`a guard of the whole app lets the plugin's own routes pass, ${what}`, async t => {
    const app = await loginApp(t, {
      ...options,
      wrong: { metadata: { end_session_endpoint: 'https://id.example/end' } },
      setup: app => {
        app.addHook('onRequest', app.oauth.requireLogin())
        app.get('/page', async request => ({ user: request.oauth.user?.id ?? null }))
      }
    })
    const { browser, url } = app
    const paths = { login: '/login', logout: '/logout', loggedOut: '/logout/callback', ...options.oauth?.routes }
    const mount = options.oauth?.prefix ?? ''
    const page = await browser.get(`${url}/page?a=b`)
    t.equal(page.url, `${url}/page?a=b`)
    t.strictSame(page.json(), { user: 'alice' })
    t.strictSame(browser.history.map(({ status }) => status), [302, 302, 302, 302, 200])

    t.equal((await browser.get(`${url}${mount}${paths.logout}`)).status, 200, 'the page that asks')
    const out = await browser.post(`${url}${mount}${paths.logout}`, {
      form: { returnTo: '/page' },
      ...asJson,
      redirect: 'manual'
    })
    const end = new URL(out.json<{ location: string }>().location)
    t.equal(end.searchParams.get('post_logout_redirect_uri'), `${url}${mount}${paths.loggedOut}`)
    const back = await browser.get(`${url}${mount}${paths.loggedOut}?state=${end.searchParams.get('state')}`, {
      redirect: 'manual'
    })
    t.equal(back.location, `${url}/page`)
    t.equal((await browser.get(`${url}/page`, { redirect: 'manual' })).status, 302, 'logged out')
    t.match(await browser.get(`${url}/page`, asJson), { status: 401, headers: { 'www-authenticate': 'Bearer' } })
  })
}

t.test("a guard of the whole app lets responses to the app's own callback route pass, and nothing else", async t => {
  for (const responseMode of ['query', 'form_post'] as const) {
    const { app, browser, url } = await loginApp(t, {
      oauth: { routes: false },
      provider: { responseMode },
      setup: async app => {
        await app.register(formbody)
        app.addHook('onRequest', app.oauth.requireLogin())
        app.get('/page', async () => 'page')
        const callback = (request: FastifyRequest, reply: FastifyReply) => request.oauth.callback(reply)
        app.route({ method: 'GET', url: '/login/:provider/callback', handler: callback })
        app.route({ method: 'POST', url: '/login/:provider/callback', handler: callback })
      }
    })
    t.match(await browser.login(`${url}/page`), { status: 200, url: `${url}/page`, text: 'page' })
    for (const path of ['/page?state=s&code=c', '/login/acme/callback', '/login/acme/callback/x?state=s']) {
      t.equal((await app.inject({ url: path })).statusCode, 401, path)
    }
  }
})

t.test(
  'a guard of the whole app leaves HEAD on the callback, POST, and the failures of its routes to them',
  async t => {
    const { app } = await loginApp(t, {
      setup: app => { app.addHook('onRequest', app.oauth.requireLogin()) }
    })
    for (const [method, path, status] of [
      ['HEAD', '/login/acme/callback', 405],
      ['GET', '/login/acme/callback', 400],
      ['POST', '/login/acme/callback', 400],
      ['GET', '/login/unknown', 404],
      ['GET', '/logout/callback', 400]
    ] as const) {
      t.equal((await app.inject({ method, url: path })).statusCode, status, `${method} ${path}`)
    }
  }
)

t.test('a guard of one registration lets the routes of another one pass', async t => {
  const { app, provider } = await loginApp(t, {
    setup: app => {
      app.addHook('onRequest', app.oauth.requireLogin())
      app.register(async scope => { scope.get('/x', async () => 'x') }, { prefix: '/scope' })
    }
  })
  const html = { headers: { accept: 'text/html' } }
  t.equal((await app.inject({ url: '/scope/x', ...html })).headers.location, '/login/acme?returnTo=%2Fscope%2Fx')
  t.match((await app.inject({ url: '/login/acme', ...html })).headers.location, provider.url('authorization'))
})

t.test('where a route has no session, a guard says so in place of a redirect loop', async t => {
  const { browser, url } = await loginApp(t, {
    oauth: { prefix: '/app' },
    session: { cookie: { secure: false, path: '/app' } },
    setup: app => { app.get('/elsewhere', { onRequest: app.oauth.requireLogin() }, async () => 'members only') }
  })
  const page = await browser.get(`${url}/elsewhere`, { redirect: 'manual' })
  t.equal(page.status, 500)
  t.match(page.json(), { code: 'FST_OAUTH_SESSION_UNAVAILABLE', message: /cookie\.path/ })
})

// Tokens that have ended

/** An app whose clock can be set on, as far as the tokens of a login are concerned: their record says when they end. */
async function withExpiredToken (t: Test, options: LoginAppOptions = {}) {
  const app = await loggedInApp(t, {
    wrong: {},
    ...options,
    setup: app => {
      app.get('/members', { onRequest: app.oauth.requireLogin() }, async request => request.oauth.user?.id)
      options.setup?.(app)
    }
  })
  const [id] = tokenRecords(app.store).keys()
  const expire = (expiresAt = Math.floor(Date.now() / 1000) - 5) => {
    const envelope = app.store.peek(id!)!
    envelope.record.obtainedAt = expiresAt - 3600
    envelope.record.expiresAt = envelope.record.tokens.expiresAt = expiresAt
    app.store.records.set(id!, JSON.stringify(envelope))
  }
  return { ...app, expire, members: `${app.url}/members?a=b` }
}

const noRefreshToken = { tokens: { refresh_token: undefined } }

for (const refresh of ['auto', 'notify', 'manual'] as const) {
  t.test(`a page load whose token has ended for good is sent to log in and comes back, refresh ${refresh}`, async t => {
    const { browser, provider, expire, members } = await withExpiredToken(t, {
      wrong: noRefreshToken,
      oauth: { refresh }
    })
    t.equal((await browser.get(members)).text, 'alice')
    expire()
    const page = await browser.get(members, { redirect: 'manual' })
    t.strictSame([page.status, page.headers.location], [302, '/login/acme?returnTo=%2Fmembers%3Fa%3Db'])
    t.match(await browser.follow(page), { status: 200, url: members, text: 'alice' })
    t.equal(provider.asked('token').length, 2)
  })
}

t.test('an API caller whose token has ended for good gets a 401', async t => {
  const { browser, expire, members, userOf } = await withExpiredToken(t, { wrong: noRefreshToken })
  expire()
  const page = await browser.get(members, asJson)
  t.match(page, { status: 401, headers: { 'www-authenticate': 'Bearer' } })
  t.equal(codeOf(page), 'FST_OAUTH_TOKEN_EXPIRED')
  t.equal(await userOf(browser), 'alice', 'and stays logged in for other routes')
})

t.test('a token that the app refreshes itself passes a guard when it has expired', async t => {
  for (const refresh of ['notify', 'manual'] as const) {
    const { browser, provider, expire, members } = await withExpiredToken(t, { oauth: { refresh } })
    expire()
    t.equal((await browser.get(members)).text, 'alice')
    t.equal(provider.asked('token').length, 1)
  }
})

t.test('a page load refreshes an expired token, once, and passes', async t => {
  const { browser, provider, expire, members } = await withExpiredToken(t)
  expire()
  t.strictSame(
    (await Promise.all([1, 2, 3].map(() => browser.get(members)))).map(({ text }) => text),
    ['alice', 'alice', 'alice']
  )
  t.equal((await browser.get(members)).text, 'alice')
  t.equal(provider.asked('token').length, 2)
})

t.test(
  'an API caller passes with an expired token that can be refreshed; whether it can is asked by the call',
  async t => {
    const { browser, provider, expire, members } = await withExpiredToken(t)
    expire()
    t.equal((await browser.get(members, asJson)).text, 'alice')
    t.equal(provider.asked('token').length, 1)
  }
)

t.test('a page load finds out that a refresh ends the login, and is sent to log in', async t => {
  const { browser, provider, expire, members, store } = await withExpiredToken(t)
  expire()
  provider.wrong = { instead: { token: { status: 400, body: { error: 'invalid_grant' } } } }
  const page = await browser.get(members, { redirect: 'manual' })
  t.strictSame([page.status, page.headers.location], [302, '/login/acme?returnTo=%2Fmembers%3Fa%3Db'])
  t.equal(tokenRecords(store).size, 0)
  provider.wrong = {}
  t.match(await browser.follow(page), { status: 200, url: members, text: 'alice' })
})

t.test('a provider that is away ends no login, and is not asked at each page load', async t => {
  const { browser, provider, expire, members } = await withExpiredToken(t)
  for (const status of [503, 500, 429]) {
    expire()
    provider.wrong = { instead: { token: { status } } }
    for (let load = 0; load < 3; load++) t.equal((await browser.get(members)).text, 'alice')
  }
  t.equal(provider.asked('token').length, 2)
})

t.test(
  'a store that is down when an expired token is to be refreshed: no request passes, no user is logged out',
  async t => {
    const { browser, store, expire, members, userOf } = await withExpiredToken(t)
    expire()
    store.fail.set = true
    const page = await browser.get(members, asJson)
    t.strictSame([page.status, codeOf(page)], [503, 'FST_OAUTH_STORE_UNAVAILABLE'])
    store.fail.set = false
    t.equal(await userOf(browser), 'alice')
  }
)

t.test(
  'an account that was added to a login is added again when its token has ended, and the login goes on',
  async t => {
    const { browser, url, store, provider, userOf, link } = await loggedInApp(t, {
      wrong: noRefreshToken,
      providers: ({ providerOptions }) => ({ acme: providerOptions, other: providerOptions }),
      setup: app => {
        app.get('/other', { onRequest: app.oauth.requireLogin({ provider: 'other' }) }, async request => ({
          active: request.oauth.provider,
          accounts: request.oauth.accounts.length
        }))
      }
    })
    await link('other')
    for (const id of tokenRecords(store).keys()) {
      const envelope = store.peek(id)!
      if (envelope.record.provider !== 'other') continue
      envelope.record.obtainedAt = 1
      envelope.record.expiresAt = envelope.record.tokens.expiresAt = 3600
      store.records.set(id, JSON.stringify(envelope))
    }
    const page = await browser.get(`${url}/other?a=b`)
    t.equal(page.url, `${url}/other?a=b`)
    t.strictSame(page.json(), { active: 'acme', accounts: 2 })
    t.equal(provider.asked('token').length, 3)
    t.equal(await userOf(browser), 'alice')
  }
)

t.test('a token without an end, and one that came expired, make no redirect loop', async t => {
  for (const tokens of [{ expires_in: undefined }, { expires_in: 0 }, { expires_in: -5 }]) {
    const { browser, members, provider } = await withExpiredToken(t, {
      wrong: { tokens: { refresh_token: undefined, ...tokens } }
    })
    t.equal((await browser.get(members)).text, 'alice')
    t.equal(provider.asked('token').length, 1)
  }
})
