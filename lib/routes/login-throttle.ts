import { shortHash } from '../protocol/random.ts'

interface Attempts {
  failures: number
  /** Tries that have no outcome yet. */
  underWay: number
  /** Monotonic milliseconds at which the failures are forgotten. */
  until: number
}

export type Outcome = 'failed' | 'succeeded' | 'unknown'

/** Failures within the window after which no further try is made. */
const MAX_FAILURES = 10
const WINDOW_MS = 15 * 60_000
const MAX_KEPT = 20_000

/**
 * Slows down whoever guesses passwords: by user name, so that many browsers do not help, and by browser, so that many
 * names do not. In memory, one process's own: it is a brake, not a wall.
 */
export class LoginThrottle {
  readonly #now: () => number
  readonly #attempts = new Map<string, Attempts>()

  /** @param now milliseconds of a clock that only goes forward */
  constructor (now: () => number) {
    this.#now = now
  }

  /**
   * Asks for a try. Tries under way count like failures: guesses that are sent side by side must not all be the first.
   * @returns seconds to wait for any of these keys; 0 where the try may be made, and then `end` has to tell its outcome
   */
  begin (keys: readonly string[]): number {
    const now = this.#now()
    const found = keys.map(key => this.#attempts.get(shortHash(key)) ?? { failures: 0, underWay: 0, until: 0 })
    const waits = found.map((attempts) => {
      if (attempts.until <= now) attempts.failures = 0
      if (attempts.failures >= MAX_FAILURES) return Math.ceil((attempts.until - now) / 1000)
      return attempts.failures + attempts.underWay >= MAX_FAILURES ? 1 : 0
    })
    const wait = Math.max(...waits)
    if (wait > 0) return wait
    for (const [index, attempts] of found.entries()) {
      attempts.underWay++
      this.#keep(shortHash(keys[index]!), attempts)
    }
    return 0
  }

  end (keys: readonly string[], outcome: Outcome): void {
    const now = this.#now()
    for (const key of keys.map(shortHash)) {
      const attempts = this.#attempts.get(key)
      if (attempts === undefined) continue
      attempts.underWay--
      if (outcome === 'succeeded') attempts.failures = 0
      if (outcome === 'failed' && ++attempts.failures === 1) attempts.until = now + WINDOW_MS
      if (attempts.failures === 0 && attempts.underWay <= 0) this.#attempts.delete(key)
    }
  }

  // Whoever was not heard of for the longest time goes first.
  #keep (key: string, attempts: Attempts): void {
    this.#attempts.delete(key)
    this.#attempts.set(key, attempts)
    if (this.#attempts.size > MAX_KEPT) this.#attempts.delete(this.#attempts.keys().next().value!)
  }
}
