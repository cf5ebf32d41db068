import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { createClient } from 'redis'
import t, { type Test } from 'tap'
import { redisStore } from '../../lib/redis.ts'
import type { HolderOptions } from '../helpers/lease-holder-process.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { startProvider } from '../helpers/provider.ts'
import { startRedis } from '../helpers/redis.ts'
import { startTokenProcess, tokenSet } from '../helpers/token-process.ts'
import { wrappedStore } from '../helpers/wrapped-store.ts'

/** Starts a process that begins a refresh, and waits there. */
async function startHolder (t: Test, options: HolderOptions) {
  const program = fileURLToPath(new URL('../helpers/lease-holder-process.ts', import.meta.url))
  const child = fork(program, [JSON.stringify(options)])
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

t.test('a lease holder that SIGSTOP stopped until its lease is over sends nothing when it goes on', async (t) => {
  const setup = await loggedInApp(t, { processes: 1 })
  if (setup === undefined) return
  const { provider, client, redis, key, expireTokens, orders, refreshes } = setup
  await expireTokens()
  const { providerOptions } = provider
  const holder = await startHolder(t, { redisUrl: redis.url, providerOptions, id: key.slice('oauth:'.length) })
  holder.stop()
  t.equal((await orders()).status, 200, 'another process goes on when the lease is over')
  t.equal(refreshes(), 1)
  t.equal(await client.hExists(key, 'o'), 0)
  t.match(await holder.goOn(), { code: 'FST_OAUTH_PROVIDER_UNAVAILABLE', reason: 'not_sent' })
  t.equal(refreshes(), 1)
  await expireTokens()
  t.equal((await orders()).status, 200)
  t.equal(provider.refreshTokenReuses, 0)
})

t.test('a lease holder that was not stopped sends', async (t) => {
  const setup = await loggedInApp(t, { processes: 1 })
  if (setup === undefined) return
  const { provider, redis, key } = setup
  const { providerOptions } = provider
  const holder = await startHolder(t, { redisUrl: redis.url, providerOptions, id: key.slice('oauth:'.length) })
  t.match(await holder.goOn(), { version: Number })
  t.equal(provider.refreshTokensSeen.size, 1)
})

t.test('a lease holder whose clock says that it was stopped sends nothing, and gives its lease up at once', async t => {
  const redis = await startRedis(t)
  if (redis === undefined) return
  const connection = await createClient({ url: redis.url }).connect()
  t.after(() => connection.destroy())
  const provider = await startProvider(t)
  const store = redisStore(connection)
  const stopping = wrappedStore(store, store => ({
    acquireRefresh: async (id, lease) => {
      const begun = await store.acquireRefresh(id, lease)
      stopped.pass(10_000)
      return begun
    }
  }))
  const stopped = startTokenProcess(t, stopping, provider)
  const id = await stopped.records.create({
    version: 1,
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
})
