import type { FastifyInstance, FastifyRequest } from 'fastify'
import { createAppOAuth } from './app-oauth.ts'
import { createContext, finishWork } from './context.ts'
import type { PluginOptions } from './options.ts'
import { peekBaseUrl } from './options/base-url.ts'
import { passedAlong } from './options/passed-along.ts'
import { resolveOptions } from './options/resolve-options.ts'
import { preload } from './preload.ts'
import { RequestOAuth } from './request-oauth.ts'
import { registerRoutes } from './routes/index.ts'
import { takenBy } from './session/decorator.ts'
import { inspectHostApp } from './session/fastify-session.ts'
import { addSessionHooks } from './session/request-hooks.ts'
import {
  announcer, inspectStores, warnOfExpiringCertificates, warnOfForeignOptions, warnOfLegacyGrants
} from './startup-log.ts'
import { waitAtMost } from './util/timeout.ts'

/** Milliseconds that an app which closes waits for the answers of providers and stores. */
const CLOSE_MS = 20_000

/**
 * Registers login, callback and logout routes, and `request.oauth` and `app.oauth`, by the name that the option
 * `decorator` gives them.
 * @throws FST_OAUTH_INVALID_OPTIONS
 */
export async function oauthSession (app: FastifyInstance, options: PluginOptions): Promise<void> {
  const hostApp = { ...inspectHostApp(app), takenBy: (name: string) => takenBy(app, name) }
  const config = resolveOptions(options, hostApp, () => { announce(config.baseUrl()) })
  const context = createContext(app, config)
  const announce = announcer(context, hostApp)
  warnOfForeignOptions(context, passedAlong(options))
  warnOfLegacyGrants(context)
  if (context.loadActivity !== undefined) await context.loadActivity()
  warnOfExpiringCertificates(context)

  const { decorator } = config
  // Of this registration alone: there may be others for the same requests.
  const kOAuth = Symbol(`fastify-oauth-session.${decorator}`)
  app.decorate(decorator, createAppOAuth(context))
  app.decorateRequest(kOAuth, null)
  app.decorateRequest(decorator, {
    getter (this: FastifyRequest) {
      const request = this as FastifyRequest & { [kOAuth]: RequestOAuth | null }
      request[kOAuth] ??= new RequestOAuth(context, request)
      return request[kOAuth]
    }
  })

  addSessionHooks(app, context)
  let closed = false
  app.addHook('onReady', async () => {
    inspectStores(context)
    if (config.staticBaseUrl !== undefined) announce(config.staticBaseUrl)
  })
  // A `baseUrl` function is asked for good at first use; here it is asked for the log alone.
  app.addHook('onListen', async () => {
    announce(peekBaseUrl(options.baseUrl))
    void preload(context, () => closed)
  })
  // Work is finished while the app still answers, for as long as Fastify lets a hook take; the rest afterwards.
  const { pluginTimeout = 0 } = app.initialConfig
  const preCloseMs = Math.min(pluginTimeout > 0 ? pluginTimeout / 2 : Infinity, CLOSE_MS / 2)
  app.addHook('preClose', () => {
    closed = true
    return waitAtMost(finishWork(context, preCloseMs), preCloseMs)
  })
  app.addHook('onClose', async () => {
    await waitAtMost(finishWork(context, CLOSE_MS - preCloseMs), CLOSE_MS - preCloseMs)
    const lost = context.records.unsaved
    if (lost > 0) {
      const message = 'the store did not come back: refreshed tokens were not written, and their logins are lost'
      context.log.error({ event: 'tokens_not_written', lost }, message)
    }
    const own = [...context.providers.values()].map(({ transport }) => transport)
    await Promise.all([...new Set([context.transport, ...own])].map(transport => transport.close()))
  })

  if (config.routes !== false) await registerRoutes(app, context)
}
