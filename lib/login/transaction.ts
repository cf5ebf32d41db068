import { type OAuthErrorReason, StateMismatchError } from '../errors.ts'
import { isDpopKey } from '../oauth/dpop-key.ts'
import type { StoredRecord, TokenStore } from '../tokens/stores/token-store.ts'
import { isTextList } from '../util/is-text.ts'
import { randomToken, shortHash } from '../util/random.ts'
import type { PendingAuthorization } from './start.ts'
import { isStepUp, type StepUp } from './step-up.ts'

/** A login that has begun and not come back yet. */
export interface PendingLogin extends PendingAuthorization {
  provider: string
  /** `identity` of the provider that the browser was sent to. */
  providerIdentity?: string
  /** The registration of the plugin that began it, if several share a session and this is not the first. */
  registration?: string
  state: string
  /** Path of the app to come back to. */
  returnTo: string
  /** The session and the login in it that an account is to be added to. */
  linkTo?: { session: string, record: string, login?: string }
  /**
   * The session that it began in has something that the callback needs, beside an account to add: a login that this one
   * replaces, or fields that survive. Noted if the response is posted, which brings no Lax cookie along.
   */
  needsSession?: boolean
  /** What the login is to have; it is checked in the callback. */
  stepUp?: StepUp
  /** Who gets the outcome: the opener of a window, or the page around a frame. */
  popup?: 'window' | 'frame'
  /** Epoch seconds, with fractions: `begunAt`, which counts from it, is compared with events of the same second. */
  expiresAt: number
}

/** Seconds until the user has to be back from the provider. */
export const PENDING_LOGIN_TTL = 600
/**
 * Seconds for which a browser keeps the cookie: the response of a login that is over by then shows that it was this
 * browser's, and where it was to lead. A night, with a page of the provider in an open tab, is common.
 */
export const LOGIN_COOKIE_TTL = 86_400
/** Characters of a path to come back to that the cookie remembers. */
const MAX_COOKIE_PATH = 256
/** Pending logins of one browser, at most. */
export const MAX_PENDING_LOGINS = 10

/** Name and value of the cookie that binds one login to one browser. */
interface LoginCookie {
  name: string
  value: string
}

/**
 * Stores the pending logins, one record each, read once. Only the browser has the record's random id, in a cookie named
 * after the state: the response to a login that another browser started finds no record.
 */
export class PendingLogins {
  readonly #store: TokenStore
  readonly #now: () => number
  readonly #registration: string | undefined

  /**
   * @param now epoch seconds
   * @param member of the session that the registration keeps its login in
   */
  constructor (store: TokenStore, now: () => number, member = 'oauth') {
    this.#store = store
    this.#now = now
    this.#registration = member === 'oauth' ? undefined : member
  }

  /**
   * Stores a login and returns the cookie to set, its value encoded as a header has it.
   * @param login is completed, and the store's from then on
   * @throws FST_OAUTH_STORE_UNAVAILABLE
   */
  async put (login: Omit<PendingLogin, 'expiresAt'>): Promise<LoginCookie> {
    const id = randomToken()
    const now = this.#now()
    const record = login as PendingLogin & StoredRecord
    record.version = 0
    record.expiresAt = now + PENDING_LOGIN_TTL
    if (this.#registration !== undefined) record.registration = this.#registration
    await this.#store.set(recordId(id), record, { ttl: PENDING_LOGIN_TTL })
    const { state, returnTo } = login
    const isShort = returnTo !== '/' && returnTo.length <= MAX_COOKIE_PATH
    const value = `${Math.floor(now).toString(36)}.${id}${isShort ? `.${encodeURIComponent(returnTo)}` : ''}`
    return { name: cookieName(state), value }
  }

  /**
   * Reads and deletes the login that a response belongs to. Its state is for `finishLogin` to compare.
   * @param state of the response
   * @param value the value of the browser's cookie for this state
   * @param identity the `identity` of the provider that responds
   * @param cause the error that the response names, for the log
   * @throws FST_OAUTH_STATE_MISMATCH, FST_OAUTH_STORE_UNAVAILABLE
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
        `the authorization response of provider "${provider}" does not belong to a pending login of this browser ` +
          '(too late, opened twice, or started in another browser); start the login again',
        { provider, reason, cause }
      )
    if (state === undefined) throw mismatch('missing_state')
    const id = value === undefined ? undefined : idOf(value)
    if (id === undefined) throw mismatch('other_browser')
    const login = await this.#store.consume(recordId(id)) as PendingLogin | undefined
    if (login === undefined) throw mismatch('unknown_or_used')
    if (login.provider !== provider || login.providerIdentity !== identity) throw mismatch('other_provider')
    // The two may ask one provider for different things: what was begun at one is not finished at the other.
    if (login.registration !== this.#registration) throw mismatch('other_provider')
    if (login.expiresAt < this.#now()) throw mismatch('expired')
    return login
  }

  /** Whether the callback of a login, which stays in the store, needs the session. @param value of the cookie */
  async needsSession (value: string | undefined): Promise<boolean> {
    const id = value === undefined ? undefined : idOf(value)
    const login = id === undefined ? undefined : await this.#store.get(recordId(id)) as PendingLogin | undefined
    return login?.linkTo !== undefined || login?.needsSession === true
  }

  /** Deletes a login. @param value of the browser's cookie */
  async drop (value: string): Promise<void> {
    const id = idOf(value)
    // `delete` would leave a tombstone, and a visitor can send any number of made-up cookies.
    if (id !== undefined) await this.#store.consume(recordId(id))
  }
}

const recordId = (id: string) => `login:${id}`

/** When a login began, in epoch seconds with fractions. */
export function begunAt ({ expiresAt }: PendingLogin): number {
  return expiresAt - PENDING_LOGIN_TTL
}

/** Whether a record of a store is a pending login. */
export function isPendingLogin (stored: StoredRecord): boolean {
  const { provider, state, nonce = '', codeVerifier = '', redirectUri, returnTo } = stored
  const { scope, maxAge = 0, linkTo, stepUp, expiresAt, dpopKey, resource } = stored
  const texts = [provider, state, nonce, codeVerifier, redirectUri, returnTo]
  return isTextList(texts) && isTextList(scope) && Number.isFinite(maxAge) &&
    Number.isFinite(expiresAt) && (dpopKey === undefined || isDpopKey(dpopKey)) &&
    (resource === undefined || isTextList(resource)) && (stepUp === undefined || isStepUp(stepUp)) &&
    (linkTo === undefined || (typeof linkTo === 'object' && linkTo !== null))
}

/** Name of the cookie that binds a login to its browser, without a prefix. */
export function cookieName (state: string): string {
  return `oauth-${shortHash(state)}`
}

const COOKIE = /^(?:__Host-)?oauth-[\w-]{22}$/
const VALUE = /^([0-9a-z]{1,10})\.([\w-]{43})(?:\.([\x21-\x7e]{1,256}))?$/

/** Whether a cookie binds a login, by its name. */
export function isLoginCookie (name: string): boolean {
  return COOKIE.test(name)
}

function idOf (value: string): string | undefined {
  return VALUE.exec(value)?.[2]
}

/** Where a login was to lead, by its cookie, which anyone who can set one may have made up. */
export function cookiePath (value: string): string | undefined {
  return VALUE.exec(value)?.[3]
}

/** The cookies of a browser's pending logins that have to go so that one more fits, oldest first. */
export function surplusLogins (cookies: Record<string, string | undefined>): LoginCookie[] {
  const logins: (LoginCookie & { since: number })[] = []
  for (const [name, value] of Object.entries(cookies)) {
    if (value === undefined || !isLoginCookie(name)) continue
    logins.push({ name, value, since: parseInt(VALUE.exec(value)?.[1] ?? '0', 36) })
  }
  const surplus = logins.length - (MAX_PENDING_LOGINS - 1)
  return surplus <= 0 ? [] : logins.sort((a, b) => a.since - b.since).slice(0, surplus)
}
