/** lelylan/simple-oauth2, by hand behind @fastify/session: pending login and tokens in it, ID tokens with jose. */
import { createHash, randomBytes } from 'node:crypto'
import { AuthorizationCode } from 'simple-oauth2'
import { Agent, request } from 'undici'
import { CLIENT_ID, CLIENT_SECRET, SCOPE, type AppContext } from './context.ts'
import { createSessionApp } from './fastify.ts'
import { createIdTokenCheck } from './id-token.ts'
import './session-fields.ts'

interface Token { access_token: string, id_token: string }

declare module 'fastify' {
  interface Session { simpleOAuth2?: Token }
}

const random = () => randomBytes(32).toString('base64url')

export async function build (context: AppContext): Promise<void> {
  const { api, origin, provider } = context
  const app = await createSessionApp(context)
  const agent = new Agent()
  const checkIdToken = createIdTokenCheck(provider)
  const redirectUri = `${origin}/callback`
  const client = new AuthorizationCode({
    client: { id: CLIENT_ID, secret: CLIENT_SECRET },
    auth: { tokenHost: provider, tokenPath: '/token', authorizePath: '/authorize' }
  })

  app.get('/login', async (incoming, reply) => {
    const pending = { state: random(), nonce: random(), verifier: random() }
    incoming.session.pending = pending
    return reply.redirect(client.authorizeURL({
      redirect_uri: redirectUri,
      scope: SCOPE,
      state: pending.state,
      nonce: pending.nonce,
      code_challenge: createHash('sha256').update(pending.verifier).digest('base64url'),
      code_challenge_method: 'S256'
    }))
  })
  app.get<{ Querystring: { code: string, state: string } }>('/callback', async (incoming, reply) => {
    const { query, session: { pending } } = incoming
    if (pending === undefined || pending.state !== query.state) return reply.code(400).send('start again')
    const { token } = await client.getToken({
      code: query.code,
      redirect_uri: redirectUri,
      code_verifier: pending.verifier
    })
    const { sub = '' } = await checkIdToken(token.id_token, pending.nonce)
    await incoming.session.regenerate()
    incoming.session.simpleOAuth2 = token
    incoming.session.sub = sub
    return reply.redirect('/')
  })
  app.get('/me', async ({ session }) => ({ sub: session.sub }))
  app.get('/orders', async ({ session }) => {
    if (session.simpleOAuth2 === undefined) throw new Error('log in')
    let accessToken = client.createToken(session.simpleOAuth2)
    if (accessToken.expired()) {
      accessToken = await accessToken.refresh()
      session.simpleOAuth2 = accessToken.token
    }
    const headers = { authorization: `Bearer ${accessToken.token.access_token}` }
    const { body } = await request(`${api}/v1/orders`, { dispatcher: agent, headers })
    return body.json()
  })
  await app.ready()
}
