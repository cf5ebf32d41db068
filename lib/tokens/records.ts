import { randomToken } from '../util/random.ts'
import { DeferredWrites } from './deferred-writes.ts'
import { type RecordState, RecordStates, type RefreshOutcome, type UnsavedSet } from './record-state.ts'
import { decodeRecord, encodeRecord, nextRefreshToken, type TokenRecord } from './record.ts'
import { StoreHealth } from './store-health.ts'
import type { RefreshLease, StoredRecord, TokenStore } from './stores/token-store.ts'
import { TouchSchedule } from './touch-schedule.ts'
import { UnclearDeletions } from './unclear-deletions.ts'

/** What stands between a process and a refresh. */
export type AcquireResult =
  /** `standing`: the intent as it stands in the store. */
  | { state: 'begun', record: TokenRecord, abandoned: boolean, standing: { owner: string, version: number } }
  | { state: 'busy' }
  | { state: 'newer', record: TokenRecord }
  | { state: 'gone' }

/** Milliseconds for which a version that was seen counts for more than an older one that stands in the store. */
const SEEN_MS = 60_000

/**
 * The token records of this process: what the store holds, and what this process saw of it in the last minute,
 * so that a refresh or a logout is seen by every request at once and an older copy never wins over a newer one.
 */
export class TokenRecords {
  readonly #store: TokenStore
  readonly #monotonic: () => number
  readonly #states: RecordStates
  readonly #touchSchedule: TouchSchedule
  readonly #health: StoreHealth
  readonly #deferredWrites: DeferredWrites
  readonly #unclearDeletions: UnclearDeletions
  readonly #onRollback: (provider: string) => void

  /**
   * @param monotonic milliseconds of a clock that only goes forward
   * @param onRollback called with a record's provider where the store had gone back behind what it had acknowledged
   */
  constructor (store: TokenStore, monotonic: () => number, onRollback: (provider: string) => void = () => {}) {
    this.#store = store
    this.#monotonic = monotonic
    this.#onRollback = onRollback
    this.#states = new RecordStates(monotonic)
    this.#touchSchedule = new TouchSchedule(monotonic)
    this.#health = new StoreHealth(monotonic, () => this.#deferredWrites.writeAll())
    this.#deferredWrites = new DeferredWrites(store, this.#health, this.#states, (id, { ttl }) =>
      this.#touchSchedule.noteTtl(id, ttl)
    )
    this.#unclearDeletions = new UnclearDeletions(async id => (await store.get(id)) !== undefined)
  }

  /** Ids under which this process holds something, for tests of leaks. */
  get size (): number { return this.#states.size }

  /** Milliseconds for which the store is known to have answered: before that, others may have been unable to write. */
  get steadyMs (): number { return this.#health.steadyMs }

  /** Sets that could not be written yet, and are lost where this process ends now. */
  get unsaved (): number { return this.#states.unsaved().length }

  state (id: string): RecordState { return this.#states.get(id) }

  /** Stores the tokens of a new login and returns the record's id. */
  async create (record: Omit<TokenRecord, 'version'>): Promise<string> {
    const id = randomToken()
    const first: TokenRecord = { version: 1, ...record }
    await this.#store.set(id, encodeRecord(first), { ttl: record.ttl, expectedVersion: 0 })
    this.#states.observe(this.state(id), first)
    this.#touchSchedule.noteTtl(id, record.ttl)
    return id
  }

  /** Puts a first record into a store of this process, without waiting. */
  insert (record: Omit<TokenRecord, 'version'>, store: { put (id: string, record: StoredRecord): void }): string {
    const id = randomToken()
    const first: TokenRecord = { version: 1, ...record }
    store.put(id, encodeRecord(first))
    this.#states.observe(this.state(id), first)
    return id
  }

  /** What a record in the store's form says. */
  decode (stored: StoredRecord | undefined): TokenRecord | undefined { return decodeRecord(stored) }

  /** Whether this process has seen the record deleted, within the last minute. */
  isDeleted (id: string): boolean { return this.#states.isDeleted(id) }

  /** Reads a record from the store; the newest version known is returned, undefined where it is gone. */
  async read (id: string): Promise<TokenRecord | undefined> {
    const live = this.state(id)
    if (live.unsaved !== undefined) await this.#deferredWrites.writeAgain(live)
    // The one case in which memory is ahead of the store: it failed right after the provider had rotated.
    if (live.unsaved !== undefined) return live.deleted ? undefined : live.unsaved.record
    const askedAt = this.#monotonic()
    return await this.#newest(live, decodeRecord(await this.#health.watch(() => this.#store.get(id))), askedAt)
  }

  /**
   * What counts, of what the store has and what this process saw. A store that lost what it had acknowledged (a
   * failover, a restart without its last writes) is given the newer version again, or is rid again of what was deleted;
   * what is missing there is never brought back.
   * @param askedAt when the store was asked: what this process saw later than that is simply newer
   * @param mine whether an intent that stands on the record is the caller's own
   */
  async #newest (
    live: RecordState,
    stored: TokenRecord | undefined,
    askedAt: number,
    mine = false
  ): Promise<TokenRecord | undefined> {
    const { deleted, record: known } = live
    if (stored === undefined) {
      live.record = undefined
      return undefined
    }
    if (deleted) {
      if (askedAt > live.seenAt) {
        this.#onRollback(stored.provider)
        await this.#store.delete(live.id).catch(() => {}) // the next one who reads it tries again
      }
      return undefined
    }
    if (known === undefined || stored.version >= known.version || this.#monotonic() - live.seenAt > SEEN_MS) {
      return this.#states.observe(live, stored)
    }
    // A refresh that somebody began on the older version is let finish: its set would be lost, and it may be the only
    // good one.
    if (askedAt > live.seenAt) {
      const repaired = this.#store.set(live.id, encodeRecord(known), {
        ttl: known.ttl,
        expectedVersion: stored.version,
        onlyIfUnlocked: !mine
      })
      if (await repaired.catch(() => false)) {
        this.#onRollback(known.provider)
        live.seenAt = this.#monotonic()
      }
    }
    return live.deleted ? undefined : live.record
  }

  /** Announces a refresh of one version; in a store for one process there is nobody to announce it to. */
  async acquireRefresh (id: string, intent: RefreshLease & { version: number }): Promise<AcquireResult> {
    const live = this.state(id)
    // Where the store is back, what it could not take comes first: the intent is announced on that.
    if (live.unsaved !== undefined) await this.#deferredWrites.writeAgain(live)
    const { owner, version } = intent
    if (this.#store.acquireRefresh === undefined) {
      const record = await this.read(id)
      if (record === undefined) return { state: 'gone' }
      if (record.version !== version) return { state: 'newer', record }
      return { state: 'begun', record, abandoned: false, standing: { owner, version } }
    }
    if (live.unsaved !== undefined) return await this.#beginUnsaved(live, live.unsaved, intent)
    const askedAt = this.#monotonic()
    const result = await this.#health.watch(() => this.#store.acquireRefresh!(id, intent))
    if (result.state === 'gone') {
      live.record = undefined
      return result
    }
    if (result.state === 'busy') return { state: 'busy' }
    const record = await this.#newest(live, decodeRecord(result.record), askedAt, result.state === 'begun')
    if (record === undefined) return { state: 'gone' }
    if (record.version > intent.version) {
      if (result.state === 'begun') await this.release(id, intent.owner)
      return { state: 'newer', record }
    }
    if (result.state === 'begun') {
      // The store had gone back, and writing the newer version has ended the intent.
      if (record.version > result.record.version) {
        const again = await this.#health.watch(() => this.#store.acquireRefresh!(id, intent))
        if (again.state !== 'begun') return { state: 'busy' }
      }
      return { state: 'begun', record, abandoned: result.abandoned, standing: { owner, version: record.version } }
    }
    // An older version stands there than the one to replace. Where it is this process that saw the newer one, that one
    // stands there again by now, or will when a refresh that somebody else began is over.
    return record.version === intent.version ? { state: 'busy' } : { state: 'newer', record }
  }

  /**
   * Announces the refresh of a set that could not be written yet. It may stand in the store all the same, since only
   * the answer of the write was lost; there others may use its refresh token. So it is not used before the store has
   * been told.
   * @throws FST_OAUTH_STORE_UNAVAILABLE
   */
  async #beginUnsaved (
    live: RecordState,
    unsaved: UnsavedSet,
    intent: RefreshLease & { version: number }
  ): Promise<AcquireResult> {
    const { version: _unsaved, ...rest } = intent
    const { owner, record, used } = unsaved
    const result = await this.#health.watch(() => this.#store.acquireRefresh!(live.id, { ...rest, owner }))
    if (result.state === 'gone' || result.state === 'busy') return { state: result.state }
    const stored = decodeRecord(result.record)!
    const next = nextRefreshToken(stored)
    const isBehind =
      stored.version < record.version
        ? used.includes(next)
        : stored.version === record.version && next === nextRefreshToken(record)
    if (live.unsaved !== unsaved || !isBehind) {
      // It has been written meanwhile, or somebody went on from the set before: another look tells.
      await this.release(live.id, owner)
      return { state: 'busy' }
    }
    if (record.version !== intent.version) return { state: 'newer', record }
    return { state: 'begun', record, abandoned: false, standing: { owner, version: stored.version } }
  }

  /**
   * Keeps the caller's intent alive while its exchange is still read, and the version that it is to replace still
   * stands.
   */
  async extend (id: string, intent: RefreshLease & { version: number }): Promise<void> {
    const { acquireRefresh } = this.#store
    if (acquireRefresh !== undefined) await this.#health.watch(() => acquireRefresh.call(this.#store, id, intent))
  }

  /** Ends the caller's intent without a new set, so that others may try. */
  async release (id: string, owner: string): Promise<void> {
    await this.#store.finishRefresh?.(id, { owner, ttl: 1 })
  }

  /**
   * Writes what a refresh brought, while the intent is the caller's own. False where another writer was first or the
   * record is gone. A store that fails now does not lose it: the set is kept in memory, served from there, and written
   * later.
   * @param replaced the record that the refresh set out from
   * @param onGone called, now or later, where the set cannot be written because the record has been deleted
   */
  async write (id: string, outcome: RefreshOutcome, replaced: TokenRecord, onGone: () => void): Promise<boolean> {
    return await this.#deferredWrites.write(this.state(id), outcome, replaced, onGone)
  }

  /**
   * Writes a set that no refresh brought. False where somebody else went on, and where somebody has begun a refresh:
   * the set that it brings must not be shut out.
   */
  async update (id: string, next: TokenRecord): Promise<boolean> {
    const live = this.state(id)
    // The expected version says the same: a store that did not take that set does not have its version. It spares the
    // call.
    if (live.unsaved !== undefined) return false
    const written = await this.#store.set(id, encodeRecord(next), {
      ttl: next.ttl,
      expectedVersion: next.version - 1,
      onlyIfUnlocked: true
    })
    if (!written || live.deleted) return false
    this.#states.observe(live, next)
    return true
  }

  /** A last try for what could not be written yet. */
  async close (): Promise<void> { await Promise.all([this.#deferredWrites.close(), this.#unclearDeletions.close()]) }

  /**
   * Deletes a record for good and returns what it held.
   * @param onGone called with what the record held, where this fails and the record turns out to be deleted all the
   *   same: the store did it and its answer was lost
   */
  async remove (id: string, onGone?: (record: TokenRecord) => void): Promise<TokenRecord | undefined> {
    const live = this.state(id)
    const { unsaved, seenAt } = live
    let { record: known } = live
    live.deleted = true
    live.seenAt = Infinity // what is read until it is deleted is no deletion that the store forgot
    live.record = undefined
    live.unsaved = undefined
    try {
      if (known === undefined && onGone !== undefined) known = decodeRecord(await this.#store.get(id))
      const stored = decodeRecord(await this.#store.consume(id))
      await this.#store.delete(id)
      live.seenAt = this.#monotonic()
      const before = this.#unclearDeletions.settle(id)
      return stored !== undefined && stored.version >= (known?.version ?? 0) ? stored : known ?? before
    } catch (error) {
      // What could not be written yet is told of a deletion when it is tried again.
      if (known !== undefined && unsaved === undefined && onGone !== undefined) {
        this.#unclearDeletions.add(id, known, (record) => {
          live.record = undefined
          onGone(record)
        })
      }
      // It still stands in the store: the caller has to know, and a second try must be possible.
      live.deleted = false
      live.seenAt = seenAt
      live.record = known
      live.unsaved = unsaved
      if (unsaved !== undefined) this.#deferredWrites.retryLater(live)
      throw error
    }
  }

  /**
   * Keeps a record alive as long as its session: one store call when it is past half of its life.
   * @returns whether that was so
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
