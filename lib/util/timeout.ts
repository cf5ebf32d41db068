/** Waits for some work, but no longer than `ms` milliseconds; the work goes on. */
export async function waitAtMost (work: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  await Promise.race([
    work,
    new Promise(resolve => {
      timer = setTimeout(resolve, ms)
    })
  ]).finally(() => clearTimeout(timer))
}

/**
 * Rejects when `work` takes longer than `ms` milliseconds; what the work itself does later is ignored.
 * @param timeoutError makes the error of the rejection
 */
export function withTimeout<T> (
  work: () => T | Promise<T>, ms: number, timeoutError: () => Error = () => new Error(`no answer within ${ms} ms`)
): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(timeoutError()), ms)
    const settle = <V>(done: (value: V) => void) => (value: V) => {
      clearTimeout(timer)
      done(value)
    }
    const working = async () => await work() // also where it throws before there is a promise
    working().then(settle(resolve), settle(reject))
  })
}
