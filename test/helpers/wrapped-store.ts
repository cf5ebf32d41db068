import type { TokenStore } from '../../lib/index.ts'
import { hasMembers } from '../../lib/tokens/stores/token-store.ts'

type SharedStore = Required<TokenStore>

/** A store whose methods are another's, but for those given: to hold, to count, or to fail. */
export function wrappedStore (store: TokenStore, instead: (store: SharedStore) => Partial<TokenStore>): TokenStore {
  const inner = store as SharedStore
  return {
    get: id => inner.get(id),
    set: (id, record, options) => inner.set(id, record, options),
    consume: id => inner.consume(id),
    touch: (id, options) => inner.touch(id, options),
    delete: id => inner.delete(id),
    ...(store.acquireRefresh !== undefined && {
      acquireRefresh: (id, lease) => inner.acquireRefresh(id, lease),
      finishRefresh: (id, outcome) => inner.finishRefresh(id, outcome)
    }),
    ...(store.inspect !== undefined && { inspect: () => inner.inspect() }),
    ...(hasMembers(store) && {
      addMember: (id, member, value, options) => inner.addMember(id, member, value, options),
      removeMembers: (id, members) => inner.removeMembers(id, members),
      members: id => inner.members(id)
    }),
    ...instead(inner)
  }
}

/** The methods of a refresh, which fail while the store cannot be reached. */
export function unlessAway (store: SharedStore, isAway: () => boolean) {
  const failing = <A extends unknown[], T>(method: (...args: A) => Promise<T>) => async (...args: A) => {
    if (isAway()) throw new Error('connection lost')
    return await method.apply(store, args)
  }
  return {
    get: failing(store.get),
    set: failing(store.set),
    acquireRefresh: failing(store.acquireRefresh),
    finishRefresh: failing(store.finishRefresh)
  }
}
