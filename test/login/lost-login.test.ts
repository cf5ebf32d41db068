import t, { type Test } from 'tap'
import { Browser, type Page } from '../helpers/browser.ts'
import {
  asJson, callbackUrl, codeOf, loginApp, type LoginAppOptions, loginCookies, pendingLogins, withQuery
} from '../helpers/login-app.ts'
import { captureLog } from '../helpers/log.ts'
import { matchEach } from '../helpers/match-each.ts'
import type { JsonStore } from '../helpers/stores.ts'

// A response whose login is over, or whose cookie did not come: nothing of it is used, and the user is led on.

async function start (t: Test, options: LoginAppOptions = {}) {
  const log = captureLog()
  const app = await loginApp(t, { ...options, fastify: { logger: log.logger } })
  const events = () => log.lines.filter(({ event }) => /^(?:login|callback)_/.test(String(event)))
  return { ...app, events }
}

const manual = { redirect: 'manual' } as const
const stateIn = (url: string | undefined) => new URL(url!).searchParams.get('state')!
const forgetLogins = (browser: Browser) => {
  browser.cookies = browser.cookies.filter(({ name }) => !/^(?:__Host-)?oauth-/.test(name))
}
const forgetPending = (store: JsonStore) => {
  for (const id of pendingLogins(store)) store.records.delete(id)
}

/** A browser in which no cookie is kept. */
class CookielessBrowser extends Browser {
  override async get (...args: Parameters<Browser['get']>): Promise<Page> {
    const page = await super.get(...args)
    this.cookies = []
    return page
  }

  override async follow (...args: Parameters<Browser['follow']>): Promise<Page> {
    const page = await super.follow(...args)
    this.cookies = []
    return page
  }
}

t.test('too late: the login starts again by itself, and leads to where it was to lead', async t => {
  const { browser, url, store, provider, errors, events, userOf } = await start(t)
  const callback = await callbackUrl(browser, `${url}/login/acme?returnTo=/%3Forders`)
  forgetPending(store)
  const restarted = await browser.get(callback, manual)
  t.match(restarted, { status: 302, headers: { 'cache-control': 'no-store' } })
  t.match(restarted.location, provider.issuer)
  t.match(events(), [
    { level: 30, event: 'login_restarted', provider: 'acme', err: { reason: 'unknown_or_used' } }
  ])
  t.equal(provider.asked('token').length, 0, 'the code of the late response is not used')
  const done = await browser.follow(restarted)
  t.equal(done.url, `${url}/?orders`)
  t.equal(await userOf(browser), 'alice')
  t.strictSame(errors, [])
  t.strictSame(loginCookies(browser), [])
})

t.test('too late, and the store has the login still: it starts again as well', async t => {
  const { browser, url, store, events } = await start(t)
  const callback = await callbackUrl(browser, `${url}/login/acme?returnTo=/%3Forders`)
  const [id] = pendingLogins(store)
  const envelope = store.peek(id!)!
  envelope.record.expiresAt = Math.floor(Date.now() / 1000) - 1
  store.records.set(id!, JSON.stringify(envelope))
  t.equal((await browser.get(callback)).url, `${url}/?orders`)
  t.match(events(), [{ event: 'login_restarted', err: { reason: 'expired' } }])
})

t.test("the cookie is gone: the login starts again, and leads to the app's start page", async t => {
  const { browser, url, events, userOf, provider } = await start(t)
  const callback = await callbackUrl(browser, `${url}/login/acme?returnTo=/%3Forders`)
  forgetLogins(browser)
  t.equal((await browser.get(callback)).url, `${url}/`)
  t.match(events(), [{ event: 'login_restarted', provider: 'acme', err: { reason: 'other_browser' } }])
  t.equal(await userOf(browser), 'alice')
  t.equal(provider.asked('token').length, 1)
})

t.test('a browser that keeps no cookies comes back once, and is told what is wrong', async t => {
  const { url, provider, errors, events } = await start(t)
  const browser = new CookielessBrowser()
  const callback = await callbackUrl(browser, `${url}/login/acme?returnTo=/%3Forders`)
  const restarted = await browser.get(callback, manual)
  t.match(restarted.status, 302)
  const back = await browser.follow(restarted, manual)
  const page = await browser.follow(back, manual)
  t.equal(page.status, 400)
  t.equal(codeOf(page), 'FST_OAUTH_STATE_MISMATCH')
  t.match(page.text, /<h1>Are cookies blocked\?<\/h1>/)
  t.match(page.text, /href="\/login\/acme"/)
  matchEach(t, errors, [{ reason: 'no_cookie' }])
  t.match(events(), [
    { level: 30, event: 'login_restarted' }, { level: 40, event: 'login_failed', err: { reason: 'no_cookie' } }
  ])
  t.equal(provider.asked('authorization').length, 2)
  t.equal(provider.asked('token').length, 0)
})

t.test('a login that started again and is too late once more is not started a third time', async t => {
  const { browser, url, store, provider, errors } = await start(t)
  const callback = await callbackUrl(browser, `${url}/login/acme`)
  forgetPending(store)
  const second = await browser.follow(await browser.get(callback, manual), manual)
  forgetPending(store)
  const page = await browser.follow(second, manual)
  t.equal(page.status, 400)
  t.match(page.text, /This login has run out/)
  matchEach(t, errors, [{ reason: 'unknown_or_used' }])
  t.equal(provider.asked('authorization').length, 2)
})

t.test('the page about a late login leads to where that login was to lead', async t => {
  const { browser, url, store } = await start(t)
  const callback = await callbackUrl(browser, `${url}/login/acme?returnTo=/%3Forders`)
  forgetPending(store)
  const page = await browser.get(withQuery(callback, query => query.set('error', 'access_denied')))
  t.equal(page.status, 400)
  t.match(page.text, /href="\/login\/acme\?returnTo=%2F%3Forders"/)
})

interface Refused {
  options?: LoginAppOptions
  path?: string
  change?: Parameters<typeof withQuery>[1]
  request?: object
}
const refused: Record<string, Refused> = {
  'an API caller': { request: asJson },
  "a script's fetch": { request: { mode: 'cors' } },
  'a browser that does not say how it loads the page': {
    request: { headers: { 'sec-fetch-mode': undefined, 'sec-fetch-dest': undefined } }
  },
  'a frame': { request: { headers: { 'sec-fetch-dest': 'iframe' } } },
  "the provider's error": {
    change: query => {
      query.delete('code')
      query.set('error', 'access_denied')
    }
  },
  'a response with a state that is none of these': { change: query => query.set('state', 's') },
  'a response without state': { change: query => query.delete('state') },
  'a response with two states': { change: query => query.append('state', 'another') },
  'a login with options of its own': {
    path: '/own',
    options: {
      setup: app => {
        app.get('/own', async ({ oauth }, reply) => await oauth.login(reply, { scope: ['openid', 'more'] }))
      }
    }
  },
  'a silent login': { path: '/login/acme?prompt=none' }
}
for (const [what, { options, path = '/login/acme', change, request = {} }] of Object.entries(refused)) {
  t.test(`without its cookie, ${what} does not start a login`, async t => {
    const { browser, url, provider, userOf } = await start(t, options)
    const callback = await callbackUrl(browser, `${url}${path}`)
    forgetLogins(browser)
    const changed = change === undefined ? callback : withQuery(callback, change)
    const page = await browser.get(changed, { ...manual, ...request })
    t.ok(page.status === 400 || page.status === 403, String(page.status))
    t.equal(provider.asked('authorization').length, 1)
    t.equal(await userOf(browser), null)
  })
}

t.test('login CSRF: a page load with the response of an attacker starts a login of the browser alone', async t => {
  const { browser, url, provider, userOf } = await start(t)
  provider.subject = 'mallory'
  const stolen = await callbackUrl(new Browser(), `${url}/login/acme?returnTo=/%3Ftransfer`)
  provider.subject = 'alice'
  const page = await browser.get(stolen, { from: 'https://attacker.example/' })
  t.equal(page.url, `${url}/`, 'nor to where the attacker wanted to lead')
  t.equal(await userOf(browser), 'alice')
  t.equal(provider.asked('token').length, 1, "the attacker's code was not used")
})

t.test('login CSRF: with a made-up state in the form of one that had started again, nothing starts', async t => {
  const { browser, url, provider } = await start(t)
  for (const state of ['s', `again-${'s'.repeat(43)}`, `once-${'s'.repeat(43)}`]) {
    const page = await browser.get(`${url}/login/acme/callback?code=c&state=${state}`, manual)
    t.equal(page.status, 400)
  }
  t.equal(provider.asked('authorization').length, 0)
})

t.test('open redirect: a path in a made-up cookie leads nowhere but into the app', async t => {
  const { browser, url, store } = await start(t)
  for (const path of ['//evil.example', '/\\evil.example', 'https://evil.example/', '/.//evil.example', 'javascript:1']) {
    const callback = await callbackUrl(browser, `${url}/login/acme?returnTo=/%3Forders`)
    forgetPending(store)
    const [cookie] = loginCookies(browser)
    const [since, id] = cookie!.value.split('.')
    browser.jar.put({ ...cookie!, value: `${since}.${id}.${encodeURIComponent(path)}` })
    t.equal((await browser.copy().get(callback)).url, `${url}/`, path)
    await browser.get(`${url}/login/acme`)
    t.equal((await browser.get(callback, manual)).headers.location, '/', `${path}, logged in`)
    browser.cookies = []
  }
})

t.test('two tabs: the late one goes on to where it was to lead once the user is logged in', async t => {
  const { browser, url, store, provider, events, userOf } = await start(t)
  const late = await callbackUrl(browser, `${url}/login/acme?returnTo=/%3Flate`)
  forgetPending(store)
  await browser.get(`${url}/login/acme?returnTo=/%3Fother`)
  const page = await browser.get(late, manual)
  t.strictSame([page.status, page.headers.location], [303, '/?late'])
  t.match(events(), [{ event: 'callback_repeated', provider: 'acme' }])
  t.equal(await userOf(browser), 'alice')
  t.equal(provider.asked('token').length, 1)
  t.strictSame(loginCookies(browser), [], 'its cookie is used up')
})

t.test('a user who is logged in stays so, and stays here, whatever state comes', async t => {
  const { browser, url, provider, userOf } = await start(t, {
    providers: ({ providerOptions }) => ({ acme: providerOptions, other: providerOptions })
  })
  await browser.login(`${url}/login/acme`)
  const [before, foreign] = [browser.cookie('sessionId'), await callbackUrl(new Browser(), `${url}/login/acme`)]
  const asked = provider.asked('authorization').length
  const late = await callbackUrl(browser, `${url}/login/other`)
  forgetLogins(browser)
  for (const callback of [foreign, withQuery(foreign, query => query.set('state', 'x')), late]) {
    const page = await browser.get(callback, manual)
    t.equal(page.status, 400)
    t.match(page.text, /if you\s+were logged in, you still are/)
    t.equal(page.location, undefined)
  }
  t.equal(provider.asked('authorization').length, asked + 1)
  t.equal(provider.asked('token').length, 1)
  t.equal(browser.cookie('sessionId'), before)
  t.equal(await userOf(browser), 'alice')
})

t.test('an account that was to be added and came back too late is not logged in with', async t => {
  const { browser, url, store, userOf } = await start(t, {
    providers: ({ providerOptions }) => ({ acme: providerOptions, other: providerOptions }),
    setup: app => {
      app.get('/add', async ({ oauth }, reply) => await oauth.login(reply, { provider: 'other', link: true }))
    }
  })
  await browser.login(`${url}/login/acme`)
  const callback = await callbackUrl(browser, `${url}/add`)
  t.match(stateIn(callback), /^once-/)
  forgetPending(store)
  browser.cookies = browser.cookies.filter(({ name }) => name !== 'sessionId')
  t.equal((await browser.get(callback, manual)).status, 400, 'nor where the session is gone as well')
  t.equal(await userOf(browser), null)
})

t.test("a route of the app's own: what is lost starts again there too", async t => {
  const { browser, url } = await start(t, {
    oauth: { routes: false },
    setup: app => {
      app.get('/login/acme', async ({ oauth }, reply) => await oauth.login(reply, { returnTo: '/?own' }))
      app.get('/login/:provider/callback', async ({ oauth }, reply) => await oauth.callback(reply))
    }
  })
  const callback = await callbackUrl(browser, `${url}/login/acme`)
  forgetLogins(browser)
  t.equal((await browser.get(callback)).url, `${url}/`)
})

t.test('form_post: a posted response that is sent again redirects to where its login led', async t => {
  const { browser, url, provider } = await start(t, { oauth: {}, provider: { responseMode: 'form_post' } })
  const form = await browser.get(`${url}/login/acme?returnTo=/%3Forders`)
  await browser.submitForm(form, {}, manual)
  const again = await browser.submitForm(form, {}, manual)
  t.strictSame([again.status, again.headers.location], [303, '/?orders'])
  t.equal(provider.asked('token').length, 1, 'the code is not sent a second time')
})

t.test('form_post: a posted response that is too late is refused, with a link to where it was to lead', async t => {
  const { browser, url, store, provider } = await start(t, {
    oauth: {},
    provider: { responseMode: 'form_post' },
    host: 'localhost'
  })
  const form = await browser.get(`${url}/login/acme?returnTo=/%3Forders`)
  forgetPending(store)
  const page = await browser.submitForm(form, {}, manual)
  t.equal(page.status, 400)
  t.match(page.text, /href="\/login\/acme\?returnTo=%2F%3Forders"/)
  t.equal(provider.asked('authorization').length, 1)
})
