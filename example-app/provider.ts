// The embedded OpenID provider: a real one (oidc-provider), on its own port, with its own sessions and pages. Access
// tokens are short-lived and refresh tokens rotate: each works once, and a second use revokes the whole grant.
import { generateKeyPair, randomBytes } from 'node:crypto'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import type { ProviderContext } from 'oidc-provider'
import { findAccount } from './accounts.ts'
import { errorRenderer, loggedOutRenderer, logoutRenderer, providerPages } from './provider-pages.ts'

export interface Client { clientId: string, clientSecret: string }

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

const scope = ['openid', 'profile', 'email', 'orders']

export interface ProviderSettings {
  /** What the board calls it: part of its callback's path. */
  name: string
  /** What users read. */
  title: string
  /** Seconds. */
  accessTokenTtl: number
}

/** Starts a provider on a free port. */
export async function startProvider ({ name, title, accessTokenTtl }: ProviderSettings): Promise<RunningProvider> {
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
      const provider = await withoutAdvice(() => new Provider(issuer, {
        clients: [
          {
            client_id: boardClient.clientId,
            client_secret: boardClient.clientSecret,
            client_name: 'Corner Bakery',
            grant_types: ['authorization_code', 'refresh_token'],
            redirect_uris: [`${boardUrl}/login/${name}/callback`],
            post_logout_redirect_uris: [`${boardUrl}/logout/callback`],
            backchannel_logout_uri: `${boardUrl}/login/${name}/backchannel-logout`,
            backchannel_logout_session_required: true
          },
          {
            client_id: apiClient.clientId,
            client_secret: apiClient.clientSecret,
            grant_types: [],
            redirect_uris: [],
            response_types: []
          }
        ],
        scopes: scope,
        claims: { openid: ['sub'], profile: ['name', 'preferred_username'], email: ['email', 'email_verified'] },
        conformIdTokenClaims: false, // name and e-mail come in the ID token: one request fewer at login
        jwks: { keys: [privateKey.export({ format: 'jwk' })] },
        findAccount,
        loadExistingGrant,
        pkce: { required: () => true },
        rotateRefreshToken: true,
        issueRefreshToken: (_ctx: unknown, { clientId }: Client) => clientId === boardClient.clientId,
        ttl: {
          AccessToken: accessTokenTtl, RefreshToken: day, IdToken: hour, Grant: day, Interaction: hour, Session: day
        },
        cookies: {
          // Both providers are on this host, and cookies do not tell ports apart.
          names: { session: `${name}-id`, interaction: `${name}-id-login`, resume: `${name}-id-resume` },
          keys: [randomBytes(32).toString('base64url')]
        },
        interactions: { url: (_ctx: unknown, { uid }: { uid: string }) => `/interaction/${uid}` },
        clientBasedCORS: () => false,
        renderError: errorRenderer(boardUrl, title),
        features: {
          devInteractions: { enabled: false },
          introspection: {
            enabled: true,
            allowedPolicy: (_ctx: unknown, { clientId }: Client) => clientId === apiClient.clientId
          },
          revocation: {
            enabled: true,
            allowedPolicy: (_ctx: unknown, { clientId }: Client, token: Client) => clientId === token.clientId
          },
          rpInitiatedLogout: {
            enabled: true,
            logoutSource: logoutRenderer(title),
            postLogoutSuccessSource: loggedOutRenderer(boardUrl, title)
          },
          backchannelLogout: { enabled: true } // a logout here ends the board's session, in whichever browser it is
        },
        // Its own fetch does not reach the board, which is on this machine.
        fetch: (url: string, { dispatcher: _none, ...options }: RequestInit & { dispatcher?: unknown }) =>
          fetch(url, options)
      }))
      provider.use(async (ctx, next) => {
        if (ctx.path === '/token') tokenRequests++
        await next()
      })
      provider.use(providerPages(provider, boardUrl, title))
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

const hour = 60 * 60
const day = 24 * hour

/** The board is the provider's own app: users are not asked for consent, its scopes are granted. */
async function loadExistingGrant (ctx: ProviderContext) {
  const { provider, client: { clientId }, session } = ctx.oidc
  const grantId = session.grantIdFor(clientId)
  const existing = grantId && await provider.Grant.find(grantId)
  if (existing) return existing
  const grant = new provider.Grant({ clientId, accountId: session.accountId })
  grant.addOIDCScope(scope.join(' '))
  await grant.save()
  return grant
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
