// The routes that the page's script calls. A handler that calls the API is one line: request.oauth sends the call as
// the user who is logged in, with a valid token, so that no handler has to know that tokens expire.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { EventLog } from './event-log.ts'
import type { NewOrder, Status } from './orders.ts'
import { newOrder, orderChange, orderId } from './schemas.ts'
import { loginOf, summarize } from './token-summary.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Why the call failed, for the list of events on the page. */
    failure: string | undefined
    /** The login that the call was made with. */
    login: string | undefined
  }
}

export async function boardRoutes (app: FastifyInstance, { events }: { events: EventLog }): Promise<void> {
  app.addHook('onRequest', app.oauth.requireLogin({ provider: 'bakery' }))

  // The token's remaining life, for the countdown. The token itself stays on the server.
  app.get('/session', async (request) => {
    const tokens = await request.oauth.tokens()
    return { user: request.oauth.user!.id, login: loginOf(tokens), now: Date.now(), token: summarize(tokens) }
  })

  app.get('/events', async ({ oauth, headers }, reply) => {
    const stream = events.stream(oauth.user!.id, Number(headers['last-event-id'] ?? 0))
    // Fires whatever ends this login: a logout in another tab, everywhere, or at the provider. The page connects again,
    // is refused, and says that it is over.
    oauth.signal.addEventListener('abort', () => stream.end())
    return reply.header('cache-control', 'no-store').type('text/event-stream').send(stream)
  })

  await app.register(async (calls) => {
    calls.decorateRequest('failure')
    calls.decorateRequest('login')
    calls.addHook('preHandler', onlyFromTheSameUser)
    calls.addHook('preHandler', async (request) => { request.login = loginOf(await request.oauth.tokens()) })
    calls.addHook('onError', async (request, _reply, error) => { request.failure = error.message })
    calls.addHook('onResponse', async (request, reply) => {
      const { oauth: { user }, login, failure } = request
      if (!user) return
      const what = `${request.method} ${request.url.slice('/api/'.length)}: ${reply.statusCode}`
      // The guard answers a login that is too old itself.
      const why = failure ?? (reply.hasHeader('www-authenticate') ? 'a more recent login is needed' : undefined)
      const text = `${what} in ${Math.round(reply.elapsedTime)} ms${why === undefined ? '' : `: ${why}`}`
      events.publish(user.id, { kind: reply.statusCode >= 400 ? 'problem' : 'call', text, login })
    })

    calls.get('/orders', async (request) => await request.oauth.get('orders').json())

    calls.post<{ Body: NewOrder }>('/orders', { schema: { body: newOrder } }, async (request, reply) => {
      reply.code(201)
      return await request.oauth.post('orders', { json: request.body }).json()
    })

    calls.patch<{ Params: { id: number }, Body: { status: Status } }>('/orders/:id', {
      schema: { params: orderId, body: orderChange },
    }, async (request) => {
      return await request.oauth.patch(`orders/${request.params.id}`, { json: request.body }).json()
    })

    // To cancel an order, the user has to have typed the password within the last minute: a step-up. The answer to a
    // login that is older names the URL at which the page has it renewed; see public/step-up.js. This provider says
    // when the user typed it (`auth_time`) only if it was asked, so the first cancellation is always a step-up.
    calls.delete<{ Params: { id: number } }>('/orders/:id', {
      schema: { params: orderId },
      onRequest: app.oauth.requireLogin({ provider: 'bakery', maxAge: 60 })
    }, async (request, reply) => {
      await request.oauth.delete(`orders/${request.params.id}`).json()
      return reply.code(204).send()
    })

    calls.get('/userinfo', async (request) => await request.oauth.userinfo())
  })
}

/**
 * Each tab names the user whose board it shows. Where another user has logged in since, in another tab, the call is
 * refused instead of being made as that user. A page of another site cannot send this header, so it cannot post orders.
 */
async function onlyFromTheSameUser (request: FastifyRequest, reply: FastifyReply) {
  if (request.headers['x-board-of'] === encodeURIComponent(request.oauth.user!.id)) return
  request.failure = 'the tab shows the board of another user'
  return reply.code(409).send({ message: 'Another user is logged in now' })
}
