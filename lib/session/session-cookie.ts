import type { SessionObject } from './fastify-session.ts'

/** What signs session cookies: @fastify/session's own signer, or an object that the app gave as `secret`. */
interface CookieSigner {
  sign (sessionId: string): string
  unsign (value: string): { valid: boolean, value: string | null }
}

type Cookies = Readonly<Record<string, string | undefined>>

/** Prefix of express-session's cookies, the usual value of `cookiePrefix`. */
const USUAL_PREFIX = 's:'

/**
 * Reads session cookies. @fastify/session does not tell the name and the prefix of its cookie: they are learned from
 * the first cookie that is seen. Session ids are compared unsigned: after a rotation of the secret, one id has
 * several signatures.
 */
export class SessionCookie {
  #name: string | undefined
  #prefix = ''

  /** Learns name and prefix from the cookie that a session came with. */
  learn (cookies: Cookies, session: SessionObject): void {
    if (this.#name !== undefined || typeof session?.encryptedSessionId !== 'string') return
    for (const [name, value] of Object.entries(cookies)) {
      const start = value === undefined ? -1 : startOf(value, session)
      if (start < 0) continue
      this.#name = name
      this.#prefix = value!.slice(0, start)
    }
  }

  /** Whether a cookie of this name is known to be the session's; what has its signature may be another of the app's. */
  isNamed (name: string): boolean {
    return name === this.#name
  }

  /**
   * The session id in a cookie; undefined where the cookie is not a session's, or its signature is wrong.
   * @param session any session of the same app, which knows the signer
   */
  idIn (name: string, value: string, session: SessionObject): string | undefined {
    if (this.#name !== undefined && name !== this.#name) return undefined
    for (const prefix of new Set([this.#prefix, '', USUAL_PREFIX])) {
      if (!value.startsWith(prefix)) continue
      const sessionId = unsign(value.slice(prefix.length), session)
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
}

/** The names of the cookies that hold a session's id, whichever secret signed it. */
export function cookieNamesOf (cookies: Cookies, session: SessionObject): string[] {
  const names: string[] = []
  for (const [name, value] of Object.entries(cookies)) {
    if (value !== undefined && holds(value, session)) names.push(name)
  }
  return names
}

function holds (value: string, session: SessionObject): boolean {
  return startOf(value, session) >= 0 || unsign(value, session) === session.sessionId
}

/**
 * Where the signed id of a session begins in a cookie's value, after the prefix; -1 where another id, or none, is in
 * it.
 */
function startOf (value: string, { sessionId, encryptedSessionId }: SessionObject): number {
  if (value.endsWith(encryptedSessionId)) return value.length - encryptedSessionId.length
  const unsigned = value.slice(0, Math.max(value.lastIndexOf('.'), 0))
  return unsigned.endsWith(sessionId) ? unsigned.length - sessionId.length : -1
}

/** The cookie value of a session id, without its prefix; undefined where the signer cannot be found. */
export function signSessionId (sessionId: string, session: SessionObject): string | undefined {
  return signerOf(session)?.sign(sessionId)
}

function unsign (value: string, session: SessionObject): string | undefined {
  try {
    const unsigned = signerOf(session)?.unsign(value)
    return unsigned?.valid === true && unsigned.value !== null ? unsigned.value : undefined
  } catch {
    return undefined // a signer of the app's own that throws for what it did not sign
  }
}

// The signer has no public name; as with the store, the session itself is asked.
function signerOf (session: SessionObject): CookieSigner | undefined {
  const symbol = Object.getOwnPropertySymbols(session).find(({ description }) => description === 'cookieSignerKey')
  const signer = symbol === undefined ? undefined : (session as unknown as Record<symbol, CookieSigner>)[symbol]
  return typeof signer?.unsign === 'function' && typeof signer.sign === 'function' ? signer : undefined
}
