// The board: a Fastify app whose users log in at a provider, and which calls an API as them.
import cookie from '@fastify/cookie'
import session from '@fastify/session'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import oauth from 'fastify-oauth-session'
import { accountRoutes } from './account.ts'
import { pageHeaders } from './assets.ts'
import { boardRoutes } from './board-api.ts'
import type { EventLog } from './event-log.ts'
import { oauthPages, siteRoutes } from './pages.ts'
import { createSessionList } from './sessions.ts'
import { fingerprint, loginOf, summarize } from './token-summary.ts'

export interface AppOptions {
  /** The public address of this app, or a function that returns it, called when it is first needed. */
  baseUrl: string | (() => string)
  issuer: string
  clientId: string
  clientSecret?: string
  scope: string[]
  /** Whether the provider is the embedded one: its users and passwords are shown then. */
  embedded: boolean
  /** A second provider, at which a user can connect another account. */
  mill?: { issuer: string, clientId: string, clientSecret: string }
  /** The orders API, with a slash at the end. Without one the app shows the user's userinfo. */
  apiUrl?: string
  sessionSecret: string
  /** Whether browsers reach this app over https: through a proxy, on this machine or in its private network. */
  https?: boolean
  events: EventLog
  logger?: FastifyServerOptions['logger']
}

export async function buildApp (options: AppOptions): Promise<FastifyInstance> {
  const { baseUrl, issuer, clientId, clientSecret, scope, apiUrl, embedded, events } = options
  const { sessionSecret, https = false, mill } = options
  const title = embedded ? 'Bakehouse ID' : new URL(issuer).hostname
  const sessions = createSessionList()
  const app = Fastify({
    logger: options.logger ?? { level: 'warn' },
    trustProxy: https && ['loopback', 'uniquelocal'],
    // Browsers open connections before they need them, and closing would wait for a request on each.
    forceCloseConnections: true,
  })

  await app.register(cookie)
  await app.register(session, {
    secret: sessionSecret,
    cookieName: 'corner-bakery',
    cookie: { secure: https, httpOnly: true, sameSite: 'lax', maxAge: 8 * 60 * 60 * 1000 },
    rolling: false,
    saveUninitialized: false,
  })
  await app.register(oauth, {
    baseUrl,
    providers: {
      bakery: {
        title,
        issuer,
        clientId,
        clientSecret,
        scope,
        resourceServers: apiUrl ? [apiUrl] : [],
        // Seconds. The default of 30 would refresh a token that lives 30 seconds before it is seen to expire.
        expiryLeeway: 5,
        clockTolerance: 5
      },
      ...(mill && { mill: { ...mill, title: 'Flour Mill ID', scope: ['openid', 'profile', 'email'] } })
    },
    defaultProvider: 'bakery',

    // The plugin's pages in this app's design.
    pages: oauthPages,

    onTokens (tokens, { provider, user, previous, reason }) {
      if (!user || provider !== 'bakery') return
      const login = loginOf(tokens)
      const token = summarize(tokens)
      if (reason === 'login') {
        events.publish(user.id, { kind: 'login', text: `${user.name ?? user.id} logged in`, login, token })
        return
      }
      const change = {
        previous: previous && fingerprint(previous.accessToken),
        rotated: tokens.refreshToken !== previous?.refreshToken,
      }
      events.publish(user.id, { kind: 'refresh', text: 'new access token', login, token: { ...token, ...change } })
    },
    onLogout (_request, _reply, { user, reason }) {
      if (!user) return
      const how = { logout: '', logoutUser: ' everywhere', backchannel: ` at ${title}` }[reason]
      events.publish(user.id, { kind: 'logout', text: `${user.name ?? user.id} logged out${how}` })
      // The user's browsers connect again at once: those that are logged in still are listed again, the others end.
      sessions.forget(user.id)
      events.disconnect(user.id)
    },
  })
  // Before the guards of the routes below.
  app.addHook('onRequest', sessions.follow)

  const headers = pageHeaders(embedded ? issuer : `https: ${new URL(issuer).origin}`)
  app.addHook('onRequest', async (_request, reply) => { reply.headers(headers) })
  app.addHook('preClose', async () => events.close())
  await app.register(siteRoutes, { issuer, embedded, showsOrders: apiUrl !== undefined })
  await app.register(accountRoutes, { prefix: '/account', sessions, events, hasMill: mill !== undefined })
  await app.register(boardRoutes, { prefix: '/api', events })
  return app
}
