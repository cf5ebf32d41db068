/**
 * auth0/express-openid-connect under Express. The session is in the browser, an encrypted cookie with the tokens, and
 * so is the pending login: the server stores nothing, and a logout ends no copy of the cookie.
 */
import express from 'express'
import openid from 'express-openid-connect'
import { Agent, request } from 'undici'
import { CLIENT_ID, CLIENT_SECRET, SCOPE, SESSION_SECRET, type AppContext } from './context.ts'

interface AccessToken { access_token: string, isExpired: () => boolean, refresh: () => Promise<AccessToken> }
interface Incoming { oidc: { user?: { sub: string }, accessToken?: AccessToken } }
interface Outgoing { json: (body: unknown) => void }
type Next = (error: unknown) => void

export async function build ({ api, origin, provider, server }: AppContext): Promise<void> {
  const app = express()
  const agent = new Agent()
  app.use(openid.auth({
    issuerBaseURL: provider,
    baseURL: origin,
    clientID: CLIENT_ID,
    clientSecret: CLIENT_SECRET,
    secret: SESSION_SECRET,
    authRequired: false,
    authorizationParams: { response_type: 'code', response_mode: 'query', scope: SCOPE.join(' ') },
    routes: { login: '/login', callback: '/callback' }
  }))

  async function fetchOrders ({ oidc }: Incoming): Promise<unknown> {
    let { accessToken } = oidc
    if (accessToken === undefined) throw new Error('log in')
    if (accessToken.isExpired()) accessToken = await accessToken.refresh()
    const headers = { authorization: `Bearer ${accessToken.access_token}` }
    const { body } = await request(`${api}/v1/orders`, { dispatcher: agent, headers })
    return body.json()
  }

  app.get('/plain', (_request: Incoming, response: Outgoing) => response.json({ ok: true }))
  app.get('/me', ({ oidc }: Incoming, response: Outgoing) => response.json({ sub: oidc.user?.sub }))
  app.get('/orders', (incoming: Incoming, response: Outgoing, next: Next) => {
    fetchOrders(incoming).then(orders => response.json(orders), next)
  })
  app.get('/', (_request: Incoming, response: Outgoing) => response.json({}))
  server.on('request', app)
}
