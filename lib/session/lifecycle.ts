import { accountsOf, ttlOf, type SessionObject } from './accounts.ts'
import type { TokenRecords } from './token-records.ts'

/** What a request's session pointed to when it was loaded. */
export interface LoadedRecords {
  sessionId: string
  records: string[]
}

/** Notes what a session points to; undefined, at the price of one property, where nobody is logged in. */
export function loadedRecords (session: SessionObject | null | undefined): LoadedRecords | undefined {
  const accounts = accountsOf(session)
  if (accounts === undefined) return undefined
  return { sessionId: session!.sessionId, records: Object.values(accounts.accounts).map(({ record }) => record) }
}

/**
 * Makes token records follow their session at the end of a request: deleted where the app destroyed or regenerated
 * the session (or took the login out of it), kept alive where the session was saved.
 */
export async function followSession (records: TokenRecords, loaded: LoadedRecords | undefined, session: SessionObject | null | undefined): Promise<void> {
  const accounts = accountsOf(session)
  const current = accounts === undefined ? [] : Object.values(accounts.accounts).map(({ record }) => record)
  const left = loaded?.records.filter(record => !current.includes(record)) ?? []
  const alive = current.length > 0 && session?.isSaved() === true ? current : []
  await Promise.all([
    ...left.map(record => records.remove(record)),
    ...alive.map(record => records.keepAlive(record, ttlOf(session!)))
  ])
}
