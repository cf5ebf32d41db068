import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { StoreUnavailableError } from '../errors.ts'
import { errorForLog, logOf } from '../util/logger.ts'
import { decorateForTokens } from './account-tokens.ts'
import { loginIdOf, type SessionLogin } from './accounts.ts'
import type { SessionContext } from './context.ts'
import { endLogin } from './end-login.ts'
import { LATE_SAVE_TTL, type SessionEnd } from './ended-sessions.ts'
import { currentSession, isSaved, type SessionObject, ttlOf } from './fastify-session.ts'
import { withDetails } from './known-details.ts'
import {
  discardLateSave, discardStray, discardUnfinished, isFinished, isStray, keepReplacedCookie
} from './late-answers.ts'
import { enter, isTimed, noteRequest } from './login-end.ts'

/** What one registration of the plugin found in a request's session when it was loaded. */
interface LoadedLogin {
  readonly context: SessionContext
  readonly sessionId: string
  readonly login: SessionLogin | undefined
}

const kLoaded = Symbol('fastify-oauth-session.loaded')
type Decorated = FastifyRequest & { [kLoaded]: LoadedLogin[] | null }

/** Adds the hooks by which logins and token records follow the session of each request. */
export function addSessionHooks (app: FastifyInstance, context: SessionContext): void {
  // Another registration of the plugin, here or further out, does it for all of them.
  if (app.hasRequestDecorator(kLoaded)) return
  app.decorateRequest(kLoaded, null)
  decorateForTokens(app)
  syncHijacked(app, context)
  app.addHook('onRequest', (request, _reply, done) => { load(context, request as Decorated, done) })
  // After @fastify/session's own onSend, which saves the session.
  app.addHook('onSend', (request, reply, _payload, done) => { sync(context, request as Decorated, reply, done) })
  // The answer to a request whose session cannot be saved has the error's status, not the one that it was to have.
  app.addHook('onError', (_request, reply, error, done) => {
    if (error instanceof StoreUnavailableError) reply.code(error.statusCode)
    done()
  })
}

/**
 * A hijacked reply never passes onSend. An onResponse hook would cost every request of the app its listeners; a method
 * of each reply's own, garbage that lives until the next full collection.
 */
function syncHijacked (app: FastifyInstance, context: SessionContext): void {
  const hijack: FastifyReply['hijack'] = function (this: FastifyReply) {
    this.raw.once('close', () => { sync(context, this.request as Decorated, this, () => {}) })
    return overridden(this, hijack).call(this)
  }
  app.decorateReply('hijack', hijack)
}

/** The `hijack` that a reply would have without this one. */
function overridden (reply: FastifyReply, hijack: FastifyReply['hijack']): FastifyReply['hijack'] {
  let prototype = reply
  while (!Object.hasOwn(prototype, 'hijack') || prototype.hijack !== hijack) {
    prototype = Object.getPrototypeOf(prototype) as FastifyReply
  }
  return (Object.getPrototypeOf(prototype) as FastifyReply).hijack
}

/** Notes the logins of the session that a request came with, and in their records that a request has come with it. */
function load (context: SessionContext, request: Decorated, done: () => void): void {
  context.sessionStore.learn(request)
  const session = currentSession(request)
  if (session === null) return done()
  context.sessionCookie.learn(request.cookies, session)
  const loaded = loadedLogins(context, session)
  // As with most requests: nothing has to be read or written.
  if (!loaded.some(mayNeedStore)) {
    noteLoaded(context, request, session, loaded)
    return done()
  }
  void noteUse(context, request, session, loaded).then((logins) => {
    noteLoaded(context, request, session, logins)
    done()
  })
}

/** Notes in the records of logins that a request has come with them. @returns the logins as they are now */
async function noteUse (
  context: SessionContext, request: Decorated, session: SessionObject, loaded: LoadedLogin[]
): Promise<LoadedLogin[]> {
  const now = context.clock.now()
  const firstUses = loaded.filter(({ context: { loginRecords }, login }) =>
    login?.unusedUntil !== undefined && loginRecords.isFirstUse(session.sessionId, login, now))
  let logins = loaded
  if (firstUses.length > 0) {
    try {
      await Promise.all(firstUses.map(async ({ context: { loginRecords, sessionLogins }, login }) => {
        const newer = await loginRecords.use(session.sessionId, login!, ttlOf(session))
        if (newer !== undefined) sessionLogins.put(session, newer)
      }))
    } catch (error) {
      const message = 'the record of a login could not be read; the login is used as the session has it'
      logOf(request).warn({ event: 'login_not_read', err: errorForLog(error) }, message)
    }
    logins = loadedLogins(context, session)
  }
  if (!logins.some(isTimedLogin) || isPassive(request)) return logins
  const timed = logins.filter(loaded => isTimedLogin(loaded) && !noteRequest(loaded.context, loaded.login!))
  try {
    await Promise.all(timed.map(({ context, login }) => enter(context, request, login!, ttlOf(session))))
  } catch (error) {
    const message = 'it could not be read, or noted, when a login had its last request; the login is kept'
    logOf(request).warn({ event: 'activity_not_stored', err: errorForLog(error) }, message)
  }
  return logins
}

/** Whether a login has notes of its use in the store. */
function mayNeedStore ({ context, login }: LoadedLogin): boolean {
  return login !== undefined && (login.unusedUntil !== undefined || isTimed(context, login))
}

function noteLoaded (
  { endedSessions }: SessionContext, request: Decorated, session: SessionObject, loaded: LoadedLogin[]
): void {
  request[kLoaded] = loaded
  // A login that has ended in this process is none any more.
  if ((loaded[0]!.login !== undefined || loaded.length > 1) && endedSessions.knows(session.sessionId)) {
    for (const { context: { sessionLogins } } of loaded) sessionLogins.put(session, undefined)
  }
}

/** In the `config` of a route whose requests are no activity of the user's. */
const kPassive = Symbol('fastify-oauth-session.passive')

/** The `config` of such a route. */
export const passiveRoute: Record<symbol, true> = { [kPassive]: true }

const isPassive = ({ routeOptions }: FastifyRequest) =>
  (routeOptions.config as unknown as Record<symbol, unknown> | undefined)?.[kPassive] === true

const isTimedLogin = ({ context, login }: LoadedLogin) => login !== undefined && isTimed(context, login)

/**
 * What a session holds for this registration, and for others that have a login in it: their hooks do not run for this
 * request, and the session may end with it.
 */
function loadedLogins (context: SessionContext, session: SessionObject): LoadedLogin[] {
  const { sessionId } = session
  const loaded: LoadedLogin[] = [{ context, sessionId, login: context.sessionLogins.of(session) }]
  if (context.registrations.length === 1) return loaded
  for (const other of context.registrations) {
    const login = other === context ? undefined : other.sessionLogins.of(session)
    if (login !== undefined) loaded.push({ context: other, sessionId, login })
  }
  return loaded
}

/**
 * Keeps an answer out of shared caches, which is for a user who is logged in or gives a browser its session (RFC 9111,
 * section 7.3). A `Cache-Control` of the app's own is kept.
 */
export function keepPrivate (reply: FastifyReply): void {
  if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'private, no-store')
}

/** Has records and cookies follow what the request did with its session. */
function sync (context: SessionContext, request: Decorated, reply: FastifyReply, done: () => void): void {
  void context.shared.loginSignals?.then(signals => signals.answered(request, reply))
  const session = currentSession(request)
  const loaded = request[kLoaded] ?? [{ context, sessionId: '', login: undefined }]
  if (session !== null && isSaved(session)) {
    context.sessionCookie.learnFromAnswer(reply, session)
    keepPrivate(reply)
  }
  // What a request does to a session that it destroyed itself is its own business.
  const cleared = reply.hasHeader('set-cookie') && typeof session?.sessionId === 'string'
    ? context.sessionCookie.clearedIn(reply, request.cookies, session)
    : []
  if (cleared.length > 0) keepPrivate(reply)
  const changed = withBegun(context, loaded, session).filter(login => !isUnchanged(request, session, login))
  if (cleared.length === 0 && changed.length === 0) return done()
  const work = async () => {
    await keepReplacedCookie(context, request, reply, cleared)
    for (const login of changed) await syncRecordsOfRequest(request, reply, login)
  }
  void work().catch((error: unknown) => {
    const message = 'the token records of a session could not be updated; they end with their time'
    logOf(request).warn({ event: 'tokens_not_deleted', err: errorForLog(error) }, message)
  }).then(done)
}

/** With the logins of other registrations that have begun with this request. */
function withBegun ({ registrations }: SessionContext, loaded: LoadedLogin[], session: SessionObject | null) {
  if (registrations.length === 1) return loaded
  const { sessionId } = loaded[0]!
  const begun = registrations
    .filter(other => other.sessionLogins.of(session) !== undefined && !loaded.some(({ context }) => context === other))
    .map(other => ({ context: other, sessionId, login: undefined }))
  return [...loaded, ...begun]
}

/**
 * Whether there is nothing to do, as for most requests: the login is as it was loaded and nothing was saved; or there
 * is no login, or one that began with this request, and what was saved cannot be of a session that has ended.
 */
function isUnchanged (
  request: FastifyRequest, session: SessionObject | null, { context, sessionId, login }: LoadedLogin
): boolean {
  const { endedSessions, sessionLogins } = context
  const current = sessionLogins.of(session)
  if (login !== undefined) {
    return !isSaved(session) && session?.sessionId === sessionId && current?.accounts === login.accounts
  }
  // Its records were written a moment ago.
  if (current !== undefined && !isFinished(session!, current)) return false
  if (session === null || !isSaved(session)) return true
  if (endedSessions.asksStore || endedSessions.knows(session.sessionId)) return false
  return current !== undefined || !isStray(context, request, session)
}

/**
 * Has the records of a login follow its session at the end of a request.
 * @throws FST_OAUTH_STORE_UNAVAILABLE
 */
async function syncRecordsOfRequest (
  request: FastifyRequest, reply: FastifyReply, loaded: LoadedLogin
): Promise<void> {
  const { context, sessionId: loadedId, login: before } = loaded
  const { sessionLogins, loginRecords, endedSessions, sessionStore } = context
  const session = currentSession(request)
  const isDiscarded = await discardUnfinished(context, request, reply)
  const end = isDiscarded ? undefined : await discardLateSave(context, request, reply)
  const login = sessionLogins.of(session)
  if (end !== undefined) {
    // The login continues in another session, and its tokens with it.
    if (goesOn(end, sessionLogins.member)) return
    // What ended the session may have failed before it came to the tokens: they go with the session.
    const gone = before ?? login
    if (gone === undefined) return
    // It may have moved to another session while that was under way.
    if (await endLogin(context, gone, { sessionId: session!.sessionId, onlyThere: true }) === undefined) return
    return await syncRecords(context, { ...loaded, login: gone }, null)
  }
  if (before === undefined && login === undefined) {
    if (!isDiscarded) await discardStray(context, request, reply)
    return
  }
  const isElsewhere = before !== undefined && session?.sessionId !== loadedId
  const isSame = before !== undefined && login !== undefined && loginIdOf(login) === loginIdOf(before)
  if (before !== undefined && !isSame) {
    // The app has destroyed or renewed the session; or the login has ended by itself, or the app has taken it out of
    // the session. A slower request says nothing about a login that continues under another id.
    if (!isElsewhere && goesOn(await endedSessions.find(loadedId), sessionLogins.member)) return
    if (await endLogin(context, before, { sessionId: loadedId, onlyThere: !isElsewhere }) === undefined) return
  }
  // Destroyed or regenerated by the app itself, without having been marked. What a slower request saved before the
  // mark goes as well.
  if (isElsewhere && !endedSessions.knows(loadedId)) {
    await endedSessions.mark(loadedId, LATE_SAVE_TTL, { ...(isSame && { replaced: true }) })
    await sessionStore.destroy(loadedId)
  }
  await syncRecords(context, loaded, session)
  if (login?.login === undefined) return
  if (isElsewhere && isSame) await loginRecords.move(login.login, session!.sessionId, ttlOf(session!))
  else if (isSaved(session)) await loginRecords.keepAlive(login.login, ttlOf(session!))
}

/** Whether the login of a session that has ended continues in another one, by its own or another registration. */
function goesOn (end: SessionEnd | undefined, member: string): boolean {
  return end?.replaced === true || end?.carried?.includes(member) === true
}

/**
 * Deletes the token records that a session no longer points to, and keeps the others alive if the session was saved.
 * @param loaded the session's id and login when the request loaded it
 * @param session the session at the end of the request
 * @throws FST_OAUTH_STORE_UNAVAILABLE
 */
export async function syncRecords (
  { sessionLogins, records, userLogins }: Pick<SessionContext, 'sessionLogins' | 'records' | 'userLogins'>,
  loaded: Pick<LoadedLogin, 'sessionId' | 'login'>,
  session: SessionObject | null
): Promise<void> {
  const login = sessionLogins.of(session)
  const id = login && loginIdOf(login)
  const current = Object.values(login?.accounts ?? {})
  const kept = new Set(current.map(({ recordId }) => recordId))
  for (const account of Object.values(loaded.login?.accounts ?? {})) {
    const { recordId } = account
    if (kept.has(recordId)) {
      // The app gave the login a new session id and took the login along.
      if (session!.sessionId !== loaded.sessionId) {
        await userLogins.update(withDetails(account), session!, ttlOf(session!), id)
      }
      continue
    }
    if (records.isDeleted(recordId)) continue
    await records.remove(recordId)
    await userLogins.remove(withDetails(account))
  }
  if (session === null || !isSaved(session)) return
  const ttl = ttlOf(session)
  for (const account of current) {
    // By the user's other sessions the login has to be found as long as it lives.
    if (await records.keepAlive(account.recordId, ttl)) await userLogins.update(withDetails(account), session, ttl, id)
  }
}
