import type { OAuthError } from '../errors.ts'
import type { TokenRecord } from './record.ts'

/** What a refresh brought, and the owner of the lease that it was made under. */
export interface RefreshOutcome {
  owner: string
  record: TokenRecord
}

/** A set that could not be written yet. */
export interface UnsavedSet extends RefreshOutcome {
  /** The refresh tokens that were used up on the way to it. */
  used: readonly (string | undefined)[]
  /** Called if the record turns out to be deleted: only this process has the set then. */
  onDeleted: () => void
}

/** Milliseconds for which a version that was seen takes precedence over an older one in the store. */
const SEEN_MS = 60_000
/** Milliseconds after its last use at which a state is dropped. */
const IDLE_MS = 60_000
/** States above which unused ones are dropped faster. */
const MAX_STATES = 50_000
/** Consecutive refusals of one version after which the token endpoint is asked at growing intervals (milliseconds). */
const FREE_REFUSALS = 5
const FIRST_REFUSAL_PAUSE_MS = 1_000
const MAX_REFUSAL_PAUSE_MS = 60_000
/** Milliseconds without refreshes ahead of time after one failed. */
const REFRESH_AHEAD_PAUSE_MS = 5_000

/**
 * What this process knows of one token record. The files of this folder change it through the methods below; other
 * folders do not see it. A record is in one of four states:
 *
 *                         observe: read, created, written
 *     UNKNOWN  ------------------------------------------------->  KNOWN  <--+
 *        ^      <-------------------------------------------------   | ^     |
 *        |          forget: the store does not have it               | |     | settleWrite, then observe:
 *        |                                                deferWrite | |     | the store has taken it
 *        |                            the store failed after the     | |     |
 *        |                            provider had answered          v |     |
 *        |                                                        UNSAVED ---+
 *        | forget: another process had deleted it or gone on         |
 *        +-----------------------------------------------------------+
 *
 *     KNOWN, UNSAVED, UNKNOWN  -- markDeleted -->  DELETED  -- confirmDeleted: for good
 *                              <-- its undo: the store failed, the record stands there still
 *
 * One refresh changes it in this order:
 *
 *     1. refresher          shareRefresh        later callers wait for the same promise
 *     2. records            observe             what the store says with the lease
 *     3. refresher          markOutcomeUnknown  an earlier holder of the lease never came back
 *     4. on-tokens          holdBarrier         no caller uses the new set before `onTokens` has ended
 *     5. deferred-writes    observe, or deferWrite if the store fails
 *     6. refresher          noteRefusal, markOutcomeUnknown, and a removal, if it was refused
 *
 * The other writers are token-source (markRejected, markAccepted), for what APIs answer, and records (markDeleted,
 * forget), for a logout.
 */
export class RecordState {
  readonly id: string
  readonly #monotonic: () => number
  #record: TokenRecord | undefined
  /** Monotonic milliseconds at which the store was known to hold that record, or to hold nothing any more. */
  #seenAt: number
  /** Monotonic milliseconds at which the last successful read of the store began. */
  #readAt = -Infinity
  #usedAt: number
  /** Monotonic milliseconds of its last turn. */
  #turnAt: number
  #deleted = false
  #refresh: Promise<TokenRecord> | undefined
  #barrier: Promise<void> | undefined
  #unsaved: UnsavedSet | undefined
  #rejectedVersion = 0
  #outcomeUnknownVersion = 0
  /** Monotonic milliseconds. */
  #refreshAheadPausedUntil = 0
  #refusals: { version: number, count: number, pausedUntil: number, last: OAuthError } | undefined

  /** @param monotonic milliseconds of a clock that only goes forward */
  constructor (id: string, monotonic: () => number) {
    this.id = id
    this.#monotonic = monotonic
    this.#seenAt = this.#usedAt = this.#turnAt = monotonic()
  }

  /** The newest version seen. */
  get record (): TokenRecord | undefined { return this.#record }
  /** Whether this process has deleted it; nothing brings it back. */
  get isDeleted (): boolean { return this.#deleted }
  /** The refresh under way. */
  get refreshInProgress (): Promise<TokenRecord> | undefined { return this.#refresh }
  /** The step under way that stores the newest set and runs `onTokens` for it. */
  get barrier (): Promise<void> | undefined { return this.#barrier }
  /** The set that is served from here until the store takes it. */
  get unsaved (): UnsavedSet | undefined { return this.#unsaved }
  get refreshAheadIsPaused (): boolean { return this.#monotonic() < this.#refreshAheadPausedUntil }
  /** Whether what is known was seen within the last minute. */
  get isRecent (): boolean { return this.#monotonic() - this.#seenAt <= SEEN_MS }
  /** Monotonic milliseconds of the last use. */
  get usedAt (): number { return this.#usedAt }

  /** Whether what is known was seen before the store was asked (monotonic milliseconds). */
  wasSeenBefore (askedAt: number): boolean { return askedAt > this.#seenAt }

  /** Whether a successful read of the store began at or after a time (monotonic milliseconds). */
  wasReadSince (time: number): boolean { return this.#readAt >= time }

  /** Notes a successful read of the store, which began at a time (monotonic milliseconds). */
  noteRead (askedAt: number): void { this.#readAt = Math.max(this.#readAt, askedAt) }

  /** Notes what the store holds now. */
  observe (record: TokenRecord): TokenRecord {
    this.#record = record
    this.#seenAt = this.#monotonic()
    return record
  }

  /** Notes that the store holds again what was known. */
  observeRestored (): void { this.#seenAt = this.#monotonic() }

  /** Notes that the store does not have the record. */
  forget (): void { this.#record = undefined }

  /**
   * Notes that the record is to be deleted: from now on it is treated as deleted.
   * @returns an undo for a failed deletion, which takes the record that the store still has
   */
  markDeleted (): (record: TokenRecord | undefined) => void {
    const seenAt = this.#seenAt
    const unsaved = this.#unsaved
    this.#deleted = true
    this.#seenAt = Infinity // a record read before the deletion is done is not one that the store brought back
    this.#record = undefined
    this.#unsaved = undefined
    return (record) => {
      this.#deleted = false
      this.#seenAt = seenAt
      this.#record = record
      this.#unsaved = unsaved
    }
  }

  /** Notes that the store has deleted the record: one that it shows later it has brought back. */
  confirmDeleted (): void { this.#seenAt = this.#monotonic() }

  /** Starts work that nothing else of this process comes between; `refreshInProgress` until it has ended. */
  shareRefresh (work: () => Promise<TokenRecord>): Promise<TokenRecord> {
    const refresh = work().finally(() => { if (this.#refresh === refresh) this.#refresh = undefined })
    refresh.catch(() => {}) // its callers handle it; there may be none
    this.#refresh = refresh
    return refresh
  }

  /** Makes readers of the record wait for some work, and fail if it fails. */
  holdBarrier (work: Promise<unknown>): void {
    const barrier = work.then(() => {}).finally(() => { if (this.#barrier === barrier) this.#barrier = undefined })
    barrier.catch(() => {}) // its readers handle it; there may be none
    this.#barrier = barrier
  }

  /** Serves a set from here that the store did not take. */
  deferWrite (set: UnsavedSet): void {
    this.#record = set.record
    this.#unsaved = set
  }

  /** Notes that a set needs no further write. False if another one has taken its place. */
  settleWrite (set: UnsavedSet | undefined): boolean {
    if (this.#unsaved !== set) return false
    this.#unsaved = undefined
    return true
  }

  /** Notes that an API refused the version before this one too: no further refresh for its sake. */
  markRejected (version: number): void { this.#rejectedVersion = version }

  isRejected (version: number): boolean { return this.#rejectedVersion === version }

  /** Notes that an API took the token. */
  markAccepted (version: number): void { if (this.#rejectedVersion === version) this.#rejectedVersion = 0 }

  /** Notes that the refresh token of a version may have been used by an exchange that brought no response. */
  markOutcomeUnknown (version: number): void { this.#outcomeUnknownVersion = version }

  isOutcomeUnknown (version: number): boolean { return this.#outcomeUnknownVersion === version }

  /** Starts no refresh ahead of time for some seconds. */
  pauseRefreshAhead (): void { this.#refreshAheadPausedUntil = this.#monotonic() + REFRESH_AHEAD_PAUSE_MS }

  /** Counts a refusal that did not end the login, so that further calls do not ask the provider each time. */
  noteRefusal (version: number, error: OAuthError): void {
    const count = this.#refusals?.version === version ? this.#refusals.count + 1 : 1
    const excess = count - FREE_REFUSALS
    const pause = excess < 0 ? 0 : FIRST_REFUSAL_PAUSE_MS * 2 ** Math.min(excess, 6)
    const asked = excess < 0 ? 0 : (error.retryAfter ?? 0) * 1000
    const pausedUntil = this.#monotonic() + Math.min(Math.max(pause, asked), MAX_REFUSAL_PAUSE_MS)
    this.#refusals = { version, count, pausedUntil, last: error }
  }

  /** The last refusal of a version, while the provider is not to be asked again. */
  refusalOf (version: number): OAuthError | undefined {
    const refusals = this.#refusals
    return refusals?.version === version && this.#monotonic() < refusals.pausedUntil ? refusals.last : undefined
  }

  /** Notes that it is used now. */
  touch (): this {
    this.#usedAt = this.#monotonic()
    return this
  }

  /** Whether it may be idle by now: its turn to be looked at comes a minute after it was made or looked at. */
  takeTurn (): boolean {
    const now = this.#monotonic()
    if (now - this.#turnAt < IDLE_MS) return false
    this.#turnAt = now
    return true
  }

  /** Whether it was not used for a minute and holds no work and no set that is not stored. */
  get isIdle (): boolean {
    return this.#monotonic() - this.#usedAt >= IDLE_MS &&
      this.#refresh === undefined && this.#barrier === undefined && this.#unsaved === undefined
  }
}

/** The states of the records that this process used in the last minute; at most one for each id at any time. */
export class RecordStates {
  readonly #states = new Map<string, RecordState>()
  readonly #monotonic: () => number

  /** @param monotonic milliseconds of a clock that only goes forward */
  constructor (monotonic: () => number) {
    this.#monotonic = monotonic
  }

  get size (): number { return this.#states.size }

  get (id: string): RecordState {
    const known = this.#states.get(id)
    if (known !== undefined) return known.touch()
    this.#prune()
    const state = new RecordState(id, this.#monotonic)
    this.#states.set(id, state)
    return state
  }

  /** The state of a record, if there is one; that is no use of it. */
  find (id: string): RecordState | undefined { return this.#states.get(id) }

  /** Whether this process has deleted the record. */
  isDeleted (id: string): boolean { return this.#states.get(id)?.isDeleted === true }

  /** Those that hold a set which is not stored yet. */
  unsaved (): RecordState[] { return [...this.#states.values()].filter(({ unsaved }) => unsaved !== undefined) }

  /** Drops a few idle states; those in use go to the end of the line, and are not looked at for a minute. */
  #prune (): void {
    let steps = this.#states.size > MAX_STATES ? 64 : 4
    for (const [id, state] of this.#states) {
      if (steps-- === 0 || !state.takeTurn()) return
      this.#states.delete(id)
      if (!state.isIdle) this.#states.set(id, state)
    }
  }
}
