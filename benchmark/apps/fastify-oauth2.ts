/**
 * fastify/fastify-oauth2, with the tokens in the session, refreshed as its README says, and ID tokens checked with jose
 * by hand. It sends no nonce, and keeps state and PKCE verifier in cookies, unsigned: nothing of a pending login is on
 * the server.
 */
import oauth2 from '@fastify/oauth2'
import type { FastifyRequest } from 'fastify'
import { Agent, request } from 'undici'
import { CLIENT_ID, CLIENT_SECRET, SCOPE, type AppContext } from './context.ts'
import { createSessionApp } from './fastify.ts'
import { createIdTokenCheck } from './id-token.ts'
import './session-fields.ts'

interface Token { access_token: string, refresh_token: string, id_token: string, expires_at: Date | string }
interface OAuth2 {
  getAccessTokenFromAuthorizationCodeFlow: (request: unknown) => Promise<{ token: Token }>
  getNewAccessTokenUsingRefreshToken: (token: Token, params: object) => Promise<{ token: Token }>
}

declare module 'fastify' {
  interface FastifyInstance { acme: OAuth2 }
  interface Session { token?: Token }
}

export async function build (context: AppContext): Promise<void> {
  const { api, origin, provider } = context
  const app = await createSessionApp(context)
  const agent = new Agent()
  const checkIdToken = createIdTokenCheck(provider)
  await app.register(oauth2, {
    name: 'acme',
    scope: SCOPE,
    credentials: {
      client: { id: CLIENT_ID, secret: CLIENT_SECRET },
      auth: {
        authorizeHost: provider,
        authorizePath: '/authorize',
        tokenHost: provider,
        tokenPath: '/token'
      }
    },
    startRedirectPath: '/login',
    callbackUri: `${origin}/callback`,
    cookie: { secure: false },
    pkce: 'S256'
  })
  app.get('/callback', async (incoming, reply) => {
    const { token } = await app.acme.getAccessTokenFromAuthorizationCodeFlow(incoming)
    const { sub = '' } = await checkIdToken(token.id_token)
    await incoming.session.regenerate()
    incoming.session.token = token
    incoming.session.sub = sub
    return reply.redirect('/')
  })
  app.post('/logout', async (incoming, reply) => {
    await incoming.session.destroy()
    return reply.redirect('/')
  })
  app.get('/me', async ({ session }) => ({ sub: session.sub }))

  async function fetchOrders ({ session }: FastifyRequest): Promise<unknown> {
    if (session.token === undefined) throw new Error('log in')
    // By hand: `createToken(token).expired()` does the same and costs more.
    if (new Date(session.token.expires_at).getTime() <= Date.now()) {
      session.token = (await app.acme.getNewAccessTokenUsingRefreshToken(session.token, {})).token
    }
    const headers = { authorization: `Bearer ${session.token.access_token}` }
    const { body } = await request(`${api}/v1/orders`, { dispatcher: agent, headers })
    return body.json()
  }

  app.get('/orders', fetchOrders)
  app.get('/three-calls', async (incoming) => {
    for (let calls = 0; calls < 2; calls++) await fetchOrders(incoming)
    return fetchOrders(incoming)
  })
  await app.ready()
}
