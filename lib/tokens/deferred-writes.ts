import type { RecordState, RecordStates, RefreshOutcome, UnsavedSet } from './record-state.ts'
import { nextRefreshToken, type RecordForm, recordFormOf, type TokenRecord } from './record.ts'
import type { StoreHealth } from './store-health.ts'
import type { TokenStore } from './stores/token-store.ts'

/** Milliseconds between tries to write what a failing store did not take: the first, and at most. */
const FIRST_RETRY_MS = 50
const RETRY_MS = 500

/** The outcome of a write. `superseded`: another writer was first. `deleted`: the record is. */
type Written = 'written' | 'superseded' | 'deleted'

/**
 * Writes the sets of refreshes. If the store fails after the provider has rotated the refresh token, the set is kept in
 * memory, used from there, and written as soon as the store takes it.
 */
export class DeferredWrites {
  readonly #store: TokenStore
  readonly #form: RecordForm
  readonly #health: StoreHealth
  readonly #states: RecordStates
  readonly #onWritten: (id: string, record: TokenRecord) => void
  readonly #retries = new Map<RecordState, NodeJS.Timeout>()
  #closed = false

  /** @param onWritten called with each set that the store has taken */
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
   * Writes a set if the caller has the lease. False if another writer was first or the record is deleted.
   * @param replaced the record that the refresh started from
   * @param onDeleted called, now or later, if the set cannot be written because the record has been deleted
   */
  async write (
    state: RecordState, { owner, record }: RefreshOutcome, replaced: TokenRecord, onDeleted: () => void
  ): Promise<boolean> {
    // If the store has no leases, the previous set may not be written either.
    const before = state.unsaved
    const used = [...before?.used ?? [], nextRefreshToken(replaced)]
    const set: UnsavedSet = { owner, record, used, onDeleted }
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

  /** The same as `flush`; if the store fails, the set stays for later. */
  async writeAgain (state: RecordState): Promise<void> {
    await this.flush(state).catch(() => {})
  }

  /**
   * Tries once more to write what the store did not take.
   * @throws FST_OAUTH_STORE_UNAVAILABLE
   */
  async flush (state: RecordState): Promise<void> {
    const set = state.unsaved
    if (set === undefined) return
    const written = await this.#put(state.id, set)
    if (!state.settleWrite(set)) return
    if (written === 'deleted') set.onDeleted()
    // If another process has replaced the record meanwhile, the record in the store is the newest one.
    if (written === 'written') this.#onWritten(state.id, state.observe(set.record))
    else state.forget()
  }

  /** Tries once more to write all that the store did not take; called when the store answers again. */
  writeAll (): void {
    for (const state of this.#states.unsaved()) void this.writeAgain(state)
  }

  /** Keeps trying, in the background. */
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
    // The lease has ended (it expired while the store was unavailable, or an earlier try succeeded and its answer was
    // lost), or the previous set is not written either. As long as the store holds a set whose refresh token was used
    // on the way to this one, no other process has refreshed it.
    const stored = this.#form.decode(await this.#health.watch(() => this.#store.get(id)))
    if (stored === undefined) return 'deleted'
    if (stored.version >= record.version || !used.includes(nextRefreshToken(stored))) return 'superseded'
    return await replace(stored.version) ? 'written' : 'superseded'
  }
}
