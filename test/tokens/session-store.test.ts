import t from 'tap'
import { SessionTokenStore } from '../../lib/tokens/stores/session-store.ts'
import { JsonStore } from '../helpers/stores.ts'

// Token records in the app's session store, which may answer late, or never.

const record = { version: 1 }
const idOf = (id: string) => `oauth:${id}`

t.test('a record ends with its time, in a store that never ends anything', async (t) => {
  let now = Date.now()
  const kept = new Map<string, object>()
  const store = new SessionTokenStore(() => ({
    get: (id, done) => { done(null, kept.get(id)) },
    set: (id, entry, done) => {
      kept.set(id, entry as object)
      done(null)
    },
    destroy: (_id, done) => { done(null) }
  }), () => now)
  await store.set('a', record, { ttl: 10 })
  t.match(await store.get('a'), record)
  now += 10_001
  t.equal(await store.get('a'), undefined)
})

t.test('writes of one record that wait for each other do so one after the other', async (t) => {
  const inner = new JsonStore()
  const store = new SessionTokenStore(() => inner)
  const write = (version: number) => store.set('a', { version }, { ttl: 10, expectedVersion: version - 1 })
  let sets = 0
  const gate = inner.holdNext('set', () => ++sets === 2)
  const writes = [write(1), write(2)]
  await gate.arrived
  const { get: reads } = inner.calls
  writes.push(write(2))
  for (let turn = 0; turn < 5; turn++) await new Promise(resolve => setImmediate(resolve))
  t.equal(inner.calls.get, reads)
  gate.release()
  t.strictSame(await Promise.all(writes), [true, true, false])
})

t.test('a store whose touch did not answer is asked for none for a while, and the record is written', async (t) => {
  let now = Date.now()
  let touches = 0
  const inner = Object.assign(new JsonStore(), { touch: () => { touches++ } })
  const store = new SessionTokenStore(() => inner as never, () => now, { touchMs: 10 })
  await store.set('a', record, { ttl: 10 })
  for (let times = 0; times < 3; times++) await store.touch('a', { ttl: 20 })
  t.equal(touches, 1)
  t.ok(new Date(inner.peek(idOf('a'))!.cookie.expires).getTime() > now + 19_000)
  now += 60_001
  await store.set('a', record, { ttl: 10 })
  await store.touch('a', { ttl: 20 })
  t.equal(touches, 2)
})
