/** What a store keeps under an id: data of ours, opaque to the store but for its version. */
export interface StoredRecord {
  /** Counts the writes of a record, from 1; 0 for what is written once (a pending login). */
  version: number
  [member: string]: unknown
}

/** Announces that somebody is about to use a record's refresh token. */
export interface RefreshLease {
  /** Random; one for each refresh. */
  owner: string
  /**
   * Epoch milliseconds until which nobody else may send the refresh token. Not in the future: the owner gives up; the
   * intent is unfinished then, and its owner holds no answer that it has not written.
   */
  until: number
  /** The version to replace; where another stands there, no intent is left. */
  version?: number
  /**
   * False: an intent whose time is over, and whose owner has not given it up, is `busy` still. The store may have been
   * away, and its owner may be about to write what it got. Default true.
   */
  takeOver?: boolean
}

/** What `acquireRefresh` found. */
export type AcquireRefreshResult =
  /** The intent is set: the caller may send the refresh token. `unfinished`: an earlier holder never came back. */
  | { state: 'begun', record: StoredRecord, abandoned: boolean }
  /** Another holder is at work until then (epoch milliseconds). */
  | { state: 'busy', record: StoredRecord, until: number }
  /** Another version stands there already. */
  | { state: 'newer', record: StoredRecord }
  | { state: 'gone' }

/**
 * Where token records and pending logins live. Every method may reject; nothing is retried. `acquireRefresh` and
 * `finishRefresh` are for stores that several processes share: the two halves of a refresh, each one atomic step.
 */
export interface TokenStore {
  /** Reads a record. */
  get (id: string): Promise<StoredRecord | undefined>
  /**
   * Writes a record, and ends any intent on it.
   * @param options.ttl seconds that it is kept
   * @param options.expectedVersion the version that must stand there; 0 creates
   * @param options.onlyIfUnlocked do not write where an intent stands
   * @returns false where another writer was first, or where the record has been deleted
   */
  set(
    id: string,
    record: StoredRecord,
    options: { ttl: number, expectedVersion?: number, onlyIfUnlocked?: boolean }
  ): Promise<boolean>
  /** Reads and deletes as one step: of many callers, one gets the record. */
  consume (id: string): Promise<StoredRecord | undefined>
  /** Keeps a record alive for `ttl` more seconds. */
  touch (id: string, options: { ttl: number }): Promise<void>
  /** Deletes a record for good: a `set` or `finishRefresh` that comes later returns false. */
  delete (id: string): Promise<void>
  /**
   * Announces a refresh, unless another holder is at work, or silent and `takeOver` false. Called again by the same
   * owner, it extends the intent.
   */
  acquireRefresh? (id: string, intent: RefreshLease): Promise<AcquireRefreshResult>
  /**
   * Ends the caller's own intent, and with `record` writes the outcome. False where the intent is not (or no longer)
   * the caller's.
   */
  finishRefresh? (id: string, outcome: { owner: string, record?: StoredRecord, ttl: number }): Promise<boolean>
  /**
   * Looks for settings that would lose what was stored; each finding is a sentence for the log. Asked once, at boot.
   */
  inspect? (): Promise<string[]>
}
