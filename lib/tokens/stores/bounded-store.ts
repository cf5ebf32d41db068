import { OAuthError, StoreUnavailableError } from '../../errors.ts'
import { withTimeout } from '../../util/timeout.ts'
import type { TokenStore } from './token-store.ts'

/**
 * Puts a time limit on every call of a store and turns its failures into one typed error, which holds no address. A
 * store of an app's own may answer null for what it has not, and nothing where it has written.
 * @param timeoutMs milliseconds
 * @throws FST_OAUTH_STORE_UNAVAILABLE
 */
export function boundedStore (
  store: TokenStore,
  timeoutMs: number,
  onFailure: (method: string, cause: unknown) => void
): TokenStore {
  const bounded =
    <A extends unknown[], T>(method: keyof TokenStore, call: (...args: A) => Promise<T>) =>
      (...args: A): Promise<T> =>
        withTimeout(() => call.apply(store, args), timeoutMs).catch((cause: unknown) => {
          if (cause instanceof OAuthError) throw cause
          onFailure(method, cause)
          throw new StoreUnavailableError('the store of the logins does not answer; try again in a moment', {
            reason: method,
            retryAfter: 1
          })
        })
  const get = bounded('get', store.get)
  const set = bounded('set', store.set)
  const take = bounded('consume', store.consume)
  return {
    get: async id => await get(id) ?? undefined,
    set: async (...args) => await set(...args) as boolean | undefined !== false,
    consume: async id => await take(id) ?? undefined,
    touch: bounded('touch', store.touch),
    delete: bounded('delete', store.delete),
    ...(store.acquireRefresh !== undefined && store.finishRefresh !== undefined && {
      acquireRefresh: bounded('acquireRefresh', store.acquireRefresh),
      finishRefresh: bounded('finishRefresh', store.finishRefresh)
    }),
    ...(store.inspect !== undefined && { inspect: bounded('inspect', store.inspect) })
  }
}

/**
 * What a log may hold of a store's failure. A parser quotes what it could not read, and that may be a token: of its
 * errors nothing is kept.
 */
export function describeFailure (cause: unknown): { code?: string, message: string } {
  const { name, code, message } = Object(cause) as { name?: unknown, code?: unknown, message?: unknown }
  const unreadable = name === 'SyntaxError' || typeof message !== 'string' || /\bJSON\b/i.test(message)
  return {
    ...(typeof code === 'string' && { code }),
    message: unreadable ? 'it holds something that cannot be read' : message
  }
}
