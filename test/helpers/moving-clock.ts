import { mock } from 'node:test'
import type { Test } from 'tap'

/** The time of day of this process, which stands still until it is moved. Timers and the monotonic clock go on. */
export interface MovingClock {
  /** Moves it by so many seconds; back where they are negative. */
  pass (seconds: number): void
}

/** Stops the time of day until `t` has ended. */
export function movingClock (t: Pick<Test, 'after'>): MovingClock {
  mock.timers.enable({ apis: ['Date'], now: Date.now() })
  t.after(() => mock.timers.reset())
  return { pass: seconds => mock.timers.setTime(Date.now() + seconds * 1000) }
}
