/** A process that does nothing but import, register and listen, and says what that took. */
import cookie from '@fastify/cookie'
import session from '@fastify/session'
import Fastify from 'fastify'
import { CLIENT_ID, CLIENT_SECRET, SCOPE, SESSION_SECRET } from './apps/context.ts'

const [name = ''] = process.argv.slice(2)

// At hosts that are never asked: nothing is fetched before the first login.
const ISSUER = 'https://id.example.com'
const credentials = { clientId: CLIENT_ID, clientSecret: CLIENT_SECRET }

const app = Fastify()
await app.register(cookie)
await app.register(session, {
  secret: SESSION_SECRET,
  cookie: { secure: false, sameSite: 'lax' },
  rolling: false,
  saveUninitialized: false
})

const register: Record<string, () => Promise<void>> = {
  async session () {},
  async pool () {
    const { Pool } = await import('undici')
    new Pool(ISSUER).on('connect', () => {})
  },
  async 'this-project' () {
    const { loadPlugin } = await import('./apps/plugin.ts')
    const { default: oauth } = await loadPlugin()
    await app.register(oauth, {
      baseUrl: 'https://app.example.com',
      providers: { acme: { ...credentials, issuer: ISSUER, scope: SCOPE, resourceServers: ['https://api.example.com/v1/'] } }
    })
  },
  async passport () {
    const { Authenticator } = await import('@fastify/passport')
    const passport = new Authenticator()
    await app.register(passport.initialize())
    await app.register(passport.secureSession())
  },
  async 'fastify-oauth2' () {
    const { default: oauth2 } = await import('@fastify/oauth2')
    await app.register(oauth2, {
      name: 'acme',
      scope: SCOPE,
      credentials: {
        client: { id: CLIENT_ID, secret: CLIENT_SECRET },
        auth: { authorizeHost: ISSUER, authorizePath: '/authorize', tokenHost: ISSUER, tokenPath: '/token' }
      },
      startRedirectPath: '/login',
      callbackUri: 'https://app.example.com/callback',
      pkce: 'S256'
    })
  }
}

await register[name]!()
app.get('/plain', async () => ({ ok: true }))
await app.listen({ port: 0, host: '127.0.0.1' })
process.send!(process.cpuUsage(), () => process.exit())
