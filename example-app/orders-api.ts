// The orders API: a resource server of its own, on its own port, without sessions or cookies. Each request needs a
// bearer token (RFC 6750), and the API asks the provider about each token (introspection.ts).
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify'
import { createIntrospector } from './introspection.ts'
import { createOrderBook, type NewOrder, type Status } from './orders.ts'
import type { Client } from './provider-configuration.ts'
import { newOrder, orderChange, orderId } from './schemas.ts'
import { fingerprint } from './token-summary.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The user that the token stands for, and the token's fingerprint. */
    caller: { user: string, token: string }
  }
}

export interface RunningApi {
  /** The base of the routes, with a slash at the end. */
  url: string
  close (): Promise<void>
}

/** Starts the API on a free port. */
export async function startApi ({ issuer, client }: { issuer: string, client: Client }): Promise<RunningApi> {
  const api = Fastify()
  const introspect = createIntrospector(issuer, client)
  const book = createOrderBook()

  api.decorateRequest('caller')
  api.addHook('onRequest', async (request: FastifyRequest, reply: FastifyReply) => {
    const token = /^Bearer ([\w.~+/-]+=*)$/i.exec(request.headers.authorization ?? '')?.[1]
    if (!token) return challenge(reply, 401, 'Bearer')
    const { active, sub, scope = '' } = await introspect(token)
    if (!active || !sub) return challenge(reply, 401, 'Bearer error="invalid_token"')
    if (!scope.split(' ').includes('orders')) {
      return challenge(reply, 403, 'Bearer error="insufficient_scope", scope="orders"')
    }
    request.caller = { user: sub, token: fingerprint(token) }
  })

  await api.register(async (v1) => {
    // `seen` is for the screen: which user and which token the API itself has seen.
    v1.get('/orders', async ({ caller }) => ({ orders: book.list(), seen: caller }))

    v1.post<{ Body: NewOrder }>('/orders', { schema: { body: newOrder } }, async ({ body, caller }, reply) => {
      return reply.code(201).send(book.add(body, caller.user))
    })

    v1.patch<{ Params: { id: number }, Body: { status: Status } }>('/orders/:id', {
      schema: { params: orderId, body: orderChange }
    }, async ({ params: { id }, body, caller }, reply) => {
      return book.move(id, body.status, caller.user) ?? reply.code(404).send({ message: `No order ${id}` })
    })

    v1.delete<{ Params: { id: number } }>('/orders/:id', { schema: { params: orderId } }, async (request, reply) => {
      const { id } = request.params
      return book.cancel(id) ? reply.code(204).send() : reply.code(404).send({ message: `No order ${id}` })
    })
  }, { prefix: '/v1' })

  return { url: `${await api.listen({ port: 0, host: '127.0.0.1' })}/v1/`, close: () => api.close() }
}

function challenge (reply: FastifyReply, status: 401 | 403, value: string) {
  const message = status === 401 ? 'A valid token is needed' : 'The token is not for orders'
  return reply.code(status).header('www-authenticate', value).send({ message })
}
