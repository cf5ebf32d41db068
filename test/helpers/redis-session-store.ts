/** What is used of a node-redis client. */
interface Client {
  get (key: string): Promise<unknown>
  set (key: string, value: string, options: { PX: number }): Promise<unknown>
  del (key: string): Promise<unknown>
}

type Callback<T = void> = (error: unknown, value?: T) => void

/** A session store on Redis with nothing but get, set and destroy, as small as such stores come. */
export class RedisSessionStore {
  readonly #client: Client
  readonly #prefix: string

  constructor (client: Client, prefix = 'session:') {
    this.#client = client
    this.#prefix = prefix
  }

  get (id: string, callback: Callback<unknown>): void {
    this.#client
      .get(this.#prefix + id)
      .then(text => callback(null, text === null ? null : JSON.parse(String(text))), callback)
  }

  set (id: string, session: { cookie?: { expires?: string | Date | null } }, callback: Callback): void {
    const expires = session.cookie?.expires
    const ttl =
      expires === null || expires === undefined ? 86_400_000 : Math.max(1, new Date(expires).getTime() - Date.now())
    this.#client.set(this.#prefix + id, JSON.stringify(session), { PX: ttl }).then(() => callback(null), callback)
  }

  destroy (id: string, callback: Callback): void {
    this.#client.del(this.#prefix + id).then(() => callback(null), callback)
  }
}
