import { StoreUnavailableError } from '../errors.ts'
import type { SessionStore } from './session-token-store.ts'

const kGuarded = Symbol.for('fastify-oauth-session.guarded')

/** Tells @fastify/session's own in-memory store, which never fails and never waits. */
export function isMemoryStore (store: object): boolean {
  return (store as { store?: unknown }).store instanceof Map && store.constructor.name === 'Store'
}

/**
 * Gives the app's session store a time limit and an error that says nothing of its address: without it, a store that is
 * down answers every request with a 500 that names the server, and one that never calls back hangs them.
 * Changes the store in place, once; an in-memory store stays as it is.
 * @param timeoutMs milliseconds
 */
export function guardSessionStore (store: SessionStore, timeoutMs: number, onFailure: (method: string, cause: unknown) => void): void {
  const guarded = store as SessionStore & { [kGuarded]?: boolean }
  if (isMemoryStore(store) || guarded[kGuarded] === true) return
  for (const method of ['get', 'set', 'destroy'] as const) {
    const original = store[method].bind(store) as (...args: unknown[]) => void
    const limited = (...args: unknown[]) => {
      const done = args.pop() as (error?: unknown, value?: unknown) => void
      let over = false
      const settle = (error?: unknown, value?: unknown) => {
        if (over) return
        over = true
        clearTimeout(timer)
        // What is not there is no failure: @fastify/session makes a new session.
        if (error === undefined || error === null || (error as { code?: string }).code === 'ENOENT') return done(error ?? null, value)
        onFailure(method, error)
        done(new StoreUnavailableError('the store of the sessions does not answer; try again in a moment', { reason: method, retryAfter: 1 }))
      }
      const timer = setTimeout(() => settle(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
      try {
        original(...args, settle)
      } catch (error) {
        settle(error)
      }
    }
    Object.defineProperty(store, method, { value: limited, writable: true, configurable: true })
  }
  Object.defineProperty(store, kGuarded, { value: true })
}
