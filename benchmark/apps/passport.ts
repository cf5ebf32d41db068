/**
 * jaredhanson/passport-oauth2 under @fastify/passport, state and PKCE in the session, the user with the tokens in the
 * session, ID tokens checked with jose. It sends no nonce and has no refresh: a call with an expired token fails.
 */
import { Authenticator } from '@fastify/passport'
import OAuth2Strategy from 'passport-oauth2'
import { CLIENT_ID, CLIENT_SECRET, SCOPE, type AppContext } from './context.ts'
import { createSessionApp } from './fastify.ts'
import { createIdTokenCheck } from './id-token.ts'

interface User { sub: string, accessToken: string, refreshToken: string, idToken: string }
type Verified = (error: unknown, user?: User) => void

export async function build (context: AppContext): Promise<void> {
  const { api, origin, provider } = context
  const app = await createSessionApp(context)
  const checkIdToken = createIdTokenCheck(provider)
  const passport = new Authenticator()
  await app.register(passport.initialize())
  await app.register(passport.secureSession())
  passport.registerUserSerializer(async (user: User) => user)
  passport.registerUserDeserializer(async (user: User) => user)
  passport.use('acme', new OAuth2Strategy({
    authorizationURL: `${provider}/authorize`,
    tokenURL: `${provider}/token`,
    clientID: CLIENT_ID,
    clientSecret: CLIENT_SECRET,
    callbackURL: `${origin}/callback`,
    scope: SCOPE,
    state: true,
    pkce: true
  }, (accessToken: string, refreshToken: string, params: { id_token: string }, _profile: unknown, done: Verified) => {
    const idToken = params.id_token
    checkIdToken(idToken).then(({ sub = '' }) => done(null, { sub, accessToken, refreshToken, idToken }), done)
  }))

  const userOf = (request: unknown) => (request as { user?: User | null }).user
  app.get('/login', { preValidation: passport.authenticate('acme') }, async () => {})
  app.get('/callback', { preValidation: passport.authenticate('acme', { successRedirect: '/' }) }, async () => {})
  app.get('/me', async (request) => ({ sub: userOf(request)?.sub }))
  app.get('/orders', async (request) => {
    const headers = { authorization: `Bearer ${userOf(request)?.accessToken}` }
    const response = await fetch(`${api}/v1/orders`, { headers })
    return response.json()
  })
  await app.ready()
}
