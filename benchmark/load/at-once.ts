/** Runs the operations of a round, so many at the same time, and times each. */
import { quantile } from './quantile.ts'

export interface LoadResult {
  /** Milliseconds that half of the operations took at most. */
  p50: number
  /** Milliseconds that 99 of 100 took at most. */
  p99: number
  perSecond: number
  /** Of those that failed: how many, and what the first one says. */
  failed: number
  firstFailure?: string | undefined
}

export async function runAtOnce (
  count: number,
  atOnce: number,
  operation: (index: number) => Promise<void>
): Promise<LoadResult> {
  const times = new Float64Array(count)
  let started = 0
  let failed = 0
  let firstFailure: string | undefined

  async function runNext (): Promise<void> {
    while (started < count) {
      const index = started++
      const start = performance.now()
      try {
        await operation(index)
      } catch (error) {
        failed++
        firstFailure ??= error instanceof Error ? error.message : String(error)
      }
      times[index] = performance.now() - start
    }
  }

  const start = performance.now()
  await Promise.all(Array.from({ length: atOnce }, runNext))
  const seconds = (performance.now() - start) / 1000
  times.sort()
  return { p50: quantile(times, 0.5), p99: quantile(times, 0.99), perSecond: count / seconds, failed, firstFailure }
}
