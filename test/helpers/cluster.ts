import { createClient } from 'redis'
import type { Test } from 'tap'
import { redisStore } from '../../lib/redis.ts'
import { buildApp, type AppOptions, type TestApp } from './build-app.ts'
import type { TestProvider } from './provider.ts'
import type { StoredTokens } from './records.ts'
import { RedisSessionStore } from './redis-session-store.ts'
import { startRedis, type RedisServer } from './redis.ts'

type PluginOptions = Partial<AppOptions['oauth']>
type Client = Awaited<ReturnType<typeof connectTo>>

export interface ClusterOptions extends Omit<AppOptions, 'oauth'> {
  /** Over the usual options of the plugin; a function where the apps differ. */
  oauth?: PluginOptions | ((index: number, client: Client, provider: TestProvider) => PluginOptions)
  /** A login comes back to the app that began it, not to the first one. */
  ownBaseUrls?: boolean
}

export interface TestCluster {
  redis: RedisServer
  apps: TestApp[]
  client: Client
  /** Makes every stored access token expire now. */
  expireTokens: () => Promise<void>
  /** The token records that stand in Redis, by key. */
  tokenRecords: () => Promise<Map<string, StoredTokens>>
  /** Keys of the sessions. */
  sessions: () => Promise<string[]>
}

/**
 * A client that is back as soon as Redis is; while that is away it fails at once (an app's), or waits (a test's own).
 */
async function connectTo (url: string, disableOfflineQueue: boolean) {
  const client = createClient({ url, disableOfflineQueue, socket: { reconnectStrategy: 20 } })
  client.on('error', () => {})
  await client.connect()
  return client
}

/**
 * Several apps on one real Redis, each with clients, registries and connections of its own: to the plugin they are as
 * many processes. Undefined where there is no Redis and the test is skipped.
 */
export async function startCluster (
  t: Test,
  provider: TestProvider,
  count: number,
  options: ClusterOptions = {}
): Promise<TestCluster | undefined> {
  const redis = await startRedis(t, { appendonly: true })
  if (redis === undefined) return undefined
  const connect = async (disableOfflineQueue: boolean) => {
    const client = await connectTo(redis.url, disableOfflineQueue)
    t.after(() => { if (client.isOpen) client.destroy() })
    return client
  }
  const apps: TestApp[] = []
  for (let index = 0; index < count; index++) {
    const client = await connect(true)
    apps.push(await buildApp(t, {
      ...options,
      session: { store: new RedisSessionStore(client) as never, ...options.session },
      oauth: {
        providers: { acme: provider.providerOptions },
        tokenStore: redisStore(client),
        baseUrl: () => apps[options.ownBaseUrls === true ? index : 0]?.url ?? 'http://127.0.0.1',
        ...(typeof options.oauth === 'function' ? options.oauth(index, client, provider) : options.oauth)
      }
    }))
  }
  const client = await connect(false)
  const tokenRecords = async () => {
    const found = new Map<string, StoredTokens>()
    for (const key of await client.keys('oauth:*')) {
      const record = JSON.parse(await client.hGet(key, 'd') ?? '{}') as StoredTokens
      if (record.tokens !== undefined) found.set(key, record)
    }
    return found
  }
  return {
    redis,
    apps,
    client,
    tokenRecords,
    sessions: () => client.keys('session:*'),
    expireTokens: async () => {
      for (const [key, record] of await tokenRecords()) {
        record.tokens.expiresAt = Math.floor(Date.now() / 1000) - 10
        await client.hSet(key, 'd', JSON.stringify(record))
      }
    }
  }
}
