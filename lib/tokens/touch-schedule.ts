import { BoundedMap } from '../util/bounded-map.ts'

const MAX_RECORDS = 100_000

/** Until when records are kept, as far as this process knows, so that not every request has to touch them. */
export class TouchSchedule {
  /** Monotonic seconds, a whole number. */
  readonly #until = new BoundedMap<string, number>(MAX_RECORDS)
  readonly #monotonic: () => number

  /** @param monotonic milliseconds of a clock that only goes forward */
  constructor (monotonic: () => number) {
    this.#monotonic = monotonic
  }

  /** Whether less than half of `ttl` seconds is left of a record's life. */
  isDue (id: string, ttl: number): boolean {
    return (this.#until.get(id) ?? 0) - this.#now() <= ttl / 2
  }

  /** Notes that a record is kept for `ttl` more seconds. */
  noteTtl (id: string, ttl: number): void {
    this.#until.set(id, Math.floor(this.#now() + ttl))
  }

  /**
   * Notes that a refresh has written a record, which is kept for `ttl` seconds from then on. The index entry for
   * `logoutUser` was not written, and is due as before.
   */
  noteWrite (id: string, ttl: number): void {
    const until = this.#until.get(id)
    if (until !== undefined && until > this.#now() + ttl) this.noteTtl(id, ttl)
  }

  #now (): number { return this.#monotonic() / 1000 }

  forget (id: string): void { this.#until.delete(id) }
}
