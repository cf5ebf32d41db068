import { OAuthError, StoreUnavailableError } from '../errors.ts'
import type { TokenStore } from './token-store.ts'

/**
 * Puts a time limit on every call of a store and turns its failures into one typed error, which holds no address.
 * @param timeoutMs milliseconds
 * @throws FST_OAUTH_STORE_UNAVAILABLE
 */
export function boundedStore (store: TokenStore, timeoutMs: number, onFailure: (method: string, cause: unknown) => void): TokenStore {
  const bounded = <A extends unknown[], T>(method: string, call: (...args: A) => Promise<T>) => (...args: A): Promise<T> =>
    withTimeout(() => call.apply(store, args), timeoutMs).catch((cause: unknown) => {
      if (cause instanceof OAuthError) throw cause
      onFailure(method, cause)
      throw new StoreUnavailableError('the store of the logins does not answer; try again in a moment', { reason: method, retryAfter: 1 })
    })
  return {
    get: bounded('get', store.get),
    set: bounded('set', store.set),
    take: bounded('take', store.take),
    touch: bounded('touch', store.touch),
    delete: bounded('delete', store.delete),
    ...(store.begin !== undefined && store.end !== undefined && {
      begin: bounded('begin', store.begin),
      end: bounded('end', store.end)
    }),
    ...(store.inspect !== undefined && { inspect: bounded('inspect', store.inspect) })
  }
}

/** Rejects when `work` takes longer than `timeoutMs` milliseconds; what the work itself does later is ignored. */
export function withTimeout<T> (work: () => Promise<T>, timeoutMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
    const settle = <V>(done: (value: V) => void) => (value: V) => {
      clearTimeout(timer)
      done(value)
    }
    work().then(settle(resolve), settle(reject))
  })
}
