/**
 * panva/openid-client 6, by hand behind @fastify/session: the pending login and the tokens in the session, signatures
 * of ID tokens checked (it leaves that out unless asked), its own fetch of protected resources.
 */
import * as client from 'openid-client'
import { CLIENT_ID, CLIENT_SECRET, SCOPE, type AppContext } from './context.ts'
import { createSessionApp } from './fastify.ts'
import './session-fields.ts'

interface TokenResponse {
  access_token: string
  refresh_token: string
  id_token: string
  claims: () => { sub: string }
  expiresIn: () => number
}

declare module 'fastify' {
  interface Session {
    openidClient?: { accessToken: string, refreshToken: string, idToken: string, expiresAt: number }
    checks?: { pkceCodeVerifier: string, expectedState: string, expectedNonce: string }
  }
}

export async function build (context: AppContext): Promise<void> {
  const { api, origin, provider } = context
  const app = await createSessionApp(context)
  const execute = [client.allowInsecureRequests, client.enableNonRepudiationChecks]
  const authentication = client.ClientSecretBasic(CLIENT_SECRET)
  const config = await client.discovery(new URL(provider), CLIENT_ID, CLIENT_SECRET, authentication, { execute })
  const orders = new URL(`${api}/v1/orders`)

  const kept = (tokens: TokenResponse) => ({
    accessToken: tokens.access_token,
    refreshToken: tokens.refresh_token,
    idToken: tokens.id_token,
    expiresAt: Date.now() + tokens.expiresIn() * 1000
  })

  app.get('/login', async (request, reply) => {
    const checks = {
      pkceCodeVerifier: client.randomPKCECodeVerifier(),
      expectedState: client.randomState(),
      expectedNonce: client.randomNonce()
    }
    request.session.checks = checks
    const url = client.buildAuthorizationUrl(config, {
      redirect_uri: `${origin}/callback`,
      scope: SCOPE.join(' '),
      state: checks.expectedState,
      nonce: checks.expectedNonce,
      code_challenge: await client.calculatePKCECodeChallenge(checks.pkceCodeVerifier),
      code_challenge_method: 'S256'
    })
    return reply.redirect(url.href)
  })
  app.get('/callback', async (request, reply) => {
    const url = new URL(request.url, origin)
    const tokens: TokenResponse = await client.authorizationCodeGrant(config, url, request.session.checks)
    await request.session.regenerate()
    request.session.openidClient = kept(tokens)
    request.session.sub = tokens.claims().sub
    return reply.redirect('/')
  })
  app.get('/me', async ({ session }) => ({ sub: session.sub }))
  app.get('/orders', async ({ session }) => {
    if (session.openidClient === undefined) throw new Error('log in')
    if (session.openidClient.expiresAt <= Date.now()) {
      session.openidClient = kept(await client.refreshTokenGrant(config, session.openidClient.refreshToken))
    }
    const response = await client.fetchProtectedResource(config, session.openidClient.accessToken, orders, 'GET')
    return response.json()
  })
  await app.ready()
}
