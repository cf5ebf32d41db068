// What an app writes. Compiled and never run: `@ts-expect-error` stands before what must not compile.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import oauth, {
  AccessDeniedError,
  codeChallenge,
  createCodeVerifier,
  createProvider,
  fastifyOAuthSession,
  InvalidOptionsError,
  LoginRequiredError,
  OAuthError,
  ResponseStatusError,
  TokensUpdatedError,
  type ProviderHandle,
  type CallOptions,
  type OAuthErrorCode,
  type OAuthErrorReason,
  type PluginOptions,
  type ProviderOptions,
  type RequestOAuth,
  type TokenSet,
  type TokenStore,
  type User
} from '../../lib/index.ts'
import { github } from '../../lib/providers.ts'
import { redisStore, type RedisClient } from '../../lib/redis.ts'

interface Order { id: number }

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false

/** `is<Expected>()(value)` compiles where the value's type is the very same. */
export function is<Expected> () {
  return <Actual>(_value: Actual, ..._same: Same<Actual, Expected> extends true ? [] : ['another type']): void => {}
}

const acme: ProviderOptions = { issuer: 'https://id.example', clientId: 'app' }
const baseUrl = 'https://app.example'

export async function registering (app: FastifyInstance, tokenStore: TokenStore): Promise<unknown> {
  await app.register(oauth, { baseUrl, providers: { acme } })
  await app.register(fastifyOAuthSession, {
    baseUrl: () => baseUrl,
    providers: { github: github({ clientId: 'app', clientSecret: 's' }) }
  })
  await app.register(oauth, {
    baseUrl,
    providers: {
      acme: {
        ...acme,
        scope: 'openid profile',
        clientAuthentication: ({ url, body, headers }) => {
          url.searchParams.set('a', '1')
          body.set('b', '2')
          headers.set('c', '3')
        },
        authorizationParams: { prompt: 'login', max_age: 0, resource: ['https://a.example', 'https://b.example'] },
        hooks: {
          accessTokenRequest: ({ url, headers, body }) => body.set('audience', `${url.host}${headers.accept}`),
          refreshTokenResponse: answer => ({ ...answer, status: 200 })
        },
        conform: (members, { status, grantType }) => ({ ...members, status, grantType }),
        userProfile: ({ id, name }) => ({ id: Number(id), name: String(name) })
      },
      other: {
        authorizationEndpoint: 'https://id.example/a',
        tokenEndpoint: 'https://id.example/t',
        clientId: 'app',
        scope: ['read']
      }
    },
    defaultProvider: 'acme',
    prefix: '/auth',
    routes: { login: '/in', loggedOut: '/out/done' },
    refresh: 'notify',
    keepSessionFields: ['cart'] as const,
    tokenStore,
    onLogin: async (request, reply, { provider, user, claims, tokens }) => {
      reply.header('x', `${provider}${user?.id}${claims.sub}${tokens.scope}${request.id}`)
    },
    onTokens: (tokens, { previous, reason }) => {
      is<'login' | 'refresh'>()(reason)
      return [tokens.accessToken, previous?.accessToken]
    },
    onLogout: (_request, reply, { user }) => {
      is<FastifyReply | undefined>()(reply)
      return user?.name
    },
    onError: (_request, reply, error) => (error.statusCode >= 500 ? reply.code(500).send('sorry') : undefined)
  })
  await app.register(oauth, {
    baseUrl,
    providers: { acme },
    routes: false,
    encryptionKeys: ['base64url', Buffer.alloc(32), new Uint8Array(32)]
  })

  const options: PluginOptions = { baseUrl, providers: { acme } }
  // @ts-expect-error the app's address is not guessed
  await app.register(oauth, { providers: { acme } })
  // @ts-expect-error there has to be a provider
  await app.register(oauth, { baseUrl })
  // @ts-expect-error a URL is a string here
  await app.register(oauth, { baseUrl: new URL(baseUrl), providers: { acme } })
  // @ts-expect-error no such route
  await app.register(oauth, { ...options, routes: { signin: '/in' } })
  // @ts-expect-error no such route
  await app.register(oauth, { ...options, routes: true })
  // @ts-expect-error a hook gets other things
  await app.register(oauth, { ...options, onTokens: (tokens: string) => tokens })

  // @ts-expect-error no such method
  await app.register(oauth, { ...options, refresh: 'never' })

  // @ts-expect-error no such option
  const misspelled: PluginOptions = { ...options, provider: acme }
  // @ts-expect-error a client has an id
  const nameless: ProviderOptions = { issuer: 'https://id.example' }
  // @ts-expect-error as Auth.js calls it
  const foreign: ProviderOptions = { ...acme, scopes: ['openid'] }
  // @ts-expect-error no such method
  const weak: ProviderOptions = { ...acme, clientAuthentication: 'client_secret_get' }
  // @ts-expect-error as requests-oauthlib calls it
  const python: ProviderOptions = { ...acme, hooks: { access_token_response: () => {} } }
  // @ts-expect-error the id is the preset's only wish
  github({ clientSecret: 's' })
  return [misspelled, nameless, foreign, weak, python]
}

export function guarding (app: FastifyInstance): void {
  app.get('/a', { onRequest: app.oauth.requireLogin() }, async () => 'a')
  app.get('/b', { onRequest: [app.oauth.requireLogin({ provider: 'acme' })] }, async () => 'b')
  app.addHook('onRequest', app.oauth.requireLogin({ provider: 'acme' }))
  // @ts-expect-error a provider is named, not counted
  app.oauth.requireLogin({ provider: 1 })
  // @ts-expect-error no such condition
  app.oauth.requireLogin({ providers: ['acme'] })
  is<Promise<number>>()(app.oauth.logoutUser({ provider: 'acme', subject: 'alice' }))
  // @ts-expect-error a user is known by the provider's id alone
  app.oauth.logoutUser({ provider: 'acme', email: 'alice@example.com' })
  // @ts-expect-error there is one for each request
  app.oauth = { ...app.oauth, authenticated: true }
}

export async function knowing (request: FastifyRequest): Promise<unknown> {
  is<RequestOAuth>()(request.oauth)
  is<User | null>()(request.oauth.user)
  is<string | undefined>()(request.oauth.provider)
  is<string[]>()(request.oauth.scope)
  is<Record<string, unknown>>()(request.oauth.claims)
  // @ts-expect-error the user may be null: an anonymous request
  const id: string = request.oauth.user.id
  // @ts-expect-error the user cannot be assigned
  request.oauth.authenticated = true
  // @ts-expect-error nor so
  request.oauth = undefined
  // @ts-expect-error the user's e-mail may be missing
  const email: string = request.oauth.user!.email
  return [id, email]
}

export async function calling (
  { oauth }: FastifyRequest,
  stream: NodeJS.ReadableStream,
  form: FormData
): Promise<unknown> {
  const orders = await oauth.get('orders').json<Order[]>()
  is<Order[]>()(orders)
  is<unknown>()(await oauth.get('orders').json())
  const { statusCode, headers, body } = await oauth.get(new URL('https://api.example/v1/orders'))
  is<number>()(statusCode)
  is<string | string[] | undefined>()(headers.etag)
  for await (const chunk of body) is<any>()(chunk)
  const text: string = await oauth.head('orders').text()
  const bytes: Uint8Array = await oauth.delete('orders/1').bytes()

  const options: CallOptions = {
    json: { item: 'tea' },
    headers: { 'x-a': ['1', '2'] },
    signal: AbortSignal.timeout(1000),
    query: { page: 1 },
    withholdToken: true,
    bodyTimeout: 1,
    maxResponseSize: 1024
  }
  await oauth.post('orders', options)
  await oauth.put('orders/1', { body: stream, headers: new Headers() })
  await oauth.patch('orders/1', { body: new URLSearchParams({ a: '1' }), headers: [['x-a', '1']] })
  await oauth.post('orders', { body: form })
  await oauth.request('orders', { method: 'OPTIONS', body: null, signal: null })

  // @ts-expect-error the method is in the name
  await oauth.get('orders', { method: 'POST' })
  // @ts-expect-error the URL says where a call goes
  await oauth.get('orders', { origin: 'https://evil.example' })
  // @ts-expect-error and so here
  await oauth.get('orders', { path: '/v2' })
  // @ts-expect-error a call cannot bring its own way out
  await oauth.get('orders', { dispatcher: undefined })
  // @ts-expect-error as other clients call it
  await oauth.post('orders', { data: {} })
  // @ts-expect-error an answer is read by a method
  await oauth.get('orders').data

  const response: Response = await oauth.fetch('https://api.example/v1/orders', { method: 'POST', body: '{}' })
  const plain: typeof globalThis.fetch = oauth.fetch
  return [text, bytes, response, plain]
}

export async function keeping ({ oauth }: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  const tokens = await oauth.tokens()
  is<TokenSet>()(tokens)
  is<number | undefined>()(tokens.expiresAt)
  await oauth.refresh()
  await oauth.refresh({ refreshToken: tokens.refreshToken!, params: { resource: ['https://a.example'] } })
  await oauth.save(tokens)
  // @ts-expect-error a set, not its token
  await oauth.save(tokens.accessToken)
  is<RequestOAuth>()(oauth.using('github'))
  is<{ provider: string, user: User | null, scope: string[] }[]>()(oauth.accounts)
  // @ts-expect-error which version to replace is not the caller's to say
  await oauth.refresh({ version: 1 })
  const { sub, email } = await oauth.userinfo()

  await oauth.login(reply, {
    provider: 'acme',
    returnTo: '/orders',
    scope: ['orders:write'],
    params: { login_hint: 'ada' },
    maxAge: 0
  })
  await oauth.callback(reply, { provider: 'acme' })
  const { endSessionUrl } = await oauth.logout()
  is<string | undefined>()(endSessionUrl)
  await oauth.logout(reply)
  // @ts-expect-error a login needs the reply that it redirects
  await oauth.login()
  // @ts-expect-error in the query it has another name
  await oauth.login(reply, { return_to: '/orders' })
  return [sub, email]
}

export async function withoutRequest (app: FastifyInstance): Promise<unknown> {
  const provider = createProvider(acme, { name: 'acme' })
  is<ProviderHandle>()(app.oauth.provider('acme'))
  const session = provider.session({
    tokens: { access_token: 'a', expires_in: 60 },
    refresh: 'notify',
    onTokens: async tokens => tokens.recordId
  })
  is<TokenSet | undefined>()(session.storedTokens)
  is<Order[]>()(await session.get('orders').json<Order[]>())
  is<TokenSet>()(await session.fetchTokens({ username: 'ada', password: 'secret' }))
  is<TokenSet>()(await session.fetchTokens({ callbackUrl: 'https://app.example/cb?code=1&state=2' }))
  const { userCode, verificationUri, tokens } = await provider.device({ scope: 'tv' })
  is<TokenSet>()(await tokens({ signal: AbortSignal.timeout(1000) }))
  is<TokenSet>()(await provider.exchange({ subjectToken: 'a', audience: ['b', 'c'] }))
  is<boolean>()(await provider.revoke('a', 'refresh_token'))
  is<string>()(codeChallenge(createCodeVerifier(64)))
  // @ts-expect-error as the wire has it
  await provider.exchange({ subject_token: 'a' })
  // @ts-expect-error the app's own client is no session of a user
  provider.clientCredentials({ tokens: null })
  // @ts-expect-error a provider of the plugin is the app's to close
  await app.oauth.provider('acme').close()
  await provider.close()
  return [userCode, verificationUri]
}

export function failing (error: unknown): OAuthErrorCode | undefined {
  const own = new LoginRequiredError('log in', { provider: 'acme', retryAfter: 1 })
  const same: OAuthError[] = [own, new AccessDeniedError('no'), new InvalidOptionsError('no')]
  // @ts-expect-error what went wrong is said
  const silent = new ResponseStatusError()
  // @ts-expect-error no place for a secret
  const secret = new ResponseStatusError('no', { accessToken: 'a' })
  if (!(error instanceof OAuthError)) return same.concat(silent, secret)[0]?.code
  const known: TokensUpdatedError = error as TokensUpdatedError
  is<'FST_OAUTH_TOKENS_UPDATED'>()(known.code)
  if (error instanceof TokensUpdatedError) is<string>()(error.tokens.accessToken)
  else if (error instanceof ResponseStatusError) is<number>()(error.response.statusCode)
  else if (error instanceof AccessDeniedError) is<403>()(error.statusCode)
  else is<string>()(error.message)
  // @ts-expect-error no such code
  if (error.code === 'FST_OAUTH_ERR_LOGIN') return
  // @ts-expect-error an error is not changed
  error.statusCode = 200
  // @ts-expect-error no such reason
  if (error.reason === 'something_went_wrong') return
  is<OAuthErrorReason | undefined>()(error.reason)
  is<string | undefined>()(error.provider)
  is<string | undefined>()(error.oauthErrorDescription)
  is<string | undefined>()(error.tokens?.refreshToken)
  is<number | undefined>()(error.response?.statusCode)
  return error.code
}

export function storing (client: RedisClient): void {
  is<TokenStore>()(redisStore(client))
  redisStore(client, { prefix: 'app:', waitReplicas: 1 })
  // @ts-expect-error a client, not its address
  redisStore('redis://localhost')
  // @ts-expect-error as ioredis calls it
  redisStore(client, { keyPrefix: 'app:' })
}

/** What `require()` gives: the plugin, and the classes on it. */
export function required (app: FastifyInstance): void {
  app.register(oauth.default, { baseUrl, providers: { acme } })
  is<typeof LoginRequiredError>()(oauth.LoginRequiredError)
  // @ts-expect-error one module is the plugin, the other its providers
  oauth.github({ clientId: 'app' })
}
