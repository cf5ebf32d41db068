import { isDeepStrictEqual } from 'node:util'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { type Identity, standardUser } from '../login/identity.ts'
import type { User } from '../providers/options.ts'
import type { TokenRecord } from '../tokens/record.ts'
import type { Clock } from '../util/clock.ts'
import type { SessionObject, StoredSession } from './fastify-session.ts'

/** One connected account as the session holds it: who the user is, and where the tokens are. Never a token. */
export interface Account {
  /** Id of the token record. */
  recordId: string
  /** `identity` of the provider that was logged in with: its name may stand for another provider by now. */
  providerIdentity: string
  /** Absent where the identity is proven; see `isIdentityProven`. */
  identityProven?: false
  /** Epoch seconds of the login, with fractions, where the provider has an `absoluteTimeout`; else in `details`. */
  loginAt?: number
  /** Epoch seconds at which the provider ends the login, where it said so at the login. */
  endsAt?: number
  /**
   * `AccountDetails` as JSON. @fastify/session stringifies and hashes what is in a session twice for each request, and
   * a text costs it least.
   */
  details: string
}

/** What an account holds beyond the path of a call. */
export interface AccountDetails {
  /** Absent where the standard claims say the same; `raw` is absent where it is the claims. */
  user?: (Omit<User, 'raw'> & { raw?: Record<string, unknown> }) | null
  claims: Record<string, unknown>
  scope: string[]
  /** Epoch seconds of the login. */
  loginAt: number
  /** The callbacks that brought this account, newest first: hash of the state, and the path that the login led to. */
  callbacks?: { state: string, returnTo?: string }[] | undefined
}

/** The login that a registration of the plugin keeps in the session, under `oauth` or its `decorator`. */
export interface SessionLogin {
  accounts: Record<string, Account>
  /** Name of the provider that was logged in with. */
  active: string
  /** Id of the login, where its accounts have changed since it began. */
  login?: string
  /** Number of the change that made these accounts. */
  revision?: number
  /** Epoch seconds until which the first request that comes with the session has to note that in the login's record. */
  unusedUntil?: number
}

/**
 * A login in a session that is kept in memory. @fastify/session stringifies a session twice for each request, to tell
 * whether it has changed: a number says that of a login, which is replaced and never changed itself.
 */
class KeptLogin implements SessionLogin {
  static #made = 0
  readonly #number = ++KeptLogin.#made
  declare accounts: Record<string, Account>
  declare active: string

  constructor (login: SessionLogin) {
    Object.assign(this, login)
  }

  toJSON (): number { return this.#number }
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

  /** The login of a session; undefined where there is none, or no session. */
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
   * Removes the account with this token record from a session. With the account that was logged in with, the others are
   * removed too, and none of them takes its place.
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

  // The same object each time: the end of a request compares it with the one that was loaded.
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

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

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

// What the ID token says of itself alone (OpenID Connect Core, sections 2 and 3.1.3.6), which has been checked.
const ID_TOKEN_CLAIMS = ['aud', 'exp', 'iat', 'nbf', 'jti', 'nonce', 'azp', 'at_hash', 'c_hash', 's_hash']

type WhoLoggedIn = Pick<Identity, 'user' | 'claims'>

/** What is kept of who logged in: nothing that is about the ID token. */
export function withoutTokenClaims ({ user, claims }: WhoLoggedIn): WhoLoggedIn {
  const isKept = ([name, value]: [string, unknown]) => !ID_TOKEN_CLAIMS.includes(name) || claims[name] !== value
  const kept = Object.fromEntries(Object.entries(claims).filter(isKept))
  if (user === null) return { user, claims: kept }
  // A profile may be the claims of both, the ID token and userinfo.
  const raw = user.raw === claims ? kept : Object.fromEntries(Object.entries(user.raw).filter(isKept))
  return { user: { ...user, raw }, claims: kept }
}

/** What an account holds of a login, written for `detailsOf`, and nothing of it twice. */
export function writeDetails (
  { user, claims }: WhoLoggedIn, details: Pick<AccountDetails, 'scope' | 'loginAt' | 'callbacks'>
): string {
  let stored: AccountDetails['user'] = user
  if (user !== null && user.raw === claims) {
    const { raw: _claims, ...profile } = user
    stored = isDeepStrictEqual(profile, standardUser(claims)) ? undefined : profile
  }
  const written: AccountDetails = { ...(stored !== undefined && { user: stored }), claims, ...details }
  const text = JSON.stringify(written)
  // The engine builds a text of many parts and joins them when one character is asked for: half the memory.
  text.charCodeAt(0)
  return text
}

/** What an account holds of its login; of one that cannot be read, that no user is known. */
export function detailsOf ({ details }: Pick<Account, 'details'>): AccountDetails & { user: User | null } {
  const unknown = { user: null, claims: {}, scope: [], loginAt: 0 }
  let stored: Partial<AccountDetails> | null
  try {
    stored = JSON.parse(details) as Partial<AccountDetails> | null
  } catch {
    return unknown
  }
  if (!isObject(stored?.claims) || !Array.isArray(stored.scope)) return unknown
  if (stored.callbacks !== undefined && !Array.isArray(stored.callbacks)) return unknown
  const { claims } = stored
  const user: AccountDetails['user'] = stored.user === undefined ? standardUser(claims) : stored.user
  const isUser = isObject(user) && typeof user.id === 'string'
  return { ...unknown, ...stored, user: isUser ? { ...user, raw: user.raw ?? claims } : null }
}

/** The same, with the user and the claims that a refresh has brought since, as far as this process knows. */
export function knownDetails (
  records: { known (id: string): TokenRecord | undefined }, account: Account
): ReturnType<typeof detailsOf> {
  const details = detailsOf(account)
  const record = records.known(account.recordId)
  return record?.claims === undefined ? details : { ...details, user: record.user, claims: record.claims }
}

/** An account and what it holds of its login, as one object. */
export function withDetails (account: Account): Account & ReturnType<typeof detailsOf> {
  return { ...account, ...detailsOf(account) }
}

/**
 * Whether an account is of the user who logged in: the same id, and the same issuer where several may issue ID tokens,
 * since `userProfile` may then give two users one id.
 */
export function isAccountOf (
  account: Account | undefined,
  login: Pick<Identity, 'user' | 'claims'>,
  provider: { idTokenIssuer?: unknown }
): boolean {
  if (login.user === null || account === undefined) return false
  const { user, claims } = detailsOf(account)
  if (user?.id !== login.user.id) return false
  return typeof provider.idTokenIssuer !== 'function' || claims.iss === login.claims.iss
}

const kTokensSince = Symbol('fastify-oauth-session.tokensSince')
type Decorated = FastifyRequest & { [kTokensSince]: number }

/** Makes room in each request for what `tokensSince` notes. */
export function decorateForTokens (app: FastifyInstance): void {
  app.decorateRequest(kTokensSince, 0)
}

/** When a request first asked for tokens, in monotonic milliseconds: what was read since is not read again for it. */
export function tokensSince (request: FastifyRequest, { monotonic }: Clock): number {
  const decorated = request as Decorated
  if (decorated[kTokensSince] === 0) decorated[kTokensSince] = monotonic()
  return decorated[kTokensSince]
}
