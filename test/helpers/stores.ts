import { Gate } from './gate.ts'

export type StoreMethod = 'get' | 'set' | 'destroy'

type Callback<T = unknown> = (error?: Error | null, value?: T) => void

interface StoredSession {
  cookie?: { expires?: string | Date | null }
}

interface Hold {
  readonly method: StoreMethod
  readonly matches: (sessionId: string) => boolean
  readonly gate: Gate<string>
  readonly afterwards: boolean
}

/**
 * A session store as they are over a network: values are copied through JSON (@fastify/session's MemoryStore hands out
 * the live object, which hides lost updates), answers come later, and it can be broken.
 */
export class JsonStore {
  /** Session id → JSON, as it would stand in the database. */
  readonly records = new Map<string, string>()
  /** How often each method was called. */
  readonly calls: Record<StoreMethod, number> = { get: 0, set: 0, destroy: 0 }
  /** Methods that answer with an error from now on. */
  readonly fail: Record<StoreMethod, boolean> = { get: false, set: false, destroy: false }
  /** Methods that never answer, and do nothing, from now on. */
  readonly hang: Record<StoreMethod, boolean> = { get: false, set: false, destroy: false }
  readonly #holds: Hold[] = []

  get (sessionId: string, callback: Callback<any>): void {
    this.#run('get', sessionId, callback, () => this.peek(sessionId) ?? null)
  }

  set (sessionId: string, session: object, callback: Callback): void {
    // Now, not when the write is done: the caller goes on changing its object.
    const json = JSON.stringify(session)
    this.#run('set', sessionId, callback, () => { this.records.set(sessionId, json) })
  }

  destroy (sessionId: string, callback: Callback): void {
    this.#run('destroy', sessionId, callback, () => { this.records.delete(sessionId) })
  }

  /** What `get` would answer, at once and without being counted; undefined for nothing. */
  peek<T extends object = Record<string, any>> (sessionId: string): T | undefined {
    const json = this.records.get(sessionId)
    if (json === undefined) return undefined
    // Tests put all kinds of values in a session's place.
    const session = JSON.parse(json) as StoredSession | null
    const expires = session?.cookie?.expires
    if (typeof expires !== 'object' && new Date(expires ?? Infinity).getTime() <= Date.now()) {
      this.records.delete(sessionId)
      return undefined
    }
    return session as T
  }

  /**
   * Holds the next call of a method (for an id that matches) until the gate is released: before the store has acted,
   * or with `afterwards` when it has and only its answer is on the way.
   */
  holdNext (
    method: StoreMethod, matches: (sessionId: string) => boolean = () => true, { afterwards = false } = {}
  ): Gate<string> {
    const gate = new Gate<string>()
    this.#holds.push({ method, matches, gate, afterwards })
    return gate
  }

  async #run<T> (method: StoreMethod, sessionId: string, callback: Callback<T>, act: () => T): Promise<void> {
    this.calls[method]++
    const hold = this.#takeHold(method, sessionId)
    if (hold?.afterwards === false) await hold.gate.pass(sessionId)
    if (this.hang[method]) return
    // What a driver says: the address in it must not reach the user.
    const error = this.fail[method]
      ? Object.assign(new Error('connect ECONNREFUSED 10.1.2.3:6379'), { code: 'ECONNREFUSED' })
      : null
    const value = error === null ? act() : undefined
    if (hold?.afterwards === true) await hold.gate.pass(sessionId)
    setImmediate(callback, error, value)
  }

  #takeHold (method: StoreMethod, sessionId: string): Hold | undefined {
    const at = this.#holds.findIndex((hold) => hold.method === method && hold.matches(sessionId))
    return at === -1 ? undefined : this.#holds.splice(at, 1)[0]
  }
}
