import t from 'tap'
import { sleep, waitAtMost, withTimeout } from '../../lib/util/timeout.ts'

const never = () => new Promise<never>(() => {})

t.test('work that takes too long is a rejection, with the error that the caller makes', async (t) => {
  await t.rejects(withTimeout(never, 1), { message: 'no answer within 1 ms' })
  await t.rejects(withTimeout(never, 1, () => new TypeError('too late')), TypeError)
})

t.test('what the work returns or throws is the outcome', async (t) => {
  t.equal(await withTimeout(async () => 'done', 10_000), 'done')
  await t.rejects(withTimeout(() => { throw new TypeError('at once') }, 10_000), TypeError)
})

t.test('waiting ends with the work or with the time, and fails where the work does', async (t) => {
  await waitAtMost(never(), 1)
  await waitAtMost(Promise.resolve(), 2 ** 31 - 1)
  await t.rejects(waitAtMost(Promise.reject(new TypeError('failed')), 10_000), TypeError)
})

t.test('a sleep ends with its signal, and holds longer times than a timer can', async (t) => {
  const over = new AbortController()
  const asleep = sleep(2 ** 40, over.signal)
  over.abort()
  await t.rejects(asleep, { name: 'AbortError' })
})
