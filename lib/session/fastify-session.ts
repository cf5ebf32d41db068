// Everything that the plugin knows of @fastify/session, which shows neither its options nor its store nor its signer.

import type { } from '@fastify/session'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { InvalidOptionsError, RequestTargetError, SessionUnavailableError, StoreUnavailableError } from '../errors.ts'
import type { HostApp } from '../options/configuration.ts'
import { isEntryId, isMemoryStore, type SessionStore } from '../tokens/stores/session-entry.ts'
import { fromCallback } from '../util/callback.ts'
import { errorForLog, logOf } from '../util/logger.ts'
import { guardSessionStore, type IsLateSave } from './session-store-guard.ts'

/** The part of a session that the plugin uses. */
export interface SessionObject {
  readonly sessionId: string
  readonly encryptedSessionId: string
  cookie: {
    originalMaxAge: number | null
    expires?: Date | string | null
    path?: string
    domain?: string | null
    secure?: boolean | 'auto' | null
    sameSite?: unknown
  }
  regenerate (keep: string[], callback: Done): void
  destroy (callback: Done): void
  save (callback: Done): void
  isSaved (): boolean
  isModified (): boolean
}

/** What is left of a session in its store. */
export type StoredSession = Pick<SessionObject, 'cookie'>

type Done = (error?: unknown) => void

/** What signs session cookies: @fastify/session's own signer, or an object that the app gave as `secret`. */
interface CookieSigner {
  sign (sessionId: string): string
  unsign (value: string): { valid: boolean, value: string | null }
}

/** Seconds that a record lives if its session has no end of its own. */
const DEFAULT_TTL = 86_400
/** Milliseconds that the session store has for one operation. */
const STORE_MS = 5_000

/** The session of a request at this moment; null if the request has destroyed it. */
export function currentSession (request: FastifyRequest): SessionObject | null {
  return request.session as unknown as SessionObject | null
}

/** The session of a request. @throws FST_OAUTH_SESSION_UNAVAILABLE if @fastify/session gave it none */
export function sessionOf (request: FastifyRequest): SessionObject {
  const session = currentSession(request)
  if (typeof session?.sessionId !== 'string') {
    // The cookie's path is looked for at the very beginning of the request target.
    if (!request.raw.url!.startsWith('/')) {
      throw new RequestTargetError(
        'a request in absolute form, as it is sent to a proxy, has no session; send the path alone'
      )
    }
    // @fastify/session leaves null in its place.
    if (session === null) {
      throw new SessionUnavailableError(
        'the session of this request has been destroyed, by a hook or a handler of the app, or is not loaded yet; ' +
          'end a login by `request.oauth.logout()`, and refuse one by throwing in `onLogin`'
      )
    }
    throw new SessionUnavailableError(
      `there is no session on ${request.routeOptions.url ?? 'this route'}; the session's cookie.path has to cover it`
    )
  }
  // @fastify/session stores nothing in this case, without an error.
  if (session.cookie.secure === true && request.protocol !== 'https') {
    throw new SessionUnavailableError(
      'the session cookie is `secure`, and this request came over http: behind a proxy that ends TLS set ' +
        "trustProxy, for development set cookie.secure to 'auto'"
    )
  }
  return session
}

/** Makes a session the request's. */
export function putSession (request: FastifyRequest, session: SessionObject): void {
  request.session = session as never
}

/** Whether this request has stored the session. */
export function isSaved (session: SessionObject | null): boolean {
  return session?.isSaved?.() === true
}

/** Whether the session has changed since it was loaded or stored. */
export function isModified (session: SessionObject): boolean {
  return session.isModified()
}

/** Seconds that the records of a session have to live. */
export function ttlOf (session: SessionObject): number {
  const { originalMaxAge, expires } = session.cookie
  if (typeof originalMaxAge === 'number' && originalMaxAge > 0) return Math.ceil(originalMaxAge / 1000)
  if (expires !== null && expires !== undefined) {
    return Math.max(1, Math.ceil((new Date(expires).getTime() - Date.now()) / 1000))
  }
  return DEFAULT_TTL
}

/** Stores a session, the request's if none is given. @throws FST_OAUTH_STORE_UNAVAILABLE */
export function saveSession (request: FastifyRequest, session = sessionOf(request)): Promise<void> {
  return sessionCall(request, 'saved', done => session.save(done))
}

/**
 * Destroys the session of a request and gives it one of a new id.
 * @param keep names of the members that the new one has from the old one
 * @throws FST_OAUTH_STORE_UNAVAILABLE
 */
export function regenerateSession (request: FastifyRequest, keep: string[]): Promise<void> {
  return sessionCall(request, 'renewed', done => sessionOf(request).regenerate(keep, done))
}

/** Destroys the session of a request. @throws FST_OAUTH_STORE_UNAVAILABLE */
export function destroySession (request: FastifyRequest): Promise<void> {
  return sessionCall(request, 'ended', done => sessionOf(request).destroy(done))
}

/**
 * Gives a request a session of a new id, with the app's own fields and the cookie's settings of another one. Nothing
 * is stored or destroyed: if the change that it is for fails, the request is given back the session that it had.
 * @throws FST_OAUTH_STORE_UNAVAILABLE
 */
export async function openNewSession (request: FastifyRequest, source: StoredSession): Promise<SessionObject> {
  await loadSession(request, '')
  const session = sessionOf(request)
  carryFields(source, session)
  const { originalMaxAge, expires, secure, sameSite, domain, path } = source.cookie
  Object.assign(session.cookie, { secure, sameSite, domain, path })
  if (typeof originalMaxAge === 'number') {
    Object.assign(session.cookie, { maxAge: originalMaxAge })
  } else if (expires !== null && expires !== undefined) {
    Object.assign(session.cookie, { expires: new Date(expires), originalMaxAge: null })
  }
  return session
}

/** Gives a request the stored session of an id; undefined if there is none. */
export async function openSession (request: FastifyRequest, sessionId: string): Promise<SessionObject | undefined> {
  const value = signerOf(sessionOf(request))?.sign(sessionId)
  if (value === undefined) return undefined
  await loadSession(request, value)
  const session = sessionOf(request)
  return session.sessionId === sessionId ? session : undefined
}

async function loadSession (request: FastifyRequest, cookie: string): Promise<void> {
  await sessionCall(request, 'renewed', done => { request.server.decryptSession(cookie, request, done) })
}

// The guard of the store limits the time of each call.
async function sessionCall (request: FastifyRequest, what: string, call: (done: Done) => void): Promise<void> {
  try {
    await fromCallback(call)
  } catch (cause) {
    logOf(request).error({ event: 'session_call_failed', err: errorForLog(cause) }, `the session could not be ${what}`)
    throw new StoreUnavailableError(
      `the session could not be ${what}: its store does not answer; try again in a moment`,
      { reason: 'session', retryAfter: 1 }
    )
  }
}

/**
 * What the in-memory store is to keep of a session, which refers to its request: headers, cookies and reply would stay
 * in memory as long as the session. With its two ids it need not be signed again when it is loaded.
 */
function withoutRequest (session: object): object {
  const { cookie } = session as SessionObject
  const kept: Record<string | symbol, unknown> = {}
  kept.cookie = cookie
  if (!idSymbols.some(symbol => symbol in session)) idSymbols = idSymbolsOf(session)
  for (const symbol of idSymbols) kept[symbol] = session[symbol as never]
  return copyFields(session, kept)
}

/** The symbols of a session's two ids: those of the copy of @fastify/session that made the last one. */
let idSymbols: symbol[] = []

function idSymbolsOf (session: object): symbol[] {
  const names = ['sessionId', 'encryptedSessionId']
  return Object.getOwnPropertySymbols(session).filter(({ description = '' }) => names.includes(description))
}

/** The members of a session, or of its JSON, without what is @fastify/session's own. */
export function fieldsOf (session: object): Record<string, unknown> {
  return copyFields(session, {})
}

function copyFields (session: object, to: Record<string | symbol, unknown>): Record<string | symbol, unknown> {
  for (const key in session) {
    if (key !== 'cookie' && key !== 'sessionId' && key !== 'encryptedSessionId') to[key] = session[key as never]
  }
  return to
}

/** Makes the fields of one session those of another one. */
export function carryFields (from: object, to: object): void {
  const fields = fieldsOf(from)
  for (const key of Object.keys(fieldsOf(to))) if (!Object.hasOwn(fields, key)) delete to[key as never]
  Object.assign(to, fields)
}

/** The session's id as the newest secret signs it: what the session cookie holds after its prefix. */
export function signedIdOf (session: SessionObject): string {
  return session.encryptedSessionId
}

/**
 * The session id that a signed value holds, whichever secret signed it; undefined if the signature is wrong.
 * @param session any session of the app, which knows the signer
 */
export function unsignSessionId (value: string, session: SessionObject): string | undefined {
  try {
    const unsigned = signerOf(session)?.unsign(value)
    return unsigned?.valid === true && unsigned.value !== null ? unsigned.value : undefined
  } catch {
    return undefined // a signer of the app's own that throws for what it did not sign
  }
}

// The signer has no public name; a session has it under a symbol.
function signerOf (session: SessionObject): CookieSigner | undefined {
  const signer = symbolMember<Partial<CookieSigner>>(session, 'cookieSignerKey')
  return typeof signer?.unsign === 'function' && typeof signer.sign === 'function' ? signer as CookieSigner : undefined
}

function symbolMember<T> (session: object, name: string): T | undefined {
  const symbol = Object.getOwnPropertySymbols(session).find(({ description }) => description === name)
  return symbol === undefined ? undefined : (session as Record<symbol, T>)[symbol]
}

/** Identifies a registration of @fastify/session: each decorates the app with a function of its own. */
export function sessionRegistration (app: FastifyInstance): object {
  return app.decryptSession
}

/** What the options are checked against: whether there are sessions, and the settings of their cookie. */
export function inspectHostApp (app: FastifyInstance): HostApp {
  const hasSession =
    app.hasRequestDecorator('session') && app.hasRequestDecorator('sessionStore') && app.hasDecorator('decryptSession')
  const hostApp: HostApp = { hasSession, scopePrefix: app.prefix }
  if (!hasSession) return hostApp
  // `secure: 'auto'` is false over http; over https the cookie is as it was meant.
  const cookie = trialSession(app, 'https')?.cookie
  if (cookie === undefined) return hostApp
  const secure = cookie.secure !== true ? false : trialSession(app, 'http')?.cookie.secure === true ? true : 'auto'
  return { ...hostApp, cookie: { path: cookie.path ?? '/', secure } }
}

function trialSession (app: FastifyInstance, protocol: 'http' | 'https'): SessionObject | undefined {
  const request: { session?: SessionObject, protocol: string, raw: { url: string }, headers: object, cookies: object } =
    { protocol, raw: { url: '/' }, headers: {}, cookies: {} }
  try {
    app.decryptSession('', request, () => {})
    return request.session
  } catch {
    return undefined // an id generator or signer of the app's own that needs a real request
  }
}

/** Whether each session of the app has a member of this name, of @fastify/session's own. */
export function isSessionMember (app: FastifyInstance, name: string): boolean {
  const session = trialSession(app, 'http')
  return session !== undefined && name in session
}

/** The Map of each in-memory store → the registration of @fastify/session that has it; null if there are several. */
const soleUsers = new WeakMap<object, object | null>()

/** The app's session store, guarded. It is reachable through a session alone: one made on trial, or a request's. */
export class HostSessionStore {
  readonly #onFound: (store: SessionStore) => void
  readonly #registration: object
  #found: SessionStore | undefined
  #map: Map<string, unknown> | undefined

  /** @param isLateSave whether a session that is to be saved has been ended before */
  constructor (app: FastifyInstance, isLateSave: IsLateSave) {
    this.#registration = sessionRegistration(app)
    this.#onFound = (store) => {
      guardSessionStore(store, {
        timeoutMs: isMemoryStore(store) ? undefined : STORE_MS,
        keep: isMemoryStore(store) ? withoutRequest : undefined,
        onFailure: (method, cause) => {
          const err = errorForLog(cause)
          logOf(app).error({ event: 'session_store_failed', err, method }, 'the session store failed')
        },
        isLateSave
      })
    }
    const trial = trialSession(app, 'http')
    if (trial !== undefined) this.#learn(symbolMember(trial, 'sessionStore'))
  }

  /** Learns the store from a request. */
  learn (request: FastifyRequest): void {
    if (this.#found === undefined) this.#learn(request.sessionStore as unknown as SessionStore)
    // If the store is known only now, it was not guarded when this request loaded its session: an entry of the
    // plugin, perhaps.
    if (isEntryId(currentSession(request)?.sessionId)) request.server.decryptSession('', request, () => {})
  }

  #learn (store: SessionStore | undefined): void {
    if (typeof store?.destroy !== 'function') return
    this.#found = store
    this.#onFound(store)
    const map = isMemoryStore(store) ? store.store : undefined
    if (map === undefined) return
    this.#map = map
    soleUsers.set(map, soleUsers.has(map) && soleUsers.get(map) !== this.#registration ? null : this.#registration)
  }

  /** Whether the store may be shared with other processes; undefined if it is not known yet. */
  get isShared (): boolean | undefined {
    return this.#found && this.#map === undefined
  }

  /** The Map of an in-memory store; undefined if it is another one, or not known yet. */
  get map (): Map<string, unknown> | undefined { return this.#map }

  /** Whether the store is in memory and no other app of this process has it as well. */
  get isOwn (): boolean {
    return this.#map !== undefined && soleUsers.get(this.#map) === this.#registration
  }

  /** The store itself. @throws FST_OAUTH_INVALID_OPTIONS if it is not known yet */
  get (): SessionStore {
    if (this.#found !== undefined) return this.#found
    throw new InvalidOptionsError(
      'the session store is known only after the first request; give `tokenStore` to use tokens before that'
    )
  }

  /** Reads a session; undefined if there is none. @throws FST_OAUTH_STORE_UNAVAILABLE */
  async read (sessionId: string): Promise<StoredSession | undefined> {
    const found = await fromCallback<Partial<StoredSession>>(done => this.get().get(sessionId, done as Done))
    return typeof found?.cookie === 'object' && found.cookie !== null ? found as StoredSession : undefined
  }

  /** Destroys a session. @throws FST_OAUTH_STORE_UNAVAILABLE */
  async destroy (sessionId: string): Promise<void> {
    await fromCallback(done => this.get().destroy(sessionId, done))
  }
}
