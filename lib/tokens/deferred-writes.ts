import type { RecordState, RecordStates, RefreshOutcome, UnsavedSet } from './record-state.ts'
import { decodeRecord, encodeRecord, nextRefreshToken, type TokenRecord } from './record.ts'
import type { StoreHealth } from './store-health.ts'
import type { TokenStore } from './stores/token-store.ts'

/** Milliseconds between tries to write what a failing store did not take: the first, and at most. */
const FIRST_RETRY_MS = 50
const RETRY_MS = 500

/** What became of a set: in the store, or not, since somebody else wrote first, or since the record is deleted. */
type Written = 'written' | 'superseded' | 'gone'

/**
 * Writes what refreshes bring. A store that fails right after the provider has rotated loses nothing: the set is kept
 * in memory, served from there, and written as soon as the store takes it.
 */
export class DeferredWrites {
  readonly #store: TokenStore
  readonly #health: StoreHealth
  readonly #states: RecordStates
  readonly #onWritten: (id: string, record: TokenRecord) => void
  #closed = false

  /** @param onWritten called with each set that stands in the store now */
  constructor (
    store: TokenStore,
    watch: StoreHealth,
    live: RecordStates,
    onWritten: (id: string, record: TokenRecord) => void
  ) {
    this.#store = store
    this.#health = watch
    this.#states = live
    this.#onWritten = onWritten
  }

  /**
   * Writes a set, while the intent is the caller's own. False where another writer was first or the record is gone.
   * @param replaced the record that the refresh set out from
   * @param onGone called, now or later, where the set cannot be written because the record has been deleted
   */
  async write (
    live: RecordState,
    { owner, record }: RefreshOutcome,
    replaced: TokenRecord,
    onGone: () => void
  ): Promise<boolean> {
    // Where the set before could not be written either, the intent that stands in the store is still that one's.
    const before = live.unsaved
    const used = [...before?.used ?? [], nextRefreshToken(replaced)]
    const outcome: UnsavedSet = { owner: before?.owner ?? owner, record, used, onGone }
    let written: Written
    try {
      written = await this.#put(live.id, outcome)
    } catch {
      if (live.deleted) {
        onGone()
        return false
      }
      live.record = record
      live.unsaved = outcome
      this.retryLater(live)
      return true
    }
    if (live.unsaved === before) live.unsaved = undefined
    if (written === 'gone') onGone()
    if (written !== 'written' || live.deleted) return false
    this.#written(live, record)
    return true
  }

  /** Tries once more to write what the store did not take. */
  async writeAgain (live: RecordState): Promise<void> {
    const outcome = live.unsaved
    if (outcome === undefined) return
    let written: Written
    try {
      written = await this.#put(live.id, outcome)
    } catch {
      return
    }
    if (live.unsaved !== outcome) return
    live.unsaved = undefined
    if (written === 'gone') outcome.onGone()
    // Where somebody else went on while the store was away, what stands there now is the truth.
    if (written === 'written') this.#written(live, outcome.record)
    else live.record = undefined
  }

  /** Tries once more to write all that the store did not take: it is back. */
  writeAll (): void {
    for (const live of this.#states.unsaved()) this.writeAgain(live).catch(() => {}) // the next try is due all the same
  }

  /** Tries again and again, in the background. */
  retryLater (live: RecordState, waitMs = FIRST_RETRY_MS): void {
    if (this.#closed) return
    const tryAgain = async () => {
      await this.writeAgain(live)
      live.retry = undefined
      if (live.unsaved !== undefined && !live.deleted) this.retryLater(live, Math.min(waitMs * 1.5, RETRY_MS))
    }
    live.retry ??= setTimeout(() => { void tryAgain() }, waitMs)
  }

  /** A last try for what could not be written yet. */
  async close (): Promise<void> {
    this.#closed = true
    await Promise.all(this.#states.unsaved().map((live) => {
      clearTimeout(live.retry)
      return this.writeAgain(live)
    }))
  }

  #written (live: RecordState, record: TokenRecord): void {
    this.#states.observe(live, record)
    this.#onWritten(live.id, record)
  }

  async #put (id: string, { owner, record, used }: UnsavedSet): Promise<Written> {
    const { ttl } = record
    const encoded = encodeRecord(record)
    const over = (expectedVersion: number) =>
      this.#health.watch(() => this.#store.set(id, encoded, { ttl, expectedVersion }))
    const { finishRefresh } = this.#store
    if (
      await (finishRefresh === undefined
        ? over(record.version - 1)
        : this.#health.watch(() => finishRefresh.call(this.#store, id, { owner, record: encoded, ttl })))
    ) { return 'written' }
    // The intent is gone (it ran out while the store was away, or an earlier try was carried out and its answer lost),
    // or the set before this one could not be written either. As long as what stands there is a set that has been used
    // up on the way to this one, nobody has gone on from it.
    const stored = decodeRecord(await this.#health.watch(() => this.#store.get(id)))
    if (stored === undefined) return 'gone'
    if (stored.version >= record.version || !used.includes(nextRefreshToken(stored))) return 'superseded'
    return await over(stored.version) ? 'written' : 'superseded'
  }
}
