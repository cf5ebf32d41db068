import type { FastifyReply } from 'fastify'

/** Keeps a response out of caches: those of login, callback and logout are for one browser at one moment. */
export function noStore (reply: FastifyReply): FastifyReply {
  return reply.header('cache-control', 'no-store')
}

/**
 * Answers HEAD, for which Fastify adds a route beside each GET route of an app. A safe method does not begin or finish
 * a login (RFC 9110, section 9.2.1).
 */
export function refuseHead (reply: FastifyReply): FastifyReply {
  return noStore(reply).code(405).header('allow', 'GET, POST').send()
}
