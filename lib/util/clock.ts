/** The clocks that the package uses; tests replace them, so as not to wait. */
export interface Clock {
  /** Epoch seconds, with fractions. */
  now: () => number
  /** Milliseconds of a clock that only goes forward. */
  monotonic: () => number
  /** Waits some seconds. Default real time. */
  wait?: (seconds: number, signal?: AbortSignal) => Promise<void>
}

export const systemClock: Clock = {
  now: () => Date.now() / 1000,
  monotonic: () => performance.now()
}
