import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { hasMembers, type RefreshLease, type StoredRecord, type TokenStore } from '../tokens/stores/token-store.ts'

/** A store with the optional methods that a rule needs. */
export type WholeStore = Required<TokenStore>

/** One rule of the contract. */
export interface Rule {
  /** What a store does. */
  readonly title: string
  /** The optional methods that it is about. */
  readonly about?: 'remove' | 'refresh' | 'members'
  /**
   * Throws if a store does not do it.
   * @param store the store
   * @param other the same data, as another process has it
   * @param id of a record that no other rule uses
   */
  readonly check: (store: WholeStore, other: WholeStore, id: string) => Promise<void>
}

const DAY = 86_400
/** Milliseconds in which a record whose `ttl` of a second is over has to be gone. */
const EXPIRY_MS = 5_000
const PARALLEL = 20

const record = (version: number, more: object = {}): StoredRecord => ({ version, ...more })
const lease = (owner: string, milliseconds = 60_000): RefreshLease => ({ owner, until: Date.now() + milliseconds })

/** Nothing is there: `undefined`, or what many clients say. */
const isNone = (found: unknown) => found === undefined || found === null
/** A store may say nothing of a write that it has made. */
const isWritten = (result: unknown) => result !== false

async function expectGet (store: TokenStore, id: string, expected: StoredRecord | undefined, what: string) {
  const found = await store.get(id)
  const isAsExpected = expected === undefined ? isNone(found) : isDeepStrictEqual(found, expected)
  assert.ok(isAsExpected, `${what}: get() returned ${shown(found)}, not ${shown(expected)}`)
}

function expectWritten (result: unknown, expected: boolean, what: string) {
  assert.ok(isWritten(result) === expected, `${what} returned ${String(result)}`)
}

const shown = (value: unknown) => value === undefined ? 'undefined' : JSON.stringify(value).slice(0, 200)

/** What the plugin relies on; without any of it a login would be lost, or come back. */
export const RULES: readonly Rule[] = [
  {
    title: 'returns what it was given, members of any kind',
    check: async (store, other, id) => {
      const deep = { text: 'é\n"\u2028', list: [1, null, []], deep: { of: { a: true } }, large: 'x'.repeat(20_000) }
      expectWritten(await store.set(id, record(1, deep), { ttl: DAY }), true, 'set()')
      await expectGet(other, id, record(1, deep), 'the record')
      await expectGet(store, `${id}:none`, undefined, 'a record that is not there')
    }
  },
  {
    title: 'set() with expectedVersion: 0 creates, once',
    check: async (store, other, id) => {
      const creating = Array.from({ length: PARALLEL }, (_, at) =>
        (at % 2 === 0 ? store : other).set(id, record(1, { by: at }), { ttl: DAY, expectedVersion: 0 }))
      const created = (await Promise.all(creating)).filter(isWritten)
      assert.equal(created.length, 1, `${created.length} of ${PARALLEL} callers created the record`)
    }
  },
  {
    title: 'set() writes only over the expected version',
    check: async (store, other, id) => {
      await store.set(id, record(1), { ttl: DAY })
      const wrong = await other.set(id, record(3), { ttl: DAY, expectedVersion: 2 })
      expectWritten(wrong, false, 'set() that expects version 2 of version 1')
      await expectGet(store, id, record(1), 'the record after a write that had to fail')
      const writing = Array.from({ length: PARALLEL }, (_, at) =>
        (at % 2 === 0 ? store : other).set(id, record(2, { by: at }), { ttl: DAY, expectedVersion: 1 }))
      const written = (await Promise.all(writing)).filter(isWritten)
      assert.equal(written.length, 1, `${written.length} of ${PARALLEL} callers replaced version 1`)
    }
  },
  {
    title: 'consume() gives a record to one of many callers',
    check: async (store, other, id) => {
      await store.set(id, record(0, { nonce: 'n' }), { ttl: DAY })
      const consuming = Array.from({ length: PARALLEL }, (_, at) => (at % 2 === 0 ? store : other).consume(id))
      const found = (await Promise.all(consuming)).filter(each => !isNone(each))
      assert.deepEqual(found, [record(0, { nonce: 'n' })], `${found.length} of ${PARALLEL} callers got the record`)
      await expectGet(store, id, undefined, 'a record that was consumed')
    }
  },
  {
    title: 'delete() is for good: no late writer brings a record back',
    check: async (store, other, id) => {
      await store.set(id, record(1), { ttl: DAY })
      await store.delete(id)
      await expectGet(other, id, undefined, 'a deleted record')
      for (const expectedVersion of [0, 1, undefined]) {
        const expected = expectedVersion === undefined ? {} : { expectedVersion }
        const late = await other.set(id, record(2), { ttl: DAY, ...expected })
        expectWritten(late, false, `set() of a deleted record with expectedVersion: ${expectedVersion}`)
      }
      await store.touch(id, { ttl: DAY })
      await expectGet(store, id, undefined, 'a deleted record after late writes')
      assert.ok(isNone(await store.consume(id)), 'consume() returned a deleted record')
    }
  },
  {
    title: 'what is not there can be consumed, touched and deleted',
    check: async (store, _other, id) => {
      assert.ok(isNone(await store.consume(id)), 'consume() returned something')
      await store.touch(id, { ttl: DAY })
      await expectGet(store, id, undefined, 'a record that was only touched')
      await store.delete(id)
    }
  },
  {
    title: 'a record ends with its ttl, and touch() gives it another one',
    check: async (store, other, id) => {
      await store.set(`${id}:long`, record(1), { ttl: DAY })
      await store.set(`${id}:touched`, record(1), { ttl: 1 })
      await other.touch(`${id}:touched`, { ttl: DAY })
      // Last: when this one is gone, so is the other one, had it not been touched.
      await store.set(`${id}:short`, record(1), { ttl: 1 })
      const until = performance.now() + EXPIRY_MS
      while (!isNone(await store.get(`${id}:short`))) {
        assert.ok(performance.now() < until, `a record with ttl: 1 (seconds) is still there after ${EXPIRY_MS} ms`)
        await sleep(50)
      }
      await expectGet(store, `${id}:touched`, record(1), 'the record that was touched')
      await expectGet(store, `${id}:long`, record(1), 'the record with a longer ttl')
    }
  },
  {
    title: 'remove() returns a record to one of many callers, and is for good',
    about: 'remove',
    check: async (store, other, id) => {
      await store.set(id, record(1, { of: 'alice' }), { ttl: DAY })
      const removing = Array.from({ length: PARALLEL }, (_, at) => (at % 2 === 0 ? store : other).remove(id))
      const found = (await Promise.all(removing)).filter(each => !isNone(each))
      assert.deepEqual(found, [record(1, { of: 'alice' })], `${found.length} of ${PARALLEL} callers got the record`)
      expectWritten(await store.set(id, record(2), { ttl: DAY }), false, 'set() of a removed record')
    }
  },
  {
    title: 'acquireRefresh() gives the lease to one owner, and tells the others until when',
    about: 'refresh',
    check: async (store, other, id) => {
      await store.set(id, record(1), { ttl: DAY })
      const acquiring = Array.from({ length: PARALLEL }, (_, at) =>
        (at % 2 === 0 ? store : other).acquireRefresh(id, { ...lease(`owner ${at}`), version: 1 }))
      const results = await Promise.all(acquiring)
      const begun = results.filter(({ state }) => state === 'begun')
      assert.equal(begun.length, 1, `${begun.length} of ${PARALLEL} owners got the lease`)
      assert.deepEqual(begun[0], { state: 'begun', record: record(1), abandoned: false })
      for (const result of results.filter(({ state }) => state !== 'begun')) {
        assert.ok(result.state === 'busy', `another owner was told "${result.state}", not "busy"`)
        assert.ok(result.until > Date.now(), '`until` of a busy lease is in the past')
        assert.deepEqual(result.record, record(1))
      }
    }
  },
  {
    title: 'finishRefresh() writes for the owner of the lease alone',
    about: 'refresh',
    check: async (store, other, id) => {
      await store.set(id, record(1), { ttl: DAY })
      await store.acquireRefresh(id, lease('one'))
      const late = await other.finishRefresh(id, { owner: 'two', record: record(2, { by: 'two' }), ttl: DAY })
      assert.equal(late, false, 'finishRefresh() of another owner')
      const first = await store.finishRefresh(id, { owner: 'one', record: record(2, { by: 'one' }), ttl: DAY })
      assert.notEqual(first, false, 'finishRefresh() of the owner')
      await expectGet(other, id, record(2, { by: 'one' }), 'the record')
      const newer = await other.acquireRefresh(id, { ...lease('two'), version: 1 })
      assert.deepEqual(newer, { state: 'newer', record: record(2, { by: 'one' }) })
      const next = await other.acquireRefresh(id, { ...lease('two'), version: 2 })
      assert.deepEqual(next, { state: 'begun', record: record(2, { by: 'one' }), abandoned: false })
    }
  },
  {
    title: 'a lease is extended and given up by its owner',
    about: 'refresh',
    check: async (store, other, id) => {
      await store.set(id, record(1), { ttl: DAY })
      await store.acquireRefresh(id, lease('one', 50))
      assert.equal((await store.acquireRefresh(id, lease('one'))).state, 'begun', 'the owner extends its lease')
      assert.equal((await other.acquireRefresh(id, lease('two'))).state, 'busy', 'another owner meanwhile')
      assert.notEqual(await store.finishRefresh(id, { owner: 'one', ttl: DAY }), false, 'without a record')
      await expectGet(store, id, record(1), 'a record whose refresh brought nothing')
      const next = await other.acquireRefresh(id, lease('two'))
      assert.deepEqual(next, { state: 'begun', record: record(1), abandoned: false })
    }
  },
  {
    title: 'a lease whose time is over is found abandoned, or left alone where takeOver is false',
    about: 'refresh',
    check: async (store, other, id) => {
      await store.set(id, record(1), { ttl: DAY })
      await store.acquireRefresh(id, lease('dead', 1))
      await sleep(50)
      const left = await other.acquireRefresh(id, { ...lease('careful'), takeOver: false })
      assert.equal(left.state, 'busy', 'with takeOver: false')
      const taken = await other.acquireRefresh(id, lease('alive'))
      assert.deepEqual(taken, { state: 'begun', record: record(1), abandoned: true })
      const late = await store.finishRefresh(id, { owner: 'dead', record: record(2), ttl: DAY })
      assert.equal(late, false, 'finishRefresh() of the owner that came too late')
    }
  },
  {
    title: 'delete() during a refresh wins, and set() with onlyIfUnlocked waits for its end',
    about: 'refresh',
    check: async (store, other, id) => {
      await store.set(id, record(1), { ttl: DAY })
      await store.acquireRefresh(id, lease('one'))
      const locked = await other.set(id, record(2), { ttl: DAY, expectedVersion: 1, onlyIfUnlocked: true })
      assert.equal(locked, false, 'set() with onlyIfUnlocked during a refresh')
      await other.delete(id)
      const late = await store.finishRefresh(id, { owner: 'one', record: record(2), ttl: DAY })
      assert.equal(late, false, 'finishRefresh() of a deleted record')
      await expectGet(store, id, undefined, 'a record that was deleted during its refresh')
      assert.deepEqual(await store.acquireRefresh(id, lease('two')), { state: 'gone' })
    }
  },
  {
    title: 'sets have members that are added, replaced and removed',
    about: 'members',
    check: async (store, other, id) => {
      const names = Array.from({ length: PARALLEL }, (_, at) => `member ${String(at).padStart(2, '0')}`)
      assert.deepEqual(await store.members(id), [], 'a set that is not there')
      await Promise.all(names.map((name, at) =>
        (at % 2 === 0 ? store : other).addMember(id, name, { at }, { ttl: DAY })))
      const sorted = async () => (await other.members(id)).sort(([one], [two]) => one < two ? -1 : 1)
      assert.deepEqual(await sorted(), names.map((name, at) => [name, { at }]), 'each member that was added')
      await store.addMember(id, names[0]!, { text: 'é"' }, { ttl: DAY })
      await store.removeMembers(id, [...names.slice(2), 'unknown'])
      assert.deepEqual(await sorted(), [[names[0], { text: 'é"' }], [names[1], { at: 1 }]])
      await store.removeMembers(id, names)
      assert.deepEqual(await other.members(id), [], 'after the last one was removed')
    }
  },
  {
    title: 'addMember() with onlyIfPresent brings no member back',
    about: 'members',
    check: async (store, other, id) => {
      const onlyIfPresent = { ttl: DAY, onlyIfPresent: true }
      assert.equal(await store.addMember(id, 'one', {}, onlyIfPresent), false, 'of a member that never was')
      await store.addMember(id, 'one', {}, { ttl: DAY })
      assert.notEqual(await other.addMember(id, 'one', { newer: 1 }, onlyIfPresent), false, 'of one that is there')
      await other.removeMembers(id, ['one'])
      assert.equal(await store.addMember(id, 'one', { late: 1 }, onlyIfPresent), false, 'of one that was removed')
      assert.deepEqual(await store.members(id), [])
    }
  }
]

/** Whether a store has the methods that a rule is about. */
export function concerns ({ about }: Rule, store: TokenStore): boolean {
  if (about === 'remove') return store.remove !== undefined
  if (about === 'members') return hasMembers(store)
  return about === undefined || (store.acquireRefresh !== undefined && store.finishRefresh !== undefined)
}

/** Runs one rule; an error says which. */
export async function runRule (rule: Rule, store: TokenStore, other: TokenStore): Promise<void> {
  await rule.check(store as WholeStore, other as WholeStore, `contract:${randomUUID()}`)
}
