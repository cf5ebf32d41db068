import { parse } from 'node:querystring'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { joinPaths } from '../options.ts'
import { callbackRoute } from './callback.ts'
import { ownRoute, refuseHead } from './http.ts'
import { loginRoute } from './login.ts'
import { passwordRoute } from './password-login.ts'
import { loggedOutRoute, logoutPage, logoutRoute } from './logout.ts'
import { sendProblem } from './problem.ts'
import type { Runtime } from './runtime.ts'

/** Registers the plugin's routes in a scope of their own, so that its parsers and error pages are nobody else's. */
export async function registerRoutes (app: FastifyInstance, runtime: Runtime): Promise<void> {
  const { config } = runtime
  if (config.routes === false) return
  const { login, callback, logout, loggedOut } = config.routes
  // The scope's own prefix comes with `register`.
  const prefix = config.mount.slice(joinPaths(app.prefix).length)

  await app.register(async (scope) => {
    if (!scope.hasContentTypeParser('application/x-www-form-urlencoded')) {
      scope.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string', bodyLimit: 65_536 }, (_request, body, done) => {
        done(null, parse(body as string))
      })
    }
    scope.setErrorHandler((error, request, reply) => sendProblem(runtime, request, reply, error))

    const quiet = { exposeHeadRoute: false, config: ownRoute, logSerializers: { req: describeRequest, res: describeReply } }
    const route = (method: 'GET' | 'POST', url: string, handler: (runtime: Runtime, request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply>) => {
      scope.route({ method, url, ...quiet, handler: (request, reply) => handler(runtime, request, reply) })
    }
    route('GET', login, loginRoute)
    route('GET', `${login}/:provider`, loginRoute)
    if ([...runtime.providers.values()].some(({ config }) => config.grantType === 'password')) route('POST', `${login}/:provider`, passwordRoute)
    route('POST', logout, logoutRoute)
    route('GET', logout, logoutPage)
    route('GET', loggedOut, loggedOutRoute)

    const callbacks = new Map([[callback, undefined as string | undefined]])
    if (!callback.includes(':provider')) callbacks.set(callback, [...runtime.providers.keys()][0])
    for (const [path, name] of registeredElsewhere(runtime)) callbacks.set(path, name)
    for (const [url, name] of callbacks) {
      const handler = (_runtime: Runtime, request: FastifyRequest, reply: FastifyReply) =>
        callbackRoute(runtime, request, reply, name ?? (request.params as { provider: string }).provider)
      route('GET', url, handler)
      route('POST', url, handler)
      // Left to the app's 404, a HEAD would have its URL logged, code and state in it.
      scope.route({ method: 'HEAD', url, ...quiet, handler: (_request, reply) => refuseHead(reply) })
    }
  }, { prefix })
}

/** Redirect URIs that are registered with a provider already and lie within this app: they become callback routes. */
function registeredElsewhere (runtime: Runtime): [string, string][] {
  const found: [string, string][] = []
  for (const provider of runtime.providers.values()) {
    const { redirectUri } = provider.config
    if (redirectUri === undefined || !URL.canParse(redirectUri) || typeof runtime.config.routes !== 'object') continue
    const path = pathInApp(runtime, new URL(redirectUri))
    if (path === undefined) continue
    const usual = runtime.config.routes.callback.replace(':provider', provider.name)
    const inside = path.indexOf(runtime.config.mount) === 0 ? path.slice(runtime.config.mount.length) : undefined
    if (inside !== undefined && inside.startsWith('/') && inside !== usual) found.push([inside, provider.name])
  }
  return found
}

/** The path by which this app sees a public URL, or undefined where it is not this app's. */
function pathInApp ({ config }: Runtime, url: URL): string | undefined {
  const base = config.staticBaseUrl
  if (base === undefined) return url.pathname // known at first use only
  const stripped = base.pathname.replace(/\/$/, '')
  if (url.origin !== base.origin || !url.pathname.startsWith(`${stripped}/`)) return undefined
  return url.pathname.slice(stripped.length)
}

// Fastify logs each request's URL; on these routes that is a code and a state.
function describeRequest (request: FastifyRequest) {
  return { method: request.method, url: request.url?.split('?', 1)[0], host: request.host, remoteAddress: request.ip, remotePort: request.socket?.remotePort }
}

function describeReply (reply: FastifyReply) {
  return { statusCode: reply.statusCode }
}
