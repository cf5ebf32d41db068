import { isIPv6 } from 'node:net'
import { BoundedMap } from '../util/bounded-map.ts'
import { shortHash } from '../util/random.ts'

interface Attempts {
  failures: number
  /** Attempts without an outcome yet. */
  underWay: number
  /** Monotonic milliseconds at which the failures are forgotten. */
  until: number
}

/** What attempts are counted by; a string is a key with the defaults. */
export interface ThrottleKey {
  key: string
  /** Failures within the window after which attempts are refused. Default 10. */
  limit?: number
  /** A success does not reset the failures: an attacker may have a login of their own. Default false. */
  lasting?: boolean
}

/** How an attempt ended; `unknown`: the provider did not say whether name and password are right. */
export type Outcome = 'failed' | 'succeeded' | 'unknown'

const MAX_FAILURES = 10
/** Failures of one address, for all names and browsers: many users may share it, and some mistype. */
const MAX_ADDRESS_FAILURES = 100
const WINDOW_MS = 15 * 60_000
const MAX_KEYS = 20_000

/**
 * Limits password guessing: by user name, for guesses from many browsers; by browser and address, for guesses at many
 * names. The counts are in the memory of one process: they slow guessing down and do not exclude it.
 */
export class LoginThrottle {
  readonly #now: () => number
  readonly #attempts = new BoundedMap<string, Attempts>(MAX_KEYS)

  /** @param now monotonic milliseconds */
  constructor (now: () => number) {
    this.#now = now
  }

  /**
   * Begins an attempt. Attempts without an outcome count as failures, so that parallel guesses are limited too.
   * @returns 0 if the attempt may be made, and then `end` has to be called; else the seconds to wait
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

  /** Ends an attempt. @param keys those it began with */
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
 * The keys that one attempt is counted by.
 * @param session the id of the browser's session, if it came with one
 */
export function throttleKeys (
  { provider, username, session, ip }: Record<'provider' | 'username', string> &
    Record<'session' | 'ip', string | undefined>
): ThrottleKey[] {
  const address = addressBlock(ip)
  return [
    { key: `user:${provider}:${foldName(username)}` },
    // A browser without a session is counted by its address, with the limit of a session.
    { key: `browser:${session ?? address}` },
    { key: `address:${address}`, limit: MAX_ADDRESS_FAILURES, lasting: true }
  ]
}

/**
 * Folds a user name so that spellings which a server may treat as one user share a count: no spaces or invisible
 * characters, no accents, one case and one width (beyond NFKC and RFC 8265, section 3.3). Two users whose names fold to
 * one share only that count.
 */
export function foldName (username: string): string {
  const folded = username.normalize('NFKD').toUpperCase().toLowerCase().normalize('NFKD')
  return folded.replaceAll(/[\p{M}\p{C}\p{White_Space}\p{Default_Ignorable_Code_Point}]/gu, '')
}

/**
 * The part of an IP address that attempts are counted by: of IPv6 the first 64 bits, as one host may use the rest.
 * @param ip absent on a Unix socket, or if the connection is gone: such requests are counted as one address
 */
export function addressBlock (ip = ''): string {
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
