import type { TokenStore } from '../../lib/index.ts'

type SharedStore = Required<TokenStore>

/** A store that does what another does, but for what is given: to hold, to count, or to fail. */
export function wrappedStore (store: TokenStore, instead: (store: SharedStore) => Partial<TokenStore>): TokenStore {
  const inner = store as SharedStore
  return {
    get: id => inner.get(id),
    set: (id, record, options) => inner.set(id, record, options),
    take: id => inner.take(id),
    touch: (id, options) => inner.touch(id, options),
    delete: id => inner.delete(id),
    begin: (id, intent) => inner.begin(id, intent),
    end: (id, outcome) => inner.end(id, outcome),
    inspect: () => inner.inspect(),
    ...instead(inner)
  }
}
