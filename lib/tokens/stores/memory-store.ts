import type { LocalStore, StoredRecord } from './token-store.ts'

/** Keeps records in this process for as long as it lives: for sessions without a request and the app's own clients. */
export class MemoryTokenStore implements LocalStore {
  readonly keepsObjects = true
  readonly #records = new Map<string, StoredRecord>()

  peek (id: string): StoredRecord | undefined {
    return this.#records.get(id)
  }

  /** Writes without waiting. */
  put (id: string, record: StoredRecord): void {
    this.#records.set(id, record)
  }

  async get (id: string): Promise<StoredRecord | undefined> {
    return this.#records.get(id)
  }

  async set (
    id: string,
    record: StoredRecord,
    { expectedVersion }: { ttl: number, expectedVersion?: number }
  ): Promise<boolean> {
    if (expectedVersion !== undefined && (this.#records.get(id)?.version ?? 0) !== expectedVersion) return false
    this.#records.set(id, record)
    return true
  }

  async consume (id: string): Promise<StoredRecord | undefined> {
    const record = this.#records.get(id)
    this.#records.delete(id)
    return record
  }

  async touch (): Promise<void> {}

  async delete (id: string): Promise<void> {
    this.#records.delete(id)
  }
}
