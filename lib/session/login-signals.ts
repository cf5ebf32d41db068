import type { FastifyReply, FastifyRequest } from 'fastify'
import { loginEnded } from '../providers/refresh-errors.ts'
import { loginIdOf, type SessionLogin } from './accounts.ts'
import { providerOf, type SessionContext } from './context.ts'
import { endWhereOver, mayBeOver } from './login-end.ts'
import { loginInSession } from './login-records.ts'

/** Milliseconds between two looks at the store: what another process ended is known within a second. */
const POLL_MS = 750
/** Logins that are looked at together. */
const AT_ONCE = 64

/** An account of a login, as long as a request holds a signal of it. */
interface Watched {
  readonly context: SessionContext
  /** Name of the provider. */
  readonly name: string
  /** Id of the token record. */
  recordId: string
  login: SessionLogin
  readonly holds: Set<Hold>
  /** The login's timeout has passed, and it is being ended: this is the reason, whatever happens to the record. */
  isEnding?: boolean
}

/** A request that holds a signal. */
interface Hold {
  readonly request: FastifyRequest
  readonly controller: AbortController
  watched: Watched
}

/**
 * The signals of requests, which fire when their logins end. If this process ends a login, or finds it ended, the
 * records report it at once. For logins that other processes or timeouts end there is one timer, as long as a request
 * holds a signal. The timer does not keep the process running.
 */
export class LoginSignals {
  /** Id of the token record → what is watched. */
  readonly #watched = new Map<string, Watched>()
  readonly #ofRequest = new Map<FastifyRequest, Hold[]>()
  #timer: NodeJS.Timeout | undefined
  #isLooking = false

  /** How many requests hold a signal, for tests of leaks. */
  get size (): number { return this.#ofRequest.size }

  /**
   * Aborts a signal when the login ends, until the request and its connection are over.
   * @param login of the request's session
   * @param name of the account in it that is meant
   * @param controller of the signal; its reason will be FST_OAUTH_LOGIN_ENDED
   */
  hold (
    context: SessionContext, request: FastifyRequest, login: SessionLogin, name: string, controller: AbortController
  ): void {
    const { recordId } = login.accounts[name]!
    const watched = this.#watched.get(recordId) ?? { context, name, recordId, login, holds: new Set() }
    const hold = { request, controller, watched }
    watched.holds.add(hold)
    this.#watched.set(recordId, watched)
    const held = this.#ofRequest.get(request)
    if (held === undefined) this.#ofRequest.set(request, [hold])
    else held.push(hold)
    context.records.onGone = (id) => { void this.#gone(id) }
    // The end of a connection that was upgraded, or that the handler answers on its own.
    const { socket } = request.raw as { socket?: FastifyRequest['raw']['socket'] }
    if (held === undefined) socket?.once('close', this.#releaserOf(request))
    if (socket?.destroyed === true) return this.#release(request)
    if (context.records.isDeleted(recordId)) void this.#gone(recordId)
    this.#arm()
  }

  /** Releases a request's signals as soon as its answer has been sent. */
  answered (request: FastifyRequest, { raw }: FastifyReply): void {
    if (!this.#ofRequest.has(request)) return
    if (raw.writableFinished || raw.destroyed) return this.#release(request)
    const release = this.#releaserOf(request)
    raw.once('finish', release)
    raw.once('close', release)
  }

  readonly #releasers = new WeakMap<FastifyRequest, () => void>()

  #releaserOf (request: FastifyRequest): () => void {
    const releaser = this.#releasers.get(request) ?? (() => { this.#release(request) })
    this.#releasers.set(request, releaser)
    return releaser
  }

  #release (request: FastifyRequest): void {
    const holds = this.#ofRequest.get(request) ?? []
    this.#ofRequest.delete(request)
    request.raw.socket?.removeListener('close', this.#releaserOf(request))
    for (const hold of holds) {
      const { watched } = hold
      watched.holds.delete(hold)
      if (watched.holds.size === 0) this.#forget(watched)
    }
    if (this.#watched.size > 0) return
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #forget (watched: Watched): void {
    if (this.#watched.get(watched.recordId) === watched) this.#watched.delete(watched.recordId)
  }

  #arm (): void {
    // A look without a holder would ask the store nothing: that is spared.
    if (this.#watched.size === 0 || this.#isLooking) return
    this.#timer ??= setTimeout(() => { void this.#look() }, POLL_MS).unref()
  }

  /** Looks for logins that another process or a timeout has ended. */
  async #look (): Promise<void> {
    this.#timer = undefined
    this.#isLooking = true
    const all = [...this.#watched.values()]
    for (let start = 0; start < all.length; start += AT_ONCE) {
      const looks = all.slice(start, start + AT_ONCE).map(watched => this.#lookAt(watched))
      // While the store is unavailable nothing is known: the signals stay as they are.
      if ((await Promise.allSettled(looks)).some(({ status }) => status === 'rejected')) break
    }
    this.#isLooking = false
    this.#arm()
  }

  async #lookAt (watched: Watched): Promise<void> {
    const { context, name, recordId } = watched
    // If there is none, the records report it themselves.
    if (await context.records.read(recordId) === undefined || !mayBeOver(context, watched.login, name)) return
    const [hold] = watched.holds
    if (hold === undefined) return
    watched.isEnding = true
    try {
      // A step-up may have restarted the timeout.
      watched.login = await currentLogin(context, watched.login) ?? watched.login
      const error = await endWhereOver(context, hold.request, watched.login, name)
      if (error !== undefined) return this.#end(watched, error)
    } finally {
      watched.isEnding = false
    }
    if (context.records.isDeleted(watched.recordId)) await this.#gone(watched.recordId)
  }

  /** A record is gone: with its login, or because a step-up has put another one in its place. */
  async #gone (id: string): Promise<void> {
    const watched = this.#watched.get(id)
    if (watched === undefined || watched.isEnding === true) return
    const { context, name } = watched
    const current = await currentLogin(context, watched.login).catch(() => undefined)
    if (this.#watched.get(id) !== watched) return
    const recordId = current?.accounts[name]?.recordId
    if (recordId === undefined || recordId === id || context.records.isDeleted(recordId)) {
      return this.#end(watched, loginEnded(providerOf(context, name)))
    }
    this.#watched.delete(id)
    const other = this.#watched.get(recordId)
    if (other === undefined) {
      this.#watched.set(recordId, Object.assign(watched, { recordId, login: current! }))
      return
    }
    for (const hold of watched.holds) {
      hold.watched = other
      other.holds.add(hold)
    }
  }

  #end (watched: Watched, reason: Error): void {
    this.#forget(watched)
    for (const { controller } of watched.holds) controller.abort(reason)
  }
}

/** A login with what has changed in it since; undefined if it has ended. */
async function currentLogin (
  { loginRecords }: SessionContext, login: SessionLogin
): Promise<SessionLogin | undefined> {
  const id = loginIdOf(login)
  const state = await loginRecords.get(id)
  if (state === 'ended') return undefined
  return state === undefined ? login : loginInSession(id, state)
}
