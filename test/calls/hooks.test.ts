import t from 'tap'
import { createProvider } from '../../lib/index.ts'
import { twitch } from '../../lib/providers.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { matchEach } from '../helpers/match-each.ts'
import { startOutside } from '../helpers/outside.ts'
import { keptTokens, scriptProvider, startScriptServer } from '../helpers/script-server.ts'
import { until } from '../helpers/until.ts'

t.test("a session's hook before a call does not take the provider's away, which runs first", async (t) => {
  const server = await startScriptServer(t)
  const order: string[] = []
  const provider = scriptProvider(t, {
    ...server.providerOptions,
    hooks: {
      protectedRequest: async ({ headers }) => {
        await Promise.resolve()
        order.push("provider's")
        headers['x-tenant'] = 'first'
        headers['x-order'] = 'first'
      }
    }
  })
  const session = provider.session({
    tokens: keptTokens(3600),
    hooks: {
      protectedRequest: ({ headers }) => {
        order.push(`session's after ${String(headers['x-order'])}`)
        headers['x-order'] = 'second'
      }
    }
  })
  await session.get('orders').json()
  await (await session.fetch('orders')).text()
  matchEach(t, server.calls, [
    { headers: { 'x-tenant': 'first', 'x-order': 'second' } },
    { headers: { 'x-tenant': 'first', 'x-order': 'second' } }
  ])
  t.strictSame(order, ["provider's", "session's after first", "provider's", "session's after first"])
})

t.test('a preset keeps the header that its API needs where the session has a hook of its own', async (t) => {
  const server = await startScriptServer(t)
  const { providerOptions } = server
  const provider = scriptProvider(
    t,
    twitch({ ...providerOptions, issuer: providerOptions.tokenEndpoint!.replace('/token', '') })
  )
  const session = provider.session({
    tokens: keptTokens(3600),
    hooks: { protectedRequest: ({ headers }) => { headers['x-own'] = 'yes' } }
  })
  await session.get('users').json()
  matchEach(t, server.calls, [{ headers: { 'client-id': 'script', 'x-own': 'yes' } }])
})

t.test('what a hook adds to a call stays away from a server that does not get the token', async (t) => {
  const outside = await startOutside(t)
  const server = await startScriptServer(t)
  let asked = 0
  const protectedRequest = ({ headers }: { headers: Record<string, unknown> }) => {
    asked++
    headers['x-api-key'] = 'secret of the app'
  }

  await t.test('of a session', async t => {
    const session = scriptProvider(t, server.providerOptions).session({
      tokens: keptTokens(3600),
      hooks: { protectedRequest }
    })
    await session.get(outside.url, { withholdToken: true }).json()
  })

  await t.test('of a session that withholds its token', async (t) => {
    const provider = scriptProvider(t, { ...server.providerOptions, hooks: { protectedRequest } })
    await provider.session({ tokens: keptTokens(3600), withholdToken: true }).get(outside.url).json()
    await (await provider.session({ tokens: keptTokens(3600), withholdToken: true }).fetch(outside.url)).text()
  })

  await t.test('of a request', async (t) => {
    const { run } = await loggedInApp(t, { provider: { hooks: { protectedRequest } } })
    await run(oauth => oauth.get(outside.url, { withholdToken: true }).json())
    await run(oauth => oauth.post(outside.url, { withholdToken: true, json: {} }))
    t.equal(asked, 0)
    await run(oauth => oauth.get('orders').json())
    t.equal(asked, 1, 'it is there where the token goes')
  })

  t.equal(outside.seen.length, 5)
  t.strictSame(outside.seen.filter(({ headers }) => 'x-api-key' in headers), [])
})

t.test("a session's hook for a stage that there is not is refused by name: it would never run", async t => {
  const provider = createProvider({
    authorizationEndpoint: 'https://id.example/authorize', tokenEndpoint: 'https://id.example/token', clientId: 'app'
  })
  t.after(() => provider.close())
  for (const [hooks, said] of [
    [{ tokenRequest: () => {} }, 'hooks.tokenRequest is no option'],
    [{ refreshTokenrequest: () => {} }, 'did you mean refreshTokenRequest'],
    [{ protectedRequest: 5 }, 'hooks.protectedRequest must be a function'],
    [null, 'hooks must be an object, not null']
  ] as const) {
    const error = { code: 'FST_OAUTH_INVALID_OPTIONS', message: new RegExp(said) }
    t.throws(() => provider.session({ hooks: hooks as never }), error)
  }
})

for (const [when, secondsLeft] of [['ahead of time', 20], ['that a call waits for', 5]] as const) {
  t.test(`hooks and parameters of a session, after its provider's, apply to a refresh ${when}`, async (t) => {
    const server = await startScriptServer(t)
    server.answerTokens = () => [
      200,
      { wrapped: { access_token: 'access-1', refresh_token: 'refresh-1', expires_in: 3600 } }
    ]
    const provider = scriptProvider(t, {
      ...server.providerOptions,
      hooks: {
        refreshTokenRequest: ({ body }) => { body.set('first', 'provider') },
        refreshTokenResponse: answer => ({ ...answer, text: answer.text.replace('wrapped', 'unwrapped') })
      }
    })
    const session = provider.session({
      tokens: keptTokens(secondsLeft),
      params: { audience: 'orders' },
      hooks: {
        refreshTokenRequest: ({ body }) => { body.set('second', `after ${body.get('first')}`) },
        refreshTokenResponse: answer => ({ ...answer, text: JSON.stringify(JSON.parse(answer.text).unwrapped) })
      }
    })
    await session.get('orders').json()
    await until(() => session.storedTokens?.refreshToken === 'refresh-1', 'the session has the refreshed tokens')
    matchEach(t, server.tokenRequests, [{ form: { first: 'provider', second: 'after provider', audience: 'orders' } }])
  })
}

t.test('parameters of one refresh go over those of its session, which stay', async (t) => {
  const server = await startScriptServer(t)
  const provider = scriptProvider(t, server.providerOptions)
  const params = { audience: 'orders', resource: ['a', 'b'] }
  await provider.session({ tokens: keptTokens(3600), params }).refresh({ params: { audience: 'bills' } })
  await provider.session({ params }).refresh({ refreshToken: 'refresh-0', params: { audience: 'bills' } })
  for (const { form } of server.tokenRequests) t.match(form, { audience: 'bills', resource: ['a', 'b'] })
  t.equal(server.tokenRequests.length, 2)
})
