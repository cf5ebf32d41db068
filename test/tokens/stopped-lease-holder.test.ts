import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { createClient } from 'redis'
import t, { type Test } from 'tap'
import { redisStore } from '../../lib/redis.ts'
import { Browser } from '../helpers/browser.ts'
import { startCluster } from '../helpers/cluster.ts'
import type { HolderOptions } from '../helpers/holder-process.ts'
import { startProvider } from '../helpers/provider.ts'
import { startRedis } from '../helpers/redis.ts'
import { startTokenProcess, tokenSet } from '../helpers/token-process.ts'
import { wrappedStore } from '../helpers/wrapped-store.ts'

/** Starts a process that begins a refresh, and waits there. */
async function startHolder (t: Test, options: HolderOptions) {
  const child = fork(fileURLToPath(new URL('../helpers/holder-process.ts', import.meta.url)), [JSON.stringify(options)])
  t.after(() => { child.kill('SIGKILL') })
  const [begun] = await once(child, 'message')
  t.strictSame(begun, { begun: 'begun' })
  return {
    stop: () => { child.kill('SIGSTOP') },
    /** Lets it go on; resolves to how its refresh ended. */
    goOn: async () => {
      child.kill('SIGCONT')
      child.send('go on')
      const [outcome] = await once(child, 'message')
      return outcome as unknown
    }
  }
}

t.test('a holder stopped with SIGSTOP past its time and continued sends nothing, and the login lives', async (t) => {
  const provider = await startProvider(t)
  const cluster = await startCluster(t, provider, 1, {
    setup: app => {
      app.get('/orders', async request => request.oauth.get('orders').json())
    }
  })
  if (cluster === undefined) return
  const { apps: [app], client, redis, expireTokens, tokenRecords } = cluster
  const browser = new Browser()
  await browser.login(`${app!.url}/login/acme`)
  await expireTokens()
  const [key] = (await tokenRecords()).keys()
  const holder = await startHolder(t, {
    redisUrl: redis.url,
    providerOptions: provider.providerOptions,
    id: key!.slice('oauth:'.length)
  })
  holder.stop()
  const refreshes = () => provider.tokenRequests.filter(({ body }) => body.grant_type === 'refresh_token').length
  t.equal((await browser.get(`${app!.url}/orders`)).status, 200, 'another process goes on when the time is over')
  t.equal(refreshes(), 1)
  t.equal(await client.hExists(key!, 'o'), 0)
  t.match(await holder.goOn(), { code: 'FST_OAUTH_PROVIDER_UNAVAILABLE', reason: 'not_sent' })
  t.equal(refreshes(), 1)
  await expireTokens()
  t.equal((await browser.get(`${app!.url}/orders`)).status, 200)
  t.equal(provider.refreshTokenReuses, 0)
})

t.test('a holder that was not stopped sends', async (t) => {
  const provider = await startProvider(t)
  const cluster = await startCluster(t, provider, 1)
  if (cluster === undefined) return
  const { apps: [app], redis, tokenRecords } = cluster
  await new Browser().login(`${app!.url}/login/acme`)
  const [key] = (await tokenRecords()).keys()
  const holder = await startHolder(t, {
    redisUrl: redis.url,
    providerOptions: provider.providerOptions,
    id: key!.slice('oauth:'.length)
  })
  t.match(await holder.goOn(), { version: Number })
  t.equal(provider.refreshTokensSeen.size, 1)
})

t.test(
  'a holder whose clock says that it was stopped sends nothing, and leaves the refresh to others at once',
  async t => {
    const redis = await startRedis(t)
    if (redis === undefined) return
    const connection = await createClient({ url: redis.url }).connect()
    t.after(() => connection.destroy())
    const provider = await startProvider(t)
    const store = redisStore(connection)
    const stopping = wrappedStore(store, store => ({
      acquireRefresh: async (id, intent) => {
        const begun = await store.acquireRefresh(id, intent)
        stopped.pass(10_000)
        return begun
      }
    }))
    const stopped = startTokenProcess(t, stopping, provider)
    const id = await stopped.records.create({
      provider: 'acme',
      providerIdentity: stopped.client.config.identity,
      tokens: tokenSet('not-issued', 1),
      obtainedAt: 0,
      ttl: 60,
      user: null
    })
    await t.rejects(stopped.refresher.refresh(stopped.client, id, { version: 1 }), {
      code: 'FST_OAUTH_PROVIDER_UNAVAILABLE',
      reason: 'not_sent'
    })
    t.equal(provider.tokenRequests.length, 0)
    t.match(await store.get(id), { version: 1 }, 'the login is still there')

    const other = startTokenProcess(t, store, provider)
    await t.rejects(
      other.refresher.refresh(other.client, id, { version: 1 }),
      { code: 'FST_OAUTH_LOGIN_ENDED' },
      'another process goes on at once: here, to hear that the token is none'
    )
    t.equal(provider.tokenRequests.length, 1)
  }
)
