import type { MemberStore, StoredMember } from '../tokens/stores/token-store.ts'
import { isTextList } from '../util/is-text.ts'
import { shortHash } from '../util/random.ts'
import type { Account } from './accounts.ts'

/** One login of a user: where its tokens are, and in which session. */
export interface UserLogin {
  /** Id of the token record. */
  recordId: string
  sessionId: string
  /** Id of the login that the record belongs to. */
  login: string
  names: Names
}

/** The names that a login is found by. */
interface Names {
  /** The user's id in the profile. */
  user?: string
  /** Of the ID token. */
  iss?: string
  sub?: string
  sid?: string
}

/** Which logins at a provider are meant. */
export type LoginQuery =
  /** Those of the user with this id of the profile. */
  | { userId: string }
  /** Those with an ID token of this issuer and `sub`, whatever user id `userProfile` made of that. */
  | { issuer: string, subject: string }
  /** Those of one session at the provider (`sid`, OpenID Connect Back-Channel Logout 1.0, section 2.1). */
  | { issuer: string, sid: string, subject?: string }

/** What is needed of an account to find it again among all logins of its user. */
type UserAccount =
  Pick<Account, 'recordId' | 'providerIdentity'> & { user: { id: string } | null, claims: Record<string, unknown> }

/** What is kept of a login, under its record's id. */
interface Entry extends Names {
  session: string
  /** Absent if the login began with this record. */
  login?: string
}

/**
 * Finds the logins of a user, on every process, so that all of them can be ended at once; and those that a provider
 * means by a `sid`. They are kept in sets by the provider's identity, not by its name: one for each user id or `sub`,
 * and one for each `sid`. In memory and on Redis, the time to add, remove or find a login does not depend on their
 * number.
 */
export class UserLogins {
  readonly #sets: () => MemberStore
  readonly #isAlive: (recordId: string) => Promise<boolean>
  readonly #member: string

  /**
   * @param sets asked for each operation, since the session store is known with the first request
   * @param isAlive whether there is a token record
   * @param member the session's member in which the logins are: another registration's are ended by that one
   */
  constructor (sets: () => MemberStore, isAlive: (recordId: string) => Promise<boolean>, member = 'oauth') {
    this.#sets = sets
    this.#isAlive = isAlive
    this.#member = member
  }

  /**
   * Adds the login of an account. An account that names no user is in no set.
   * @param ttl seconds that the login has to live
   * @param login id of the login that the account belongs to; its record's own if absent
   * @throws FST_OAUTH_STORE_UNAVAILABLE
   */
  add (account: UserAccount, { sessionId }: { sessionId: string }, ttl: number, login?: string): Promise<unknown> {
    return this.#write(account, sessionId, login, { ttl })
  }

  /**
   * Notes the session that a login is in now, and extends its entry. An entry that the store has lost is added again,
   * but not that of a login that has ended.
   * @param ttl seconds that the login has to live
   * @throws FST_OAUTH_STORE_UNAVAILABLE
   */
  async update (
    account: UserAccount, { sessionId }: { sessionId: string }, ttl: number, login?: string
  ): Promise<void> {
    const { recordId } = account
    const isThere = await this.#write(account, sessionId, login, { ttl, onlyIfPresent: true })
    if (isThere || !await this.#isAlive(recordId)) return
    await this.#write(account, sessionId, login, { ttl })
    // A logout in between has deleted the tokens, but could not remove this entry yet.
    if (!await this.#isAlive(recordId)) await this.remove(account)
  }

  /** Removes the login of an account. @throws FST_OAUTH_STORE_UNAVAILABLE */
  async remove (account: UserAccount): Promise<void> {
    await this.removeAll(account.providerIdentity, [{ recordId: account.recordId, names: namesOf(account) }])
  }

  /** Removes logins that were found. @throws FST_OAUTH_STORE_UNAVAILABLE */
  async removeAll (
    providerIdentity: string, logins: readonly Pick<UserLogin, 'recordId' | 'names'>[]
  ): Promise<void> {
    const members = new Map<string, string[]>()
    for (const { recordId, names } of logins) {
      for (const id of this.#setsOf(providerIdentity, names)) {
        const others = members.get(id)
        if (others === undefined) members.set(id, [recordId])
        else others.push(recordId)
      }
    }
    const sets = this.#sets()
    await Promise.all([...members].map(([id, recordIds]) => sets.removeMembers(id, recordIds)))
  }

  /**
   * The logins at a provider whose entries have not expired.
   * @param providerIdentity `identity` of the provider
   * @throws FST_OAUTH_STORE_UNAVAILABLE
   */
  async find (providerIdentity: string, query: LoginQuery): Promise<UserLogin[]> {
    const names = 'sid' in query ? [query.issuer, query.sid] : ['userId' in query ? query.userId : query.subject]
    const found = await this.#sets().members(this.#setOf(providerIdentity, ...names))
    return found.flatMap(([recordId, value]) => {
      if (!isEntry(value) || !isMeant(value, query)) return []
      const { session: sessionId, login = recordId, ...names } = value
      return [{ recordId, sessionId, login, names }]
    })
  }

  async #write (
    account: UserAccount, sessionId: string, login: string | undefined,
    options: { ttl: number, onlyIfPresent?: boolean }
  ): Promise<boolean> {
    const { recordId, providerIdentity } = account
    const names = namesOf(account)
    const sets = this.#sets()
    const { user, iss, sub, sid } = names
    const isUsual = user !== undefined && iss !== undefined && sub !== undefined
    // Written out for most logins: in memory a third smaller than an object that grows.
    const entry: StoredMember & Entry = isUsual
      ? { session: sessionId, user, iss, sub }
      : { session: sessionId, ...names }
    if (sid !== undefined) entry.sid = sid
    if (login !== undefined && login !== recordId) entry.login = login
    const written = await Promise.all(
      this.#setsOf(providerIdentity, names).map(id => sets.addMember(id, recordId, entry, options))
    )
    return written.every(isWritten => isWritten)
  }

  /** The sets that a login is in. For most logins user id and `sub` are the same, and so are their sets. */
  #setsOf (providerIdentity: string, { user, iss, sub, sid }: Names): string[] {
    const ids: string[] = []
    if (user !== undefined) ids.push(this.#setOf(providerIdentity, user))
    if (sub !== undefined && sub !== user) ids.push(this.#setOf(providerIdentity, sub))
    if (iss !== undefined && sid !== undefined) ids.push(this.#setOf(providerIdentity, iss, sid))
    return ids
  }

  /** Id of the set of a user, or of a session at an issuer. */
  #setOf (providerIdentity: string, ...names: string[]): string {
    return `logins:${shortHash(JSON.stringify([this.#member, providerIdentity, ...names]))}`
  }
}

function namesOf ({ user, claims: { iss, sub, sid } }: UserAccount): Names {
  const names: Names = {}
  if (user !== null) names.user = user.id
  if (typeof iss !== 'string' || typeof sub !== 'string') return names
  names.iss = iss
  names.sub = sub
  if (typeof sid === 'string') names.sid = sid
  return names
}

function isMeant ({ user, iss, sub, sid }: Names, query: LoginQuery): boolean {
  if ('userId' in query) return user === query.userId
  if (iss !== query.issuer || (query.subject !== undefined && sub !== query.subject)) return false
  return !('sid' in query) || sid === query.sid
}

function isEntry (value: StoredMember): value is StoredMember & Entry {
  const { session, login = '', user = '', iss = '', sub = '', sid = '' } = value
  return isTextList([session, login, user, iss, sub, sid])
}
