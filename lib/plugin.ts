import type { FastifyInstance, FastifyRequest } from 'fastify'
import { systemClock } from './client/clock.ts'
import { ProviderClient } from './client/provider-client.ts'
import { Refresher } from './client/refresher.ts'
import { Transport } from './client/transport.ts'
import { InvalidOptionsError } from './errors.ts'
import { resolveOptions, type Configuration, type OAuthSessionOptions, type Surroundings } from './options.ts'
import { RequestOAuth } from './request-oauth.ts'
import { createGuard, type RequireLoginOptions } from './routes/guard.ts'
import { registerRoutes } from './routes/index.ts'
import { defaultPages } from './routes/pages.ts'
import type { Runtime } from './routes/runtime.ts'
import type { SessionObject } from './session/accounts.ts'
import { boundedStore } from './session/bounded-store.ts'
import { followSession, loadedRecords, type LoadedRecords } from './session/lifecycle.ts'
import { PendingLogins } from './session/pending-logins.ts'
import { SessionTokenStore, type SessionStore } from './session/session-token-store.ts'
import { TokenRecords } from './session/token-records.ts'

/** Milliseconds that a store has for one call. */
const STORE_MS = 5_000

const kOAuth = Symbol('fastify-oauth-session.oauth')
const kLoaded = Symbol('fastify-oauth-session.loaded')
type Decorated = FastifyRequest & { [kOAuth]: RequestOAuth | null, [kLoaded]: LoadedRecords | undefined | null }

/** What `app.oauth` is. */
export interface AppOAuth {
  /**
   * Makes an onRequest hook that lets only logged-in users pass: a page load is sent to log in and comes back, an API call gets 401.
   * @param options.provider the provider that must be logged in with; any where absent
   */
  requireLogin (options?: RequireLoginOptions): ReturnType<typeof createGuard>
}

/** Registers login, callback and logout routes, `request.oauth` and `app.oauth`. @throws FST_OAUTH_INVALID_OPTIONS */
export async function oauthSession (app: FastifyInstance, options: OAuthSessionOptions): Promise<void> {
  const config = resolveOptions(options, surroundingsOf(app))
  const store = lateSessionStore()
  const runtime = createRuntime(app, config, store.get)

  app.decorate('oauth', { requireLogin: (guard?: RequireLoginOptions) => createGuard(runtime, guard) })
  app.decorateRequest(kOAuth, null)
  app.decorateRequest(kLoaded, null)
  app.decorateRequest('oauth', {
    getter (this: FastifyRequest) {
      const request = this as Decorated
      request[kOAuth] ??= new RequestOAuth(runtime, request)
      return request[kOAuth]
    }
  })

  app.addHook('onRequest', (request, _reply, done) => {
    store.learn(request)
    const loaded = loadedRecords(request.session as unknown as SessionObject)
    if (loaded !== undefined) (request as Decorated)[kLoaded] = loaded
    done()
  })
  // After @fastify/session's own onSend: what it has just saved is kept, what the app destroyed goes.
  app.addHook('onSend', (request, _reply, _payload, done) => { follow(runtime, request as Decorated).then(() => done(), done) })
  // A hijacked reply never passes onSend.
  app.addHook('onResponse', (request, _reply, done) => {
    if ((request as Decorated)[kLoaded] === null) done()
    else follow(runtime, request as Decorated).then(() => done(), done)
  })
  app.addHook('preClose', async () => {
    await runtime.refresher.idle()
    await Promise.allSettled(runtime.background)
  })
  app.addHook('onClose', async () => { await runtime.transport.close() })

  if (config.routes !== false) await registerRoutes(app, runtime)
}

async function follow (runtime: Runtime, request: Decorated): Promise<void> {
  const loaded = request[kLoaded] ?? undefined
  const session = request.session as unknown as SessionObject | null
  request[kLoaded] = null
  if (loaded === undefined && session?.oauth === undefined) return
  try {
    await followSession(runtime.records, loaded, session)
  } catch {
    request.log.warn('the tokens of a session could not follow it; they expire with their time')
  }
}

function createRuntime (app: FastifyInstance, config: Configuration, sessionStore: () => SessionStore): Runtime {
  const clock = systemClock
  const transport = new Transport(config.dispatcher)
  const store = boundedStore(config.tokenStore ?? new SessionTokenStore(sessionStore), STORE_MS, (method, cause) => {
    app.log.error({ err: { message: (cause as Error).message }, method }, 'the token store of fastify-oauth-session failed')
  })
  const records = new TokenRecords(store, clock.monotonic)
  const refresher = new Refresher({ records, clock, log: app.log, onTokens: config.onTokens })
  return {
    config,
    providers: new Map([...config.providers].map(([name, provider]) => [name, new ProviderClient(provider, transport, clock)])),
    records,
    pendingLogins: new PendingLogins(store, clock.now),
    refresher,
    transport,
    clock,
    log: app.log,
    pages: { ...defaultPages, ...config.pages },
    background: new Set()
  }
}

/** @fastify/session tells nobody its options; a session made on trial shows the cookie's. */
function surroundingsOf (app: FastifyInstance): Surroundings {
  const hasSession = app.hasRequestDecorator('session') && app.hasRequestDecorator('sessionStore') && app.hasDecorator('decryptSession')
  const surroundings: Surroundings = { hasSession, scopePrefix: app.prefix }
  const cookie = hasSession ? trialSession(app)?.cookie : undefined
  return cookie === undefined ? surroundings : { ...surroundings, cookie: { path: cookie.path ?? '/', secure: cookie.secure === true } }
}

function trialSession (app: FastifyInstance): SessionObject | undefined {
  // Over http, `secure: 'auto'` becomes false, so what is still true is meant.
  const request: { session?: SessionObject, protocol: string, raw: { url: string }, headers: object, cookies: object } = { protocol: 'http', raw: { url: '/' }, headers: {}, cookies: {} }
  try {
    app.decryptSession('', request, () => {})
    return request.session
  } catch {
    return undefined // an id generator or signer of the app's own that needs a real request
  }
}

/** The session store is reachable through a request alone; the first one brings it. */
function lateSessionStore () {
  let known: SessionStore | undefined
  return {
    learn (request: FastifyRequest): void { known ??= request.sessionStore as unknown as SessionStore },
    get (): SessionStore {
      if (known === undefined) throw new InvalidOptionsError('the session store is known only after the first request; give `tokenStore` to use tokens before that')
      return known
    }
  }
}
