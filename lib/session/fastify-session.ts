import type { } from '@fastify/session'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { RequestTargetError, SessionUnavailableError, StoreUnavailableError } from '../errors.ts'
import type { HostApp } from '../options.ts'
import { describeFailure } from '../tokens/stores/bounded-store.ts'
import type { SessionStore } from '../tokens/stores/session-entry.ts'
import { fromCallback } from '../util/callback.ts'
import { withTimeout } from '../util/timeout.ts'
import type { SessionLogin } from './accounts.ts'
import { guardSessionStore, type IsLate } from './session-store-guard.ts'

/** The part of a session (@fastify/session's) that the plugin uses. */
export interface SessionObject {
  sessionId: string
  encryptedSessionId: string
  oauth?: SessionLogin
  [member: `oauth:${string}`]: SessionLogin | undefined
  cookie: {
    originalMaxAge: number | null
    expires?: Date | string | null
    path?: string
    domain?: string | null
    secure?: boolean | 'auto' | null
    sameSite?: unknown
  }
  regenerate(keep: string[], callback: (error?: unknown) => void): void
  destroy(callback: (error?: unknown) => void): void
  save(callback: (error?: unknown) => void): void
  isSaved(): boolean
}

/** Seconds that a record lives where its session has no end of its own. */
const DEFAULT_TTL = 86_400

/** Seconds that the records of a session have to live. */
export function ttlOf (session: SessionObject): number {
  const { originalMaxAge, expires } = session.cookie
  if (typeof originalMaxAge === 'number' && originalMaxAge > 0) return Math.ceil(originalMaxAge / 1000)
  if (expires !== null && expires !== undefined) {
    return Math.max(1, Math.ceil((new Date(expires).getTime() - Date.now()) / 1000))
  }
  return DEFAULT_TTL
}

/** The session of a request as it is at this moment; null where there is none. */
export function currentSession (request: FastifyRequest): SessionObject | null {
  return request.session as unknown as SessionObject | null
}

/** The session of a request. @throws FST_OAUTH_SESSION_UNAVAILABLE where @fastify/session gave it none */
export function sessionOf (request: FastifyRequest): SessionObject {
  const session = currentSession(request)
  if (typeof session?.sessionId !== 'string') {
    // It looks for the cookie's path at the very beginning of the request target.
    if (!request.raw.url!.startsWith('/')) {
      throw new RequestTargetError(
        'a request in absolute form, as it is sent to a proxy, has no session; send the path alone'
      )
    }
    throw new SessionUnavailableError(
      `there is no session on ${request.routeOptions.url ?? 'this route'}; the session's cookie.path has to cover it`
    )
  }
  // @fastify/session stores nothing in this case and tells nobody.
  if (session.cookie.secure === true && request.protocol !== 'https') {
    throw new SessionUnavailableError(
      'the session cookie is `secure`, and this request came over http: behind a proxy that ends TLS set ' +
        "trustProxy, for development set cookie.secure to 'auto'"
    )
  }
  return session
}

/** Milliseconds that the session's store has for one operation. */
export const SESSION_STORE_MS = 5_000

/**
 * Calls a callback method of the session, with a time limit.
 * @throws FST_OAUTH_STORE_UNAVAILABLE
 */
export async function sessionCall (
  request: FastifyRequest,
  what: string,
  call: (done: (error?: unknown) => void) => void
): Promise<void> {
  try {
    await withTimeout(() => fromCallback(call), SESSION_STORE_MS)
  } catch (cause) {
    request.log.error({ err: { message: (cause as Error).message } }, `the session could not be ${what}`)
    throw new StoreUnavailableError(
      `the session could not be ${what}: its store does not answer; try again in a moment`,
      { reason: 'session', retryAfter: 1 }
    )
  }
}

/** @fastify/session tells nobody its options; a session made on trial shows the cookie's. */
export function inspectHostApp (app: FastifyInstance): HostApp {
  const hasSession =
    app.hasRequestDecorator('session') && app.hasRequestDecorator('sessionStore') && app.hasDecorator('decryptSession')
  const surroundings: HostApp = { hasSession, scopePrefix: app.prefix }
  if (!hasSession) return surroundings
  // `secure: 'auto'` is false over http, where it makes any sameSite lax; over https the cookie is as it was meant.
  const cookie = trialSession(app, 'https')?.cookie
  if (cookie === undefined) return surroundings
  const secure = cookie.secure !== true ? false : trialSession(app, 'http')?.cookie.secure === true ? true : 'auto'
  return { ...surroundings, cookie: { path: cookie.path ?? '/', secure, sameSite: cookie.sameSite } }
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

/** The session store is reachable through a session alone: the one made on trial, or the first request's. */
export function findSessionStore (app: FastifyInstance, isLate: IsLate) {
  const trial = trialSession(app, 'http') as Record<symbol, unknown> | undefined
  const symbol =
    trial === undefined
      ? undefined
      : Object.getOwnPropertySymbols(trial).find(({ description }) => description === 'sessionStore')
  let known: SessionStore | undefined
  const learn = (store: SessionStore | undefined) => {
    if (known !== undefined || typeof store?.destroy !== 'function') return
    known = store
    guardSessionStore(store, SESSION_STORE_MS, (method, cause) => {
      app.log.error({ err: describeFailure(cause), method }, 'the session store failed')
    }, isLate)
  }
  if (symbol !== undefined) learn(trial![symbol] as SessionStore)
  return {
    learn: (request: FastifyRequest): void => {
      if (known === undefined) learn(request.sessionStore as unknown as SessionStore)
    },
    get: (): SessionStore | undefined => known
  }
}
