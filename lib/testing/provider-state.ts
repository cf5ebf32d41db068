import type { Adapter } from './oidc-types.ts'

type Payload = Record<string, unknown>

/**
 * Everything that one provider knows, in one Map. Records go in and out as JSON, as they would with a database: the
 * adapter that comes with oidc-provider hands out live objects. There is no expiry here, oidc-provider checks `exp`.
 */
export class ProviderState {
  readonly #records = new Map<string, string>()

  /** For oidc-provider's `adapter` option, which asks once for each model. */
  adapter (model: string): Adapter {
    const records = this.#records
    const key = (id: string) => `${model}:${id}`
    const read = (id: string) => {
      const json = records.get(key(id))
      return json === undefined ? undefined : JSON.parse(json) as Payload
    }
    const findBy = (member: string, value: string) =>
      this.entries(model).find(({ payload }) => payload[member] === value)?.payload

    return {
      async upsert (id, payload) { records.set(key(id), JSON.stringify(payload)) },
      async find (id) { return read(id) },
      async findByUid (uid) { return findBy('uid', uid) },
      async findByUserCode (userCode) { return findBy('userCode', userCode) },
      async consume (id) {
        records.set(key(id), JSON.stringify({ ...read(id), consumed: Math.floor(Date.now() / 1000) }))
      },
      async destroy (id) { records.delete(key(id)) },
      revokeByGrantId: async (grantId) => { this.remove(model, (payload) => payload.grantId === grantId) },
    }
  }

  entries (model: string): Array<{ id: string, payload: Payload }> {
    const prefix = `${model}:`
    return [...this.#records]
      .filter(([key]) => key.startsWith(prefix))
      .map(([key, json]) => ({ id: key.slice(prefix.length), payload: JSON.parse(json) as Payload }))
  }

  /** Deletes the records of a model that match, and returns how many there were. */
  remove (model: string, matches: (payload: Payload) => boolean = () => true): number {
    const found = this.entries(model).filter(({ payload }) => matches(payload))
    for (const { id } of found) this.#records.delete(`${model}:${id}`)
    return found.length
  }
}
