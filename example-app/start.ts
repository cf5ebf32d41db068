// Starts the parts: the provider, the API, and the board (app.ts) between them and the browser.
import { randomBytes } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { buildApp, type AppOptions } from './app.ts'
import { createEventLog, type EventLog } from './event-log.ts'
import { startApi } from './orders-api.ts'
import { startProvider } from './provider.ts'

export interface StartOptions {
  /** Port of the board; 0, the default, is a free one. */
  port?: number
  host?: string
  /** Public address of the board where that is not http://localhost and the port. */
  baseUrl?: string
  /** Life of the embedded provider's access tokens, in seconds. */
  accessTokenTtl?: number
  sessionSecret?: string
  logger?: AppOptions['logger']
  /** A provider to use instead of the embedded one, which is not loaded then. */
  external?: ExternalProvider
}

export interface ExternalProvider {
  issuer: string
  clientId: string
  clientSecret?: string
  scope: string[]
  /** An API of yours that responds as the embedded one does, with a slash at the end. */
  apiUrl?: string
}

export interface Running {
  appUrl: string
  /** The issuer. */
  providerUrl: string
  apiUrl: string | undefined
  /** How many requests the embedded provider's token endpoint has had. */
  readonly tokenRequests: number
  events: EventLog
  close (): Promise<void>
}

export async function start (options: StartOptions = {}): Promise<Running> {
  const { port = 0, host = 'localhost', accessTokenTtl = 30, external, logger } = options
  const { sessionSecret = randomBytes(32).toString('base64url') } = options
  const running: Array<{ close (): unknown }> = []
  const close = async () => { for (let part = running.pop(); part; part = running.pop()) await part.close() }

  try {
    const embedded = { name: 'bakery', title: 'Bakehouse ID', accessTokenTtl }
    const provider = external ? undefined : await startProvider(embedded)
    if (provider) running.push(provider)
    const mill = provider && await startProvider({ name: 'mill', title: 'Flour Mill ID', accessTokenTtl })
    if (mill) running.push(mill)
    const api = provider && await startApi({ issuer: provider.issuer, client: provider.apiClient })
    if (api) running.push(api)

    let appUrl = options.baseUrl?.replace(/\/$/, '') ?? ''
    const events = createEventLog()
    const app = await buildApp({
      baseUrl: () => appUrl, // called at the first login: the port is known then
      issuer: provider?.issuer ?? external!.issuer,
      ...(provider ? { ...provider.boardClient, scope: provider.scope } : external!),
      apiUrl: api?.url ?? external?.apiUrl,
      embedded: provider !== undefined,
      mill: mill && { ...mill.boardClient, issuer: mill.issuer },
      https: appUrl.startsWith('https:'),
      sessionSecret,
      events,
      logger,
    })
    running.push(app)
    await app.listen({ port, host })
    appUrl ||= `http://localhost:${(app.server.address() as AddressInfo).port}`
    await Promise.all([provider, mill].map((each) => each?.register(appUrl)))

    return {
      appUrl,
      providerUrl: provider?.issuer ?? external!.issuer,
      apiUrl: api?.url ?? external?.apiUrl,
      get tokenRequests () { return provider?.tokenRequests ?? 0 },
      events,
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}
