import t from 'tap'
import type { StoredRecord, TokenStore } from '../../lib/index.ts'
import { checkTokenStore } from '../../lib/testing.ts'
import { SessionTokenStore } from '../../lib/tokens/stores/session-store.ts'
import { JsonStore } from '../helpers/stores.ts'
import { wholeStore } from '../helpers/whole-store.ts'
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

// The same of the optional methods, and of a store that has them all.
const furtherMistakes: typeof mistakes = [
  [/set\(\) writes only over the expected version: set\(\) that expects version 2 of version 1 returned true/, inner => ({
    set: async (id, record, { expectedVersion, ...options }) =>
      await inner.set(id, record, { ...options, ...(expectedVersion === 0 && { expectedVersion }) })
  })],
  [/set\(\) writes only over the expected version: 20 of 20 callers replaced version 1/, inner => ({
    set: async (id, record, { expectedVersion, ...options }) => {
      if (expectedVersion === undefined) return await inner.set(id, record, options)
      const found = await inner.get(id)
      return (found?.version ?? 0) === expectedVersion && await inner.set(id, record, options)
    }
  })],
  [/set\(\) of a deleted record with expectedVersion: undefined returned true/, inner => ({
    set: async (id, record, options) =>
      await inner.set(id, record, options) !== false || options.expectedVersion === undefined
  })],
  [/a deleted record after late writes: get\(\) returned \{/, (inner) => {
    const deleted = new Map<string, StoredRecord | undefined>()
    const touched = new Set<string>()
    return {
      get: async id => touched.has(id) ? deleted.get(id) : await inner.get(id),
      touch: async (id, options) => {
        if (deleted.has(id)) touched.add(id)
        else await inner.touch(id, options)
      },
      delete: async (id) => {
        deleted.set(id, await inner.get(id))
        await inner.delete(id)
      }
    }
  }],
  [/a record that was only touched: get\(\) returned \{/, inner => ({
    touch: async (id, { ttl }) => {
      if (await inner.get(id) === undefined) await inner.set(id, { version: 1 }, { ttl })
      else await inner.touch(id, { ttl })
    }
  })],
  [/the record with a longer ttl: get\(\) returned undefined/, inner => ({
    set: async (id, record, { ttl, ...options }) => await inner.set(id, record, { ...options, ttl: Math.min(ttl, 1) })
  })],
  [/remove\(\) returns a record to one of many callers[^\n]*: 20 of 20 callers got the record/, inner => ({
    remove: async (id) => {
      const record = await inner.get(id)
      await inner.delete(id)
      return record
    }
  })],
  [/set\(\) of a removed record returned true/, inner => ({ remove: async id => await inner.consume(id) })],
  [/acquireRefresh\(\) gives the lease to one owner[^\n]*: 20 of 20 owners got the lease/, inner => ({
    acquireRefresh: async id => ({ state: 'begun', record: (await inner.get(id))!, abandoned: false })
  })],
  [/finishRefresh\(\) writes for the owner of the lease alone: finishRefresh\(\) of another owner/, inner => ({
    finishRefresh: async (id, { record, ttl }) => record === undefined || await inner.set(id, record, { ttl })
  })],
  [/finishRefresh\(\) writes for the owner of the lease alone: Expected values to be strictly deep-equal/, inner => ({
    acquireRefresh: async (id, { version: _, ...lease }) => await inner.acquireRefresh(id, lease)
  })],
  [/a lease is extended and given up by its owner: Expected values/, inner => ({
    finishRefresh: async (id, outcome) => outcome.record === undefined || await inner.finishRefresh(id, outcome)
  })],
  [/left alone where takeOver is false: with takeOver: false/, inner => ({
    acquireRefresh: async (id, { takeOver: _, ...lease }) => await inner.acquireRefresh(id, lease)
  })],
  [/a lease whose time is over is found abandoned[^\n]*: Expected values/, inner => ({
    acquireRefresh: async (id, lease) => {
      const result = await inner.acquireRefresh(id, lease)
      return result.state === 'begun' ? { ...result, abandoned: false } : result
    }
  })],
  [/set\(\) with onlyIfUnlocked during a refresh/, inner => ({
    set: async (id, record, { onlyIfUnlocked: _, ...options }) => await inner.set(id, record, options)
  })],
  [/finishRefresh\(\) of a deleted record/, (inner) => {
    const deleted = new Set<string>()
    return {
      delete: async (id) => {
        deleted.add(id)
        await inner.delete(id)
      },
      finishRefresh: async (id, outcome) => await inner.finishRefresh(id, outcome) !== false || deleted.has(id)
    }
  }],
  [/sets have members that are added, replaced and removed: each member that was added/, inner => ({
    addMember: async (id, member, value, options) => {
      const others = (await inner.members(id)).map(([name]) => name)
      const added = await inner.addMember(id, member, value, options)
      await inner.removeMembers(id, (await inner.members(id)).map(([name]) => name)
        .filter(name => name !== member && !others.includes(name)))
      return added
    }
  })],
  [/addMember\(\) with onlyIfPresent brings no member back: of a member that never was/, inner => ({
    addMember: async (id, member, value, { ttl }) => await inner.addMember(id, member, value, { ttl })
  })]
]

t.test('what a store with all methods gets wrong is named', async (t) => {
  await t.resolves(checkTokenStore(wholeStore), 'one that gets nothing wrong')
  await Promise.all(furtherMistakes.map(async ([broken, change]) => {
    const inner = wholeStore()
    await t.rejects(checkTokenStore(() => ({ ...inner, ...change(inner) })), broken, String(broken))
  }))
})

t.test('methods that are missing are not asked for, and a store that cannot be made is told', async (t) => {
  await t.rejects(checkTokenStore(() => { throw new Error('no database') }), /no database/)
  const titles: string[] = []
  await checkTokenStore(sessionStore, { test: title => { titles.push(title) } })
  t.ok(titles.length > 10)
  t.equal(new Set(titles).size, titles.length)
})
