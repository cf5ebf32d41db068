import { BoundedMap } from '../../util/bounded-map.ts'
import type { AcquireRefreshResult, StoredRecord, TokenStore } from './token-store.ts'

/** Levels of objects in a record. Deeper ones are nobody's claims, and cannot be written again. */
const MAX_DEPTH = 64
/** Ids that are remembered as unreadable, so that each is told once. */
const MAX_TOLD = 1_000

/**
 * Hands out what is a record of its kind, and nothing else: whatever stands under an id in its place (another kind of
 * value, a part of a record, what another program wrote) counts as not there.
 * @param isOfKind kind of record, as its id says it → whether a value is such a record
 * @param onUnreadable called once for each id, with the kind of record that was looked for
 */
export function readableStore (
  store: TokenStore,
  isOfKind: Readonly<Record<string, (record: StoredRecord) => boolean>>,
  onUnreadable: (kind: string) => void
): TokenStore {
  const told = new BoundedMap<string, true>(MAX_TOLD)
  const readable = (id: string, value: unknown): StoredRecord | undefined => {
    if (value === undefined || value === null) return undefined
    if (isStoredRecord(value) && isOfKind[kindOf(id)]?.(value) !== false) return value
    if (!told.has(id)) {
      told.set(id, true)
      onUnreadable(kindOf(id))
    }
    return undefined
  }
  const { acquireRefresh } = store
  return {
    ...store,
    get: async id => readable(id, await store.get(id)),
    consume: async id => readable(id, await store.consume(id)),
    ...(acquireRefresh !== undefined && {
      acquireRefresh: async (
        id: string,
        intent: Parameters<typeof acquireRefresh>[1]
      ): Promise<AcquireRefreshResult> => {
        const result = await acquireRefresh(id, intent)
        if (result.state === 'gone') return result
        const record = readable(id, result.record)
        return record === undefined ? { state: 'gone' } : { ...result, record }
      }
    })
  }
}

function isStoredRecord (value: unknown): value is StoredRecord {
  const { version } = Object(value) as { version?: unknown }
  const isVersion = Number.isSafeInteger(version) && (version as number) >= 0
  return isVersion && !Array.isArray(value) && isShallow(value, MAX_DEPTH)
}

function isShallow (value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return true
  return depth > 0 && Object.values(value).every(member => isShallow(member, depth - 1))
}

/** What an id is of: ids of token records are bare, the others say it. */
function kindOf (id: string): string {
  const colon = id.indexOf(':')
  return colon < 0 ? 'tokens' : id.slice(0, colon)
}
