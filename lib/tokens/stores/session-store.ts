import { BoundedMap } from '../../util/bounded-map.ts'
import { fromCallback } from '../../util/callback.ts'
import { withTimeout } from '../../util/timeout.ts'
import {
  ENTRY, ENTRY_PREFIX, MAX_PENDING, PENDING_PREFIX, type SessionStore, unguardedSessionStore
} from './session-entry.ts'
import { type StoredRecord, TOMBSTONE_MS, type TokenStore } from './token-store.ts'

/**
 * An entry in the session store, shaped like a session: stores compute a TTL from `cookie`, some from `expires`, some
 * from `maxAge`, some from `originalMaxAge`.
 */
interface Envelope {
  cookie: { originalMaxAge: number, maxAge: number, expires: Date | string, path: string, httpOnly: boolean }
  /** Marks an entry of the plugin. */
  [ENTRY]: 1
  record: StoredRecord
}

/** Milliseconds that the session store has for one call, and that a call may wait for those before it. */
const CALL_MS = 5_000
/** Milliseconds for a touch, which only moves an expiry. */
const TOUCH_MS = 1_000
/** Milliseconds for which a store whose touch did not answer is not asked for one. */
const NO_TOUCH_MS = 60_000

/**
 * Keeps token records in the session store, beside the sessions. Writes of one record are serialized within this
 * process; `redisStore` is for several processes that share a store.
 */
export class SessionTokenStore implements TokenStore {
  readonly #store: () => SessionStore
  readonly #now: () => number
  readonly #locks = new Map<string, Promise<unknown>>()
  readonly #tombstones = new Map<string, number>()
  // Only for stores that never expire anything themselves: what is kept there and until when, oldest first.
  readonly #pendingUntil = new BoundedMap<string, number>(MAX_PENDING, id => this.#drop(id))
  readonly #tokensUntil = new Map<string, number>()
  #keepsForever: boolean | undefined
  readonly #callMs: number
  readonly #touchMs: number
  #noTouchUntil = 0

  /**
   * @param store the session store; asked at first use, since it is known with the first request
   * @param now epoch milliseconds
   * @param limits milliseconds for one call, also for those that wait for it, and for a touch
   */
  constructor (
    store: () => SessionStore, now: () => number = () => Date.now(), { callMs = CALL_MS, touchMs = TOUCH_MS } = {}
  ) {
    this.#store = store
    this.#now = now
    this.#callMs = callMs
    this.#touchMs = touchMs
  }

  async get (id: string): Promise<StoredRecord | undefined> {
    return this.#recordOf(await this.#read(id))
  }

  set (id: string, record: StoredRecord, options: { ttl: number, expectedVersion?: number }): Promise<boolean> {
    const { ttl, expectedVersion } = options
    return this.#locked(id, async () => {
      if (this.#tombstones.has(id)) return false
      if (expectedVersion !== undefined && ((await this.get(id))?.version ?? 0) !== expectedVersion) return false
      await this.#write(id, record, ttl)
      return true
    })
  }

  consume (id: string): Promise<StoredRecord | undefined> {
    return this.#locked(id, async () => {
      const record = await this.get(id)
      if (record !== undefined) await this.#destroy(id)
      return record
    })
  }

  touch (id: string, { ttl }: { ttl: number }): Promise<void> {
    return this.#locked(id, async () => {
      const record = await this.get(id)
      if (record === undefined) return
      // A store's own touch moves the expiry alone and cannot write an older record back.
      if (await this.#touched(id, record, ttl)) return
      await this.#write(id, record, ttl)
    })
  }

  delete (id: string): Promise<void> {
    // Before writes that wait for the lock.
    this.#tombstones.set(id, this.#now() + TOMBSTONE_MS)
    this.#sweep(this.#tombstones, () => {})
    return this.#locked(id, () => this.#destroy(id))
  }

  /** False if the store has no touch, or none that works: the record has to be written again. */
  async #touched (id: string, record: StoredRecord, ttl: number): Promise<boolean> {
    const store = unguardedSessionStore(this.#store())
    if (typeof store.touch !== 'function' || this.#noTouchUntil > this.#now()) return false
    try {
      await answered(done => store.touch!(ENTRY_PREFIX + id, this.#envelope(record, ttl), done), this.#touchMs)
      return true
    } catch {
      this.#noTouchUntil = this.#now() + NO_TOUCH_MS
      return false
    }
  }

  async #read (id: string): Promise<unknown> {
    const store = unguardedSessionStore(this.#store())
    return await answered<unknown>(done => store.get(ENTRY_PREFIX + id, done), this.#callMs)
  }

  // A value that cannot be an entry is returned unchanged: the caller rejects it because it is not a record.
  #recordOf (entry: unknown): StoredRecord | undefined {
    if (entry === undefined || entry === null) return undefined
    const { cookie, record } = entry as Partial<Envelope>
    if (typeof cookie !== 'object' || cookie === null || record === undefined) return entry as StoredRecord
    return new Date(cookie.expires).getTime() > this.#now() ? record : undefined
  }

  #envelope (record: StoredRecord, ttl: number): Envelope {
    const maxAge = ttl * 1000
    const expires = new Date(this.#now() + maxAge)
    return { cookie: { originalMaxAge: maxAge, maxAge, expires, path: '/', httpOnly: true }, [ENTRY]: 1, record }
  }

  async #write (id: string, record: StoredRecord, ttl: number): Promise<void> {
    const store = this.#store()
    const entry = this.#envelope(record, ttl)
    await answered(done => unguardedSessionStore(store).set(ENTRY_PREFIX + id, entry, done), this.#callMs)
    this.#keepsForever ??= Object.values(store).some(value => value instanceof Map)
    if (!this.#keepsForever) return
    const known = id.startsWith(PENDING_PREFIX) ? this.#pendingUntil : this.#tokensUntil
    known.delete(id)
    known.set(id, this.#now() + ttl * 1000)
    this.#sweep(known, old => this.#drop(old))
  }

  #drop (id: string): void { this.#destroy(id).catch(() => {}) }

  async #destroy (id: string): Promise<void> {
    this.#pendingUntil.delete(id)
    this.#tokensUntil.delete(id)
    const store = unguardedSessionStore(this.#store())
    await answered(done => store.destroy(ENTRY_PREFIX + id, done), this.#callMs)
  }

  // A few of the oldest at each write keep the maps small without a timer.
  #sweep (known: Map<string, number>, drop: (id: string) => void): void {
    let steps = 4
    for (const [id, until] of known) {
      if (steps-- === 0 || until > this.#now()) return
      known.delete(id)
      drop(id)
    }
  }

  #locked<T> (id: string, work: () => Promise<T>): Promise<T> {
    const before = this.#locks.get(id)
    let givenUp = false
    const next = (): Promise<T> => givenUp ? Promise.reject(new Error('given up')) : work()
    const run = before === undefined ? work() : before.then(next, next)
    this.#locks.set(id, run)
    const clear = () => { if (this.#locks.get(id) === run) this.#locks.delete(id) }
    run.then(clear, clear)
    if (before === undefined) return run
    // Work that did not start in time is not done later: its caller has been told that it failed.
    return withTimeout(() => run, this.#callMs).catch((error: unknown) => {
      givenUp = true
      throw error
    })
  }
}

/** The answer of the store. A call without an answer must not hold its lock for ever. */
function answered<T> (call: Parameters<typeof fromCallback<T>>[0], timeoutMs: number): Promise<T | undefined> {
  return withTimeout(() => fromCallback(call), timeoutMs)
}
