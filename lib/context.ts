import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Transport } from './http/transport.ts'
import type { StepUp } from './login/step-up.ts'
import { LoginThrottle } from './login/throttle.ts'
import { isPendingLogin, PendingLogins } from './login/transaction.ts'
import type { Configuration } from './options/configuration.ts'
import { defaultPages, type Pages } from './pages/pages.ts'
import { ProviderClient } from './providers/provider.ts'
import { SessionLogins } from './session/accounts.ts'
import { nextMember, type SessionContext, sharedSession } from './session/context.ts'
import { EndedSessions } from './session/ended-sessions.ts'
import { HostSessionStore } from './session/fastify-session.ts'
import { isLateSave } from './session/late-answers.ts'
import { isLoginRecord, LoginRecords } from './session/login-records.ts'
import { ProviderLogouts } from './session/provider-logouts.ts'
import { SessionCookie } from './session/session-cookie.ts'
import { UserLogins } from './session/user-logins.ts'
import { ProviderHandle } from './standalone/provider.ts'
import { OnTokensHook } from './tokens/on-tokens.ts'
import { isTokenRecord } from './tokens/record.ts'
import { TokenRecords } from './tokens/records.ts'
import { type Identify, Refresher } from './tokens/refresher.ts'
import { checkedStore } from './tokens/stores/checked-store.ts'
import { encryptedStore } from './tokens/stores/encrypted-store.ts'
import { isMemberList, ListedMembers } from './tokens/stores/listed-members.ts'
import { MemoryMembers } from './tokens/stores/memory-members.ts'
import { MemorySessionStore } from './tokens/stores/memory-session-store.ts'
import { SessionTokenStore } from './tokens/stores/session-store.ts'
import { hasMembers, type MemberStore, type StoredRecord, type TokenStore } from './tokens/stores/token-store.ts'
import { systemClock } from './util/clock.ts'
import { errorForLog, type Logger, logOf } from './util/logger.ts'

/** What the plugin's parts share: made once at registration. */
export interface PluginContext extends SessionContext {
  readonly providerHandles: ReadonlyMap<string, ProviderHandle>
  readonly pendingLogins: PendingLogins
  readonly throttle: LoginThrottle
  readonly transport: Transport
  readonly pages: Pages
  /** What guards ask for beyond a login, by its name in URLs. */
  readonly stepUps: Map<string, StepUp>
  /** Loads what an `idleTimeout` needs; to be awaited before the first request. */
  readonly loadActivity?: () => Promise<void>
}

/** Milliseconds that a store has for one call. */
const STORE_MS = 5_000
/** Kinds of records by the beginning of their ids; ids of token records are bare. */
const RECORD_KINDS: Record<string, (record: StoredRecord) => boolean> = {
  tokens: isTokenRecord,
  login: isPendingLogin,
  logins: isMemberList,
  accounts: isLoginRecord,
  seen: ({ at }) => Number.isFinite(at)
}

/** Makes what one registration of the plugin needs. @throws FST_OAUTH_INVALID_OPTIONS */
export function createContext (app: FastifyInstance, config: Configuration): PluginContext {
  const log = logOf(app)
  const clock = systemClock
  const transport = new Transport(config.dispatcher)
  const sessionStore = new HostSessionStore(app, (id, session) => isLateSave(context, id, session))
  const store = createStore(log, config, sessionStore)
  const isShared = () => config.tokenStore !== undefined || sessionStore.isShared !== false
  const shared = sharedSession(app)
  shared.endedSessions ??= new EndedSessions(store, isShared)
  const member = nextMember(shared, config)
  // Registrations side by side keep records of their own in one store.
  const isSoleWriter = () =>
    config.tokenStore === undefined && sessionStore.isOwn && shared.registrations.length === 1
  const records = createRecords(log, config, store, isSoleWriter)
  const onTokensHook = new OnTokensHook(records, config.onTokens)
  const providers = createProviders(config, transport)
  const providerHandles = new Map<string, ProviderHandle>()
  const context: PluginContext = {
    config,
    providers,
    providerHandles,
    shared,
    registrations: shared.registrations,
    sessionLogins: new SessionLogins(
      member, name => config.providers.get(name)?.identity, () => sessionStore.isShared === false),
    records,
    hasTimeouts: hasTimeout(config, 'idleTimeout') || hasTimeout(config, 'absoluteTimeout'),
    pendingLogins: new PendingLogins(store, clock.now, member),
    endedSessions: shared.endedSessions,
    sessionCookie: new SessionCookie(),
    loginRecords: new LoginRecords(store, clock.monotonic),
    userLogins: new UserLogins(
      createSets(store, config, sessionStore, clock.now), async id => await records.read(id) !== undefined, member),
    providerLogouts: new ProviderLogouts(store, isShared, clock.now, member),
    sessionStore,
    throttle: new LoginThrottle(clock.monotonic),
    refresher: new Refresher({ records, clock, log, onTokensHook, identify }),
    onTokensHook,
    transport,
    clock,
    log,
    pages: { ...defaultPages, ...config.pages },
    stepUps: new Map(),
    background: new Set(),
    ...(hasTimeout(config, 'idleTimeout') && {
      loadActivity: async () => {
        const { Activity } = await import('./session/activity.ts')
        context.activity = new Activity(store, clock.now)
      }
    })
  }
  for (const provider of providers.values()) providerHandles.set(provider.name, createHandle(context, provider))
  shared.registrations.push(context)
  return context
}

const identify: Identify = async (...refreshed) => {
  const { refreshedIdentity } = await import('./session/refreshed-identity.ts')
  return await refreshedIdentity(...refreshed)
}

function hasTimeout (config: Configuration, timeout: 'idleTimeout' | 'absoluteTimeout'): boolean {
  return [config, ...config.providers.values()].some(options => options[timeout] !== undefined)
}

function createRecords (
  log: Logger, { tokenCacheMaxAge }: Configuration, store: TokenStore, isSoleWriter: () => boolean
): TokenRecords {
  return new TokenRecords(store, systemClock.monotonic, {
    isSoleWriter,
    cacheMs: tokenCacheMaxAge * 1000,
    onRollback: (provider) => {
      const message = 'the token store had lost writes that it had acknowledged (a failover, or a restart); what ' +
        'this process saw was restored'
      log.warn({ event: 'token_writes_lost', provider }, message)
    }
  })
}

/** One with a certificate has connections of its own. */
function createProviders (config: Configuration, transport: Transport): Map<string, ProviderClient> {
  return new Map([...config.providers].map(([name, provider]) => {
    const { clientCertificate } = provider
    const own = clientCertificate === undefined ? transport : new Transport(undefined, clientCertificate)
    return [name, new ProviderClient(provider, own, systemClock)]
  }))
}

function createHandle (context: PluginContext, provider: ProviderClient): ProviderHandle {
  const { transport, clock, log, records, refresher, onTokensHook } = context
  const endLogins = async (logoutToken: string, request?: object) => {
    const { backchannelLogout } = await import('./session/backchannel-logout.ts')
    return await backchannelLogout(context, provider, logoutToken, request as FastifyRequest | undefined)
  }
  const shared = { records, refresher, onTokensHook }
  return new ProviderHandle({ provider, transport, clock, log, shared, endLogins })
}

/** The token store with a time limit, encryption if there are keys, and without records that cannot be read. */
function createStore (
  log: Logger, { tokenStore, encryptionKeys }: Configuration, sessionStore: HostSessionStore
): TokenStore {
  const { map } = sessionStore
  const inMemory = tokenStore === undefined && map !== undefined ? new MemorySessionStore(map) : undefined
  const plain = tokenStore ?? inMemory ?? new SessionTokenStore(() => sessionStore.get())
  const store = encryptionKeys === undefined
    ? plain
    : encryptedStore(plain, encryptionKeys, (provider) => {
      const message = 'a stored login cannot be decrypted with any of encryptionKeys; its user has to log in again'
      log.warn({ event: 'record_not_decrypted', provider }, message)
    })
  // Nothing there waits or fails, and nothing else writes to it.
  if (inMemory !== undefined) return store
  return checkedStore(store, {
    timeoutMs: STORE_MS,
    isOfKind: RECORD_KINDS,
    onFailure: (method, cause) => {
      log.error({ event: 'token_store_failed', err: errorForLog(cause), method }, 'the token store failed')
    },
    onUnreadable: (kind) => {
      const message = 'the token store holds something else under the id of a record; it is treated as missing'
      log.warn({ event: 'record_not_read', kind }, message)
    }
  })
}

/** Where the sets of logins are: in memory beside sessions in memory, else in the token store. */
function createSets (
  store: TokenStore, { tokenStore }: Configuration, sessionStore: HostSessionStore, now: () => number
): () => MemberStore {
  const stored = hasMembers(store) ? store : new ListedMembers(store, now)
  return () => tokenStore === undefined && sessionStore.isShared === false
    ? MemoryMembers.of(sessionStore.get())
    : stored
}

/**
 * Finishes the work that an app which closes must not lose.
 * @param ms milliseconds that a store which is away has to come back
 */
export async function finishWork ({ refresher, records, background }: PluginContext, ms: number): Promise<void> {
  await refresher.idle()
  await Promise.allSettled(background)
  await records.close(ms)
  await refresher.idle() // what came too late for a login that has ended is revoked
  await Promise.allSettled(background)
}
