import t, { type Test } from 'tap'
import type { ProviderOptions } from '../../lib/index.ts'
import { drip } from '../helpers/faults.ts'
import type { EndpointRequest } from '../../lib/testing/endpoint.ts'
import { MemoryTokenStore } from '../../lib/tokens/stores/memory-store.ts'
import { deferred, Gate } from '../helpers/gate.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { appAt, callbackOf } from '../helpers/login-app.ts'
import { matchEach } from '../helpers/match-each.ts'
import { startProvider } from '../helpers/provider.ts'
import { expireTokens, tokenRecords } from '../helpers/records.ts'
import { JsonStore } from '../helpers/stores.ts'
import { until } from '../helpers/until.ts'
import { wrappedStore } from '../helpers/wrapped-store.ts'

for (const rolling of [true, false]) {
  t.test(
    `200 concurrent calls with an expired token make one token request, rolling ${rolling}, during a slow request`,
    async t => {
      const { provider, url, store, browser, refreshes } = await loggedInApp(t, {
        session: { rolling },
        setup: app => {
          app.get('/slow', async request => {
            await request.oauth.get('slow').json()
            ;(request.session as unknown as { visits: number }).visits = 1
            return 'done'
          })
        }
      })
      const slow = provider.api.holdSlow()
      const slowAnswer = browser.get(`${url}/slow`)
      await slow.arrived
      expireTokens(store)
      const answers = await Promise.all(Array.from({ length: 200 }, () => browser.get(`${url}/orders`)))
      t.equal(answers.filter(({ status }) => status === 200).length, 200)
      slow.release()
      t.equal((await slowAnswer).status, 200)
      t.equal(refreshes(), 1)
      expireTokens(store)
      t.equal((await browser.get(`${url}/orders`)).status, 200, 'and the slow request has written nothing old back')
      t.equal(refreshes(), 2)
      t.equal(provider.refreshTokenReuses, 0)
    }
  )
}

t.test('a refresh goes on when the request that started it is aborted', async (t) => {
  const abort = new AbortController()
  const { provider, url, store, browser, refreshes } = await loggedInApp(t, {
    setup: app => {
      app.get('/aborted', async request =>
        request.oauth.get('orders', { signal: abort.signal }).json().catch((error: Error) => error.name)
      )
    }
  })
  expireTokens(store)
  const gate = provider.holdTokenEndpoint()
  const aborted = browser.get(`${url}/aborted`)
  await gate.arrived
  abort.abort()
  gate.release()
  t.equal((await aborted).text, 'AbortError')
  t.equal((await browser.get(`${url}/orders`)).status, 200)
  t.equal(refreshes(), 1)
})

t.test('a token endpoint that drips gives a typed error in time, and what it brought in the end is kept', async (t) => {
  const { provider, url, store, browser, refreshes } = await loggedInApp(t, { provider: { requestTimeout: 1_000 } })
  const before = [...tokenRecords(store).values()][0]!.tokens.refreshToken
  expireTokens(store)
  const gate = provider.holdTokenEndpoint({ afterwards: true })
  const answer = await browser.get(`${url}/orders`)
  t.equal(answer.status, 503)
  t.match(answer.json(), { code: 'FST_OAUTH_PROVIDER_UNAVAILABLE' })
  gate.release()
  t.equal((await browser.get(`${url}/orders`)).status, 200)
  t.equal(refreshes(), 1, 'the exchange was not repeated')
  t.not([...tokenRecords(store).values()][0]!.tokens.refreshToken, before)
  t.equal(provider.refreshTokenReuses, 0)
})

t.test('a caller gives up in time on a response that drips for ever', async (t) => {
  const { provider, app, url, store, browser } = await loggedInApp(t, { provider: { requestTimeout: 100 } })
  expireTokens(store)
  provider.failTokenEndpoint(drip)
  t.match((await browser.get(`${url}/orders`)).json(), { code: 'FST_OAUTH_PROVIDER_UNAVAILABLE' })
  await provider.close()
  await app.close()
})

t.test('a provider that is down is a 503 with its Retry-After, and never ends the login', async (t) => {
  const { provider, url, store, browser } = await loggedInApp(t)
  expireTokens(store)
  provider.failTokenEndpoint({ status: 503, headers: { 'retry-after': '7' }, body: 'down' }, { times: 1 })
  const answer = await browser.get(`${url}/orders`)
  t.equal(answer.status, 503)
  t.equal(answer.headers['retry-after'], '7')
  t.equal((await browser.get(`${url}/orders`)).status, 200)
})

t.test('an HTML page in place of tokens is a 502, and the login is kept', async (t) => {
  const { provider, url, store, browser } = await loggedInApp(t)
  expireTokens(store)
  provider.failTokenEndpoint(
    { status: 200, headers: { 'content-type': 'text/html' }, body: '<h1>Maintenance</h1>' },
    { times: 1 }
  )
  t.match((await browser.get(`${url}/orders`)).json(), { statusCode: 502, code: 'FST_OAUTH_INVALID_TOKEN_RESPONSE' })
  t.equal((await browser.get(`${url}/orders`)).status, 200)
})

t.test('invalid_grant ends the login as FST_OAUTH_LOGIN_ENDED', async (t) => {
  const { provider, url, store, browser } = await loggedInApp(t)
  expireTokens(store)
  provider.revokeGrants('alice')
  t.match((await browser.get(`${url}/orders`)).json(), { statusCode: 401, code: 'FST_OAUTH_LOGIN_ENDED' })
  t.equal(tokenRecords(store).size, 0)
  t.match((await browser.get(`${url}/orders`)).json(), { code: 'FST_OAUTH_LOGIN_REQUIRED' })
  t.strictSame((await browser.get(url)).json(), { user: null })
})

t.test('a store that fails when the session of a refused call is saved: 503, not the call\'s own 401', async (t) => {
  const { provider, url, store, browser } = await loggedInApp(t)
  expireTokens(store)
  provider.revokeGrants('alice')
  store.fail.set = true
  const answer = await browser.get(`${url}/orders`)
  t.equal(answer.status, 503)
  t.match(answer.json(), { statusCode: 503, code: 'FST_OAUTH_STORE_UNAVAILABLE' })
  t.notMatch(answer.text, /10\.1\.2\.3|ECONNREFUSED/)
})

t.test('an expired token without a refresh token is TokenExpiredError, and no call goes out', async t => {
  const { provider, url, store, browser, refreshes } = await loggedInApp(t, {
    provider: { conform: ({ refresh_token: _none, ...members }) => members }
  })
  expireTokens(store)
  const calls = provider.api.requests.length
  t.match((await browser.get(`${url}/orders`)).json(), { statusCode: 401, code: 'FST_OAUTH_TOKEN_EXPIRED' })
  t.equal(provider.api.requests.length, calls)
  t.equal(refreshes(), 0)
})

t.test('onTokens is awaited, once a set, before any call goes out with it', async (t) => {
  const saving = deferred()
  const saved: unknown[] = []
  const { provider, url, store, browser } = await loggedInApp(t, {
    oauth: {
      onTokens: async (tokens, { reason, provider, user, previous }) => {
        saved.push({ reason, provider, user: user?.id, changed: tokens.refreshToken !== previous?.refreshToken })
        if (reason === 'refresh') await saving.promise
      }
    }
  })
  expireTokens(store)
  const gate = provider.holdTokenEndpoint()
  const first = browser.get(`${url}/orders`)
  await gate.arrived
  gate.release()
  const calls = provider.api.requests.length
  const second = browser.get(`${url}/orders`)
  while (saved.length < 2) await new Promise(resolve => setImmediate(resolve))
  t.equal(provider.api.requests.length, calls, 'nothing goes out before the set is saved')
  saving.resolve()
  t.equal((await first).status, 200)
  t.equal((await second).status, 200)
  t.strictSame(saved, [
    { reason: 'login', provider: 'acme', user: 'alice', changed: true },
    { reason: 'refresh', provider: 'acme', user: 'alice', changed: true }
  ])
})

t.test('onTokens may use request.oauth without waiting for itself', async (t) => {
  let current: { oauth: { get: (url: string) => { json: () => Promise<unknown> } } } | undefined
  const seen: unknown[] = []
  const { url, store, browser } = await loggedInApp(t, {
    oauth: {
      onTokens: async (_tokens, { reason }) => {
        if (reason === 'refresh') seen.push(await current!.oauth.get('me').json())
      }
    },
    setup: (app) => {
      app.get('/inside', async (request) => {
        current = request
        return request.oauth.get('orders').json()
      })
    }
  })
  expireTokens(store)
  t.equal((await browser.get(`${url}/inside`)).status, 200)
  matchEach(t, seen, [{ sub: 'alice' }])
})

t.test('onTokens that throws fails the call and keeps the tokens', async (t) => {
  let fail = true
  const { url, store, browser, refreshes } = await loggedInApp(t, {
    oauth: {
      onTokens: (_tokens, { reason }) => {
        if (reason === 'refresh' && fail) throw Object.assign(new Error('saver down'), { statusCode: 507 })
      }
    }
  })
  expireTokens(store)
  t.equal((await browser.get(`${url}/orders`)).status, 507)
  fail = false
  t.equal((await browser.get(`${url}/orders`)).status, 200)
  t.equal(refreshes(), 1)
})

t.test('a token that expires soon is used while the next one is requested in the background', {
  timeout: 20_000
}, async (t) => {
  // A call that waited for the refresh would wait for longer than the test.
  const { provider, url, store, browser, refreshes } = await loggedInApp(t, { provider: { requestTimeout: 60_000 } })
  const [id, text] = [...store.records].find(([, text]) => text.includes('accessToken'))!
  const envelope = JSON.parse(text)
  const old = envelope.record.tokens.accessToken
  envelope.record.obtainedAt -= 3600
  envelope.record.tokens.expiresAt = Date.now() / 1000 + 25
  store.records.set(id, JSON.stringify(envelope))
  const gate = provider.holdTokenEndpoint()
  t.equal((await browser.get(`${url}/orders`)).status, 200, 'the call does not wait for the refresh')
  t.equal(provider.api.requests.at(-1)?.authorization, `Bearer ${old}`)
  await gate.arrived
  gate.release()
  while (tokenRecords(store).get(id)!.version < 2) await new Promise(resolve => setImmediate(resolve))
  t.equal((await browser.get(`${url}/orders`)).status, 200)
  t.not(provider.api.requests.at(-1)?.authorization, `Bearer ${old}`)
  t.equal(refreshes(), 1)
})

t.test('a token that has expired when it is issued is used once, without a loop', async (t) => {
  const { provider, url, store, browser, refreshes } = await loggedInApp(t)
  expireTokens(store)
  provider.failTokenEndpoint(async ({ process }) => {
    const answer = await process()
    return { ...answer, body: { ...(answer.body as object), expires_in: -1 } }
  }, { times: 1 })
  t.equal((await browser.get(`${url}/orders`)).status, 200)
  t.equal(refreshes(), 1)
})

t.test('a touch of the session store that never calls back keeps no refreshed set from the store', async (t) => {
  let touched = false
  const store = Object.assign(new JsonStore(), { touch: () => { touched = true } })
  const { provider, app, browser } = await loggedInApp(t, { session: { store } })
  await app.close()
  // A process that has just started touches the record at the first request that saves the session.
  const { url } = await appAt(t, provider, {
    session: { store, rolling: true },
    setup: (app) => { app.get('/orders', async (request) => request.oauth.get('orders').json()) }
  })
  expireTokens(store)
  const [page, orders] = await Promise.all([browser.get(url), browser.get(`${url}/orders`)])
  t.ok(touched)
  t.equal(page.status, 200)
  t.equal(orders.status, 200)
  await until(() => [...tokenRecords(store).values()][0]!.version >= 2, 'the refresh is stored')
  expireTokens(store)
  t.equal((await browser.get(`${url}/orders`)).status, 200)
  t.equal(provider.refreshTokenReuses, 0)
})

/** The user logs out while a refresh is on its way back from the provider. */
async function logOutDuringRefresh (t: Test, options: Parameters<typeof loggedInApp>[1] = {}) {
  const scene = await loggedInApp(t, options)
  const { provider, url, store, browser } = scene
  expireTokens(store)
  const gate = provider.holdTokenEndpoint({ afterwards: true })
  const call = browser.get(`${url}/orders`)
  await gate.arrived
  await browser.logout(`${url}/logout`)
  gate.release()
  t.match((await call).json(), { code: 'FST_OAUTH_LOGIN_ENDED' })
  return { ...scene, gate }
}

t.test('a logout during a refresh stays a logout, and what the refresh brought is revoked', async (t) => {
  const { provider, url, store, browser, gate } = await logOutDuringRefresh(t)
  t.equal(tokenRecords(store).size, 0)
  t.strictSame((await browser.get(url)).json(), { user: null })
  const rotated = (gate.arrivals[0]!.answer?.body as { refresh_token: string }).refresh_token
  t.ok(provider.endpoints.revocation.requests.some(({ body }) => body.token === rotated))
})

t.test('revokeAtLogout: false: what a refresh brings after the logout is not revoked either', async t => {
  const { provider, app } = await logOutDuringRefresh(t, { provider: { revokeAtLogout: false } })
  await app.close() // when revocations under way are over
  t.strictSame(provider.endpoints.revocation.requests, [])
})

for (const [what, fails] of [['has taken', false], ['cannot take', true]] as const) {
  t.test(`a logout during the write of a refreshed set, which the store ${what}, stays a logout`, async t => {
    const writing = new Gate()
    let isRefreshing = false
    const tokenStore = wrappedStore(new MemoryTokenStore(), store => ({
      set: async (...args) => {
        if (!isRefreshing) return await store.set(...args)
        const isWritten = !fails && await store.set(...args)
        await writing.pass()
        if (fails) throw new Error('connection lost')
        return isWritten
      }
    }))
    const { app, provider, browser, url, run } = await loggedInApp(t, { oauth: { tokenStore } })
    const refreshed = run(async oauth => {
      isRefreshing = true
      await oauth.refresh()
    })
    await writing.arrived
    isRefreshing = false
    await browser.logout(`${url}/logout`)
    writing.release()
    await t.rejects(refreshed, { code: 'FST_OAUTH_LOGIN_ENDED' })
    await app.close() // when revocations under way are over
    const rotated = (provider.tokenRequests.at(-1)!.answer!.body as { refresh_token: string }).refresh_token
    t.ok(provider.endpoints.revocation.requests.some(({ body }) => body.token === rotated))
  })
}

const nothing: unknown = undefined
for (const [what, options, code] of [
  ['a hook that throws', { hooks: { refreshTokenResponse: () => { throw new Error('a bug') } } }, undefined],
  ['a hook that returns the members', {
    hooks: { refreshTokenResponse: ({ text }) => JSON.parse(text) }
  }, 'FST_OAUTH_INVALID_OPTIONS'],
  ['a hook that spoils the text', {
    hooks: { refreshTokenResponse: response => ({ ...response, text: '' }) }
  }, 'FST_OAUTH_INVALID_TOKEN_RESPONSE'],
  ['a conform that returns nothing', { conform: () => nothing as never }, 'FST_OAUTH_INVALID_TOKEN_RESPONSE']
] as [string, Partial<ProviderOptions>, string | undefined][]) {
  t.test(`${what} at the response to a refresh does not lose the new refresh token`, async (t) => {
    let isWrong = false
    const { hooks, conform } = options
    const { browser, url, store, refreshes } = await loggedInApp(t, {
      provider: {
        hooks: { refreshTokenResponse: response => isWrong ? hooks?.refreshTokenResponse?.(response) : response },
        conform: (members, about) => isWrong && conform !== undefined ? conform(members, about) : members
      }
    })
    expireTokens(store)
    isWrong = true
    const failed = await browser.get(`${url}/orders`)
    t.equal(failed.json().code, code)
    t.notMatch(failed.text, /Cannot read/)
    isWrong = false
    t.equal((await browser.get(`${url}/orders`)).status, 200)
    t.equal(refreshes(), 2)
  })
}

t.test('a refresh in progress is finished before the app closes', async (t) => {
  const { provider, app, url, store, browser } = await loggedInApp(t)
  expireTokens(store)
  const gate = provider.holdTokenEndpoint({ afterwards: true })
  const call = browser.get(`${url}/orders`).catch(() => undefined)
  await gate.arrived
  const closed = app.close()
  gate.release()
  await Promise.all([call, closed])
  t.equal([...tokenRecords(store).values()][0]?.version, 2 + 1, 'the rotated set and its ID token are stored')
})

t.test(
  'a refresh that takes longer than Fastify lets a hook be is finished all the same, and the app closes in good order',
  async t => {
    const { provider, app, url, store, browser } = await loggedInApp(t, {
      provider: { requestTimeout: 100 },
      fastify: { pluginTimeout: 1_000 },
      // Fastify comes to these once it waits no longer for what is to happen before.
      setup: app => { app.addHook('onClose', async () => { gate.release() }) }
    })
    expireTokens(store)
    const gate: Gate<EndpointRequest> = provider.holdTokenEndpoint({ afterwards: true })
    t.equal((await browser.get(`${url}/orders`)).status, 503)
    await app.close()
    t.equal([...tokenRecords(store).values()][0]?.version, 2 + 1)
  }
)

t.test('sets of two refreshes that the store did not take are not lost: the newest is written', async (t) => {
  const { run, store, refreshes } = await loggedInApp(t, { session: { rolling: false } })
  store.fail.set = true
  await run(oauth => oauth.refresh())
  const { refreshToken } = await run(oauth => oauth.refresh())
  t.equal(refreshes(), 2)
  store.fail.set = false
  await until(() => [...tokenRecords(store).values()][0]?.tokens.refreshToken === refreshToken, 'the set is written')
  await run(oauth => oauth.refresh())
  t.equal(refreshes(), 3)
})

t.test('a refreshed set is not lost if the store comes back only while the app closes', async (t) => {
  const { app, url, store, browser, refreshes } = await loggedInApp(t)
  expireTokens(store)
  store.fail.set = true
  await browser.get(`${url}/orders`)
  t.equal(refreshes(), 1)
  const { set: before } = store.calls
  const closed = app.close()
  await until(() => store.calls.set > before + 4, 'further tries to write the set')
  store.fail.set = false
  await closed
  t.equal([...tokenRecords(store).values()][0]?.version, 2)
})

t.test('a login and its tokens survive a restart of the app', async (t) => {
  const { provider, app, store, browser } = await loggedInApp(t)
  await app.close()
  const { url } = await appAt(t, provider, {
    session: { store },
    setup: (app) => { app.get('/orders', async (request) => request.oauth.get('orders').json()) }
  })
  t.equal((await browser.get(`${url}/orders`)).status, 200)
  expireTokens(store)
  t.equal((await browser.get(`${url}/orders`)).status, 200)
})

t.test('a pending login survives a restart of the app', async (t) => {
  const provider = await startProvider(t)
  const first = await appAt(t, provider)
  const { browser } = first
  const start = await browser.get(`${first.url}/login/acme`, { redirect: 'manual' })
  await first.app.close()
  const { pathname, search } = new URL(await callbackOf(browser, start))
  const { app } = await appAt(t, provider, { oauth: { baseUrl: first.url }, session: { store: first.store } })
  const answer = await app.inject({ url: pathname + search, headers: { cookie: browser.cookieHeader } })
  t.equal(answer.statusCode, 302, answer.body)
  t.equal(answer.headers.location, '/')
})

t.test('a provider that is down and says invalid_grant all the same does not end the login', async (t) => {
  const { provider, url, store, browser } = await loggedInApp(t)
  expireTokens(store)
  provider.failTokenEndpoint({ status: 503, body: { error: 'invalid_grant' } }, { times: 1 })
  t.match((await browser.get(`${url}/orders`)).json(), { statusCode: 503, code: 'FST_OAUTH_PROVIDER_UNAVAILABLE' })
  t.equal((await browser.get(`${url}/orders`)).status, 200)
})
