import type { FastifyReply, FastifyRequest } from 'fastify'
import type { SessionLogin } from './accounts.ts'
import type { SessionContext } from './context.ts'
import type { SessionEnd } from './ended-sessions.ts'
import { currentSession, isSaved, type SessionObject, type StoredSession } from './fastify-session.ts'
import { type ClearedCookie, dropClearing, dropSessionCookie } from './session-cookie.ts'

// Keeps the answer of a slower request from undoing a login or logout in the browser. All functions but the first are
// called after @fastify/session has saved the session and set its cookie.

/** Seconds after a login or logout for which a request with the old cookie sets no anonymous session. */
const STRAY_SECONDS = 600

/** Whether a session with a login is to be saved after it has ended. */
export function isLateSave (
  { endedSessions, sessionLogins }: SessionContext, sessionId: string, session: StoredSession
): boolean | Promise<boolean> {
  if (sessionLogins.of(session) === undefined) return false
  if (endedSessions.knows(sessionId)) return true
  return endedSessions.asksStore && endedSessions.find(sessionId).then(end => end !== undefined)
}

/**
 * Destroys a session that was saved after it had been marked as ended, and does not send its cookie.
 * @returns how the session ended; undefined if it has not, or was not saved
 * @throws FST_OAUTH_STORE_UNAVAILABLE
 */
export async function discardLateSave (
  context: SessionContext, request: FastifyRequest, reply: FastifyReply
): Promise<SessionEnd | undefined> {
  const session = currentSession(request)
  if (session === null || !isSaved(session)) return undefined
  let end: SessionEnd | undefined
  try {
    end = await context.endedSessions.find(session.sessionId)
  } catch (error) {
    // If that is not known, a browser that has the cookie does not need it again.
    if (context.sessionCookie.namesOf(request.cookies, session).length > 0) dropSessionCookie(reply, session)
    throw error
  }
  if (end !== undefined) await discard(context, reply, session)
  return end
}

/** Whether a request saved an anonymous session of its own in place of the one that its cookie names. */
export function isStray (context: SessionContext, request: FastifyRequest, session: SessionObject | null): boolean {
  if (session === null || !isSaved(session)) return false
  if (context.registrations.some(({ sessionLogins }) => sessionLogins.of(session) !== undefined)) return false
  return context.sessionCookie.otherIds(request.cookies, session).length > 0
}

/**
 * Destroys an anonymous session of a request that came with the cookie of an ended one, if the browser has been
 * given another cookie since: that may be a newer login's.
 * @throws FST_OAUTH_STORE_UNAVAILABLE
 */
export async function discardStray (
  context: SessionContext, request: FastifyRequest, reply: FastifyReply
): Promise<void> {
  const session = currentSession(request)
  if (session === null || !isStray(context, request, session)) return
  const { endedSessions, sessionCookie, clock } = context
  for (const sessionId of sessionCookie.otherIds(request.cookies, session)) {
    const { movedOn } = await endedSessions.find(sessionId) ?? {}
    // Not for ever: the answer that gave the browser another cookie may never have arrived.
    if (movedOn === undefined || clock.now() - movedOn > STRAY_SECONDS) continue
    return await discard(context, reply, session)
  }
}

/** On a session that was made for a login: `unfinished`, or what was saved with it. Not stored with a session. */
const kMade = Symbol('fastify-oauth-session.made')
type MadeSession = SessionObject & { [kMade]?: 'unfinished' | SessionLogin | undefined }

/** Notes that a session was made for a login, which is not finished yet. */
export function markUnfinished (session: SessionObject): void {
  (session as MadeSession)[kMade] = 'unfinished'
}

/** Notes that the login which a session was made for is finished. @param login what was saved with the session */
export function markFinished (session: SessionObject, login: SessionLogin | undefined): void {
  (session as MadeSession)[kMade] = login
}

/** Whether a session has been made and saved by this request, for this very login. */
export function isFinished (session: SessionObject, login: SessionLogin): boolean {
  return (session as MadeSession)[kMade] === login
}

/**
 * Destroys the session of a login that failed, unless the app has put something in it: the cookie that the browser has
 * may be that of a login which another tab has finished meanwhile.
 * @returns whether it was destroyed
 * @throws FST_OAUTH_STORE_UNAVAILABLE
 */
export async function discardUnfinished (
  context: SessionContext, request: FastifyRequest, reply: FastifyReply
): Promise<boolean> {
  const session = currentSession(request)
  if (session === null || (session as MadeSession)[kMade] !== 'unfinished' || !isSaved(session)) return false
  if (Object.entries(session).some(([name, value]) => name !== 'cookie' && value !== undefined)) return false
  await discard(context, reply, session)
  return true
}

// The cookie first: even if the store fails, the browser is not given the session.
async function discard ({ sessionStore }: SessionContext, reply: FastifyReply, session: SessionObject): Promise<void> {
  dropSessionCookie(reply, session)
  await sessionStore.destroy(session.sessionId)
}

/**
 * Leaves the browser a session cookie that @fastify/session clears in the answer of a slower request, if a login or
 * logout has ended that session: the browser may have another one by now.
 */
export async function keepReplacedCookie (
  { sessionCookie, endedSessions }: SessionContext, request: FastifyRequest, reply: FastifyReply,
  cleared: ClearedCookie[]
): Promise<void> {
  const current = currentSession(request)?.sessionId
  for (const { name, sessionId } of cleared) {
    // @fastify/session also clears a cookie that an earlier secret signed: its session is alive, and the cookie good.
    // If the store fails, a session cookie too many does no harm.
    const isKept = sessionId === current ||
      await endedSessions.find(sessionId).then(end => end !== undefined, () => sessionCookie.isNamed(name))
    if (isKept) dropClearing(reply, name)
  }
}
