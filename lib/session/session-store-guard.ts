import { StoreUnavailableError } from '../errors.ts'
import { isEntry, isEntryId, kUnguarded, type SessionStore } from '../tokens/stores/session-entry.ts'
import { fromCallback } from '../util/callback.ts'
import { withTimeout } from '../util/timeout.ts'
import { channels, type StoreTrace, traced } from '../util/tracing.ts'
import type { StoredSession } from './fastify-session.ts'

const kLateSaves = Symbol.for('fastify-oauth-session.late')

/** Whether a session that is to be saved has been ended before, by a faster request. */
export type IsLateSave = (sessionId: string, session: StoredSession) => boolean | Promise<boolean>

type Callback = (error?: unknown, value?: unknown) => void
type Method = (...args: unknown[]) => void
type Guarded = 'get' | 'set' | 'destroy'

/** What a guard is made with. */
interface GuardOptions {
  /** Milliseconds for each call; no limit for a store in memory. */
  timeoutMs: number | undefined
  /** What a store in memory keeps of a session. */
  keep?: ((session: object) => object) | undefined
  /** Called with the method and the store's own error. */
  onFailure: (method: string, cause: unknown) => void
  isLateSave: IsLateSave
}

/**
 * Guards the app's session store, in place and once:
 * - The plugin's entries in the store are not sessions: under their ids nothing is found, written or destroyed. An id
 *   that can be worked out, signed as a session cookie, would otherwise open a record of another user.
 * - Each call has a time limit, and an error that says nothing of the store's address. Otherwise a store that is down
 *   answers every request with a 500 that names the server, and one that never calls back hangs them.
 * - A value that is not a session is not found: @fastify/session would throw on it where nothing catches the error.
 * - A session whose login has ended is not saved. The end of a request destroys it again if it was saved just then,
 *   but the process may be killed in between, and other requests may load it.
 */
export function guardSessionStore (
  store: SessionStore, { timeoutMs, keep, onFailure, isLateSave }: GuardOptions
): void {
  const known = (store as { [kLateSaves]?: IsLateSave[] })[kLateSaves]
  if (known !== undefined) {
    known.push(isLateSave)
    return
  }
  const lateSaves = [isLateSave]
  Object.defineProperty(store, kLateSaves, { value: lateSaves })
  const unguarded: Record<string, Method> = {}
  for (const name of ['get', 'set', 'destroy'] as const) {
    const method = store[name].bind(store) as Method
    unguarded[name] = method
    const kept: Method = keep === undefined || name !== 'set'
      ? method
      : (id, session, done) => method(id, keep(session as object), done)
    const bounded = timeoutMs === undefined ? kept : limited(name, kept, timeoutMs, onFailure)
    const isFound = keep === undefined ? isSession : isNoEntry
    const guarded = hidingEntries(name, name === 'set' ? refusingLateSaves(bounded, lateSaves) : bounded, isFound)
    Object.defineProperty(store, name, { value: guarded, writable: true, configurable: true })
  }
  if (typeof store.touch === 'function') unguarded.touch = store.touch.bind(store) as Method
  Object.defineProperty(store, kUnguarded, { value: unguarded })
}

/** A method that finds nothing, and changes nothing, if an entry is the plugin's own. */
function hidingEntries (name: Guarded, method: Method, isFound: (value: unknown) => boolean): Method {
  return (...args) => {
    const done = args.at(-1) as Callback
    if (isEntryId(args[0])) return done(null)
    if (name !== 'get') return method(...args)
    // A store may compare ids without letter case, or without spaces at the end.
    method(args[0], (error: unknown, value: unknown) => { done(error, isFound(value) ? value : null) })
  }
}

/** Enough for a store that keeps the sessions that it was given. */
const isNoEntry = (value: unknown) => !isEntry(value)

const isAbsent = (value: unknown) => value === undefined || value === null
const isTime = (value: unknown) => isAbsent(value) || !Number.isNaN(new Date(value as string).getTime())
const isMilliseconds = (value: unknown) => isAbsent(value) || Math.abs(Number(value)) < 8.64e15
const isTextOf = (form: RegExp) => (value: unknown) =>
  isAbsent(value) || (typeof value === 'string' && form.test(value))
const LABEL = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?'
const DOMAIN = new RegExp(`^(?:\\.?${LABEL}(?:\\.${LABEL})*)?$`, 'i')

/** What makes the members of a session's cookie such that @fastify/session, by the package `cookie`, can send it. */
const COOKIE_MEMBERS: Record<string, (value: unknown) => boolean> = {
  expires: isTime,
  originalExpires: isTime,
  maxAge: isMilliseconds,
  originalMaxAge: isMilliseconds,
  domain: isTextOf(DOMAIN),
  path: isTextOf(/^[ -:=-~]*$/),
  sameSite: value => isAbsent(value) || typeof value === 'boolean' || /^(?:lax|strict|none)$/i.test(String(value))
}

/** Whether a value of a store that serializes can be a session. */
function isSession (value: unknown): boolean {
  if (typeof value !== 'object' || value === null || isEntry(value)) return false
  const { cookie } = value as { cookie?: unknown }
  if (typeof cookie !== 'object' || cookie === null) return false
  for (const name in COOKIE_MEMBERS) {
    const member = (cookie as Record<string, unknown>)[name]
    if (!(member instanceof Date) && typeof member === 'object' && member !== null) return false
    if (!COOKIE_MEMBERS[name]!(member)) return false
  }
  return true
}

/** A `set` that writes nothing for a session that has ended; if that cannot be told, it writes. */
function refusingLateSaves (method: Method, lateSaves: readonly IsLateSave[]): Method {
  return (...args) => {
    const [sessionId, session, done] = args as [string, StoredSession, Callback]
    const asked: Promise<boolean>[] = []
    for (const isLateSave of lateSaves) {
      const answer = isLateSave(sessionId, session)
      if (answer === true) return done(null)
      if (answer !== false) asked.push(answer.catch(() => false))
    }
    if (asked.length === 0) return method(...args)
    Promise.all(asked).then((found) => {
      // Outside the promise: what the callback throws must not become an unhandled rejection.
      process.nextTick(() => { if (found.includes(true)) done(null); else method(...args) })
    }, () => {})
  }
}

/** A method with a time limit, which does not reveal the store's own error. */
function limited (
  name: Guarded, method: Method, timeoutMs: number, onFailure: GuardOptions['onFailure']
): Method {
  return (...args) => {
    const done = args.pop() as Callback
    const call = () => withTimeout(() => fromCallback(settle => method(...args, settle)), timeoutMs)
    const answer = channels.store.hasSubscribers ? tracedCall(name, call) : call()
    answer.then(
      value => [null, value],
      (cause: unknown) => {
        onFailure(name, cause)
        const message = 'the store of the sessions does not answer; try again in a moment'
        return [new StoreUnavailableError(message, { reason: name, retryAfter: 1 })]
      }
    ).then(answer => process.nextTick(done, ...answer), () => {}) // what a callback throws is no rejection
  }
}

function tracedCall<T> (method: Guarded, call: () => Promise<T>): Promise<T> {
  const trace: StoreTrace = { store: 'sessions', method }
  return traced(channels.store, trace, 'succeeded', () => call().catch((cause: unknown) => {
    trace.code = 'FST_OAUTH_STORE_UNAVAILABLE' // which the caller gets in place of the store's own
    throw cause
  }))
}
