import type { TokenStore } from '../tokens/stores/token-store.ts'
import { BoundedMap } from '../util/bounded-map.ts'
import { shortHash } from '../util/random.ts'

const MAX_LOCAL = 10_000

/** How a session ended. */
export interface SessionEnd {
  /** The login went on under another session id: its token records are still in use. */
  replaced?: boolean
  /** Epoch seconds at which an answer gave the browser another session cookie, or took this one from it. */
  movedOn?: number
  /** Members of the session that went on under another id: other registrations' logins, whose records are in use. */
  carried?: string[]
}

/**
 * Remembers session ids that login and logout have ended. @fastify/session saves a session at the end of every
 * request that changed it, so a slower request would bring an ended one back to life.
 */
export class EndedSessions {
  readonly #store: TokenStore
  /** Whether other processes can end sessions too, so that the store has to be asked. */
  readonly #shared: () => boolean
  readonly #local = new BoundedMap<string, SessionEnd>(MAX_LOCAL)

  constructor (store: TokenStore, shared: () => boolean) {
    this.#store = store
    this.#shared = shared
  }

  /**
   * Declares a session dead. To be called before it is destroyed.
   * @param ttl seconds for which a late save is expected
   */
  async mark (sessionId: string, ttl: number, end: SessionEnd = {}): Promise<void> {
    // The store first: where that fails the session is alive, and this process must not be the only one to think
    // otherwise.
    if (this.#shared()) await this.#store.set(recordId(sessionId), { version: 0, ...end }, { ttl })
    this.#local.set(sessionId, end)
  }

  /** Whether this process knows a session to be dead. */
  knows (sessionId: string): boolean {
    return this.#local.has(sessionId)
  }

  /** How a session ended, undefined where it has not; asks the store where another process may have ended it. */
  async find (sessionId: string): Promise<SessionEnd | undefined> {
    const local = this.#local.get(sessionId)
    if (local !== undefined || !this.#shared()) return local
    const stored = await this.#store.get(recordId(sessionId)) as (SessionEnd & object) | undefined
    if (stored === undefined) return undefined
    const { replaced, movedOn, carried } = stored
    return {
      ...(replaced === true && { replaced }),
      ...(typeof movedOn === 'number' && { movedOn }),
      ...(Array.isArray(carried) && { carried })
    }
  }

  /** Whether asking takes the store. */
  get asksStore (): boolean { return this.#shared() }
}

// Not the session's id itself: whoever reads the store's keys is given nothing to log in with.
const recordId = (sessionId: string) => `dead:${shortHash(sessionId)}`
