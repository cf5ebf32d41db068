import t, { type Test } from 'tap'
import { redisStore } from '../../lib/redis.ts'
import type { PluginOptions, ProviderOptions } from '../../lib/index.ts'
import { answerLost } from '../helpers/faults.ts'
import { deferred, Gate } from '../helpers/gate.ts'
import { captureLog } from '../helpers/log.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { wrappedStore } from '../helpers/wrapped-store.ts'

// Refreshes that were begun and never finished: their process died, or the response never came.

type AppOptions = Partial<PluginOptions> & { hooks?: ProviderOptions['hooks'] }

async function refreshApps (
  t: Test, processes: number, options: (index: number, client: object) => AppOptions = () => ({})
) {
  const log = captureLog()
  const cluster = await loggedInApp(t, {
    processes,
    fastify: { logger: log.logger },
    oauth: (index, client, { providerOptions }) => {
      const { hooks = {}, ...oauth } = options(index, client)
      return { providers: { acme: { ...providerOptions, requestTimeout: 2_000, hooks } }, ...oauth }
    },
    setup: app => { app.get('/page', { onRequest: app.oauth.requireLogin() }, async () => 'page') }
  })
  if (cluster === undefined) return undefined
  const { client, key } = cluster
  /** A lease as another process leaves it, which ends in so many milliseconds. */
  const leaveLease = (ms: number) => client.hSet(key, { o: 'another process', u: String(Date.now() + ms) })
  return { ...cluster, log, leaveLease }
}

t.test('a refresh whose process died before it sent anything is done by the next one, once', async t => {
  const setup = await refreshApps(t, 3)
  if (setup === undefined) return
  const { provider, expireTokens, leaveLease, orders, refreshes, apps } = setup
  await expireTokens()
  await leaveLease(-1)
  const answers = await Promise.all(Array.from({ length: 30 }, (_, index) => orders(index % 3)))
  t.equal(answers.every(({ status }) => status === 200), true)
  t.equal(refreshes(), 1)
  t.equal(provider.refreshTokenReuses, 0)
  t.equal(apps[0]!.app.oauth.lostRefreshes, 0)
})

t.test(
  'a refresh whose process died with the response ends the login as FST_OAUTH_REFRESH_LOST, logged and counted; a ' +
    'page load logs in again',
  async t => {
    const setup = await refreshApps(t, 2)
    if (setup === undefined) return
    const { provider, browser, expireTokens, leaveLease, orders, refreshes, apps, log } = setup
    await expireTokens()
    await leaveLease(-1)
    provider.revokeGrants('alice')
    t.match((await orders(1)).json(), { statusCode: 401, code: 'FST_OAUTH_REFRESH_LOST' })
    t.equal(refreshes(), 1, 'tried once')
    t.equal(apps[1]!.app.oauth.lostRefreshes, 1)
    t.match(
      log.lines.filter(({ lost }) => lost !== undefined),
      [{ level: 40, provider: 'acme', lost: 1, err: { oauthError: 'invalid_grant' } }]
    )
    t.match((await orders(0)).json(), { code: 'FST_OAUTH_LOGIN_REQUIRED' })
    const page = await browser.get(`${apps[0]!.url}/page`, { redirect: 'manual' })
    t.equal(page.status, 302)
    t.match(page.location, /\/login\/acme\?returnTo=%2Fpage$/)
  }
)

t.test('a login that the provider ended, with no unfinished refresh, is not reported as a lost refresh', async t => {
  const setup = await refreshApps(t, 1)
  if (setup === undefined) return
  const { provider, expireTokens, orders, apps } = setup
  await expireTokens()
  provider.revokeGrants('alice')
  t.match((await orders(0)).json(), { code: 'FST_OAUTH_LOGIN_ENDED' })
  t.equal(apps[0]!.app.oauth.lostRefreshes, 0)
})

t.test("a call that waits for another process's refresh gets a typed error after requestTimeout", async t => {
  const setup = await refreshApps(t, 2)
  if (setup === undefined) return
  const { expireTokens, leaveLease, orders, refreshes, client, key } = setup
  await expireTokens()
  await leaveLease(60_000)
  const answers = await Promise.all([orders(0), orders(0), orders(1)])
  for (const answer of answers) {
    t.match(answer.json(), { statusCode: 503, code: 'FST_OAUTH_PROVIDER_UNAVAILABLE' })
    t.equal(answer.headers['retry-after'], '1')
  }
  t.equal(refreshes(), 0)
  await client.hDel(key, ['o', 'u'])
  t.equal((await orders(0)).status, 200, 'and nothing is lost')
  t.equal(refreshes(), 1)
})

t.test('a lost refresh is reported as such by a process that did not make it', async t => {
  const setup = await refreshApps(t, 3)
  if (setup === undefined) return
  const { provider, expireTokens, orders } = setup
  await expireTokens()
  provider.failTokenEndpoint(answerLost, { times: 1, grantType: 'refresh_token' })
  t.match((await orders(0)).json(), { code: 'FST_OAUTH_PROVIDER_UNAVAILABLE' })
  provider.failTokenEndpoint({ status: 503 }, { times: 1, grantType: 'refresh_token' })
  t.match((await orders(1)).json(), { code: 'FST_OAUTH_PROVIDER_UNAVAILABLE' })
  t.match((await orders(2)).json(), { code: 'FST_OAUTH_REFRESH_LOST' })
})

t.test('race: a lease that is extended while its refresh fails leaves no lease behind', async t => {
  const beat = new Gate()
  const extended = deferred()
  const refused = deferred()
  let begun = false
  const setup = await refreshApps(t, 2, (index, client) =>
    index === 1
      ? {}
      : {
          hooks: {
            refreshTokenResponse: () => { refused.resolve() }
          },
          tokenStore: wrappedStore(redisStore(client), store => ({
            acquireRefresh: async (id, lease) => {
              const isExtension = begun
              begun = true
              if (isExtension) await beat.pass()
              const result = await store.acquireRefresh(id, lease)
              if (isExtension) extended.resolve()
              return result
            }
          }))
        }
  )
  if (setup === undefined) return
  const { provider, expireTokens, orders, client, key } = setup
  await expireTokens()
  provider.failTokenEndpoint(
    async () => {
      await beat.arrived
      return { status: 400, body: { error: 'invalid_scope' } }
    },
    { times: 1 }
  )
  const call = orders(0)
  await refused.promise
  for (let turn = 0; turn < 3; turn++) await client.ping() // time enough to give the lease up, ahead of its extension
  beat.release()
  t.equal((await call).status, 502)
  await extended.promise
  t.equal(await client.hExists(key, 'o'), 0)
  t.equal((await orders(1)).status, 200, 'other processes go on at once')
})

t.test('a store that fails between the tokens and their ID token loses the ID token alone', async t => {
  let fail = false
  const setup = await refreshApps(t, 1, (_index, client) => ({
    tokenStore: wrappedStore(redisStore(client), store => ({
      set: async (id, record, options) => {
        if (fail && options.onlyIfUnlocked === true) throw new Error('connection lost')
        return await store.set(id, record, options)
      }
    }))
  }))
  if (setup === undefined) return
  const { expireTokens, orders, tokenRecords, refreshes } = setup
  await expireTokens()
  fail = true
  t.equal((await orders(0)).status, 200)
  t.equal([...(await tokenRecords()).values()][0]!.version, 2)
  fail = false
  await expireTokens()
  t.equal((await orders(0)).status, 200)
  t.equal(refreshes(), 2)
})

t.test('a set that the store did not take is used for as long as the store is away', async t => {
  let away = false
  const failing = async <T>(work: () => Promise<T>) => {
    if (away) throw new Error('connection lost')
    return await work()
  }
  const setup = await refreshApps(t, 1, (_index, client) => ({
    hooks: {
      refreshTokenResponse: () => { away = true }
    },
    tokenStore: wrappedStore(redisStore(client), store => ({
      get: async id => await failing(() => store.get(id)),
      set: async (id, record, options) => await failing(() => store.set(id, record, options)),
      finishRefresh: async (id, outcome) => await failing(() => store.finishRefresh(id, outcome))
    }))
  }))
  if (setup === undefined) return
  const { expireTokens, orders, refreshes } = setup
  await expireTokens()
  t.equal((await orders(0)).status, 200, 'the call that refreshed')
  t.equal((await orders(0)).status, 200, 'and a later one')
  away = false
  t.equal((await orders(0)).status, 200)
  t.equal(refreshes(), 1)
})

t.test('an onTokens hook that never ends delays a call for no longer than requestTimeout', async t => {
  let hang = false
  const over = deferred()
  const setup = await refreshApps(t, 1, () => ({
    onTokens: async () => {
      if (hang) await over.promise
    }
  }))
  if (setup === undefined) return
  const { expireTokens, orders } = setup
  await expireTokens()
  hang = true
  t.match((await orders(0)).json(), { code: 'FST_OAUTH_PROVIDER_UNAVAILABLE' }, 'the call that refreshed')
  t.match((await orders(0)).json(), { code: 'FST_OAUTH_PROVIDER_UNAVAILABLE' }, 'and a later one')
  over.resolve()
  t.equal((await orders(0)).status, 200)
})

t.test(
  'a set that could not be written in time does not take the place of one that another process went on with',
  async t => {
    let away = false
    let triedAgain = deferred()
    const failing = <T>(work: () => Promise<T>) => {
      if (away) throw new Error('connection lost')
      return work()
    }
    const setup = await refreshApps(t, 1, (_index, client) => ({
      tokenStore: wrappedStore(redisStore(client), store => ({
        set: async (id, record, options) => await failing(() => store.set(id, record, options)),
        finishRefresh: async (id, outcome) => {
          const ended = await failing(() => store.finishRefresh(id, outcome))
          triedAgain.resolve()
          return ended
        }
      }))
    }))
    if (setup === undefined) return
    const { client, key, expireTokens, orders, refreshes, provider } = setup
    await expireTokens()
    const kept = JSON.parse((await client.hGet(key, 'd')) ?? '{}')
    away = true
    provider.expireAccessTokens()
    t.equal((await orders(0)).status, 200)
    // A set that is in memory alone is not refreshed: others might use its refresh token.
    provider.expireAccessTokens()
    t.match((await orders(0)).json(), { code: 'FST_OAUTH_STORE_UNAVAILABLE' })
    t.equal(refreshes(), 1)

    const others = {
      ...kept,
      version: kept.version + 1,
      tokens: { ...kept.tokens, refreshToken: 'of another process' }
    }
    await client.hDel(key, ['o', 'u'])
    await client.hSet(key, { d: JSON.stringify(others), v: String(others.version) })
    triedAgain = deferred()
    away = false
    await triedAgain.promise
    for (let turn = 0; turn < 5; turn++) await client.ping() // time enough to write over it
    t.match(JSON.parse((await client.hGet(key, 'd')) ?? '{}'), {
      version: others.version,
      tokens: { refreshToken: 'of another process' }
    })
  }
)
