import { mock } from 'node:test'
import t, { type Test } from 'tap'
import type { TokenRecord } from '../../lib/tokens/record.ts'
import { UnclearDeletions } from '../../lib/tokens/unclear-deletions.ts'

// Deletions that failed, though the store may have carried them out.

const record = { version: 1 } as TokenRecord

/** @param answers what the store says of the record, one look after the other: whether it is there, or nothing */
function follow (t: Test, answers: (boolean | undefined)[]) {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.after(() => mock.timers.reset())
  const deleted: string[] = []
  let looks = 0
  const unclear = new UnclearDeletions(async () => {
    const answer = answers[looks++]
    if (answer === undefined) throw new Error('connection lost')
    return answer
  })
  const add = (name: string) => { unclear.add('id', record, () => { deleted.push(name) }) }
  const pass = async () => {
    mock.timers.tick(1_000)
    await new Promise(resolve => setImmediate(resolve))
  }
  return { unclear, deleted, add, pass, looks: () => looks }
}

t.test('a deletion that was not carried out is none: the tokens are in use', async (t) => {
  const { deleted, add, pass, looks } = follow(t, [true])
  add('a')
  for (let times = 0; times < 3; times++) await pass()
  t.strictSame(deleted, [])
  t.equal(looks(), 1)
})

t.test('the store is asked until it answers, and once what it held is told', async (t) => {
  const { unclear, deleted, add, pass, looks } = follow(t, [undefined, undefined, false])
  add('a')
  for (let times = 0; times < 5; times++) await pass()
  t.strictSame(deleted, ['a'])
  t.equal(looks(), 3)
  t.equal(unclear.settle('id'), undefined)
})

t.test('of two tries to delete a record, the last one is told', async (t) => {
  const { deleted, add, pass } = follow(t, [false, false])
  add('a')
  add('b')
  for (let times = 0; times < 2; times++) await pass()
  t.strictSame(deleted, ['b'])
})

t.test('a deletion that another try has settled is not told again, not by a look under way either', async (t) => {
  const { unclear, deleted, add, pass, looks } = follow(t, [false])
  add('a')
  const closed = unclear.close()
  t.equal(unclear.settle('id'), record)
  t.equal(unclear.settle('id'), undefined)
  await closed
  await pass()
  t.strictSame(deleted, [])
  t.equal(looks(), 1)
})

t.test('after the app has closed the store is not asked any more', async (t) => {
  const { unclear, deleted, add, pass, looks } = follow(t, [])
  add('a')
  const looked = pass()
  await Promise.all([looked, unclear.close()])
  await pass()
  t.equal(looks(), 2)
  t.strictSame(deleted, [])
})
