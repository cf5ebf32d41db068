import { randomToken } from '../protocol/random.ts'
import type { TokenSet } from '../protocol/token-set.ts'
import type { User } from '../providers/types.ts'
import type { StoredRecord, TokenStore } from './token-store.ts'

/** One connected account's tokens, as they are used. Never changed in place: each new set is a new record. */
export interface TokenRecord {
  /** Counts the sets: 1 at login, one more with each refresh. */
  readonly version: number
  readonly provider: string
  readonly tokens: TokenSet
  /** Epoch seconds at which the set was obtained. */
  readonly obtainedAt: number
  /** Seconds that the record is kept after a write. */
  readonly ttl: number
  readonly user: User | null
  /** Subject and issuer that a refreshed ID token must name. */
  readonly identity?: { sub: string, iss: string } | undefined
}

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
  usedAt: number
}

const IDLE_MS = 60_000
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
    live = { id, record: undefined, gone: false, flight: undefined, settling: undefined, unproven: 0, pausedUntil: 0, usedAt: now }
    this.#live.set(id, live)
    return live
  }

  /** Stores the tokens of a new login and returns the record's id. */
  async create (record: Omit<TokenRecord, 'version'>): Promise<string> {
    const id = randomToken()
    const first: TokenRecord = { version: 1, ...record }
    await this.#store.set(id, encode(first), { ttl: record.ttl, expectedVersion: 0 })
    const live = this.live(id)
    live.record = first
    this.#keep(id, record.ttl)
    return id
  }

  /** Reads a record from the store; the newest version known is returned, undefined where it is gone. */
  async read (id: string): Promise<TokenRecord | undefined> {
    const stored = decode(await this.#store.get(id))
    const live = this.live(id)
    if (live.gone) return undefined
    if (stored === undefined) live.record = undefined
    else if (live.record === undefined || stored.version >= live.record.version) live.record = stored
    return live.record
  }

  /** Writes the next version. False where another writer was first or the record is gone. */
  async replace (id: string, next: TokenRecord): Promise<boolean> {
    const written = await this.#store.set(id, encode(next), { ttl: next.ttl, expectedVersion: next.version - 1 })
    const live = this.live(id)
    if (!written || live.gone) return false
    live.record = next
    this.#keep(id, next.ttl)
    return true
  }

  /** Deletes a record for good and returns what it held. */
  async remove (id: string): Promise<TokenRecord | undefined> {
    const live = this.live(id)
    const known = live.record
    live.gone = true
    live.record = undefined
    try {
      const stored = decode(await this.#store.take(id))
      await this.#store.delete(id)
      return stored !== undefined && stored.version >= (known?.version ?? 0) ? stored : known
    } catch (error) {
      // It still stands in the store: the caller has to know, and a second try must be possible.
      live.gone = false
      live.record = known
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
      if (now - live.usedAt < IDLE_MS || live.flight !== undefined || live.settling !== undefined) this.#live.set(id, live)
    }
  }
}

// The tokens stand in the answer's members too: they are stored once.
function encode (record: TokenRecord): StoredRecord {
  const { access_token: _access, refresh_token: _refresh, id_token: _id, ...raw } = record.tokens.raw
  return { ...record, tokens: { ...record.tokens, raw }, expiresAt: record.tokens.expiresAt }
}

function decode (stored: StoredRecord | undefined): TokenRecord | undefined {
  if (stored === undefined) return undefined
  const { tokens, expiresAt: _copy, ...rest } = stored as unknown as TokenRecord & { expiresAt?: number }
  const raw: Record<string, unknown> = { ...tokens.raw, access_token: tokens.accessToken }
  if (tokens.refreshToken !== undefined) raw.refresh_token = tokens.refreshToken
  if (tokens.idToken !== undefined) raw.id_token = tokens.idToken
  return { ...rest, tokens: { ...tokens, raw } }
}
