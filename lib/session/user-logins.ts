import { createHash } from 'node:crypto'
import { StoreUnavailableError } from '../errors.ts'
import type { StoredRecord, TokenStore } from '../tokens/stores/token-store.ts'
import { shortHash } from '../util/random.ts'
import { sleep } from '../util/timeout.ts'
import type { Account } from './accounts.ts'

/** One login of a user: where its tokens are, and in which session. */
export interface UserLogin {
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

/** What is needed of an account to find it again among all logins of its user. */
type UserAccount = Pick<Account, 'recordId' | 'providerIdentity' | 'user' | 'claims'>

/** A list of logins; once they were too many, they are in parts below it. */
interface List extends StoredRecord {
  logins?: UserLogin[]
  /** Epoch seconds until which a part may be needed. */
  split?: number
}

/** What becomes of one login; undefined takes it out. */
type Changes = Map<string, UserLogin | undefined>

/** Logins in one list. */
const MAX_LOGINS = 64
/** Parts that a list is split into, by the next hex digit of the login's hash; and how often. */
const DIGITS = '0123456789abcdef'
const MAX_DEPTH = 8
/** Tries to write a list that other processes may be writing. */
const TRIES = 50
/** Tries in a row after which what cannot be read is taken out of the way. */
const UNREADABLE_AFTER = 3
/** Seconds that a list is kept at least, so that a slower writer finds its version. */
const MIN_TTL = 60

/**
 * Finds all logins of one user, on every process, so that all of them can be ended at once. A user is a provider's own:
 * lists are kept by the provider's identity, not by its name. There is no limit: adding, removing and finding a login
 * takes one or two small records, however many there are. A list is a record; past 64 logins it is split into sixteen,
 * and so on. It works with any store, since each record is changed by comparing its version.
 */
export class UserLogins {
  readonly #store: TokenStore
  readonly #now: () => number
  readonly #member: string
  /** Changes of this process that wait for the write before them: they are written together. */
  readonly #waiting = new Map<string, { changes: Changes, written: Promise<void> }>()
  readonly #writing = new Map<string, Promise<void>>()

  /**
   * @param now epoch seconds
   * @param member the session's member in which the logins are: another registration's are ended by that one
   */
  constructor (store: TokenStore, now: () => number, member = 'oauth') {
    this.#store = store
    this.#now = now
    this.#member = member
  }

  /**
   * Adds the login of an account, or moves it to another session. An account without a user is in no list.
   * @param ttl seconds that the login has to live
   * @param login id of the login that the account belongs to; its record's own where absent
   * @throws FST_OAUTH_STORE_UNAVAILABLE
   */
  async add (
    { recordId, providerIdentity, user, claims }: UserAccount, { sessionId }: { sessionId: string }, ttl: number,
    login?: string
  ): Promise<void> {
    if (user === null) return
    const { sid, iss } = claims
    await this.#change(this.#keyOf(providerIdentity, user.id), new Map([[recordId, {
      recordId,
      sessionId,
      ...(login !== undefined && login !== recordId && { login }),
      ...(typeof sid === 'string' && { sid }),
      ...(typeof iss === 'string' && { iss }),
      until: Math.ceil(this.#now()) + ttl
    }]]))
  }

  /** Removes the login of an account. @throws FST_OAUTH_STORE_UNAVAILABLE */
  async remove ({ recordId, providerIdentity, user }: Omit<UserAccount, 'claims'>): Promise<void> {
    if (user !== null) await this.removeAll(providerIdentity, user.id, [recordId])
  }

  /** Removes logins of one user by their records. @throws FST_OAUTH_STORE_UNAVAILABLE */
  async removeAll (providerIdentity: string, subject: string, records: readonly string[]): Promise<void> {
    if (records.length === 0) return
    await this.#change(this.#keyOf(providerIdentity, subject), new Map(records.map(record => [record, undefined])))
  }

  /** The logins of a user that have not ended with their time. @throws FST_OAUTH_STORE_UNAVAILABLE */
  async of (providerIdentity: string, subject: string): Promise<UserLogin[]> {
    return await this.#find(this.#keyOf(providerIdentity, subject))
  }

  #keyOf (providerIdentity: string, subject: string): string {
    return `user:${shortHash(JSON.stringify([this.#member, providerIdentity, subject]))}`
  }

  async #find (id: string): Promise<UserLogin[]> {
    const list = await this.#store.get(id) as List | undefined
    if (list?.split === undefined) return this.#alive(list)
    const found = await Promise.all([...DIGITS].map(digit => this.#find(partOf(id, digit))))
    return found.flat()
  }

  /** Waits for the write under way, and writes together with other changes that wait for it. */
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
   * Writes changes into a list, and into its parts where it is split.
   * @param options.onlyNew leaves a login as it is where it is known already
   * @param options.split epoch seconds until which the list is to be split
   */
  async #apply (id: string, depth: number, changes: Changes, { onlyNew = false, split = 0 } = {}): Promise<void> {
    let unreadable = 0
    for (let tries = 0; tries < TRIES; tries++) {
      if (tries > 0) await sleep(Math.random() * 5 * tries)
      const list = await this.#store.get(id) as List | undefined
      if (list?.split !== undefined) {
        if (!await this.#extendSplit(id, list, changes)) continue
        return await this.#distribute(id, depth, changes, onlyNew)
      }
      const logins = merge(this.#alive(list), changes, onlyNew)
      if (split > 0 || (logins.length > MAX_LOGINS && depth < MAX_DEPTH)) {
        // The parts below come first: no login is out of reach at any time. What is there already is newer than ours.
        await this.#distribute(id, depth, new Map(logins.map(login => [login.recordId, login])), true)
        const until = Math.max(split, latest(logins) + this.#margin(logins))
        if (await this.#put(id, list, { split: until }, until)) return
      } else if (logins.length > 0) {
        if (await this.#put(id, list, { logins }, latest(logins))) return
      } else {
        if (list === undefined || await this.#delete(id, depth, list)) return
        continue
      }
      // Nothing can be read, and yet it is in the way of a first list: its encryption key is gone, or it never was a
      // list. Another writer's list would be read with the next try.
      unreadable = list === undefined ? unreadable + 1 : 0
      if (unreadable >= UNREADABLE_AFTER) await this.#store.consume(id)
    }
    throw new StoreUnavailableError('the list of a user\'s logins could not be written; try again in a moment', {
      reason: 'logins', retryAfter: 1
    })
  }

  /**
   * Takes an empty list out of the store; after a store's `delete` it could never be written again.
   * @returns false where another writer came in between: what it wrote is put back
   */
  async #delete (id: string, depth: number, { version }: List): Promise<boolean> {
    const taken = await this.#store.consume(id) as List | undefined
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
  async #extendSplit (id: string, list: List, changes: Changes): Promise<boolean> {
    const logins = [...changes.values()].filter(login => login !== undefined)
    if (logins.length === 0 || latest(logins) <= list.split!) return true
    // By more than is needed, so that not every login writes here.
    const split = latest(logins) + this.#margin(logins)
    return await this.#put(id, list, { split }, split)
  }

  async #put (id: string, before: List | undefined, content: Partial<List>, until: number): Promise<boolean> {
    const expectedVersion = before?.version ?? 0
    const ttl = Math.max(MIN_TTL, Math.ceil(until - this.#now()))
    return await this.#store.set(id, { ...content, version: expectedVersion + 1 }, { ttl, expectedVersion })
  }

  #alive (list: List | undefined): UserLogin[] {
    return (list?.logins ?? []).filter(({ until }) => until > this.#now())
  }

  #margin (logins: { until: number }[]): number {
    return Math.max(0, latest(logins) - this.#now())
  }
}

const partOf = (id: string, digit: string) => `${id}.${digit}`

const latest = (logins: { until: number }[]) => logins.reduce((last, { until }) => Math.max(last, until), 0)

function merge (logins: UserLogin[], changes: Changes, onlyNew: boolean): UserLogin[] {
  const merged = new Map(logins.map(login => [login.recordId, login]))
  for (const [record, login] of changes) {
    if (login === undefined) merged.delete(record)
    else if (!onlyNew || !merged.has(record)) merged.set(record, login)
  }
  return [...merged.values()]
}

/** Whether a record of a store is a list of logins. */
export function isUserList ({ logins, split }: StoredRecord): boolean {
  if (split !== undefined) return logins === undefined && Number.isFinite(split)
  return Array.isArray(logins) && logins.every(isUserLogin)
}

function isUserLogin (value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  const { recordId, sessionId, login, sid, iss, until } = value as Record<string, unknown>
  return (
    [recordId, sessionId, login ?? '', sid ?? '', iss ?? ''].every(member => typeof member === 'string') &&
    Number.isFinite(until)
  )
}
