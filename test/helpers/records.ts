import type { JsonStore } from './stores.ts'

/** A token record as it stands in the session store. */
export interface StoredTokens {
  version: number
  tokens: { accessToken: string, refreshToken?: string, expiresAt?: number }
}

/** The token records of a store, by id; sessions and pending logins left out. */
export function tokenRecords (store: JsonStore): Map<string, StoredTokens> {
  const found = new Map<string, StoredTokens>()
  for (const [id, text] of store.records) {
    const { record } = JSON.parse(text) as { record?: StoredTokens }
    if (record?.tokens !== undefined) found.set(id, record)
  }
  return found
}

/** Makes every stored access token expire now, as if its time had passed. */
export function expireTokens (store: JsonStore): void {
  for (const [id, text] of store.records) {
    const envelope = JSON.parse(text) as { record?: StoredTokens }
    if (envelope.record?.tokens === undefined) continue
    envelope.record.tokens.expiresAt = Math.floor(Date.now() / 1000) - 10
    store.records.set(id, JSON.stringify(envelope))
  }
}
