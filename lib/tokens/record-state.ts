import type { TokenRecord } from './record.ts'

/** What this process knows of a record. At most one for each id at any time. */
export interface RecordState {
  readonly id: string
  /** The newest version seen. */
  record: TokenRecord | undefined
  /** Monotonic milliseconds at which the store was known to hold that version, or to hold nothing any more. */
  seenAt: number
  /** Deleted: nothing brings it back. */
  deleted: boolean
  /** The refresh under way. */
  refreshInProgress: Promise<TokenRecord> | undefined
  /** `onTokens` under way for the newest set. */
  barrier: Promise<void> | undefined
  /** A version obtained because an API refused the one before, and refused ever since: no further refresh for it. */
  rejectedVersion: number
  /** Monotonic milliseconds before which no refresh is started ahead of time. */
  refreshAheadPausedUntil: number
  refusals: Refusals | undefined
  /** The version whose refresh token may have been used by an exchange that brought no answer. */
  outcomeUnknownVersion: number
  /** A set that could not be written yet: it is served from here, and written as soon as the store takes it. */
  unsaved: UnsavedSet | undefined
  /** The next try to write it. */
  retry: NodeJS.Timeout | undefined
  usedAt: number
}

/** What a refresh brought, and the intent it was made under. */
export interface RefreshOutcome {
  owner: string
  record: TokenRecord
}

/** What could not be written, and the refresh tokens that were used up on the way to it. */
export interface UnsavedSet extends RefreshOutcome {
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
export class RecordStates {
  readonly #states = new Map<string, RecordState>()
  readonly #monotonic: () => number

  /** @param monotonic milliseconds of a clock that only goes forward */
  constructor (monotonic: () => number) {
    this.#monotonic = monotonic
  }

  get size (): number { return this.#states.size }

  get (id: string): RecordState {
    const now = this.#monotonic()
    let live = this.#states.get(id)
    if (live !== undefined) {
      live.usedAt = now
      return live
    }
    this.#prune(now)
    live = {
      id,
      record: undefined,
      seenAt: now,
      deleted: false,
      refreshInProgress: undefined,
      barrier: undefined,
      rejectedVersion: 0,
      refreshAheadPausedUntil: 0,
      refusals: undefined,
      outcomeUnknownVersion: 0,
      unsaved: undefined,
      retry: undefined,
      usedAt: now
    }
    this.#states.set(id, live)
    return live
  }

  /** Whether the record is known to be deleted. */
  isDeleted (id: string): boolean { return this.#states.get(id)?.deleted === true }

  /** Notes what the store holds now. */
  observe (live: RecordState, record: TokenRecord): TokenRecord {
    live.record = record
    live.seenAt = this.#monotonic()
    return record
  }

  /** Those that hold what could not be written yet. */
  unsaved (): RecordState[] { return [...this.#states.values()].filter(({ unsaved }) => unsaved !== undefined) }

  #prune (now: number): void {
    let steps = this.#states.size > MAX_LIVE ? 64 : 4
    for (const [id, live] of this.#states) {
      if (steps-- === 0) return
      this.#states.delete(id)
      // Who is still in use goes to the end of the line.
      if (
        now - live.usedAt < IDLE_MS ||
        live.refreshInProgress !== undefined ||
        live.barrier !== undefined ||
        live.unsaved !== undefined
      ) { this.#states.set(id, live) }
    }
  }
}
