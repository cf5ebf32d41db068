/** Milliseconds for which a deleted record cannot be written again: longer than any refresh that was under way. */
export const TOMBSTONE_MS = 600_000

/** What a store keeps under an id; only `version` has a meaning to the store. */
export interface StoredRecord {
  /** Counts the writes of a record, from 1; 0 for what is written once (a pending login). */
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
   * Epoch milliseconds until which no other owner may use the refresh token. Not in the future: the owner gives the
   * lease up; the next owner finds it abandoned, and no response is left that is not written.
   */
  until: number
  /** The version to replace; where another one stands there, no lease is taken. */
  version?: number
  /**
   * False: a lease whose time is over, and whose owner has not given it up, is still `busy`. The store may have been
   * away, and that owner may be about to write its response. Default true.
   */
  takeOver?: boolean
}

/** What `acquireRefresh` found. */
export type AcquireRefreshResult =
  /** The lease is the caller's, which may use the refresh token. `abandoned`: an earlier owner never finished. */
  | { state: 'begun', record: StoredRecord, abandoned: boolean }
  /** Another owner has it until then (epoch milliseconds). */
  | { state: 'busy', record: StoredRecord, until: number }
  /** Another version stands there already. */
  | { state: 'newer', record: StoredRecord }
  /** There is no record. */
  | { state: 'gone' }

/**
 * Where token records and pending logins live. Every method may reject; no call is repeated. `acquireRefresh` and
 * `finishRefresh` are for stores that several processes share: the two halves of a refresh, each one atomic step.
 * `addMember`, `removeMembers` and `members` keep sets, by which the sessions of a user are found. Where a store lacks
 * one of the three, sets are kept in records: several calls for each change, and more of them for a large set.
 */
export interface TokenStore {
  /** Reads a record. */
  get (id: string): Promise<StoredRecord | undefined>
  /**
   * Writes a record, and ends any lease on it.
   * @param options.ttl seconds that it is kept
   * @param options.expectedVersion the version that must stand there; 0 creates
   * @param options.onlyIfUnlocked do not write where a lease stands
   * @returns false where another writer was first, or where the record has been deleted
   */
  set(
    id: string, record: StoredRecord, options: { ttl: number, expectedVersion?: number, onlyIfUnlocked?: boolean }
  ): Promise<boolean>
  /** Reads and deletes as one step: of many callers, one gets the record. */
  consume (id: string): Promise<StoredRecord | undefined>
  /** Keeps a record for `ttl` more seconds. */
  touch (id: string, options: { ttl: number }): Promise<void>
  /** Deletes a record for good: a later `set` or `finishRefresh` returns false. */
  delete (id: string): Promise<void>
  /** `consume` and `delete` as one step, which saves the store a call. */
  remove? (id: string): Promise<StoredRecord | undefined>
  /**
   * Takes the lease on a record, unless another owner has it. Called again by the same owner, it extends the lease.
   */
  acquireRefresh? (id: string, lease: RefreshLease): Promise<AcquireRefreshResult>
  /**
   * Ends the caller's lease, and with `record` writes the outcome of the refresh.
   * @param outcome.ttl seconds that the record is kept
   * @returns false where the lease is not (or no longer) the caller's
   */
  finishRefresh? (id: string, outcome: { owner: string, record?: StoredRecord, ttl: number }): Promise<boolean>
  /**
   * Adds a member to a set, or replaces what is kept of it, as one atomic step. The set exists as long as it has a
   * member. The time that this takes must not grow with the number of members.
   * @param id of the set
   * @param member unique within the set
   * @param options.ttl seconds that this member is kept
   * @param options.onlyIfPresent do not add a member that is not in the set (any more)
   * @returns false where `onlyIfPresent` was given and the member is not there
   */
  addMember? (
    id: string, member: string, value: StoredMember, options: { ttl: number, onlyIfPresent?: boolean }
  ): Promise<boolean>
  /** Removes members from a set, those that are there. */
  removeMembers? (id: string, members: readonly string[]): Promise<void>
  /**
   * The members of a set whose time is not over, in any order.
   * @returns each member's name and what is kept of it; empty where there is no such set
   */
  members? (id: string): Promise<[member: string, value: StoredMember][]>
  /** Looks for settings that would lose records; each finding is a sentence for the log. Called once, at start. */
  inspect? (): Promise<string[]>
}

/** A store in the memory of this process. */
export interface LocalStore extends TokenStore {
  /** Records need no other form here: they are never changed, and one object serves all. */
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
