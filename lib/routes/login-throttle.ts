import { shortHash } from '../protocol/random.ts'

interface Attempts {
  failures: number
  /** Monotonic milliseconds at which they are forgotten. */
  until: number
}

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

  /** Seconds to wait before another try for any of these keys; 0 where there may be one now. */
  wait (keys: readonly string[]): number {
    const waits = keys.map((key) => {
      const found = this.#attempts.get(shortHash(key))
      return found === undefined || found.failures < MAX_FAILURES ? 0 : found.until - this.#now()
    })
    return Math.max(0, Math.ceil(Math.max(...waits) / 1000))
  }

  failed (keys: readonly string[]): void {
    for (const key of keys.map(shortHash)) {
      const found = this.#attempts.get(key)
      const fresh = found === undefined || found.until < this.#now()
      this.#attempts.delete(key)
      this.#attempts.set(key, { failures: fresh ? 1 : found.failures + 1, until: fresh ? this.#now() + WINDOW_MS : found.until })
    }
    while (this.#attempts.size > MAX_KEPT) this.#attempts.delete(this.#attempts.keys().next().value!)
  }

  succeeded (keys: readonly string[]): void {
    for (const key of keys) this.#attempts.delete(shortHash(key))
  }
}
