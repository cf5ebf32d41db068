import type { TokenStore } from '../tokens/stores/token-store.ts'
import { shortHash } from '../util/random.ts'
import type { Account } from './accounts.ts'
import type { SessionObject } from './fastify-session.ts'
import { type IndexedLogin, LoginIndex } from './login-index.ts'

/** What is needed of an account to find it again among all logins of its user. */
type UserAccount = Pick<Account, 'recordId' | 'providerIdentity' | 'user' | 'claims'>

/**
 * Finds all logins of one user, on every process, so that all of them can be ended at once. A user is a provider's own:
 * lists are kept by the provider's identity, not by its name.
 */
export class UserLogins {
  readonly #index: LoginIndex
  readonly #now: () => number
  readonly #member: string

  /**
   * @param now epoch seconds
   * @param member the session's member in which the logins are: another registration's are ended by that one
   */
  constructor (store: TokenStore, now: () => number, member = 'oauth') {
    this.#index = new LoginIndex(store, now)
    this.#now = now
    this.#member = member
  }

  /**
   * Adds the login of an account, or moves it to another session. An account without a user is in no list.
   * @param ttl seconds that the login has to live
   * @param login id of the login that the account belongs to; its record's own where absent
   * @throws FST_OAUTH_STORE_UNAVAILABLE
   */
  async add (
    account: UserAccount,
    session: Pick<SessionObject, 'sessionId'>,
    ttl: number,
    login?: string
  ): Promise<void> {
    const { recordId, providerIdentity, user, claims } = account
    if (user === null) return
    const { sid, iss } = claims
    await this.#index.put(this.#keyOf(providerIdentity, user.id), {
      recordId,
      sessionId: session.sessionId,
      ...(login !== undefined && login !== recordId && { login }),
      ...(typeof sid === 'string' && { sid }),
      ...(typeof iss === 'string' && { iss }),
      until: Math.ceil(this.#now()) + ttl
    })
  }

  /** Forgets the login of an account. @throws FST_OAUTH_STORE_UNAVAILABLE */
  async remove ({ recordId, providerIdentity, user }: Omit<UserAccount, 'claims'>): Promise<void> {
    if (user !== null) await this.forget(providerIdentity, user.id, [recordId])
  }

  /** Forgets logins of one user by their records. @throws FST_OAUTH_STORE_UNAVAILABLE */
  async forget (providerIdentity: string, subject: string, records: readonly string[]): Promise<void> {
    await this.#index.remove(this.#keyOf(providerIdentity, subject), records)
  }

  /** The logins of a user. @throws FST_OAUTH_STORE_UNAVAILABLE */
  async of (providerIdentity: string, subject: string): Promise<IndexedLogin[]> {
    return await this.#index.find(this.#keyOf(providerIdentity, subject))
  }

  #keyOf (providerIdentity: string, subject: string): string {
    return `user:${shortHash(JSON.stringify([this.#member, providerIdentity, subject]))}`
  }
}
