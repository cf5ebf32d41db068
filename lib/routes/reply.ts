import type { FastifyReply, FastifyRequest } from 'fastify'

/** Keeps a response out of caches: those of login, callback and logout are for one browser at one moment. */
export function noStore (reply: FastifyReply): FastifyReply {
  return reply.header('cache-control', 'no-store')
}

/**
 * Whether a request may begin or finish a login: by GET, or by a form. Fastify adds a route for HEAD beside each GET
 * route of an app, and a route of the app's own may be for any method; the other safe ones change nothing (RFC 9110,
 * section 9.2.1).
 */
export function isGetOrPost ({ method }: FastifyRequest): boolean {
  return method === 'GET' || method === 'POST'
}

/** Answers a request by any other method. */
export function refuseMethod (reply: FastifyReply): FastifyReply {
  return noStore(reply).code(405).header('allow', 'GET, POST').send()
}
