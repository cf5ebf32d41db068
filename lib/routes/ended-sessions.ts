import type { FastifyReply, FastifyRequest } from 'fastify'
import { ttlOf, type Account, type SessionObject } from '../session/accounts.ts'
import { followSession, type LoadedRecords } from '../session/lifecycle.ts'
import { isLoginCookie } from '../session/pending-logins.ts'
import type { TokenRecord } from '../session/token-record.ts'
import { cookiesOfSession, sessionOf } from './http.ts'
import type { Runtime } from './runtime.ts'

/** Seconds for which a slower request may still save a session that has ended. */
const LATE_SAVE_TTL = 86_400

/** Declares the session that a request came with dead, before it is destroyed: no late save brings it back. */
export async function declareDead (runtime: Runtime, request: FastifyRequest): Promise<void> {
  const session = sessionOf(request)
  // One that the browser does not know yet is in nobody else's hands.
  if (cookiesOfSession(request, session).length === 0) return
  await runtime.deadSessions.mark(session.sessionId, Math.min(ttlOf(session), LATE_SAVE_TTL))
}

/** Deletes the tokens of an account and what points to them; returns what was there. */
export async function forgetAccount (runtime: Runtime, provider: string, { record, user }: Pick<Account, 'record' | 'user'>): Promise<TokenRecord | undefined> {
  const removed = await runtime.records.remove(record)
  if (user !== null) await runtime.userLogins.remove(provider, user.id, record).catch(() => {}) // ends with its time
  return removed
}

/** After @fastify/session has saved: a session that was declared dead meanwhile is destroyed again, and its cookie is not sent. */
export async function buryLateSave (runtime: Runtime, request: FastifyRequest, reply: FastifyReply): Promise<boolean> {
  const session = request.session as unknown as SessionObject | null
  if (session?.isSaved?.() !== true) return false
  let dead: boolean
  try {
    dead = await runtime.deadSessions.has(session.sessionId)
  } catch (error) {
    // Nobody can tell. A browser that has the cookie needs it no second time.
    if (cookiesOfSession(request, session).length > 0) dropCookie(reply, session)
    throw error
  }
  if (!dead) return false
  // The cookie first: whatever becomes of the store, the browser is not put back on it.
  dropCookie(reply, session)
  await destroySession(runtime, session.sessionId)
  return true
}

function dropCookie (reply: FastifyReply, session: SessionObject): void {
  if (reply.raw.headersSent) return
  const cookies = reply.getHeader('set-cookie')
  const kept = (Array.isArray(cookies) ? cookies : [cookies]).filter(cookie => cookie !== undefined && !holdsSession(String(cookie), session))
  reply.removeHeader('set-cookie')
  if (kept.length > 0) reply.header('set-cookie', kept)
}

function destroySession (runtime: Runtime, sessionId: string): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    runtime.sessionStore().destroy(sessionId, error => { if (error === undefined || error === null) resolve(); else reject(error) })
  })
}

function holdsSession (cookie: string, { encryptedSessionId }: SessionObject): boolean {
  return cookie.includes(encryptedSessionId) || cookie.includes(encodeURIComponent(encryptedSessionId))
}

/**
 * The names of cookies that this answer takes from the browser because their session is no more. @fastify/session does so
 * wherever it finds no session for a cookie; where a login or a logout has ended that one, the browser may have another by now.
 */
export function clearedCookies (request: FastifyRequest, reply: FastifyReply): string[] {
  const cookies = reply.getHeader('set-cookie')
  // What a request does to a session that it destroyed itself is its own business.
  if (cookies === undefined || (request.session as unknown) === null) return []
  const names = [cookies].flat().map(cookie => /^([^=]+)=;/.exec(String(cookie))?.[1])
  return names.filter((name): name is string => name !== undefined && request.cookies[name] !== undefined && !isLoginCookie(name))
}

/** Leaves the browser its cookie where a slower request, sent before a login, comes back after it. */
export async function keepNewerCookies (runtime: Runtime, request: FastifyRequest, reply: FastifyReply, names: string[]): Promise<void> {
  for (const name of names) {
    const value = request.cookies[name]!
    const sessionId = value.slice(0, Math.max(value.lastIndexOf('.'), 0)).replace(/^s:/, '')
    // Where the store cannot tell, a cookie too many does no harm.
    if (sessionId === '' || !await runtime.deadSessions.has(sessionId).catch(() => true)) continue
    const kept = [reply.getHeader('set-cookie')].flat().filter(cookie => cookie !== undefined && !String(cookie).startsWith(`${name}=;`)).map(String)
    reply.removeHeader('set-cookie')
    if (kept.length > 0) reply.header('set-cookie', kept)
  }
}

/** What has to happen to records when a request ends: they follow their session, wherever it went. */
export async function followRequest (runtime: Runtime, request: FastifyRequest, reply: FastifyReply, loaded: LoadedRecords | undefined): Promise<void> {
  const session = request.session as unknown as SessionObject | null
  if (await buryLateSave(runtime, request, reply)) {
    // Whoever declared it dead may not have come as far as its tokens: they go with it.
    const accounts = loaded?.accounts ?? runtime.sessionLogins.of(session)?.accounts
    return accounts === undefined ? undefined : await followSession(runtime, { sessionId: session!.sessionId, accounts }, undefined)
  }
  if (loaded === undefined && runtime.sessionLogins.of(session) === undefined) return
  // Destroyed or regenerated by the app itself: that is an end, too, though not declared beforehand. What a slower request
  // saved between the two goes as well.
  if (loaded !== undefined && session?.sessionId !== loaded.sessionId && !runtime.deadSessions.knows(loaded.sessionId)) {
    await runtime.deadSessions.mark(loaded.sessionId, LATE_SAVE_TTL)
    await destroySession(runtime, loaded.sessionId)
  }
  await followSession(runtime, loaded, session)
}

/**
 * Ends every session of one user, on every process: tokens deleted and revoked, sessions destroyed.
 * @returns how many sessions there were
 * @throws FST_OAUTH_STORE_UNAVAILABLE where not all of them could be ended
 */
export async function endUserSessions (runtime: Runtime, provider: string, subject: string, revoke: (record: TokenRecord) => void): Promise<number> {
  const logins = await runtime.userLogins.of(provider, subject)
  for (const { record, sessionId } of logins) {
    const removed = await runtime.records.remove(record)
    if (removed !== undefined) revoke(removed)
    await runtime.deadSessions.mark(sessionId, LATE_SAVE_TTL)
    await destroySession(runtime, sessionId)
    await runtime.userLogins.remove(provider, subject, record)
  }
  return logins.length
}
