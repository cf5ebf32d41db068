import { BoundedMap } from '../util/bounded-map.ts'
import type { TokenRecord } from './record.ts'

/** Milliseconds between looks at the store: the first, and at most. */
const FIRST_TRY_MS = 100
const TRY_MS = 1_000
/** Deletions that are looked after; the tokens of further ones are not revoked and expire with their time. */
const MAX_UNCLEAR = 1_000

/** A deletion that the store may have carried out although it failed. */
interface Unclear {
  id: string
  /** What the record held. */
  record: TokenRecord
  onDeleted: (record: TokenRecord) => void
  timer: NodeJS.Timeout | undefined
}

/**
 * Finds out what became of deletions whose answer was lost: where the record is deleted, this process alone knows the
 * tokens that it held.
 */
export class UnclearDeletions {
  readonly #exists: (id: string) => Promise<boolean>
  readonly #unclear = new BoundedMap<string, Unclear>(MAX_UNCLEAR, (_id, { timer }) => clearTimeout(timer))
  #closed = false

  /** @param exists whether the store still holds a record; rejects where the store cannot tell */
  constructor (exists: (id: string) => Promise<boolean>) {
    this.#exists = exists
  }

  /** @param onDeleted called once where it turns out that the record is deleted */
  add (id: string, record: TokenRecord, onDeleted: (record: TokenRecord) => void): void {
    this.settle(id)
    const unclear: Unclear = { id, record, onDeleted, timer: undefined }
    this.#unclear.set(id, unclear)
    this.#later(unclear, FIRST_TRY_MS)
  }

  /** Another deletion of the record was carried out: returns what the record held, where the first one was unclear. */
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
