// The embedded OpenID provider: a real one (oidc-provider), on its own port, with its own sessions and pages. Access
// tokens are short-lived and refresh tokens rotate: each works once, and a second use revokes the whole grant.
import { generateKeyPair, randomBytes } from 'node:crypto'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import { type Client, providerConfiguration, type ProviderSettings, scope } from './provider-configuration.ts'
import { providerPages } from './provider-pages.ts'

export interface RunningProvider {
  issuer: string
  /** The client of the board. */
  boardClient: Client
  /** The client of the API, for introspection. */
  apiClient: Client
  scope: string[]
  /** Registers the redirect URIs of the board. To be called once, when its address is known. */
  register (boardUrl: string): Promise<void>
  /** How many requests the token endpoint has had: one a login, one a refresh. */
  readonly tokenRequests: number
  close (): Promise<void>
}

/** Starts a provider on a free port. */
export async function startProvider (settings: ProviderSettings): Promise<RunningProvider> {
  const boardClient = client('corner-bakery')
  const apiClient = client('orders-api')
  const { default: Provider } = await withoutAdvice(() => import('oidc-provider'))
  const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: 2048 })

  let handle: RequestListener = (_request, response) => { response.writeHead(503).end() }
  let tokenRequests = 0
  const server = createServer((request, response) => handle(request, response))
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve))
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

  return {
    issuer,
    boardClient,
    apiClient,
    scope,
    async register (boardUrl) {
      const configuration = providerConfiguration({ settings, boardUrl, boardClient, apiClient, privateKey })
      const provider = await withoutAdvice(() => new Provider(issuer, configuration))
      provider.use(async (ctx, next) => {
        if (ctx.path === '/token') tokenRequests++
        await next()
      })
      provider.use(providerPages(provider, boardUrl, settings.title))
      provider.on('server_error', (_ctx, error) => console.error(error))
      provider.on('backchannel.error', (_ctx, error) => console.error(error))
      handle = provider.callback()
    },
    get tokenRequests () { return tokenRequests },
    close () {
      return new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
    },
  }
}

function client (clientId: string): Client {
  return { clientId, clientSecret: randomBytes(32).toString('base64url') }
}

/** Runs without oidc-provider's warnings for production servers: this example keeps its data in memory on purpose. */
async function withoutAdvice<T> (run: () => T | Promise<T>): Promise<T> {
  const { warn } = console
  console.warn = (...parts: unknown[]) => { if (!String(parts[0]).includes('oidc-provider WARNING')) warn(...parts) }
  try {
    return await run()
  } finally {
    console.warn = warn
  }
}
