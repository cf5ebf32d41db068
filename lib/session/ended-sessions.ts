import type { FastifyReply, FastifyRequest } from 'fastify'
import type { TokenStore } from '../tokens/stores/token-store.ts'
import { BoundedMap } from '../util/bounded-map.ts'
import { shortHash } from '../util/random.ts'
import type { SessionLogin } from './accounts.ts'
import { membersOfOthers, type SessionContext } from './context.ts'
import {
  currentSession, isSaved, type SessionObject, sessionOf, type StoredSession, ttlOf
} from './fastify-session.ts'
import { type ClearedCookie, dropClearing, dropSessionCookie } from './session-cookie.ts'

/** How a session ended. */
export interface SessionEnd {
  /** The login went on under another session id: its token records are still in use. */
  replaced?: boolean
  /** Epoch seconds at which an answer gave the browser another session cookie, or cleared this one. */
  movedOn?: number
  /** Members of the session that went on under another id: other registrations' logins, whose records are in use. */
  carried?: string[]
}

/** Seconds for which a slower request may still save a session that has ended. */
export const LATE_SAVE_TTL = 86_400
/** Sessions that a process remembers. */
const MAX_LOCAL = 10_000

/**
 * Remembers session ids that login and logout have ended. @fastify/session saves a session at the end of every
 * request that changed it, so a slower request would bring an ended one back to life.
 */
export class EndedSessions {
  readonly #store: TokenStore
  readonly #isShared: () => boolean
  readonly #local = new BoundedMap<string, SessionEnd>(MAX_LOCAL)

  /** @param isShared whether other processes can end sessions too, so that the store has to be asked */
  constructor (store: TokenStore, isShared: () => boolean) {
    this.#store = store
    this.#isShared = isShared
  }

  /**
   * Marks a session as ended; to be called before it is destroyed.
   * @param ttl seconds for which a late save is expected
   * @throws FST_OAUTH_STORE_UNAVAILABLE
   */
  async mark (sessionId: string, ttl: number, end: SessionEnd = {}): Promise<void> {
    // The store first: where it fails the session has not ended, in this process either.
    if (this.#isShared()) await this.#store.set(recordId(sessionId), { version: 0, ...end }, { ttl })
    this.#local.set(sessionId, end)
  }

  /** Whether this process knows a session to have ended. */
  knows (sessionId: string): boolean {
    return this.#local.has(sessionId)
  }

  /** How a session ended; undefined where it has not. Asks the store where another process may have ended it. */
  async find (sessionId: string): Promise<SessionEnd | undefined> {
    const local = this.#local.get(sessionId)
    if (local !== undefined || !this.#isShared()) return local
    const stored = await this.#store.get(recordId(sessionId)) as (SessionEnd & object) | undefined
    if (stored === undefined) return undefined
    const { replaced, movedOn, carried } = stored
    return {
      ...(replaced === true && { replaced }),
      ...(typeof movedOn === 'number' && { movedOn }),
      ...(Array.isArray(carried) && { carried })
    }
  }

  /** Whether `find` reads the store. */
  get asksStore (): boolean { return this.#isShared() }
}

// The hash of the session id: the keys of the store must not hold what a session cookie could be made of.
const recordId = (sessionId: string) => `dead:${shortHash(sessionId)}`

/**
 * Marks the session of a request as ended, before it is destroyed, so that no late save brings it back.
 * @param options.movesOn the answer gives the browser another session cookie, or clears this one
 * @throws FST_OAUTH_STORE_UNAVAILABLE
 */
export async function markEnded (
  context: SessionContext, request: FastifyRequest, { movesOn }: { movesOn: boolean }
): Promise<void> {
  const { endedSessions, sessionCookie, clock } = context
  const session = sessionOf(request)
  const movedOn = movesOn ? { movedOn: Math.floor(clock.now()) } : {}
  const carried = membersOfOthers(context, session)
  // Of a session whose cookie no answer has set yet there are no other requests.
  if (sessionCookie.namesOf(request.cookies, session).length > 0) {
    const end = { ...(carried.length > 0 && { carried }), ...movedOn }
    await endedSessions.mark(session.sessionId, lateSaveTtl(ttlOf(session)), end)
  }
  if (!movesOn) return
  // The cookie of a session that has ended before: other requests with it may still be under way.
  for (const sessionId of sessionCookie.otherIds(request.cookies, session)) {
    const end = await endedSessions.find(sessionId)
    if (end !== undefined) await endedSessions.mark(sessionId, LATE_SAVE_TTL, { ...end, ...movedOn })
  }
}

/**
 * Marks a session as ended whose login goes on under another id, which the answer gives to the browser.
 * @param ttl seconds that the session has to live
 * @throws FST_OAUTH_STORE_UNAVAILABLE
 */
export async function markReplaced (
  { endedSessions, clock }: SessionContext, sessionId: string, ttl: number
): Promise<void> {
  await endedSessions.mark(sessionId, lateSaveTtl(ttl), { replaced: true, movedOn: Math.floor(clock.now()) })
}

const lateSaveTtl = (ttl: number) => Math.min(ttl, LATE_SAVE_TTL)

/** Whether a session with a login is to be saved after it has ended. */
export function isLateSave (
  { endedSessions, sessionLogins }: SessionContext, sessionId: string, session: StoredSession
): boolean | Promise<boolean> {
  if (sessionLogins.of(session) === undefined) return false
  if (endedSessions.knows(sessionId)) return true
  return endedSessions.asksStore && endedSessions.find(sessionId).then(end => end !== undefined)
}

// What the answer of a slower request must not do to a browser that has logged in or out meanwhile. All of this is
// called after @fastify/session has saved the session and set its cookie.

/** Seconds after a login or logout for which a request with the cookie of before sets no anonymous session. */
const STRAY_SECONDS = 600

/**
 * Destroys a session that was saved after it had been marked as ended, and does not send its cookie.
 * @returns how the session ended; undefined where it has not, or was not saved
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
    // Where that is not known, a browser that has the cookie does not need it again.
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
 * Destroys an anonymous session of a request that came with the cookie of an ended one, where the browser has been
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

// The cookie first: even where the store fails, the browser is not given the session.
async function discard ({ sessionStore }: SessionContext, reply: FastifyReply, session: SessionObject): Promise<void> {
  dropSessionCookie(reply, session)
  await sessionStore.destroy(session.sessionId)
}

/**
 * Leaves the browser a session cookie that @fastify/session clears in the answer of a slower request, where a login or
 * logout has ended that session: the browser may have another one by now.
 */
export async function keepReplacedCookie (
  { sessionCookie, endedSessions }: SessionContext, request: FastifyRequest, reply: FastifyReply,
  cleared: ClearedCookie[]
): Promise<void> {
  const current = currentSession(request)?.sessionId
  for (const { name, sessionId } of cleared) {
    // @fastify/session also clears a cookie that an earlier secret signed: its session is alive, and the cookie good.
    // Where the store fails, a session cookie too many does no harm.
    const isKept = sessionId === current ||
      await endedSessions.find(sessionId).then(end => end !== undefined, () => sessionCookie.isNamed(name))
    if (isKept) dropClearing(reply, name)
  }
}
