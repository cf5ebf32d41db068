/** Milliseconds for which a store that failed is remembered, and after which a call counts as failing. */
const TROUBLE_MS = 10_000
const SLOW_MS = 1_000

/** Notices when the store fails or dawdles. */
export class StoreWatch {
  readonly #monotonic: () => number
  #troubleUntil = -Infinity

  /** @param monotonic milliseconds of a clock that only goes forward */
  constructor (monotonic: () => number) {
    this.#monotonic = monotonic
  }

  /** Whether the store failed or dawdled lately: another process may hold a set that it could not write. */
  get recovering (): boolean { return this.#monotonic() < this.#troubleUntil }

  /** Makes a call of the store. */
  async watch<T> (call: () => Promise<T>): Promise<T> {
    const startedAt = this.#monotonic()
    const note = () => { this.#troubleUntil = this.#monotonic() + TROUBLE_MS }
    try {
      const result = await call()
      if (this.#monotonic() - startedAt > SLOW_MS) note()
      return result
    } catch (error) {
      note()
      throw error
    }
  }
}
