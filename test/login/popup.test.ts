import helmet from '@fastify/helmet'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import type { Pages } from '../../lib/index.ts'
import type { Page } from '../helpers/browser.ts'
import { startChromium } from '../helpers/chromium.ts'
import {
  appAt, asJson, callbackUrl, codeOf, loginApp, type LoginAppOptions, pendingLogins, withQuery
} from '../helpers/login-app.ts'
import { captureLog } from '../helpers/log.ts'
import { matchEach } from '../helpers/match-each.ts'
import { logInInPopup, OPENER, OPENER_POLICY, openPopup, toldTo } from '../helpers/opener.ts'
import { startProvider } from '../helpers/provider.ts'

// A login in a window that a script opened, or in a hidden frame: its outcome is told to the page that began it.

const manual = { redirect: 'manual' } as const
const inFrame = { headers: { 'sec-fetch-dest': 'iframe', 'sec-fetch-site': 'same-origin' } }

/** What a page tells, and whom: the attributes of its script. */
function toldBy ({ text }: Pick<Page, 'text'>): { origin: string, message: Record<string, unknown> } | undefined {
  const script = /<script nonce="[\w-]{43}" data-origin="([^"]*)" data-message="([^"]*)">/.exec(text)
  if (script === null) return undefined
  return { origin: script[1]!, message: JSON.parse(script[2]!.replaceAll('&quot;', '"')) }
}

t.test('a login in a popup ends with a page that tells its opener, at the exact origin of baseUrl', async t => {
  const { browser, url, provider, userOf } = await loginApp(t)
  const page = await browser.get(`${url}/login/acme?display=popup&returnTo=/%3Forders`)
  t.equal(page.status, 200)
  t.equal(new URL(page.url).pathname, '/login/acme/callback')
  t.strictSame(toldBy(page), {
    origin: url,
    message: { type: 'fastify-oauth-session', outcome: 'logged_in', provider: 'acme' }
  })
  t.match(page.text, '<a class="button" href="/?orders">Continue to the app</a>', 'without scripts, a link leads on')
  t.notMatch(page.text, /postMessage\([^)]*['"]\*/, 'never to any origin')
  const policy = String(page.headers['content-security-policy'])
  const nonce = /<script nonce="([\w-]+)"/.exec(page.text)![1]!
  t.match(policy, `script-src 'nonce-${nonce}'`)
  t.match(policy, "frame-ancestors 'none'")
  t.equal(page.headers['cache-control'], 'no-store')
  t.equal(provider.asked('authorization')[0]!.query.get('display'), 'popup')
  t.equal(await userOf(browser), 'alice')
})

t.test('the redirects and the page of a popup take no opener away, whatever policy the app has', async t => {
  const { browser, url } = await loginApp(t, { setup: async app => { await app.register(helmet) } })
  t.equal((await browser.get(`${url}/`)).headers['cross-origin-opener-policy'], 'same-origin')
  await browser.get(`${url}/login/acme?display=popup`)
  const own = browser.history.filter(page => page.url.startsWith(`${url}/login`))
  t.equal(own.length, 2)
  for (const { headers } of own) t.equal(headers['cross-origin-opener-policy'], 'unsafe-none')
})

t.test('request.oauth.login takes display, with options beside it', async t => {
  const { browser, url, provider, app } = await loginApp(t, {
    setup: app => {
      app.get('/in', async ({ oauth }, reply) => await oauth.login(reply, { display: 'popup', prompt: 'login' }))
      app.get('/wrong', async ({ oauth }, reply) => await oauth.login(reply, { display: 'page' as 'popup' }))
    }
  })
  t.match(toldBy(await browser.get(`${url}/in`)), { message: { outcome: 'logged_in' } })
  t.equal(provider.asked('authorization')[0]!.query.get('prompt'), 'login')
  const wrong = await app.inject('/wrong')
  t.match(wrong.json(), { code: 'FST_OAUTH_INVALID_OPTIONS', message: /display of a login is 'popup' or nothing/ })
})

t.test('a provider without OpenID Connect is not asked for a display; the page of choices passes it on', async t => {
  const { browser, url, provider } = await loginApp(t, {
    providers: ({ issuer, providerOptions: { issuer: _issuer, scope: _scope, ...options } }) => ({
      acme: {
        ...options,
        authorizationEndpoint: `${issuer}/auth`,
        tokenEndpoint: `${issuer}/token`,
        userinfoEndpoint: `${issuer}/me`
      },
      other: { ...options, issuer }
    })
  })
  const chooser = await browser.get(`${url}/login?display=popup&returnTo=/%3Fx`)
  t.match(chooser.text, 'href="/login/acme?returnTo=%2F%3Fx&amp;display=popup"')
  await browser.get(`${url}/login/acme?display=popup`, manual)
  const { location } = browser.history.at(-1)!
  t.equal(new URL(location!).searchParams.get('display'), null)
  t.equal(provider.asked('token').length, 0)
})

t.test('of display the query of the login route takes popup alone', async t => {
  const { browser, url, provider } = await loginApp(t)
  for (const display of ['page', 'touch', '', 'popup x']) {
    t.match(await browser.get(`${url}/login/acme?${new URLSearchParams({ display })}`), { url: `${url}/` })
    t.equal(provider.asked('authorization').at(-1)!.query.get('display'), null)
  }
})

t.test('a popup whose callback is loaded again says that the user is logged in', async t => {
  const { browser, url, provider } = await loginApp(t)
  const callback = await callbackUrl(browser, `${url}/login/acme?display=popup`)
  await browser.get(callback)
  t.match(toldBy(await browser.get(callback)), { message: { outcome: 'logged_in' } })
  t.equal(provider.asked('token').length, 1)
})

interface Failure {
  path?: string
  change?: Parameters<typeof withQuery>[1]
  forget?: boolean
  status: number
  code: string
}
const failures: Record<string, Failure> = {
  'the user cancels': {
    change: query => {
      query.delete('code')
      query.set('error', 'access_denied')
    },
    status: 403,
    code: 'FST_OAUTH_AUTHORIZATION_FAILED'
  },
  'its cookie is gone': { forget: true, status: 400, code: 'FST_OAUTH_STATE_MISMATCH' }
}
for (const [what, { change, forget = false, status, code }] of Object.entries(failures)) {
  t.test(`a popup in which ${what} tells its opener the code of the error, and offers the popup again`, async t => {
    const { browser, url, errors, provider } = await loginApp(t)
    const callback = await callbackUrl(browser, `${url}/login/acme?display=popup`)
    if (forget) browser.cookies = []
    const page = await browser.get(change === undefined ? callback : withQuery(callback, change))
    t.equal(page.status, status)
    t.strictSame(toldBy(page), {
      origin: url, message: { type: 'fastify-oauth-session', outcome: 'error', code, provider: 'acme' }
    })
    t.match(page.text, /href="\/login\/acme\?[^"]*display=popup"/)
    t.equal(errors.length, 1)
    t.equal(provider.asked('authorization').length, 1, 'no login starts again by itself')
  })
}

t.test('a popup that cannot be sent to the provider tells its opener, and an API caller gets JSON', async t => {
  const { browser, url, provider } = await loginApp(t)
  provider.wrong = { instead: { discovery: { status: 503 } } }
  const page = await browser.get(`${url}/login/acme?display=popup`)
  t.equal(page.status, 503)
  t.match(toldBy(page), { message: { outcome: 'error', code: 'FST_OAUTH_PROVIDER_UNAVAILABLE', provider: 'acme' } })
  t.equal(codeOf(await browser.get(`${url}/login/acme?display=popup`, asJson)), 'FST_OAUTH_PROVIDER_UNAVAILABLE')
  const inWindow = await browser.get(`${url}/login/acme`)
  t.strictSame([inWindow.status, toldBy(inWindow)], [503, undefined], 'without display nobody is told')
})

t.test('what an error holds is escaped in the page of a popup', async t => {
  const { browser, url } = await loginApp(t)
  const page = await browser.get(`${url}/login/%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E?display=popup`)
  t.equal(page.status, 404)
  t.notMatch(page.text, '<script>alert')
  t.match(toldBy(page), { message: { code: 'FST_OAUTH_UNKNOWN_PROVIDER' } })
})

for (const error of ['login_required', 'interaction_required', 'consent_required', 'account_selection_required']) {
  t.test(`silent, in a popup: ${error} is told as an outcome, and is no failure`, async t => {
    const log = captureLog()
    const { browser, url, provider, errors } = await loginApp(t, { fastify: { logger: log.logger } })
    provider.wrong = {
      callback: params => {
        params.delete('code')
        params.set('error', error)
      }
    }
    const page = await browser.get(`${url}/login/acme?display=popup&prompt=none`)
    t.equal(page.status, 200)
    t.strictSame(toldBy(page)?.message, {
      type: 'fastify-oauth-session',
      outcome: 'error',
      code: 'FST_OAUTH_LOGIN_REQUIRED',
      provider: 'acme',
      oauthError: error
    })
    t.strictSame(errors, [])
    const lines = log.lines.filter(({ event }) => event === 'silent_login_declined' || event === 'login_failed')
    matchEach(t, lines, [{ level: 30, event: 'silent_login_declined' }])
  })
}

t.test('silent, in a frame of the app: the page may be framed by the app alone', async t => {
  const { browser, url, userOf } = await loginApp(t)
  const page = await browser.get(`${url}/login/acme?display=popup&prompt=none`, inFrame)
  t.equal(page.status, 200)
  t.match(page.headers['content-security-policy'], "frame-ancestors 'self'")
  t.match(toldBy(page), { origin: url, message: { outcome: 'logged_in' } })
  t.equal(await userOf(browser), 'alice')
})

const embedded: Record<string, { path: string, headers?: Record<string, string> }> = {
  'a frame on a page of another site': {
    path: '/login/acme?display=popup&prompt=none',
    headers: { 'sec-fetch-dest': 'iframe', 'sec-fetch-site': 'cross-site' }
  },
  'a frame in which the provider may ask the user': { path: '/login/acme?display=popup' },
  'a frame that is no popup': { path: '/login/acme?prompt=none' },
  'an image': {
    path: '/login/acme?display=popup&prompt=none', headers: { 'sec-fetch-dest': 'image', 'sec-fetch-mode': 'no-cors' }
  },
  'a nested document': { path: '/login/acme?display=popup&prompt=none', headers: { 'sec-fetch-dest': 'object' } }
}
for (const [what, { path, headers = {} }] of Object.entries(embedded)) {
  t.test(`clickjacking: ${what} begins no login`, async t => {
    const { browser, url, provider, errors } = await loginApp(t)
    const page = await browser.get(`${url}${path}`, { ...manual, headers: { ...inFrame.headers, ...headers } })
    t.equal(page.status, 403)
    matchEach(t, errors, [{ reason: 'embedded' }])
    t.equal(provider.asked('authorization').length, 0)
  })
}

t.test('the response to a login in a window is refused in a frame, whatever its state says', async t => {
  const { browser, url, provider, userOf } = await loginApp(t)
  const callback = await callbackUrl(browser, `${url}/login/acme?display=popup`)
  const page = await browser.get(callback, inFrame)
  t.equal(page.status, 403)
  t.match(toldBy(page), { message: { code: 'FST_OAUTH_CROSS_SITE_REQUEST' } })
  t.equal(provider.asked('token').length, 0)
  t.equal(await userOf(browser), null)
})

// The page in the app's look

const ownPopup = ({ title, message, actions }: Parameters<Pages['popup']>[0]) => '<!doctype html><body class="own">' +
  `<h1>${title}</h1><p>${message}</p><a href="${actions[0]!.href}">${actions[0]!.label}</a></body>`

t.test('the page of a popup can be the app\'s own, and has the plugin\'s script and no other', async t => {
  const { browser, url } = await loginApp(t, {
    oauth: { pages: { popup: ownPopup } },
    setup: async app => { await app.register(helmet) }
  })
  const page = await browser.get(`${url}/login/acme?display=popup&returnTo=/%3Fon`)
  t.match(page.text, /^<!doctype html><body class="own"><h1>You are logged in</)
  t.match(page.text, '<a href="/?on">Continue to the app</a>')
  t.match(page.text, /<\/script><\/body>$/)
  t.match(toldBy(page), { origin: url, message: { outcome: 'logged_in', provider: 'acme' } })
  const [, nonce] = /<script nonce="([^"]+)"/.exec(page.text)!
  t.equal(page.headers['content-security-policy'],
    `script-src 'nonce-${nonce}'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'`)
  t.match(page.headers, { 'cache-control': 'no-store', 'cross-origin-opener-policy': 'unsafe-none' })
})

t.test('the app\'s own page of a popup says what went wrong; a document without an end has the script too', async t => {
  const seen: object[] = []
  const popup: Pages['popup'] = (data) => {
    seen.push(data)
    return `<h1>${data.title}`
  }
  const { browser, url } = await loginApp(t, { oauth: { pages: { popup } } })
  const callback = await callbackUrl(browser, `${url}/login/acme?display=popup`)
  const page = await browser.get(withQuery(callback, query => {
    query.delete('code')
    query.set('error', 'access_denied')
  }))
  t.match(toldBy(page), { message: { outcome: 'error', code: 'FST_OAUTH_AUTHORIZATION_FAILED' } })
  t.match(page.text, /^<h1>[^<]+<script/)
  matchEach(t, seen, [{
    outcome: 'error',
    code: 'FST_OAUTH_AUTHORIZATION_FAILED',
    title: String,
    message: String,
    actions: [{ href: /^\/login\/acme\?.*display=popup/, label: 'Log in again' }, { href: '/' }]
  }])
  const framed = await browser.get(`${url}/login/acme?display=popup&prompt=none`, inFrame)
  t.match(framed.headers['content-security-policy'], /^default-src 'none'.*frame-ancestors 'self'/)
  t.equal(seen.length, 1, 'nobody sees the page in a hidden frame')
})

// Routes of the app's own

/** With `routes: false`: what the app writes itself, and what its callback threw. */
const ownRoutes = (thrown: unknown[] = []): Changes => ({
  oauth: { routes: false },
  setup: (app) => {
    app.get('/login/acme', async (request, reply) => {
      const { display, prompt } = request.query as { display?: 'popup', prompt?: 'none' }
      return await request.oauth.login(reply, { ...(display && { display }), ...(prompt && { prompt }) })
    })
    app.get('/login/acme/callback', async (request, reply) => {
      try {
        return await request.oauth.callback(reply, { provider: 'acme' as never })
      } catch (error) {
        thrown.push(error)
        throw error
      }
    })
  }
})

for (const [what, status, code, change] of [
  ['that the user cancels', 403, 'FST_OAUTH_AUTHORIZATION_FAILED', (query) => {
    query.delete('code')
    query.set('error', 'access_denied')
  }],
  ['whose code the provider refuses', 400, 'FST_OAUTH_AUTHORIZATION_FAILED', (query) => {
    query.set('code', 'another')
  }],
  ["that is another browser's", 400, 'FST_OAUTH_STATE_MISMATCH', (query) => {
    query.set('state', query.get('state')!.slice(0, -1) + (query.get('state')!.endsWith('A') ? 'B' : 'A'))
  }]
] as [string, number, string, (query: URLSearchParams) => void][]) {
  t.test(`routes: false: a popup ${what} tells its opener, and the app's handler throws nothing`, async t => {
    const thrown: unknown[] = []
    const { browser, url, errors } = await loginApp(t, ownRoutes(thrown))
    const page = await browser.get(withQuery(await callbackUrl(browser, `${url}/login/acme?display=popup`), change))
    t.equal(page.status, status)
    t.match(toldBy(page), { origin: url, message: { outcome: 'error', code, provider: 'acme' } })
    t.match(page.headers, { 'cross-origin-opener-policy': 'unsafe-none', 'cache-control': 'no-store' })
    t.equal(errors.length, 1, 'onError is told')
    t.strictSame(thrown, [])
  })
}

t.test('routes: false: an error without a popup, or of an API caller, is the app\'s', async t => {
  const thrown: unknown[] = []
  const { browser, url, errors } = await loginApp(t, ownRoutes(thrown))
  const cancel = (query: URLSearchParams) => { query.set('error', 'access_denied') }
  await browser.get(withQuery(await callbackUrl(browser, `${url}/login/acme`), cancel))
  const popup = await callbackUrl(browser, `${url}/login/acme?display=popup`)
  const page = await browser.get(withQuery(popup, cancel), asJson)
  t.equal(codeOf(page), 'FST_OAUTH_AUTHORIZATION_FAILED')
  t.equal(thrown.length, 2)
  t.strictSame(errors, [])
})

// Chromium

type Changes = Pick<LoginAppOptions, 'oauth'> & { setup?: (app: FastifyInstance) => void }

async function inChromium (
  t: Test, { policy, host, oauth, setup: more }: { policy?: string, host?: string } & Changes
) {
  const provider = await startProvider(t, { host })
  const setup: LoginAppOptions['setup'] = async app => {
    await app.register(helmet)
    app.get('/opener', async (_request, reply) => {
      reply.header('content-security-policy', OPENER_POLICY)
      if (policy !== undefined) reply.header('cross-origin-opener-policy', policy)
      return await reply.type('text/html').send(OPENER)
    })
    more?.(app)
  }
  const { url, errors, store } = await appAt(t, provider, { oauth, setup })
  const chromium = await startChromium(t)
  if (chromium === undefined) return undefined
  const page = await (await chromium.newContext()).newPage()
  await page.goto(`${url}/opener`)
  return { page, url, errors, store }
}

for (const [what, policy] of Object.entries({
  'that may keep its popups': 'same-origin-allow-popups',
  'without a policy': 'unsafe-none',
  "that loses its popups by helmet's policy": undefined
})) {
  t.test(`Chromium: a popup of a page ${what} tells it that the user is logged in, and closes itself`, async t => {
    const opened = await inChromium(t, { policy, host: 'localhost' })
    if (opened === undefined) return
    const { page, url, errors } = opened
    await logInInPopup(await openPopup(page))
    t.strictSame(await toldTo(page), {
      type: 'fastify-oauth-session', outcome: 'logged_in', provider: 'acme'
    })
    t.equal(await page.evaluate("fetch('/').then(response => response.text())"), '{"user":"alice"}')
    t.equal(page.url(), `${url}/opener`)
    t.strictSame(errors, [])
  })
}

t.test('Chromium: a hidden frame says that a login is required, and then that the user is logged in', async t => {
  const opened = await inChromium(t, { policy: 'unsafe-none' })
  if (opened === undefined) return
  const { page, errors } = opened
  await page.evaluate('silently()')
  t.match(await toldTo(page), { outcome: 'error', code: 'FST_OAUTH_LOGIN_REQUIRED', oauthError: 'login_required' })
  await logInInPopup(await openPopup(page))
  await toldTo(page)
  await page.context().clearCookies({ name: 'sessionId' })
  await page.evaluate('silently()')
  t.match(await toldTo(page), { outcome: 'logged_in' })
  t.equal(await page.evaluate("fetch('/').then(response => response.text())"), '{"user":"alice"}')
  t.strictSame(errors, [])
})

t.test('Chromium, routes: false: a late popup tells its opener, and closes itself; the next one logs in', async t => {
  const opened = await inChromium(t, { host: 'localhost', policy: 'same-origin-allow-popups', ...ownRoutes() })
  if (opened === undefined) return
  const { page, store } = opened
  const popup = await openPopup(page)
  for (const id of pendingLogins(store)) store.records.delete(id)
  await logInInPopup(popup)
  t.match(await toldTo(page), { outcome: 'error', code: 'FST_OAUTH_STATE_MISMATCH' })
  await page.click('button')
  t.match(await toldTo(page), { outcome: 'logged_in' })
  t.equal(await page.evaluate("fetch('/').then(response => response.text())"), '{"user":"alice"}')
})

t.test('Chromium: the app\'s own page of a popup tells the opener and closes itself beside helmet', async t => {
  const opened = await inChromium(t, {
    host: 'localhost', policy: 'same-origin-allow-popups', oauth: { pages: { popup: ownPopup } }
  })
  if (opened === undefined) return
  await logInInPopup(await openPopup(opened.page))
  t.match(await toldTo(opened.page), { outcome: 'logged_in' })
})
