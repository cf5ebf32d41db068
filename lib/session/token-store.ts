/** What a store keeps under an id: data of ours, opaque to the store but for its version. */
export interface StoredRecord {
  /** Counts the writes of a record, from 1; 0 for what is written once (a pending login). */
  version: number
  [member: string]: unknown
}

/** What `begin` found. */
export type BeginResult =
  /** The intent is set: the caller may send the refresh. `unfinished`: an earlier holder never came back. */
  | { state: 'begun', record: StoredRecord, unfinished: boolean }
  /** Another holder is at work until then (epoch milliseconds). */
  | { state: 'busy', record: StoredRecord, until: number }
  | { state: 'gone' }

/**
 * Where token records and pending logins live. Every method may reject; nothing is retried.
 * `begin` and `end` are for stores that several processes share: both halves of a refresh, each one atomic step.
 */
export interface TokenStore {
  /** Reads a record. */
  get (id: string): Promise<StoredRecord | undefined>
  /**
   * Writes a record.
   * @param options.ttl seconds that it is kept
   * @param options.expectedVersion the version that must stand there; 0 creates
   * @returns false where another writer was first, or where the record has been deleted
   */
  set (id: string, record: StoredRecord, options: { ttl: number, expectedVersion?: number }): Promise<boolean>
  /** Reads and deletes as one step: of many callers, one gets the record. */
  take (id: string): Promise<StoredRecord | undefined>
  /** Keeps a record alive for `ttl` more seconds. */
  touch (id: string, options: { ttl: number }): Promise<void>
  /** Deletes a record for good: a `set` that comes later with an `expectedVersion` other than 0 returns false. */
  delete (id: string): Promise<void>
  /** Announces a refresh, unless another holder is at work. `until` in epoch milliseconds. */
  begin? (id: string, intent: { owner: string, until: number }): Promise<BeginResult>
  /** Writes a refresh's outcome, and only while the intent is the caller's own. */
  end? (id: string, outcome: { owner: string, record: StoredRecord, ttl: number }): Promise<boolean>
}
