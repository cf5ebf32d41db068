import type { LoginMember, SessionLogins } from './accounts.ts'
import type { EndedSessions } from './ended-sessions.ts'
import type { SessionObject } from './fastify-session.ts'

/** What several registrations of the plugin below one @fastify/session have in common. */
export interface SharedSession<Registration> {
  /** In the order in which they were made, which is the same in each process of an app. */
  readonly registrations: Registration[]
  /** Sessions that any of them has ended. */
  endedSessions?: EndedSessions
}

const shared = new WeakMap<object, SharedSession<never>>()

/** @param session what is there once for each registration of @fastify/session */
export function sharedSession<Registration> (session: object): SharedSession<Registration> {
  let found = shared.get(session)
  if (found === undefined) {
    found = { registrations: [] }
    shared.set(session, found)
  }
  return found as SharedSession<Registration>
}

interface HasLogins {
  sessionLogins: SessionLogins
}

/**
 * The session's member for one more registration: `oauth` for the first, `oauth:` and its mount for others.
 * @param mount everything before the paths of its routes
 */
export function nextMember ({ registrations }: SharedSession<HasLogins>, mount: string): LoginMember {
  const taken = new Set<string>(registrations.map(({ sessionLogins }) => sessionLogins.member))
  if (!taken.has('oauth')) return 'oauth'
  const member: LoginMember = `oauth:${mount === '' ? '/' : mount}`
  let next = member
  for (let number = 2; taken.has(next); number++) next = `${member}#${number}`
  return next
}

/** The members of a session in which other registrations than one's own keep a login. */
export function membersOfOthers (
  { registrations, sessionLogins }: HasLogins & { registrations: readonly HasLogins[] }, session: SessionObject
): LoginMember[] {
  const others = registrations.filter(other => other.sessionLogins !== sessionLogins)
  return others.filter(other => other.sessionLogins.of(session) !== undefined).map(other => other.sessionLogins.member)
}
