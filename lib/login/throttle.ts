import { isIPv6 } from 'node:net'
import { BoundedMap } from '../util/bounded-map.ts'
import { shortHash } from '../util/random.ts'

interface Attempts {
  failures: number
  /** Tries that have no outcome yet. */
  underWay: number
  /** Monotonic milliseconds at which the failures are forgotten. */
  until: number
}

/** What tries are counted by. A text alone has the defaults. */
export interface ThrottleKey {
  key: string
  /** Failures within the window after which no further try is made. Default 10. */
  limit?: number
  /** Failures stay although a try succeeds: one's own good login must not buy guesses at others. Default false. */
  lasting?: boolean
}

export type Outcome = 'failed' | 'succeeded' | 'unknown'

const MAX_FAILURES = 10
/**
 * Failures of one address, whatever the names and sessions are: many people may be behind it, and some of them mistype.
 */
const MAX_ADDRESS_FAILURES = 100
const WINDOW_MS = 15 * 60_000
const MAX_KEYS = 20_000

/**
 * Slows down guessing of passwords: by user name, so that many browsers do not help; by browser and by address, so that
 * many names do not. In memory, one process's own: it is a brake, not a wall.
 */
export class LoginThrottle {
  readonly #now: () => number
  readonly #attempts = new BoundedMap<string, Attempts>(MAX_KEYS)

  /** @param now milliseconds of a clock that only goes forward */
  constructor (now: () => number) {
    this.#now = now
  }

  /**
   * Asks for a try. Tries under way count like failures: guesses that are sent side by side must not all be the first.
   * @returns seconds to wait for any of these keys; 0 where the try may be made, and then `end` has to tell its outcome
   */
  begin (keys: readonly (string | ThrottleKey)[]): number {
    const now = this.#now()
    const found = keys.map(plain).map(({ key, limit }) => {
      const hash = shortHash(key)
      return { hash, limit, attempts: this.#attempts.get(hash) ?? { failures: 0, underWay: 0, until: 0 } }
    })
    const waits = found.map(({ attempts, limit }) => {
      if (attempts.until <= now) attempts.failures = 0
      if (attempts.failures >= limit) return Math.ceil((attempts.until - now) / 1000)
      return attempts.failures + attempts.underWay >= limit ? 1 : 0
    })
    const wait = Math.max(...waits)
    if (wait > 0) return wait
    for (const { hash, attempts } of found) {
      attempts.underWay++
      this.#attempts.set(hash, attempts)
    }
    return 0
  }

  end (keys: readonly (string | ThrottleKey)[], outcome: Outcome): void {
    const now = this.#now()
    for (const { key, lasting } of keys.map(plain)) {
      const hash = shortHash(key)
      const attempts = this.#attempts.get(hash)
      if (attempts === undefined) continue
      attempts.underWay--
      if (outcome === 'succeeded' && !lasting) attempts.failures = 0
      if (outcome === 'failed' && ++attempts.failures === 1) attempts.until = now + WINDOW_MS
      if (attempts.failures === 0 && attempts.underWay <= 0) this.#attempts.delete(hash)
    }
  }
}

function plain (key: string | ThrottleKey): Required<ThrottleKey> {
  return { limit: MAX_FAILURES, lasting: false, ...(typeof key === 'string' ? { key } : key) }
}

/**
 * What one try of a password is counted by.
 * @param session the id of the browser's session, where it came with one
 */
export function throttleKeys ({
  provider,
  username,
  session,
  ip
}: {
  provider: string
  username: string
  session: string | undefined
  ip: string
}): ThrottleKey[] {
  const address = addressBlock(ip)
  return [
    { key: `user:${provider}:${foldName(username)}` },
    // A browser without a session is counted by its address, as a session would be.
    { key: `browser:${session ?? address}` },
    { key: `address:${address}`, limit: MAX_ADDRESS_FAILURES, lasting: true }
  ]
}

/**
 * A user name in the one spelling that stands for all of those a server may take for the same: without spaces and
 * invisible characters, without accents, in one case and one width (NFKC, as RFC 8265, section 3.3, has it, and
 * further). Two names that are taken for one by mistake share a count and nothing else.
 */
export function foldName (username: string): string {
  const folded = username.normalize('NFKD').toUpperCase().toLowerCase().normalize('NFKD')
  return folded.replaceAll(/[\p{M}\p{C}\p{White_Space}\p{Default_Ignorable_Code_Point}]/gu, '')
}

/**
 * The part of an address that one household or machine has: of IPv6 the first 64 bits, of which every host has all
 * below.
 */
export function addressBlock (ip: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(ip)
  if (mapped !== null) return mapped[1]!
  const plain = ip.split('%', 1)[0]!
  if (!isIPv6(plain)) return ip
  // The URL parser writes an address in its one canonical form (RFC 5952).
  const [head = '', tail] = new URL(`http://[${plain}]`).hostname.slice(1, -1).split('::')
  const before = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  const groups =
    tail === undefined ? before : [...before, ...Array<string>(8 - before.length - after.length).fill('0'), ...after]
  const isMapped = groups.slice(0, 5).every(group => group === '0') && groups[5] === 'ffff'
  return isMapped ? groups.slice(6).join(':') : `${groups.slice(0, 4).join(':')}::/64`
}
