import { setTimeout as wait } from 'node:timers/promises'

/**
 * Rejects if `work` takes longer than `ms` milliseconds. The work itself continues, but its result is ignored.
 * @param work a promise, or a function that is called at once; what it throws is a rejection
 * @param timeoutError makes the error of the rejection
 */
export function withTimeout<T> (
  work: () => T | Promise<T>, ms: number, timeoutError: () => Error = () => new Error(`no answer within ${ms} ms`)
): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(timeoutError()), ms)
    const fail = (error: unknown) => {
      clearTimeout(timer)
      reject(error)
    }
    try {
      Promise.resolve(work()).then((value) => {
        clearTimeout(timer)
        resolve(value)
      }, fail)
    } catch (error) {
      fail(error) // thrown before there was a promise
    }
  })
}

/** Waits for some work, but no longer than `ms` milliseconds; the work goes on. Rejects if the work does. */
export async function waitAtMost (work: Promise<unknown>, ms: number): Promise<void> {
  const over = new AbortController()
  await Promise.race([work, sleep(ms, over.signal).catch(() => {})]).finally(() => over.abort())
}

/** The longest time that a timer of Node's can hold; a longer one is over at once. */
export const MAX_TIMER_MS = 2 ** 31 - 1

/** Waits some milliseconds; rejects with the signal's AbortError if that comes first. */
export async function sleep (ms: number, signal?: AbortSignal): Promise<void> {
  await wait(Math.min(ms, MAX_TIMER_MS), undefined, signal === undefined ? {} : { signal })
}
