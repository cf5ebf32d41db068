import type { FastifyReply, FastifyRequest } from 'fastify'
import { isRecordOf, type TokenRecord } from '../tokens/record.ts'
import { fromCallback } from '../util/callback.ts'
import { type Account, loginIdOf, type SessionLogin } from './accounts.ts'
import type { SessionContext } from './context.ts'
import type { SessionEnd } from './ended-sessions.ts'
import { currentSession, type SessionObject, sessionOf, ttlOf } from './fastify-session.ts'
import type { IndexedLogin } from './login-index.ts'
import type { LoginState } from './login-records.ts'
import { cookieNamesOf } from './session-cookie.ts'
import { membersOfOthers } from './shared-session.ts'
import { syncRecords, type LoadedLogin, loadedLogin } from './sync-records.ts'

/** Seconds for which a slower request may still save a session that has ended. */
const LATE_SAVE_TTL = 86_400
/**
 * Seconds after a login or logout for which a request with the cookie of before gives the browser no anonymous
 * session.
 */
const STRAY_SECONDS = 600

/**
 * Declares the session that a request came with dead, before it is destroyed: no late save brings it back.
 * @param options.moveOn the answer gives the browser another session cookie, or takes this one from it
 */
export async function markEnded (
  context: SessionContext, request: FastifyRequest, { moveOn }: { moveOn?: boolean } = {}
): Promise<void> {
  const { endedSessions, sessionCookie, clock } = context
  const session = sessionOf(request)
  const ttl = Math.min(ttlOf(session), LATE_SAVE_TTL)
  const movedOn = moveOn === true ? { movedOn: Math.floor(clock.now()) } : {}
  const carried = membersOfOthers(context, session)
  // One that the browser does not know yet is in nobody else's hands.
  if (cookieNamesOf(request.cookies, session).length > 0) {
    await endedSessions.mark(session.sessionId, ttl, { ...(carried.length > 0 && { carried }), ...movedOn })
  }
  if (moveOn !== true) return
  // The cookie of a session that has ended before: other requests with it may still be under way.
  for (const sessionId of sessionCookie.otherIds(request.cookies, session)) {
    const end = await endedSessions.find(sessionId)
    if (end !== undefined) await endedSessions.mark(sessionId, LATE_SAVE_TTL, { ...end, ...movedOn })
  }
}

/**
 * Declares a session dead whose login goes on under another id, which the answer gives to the browser.
 * @param ttl seconds that the session has to live
 */
export async function markReplaced (
  { endedSessions, clock }: SessionContext,
  sessionId: string,
  ttl: number
): Promise<void> {
  const movedOn = Math.floor(clock.now())
  await endedSessions.mark(sessionId, Math.min(ttl, LATE_SAVE_TTL), { replaced: true, movedOn })
}

/** An account that was taken away, and the record that it had. */
export interface EndedAccount {
  name: string
  account: Account
  record: TokenRecord | undefined
}

/**
 * Ends a login: no account is added to it any more, and the tokens of every account that belongs to it are deleted,
 * also of those that an older blob of the session does not name. The session that it is in now ends too, unless it is
 * the caller's own.
 * @param login as the caller knows it
 * @param place.sessionId the caller's own session
 * @param place.onlyThere ends the login only where that is the session that it is in
 * @param place.onGone called with an account whose record the store deleted though its answer was lost
 * @returns the accounts that it had; undefined where it goes on in another session
 * @throws FST_OAUTH_STORE_UNAVAILABLE
 */
export async function endLogin (
  context: SessionContext, login: SessionLogin,
  { sessionId, onlyThere = false, onGone }: {
    sessionId?: string
    onlyThere?: boolean
    onGone?: (ended: EndedAccount) => void
  } = {}
): Promise<EndedAccount[] | undefined> {
  const { ended, state } = await context.loginRecords.end(loginIdOf(login), onlyThere ? sessionId : undefined)
  if (!ended) return undefined
  const accounts = new Map<string, { name: string, account: Account }>()
  for (const [name, account] of [...Object.entries(login.accounts), ...accountsOf(context, state)]) {
    accounts.set(account.recordId, { name, account })
  }
  const removed: EndedAccount[] = []
  for (const { name, account } of accounts.values()) {
    const record = await forgetAccount(context, account, onGone && (record => onGone({ name, account, record })))
    removed.push({ name, account, record })
  }
  if (state !== undefined && state.sessionId !== sessionId) await endSession(context, state.sessionId)
  return removed
}

/**
 * The accounts of a login whose provider is still the one that they are of; the others' records end with their time.
 */
function accountsOf ({ providers }: SessionContext, state: LoginState | undefined): [string, Account][] {
  return Object.entries(state?.login.accounts ?? {})
    .filter(([name, { providerIdentity }]) => providers.get(name)?.config.identity === providerIdentity)
}

/**
 * Deletes the tokens of an account and what points to them; returns what was there.
 * @param onGone called with what was there, where the store deleted it and its answer was lost
 */
export async function forgetAccount (
  context: SessionContext, account: Account, onGone?: (record: TokenRecord) => void
): Promise<TokenRecord | undefined> {
  const isOurs = (removed: TokenRecord | undefined) => isRecordOf(removed, { identity: account.providerIdentity })
  const removed = await context.records.remove(account.recordId, onGone && (gone => { if (isOurs(gone)) onGone(gone) }))
  await context.userLogins.remove(account).catch(() => {}) // ends with its time
  return isOurs(removed) ? removed : undefined
}

/**
 * After @fastify/session has saved: a session that was declared dead meanwhile is destroyed again, and its cookie is
 * not sent.
 */
export async function discardLateSave (
  context: SessionContext, request: FastifyRequest, reply: FastifyReply
): Promise<SessionEnd | undefined> {
  const session = currentSession(request)
  if (session?.isSaved?.() !== true) return undefined
  let end: SessionEnd | undefined
  try {
    end = await context.endedSessions.find(session.sessionId)
  } catch (error) {
    // Nobody can tell. A browser that has the cookie needs it no second time.
    if (cookieNamesOf(request.cookies, session).length > 0) dropCookie(reply, session)
    throw error
  }
  if (end === undefined) return undefined
  // The cookie first: whatever becomes of the store, the browser is not put back on it.
  dropCookie(reply, session)
  await destroySession(context, session.sessionId)
  return end
}

/**
 * After @fastify/session has saved: an anonymous session of a request that came with the cookie of an ended session
 * is not given to a browser which has been given another cookie since. What the browser has now may be a newer
 * login's.
 */
async function discardStray (context: SessionContext, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const session = currentSession(request)
  if (!isStray(context, request, session)) return
  const { endedSessions, sessionCookie, clock } = context
  for (const sessionId of sessionCookie.otherIds(request.cookies, session!)) {
    const { movedOn } = await endedSessions.find(sessionId) ?? {}
    // Not for ever: the answer that gave the browser another cookie may never have arrived.
    if (movedOn === undefined || clock.now() - movedOn > STRAY_SECONDS) continue
    dropCookie(reply, session!)
    return await destroySession(context, session!.sessionId)
  }
}

// Sessions that logins began which are not finished.
const unfinished = new WeakSet<SessionObject>()

/** Notes that a login has begun a session; `finishSession` says that it holds the login now. */
export function beginSession (session: SessionObject): void {
  unfinished.add(session)
}

export function finishSession (session: SessionObject): void {
  unfinished.delete(session)
}

/**
 * After @fastify/session has saved: the session of a login that failed is not given to the browser where the app has
 * put nothing in it. The cookie that the browser has may be that of a login which another tab has finished meanwhile.
 */
async function discardUnfinished (
  context: SessionContext, request: FastifyRequest, reply: FastifyReply
): Promise<void> {
  const session = currentSession(request)
  if (session?.isSaved?.() !== true || !unfinished.has(session)) return
  if (Object.entries(session).some(([name, value]) => name !== 'cookie' && value !== undefined)) return
  dropCookie(reply, session)
  await destroySession(context, session.sessionId)
}

/** Whether a request saved an anonymous session of its own in place of the one that its cookie names. */
export function isStray (context: SessionContext, request: FastifyRequest, session: SessionObject | null): boolean {
  if (session?.isSaved?.() !== true) return false
  if (context.registrations.some(({ sessionLogins }) => sessionLogins.of(session) !== undefined)) return false
  return context.sessionCookie.otherIds(request.cookies, session).length > 0
}

function dropCookie (reply: FastifyReply, session: SessionObject): void {
  if (!reply.raw.headersSent) filterCookies(reply, cookie => !holdsSession(cookie, session))
}

/** Leaves an answer those of its `Set-Cookie` headers that pass. */
function filterCookies (reply: FastifyReply, passes: (cookie: string) => boolean): void {
  const all = [reply.getHeader('set-cookie')].flat().filter(cookie => cookie !== undefined).map(String)
  const kept = all.filter(passes)
  reply.removeHeader('set-cookie')
  if (kept.length > 0) reply.header('set-cookie', kept)
}

/** Destroys a session in its store. */
export async function destroySession (context: SessionContext, sessionId: string): Promise<void> {
  await fromCallback(done => context.sessionStore().destroy(sessionId, done))
}

function holdsSession (cookie: string, { encryptedSessionId }: SessionObject): boolean {
  return cookie.includes(encryptedSessionId) || cookie.includes(encodeURIComponent(encryptedSessionId))
}

/** A session cookie that an answer takes from the browser. */
export interface ClearedCookie {
  name: string
  sessionId: string
}

/**
 * The session cookies that this answer takes from the browser because their session is no more. @fastify/session does
 * so wherever it finds no session for a cookie; where a login or a logout has ended that one, the browser may have
 * another by now.
 */
export function clearedCookies (
  { sessionCookie }: SessionContext, request: FastifyRequest, reply: FastifyReply
): ClearedCookie[] {
  const cookies = reply.getHeader('set-cookie')
  const session = currentSession(request)
  // What a request does to a session that it destroyed itself is its own business.
  if (cookies === undefined || typeof session?.sessionId !== 'string') return []
  const cleared: ClearedCookie[] = []
  for (const cookie of [cookies].flat()) {
    const name = /^([^=]+)=;/.exec(String(cookie))?.[1]
    const value = name === undefined ? undefined : request.cookies[name]
    if (name === undefined || value === undefined) continue
    const sessionId = sessionCookie.idIn(name, value, session)
    // Of this very session, and unchanged: that was the app.
    if (sessionId !== undefined && !value.endsWith(session.encryptedSessionId)) cleared.push({ name, sessionId })
  }
  return cleared
}

/** Leaves the browser its cookie where a slower request, sent before a login, comes back after it. */
export async function keepReplacedCookie (
  context: SessionContext, request: FastifyRequest, reply: FastifyReply, cleared: ClearedCookie[]
): Promise<void> {
  const current = currentSession(request)?.sessionId
  for (const { name, sessionId } of cleared) {
    // @fastify/session also clears a cookie that an earlier secret signed: its session is alive, and the cookie good.
    // Where the store cannot tell, a session cookie too many does no harm.
    const unclear = context.sessionCookie.isNamed(name) ? true : undefined
    const end = sessionId === current || await context.endedSessions.find(sessionId).catch(() => unclear)
    if (end !== undefined) filterCookies(reply, cookie => !cookie.startsWith(`${name}=;`))
  }
}

/** What has to happen to records when a request ends: they follow their session, wherever it went. */
export async function syncRecordsOfRequest (
  context: SessionContext, request: FastifyRequest, reply: FastifyReply, loaded: LoadedLogin | undefined
): Promise<void> {
  const session = currentSession(request)
  const { sessionLogins, loginRecords, endedSessions } = context
  await discardUnfinished(context, request, reply)
  const end = await discardLateSave(context, request, reply)
  const login = sessionLogins.of(session)
  if (end !== undefined) {
    // The login goes on elsewhere, and its tokens with it.
    if (goesOn(end, sessionLogins.member)) return
    // Whoever declared it dead may not have come as far as its tokens: they go with it.
    const gone = loaded ?? loadedLogin(sessionLogins, session)
    if (gone === undefined) return
    await endLogin(context, gone.login, { sessionId: session!.sessionId, onlyThere: true })
    return await syncRecords(context, gone, undefined)
  }
  if (loaded === undefined && login === undefined) return await discardStray(context, request, reply)
  if (loaded !== undefined && (login === undefined || loginIdOf(login) !== loginIdOf(loaded.login))) {
    // The app has destroyed or renewed the session; or the login has ended by itself, or the app has taken it out of
    // the session.
    const isRenewed = session?.sessionId !== loaded.sessionId
    // A slower request tells nothing of a login that has gone on under another id.
    if (!isRenewed && goesOn(await endedSessions.find(loaded.sessionId), sessionLogins.member)) return
    await endLogin(context, loaded.login, { sessionId: loaded.sessionId, onlyThere: !isRenewed })
  }
  // Destroyed or regenerated by the app itself: that is an end, too, though not declared beforehand. What a slower
  // request saved between the two goes as well.
  const isElsewhere = loaded !== undefined && session?.sessionId !== loaded.sessionId
  const isCarried = isElsewhere && login !== undefined && loginIdOf(login) === loginIdOf(loaded.login)
  if (isElsewhere && !endedSessions.knows(loaded.sessionId)) {
    await endedSessions.mark(loaded.sessionId, LATE_SAVE_TTL, { ...(isCarried && { replaced: true }) })
    await destroySession(context, loaded.sessionId)
  }
  await syncRecords(context, loaded, session)
  if (login?.login === undefined) return
  if (isCarried) await loginRecords.move(login.login, session!.sessionId, ttlOf(session!))
  else if (session?.isSaved() === true) await loginRecords.keepAlive(login.login, ttlOf(session))
}

/** Whether a login of a session that has ended goes on: changed by itself, or carried along by another registration. */
function goesOn (end: SessionEnd | undefined, member: string): boolean {
  return end?.replaced === true || end?.carried?.includes(member) === true
}

/** Sessions that are ended at the same time, and rounds for what comes in between. */
const AT_ONCE = 32
const ROUNDS = 5

/**
 * Ends every session of one user, on every process: tokens deleted and revoked, sessions destroyed.
 * @returns how many sessions there were
 * @throws FST_OAUTH_STORE_UNAVAILABLE where not all of them could be ended; the others are
 */
export async function endUserSessions (context: SessionContext, { identity, subject, revoke }: {
  /** `identity` of the provider. */
  identity: string
  /** The user's id there. */
  subject: string
  revoke: (record: TokenRecord) => void
}): Promise<number> {
  const { userLogins } = context
  const tried = new Set<string>()
  const ended = new Set<string>()
  let failure: unknown
  // A login whose session has another id by then, or that comes in meanwhile, is found in the next round.
  for (let round = 0; round < ROUNDS; round++) {
    const found = await userLogins.of(identity, subject)
    const logins = found.filter(({ recordId, sessionId }) => !tried.has(recordId + sessionId))
    if (logins.length === 0) break
    for (let start = 0; start < logins.length; start += AT_ONCE) {
      const together = logins.slice(start, start + AT_ONCE)
      const outcomes = await Promise.allSettled(
        together.map(login => endIndexedLogin(context, identity, login, revoke))
      )
      const fulfilled = together.filter((_login, index) => outcomes[index]!.status === 'fulfilled')
      const over = fulfilled.map(({ recordId }) => recordId)
      for (const { recordId, sessionId } of together) tried.add(recordId + sessionId)
      for (const record of over) ended.add(record)
      for (const outcome of outcomes) if (outcome.status === 'rejected') failure ??= outcome.reason
      await userLogins.forget(identity, subject, over).catch((error: unknown) => { failure ??= error })
    }
  }
  if (failure !== undefined) throw failure
  return ended.size
}

async function endIndexedLogin (
  context: SessionContext,
  identity: string,
  { recordId, login = recordId, sessionId }: IndexedLogin,
  revoke: (record: TokenRecord) => void
): Promise<void> {
  const { state } = await context.loginRecords.end(login)
  const revokeOurs = (removed: TokenRecord | undefined) => { if (isRecordOf(removed, { identity })) revoke(removed) }
  revokeOurs(await context.records.remove(recordId, revokeOurs))
  // What was added to the login, or what it was added to, goes with it.
  for (const [, account] of accountsOf(context, state)) {
    const added = await forgetAccount(context, account, revoke)
    if (added !== undefined) revoke(added)
  }
  for (const place of new Set([sessionId, state?.sessionId ?? sessionId])) await endSession(context, place)
}

/**
 * Destroys a session that is not the request's own. Another registration's login in it goes on, and so does the
 * session: what is left of this one has no tokens any more.
 */
async function endSession (context: SessionContext, sessionId: string): Promise<void> {
  if (await holdsOthers(context, sessionId)) return
  await context.endedSessions.mark(sessionId, LATE_SAVE_TTL)
  await destroySession(context, sessionId)
}

/** Whether a session, as its store has it, holds another registration's login. */
async function holdsOthers (context: SessionContext, sessionId: string): Promise<boolean> {
  if (context.registrations.length === 1) return false
  const session = await fromCallback<unknown>(done => context.sessionStore().get(sessionId, done))
  return membersOfOthers(context, (session ?? {}) as SessionObject).length > 0
}
