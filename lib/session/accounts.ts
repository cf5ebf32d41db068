import type { User } from '../providers/types.ts'

/** One connected account as the session's blob holds it: who the user is, and where the tokens are. Never a token. */
export interface Account {
  /** Id of the token record. */
  record: string
  user: Omit<User, 'raw'> & { raw?: Record<string, unknown> } | null
  claims: Record<string, unknown>
  scope: string[]
  /** Epoch seconds. */
  loginAt: number
  /** False where nobody has been identified: an implicit answer without an ID token may be somebody else's. */
  login?: false
}

/** What the plugin keeps in the session, under `oauth`. */
export interface SessionAccounts {
  accounts: Record<string, Account>
  /** The provider that was logged in with. */
  active: string
}

/** The part of a session (@fastify/session's) that the plugin uses. */
export interface SessionObject {
  sessionId: string
  encryptedSessionId: string
  oauth?: SessionAccounts
  cookie: { originalMaxAge: number | null, expires?: Date | string | null, path?: string, domain?: string | null, secure?: boolean | 'auto' | null, sameSite?: unknown }
  regenerate (keep: string[], callback: (error?: unknown) => void): void
  destroy (callback: (error?: unknown) => void): void
  save (callback: (error?: unknown) => void): void
  isSaved (): boolean
}

/** Seconds that a record lives where its session has no end of its own. */
const DEFAULT_TTL = 86_400

/** The login of a session, or undefined: no session, nobody logged in, or something else under that name. */
export function accountsOf (session: SessionObject | null | undefined): SessionAccounts | undefined {
  const oauth = session?.oauth
  return typeof oauth === 'object' && oauth !== null && typeof oauth.accounts === 'object' && oauth.accounts !== null ? oauth : undefined
}

/** The user with what the blob leaves out: `raw` is not stored twice where it is the claims. */
export function userOf (account: Account): User | null {
  return account.user === null ? null : { ...account.user, raw: account.user.raw ?? account.claims }
}

/** What finds an account's login again among all logins of its user. */
export function loginOf ({ record, claims }: Account, { sessionId }: SessionObject): { record: string, sessionId: string, sid?: string } {
  return { record, sessionId, ...(typeof claims.sid === 'string' && { sid: claims.sid }) }
}

/** Seconds that the records of a session have to live. */
export function ttlOf (session: SessionObject): number {
  const { originalMaxAge, expires } = session.cookie
  if (typeof originalMaxAge === 'number' && originalMaxAge > 0) return Math.ceil(originalMaxAge / 1000)
  if (expires !== null && expires !== undefined) return Math.max(1, Math.ceil((new Date(expires).getTime() - Date.now()) / 1000))
  return DEFAULT_TTL
}

/** Takes one account out of a session, and the whole login with the last one. */
export function removeAccount (session: SessionObject | null | undefined, provider: string, record: string): void {
  const oauth = accountsOf(session)
  if (oauth === undefined || oauth.accounts[provider]?.record !== record) return
  const { [provider]: _gone, ...accounts } = oauth.accounts
  const names = Object.keys(accounts)
  if (names.length === 0) delete session!.oauth
  else session!.oauth = { accounts, active: oauth.active === provider ? names[0]! : oauth.active }
}
