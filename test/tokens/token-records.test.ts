import { mock } from 'node:test'
import t, { type Test } from 'tap'
import type { TokenStore } from '../../lib/index.ts'
import { RecordState } from '../../lib/tokens/record-state.ts'
import type { TokenRecord } from '../../lib/tokens/record.ts'
import { TokenRecords } from '../../lib/tokens/records.ts'
import { MemorySessionStore } from '../../lib/tokens/stores/memory-session-store.ts'
import { Gate } from '../helpers/gate.ts'
import { firstRecord, tokenSet } from '../helpers/token-process.ts'
import { wholeStore } from '../helpers/whole-store.ts'

// What a process knows of the records in a store that fails, loses writes, or has other processes write to it.

type Method = keyof TokenStore

/** The record that follows another one. */
const after = (record: TokenRecord, refreshToken: string): TokenRecord =>
  ({ ...record, version: record.version + 1, tokens: tokenSet(refreshToken, 60) })

/** Lets all that is under way in memory go on. */
async function turns (): Promise<void> {
  for (let count = 0; count < 10; count++) await new Promise(resolve => setImmediate(resolve))
}

/** A record in a store of several processes, with leases or without; timers and clock stand still. */
async function openRecords (t: Test, { leases = true } = {}) {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.after(() => mock.timers.reset())
  const clock = { now: 0 }
  const store = wholeStore()
  const calls: Method[] = []
  /** Methods that reject. */
  const failing = new Set<Method>()
  /** Methods whose next answer waits. */
  const held = new Map<Method, Gate>()
  const shared = Object.fromEntries(Object.entries(store).map(([name, method]) => [name, async (...args: never[]) => {
    const method_ = method as (...args: never[]) => Promise<unknown>
    calls.push(name as Method)
    if (failing.has(name as Method)) {
      await held.get(name as Method)?.pass()
      throw new Error('connection lost')
    }
    const result = await method_(...args)
    const gate = held.get(name as Method)
    held.delete(name as Method)
    await gate?.pass()
    return result
  }])) as unknown as Required<TokenStore>
  const { acquireRefresh: _acquire, finishRefresh: _finish, ...withoutLeases } = shared
  const records = new TokenRecords(leases ? shared : withoutLeases, () => clock.now)
  const id = await records.create(firstRecord)
  const state = records.state(id)
  /** A refresh, from its lease to its write. */
  const refresh = async (from: TokenRecord, to: TokenRecord, owner: string, onDeleted = () => {}) => {
    const lease = { owner, version: from.version, lifeMs: 60_000 }
    const acquired = await records.acquireRefresh(state, lease)
    return acquired.state === 'acquired'
      ? await records.write(state, { owner, record: to }, from, onDeleted)
      : acquired.state
  }
  const refreshTokenOf = (record: object | undefined) => (record as TokenRecord | undefined)?.tokens.refreshToken
  /** What another process did: the record in the store is another one, without a lease. */
  const replaceBy = async (record: TokenRecord) => { await store.set(id, { ...record }, { ttl: 3600 }) }
  const inStore = async () => refreshTokenOf(await store.get(id))
  const read = async () => refreshTokenOf(await records.read(id))
  const tick = async (ms: number) => {
    mock.timers.tick(ms)
    await turns()
  }
  return { clock, store, calls, failing, held, records, id, state, refresh, replaceBy, inStore, read, tick }
}

/** The same with a refreshed set that the store did not take. */
async function openUnsaved (t: Test, options?: { leases: boolean }) {
  const opened = await openRecords(t, options)
  const second = after(firstRecord, 'two')
  opened.failing.add('finishRefresh').add('set')
  t.equal(await opened.refresh(firstRecord, second, 'a'), true)
  t.equal(opened.records.unsaved, 1)
  return { ...opened, second }
}

t.test('race: a logout during a further try to write a set leaves no tokens behind', async (t) => {
  const { records, id, failing, held } = await openUnsaved(t)
  failing.clear()
  const gate = new Gate()
  held.set('finishRefresh', gate)
  const closed = records.close(0)
  await gate.arrived
  await records.remove(id)
  gate.release()
  await closed
  t.equal(records.peek(id), undefined)
})

t.test('after a logout no set is served that the store did not take', async (t) => {
  const { records, id, failing } = await openUnsaved(t)
  await records.remove(id)
  failing.add('get')
  await t.rejects(records.read(id))
})

t.test('a logout that fails leaves the set that the store did not take', async (t) => {
  const { records, id, failing, held, tick, read, inStore } = await openUnsaved(t)
  const gate = new Gate()
  failing.add('remove').add('get')
  held.set('remove', gate)
  const removed = records.remove(id)
  await gate.arrived
  await tick(50)
  gate.release()
  await t.rejects(removed)
  t.equal(await read(), 'two')
  failing.clear()
  await tick(50)
  t.equal(await inStore(), 'two', 'and that is written again without being asked for')
})

t.test('a set that the store did not take is not refreshed before it is written', async (t) => {
  const { refresh, second, failing, inStore } = await openUnsaved(t)
  const third = after(second, 'three')
  await t.rejects(refresh(second, third, 'b'), { message: 'connection lost' })
  failing.clear()
  t.equal(await refresh(second, third, 'b'), true)
  t.equal(await inStore(), 'three')
})

t.test('race: a set is written while it is to be refreshed: one process may send its refresh token', async (t) => {
  const { second, failing, records, id, state, read, store } = await openUnsaved(t)
  const { version } = second
  const here = await records.acquireRefresh(state, { owner: 'b', version, lifeMs: 60_000 }).catch(() => undefined)
  failing.clear()
  t.equal(await read(), 'two')
  const lease = { owner: 'another process', version, until: Date.now() + 60_000 }
  const there = await store.acquireRefresh(id, lease)
  t.equal([here, there].filter(found => found?.state === 'acquired' || found?.state === 'begun').length, 1)
})

t.test('without leases, sets that the store did not take follow each other; the last is written', async (t) => {
  const { refresh, second, failing, records, read, inStore, id } = await openUnsaved(t, { leases: false })
  const third = after(second, 'three')
  t.equal(await refresh(second, third, 'b'), true)
  t.equal(await read(), 'three')
  failing.clear()
  const fourth = after(third, 'four')
  t.equal(await refresh(third, fourth, 'c'), true)
  t.equal(records.unsaved, 0)
  t.equal(await records.update(id, after(fourth, 'five')), true)
  t.equal(await inStore(), 'five')
})

t.test('without leases, a set that is written at once leaves none before it to write', async (t) => {
  const { second, failing, records, state } = await openUnsaved(t, { leases: false })
  failing.clear()
  t.equal(await records.write(state, { owner: 'b', record: after(second, 'three') }, second, () => {}), true)
  t.equal(records.unsaved, 0)
})

t.test('a set that comes too late is not written over that of another process, then or later', async (t) => {
  const { clock, refresh, second, failing, replaceBy, read, inStore } = await openUnsaved(t, { leases: false })
  const third = after(second, 'three')
  t.equal(await refresh(second, third, 'b'), true)
  t.equal(await refresh(third, after(third, 'four'), 'c'), true)
  await replaceBy(after(firstRecord, 'that of another'))
  failing.clear()
  for (let times = 0; times < 2; times++) {
    clock.now += 1
    t.equal(await read(), 'that of another')
  }
  t.equal(await inStore(), 'that of another')
})

t.test('a set that comes too late is not written over a newer one with the same refresh token', async (t) => {
  const { refresh, failing, replaceBy, read, store, id } = await openRecords(t)
  failing.add('finishRefresh')
  await refresh(firstRecord, after(firstRecord, 'one'), 'a')
  await replaceBy(after(after(firstRecord, 'one'), 'one'))
  failing.clear()
  await read()
  t.match(await store.get(id), { version: 3 })
})

t.test('race: a set that another process has replaced does not come back from a store that flickers', async (t) => {
  const { refresh, second, replaceBy, failing, read, inStore, tick } = await openUnsaved(t)
  await replaceBy(after(firstRecord, 'that of another'))
  failing.clear()
  failing.add('get')
  await t.rejects(refresh(second, after(second, 'three'), 'b'))
  await tick(500)
  failing.clear()
  t.equal(await read(), 'that of another')
  t.equal(await inStore(), 'that of another')
})

t.test('a set that the store did not take is written when the store answers again, whatever was asked', async (t) => {
  const { records, failing, inStore } = await openUnsaved(t)
  failing.clear()
  await records.read('another record')
  await turns()
  t.equal(await inStore(), 'two')
})

t.test('it is tried again and again, and no more after the app has closed', async (t) => {
  const { records, failing, tick, calls, inStore, second, refresh, state } = await openUnsaved(t)
  for (const tries of [2, 3, 4]) {
    await tick(500)
    t.equal(calls.filter(name => name === 'finishRefresh').length, tries)
  }
  failing.clear()
  await tick(500)
  t.equal(await inStore(), 'two')
  failing.add('finishRefresh')
  await records.close(0)
  t.equal(await refresh(second, after(second, 'three'), 'b'), true)
  const { length } = calls
  await tick(10_000)
  t.equal(calls.length, length)
  t.equal(state.unsaved?.record.version, 3)
})

t.test('a record that cannot be deleted is there, and is written again if the store has lost it', async (t) => {
  const { clock, refresh, failing, records, id, replaceBy, read, inStore } = await openRecords(t)
  await refresh(firstRecord, after(firstRecord, 'two'), 'a')
  failing.add('remove')
  await t.rejects(records.remove(id))
  await replaceBy(firstRecord)
  clock.now += 1
  t.equal(await read(), 'two')
  t.equal(await inStore(), 'two')
})

t.test('the minute in which a lost write is repaired begins anew with each repair', async (t) => {
  const { clock, refresh, replaceBy, read } = await openRecords(t)
  await refresh(firstRecord, after(firstRecord, 'two'), 'a')
  for (let times = 0; times < 2; times++) {
    await replaceBy(firstRecord)
    clock.now += 59_000
    t.equal(await read(), 'two')
  }
  await replaceBy(firstRecord)
  clock.now += 61_000
  t.equal(await read(), 'one', 'a version that was seen longer ago may be the wrong one')
})

t.test('a refresh of a version that the store has lost takes no lease on an older one', async (t) => {
  const { clock, refresh, replaceBy, records, state, store, id, failing } = await openRecords(t)
  const lease = { owner: 'b', version: 1, lifeMs: 60_000 }
  const second = after(firstRecord, 'two')
  await refresh(firstRecord, second, 'a')
  await replaceBy(firstRecord)
  clock.now += 1
  failing.add('set') // the newer one cannot be written again just now
  t.match(await records.acquireRefresh(state, lease), { state: 'newer', record: { version: 2 } })
  const others = { owner: 'another process', version: 1, until: Date.now() + 60_000 }
  t.match(await store.acquireRefresh(id, others), { state: 'begun' })
  await replaceBy(firstRecord)
  clock.now += 61_000
  t.match(await records.acquireRefresh(state, { ...lease, version: 2 }), { state: 'newer', record: { version: 1 } })
})

t.test('a logout revokes the newest set that this process saw, if the store has lost it', async (t) => {
  const { refresh, replaceBy, records, id } = await openRecords(t)
  await refresh(firstRecord, after(firstRecord, 'two'), 'a')
  await replaceBy(firstRecord)
  t.match(await records.remove(id), { tokens: { refreshToken: 'two' } })
})

t.test('a record that another process has deleted is not used from memory', async (t) => {
  const { store, records, id, read } = await openRecords(t)
  await read()
  t.match(records.usable(id, 0), { version: 1 })
  await store.delete(id)
  t.equal(await read(), undefined)
  t.equal(records.usable(id, 0), undefined)
})

t.test('in a store that no other process writes to, a record ends with its time', async (t) => {
  const clock = { now: 0 }
  const store = new MemorySessionStore(new Map(), () => clock.now)
  const records = new TokenRecords(store, () => clock.now, { isSoleWriter: () => true })
  const id = await records.create({ ...firstRecord, ttl: 30 })
  t.match(records.usable(id, 0), { version: 1 })
  clock.now += 61_000
  t.equal(records.usable(id, 0), undefined)
})

t.test('what is known of a record is kept over a minute without use, as long as work on it goes on', async (t) => {
  const { clock, records, id, state } = await openUnsaved(t)
  const refreshing = records.state('refreshing')
  const announcing = records.state('announcing')
  const gate = new Gate()
  const work = refreshing.shareRefresh(async () => {
    await gate.pass()
    return firstRecord
  })
  announcing.holdBarrier(work)
  const idle = records.state('idle')
  clock.now += 60_001
  for (let count = 0; count < 10; count++) records.state(`other ${count}`)
  t.equal(records.state(id), state)
  t.equal(records.state('refreshing'), refreshing)
  t.equal(records.state('announcing'), announcing)
  t.not(records.state('idle'), idle)
  gate.release()
  await work
})

t.test('after five refusals the provider is asked when it says, and after a minute at the latest', async (t) => {
  const clock = { now: 0 }
  const state = new RecordState('id', () => clock.now)
  const refuse = (retryAfter: number) => {
    state.noteRefusal(1, Object.assign(new Error('refused'), { retryAfter }) as never)
  }
  for (let times = 0; times < 4; times++) refuse(30)
  t.equal(state.refusalOf(1), undefined)
  refuse(30)
  clock.now += 29_999
  t.match(state.refusalOf(1), { message: 'refused' })
  clock.now += 1
  t.equal(state.refusalOf(1), undefined)
  refuse(3_600)
  clock.now += 60_000
  t.equal(state.refusalOf(1), undefined)
})
