// The same app on every kind of server. Compiled and never run.
import { readFileSync } from 'node:fs'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { Type, type TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyTypeProvider,
  type RawReplyDefaultExpression,
  type RawRequestDefaultExpression,
  type RawServerBase,
  type RouteGenericInterface
} from 'fastify'
import oauth, { type AppOAuth, type PluginOptions, type RequestOAuth } from '../../lib/index.ts'

const options: PluginOptions = {
  baseUrl: 'https://app.example',
  providers: { acme: { issuer: 'https://id.example', clientId: 'app' } },
  onLogin: async (request, reply, { user }) => { reply.header('x-user', user?.id); request.log.info('in') },
  onLogout: (request, reply) => reply?.header('x-bye', request.id),
  onError: (request, reply, error) => reply.header('x-error', `${request.id}${error.code}`),
  routeOptions: { onRequest: async (request, reply) => { reply.header('x-id', request.id) } }
}
const cert = { key: readFileSync('key.pem'), cert: readFileSync('cert.pem') }

export async function http1 (): Promise<void> {
  const app = Fastify()
  await app.register(oauth, options)
  app.addHook('onRequest', app.oauth.requireLogin())
  app.get('/a', { onRequest: app.oauth.requireLogin() }, async request => request.oauth.user?.name)
  app.get('/b', { preHandler: [app.oauth.requireLogin({ provider: 'acme' })] }, async request =>
    request.oauth.get('orders').json()
  )
  app.get('/in', async (request, reply) => request.oauth.login(reply, { returnTo: '/a' }))
  app.get('/cb', async (request, reply) => request.oauth.callback(reply))
  app.post('/out', async (request, reply) => request.oauth.logout(reply))
}

export async function https (): Promise<void> {
  const app = Fastify({ https: cert })
  await app.register(oauth, options)
  app.addHook('onRequest', app.oauth.requireLogin())
  app.get('/a', { onRequest: app.oauth.requireLogin() }, async request => request.oauth.user?.name)
  app.get('/b', { preHandler: [app.oauth.requireLogin({ provider: 'acme' })] }, async request =>
    request.oauth.get('orders').json()
  )
  app.get('/in', async (request, reply) => request.oauth.login(reply, { returnTo: '/a' }))
  app.get('/cb', async (request, reply) => request.oauth.callback(reply))
  app.post('/out', async (request, reply) => request.oauth.logout(reply))
}

export async function http2Secure (): Promise<void> {
  const app = Fastify({ http2: true, https: { ...cert, allowHTTP1: true } })
  await app.register(oauth, options)
  app.addHook('onRequest', app.oauth.requireLogin())
  app.get('/a', { onRequest: app.oauth.requireLogin() }, async request => request.oauth.user?.name)
  app.get('/b', { preHandler: [app.oauth.requireLogin({ provider: 'acme' })] }, async request =>
    request.oauth.get('orders').json()
  )
  app.get('/in', async (request, reply) => request.oauth.login(reply, { returnTo: '/a' }))
  app.get('/cb', async (request, reply) => request.oauth.callback(reply))
  app.post('/out', async (request, reply) => request.oauth.logout(reply))
  app.get('/bye', async (request, reply) => {
    const { endSessionUrl } = await request.oauth.logout()
    return reply.redirect(endSessionUrl ?? '/')
  })
}

export async function http2Plain (): Promise<void> {
  const app = Fastify({ http2: true })
  await app.register(oauth, options)
  app.addHook('onRequest', app.oauth.requireLogin())
  app.get('/a', { onRequest: app.oauth.requireLogin() }, async (request) => request.oauth.user?.name)
  app.get('/in', async (request, reply) => request.oauth.login(reply))
  app.post('/out', async (request, reply) => request.oauth.logout(reply))
}

interface OwnLogger extends FastifyBaseLogger {
  audit (text: string): void
}

export async function ownLogger (loggerInstance: OwnLogger): Promise<void> {
  const app = Fastify({ loggerInstance })
  await app.register(oauth, options)
  app.addHook('onRequest', app.oauth.requireLogin())
  app.get('/a', { onRequest: app.oauth.requireLogin() }, async request => {
    request.log.audit(String(request.oauth.user?.id))
  })
  app.get('/in', async (request, reply) => request.oauth.login(reply))
  app.get('/cb', async (request, reply) => request.oauth.callback(reply))
  app.post('/out', async (request, reply) => request.oauth.logout(reply))
}

/** As those of TypeBox, Zod and json-schema-to-ts do it: types out of the schema. */
interface FromSchema extends FastifyTypeProvider {
  validator: this['schema'] extends { a: infer A } ? A : unknown
  serializer: this['schema'] extends { a: infer A } ? A : unknown
}

export async function typeProvider (): Promise<void> {
  const app = Fastify().withTypeProvider<FromSchema>()
  await app.register(oauth, options)
  app.addHook('onRequest', app.oauth.requireLogin())
  const schema = { querystring: { a: { page: 1 } } } as const
  app.get('/a', { schema, onRequest: app.oauth.requireLogin() }, async request => request.query.page)
  app.get('/in', { schema }, async (request, reply) =>
    request.oauth.login(reply, { params: { page: request.query.page } })
  )
  app.post('/out', { schema: { body: { a: { returnTo: '/' } } } }, async (request, reply) =>
    request.oauth.logout(reply)
  )
}

export async function typeProviderOnHttp2 (loggerInstance: OwnLogger): Promise<void> {
  const app = Fastify({ http2: true, https: cert, loggerInstance }).withTypeProvider<FromSchema>()
  await app.register(oauth, options)
  app.get('/a', { onRequest: app.oauth.requireLogin() }, async (request) => request.oauth.user?.name)
  app.get('/in', async (request, reply) => request.oauth.login(reply))
}

export async function typeBox (loggerInstance: OwnLogger): Promise<void> {
  const app = Fastify().withTypeProvider<TypeBoxTypeProvider>()
  await app.register(oauth, options)
  app.addHook('onRequest', app.oauth.requireLogin())
  const querystring = Type.Object({ page: Type.Integer(), next: Type.String() })
  app.get('/a', { schema: { querystring }, onRequest: app.oauth.requireLogin() }, async (request) => {
    const page: number = request.query.page
    return await request.oauth.get('orders', { query: { page } }).json()
  })
  app.get('/in', { schema: { querystring } }, async (request, reply) =>
    request.oauth.login(reply, { returnTo: request.query.next })
  )
  app.get('/cb', async (request, reply) => request.oauth.callback(reply))
  app.post('/out', { schema: { body: Type.Object({ all: Type.Boolean() }) } }, async (request, reply) =>
    request.body.all ? request.oauth.logout(reply) : { left: await request.oauth.logout() }
  )
  const secure = Fastify({ http2: true, https: cert, loggerInstance }).withTypeProvider<TypeBoxTypeProvider>()
  await secure.register(oauth, options)
  secure.get('/a', { onRequest: secure.oauth.requireLogin() }, async request => request.oauth.user?.name)
  secure.get('/in', async (request, reply) => request.oauth.login(reply))
}

declare module 'fastify' {
  interface FastifyInstance { staff: AppOAuth }
  interface FastifyRequest { readonly staff: RequestOAuth }
}

/** A second registration, by a name of its own. */
export async function sideBySide (): Promise<void> {
  const app = Fastify({ http2: true, https: cert })
  await app.register(oauth, options)
  await app.register(oauth, { ...options, decorator: 'staff', prefix: '/staff' })
  app.get('/desk', { onRequest: app.staff.requireLogin() }, async request => request.staff.user?.name)
  app.get('/in', async (request, reply) => request.staff.login(reply, { returnTo: '/desk' }))
}

/** What a helper for every kind of server takes. */
export function guarded<
  RawServer extends RawServerBase,
  Request extends RawRequestDefaultExpression<RawServer>,
  Reply extends RawReplyDefaultExpression<RawServer>
> (app: FastifyInstance<RawServer, Request, Reply>): void {
  app.addHook('onRequest', app.oauth.requireLogin())
}

/** What a route with types of its own hands on, and gets back. */
export async function typedRoute (
  request: FastifyRequest<{ Querystring: { next: string } }, Server, IncomingMessage>,
  reply: FastifyReply<RouteGenericInterface, Server, IncomingMessage, ServerResponse>
): Promise<FastifyReply<RouteGenericInterface, Server, IncomingMessage, ServerResponse>> {
  return await request.oauth.login(reply, { returnTo: request.query.next })
}

export async function refused (app: FastifyInstance): Promise<void> {
  // @ts-expect-error a login needs the reply that it redirects
  app.get('/in', async (request) => request.oauth.login({}))
  // @ts-expect-error a guard is made by a call
  app.get('/a', { onRequest: app.oauth.requireLogin }, async () => 'a')
}
