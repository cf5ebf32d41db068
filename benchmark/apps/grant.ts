/**
 * simov/grant behind @fastify/session, state, nonce and PKCE in the session. It decodes ID tokens and compares the
 * nonce; the signature is checked with jose. It has no client for calls.
 */
import grant from 'grant'
import { CLIENT_ID, CLIENT_SECRET, SCOPE, type AppContext } from './context.ts'
import { createSessionApp } from './fastify.ts'
import { createIdTokenCheck } from './id-token.ts'
import './session-fields.ts'

interface GrantTokens { access_token: string, refresh_token: string, id_token: string }

declare module 'fastify' {
  interface Session {
    grant?: { response?: GrantTokens & { error?: unknown } } | undefined
    grantTokens?: GrantTokens
  }
}

export async function build (context: AppContext): Promise<void> {
  const { origin, provider } = context
  const app = await createSessionApp(context)
  const checkIdToken = createIdTokenCheck(provider)
  await app.register(grant.fastify()({
    defaults: { origin, transport: 'session', response: ['tokens'] },
    acme: {
      authorize_url: `${provider}/authorize`,
      access_url: `${provider}/token`,
      oauth: 2,
      key: CLIENT_ID,
      secret: CLIENT_SECRET,
      scope: SCOPE,
      scope_delimiter: ' ',
      state: true,
      nonce: true,
      pkce: true,
      callback: '/logged-in'
    }
  }))
  app.get('/logged-in', async (request, reply) => {
    const response = request.session.grant?.response
    if (response?.id_token === undefined) return reply.code(400).send('start again')
    const { sub = '' } = await checkIdToken(response.id_token)
    await request.session.regenerate()
    request.session.grantTokens = response
    request.session.sub = sub
    return reply.redirect('/')
  })
  app.get('/me', async ({ session }) => ({ sub: session.sub }))
  await app.ready()
}
