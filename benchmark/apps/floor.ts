/**
 * The floor: a login and calls as a careful developer writes them by hand behind @fastify/session, for one provider.
 * State, nonce, PKCE S256, a pending login on the server, bound to the browser by a cookie; an ID token checked with
 * jose; tokens in a Map, and a pointer in the session. It does not refresh, has one login a browser at a time, no
 * limits, no logout, and no way to a second process.
 */
import { hash, randomBytes } from 'node:crypto'
import type { FastifyReply } from 'fastify'
import { Agent, Pool, request } from 'undici'
import { CLIENT_ID, CLIENT_SECRET, SCOPE, type AppContext } from './context.ts'
import { createSessionApp } from './fastify.ts'
import { getJson } from './get-json.ts'
import { createIdTokenCheck } from './id-token.ts'
import './session-fields.ts'

declare module 'fastify' {
  interface Session {
    /** Key of the login in the Map. */
    login?: string
  }
}

interface Pending { nonce: string, verifier: string, expiresAt: number }
interface Tokens { access_token: string, refresh_token: string, id_token: string, expires_in: number }
interface Login { user: { sub: string, name: unknown, email: unknown }, tokens: Tokens, expiresAt: number }

const PENDING_MS = 600_000
const COOKIE = 'login-state'

export async function build (context: AppContext): Promise<void> {
  const { api, origin, provider } = context
  const app = await createSessionApp(context)
  const agent = new Agent()
  const pool = new Pool(api)
  const pending = new Map<string, Pending>()
  const logins = new Map<string, Login>()
  const checkIdToken = createIdTokenCheck(provider)
  const redirectUri = `${origin}/callback`
  const basic = `Basic ${Buffer.from(`${CLIENT_ID}:${CLIENT_SECRET}`).toString('base64')}`
  const fixed = new URLSearchParams({
    response_type: 'code',
    client_id: CLIENT_ID,
    redirect_uri: redirectUri,
    scope: SCOPE.join(' '),
    code_challenge_method: 'S256'
  })
  const authorizationUrl = `${provider}/authorize?${fixed}`
  const cookieAttributes = '; Path=/; Max-Age=600; HttpOnly; SameSite=Lax'

  /** Makes and keeps what a pending login needs, and sends the browser to the provider. */
  function start (reply: FastifyReply, keep: (state: string, login: Omit<Pending, 'expiresAt'>) => void) {
    const random = randomBytes(96)
    const state = random.toString('base64url', 0, 32)
    const nonce = random.toString('base64url', 32, 64)
    const verifier = random.toString('base64url', 64)
    keep(state, { nonce, verifier })
    const challenge = hash('sha256', verifier, 'base64url')
    return reply.redirect(`${authorizationUrl}&state=${state}&nonce=${nonce}&code_challenge=${challenge}`)
  }

  function removeExpired (now: number): void {
    for (const [state, { expiresAt }] of pending) {
      if (expiresAt > now) return
      pending.delete(state)
    }
  }

  async function fetchTokens (code: string, verifier: string): Promise<Tokens> {
    const { statusCode, body } = await request(`${provider}/token`, {
      method: 'POST',
      dispatcher: agent,
      headers: {
        authorization: basic,
        'content-type': 'application/x-www-form-urlencoded',
        accept: 'application/json'
      },
      body: new URLSearchParams({
        grant_type: 'authorization_code',
        code,
        redirect_uri: redirectUri,
        code_verifier: verifier
      }).toString()
    })
    const tokens = await body.json() as Tokens
    if (statusCode !== 200) throw new Error('the code was refused')
    return tokens
  }

  app.get('/login', async (_request, reply) => start(reply, (state, login) => {
    const now = Date.now()
    removeExpired(now)
    pending.set(state, { ...login, expiresAt: now + PENDING_MS })
    reply.header('set-cookie', `${COOKIE}=${state}${cookieAttributes}`)
  }))

  // The pending login in the session, as most examples have it. It has no callback: `GET /login` alone is measured.
  app.get('/login-in-session', async (incoming, reply) => start(reply, (state, login) => {
    incoming.session.pending = { state, ...login }
  }))

  app.get<{ Querystring: { code: string, state: string } }>('/callback', async (incoming, reply) => {
    const { code, state } = incoming.query
    const login = pending.get(state)
    pending.delete(state)
    if (login === undefined || incoming.cookies[COOKIE] !== state || login.expiresAt < Date.now()) {
      return reply.code(400).send('start again')
    }
    const tokens = await fetchTokens(code, login.verifier)
    const { sub = '', name, email } = await checkIdToken(tokens.id_token, login.nonce)
    const id = randomBytes(16).toString('base64url')
    logins.set(id, { user: { sub, name, email }, tokens, expiresAt: Date.now() + tokens.expires_in * 1000 })
    await incoming.session.regenerate()
    incoming.session.login = id
    reply.header('set-cookie', `${COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax`)
    return reply.redirect('/')
  })

  const authorizationOf = ({ session }: { session: { login?: string } }): string => {
    const login = logins.get(session.login ?? '')
    if (login === undefined || login.expiresAt < Date.now()) throw new Error('log in')
    return `Bearer ${login.tokens.access_token}`
  }

  app.get('/me', async ({ session }) => ({ sub: logins.get(session.login ?? '')?.user.sub }))
  app.get('/request', async (incoming) => {
    const headers = { authorization: authorizationOf(incoming) }
    const { body } = await request(`${api}/v1/orders`, { dispatcher: agent, headers })
    return body.json()
  })
  app.get('/dispatch', async (incoming) => getJson(pool, '/v1/orders', authorizationOf(incoming)))
  await app.ready()
}
