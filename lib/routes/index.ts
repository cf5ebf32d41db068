import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { parse } from 'node:querystring'
import type { PluginContext } from '../context.ts'
import { InvalidOptionsError, OAuthError } from '../errors.ts'
import type { RouteName } from '../options.ts'
import { passiveRoute } from '../session/request-hooks.ts'
import { fastifyPath, joinPaths } from '../util/url-paths.ts'
import { callbackRoute } from './callback.ts'
import { initiatedLoginRoute, postedLoginRoute } from './initiated-login.ts'
import { loginRoute } from './login.ts'
import { loggedOutRoute, logoutPage, logoutRoute } from './logout.ts'
import { ownRoute } from './own-route.ts'
import { literalRoute, pathBelow, routePattern } from './paths.ts'
import { refuseMethod } from './reply.ts'
import { type FailureEvent, sendError } from './send-error.ts'
import { hasBackchannelLogout } from './visitors-provider.ts'

/** Bytes that a form of these routes may have; a provider's `form_post` with an ID token has some thousand. */
const BODY_LIMIT = 65_536
const FORM = 'application/x-www-form-urlencoded'

/** What the log calls a failure of each route. */
const EVENTS: Record<RouteName, FailureEvent> = {
  login: 'login_failed',
  callback: 'login_failed',
  logout: 'logout_failed',
  loggedOut: 'logout_failed',
  backchannelLogout: 'backchannel_logout_failed',
  session: 'session_not_told'
}

type Handler = (context: PluginContext, request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply>

/** One of the plugin's routes, before it is registered. */
interface OwnRoute {
  name: RouteName
  method: 'GET' | 'POST' | 'HEAD'
  /** Below the app's prefix. */
  url: string
  handler: Handler
  /** Answers a request whose body could not be read, in place of an error page. */
  withoutBody?: Handler
}

/** Registers the plugin's routes in a scope of their own, so that its body parser is for them alone. */
export async function registerRoutes (app: FastifyInstance, context: PluginContext): Promise<void> {
  const routes = ownRoutes(app, context)
  // The app's own limit if it is the smaller one.
  const bodyLimit = Math.min(app.initialConfig.bodyLimit ?? BODY_LIMIT, BODY_LIMIT)
  const answer = (handler: Handler, event: FailureEvent) => async (request: FastifyRequest, reply: FastifyReply) => {
    try {
      return await handler(context, request, reply)
    } catch (error) {
      return await sendError(context, request, reply, error, { event })
    }
  }
  const atRegistration = app.errorHandler
  // For the error of another plugin, or of a hook of the app. Thrown, it would go to the error handler that was set
  // when these routes were made; most apps set theirs later.
  const leaveToApp = (error: FastifyError, request: FastifyRequest, reply: FastifyReply) => {
    if (app.errorHandler === atRegistration) throw error
    return app.errorHandler(error, request, reply)
  }
  await app.register(async (scope) => {
    if (!scope.hasContentTypeParser(FORM)) {
      scope.addContentTypeParser(FORM, { parseAs: 'string' }, (_request, body, done) => {
        done(null, parse(body as string))
      })
    }
    for (const { name, method, url, handler, withoutBody } of routes) {
      const event = EVENTS[name]
      const options = context.config.routeOptions(name)
      addRoute(scope, {
        ...options,
        config: { ...options.config, ...ownRoute, ...(name === 'session' && passiveRoute) },
        method,
        url,
        bodyLimit,
        exposeHeadRoute: false,
        logSerializers: { req: describeRequest, res: describeReply },
        handler: answer(handler, event),
        errorHandler: (error, request, reply) => {
          if (error instanceof OAuthError) return sendError(context, request, reply, error, { event })
          if (!isBodyError(error)) return leaveToApp(error, request, reply)
          if (withoutBody === undefined) return sendError(context, request, reply, error, { event })
          return answer(withoutBody, event)(request, reply.code(200))
        }
      })
    }
  })
}

/** @throws FST_OAUTH_INVALID_OPTIONS if the app has the route already: another registration's, perhaps */
function addRoute (scope: FastifyInstance, route: RouteOptions): void {
  try {
    scope.route(route)
  } catch (error) {
    if ((error as FastifyError).code !== 'FST_ERR_DUPLICATED_ROUTE') throw error
    throw new InvalidOptionsError(
      `${String(route.method)} ${scope.prefix}${route.url} is a route of the app already; give this registration of ` +
        'fastify-oauth-session a prefix of its own, or other `routes`'
    )
  }
}

/** `GET` of the login routes; a third party that asks for a login names the issuer. */
const anyLoginRoute: Handler = async (context, request, reply) => {
  const { iss } = request.query as { iss?: unknown }
  if (iss === undefined) return await loginRoute(context, request, reply)
  return await initiatedLoginRoute(context, request, reply)
}

function ownRoutes (app: FastifyInstance, context: PluginContext): OwnRoute[] {
  const { config, providers } = context
  if (config.routes === false) return []
  const { login, callback, logout, loggedOut, backchannelLogout, session } = config.routes
  // The scope's own prefix comes with `register`.
  const prefix = routePattern(config.mount.slice(fastifyPath(app.prefix).length))
  const below = (path: string) => prefix + routePattern(path) || (app.prefix === '' ? '/' : '')
  const [first = ''] = providers.keys()
  // A route without the parameter is that of a sole provider.
  const nameIn = ({ params }: FastifyRequest, route: string) =>
    route.includes(':provider') ? (params as { provider: string }).provider : first
  const ofProvider = `${prefix}${routePattern(login)}/:provider`
  const routes: OwnRoute[] = [
    { name: 'login', method: 'GET', url: below(login), handler: anyLoginRoute },
    { name: 'login', method: 'GET', url: ofProvider, handler: anyLoginRoute },
    { name: 'logout', method: 'POST', url: below(logout), handler: logoutRoute, withoutBody: logoutRoute },
    { name: 'logout', method: 'GET', url: below(logout), handler: logoutPage },
    { name: 'loggedOut', method: 'GET', url: below(loggedOut), handler: loggedOutRoute }
  ]
  if ([...providers.values()].some(({ config, hasIdTokens }) => hasIdTokens || config.grantType === 'password')) {
    routes.push({ name: 'login', method: 'POST', url: ofProvider, handler: postedLoginRoute })
  }
  if ([...providers.values()].some(hasBackchannelLogout)) {
    const handler: Handler = async (context, request, reply) => {
      const { backchannelLogoutRoute } = await import('./backchannel-logout.ts')
      return await backchannelLogoutRoute(context, request, reply, nameIn(request, backchannelLogout))
    }
    const url = below(backchannelLogout)
    routes.push({ name: 'backchannelLogout', method: 'POST', url, handler, withoutBody: handler })
  }
  if (session !== undefined) {
    const handler: Handler = async (context, request, reply) => {
      const { sessionRoute } = await import('./session.ts')
      return await sessionRoute(context, request, reply)
    }
    routes.push({ name: 'session', method: 'GET', url: below(session), handler })
  }
  const refuse: Handler = async (_context, _request, reply) => refuseMethod(reply)
  for (const [url, name] of new Map<string, string | undefined>(
    [[below(callback), undefined], ...registeredElsewhere(app, context)]
  )) {
    const handler: Handler = (context, request, reply) =>
      callbackRoute(context, request, reply, name ?? nameIn(request, callback))
    for (const method of ['GET', 'POST'] as const) routes.push({ name: 'callback', method, url, handler })
    // Left to the app's 404, a HEAD would have its URL logged, code and state in it.
    routes.push({ name: 'callback', method: 'HEAD', url, handler: refuse })
  }
  return routes
}

/** The `redirectUri` options that lie within this app, path and provider: they become callback routes. */
function registeredElsewhere (app: FastifyInstance, context: PluginContext): [string, string][] {
  const { config } = context
  const found: [string, string][] = []
  for (const { name, config: { redirectUri } } of context.providers.values()) {
    if (redirectUri === undefined || !URL.canParse(redirectUri) || config.routes === false) continue
    const usual = joinPaths(config.mount, config.routes.callback.replace(':provider', name))
    const path = pathInApp(context, new URL(redirectUri))
    if (path === undefined || pathBelow(path, usual) === '') continue
    const inside = pathBelow(path, fastifyPath(app.prefix))
    const url = inside === undefined ? undefined : literalRoute(inside)
    if (url !== undefined) found.push([url, name])
    else {
      context.log.warn(
        { event: 'redirect_uri_not_routed', provider: name },
        `no route of this scope can have the path of the redirectUri of provider "${name}"; ` +
          "call request.oauth.callback(reply) on a route of the app's own there"
      )
    }
  }
  return found
}

/** The path that this app sees of a public URL; undefined if it is not the app's. */
function pathInApp ({ config }: PluginContext, url: URL): string | undefined {
  const base = config.staticBaseUrl
  if (base === undefined) return url.pathname // known at first use only
  return url.origin === base.origin ? pathBelow(url.pathname, base.pathname) : undefined
}

/** Whether Fastify could not read the body of a request: its size, its type, or what is in it. */
function isBodyError (error: unknown): boolean {
  const { code } = Object(error) as Partial<FastifyError>
  return typeof code === 'string' && code.startsWith('FST_ERR_CTP_')
}

// Fastify logs each request's URL; on these routes it holds code and state.
function describeRequest (request: FastifyRequest) {
  return {
    method: request.method,
    url: request.url?.split('?', 1)[0],
    host: request.host,
    remoteAddress: request.ip,
    remotePort: request.socket?.remotePort
  }
}

function describeReply (reply: FastifyReply) {
  return { statusCode: reply.statusCode }
}
