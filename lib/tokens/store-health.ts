/** Milliseconds after which an answer of the store is late, and between two answers that follow on each other. */
const GAP_MS = 1_000

/** Measures for how long the store has answered without a break. */
export class StoreHealth {
  readonly #monotonic: () => number
  readonly #onBack: () => void
  #failing = false
  #answeredAt = -Infinity
  #steadySince = Infinity

  /**
   * @param monotonic milliseconds of a clock that only goes forward
   * @param onBack called when the store answers again after it had failed
   */
  constructor (monotonic: () => number, onBack: () => void) {
    this.#monotonic = monotonic
    this.#onBack = onBack
  }

  /**
   * Milliseconds for which the store is known to have answered every call, each in time and soon after the one before.
   * 0 if that is not known: a process that has just started, or made no calls, cannot tell whether the store was down.
   */
  get steadyMs (): number {
    const now = this.#monotonic()
    return now - this.#answeredAt > GAP_MS ? 0 : Math.max(0, now - this.#steadySince)
  }

  /** Makes a call of the store. */
  async watch<T> (call: () => Promise<T>): Promise<T> {
    const startedAt = this.#monotonic()
    try {
      const result = await call()
      const now = this.#monotonic()
      if (now - startedAt > GAP_MS || startedAt - this.#answeredAt > GAP_MS) this.#steadySince = now
      this.#answeredAt = now
      if (this.#failing) {
        this.#failing = false
        this.#onBack()
      }
      return result
    } catch (error) {
      this.#failing = true
      this.#answeredAt = -Infinity
      throw error
    }
  }
}
