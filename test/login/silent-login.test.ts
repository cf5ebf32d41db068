import t, { type Test } from 'tap'
import {
  appAt, asJson, assertLoggedOut, codeOf, loginApp, type LoginAppOptions, loginCookies
} from '../helpers/login-app.ts'
import { captureLog } from '../helpers/log.ts'
import type { Browser } from '../helpers/browser.ts'
import { matchEach } from '../helpers/match-each.ts'
import { startProvider } from '../helpers/provider.ts'

// `prompt=none`: the provider asks the user nothing, and says so where it would have to (OpenID Connect Core, sections
// 3.1.2.1 and 3.1.2.6). That is an answer, not a failure.

const ERRORS = ['login_required', 'interaction_required', 'consent_required', 'account_selection_required']

const setup: LoginAppOptions['setup'] = app => {
  app.get('/silent', async ({ oauth }, reply) => await oauth.login(reply, { prompt: 'none', returnTo: '/?silent' }))
}

/** An app at a provider that answers with an error. */
async function start (t: Test, error: string) {
  const log = captureLog()
  const app = await loginApp(t, { setup, fastify: { logger: log.logger } })
  app.provider.wrong = {
    callback: params => {
      params.delete('code')
      params.set('error', error)
    }
  }
  return { ...app, log }
}

/** Forgets who is logged in at the app, and not who is at the provider. */
const forgetApp = (browser: Browser) => {
  browser.cookies = browser.cookies.filter(({ name }) => !/^sessionId/.test(name))
}

t.test('prompt=none at oidc-provider: back without a login, and with one once the user is known there', async t => {
  const provider = await startProvider(t, { host: 'localhost' })
  const { browser, url, errors } = await appAt(t, provider, { setup })
  const first = await browser.get(`${url}/silent`)
  t.equal(first.url, `${url}/?silent`)
  t.strictSame(first.json(), { user: null })
  t.equal(provider.tokenRequests.length, 0)

  await browser.login(`${url}/login/acme`)
  forgetApp(browser)
  t.strictSame((await browser.get(`${url}/`)).json(), { user: null })
  const second = await browser.get(`${url}/login/acme?prompt=none&returnTo=/%3Fagain`)
  t.equal(second.url, `${url}/?again`)
  t.strictSame(second.json(), { user: 'alice' })
  t.strictSame(errors, [])
})

for (const error of ERRORS) {
  t.test(`prompt=none: ${error} leads back without a login and without an error page`, async t => {
    const { browser, url, errors, log, store, userOf } = await start(t, error)
    const page = await browser.get(`${url}/silent`)
    t.equal(page.url, `${url}/?silent`)
    t.strictSame(errors, [])
    t.strictSame(loginCookies(browser), [])
    const lines = log.lines.filter(({ event }) => event === 'silent_login_declined' || event === 'login_failed')
    matchEach(t, lines, [{ level: 30, event: 'silent_login_declined', provider: 'acme', err: { oauthError: error } }])
    await assertLoggedOut(t, { browser, store, userOf })
  })
}

t.test('prompt=none: a login that there is stays as it was', async t => {
  const app = await start(t, 'login_required')
  const { wrong } = app.provider
  app.provider.wrong = {}
  await app.browser.login(`${app.url}/login/acme`)
  const before = app.browser.cookie('sessionId')
  app.provider.wrong = wrong
  t.strictSame((await app.browser.get(`${app.url}/silent`)).json(), { user: 'alice' })
  t.equal(app.browser.cookie('sessionId'), before)
})

t.test('prompt=none: a client that takes no page gets 401 as JSON', async t => {
  const { browser, url } = await start(t, 'login_required')
  const page = await browser.get(`${url}/silent`, asJson)
  t.equal(page.status, 401)
  t.match(page.json(), { code: 'FST_OAUTH_LOGIN_REQUIRED', provider: 'acme', oauthError: 'login_required' })
})

t.test('prompt=none: any other error is a failure', async t => {
  const { browser, url, errors } = await start(t, 'access_denied')
  t.equal((await browser.get(`${url}/silent`)).status, 403)
  matchEach(t, errors, [{ oauthError: 'access_denied' }])
})

t.test('login_required to a login without prompt=none is a failure', async t => {
  const { browser, url } = await start(t, 'login_required')
  const page = await browser.get(`${url}/login/acme`, asJson)
  t.equal(page.status, 400)
  t.equal(codeOf(page), 'FST_OAUTH_AUTHORIZATION_FAILED')
})

t.test('prompt=none: login_required of another browser or of another issuer is not believed', async t => {
  const app = await start(t, 'login_required')
  app.provider.wrong = {
    metadata: { authorization_response_iss_parameter_supported: true },
    callback: params => {
      params.delete('code')
      params.set('error', 'login_required')
      params.set('iss', 'https://evil.example')
    }
  }
  await app.browser.get(`${app.url}/silent`, asJson)
  matchEach(t, app.errors, [{ reason: 'issuer_mismatch' }])
})

t.test('of prompt the query of the login route takes none alone', async t => {
  const { browser, url, provider } = await loginApp(t, { provider: { authorizationParams: { prompt: 'consent' } } })
  const sent = () => provider.asked('authorization').at(-1)?.query.get('prompt')
  for (const prompt of ['login', 'none login', 'create', '']) {
    await browser.get(`${url}/login/acme?${new URLSearchParams({ prompt })}`)
    t.equal(sent(), 'consent')
  }
  await browser.get(`${url}/login/acme?prompt=none`)
  t.equal(sent(), 'none')
})

t.test('prompt of request.oauth.login wins over params and options', async t => {
  const { browser, url, provider } = await loginApp(t, {
    provider: { authorizationParams: { prompt: 'consent' } },
    setup: app => {
      app.get('/choose', async ({ oauth }, reply) =>
        await oauth.login(reply, { prompt: 'select_account', params: { prompt: 'login', login_hint: 'alice' } }))
    }
  })
  await browser.get(`${url}/choose`)
  const { query } = provider.asked('authorization')[0]!
  t.strictSame(query.getAll('prompt'), ['select_account'])
  t.equal(query.get('login_hint'), 'alice')
})
