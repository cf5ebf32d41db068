import t from 'tap'
import { ListedMembers } from '../../lib/tokens/stores/listed-members.ts'
import { SessionTokenStore } from '../../lib/tokens/stores/session-store.ts'
import { Gate } from '../helpers/gate.ts'
import { JsonStore } from '../helpers/stores.ts'
import { wrappedStore } from '../helpers/wrapped-store.ts'

// Sets in a store that has none: lists in records, which are split where they grow.

const ID = 'logins:a'
const add = (sets: ListedMembers, name: string, value = {}, ttl = 600) => sets.addMember(ID, name, value, { ttl })
const namesIn = async (sets: ListedMembers) => (await sets.members(ID)).map(([name]) => name).sort()

t.test('however many members there are, none of the records is large', async (t) => {
  let largest = 0
  const inner = new JsonStore()
  const store = wrappedStore(new SessionTokenStore(() => inner), inner => ({
    set: async (id, record, options) => {
      largest = Math.max(largest, JSON.stringify(record).length)
      return await inner.set(id, record, options)
    }
  }))
  const processes = [0, 1, 2].map(() => new ListedMembers(store, () => 0))
  const names = Array.from({ length: 1_100 }, (_, index) => `record-${index}`).sort()
  await Promise.all(names.map((name, index) => add(processes[index % 3]!, name, { session: `session of ${name}` })))
  t.strictSame(await namesIn(processes[0]!), names)
  t.ok(largest < 10_000, `${largest} characters`)
  await add(processes[0]!, 'record-7', { moved: true })
  const found = await processes[1]!.members(ID)
  t.strictSame(new Map(found).get('record-7'), { moved: true })
  t.equal(found.length, names.length)
})

t.test('members end with their time, in a split list too, and others go on', async (t) => {
  let now = Math.ceil(Date.now() / 1000)
  const inner = new JsonStore()
  const sets = new ListedMembers(new SessionTokenStore(() => inner, () => now * 1000), () => now)
  await Promise.all(Array.from({ length: 200 }, (_, index) => add(sets, `short-${index}`, {}, 60)))
  await add(sets, 'long', {}, 3_600)
  now += 61
  t.strictSame(await namesIn(sets), ['long'])
  t.equal(await sets.addMember(ID, 'short-3', {}, { ttl: 60, onlyIfPresent: true }), false, 'its time is over')
  await add(sets, 'later', {}, 7_200)
  now += 3_600
  t.strictSame(await namesIn(sets), ['later'])
})

t.test('changes that wait for the same write are made in their order, and not lost with a failed one', async (t) => {
  const inner = new JsonStore()
  const store = new SessionTokenStore(() => inner)
  let isAway = true
  const gate = new Gate()
  const sets = new ListedMembers(wrappedStore(store, store => ({
    get: async (id) => {
      await gate.pass()
      if (!isAway) return await store.get(id)
      isAway = false
      throw new Error('connection lost')
    }
  })), () => 0)
  const lost = t.rejects(add(sets, 'lost'), { message: 'connection lost' })
  const changes = [add(sets, 'a'), sets.addMember(ID, 'a', { newer: 1 }, { ttl: 600, onlyIfPresent: true })]
  gate.release()
  await lost
  t.strictSame(await Promise.all(changes), [true, true])
  t.strictSame(await sets.members(ID), [['a', { newer: 1 }]])
})

t.test('a list that is split by two processes at once loses nothing that came in between', async (t) => {
  const inner = new JsonStore()
  const store = new SessionTokenStore(() => inner)
  const names = Array.from({ length: 64 }, (_, index) => `record-${index}`)
  const first = new ListedMembers(store, () => 0)
  await Promise.all(names.map(name => add(first, name)))
  const gate = new Gate()
  // This one has read the list, and goes on when another process has split it and moved a member.
  const slow = new ListedMembers(wrappedStore(store, store => ({
    set: async (id, record, options) => {
      await gate.pass()
      return await store.set(id, record, options)
    }
  })), () => 0)
  const adding = add(slow, 'of the slow one')
  await gate.arrived
  await add(first, 'of the fast one')
  await add(first, 'record-3', { moved: true })
  gate.release()
  await adding
  t.strictSame(await namesIn(first), [...names, 'of the fast one', 'of the slow one'].sort())
  t.strictSame(new Map(await first.members(ID)).get('record-3'), { moved: true })
})

t.test('a list that was split while its last member was taken out is put back', async (t) => {
  const inner = new JsonStore()
  const store = new SessionTokenStore(() => inner)
  const first = new ListedMembers(store, () => 0)
  await add(first, 'the last')
  const gate = new Gate()
  const slow = new ListedMembers(wrappedStore(store, store => ({
    consume: async (id) => {
      await gate.pass()
      return await store.consume(id)
    }
  })), () => 0)
  const removing = slow.removeMembers(ID, ['the last'])
  await gate.arrived
  const names = Array.from({ length: 100 }, (_, index) => `record-${index}`)
  await Promise.all(names.map(name => add(first, name)))
  gate.release()
  await removing
  t.strictSame(await namesIn(first), [...names].sort())
})
