import type { FastifyRequest } from 'fastify'
import { StoreUnavailableError } from '../errors.ts'
import { isLoginCookie } from '../login/transaction.ts'
import { errorForLog } from '../util/logger.ts'
import { shortHash } from '../util/random.ts'
import type { SessionLogin } from './accounts.ts'
import type { SessionContext } from './context.ts'
import { markReplaced } from './ended-sessions.ts'
import {
  carryFields, fieldsOf, isModified, openNewSession, openSession, putSession, saveSession, type SessionObject,
  sessionOf, ttlOf
} from './fastify-session.ts'
import { isUnused, loginInSession, type LoginState } from './login-records.ts'

/** A login, and the session that it was found in. */
export interface LoginPlace {
  /** Id of the login. */
  id: string
  /** The session that the request came with. */
  sessionId: string
  /** The session that the login is in, if that is another one by now. */
  movedTo?: string
  login: SessionLogin
}

/** How a login changes. */
interface ChangeOptions {
  /** What the login is to be; asked again if another change was first. */
  change (login: SessionLogin): SessionLogin
  /**
   * What happens if another change has moved the login to another session meanwhile. `follow`: the change is made
   * there, and the browser gets that session, or its successor. `silently`: the same if that session can be changed in
   * place, but the browser gets no cookie, because the request came with an old session id only. `stop`: nothing is
   * changed.
   */
  whenOvertaken (state: LoginState): 'follow' | 'silently' | 'stop'
}

/** Writers that may come between a read and its write. */
const TRIES = 20

/**
 * Changes the login of a session. The login gets a session of a new id, with the app's own fields, so that a slower
 * request cannot undo the change by saving the session that it has loaded. Changes of one login are made one after the
 * other, by compare-and-set of the login's record. A change that comes second starts from the result of the first. It
 * changes the new session in place if no request has come with it yet, so that both answers give the browser the same
 * session, in whichever order it handles them.
 */
export class LoginChange {
  readonly #context: SessionContext
  readonly #request: FastifyRequest
  readonly #place: LoginPlace
  readonly #previous: SessionObject
  /** The session of the new id. */
  readonly session: SessionObject
  readonly #changesOnto: (fields: object) => void
  #isSaved = false

  private constructor (
    context: SessionContext, request: FastifyRequest, place: LoginPlace, previous: SessionObject, session: SessionObject
  ) {
    this.#context = context
    this.#request = request
    this.#place = place
    this.#previous = previous
    this.session = session
    this.#changesOnto = watchFields(session)
  }

  /**
   * Gives the request the new session of the login; nothing is stored yet.
   * @throws FST_OAUTH_STORE_UNAVAILABLE
   */
  static async open (context: SessionContext, request: FastifyRequest, place: LoginPlace): Promise<LoginChange> {
    const previous = sessionOf(request)
    const { sessionId, movedTo = sessionId } = place
    // Other requests may have saved the session since this one loaded it.
    const isNewest = movedTo === previous.sessionId && isModified(previous)
    const stored = isNewest ? undefined : await context.sessionStore.read(movedTo)
    const session = await openNewSession(request, stored ?? previous)
    return new LoginChange(context, request, place, previous, session)
  }

  /** Gives the request back the session that it had. */
  cancel (): void {
    putSession(this.#request, this.#previous)
  }

  /**
   * Makes the change.
   * @returns the login before the change, and the id of the session that it is in now; undefined if it has ended
   *   meanwhile, or may not be followed
   * @throws FST_OAUTH_STORE_UNAVAILABLE: nothing has changed
   */
  async commit (
    { change, whenOvertaken }: ChangeOptions
  ): Promise<{ before: SessionLogin, sessionId: string } | undefined> {
    const { loginRecords, clock } = this.#context
    for (let tries = 0; tries < TRIES; tries++) {
      const state = await loginRecords.get(this.#place.id)
      if (state === 'ended') return await this.#discard()
      const isOvertaken = state !== undefined && this.#isOvertaken(state)
      const manner = isOvertaken ? whenOvertaken(state) : 'follow'
      const now = Math.floor(clock.now())
      const isInPlace = isOvertaken && isUnused(state, now)
      if (manner === 'stop' || (manner === 'silently' && !isInPlace)) return await this.#discard()
      const before = await this.#standing(state?.login ?? this.#place.login)
      const { accounts, active } = change(before)
      const changed = {
        version: (state?.version ?? 0) + 1,
        revision: (state?.revision ?? 0) + 1,
        login: { accounts, active },
        siblings: [...new Set([...state?.siblings ?? [], ...this.#pendingCookies()])]
      }
      const formerSessions = [...state?.formerSessions ?? [], shortHash(state?.sessionId ?? this.#place.sessionId)]
      const sessionId = isInPlace
        ? await this.#changeInPlace({ ...state, ...changed }, manner === 'follow')
        : await this.#moveOn(
          { ...changed, sessionId: this.session.sessionId, formerSessions, unusedSince: now }, state, isOvertaken)
      if (sessionId !== undefined) return { before, sessionId }
    }
    const message = 'the login could not be changed; try again in a moment'
    throw new StoreUnavailableError(message, { reason: 'accounts', retryAfter: 1 })
  }

  /** Whether another change came first. If the app moved the login to a new session id, the revision is the same. */
  #isOvertaken ({ sessionId, revision }: LoginState): boolean {
    return sessionId !== this.#place.sessionId && revision !== this.#place.login.revision
  }

  /** The login without accounts whose tokens are gone, on this process or another: they have ended by themselves. */
  async #standing (login: SessionLogin): Promise<SessionLogin> {
    const { records } = this.#context
    const accounts = await Promise.all(Object.entries(login.accounts).map(async ([name, account]) =>
      name === login.active || await records.read(account.recordId) !== undefined ? [[name, account] as const] : []))
    return { ...login, accounts: Object.fromEntries(accounts.flat()) }
  }

  /** The cookies of this browser's other pending logins: their callbacks come from the same browser. */
  #pendingCookies (): string[] {
    return Object.keys(this.#request.cookies).filter(isLoginCookie).map(name => name.replace(/^__Host-/, ''))
  }

  async #moveOn (next: LoginState, state: LoginState | undefined, isOvertaken: boolean): Promise<string | undefined> {
    const { loginRecords, sessionLogins, sessionStore, log } = this.#context
    const { id } = this.#place
    const former = state?.sessionId ?? this.#place.sessionId
    if (isOvertaken) await this.#carryFrom(former)
    sessionLogins.put(this.session, loginInSession(id, next))
    // Before the record names the session, so that readers of the record find it.
    await saveSession(this.#request, this.session)
    this.#isSaved = true
    const ttl = ttlOf(this.session)
    if (!await loginRecords.put(id, next, ttl)) return undefined
    try {
      await markReplaced(this.#context, former, ttl)
    } catch (error) {
      const { login } = this.#place
      const before = state ?? { revision: 0, sessionId: former, login, formerSessions: [], siblings: [] }
      await loginRecords.put(id, { ...before, version: next.version + 1 }, ttl).catch(() => false)
      await this.#discard()
      throw error
    }
    await sessionStore.destroy(former).catch((error: unknown) => {
      const message = 'a session that was replaced could not be destroyed; it ends with its time'
      log.warn({ event: 'session_not_destroyed', err: errorForLog(error) }, message)
    })
    return next.sessionId
  }

  async #changeInPlace (next: LoginState, givesCookie: boolean): Promise<string | undefined> {
    const { loginRecords, sessionLogins } = this.#context
    const { id } = this.#place
    if (!await loginRecords.put(id, next, ttlOf(this.session))) return undefined
    await this.#discard()
    // The first request with that session takes the login from the record. If it cannot be opened here, the browser
    // has it from the other answer.
    const session = givesCookie ? await openSession(this.#request, next.sessionId).catch(() => undefined) : undefined
    if (session === undefined) return next.sessionId
    this.#changesOnto(session)
    sessionLogins.put(session, loginInSession(id, next))
    await saveSession(this.#request, session)
    return next.sessionId
  }

  /** Takes over the fields of the session that replaced the request's own, with the changes of this request. */
  async #carryFrom (sessionId: string): Promise<void> {
    const source = await this.#context.sessionStore.read(sessionId)
    if (source === undefined) return
    const fields = {}
    carryFields(source, fields)
    this.#changesOnto(fields)
    carryFields(fields, this.session)
  }

  async #discard (): Promise<undefined> {
    if (this.#isSaved) await this.#context.sessionStore.destroy(this.session.sessionId).catch(() => {})
    this.#isSaved = false
    this.cancel()
    return undefined
  }
}

/** Makes a function that repeats, on another session, what has changed in the fields of this one since. */
function watchFields (session: object): (onto: object) => void {
  const before = new Map(Object.entries(fieldsOf(session)).map(([key, value]) => [key, textOf(value)]))
  return (onto) => {
    const now = fieldsOf(session)
    for (const [key, value] of Object.entries(now)) {
      if (textOf(value) !== before.get(key)) Object.assign(onto, { [key]: value })
    }
    for (const key of before.keys()) if (!Object.hasOwn(now, key)) delete onto[key as never]
  }
}

// A value that JSON cannot hold, for an in-memory store, is compared as it is.
function textOf (value: unknown): unknown {
  try {
    return JSON.stringify(value)
  } catch {
    return value
  }
}
