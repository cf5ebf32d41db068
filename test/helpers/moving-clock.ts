import { mock } from 'node:test'
import type { Test } from 'tap'

/** A clock of this process, which stands still until it is moved. */
export interface MovingClock {
  /** Moves it by so many seconds; back where they are negative. */
  pass (seconds: number): void
}

/** Stops the time of day until `t` has ended. Timers and the monotonic clock go on. */
export function movingClock (t: Pick<Test, 'after'>): MovingClock {
  mock.timers.enable({ apis: ['Date'], now: Date.now() })
  t.after(() => mock.timers.reset())
  return { pass: seconds => mock.timers.setTime(Date.now() + seconds * 1000) }
}

/** Stops the monotonic clock of this process until `t` has ended. Timers and the time of day go on. */
export function movingMonotonic (t: Pick<Test, 'after'>): MovingClock {
  let now = performance.now()
  performance.now = () => now
  t.after(() => { delete (performance as { now?: unknown }).now })
  return { pass: seconds => { now += seconds * 1000 } }
}
