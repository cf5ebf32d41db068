import { isObject } from '../util/is-object.ts'
import type { SessionObject, StoredSession } from './fastify-session.ts'

/** One connected account as the session holds it: who the user is, and where the tokens are. Never a token. */
export interface Account {
  /** Id of the token record. */
  recordId: string
  /** `identity` of the provider at the login: its name may stand for another provider by now. */
  providerIdentity: string
  /** Absent if the identity is proven; see `isIdentityProven`. */
  identityProven?: false
  /** Epoch seconds of the login, with fractions, if the provider has an `absoluteTimeout`; else in `details`. */
  loginAt?: number
  /** Epoch seconds at which the provider ends the login, where it said so at the login. */
  endsAt?: number
  /**
   * `AccountDetails` of `account-details.ts` as JSON. @fastify/session stringifies and hashes what is in a session
   * twice for each request, and a text costs it least.
   */
  details: string
}

/** The login that a registration of the plugin keeps in the session, under `oauth` or its `decorator`. */
export interface SessionLogin {
  accounts: Record<string, Account>
  /** Name of the provider that the user logged in with. Its account is the active one; others were added to it. */
  active: string
  /** Id of the login, where its accounts have changed since it began. */
  login?: string
  /** Number of the change that made these accounts. */
  revision?: number
  /** Epoch seconds until which the first request with this session has to note its arrival in the login's record. */
  unusedUntil?: number
}

/**
 * A login in a session that is kept in memory. @fastify/session stringifies a session twice for each request to see
 * whether it has changed. A login object is never changed, only replaced, so a number is enough to tell.
 */
class KeptLogin implements SessionLogin {
  static #made = 0
  readonly #number = ++KeptLogin.#made
  declare accounts: Record<string, Account>
  declare active: string

  constructor (login: SessionLogin) {
    Object.assign(this, login)
    this.accounts = new KeptAccounts(login.accounts) as Record<string, Account>
  }

  toJSON (): number { return this.#number }
}

/** The accounts of one: an object literal with names that are computed has room for four members. */
class KeptAccounts {
  constructor (accounts: Record<string, Account>) {
    Object.assign(this, accounts)
  }
}

/** Id of a login: of the token record that it began with. */
export function loginIdOf ({ login, accounts, active }: SessionLogin): string {
  return login ?? accounts[active]!.recordId
}

type SessionMembers = Record<string, SessionLogin | undefined>

/**
 * Reads and writes the login that one registration of the plugin keeps in a session. It leaves out accounts of a
 * provider that is not configured any more or is another one by now, and anything that is not a login.
 */
export class SessionLogins {
  /** Name of the session's member that the login is kept in. */
  readonly member: string
  readonly #identityOf: (provider: string) => string | undefined
  readonly #areObjectsKept: () => boolean
  readonly #filtered = new WeakMap<SessionLogin, SessionLogin | undefined>()

  /**
   * @param identityOf the `identity` of the provider that is configured under a name
   * @param areObjectsKept whether the session store keeps what is in a session as it is, and never as JSON
   */
  constructor (
    member: string, identityOf: (provider: string) => string | undefined, areObjectsKept = () => false
  ) {
    this.member = member
    this.#identityOf = identityOf
    this.#areObjectsKept = areObjectsKept
  }

  /** The login of a session; undefined if there is none, or no session. */
  of (session: StoredSession | null | undefined): SessionLogin | undefined {
    const login = (session as SessionMembers | null | undefined)?.[this.member]
    if (!isObject(login) || !isObject(login.accounts) || typeof login.active !== 'string') return undefined
    for (const name in login.accounts) if (!this.#counts(name, login.accounts[name])) return this.#filter(login)
    return Object.hasOwn(login.accounts, login.active) ? login : undefined
  }

  /** Writes the login of a session; undefined removes it. */
  put (session: SessionObject, login: SessionLogin | undefined): void {
    const members = session as unknown as SessionMembers
    if (login === undefined) delete members[this.member]
    else members[this.member] = this.#areObjectsKept() ? new KeptLogin(login) : login
  }

  /**
   * Removes the account with this token record from a session. If it is the active one, the others are removed too, and
   * none of them takes its place.
   */
  remove (session: SessionObject | null | undefined, recordId: string): void {
    const login = this.of(session)
    const entries = Object.entries(login?.accounts ?? {})
    if (login === undefined || !entries.some(([, account]) => account.recordId === recordId)) return
    // A login without its active account is none (see `of`), but the rest of it would stay in the session.
    if (login.accounts[login.active]!.recordId === recordId) return this.put(session!, undefined)
    const accounts = Object.fromEntries(entries.filter(([, account]) => account.recordId !== recordId))
    this.put(session!, { ...login, accounts })
  }

  #counts (name: string, account: unknown): boolean {
    return isAccount(account) && account.providerIdentity === this.#identityOf(name)
  }

  // The same object each time, because the end of a request compares it with the one that was loaded.
  #filter (login: SessionLogin): SessionLogin | undefined {
    if (this.#filtered.has(login)) return this.#filtered.get(login)
    const accounts = Object.fromEntries(
      Object.entries(login.accounts).filter(([name, account]) => this.#counts(name, account))
    )
    const filtered = Object.hasOwn(accounts, login.active) ? { ...login, accounts } : undefined
    this.#filtered.set(login, filtered)
    return filtered
  }
}

/** Whether the login identified the user; an implicit login without an ID token did not. */
export function isIdentityProven ({ identityProven }: Account): boolean {
  return identityProven !== false
}

/** Whether a value of a session or a store is an account. */
export function isAccount (value: unknown): value is Account {
  if (!isObject(value)) return false
  const { recordId, providerIdentity, details } = value
  return typeof recordId === 'string' && typeof providerIdentity === 'string' && typeof details === 'string'
}
