import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { MockAgent, request } from 'undici'
import { createProvider } from '../../lib/index.ts'
import { matchEach } from '../helpers/match-each.ts'
import { startOutside } from '../helpers/outside.ts'
import { createTestProvider, type TestFault, type TestProviderOptions } from '../../lib/testing.ts'

const API = 'https://api.acme.example/'

/** A provider, and the app's own client at it: the shortest way to a token. */
async function start (t: Test, options?: TestProviderOptions) {
  const provider = await createTestProvider(options)
  t.after(() => provider.close())
  provider.api(API, ({ headers }) => ({ authorization: headers.authorization }))
  const app = createProvider({ ...provider.options, resourceServers: [API] }, { dispatcher: provider.dispatcher })
  t.after(() => app.close())
  const client = app.clientCredentials({ scope: ['orders:read'] })
  const token = async () => {
    const { authorization } = await client.get('orders').json<{ authorization: string }>()
    return authorization
  }
  return { provider, client, token }
}

t.test('a real issuer answers without a port, and tells what it saw', async (t) => {
  const { provider, token } = await start(t, { issuer: 'https://id.acme.example/tenant' })
  t.match(await token(), /^Bearer ./)
  const [discovery, tokens, ...others] = provider.requests
  t.strictSame(others, [])
  t.match(discovery, { endpoint: 'discovery', method: 'GET' })
  t.match(tokens, {
    endpoint: 'token',
    method: 'POST',
    params: { grant_type: 'client_credentials', scope: 'orders:read' },
    processed: true,
    answer: { status: 200, body: { scope: 'orders:read' } }
  })
  const credentials = Buffer.from(tokens!.headers.authorization!.slice('Basic '.length), 'base64').toString()
  t.equal(credentials, 'test-client:test-secret', 'secrets are as they were sent')
  t.strictSame(provider.errors, [])
})

t.test('time moves for the provider and the plugin', async (t) => {
  const { provider, token } = await start(t, { accessTokenTtl: 60 })
  const [wall, steady] = [Date.now(), performance.now()]
  const first = await token()
  provider.advance(20)
  t.equal(await token(), first)
  provider.advance(40)
  t.not(await token(), first)
  for (const moved of [Date.now() - wall, new Date().getTime() - wall, performance.now() - steady]) {
    t.ok(moved >= 60_000 && moved < 90_000, `${moved} ms`)
  }
  t.ok(new Date() instanceof Date)
  t.equal(new Date(5).getTime(), 5)
  t.throws(() => provider.advance(-1), { code: 'FST_OAUTH_INVALID_OPTIONS' })
  await provider.close()
  t.ok(Math.abs(Date.now() - wall) < 30_000, 'and is the real one again')
  t.notOk(Object.hasOwn(performance, 'now'))
})

t.test('the next request fails as told, and the one after it does not', async (t) => {
  const { provider, client, token } = await start(t)
  const faults = [
    [503, { code: 'FST_OAUTH_PROVIDER_UNAVAILABLE', responseStatus: 503 }],
    [{ error: 'invalid_client' }, { oauthError: 'invalid_client', responseStatus: 401 }],
    [{ error: 'invalid_scope', error_description: 'no' }, { oauthError: 'invalid_scope', oauthErrorDescription: 'no' }],
    [{ status: 429, headers: { 'retry-after': '7' } }, { retryAfter: 7 }],
    ['network_error', { code: 'FST_OAUTH_PROVIDER_UNAVAILABLE', reason: 'no_answer' }],
    ['answer_lost', { code: 'FST_OAUTH_PROVIDER_UNAVAILABLE', reason: 'no_answer' }],
    [() => ({ status: 200, body: 'no JSON' }), { code: 'FST_OAUTH_INVALID_TOKEN_RESPONSE' }]
  ] satisfies [TestFault, object][]
  for (const [fault, error] of faults) {
    provider.failNext('token', fault)
    await t.rejects(client.get('orders').json(), { name: /./, ...error }, JSON.stringify(fault))
  }
  t.strictSame(provider.requests.filter(({ endpoint }) => endpoint === 'token').map(({ processed }) => processed),
    [false, false, false, false, false, true, false])
  t.match(await token(), /^Bearer ./)
  t.throws(() => provider.failNext('tokens' as 'token', 503), /no endpoint "tokens"; write one of discovery, jwks/)
  t.throws(() => provider.failNext('token', 'timeout' as 'network_error'), /no fault "timeout"; write one of network_er/)
})

t.test('a request is held until a gate opens, or a promise is settled', async (t) => {
  const { provider, token } = await start(t)
  let settle = () => {}
  const gate = provider.hold('token', { until: new Promise<void>((resolve) => { settle = resolve }) })
  const waiting = token()
  t.match(await gate.arrived, { endpoint: 'token', processed: false })
  settle()
  t.match(await waiting, /^Bearer ./)
})

t.test('tokens are revoked at the provider', async (t) => {
  const { provider, token } = await start(t)
  const first = await token()
  let refused = 0
  provider.api(API, async ({ headers }) => {
    const good = await provider.isActive(headers.authorization!.split(' ')[1]!)
    if (good) return { authorization: headers.authorization }
    refused++
    return new Response(null, { status: 401, headers: { 'www-authenticate': 'Bearer error="invalid_token"' } })
  })
  t.equal(await token(), first)
  provider.expireAccessTokens()
  t.not(await token(), first)
  t.equal(refused, 1)
})

t.test('an API is a function or a Fastify app, and the longest URL wins', async (t) => {
  const { provider } = await start(t)
  const app = Fastify()
  app.get('/v1/orders', async ({ protocol, hostname }) => ({ protocol, hostname }))
  provider.api(`${API}v1/`, app)
  provider.api(`${API}broken`, () => { throw new Error('a mistake of the test') })
  provider.api('https://id.test/custom', () => 'beside the provider itself')
  const { dispatcher } = provider
  const get = async (url: string) => await request(url, { dispatcher })
  t.strictSame(await (await get(`${API}v1/orders`)).body.json(), { protocol: 'https', hostname: 'api.acme.example' })
  t.equal((await get(`${API}v1/nothing`)).statusCode, 404)
  t.strictSame(await (await get(`${API}v2/`)).body.json(), {})
  t.match(await (await get(`${API}broken`)).body.text(), 'a mistake of the test')
  t.equal(await (await get('https://id.test/custom')).body.json(), 'beside the provider itself')
})

t.test('other origins are reached as always, or through a dispatcher of the test', async (t) => {
  const outside = Fastify()
  outside.get('/', async () => 'outside')
  const url = await outside.listen({ port: 0 })
  t.after(() => outside.close())
  const { provider } = await start(t)
  t.equal(await (await request(url, provider)).body.text(), 'outside')

  const mock = new MockAgent()
  mock.get('https://mocked.example').intercept({ path: '/' }).reply(200, 'mocked')
  const { provider: mocked } = await start(t, { dispatcher: mock })
  t.equal(await (await request('https://mocked.example/', mocked)).body.text(), 'mocked')
  t.equal((await request(`${mocked.issuer}/jwks`, mocked)).statusCode, 200)
  await mocked.close()
  mock.get('https://mocked.example').intercept({ path: '/' }).reply(200, 'still open')
  t.equal((await request('https://mocked.example/', { dispatcher: mock })).statusCode, 200)
})

t.test('several providers at once have issuers of their own, and each reaches the others', async (t) => {
  const [one, two] = [await createTestProvider(), await createTestProvider()]
  t.after(() => Promise.all([one.close(), two.close()]))
  t.strictSame([one.issuer, two.issuer], ['https://id.test', 'https://id2.test'])
  const { issuer } = await (await request(`${two.issuer}/.well-known/openid-configuration`, one)).body.json() as
    { issuer: string }
  t.equal(issuer, two.issuer)
})

t.test('it listens for browsers and other processes', async (t) => {
  const provider = await createTestProvider()
  t.after(() => provider.close())
  const issuer = await provider.listen()
  t.match(issuer, /^http:\/\/127\.0\.0\.1:\d+$/)
  t.strictSame([provider.issuer, provider.options.issuer, await provider.listen()], [issuer, issuer, issuer])
  const metadata = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json() as Record<string, string>
  t.match(metadata, { issuer, token_endpoint: `${issuer}/token` })
  await provider.close()
  await t.rejects(fetch(issuer), { cause: { code: 'ECONNREFUSED' } })
  await provider.close()
})

t.test('options that oidc-provider refuses are refused at once', async (t) => {
  const wrong = createTestProvider({ client: { token_endpoint_auth_method: 'magic' } })
  await t.rejects(wrong, { code: 'FST_OAUTH_INVALID_OPTIONS', message: /token_endpoint_auth_method/ })
})

t.test('nothing of it runs in production', async (t) => {
  const before = process.env.NODE_ENV
  t.after(() => {
    if (before === undefined) delete process.env.NODE_ENV
    else process.env.NODE_ENV = before
  })
  process.env.NODE_ENV = 'production'
  await t.rejects(createTestProvider(), { code: 'FST_OAUTH_INVALID_OPTIONS', message: /NODE_ENV=production/ })
})

t.test('a logout token goes where the client says, and without that the error says what to do', async (t) => {
  const { url, seen } = await startOutside(t)
  const provider = await createTestProvider({ client: { backchannel_logout_uri: `${url}ended` } })
  t.after(() => provider.close())
  await provider.listen()
  await provider.backchannelLogout('alice')
  matchEach(t, seen, [{ method: 'POST', url: '/ended', body: /^logout_token=/ }])
  const unregistered = await createTestProvider()
  t.after(() => unregistered.close())
  await t.rejects(unregistered.backchannelLogout('alice'), {
    code: 'FST_OAUTH_INVALID_OPTIONS', message: /backchannel_logout_uri/
  })
})
