import { Readable } from 'node:stream'
import t, { type Test } from 'tap'
import { loggedInApp, type LoggedInAppOptions } from '../helpers/logged-in-app.ts'
import { expireTokens } from '../helpers/records.ts'
import { until } from '../helpers/until.ts'

// What a call does with a token that is near its end, and still valid.

/** An app whose user has a token of one hour, with so many seconds left. */
async function appWithTokenOf (t: Test, seconds: number, options: LoggedInAppOptions = {}) {
  const setup = await loggedInApp(t, options)
  const { store, provider } = setup
  const [id, text] = [...store.records].find(([, text]) => text.includes('accessToken'))!
  const envelope = JSON.parse(text)
  envelope.record.obtainedAt -= 3600
  envelope.record.tokens.expiresAt = Math.floor(Date.now() / 1000) + seconds
  store.records.set(id, JSON.stringify(envelope))
  const old = `Bearer ${envelope.record.tokens.accessToken}`
  return { ...setup, old, lastToken: () => provider.api.requests.at(-1)?.authorization }
}

t.test('a token with more than expiryLeeway left is not refreshed', async t => {
  const { app, orders, refreshes, old, lastToken } = await appWithTokenOf(t, 90)
  t.equal((await orders()).status, 200)
  t.equal(lastToken(), old)
  await app.close() // when refreshes under way are over
  t.equal(refreshes(), 0)
})

t.test('refreshAhead: false: a token is used to its end, and refreshed then', async t => {
  const setup = await appWithTokenOf(t, 5, { provider: { refreshAhead: false } })
  const { orders, refreshes, store, old, lastToken } = setup
  t.equal((await orders()).status, 200)
  t.equal(lastToken(), old)
  t.equal(refreshes(), 0)
  expireTokens(store)
  t.equal((await orders()).status, 200)
  t.not(lastToken(), old)
  t.equal(refreshes(), 1)
})

t.test('in the last third of expiryLeeway a call waits for the refresh: the token could expire on its way', async t => {
  const { orders, refreshes, old, lastToken } = await appWithTokenOf(t, 5)
  t.equal((await orders()).status, 200)
  t.not(lastToken(), old)
  t.equal(refreshes(), 1)
})

t.test('a call whose body cannot be sent again waits for the refresh', async t => {
  const { run, refreshes, old, lastToken } = await appWithTokenOf(t, 25)
  const status = await run(async oauth => (await oauth.post('orders', { body: Readable.from(['tea']) })).statusCode)
  t.equal(status, 201)
  t.not(lastToken(), old)
  t.equal(refreshes(), 1)
})

t.test('a token with seconds left is used where the provider is away', async t => {
  const { provider, orders, refreshes, old, lastToken } = await appWithTokenOf(t, 5)
  provider.failTokenEndpoint({ status: 503 })
  t.equal((await orders()).status, 200)
  t.equal(lastToken(), old)
  t.equal(refreshes(), 1)
})

t.test('a token with seconds left is used where Redis takes no writes', async t => {
  const cluster = await loggedInApp(t, { processes: 1, session: { rolling: false } })
  if (cluster === undefined) return
  const { client, key, tokenRecords, orders, refreshes } = cluster
  const record = (await tokenRecords()).get(key)!
  const expiresAt = Math.floor(Date.now() / 1000) + 5
  const ending = { ...record, obtainedAt: expiresAt - 3600, tokens: { ...record.tokens, expiresAt } }
  await client.hSet(key, 'd', JSON.stringify(ending))
  await client.configSet('maxmemory', '1')
  t.equal((await orders()).status, 200)
  t.equal(refreshes(), 0, 'the lease could not be taken')
  await client.configSet('maxmemory', '0')
  t.equal((await orders()).status, 200)
  t.equal(refreshes(), 1)
})

t.test('a refresh ahead of time that failed is not tried again at the next call', async t => {
  const { app, provider, orders, refreshes } = await appWithTokenOf(t, 25)
  provider.failTokenEndpoint({ status: 503 })
  t.equal((await orders()).status, 200)
  await until(() => refreshes() === 1, 'the refresh is sent')
  for (let call = 0; call < 3; call++) t.equal((await orders()).status, 200)
  await app.close() // when refreshes under way are over
  t.equal(refreshes(), 1)
})
