import { ENTRY, ENTRY_PREFIX, MAX_PENDING, PENDING_PREFIX } from './session-entry.ts'
import { type StoredRecord, TOMBSTONE_MS, type TokenStore } from './token-store.ts'

/** A record in the Map of the sessions. */
interface Entry {
  /** Epoch milliseconds until which it is kept; the member also marks an entry of the plugin. */
  [ENTRY]: number
  record: StoredRecord
}

/** Begins the keys of pending logins. */
const PENDING_KEY = ENTRY_PREFIX + PENDING_PREFIX
/** Entries that each write looks at, to drop those whose time is over: twice as many as logins leave there. */
const STEPS = 2

/**
 * Keeps token records beside the sessions of @fastify/session's in-memory store. Each operation is one step in a Map:
 * it cannot wait, fail or be overtaken, so it needs no lock and no time limit, and records are kept as they are.
 */
export class MemorySessionStore implements TokenStore {
  /** Records need no other form here. */
  readonly keepsObjects = true
  readonly #entries: Map<string, unknown>
  readonly #now: () => number
  readonly #tombstones = new Map<string, number>()
  #walk: MapIterator<[string, unknown]>
  #pendingCount = 0
  /** Goes on where it was: from the start it would pass by every session, each time. */
  #oldestPending: MapIterator<string>

  /**
   * @param entries the Map of the store, which the sessions are in as well
   * @param now epoch milliseconds
   */
  constructor (entries: Map<string, unknown>, now: () => number = () => Date.now()) {
    this.#entries = entries
    this.#now = now
    this.#walk = entries.entries()
    this.#oldestPending = entries.keys()
  }

  async get (id: string): Promise<StoredRecord | undefined> {
    return this.#read(id)
  }

  async set (
    id: string, record: StoredRecord, { ttl, expectedVersion }: { ttl: number, expectedVersion?: number }
  ): Promise<boolean> {
    if (this.#tombstones.has(id)) return false
    if (expectedVersion !== undefined && (this.#read(id)?.version ?? 0) !== expectedVersion) return false
    this.#sweep()
    const entry: Entry = { [ENTRY]: this.#now() + ttl * 1000, record }
    const { size } = this.#entries
    this.#entries.set(ENTRY_PREFIX + id, entry)
    if (this.#entries.size > size && id.startsWith(PENDING_PREFIX)) this.#countPending()
    return true
  }

  async consume (id: string): Promise<StoredRecord | undefined> {
    const record = this.#read(id)
    this.#remove(id)
    return record
  }

  async touch (id: string, { ttl }: { ttl: number }): Promise<void> {
    if (this.#read(id) === undefined) return
    (this.#entries.get(ENTRY_PREFIX + id) as Entry)[ENTRY] = this.#now() + ttl * 1000
  }

  async delete (id: string): Promise<void> {
    this.#tombstones.set(id, this.#now() + TOMBSTONE_MS)
    this.#remove(id)
  }

  async remove (id: string): Promise<StoredRecord | undefined> {
    const record = this.#read(id)
    await this.delete(id)
    return record
  }

  #read (id: string): StoredRecord | undefined {
    const value = this.#entries.get(ENTRY_PREFIX + id)
    const end = endOf(value)
    return end !== undefined && end > this.#now() ? (value as Entry).record : undefined
  }

  #remove (id: string): void {
    if (this.#entries.delete(ENTRY_PREFIX + id) && id.startsWith(PENDING_PREFIX)) this.#pendingCount--
  }

  // The oldest makes room. The app may have emptied the store meanwhile.
  #countPending (): void {
    this.#pendingCount = Math.min(this.#pendingCount + 1, this.#entries.size)
    if (this.#pendingCount <= MAX_PENDING) return
    for (const key of this.#oldestPending) {
      if (key.startsWith(PENDING_KEY)) return this.#remove(key.slice(ENTRY_PREFIX.length))
    }
    this.#oldestPending = this.#entries.keys()
  }

  // A few at each write keep the maps small without a timer. An iterator goes on where it was, whatever is written.
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
      if (end !== undefined && end <= now) this.#remove(key.slice(ENTRY_PREFIX.length))
    }
  }
}

/** Until when an entry of the plugin is kept; undefined for a session. */
const endOf = (value: unknown) => (value as Partial<Entry> | null | undefined)?.[ENTRY]
