import type { FastifyRequest } from 'fastify'
import type { SessionContext } from './context.ts'
import { sessionCall, type SessionObject, sessionOf } from './fastify-session.ts'
import { signSessionId } from './session-cookie.ts'

/** Members of a session that are its own, or JSON of one. */
type Fields = Record<string, unknown>

/** A session, or what stands of it in the store. */
type Source = Pick<SessionObject, 'cookie'>

/**
 * Gives a request a session of a new id, with the app's own fields and the cookie's settings of another one. Nothing
 * is stored or destroyed: where the change that it is for fails, the request is given back the session that it had.
 */
export async function openNextSession (request: FastifyRequest, source: Source): Promise<SessionObject> {
  await decrypt(request, '')
  const session = sessionOf(request)
  carryFields(source, session)
  const { originalMaxAge, expires, secure, sameSite, domain, path } = source.cookie
  Object.assign(session.cookie, { secure, sameSite, domain, path })
  if (typeof originalMaxAge === 'number') {
    Object.assign(session.cookie, { maxAge: originalMaxAge })
  } else if (expires !== null && expires !== undefined) {
    Object.assign(session.cookie, { expires: new Date(expires), originalMaxAge: null })
  }
  return session
}

/** Gives a request the session with this id, as it stands in the store; undefined where there is none. */
export async function openSession (request: FastifyRequest, sessionId: string): Promise<SessionObject | undefined> {
  const value = signSessionId(sessionId, sessionOf(request))
  if (value === undefined) return undefined
  await decrypt(request, value)
  const session = sessionOf(request)
  return session.sessionId === sessionId ? session : undefined
}

/** What stands in the store of a session. @throws FST_OAUTH_STORE_UNAVAILABLE */
export async function storedSession (
  { sessionStore }: SessionContext, request: FastifyRequest, sessionId: string
): Promise<Source | undefined> {
  let found: unknown
  await sessionCall(request, 'read', (done) => {
    sessionStore().get(sessionId, (error, value) => {
      found = value
      done((error as { code?: string } | null | undefined)?.code === 'ENOENT' ? undefined : error)
    })
  })
  const session = found as Partial<Source> | null | undefined
  return typeof session?.cookie === 'object' && session.cookie !== null ? session as Source : undefined
}

/** The members of a session, without its cookie. */
function fieldsOf (session: object): Fields {
  const fields: Fields = {}
  for (const key in session) {
    if (key !== 'cookie' && key !== 'sessionId' && key !== 'encryptedSessionId') fields[key] = (session as Fields)[key]
  }
  return fields
}

/** Copies the fields of a session over those of another one. */
export function carryFields (from: object, to: object): void {
  const fields = fieldsOf(from)
  for (const key of Object.keys(fieldsOf(to))) if (!Object.hasOwn(fields, key)) delete (to as Fields)[key]
  Object.assign(to, fields)
}

/** Makes a function that repeats, on another session, what has changed in the fields of this one since. */
export function watchFields (session: object): (onto: object) => void {
  const before = new Map(Object.entries(fieldsOf(session)).map(([key, value]) => [key, textOf(value)]))
  return (onto) => {
    const now = fieldsOf(session)
    for (const [key, value] of Object.entries(now)) if (textOf(value) !== before.get(key)) (onto as Fields)[key] = value
    for (const key of before.keys()) if (!Object.hasOwn(now, key)) delete (onto as Fields)[key]
  }
}

// An in-memory store takes what JSON does not.
function textOf (value: unknown): unknown {
  try {
    return JSON.stringify(value)
  } catch {
    return value
  }
}

async function decrypt (request: FastifyRequest, cookie: string): Promise<void> {
  await sessionCall(request, 'renewed', (done) => { request.server.decryptSession(cookie, request, done) })
}
