import { createHash } from 'node:crypto'
import t, { type Test } from 'tap'
import type { LoggedError } from '../../lib/util/logger.ts'
import { Browser, type Page } from '../helpers/browser.ts'
import { buildApp, SESSION_SECRET } from '../helpers/build-app.ts'
import { Gate } from '../helpers/gate.ts'
import { captureLog } from '../helpers/log.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import {
  asJson,
  assertLoggedOut,
  callbackUrl,
  codeOf,
  loginApp,
  loginCookies,
  pendingLogins,
  withQuery,
  type LoginApp,
  type LoginAppOptions
} from '../helpers/login-app.ts'
import { matchEach } from '../helpers/match-each.ts'
import { startProvider } from '../helpers/provider.ts'
import { tokenRecords } from '../helpers/records.ts'

// What the callback must refuse and must survive. "oidcc-client-test…" names the module of the OpenID Foundation's
// relying-party test plan that a test reproduces.

/** Asserts that a callback was refused, no user is logged in and no code was redeemed. */
async function assertRefused (
  t: Test,
  app: LoginApp,
  page: Page,
  { status = 400, code = 'FST_OAUTH_STATE_MISMATCH', reason }: { status?: number, code?: string, reason?: string } = {}
): Promise<void> {
  t.equal(page.status, status)
  t.equal(codeOf(page), code)
  if (reason !== undefined) t.equal(app.errors.at(-1)?.reason, reason)
  t.equal(app.provider.asked('token').length, 0, 'no token request')
  await assertLoggedOut(t, app)
}

// State

t.test('a callback without state is refused', async t => {
  const app = await loginApp(t)
  const url = await callbackUrl(app.browser, `${app.url}/login/acme`)
  await assertRefused(
    t,
    app,
    await app.browser.get(withQuery(url, query => query.delete('state')), asJson),
    { reason: 'missing_state' }
  )
})

t.test('a callback with an empty state is refused', async t => {
  const app = await loginApp(t)
  const url = await callbackUrl(app.browser, `${app.url}/login/acme`)
  await assertRefused(t, app, await app.browser.get(withQuery(url, query => query.set('state', '')), asJson))
})

t.test('a callback with another state is refused', async t => {
  const app = await loginApp(t)
  const url = await callbackUrl(app.browser, `${app.url}/login/acme`)
  await assertRefused(
    t,
    app,
    await app.browser.get(withQuery(url, query => query.set('state', 's'.repeat(43))), asJson)
  )
})

t.test('a callback without a login before it is refused', async t => {
  const app = await loginApp(t)
  await assertRefused(
    t,
    app,
    await app.browser.get(`${app.url}/login/acme/callback?code=c&state=${'s'.repeat(43)}`, asJson)
  )
})

t.test('a callback without any parameter is refused', async t => {
  const app = await loginApp(t)
  await assertRefused(t, app, await app.browser.get(`${app.url}/login/acme/callback`, asJson))
  await assertRefused(t, app, await app.browser.post(`${app.url}/login/acme/callback`, asJson))
})

t.test('login CSRF: a response that an attacker obtained does not log in a browser that is sent to it', async t => {
  const app = await loginApp(t)
  const attacker = new Browser()
  const url = await callbackUrl(attacker, `${app.url}/login/acme`)
  await assertRefused(t, app, await app.browser.get(url, { ...asJson, from: 'https://attacker.example/' }), {
    reason: 'other_browser'
  })
})

t.test('login CSRF: nor does it log in where the victim has a login of their own under way', async t => {
  const app = await loginApp(t)
  const attacker = new Browser()
  const url = await callbackUrl(attacker, `${app.url}/login/acme`)
  const own = await callbackUrl(app.browser, `${app.url}/login/acme`)
  await assertRefused(t, app, await app.browser.get(url, asJson), { reason: 'other_browser' })
  t.strictSame((await app.browser.get(own)).json(), { user: 'alice' }, 'and the own login goes on')
})

t.test("login CSRF: the state of one browser under the cookie of another's login is refused", async t => {
  const app = await loginApp(t)
  const attacker = new Browser()
  const url = await callbackUrl(attacker, `${app.url}/login/acme`)
  await callbackUrl(app.browser, `${app.url}/login/acme`)
  const [theirs] = loginCookies(attacker)
  const [own] = loginCookies(app.browser)
  app.browser.jar.put({ ...theirs!, value: own!.value })
  await assertRefused(t, app, await app.browser.get(url, asJson), { reason: 'wrong_state' })
})

t.test('the cookie of a login is of no use without its state', async t => {
  const app = await loginApp(t)
  const url = await callbackUrl(app.browser, `${app.url}/login/acme`)
  const [cookie] = loginCookies(app.browser)
  const state = new URL(url).searchParams.get('state')!
  t.notOk(`${cookie!.name}=${cookie!.value}`.includes(state), 'which it does not tell')
})

t.test('a callback that is opened twice logs in once', async t => {
  const { provider, browser, url, userOf } = await loginApp(t)
  const callback = await callbackUrl(browser, `${url}/login/acme`)
  const cookies = browser.cookies
  t.strictSame((await browser.get(callback)).json(), { user: 'alice' })
  const again = await browser.get(callback, asJson)
  t.equal(codeOf(again), 'FST_OAUTH_STATE_MISMATCH')
  t.equal(await userOf(browser), 'alice', 'the back button does not log out')

  const copy = new Browser()
  copy.cookies = cookies
  t.equal(codeOf(await copy.get(callback, asJson)), 'FST_OAUTH_STATE_MISMATCH', 'not even with the cookies that it had')
  t.equal(await userOf(copy), null)
  t.equal(provider.asked('token').length, 1)
})

// Loaded once more

/** A login that has come back, and its callback. */
async function finished (t: Test, options?: LoginAppOptions) {
  const app = await loginApp(t, options)
  const callback = await callbackUrl(app.browser, `${app.url}/login/acme?returnTo=/%3Fhello`)
  t.strictSame((await app.browser.get(callback)).json(), { user: 'alice' })
  return { ...app, callback }
}

for (const [what, options] of Object.entries({
  "the plugin's route": {},
  "a route of the app's own": {
    oauth: { routes: false },
    setup: app => {
      app.get('/login/acme', async (request, reply) => request.oauth.login(reply, { returnTo: '/?hello' }))
      app.get('/login/:provider/callback', async (request, reply) => request.oauth.callback(reply))
    }
  },
  'an encrypted session': { oauth: { encryptionKeys: [Buffer.alloc(32, 7)] } }
} as Record<string, LoginAppOptions>)) {
  t.test(`a callback that is reloaded redirects to the returnTo of its login, ${what}`, async t => {
    const { browser, provider, callback, userOf, errors } = await finished(t, options)
    for (let load = 0; load < 2; load++) {
      const page = await browser.get(callback, { redirect: 'manual' })
      t.strictSame([page.status, page.headers.location], [303, '/?hello'])
      t.equal(page.headers['cache-control'], 'no-store')
    }
    t.equal(await userOf(browser), 'alice')
    t.equal(provider.asked('token').length, 1, 'the code is sent once')
    t.strictSame(errors, [])
  })
}

t.test('a callback that is reloaded redirects to the start page where the returnTo was long', async t => {
  const { browser, url } = await loginApp(t)
  const callback = await callbackUrl(browser, `${url}/login/acme?returnTo=/%3F${'q'.repeat(3000)}`)
  t.equal((await browser.get(callback, { redirect: 'manual' })).headers.location?.length, 3002)
  t.equal((await browser.get(callback, { redirect: 'manual' })).headers.location, '/')
})

t.test('each reloaded callback redirects to its own returnTo: of two tabs, a link, a step-up', async t => {
  const { browser, url, userOf } = await loginApp(t, {
    providers: ({ providerOptions }) => ({ acme: providerOptions, other: providerOptions }),
    setup: app => {
      app.get('/link/:name', async (request, reply) =>
        request.oauth.login(reply, {
          provider: (request.params as { name: string }).name,
          link: true,
          returnTo: '/?linked'
        })
      )
    }
  })
  const tabs = [
    await callbackUrl(browser, `${url}/login/acme?returnTo=/%3F1`),
    await callbackUrl(browser, `${url}/login/acme?returnTo=/%3F2`)
  ]
  for (const tab of tabs) await browser.get(tab)
  const link = await callbackUrl(browser, `${url}/link/other`)
  await browser.get(link)
  const stepUp = await callbackUrl(browser, `${url}/link/acme`)
  await browser.get(stepUp)
  for (const [callback, location] of [[tabs[0], '/?1'], [tabs[1], '/?2'], [link, '/?linked'], [stepUp, '/?linked']]) {
    t.equal((await browser.get(callback!, { redirect: 'manual' })).headers.location, location)
  }
  t.equal(await userOf(browser), 'alice')
})

t.test("a callback that is reloaded is refused where its login is not the session's", async t => {
  const { browser, provider, callback, url, userOf } = await finished(t)
  const refused = async (what: string, who: Browser, options: object = {}) => {
    const page = await who.get(callback, { redirect: 'manual', ...options })
    t.equal(page.status, 400, what)
    t.equal(codeOf(page), 'FST_OAUTH_STATE_MISMATCH', what)
  }
  await refused('an API caller', browser, asJson)
  await refused('an anonymous request', new Browser(), asJson)
  provider.subject = 'bob'
  const bob = new Browser()
  await bob.login(`${url}/login/acme`)
  await refused('another user is logged in, in another browser', bob)
  await browser.login(`${url}/login/acme`)
  await refused('another user has logged in since', browser)
  t.equal(await userOf(browser), 'bob')
  await browser.post(`${url}/logout`)
  await refused('after the logout', browser, asJson)
  t.equal(provider.asked('token').length, 3)
})

t.test('a callback with another response to the same login is refused', async t => {
  const { browser, callback, provider } = await finished(t)
  const page = await browser.get(
    withQuery(callback, query => {
      query.delete('code')
      query.set('error', 'access_denied')
    })
  )
  t.equal(codeOf(page), 'FST_OAUTH_STATE_MISMATCH')
  t.equal((await browser.get(withQuery(callback, query => { query.set('state', 's'.repeat(43)) }))).status, 400)
  t.equal(provider.asked('token').length, 1)
})

t.test('race: of two parallel callbacks with one state, one logs in', async t => {
  const { app, provider, browser, url, store } = await loginApp(t)
  const callback = await callbackUrl(browser, `${url}/login/acme`)
  const arrivals = new Gate()
  app.server.on('request', () => { arrivals.pass() })
  const taking = store.holdNext('get', id => id.startsWith('oauth:login:'))
  const both = [browser.get(callback, asJson), browser.get(callback, asJson)]
  await Promise.all([taking.arrived, arrivals.arrivedTimes(2)])
  taking.release()
  const pages = await Promise.all(both)
  t.strictSame(pages.map(({ status }) => status).sort(), [200, 400])
  t.equal(codeOf(pages.find(({ status }) => status === 400)!), 'FST_OAUTH_STATE_MISMATCH')
  t.equal(provider.asked('token').length, 1)
  t.equal(tokenRecords(store).size, 1)
})

t.test('a login that came back too late is refused', async t => {
  const app = await loginApp(t)
  const callback = await callbackUrl(app.browser, `${app.url}/login/acme`)
  const [id] = pendingLogins(app.store)
  const envelope = app.store.peek(id!)!
  t.equal(Math.round((envelope.record.expiresAt - Date.now() / 1000) / 60), 10, 'ten minutes are given')
  envelope.record.expiresAt = Math.floor(Date.now() / 1000) - 1
  app.store.records.set(id!, JSON.stringify(envelope))
  await assertRefused(t, app, await app.browser.get(callback, asJson), { reason: 'expired' })
})

t.test('a login whose record the store has dropped is refused', async t => {
  const app = await loginApp(t)
  const callback = await callbackUrl(app.browser, `${app.url}/login/acme`)
  const [id] = pendingLogins(app.store)
  const envelope = app.store.peek(id!)!
  envelope.cookie.expires = new Date(Date.now() - 1000).toISOString()
  app.store.records.set(id!, JSON.stringify(envelope))
  await assertRefused(t, app, await app.browser.get(callback, asJson), { reason: 'unknown_or_used' })
})

t.test('mix-up: the state of one provider is refused on the callback of another, and cannot be used again', async t => {
  const app = await loginApp(t, {
    providers: ({ providerOptions }) => ({ acme: providerOptions, evil: providerOptions })
  })
  const callback = await callbackUrl(app.browser, `${app.url}/login/acme`)
  await assertRefused(t, app, await app.browser.get(callback.replace('/acme/', '/evil/'), asJson), {
    reason: 'other_provider'
  })
  await assertRefused(t, app, await app.browser.get(callback, asJson))
})

t.test('the callback of a provider that does not exist is a 404', async t => {
  const app = await loginApp(t)
  const callback = await callbackUrl(app.browser, `${app.url}/login/acme`)
  const page = await app.browser.get(callback.replace('/acme/', '/unknown/'), asJson)
  await assertRefused(t, app, page, { status: 404, code: 'FST_OAUTH_UNKNOWN_PROVIDER' })
})

t.test('the page about a provider that does not exist leads to those that do', async t => {
  const { browser, url } = await loginApp(t)
  const page = await browser.get(`${url}/login/unknown`)
  t.match(page.text, '<a class="button primary" href="/login">Log in another way</a>')
})

for (const name of ['constructor', '__proto__', 'hasOwnProperty']) {
  t.test(`a provider called ${name} does not exist`, async t => {
    const app = await loginApp(t)
    t.equal(codeOf(await app.browser.get(`${app.url}/login/${name}`, asJson)), 'FST_OAUTH_UNKNOWN_PROVIDER')
    t.equal(
      codeOf(await app.browser.get(`${app.url}/login/${name}/callback?code=c&state=s`, asJson)),
      'FST_OAUTH_UNKNOWN_PROVIDER'
    )
  })
}

for (const name of ['state', 'code']) {
  t.test(`a second ${name} in the callback is refused`, async t => {
    const app = await loginApp(t)
    const callback = await callbackUrl(app.browser, `${app.url}/login/acme`)
    const page = await app.browser.get(withQuery(callback, query => query.append(name, 'another')), asJson)
    await assertRefused(
      t,
      app,
      page,
      name === 'state'
        ? { reason: 'missing_state' }
        : { code: 'FST_OAUTH_AUTHORIZATION_FAILED', reason: 'duplicate_code' }
    )
  })

  t.test(`the same ${name} twice in the callback is refused too`, async t => {
    const app = await loginApp(t)
    const callback = await callbackUrl(app.browser, `${app.url}/login/acme`)
    const page = await app.browser.get(withQuery(callback, query => query.append(name, query.get(name)!)), asJson)
    t.equal(page.status, 400)
    t.equal(app.provider.asked('token').length, 0)
    await assertLoggedOut(t, app)
  })
}

t.test('a link preview that sends HEAD does not use up the login', async t => {
  const { app, browser, url, provider } = await loginApp(t)
  const callback = await callbackUrl(browser, `${url}/login/acme`)
  const cookie = browser.jar.header(new URL(callback), { method: 'HEAD', crossSite: false })!
  const { statusCode, headers } = await app.inject({
    method: 'HEAD',
    url: callback.slice(url.length),
    headers: { cookie }
  })
  t.equal(statusCode, 405)
  t.equal(headers.allow, 'GET, POST')
  t.equal(provider.asked('token').length, 0)
  t.strictSame((await browser.get(callback)).json(), { user: 'alice' })
})

// Code

for (const [what, code] of [['no code', undefined], ['an empty code', ''], ['a blank code', ' ']] as const) {
  t.test(`a callback with ${what} is refused`, async t => {
    const app = await loginApp(t)
    const callback = await callbackUrl(app.browser, `${app.url}/login/acme`)
    const page = await app.browser.get(
      withQuery(callback, query => {
        if (code === undefined) query.delete('code')
        else query.set('code', code)
      }),
      asJson
    )
    await assertRefused(t, app, page, { code: 'FST_OAUTH_AUTHORIZATION_FAILED', reason: 'missing_code' })
  })
}

t.test('a code that the provider does not accept ends the login, and only that', async t => {
  const app = await loginApp(t)
  const callback = await callbackUrl(app.browser, `${app.url}/login/acme`)
  const page = await app.browser.get(withQuery(callback, query => query.set('code', 'made-up')), asJson)
  t.equal(page.status, 400)
  t.match(page.json(), { code: 'FST_OAUTH_AUTHORIZATION_FAILED', oauthError: 'invalid_grant', provider: 'acme' })
  t.equal(app.provider.asked('token').length, 1, 'a one-time code is sent once')
  await assertLoggedOut(t, app)
})

t.test('code injection: a code of another login is refused by its PKCE verifier', async t => {
  const app = await loginApp(t)
  const stolen = new URL(await callbackUrl(new Browser(), `${app.url}/login/acme`)).searchParams.get('code')!
  const callback = await callbackUrl(app.browser, `${app.url}/login/acme`)
  const page = await app.browser.get(withQuery(callback, query => query.set('code', stolen)), asJson)
  t.match(page.json(), { code: 'FST_OAUTH_AUTHORIZATION_FAILED', oauthError: 'invalid_grant' })
  await assertLoggedOut(t, app)
})

// Errors of the provider

t.test('access_denied is a 403, and no token is asked for', async t => {
  const app = await loginApp(t, {
    wrong: {
      callback: params => {
        params.delete('code')
        params.set('error', 'access_denied')
        params.set('error_description', 'the user said no')
      }
    }
  })
  const page = await app.browser.login(`${app.url}/login/acme`, asJson)
  await assertRefused(t, app, page, { status: 403, code: 'FST_OAUTH_AUTHORIZATION_FAILED' })
  t.match(page.json(), { oauthError: 'access_denied', oauthErrorDescription: 'the user said no', provider: 'acme' })
})

t.test('a user who declines at a real provider gets a page with a link on', async t => {
  const provider = await startProvider(t)
  const { url } = await buildApp(t, { oauth: { providers: { acme: { ...provider.providerOptions, title: 'Acme' } } } })
  const browser = new Browser()
  const form = await browser.get(`${url}/login/acme?returnTo=/orders`)
  const page = await browser.submitForm(form, { cancel: 'yes' })
  t.equal(page.status, 403)
  t.match(page.text, 'Login cancelled')
  t.match(page.text, 'href="/login/acme?returnTo=%2Forders"')
  t.equal(provider.tokenRequests.length, 0)
})

t.test('a user who declines to add an account stays logged in, and is offered no login in its place', async t => {
  const provider = await startProvider(t)
  const { browser, url, userOf } = await loggedInApp(t, {
    at: provider,
    providers: ({ providerOptions }) => ({
      acme: providerOptions, other: { ...providerOptions, title: 'Other', authorizationParams: { prompt: 'login' } }
    }),
    login: 'acme',
    setup: (app) => {
      app.get('/connect', async ({ oauth }, reply) => await oauth.login(reply, { provider: 'other', link: true }))
    }
  })
  const form = await browser.get(`${url}/connect`)
  const page = await browser.submitForm(form, { cancel: 'yes' })
  t.match(page, { status: 403, text: /cancelled at Other.*You are logged in as before/ })
  t.notMatch(page.text, 'href="/login/')
  t.equal(await userOf(browser), 'alice')
})

t.test('any other error is a 400', async t => {
  const app = await loginApp(t, {
    wrong: {
      callback: params => {
        params.delete('code')
        params.set('error', 'invalid_scope')
      }
    }
  })
  const page = await app.browser.login(`${app.url}/login/acme`, asJson)
  await assertRefused(t, app, page, { code: 'FST_OAUTH_AUTHORIZATION_FAILED' })
  t.equal(page.json().oauthError, 'invalid_scope')
})

t.test('an error beside a code wins: the code is not redeemed', async t => {
  const app = await loginApp(t, {
    wrong: {
      callback: params => { params.set('error', 'server_error') }
    }
  })
  await assertRefused(t, app, await app.browser.login(`${app.url}/login/acme`, asJson), {
    code: 'FST_OAUTH_AUTHORIZATION_FAILED'
  })
})

const hostile = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'

t.test("XSS: an error of the provider's is not written into the page", async t => {
  const app = await loginApp(t, {
    wrong: {
      callback: params => {
        params.delete('code')
        for (const name of ['error', 'error_description', 'error_uri']) params.set(name, hostile)
      }
    }
  })
  const page = await app.browser.login(`${app.url}/login/acme`)
  t.equal(page.status, 400)
  t.match(page.headers['content-type'], /^text\/html; charset=utf-8/)
  t.notMatch(page.text, /alert\(1\)/)
  t.match(page.headers['content-security-policy'], /default-src 'none'/)
  t.equal(page.headers['x-content-type-options'], 'nosniff')
})

t.test('XSS: for an API caller the error is JSON, with a JSON content type', async t => {
  const app = await loginApp(t, {
    wrong: {
      callback: params => {
        params.delete('code')
        params.set('error', hostile)
      }
    }
  })
  const page = await app.browser.login(`${app.url}/login/acme`, asJson)
  t.match(page.headers['content-type'], /^application\/json/)
  t.equal(page.json().oauthError, hostile)
})

t.test("an error without a state of this browser's is not shown: a third party may have written the link", async t => {
  const app = await loginApp(t)
  for (const accept of ['text/html', 'application/json']) {
    const page = await app.browser.get(
      `${app.url}/login/acme/callback?error=${encodeURIComponent('call 555-0100')}` +
        '&error_description=call+555-0100&state=x',
      { headers: { accept } }
    )
    t.equal(codeOf(page), 'FST_OAUTH_STATE_MISMATCH')
    t.notMatch(page.text, '555-0100')
  }
})

for (const [what, query] of [
  ['no state', ''],
  ['an unknown state', '&state=x'],
  ['two states', '&state=x&state=y']
] as const) {
  t.test(`an error that comes back with ${what} is named only in the log`, async t => {
    const log = captureLog()
    const app = await loginApp(t, { fastify: { logger: log.logger } })
    await callbackUrl(app.browser, `${app.url}/login/acme`)
    const page = await app.browser.get(
      `${app.url}/login/acme/callback?error=invalid_scope&error_description=no+such+scope${query}`,
      asJson
    )
    await assertRefused(t, app, page)
    t.notMatch(page.text, 'invalid_scope')
    const warnings = log.lines.filter(({ event }) => event === 'login_failed')
    const cause = 'the authorization response names the error "invalid_scope"'
    matchEach(t, warnings, [{ level: 40, provider: 'acme', err: { code: 'FST_OAUTH_STATE_MISMATCH', cause } }])
    t.equal(warnings.length, 1)
  })
}

t.test('an implicit error response in the query is shown, without the page that waits for a fragment', async t => {
  const log = captureLog()
  const app = await loginApp(t, { fastify: { logger: log.logger }, provider: { grantType: 'implicit' } })
  const page = await app.browser.get(`${app.url}/login/acme/callback?error=unauthorized_client`)
  t.equal(page.status, 400)
  t.match(log.text, 'unauthorized_client')
})

t.test(
  "log forging: an error without a state of this browser's is short, printable, and holds neither code nor state",
  async t => {
    const log = captureLog()
    const app = await loginApp(t, { fastify: { logger: log.logger } })
    const secrets = ['a-code-of-another-user', 'a-state-of-another-user']
    const forged = ['a\r\nb\u2028c\u202e\u0007d', 'x'.repeat(5000), secrets.join(' ')]
    for (const error of forged) {
      const query = new URLSearchParams({ error, code: secrets[0]!, state: secrets[1]! })
      await app.browser.get(`${app.url}/login/acme/callback?${query}`, asJson)
    }
    const errors = log.lines.filter(({ event }) => event === 'login_failed').map(({ err }) => err as LoggedError)
    t.strictSame(errors.map(({ code }) => code), forged.map(() => 'FST_OAUTH_STATE_MISMATCH'))
    const causes = errors.map(({ cause }) => String(cause))
    t.equal(causes[0], 'the authorization response names the error "a b c? d"')
    t.ok(causes.every(cause => cause.length < 150))
    t.strictSame(log.leaked(secrets), [])
  }
)

t.test('log forging: a line break in an error makes no new line in the log', async t => {
  const app = await loginApp(t, {
    wrong: {
      callback: params => {
        params.delete('code')
        params.set('error', 'a\r\nb\u2028c')
      }
    }
  })
  await app.browser.login(`${app.url}/login/acme`, asJson)
  t.equal(app.errors[0]?.oauthError, 'a b c')
  t.notMatch(app.errors[0]?.message, /[\r\n\u2028]/)
})

// The issuer of the answer (RFC 9207)

const promised = { authorization_response_iss_parameter_supported: true }

t.test('mix-up: a response of another issuer is refused', async t => {
  const app = await loginApp(t, {
    wrong: {
      metadata: promised,
      callback: params => { params.set('iss', 'https://evil.example') }
    }
  })
  const page = await app.browser.login(`${app.url}/login/acme`, asJson)
  await assertRefused(t, app, page, { code: 'FST_OAUTH_AUTHORIZATION_FAILED', reason: 'issuer_mismatch' })
})

t.test('mix-up: a response without iss is refused where the provider promised one', async t => {
  const app = await loginApp(t, { wrong: { metadata: promised } })
  const page = await app.browser.login(`${app.url}/login/acme`, asJson)
  await assertRefused(t, app, page, { code: 'FST_OAUTH_AUTHORIZATION_FAILED', reason: 'issuer_mismatch' })
})

t.test('mix-up: another issuer is refused even where the provider promised no iss', async t => {
  const app = await loginApp(t, {
    wrong: {
      callback: params => { params.set('iss', 'https://evil.example') }
    }
  })
  const page = await app.browser.login(`${app.url}/login/acme`, asJson)
  await assertRefused(t, app, page, { code: 'FST_OAUTH_AUTHORIZATION_FAILED', reason: 'issuer_mismatch' })
})

t.test('mix-up: two issuers in one response are refused', async t => {
  const app = await loginApp(t)
  app.provider.wrong = {
    metadata: promised,
    callback: params => {
      params.set('iss', app.provider.issuer)
      params.append('iss', app.provider.issuer)
    }
  }
  const page = await app.browser.login(`${app.url}/login/acme`, asJson)
  await assertRefused(t, app, page, { code: 'FST_OAUTH_AUTHORIZATION_FAILED', reason: 'issuer_mismatch' })
})

t.test('mix-up: the issuer is checked before an error response is used', async t => {
  const app = await loginApp(t, {
    wrong: {
      metadata: promised,
      callback: params => {
        params.set('error', 'access_denied')
        params.set('iss', 'https://evil.example')
      }
    }
  })
  const page = await app.browser.login(`${app.url}/login/acme`, asJson)
  await assertRefused(t, app, page, { code: 'FST_OAUTH_AUTHORIZATION_FAILED', reason: 'issuer_mismatch' })
})

t.test('the right issuer passes', async t => {
  const { provider, browser, url } = await loginApp(t)
  provider.wrong = {
    metadata: promised,
    callback: params => { params.set('iss', provider.issuer) }
  }
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
})

t.test('a provider without `issuer` in its options may send any: there is nothing to compare it with', async t => {
  const { browser, url } = await loginApp(t, {
    providers: ({ staticOptions }) => ({ acme: staticOptions }),
    wrong: {
      callback: params => { params.set('iss', 'https://other.example') }
    }
  })
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
})

// form_post

const formPost = { host: 'localhost', provider: { responseMode: 'form_post' } } as const

t.test('form_post: a response that a page of another site posts logs in', async t => {
  const { provider, browser, url } = await loginApp(t, formPost)
  const page = await browser.get(`${url}/login/acme?returnTo=/%3Fhello`)
  t.equal(provider.asked('authorization')[0]?.query.get('response_mode'), 'form_post')
  const [cookie] = loginCookies(browser)
  t.match(
    cookie,
    { sameSite: 'none', secure: true, httpOnly: true },
    'browsers send nothing else along with a post from elsewhere'
  )
  const done = await browser.submitForm(page)
  t.match(browser.history.at(-2), { method: 'POST', status: 302, requestHeaders: { 'sec-fetch-site': 'cross-site' } })
  t.strictSame(done.json(), { user: 'alice' })
})

t.test('form_post with a Lax cookie, as other logins have it: a post from another site is refused', async t => {
  const app = await loginApp(t, { host: 'localhost' })
  const callback = new URL(await callbackUrl(app.browser, `${app.url}/login/acme`))
  t.match(loginCookies(app.browser), [{ sameSite: 'lax', httpOnly: true }])
  const page = await app.browser.post(callback.origin + callback.pathname, {
    form: callback.searchParams,
    from: app.provider.issuer,
    ...asJson
  })
  await assertRefused(t, app, page, { reason: 'other_browser' })
})

// oidcc-client-test-form-post-error
t.test('form_post: an error response is reported as an error', async t => {
  const app = await loginApp(t, {
    ...formPost,
    wrong: {
      callback: params => {
        params.delete('code')
        params.set('error', 'access_denied')
      }
    }
  })
  const form = await app.browser.get(`${app.url}/login/acme`)
  const page = await app.browser.submitForm(form, {}, asJson)
  await assertRefused(t, app, page, { status: 403, code: 'FST_OAUTH_AUTHORIZATION_FAILED' })
})

t.test('form_post: a state from another browser is refused', async t => {
  const app = await loginApp(t, formPost)
  const form = await new Browser().get(`${app.url}/login/acme`)
  await assertRefused(t, app, await app.browser.submitForm(form, {}, asJson), { reason: 'other_browser' })
})

t.test('form_post: repeated fields are refused', async t => {
  const app = await loginApp(t, {
    ...formPost,
    wrong: {
      callback: params => { params.append('code', 'another') }
    }
  })
  await app.browser.get(`${app.url}/login/acme`)
  const [redirectUri, state] = ['redirect_uri', 'state'].map(name =>
    app.provider.asked('authorization')[0]!.query.get(name)!
  ) as [string, string]
  const form = new URLSearchParams([['state', state], ['code', 'one'], ['code', 'two']])
  await assertRefused(t, app, await app.browser.post(redirectUri, { form, ...asJson }), {
    code: 'FST_OAUTH_AUTHORIZATION_FAILED',
    reason: 'duplicate_code'
  })
})

// Tabs

t.test('two tabs, begun without any cookie, both log in', async t => {
  const { browser, url, store } = await loginApp(t)
  const first = await callbackUrl(browser, `${url}/login/acme?returnTo=/%3Ftab=1`)
  const second = await callbackUrl(browser, `${url}/login/acme?returnTo=/%3Ftab=2`)
  for (const [tab, callback] of [['2', second], ['1', first]]) {
    const page = await browser.get(callback!)
    t.strictSame(page.json(), { user: 'alice' })
    t.equal(new URL(page.url).searchParams.get('tab'), tab, 'each comes back to where it began')
  }
  t.equal(tokenRecords(store).size, 1, 'what the first tab stored went with its session')
  t.strictSame(loginCookies(browser), [])
})

t.test('two tabs of a browser that has a session both log in', async t => {
  const { browser, url } = await loginApp(t, {
    setup: app => { app.get('/cart', async ({ session }) => { session.set('cart' as never, 'tea' as never) }) }
  })
  await browser.get(`${url}/cart`)
  t.ok(browser.cookie('sessionId'))
  const first = await callbackUrl(browser, `${url}/login/acme`)
  const second = await callbackUrl(browser, `${url}/login/acme`)
  for (const callback of [first, second]) t.strictSame((await browser.get(callback)).json(), { user: 'alice' })
})

t.test('race: two tabs that come back at the same moment both log in', async t => {
  const { browser, url, userOf } = await loginApp(t)
  const callbacks = [await callbackUrl(browser, `${url}/login/acme`), await callbackUrl(browser, `${url}/login/acme`)]
  const pages = await Promise.all(callbacks.map(callback => browser.get(callback)))
  t.strictSame(pages.map(page => page.status), [200, 200])
  t.equal(await userOf(browser), 'alice')
})

t.test('a browser has ten logins under way at most: with the eleventh the oldest goes', async t => {
  const { browser, url, store } = await loginApp(t)
  const callbacks: string[] = []
  for (let tab = 0; tab < 11; tab++) {
    callbacks.push(await callbackUrl(browser, `${url}/login/acme?returnTo=/%3Ftab=${tab}`))
    // Cookies of one second have no order: the one that began first is to be the oldest.
    const [newest] = loginCookies(browser).slice(-1)
    const [, id] = newest!.value.split('.')
    browser.jar.put({ ...newest!, value: `${(Math.floor(Date.now() / 1000) - 20 + tab).toString(36)}.${id}` })
  }
  t.equal(loginCookies(browser).length, 10)
  t.equal(pendingLogins(store).length, 10, 'and its record with it')
  t.equal(codeOf(await browser.get(callbacks[0]!, asJson)), 'FST_OAUTH_STATE_MISMATCH')
  t.strictSame((await browser.get(callbacks[1]!)).json(), { user: 'alice' })
  t.strictSame((await browser.get(callbacks[10]!)).json(), { user: 'alice' })
})

t.test('a login that began in one process can be finished in another', async t => {
  const provider = await startProvider(t)
  const oauth = { providers: { acme: provider.providerOptions }, baseUrl: 'http://127.0.0.1:1' }
  const one = await buildApp(t, { oauth })
  const other = await buildApp(t, { oauth, session: { store: one.store, secret: SESSION_SECRET } })
  const browser = new Browser()
  const callback = (await callbackUrl(browser, `${one.url}/login/acme`)).replace('http://127.0.0.1:1', other.url)
  t.match(await browser.get(callback, { redirect: 'manual' }), { status: 302 })
  t.strictSame((await browser.get(`${one.url}/`)).json(), { user: 'alice' })
})

// PKCE

t.test('PKCE: each login has its own S256 challenge, and its verifier is sent', async t => {
  const { provider, browser, url } = await loginApp(t)
  await browser.login(`${url}/login/acme`)
  await browser.login(`${url}/login/acme`)
  const asked = provider.asked('authorization').map(({ query }) => query)
  const verifiers = provider.asked('token').map(({ form }) => form.get('code_verifier')!)
  t.strictSame(asked.map(query => query.get('code_challenge_method')), ['S256', 'S256'])
  t.strictSame(
    asked.map(query => query.get('code_challenge')),
    verifiers.map(verifier => createHash('sha256').update(verifier).digest('base64url'))
  )
  t.not(verifiers[0], verifiers[1])
  for (const verifier of verifiers) t.match(verifier, /^[\w-]{43,128}$/)
})

t.test('PKCE: state, nonce and challenge cannot be replaced by parameters of the options', async t => {
  const { provider, browser, url } = await loginApp(t, {
    provider: {
      authorizationParams: {
        code_challenge_method: 'plain',
        code_challenge: 'known',
        state: 'known',
        nonce: 'known',
        redirect_uri: 'https://evil.example',
        response_type: 'token',
        client_id: 'another',
        prompt: 'consent'
      }
    }
  })
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
  const { query } = provider.asked('authorization')[0]!
  t.equal(query.get('code_challenge_method'), 'S256')
  for (const name of ['state', 'nonce', 'code_challenge']) t.not(query.get(name), 'known', name)
  t.equal(query.get('redirect_uri'), `${url}/login/acme/callback`)
  t.equal(query.get('response_type'), 'code')
  t.equal(query.get('client_id'), provider.clientId)
  t.equal(query.get('prompt'), 'consent', 'any other goes along')
  for (const name of query.keys()) t.equal(query.getAll(name).length, 1, `${name} is there once`)
})

t.test('state, nonce and verifier are new for each login, and different from one another', async t => {
  const { provider, browser, url } = await loginApp(t)
  for (let login = 0; login < 3; login++) await browser.login(`${url}/login/acme`)
  const values = [
    ...provider.asked('authorization').flatMap(({ query }) => [query.get('state')!, query.get('nonce')!]),
    ...provider.asked('token').map(({ form }) => form.get('code_verifier')!)
  ]
  t.equal(new Set(values).size, 9)
  for (const value of values) t.ok(value.length >= 43)
})

// oidcc-client-test-client-secret-basic
t.test("the code is redeemed with its redirect URI and the client's credentials, as Basic", async t => {
  const { provider, browser, url } = await loginApp(t)
  await browser.login(`${url}/login/acme`)
  const { form, headers, query } = provider.asked('token')[0]!
  t.strictSame([...form.keys()].sort(), ['code', 'code_verifier', 'grant_type', 'redirect_uri'])
  t.equal(form.get('redirect_uri'), `${url}/login/acme/callback`)
  t.match(headers.authorization, /^Basic /)
  t.equal(query.size, 0)
})

// A failed check burns the pending login

const failures: Record<
  string,
  { callback?: (params: URLSearchParams) => void, claims?: Record<string, unknown>, instead?: object }
> = {
  'the provider sent an error': {
    callback: params => { params.set('error', 'server_error') }
  },
  'there was no code': {
    callback: params => { params.delete('code') }
  },
  'the issuer was another': {
    callback: params => { params.set('iss', 'https://evil.example') }
  },
  'the ID token was refused': { claims: { nonce: 'another' } },
  'the token endpoint was down': { instead: { token: { status: 503 } } }
}

for (const [what, wrong] of Object.entries(failures)) {
  t.test(`a login is used up after ${what}`, async t => {
    const app = await loginApp(t, { wrong })
    await app.browser.login(`${app.url}/login/acme`)
    const state = app.provider.asked('authorization')[0]!.query.get('state')!
    t.strictSame(pendingLogins(app.store), [])
    t.strictSame(loginCookies(app.browser), [])
    const tokenRequests = app.provider.asked('token').length
    const again = await app.browser.get(`${app.url}/login/acme/callback?code=another&state=${state}`, asJson)
    t.equal(codeOf(again), 'FST_OAUTH_STATE_MISMATCH')
    t.equal(app.provider.asked('token').length, tokenRequests)
  })
}
