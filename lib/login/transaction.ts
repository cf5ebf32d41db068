import { type OAuthErrorReason, StateMismatchError } from '../errors.ts'
import type { StoredRecord, TokenStore } from '../tokens/stores/token-store.ts'
import { randomToken, safeEqual, shortHash } from '../util/random.ts'

/** A login that has begun and not come back yet. */
export interface PendingLogin {
  provider: string
  /** `identity` of the provider that the browser was sent to. */
  providerIdentity?: string
  state: string
  nonce?: string
  /** Absent for an implicit login, which has no code to protect. */
  codeVerifier?: string
  redirectUri: string
  /** Path of the app to come back to. */
  returnTo: string
  scope: string[]
  /** Seconds; asked of the provider and checked in the ID token. */
  maxAge?: number
  /** The session and the login in it that an account is to be added to. */
  linkTo?: { session: string, record: string, login?: string }
  /** Epoch seconds. */
  expiresAt: number
}

/** Seconds that a person has to come back from the provider. */
export const PENDING_LOGIN_TTL = 600
/** Logins that one browser may have under way. */
export const MAX_PENDING_LOGINS = 10

/** Name and value of the cookie that binds one login to one browser. */
export interface LoginCookie {
  name: string
  value: string
}

/**
 * Keeps the logins under way, one record each, taken once. The record's id is random and known to the browser alone
 * (in a cookie named after the state), so an answer that another browser started finds nothing.
 */
export class PendingLogins {
  readonly #store: TokenStore
  readonly #now: () => number

  /** @param now epoch seconds */
  constructor (store: TokenStore, now: () => number) {
    this.#store = store
    this.#now = now
  }

  /** Remembers a login and returns the cookie to set. */
  async put (login: Omit<PendingLogin, 'expiresAt'>): Promise<LoginCookie> {
    const id = randomToken()
    const now = Math.floor(this.#now())
    const record: PendingLogin = { ...login, expiresAt: now + PENDING_LOGIN_TTL }
    await this.#store.set(recordId(id), { version: 0, ...record }, { ttl: PENDING_LOGIN_TTL })
    return { name: cookieName(login.state), value: `${now.toString(36)}.${id}` }
  }

  /**
   * Takes the login that a callback answers. Whatever is wrong with the answer, the login is gone after this.
   * @param value the value of the browser's cookie for this state
   * @param identity the `identity` of the provider that answers
   * @param cause what the answer says went wrong, for the log
   * @throws FST_OAUTH_STATE_MISMATCH
   */
  async consume (
    state: string | undefined,
    value: string | undefined,
    provider: string,
    identity?: string,
    cause?: Error
  ): Promise<PendingLogin> {
    const mismatch = (reason: OAuthErrorReason) =>
      new StateMismatchError(
        `the answer of provider "${provider}" does not belong to a login under way in this browser (too late, ` +
          'opened twice, or begun elsewhere); start the login again',
        { provider, reason, cause }
      )
    if (state === undefined) throw mismatch('missing_state')
    const id = value === undefined ? undefined : idOf(value)
    if (id === undefined) throw mismatch('other_browser')
    const login = await this.#store.consume(recordId(id)) as PendingLogin | undefined
    if (login === undefined) throw mismatch('unknown_or_used')
    if (!safeEqual(login.state, state)) throw mismatch('wrong_state')
    if (login.provider !== provider || login.providerIdentity !== identity) throw mismatch('other_provider')
    if (login.expiresAt < this.#now()) throw mismatch('expired')
    return login
  }

  /** Forgets a login without using it. */
  async drop (value: string): Promise<void> {
    const id = idOf(value)
    // Not `delete`, whose tombstone anybody could heap up with cookies of their own making.
    if (id !== undefined) await this.#store.consume(recordId(id))
  }
}

const recordId = (id: string) => `login:${id}`

/** Whether a record of a store is a login under way. */
export function isPendingLogin (stored: StoredRecord): boolean {
  const { provider, state, nonce = '', codeVerifier = '', redirectUri, returnTo } = stored
  const { scope, maxAge = 0, linkTo, expiresAt } = stored
  const texts = [provider, state, nonce, codeVerifier, redirectUri, returnTo]
  return texts.every(text => typeof text === 'string') && isTextList(scope) && Number.isFinite(maxAge) &&
    Number.isFinite(expiresAt) && (linkTo === undefined || (typeof linkTo === 'object' && linkTo !== null))
}

const isTextList = (value: unknown) => Array.isArray(value) && value.every(item => typeof item === 'string')

/** The name under which a browser keeps its half of a login. */
export function cookieName (state: string): string {
  return `oauth-${shortHash(state)}`
}

const COOKIE = /^(?:__Host-)?oauth-[\w-]{22}$/
const VALUE = /^([0-9a-z]{1,10})\.([\w-]{43})$/

/** Tells the browser's half of a login from the app's own cookies. */
export function isLoginCookie (name: string): boolean {
  return COOKIE.test(name)
}

function idOf (value: string): string | undefined {
  return VALUE.exec(value)?.[2]
}

/** The cookies of a browser's logins that have to go so that one more fits, oldest first. */
export function surplusLogins (cookies: Record<string, string | undefined>): LoginCookie[] {
  const logins: (LoginCookie & { since: number })[] = []
  for (const [name, value] of Object.entries(cookies)) {
    if (value === undefined || !isLoginCookie(name)) continue
    logins.push({ name, value, since: parseInt(VALUE.exec(value)?.[1] ?? '0', 36) })
  }
  const surplus = logins.length - (MAX_PENDING_LOGINS - 1)
  return surplus <= 0 ? [] : logins.sort((a, b) => a.since - b.since).slice(0, surplus)
}
