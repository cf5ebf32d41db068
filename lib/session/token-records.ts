import { randomToken } from '../protocol/random.ts'
import { decodeRecord, encodeRecord, nextRefreshToken, type TokenRecord } from './token-record.ts'
import type { RefreshIntent, StoredRecord, TokenStore } from './token-store.ts'

export { nextRefreshToken, type TokenRecord } from './token-record.ts'

/** What this process knows of a record. At most one for each id at any time. */
export interface LiveRecord {
  readonly id: string
  /** The newest version seen. */
  record: TokenRecord | undefined
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
  | { state: 'busy', until: number }
  | { state: 'newer', record: TokenRecord }
  | { state: 'gone' }

const IDLE_MS = 60_000
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
  readonly #retries = new Set<NodeJS.Timeout>()
  #troubleUntil = -Infinity

  /** @param monotonic milliseconds of a clock that only goes forward */
  constructor (store: TokenStore, monotonic: () => number) {
    this.#store = store
    this.#monotonic = monotonic
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
    live = { id, record: undefined, gone: false, flight: undefined, settling: undefined, unproven: 0, pausedUntil: 0, doubtful: 0, unsaved: undefined, usedAt: now }
    this.#live.set(id, live)
    return live
  }

  /** Stores the tokens of a new login and returns the record's id. */
  async create (record: Omit<TokenRecord, 'version'>): Promise<string> {
    const id = randomToken()
    const first: TokenRecord = { version: 1, ...record }
    await this.#store.set(id, encodeRecord(first), { ttl: record.ttl, expectedVersion: 0 })
    const live = this.live(id)
    live.record = first
    this.#keep(id, record.ttl)
    return id
  }

  /** Puts a first record into a store of this process, without waiting. */
  plant (record: Omit<TokenRecord, 'version'>, store: { put (id: string, record: StoredRecord): void }): string {
    const id = randomToken()
    const first: TokenRecord = { version: 1, ...record }
    store.put(id, encodeRecord(first))
    this.live(id).record = first
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
    return this.#newest(live, decodeRecord(await this.#watched(() => this.#store.get(id))))
  }

  #newest (live: LiveRecord, stored: TokenRecord | undefined): TokenRecord | undefined {
    if (live.gone) return undefined
    if (stored === undefined) live.record = undefined
    else if (live.record === undefined || stored.version >= live.record.version) live.record = stored
    return live.record
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
    const result = await this.#watched(() => this.#store.begin!(id, intent))
    if (result.state === 'gone') {
      live.record = undefined
      return result
    }
    if (result.state === 'busy') return result
    const record = this.#newest(live, decodeRecord(result.record))
    if (record === undefined) return { state: 'gone' }
    return result.state === 'begun' ? { state: 'begun', record, unfinished: result.unfinished } : { state: 'newer', record }
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
      if (before === undefined) this.#retryLater(live)
      return true
    }
    if (live.unsaved === before) live.unsaved = undefined
    if (!written || live.gone) return false
    live.record = record
    this.#keep(id, record.ttl)
    return true
  }

  async #put (id: string, { owner, record, used }: Unsaved): Promise<boolean> {
    if (this.#store.end === undefined) return await this.#store.set(id, encodeRecord(record), { ttl: record.ttl, expectedVersion: record.version - 1 })
    if (await this.#watched(() => this.#store.end!(id, { owner, record: encodeRecord(record), ttl: record.ttl }))) return true
    // The intent is gone: it ran out while the store was away, or an earlier try was carried out and its answer lost. As
    // long as what stands there is a set that has been used up on the way to this one, nobody has gone on from it.
    const stored = decodeRecord(await this.#watched(() => this.#store.get(id)))
    if (stored === undefined || stored.version >= record.version || !used.includes(nextRefreshToken(stored))) return false
    return await this.#watched(() => this.#store.set(id, encodeRecord(record), { ttl: record.ttl, expectedVersion: stored.version }))
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
    if (written) return this.#keep(live.id, outcome.record.ttl)
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
    const timer = setTimeout(async () => {
      this.#retries.delete(timer)
      if (live.unsaved !== undefined) await this.#saveAgain(live)
      if (live.unsaved !== undefined && !live.gone) this.#retryLater(live, Math.min(waitMs * 1.5, RETRY_MS))
    }, waitMs)
    this.#retries.add(timer)
  }

  /**
   * Writes a set that differs from the one before by what was checked since. False where somebody else went on.
   * @param options.idle false also where somebody has begun a refresh: the set that it brings must not be shut out
   */
  async update (id: string, next: TokenRecord, { idle = false }: { idle?: boolean } = {}): Promise<boolean> {
    const live = this.live(id)
    if (live.unsaved !== undefined) return false
    const written = await this.#store.set(id, encodeRecord(next), { ttl: next.ttl, expectedVersion: next.version - 1, idle })
    if (written && !live.gone) live.record = next
    return written && !live.gone
  }

  /** A last try for what could not be written yet. Resolves to the number of sets that are lost with this process. */
  async close (): Promise<number> {
    for (const timer of this.#retries) clearTimeout(timer)
    const unsaved = [...this.#live.values()].filter(live => live.unsaved !== undefined)
    await Promise.all(unsaved.map(live => this.#saveAgain(live)))
    return unsaved.filter(live => live.unsaved !== undefined).length
  }

  /** Deletes a record for good and returns what it held. */
  async remove (id: string): Promise<TokenRecord | undefined> {
    const live = this.live(id)
    const { record: known, unsaved } = live
    live.gone = true
    live.record = undefined
    live.unsaved = undefined
    try {
      const stored = decodeRecord(await this.#store.take(id))
      await this.#store.delete(id)
      return stored !== undefined && stored.version >= (known?.version ?? 0) ? stored : known
    } catch (error) {
      // It still stands in the store: the caller has to know, and a second try must be possible.
      live.gone = false
      live.record = known
      live.unsaved = unsaved
      if (unsaved !== undefined) this.#retryLater(live)
      throw error
    }
  }

  /** Keeps a record alive as long as its session: one store call when it is past half of its life. */
  async keepAlive (id: string, ttl: number): Promise<void> {
    const left = (this.#keptUntil.get(id) ?? 0) - this.#monotonic()
    if (left > ttl * 500 || this.#live.get(id)?.gone === true) return
    this.#keep(id, ttl)
    try {
      await this.#store.touch(id, { ttl })
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
