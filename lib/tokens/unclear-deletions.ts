import { BoundedMap } from '../util/bounded-map.ts'
import type { TokenRecord } from './record.ts'

/** Milliseconds between looks at the store: the first, and at most. */
const FIRST_TRY_MS = 100
const TRY_MS = 1_000
/** How many deletions are followed up; the tokens of further ones are not revoked, and expire. */
const MAX_UNCLEAR = 1_000

/** A deletion that failed, but that the store may have carried out. */
interface Unclear {
  id: string
  /** What the record held. */
  record: TokenRecord
  onDeleted: (record: TokenRecord) => void
  timer: NodeJS.Timeout | undefined
}

/**
 * Finds out whether deletions whose answer was lost were carried out. If so, only this process knows the tokens that
 * the record held, and has to revoke them.
 */
export class UnclearDeletions {
  readonly #exists: (id: string) => Promise<boolean>
  readonly #unclear = new BoundedMap<string, Unclear>(MAX_UNCLEAR, (_id, { timer }) => clearTimeout(timer))
  #closed = false

  /** @param exists whether the store still holds a record; rejects if the store cannot tell */
  constructor (exists: (id: string) => Promise<boolean>) {
    this.#exists = exists
  }

  /** @param onDeleted called once if it turns out that the record is deleted */
  add (id: string, record: TokenRecord, onDeleted: (record: TokenRecord) => void): void {
    this.settle(id)
    const unclear: Unclear = { id, record, onDeleted, timer: undefined }
    this.#unclear.set(id, unclear)
    this.#later(unclear, FIRST_TRY_MS)
  }

  /** Another deletion of the record was carried out: returns what the record held, if the first one was unclear. */
  settle (id: string): TokenRecord | undefined {
    const unclear = this.#unclear.get(id)
    clearTimeout(unclear?.timer)
    this.#unclear.delete(id)
    return unclear?.record
  }

  /** A last look for those that are still unclear. */
  async close (): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#unclear.values()].map((unclear) => {
      clearTimeout(unclear.timer)
      return this.#look(unclear)
    }))
  }

  #later (unclear: Unclear, waitMs: number): void {
    if (this.#closed) return
    const lookAgain = async () => {
      if (!await this.#look(unclear)) this.#later(unclear, Math.min(waitMs * 1.5, TRY_MS))
    }
    unclear.timer = setTimeout(() => { void lookAgain() }, waitMs)
  }

  /** Whether it is clear now. */
  async #look (unclear: Unclear): Promise<boolean> {
    let exists: boolean
    try {
      exists = await this.#exists(unclear.id)
    } catch {
      return this.#unclear.get(unclear.id) !== unclear
    }
    if (this.#unclear.get(unclear.id) !== unclear) return true
    this.#unclear.delete(unclear.id)
    if (!exists) unclear.onDeleted(unclear.record)
    return true
  }
}
