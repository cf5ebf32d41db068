import { createHash } from 'node:crypto'
import { StoreUnavailableError } from '../errors.ts'
import type { StoredRecord, TokenStore } from '../tokens/stores/token-store.ts'
import { sleep } from '../util/timeout.ts'

/** One login: where its tokens are, and in which session. */
export interface IndexedLogin {
  /** Id of the token record. */
  recordId: string
  sessionId: string
  /** Id of the login that the record belongs to; the record's own where absent. */
  login?: string
  /** The provider's own id of its session (`sid`, OpenID Connect Front-Channel Logout, section 3). */
  sid?: string
  /** Issuer of the ID token. */
  iss?: string
  /** Epoch seconds until which it lives at most, as of its last write. */
  until: number
}

/** A part of an index: its logins, or, once they were too many, the word that they are in parts of their own. */
interface Part extends StoredRecord {
  logins?: IndexedLogin[]
  /** Epoch seconds until which a part below this one may be needed. */
  split?: number
}

/** What becomes of one login; undefined takes it out. */
type Changes = Map<string, IndexedLogin | undefined>

/** Logins in one part of an index. */
const MAX_LOGINS = 64
/** Parts that a part is split into, by the next hex digit of the login's hash; and how often. */
const DIGITS = '0123456789abcdef'
const MAX_DEPTH = 8
/** Tries to write a part: other processes may be at it. */
const TRIES = 50
/** Tries in a row after which what cannot be read is taken out of the way. */
const UNREADABLE_AFTER = 3
/** Seconds that a part is kept at least, so that a slower writer finds its version. */
const MIN_TTL = 60

/**
 * Lists of logins in a token store, each under a key, without a limit: adding, removing and finding one takes one or
 * two small records, however many there are. A list is a record; past 64 logins it is split into sixteen, and so on.
 * Works with any store, since each record is changed by comparing its version.
 */
export class LoginIndex {
  readonly #store: TokenStore
  readonly #now: () => number
  /** Changes of this process that wait for the write before them: they are written together. */
  readonly #waiting = new Map<string, { changes: Changes, written: Promise<void> }>()
  readonly #writing = new Map<string, Promise<void>>()

  /** @param now epoch seconds */
  constructor (store: TokenStore, now: () => number) {
    this.#store = store
    this.#now = now
  }

  /** Adds a login, or replaces what is known of it. @throws FST_OAUTH_STORE_UNAVAILABLE */
  async put (key: string, login: IndexedLogin): Promise<void> {
    await this.#change(key, new Map([[login.recordId, login]]))
  }

  /** Takes logins out. @throws FST_OAUTH_STORE_UNAVAILABLE */
  async remove (key: string, records: readonly string[]): Promise<void> {
    if (records.length > 0) await this.#change(key, new Map(records.map(record => [record, undefined])))
  }

  /** The logins under a key that have not ended with their time. @throws FST_OAUTH_STORE_UNAVAILABLE */
  async find (key: string): Promise<IndexedLogin[]> {
    const part = await this.#store.get(key) as Part | undefined
    if (part?.split === undefined) return this.#alive(part)
    const found = await Promise.all([...DIGITS].map(digit => this.find(partOf(key, digit))))
    return found.flat()
  }

  /** Waits for the write under way, with all others who do, and writes what has come together since. */
  #change (key: string, changes: Changes): Promise<void> {
    const waiting = this.#waiting.get(key)
    if (waiting !== undefined) {
      for (const [record, login] of changes) waiting.changes.set(record, login)
      return waiting.written
    }
    const before = this.#writing.get(key)
    if (before === undefined) return this.#write(key, changes)
    const next = () => {
      this.#waiting.delete(key)
      return this.#write(key, changes)
    }
    const written = before.then(next, next)
    this.#waiting.set(key, { changes, written })
    return written
  }

  #write (key: string, changes: Changes): Promise<void> {
    const writing = this.#apply(key, 0, changes).finally(() => {
      if (this.#writing.get(key) === writing) this.#writing.delete(key)
    })
    this.#writing.set(key, writing)
    return writing
  }

  /**
   * @param options.onlyNew leaves a login as it is where it is known already
   * @param options.split until when the part is split, whatever stands there
   */
  async #apply (id: string, depth: number, changes: Changes, { onlyNew = false, split = 0 } = {}): Promise<void> {
    let unreadable = 0
    for (let tries = 0; tries < TRIES; tries++) {
      if (tries > 0) await sleep(Math.random() * 5 * tries)
      const part = await this.#store.get(id) as Part | undefined
      if (part?.split !== undefined) {
        if (!await this.#reachable(id, part, changes)) continue
        return await this.#distribute(id, depth, changes, onlyNew)
      }
      const logins = merge(this.#alive(part), changes, onlyNew)
      if (split > 0 || (logins.length > MAX_LOGINS && depth < MAX_DEPTH)) {
        // The parts below come first: no login is out of reach at any time. What is there already is newer than ours.
        await this.#distribute(id, depth, new Map(logins.map(login => [login.recordId, login])), true)
        const until = Math.max(split, latest(logins) + this.#margin(logins))
        if (await this.#putPart(id, part, { split: until }, until)) return
      } else if (logins.length > 0) {
        if (await this.#putPart(id, part, { logins }, latest(logins))) return
      } else {
        if (part === undefined || await this.#delete(id, depth, part)) return
        continue
      }
      // What is not there, and yet in the way of a first list, is one that cannot be read: its encryption key is gone,
      // or it never was a list. Another writer would be seen with the next try.
      unreadable = part === undefined ? unreadable + 1 : 0
      if (unreadable >= UNREADABLE_AFTER) await this.#store.consume(id)
    }
    throw new StoreUnavailableError('the list of a user\'s logins could not be written; try again in a moment', {
      reason: 'logins', retryAfter: 1
    })
  }

  /**
   * Takes an empty part out of the store; for a store's `delete` it would be gone for good.
   * @returns false where another writer came in between: what that one wrote is put back
   */
  async #delete (id: string, depth: number, { version }: Part): Promise<boolean> {
    const taken = await this.#store.consume(id) as Part | undefined
    if (taken === undefined || taken.version === version) return true
    const logins: Changes = new Map(this.#alive(taken).map(login => [login.recordId, login]))
    await this.#apply(id, depth, logins, { onlyNew: true, ...(taken.split !== undefined && { split: taken.split }) })
    return false
  }

  async #distribute (id: string, depth: number, changes: Changes, onlyNew: boolean): Promise<void> {
    const parts = new Map<string, Changes>()
    for (const [record, login] of changes) {
      const digit = createHash('sha256').update(record).digest('hex')[depth]!
      const part = parts.get(digit) ?? new Map()
      parts.set(digit, part.set(record, login))
    }
    await Promise.all([...parts].map(([digit, part]) => this.#apply(partOf(id, digit), depth + 1, part, { onlyNew })))
  }

  /** Makes sure that a split lasts as long as what is below it. False where another writer was first. */
  async #reachable (id: string, part: Part, changes: Changes): Promise<boolean> {
    const logins = [...changes.values()].filter(login => login !== undefined)
    if (logins.length === 0 || latest(logins) <= part.split!) return true
    // By more than is needed, so that not every login writes here.
    const split = latest(logins) + this.#margin(logins)
    return await this.#putPart(id, part, { split }, split)
  }

  async #putPart (id: string, before: Part | undefined, content: Partial<Part>, until: number): Promise<boolean> {
    const expectedVersion = before?.version ?? 0
    const ttl = Math.max(MIN_TTL, Math.ceil(until - this.#now()))
    return await this.#store.set(id, { ...content, version: expectedVersion + 1 }, { ttl, expectedVersion })
  }

  #alive (part: Part | undefined): IndexedLogin[] {
    return (part?.logins ?? []).filter(({ until }) => until > this.#now())
  }

  #margin (logins: { until: number }[]): number {
    return Math.max(0, latest(logins) - this.#now())
  }
}

const partOf = (id: string, digit: string) => `${id}.${digit}`

const latest = (logins: { until: number }[]) => logins.reduce((last, { until }) => Math.max(last, until), 0)

function merge (logins: IndexedLogin[], changes: Changes, onlyNew: boolean): IndexedLogin[] {
  const merged = new Map(logins.map(login => [login.recordId, login]))
  for (const [record, login] of changes) {
    if (login === undefined) merged.delete(record)
    else if (!onlyNew || !merged.has(record)) merged.set(record, login)
  }
  return [...merged.values()]
}

/** Whether a record of a store is a part of an index. */
export function isIndexPart ({ logins, split }: StoredRecord): boolean {
  if (split !== undefined) return logins === undefined && Number.isFinite(split)
  return Array.isArray(logins) && logins.every(isIndexedLogin)
}

function isIndexedLogin (value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  const { recordId, sessionId, login, sid, iss, until } = value as Record<string, unknown>
  return (
    [recordId, sessionId, login ?? '', sid ?? '', iss ?? ''].every(member => typeof member === 'string') &&
    Number.isFinite(until)
  )
}
