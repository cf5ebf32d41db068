import type { TokenRecord } from '../session/token-record.ts'
import type { TokenRecords } from '../session/token-records.ts'
import type { Clock } from './clock.ts'

/** One refresh of one version, as others see it. */
export interface Intent {
  /** Random; one for each refresh. */
  owner: string
  /** The version to replace. */
  version: number
}

export type Announced =
  /** The refresh token may be sent, until then (monotonic milliseconds). */
  | { state: 'begun', record: TokenRecord, unfinished: boolean, sendBefore: number }
  | { state: 'newer', record: TokenRecord }
  | { state: 'gone' }
  /** Somebody else was at work all the time. */
  | { state: 'late' }

/** Milliseconds for which an intent holds others off; a process that dies stalls them no longer. */
const INTENT_MS = 5_000
/** Milliseconds before the end of an intent from which nothing is sent any more. */
const SEND_MARGIN_MS = 1_000
/** Milliseconds within which a process writes what it holds when the store is back. */
const RECOVERY_MS = 1_500
/** Milliseconds between looks at a record that another process refreshes. */
export const POLL_MS = 200

/** The intents that processes announce to each other, so that one of them at a time sends a refresh token. */
export class RefreshIntents {
  readonly #records: TokenRecords
  readonly #clock: Clock

  constructor (records: TokenRecords, clock: Clock) {
    this.#records = records
    this.#clock = clock
  }

  /**
   * Waits until this process may send the refresh token, or until somebody else has sent it.
   * @param patienceMs milliseconds to wait for others
   */
  async announce (id: string, { owner, version }: Intent, patienceMs: number): Promise<Announced> {
    const givenUpAt = this.#clock.monotonic() + patienceMs
    let unfinished = false
    for (let wait = 10; ; wait = Math.min(wait * 2, POLL_MS)) {
      const startedAt = this.#clock.monotonic()
      const begun = await this.#records.begin(id, { owner, version, until: Date.now() + INTENT_MS })
      if (begun.state === 'gone' || begun.state === 'newer') return begun
      if (begun.state === 'begun') {
        // The store was away: the one before may be alive, with an answer that it could not write. It does so now.
        const patient = begun.unfinished && !unfinished && this.#records.recovering
        unfinished ||= begun.unfinished
        // A margin for the way to the provider: past it the intent may be somebody else's by the time the token is seen.
        if (!patient) return { ...begun, unfinished, sendBefore: startedAt + INTENT_MS - SEND_MARGIN_MS }
        await sleep(RECOVERY_MS)
        continue
      }
      if (this.#clock.monotonic() > givenUpAt) return { state: 'late' }
      await sleep(wait)
    }
  }

  /** Extends an intent until told to stop; resolves then when no extension is under way that could outlive its end. */
  keep (id: string, intent: Intent): () => Promise<void> {
    let beat = Promise.resolve()
    const timer = setInterval(() => { beat = this.#records.extend(id, { ...intent, until: Date.now() + INTENT_MS }).catch(() => {}) }, INTENT_MS / 3)
    return () => {
      clearInterval(timer)
      return beat
    }
  }

  /** Leaves the record to others: at once, marked as unfinished where the provider may have seen the token, now or before. */
  async giveUp (id: string, intent: Intent, unsure: boolean): Promise<void> {
    const live = this.#records.live(id)
    if (unsure) live.doubtful = intent.version
    const done = live.doubtful === intent.version ? this.#records.extend(id, { ...intent, until: Date.now() }) : this.#records.release(id, intent.owner)
    await done.catch(() => {}) // the intent ends by itself
  }
}

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))
