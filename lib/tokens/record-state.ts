import type { TokenRecord } from './record.ts'

/** What this process knows of a record. At most one for each id at any time. */
export interface LiveRecord {
  readonly id: string
  /** The newest version seen. */
  record: TokenRecord | undefined
  /** Monotonic milliseconds at which the store was known to hold that version, or to hold nothing any more. */
  seenAt: number
  /** Deleted: nothing brings it back. */
  gone: boolean
  /** The refresh under way. */
  flight: Promise<TokenRecord> | undefined
  /** `onTokens` under way for the newest set. */
  settling: Promise<void> | undefined
  /** A version obtained because an API refused the one before, and refused ever since: no further refresh for it. */
  unproven: number
  /** Monotonic milliseconds before which no refresh is started ahead of time. */
  pausedUntil: number
  refusals: Refusals | undefined
  /** The version whose refresh token may have been used by an exchange that brought no answer. */
  doubtful: number
  /** A set that could not be written yet: it is served from here, and written as soon as the store takes it. */
  unsaved: UnsavedSet | undefined
  /** The next try to write it. */
  retry: NodeJS.Timeout | undefined
  usedAt: number
}

/** What a refresh brought, and the intent it was made under. */
export interface Outcome {
  owner: string
  record: TokenRecord
}

/** What could not be written, and the refresh tokens that were used up on the way to it. */
export interface UnsavedSet extends Outcome {
  used: readonly (string | undefined)[]
  /** Called where the record turns out to be deleted, so that nobody else knows the set. */
  onGone: () => void
}

/** Refusals, in a row, of refreshes that kept the login. */
export interface Refusals {
  version: number
  count: number
  /** Monotonic milliseconds before which the provider is not asked again. */
  pausedUntil: number
  last: Error
}

/** Milliseconds after which what nobody uses is forgotten. */
const IDLE_MS = 60_000
const MAX_LIVE = 50_000

/** What this process knows of the records that it used in the last minute. */
export class LiveRecords {
  readonly #live = new Map<string, LiveRecord>()
  readonly #monotonic: () => number

  /** @param monotonic milliseconds of a clock that only goes forward */
  constructor (monotonic: () => number) {
    this.#monotonic = monotonic
  }

  get size (): number { return this.#live.size }

  get (id: string): LiveRecord {
    const now = this.#monotonic()
    let live = this.#live.get(id)
    if (live !== undefined) {
      live.usedAt = now
      return live
    }
    this.#prune(now)
    live = { id, record: undefined, seenAt: now, gone: false, flight: undefined, settling: undefined, unproven: 0, pausedUntil: 0, refusals: undefined, doubtful: 0, unsaved: undefined, retry: undefined, usedAt: now }
    this.#live.set(id, live)
    return live
  }

  /** Whether the record is known to be deleted. */
  isGone (id: string): boolean { return this.#live.get(id)?.gone === true }

  /** Notes what the store holds now. */
  saw (live: LiveRecord, record: TokenRecord): TokenRecord {
    live.record = record
    live.seenAt = this.#monotonic()
    return record
  }

  /** Those that hold what could not be written yet. */
  unsaved (): LiveRecord[] { return [...this.#live.values()].filter(({ unsaved }) => unsaved !== undefined) }

  #prune (now: number): void {
    let steps = this.#live.size > MAX_LIVE ? 64 : 4
    for (const [id, live] of this.#live) {
      if (steps-- === 0) return
      this.#live.delete(id)
      // Who is still in use goes to the end of the line.
      if (now - live.usedAt < IDLE_MS || live.flight !== undefined || live.settling !== undefined || live.unsaved !== undefined) this.#live.set(id, live)
    }
  }
}
