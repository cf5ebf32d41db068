// What the page's script calls. Each handler is one line: the call goes out as the person who is logged in, with a token
// that is good, and nobody here has to know that tokens expire.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { EventLog } from './events.ts'
import type { NewOrder, Status } from './orders.ts'
import { newOrder, orderChange, orderId } from './schemas.ts'
import { summarize } from './token-summary.ts'

export async function boardRoutes (app: FastifyInstance, { events }: { events: EventLog }): Promise<void> {
  app.addHook('onRequest', app.oauth.requireLogin({ provider: 'bakery' }))

  // The token's remaining life, for the countdown: what is left of it is shown, the token is not.
  app.get('/session', async (request) => {
    const tokens = await request.oauth.tokens()
    return { user: request.oauth.user!.id, now: Date.now(), token: summarize(tokens) }
  })

  app.get('/events', async (request, reply) => {
    const stream = events.stream(request.oauth.user!.id, Number(request.headers['last-event-id'] ?? 0))
    return reply.header('cache-control', 'no-store').type('text/event-stream').send(stream)
  })

  await app.register(async (calls) => {
    calls.addHook('preHandler', onlyFromTheSamePerson)
    calls.addHook('onResponse', async (request, reply) => {
      const { user } = request.oauth
      if (!user) return
      const failed = reply.statusCode >= 400
      const text = `${request.method} ${request.url.slice('/api/'.length)}: ${reply.statusCode} in ${Math.round(reply.elapsedTime)} ms`
      events.publish(user.id, { kind: failed ? 'problem' : 'call', text })
    })

    calls.get('/orders', async (request) => {
      return await request.oauth.get('orders').json()
    })

    calls.post<{ Body: NewOrder }>('/orders', { schema: { body: newOrder } }, async (request, reply) => {
      reply.code(201)
      return await request.oauth.post('orders', { json: request.body }).json()
    })

    calls.patch<{ Params: { id: number }, Body: { status: Status } }>('/orders/:id', {
      schema: { params: orderId, body: orderChange },
    }, async (request) => {
      return await request.oauth.patch(`orders/${request.params.id}`, { json: request.body }).json()
    })

    calls.get('/userinfo', async (request) => {
      return await request.oauth.userinfo()
    })
  })
}

/**
 * Each tab says whose board it shows. Where somebody else has logged in since, in another tab, the call is refused
 * instead of being made in their name. A page of another site cannot send this header: nor can it post orders.
 */
async function onlyFromTheSamePerson (request: FastifyRequest, reply: FastifyReply) {
  if (request.headers['x-board-of'] === encodeURIComponent(request.oauth.user!.id)) return
  return reply.code(409).send({ message: 'Somebody else is logged in now' })
}
