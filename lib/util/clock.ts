/** The only clocks of the package, handed in so that nothing has to wait for real time to pass. */
export interface Clock {
  /** Epoch seconds, with fractions. */
  now: () => number
  /** Milliseconds of a clock that only goes forward. */
  monotonic: () => number
  /** Waits some seconds; real time where absent. */
  wait?: (seconds: number, signal?: AbortSignal) => Promise<void>
}

export const systemClock: Clock = {
  now: () => Date.now() / 1000,
  monotonic: () => performance.now()
}
