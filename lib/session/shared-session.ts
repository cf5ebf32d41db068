import type { FastifyInstance } from 'fastify'
import type { LoginMember } from './accounts.ts'
import type { SessionContext } from './context.ts'
import type { EndedSessions } from './ended-sessions.ts'
import { sessionRegistration, type StoredSession } from './fastify-session.ts'

/** What several registrations of the plugin below one @fastify/session have in common. */
export interface SharedSession {
  /** In the order in which they were made, which is the same in each process of an app. */
  readonly registrations: SessionContext[]
  /** Sessions that any of them has ended. */
  endedSessions?: EndedSessions
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
 * The session's member for one more registration: `oauth` for the first, `oauth:` and its mount for others.
 * @param mount everything before the paths of its routes
 */
export function nextMember ({ registrations }: SharedSession, mount: string): LoginMember {
  const taken = new Set<string>(registrations.map(({ sessionLogins }) => sessionLogins.member))
  if (!taken.has('oauth')) return 'oauth'
  const member: LoginMember = `oauth:${mount === '' ? '/' : mount}`
  let next = member
  for (let number = 2; taken.has(next); number++) next = `${member}#${number}`
  return next
}

/** The members of a session in which other registrations keep a login. */
export function membersOfOthers (
  { registrations, sessionLogins }: SessionContext, session: StoredSession
): LoginMember[] {
  return registrations.map(other => other.sessionLogins)
    .filter(logins => logins !== sessionLogins && logins.of(session) !== undefined)
    .map(({ member }) => member)
}
