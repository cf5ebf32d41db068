import { type OAuthError, UnknownProviderError } from '../errors.ts'
import type { Configuration } from '../options.ts'
import type { ProviderClient } from '../providers/provider.ts'
import type { OnTokensHook } from '../tokens/on-tokens.ts'
import type { TokenRecords } from '../tokens/records.ts'
import type { Refresher } from '../tokens/refresher.ts'
import type { Clock } from '../util/clock.ts'
import type { Logger } from '../util/logger.ts'
import type { SessionLogins } from './accounts.ts'
import type { EndedSessions } from './ended-sessions.ts'
import type { HostSessionStore } from './fastify-session.ts'
import type { LoginRecords } from './login-records.ts'
import type { SessionCookie } from './session-cookie.ts'
import type { UserLogins } from './user-logins.ts'

/** What a registration of the plugin needs for what it keeps in sessions; made once. */
export interface SessionContext {
  readonly config: Configuration
  readonly providers: ReadonlyMap<string, ProviderClient>
  /** All registrations below the same @fastify/session, this one among them. */
  readonly registrations: readonly SessionContext[]
  /** The logins that this registration keeps in sessions. */
  readonly sessionLogins: SessionLogins
  readonly records: TokenRecords
  readonly endedSessions: EndedSessions
  readonly sessionCookie: SessionCookie
  readonly loginRecords: LoginRecords
  readonly userLogins: UserLogins
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

// A visitor can ask for any name, and is told none.
export function unknownProvider (): OAuthError {
  return new UnknownProviderError('there is no provider of that name among the plugin\'s `providers`')
}
