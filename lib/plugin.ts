import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { AppProvider } from './client/app-provider.ts'
import { within } from './client/bounded.ts'
import { systemClock } from './client/clock.ts'
import { ProviderClient } from './client/provider-client.ts'
import { Refresher } from './client/refresher.ts'
import { TokenUpdater } from './client/token-updater.ts'
import { Transport } from './client/transport.ts'
import { InvalidOptionsError, StoreUnavailableError } from './errors.ts'
import { passedAlong, peekBaseUrl, resolveOptions, type AnyReply, type AnyRequest, type Configuration, type OAuthSessionOptions, type Surroundings } from './options.ts'
import type { ProviderName } from './providers/names.ts'
import { RequestOAuth } from './request-oauth.ts'
import { clearedCookies, endUserSessions, followRequest, isStray, keepNewerCookies } from './routes/ended-sessions.ts'
import { createGuard, type RequireLoginOptions } from './routes/guard.ts'
import { registerRoutes } from './routes/index.ts'
import { LoginThrottle } from './routes/login-throttle.ts'
import { defaultPages, type Pages } from './routes/pages.ts'
import { revokeAccount } from './routes/logout.ts'
import { providerOf, redirectUriOf, type Runtime } from './routes/runtime.ts'
import { warnOfInsecureCookie } from './routes/session-cookie.ts'
import { SessionLogins, ttlOf, type SessionObject } from './session/accounts.ts'
import { boundedStore, describeFailure } from './session/bounded-store.ts'
import { DeadSessions } from './session/dead-sessions.ts'
import { encryptedStore } from './session/encrypted-store.ts'
import { guardSessionStore, isEntryId, isMemoryStore, type IsLate } from './session/guarded-session-store.ts'
import { loadedRecords, type LoadedLogin } from './session/lifecycle.ts'
import { LoginRecords } from './session/login-records.ts'
import { PendingLogins } from './session/pending-logins.ts'
import { SessionCookie } from './session/session-cookie.ts'
import { readableStore } from './session/readable-store.ts'
import { nextMember, sharedSession } from './session/shared-session.ts'
import { SessionTokenStore, type SessionStore } from './session/session-token-store.ts'
import type { TokenRecord } from './session/token-record.ts'
import { TokenRecords } from './session/token-records.ts'
import type { TokenStore } from './session/token-store.ts'
import { UserLogins } from './session/user-logins.ts'

/** Milliseconds that a store has for one call. */
const STORE_MS = 5_000
/** Milliseconds that an app which closes waits for the answers under way. */
const CLOSE_MS = 20_000

const kOAuth = Symbol('fastify-oauth-session.oauth')
const kLoaded = Symbol('fastify-oauth-session.loaded')
const kOthers = Symbol('fastify-oauth-session.others')
const kFollowed = Symbol('fastify-oauth-session.followed')
type Decorated = FastifyRequest & {
  [kOAuth]: RequestOAuth | null
  [kLoaded]: LoadedLogin | null
  /** What other registrations below the same session keep in it. */
  [kOthers]: Map<Runtime, LoadedLogin> | null
  [kFollowed]: boolean
}

/** Options of the plugin. */
export interface PluginOptions extends Omit<OAuthSessionOptions, 'pages'> {
  /** Replaces single pages: each function gets plain data and returns a whole HTML document. */
  pages?: Partial<Pages>
}

/** An async hook for `onRequest`, of whatever kind of server. */
export type LoginGuard = (request: AnyRequest, reply: AnyReply) => Promise<AnyReply | undefined>

/** What `app.oauth` is. */
export interface AppOAuth {
  /** What the app itself does with a provider: headless sessions, its own client, device login, exchange, introspection. @throws FST_OAUTH_UNKNOWN_PROVIDER */
  provider (name: ProviderName): AppProvider
  /**
   * Makes an onRequest hook that lets only logged-in users pass: a page load is sent to log in and comes back, an API call gets 401.
   * @param options.provider the provider that must be logged in with; any where absent
   */
  requireLogin (options?: RequireLoginOptions): LoginGuard
  /**
   * Ends every session of one user, on every process: tokens deleted and revoked, sessions destroyed.
   * @param user.subject the user's id at that provider (`request.oauth.user.id`)
   * @returns how many sessions there were
   * @throws FST_OAUTH_UNKNOWN_PROVIDER, FST_OAUTH_STORE_UNAVAILABLE where not all of them could be ended
   */
  logoutUser (user: { provider: ProviderName, subject: string }): Promise<number>
  /**
   * Logins that ended with FST_OAUTH_REFRESH_LOST since this process began: a refreshed token was lost on its way, and the
   * provider takes the old one no more. For a metric.
   */
  readonly lostRefreshes: number
}

/** Registers login, callback and logout routes, `request.oauth` and `app.oauth`. @throws FST_OAUTH_INVALID_OPTIONS */
export async function oauthSession (app: FastifyInstance, options: PluginOptions): Promise<void> {
  const surroundings = surroundingsOf(app)
  const config = resolveOptions(options as OAuthSessionOptions, surroundings, () => { announce(config.baseUrl()) })
  const foreign = passedAlong(options)
  if (foreign.length > 0) app.log.warn(`fastify-oauth-session leaves these options alone, which are none of its own: ${foreign.join(', ')}`)
  const store = findSessionStore(app, (sessionId, session) => isLateSave(runtime, sessionId, session as SessionObject))
  const runtime = createRuntime(app, config, store.get)
  const announce = announcer(app, runtime, surroundings)

  app.decorate('oauth', {
    provider: (name: string) => runtime.appProviders.get(providerOf(runtime, name).name)!,
    requireLogin: (guard?: RequireLoginOptions) => createGuard(runtime, guard) as LoginGuard,
    logoutUser: async ({ provider: name, subject }: { provider: string, subject: string }) => {
      const { identity } = providerOf(runtime, name).config
      const revoke = (record: TokenRecord) => { revokeAccount(runtime, { name: record.provider, record }) }
      return await endUserSessions(runtime, { identity, subject, revoke })
    },
    get lostRefreshes () { return runtime.refresher.lost }
  } satisfies AppOAuth)
  app.decorateRequest(kOAuth, null)
  app.decorateRequest(kLoaded, null)
  app.decorateRequest(kOthers, null)
  app.decorateRequest(kFollowed, false)
  app.decorateRequest('oauth', {
    getter (this: FastifyRequest) {
      const request = this as Decorated
      request[kOAuth] ??= new RequestOAuth(runtime, request)
      return request[kOAuth]
    }
  })

  app.addHook('onRequest', (request, _reply, done) => {
    store.learn(request)
    // A store that is known only now was not guarded when this request loaded its session: that may be an entry of ours.
    if (isEntryId((request.session as unknown as SessionObject).sessionId)) app.decryptSession('', request, () => {})
    const session = request.session as unknown as SessionObject
    runtime.sessionCookie.learn(request.cookies, session)
    const uses = firstUses(runtime, session)
    if (uses.length === 0) {
      noteLoaded(runtime, request as Decorated)
      return done()
    }
    Promise.all(uses.map(use => use())).catch(() => {
      request.log.warn('whether a login had changed again could not be read; it is used as it was loaded')
    }).then(() => {
      noteLoaded(runtime, request as Decorated)
      done()
    })
  })
  // After @fastify/session's own onSend: what it has just saved is kept, what the app destroyed goes.
  app.addHook('onSend', (request, reply, _payload, done) => { follow(runtime, request as Decorated, reply, done) })
  // A hijacked reply never passes onSend.
  app.addHook('onResponse', (request, reply, done) => {
    if ((request as Decorated)[kFollowed] === true) done()
    else follow(runtime, request as Decorated, reply, done)
  })
  // An answer that fails because its session cannot be saved has the store's status, not the one that it was to have.
  app.addHook('onError', (_request, reply, error, done) => {
    if (error instanceof StoreUnavailableError) reply.code(error.statusCode)
    done()
  })
  app.addHook('onReady', async () => {
    inspectStores(app, config, store.get)
    if (config.staticBaseUrl !== undefined) announce(config.staticBaseUrl)
  })
  // A look ahead only: such a function is asked for good at first use.
  app.addHook('onListen', async () => { announce(peekBaseUrl(options.baseUrl)) })
  // While the app still answers, as long as Fastify lets a hook be; what goes on longer, or began meanwhile, afterwards.
  const { pluginTimeout = 0 } = app.initialConfig
  const beforeMs = Math.min(pluginTimeout > 0 ? pluginTimeout / 2 : Infinity, CLOSE_MS / 2)
  app.addHook('preClose', () => within(finish(runtime), beforeMs))
  app.addHook('onClose', async () => {
    await within(finish(runtime), CLOSE_MS - beforeMs)
    const lost = runtime.records.unsaved
    if (lost > 0) app.log.error({ lost }, 'the store was down to the last: refreshed tokens could not be written, and these logins are lost')
    await runtime.transport.close()
  })

  for (const { name, grantType } of config.providers.values()) {
    if (grantType === 'implicit') app.log.warn({ provider: name }, "grantType 'implicit' puts tokens into the browser's address bar and is no longer recommended; use 'authorization_code', which protects its code with PKCE")
    if (grantType === 'password') app.log.warn({ provider: name }, "grantType 'password' hands the user's password to this app and is no longer recommended; use 'authorization_code' where the provider has it")
  }

  if (config.routes !== false) await registerRoutes(app, runtime)
}

/** Finishes what an app that closes must not lose. */
async function finish (runtime: Runtime): Promise<void> {
  await runtime.refresher.idle()
  await Promise.allSettled(runtime.background)
  await runtime.records.close()
  await runtime.refresher.idle() // what came too late for a login that has ended is revoked
  await Promise.allSettled(runtime.background)
}

/** What has to be noted of a session's logins before they are used: that a request has come with them. */
function firstUses ({ registrations, clock }: Runtime, session: SessionObject): (() => Promise<void>)[] {
  const uses: (() => Promise<void>)[] = []
  for (const { sessionLogins, loginRecords } of registrations) {
    const login = sessionLogins.of(session)
    if (login === undefined || !loginRecords.isFirstUse(session.sessionId, login, clock.now())) continue
    uses.push(async () => {
      const newer = await loginRecords.use(session.sessionId, login, ttlOf(session))
      if (newer !== undefined) sessionLogins.put(session, newer)
    })
  }
  return uses
}

/** Whether a session with a login is to be saved after it has ended. */
function isLateSave ({ deadSessions, sessionLogins }: Runtime, sessionId: string, session: SessionObject): boolean | Promise<boolean> {
  if (sessionLogins.of(session) === undefined) return false
  if (deadSessions.knows(sessionId)) return true
  return deadSessions.asksStore && deadSessions.find(sessionId).then(end => end !== undefined)
}

/** Notes what a request's session points to. A login that has ended in this process counts no more. */
function noteLoaded (runtime: Runtime, request: Decorated): void {
  const session = request.session as unknown as SessionObject
  if (runtime.registrations.length > 1) request[kOthers] = loadedByOthers(runtime, session)
  const loaded = loadedRecords(runtime.sessionLogins, session)
  if (loaded === undefined) return
  request[kLoaded] = loaded
  if (runtime.deadSessions.knows(session.sessionId)) runtime.sessionLogins.put(session, undefined)
}

/** What other registrations keep in a session: their hooks do not run for this request, and its end may be theirs. */
function loadedByOthers (runtime: Runtime, session: SessionObject): Map<Runtime, LoadedLogin> | null {
  const found = new Map<Runtime, LoadedLogin>()
  for (const other of runtime.registrations) {
    const loaded = other === runtime ? undefined : loadedRecords(other.sessionLogins, session)
    if (loaded !== undefined) found.set(other, loaded)
  }
  return found.size === 0 ? null : found
}

function follow (runtime: Runtime, request: Decorated, reply: FastifyReply, done: () => void): void {
  request[kFollowed] = true
  const loaded = request[kLoaded] ?? undefined
  const session = request.session as unknown as SessionObject | null
  const saved = session?.isSaved?.() === true
  const cleared = clearedCookies(runtime, request, reply)
  const isLeft = ([other, before]: [Runtime, LoadedLogin]) =>
    !hasNothingToFollow(other, request, session, before, saved)
  const others = request[kOthers] === null ? [] : [...request[kOthers]].filter(isLeft)
  const isOwnLeft = cleared.length === 0 && hasNothingToFollow(runtime, request, session, loaded, saved)
  if (isOwnLeft && others.length === 0) return done()
  const work = async () => {
    if (!isOwnLeft) {
      await keepNewerCookies(runtime, request, reply, cleared)
      await followRequest(runtime, request, reply, loaded)
    }
    for (const [other, before] of others) await followRequest(other, request, reply, before)
  }
  work().catch(() => {
    request.log.warn('the tokens of a session could not follow it; they expire with their time')
  }).then(done)
}

/** Most requests: the login is as it was loaded and nothing was saved; or nobody is logged in, and nobody else can have ended what was saved. */
function hasNothingToFollow (runtime: Runtime, request: FastifyRequest, session: SessionObject | null, loaded: LoadedLogin | undefined, saved: boolean): boolean {
  const { deadSessions, sessionLogins } = runtime
  if (loaded !== undefined) return !saved && session?.sessionId === loaded.sessionId && sessionLogins.of(session)?.accounts === loaded.accounts
  if (sessionLogins.of(session) !== undefined) return false
  return !saved || (!deadSessions.asksStore && !deadSessions.knows(session!.sessionId) && !isStray(runtime, request, session))
}

/** Says, when the app's own URL is known, what has to be registered with each provider, and what would not work. */
function announcer (app: FastifyInstance, runtime: Runtime, { cookie }: Surroundings): (base: URL | undefined) => void {
  let said: string | undefined
  return (base) => {
    if (base === undefined || base.href === said) return
    said = base.href
    for (const provider of runtime.providers.values()) {
      const { grantType } = provider.config
      if (grantType === 'authorization_code' || grantType === 'implicit') app.log.info(`register at ${provider.name}: ${redirectUriOf(runtime, provider, base)}`)
    }
    if (base.protocol === 'https:' && cookie?.secure === false) warnOfInsecureCookie(runtime)
  }
}

/** Says once at boot what would lose logins. Never keeps the app from booting. */
function inspectStores (app: FastifyInstance, config: Configuration, sessionStore: () => SessionStore | undefined): void {
  const store = sessionStore()
  if (config.tokenStore === undefined && store !== undefined && !isMemoryStore(store)) {
    app.log.warn('fastify-oauth-session keeps tokens in the session store: refreshes are coordinated within this process only. Where several processes share that store, give tokenStore: redisStore(client) from fastify-oauth-session/redis')
  }
  config.tokenStore?.inspect?.().then(findings => findings.forEach(finding => app.log.warn(`fastify-oauth-session: ${finding}`)), () => {})
}

function createRuntime (app: FastifyInstance, config: Configuration, foundStore: () => SessionStore | undefined): Runtime {
  // @fastify/session decorates the app with one function for each of its registrations.
  const session = sharedSession<Runtime>(app.decryptSession)
  const member = nextMember(session, config.mount)
  const clock = systemClock
  const transport = new Transport(config.dispatcher)
  const sessionStore = () => {
    const store = foundStore()
    if (store === undefined) throw new InvalidOptionsError('the session store is known only after the first request; give `tokenStore` to use tokens before that')
    return store
  }
  const store = createStore(app, config, sessionStore)
  const records = new TokenRecords(store, clock.monotonic, (provider) => {
    app.log.warn({ provider }, 'the token store had gone back behind what it had acknowledged (a failover, or a restart without its last writes); what this process saw was restored')
  })
  const updater = new TokenUpdater(records, config.onTokens)
  const refresher = new Refresher({ records, clock, log: app.log, updater })
  const providers = new Map([...config.providers].map(([name, provider]) => [name, new ProviderClient(provider, transport, clock)]))
  const shared = { records, refresher, updater }
  const isShared = () => config.tokenStore !== undefined || !isMemoryStore(sessionStore())
  session.deadSessions ??= new DeadSessions(store, isShared)
  const runtime: Runtime = {
    config,
    providers,
    appProviders: new Map([...providers].map(([name, provider]) => [name, new AppProvider({ provider, transport, clock, log: app.log, shared })])),
    registrations: session.registrations,
    sessionLogins: new SessionLogins(member, name => config.providers.get(name)?.identity),
    records,
    pendingLogins: new PendingLogins(store, clock.now),
    deadSessions: session.deadSessions,
    sessionCookie: new SessionCookie(),
    loginRecords: new LoginRecords(store, clock.monotonic),
    userLogins: new UserLogins(store, clock.now, member),
    sessionStore,
    throttle: new LoginThrottle(clock.monotonic),
    refresher,
    updater,
    transport,
    clock,
    log: app.log,
    pages: { ...defaultPages, ...config.pages },
    background: new Set()
  }
  session.registrations.push(runtime)
  return runtime
}

/** The token store with everything around it: a time limit, encryption where there are keys, and no odd records. */
function createStore (app: FastifyInstance, { tokenStore, encryptionKeys }: Configuration, sessionStore: () => SessionStore): TokenStore {
  const bounded = boundedStore(tokenStore ?? new SessionTokenStore(sessionStore), STORE_MS, (method, cause) => {
    app.log.error({ err: describeFailure(cause), method }, 'the token store failed')
  })
  const store = encryptionKeys === undefined
    ? bounded
    : encryptedStore(bounded, encryptionKeys, (provider) => {
      const message = 'a stored login cannot be decrypted with any of encryptionKeys; its user has to log in again'
      app.log.warn({ provider }, message)
    })
  return readableStore(store, (kind) => {
    app.log.warn({ kind }, 'the token store holds something else under the id of a record; it counts as not there')
  })
}

/** @fastify/session tells nobody its options; a session made on trial shows the cookie's. */
function surroundingsOf (app: FastifyInstance): Surroundings {
  const hasSession = app.hasRequestDecorator('session') && app.hasRequestDecorator('sessionStore') && app.hasDecorator('decryptSession')
  const surroundings: Surroundings = { hasSession, scopePrefix: app.prefix }
  if (!hasSession) return surroundings
  // `secure: 'auto'` is false over http, where it makes any sameSite lax; over https the cookie is as it was meant.
  const cookie = trialSession(app, 'https')?.cookie
  if (cookie === undefined) return surroundings
  const secure = cookie.secure !== true ? false : trialSession(app, 'http')?.cookie.secure === true ? true : 'auto'
  return { ...surroundings, cookie: { path: cookie.path ?? '/', secure, sameSite: cookie.sameSite } }
}

function trialSession (app: FastifyInstance, protocol: 'http' | 'https'): SessionObject | undefined {
  const request: { session?: SessionObject, protocol: string, raw: { url: string }, headers: object, cookies: object } = { protocol, raw: { url: '/' }, headers: {}, cookies: {} }
  try {
    app.decryptSession('', request, () => {})
    return request.session
  } catch {
    return undefined // an id generator or signer of the app's own that needs a real request
  }
}

/** The session store is reachable through a session alone: the one made on trial, or the first request's. */
function findSessionStore (app: FastifyInstance, isLate: IsLate) {
  const trial = trialSession(app, 'http') as Record<symbol, unknown> | undefined
  const symbol = trial === undefined ? undefined : Object.getOwnPropertySymbols(trial).find(({ description }) => description === 'sessionStore')
  let known: SessionStore | undefined
  const learn = (store: SessionStore | undefined) => {
    if (known !== undefined || typeof store?.destroy !== 'function') return
    known = store
    guardSessionStore(store, STORE_MS, (method, cause) => {
      app.log.error({ err: describeFailure(cause), method }, 'the session store failed')
    }, isLate)
  }
  if (symbol !== undefined) learn(trial![symbol] as SessionStore)
  return {
    learn: (request: FastifyRequest): void => { if (known === undefined) learn(request.sessionStore as unknown as SessionStore) },
    get: (): SessionStore | undefined => known
  }
}
