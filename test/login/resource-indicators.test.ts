import t, { type Test } from 'tap'
import type { ProviderOptions } from '../../lib/index.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { loginApp } from '../helpers/login-app.ts'
import { tokenRecords } from '../helpers/records.ts'
import { scriptProvider, startScriptServer } from '../helpers/script-server.ts'

const one = 'https://one.example/api'
const two = 'https://two.example/api'

/** An app whose login names resources, at a small provider that takes any of them. */
async function namingApp (t: Test, provider: Partial<ProviderOptions>) {
  const app = await loggedInApp(t, { wrong: {}, provider })
  const named = () => app.provider.asked('token').map(({ form }) => form.getAll('resource'))
  return { ...app, named }
}

t.test('`resource` kept on refresh', async (t) => {
  const { provider, run } = await loggedInApp(t, {
    oidc: { resourceServers: { [one]: 'orders:read', [two]: 'orders:read' } },
    provider: { authorizationParams: { resource: one } }
  })
  await run(oauth => oauth.refresh())
  await run(oauth => oauth.refresh())
  t.strictSame(provider.tokenRequests.map(({ body }) => body.resource), [one, one, one])
})

t.test('several resources are repeated in the code exchange and in each refresh', async (t) => {
  const app = await namingApp(t, { authorizationParams: { resource: [one, two] } })
  await app.run(oauth => oauth.refresh())
  t.strictSame(app.provider.asked('authorization')[0]!.query.getAll('resource'), [one, two])
  t.strictSame(app.named(), [[one, two], [one, two]])
})

t.test('what the token request names is what refreshes name, where tokenParams say otherwise', async (t) => {
  const app = await namingApp(t, { authorizationParams: { resource: [one, two] }, tokenParams: { resource: two } })
  await app.run(oauth => oauth.refresh())
  t.strictSame(app.named(), [[two], [two]])
})

t.test('refreshParams win, and those of one refresh win over them', async (t) => {
  const app = await namingApp(t, { authorizationParams: { resource: one }, refreshParams: { resource: two } })
  await app.run(oauth => oauth.refresh())
  await app.run(oauth => oauth.refresh({ params: { resource: 'https://three.example' } }))
  await app.run(oauth => oauth.refresh())
  t.strictSame(app.named(), [[one], [two], ['https://three.example'], [two]])
})

t.test('the resource of one login is that login\'s alone', async (t) => {
  const app = await namingApp(t, {})
  const { browser, run, named, page } = app
  const started = await page((oauth, _request, reply) => oauth.login(reply, { params: { resource: one } }))
  t.equal(started.status, 200)
  await run(oauth => oauth.refresh())
  await browser.login(`${app.url}/login/acme`)
  await run(oauth => oauth.refresh())
  t.strictSame(named(), [[], [one], [one], [], []])
})

t.test('a login without a resource has nothing of it in its records', async (t) => {
  const { store, browser, url } = await loginApp(t)
  await browser.get(`${url}/login/acme`, { redirect: 'manual' })
  await browser.login(`${url}/login/acme`)
  t.equal(tokenRecords(store).size, 1)
  for (const [, text] of store.records) t.notMatch(text, /resource|dpopKey/)
})

t.test('a session without a request keeps the resource of its login, and of its token request', async (t) => {
  const server = await startScriptServer(t)
  const provider = scriptProvider(t, { ...server.providerOptions, redirectUri: 'http://127.0.0.1:9/cb' })
  const session = provider.session()
  const { state } = await session.authorizationUrl({ params: { resource: [one, two] } })
  await session.fetchTokens({ callbackUrl: `http://127.0.0.1:9/cb?code=c&state=${state}` })
  await session.refresh()
  const other = provider.session()
  await other.fetchTokens({ username: 'u', password: 'p', params: { resource: one } })
  await other.refresh()
  t.strictSame(server.tokenRequests.map(({ form }) => form.resource), [[one, two], [one, two], one, one])
})

t.test('the app\'s own client names its resource at each renewal, once', async (t) => {
  const server = await startScriptServer(t)
  const client = scriptProvider(t, server.providerOptions).clientCredentials({ resource: [one, two] })
  await client.tokens()
  await client.refresh()
  t.strictSame(server.tokenRequests.map(({ form }) => form.resource), [[one, two], [one, two]])
})

t.test('a record whose resource is something else counts as absent', async (t) => {
  const app = await namingApp(t, { authorizationParams: { resource: one } })
  for (const [id, text] of app.store.records) {
    const envelope = JSON.parse(text)
    if (envelope.record?.tokens === undefined) continue
    envelope.record.resource = { toString: 'evil' }
    envelope.record.version++
    app.store.records.set(id, JSON.stringify(envelope))
  }
  const failed = await app.run(oauth => oauth.refresh().catch((error: unknown) => error))
  t.match(failed, { code: 'FST_OAUTH_LOGIN_ENDED' })
  t.equal(app.named().length, 1)
})
