/** Milliseconds for which a deleted record cannot be written again: longer than a refresh can take. */
export const TOMBSTONE_MS = 600_000

/** What a store keeps under an id. The store reads `version` only. */
export interface StoredRecord {
  /** Counts the writes of a record, from 1; 0 for records that are written once (a pending login). */
  version: number
  [member: string]: unknown
}

/** What a store keeps of one member of a set: text, numbers, lists and objects, as in a record. */
export type StoredMember = Record<string, unknown>

/** The right of one process to use a record's refresh token, for a short time. */
export interface RefreshLease {
  /** Random; one for each refresh. */
  owner: string
  /**
   * Epoch milliseconds until which no other owner may use the refresh token. A time that is not in the future gives the
   * lease up: the next owner finds it abandoned, and need not wait for a response that is still to be written.
   */
  until: number
  /** The version to replace; if the store has another version, no lease is taken. */
  version?: number
  /**
   * False: an expired lease whose owner has not given it up is still `busy`, because the store may have been
   * unavailable, and that owner may be about to write its response. Default true.
   */
  takeOver?: boolean
}

/** What `acquireRefresh` found. */
export type AcquireRefreshResult =
  /** The caller has the lease, and may use the refresh token. `abandoned`: an earlier owner never finished. */
  | { state: 'begun', record: StoredRecord, abandoned: boolean }
  /** Another owner has the lease, until `until` (epoch milliseconds). */
  | { state: 'busy', record: StoredRecord, until: number }
  /** The store has another version than the one to replace. */
  | { state: 'newer', record: StoredRecord }
  /** There is no record. */
  | { state: 'gone' }

/**
 * Stores token records and pending logins. Every method may reject; no call is repeated. `acquireRefresh` and
 * `finishRefresh` are for stores that several processes share: the two halves of a refresh, each of them atomic.
 * `addMember`, `removeMembers` and `members` keep sets, by which the sessions of a user are found. If a store lacks
 * one of the three, sets are kept in records, which takes several calls for each change, and more for a large set.
 * `checkTokenStore` of `fastify-oauth-session/testing` checks a store against this contract.
 */
export interface TokenStore {
  /** Reads a record. */
  get (id: string): Promise<StoredRecord | undefined>
  /**
   * Writes a record, and ends any lease on it.
   * @param options.ttl seconds that it is kept
   * @param options.expectedVersion the version that the store must have; 0: there must be no record
   * @param options.onlyIfUnlocked do not write while there is a lease on the record
   * @returns false if another writer was first, or if the record has been deleted
   */
  set(
    id: string, record: StoredRecord, options: { ttl: number, expectedVersion?: number, onlyIfUnlocked?: boolean }
  ): Promise<boolean>
  /** Reads and deletes in one atomic step: of several callers, one gets the record. */
  consume (id: string): Promise<StoredRecord | undefined>
  /** Keeps a record for `ttl` seconds from now on. */
  touch (id: string, options: { ttl: number }): Promise<void>
  /** Deletes a record for good: a later `set` or `finishRefresh` returns false. */
  delete (id: string): Promise<void>
  /** `consume` and `delete` in one call. */
  remove? (id: string): Promise<StoredRecord | undefined>
  /**
   * Takes the lease on a record, unless another owner has it. Called again by the same owner, it extends the lease.
   */
  acquireRefresh? (id: string, lease: RefreshLease): Promise<AcquireRefreshResult>
  /**
   * Ends the caller's lease and, if `record` is given, writes it: the outcome of the refresh.
   * @param outcome.ttl seconds that the record is kept
   * @returns false if the lease is not (or no longer) the caller's
   */
  finishRefresh? (id: string, outcome: { owner: string, record?: StoredRecord, ttl: number }): Promise<boolean>
  /**
   * Adds a member to a set, or replaces its value, in one atomic step. The set exists as long as it has members. The
   * time that this takes must not grow with the number of members.
   * @param id of the set
   * @param member unique within the set
   * @param options.ttl seconds that this member is kept
   * @param options.onlyIfPresent replace the value of a member only, do not add one
   * @returns false if `onlyIfPresent` is given and the set does not have the member
   */
  addMember? (
    id: string, member: string, value: StoredMember, options: { ttl: number, onlyIfPresent?: boolean }
  ): Promise<boolean>
  /** Removes members from a set; those that it does not have are ignored. */
  removeMembers? (id: string, members: readonly string[]): Promise<void>
  /**
   * The members of a set that have not expired, in any order.
   * @returns each member's name and value; empty if there is no such set
   */
  members? (id: string): Promise<[member: string, value: StoredMember][]>
  /** Looks for settings that would lose records; each finding is a sentence for the log. Called once, at start. */
  inspect? (): Promise<string[]>
}

/** A store in the memory of this process. */
export interface LocalStore extends TokenStore {
  /** Records need not be copied or serialized: they are never changed. */
  readonly keepsObjects: true
  /** Reads without waiting. */
  peek (id: string): StoredRecord | undefined
}

/** Whether a store is in the memory of this process. */
export function isLocal (store: TokenStore): store is LocalStore {
  return (store as Partial<LocalStore>).keepsObjects === true
}

/** A store that keeps sets. */
export type MemberStore = Required<Pick<TokenStore, 'addMember' | 'removeMembers' | 'members'>>

/** Whether a store keeps sets itself. */
export function hasMembers<S extends TokenStore> (store: S): store is S & MemberStore {
  return [store.addMember, store.removeMembers, store.members].every(method => method !== undefined)
}
