import { randomToken } from '../protocol/random.ts'
import { decodeRecord, encodeRecord, nextRefreshToken, type TokenRecord } from './token-record.ts'
import type { RefreshIntent, StoredRecord, TokenStore } from './token-store.ts'

export type { TokenRecord } from './token-record.ts'

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
  /** The version whose refresh token may have been used by an exchange that brought no answer. */
  doubtful: number
  /** A set that could not be written yet: it is served from here, and written as soon as the store takes it. */
  unsaved: Unsaved | undefined
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
interface Unsaved extends Outcome {
  used: readonly (string | undefined)[]
}

/** What stands between a process and a refresh. */
export type Begun =
  | { state: 'begun', record: TokenRecord, unfinished: boolean }
  | { state: 'busy' }
  | { state: 'newer', record: TokenRecord }
  | { state: 'gone' }

const IDLE_MS = 60_000
/** Milliseconds for which a version that was seen counts for more than an older one that stands in the store. */
const SEEN_MS = 60_000
/** Milliseconds between tries to write what a failing store did not take. */
const RETRY_MS = 500
/** Milliseconds for which a store that failed is remembered, and after which a call counts as failing. */
const TROUBLE_MS = 10_000
const SLOW_MS = 1_000
const MAX_LIVE = 50_000
const MAX_KEPT = 100_000

/**
 * The token records of this process: what the store holds, and what this process saw of it in the last minute,
 * so that a refresh or a logout is seen by every request at once and an older copy never wins over a newer one.
 */
export class TokenRecords {
  readonly #store: TokenStore
  readonly #monotonic: () => number
  readonly #live = new Map<string, LiveRecord>()
  /** Monotonic milliseconds until which a record is known to be kept. */
  readonly #keptUntil = new Map<string, number>()
  readonly #onRollback: (provider: string) => void
  #troubleUntil = -Infinity
  #closed = false

  /**
   * @param monotonic milliseconds of a clock that only goes forward
   * @param onRollback called with a record's provider where the store had gone back behind what it had acknowledged
   */
  constructor (store: TokenStore, monotonic: () => number, onRollback: (provider: string) => void = () => {}) {
    this.#store = store
    this.#monotonic = monotonic
    this.#onRollback = onRollback
  }

  /** Ids under which this process holds something, for tests of leaks. */
  get size (): number { return this.#live.size }

  live (id: string): LiveRecord {
    const now = this.#monotonic()
    let live = this.#live.get(id)
    if (live !== undefined) {
      live.usedAt = now
      return live
    }
    this.#prune(now)
    live = { id, record: undefined, seenAt: now, gone: false, flight: undefined, settling: undefined, unproven: 0, pausedUntil: 0, doubtful: 0, unsaved: undefined, retry: undefined, usedAt: now }
    this.#live.set(id, live)
    return live
  }

  /** Stores the tokens of a new login and returns the record's id. */
  async create (record: Omit<TokenRecord, 'version'>): Promise<string> {
    const id = randomToken()
    const first: TokenRecord = { version: 1, ...record }
    await this.#store.set(id, encodeRecord(first), { ttl: record.ttl, expectedVersion: 0 })
    this.#saw(this.live(id), first)
    this.#keep(id, record.ttl)
    return id
  }

  /** Puts a first record into a store of this process, without waiting. */
  plant (record: Omit<TokenRecord, 'version'>, store: { put (id: string, record: StoredRecord): void }): string {
    const id = randomToken()
    const first: TokenRecord = { version: 1, ...record }
    store.put(id, encodeRecord(first))
    this.#saw(this.live(id), first)
    return id
  }

  /** What a record in the store's form says. */
  decode (stored: StoredRecord | undefined): TokenRecord | undefined { return decodeRecord(stored) }

  /** Whether this process has seen the record deleted, within the last minute. */
  isGone (id: string): boolean {
    return this.#live.get(id)?.gone === true
  }

  /** Reads a record from the store; the newest version known is returned, undefined where it is gone. */
  async read (id: string): Promise<TokenRecord | undefined> {
    const live = this.live(id)
    if (live.unsaved !== undefined) await this.#saveAgain(live)
    // The one case in which memory is ahead of the store: it failed right after the provider had rotated.
    if (live.unsaved !== undefined) return live.gone ? undefined : live.unsaved.record
    const askedAt = this.#monotonic()
    return await this.#newest(live, decodeRecord(await this.#watched(() => this.#store.get(id))), askedAt)
  }

  /**
   * What counts, of what the store has and what this process saw. A store that lost what it had acknowledged (a failover, a
   * restart without its last writes) is given the newer version again, or is rid again of what was deleted; what is missing
   * there is never brought back.
   * @param askedAt when the store was asked: what this process saw later than that is simply newer
   * @param mine whether an intent that stands on the record is the caller's own
   */
  async #newest (live: LiveRecord, stored: TokenRecord | undefined, askedAt: number, mine = false): Promise<TokenRecord | undefined> {
    const { gone, record: known } = live
    if (stored === undefined) {
      live.record = undefined
      return undefined
    }
    if (gone) {
      if (askedAt > live.seenAt) {
        this.#onRollback(stored.provider)
        await this.#store.delete(live.id).catch(() => {}) // the next one who reads it tries again
      }
      return undefined
    }
    if (known === undefined || stored.version >= known.version || this.#monotonic() - live.seenAt > SEEN_MS) return this.#saw(live, stored)
    // A refresh that somebody began on the older version is let finish: its set would be lost, and it may be the only good one.
    if (askedAt > live.seenAt) {
      const repaired = this.#store.set(live.id, encodeRecord(known), { ttl: known.ttl, expectedVersion: stored.version, idle: !mine })
      if (await repaired.catch(() => false)) {
        this.#onRollback(known.provider)
        live.seenAt = this.#monotonic()
      }
    }
    return live.gone ? undefined : live.record
  }

  #saw (live: LiveRecord, record: TokenRecord): TokenRecord {
    live.record = record
    live.seenAt = this.#monotonic()
    return record
  }

  /** Announces a refresh of one version; in a store for one process there is nobody to announce it to. */
  async begin (id: string, intent: RefreshIntent & { version: number }): Promise<Begun> {
    const live = this.live(id)
    // Where the store is back, what it could not take comes first: the intent is announced on that.
    if (live.unsaved !== undefined) await this.#saveAgain(live)
    if (this.#store.begin === undefined || live.unsaved !== undefined) {
      const record = await this.read(id)
      if (record === undefined) return { state: 'gone' }
      return record.version === intent.version ? { state: 'begun', record, unfinished: false } : { state: 'newer', record }
    }
    const askedAt = this.#monotonic()
    const result = await this.#watched(() => this.#store.begin!(id, intent))
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
    if (result.state === 'begun') return { state: 'begun', record, unfinished: result.unfinished }
    // An older version stands there than the one to replace. Where it is this process that saw the newer one, that one
    // stands there again by now, or will when a refresh that somebody else began is over.
    return record.version === intent.version ? { state: 'busy' } : { state: 'newer', record }
  }

  /** Keeps the caller's intent alive while its exchange is still read, and the version that it is to replace still stands. */
  async extend (id: string, intent: RefreshIntent & { version: number }): Promise<void> {
    await this.#store.begin?.(id, intent)
  }

  /** Ends the caller's intent without a new set, so that others may try. */
  async release (id: string, owner: string): Promise<void> {
    await this.#store.end?.(id, { owner, ttl: 1 })
  }

  /**
   * Writes what a refresh brought, while the intent is the caller's own. False where another writer was first or the record is gone.
   * A store that fails now does not lose it: the set is kept in memory, served from there, and written later.
   * @param replaced the record that the refresh set out from
   */
  async write (id: string, { owner, record }: Outcome, replaced: TokenRecord): Promise<boolean> {
    const live = this.live(id)
    // Where the set before could not be written either, the intent that stands in the store is still that one's.
    const before = live.unsaved
    const outcome: Unsaved = { owner: before?.owner ?? owner, record, used: [...before?.used ?? [], nextRefreshToken(replaced)] }
    let written: boolean
    try {
      written = await this.#put(id, outcome)
    } catch {
      if (live.gone) return false
      live.record = record
      live.unsaved = outcome
      this.#retryLater(live)
      return true
    }
    if (live.unsaved === before) live.unsaved = undefined
    if (!written || live.gone) return false
    this.#saw(live, record)
    this.#keep(id, record.ttl)
    return true
  }

  async #put (id: string, { owner, record, used }: Unsaved): Promise<boolean> {
    const { ttl } = record
    const encoded = encodeRecord(record)
    const over = (expectedVersion: number) => this.#watched(() => this.#store.set(id, encoded, { ttl, expectedVersion }))
    const { end } = this.#store
    if (await (end === undefined ? over(record.version - 1) : this.#watched(() => end.call(this.#store, id, { owner, record: encoded, ttl })))) return true
    // The intent is gone (it ran out while the store was away, or an earlier try was carried out and its answer lost), or the
    // set before this one could not be written either. As long as what stands there is a set that has been used up on the way
    // to this one, nobody has gone on from it.
    const stored = decodeRecord(await this.#watched(() => this.#store.get(id)))
    if (stored === undefined || stored.version >= record.version || !used.includes(nextRefreshToken(stored))) return false
    return await over(stored.version)
  }

  async #saveAgain (live: LiveRecord): Promise<void> {
    const outcome = live.unsaved!
    let written: boolean
    try {
      written = await this.#put(live.id, outcome)
    } catch {
      return
    }
    if (live.unsaved !== outcome) return
    live.unsaved = undefined
    if (written) {
      this.#saw(live, outcome.record)
      return this.#keep(live.id, outcome.record.ttl)
    }
    // Somebody else went on while the store was away: what stands there now is the truth.
    live.record = undefined
  }

  /** Whether the store failed or dawdled lately: another process may hold a set that it could not write. */
  get recovering (): boolean { return this.#monotonic() < this.#troubleUntil }

  async #watched<T> (call: () => Promise<T>): Promise<T> {
    const startedAt = this.#monotonic()
    const note = () => { this.#troubleUntil = this.#monotonic() + TROUBLE_MS }
    try {
      const result = await call()
      if (this.#monotonic() - startedAt > SLOW_MS) note()
      return result
    } catch (error) {
      note()
      throw error
    }
  }

  #retryLater (live: LiveRecord, waitMs = 50): void {
    if (this.#closed) return
    live.retry ??= setTimeout(async () => {
      if (live.unsaved !== undefined) await this.#saveAgain(live)
      live.retry = undefined
      if (live.unsaved !== undefined && !live.gone) this.#retryLater(live, Math.min(waitMs * 1.5, RETRY_MS))
    }, waitMs)
  }

  /**
   * Writes a set that no refresh brought. False where somebody else went on, and where somebody has begun a refresh: the set
   * that it brings must not be shut out.
   */
  async update (id: string, next: TokenRecord): Promise<boolean> {
    const live = this.live(id)
    if (live.unsaved !== undefined) return false
    const written = await this.#store.set(id, encodeRecord(next), { ttl: next.ttl, expectedVersion: next.version - 1, idle: true })
    if (!written || live.gone) return false
    this.#saw(live, next)
    return true
  }

  /** A last try for what could not be written yet. */
  async close (): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#live.values()].filter(({ unsaved }) => unsaved !== undefined).map((live) => {
      clearTimeout(live.retry)
      return this.#saveAgain(live)
    }))
  }

  /** Sets that could not be written yet, and are lost where this process ends now. */
  get unsaved (): number { return [...this.#live.values()].filter(({ unsaved }) => unsaved !== undefined).length }

  /** Deletes a record for good and returns what it held. */
  async remove (id: string): Promise<TokenRecord | undefined> {
    const live = this.live(id)
    const { record: known, unsaved, seenAt } = live
    live.gone = true
    live.seenAt = Infinity // what is read until it is deleted is no deletion that the store forgot
    live.record = undefined
    live.unsaved = undefined
    try {
      const stored = decodeRecord(await this.#store.take(id))
      await this.#store.delete(id)
      live.seenAt = this.#monotonic()
      return stored !== undefined && stored.version >= (known?.version ?? 0) ? stored : known
    } catch (error) {
      // It still stands in the store: the caller has to know, and a second try must be possible.
      live.gone = false
      live.seenAt = seenAt
      live.record = known
      live.unsaved = unsaved
      if (unsaved !== undefined) this.#retryLater(live)
      throw error
    }
  }

  /**
   * Keeps a record alive as long as its session: one store call when it is past half of its life.
   * @returns whether that was so
   */
  async keepAlive (id: string, ttl: number): Promise<boolean> {
    const left = (this.#keptUntil.get(id) ?? 0) - this.#monotonic()
    if (left > ttl * 500 || this.#live.get(id)?.gone === true) return false
    this.#keep(id, ttl)
    try {
      await this.#store.touch(id, { ttl })
      return true
    } catch (error) {
      this.#keptUntil.delete(id)
      throw error
    }
  }

  #keep (id: string, ttl: number): void {
    this.#keptUntil.delete(id)
    this.#keptUntil.set(id, this.#monotonic() + ttl * 1000)
    if (this.#keptUntil.size > MAX_KEPT) this.#keptUntil.delete(this.#keptUntil.keys().next().value!)
  }

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
