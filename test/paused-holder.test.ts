import { createClient } from 'redis'
import t from 'tap'
import { ProviderClient } from '../lib/client/provider-client.ts'
import { Refresher } from '../lib/client/refresher.ts'
import { TokenUpdater } from '../lib/client/token-updater.ts'
import { Transport } from '../lib/client/transport.ts'
import { resolveProvider } from '../lib/providers/config.ts'
import { OptionChecker } from '../lib/providers/option-checker.ts'
import { redisStore, type TokenStore } from '../lib/redis.ts'
import { TokenRecords } from '../lib/session/token-records.ts'
import { startProvider } from './helpers/provider.ts'
import { startRedis } from './helpers/redis.ts'

/** A process with a clock of its own, which can be stopped at any point: that is what its clock shows afterwards. */
function startProcess (store: TokenStore, provider: Awaited<ReturnType<typeof startProvider>>, t: { after: (fn: () => unknown) => unknown }) {
  let pausedMs = 0
  const clock = { now: () => Date.now() / 1000, monotonic: () => performance.now() + pausedMs }
  const transport = new Transport()
  t.after(() => transport.close())
  const records = new TokenRecords(store, clock.monotonic)
  const refresher = new Refresher({ records, clock, log: { warn () {}, info () {} }, updater: new TokenUpdater(records, undefined) })
  const client = new ProviderClient(resolveProvider('acme', provider.providerOptions, new OptionChecker()), transport, clock)
  return { records, refresher, client, pause: (ms: number) => { pausedMs += ms } }
}

const tokens = (refreshToken: string) => ({ accessToken: 'old', tokenType: 'Bearer', expiresAt: 1, refreshToken, scope: [], raw: {} })

t.test('a holder that was stopped past its time and goes on sends nothing, and the login lives', async (t) => {
  const redis = await startRedis(t)
  if (redis === undefined) return
  const connection = await createClient({ url: redis.url }).connect()
  t.after(() => connection.destroy())
  const provider = await startProvider(t)
  const store = redisStore(connection)

  let stopAfterBegin = true
  const stopping: TokenStore = {
    get: id => store.get(id),
    set: (id, record, options) => store.set(id, record, options),
    take: id => store.take(id),
    touch: (id, options) => store.touch(id, options),
    delete: id => store.delete(id),
    end: (id, outcome) => store.end!(id, outcome),
    begin: async (id, intent) => {
      const begun = await store.begin!(id, intent)
      if (stopAfterBegin) stopped.pause(10_000)
      stopAfterBegin = false
      return begun
    }
  }
  const stopped = startProcess(stopping, provider, t)
  const id = await stopped.records.create({ provider: 'acme', tokens: tokens('not-issued'), obtainedAt: 0, ttl: 60, user: null })
  await t.rejects(stopped.refresher.refresh(stopped.client, id, { version: 1 }), { code: 'FST_OAUTH_PROVIDER_UNAVAILABLE', reason: 'not_sent' })
  t.equal(provider.tokenRequests.length, 0)
  t.match(await store.get(id), { version: 1 }, 'the login is still there')

  const other = startProcess(store, provider, t)
  await t.rejects(other.refresher.refresh(other.client, id, { version: 1 }), { code: 'FST_OAUTH_LOGIN_ENDED' }, 'another process goes on at once: here, to hear that the token is none')
  t.equal(provider.tokenRequests.length, 1)
})
