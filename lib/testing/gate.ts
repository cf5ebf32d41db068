/** A promise together with the two functions that settle it. */
export interface Deferred<T> {
  readonly promise: Promise<T>
  readonly resolve: (value: T) => void
  readonly reject: (reason: unknown) => void
}

export function deferred<T = void> (): Deferred<T> {
  let resolve!: (value: T) => void
  let reject!: (reason: unknown) => void
  const promise = new Promise<T>((_resolve, _reject) => {
    resolve = _resolve
    reject = _reject
  })
  return { promise, resolve, reject }
}

/**
 * Stops every caller of `pass()` until the test calls `release()`. Races are arranged with gates, never with sleeps:
 * the test awaits `arrived`, does what has to happen meanwhile, and then releases the held side.
 */
export class Gate<T = void> {
  /** Everything that has arrived at the gate, in order; `T` is its type (a request, a session id). */
  readonly arrivals: T[] = []
  readonly #opened = deferred()
  readonly #watchers: Array<{ count: number, reached: Deferred<T[]> }> = []

  /** Resolves with the first arrival. */
  get arrived (): Promise<T> {
    return this.arrivedTimes(1).then(([first]) => first as T)
  }

  /** Resolves once `count` have come to the gate. */
  arrivedTimes (count: number): Promise<T[]> {
    const reached = deferred<T[]>()
    this.#watchers.push({ count, reached })
    this.#notify()
    return reached.promise
  }

  /** The held side: resolves when the gate is released, at once when it already is. */
  pass (arrival: T): Promise<void> {
    this.arrivals.push(arrival)
    this.#notify()
    return this.#opened.promise
  }

  /** Lets every caller through, now and from now on. */
  release (): void {
    this.#opened.resolve()
  }

  #notify (): void {
    for (const { count, reached } of this.#watchers) {
      if (this.arrivals.length >= count) reached.resolve(this.arrivals.slice(0, count))
    }
  }
}
