import { once } from 'node:events'
import { createClient } from 'redis'
import { redisStore } from '../../lib/redis.ts'
import type { TestProvider } from './provider.ts'
import { startTokenProcess } from './token-process.ts'
import { wrappedStore } from './wrapped-store.ts'

export interface HolderOptions {
  redisUrl: string
  providerOptions: TestProvider['providerOptions']
  /** Of the record to refresh. */
  id: string
}

// A process of its own: acquires the refresh lease, reports it, waits to be told to go on, and reports the outcome.
const { redisUrl, providerOptions, id } = JSON.parse(process.argv[2]!) as HolderOptions
const connection = await createClient({ url: redisUrl }).connect()
const store = wrappedStore(redisStore(connection), store => ({
  acquireRefresh: async (id, lease) => {
    const begun = await store.acquireRefresh(id, lease)
    process.send!({ begun: begun.state })
    await once(process, 'message')
    return begun
  }
}))
const { refresher, client } = startTokenProcess({ after () {} }, store, { providerOptions })
const outcome = await refresher.refresh(client, id, { version: 1 }).then(
  ({ version }) => ({ version }), ({ code, reason }: { code: string, reason: string }) => ({ code, reason }))
process.send!(outcome, () => process.exit())
