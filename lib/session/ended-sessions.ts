import type { FastifyRequest } from 'fastify'
import type { TokenStore } from '../tokens/stores/token-store.ts'
import { BoundedMap } from '../util/bounded-map.ts'
import { shortHash } from '../util/random.ts'
import { membersOfOthers, type SessionContext } from './context.ts'
import { sessionOf, ttlOf } from './fastify-session.ts'

/** How a session ended. */
export interface SessionEnd {
  /** The login continues under another session id: its token records are still in use. */
  replaced?: boolean
  /** Epoch seconds at which an answer gave the browser another session cookie, or cleared this one. */
  movedOn?: number
  /** Members of the session that continue under another id: other registrations' logins, whose records are in use. */
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
    // The store first: if it fails the session has not ended, in this process either.
    if (this.#isShared()) await this.#store.set(recordId(sessionId), { version: 0, ...end }, { ttl })
    this.#local.set(sessionId, end)
  }

  /** Whether this process knows a session to have ended. */
  knows (sessionId: string): boolean {
    return this.#local.has(sessionId)
  }

  /** How a session ended; undefined if it has not. Asks the store if another process may have ended it. */
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
  // If no answer has set the session's cookie yet, no other request can have it.
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
 * Marks a session as ended whose login continues under another session id, which the answer gives to the browser.
 * @param ttl seconds that the session has to live
 * @throws FST_OAUTH_STORE_UNAVAILABLE
 */
export async function markReplaced (
  { endedSessions, clock }: SessionContext, sessionId: string, ttl: number
): Promise<void> {
  await endedSessions.mark(sessionId, lateSaveTtl(ttl), { replaced: true, movedOn: Math.floor(clock.now()) })
}

const lateSaveTtl = (ttl: number) => Math.min(ttl, LATE_SAVE_TTL)
