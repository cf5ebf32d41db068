import t, { type Test } from 'tap'
import { buildApp, type TestApp } from '../helpers/build-app.ts'
import { refreshTarget } from '../helpers/html.ts'
import { presetCases, type PresetCase } from '../helpers/preset-cases.ts'
import { expireTokens } from '../helpers/records.ts'
import { SimulatedProvider } from '../helpers/simulated-provider.ts'
import * as presets from '../../lib/providers.ts'

const BASE_URL = 'https://app.example.com'

t.test('every preset is in the table', async (t) => {
  const tested = new Set(Object.keys(presetCases).map(name => name.split(',')[0]))
  // Fitbit has shut its logins down, and its preset says so.
  t.strictSame([...tested].sort(), Object.keys(presets).filter(name => name !== 'fitbit').sort())
})

for (const [name, row] of Object.entries(presetCases)) {
  t.test(name, async (t) => {
    const visit = await start(t, row)
    const { provider } = visit

    await t.test('logs in', async (t) => {
      await logIn(t, visit, row)
      t.strictSame(await visit.json('/user'), row.user)
      t.strictSame(await visit.json('/scope'), row.scope)
    })

    if (row.call !== undefined) {
      await t.test('calls its API', async t => {
        await assertCall(t, visit, row)
      })
    } else {
      await t.test('has no API: its token goes nowhere', async t => {
        await assertNoCall(t, visit, 'https://api.example.com/orders', 'FST_OAUTH_ORIGIN_NOT_ALLOWED')
      })
    }

    if (row.refreshed !== undefined) {
      t.equal(row.endless, undefined, 'what is refreshed has an end')
      await t.test('refreshes', async t => {
        await assertRefreshes(t, visit, row)
      })
    } else if (row.endless === true) {
      await t.test('has tokens without an end: a 401 is returned, and nothing is refreshed', async t => {
        await assertEndless(t, visit, row)
      })
    } else {
      await t.test('has no refresh tokens: an ended token is a TokenExpiredError, and nothing is sent', async t => {
        await assertExpires(t, visit, row)
      })
    }

    await t.test('logs out', async (t) => {
      const { headers, body } = await visit.request('POST', '/logout')
      t.equal(provider.revoked.length > 0, row.logout.revokes, 'revoked')
      if (row.logout.location === undefined) t.equal(headers.location, '/')
      else t.match(refreshTarget(body), row.logout.location)
    })

    await t.test(
      row.refreshed === undefined ? 'logs in again' : 'logs in again, until its refresh token is no good',
      async t => {
        await logIn(t, visit, row)
        t.match(await visit.json('/token'), { accessToken: provider.accessToken })
        if (row.refreshed === undefined) return
        expireTokens(visit.store)
        provider.ended = true
        t.match(await visit.json('/token'), { code: 'FST_OAUTH_LOGIN_ENDED' })
        t.match(await visit.json('/token'), { code: 'FST_OAUTH_LOGIN_REQUIRED' })
      }
    )

    t.strictSame(provider.complaints, [], 'the provider is content')
  })
}

/** A browser's way through one app with one provider. */
interface Visit {
  provider: SimulatedProvider
  store: TestApp['store']
  request(
    method: 'GET' | 'POST',
    url: string,
    form?: Record<string, string> | URLSearchParams
  ): ReturnType<typeof inject>
  json(url: string): Promise<any>
}

async function start (t: Test, row: PresetCase): Promise<Visit> {
  const provider = new SimulatedProvider(row)
  t.teardown(() => provider.close())
  const options = row.preset({ clientId: provider.clientId, clientSecret: provider.clientSecret })
  t.equal(options.title, row.title)
  t.equal(options.refreshAhead ?? true, row.refreshAhead ?? true)
  const { app, store } = await buildApp(t, {
    oauth: { baseUrl: BASE_URL, providers: { acme: options }, dispatcher: provider },
    setup: (app) => {
      app.get('/user', async ({ oauth: { user } }) => {
        if (user === null) return null
        const { raw: _raw, ...rest } = user
        return rest
      })
      app.get('/scope', async (request) => (await request.oauth.tokens()).scope)
      app.get('/token', async (request) => {
        const { accessToken, refreshToken, expiresAt } = await request.oauth.tokens()
        return { accessToken, renewable: refreshToken !== undefined, ends: expiresAt !== undefined }
      })
      app.get<{ Querystring: { url: string } }>('/call', async (request) => request.oauth.get(request.query.url).json())
    }
  })
  const cookies = new Map<string, string>()
  const request: Visit['request'] = async (method, url, form) => {
    const response = await inject(app, method, url, {
      cookies: Object.fromEntries(cookies),
      ...(form !== undefined && { form: new URLSearchParams(form) })
    })
    for (const { name, value } of response.cookies) cookies.set(name, value)
    return response
  }
  return { provider, store, request, json: async (url) => JSON.parse((await request('GET', url)).body || 'null') }
}

async function inject (
  app: TestApp['app'],
  method: 'GET' | 'POST',
  url: string,
  { cookies, form }: { cookies: Record<string, string>, form?: URLSearchParams }
) {
  return await app.inject({
    method,
    url,
    cookies,
    headers: {
      accept: method === 'POST' ? 'text/html' : 'application/json',
      ...(form !== undefined && { 'content-type': 'application/x-www-form-urlencoded' })
    },
    ...(form !== undefined && { payload: form.toString() })
  })
}

async function logIn (t: Test, { provider, request }: Visit, row: PresetCase): Promise<void> {
  if (row.authorizationEndpoint === undefined) {
    const answer = await request('POST', '/login/acme', { username: 'alice', password: 'alice password' })
    t.equal(answer.statusCode, 302, answer.body)
    return
  }
  const begun = await request('GET', '/login/acme')
  const location = new URL(begun.headers.location as string)
  t.equal(location.origin + location.pathname, row.authorizationEndpoint)
  const query = location.searchParams
  t.match(Object.fromEntries(query), {
    response_type: 'code',
    client_id: provider.clientId,
    redirect_uri: `${BASE_URL}/login/acme/callback`,
    state: /^[\w-]{43}$/
  })
  for (const [name, value] of Object.entries(row.authorization ?? {})) {
    t.equal(query.get(name), value, name)
  }

  const { params } = provider.authorize(location.href)
  for (const [name, value] of Object.entries(row.posted ?? {})) params.set(name, value)
  const answer = row.responseMode === 'form_post'
    ? await request('POST', '/login/acme/callback', params)
    : await request('GET', `/login/acme/callback?${params}`)
  t.equal(answer.statusCode, 302, answer.body)
}

async function assertRefreshes (t: Test, visit: Visit, row: PresetCase): Promise<void> {
  expireTokens(visit.store)
  t.match(await visit.json('/token'), { accessToken: 'access-2', renewable: true })
  if (row.call !== undefined) await assertCall(t, visit, row)
  expireTokens(visit.store)
  t.match(await visit.json('/token'), { accessToken: 'access-3' }, 'and again')
  t.equal(visit.provider.refreshes, 2)
}

async function assertEndless (t: Test, { provider, json }: Visit, { call }: PresetCase): Promise<void> {
  t.strictSame(await json('/token'), { accessToken: 'access-1', renewable: false, ends: false })
  const { tokenRequests } = provider
  provider.calls.length = 0
  provider.apiStatus = 401
  t.match(await json(`/call?url=${encodeURIComponent(call!.url)}`), { code: 'FST_OAUTH_RESPONSE_STATUS' })
  provider.apiStatus = 200
  t.equal(provider.calls.length, 1)
  t.equal(provider.tokenRequests, tokenRequests)
}

async function assertExpires (t: Test, visit: Visit, { call }: PresetCase): Promise<void> {
  t.strictSame(await visit.json('/token'), { accessToken: 'access-1', renewable: false, ends: true })
  expireTokens(visit.store)
  t.match(await visit.json('/token'), { code: 'FST_OAUTH_TOKEN_EXPIRED' })
  await assertNoCall(t, visit, call!.url, 'FST_OAUTH_TOKEN_EXPIRED')
}

/** A call that fails before anything goes out, to the token endpoint included. */
async function assertNoCall (t: Test, { provider, json }: Visit, url: string, code: string): Promise<void> {
  const { tokenRequests } = provider
  provider.calls.length = 0
  t.match(await json(`/call?url=${encodeURIComponent(url)}`), { code })
  t.strictSame(provider.calls, [])
  t.equal(provider.tokenRequests, tokenRequests)
}

async function assertCall (t: Test, { provider, json }: Visit, { call }: PresetCase): Promise<void> {
  provider.calls.length = 0
  t.strictSame(await json(`/call?url=${encodeURIComponent(call!.url)}`), { called: true })
  const [sent] = provider.calls
  const filled = (text: string) => text.replace('{token}', provider.accessToken)
  t.equal(sent?.url, filled(call!.sent))
  t.equal(sent?.headers.authorization, call!.headers?.authorization && filled(call!.headers.authorization))
  for (const [name, value] of Object.entries(call!.headers ?? {})) t.equal(sent?.headers[name], filled(value), name)
}
