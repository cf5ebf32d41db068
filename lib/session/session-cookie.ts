import type { FastifyReply, FastifyRequest } from 'fastify'
import type { SessionContext } from './context.ts'
import { type SessionObject, sessionOf, signedIdOf, unsignSessionId } from './fastify-session.ts'

type Cookies = Readonly<Record<string, string | undefined>>

/** Prefix of express-session's cookies, the usual value of `cookiePrefix`. */
const USUAL_PREFIX = 's:'

/**
 * Reads session cookies. Name and prefix of @fastify/session's cookie are learned from the first one that comes or is
 * set; until then every cookie may be the session's, and has its signature checked.
 * Session ids are compared unsigned: after a rotation of the secret, one id has several signatures.
 */
export class SessionCookie {
  #name: string | undefined
  #prefix = ''

  /** Learns name and prefix from the cookie that a session came with. */
  learn (cookies: Cookies, session: SessionObject): void {
    if (this.#name !== undefined || typeof session.sessionId !== 'string') return
    for (const [name, value] of Object.entries(cookies)) {
      const start = value === undefined ? -1 : startOf(value, session)
      if (start < 0) continue
      this.#name = name
      this.#prefix = value!.slice(0, start)
    }
  }

  /** Learns name and prefix from the cookie that an answer sets for a saved session. */
  learnFromAnswer (reply: FastifyReply, session: SessionObject): void {
    if (this.#name === undefined) this.learn(cookiesSetBy(reply), session)
  }

  /** The names of the cookies that hold a session's id, whichever secret signed it. */
  namesOf (cookies: Cookies, session: SessionObject): string[] {
    return cookieNamesOf(this.#name === undefined ? cookies : { [this.#name]: cookies[this.#name] }, session)
  }

  /** Whether a cookie of this name is known to be the session's. Another cookie of the app may be signed likewise. */
  isNamed (name: string): boolean {
    return name === this.#name
  }

  /**
   * The session id in a cookie; undefined if the cookie is not a session's, or its signature is wrong.
   * @param session any session of the app
   */
  idIn (name: string, value: string, session: SessionObject): string | undefined {
    if (this.#name !== undefined && name !== this.#name) return undefined
    for (const prefix of new Set([this.#prefix, '', USUAL_PREFIX])) {
      if (!value.startsWith(prefix)) continue
      const sessionId = unsignSessionId(value.slice(prefix.length), session)
      if (sessionId !== undefined) return sessionId
    }
    return undefined
  }

  /** The ids of other sessions than this one in the cookies of a request. */
  otherIds (cookies: Cookies, session: SessionObject): string[] {
    const ids: string[] = []
    for (const [name, value] of Object.entries(cookies)) {
      const sessionId = value === undefined ? undefined : this.idIn(name, value, session)
      if (sessionId !== undefined && sessionId !== session.sessionId) ids.push(sessionId)
    }
    return ids
  }

  /**
   * The session cookies that an answer clears though the request's session is another one. @fastify/session clears
   * the cookie wherever it finds no session for it.
   */
  clearedIn (reply: FastifyReply, cookies: Cookies, session: SessionObject): ClearedCookie[] {
    const cleared: ClearedCookie[] = []
    const isPossible = this.#name === undefined ? Object.keys(cookies).length > 0 : cookies[this.#name] !== undefined
    if (!isPossible) return cleared
    for (const cookie of setCookies(reply)) {
      const name = /^([^=]+)=;/.exec(cookie)?.[1]
      const value = name === undefined ? undefined : cookies[name]
      if (name === undefined || value === undefined) continue
      const sessionId = this.idIn(name, value, session)
      // The cookie of this very session was cleared by the app.
      if (sessionId !== undefined && !value.endsWith(signedIdOf(session))) cleared.push({ name, sessionId })
    }
    return cleared
  }
}

/** A session cookie that an answer clears. */
export interface ClearedCookie {
  name: string
  sessionId: string
}

/** The names of the cookies that hold a session's id, whichever secret signed it. */
function cookieNamesOf (cookies: Cookies, session: SessionObject): string[] {
  const names: string[] = []
  for (const [name, value] of Object.entries(cookies)) {
    if (value === undefined) continue
    if (startOf(value, session) >= 0 || unsignSessionId(value, session) === session.sessionId) names.push(name)
  }
  return names
}

/** Where a session's signed id begins in a cookie's value, after the prefix; -1 where its id is not in it. */
function startOf (value: string, session: SessionObject): number {
  const signedId = signedIdOf(session)
  if (value.endsWith(signedId)) return value.length - signedId.length
  const unsigned = value.slice(0, Math.max(value.lastIndexOf('.'), 0))
  return unsigned.endsWith(session.sessionId) ? unsigned.length - session.sessionId.length : -1
}

function setCookies (reply: FastifyReply): string[] {
  return [reply.getHeader('set-cookie')].flat().filter(cookie => cookie !== undefined).map(String)
}

function cookiesSetBy (reply: FastifyReply): Cookies {
  const cookies: Record<string, string> = {}
  for (const cookie of setCookies(reply)) {
    const [, name, value] = /^([^=]+)=([^;]+)/.exec(cookie) ?? []
    if (name === undefined || value === undefined) continue
    try {
      cookies[name] = decodeURIComponent(value)
    } catch {} // the app's own encoding, which tells nothing here
  }
  return cookies
}

/** Takes the cookie of a session out of an answer that is not sent yet. */
export function dropSessionCookie (reply: FastifyReply, session: SessionObject): void {
  const signedId = signedIdOf(session)
  dropCookies(reply, cookie => cookie.includes(signedId) || cookie.includes(encodeURIComponent(signedId)))
}

/** Takes the order to clear a cookie out of an answer. */
export function dropClearing (reply: FastifyReply, name: string): void {
  dropCookies(reply, cookie => cookie.startsWith(`${name}=;`))
}

function dropCookies (reply: FastifyReply, isDropped: (cookie: string) => boolean): void {
  if (reply.raw.headersSent) return
  const kept = setCookies(reply).filter(cookie => !isDropped(cookie))
  reply.removeHeader('set-cookie')
  if (kept.length > 0) reply.header('set-cookie', kept)
}

/** Has the browser forget the cookie of a session. */
export function clearSessionCookie (request: FastifyRequest, reply: FastifyReply, session: SessionObject): void {
  const { path, domain } = session.cookie
  for (const name of cookieNamesOf(request.cookies, session)) {
    reply.clearCookie(name, { path: path ?? '/', ...(typeof domain === 'string' && { domain }) })
  }
}

const warned = new WeakSet<SessionContext>()

/** Warns, once an app, where a login shows that the session cookie goes out without `Secure`. */
export function checkSessionCookie (context: SessionContext, request: FastifyRequest): void {
  if (context.config.baseUrl().protocol === 'https:' && sessionOf(request).cookie.secure !== true) {
    warnOfInsecureCookie(context)
  }
}

/** A cookie without `Secure` is also sent over http, where others on the network can read it. */
export function warnOfInsecureCookie (context: SessionContext): void {
  if (warned.has(context)) return
  warned.add(context)
  context.log.warn(
    { event: 'session_cookie_insecure' },
    "baseUrl is https, and the session cookie goes out without `Secure`: set the session's cookie.secure to true, " +
      "and behind a proxy that ends TLS Fastify's trustProxy, without which requests look like http and `auto` " +
      'means not secure'
  )
}
