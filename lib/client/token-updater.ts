import { AsyncLocalStorage } from 'node:async_hooks'
import type { TokensEvent } from '../options.ts'
import type { TokenSet } from '../protocol/token-set.ts'
import type { LiveRecord } from '../session/live-records.ts'
import type { TokenRecords } from '../session/token-records.ts'

export type OnTokens = (tokens: TokenSet, event: TokensEvent) => unknown

/** Runs `onTokens` once for each new set, and keeps everybody else from using the set before it is done. */
export class TokenUpdater {
  readonly #records: TokenRecords
  readonly #onTokens: OnTokens | undefined
  readonly #inside = new AsyncLocalStorage<string>()

  constructor (records: TokenRecords, onTokens: OnTokens | undefined) {
    this.#records = records
    this.#onTokens = onTokens
  }

  /**
   * Stores and announces a set as one step to everybody else: whoever reads the record meanwhile waits, and fails where
   * this fails.
   */
  async holding<T> (id: string, work: () => Promise<T>): Promise<T> {
    if (this.#onTokens === undefined) return await work()
    const live = this.#records.live(id)
    const running = work()
    const settling: Promise<void> = running.then(() => {}).finally(() => { if (live.settling === settling) live.settling = undefined })
    settling.catch(() => {}) // those who wait hear of it; nobody may be waiting
    live.settling = settling
    return await running
  }

  /** Awaits `onTokens` for a set that is stored. */
  async announce (id: string, tokens: TokenSet, event: TokensEvent): Promise<void> {
    if (this.#onTokens === undefined) return
    await this.#inside.run(id, async () => { await this.#onTokens!({ ...tokens, record: id }, event) })
  }

  /** Whether the caller is `onTokens` itself, at work for this record: it must not wait for its own end. */
  isInside (id: string): boolean {
    return this.#inside.getStore() === id
  }

  /** Waits until the newest set may be used. */
  async settled (live: LiveRecord): Promise<void> {
    if (live.settling !== undefined && !this.isInside(live.id)) await live.settling
  }
}
