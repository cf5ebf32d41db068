import { AsyncLocalStorage } from 'node:async_hooks'
import { tracingChannel, type TracingChannel } from 'node:diagnostics_channel'
import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { AccessDeniedError } from '../../lib/index.ts'
import { channels } from '../../lib/util/tracing.ts'
import { html } from '../helpers/faults.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { callbackUrl, codeOf, loginApp, withQuery } from '../helpers/login-app.ts'
import { postLogoutToken } from '../helpers/logout-token.ts'
import { buildApp } from '../helpers/build-app.ts'
import { Browser } from '../helpers/browser.ts'
import { startPasswordServer } from '../helpers/password-server.ts'
import { expireTokens } from '../helpers/records.ts'
import { rejection } from '../helpers/rejection.ts'
import { recordTraces } from '../helpers/traces.ts'

// What the tracing channels tell, and what they never do.

t.test('a login: where it begins, the callback, and the token request within it', async (t) => {
  const traces = recordTraces(t, ['login', 'callback', 'exchange'])
  const { url, browser } = await loginApp(t)
  await browser.login(`${url}/login/acme`)
  t.strictSame(traces.events.filter(({ event }) => event === 'start' || event === 'asyncEnd')
    .map(({ name, event }) => `${name} ${event}`), [
    'login start', 'login asyncEnd', 'callback start', 'exchange start', 'exchange asyncEnd', 'callback asyncEnd'
  ])
  t.match(traces.ended('login'), [{ provider: 'acme', outcome: 'redirected', duration: Number }])
  t.match(traces.ended('callback'), [{ provider: 'acme', outcome: 'succeeded', duration: Number }])
  const [exchange] = traces.ended('exchange')
  t.match(exchange, { provider: 'acme', outcome: 'succeeded', grantType: 'authorization_code', duration: Number })
  t.ok(exchange!.duration! > 0 && exchange!.duration! < traces.ended('callback')[0]!.duration!, 'milliseconds')
})

t.test('the events are those of tracePromise, in its order; the error event only where there is one', async (t) => {
  const traces = recordTraces(t, ['callback'])
  const { url, browser } = await loginApp(t)
  await browser.login(`${url}/login/acme`)
  t.strictSame(traces.events.map(({ event }) => event), ['start', 'end', 'asyncStart', 'asyncEnd'])
  t.strictSame(traces.events[0]!.message, { provider: 'acme' })
  traces.clear()
  const url2 = withQuery(await callbackUrl(new Browser(), `${url}/login/acme`), query => query.set('state', 'another'))
  t.equal(codeOf(await browser.get(url2)), 'FST_OAUTH_STATE_MISMATCH')
  t.strictSame(traces.events.map(({ event }) => event), ['start', 'end', 'error', 'asyncStart', 'asyncEnd'])
  t.match(traces.ended('callback'), [{ outcome: 'failed', code: 'FST_OAUTH_STATE_MISMATCH' }])
})

t.test('a callback that fails has the code of the error, and what the provider said', async (t) => {
  const traces = recordTraces(t, ['callback', 'exchange'])
  const { url, browser, provider } = await loginApp(t)
  provider.wrong = { callback: (params) => { params.delete('code'); params.set('error', 'access_denied') } }
  await browser.login(`${url}/login/acme`)
  t.match(traces.ended('callback'), [
    { outcome: 'failed', code: 'FST_OAUTH_AUTHORIZATION_FAILED', oauthError: 'access_denied' }
  ])
  t.strictSame(traces.ended('exchange'), [])
})

t.test('an error of the app is INTERNAL, without its text; one of the plugin\'s classes keeps its code', async (t) => {
  const traces = recordTraces(t, ['callback'])
  let error: Error = new Error('the text of the app')
  const { url } = await loginApp(t, { oauth: { onLogin: () => { throw error } } })
  await new Browser().login(`${url}/login/acme`)
  error = new AccessDeniedError('not on the list')
  await new Browser().login(`${url}/login/acme`)
  t.match(traces.ended('callback').map(({ outcome, code }) => ({ outcome, code })), [
    { outcome: 'failed', code: 'INTERNAL' },
    { outcome: 'failed', code: 'FST_OAUTH_AUTHORIZATION_FAILED' }
  ])
  t.notMatch(JSON.stringify(traces.events), /text of the app|not on the list/)
})

t.test('a login that does not start, a callback that was answered before, a login without a question', async (t) => {
  const traces = recordTraces(t, ['login', 'callback'])
  const { url, browser, provider } = await loginApp(t)
  await browser.get(`${url}/login/acme`, { headers: { 'sec-purpose': 'prefetch' } })
  t.match(traces.ended('login'), [{ outcome: 'not_started' }])
  const callback = await callbackUrl(browser, `${url}/login/acme`)
  await browser.get(callback)
  await browser.get(callback)
  t.match(traces.ended('callback').map(({ outcome }) => outcome), ['succeeded', 'repeated'])
  traces.clear()
  provider.wrong = { callback: (params) => { params.delete('code'); params.set('error', 'login_required') } }
  await new Browser().login(`${url}/login/acme?prompt=none`)
  t.match(traces.ended('callback').map(({ outcome }) => outcome), ['declined'])
})

t.test('a login that was lost, and starts again', async (t) => {
  const { url, browser } = await loginApp(t)
  const callback = await callbackUrl(new Browser(), `${url}/login/acme`)
  const traces = recordTraces(t, ['callback'])
  const headers = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document', 'sec-fetch-site': 'cross-site' }
  await browser.get(callback, { headers, redirect: 'manual' })
  t.match(traces.ended('callback'), [{ outcome: 'restarted' }])
})

t.test('an account that is added is linked', async (t) => {
  const app = await loggedInApp(t, {
    wrong: {}, providers: ({ providerOptions }) => ({ acme: providerOptions, files: providerOptions })
  })
  const traces = recordTraces(t, ['callback'])
  await app.link('files')
  t.match(traces.ended('callback'), [{ provider: 'files', outcome: 'linked' }])
})

t.test('a login by password: succeeded, or failed with the code that the visitor gets', async (t) => {
  const { providerOptions } = await startPasswordServer(t)
  const { url } = await buildApp(t, {
    oauth: { providers: { legacy: { ...providerOptions, grantType: 'password' } } }
  })
  const traces = recordTraces(t, ['login', 'exchange'])
  const browser = new Browser()
  const form = await browser.get(`${url}/login/legacy`)
  for (const password of ['wrong', 'correct horse']) await browser.submitForm(form, { username: 'alice', password })
  t.match(traces.ended('login'), [
    { provider: 'legacy', outcome: 'failed', code: 'FST_OAUTH_AUTHORIZATION_FAILED' },
    { provider: 'legacy', outcome: 'succeeded' }
  ])
  t.match(traces.ended('exchange').map(({ grantType, outcome }) => [grantType, outcome]), [
    ['password', 'refused'], ['password', 'succeeded']
  ])
})

t.test('a call: method, origin and status, and neither path nor query', async (t) => {
  const { run, provider } = await loggedInApp(t)
  const traces = recordTraces(t, ['call'])
  await run(async oauth => await oauth.get('orders?of=alice').json())
  await run(async (oauth) => { await (await oauth.request('orders', { method: 'delete' })).body.dump() })
  await run(async oauth => await rejection(oauth.get('no-such-thing').json()))
  const { origin } = new URL(provider.api.url)
  t.match(traces.ended('call'), [
    { provider: 'acme', method: 'GET', origin, statusCode: 200, outcome: 'answered', duration: Number },
    { provider: 'acme', method: 'DELETE', origin, outcome: 'answered' },
    { provider: 'acme', method: 'GET', origin, statusCode: 404, outcome: 'answered' }
  ])
  t.notMatch(JSON.stringify(traces.events), /orders|no-such-thing|alice/)
})

t.test('a call that fails: refused before it is sent, ended by its signal, without a login', async (t) => {
  const { run, runAnonymous } = await loggedInApp(t)
  const traces = recordTraces(t, ['call'])
  await run(async oauth => await rejection(oauth.get('https://elsewhere.example/').json()))
  await run(async oauth => await rejection(oauth.get('orders', { signal: AbortSignal.abort() }).json()))
  await runAnonymous(async oauth => await rejection(oauth.get('orders').json()))
  const told = traces.ended('call').map(({ duration: _any, ...rest }) => rest)
  t.strictSame(told, [
    { method: 'GET', provider: 'acme', outcome: 'failed', code: 'FST_OAUTH_ORIGIN_NOT_ALLOWED' },
    { method: 'GET', outcome: 'aborted' },
    { method: 'GET', outcome: 'failed', code: 'FST_OAUTH_LOGIN_REQUIRED' }
  ])
})

t.test('a refresh is told once, for all calls that wait for it', async (t) => {
  const { store, run, refreshes } = await loggedInApp(t)
  expireTokens(store)
  const traces = recordTraces(t, ['refresh', 'exchange', 'call'])
  await run(async oauth => await Promise.all([1, 2, 3].map(async () => await oauth.get('orders').json())))
  t.equal(refreshes(), 1)
  t.match(traces.ended('refresh'), [{ provider: 'acme', outcome: 'refreshed', duration: Number }])
  t.match(traces.ended('exchange'), [{ grantType: 'refresh_token', outcome: 'succeeded' }])
  t.equal(traces.ended('call').length, 3)
})

t.test('a refresh that gets no answer has failed', async (t) => {
  const { store, run, provider } = await loggedInApp(t)
  const traces = recordTraces(t, ['refresh', 'exchange'])
  expireTokens(store)
  provider.failTokenEndpoint(html, { times: 1 })
  await run(async oauth => await rejection(oauth.tokens()))
  t.match(traces.ended('refresh'), [{ outcome: 'failed', code: 'FST_OAUTH_PROVIDER_UNAVAILABLE' }])
  t.match(traces.ended('exchange'), [{ outcome: 'refused', code: 'FST_OAUTH_PROVIDER_UNAVAILABLE' }])
})

t.test('a refresh that the provider refuses has ended the login', async (t) => {
  const { store, run, provider } = await loggedInApp(t)
  const traces = recordTraces(t, ['refresh', 'exchange'])
  expireTokens(store)
  provider.revokeGrants('alice')
  await run(async oauth => await rejection(oauth.tokens()))
  t.match(traces.ended('refresh'), [
    { outcome: 'ended', code: 'FST_OAUTH_LOGIN_ENDED', oauthError: 'invalid_grant' }
  ])
  t.match(traces.ended('exchange'), [
    { outcome: 'refused', code: 'FST_OAUTH_INVALID_TOKEN_RESPONSE', oauthError: 'invalid_grant' }
  ])
})

t.test('a set that another process has refreshed meanwhile is newer', async (t) => {
  const cluster = await loggedInApp(t, { processes: 2 })
  if (cluster === undefined) return
  const { provider, orders, refreshes } = cluster
  await cluster.expireTokens()
  const traces = recordTraces(t, ['refresh'])
  const gate = provider.holdTokenEndpoint()
  const first = orders(0)
  await gate.arrived
  const second = orders(1)
  while (traces.events.filter(({ event }) => event === 'start').length < 2) await nextTurn()
  gate.release()
  t.match(await Promise.all([first, second]), [{ status: 200 }, { status: 200 }])
  t.equal(refreshes(), 1)
  t.strictSame(traces.ended('refresh').map(({ outcome }) => outcome).sort(), ['newer', 'refreshed'])
})

t.test('a lost refresh is told as such', async (t) => {
  const cluster = await loggedInApp(t, { processes: 1 })
  if (cluster === undefined) return
  const { client, key, provider, orders } = cluster
  await cluster.expireTokens()
  await client.hSet(key, { o: 'another process', u: String(Date.now() - 1) })
  provider.revokeGrants('alice')
  const traces = recordTraces(t, ['refresh', 'store'])
  t.match((await orders()).json(), { code: 'FST_OAUTH_REFRESH_LOST' })
  t.match(traces.ended('refresh'), [
    { provider: 'acme', outcome: 'lost', code: 'FST_OAUTH_REFRESH_LOST' }
  ])
  t.match(traces.ended('store').filter(({ method }) => method === 'acquireRefresh'), [
    { store: 'tokens', outcome: 'succeeded' }
  ])
})

t.test('logouts: by the user, by the app, and by the provider', async (t) => {
  const { url, provider, app, browser } = await loginApp(t)
  const traces = recordTraces(t, ['logout'])
  await browser.login(`${url}/login/acme`)
  await browser.logout(`${url}/logout`)
  await browser.logout(`${url}/logout`)
  await browser.login(`${url}/login/acme`)
  await app.oauth.logoutUser({ provider: 'acme', subject: 'alice' })
  await browser.login(`${url}/login/acme`)
  await postLogoutToken(url, provider.logoutToken({ sub: 'alice' }))
  await postLogoutToken(url, 'no token')
  const told = traces.ended('logout').map(({ duration: _any, ...rest }) => rest)
  t.strictSame(told, [
    { reason: 'logout', provider: 'acme', ended: 1, outcome: 'succeeded' },
    { reason: 'logout', ended: 0, outcome: 'no_login' },
    { provider: 'acme', reason: 'logoutUser', ended: 1, outcome: 'succeeded' },
    { provider: 'acme', reason: 'backchannel', ended: 1, outcome: 'succeeded' },
    { provider: 'acme', reason: 'backchannel', outcome: 'failed', code: 'FST_OAUTH_INVALID_LOGOUT_TOKEN' }
  ])
})

t.test('each call to a store: method and outcome, of the tokens and of the sessions', async (t) => {
  const { store, url, browser } = await loginApp(t)
  await browser.login(`${url}/login/acme`)
  const traces = recordTraces(t, ['store'])
  await browser.get(`${url}/`)
  t.match(traces.ended('store'), [{ store: 'sessions', method: 'get', outcome: 'succeeded', duration: Number }])
  traces.clear()
  store.fail.get = true
  await browser.get(`${url}/`)
  await browser.get(`${url}/login/acme/callback?state=some&code=some`)
  t.match(traces.ended('store')[0], {
    store: 'sessions', method: 'get', outcome: 'failed', code: 'FST_OAUTH_STORE_UNAVAILABLE'
  })
  store.fail.get = false
  store.fail.set = true
  await browser.get(`${url}/login/acme`)
  t.match(traces.ended('store').filter(({ store }) => store === 'tokens'), [
    { method: 'set', outcome: 'failed', code: 'FST_OAUTH_STORE_UNAVAILABLE' }
  ])
  t.notMatch(JSON.stringify(traces.events), /10\.1\.2\.3|ECONNREFUSED/)
})

t.test('no message holds a token, code, state, secret, session or user', async (t) => {
  const traces = recordTraces(t)
  const { run, browser, url, store, provider } = await loggedInApp(t, { through: 'browser' })
  expireTokens(store)
  const { accessToken, refreshToken, idToken } = await run(async oauth => await oauth.tokens())
  await run(async oauth => await oauth.get('orders').json())
  const codes = browser.history.flatMap(page => [...new URL(page.url).searchParams.values()])
  const cookies = browser.cookies.map(({ value }) => value)
  await browser.logout(`${url}/logout`)
  const told = JSON.stringify(traces.events)
  const secrets = [accessToken, refreshToken!, idToken!, provider.clientSecret, 'alice', ...codes, ...cookies]
  t.ok(secrets.length > 8 && secrets.every(secret => secret.length > 0))
  t.strictSame(secrets.filter(secret => secret.length > 4 && told.includes(secret)), [])
  for (const name of Object.keys(channels)) t.ok(traces.events.some(event => event.name === name), name)
})

t.test('start.bindStore reaches the operation and what it does', async (t) => {
  const storage = new AsyncLocalStorage<string>()
  const { start } = tracingChannel<string, object>('fastify-oauth-session:refresh')
  start.bindStore(storage, () => 'of the refresh')
  t.after(() => { start.unbindStore(storage) })
  const seen: (string | undefined)[] = []
  const { store, run } = await loggedInApp(t, {
    provider: { hooks: { refreshTokenRequest: () => { seen.push(storage.getStore()) } } }
  })
  expireTokens(store)
  await run(async oauth => await oauth.get('orders').json())
  t.strictSame(seen, ['of the refresh'])
})

t.test('where nobody listens, nothing is traced', async (t) => {
  let runs = 0
  for (const { start } of Object.values(channels) as TracingChannel<unknown, object>[]) {
    const { runStores } = start
    start.runStores = function (...args) {
      runs++
      return runStores.apply(this, args as never) as never
    }
    t.after(() => { start.runStores = runStores })
  }
  const everything = async () => {
    const { run, browser, url, store } = await loggedInApp(t)
    expireTokens(store)
    await run(async oauth => await oauth.get('orders').json())
    await browser.logout(`${url}/logout`)
  }
  await everything()
  t.equal(runs, 0)
  recordTraces(t)
  await everything()
  t.ok(runs > 6, 'and everything is where someone does')
})
