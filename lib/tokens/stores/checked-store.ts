import { OAuthError, StoreUnavailableError } from '../../errors.ts'
import { BoundedMap } from '../../util/bounded-map.ts'
import { isObject } from '../../util/is-object.ts'
import { withTimeout } from '../../util/timeout.ts'
import { channels, traced } from '../../util/tracing.ts'
import {
  type AcquireRefreshResult, hasMembers, type MemberStore, type RefreshLease, type StoredRecord, type TokenStore
} from './token-store.ts'

/** Levels of objects in a record. Deeper ones are no claims, and cannot be written again. */
const MAX_DEPTH = 64
/** Ids that are remembered as unreadable, so that each is reported once. */
const MAX_REPORTED = 1_000

export interface StoreChecks {
  /** Milliseconds for one call. */
  timeoutMs: number
  /** Kind of record, as its id says it → whether a value is such a record. */
  isOfKind: Readonly<Record<string, (record: StoredRecord) => boolean>>
  /** Called with the method and the store's own error. */
  onFailure: (method: string, cause: unknown) => void
  /** Called once for each id, with the kind of record that was looked for. */
  onUnreadable: (kind: string) => void
}

/**
 * Checks what a store does and returns. Each call has a time limit, and its failure is one typed error that holds no
 * address of the store. A value that is not a record of the kind that its id says (written by another program, or only
 * a part of a record) is treated as missing. A store of the app's own may return null for a missing record, and nothing
 * from `set`.
 * @throws FST_OAUTH_STORE_UNAVAILABLE
 */
export function checkedStore (store: TokenStore, checks: StoreChecks): TokenStore {
  const bounded = boundedCalls(store, checks)
  const reader = new RecordReader(checks)
  const get = bounded('get', store.get)
  const set = bounded('set', store.set)
  const consume = bounded('consume', store.consume)
  const checked: TokenStore = {
    get: async id => reader.read(id, await get(id)),
    set: async (...args) => await set(...args) as boolean | undefined !== false,
    consume: async id => reader.read(id, await consume(id)),
    touch: bounded('touch', store.touch),
    delete: bounded('delete', store.delete)
  }
  if (store.remove !== undefined) {
    const remove = bounded('remove', store.remove)
    checked.remove = async id => reader.read(id, await remove(id))
  }
  if (store.inspect !== undefined) checked.inspect = bounded('inspect', store.inspect)
  if (hasMembers(store)) Object.assign(checked, memberMethods(store, bounded, reader))
  if (store.acquireRefresh === undefined || store.finishRefresh === undefined) return checked
  const acquireRefresh = bounded('acquireRefresh', store.acquireRefresh)
  checked.finishRefresh = bounded('finishRefresh', store.finishRefresh)
  checked.acquireRefresh = async (id: string, lease: RefreshLease): Promise<AcquireRefreshResult> => {
    const result = await acquireRefresh(id, lease)
    if (result.state === 'gone') return result
    const record = reader.read(id, result.record)
    return record === undefined ? { state: 'gone' } : { ...result, record }
  }
  return checked
}

/** Makes a method of a store one with a time limit and the typed error. */
type Bounded = <A extends unknown[], T>(
  method: keyof TokenStore, call: (...args: A) => Promise<T>
) => (...args: A) => Promise<T>

function boundedCalls (store: TokenStore, { timeoutMs, onFailure }: StoreChecks): Bounded {
  return <A extends unknown[], T>(method: keyof TokenStore, call: (...args: A) => Promise<T>) => {
    const limited = (args: A) => withTimeout(() => call.apply(store, args), timeoutMs).catch((cause: unknown) => {
      if (cause instanceof OAuthError) throw cause
      onFailure(method, cause)
      const message = 'the store of the logins does not answer; try again in a moment'
      throw new StoreUnavailableError(message, { reason: method, retryAfter: 1 })
    })
    return (...args: A): Promise<T> => {
      if (!channels.store.hasSubscribers) return limited(args)
      return traced(channels.store, { store: 'tokens', method }, 'succeeded', () => limited(args))
    }
  }
}

/** Takes values of a store for records if they are of the kind that their id says, and reports the others. */
class RecordReader {
  readonly #isOfKind: StoreChecks['isOfKind']
  readonly #onUnreadable: StoreChecks['onUnreadable']
  readonly #reported = new BoundedMap<string, true>(MAX_REPORTED)

  constructor ({ isOfKind, onUnreadable }: StoreChecks) {
    this.#isOfKind = isOfKind
    this.#onUnreadable = onUnreadable
  }

  read (id: string, value: unknown): StoredRecord | undefined {
    if (value === undefined || value === null) return undefined
    if (isStoredRecord(value) && this.#isOfKind[kindOf(id)]?.(value) !== false) return value
    this.report(id)
    return undefined
  }

  report (id: string): void {
    if (this.#reported.has(id)) return
    this.#reported.set(id, true)
    this.#onUnreadable(kindOf(id))
  }
}

function memberMethods (store: MemberStore, bounded: Bounded, reader: RecordReader): MemberStore {
  const addMember = bounded('addMember', store.addMember)
  const members = bounded('members', store.members)
  return {
    addMember: async (...args) => await addMember(...args) as boolean | undefined !== false,
    removeMembers: bounded('removeMembers', store.removeMembers),
    members: async (id) => {
      const found = await members(id)
      const good = found.filter(([, value]) => isObject(value) && isShallow(value, MAX_DEPTH))
      if (good.length < found.length) reader.report(id)
      return good
    }
  }
}

function isStoredRecord (value: unknown): value is StoredRecord {
  const { version } = Object(value) as { version?: unknown }
  const isVersion = Number.isSafeInteger(version) && (version as number) >= 0
  return isVersion && isObject(value) && isShallow(value, MAX_DEPTH)
}

function isShallow (value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return true
  return depth > 0 && Object.values(value).every(member => isShallow(member, depth - 1))
}

/** The kind of record that an id stands for: ids of token records are bare, others begin with their kind. */
function kindOf (id: string): string {
  const colon = id.indexOf(':')
  return colon < 0 ? 'tokens' : id.slice(0, colon)
}
