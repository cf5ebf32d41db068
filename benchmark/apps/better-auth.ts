/**
 * better-auth with its generic OAuth plugin on Node's own server, with its adapter that keeps everything in arrays in
 * memory and searches them: its cost grows with the number of users. It keeps the user in tables of its own, reads
 * userinfo, and sends no nonce.
 */
import { betterAuth } from 'better-auth'
import { memoryAdapter } from 'better-auth/adapters/memory'
import { fromNodeHeaders, toNodeHandler } from 'better-auth/node'
import { genericOAuth } from 'better-auth/plugins'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { CLIENT_ID, CLIENT_SECRET, SCOPE, SESSION_SECRET, type AppContext } from './context.ts'

interface Account { id: string, providerId: string, accountId: string }

export async function build ({ api, origin, provider, server }: AppContext): Promise<void> {
  const auth = betterAuth({
    baseURL: origin,
    secret: SESSION_SECRET,
    database: memoryAdapter({ user: [], session: [], account: [], verification: [] }),
    rateLimit: { enabled: false },
    telemetry: { enabled: false },
    logger: { disabled: true },
    plugins: [genericOAuth({
      config: [{
        providerId: 'acme',
        discoveryUrl: `${provider}/.well-known/openid-configuration`,
        clientId: CLIENT_ID,
        clientSecret: CLIENT_SECRET,
        scopes: SCOPE,
        pkce: true,
        requireIdTokenVerification: true
      }]
    })]
  })
  const handle = toNodeHandler(auth)

  async function logIn (response: ServerResponse): Promise<void> {
    const answer: Response = await auth.api.signInSocial({
      body: { provider: 'acme', callbackURL: '/' },
      asResponse: true
    })
    const { url } = await answer.json() as { url: string }
    response.writeHead(302, { location: url, 'set-cookie': answer.headers.getSetCookie() }).end()
  }

  /** The account at the provider of the user who is logged in. */
  async function accountOf (headers: Headers): Promise<Account> {
    const accounts: Account[] = await auth.api.listUserAccounts({ headers })
    const account = accounts.find(({ providerId }) => providerId === 'acme')
    if (account === undefined) throw new Error('log in')
    return account
  }

  async function answer (request: IncomingMessage, response: ServerResponse): Promise<void> {
    const json = (body: unknown) => {
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    }
    if (request.url === '/login') return logIn(response)
    if (request.url === '/plain') return json({ ok: true })
    if (request.url === '/me') {
      const headers = fromNodeHeaders(request.headers)
      return json({ sub: (await accountOf(headers)).accountId })
    }
    if (request.url === '/orders') {
      const headers = fromNodeHeaders(request.headers)
      const { id } = await accountOf(headers)
      const { accessToken } = await auth.api.getAccessToken({ body: { accountId: id }, headers })
      const orders = await fetch(`${api}/v1/orders`, { headers: { authorization: `Bearer ${accessToken}` } })
      return json(await orders.json())
    }
    await handle(request, response)
  }

  server.on('request', (request, response) => {
    answer(request, response).catch((error: Error) => response.writeHead(500).end(error.message))
  })
}
