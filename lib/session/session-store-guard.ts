import { StoreUnavailableError } from '../errors.ts'
import { ENTRY, isEntryId, isMemoryStore, kUnguarded, type SessionStore } from '../tokens/stores/session-entry.ts'
import { fromCallback } from '../util/callback.ts'
import { withTimeout } from '../util/timeout.ts'

const kLate = Symbol.for('fastify-oauth-session.late')

/** Whether a session that is to be saved has been ended before: by a request that was faster. */
export type IsLate = (sessionId: string, session: unknown) => boolean | Promise<boolean>

type Callback = (error?: unknown, value?: unknown) => void
type Method = (...args: unknown[]) => void
/** The methods that are guarded. */
type Guarded = 'get' | 'set' | 'destroy'

/**
 * Guards the app's session store. Changes the store in place, once.
 * - What the plugin keeps there is no session: under its ids nothing is found, written or destroyed. An id that can be
 *   worked out, signed as a session cookie, would otherwise open a record of another user.
 * - Each call has a time limit, and an error that says nothing of the store's address: without it, a store that is down
 *   answers every request with a 500 that names the server, and one that never calls back hangs them. An in-memory
 *   store needs none.
 * - A session with a login that has ended is not saved. What is saved beside the very end is destroyed again after the
 *   save; but a process may be killed between the two, and other requests may come between.
 * @param timeoutMs milliseconds
 * @param onFailure called with the method and the store's own error
 */
export function guardSessionStore (
  store: SessionStore, timeoutMs: number, onFailure: (method: string, cause: unknown) => void, isLate: IsLate
): void {
  const known = (store as { [kLate]?: IsLate[] })[kLate]
  if (known !== undefined) {
    known.push(isLate)
    return
  }
  const late = [isLate]
  Object.defineProperty(store, kLate, { value: late })
  const unguarded: Record<string, Method> = {}
  const limit = isMemoryStore(store) ? (_name: Guarded, method: Method) => method : limited(timeoutMs, onFailure)
  for (const name of ['get', 'set', 'destroy'] as const) {
    const method = store[name].bind(store) as Method
    unguarded[name] = method
    const bounded = limit(name, method)
    const guarded = hidden(name, name === 'set' ? refusingLate(bounded, late) : bounded)
    Object.defineProperty(store, name, { value: guarded, writable: true, configurable: true })
  }
  if (typeof store.touch === 'function') unguarded.touch = store.touch.bind(store) as Method
  Object.defineProperty(store, kUnguarded, { value: unguarded })
}

/** A method that finds nothing, and changes nothing, where an entry is the plugin's own. */
function hidden (name: Guarded, method: Method): Method {
  return (...args) => {
    const done = args.at(-1) as Callback
    if (isEntryId(args[0])) return done(null)
    if (name !== 'get') return method(...args)
    // A store may take two ways to write an id for one: letters in either case, spaces at the end.
    method(args[0], (error: unknown, value: unknown) => { done(error, isEntry(value) ? null : value) })
  }
}

/** A `set` that writes nothing for a session that has ended; where that cannot be told, it writes. */
function refusingLate (method: Method, late: readonly IsLate[]): Method {
  return (...args) => {
    const [sessionId, session, done] = args as [string, unknown, Callback]
    const answers = late.map(isLate => isLate(sessionId, session))
    if (answers.includes(true)) return done(null)
    const asked = answers.filter(answer => typeof answer !== 'boolean')
    if (asked.length === 0) return method(...args)
    Promise.all(asked.map(answer => answer.catch(() => false))).then((found) => {
      // Not inside the promise: what a callback throws is nobody's rejection.
      process.nextTick(() => { if (found.includes(true)) done(null); else method(...args) })
    }, () => {})
  }
}

const isEntry = (value: unknown) => typeof value === 'object' && value !== null && ENTRY in value

function limited (timeoutMs: number, onFailure: (method: string, cause: unknown) => void) {
  return (name: Guarded, method: Method): Method => (...args) => {
    const done = args.pop() as Callback
    withTimeout(() => fromCallback(settle => method(...args, settle)), timeoutMs).then(
      value => [null, value],
      (cause: unknown) => {
        onFailure(name, cause)
        const message = 'the store of the sessions does not answer; try again in a moment'
        return [new StoreUnavailableError(message, { reason: name, retryAfter: 1 })]
      }
    ).then(answer => process.nextTick(done, ...answer), () => {}) // what a callback throws is no rejection
  }
}
