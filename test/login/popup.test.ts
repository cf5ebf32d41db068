import helmet from '@fastify/helmet'
import type { Page as Tab } from 'playwright-core'
import t, { type Test } from 'tap'
import type { Page } from '../helpers/browser.ts'
import { startChromium } from '../helpers/chromium.ts'
import { appAt, asJson, callbackUrl, codeOf, loginApp, type LoginAppOptions, withQuery } from '../helpers/login-app.ts'
import { captureLog } from '../helpers/log.ts'
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
  t.match(page, { status: 200, url: `${url}/login/acme/callback` })
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
    t.match(lines, [{ level: 30, event: 'silent_login_declined' }])
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
    t.match(errors, [{ reason: 'embedded' }])
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

// Chromium

const OPENER = `<!doctype html><title>Opener</title><button>Log in</button><p></p><script>
const told = outcome => { document.querySelector('p').textContent = JSON.stringify(outcome) }
addEventListener('message', ({ origin, data }) => { if (origin === location.origin) told(data) })
new BroadcastChannel('fastify-oauth-session').onmessage = ({ data }) => told(data)
document.querySelector('button').onclick = () => {
  open('/login/acme?display=popup', 'login', 'popup,width=500,height=600')
}
function silently () {
  const frame = document.createElement('iframe')
  frame.hidden = true
  frame.src = '/login/acme?display=popup&prompt=none'
  document.body.append(frame)
}
</script>`

async function inChromium (t: Test, { policy, host }: { policy?: string, host?: string }) {
  const chromium = await startChromium(t)
  if (chromium === undefined) return undefined
  const provider = await startProvider(t, { host })
  const setup: LoginAppOptions['setup'] = async app => {
    await app.register(helmet)
    app.get('/opener', async (_request, reply) => {
      reply.header('content-security-policy', "default-src 'self' 'unsafe-inline'; frame-src *")
      if (policy !== undefined) reply.header('cross-origin-opener-policy', policy)
      return await reply.type('text/html').send(OPENER)
    })
  }
  const { url, errors } = await appAt(t, provider, { setup })
  const page = await (await chromium.newContext()).newPage()
  await page.goto(`${url}/opener`)
  return { page, url, errors }
}

async function logInInPopup (page: Tab): Promise<Tab> {
  const [popup] = await Promise.all([page.waitForEvent('popup'), page.click('button')])
  await popup.fill('[name=login]', 'alice')
  await popup.fill('[name=password]', 'alice-password')
  const closed = popup.waitForEvent('close')
  await popup.click('text=Sign in >> nth=-1')
  await closed
  return popup
}

/** What the page is told next. */
async function toldTo (page: Tab): Promise<Record<string, unknown>> {
  const told = page.locator('p').filter({ hasText: 'outcome' })
  await told.waitFor()
  const text = await told.innerText()
  await page.evaluate("document.querySelector('p').textContent = ''")
  return JSON.parse(text) as Record<string, unknown>
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
    await logInInPopup(page)
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
  await logInInPopup(page)
  await toldTo(page)
  await page.context().clearCookies({ name: 'sessionId' })
  await page.evaluate('silently()')
  t.match(await toldTo(page), { outcome: 'logged_in' })
  t.equal(await page.evaluate("fetch('/').then(response => response.text())"), '{"user":"alice"}')
  t.strictSame(errors, [])
})
