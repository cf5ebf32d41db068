import t from 'tap'
import type { StoredRecord, TokenStore } from '../../lib/index.ts'
import { checkTokenStore } from '../../lib/testing.ts'
import { SessionTokenStore } from '../../lib/tokens/stores/session-store.ts'
import { JsonStore } from '../helpers/stores.ts'
import { wrappedStore } from '../helpers/wrapped-store.ts'

/** A store over a session store, for one process. */
function sessionStore (): TokenStore {
  const inner = new JsonStore()
  return new SessionTokenStore(() => inner)
}

// Each of these is what a store of an app's own may get wrong.
const mistakes: [broken: RegExp, change: (store: Required<TokenStore>) => Partial<TokenStore>][] = [
  [/set\(\) with expectedVersion: 0 creates, once: 20 of 20/, inner => ({
    set: async (id, record, { ttl }) => await inner.set(id, record, { ttl })
  })],
  [/consume\(\) gives a record to one of many callers: 20 of 20/, inner => ({
    consume: async (id) => {
      const record = await inner.get(id)
      if (record !== undefined) await inner.consume(id)
      return record
    }
  })],
  [/a record ends with its ttl[^\n]* is still there after 5000 ms/, inner => ({
    set: async (id, record, options) => await inner.set(id, record, { ...options, ttl: options.ttl * 1000 })
  })],
  [/touch\(\) gives it another one: the record that was touched: get\(\) returned/, () => ({ touch: async () => {} })],
  [/delete\(\) is for good: no late writer brings a record back: set\(\) of a deleted record with expectedVersion: 0/, inner => ({
    delete: async (id) => { await inner.consume(id) }
  })],
  [/returns what it was given/, inner => ({
    get: async id => await inner.get(id) && { version: 1 } as StoredRecord
  })]
]

t.test('what a store gets wrong is named', async (t) => {
  await Promise.all(mistakes.map(async ([broken, change]) => {
    const inner = sessionStore()
    const { get, set, consume, touch, delete: remove } = wrappedStore(inner, change)
    const store = { get, set, consume, touch, delete: remove }
    await t.rejects(checkTokenStore(() => store), broken, String(broken))
  }))
})

t.test('methods that are missing are not asked for, and a store that cannot be made is told', async (t) => {
  await t.rejects(checkTokenStore(() => { throw new Error('no database') }), /no database/)
  const titles: string[] = []
  await checkTokenStore(sessionStore, { test: title => { titles.push(title) } })
  t.ok(titles.length > 10)
  t.equal(new Set(titles).size, titles.length)
})
