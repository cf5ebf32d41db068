// Which browsers a user is logged in with. The plugin ends logins; who wants to list them keeps a list, as here.
import { randomUUID } from 'node:crypto'
import type { FastifyRequest } from 'fastify'

declare module 'fastify' {
  interface Session {
    /** Names the session in the list: its id must not be shown, and changes with a step-up. */
    device?: { id: string, since: number }
  }
}

export interface ListedSession { id: string, browser: string, since: number, seen: number }

export type SessionList = ReturnType<typeof createSessionList>

export function createSessionList () {
  const users = new Map<string, Map<string, ListedSession>>()
  const ended = new Set<string>()

  return {
    /** An onRequest hook: notes the session of each request, or logs it out where it has been ended. */
    async follow ({ oauth, session, headers }: FastifyRequest): Promise<void> {
      if (!oauth.authenticated) return
      const { id, since } = session.device ??= { id: randomUUID(), since: Date.now() }
      if (ended.delete(id)) {
        await oauth.logout()
        return
      }
      const userId = oauth.user!.id
      const listed = users.get(userId) ?? new Map<string, ListedSession>()
      users.set(userId, listed.set(id, { id, since, seen: Date.now(), browser: describe(headers['user-agent']) }))
    },

    /** The user's sessions, the newest first. */
    of (userId: string): ListedSession[] {
      return [...users.get(userId)?.values() ?? []].sort((one, other) => other.since - one.since)
    },

    /** Ends one of the user's sessions with its next request: its tokens are deleted and revoked. */
    end (userId: string, id: string): void {
      if (users.get(userId)?.delete(id)) ended.add(id)
    },

    /** Takes a user's sessions from the list. Those that go on come back with their next request. */
    forget (userId: string): void {
      users.delete(userId)
    },
  }
}

/** `Firefox on Windows`; what browsers say of themselves is meant for no one, so this is a guess. */
function describe (userAgent = ''): string {
  const find = (names: readonly string[]) => names.find((name) => userAgent.includes(name))
  const browser = find(['Edg', 'Firefox', 'Chrome', 'Safari']) ?? 'A browser'
  const system = find(['Android', 'iPhone', 'iPad', 'Windows', 'Mac', 'Linux'])
  return (browser === 'Edg' ? 'Edge' : browser) + (system === undefined ? '' : ` on ${system}`)
}
