import { createRequire } from 'node:module'
import t, { type Test } from 'tap'
import type { TokenStore } from '../../lib/index.ts'
import { MemoryTokenStore } from '../../lib/tokens/stores/memory-store.ts'
import { buildApp } from '../helpers/build-app.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { startProvider } from '../helpers/provider.ts'
import { rejection } from '../helpers/rejection.ts'
import { startTokenProcess, tokenSet } from '../helpers/token-process.ts'
import { wrappedStore } from '../helpers/wrapped-store.ts'

// How often calls read the store: an incoming request once at most, and the memory of this process never.

const { MemoryStore } = createRequire(import.meta.url)('@fastify/session') as {
  MemoryStore: new (map?: Map<string, object>) => object
}

/** A Map that counts how often a token record is read. */
class CountingMap extends Map<string, object> {
  reads = 0
  override get (id: string) {
    const found = super.get(id)
    if ((found as { record?: { tokens?: unknown } } | undefined)?.record?.tokens !== undefined) this.reads++
    return found
  }
}

/** A store of tokens that counts the reads of token records. */
function countingStore () {
  const counted = { reads: 0, store: undefined as unknown as TokenStore }
  counted.store = wrappedStore(new MemoryTokenStore(), inner => ({
    get: async (id) => {
      if (!id.includes(':')) counted.reads++
      return await inner.get(id)
    }
  }))
  return counted
}

t.test('calls of one app look up no record in a session store in memory that they know', async (t) => {
  const map = new CountingMap()
  const { run } = await loggedInApp(t, { session: { store: new MemoryStore(map) as never } })
  await run(oauth => oauth.get('orders').json())
  map.reads = 0
  await run(oauth => oauth.get('orders').json())
  await run(async oauth => await Promise.all([oauth.get('orders').json(), oauth.get('orders').json()]))
  t.equal(map.reads, 0)
})

t.test('they do where another app has the same memory', async (t) => {
  const map = new CountingMap()
  const { run, provider } = await loggedInApp(t, { session: { store: new MemoryStore(map) as never } })
  await buildApp(t, {
    oauth: { providers: { acme: provider.providerOptions } },
    session: { store: new MemoryStore(map) as never }
  })
  map.reads = 0
  await run(oauth => oauth.get('orders').json())
  t.equal(map.reads, 1)
})

t.test('all calls of a request share one read, the guard and accounts named by using() too', async (t) => {
  const counted = countingStore()
  const { page } = await loggedInApp(t, {
    oauth: { tokenStore: counted.store },
    setup: (app) => { app.addHook('onRequest', app.oauth.requireLogin()) }
  })
  counted.reads = 0
  const { text } = await page(async (oauth) => {
    await Promise.all([oauth.get('orders').json(), oauth.get('orders').json()])
    await oauth.using('acme').get('orders').json()
    return 'called'
  })
  t.equal(text, 'called')
  t.equal(counted.reads, 1)
})

t.test('calls made side by side share one read', async (t) => {
  const counted = countingStore()
  const { run } = await loggedInApp(t, { oauth: { tokenStore: counted.store } })
  counted.reads = 0
  await run(async oauth => await Promise.all([1, 2, 3].map(async () => await oauth.get('orders').json())))
  t.equal(counted.reads, 1)
  await run(oauth => oauth.get('orders').json())
  t.equal(counted.reads, 2, 'the next request reads again')
})

t.test('with tokenCacheMaxAge no request reads, and a refresh and a 401 do', async (t) => {
  const counted = countingStore()
  const { run } = await loggedInApp(t, { oauth: { tokenStore: counted.store, tokenCacheMaxAge: 60 } })
  await run(oauth => oauth.get('orders').json())
  counted.reads = 0
  await run(oauth => oauth.get('orders').json())
  t.equal(counted.reads, 0)
  await run(oauth => oauth.refresh())
  t.ok(counted.reads > 0, 'a refresh reads')
  counted.reads = 0
  t.equal((await run(oauth => oauth.get('status/401'))).statusCode, 401)
  t.ok(counted.reads > 0, 'a renewal after a 401 reads')
})

async function startTwo (t: Test, cacheMs: number) {
  const provider = await startProvider(t)
  const store = serializing(new MemoryTokenStore())
  const [here, there] = [startTokenProcess(t, store, provider, { cacheMs }), startTokenProcess(t, store, provider)]
  const id = await here.records.create({
    version: 1,
    provider: 'acme',
    providerIdentity: here.client.config.identity,
    tokens: tokenSet('first', 4_000_000_000),
    obtainedAt: 0,
    ttl: 3600,
    user: null
  })
  await here.source(id).current()
  return { here, there, id }
}

/** As a store of several processes: nothing that it hands out is its own object. */
function serializing (store: MemoryTokenStore): TokenStore {
  return wrappedStore(store, inner => ({
    get: async (id) => {
      const record = await inner.get(id)
      return record === undefined ? undefined : JSON.parse(JSON.stringify(record))
    },
    set: async (id, record, options) => await inner.set(id, JSON.parse(JSON.stringify(record)), options)
  }))
}

const tokenOf = async (source: { current(): unknown }) =>
  ((await source.current()) as { tokens: { refreshToken: string } }).tokens.refreshToken

t.test('tokenCacheMaxAge: what another process did is seen when that time is over', async (t) => {
  t.test('a refresh', async (t) => {
    const { here, there, id } = await startTwo(t, 5_000)
    const record = await there.records.read(id)
    await there.records.update(id, { ...record!, version: 2, tokens: tokenSet('second', 4_000_000_000) })
    t.equal(await tokenOf(here.source(id)), 'first', 'before it is over')
    here.pass(5_001)
    t.equal(await tokenOf(here.source(id)), 'second', 'after it')
  })

  t.test('a logout', async (t) => {
    const { here, there, id } = await startTwo(t, 5_000)
    await there.records.remove(id)
    t.equal(await tokenOf(here.source(id)), 'first', 'before it is over')
    here.pass(5_001)
    t.match(await rejection(tokenOf(here.source(id))), { code: 'FST_OAUTH_LOGIN_ENDED' }, 'after it')
  })

  t.test('a logout of this process is seen at once', async (t) => {
    const { here, id } = await startTwo(t, 5_000)
    await here.records.remove(id)
    t.match(await rejection(tokenOf(here.source(id))), { code: 'FST_OAUTH_LOGIN_ENDED' })
  })

  t.test('without it the next request sees both', async (t) => {
    const { here, there, id } = await startTwo(t, 0)
    await there.records.remove(id)
    t.match(await rejection(tokenOf(here.source(id))), { code: 'FST_OAUTH_LOGIN_ENDED' })
  })
})
