import { randomId } from '../util/random.ts'
import { sleep } from '../util/timeout.ts'
import { DeferredWrites } from './deferred-writes.ts'
import { type RecordState, RecordStates, type RefreshOutcome } from './record-state.ts'
import { type RecordForm, recordFormOf, type TokenRecord } from './record.ts'
import { StoreHealth } from './store-health.ts'
import {
  isLocal, type LocalStore, type RefreshLease, type StoredRecord, type TokenStore
} from './stores/token-store.ts'
import { TouchSchedule } from './touch-schedule.ts'
import { UnclearDeletions } from './unclear-deletions.ts'

/** A lease that begins when the store is asked for it: the time of day may be set while an earlier call is awaited. */
type NewLease = Omit<RefreshLease, 'until'> & {
  /** Milliseconds; 0 gives the lease up. */
  lifeMs: number
}
/** A lease on one version of a record. */
export type VersionLease = NewLease & { version: number }

/** What became of a try to take the lease. */
export type AcquireResult =
  /** The refresh token may be sent. */
  | { state: 'acquired', record: TokenRecord, abandoned: boolean }
  | { state: 'busy' }
  | { state: 'newer', record: TokenRecord }
  | { state: 'deleted' }

/** Milliseconds between tries to write what is not written yet when the app closes. */
const CLOSE_RETRY_MS = 200
/** Milliseconds for which a request uses what it has read. After that it sees a logout by another process. */
const READ_MS = 1_000

export interface TokenRecordsOptions {
  /** Called with a record's provider if the store had lost a write that it had acknowledged. */
  onRollback?: (provider: string) => void
  /** Whether nothing but these records writes to the store. Default false. */
  isSoleWriter?: () => boolean
  /** Milliseconds for which a call uses what any request of this process has read. Default 0. */
  cacheMs?: number
}

/**
 * The token records of this process: what the store holds, and what this process saw of it in the last minute, so that
 * every request sees a refresh or a logout at once and an older copy never wins over a newer one.
 */
export class TokenRecords {
  readonly #store: TokenStore
  /** The store, if it is in the memory of this process: it can be read without waiting, and has the newest records. */
  readonly #local: LocalStore | undefined
  readonly #form: RecordForm
  readonly #monotonic: () => number
  readonly #states: RecordStates
  readonly #touchSchedule: TouchSchedule
  readonly #health: StoreHealth
  readonly #deferredWrites: DeferredWrites
  readonly #unclearDeletions: UnclearDeletions
  readonly #onRollback: (provider: string) => void
  readonly #isSoleWriter: () => boolean
  readonly #cacheMs: number
  /** Called with the id of a record that this process has deleted, or has found to be gone. */
  onGone: ((id: string) => void) | undefined

  /** @param monotonic milliseconds of a clock that only goes forward */
  constructor (
    store: TokenStore, monotonic: () => number,
    { onRollback = () => {}, isSoleWriter = () => false, cacheMs = 0 }: TokenRecordsOptions = {}
  ) {
    this.#store = store
    this.#local = isLocal(store) ? store : undefined
    this.#form = recordFormOf(store)
    this.#monotonic = monotonic
    this.#onRollback = onRollback
    this.#isSoleWriter = isSoleWriter
    this.#cacheMs = cacheMs
    this.#states = new RecordStates(monotonic)
    this.#touchSchedule = new TouchSchedule(monotonic)
    this.#health = new StoreHealth(monotonic, () => this.#deferredWrites.writeAll())
    this.#deferredWrites = new DeferredWrites(store, this.#health, this.#states, (id, { ttl }) =>
      this.#touchSchedule.noteWrite(id, ttl))
    this.#unclearDeletions = new UnclearDeletions(async id => (await store.get(id)) !== undefined)
  }

  /** How many records this process holds a state of, for tests of leaks. */
  get size (): number { return this.#states.size }

  /** Milliseconds for which the store is known to have answered: before that, others may have been unable to write. */
  get steadyMs (): number { return this.#health.steadyMs }

  /** Sets that are not written yet, and are lost if this process ends now. */
  get unsaved (): number { return this.#states.unsaved().length }

  /** What this process knows of a record, for the files of this folder: once an operation, then handed on. */
  state (id: string): RecordState { return this.#states.get(id) }

  /** The newest version that this process has seen, without asking the store. */
  peek (id: string): TokenRecord | undefined { return this.state(id).record }

  /** The same, without counting as a use of the record. */
  known (id: string): TokenRecord | undefined { return this.#states.find(id)?.record ?? this.#peekStore(id) }

  /** Whether this process has deleted the record, within the last minute. */
  isDeleted (id: string): boolean { return this.#states.isDeleted(id) }

  /** Notes that an API took the token of a version. */
  markAccepted (id: string, version: number): void { this.#states.find(id)?.markAccepted(version) }

  /**
   * Stores the tokens of a new login. If a logout came first, the record is treated as deleted.
   * @param first of version 1
   * @returns the record's id
   */
  async create (first: TokenRecord, id = randomId()): Promise<string> {
    const { ttl } = first
    const created = await this.#store.set(id, this.#form.encode(first), { ttl, expectedVersion: 0 })
    if (!created) {
      const state = this.state(id)
      state.markDeleted()
      state.confirmDeleted()
      return id
    }
    // In memory one touch more, by the first request that saves the session, costs less than a note for each login.
    if (this.#local === undefined) {
      this.state(id).observe(first)
      this.#touchSchedule.noteTtl(id, ttl)
    }
    return id
  }

  /** Puts a first record into a store of this process, without waiting. */
  insert (first: TokenRecord, store: { put (id: string, record: StoredRecord): void }): string {
    const id = randomId()
    store.put(id, this.#form.encode(first))
    return id
  }

  #peekStore (id: string): TokenRecord | undefined {
    return this.#form.decode(this.#local?.peek(id))
  }

  /**
   * What a call may use of a record without asking the store: on a store that nothing else writes to, what was seen
   * within the last minute (its end is noticed then); on any other, what was read within `cacheMs`, or within the last
   * second and since the request began. Undefined if the store has to be asked.
   * @param since when the request began, in monotonic milliseconds
   */
  usable (id: string, since: number): TokenRecord | undefined {
    const state = this.state(id)
    if (state.barrier !== undefined) return undefined
    if (this.#isSoleWriter()) return this.#usableAlone(state)
    if (state.record === undefined) return undefined
    const { usedAt: now } = state
    const from = Math.min(Math.max(since, now - READ_MS), now - this.#cacheMs)
    return state.wasReadSince(from) ? state.record : undefined
  }

  #usableAlone (state: RecordState): TokenRecord | undefined {
    if (state.record !== undefined && state.isRecent) return state.record
    const stored = this.#peekStore(state.id)
    return stored && state.observe(stored)
  }

  /** Reads a record from the store; returns the newest version known, undefined if it is deleted. */
  async read (id: string): Promise<TokenRecord | undefined> {
    const state = this.state(id)
    if (state.unsaved !== undefined) await this.#deferredWrites.writeAgain(state)
    const askedAt = this.#monotonic()
    // The one case in which memory is ahead of the store: it failed right after the provider had rotated.
    const record = state.unsaved?.record ??
      await this.#newest(state, this.#form.decode(await this.#health.watch(() => this.#store.get(id))), askedAt)
    if (record !== undefined) state.noteRead(askedAt)
    return record
  }

  /**
   * The newest version, by the store and by what this process saw. If the store lost writes that it had acknowledged (a
   * failover, a restart without its last writes), the newer version is written again, and a deleted record is deleted
   * again; a missing record is never brought back.
   * @param askedAt when the store was asked: what this process saw later than that is simply newer
   * @param mine whether the caller has the lease on the record, if there is one
   */
  async #newest (
    state: RecordState, stored: TokenRecord | undefined, askedAt: number, mine = false
  ): Promise<TokenRecord | undefined> {
    const known = state.record
    if (stored === undefined) {
      state.forget()
      this.onGone?.(state.id)
      return undefined
    }
    if (state.isDeleted) {
      if (state.wasSeenBefore(askedAt)) {
        this.#onRollback(stored.provider)
        await this.#store.delete(state.id).catch(() => {}) // the next read tries again
      }
      return undefined
    }
    if (known === undefined || stored.version >= known.version || !state.isRecent) return state.observe(stored)
    if (state.wasSeenBefore(askedAt)) {
      // Not while another process refreshes the older version: its set may be the only valid one.
      const restored = await this.#store.set(state.id, this.#form.encode(known), {
        ttl: known.ttl, expectedVersion: stored.version, onlyIfUnlocked: !mine
      }).catch(() => false)
      if (restored) {
        this.#onRollback(known.provider)
        state.observeRestored()
      }
    }
    return state.record // none, if it has been deleted meanwhile
  }

  /**
   * Takes the lease on a version; a store of one process has none, and the record is read.
   * @throws FST_OAUTH_STORE_UNAVAILABLE
   */
  async acquireRefresh (state: RecordState, lease: VersionLease): Promise<AcquireResult> {
    const { owner, version } = lease
    if (this.#store.acquireRefresh === undefined) {
      const record = await this.read(state.id)
      if (record === undefined) return { state: 'deleted' }
      if (record.version !== version) return { state: 'newer', record }
      return { state: 'acquired', record, abandoned: false }
    }
    // A set that the store did not take comes first. It may have been written: if only the answer of the write was
    // lost, others may use its refresh token, so this process does not before the store answers. And a write of it
    // while it is refreshed would end the lease.
    if (state.unsaved !== undefined) await this.#deferredWrites.flush(state)
    const askedAt = this.#monotonic()
    const result = await this.#acquire(state, lease)
    if (result.state === 'gone') {
      state.forget()
      this.onGone?.(state.id)
      return { state: 'deleted' }
    }
    if (result.state === 'busy') return { state: 'busy' }
    // The store calls a record newer that is the version to replace: its data and its version are not of one write.
    if (result.state === 'newer' && result.record.version === version) return { state: 'deleted' }
    const acquired = result.state === 'begun'
    const record = await this.#newest(state, this.#form.decode(result.record), askedAt, acquired)
    if (record === undefined) return { state: 'deleted' }
    if (record.version > version) {
      if (acquired) await this.release(state.id, owner)
      return { state: 'newer', record }
    }
    // The store has an older version than the one to replace. If this process saw the newer one, it has been restored
    // by now, or will be when the refresh that another process has begun is over.
    if (!acquired) return record.version === version ? { state: 'busy' } : { state: 'newer', record }
    return { state: 'acquired', record, abandoned: result.abandoned }
  }

  async #acquire ({ id }: Pick<RecordState, 'id'>, { lifeMs, ...lease }: NewLease) {
    return await this.#health.watch(() => this.#store.acquireRefresh!(id, { ...lease, until: Date.now() + lifeMs }))
  }

  /** Extends the caller's lease while its exchange is under way and the store has the version that it will replace. */
  async extend (id: string, lease: VersionLease): Promise<void> {
    if (this.#store.acquireRefresh !== undefined) await this.#acquire({ id }, lease)
  }

  /** Ends the caller's lease without a new set, so that others may try. */
  async release (id: string, owner: string): Promise<void> {
    await this.#store.finishRefresh?.(id, { owner, ttl: 1 })
  }

  /**
   * Writes what a refresh brought, while the lease is the caller's own. A store that fails now does not lose it: the
   * set is kept in memory, served from there, and written later.
   * @param replaced the record that the refresh set out from
   * @param onDeleted called, now or later, if the set cannot be written because the record has been deleted
   * @returns false if another writer was first or the record is deleted
   */
  async write (
    state: RecordState, outcome: RefreshOutcome, replaced: TokenRecord, onDeleted: () => void
  ): Promise<boolean> {
    return await this.#deferredWrites.write(state, outcome, replaced, onDeleted)
  }

  /**
   * Writes a set that no refresh brought. False if another writer was first, and if a refresh is under way: the
   * set that it brings must not be shut out.
   */
  async update (id: string, next: TokenRecord): Promise<boolean> {
    const state = this.state(id)
    // The store does not have the expected version then.
    if (state.unsaved !== undefined) return false
    const { ttl, version } = next
    const options = { ttl, expectedVersion: version - 1, onlyIfUnlocked: true }
    if (!await this.#store.set(id, this.#form.encode(next), options) || state.isDeleted) return false
    state.observe(next)
    return true
  }

  /**
   * Tries to write what is not written yet, again and again while the store is away: when the process ends it is lost.
   * @param ms milliseconds to try for
   */
  async close (ms: number): Promise<void> {
    for (let left = ms; ; left -= CLOSE_RETRY_MS) {
      await Promise.all([this.#deferredWrites.close(), this.#unclearDeletions.close()])
      if (this.unsaved === 0 || left <= 0) return
      await sleep(CLOSE_RETRY_MS)
    }
  }

  /**
   * Deletes a record for good and returns what it held.
   * @param onDeleted called with what the record held, if this rejects and the record turns out to be deleted: the
   *   store did it and its answer was lost
   */
  async remove (id: string, onDeleted?: (record: TokenRecord) => void): Promise<TokenRecord | undefined> {
    const state = this.state(id)
    const { unsaved } = state
    let { record: known } = state
    const undo = state.markDeleted()
    try {
      if (known === undefined && onDeleted !== undefined) known = this.#form.decode(await this.#store.get(id))
      const stored = this.#form.decode(await this.#delete(id))
      state.confirmDeleted()
      this.onGone?.(id)
      const before = this.#unclearDeletions.settle(id)
      return stored !== undefined && stored.version >= (known?.version ?? 0) ? stored : known ?? before
    } catch (error) {
      // The next try to write a set that is not written yet finds out about the deletion.
      if (known !== undefined && unsaved === undefined && onDeleted !== undefined) {
        this.#unclearDeletions.add(id, known, (record) => {
          state.forget()
          this.onGone?.(id)
          onDeleted(record)
        })
      }
      // The store still has the record: the caller has to know, and a second try must be possible.
      undo(known)
      if (unsaved !== undefined) this.#deferredWrites.retryLater(state)
      throw error
    }
  }

  async #delete (id: string): Promise<StoredRecord | undefined> {
    if (this.#store.remove !== undefined) return await this.#store.remove(id)
    const stored = await this.#store.consume(id)
    await this.#store.delete(id)
    return stored
  }

  /**
   * Keeps a record as long as its session: one store call when it is past half of its life.
   * @returns whether that call was made
   */
  async keepAlive (id: string, ttl: number): Promise<boolean> {
    if (!this.#touchSchedule.isDue(id, ttl) || this.isDeleted(id)) return false
    this.#touchSchedule.noteTtl(id, ttl)
    try {
      await this.#store.touch(id, { ttl })
      return true
    } catch (error) {
      this.#touchSchedule.forget(id)
      throw error
    }
  }
}
