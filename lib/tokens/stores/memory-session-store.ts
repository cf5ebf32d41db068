import { ENTRY, ENTRY_PREFIX, MAX_PENDING, PENDING_PREFIX } from './session-entry.ts'
import { type LocalStore, type StoredRecord, TOMBSTONE_MS } from './token-store.ts'

/** A record in the Map of the sessions. */
class Entry {
  /** Epoch seconds until which it is kept, a whole number; the member also marks an entry of the plugin. */
  [ENTRY]: number
  readonly record: StoredRecord

  constructor (until: number, record: StoredRecord) {
    this[ENTRY] = until
    this.record = record
  }
}

/** Begins the keys of pending logins. */
const PENDING_KEY = ENTRY_PREFIX + PENDING_PREFIX
/** Entries that each write looks at, to drop expired ones: twice as many as logins leave there. */
const STEPS = 2

/**
 * Keeps token records beside the sessions of @fastify/session's in-memory store. Each operation is one step in a Map:
 * it cannot wait, fail or be overtaken, so it needs no lock and no time limit, and records are kept as they are.
 */
export class MemorySessionStore implements LocalStore {
  readonly keepsObjects = true
  readonly #entries: Map<string, unknown>
  readonly #now: () => number
  readonly #tombstones = new Map<string, number>()
  #walk: MapIterator<[string, unknown]>
  #pendingCount = 0
  /**
   * Continues where it was: from the start it would pass by every session, each time. Absent until it is needed: a Map
   * that grows keeps the tables that it has outgrown, and all that was deleted since, as long as an iterator uses them.
   */
  #oldestPending: MapIterator<string> | undefined

  /**
   * @param entries the Map of the store, which the sessions are in as well
   * @param now epoch milliseconds
   */
  constructor (entries: Map<string, unknown>, now: () => number = () => Date.now()) {
    this.#entries = entries
    this.#now = now
    this.#walk = entries.entries()
  }

  peek (id: string): StoredRecord | undefined {
    return this.#find(ENTRY_PREFIX + id)?.record
  }

  #find (key: string): Entry | undefined {
    const value = this.#entries.get(key)
    const end = endOf(value)
    return end !== undefined && end * 1000 > this.#now() ? value as Entry : undefined
  }

  async get (id: string): Promise<StoredRecord | undefined> {
    return this.peek(id)
  }

  async set (
    id: string, record: StoredRecord, { ttl, expectedVersion }: { ttl: number, expectedVersion?: number }
  ): Promise<boolean> {
    // The text is hashed for it, and mostly there is none.
    if (this.#tombstones.size > 0 && this.#tombstones.has(id)) return false
    const key = ENTRY_PREFIX + id
    if (expectedVersion !== undefined && (this.#find(key)?.record.version ?? 0) !== expectedVersion) return false
    this.#sweep()
    const entry = new Entry(this.#endIn(ttl), record)
    const { size } = this.#entries
    this.#entries.set(key, entry)
    if (this.#entries.size > size && key.startsWith(PENDING_KEY)) this.#countPending()
    return true
  }

  async consume (id: string): Promise<StoredRecord | undefined> {
    const key = ENTRY_PREFIX + id
    const found = this.#find(key)
    this.#remove(key)
    return found?.record
  }

  async touch (id: string, { ttl }: { ttl: number }): Promise<void> {
    const found = this.#find(ENTRY_PREFIX + id)
    if (found !== undefined) found[ENTRY] = this.#endIn(ttl)
  }

  async delete (id: string): Promise<void> {
    this.#tombstones.set(id, this.#now() + TOMBSTONE_MS)
    this.#remove(ENTRY_PREFIX + id)
  }

  async remove (id: string): Promise<StoredRecord | undefined> {
    const record = this.peek(id)
    await this.delete(id)
    return record
  }

  #endIn (ttl: number): number { return Math.ceil(this.#now() / 1000 + ttl) }

  #remove (key: string): void {
    if (this.#entries.delete(key) && key.startsWith(PENDING_KEY)) this.#pendingCount--
  }

  // The oldest makes room. The app may have emptied the store meanwhile.
  #countPending (): void {
    this.#pendingCount = Math.min(this.#pendingCount + 1, this.#entries.size)
    if (this.#pendingCount <= MAX_PENDING) return
    this.#oldestPending ??= this.#entries.keys()
    for (const key of this.#oldestPending) {
      if (key.startsWith(PENDING_KEY)) return this.#remove(key)
    }
    this.#oldestPending = undefined
  }

  // A few at each write keep the maps small without a timer. An iterator continues where it was, whatever is written.
  #sweep (): void {
    const now = this.#now()
    for (const [id, until] of this.#tombstones) {
      if (until > now) break
      this.#tombstones.delete(id)
    }
    for (let step = 0; step < STEPS; step++) {
      const next = this.#walk.next()
      if (next.done === true) {
        this.#walk = this.#entries.entries()
        return
      }
      const [key, value] = next.value
      const end = endOf(value)
      if (end !== undefined && end * 1000 <= now) this.#remove(key)
    }
  }
}

/** Until when an entry of the plugin is kept; undefined for a session. */
const endOf = (value: unknown) => (value as Partial<Entry> | null | undefined)?.[ENTRY]
