/** Milliseconds after a search in which there is no other one: made-up tokens must not cause a request each. */
export const PAUSE_MS = 30_000

/** A fetch that callers share while it is under way; after one that something unknown has caused there is a pause. */
export class SharedFetch<T> {
  readonly #fetch: () => Promise<T>
  readonly #now: () => number
  #running: Promise<T> | undefined
  #searchedAt = -Infinity

  /** @param now milliseconds of a clock that only goes forward */
  constructor (fetch: () => Promise<T>, now: () => number) {
    this.#fetch = fetch
    this.#now = now
  }

  get isRunning (): boolean { return this.#running !== undefined }

  /** Fetches, or waits for the fetch that is under way. */
  run (): Promise<T> {
    this.#running ??= this.#fetch().finally(() => { this.#running = undefined })
    return this.#running
  }

  /**
   * Fetches for something that is not among what was fetched before. There is no pause after a fetch that failed: the
   * provider may be back in a moment, and have what is looked for.
   * @returns false within the pause after such a fetch
   * @throws what the fetch throws
   */
  async search (): Promise<boolean> {
    if (!this.isRunning && this.#now() - this.#searchedAt < PAUSE_MS) return false
    await this.run()
    this.#searchedAt = this.#now()
    return true
  }
}
