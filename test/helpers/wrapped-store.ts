import type { TokenStore } from '../../lib/index.ts'

type SharedStore = Required<TokenStore>

/** A store that does what another does, but for what is given: to hold, to count, or to fail. */
export function wrappedStore (store: TokenStore, instead: (store: SharedStore) => Partial<TokenStore>): TokenStore {
  const inner = store as SharedStore
  return {
    get: id => inner.get(id),
    set: (id, record, options) => inner.set(id, record, options),
    consume: id => inner.consume(id),
    touch: (id, options) => inner.touch(id, options),
    delete: id => inner.delete(id),
    acquireRefresh: (id, intent) => inner.acquireRefresh(id, intent),
    finishRefresh: (id, outcome) => inner.finishRefresh(id, outcome),
    inspect: () => inner.inspect(),
    ...instead(inner)
  }
}
