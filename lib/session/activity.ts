import type { TokenStore } from '../tokens/stores/token-store.ts'
import { BoundedMap } from '../util/bounded-map.ts'

/** What this process knows of a login's last request, in epoch seconds. */
interface Known {
  /** When it came. */
  seenAt: number
  /** When the store was last asked or told. */
  storedAt: number
}

/** Part of `idleTimeout` for which a request is not written: another process may end the login so much earlier. */
const PART = 1 / 20
/** Seconds for which a request is not written, at most. */
const MAX_INTERVAL = 60
/** Seconds from which a time in the future is a wrong clock's. */
const MAX_AHEAD = 60
/** Logins that this process remembers; of others the store is asked. */
const MAX_KNOWN = 50_000

/**
 * When each login had its last request, for `idleTimeout`: in memory, and a record a login in the token store, which
 * all processes read. A request is written if that has not been done for a twentieth of the timeout.
 */
export class Activity {
  readonly #store: TokenStore
  readonly #now: () => number
  readonly #known = new BoundedMap<string, Known>(MAX_KNOWN)
  readonly #reading = new Map<string, Promise<number | undefined>>()

  /** @param now epoch seconds */
  constructor (store: TokenStore, now: () => number) {
    this.#store = store
    this.#now = now
  }

  /** When a login had its last request that this process knows of. */
  lastSeen (login: string): number | undefined { return this.#known.get(login)?.seenAt }

  /**
   * Notes a request of a login, without asking the store.
   * @returns false if the store has to be asked, or told
   */
  note (login: string, idleTimeout: number): boolean {
    const known = this.#known.get(login)
    if (known === undefined) return false
    const now = this.#now()
    const age = now - known.storedAt
    // If the clock has been set back, the time since is not known. A small lag behind another process does no harm.
    if (age <= -MAX_AHEAD || age >= interval(idleTimeout) || now - known.seenAt >= idleTimeout) return false
    known.seenAt = now
    return true
  }

  /**
   * Asks the store. Requests that come side by side share one read.
   * @returns when the login had its last request; undefined if that was never noted
   * @throws FST_OAUTH_STORE_UNAVAILABLE
   */
  async read (login: string): Promise<number | undefined> {
    const reading = this.#reading.get(login) ?? this.#read(login).finally(() => { this.#reading.delete(login) })
    this.#reading.set(login, reading)
    return await reading
  }

  async #read (login: string): Promise<number | undefined> {
    const stored = await this.#store.get(recordId(login)) as { at: number } | undefined
    const known = this.#known.get(login)
    if (stored === undefined && known === undefined) return undefined
    const seenAt = Math.max(stored?.at ?? -Infinity, known?.seenAt ?? -Infinity)
    this.#known.set(login, { seenAt, storedAt: stored?.at ?? -Infinity })
    return seenAt
  }

  /**
   * Notes a request of a login in the store, unless another one has just done so.
   * @param ttl seconds that the session has to live
   * @throws FST_OAUTH_STORE_UNAVAILABLE
   */
  async write (login: string, idleTimeout: number, ttl: number): Promise<void> {
    const now = this.#now()
    const { storedAt = -Infinity } = this.#known.get(login) ?? {}
    const age = now - storedAt
    if (age < interval(idleTimeout) && age > -MAX_AHEAD) {
      this.#known.set(login, { seenAt: now, storedAt })
      return
    }
    this.#known.set(login, { seenAt: now, storedAt: now })
    // Longer than the timeout: a record that is missing is of a login that began without the option.
    const keptFor = Math.ceil(Math.max(ttl, idleTimeout * 2))
    try {
      await this.#store.set(recordId(login), { version: 0, at: now }, { ttl: keptFor })
    } catch (error) {
      this.#known.set(login, { seenAt: now, storedAt })
      throw error
    }
  }
}

const interval = (idleTimeout: number) => Math.min(idleTimeout * PART, MAX_INTERVAL)

const recordId = (login: string) => `seen:${login}`
