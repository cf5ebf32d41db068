import type { TokenRecords } from '../tokens/records.ts'
import { loginIdOf, type SessionLogin, type SessionLogins } from './accounts.ts'
import { type SessionObject, ttlOf } from './fastify-session.ts'
import type { UserLogins } from './user-logins.ts'

/** What a request's session pointed to when it was loaded. */
export interface LoadedRecords {
  sessionId: string
  accounts: SessionLogin['accounts']
}

/** The login that a request's session held when it was loaded. */
export interface LoadedLogin extends LoadedRecords {
  login: SessionLogin
}

/** Notes what a session points to; undefined, at the price of one property, where nobody is logged in. */
export function loadedLogin (
  logins: SessionLogins,
  session: SessionObject | null | undefined
): LoadedLogin | undefined {
  const login = logins.of(session)
  return login === undefined ? undefined : { sessionId: session!.sessionId, accounts: login.accounts, login }
}

/** What following a session takes. */
export interface Followers {
  sessionLogins: SessionLogins
  records: TokenRecords
  userLogins: UserLogins
}

/**
 * Makes token records follow their session at the end of a request: deleted where the app destroyed or regenerated
 * the session (or took the login out of it), kept alive where the session was saved.
 */
export async function syncRecords (
  { sessionLogins, records, userLogins }: Followers,
  loaded: LoadedRecords | undefined,
  session: SessionObject | null | undefined
): Promise<void> {
  const login = sessionLogins.of(session)
  const id = login && loginIdOf(login)
  const current = Object.values(login?.accounts ?? {})
  const kept = new Set(current.map(({ recordId }) => recordId))
  for (const account of Object.values(loaded?.accounts ?? {})) {
    const { recordId } = account
    if (kept.has(recordId)) {
      // The app gave the login a new session id and took the login along.
      if (session!.sessionId !== loaded!.sessionId) await userLogins.add(account, session!, ttlOf(session!), id)
      continue
    }
    if (records.isDeleted(recordId)) continue
    await records.remove(recordId)
    await userLogins.remove(account)
  }
  if (session?.isSaved() !== true) return
  for (const account of current) {
    const ttl = ttlOf(session)
    // What finds the login has to live as long as the login does.
    if (await records.keepAlive(account.recordId, ttl)) await userLogins.add(account, session, ttl, id)
  }
}
