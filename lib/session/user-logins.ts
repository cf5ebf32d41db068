import { StoreUnavailableError } from '../errors.ts'
import { shortHash } from '../protocol/random.ts'
import type { StoredRecord, TokenStore } from './token-store.ts'

/** One login of a user: where its tokens are, and in which session. */
export interface UserLogin {
  record: string
  sessionId: string
  /** The provider's own id of its session (`sid`, OpenID Connect Front-Channel Logout, section 3). */
  sid?: string
  /** Epoch seconds until which it lives at most, as of its last write. */
  until: number
}

interface UserRecord extends StoredRecord {
  logins: UserLogin[]
}

/** Logins of one user that are remembered; the oldest goes. */
const MAX_LOGINS = 500
/** A user who logs in on many devices at one moment makes as many writers. */
const TRIES = 50
/** Tries after which it is no other writer that is in the way. */
const UNREADABLE_AFTER = 5

/** Finds the logins of one user, so that all of them can be ended at once, on every process. */
export class UserLogins {
  readonly #store: TokenStore
  readonly #now: () => number

  /** @param now epoch seconds */
  constructor (store: TokenStore, now: () => number) {
    this.#store = store
    this.#now = now
  }

  /**
   * Adds a login, or moves it to another session.
   * @param ttl seconds that the login has to live
   * @throws FST_OAUTH_STORE_UNAVAILABLE
   */
  async add (provider: string, subject: string, login: Omit<UserLogin, 'until'>, ttl: number): Promise<void> {
    const until = Math.ceil(this.#now()) + ttl
    await this.#change(provider, subject, logins => [...logins.filter(({ record }) => record !== login.record), { ...login, until }].slice(-MAX_LOGINS))
  }

  /** Forgets a login. @throws FST_OAUTH_STORE_UNAVAILABLE */
  async remove (provider: string, subject: string, record: string): Promise<void> {
    await this.#change(provider, subject, logins => logins.filter(login => login.record !== record))
  }

  /** The logins of a user. */
  async of (provider: string, subject: string): Promise<UserLogin[]> {
    const found = await this.#store.get(recordId(provider, subject)) as UserRecord | undefined
    return found?.logins ?? []
  }

  async #change (provider: string, subject: string, change: (logins: UserLogin[]) => UserLogin[]): Promise<void> {
    const id = recordId(provider, subject)
    for (let tries = 0; tries < TRIES; tries++) {
      const found = await this.#store.get(id) as UserRecord | undefined
      const logins = change((found?.logins ?? []).filter(({ until }) => until > this.#now()))
      if (logins.length > 0 && await this.#put(id, logins, found?.version ?? 0)) return
      if (logins.length === 0 && found === undefined) return
      // What is not there, and yet in the way of a first list, is one that nobody can read any more (its encryption key is gone).
      const unreadable = found === undefined && tries >= UNREADABLE_AFTER
      if (logins.length === 0 || unreadable) {
        // Taken, not deleted: a deletion would be for good, and the user may log in again.
        const taken = await this.#store.take(id) as UserRecord | undefined
        if (logins.length === 0 && (taken === undefined || taken.version === found?.version)) return
        // Somebody logged in between the two steps: that login is put back.
        if (taken !== undefined && await this.#put(id, change(taken.logins), 0)) return
      }
      await new Promise(resolve => setTimeout(resolve, Math.random() * 5 * tries))
    }
    throw new StoreUnavailableError('the list of a user\'s logins could not be written; try again in a moment', { provider, reason: 'logins', retryAfter: 1 })
  }

  async #put (id: string, logins: UserLogin[], version: number): Promise<boolean> {
    const ttl = Math.max(60, ...logins.map(({ until }) => Math.ceil(until - this.#now())))
    return await this.#store.set(id, { version: version + 1, logins }, { ttl, expectedVersion: version })
  }
}

const recordId = (provider: string, subject: string) => `user:${provider}:${shortHash(subject)}`
