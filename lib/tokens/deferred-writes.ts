import type { RecordState, RecordStates, RefreshOutcome, UnsavedSet } from './record-state.ts'
import { nextRefreshToken, type RecordForm, recordFormOf, type TokenRecord } from './record.ts'
import type { StoreHealth } from './store-health.ts'
import type { TokenStore } from './stores/token-store.ts'

/** Milliseconds between tries to write what a failing store did not take: the first, and at most. */
const FIRST_RETRY_MS = 50
const RETRY_MS = 500

/** What became of a set: in the store, or not, since another writer was first or the record is deleted. */
type Written = 'written' | 'superseded' | 'deleted'

/**
 * Writes what refreshes bring. Where the store fails after the provider has rotated the refresh token, the set is kept
 * in memory, served from there, and written as soon as the store takes it.
 */
export class DeferredWrites {
  readonly #store: TokenStore
  readonly #form: RecordForm
  readonly #health: StoreHealth
  readonly #states: RecordStates
  readonly #onWritten: (id: string, record: TokenRecord) => void
  readonly #retries = new Map<RecordState, NodeJS.Timeout>()
  #closed = false

  /** @param onWritten called with each set that stands in the store now */
  constructor (
    store: TokenStore, health: StoreHealth, states: RecordStates, onWritten: (id: string, record: TokenRecord) => void
  ) {
    this.#store = store
    this.#form = recordFormOf(store)
    this.#health = health
    this.#states = states
    this.#onWritten = onWritten
  }

  /**
   * Writes a set while the lease is the caller's own. False where another writer was first or the record is deleted.
   * @param replaced the record that the refresh set out from
   * @param onDeleted called, now or later, where the set cannot be written because the record has been deleted
   */
  async write (
    state: RecordState, { owner, record }: RefreshOutcome, replaced: TokenRecord, onDeleted: () => void
  ): Promise<boolean> {
    // Where the set before is not written either, the lease that stands in the store is still that one's.
    const before = state.unsaved
    const used = [...before?.used ?? [], nextRefreshToken(replaced)]
    const set: UnsavedSet = { owner: before?.owner ?? owner, record, used, onDeleted }
    let written: Written
    try {
      written = await this.#put(state.id, set)
    } catch {
      if (state.isDeleted) {
        onDeleted()
        return false
      }
      state.deferWrite(set)
      this.retryLater(state)
      return true
    }
    state.settleWrite(before)
    if (written === 'deleted') onDeleted()
    if (written !== 'written' || state.isDeleted) return false
    this.#onWritten(state.id, state.observe(record))
    return true
  }

  /** Tries once more to write what the store did not take. */
  async writeAgain (state: RecordState): Promise<void> {
    const set = state.unsaved
    if (set === undefined) return
    let written: Written
    try {
      written = await this.#put(state.id, set)
    } catch {
      return
    }
    if (!state.settleWrite(set)) return
    if (written === 'deleted') set.onDeleted()
    // Where another process went on while the store was away, the record in the store counts.
    if (written === 'written') this.#onWritten(state.id, state.observe(set.record))
    else state.forget()
  }

  /** Tries once more to write all that the store did not take: it answers again. */
  writeAll (): void {
    for (const state of this.#states.unsaved()) void this.writeAgain(state)
  }

  /** Tries again and again, in the background. */
  retryLater (state: RecordState, waitMs = FIRST_RETRY_MS): void {
    if (this.#closed || this.#retries.has(state)) return
    const tryAgain = async () => {
      await this.writeAgain(state)
      this.#retries.delete(state)
      if (state.unsaved !== undefined) this.retryLater(state, Math.min(waitMs * 1.5, RETRY_MS))
    }
    this.#retries.set(state, setTimeout(() => { void tryAgain() }, waitMs))
  }

  /** A last try for what is not written yet. */
  async close (): Promise<void> {
    this.#closed = true
    for (const timer of this.#retries.values()) clearTimeout(timer)
    await Promise.all(this.#states.unsaved().map(state => this.writeAgain(state)))
  }

  async #put (id: string, { owner, record, used }: UnsavedSet): Promise<Written> {
    const { ttl } = record
    const encoded = this.#form.encode(record)
    const replace = (expectedVersion: number) =>
      this.#health.watch(() => this.#store.set(id, encoded, { ttl, expectedVersion }))
    const { finishRefresh } = this.#store
    const written = finishRefresh === undefined
      ? replace(record.version - 1)
      : this.#health.watch(() => finishRefresh.call(this.#store, id, { owner, record: encoded, ttl }))
    if (await written) return 'written'
    // The lease is over (it ran out while the store was away, or an earlier try was carried out and its answer lost),
    // or the set before this one is not written either. As long as the store holds a set whose refresh token was used
    // up on the way to this one, no other process has gone on from it.
    const stored = this.#form.decode(await this.#health.watch(() => this.#store.get(id)))
    if (stored === undefined) return 'deleted'
    if (stored.version >= record.version || !used.includes(nextRefreshToken(stored))) return 'superseded'
    return await replace(stored.version) ? 'written' : 'superseded'
  }
}
