import { StoreUnavailableError } from '../errors.ts'
import type { StoredRecord, TokenStore } from '../tokens/stores/token-store.ts'
import { TouchSchedule } from '../tokens/touch-schedule.ts'
import { BoundedMap } from '../util/bounded-map.ts'
import { isTextList } from '../util/is-text.ts'
import { shortHash } from '../util/random.ts'
import { isAccount, loginIdOf, type SessionLogin } from './accounts.ts'

/** The state of a login: its session and its accounts. */
export interface LoginState {
  /** Counts the writes. */
  version: number
  /** Counts the changes of the accounts. */
  revision: number
  /** Id of the session that the login is in. */
  sessionId: string
  login: SessionLogin
  /** Hashes of the ids of the sessions that the login was in before. */
  formerSessions: string[]
  /** Names of the cookies of pending logins that the same browser had when the session got a new id. */
  siblings: string[]
  /** Epoch seconds at which the session was made, as long as no request has come with it. */
  unusedSince?: number
}

/** Seconds for which an ended login is remembered: longer than a callback under way can take. */
const ENDED_TTL = 900
/** Writers that may come between a read and its write. */
const TRIES = 50
/** Entries kept of each list. */
const MAX_ENTRIES = 20
/** Seconds for which a session that no request has come with may still be changed in place. */
const IN_PLACE_SECONDS = 30
/** Seconds for which the first request with a session notes that it has come; longer by more than clocks differ. */
const FIRST_USE_SECONDS = 120
/** Sessions that this process remembers as used. */
const MAX_USED = 10_000
/** Logins that this process remembers as ended by itself: the end of the same request asks for them again. */
const MAX_OVER = 1_000

/**
 * The state of logins whose accounts have changed since they began, one record each. The session holds the same, but a
 * slower request may write an older session back. This record is changed by compare-and-set alone: changes are made one
 * at a time, on any store, and a logout finds every account of the login. A login without changes has no record.
 */
export class LoginRecords {
  readonly #store: TokenStore
  readonly #kept: TouchSchedule
  /** Session id → revision with which a request has come. */
  readonly #used = new BoundedMap<string, number>(MAX_USED)
  readonly #over = new BoundedMap<string, true>(MAX_OVER)

  /** @param monotonic milliseconds of a clock that only goes forward */
  constructor (store: TokenStore, monotonic: () => number) {
    this.#store = store
    this.#kept = new TouchSchedule(monotonic)
  }

  /** The state of a login; undefined if its accounts have never changed. */
  async get (id: string): Promise<LoginState | 'ended' | undefined> {
    return decode(await this.#store.get(recordId(id)))
  }

  /**
   * Writes a state over the version before it.
   * @param ttl seconds that it is kept
   * @returns false if another writer was first
   */
  async put (id: string, { login: { accounts, active }, ...state }: LoginState, ttl: number): Promise<boolean> {
    const { formerSessions, siblings } = state
    const newest = (list: string[]) => list.slice(-MAX_ENTRIES)
    const record = { ...state, accounts, active, formerSessions: newest(formerSessions), siblings: newest(siblings) }
    const written = await this.#write(id, record, ttl)
    if (written) this.#kept.noteTtl(id, ttl)
    return written
  }

  /** Whether a request is the first of this process with the session of a login that may still be changed in place. */
  isFirstUse (sessionId: string, { unusedUntil, revision }: SessionLogin, now: number): boolean {
    return unusedUntil !== undefined && now < unusedUntil && this.#used.get(sessionId) !== revision
  }

  /**
   * Notes that a request has come with a session, whose login is not changed in place from then on.
   * @param login as the session was loaded
   * @returns the login if it has changed since the session was loaded
   */
  async use (sessionId: string, login: SessionLogin, ttl: number): Promise<SessionLogin | undefined> {
    const id = loginIdOf(login)
    for (let tries = 0; tries < TRIES; tries++) {
      const state = await this.get(id)
      if (state === undefined || state === 'ended' || state.sessionId !== sessionId) return undefined
      const { unusedSince, ...used } = state
      if (unusedSince !== undefined && !await this.put(id, { ...used, version: state.version + 1 }, ttl)) continue
      this.#used.set(sessionId, state.revision)
      return state.revision === login.revision ? undefined : loginInSession(id, used)
    }
    return undefined
  }

  /** Notes that the app or another registration has moved a login, unchanged, to another session. */
  async move (id: string, sessionId: string, ttl: number): Promise<void> {
    for (let tries = 0; tries < TRIES; tries++) {
      const state = await this.get(id)
      if (state === undefined || state === 'ended' || state.sessionId === sessionId) return
      const { unusedSince: _used, ...moved } = state
      const formerSessions = [...state.formerSessions, shortHash(state.sessionId)]
      if (await this.put(id, { ...moved, version: state.version + 1, sessionId, formerSessions }, ttl)) return
    }
  }

  /**
   * Ends a login: no account is added to it any more.
   * @param inSession only if the login is in this session
   * @returns whether it has ended, and what belonged to it if its accounts had changed
   * @throws FST_OAUTH_STORE_UNAVAILABLE
   */
  async end (id: string, inSession?: string): Promise<{ ended: boolean, state?: LoginState }> {
    for (let tries = 0; tries < TRIES; tries++) {
      // Most logins have no record: the first try writes one without looking.
      const stored = tries === 0 ? undefined : await this.#store.get(recordId(id))
      const state = stateOf(stored)
      const outcome = { ended: true, ...(state !== undefined && { state }) }
      if (stored?.ended === true) return outcome
      if (inSession !== undefined && state !== undefined && state.sessionId !== inSession) return { ended: false }
      // With what belonged to it: if the rest of a logout fails, the next one finds it.
      const record = { ...stored, version: (stored?.version ?? 0) + 1, ended: true }
      if (await this.#write(id, record, ENDED_TTL)) return outcome
    }
    throw busy('the login could not be ended')
  }

  /**
   * Whether the caller has to call `onLogout` for a login: the first caller of all processes does.
   * @throws FST_OAUTH_STORE_UNAVAILABLE
   */
  async claimNotice (id: string): Promise<boolean> {
    for (let tries = 0; tries < TRIES; tries++) {
      const stored = await this.#store.get(recordId(id))
      if (stored?.told === true) return false
      const record = { ...stored, version: (stored?.version ?? 0) + 1, ended: true, told: true }
      if (await this.#write(id, record, ENDED_TTL)) return true
    }
    throw busy('the end of a login could not be noted')
  }

  /** Notes that this process has ended a login, with all that belonged to it. */
  noteOver (id: string): void { this.#over.set(id, true) }

  /** Whether nothing of a login is left, as far as this process knows. */
  isOver (id: string): boolean { return this.#over.has(id) }

  async #write (id: string, record: StoredRecord, ttl: number): Promise<boolean> {
    const write = () => this.#store.set(recordId(id), record, { ttl, expectedVersion: record.version - 1 })
    if (await write()) return true
    // A record that cannot be read (its encryption key is gone) is in the way of a first one.
    if (record.version > 1 || await this.#store.get(recordId(id)) !== undefined) return false
    await this.#store.consume(recordId(id))
    return await write()
  }

  /** Keeps a login's state as long as its session: one store call when it is past half of its life. */
  async keepAlive (id: string, ttl: number): Promise<void> {
    if (!this.#kept.isDue(id, ttl)) return
    this.#kept.noteTtl(id, ttl)
    await this.#store.touch(recordId(id), { ttl })
  }
}

/** The login as the session holds it. */
export function loginInSession (id: string, { login, revision, unusedSince }: LoginState): SessionLogin {
  const unused = unusedSince === undefined ? {} : { unusedUntil: unusedSince + FIRST_USE_SECONDS }
  return { ...login, login: id, revision, ...unused }
}

/**
 * Whether the session that a login is in may still be changed in place: no request has come with it, so no slower one
 * can write back what it was.
 * @param now epoch seconds
 */
export function isUnused ({ unusedSince }: LoginState, now: number): boolean {
  return unusedSince !== undefined && now - unusedSince < IN_PLACE_SECONDS
}

const recordId = (id: string) => `accounts:${id}`

const busy = (what: string) =>
  new StoreUnavailableError(`${what}; try again in a moment`, { reason: 'accounts', retryAfter: 1 })

function decode (stored: StoredRecord | undefined): LoginState | 'ended' | undefined {
  return stored?.ended === true ? 'ended' : stateOf(stored)
}

/** What belongs to a login, or belonged to it until it ended; undefined if its accounts had never changed. */
function stateOf (stored: StoredRecord | undefined): LoginState | undefined {
  if (stored?.accounts === undefined) return undefined
  const { accounts, active, ...state } = stored as unknown as LoginState & SessionLogin
  return { ...state, login: { accounts, active } }
}

/** Whether a record of a store is the state of a login. */
export function isLoginRecord (
  { ended, sessionId, revision, unusedSince, active, accounts, formerSessions, siblings }: StoredRecord
): boolean {
  if (ended === true && accounts === undefined) return true
  return typeof sessionId === 'string' && Number.isFinite(revision) &&
    (unusedSince === undefined || Number.isFinite(unusedSince)) &&
    isTextList(formerSessions) && isTextList(siblings) &&
    typeof accounts === 'object' && accounts !== null && Object.values(accounts).every(isAccount) &&
    Object.hasOwn(accounts, active as string)
}
