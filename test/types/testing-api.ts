// What an app's tests write. Compiled and never run: `@ts-expect-error` stands before what must not compile.
import { test } from 'node:test'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Dispatcher } from 'undici'
import oauth, { type TokenStore } from '../../lib/index.ts'
import {
  anonymous,
  checkTokenStore,
  createTestProvider,
  loginAs,
  replaceProvider,
  type BrowserCookie,
  type EndpointRequest,
  type Gate,
  type TestApi,
  type TestFault,
  type TestLogin,
  type TestProvider,
  type TestProviderOptions,
  type TestUsers,
  type TestVisitor
} from '../../lib/testing.ts'
import { is } from './public-api.js'

const baseUrl = 'https://app.example'

export async function loggingIn (app: FastifyInstance, provider: TestProvider): Promise<unknown> {
  const login = await loginAs(app)
  is<TestLogin>()(login)
  is<Record<string, string>>()(login.cookies)
  is<string>()(login.cookie)
  is<string | undefined>()(login.location)
  is<TestProvider>()(login.testProvider)
  is<BrowserCookie[]>()(login.forPlaywright())
  is<BrowserCookie[]>()(login.forPlaywright('http://localhost:3000'))
  is<Response>()(await login.fetch('/cart', { method: 'POST', body: 'tea', headers: { 'content-type': 'text/plain' } }))
  await app.inject({ url: '/', cookies: login.cookies })

  await loginAs(app, { sub: 'carol', claims: { name: 'Carol', roles: ['admin'], auth_time: 1 }, scope: 'openid email' })
  await loginAs(app, { scope: ['openid'] as const, provider: 'acme', decorator: 'staff', prefix: '/staff' })
  await loginAs(app, { returnTo: '/a', loginPath: '/in', cookies: { sid: 'a' }, testProvider: provider })
  await loginAs(Fastify({ http2: true }))
  // @ts-expect-error an app, not its address
  await loginAs(baseUrl)
  // @ts-expect-error the id at the provider is a text
  await loginAs(app, { sub: 42 })
  // @ts-expect-error the user is named by `sub`
  await loginAs(app, { user: 'carol' })
  // @ts-expect-error claims have names
  await loginAs(app, { claims: ['name'] })
  // @ts-expect-error a provider of the app is named, one of the test is `testProvider`
  await loginAs(app, { provider })
  // @ts-expect-error cookies as `app.inject` takes them
  await loginAs(app, { cookies: 'sid=a' })
  // @ts-expect-error what a login has led to is not changed
  login.location = '/'
  // @ts-expect-error where a visitor goes is a path
  await login.fetch(new URL(baseUrl))

  const visitor = await anonymous(app, { cookies: { sid: 'a' } })
  is<TestVisitor>()(visitor)
  // @ts-expect-error nobody has logged in
  visitor.testProvider.close()
  // @ts-expect-error nobody logs in
  await anonymous(app, { sub: 'carol' })
  return visitor
}

export async function providing (app: FastifyInstance, dispatcher: Dispatcher, users: TestUsers): Promise<void> {
  const options: TestProviderOptions = {
    issuer: 'https://id.example',
    users: { ...users, carol: { password: 'a', name: 'Carol', groups: [1] } },
    accessTokenTtl: 60,
    rotate: false,
    refreshTokens: 'offline_access',
    scopes: ['orders:read'],
    redirectUris: uri => uri.startsWith(baseUrl),
    features: { dPoP: false, requestObjects: true },
    dispatcher
  }
  const provider = await createTestProvider(options)
  is<TestProvider>()(provider)
  is<Dispatcher>()(provider.dispatcher)
  is<{ issuer: string, clientId: string, clientSecret: string, scope: string[] }>()({ ...provider.options })
  await app.register(oauth, { baseUrl, dispatcher, providers: { acme: { ...provider.options, scope: 'openid' } } })
  is<TestProvider>()(await replaceProvider(app, { provider: 'acme', users, accessTokenTtl: 60 }))
  // @ts-expect-error seconds, as a number
  await createTestProvider({ accessTokenTtl: '60' })
  // @ts-expect-error no such feature
  await createTestProvider({ features: { dpop: true } })
  // @ts-expect-error no such way
  await createTestProvider({ refreshTokens: 'sometimes' })
  // @ts-expect-error a user is what a `sub` stands for
  await createTestProvider({ users: [{ sub: 'carol' }] })
  // @ts-expect-error who the client is, is what the app says
  await replaceProvider(app, { clientId: 'another' })

  is<void>()(provider.advance(60))
  is<readonly EndpointRequest[]>()(provider.requests)
  is<boolean>()(await provider.isActive('a token'))
  is<string>()(await provider.listen({ port: 3001, host: 'localhost' }))
  is<void>()(await provider.backchannelLogout('carol'))
  provider.users.dave = { name: 'Dave' }
  provider.accessTokenTtl = 10
  provider.revokeGrants()
  provider.revokeGrants('carol')
  provider.expireAccessTokens()
  // @ts-expect-error seconds
  provider.advance('1 hour')
  // @ts-expect-error what came is not changed
  provider.requests.push(provider.requests[0])
  // @ts-expect-error `listen()` decides about it
  provider.issuer = baseUrl
  await provider.close()
}

export async function failing (provider: TestProvider): Promise<void> {
  const answers: TestFault[] = [503, { error: 'invalid_grant' }, { status: 200, body: {} }]
  const faults: TestFault[] = [...answers, 'network_error', 'answer_lost']
  for (const fault of faults) provider.failNext('token', fault, { times: 2, grantType: 'refresh_token' })
  provider.failNext('userinfo', async ({ request, process }) => {
    is<EndpointRequest>()(request)
    return { ...await process(), status: 500 }
  }, { when: ({ headers }) => headers.authorization !== undefined })
  const gate = provider.hold('token', { until: Promise.resolve(), afterwards: true })
  is<Gate<EndpointRequest>>()(gate)
  is<EndpointRequest>()(await gate.arrived)
  gate.release()
  // @ts-expect-error no such endpoint
  provider.failNext('tokens', 503)
  // @ts-expect-error no such fault
  provider.failNext('token', 'timeout')
  // @ts-expect-error how it fails is said
  provider.failNext('token')
  // @ts-expect-error no such endpoint
  provider.hold('refresh')
}

export function standingIn (provider: TestProvider): void {
  const api: TestApi = ({ method, url, headers, body }) => ({ method, id: url.searchParams.get('id'), headers, body })
  provider.api('https://api.example/v1/', api)
  provider.api(new URL('https://api.example/v2/'), Fastify())
  provider.api('https://api.example/v3/', async ({ url }) => new Response(url.pathname, { status: 404 }))
  // @ts-expect-error an answer is made by a function
  provider.api('https://api.example/v1/', { orders: [] })
}

export async function checkingAStore (store: TokenStore): Promise<void> {
  is<void>()(await checkTokenStore(() => store))
  await checkTokenStore(async () => store, { test, createOther: () => store })
  await checkTokenStore(() => store, { test: (title, run) => { is<string>()(title); return run() } })
  // @ts-expect-error a function that makes it
  await checkTokenStore(store)
  // @ts-expect-error a store has these methods and more
  await checkTokenStore(() => ({ get: async () => undefined }))
  // @ts-expect-error one framework's `test`, not its name
  await checkTokenStore(() => store, { test: 'tap' })
}
