import type { Clock } from '../util/clock.ts'
import { sleep } from '../util/timeout.ts'
import type { RecordState } from './record-state.ts'
import type { AcquireResult, TokenRecords } from './records.ts'

/** A lease as a refresh holds it. */
interface Lease {
  /** Random; one for each refresh. */
  owner: string
  /** The version to replace. */
  version: number
}

type AcquiredLease =
  /** The refresh token may be sent, until then (monotonic milliseconds). */
  | Extract<AcquireResult, { state: 'acquired' }> & { sendBefore: number }
  | Extract<AcquireResult, { state: 'newer' | 'deleted' }>
  /** Other processes held the lease all the time. */
  | { state: 'timed_out' }

/** Milliseconds for which a lease holds others off; a process that dies stalls them no longer. */
const LEASE_MS = 5_000
/** Milliseconds before the end of a lease from which nothing is sent any more. */
const SEND_MARGIN_MS = 1_000
/**
 * Milliseconds for which the store must have answered before a silent holder is given up. If the store was away, the
 * holder may be alive with a response that it could not write: its client reconnects within 2.2 s (the longest back-off
 * of node-redis; of ioredis it is 2 s) and it writes within BEAT_RETRY_MS then.
 */
const RECOVERY_MS = 3_500
/** Milliseconds after which a silent holder is given up although the store answers late. */
const SILENCE_MS = 10_000
/** Milliseconds after which an extension that failed is tried again. */
const BEAT_RETRY_MS = 200
/** Milliseconds between looks at a record that another process refreshes: the first, and at most. */
export const FIRST_POLL_MS = 10
export const POLL_MS = 200

/** The leases on token records: one process at a time sends a refresh token. */
export class RefreshLeases {
  readonly #records: TokenRecords
  readonly #clock: Clock

  constructor (records: TokenRecords, clock: Clock) {
    this.#records = records
    this.#clock = clock
  }

  /**
   * Waits until this process may send the refresh token, or another one has sent it.
   * @param patienceMs milliseconds to wait for others
   */
  async acquire (state: RecordState, { owner, version }: Lease, patienceMs: number): Promise<AcquiredLease> {
    const begunAt = this.#clock.monotonic()
    for (let wait = FIRST_POLL_MS; ; wait = Math.min(wait * 2, POLL_MS)) {
      const startedAt = this.#clock.monotonic()
      const takeOver = this.#records.steadyMs >= RECOVERY_MS || startedAt - begunAt >= SILENCE_MS
      const lease = { owner, version, lifeMs: LEASE_MS, takeOver }
      const result = await this.#records.acquireRefresh(state, lease)
      // A margin for the way to the provider: later, another process may hold the lease when the token arrives there.
      if (result.state === 'acquired') return { ...result, sendBefore: startedAt + LEASE_MS - SEND_MARGIN_MS }
      if (result.state !== 'busy') return result
      if (this.#clock.monotonic() - begunAt > patienceMs) return { state: 'timed_out' }
      await sleep(wait)
    }
  }

  /** Extends a lease until told to stop; resolves then when no extension is under way that could outlive its end. */
  startHeartbeat (id: string, lease: Lease): () => Promise<void> {
    let beat = Promise.resolve()
    let timer: NodeJS.Timeout | undefined
    let stopped = false
    const later = (ms: number) => { timer = setTimeout(() => { beat = extend() }, ms) }
    const extend = async () => {
      const extending = this.#records.extend(id, { ...lease, lifeMs: LEASE_MS })
      const extended = await extending.then(() => true, () => false)
      if (!stopped) later(extended ? LEASE_MS / 3 : BEAT_RETRY_MS)
    }
    later(LEASE_MS / 3)
    return () => {
      stopped = true
      clearTimeout(timer)
      return beat
    }
  }

  /**
   * Leaves the record to other processes at once. If the provider may have seen the token, now or before, the lease
   * stays as an abandoned one, which other processes will find.
   */
  async giveUp (state: RecordState, lease: Lease, outcomeUnknown: boolean): Promise<void> {
    if (outcomeUnknown) state.markOutcomeUnknown(lease.version)
    const ended = state.isOutcomeUnknown(lease.version)
      ? this.#records.extend(state.id, { ...lease, lifeMs: 0 })
      : this.#records.release(state.id, lease.owner)
    await ended.catch(() => {}) // the lease ends by itself
  }
}
