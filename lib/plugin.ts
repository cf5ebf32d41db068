import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { PluginContext } from './context.ts'
import { InvalidOptionsError, StoreUnavailableError } from './errors.ts'
import { Transport } from './http/transport.ts'
import { LoginThrottle } from './login/throttle.ts'
import { isPendingLogin, PendingLogins } from './login/transaction.ts'
import {
  type AnyReply,
  type AnyRequest,
  type Configuration,
  type PluginOptions,
  passedAlong,
  peekBaseUrl,
  resolveOptions,
  type HostApp
} from './options.ts'
import { defaultPages } from './pages/pages.ts'
import type { ProviderName } from './providers/presets/names.ts'
import { ProviderClient } from './providers/provider.ts'
import { RequestOAuth } from './request-oauth.ts'
import { registerRoutes } from './routes/index.ts'
import { redirectUriOf } from './routes/paths.ts'
import { createGuard, type RequireLoginOptions } from './routes/require-login.ts'
import { SessionLogins } from './session/accounts.ts'
import { providerOf } from './session/context.ts'
import { EndedSessions } from './session/ended-sessions.ts'
import {
  clearedCookies,
  endUserSessions,
  syncRecordsOfRequest,
  isStray,
  keepReplacedCookie
} from './session/end-login.ts'
import {
  currentSession,
  findSessionStore,
  type SessionObject,
  inspectHostApp,
  ttlOf
} from './session/fastify-session.ts'
import { isIndexPart } from './session/login-index.ts'
import { isLoginRecord, LoginRecords } from './session/login-records.ts'
import { revokeAccount } from './session/revoke-account.ts'
import { SessionCookie } from './session/session-cookie.ts'
import { warnOfInsecureCookie } from './session/insecure-cookie.ts'
import { nextMember, sharedSession } from './session/shared-session.ts'
import { type LoadedLogin, loadedLogin } from './session/sync-records.ts'
import { UserLogins } from './session/user-logins.ts'
import { ProviderHandle } from './standalone/provider.ts'
import { OnTokensHook } from './tokens/on-tokens.ts'
import { isTokenRecord, type TokenRecord } from './tokens/record.ts'
import { TokenRecords } from './tokens/records.ts'
import { Refresher } from './tokens/refresher.ts'
import { boundedStore, describeFailure } from './tokens/stores/bounded-store.ts'
import { encryptedStore } from './tokens/stores/encrypted-store.ts'
import { readableStore } from './tokens/stores/readable-store.ts'
import type { SessionStore } from './tokens/stores/session-entry.ts'
import { isEntryId, isMemoryStore } from './tokens/stores/session-entry.ts'
import { SessionTokenStore } from './tokens/stores/session-store.ts'
import type { TokenStore } from './tokens/stores/token-store.ts'
import { systemClock } from './util/clock.ts'
import { waitAtMost } from './util/timeout.ts'

/** Milliseconds that a store has for one call. */
const STORE_MS = 5_000
/** Kinds of records by the beginning of their ids; ids of token records are bare. */
const RECORD_KINDS = { tokens: isTokenRecord, login: isPendingLogin, user: isIndexPart, accounts: isLoginRecord }
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
  [kOthers]: Map<PluginContext, LoadedLogin> | null
  [kFollowed]: boolean
}

/** An async hook for `onRequest`, of whatever kind of server. */
export type LoginGuard = (request: AnyRequest, reply: AnyReply) => Promise<AnyReply | undefined>

/** What `app.oauth` is. */
export interface AppOAuth {
  /**
   * What the app itself does with a provider: headless sessions, its own client, device login, exchange, introspection.
   * @throws FST_OAUTH_UNKNOWN_PROVIDER
   */
  provider (name: ProviderName): ProviderHandle
  /**
   * Makes an onRequest hook that lets only logged-in users pass: a page load is sent to log in and comes back, an API
   * call gets 401.
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
   * Logins that ended with FST_OAUTH_REFRESH_LOST since this process began: a refreshed token was lost on its way, and
   * the provider takes the old one no more. For a metric.
   */
  readonly lostRefreshes: number
}

/** Registers login, callback and logout routes, `request.oauth` and `app.oauth`. @throws FST_OAUTH_INVALID_OPTIONS */
export async function oauthSession (app: FastifyInstance, options: PluginOptions): Promise<void> {
  const surroundings = inspectHostApp(app)
  const config = resolveOptions(options, surroundings, () => { announce(config.baseUrl()) })
  const foreign = passedAlong(options)
  if (foreign.length > 0) {
    app.log.warn(`fastify-oauth-session leaves these options alone, which are none of its own: ${foreign.join(', ')}`)
  }
  const store = findSessionStore(app, (sessionId, session) => isLateSave(context, sessionId, session as SessionObject))
  const context = createContext(app, config, store.get)
  const announce = announcer(app, context, surroundings)

  app.decorate('oauth', {
    provider: (name: string) => context.providerHandles.get(providerOf(context, name).name)!,
    requireLogin: (guard?: RequireLoginOptions) => createGuard(context, guard) as LoginGuard,
    logoutUser: async ({ provider: name, subject }: { provider: string, subject: string }) => {
      const { identity } = providerOf(context, name).config
      const revoke = (record: TokenRecord) => { void revokeAccount(context, { name: record.provider, record }) }
      return await endUserSessions(context, { identity, subject, revoke })
    },
    get lostRefreshes () { return context.refresher.lost }
  } satisfies AppOAuth)
  app.decorateRequest(kOAuth, null)
  app.decorateRequest(kLoaded, null)
  app.decorateRequest(kOthers, null)
  app.decorateRequest(kFollowed, false)
  app.decorateRequest('oauth', {
    getter (this: FastifyRequest) {
      const request = this as Decorated
      request[kOAuth] ??= new RequestOAuth(context, request)
      return request[kOAuth]
    }
  })

  app.addHook('onRequest', (request, _reply, done) => {
    store.learn(request)
    // A store that is known only now was not guarded when this request loaded its session: that may be an entry of
    // ours.
    if (isEntryId(currentSession(request)!.sessionId)) app.decryptSession('', request, () => {})
    const session = currentSession(request)!
    context.sessionCookie.learn(request.cookies, session)
    const uses = firstUses(context, session)
    if (uses.length === 0) {
      noteLoaded(context, request as Decorated)
      return done()
    }
    void Promise.all(uses.map(use => use())).catch(() => {
      request.log.warn('whether a login had changed again could not be read; it is used as it was loaded')
    }).then(() => {
      noteLoaded(context, request as Decorated)
      done()
    })
  })
  // After @fastify/session's own onSend: what it has just saved is kept, what the app destroyed goes.
  app.addHook('onSend', (request, reply, _payload, done) => { follow(context, request as Decorated, reply, done) })
  // A hijacked reply never passes onSend.
  app.addHook('onResponse', (request, reply, done) => {
    if ((request as Decorated)[kFollowed] === true) done()
    else follow(context, request as Decorated, reply, done)
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
  // While the app still answers, as long as Fastify lets a hook be; what goes on longer, or began meanwhile,
  // afterwards.
  const { pluginTimeout = 0 } = app.initialConfig
  const beforeMs = Math.min(pluginTimeout > 0 ? pluginTimeout / 2 : Infinity, CLOSE_MS / 2)
  app.addHook('preClose', () => waitAtMost(finish(context), beforeMs))
  app.addHook('onClose', async () => {
    await waitAtMost(finish(context), CLOSE_MS - beforeMs)
    const lost = context.records.unsaved
    if (lost > 0) {
      app.log.error(
        { lost },
        'the store was down to the last: refreshed tokens could not be written, and these logins are lost'
      )
    }
    await context.transport.close()
  })

  for (const { name, grantType } of config.providers.values()) {
    if (grantType === 'implicit') {
      app.log.warn(
        { provider: name },
        "grantType 'implicit' puts tokens into the browser's address bar and is no longer recommended; use " +
          "'authorization_code', which protects its code with PKCE"
      )
    }
    if (grantType === 'password') {
      app.log.warn(
        { provider: name },
        "grantType 'password' hands the user's password to this app and is no longer recommended; use " +
          "'authorization_code' where the provider has it"
      )
    }
  }

  if (config.routes !== false) await registerRoutes(app, context)
}

/** Finishes what an app that closes must not lose. */
async function finish (context: PluginContext): Promise<void> {
  await context.refresher.idle()
  await Promise.allSettled(context.background)
  await context.records.close()
  await context.refresher.idle() // what came too late for a login that has ended is revoked
  await Promise.allSettled(context.background)
}

/** What has to be noted of a session's logins before they are used: that a request has come with them. */
function firstUses ({ registrations, clock }: PluginContext, session: SessionObject): (() => Promise<void>)[] {
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
function isLateSave (
  { endedSessions, sessionLogins }: PluginContext,
  sessionId: string,
  session: SessionObject
): boolean | Promise<boolean> {
  if (sessionLogins.of(session) === undefined) return false
  if (endedSessions.knows(sessionId)) return true
  return endedSessions.asksStore && endedSessions.find(sessionId).then(end => end !== undefined)
}

/** Notes what a request's session points to. A login that has ended in this process counts no more. */
function noteLoaded (context: PluginContext, request: Decorated): void {
  const session = currentSession(request)!
  if (context.registrations.length > 1) request[kOthers] = loadedByOthers(context, session)
  const loaded = loadedLogin(context.sessionLogins, session)
  if (loaded === undefined) return
  request[kLoaded] = loaded
  if (context.endedSessions.knows(session.sessionId)) context.sessionLogins.put(session, undefined)
}

/** What other registrations keep in a session: their hooks do not run for this request, and its end may be theirs. */
function loadedByOthers (context: PluginContext, session: SessionObject): Map<PluginContext, LoadedLogin> | null {
  const found = new Map<PluginContext, LoadedLogin>()
  for (const other of context.registrations) {
    const loaded = other === context ? undefined : loadedLogin(other.sessionLogins, session)
    if (loaded !== undefined) found.set(other, loaded)
  }
  return found.size === 0 ? null : found
}

function follow (context: PluginContext, request: Decorated, reply: FastifyReply, done: () => void): void {
  request[kFollowed] = true
  const loaded = request[kLoaded] ?? undefined
  const session = currentSession(request)
  const saved = session?.isSaved?.() === true
  const cleared = clearedCookies(context, request, reply)
  const isLeft = ([other, before]: [PluginContext, LoadedLogin]) =>
    !hasNothingToFollow(other, request, session, before, saved)
  const others = request[kOthers] === null ? [] : [...request[kOthers]].filter(isLeft)
  const isOwnLeft = cleared.length === 0 && hasNothingToFollow(context, request, session, loaded, saved)
  if (isOwnLeft && others.length === 0) return done()
  const work = async () => {
    if (!isOwnLeft) {
      await keepReplacedCookie(context, request, reply, cleared)
      await syncRecordsOfRequest(context, request, reply, loaded)
    }
    for (const [other, before] of others) await syncRecordsOfRequest(other, request, reply, before)
  }
  void work().catch(() => {
    request.log.warn('the tokens of a session could not follow it; they expire with their time')
  }).then(done)
}

/**
 * Most requests: the login is as it was loaded and nothing was saved; or nobody is logged in, and nobody else can have
 * ended what was saved.
 */
function hasNothingToFollow (
  context: PluginContext,
  request: FastifyRequest,
  session: SessionObject | null,
  loaded: LoadedLogin | undefined,
  saved: boolean
): boolean {
  const { endedSessions, sessionLogins } = context
  if (loaded !== undefined) {
    return !saved && session?.sessionId === loaded.sessionId && sessionLogins.of(session)?.accounts === loaded.accounts
  }
  if (sessionLogins.of(session) !== undefined) return false
  return (
    !saved ||
    (!endedSessions.asksStore && !endedSessions.knows(session!.sessionId) && !isStray(context, request, session))
  )
}

/** Says, when the app's own URL is known, what has to be registered with each provider, and what would not work. */
function announcer (
  app: FastifyInstance, context: PluginContext, { cookie }: HostApp
): (base: URL | undefined) => void {
  let said: string | undefined
  return (base) => {
    if (base === undefined || base.href === said) return
    said = base.href
    for (const provider of context.providers.values()) {
      const { grantType } = provider.config
      if (grantType === 'authorization_code' || grantType === 'implicit') {
        app.log.info(`register at ${provider.name}: ${redirectUriOf(context, provider, base)}`)
      }
    }
    if (base.protocol === 'https:' && cookie?.secure === false) warnOfInsecureCookie(context)
  }
}

/** Says once at boot what would lose logins. Never keeps the app from booting. */
function inspectStores (
  app: FastifyInstance,
  config: Configuration,
  sessionStore: () => SessionStore | undefined
): void {
  const store = sessionStore()
  if (config.tokenStore === undefined && store !== undefined && !isMemoryStore(store)) {
    app.log.warn(
      'fastify-oauth-session keeps tokens in the session store: refreshes are coordinated within this process ' +
        'only. Where several processes share that store, give tokenStore: redisStore(client) from ' +
        'fastify-oauth-session/redis'
    )
  }
  config.tokenStore?.inspect?.().then(
    findings => findings.forEach(finding => app.log.warn(`fastify-oauth-session: ${finding}`)),
    () => {}
  )
}

function createContext (
  app: FastifyInstance,
  config: Configuration,
  foundStore: () => SessionStore | undefined
): PluginContext {
  // @fastify/session decorates the app with one function for each of its registrations.
  const session = sharedSession<PluginContext>(app.decryptSession)
  const member = nextMember(session, config.mount)
  const clock = systemClock
  const transport = new Transport(config.dispatcher)
  const sessionStore = () => {
    const store = foundStore()
    if (store === undefined) {
      throw new InvalidOptionsError(
        'the session store is known only after the first request; give `tokenStore` to use tokens before that'
      )
    }
    return store
  }
  const store = createStore(app, config, sessionStore)
  const records = new TokenRecords(store, clock.monotonic, provider => {
    app.log.warn(
      { provider },
      'the token store had gone back behind what it had acknowledged (a failover, or a restart without its last ' +
        'writes); what this process saw was restored'
    )
  })
  const onTokensHook = new OnTokensHook(records, config.onTokens)
  const refresher = new Refresher({ records, clock, log: app.log, onTokensHook })
  const providers = new Map(
    [...config.providers].map(([name, provider]) => [name, new ProviderClient(provider, transport, clock)])
  )
  const shared = { records, refresher, onTokensHook }
  const isShared = () => config.tokenStore !== undefined || !isMemoryStore(sessionStore())
  session.endedSessions ??= new EndedSessions(store, isShared)
  const context: PluginContext = {
    config,
    providers,
    providerHandles: new Map(
      [...providers].map(([name, provider]) => [
        name,
        new ProviderHandle({ provider, transport, clock, log: app.log, shared })
      ])
    ),
    registrations: session.registrations,
    sessionLogins: new SessionLogins(member, name => config.providers.get(name)?.identity),
    records,
    pendingLogins: new PendingLogins(store, clock.now),
    endedSessions: session.endedSessions,
    sessionCookie: new SessionCookie(),
    loginRecords: new LoginRecords(store, clock.monotonic),
    userLogins: new UserLogins(store, clock.now, member),
    sessionStore,
    throttle: new LoginThrottle(clock.monotonic),
    refresher,
    onTokensHook,
    transport,
    clock,
    log: app.log,
    pages: { ...defaultPages, ...config.pages },
    background: new Set()
  }
  session.registrations.push(context)
  return context
}

/** The token store with everything around it: a time limit, encryption where there are keys, and no odd records. */
function createStore (
  app: FastifyInstance,
  { tokenStore, encryptionKeys }: Configuration,
  sessionStore: () => SessionStore
): TokenStore {
  const bounded = boundedStore(tokenStore ?? new SessionTokenStore(sessionStore), STORE_MS, (method, cause) => {
    app.log.error({ err: describeFailure(cause), method }, 'the token store failed')
  })
  const store = encryptionKeys === undefined
    ? bounded
    : encryptedStore(bounded, encryptionKeys, (provider) => {
      const message = 'a stored login cannot be decrypted with any of encryptionKeys; its user has to log in again'
      app.log.warn({ provider }, message)
    })
  return readableStore(store, RECORD_KINDS, (kind) => {
    app.log.warn({ kind }, 'the token store holds something else under the id of a record; it counts as not there')
  })
}
