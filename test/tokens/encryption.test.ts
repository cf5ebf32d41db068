import t, { type Test } from 'tap'
import { Browser } from '../helpers/browser.ts'
import type { TestCluster } from '../helpers/cluster.ts'
import { captureLog } from '../helpers/log.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'

// What `encryptionKeys` promises, on a real Redis. Each app of a cluster has keys of its own.

const [oldKey, newKey] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)]

/** Alice, logged in at the first of as many apps as there are lists of keys. */
async function start (t: Test, keys: readonly (readonly Buffer[])[]) {
  const log = captureLog()
  const cluster = await loggedInApp(t, {
    processes: keys.length,
    fastify: { logger: log.logger },
    ownBaseUrls: true, // the first app may not be able to read a login that another began
    oauth: index => ({ encryptionKeys: [...keys[index]!] }),
    setup: (app) => { app.get('/private', { onRequest: app.oauth.requireLogin() }, async () => 'private') }
  })
  const warnings = () =>
    log.lines.filter(({ level, msg }) => level === 40 && String(msg).includes('cannot be decrypted'))
  return cluster === undefined ? undefined : { ...cluster, warnings }
}

/** The keys of token records: no user's list of logins, no mark of an ended session. */
const recordKeys = async ({ client }: Pick<TestCluster, 'client'>) =>
  (await client.keys('oauth:*')).filter(key => !/^oauth:\w+:/.test(key))

const sealedOf = async ({ client }: Pick<TestCluster, 'client'>, key: string) =>
  JSON.parse(await client.hGet(key, 'd') ?? '{}') as { key: string, sealed: string, provider: string, subject: string }

t.test('what stands in Redis holds nothing readable but provider, user and version', async (t) => {
  const setup = await start(t, [[oldKey]])
  if (setup === undefined) return
  const { client, provider, apps: [app] } = setup
  await new Browser().get(`${app!.url}/login/acme`, { redirect: 'manual' })
  const dump = (
    await Promise.all((await client.keys('oauth:*')).map(async key => JSON.stringify(await client.hGetAll(key))))
  ).join()
  const {
    access_token: access, refresh_token: refresh, id_token: id
  } = provider.tokenRequests[0]!.answer!.body as Record<string, string>
  t.equal((await client.keys('oauth:login:*')).length, 1, 'a login under way')
  for (const secret of [access!, refresh!, id!, 'codeVerifier', 'alice@', 'sessionId']) {
    t.notOk(dump.includes(secret), secret)
  }
  t.match(await sealedOf(setup, (await recordKeys(setup))[0]!), { provider: 'acme', subject: 'alice', sealed: String })
})

t.test('a login goes on with a new first key, and moves to it when it is written', async (t) => {
  const setup = await start(t, [[oldKey], [newKey, oldKey], [newKey]])
  if (setup === undefined) return
  const { provider, browser, apps: [, rotating, after], warnings } = setup
  const [key] = await recordKeys(setup)
  const sealedWith = async () => (await sealedOf(setup, key!)).key
  const old = await sealedWith()

  provider.expireAccessTokens()
  t.equal((await browser.get(`${rotating!.url}/private`)).status, 200, 'read with the second key')
  t.equal(await sealedWith(), old, 'and left as it is')
  t.equal((await browser.get(`${rotating!.url}/orders`)).status, 200, 'refreshed')
  t.not(await sealedWith(), old)
  t.equal((await browser.get(`${after!.url}/orders`)).status, 200, 'and read without the old key')
  t.strictSame(warnings(), [])
})

t.test('records of two users that are swapped in Redis are refused: logged out, a warning, no 500', async (t) => {
  const setup = await start(t, [[oldKey]])
  if (setup === undefined) return
  const { client, apps: [app], browser: alice, provider, warnings } = setup
  const bob = new Browser()
  const [first] = await recordKeys(setup)
  await bob.login(`${app!.url}/login/acme`, { user: 'bob' })
  const second = (await recordKeys(setup)).find(key => key !== first)!
  await client.rename(first!, 'aside')
  await client.rename(second, first!)
  await client.rename('aside', second)
  const calls = provider.api.requests.length
  for (const browser of [alice, bob]) {
    t.match((await browser.get(`${app!.url}/orders`)).json(), { statusCode: 401, code: 'FST_OAUTH_LOGIN_ENDED' })
    t.strictSame((await browser.get(app!.url)).json(), { user: null })
  }
  t.equal(provider.api.requests.length, calls, 'no call was made as the other user')
  t.equal(warnings().length >= 2, true)
})

t.test('neither the subject nor the version of a record can be changed in Redis', async (t) => {
  for (const change of [{ subject: 'bob' }, { version: 7 }, { provider: 'other' }]) {
    const setup = await start(t, [[oldKey]])
    if (setup === undefined) return
    const { client, orders, warnings } = setup
    const [key] = await recordKeys(setup)
    await client.hSet(key!, 'd', JSON.stringify({ ...await sealedOf(setup, key!), ...change }))
    t.equal((await orders()).status, 401, JSON.stringify(change))
    t.ok(warnings().length > 0)
  }
})

t.test('a user whose key is gone is logged out, may log in again, and is found by logoutUser', async t => {
  const setup = await start(t, [[oldKey], [newKey]])
  if (setup === undefined) return
  const { browser, apps: [, after], warnings } = setup
  const call = await browser.get(`${after!.url}/orders`)
  t.match(call.json(), { statusCode: 401, code: 'FST_OAUTH_LOGIN_ENDED' })
  t.match(warnings(), [{ provider: 'acme' }])
  t.strictSame((await browser.get(after!.url)).json(), { user: null })
  t.equal(
    (await browser.get(`${after!.url}/private`, { redirect: 'manual' })).status,
    302,
    'a page load is sent to log in'
  )

  t.strictSame((await browser.login(`${after!.url}/login/acme`)).json(), { user: 'alice' })
  t.equal((await browser.get(`${after!.url}/orders`)).status, 200)
  t.equal(await after!.app.oauth.logoutUser({ provider: 'acme', subject: 'alice' }), 1)
  t.strictSame((await browser.get(after!.url)).json(), { user: null })
})
