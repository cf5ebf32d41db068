import { mock } from 'node:test'
import t, { type Test } from 'tap'
import { TokenRecords } from '../../lib/tokens/records.ts'
import { RefreshLeases } from '../../lib/tokens/refresh-lease.ts'
import { StoreHealth } from '../../lib/tokens/store-health.ts'
import { firstRecord } from '../helpers/token-process.ts'
import { wholeStore } from '../helpers/whole-store.ts'
import { wrappedStore } from '../helpers/wrapped-store.ts'

// Which process may send a refresh token, and when one that is silent is given up.

const PATIENCE_MS = 60_000

/** A record, and leases on it, of a process whose clock goes on by so many milliseconds with each call of the store. */
async function openLeases (t: Test, { stepMs = 0 } = {}) {
  const time = { now: 0 }
  const clock = { now: () => time.now / 1000, monotonic: () => time.now }
  const store = wholeStore()
  let isAway = false
  let calls = 0
  const records = new TokenRecords(wrappedStore(store, ({ acquireRefresh }) => ({
    acquireRefresh: async (...args) => {
      calls++
      time.now += stepMs
      if (isAway) throw new Error('connection lost')
      return await acquireRefresh(...args)
    }
  })), () => time.now)
  const id = await records.create(firstRecord)
  const leases = new RefreshLeases(records, clock)
  const acquire = () => leases.acquire(records.state(id), { owner: 'here', version: 1 }, PATIENCE_MS)
  /** A lease of another process. */
  const leaveLease = async (ms: number) => {
    await store.acquireRefresh(id, { owner: 'another process', until: Date.now() + ms, version: 1 })
  }
  const setAway = (away: boolean) => { isAway = away }
  return { time, leases, id, acquire, leaveLease, setAway, calls: () => calls }
}

t.test('a lease of five seconds lets send for four: the rest is for the way to the provider', async (t) => {
  const { acquire } = await openLeases(t)
  t.match(await acquire(), { state: 'acquired', sendBefore: 4_000 })
})

t.test('a lease that another process extends for ever is not waited for longer than a minute', async (t) => {
  const { acquire, leaveLease, time } = await openLeases(t, { stepMs: 20_000 })
  await leaveLease(3_600_000)
  t.match(await acquire(), { state: 'timed_out' })
  t.equal(time.now, 80_000)
})

t.test('a silent holder is given up after ten seconds, however late the store answers', async (t) => {
  const { acquire, leaveLease, time } = await openLeases(t, { stepMs: 1_500 })
  await leaveLease(-1)
  t.match(await acquire(), { state: 'acquired', abandoned: true })
  t.equal(time.now, 12_000)
})

t.test('an extension that failed is tried again soon, before the holder looks dead to others', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.after(() => mock.timers.reset())
  const { leases, id, setAway, calls } = await openLeases(t)
  const pass = async (ms: number) => {
    mock.timers.tick(ms)
    await new Promise(resolve => setImmediate(resolve))
  }
  setAway(true)
  const stop = leases.startHeartbeat(id, { owner: 'here', version: 1 })
  await pass(1_700)
  t.equal(calls(), 1)
  await pass(200)
  t.equal(calls(), 2)
  setAway(false)
  await pass(200)
  t.equal(calls(), 3)
  await pass(200)
  t.equal(calls(), 3)
  await stop()
  await pass(5_000)
  t.equal(calls(), 3)
})

t.test('a store is steady since the first answer after which none was late, missing or wrong', async (t) => {
  let now = 0
  const health = new StoreHealth(() => now, () => {})
  /** An answer after so many milliseconds. */
  const answer = async (ms: number, error?: Error) => {
    await health.watch(async () => {
      now += ms
      if (error !== undefined) throw error
    }).catch(() => {})
  }
  t.equal(health.steadyMs, 0, 'a process that has just started')
  for (let times = 0; times < 5; times++) await answer(900)
  t.equal(health.steadyMs, 3_600)
  await answer(1_100)
  t.equal(health.steadyMs, 0, 'a late answer')
  for (let times = 0; times < 5; times++) await answer(900)
  t.equal(health.steadyMs, 4_500)
  now += 1_001
  t.equal(health.steadyMs, 0, 'no answer for a while')
  await answer(1)
  t.equal(health.steadyMs, 0)
  await answer(900)
  t.equal(health.steadyMs, 900)
  await answer(1, new Error('connection lost'))
  t.equal(health.steadyMs, 0, 'a failure')
  await answer(1)
  t.equal(health.steadyMs, 0)
  await answer(900)
  t.equal(health.steadyMs, 900)
})
