import type { Clock } from '../util/clock.ts'
import { sleep } from '../util/timeout.ts'
import type { TokenRecord } from './record.ts'
import type { TokenRecords } from './records.ts'

/** One refresh of one version, as others see it. */
export interface Lease {
  /** Random; one for each refresh. */
  owner: string
  /** The version to replace. */
  version: number
}

export type AcquiredLease =
  /** The refresh token may be sent, until then (monotonic milliseconds). */
  | { state: 'begun', record: TokenRecord, abandoned: boolean, standing: Lease, sendBefore: number }
  | { state: 'newer', record: TokenRecord }
  | { state: 'gone' }
  /** Somebody else was at work all the time. */
  | { state: 'late' }

/** Milliseconds for which an intent holds others off; a process that dies stalls them no longer. */
const INTENT_MS = 5_000
/** Milliseconds before the end of an intent from which nothing is sent any more. */
const SEND_MARGIN_MS = 1_000
/**
 * Milliseconds for which the store must have answered before a silent holder is given up. Where the store was away, the
 * holder may be alive with an answer that it could not write: its client reconnects within 2.2 s (the longest back-off
 * of node-redis; of ioredis it is 2 s) and it writes within BEAT_RETRY_MS then.
 */
const RECOVERY_MS = 3_500
/** Milliseconds after which a silent holder is given up although the store answers late. */
const SILENCE_MS = 10_000
/** Milliseconds after which an extension that failed is tried again. */
const BEAT_RETRY_MS = 200
/** Milliseconds between looks at a record that another process refreshes. */
export const POLL_MS = 200

/** The intents that processes announce to each other, so that one of them at a time sends a refresh token. */
export class RefreshLeases {
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
  async acquire (id: string, { owner, version }: Lease, patienceMs: number): Promise<AcquiredLease> {
    const begunAt = this.#clock.monotonic()
    for (let wait = 10; ; wait = Math.min(wait * 2, POLL_MS)) {
      const startedAt = this.#clock.monotonic()
      const takeOver = this.#records.steadyMs >= RECOVERY_MS || startedAt - begunAt >= SILENCE_MS
      const begun = await this.#records.acquireRefresh(id, { owner, version, until: Date.now() + INTENT_MS, takeOver })
      if (begun.state === 'gone' || begun.state === 'newer') return begun
      // A margin for the way to the provider: past it the intent may be somebody else's by the time the token is seen.
      if (begun.state === 'begun') return { ...begun, sendBefore: startedAt + INTENT_MS - SEND_MARGIN_MS }
      if (this.#clock.monotonic() - begunAt > patienceMs) return { state: 'late' }
      await sleep(wait)
    }
  }

  /** Extends an intent until told to stop; resolves then when no extension is under way that could outlive its end. */
  startHeartbeat (id: string, intent: Lease): () => Promise<void> {
    let beat = Promise.resolve()
    let timer: NodeJS.Timeout | undefined
    let stopped = false
    const later = (ms: number) => { timer = setTimeout(() => { beat = extend() }, ms) }
    const extend = async () => {
      const extended = await this.#records.extend(id, { ...intent, until: Date.now() + INTENT_MS }).then(
        () => true,
        () => false
      )
      if (!stopped) later(extended ? INTENT_MS / 3 : BEAT_RETRY_MS)
    }
    later(INTENT_MS / 3)
    return () => {
      stopped = true
      clearTimeout(timer)
      return beat
    }
  }

  /**
   * Leaves the record to others: at once, marked as unfinished where the provider may have seen the token, now or
   * before.
   */
  async abandon (id: string, intent: Lease, unsure: boolean): Promise<void> {
    const live = this.#records.state(id)
    if (unsure) live.outcomeUnknownVersion = intent.version
    // The intent is that of a set which is not written yet: others still have to wait for it.
    if (live.unsaved !== undefined) return
    const done =
      live.outcomeUnknownVersion === intent.version
        ? this.#records.extend(id, { ...intent, until: Date.now() })
        : this.#records.release(id, intent.owner)
    await done.catch(() => {}) // the intent ends by itself
  }
}
