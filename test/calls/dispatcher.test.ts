import { inspect } from 'node:util'
import t from 'tap'
import { Agent, interceptors, MockAgent, type Dispatcher } from 'undici'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { rejection } from '../helpers/rejection.ts'
import { startOutside } from '../helpers/outside.ts'
import { Browser } from '../helpers/browser.ts'
import { buildApp } from '../helpers/build-app.ts'
import { startProvider } from '../helpers/provider.ts'

for (const [name, compose] of Object.entries<(agent: Agent) => Dispatcher>({
  'an agent with redirect()': agent => agent.compose(interceptors.redirect({ maxRedirections: 5 })),
  'an agent with retry() and redirect()': agent =>
    agent.compose(interceptors.retry({ maxRetries: 1 }), interceptors.redirect({ maxRedirections: 5 }))
})) {
  t.test(`${name} as dispatcher`, async (t) => {
    const outside = await startOutside(t)
    const agent = new Agent()
    t.after(() => agent.destroy())
    const dispatcher = compose(agent)
    const app = await loggedInApp(t, { oauth: { dispatcher } })
    const { run, provider } = app
    const away = (status: number) => `redirect?status=${status}&to=${encodeURIComponent(outside.url)}`

    for (const status of [301, 302, 303, 307, 308]) {
      t.test(`a ${status} is not followed with the bearer`, async (t) => {
        for (const method of ['get', 'post'] as const) {
          const { statusCode, headers, body } = await run(oauth => oauth[method](away(status)))
          await body.dump()
          t.equal(statusCode, status)
          t.equal(headers.location, outside.url)
          t.match(await rejection(run(oauth => oauth[method](away(status)).json())), { responseStatus: status })
        }
        t.strictSame(outside.seen, [])
      })
    }

    t.test('fetch follows, hop by hop and without the bearer', async (t) => {
      await (await run(oauth => oauth.fetch(away(307), { headers: { 'x-api-key': 'key' } }))).text()
      t.equal(outside.seen.length, 1)
      t.notOk('authorization' in outside.seen[0]!.headers || 'x-api-key' in outside.seen[0]!.headers)
    })

    t.test('a token request is not carried on', async (t) => {
      outside.seen.length = 0
      provider.failTokenEndpoint({ status: 307, headers: { location: outside.url } })
      await rejection(run(oauth => oauth.refresh()))
      t.strictSame(outside.seen, [])
    })
  })
}

t.test('a login through a dispatcher that follows redirects does not hand the secret on', async (t) => {
  const outside = await startOutside(t)
  const agent = new Agent()
  t.after(() => agent.destroy())
  const provider = await startProvider(t)
  const { url } = await buildApp(t, {
    oauth: {
      providers: { acme: provider.providerOptions },
      dispatcher: agent.compose(interceptors.redirect({ maxRedirections: 5 }))
    }
  })
  provider.failTokenEndpoint({ status: 307, headers: { location: outside.url } })
  const page = await new Browser().login(`${url}/login/acme`)
  t.not(page.status, 200)
  t.equal(provider.tokenRequests.length, 1)
  t.strictSame(outside.seen, [])
})

t.test('a MockAgent as dispatcher', async (t) => {
  const agent = new MockAgent()
  t.after(() => agent.close())
  agent.enableNetConnect()
  const { run } = await loggedInApp(t, {
    oauth: { dispatcher: agent },
    provider: { resourceServers: ['https://api.example/v1/'] }
  })
  const { accessToken } = await run(oauth => oauth.tokens())
  const api = agent.get('https://api.example')
  const authorization = `Bearer ${accessToken}`

  t.test('json()', async (t) => {
    api.intercept({ path: '/v1/orders', headers: { authorization } }).reply(200, [{ id: 1 }])
    t.strictSame(await run(oauth => oauth.get('orders').json()), [{ id: 1 }])
  })

  t.test('awaited', async t => {
    api
      .intercept({ path: '/v1/orders', method: 'POST', body: '{"a":1}', headers: { authorization } })
      .reply(201, 'made', { headers: { 'x-a': 'b' } })
    const { statusCode, headers, body } = await run(oauth => oauth.post('orders', { json: { a: 1 } }))
    t.equal(statusCode, 201)
    t.equal(headers['x-a'], 'b')
    t.equal(await body.text(), 'made')
  })

  t.test('fetch', async (t) => {
    api.intercept({ path: '/v1/orders', headers: { authorization } }).reply(200, [{ id: 1 }])
    t.strictSame(await (await run(oauth => oauth.fetch('orders'))).json(), [{ id: 1 }])
  })

  t.test('an error of its own', async (t) => {
    api.intercept({ path: '/v1/orders' }).replyWithError(new Error('mocked'))
    t.match(await rejection(run(oauth => oauth.get('orders').json())), {
      code: 'FST_OAUTH_API_UNAVAILABLE',
      cause: { message: 'mocked' }
    })
  })

  t.test('what it says of a request that it does not know holds no token', async (t) => {
    api.intercept({ path: '/v1/orders', headers: { authorization: 'Bearer other' } }).reply(200, '')
    agent.disableNetConnect()
    for (const error of [
      await rejection(run(oauth => oauth.get('orders').json())),
      await rejection(run(oauth => oauth.get('orders')))
    ]) {
      t.match(error, { code: 'FST_OAUTH_API_UNAVAILABLE' })
      t.match((error as { cause?: Error }).cause?.message, /Mock dispatch not matched/)
      t.notOk(inspect(error, { depth: Infinity, showHidden: true }).includes(accessToken))
    }
  })
})

t.test('a dispatcher of the app\'s own stays open when the app closes', async (t) => {
  const outside = await startOutside(t)
  const dispatcher = new Agent()
  t.after(() => dispatcher.destroy())
  await t.test('an app', async (t) => { await loggedInApp(t, { oauth: { dispatcher } }) })
  t.notOk(dispatcher.closed || dispatcher.destroyed)
  const { origin } = new URL(outside.url)
  t.equal((await dispatcher.request({ origin, path: '/', method: 'GET' })).statusCode, 200)
})

t.test('API calls do not keep the provider\'s connections, nor the other way round', async (t) => {
  const { run, provider } = await loggedInApp(t)
  const gate = provider.api.holdSlow()
  // More than the connections that an origin may have.
  const calls = Promise.all(Array.from({ length: 300 }, () => run(oauth => oauth.get('slow').json())))
  await gate.arrivedTimes(256)
  t.match(await run(oauth => oauth.userinfo()), { sub: 'alice' })
  gate.release()
  t.equal((await calls).length, 300)
})
