import type { StoredRecord, TokenStore } from './token-store.ts'

/** A store as @fastify/session and express-session know it. */
export interface SessionStore {
  get (id: string, callback: (error: unknown, session?: unknown) => void): void
  set (id: string, session: unknown, callback: (error?: unknown) => void): void
  destroy (id: string, callback: (error?: unknown) => void): void
  touch? (id: string, session: unknown, callback: (error?: unknown) => void): void
}

/** What stands in the session store: shaped like a session, since stores compute a TTL from `cookie`. */
interface Envelope {
  cookie: { originalMaxAge: number, expires: string, path: string, httpOnly: boolean }
  record: StoredRecord
}

const PREFIX = 'oauth:'
const PENDING = 'login:'
const MAX_PENDING_IN_MEMORY = 10_000
const TOMBSTONE_MS = 600_000

/**
 * Keeps token records in the session's own store, beside the sessions. Each write is made whole within this process;
 * for several processes that share a store there is `redisStore`.
 */
export class SessionTokenStore implements TokenStore {
  readonly #store: () => SessionStore
  readonly #now: () => number
  readonly #locks = new Map<string, Promise<unknown>>()
  readonly #tombstones = new Map<string, number>()
  // Only for stores that never expire anything themselves: what is kept there and until when, oldest first.
  readonly #pendingUntil = new Map<string, number>()
  readonly #tokensUntil = new Map<string, number>()
  #keepsForever: boolean | undefined

  /**
   * @param store the session store; asked at first use, since it is known with the first request
   * @param now epoch milliseconds
   */
  constructor (store: () => SessionStore, now: () => number = Date.now) {
    this.#store = store
    this.#now = now
  }

  async get (id: string): Promise<StoredRecord | undefined> {
    return this.#recordOf(await this.#read(id))
  }

  set (id: string, record: StoredRecord, { ttl, expectedVersion }: { ttl: number, expectedVersion?: number }): Promise<boolean> {
    return this.#locked(id, async () => {
      if (this.#tombstones.has(id)) return false
      if (expectedVersion !== undefined && ((await this.get(id))?.version ?? 0) !== expectedVersion) return false
      await this.#write(id, record, ttl)
      return true
    })
  }

  take (id: string): Promise<StoredRecord | undefined> {
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
      const store = this.#store()
      // A store's own touch moves the expiry alone and cannot write an older record back.
      if (typeof store.touch === 'function') await promised(done => store.touch!(PREFIX + id, this.#envelope(record, ttl), done))
      else await this.#write(id, record, ttl)
    })
  }

  delete (id: string): Promise<void> {
    // At once, ahead of writes that wait for the lock.
    this.#tombstones.set(id, this.#now() + TOMBSTONE_MS)
    this.#sweep(this.#tombstones, () => {})
    return this.#locked(id, () => this.#destroy(id))
  }

  async #read (id: string): Promise<Envelope | undefined> {
    const store = this.#store()
    return await promised<unknown>(done => store.get(PREFIX + id, done)) as Envelope | undefined
  }

  #recordOf (envelope: Envelope | undefined): StoredRecord | undefined {
    if (envelope?.record === undefined) return undefined
    return Date.parse(envelope.cookie.expires) > this.#now() ? envelope.record : undefined
  }

  #envelope (record: StoredRecord, ttl: number): Envelope {
    const expires = new Date(this.#now() + ttl * 1000).toISOString()
    return { cookie: { originalMaxAge: ttl * 1000, expires, path: '/', httpOnly: true }, record }
  }

  async #write (id: string, record: StoredRecord, ttl: number): Promise<void> {
    const store = this.#store()
    await promised(done => store.set(PREFIX + id, this.#envelope(record, ttl), done))
    this.#keepsForever ??= Object.values(store).some(value => value instanceof Map)
    if (!this.#keepsForever) return
    const pending = id.startsWith(PENDING)
    const known = pending ? this.#pendingUntil : this.#tokensUntil
    known.delete(id)
    known.set(id, this.#now() + ttl * 1000)
    const drop = (old: string) => { this.#destroy(old).catch(() => {}) }
    this.#sweep(known, drop)
    const oldest = pending && known.size > MAX_PENDING_IN_MEMORY ? known.keys().next().value : undefined
    if (oldest !== undefined) drop(oldest)
  }

  async #destroy (id: string): Promise<void> {
    this.#pendingUntil.delete(id)
    this.#tokensUntil.delete(id)
    await promised(done => this.#store().destroy(PREFIX + id, done))
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
    const run = before === undefined ? work() : before.then(work, work)
    this.#locks.set(id, run)
    const clear = () => { if (this.#locks.get(id) === run) this.#locks.delete(id) }
    run.then(clear, clear)
    return run
  }
}

function promised<T> (call: (done: (error?: unknown, value?: T) => void) => void): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    call((error, value) => {
      if (error === undefined || error === null) resolve(value)
      else reject(error)
    })
  })
}
