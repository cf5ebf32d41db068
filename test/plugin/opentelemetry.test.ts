import { context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import t, { type Test } from 'tap'
import type { ReadableSpan } from '@opentelemetry/sdk-trace-base'
import { instrument } from '../../lib/opentelemetry.ts'
import { Gate } from '../helpers/gate.ts'
import { html } from '../helpers/faults.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { callbackUrl, loginApp } from '../helpers/login-app.ts'
import { Browser } from '../helpers/browser.ts'
import { postLogoutToken } from '../helpers/logout-token.ts'
import { matchEach } from '../helpers/match-each.ts'
import { expireTokens } from '../helpers/records.ts'
import { rejection } from '../helpers/rejection.ts'
import { type Sample, startTelemetry } from '../helpers/telemetry.ts'

// Spans and metrics, with the SDK of OpenTelemetry and its exporter for Prometheus.

const spanOf = (spans: ReadableSpan[], name: string) => spans.find(span => span.name === name)!
const parentOf = (spans: ReadableSpan[], span: ReadableSpan) =>
  spans.find(one => one.spanContext().spanId === span.parentSpanContext?.spanId)?.name
const PREFIX = 'fastify_oauth_session'
/** Labels and values of one metric; those that OpenTelemetry adds are left out. */
const valuesOf = (samples: Sample[], name: string) =>
  samples.filter(sample => sample.name === `${PREFIX}_${name}`).map(({ labels, value }) => {
    const own = Object.entries(labels).filter(([label]) => !label.startsWith('otel_'))
    return { ...Object.fromEntries(own), value }
  })

t.test('a login: spans of its beginning, of the callback, and of the token request within it', async (t) => {
  const telemetry = await startTelemetry(t)
  const { url, browser } = await loginApp(t)
  await browser.login(`${url}/login/acme`)
  const { spans } = telemetry
  t.strictSame(spans.map(({ name }) => name), ['oauth.login', 'oauth.exchange', 'oauth.callback'])
  t.equal(parentOf(spans, spanOf(spans, 'oauth.exchange')), 'oauth.callback')
  t.equal(spanOf(spans, 'oauth.callback').parentSpanContext, undefined)
  t.strictSame(spanOf(spans, 'oauth.login').attributes, { 'oauth.provider': 'acme', 'oauth.outcome': 'redirected' })
  t.strictSame(spanOf(spans, 'oauth.callback').attributes, { 'oauth.provider': 'acme', 'oauth.outcome': 'succeeded' })
  const exchange = spanOf(spans, 'oauth.exchange')
  t.match(exchange, { kind: SpanKind.CLIENT, status: { code: SpanStatusCode.UNSET } })
  t.strictSame(exchange.attributes, {
    'oauth.provider': 'acme', 'oauth.grant_type': 'authorization_code', 'oauth.outcome': 'succeeded'
  })
})

t.test('a call is a child of the span that is active, and a refresh a child of the call', async (t) => {
  const telemetry = await startTelemetry(t)
  const active: (string | undefined)[] = []
  const note = () => { active.push((trace.getActiveSpan() as unknown as ReadableSpan | undefined)?.name) }
  const { store, run, provider } = await loggedInApp(t, {
    provider: { hooks: { protectedRequest: note, refreshTokenRequest: note } }, oauth: { onTokens: note }
  })
  expireTokens(store)
  active.length = 0
  telemetry.clear()
  const tracer = telemetry.tracerProvider.getTracer('the app')
  await run(async oauth => await tracer.startActiveSpan('the handler', async (span) => {
    await oauth.get('orders?of=alice').json()
    note()
    span.end()
  }))
  const { spans } = telemetry
  t.strictSame(spans.map(span => [span.name, parentOf(spans, span)]), [
    ['oauth.exchange', 'oauth.refresh'],
    ['oauth.refresh', 'oauth.call'],
    ['oauth.call', 'the handler'],
    ['the handler', undefined]
  ])
  t.strictSame(active, ['oauth.exchange', 'oauth.refresh', 'oauth.call', 'the handler'])
  const api = new URL(provider.api.url)
  t.match(spanOf(spans, 'oauth.call').kind, SpanKind.CLIENT)
  t.strictSame(spanOf(spans, 'oauth.call').attributes, {
    'http.request.method': 'GET',
    'http.response.status_code': 200,
    'oauth.provider': 'acme',
    'oauth.outcome': 'answered',
    'server.address': api.hostname,
    'server.port': Number(api.port)
  })
})

t.test('a span of a failure has its code, the error of the provider, and status ERROR', async (t) => {
  const telemetry = await startTelemetry(t)
  const { url, browser, provider } = await loginApp(t)
  provider.wrong = { instead: { token: { status: 400, body: { error: 'invalid_grant' } } } }
  await browser.login(`${url}/login/acme`)
  const status = (code: string) => ({ code: SpanStatusCode.ERROR, message: code })
  t.match(spanOf(telemetry.spans, 'oauth.exchange'), {
    status: status('FST_OAUTH_INVALID_TOKEN_RESPONSE'),
    attributes: {
      'oauth.outcome': 'refused', 'error.type': 'FST_OAUTH_INVALID_TOKEN_RESPONSE', 'oauth.error': 'invalid_grant'
    }
  })
  t.match(spanOf(telemetry.spans, 'oauth.callback'), {
    status: status('FST_OAUTH_AUTHORIZATION_FAILED'), attributes: { 'error.type': 'FST_OAUTH_AUTHORIZATION_FAILED' }
  })
})

t.test('a call that is answered with 404 is an error of its span; an odd method is one attribute', async (t) => {
  const telemetry = await startTelemetry(t)
  const { run } = await loggedInApp(t)
  telemetry.clear()
  await run(async oauth => await rejection(oauth.request('no-such-thing', { method: 'PURGE' }).json()))
  matchEach(t, telemetry.spans, [{
    name: 'oauth.call',
    status: { code: SpanStatusCode.ERROR },
    attributes: {
      'error.type': '404', 'http.request.method': '_OTHER', 'http.request.method_original': 'PURGE'
    }
  }])
  const methods = valuesOf(await telemetry.scrape(), 'call_duration_count') as Record<string, unknown>[]
  t.match(methods, [{ http_request_method: '_OTHER', http_response_status_code: '404', value: 1 }])
})

t.test('Prometheus reads logins, by outcome and code', async (t) => {
  const telemetry = await startTelemetry(t)
  const { url, provider } = await loginApp(t)
  await new Browser().login(`${url}/login/acme`)
  const browser = new Browser()
  const callback = await callbackUrl(browser, `${url}/login/acme`)
  // Loaded once more, it is no login of its own.
  for (let count = 0; count < 2; count++) t.equal((await browser.get(callback)).status, 200)
  provider.wrong = { callback: (params) => { params.delete('code'); params.set('error', 'access_denied') } }
  await new Browser().login(`${url}/login/acme`)
  const samples = await telemetry.scrape()
  t.match(valuesOf(samples, 'logins_total'), [
    { oauth_provider: 'acme', oauth_outcome: 'succeeded', value: 2 },
    { oauth_provider: 'acme', oauth_outcome: 'failed', error_type: 'FST_OAUTH_AUTHORIZATION_FAILED', value: 1 }
  ])
  t.match(valuesOf(samples, 'login_duration_count'), [{ oauth_outcome: 'redirected', value: 3 }])
  t.match(valuesOf(samples, 'exchange_duration_count'), [
    { oauth_grant_type: 'authorization_code', oauth_outcome: 'succeeded', value: 2 }
  ])
  const [sum] = valuesOf(samples, 'callback_duration_sum') as { value: number }[]
  t.ok(sum!.value > 0 && sum!.value < 30, 'in seconds')
})

t.test('Prometheus reads refreshes, lost ones, and a 0 of them before one is lost', async (t) => {
  const cluster = await loggedInApp(t, { processes: 1 })
  if (cluster === undefined) return
  const { client, key, provider, orders } = cluster
  const telemetry = await startTelemetry(t)
  await cluster.expireTokens()
  await orders()
  t.match(valuesOf(await telemetry.scrape(), 'lost_refreshes_total'), [{ oauth_provider: 'acme', value: 0 }])
  await cluster.expireTokens()
  await client.hSet(key, { o: 'another process', u: String(Date.now() - 1) })
  provider.revokeGrants('alice')
  await orders()
  const samples = await telemetry.scrape()
  t.match(valuesOf(samples, 'lost_refreshes_total'), [{ oauth_provider: 'acme', value: 1 }])
  t.match(valuesOf(samples, 'refreshes_total'), [
    { oauth_outcome: 'refreshed', value: 1 },
    { oauth_outcome: 'lost', error_type: 'FST_OAUTH_REFRESH_LOST', value: 1 }
  ])
})

t.test('Prometheus reads logouts, by who asked for them', async (t) => {
  const telemetry = await startTelemetry(t)
  const { url, provider, app, browser } = await loginApp(t)
  await browser.login(`${url}/login/acme`)
  await browser.logout(`${url}/logout`)
  await browser.login(`${url}/login/acme`)
  await postLogoutToken(url, provider.logoutToken({ sub: 'alice' }))
  await app.oauth.logoutUser({ provider: 'acme', subject: 'alice' })
  t.match(valuesOf(await telemetry.scrape(), 'logouts_total'), [
    { oauth_logout_reason: 'logout', oauth_outcome: 'succeeded', value: 1 },
    { oauth_logout_reason: 'backchannel', oauth_outcome: 'succeeded', value: 1 },
    { oauth_logout_reason: 'logoutUser', oauth_outcome: 'no_login', value: 1 }
  ])
})

t.test('Prometheus reads store errors, by store and method; a store has no spans', async (t) => {
  const telemetry = await startTelemetry(t)
  const { url, browser, store } = await loginApp(t)
  await browser.login(`${url}/login/acme`)
  telemetry.clear()
  store.fail.set = true
  await browser.get(`${url}/login/acme`, { redirect: 'manual' })
  const samples = await telemetry.scrape()
  const errors = valuesOf(samples, 'store_errors_total') as Record<string, unknown>[]
  t.match(errors.filter(({ oauth_store_method: method }) => method === 'set'), [
    { oauth_store_name: 'tokens', value: 1 }
  ])
  t.ok(errors.some(({ value }) => value === 0), 'and a 0 for what has not failed')
  t.ok(telemetry.spans.every(({ name }) => name === 'oauth.login'))
})

t.test('no label of a metric has a value that users can make up', async (t) => {
  const telemetry = await startTelemetry(t)
  const { run, url, store } = await loggedInApp(t)
  for (let count = 0; count < 5; count++) {
    await new Browser().get(`${url}/login/acme/callback?state=${count}&code=${count}`)
    await new Browser().get(`${url}/login/provider-${count}`)
    await run(async oauth => await rejection(oauth.get(`https://${count}.example/`).json()))
    await run(async oauth => await rejection(oauth.get(`http://127.0.0.${count + 2}:1/`, { withholdToken: true }).json()))
  }
  expireTokens(store)
  await run(async oauth => await oauth.get('orders').json())
  const samples = await telemetry.scrape()
  const labels = new Map<string, Set<string>>()
  for (const sample of samples.filter(({ name }) => name.startsWith(PREFIX))) {
    for (const [label, value] of Object.entries(sample.labels)) {
      labels.set(label, (labels.get(label) ?? new Set()).add(value))
    }
  }
  t.strictSame([...labels.get('oauth_provider')!], ['acme'])
  const most = Math.max(...[...labels].filter(([label]) => label !== 'le').map(([, values]) => values.size))
  t.ok(most < 12, `${most} values of one label`)
  t.strictSame([...labels].filter(([, values]) => [...values].some(value => value.includes('127.0.0.'))), [])
})

t.test('instrument() ends when its function is called, spans under way included', async (t) => {
  const telemetry = await startTelemetry(t)
  const gate = new Gate()
  const { run } = await loggedInApp(t, { provider: { hooks: { protectedRequest: () => gate.pass() } } })
  telemetry.clear()
  const call = run(async oauth => await oauth.get('orders').json())
  await gate.arrived
  telemetry.stop()
  t.strictSame(telemetry.spans.map(({ name }) => name), ['oauth.call'], 'the one under way')
  gate.release()
  await call
  await run(async oauth => await oauth.get('orders').json())
  t.equal(telemetry.spans.length, 1)
  t.equal((await telemetry.scrape()).filter(({ name }) => name === `${PREFIX}_call_duration_count`).length, 0)
})

t.test('a provider that is away: a refresh that failed keeps its login, and counts', async (t) => {
  const telemetry = await startTelemetry(t)
  const { store, run, provider } = await loggedInApp(t)
  expireTokens(store)
  provider.failTokenEndpoint(html, { times: 1 })
  await run(async oauth => await rejection(oauth.get('orders').json()))
  const samples = await telemetry.scrape()
  t.match(valuesOf(samples, 'refreshes_total'), [
    { oauth_outcome: 'failed', error_type: 'FST_OAUTH_PROVIDER_UNAVAILABLE', value: 1 }
  ])
  t.match(valuesOf(samples, 'call_duration_count'), [
    { oauth_outcome: 'failed', error_type: 'FST_OAUTH_PROVIDER_UNAVAILABLE', value: 1 }
  ])
})

t.test('without an SDK it does nothing, and the operations go on', async (t) => {
  const stop = instrument()
  t.after(stop)
  const { run } = await loggedInApp(t)
  t.match(await run(async oauth => await oauth.get('orders').json()), [{ id: 1 }, { id: 2 }])
  t.equal(trace.getSpan(context.active()), undefined)
})

t.test('instrument() takes providers of OpenTelemetry', async (t: Test) => {
  for (const options of [{ tracerProvider: {} }, { meterProvider: 'global' }]) {
    t.throws(() => instrument(options as never), { code: 'FST_OAUTH_INVALID_OPTIONS' })
  }
})
