/** Milliseconds after a search in which there is no other one: made-up tokens must not cause a request each. */
export const PAUSE_MS = 30_000
/** The same after a search that failed: whatever was away may be back in a moment, and have what is looked for. */
const FAILURE_PAUSE_MS = 1_000

/** A fetch that callers share while it is under way; after one that something unknown has caused there is a pause. */
export class SharedFetch<T> {
  readonly #fetch: () => Promise<T>
  readonly #now: () => number
  #running: Promise<T> | undefined
  #pausedUntil = -Infinity
  /** Of the last fetch, where it failed. */
  #failure: { error: unknown } | undefined

  /** @param now milliseconds of a clock that only goes forward */
  constructor (fetch: () => Promise<T>, now: () => number) {
    this.#fetch = fetch
    this.#now = now
  }

  get isRunning (): boolean { return this.#running !== undefined }

  /** Fetches, or waits for the fetch that is under way. */
  run (): Promise<T> {
    this.#running ??= this.#fetch().then((value) => {
      this.#failure = undefined
      return value
    }, (error: unknown) => {
      this.#failure = { error }
      throw error
    }).finally(() => { this.#running = undefined })
    return this.#running
  }

  /**
   * Fetches for something that is not among what was fetched before.
   * @returns false within the pause after such a fetch
   * @throws what the fetch throws; within the pause after one that failed, the same again
   */
  async search (): Promise<boolean> {
    if (!this.isRunning && this.#now() < this.#pausedUntil) {
      if (this.#failure !== undefined) throw this.#failure.error
      return false
    }
    try {
      await this.run()
      return true
    } finally {
      this.#pausedUntil = this.#now() + (this.#failure === undefined ? PAUSE_MS : FAILURE_PAUSE_MS)
    }
  }
}
