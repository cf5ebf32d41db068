import type { FastifyInstance } from 'fastify'
import { type OAuthError, UnknownProviderError } from '../errors.ts'
import type { Configuration } from '../options/configuration.ts'
import type { ProviderClient } from '../providers/provider.ts'
import type { OnTokensHook } from '../tokens/on-tokens.ts'
import type { TokenRecords } from '../tokens/records.ts'
import type { Refresher } from '../tokens/refresher.ts'
import type { Clock } from '../util/clock.ts'
import type { Logger } from '../util/logger.ts'
import type { SessionLogins } from './accounts.ts'
import type { Activity } from './activity.ts'
import type { EndedSessions } from './ended-sessions.ts'
import { type HostSessionStore, sessionRegistration, type StoredSession } from './fastify-session.ts'
import type { LoginRecords } from './login-records.ts'
import type { LoginSignals } from './login-signals.ts'
import type { ProviderLogouts } from './provider-logouts.ts'
import type { SessionCookie } from './session-cookie.ts'
import type { UserLogins } from './user-logins.ts'

/** What a registration of the plugin needs for what it keeps in sessions; made once. */
export interface SessionContext {
  readonly config: Configuration
  readonly providers: ReadonlyMap<string, ProviderClient>
  readonly shared: SharedSession
  /** All registrations below the same @fastify/session, this one among them. */
  readonly registrations: readonly SessionContext[]
  /** The logins that this registration keeps in sessions. */
  readonly sessionLogins: SessionLogins
  readonly records: TokenRecords
  /** Whether a provider's logins have an `idleTimeout` or an `absoluteTimeout`. */
  readonly hasTimeouts: boolean
  /** Where a provider's logins have an `idleTimeout`; loaded at registration. */
  activity?: Activity
  readonly endedSessions: EndedSessions
  readonly sessionCookie: SessionCookie
  readonly loginRecords: LoginRecords
  readonly userLogins: UserLogins
  readonly providerLogouts: ProviderLogouts
  readonly sessionStore: HostSessionStore
  readonly refresher: Refresher
  readonly onTokensHook: OnTokensHook
  readonly clock: Clock
  readonly log: Logger
  /** Work that goes on after an answer and has to be over before the app closes. */
  readonly background: Set<Promise<unknown>>
}

/** @throws FST_OAUTH_UNKNOWN_PROVIDER */
export function providerOf (context: SessionContext, name: string): ProviderClient {
  const provider = context.providers.get(name)
  if (provider === undefined) throw unknownProvider()
  return provider
}

// The message does not list the names: visitors can cause it.
export function unknownProvider (): OAuthError {
  return new UnknownProviderError('there is no provider of that name among the plugin\'s `providers`')
}

/** What several registrations of the plugin below one @fastify/session have in common. */
export interface SharedSession {
  /** In the order in which they were made, which is the same in each process of an app. */
  readonly registrations: SessionContext[]
  /** Sessions that any of them has ended. */
  endedSessions?: EndedSessions
  /** The signals that requests hold of the ends of their logins, once there has been one. */
  loginSignals?: Promise<LoginSignals>
}

const shared = new WeakMap<object, SharedSession>()

/** What the registrations below the app's @fastify/session share. */
export function sharedSession (app: FastifyInstance): SharedSession {
  const key = sessionRegistration(app)
  const found = shared.get(key) ?? { registrations: [] }
  shared.set(key, found)
  return found
}

/**
 * The session's member for one more registration: its `decorator` for the first of that name; for others, in scopes of
 * their own, with a colon and the mount.
 */
export function nextMember (
  { registrations }: SharedSession, { decorator, mount }: Pick<Configuration, 'decorator' | 'mount'>
): string {
  const taken = new Set<string>(registrations.map(({ sessionLogins }) => sessionLogins.member))
  if (!taken.has(decorator)) return decorator
  const member = `${decorator}:${mount === '' ? '/' : mount}`
  let next = member
  for (let number = 2; taken.has(next); number++) next = `${member}#${number}`
  return next
}

/** The members of a session in which other registrations keep a login. */
export function membersOfOthers (
  { registrations, sessionLogins }: SessionContext, session: StoredSession
): string[] {
  if (registrations.length === 1) return []
  return registrations.map(other => other.sessionLogins)
    .filter(logins => logins !== sessionLogins && logins.of(session) !== undefined)
    .map(({ member }) => member)
}
