import type { StoredRecord, TokenStore } from '../../lib/index.ts'

interface Entry {
  json: string
  /** Epoch milliseconds. */
  until: number
  lease?: { owner: string, until: number } | undefined
}

/** A token store in memory with every method that one may have; each is one atomic step, as nothing in it waits. */
export function wholeStore (): Required<TokenStore> {
  /** null marks what was deleted. */
  const entries = new Map<string, Entry | null>()
  const sets = new Map<string, Map<string, string>>()
  const entryOf = (id: string) => {
    const entry = entries.get(id)
    return entry != null && entry.until > Date.now() ? entry : undefined
  }
  const read = (id: string) => {
    const entry = entryOf(id)
    return entry === undefined ? undefined : JSON.parse(entry.json) as StoredRecord
  }
  const write = (id: string, record: StoredRecord, ttl: number) => {
    entries.set(id, { json: JSON.stringify(record), until: Date.now() + ttl * 1000 })
    return true
  }
  const take = (id: string, mark: (id: string) => void) => {
    const record = read(id)
    if (record !== undefined) mark(id)
    return record
  }
  return {
    get: async id => read(id),
    set: async (id, record, { ttl, expectedVersion, onlyIfUnlocked }) => {
      if (entries.get(id) === null) return false
      if (expectedVersion !== undefined && (read(id)?.version ?? 0) !== expectedVersion) return false
      const isLocked = (entryOf(id)?.lease?.until ?? 0) > Date.now()
      return !(isLocked && onlyIfUnlocked === true) && write(id, record, ttl)
    },
    consume: async id => take(id, id => entries.delete(id)),
    touch: async (id, { ttl }) => {
      const entry = entryOf(id)
      if (entry !== undefined) entry.until = Date.now() + ttl * 1000
    },
    delete: async (id) => { entries.set(id, null) },
    remove: async id => take(id, id => entries.set(id, null)),
    acquireRefresh: async (id, { owner, until, version, takeOver = true }) => {
      const entry = entryOf(id)
      const record = read(id)
      if (entry === undefined || record === undefined) return { state: 'gone' }
      if (version !== undefined && record.version !== version) return { state: 'newer', record }
      const { lease } = entry
      const isOther = lease !== undefined && lease.owner !== owner
      if (isOther && (lease.until > Date.now() || !takeOver)) return { state: 'busy', record, until: lease.until }
      entry.lease = { owner, until }
      return { state: 'begun', record, abandoned: isOther }
    },
    finishRefresh: async (id, { owner, record, ttl }) => {
      const entry = entryOf(id)
      if (entry?.lease?.owner !== owner) return false
      entry.lease = undefined
      return record === undefined || write(id, record, ttl)
    },
    addMember: async (id, member, value, { onlyIfPresent }) => {
      const members = sets.get(id) ?? new Map<string, string>()
      if (onlyIfPresent === true && !members.has(member)) return false
      sets.set(id, members.set(member, JSON.stringify(value)))
      return true
    },
    removeMembers: async (id, members) => { for (const member of members) sets.get(id)?.delete(member) },
    members: async id => [...sets.get(id) ?? []].map(([member, json]) => [member, JSON.parse(json)]),
    inspect: async () => []
  }
}
