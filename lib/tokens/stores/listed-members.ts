import { createHash } from 'node:crypto'
import { StoreUnavailableError } from '../../errors.ts'
import { sleep } from '../../util/timeout.ts'
import type { MemberStore, StoredMember, StoredRecord, TokenStore } from './token-store.ts'

interface ListedMember {
  name: string
  value: StoredMember
  /** Epoch seconds until which it is kept. */
  until: number
}

/** A list of members; once they were too many, they are in parts below it. */
interface List extends StoredRecord {
  members?: ListedMember[]
  /** Epoch seconds until which a part may be needed. */
  split?: number
}

/** A change of one member. */
interface Change {
  /** Undefined removes it. */
  member: ListedMember | undefined
  /** Which one is written: any if absent, or only one that is not in the list yet, or only one that is. */
  when?: 'absent' | 'present'
  /** Whether the member was there before the change. */
  wasThere?: boolean
}
type Changes = Map<string, Change>

/** Changes of this process that are written together. */
interface Batch {
  changes: Changes
  isBegun: boolean
  written: Promise<void>
}

/** Members in one list. */
const MAX_MEMBERS = 64
/** Parts that a list is split into, by the next hex digit of the member's hash; and how often. */
const DIGITS = '0123456789abcdef'
const MAX_DEPTH = 8
/** Tries to write a list that other processes may be writing. */
const TRIES = 50
/** Tries in a row after which an entry that cannot be read is removed. */
const UNREADABLE_AFTER = 3
/** Seconds that a list is kept at least, so that a slower writer finds its version. */
const MIN_TTL = 60

/**
 * Keeps sets in a store that has none. A set is a list in a record; past 64 members it is split into sixteen, and so
 * on: a change takes one or two reads and writes of small records, however many members there are. It works with any
 * store, since each record is changed by comparing its version.
 */
export class ListedMembers implements MemberStore {
  readonly #store: TokenStore
  readonly #now: () => number
  /** The last batch of changes to each set: the one that is being written, or one that waits for those before it. */
  readonly #batches = new Map<string, Batch>()

  /** @param now epoch seconds */
  constructor (store: TokenStore, now: () => number) {
    this.#store = store
    this.#now = now
  }

  /** @throws FST_OAUTH_STORE_UNAVAILABLE */
  async addMember (
    id: string, name: string, value: StoredMember,
    { ttl, onlyIfPresent = false }: { ttl: number, onlyIfPresent?: boolean }
  ): Promise<boolean> {
    const member = { name, value, until: Math.ceil(this.#now()) + ttl }
    const change: Change = { member, ...(onlyIfPresent && { when: 'present' }) }
    await this.#change(id, new Map([[name, change]]))
    return !onlyIfPresent || change.wasThere === true
  }

  /** @throws FST_OAUTH_STORE_UNAVAILABLE */
  async removeMembers (id: string, members: readonly string[]): Promise<void> {
    if (members.length === 0) return
    await this.#change(id, new Map(members.map(name => [name, { member: undefined }])))
  }

  /** @throws FST_OAUTH_STORE_UNAVAILABLE */
  async members (id: string): Promise<[string, StoredMember][]> {
    const list = await this.#store.get(id) as List | undefined
    if (list?.split === undefined) return this.#alive(list).map(({ name, value }) => [name, value])
    return (await Promise.all([...DIGITS].map(digit => this.members(partOf(id, digit))))).flat()
  }

  /** Waits for the write under way, and writes together with other changes that wait for it. */
  #change (id: string, changes: Changes): Promise<void> {
    const last = this.#batches.get(id)
    // A change that depends on what is there comes after those before it.
    const depends = [...changes].some(([name, { when }]) => when !== undefined && last?.changes.has(name))
    if (last?.isBegun === false && !depends) {
      for (const [name, change] of changes) last.changes.set(name, change)
      return last.written
    }
    const write = async () => {
      await last?.written.catch(() => {})
      batch.isBegun = true
      await this.#apply(id, 0, changes)
    }
    const batch: Batch = { changes, isBegun: last === undefined, written: Promise.resolve() }
    batch.written = write().finally(() => {
      if (this.#batches.get(id) === batch) this.#batches.delete(id)
    })
    this.#batches.set(id, batch)
    return batch.written
  }

  /**
   * Writes changes into a list, and into its parts if it is split.
   * @param split epoch seconds until which the list is to be split
   */
  async #apply (id: string, depth: number, changes: Changes, split = 0): Promise<void> {
    let unreadable = 0
    for (let tries = 0; tries < TRIES; tries++) {
      if (tries > 0) await sleep(Math.random() * 5 * tries)
      const list = await this.#store.get(id) as List | undefined
      if (list?.split !== undefined) {
        if (!await this.#extendSplit(id, list, changes)) continue
        return await this.#distribute(id, depth, changes)
      }
      const members = merge(this.#alive(list), changes)
      if (split > 0 || (members.length > MAX_MEMBERS && depth < MAX_DEPTH)) {
        // The parts below come first: no member is out of reach at any time. What is there already is newer than ours.
        await this.#distribute(id, depth, asNew(members))
        const until = Math.max(split, latest(members) + this.#margin(members))
        if (await this.#put(id, list, { split: until }, until)) return
      } else if (members.length > 0) {
        if (await this.#put(id, list, { members }, latest(members))) return
      } else {
        if (list === undefined || await this.#delete(id, depth, list)) return
        continue
      }
      // There is an entry that cannot be read and that a new list cannot replace: its encryption key is gone, or it
      // never was a list. Another writer's list would be read with the next try.
      unreadable = list === undefined ? unreadable + 1 : 0
      if (unreadable >= UNREADABLE_AFTER) await this.#store.consume(id)
    }
    throw new StoreUnavailableError('the list of a user\'s logins could not be written; try again in a moment', {
      reason: 'logins', retryAfter: 1
    })
  }

  /**
   * Takes an empty list out of the store; after a store's `delete` it could never be written again.
   * @returns false if another writer came in between: what it wrote is put back
   */
  async #delete (id: string, depth: number, { version }: List): Promise<boolean> {
    const taken = await this.#store.consume(id) as List | undefined
    if (taken === undefined || taken.version === version) return true
    await this.#apply(id, depth, asNew(this.#alive(taken)), taken.split)
    return false
  }

  async #distribute (id: string, depth: number, changes: Changes): Promise<void> {
    const parts = new Map<string, Changes>()
    for (const [name, change] of changes) {
      const digit = createHash('sha256').update(name).digest('hex')[depth]!
      const part = parts.get(digit) ?? new Map()
      parts.set(digit, part.set(name, change))
    }
    await Promise.all([...parts].map(([digit, part]) => this.#apply(partOf(id, digit), depth + 1, part)))
  }

  /** Makes sure that a split lasts as long as what is below it. False if another writer was first. */
  async #extendSplit (id: string, list: List, changes: Changes): Promise<boolean> {
    const members = [...changes.values()].map(({ member }) => member).filter(member => member !== undefined)
    if (members.length === 0 || latest(members) <= list.split!) return true
    // By more than is needed, so that not every addition writes here.
    const split = latest(members) + this.#margin(members)
    return await this.#put(id, list, { split }, split)
  }

  async #put (id: string, before: List | undefined, content: Partial<List>, until: number): Promise<boolean> {
    const expectedVersion = before?.version ?? 0
    const ttl = Math.max(MIN_TTL, Math.ceil(until - this.#now()))
    return await this.#store.set(id, { ...content, version: expectedVersion + 1 }, { ttl, expectedVersion })
  }

  #alive (list: List | undefined): ListedMember[] {
    return (list?.members ?? []).filter(({ until }) => until > this.#now())
  }

  #margin (members: { until: number }[]): number {
    return Math.max(0, latest(members) - this.#now())
  }
}

const partOf = (id: string, digit: string) => `${id}.${digit}`

const latest = (members: { until: number }[]) => members.reduce((last, { until }) => Math.max(last, until), 0)

/** Changes that add members, except those that are there already. */
function asNew (members: ListedMember[]): Changes {
  return new Map(members.map(member => [member.name, { member, when: 'absent' }]))
}

function merge (members: ListedMember[], changes: Changes): ListedMember[] {
  const merged = new Map(members.map(member => [member.name, member]))
  for (const [name, change] of changes) {
    const { member, when } = change
    change.wasThere = merged.has(name)
    if (member === undefined) merged.delete(name)
    else if (when === undefined || change.wasThere === (when === 'present')) merged.set(name, member)
  }
  return [...merged.values()]
}

/** Whether a record of a store is a list of members. */
export function isMemberList ({ members, split }: StoredRecord): boolean {
  if (split !== undefined) return members === undefined && Number.isFinite(split)
  return Array.isArray(members) && members.every(isListedMember)
}

function isListedMember (value: unknown): boolean {
  const { name, value: kept, until } = Object(value) as Record<string, unknown>
  return typeof name === 'string' && typeof kept === 'object' && kept !== null && Number.isFinite(until)
}
