import cookie from '@fastify/cookie'
import session, { type FastifySessionOptions } from '@fastify/session'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import oauth, { type PluginOptions } from '../../lib/index.ts'
import { github } from '../../lib/providers.ts'
import { anonymous, checkTokenStore, createTestProvider, loginAs, replaceProvider } from '../../lib/testing.ts'
import { JsonStore } from '../helpers/stores.ts'

const ACME = {
  issuer: 'https://id.acme.example',
  clientId: 'shop',
  clientSecret: 'the secret of production',
  scope: ['openid', 'profile', 'email', 'orders:read', 'orders:write'],
  resourceServers: ['https://api.acme.example/v1/']
}

interface Options extends Partial<PluginOptions> {
  session?: Partial<FastifySessionOptions>
  setup?: (app: FastifyInstance) => unknown
}

/** An app as it runs in production: a real issuer, https, and cookies that are sent over https alone. */
async function shop (t: Test, { session: own, setup, ...options }: Options = {}) {
  const app = Fastify()
  t.after(() => app.close())
  await app.register(cookie)
  await app.register(session, {
    secret: 'thirty-two characters at the very least', saveUninitialized: false, store: new JsonStore(), ...own
  })
  await app.register(oauth, { baseUrl: 'https://shop.example', providers: { acme: ACME }, ...options })
  await setup?.(app)
  app.get('/me', async ({ oauth }) => ({ user: oauth.user, scope: oauth.scope, claims: oauth.claims }))
  return app
}

const me = async (app: FastifyInstance, cookies: Record<string, string>) =>
  (await app.inject({ url: '/me', cookies })).json()

t.test('an app that is configured for production needs no change', async (t) => {
  const app = await shop(t)
  const claims = { name: 'Carol', roles: ['a'] }
  const { cookies, cookie: header, location } = await loginAs(app, { sub: '42', claims })
  t.match(await me(app, cookies), { user: { id: '42', name: 'Carol' }, scope: ACME.scope, claims: { roles: ['a'] } })
  const { user } = (await app.inject({ url: '/me', headers: { cookie: header } })).json()
  t.equal(user.id, '42')
  t.equal(location, '/')
  t.equal((await me(app, {})).user, null)
})

t.test('a login after the time was moved: a session store of the app\'s own sees one time', async (t) => {
  const app = await shop(t)
  const alice = await loginAs(app)
  alice.testProvider.advance(3600)
  const bob = await loginAs(app, { sub: 'bob' })
  t.match(await me(app, bob.cookies), { user: { id: 'bob' } })
})

t.test('users, scope and the way back are the test\'s', async (t) => {
  const app = await shop(t)
  const alice = await loginAs(app, { scope: 'openid orders:read', returnTo: '/cart?item=1' })
  t.equal(alice.location, '/cart?item=1')
  t.match(await me(app, alice.cookies), { user: { id: 'alice' }, scope: ['openid', 'orders:read'] })
  t.notMatch(await me(app, alice.cookies), { user: { name: 'Alice Adams' } }, 'the profile was not granted')
  const bob = await loginAs(app, { sub: 'bob' })
  t.match(await me(app, bob.cookies), { user: { name: 'Bob Brown', email: 'bob@example.com', emailVerified: false } })
  t.match(await me(app, alice.cookies), { user: { id: 'alice' } }, 'beside the first')
  t.equal(bob.testProvider, alice.testProvider)
})

t.test('a guard with scope, maxAge and acrValues finds what the login was', async (t) => {
  const setup = (app: FastifyInstance) => {
    const guard = { scope: 'orders:write', maxAge: 600, acrValues: 'urn:mfa' }
    app.get('/pay', { onRequest: app.oauth.requireLogin(guard) }, async () => 'paid')
  }
  const app = await shop(t, { setup })
  const now = Math.floor(Date.now() / 1000)
  const pay = async (options: Parameters<typeof loginAs>[1]) => {
    const login = await loginAs(app, options)
    return (await login.fetch('/pay')).status
  }
  t.equal(await pay({ claims: { acr: 'urn:mfa', amr: ['otp'], auth_time: now - 60 } }), 200)
  t.equal(await pay({ claims: { acr: 'urn:mfa', auth_time: now - 6000 } }), 401)
  t.equal(await pay({ claims: { acr: 'urn:pwd', auth_time: now } }), 401)
  t.equal(await pay({ claims: { acr: 'urn:mfa', auth_time: now }, scope: 'openid' }), 403)
})

t.test('expired tokens are refreshed once time has moved, and a refusal ends the login', async (t) => {
  const app = await shop(t, {
    setup: (app) => { app.get('/orders', async ({ oauth }) => await oauth.get('orders').json()) }
  })
  const provider = await replaceProvider(app, { accessTokenTtl: 60, users: { carol: { name: 'Carol' } } })
  provider.api('https://api.acme.example/v1/', ({ url, headers }) => [url.pathname, headers.authorization])
  const { cookies, testProvider } = await loginAs(app, { sub: 'carol' })
  t.equal(testProvider, provider)
  const orders = async () => (await app.inject({ url: '/orders', cookies }))
  const first = (await orders()).json()
  t.match(first, ['/v1/orders', /^Bearer ./])
  provider.advance(61)
  t.notSame((await orders()).json(), first)
  provider.advance(61)
  provider.failNext('token', { error: 'invalid_grant' }, { grantType: 'refresh_token' })
  t.match((await orders()).json(), { statusCode: 401, code: 'FST_OAUTH_LOGIN_ENDED' })
  t.strictSame(provider.requests.filter(({ endpoint }) => endpoint === 'token').map(({ params }) => params.grant_type),
    ['authorization_code', 'refresh_token', 'refresh_token'])
})

t.test('requests of the login itself: over https, with cookies that are kept', async (t) => {
  const app = await shop(t, {
    setup: (app) => {
      app.post('/cart', async (request) => {
        request.session.set('cart' as never, (request.body as unknown as { item: string }).item as never)
        return { protocol: request.protocol, host: request.host, ip: request.ip }
      })
      app.get('/cart', async request => ({ cart: request.session.get('cart' as never) }))
    }
  })
  const alice = await loginAs(app)
  const headers = { 'content-type': 'application/json' }
  const added = await alice.fetch('/cart', { method: 'POST', headers, body: JSON.stringify({ item: 'tea' }) })
  t.strictSame(await added.json(), { protocol: 'https', host: 'shop.example', ip: '127.0.0.1' })
  t.strictSame(await (await alice.fetch('/cart')).json(), { cart: 'tea' })
  const out = await alice.fetch('/logout', { method: 'POST', headers: { origin: 'https://shop.example' } })
  t.equal(out.status, 302)
  t.match(out.headers.get('location'), /^https:\/\/id\.acme\.example\/session\/end\?/)
  t.match(await (await alice.fetch('/me')).json(), { user: null })
  await t.rejects(alice.fetch('https://elsewhere.example/'), { code: 'FST_OAUTH_INVALID_OPTIONS' })
})

t.test('a visitor keeps what the session had before the login', async (t) => {
  const app = await shop(t, {
    session: { saveUninitialized: true, cookie: { secure: false } },
    keepSessionFields: ['cart'],
    setup: (app) => {
      app.get('/add', async (request) => {
        request.session.set('cart' as never, 'tea' as never)
        return 'ok'
      })
      app.get('/cart', async request => ({ cart: request.session.get('cart' as never) }))
    }
  })
  const { cookies: before } = await app.inject('/add')
  const given = Object.fromEntries(before.map(({ name, value }) => [name, value]))
  const { cookies } = await loginAs(app, { cookies: given })
  t.strictSame((await app.inject({ url: '/cart', cookies })).json(), { cart: 'tea' })
})

t.test('a provider of the test that the app is configured with', async (t) => {
  const provider = await createTestProvider({ issuer: 'https://id.acme.example/tenant', clientId: 'mine' })
  t.after(() => provider.close())
  const app = await shop(t, { dispatcher: provider.dispatcher, providers: { acme: provider.options } })
  const { cookies, testProvider } = await loginAs(app)
  t.equal(testProvider, provider)
  t.match(await me(app, cookies), { user: { id: 'alice', name: 'Alice Adams' } })
  await provider.close()
  await t.rejects(loginAs(app, { testProvider: provider }), /has been closed/)
})

t.test('a provider without a port that the app cannot reach: the error says what to do', async (t) => {
  const provider = await createTestProvider()
  t.after(() => provider.close())
  const app = await shop(t, { providers: { acme: provider.options } })
  await t.rejects(loginAs(app), { code: 'FST_OAUTH_INVALID_OPTIONS', message: /dispatcher: provider\.dispatcher/ })
})

t.test('a provider that listens, and an app that listens', async (t) => {
  const provider = await createTestProvider()
  t.after(() => provider.close())
  await provider.listen()
  const app = await shop(t, {
    session: { cookie: { secure: 'auto' } },
    baseUrl: () => {
      const { port } = app.server.address() as { port: number }
      return `http://127.0.0.1:${port}`
    },
    providers: { acme: provider.options }
  })
  await t.rejects(loginAs(app), { code: 'FST_OAUTH_INVALID_OPTIONS', message: /let the app listen first/ })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const { cookie: header, testProvider } = await loginAs(app)
  t.equal(testProvider, provider)
  const response = await fetch(`${url}/me`, { headers: { cookie: header } })
  t.match(await response.json(), { user: { id: 'alice' } })
})

t.test('several providers, and paths of the app\'s choice', async (t) => {
  const app = await shop(t, {
    baseUrl: 'https://shop.example/behind-a-proxy',
    prefix: '/auth',
    routes: { login: '/in', callback: '/back/:provider' },
    providers: { acme: ACME, other: { ...ACME, issuer: 'https://other.example' } }
  })
  const other = await loginAs(app, { provider: 'other', sub: 'o' })
  t.equal(other.testProvider.issuer, 'https://other.example')
  t.match(await me(app, other.cookies), { user: { id: 'o' } })
  const wrong: [object, string][] = [
    [{}, '{} fits several providers of the app; pass one of {"provider":"acme"} {"provider":"other"}'],
    [{ provider: 'nobody' }, 'no provider of the app is {"provider":"nobody"}; pass one of {"provider":"acme"} ' +
      '{"provider":"other"}'],
    [{ prefix: '/no' }, 'no provider of the app is {"prefix":"/no"}; pass one of ' +
      '{"provider":"acme","prefix":"/auth"} {"provider":"other","prefix":"/auth"}']
  ]
  for (const [options, message] of wrong) {
    await t.rejects(loginAs(app, options), { code: 'FST_OAUTH_INVALID_OPTIONS', message })
  }
})

t.test('several registrations in scopes, of @fastify/session too', async (t) => {
  const app = Fastify()
  t.after(() => app.close())
  await app.register(cookie)
  for (const prefix of ['/shop', '/staff']) {
    app.register(async (scope) => {
      await scope.register(session, { secret: 'thirty-two characters at the very least', cookieName: prefix.slice(1) })
      await scope.register(oauth, { baseUrl: 'https://shop.example', providers: { acme: { ...ACME, clientId: prefix } } })
      scope.get('/me', async ({ oauth }) => oauth.user?.id ?? 'nobody')
    }, { prefix })
  }
  await t.rejects(loginAs(app), {
    message: /^\{\} fits several providers of the app; pass one of \{"prefix":"\/shop"\} \{"prefix":"\/staff"\}$/
  })
  const staff = await loginAs(app, { prefix: '/staff', sub: 's' })
  t.equal(staff.testProvider.clientId, '/staff')
  t.equal((await app.inject({ url: '/staff/me', cookies: staff.cookies })).body, 's')
  t.equal((await app.inject({ url: '/shop/me', cookies: staff.cookies })).body, 'nobody')
})

t.test('several registrations by their decorators', async (t) => {
  const app = await shop(t, {
    setup: async (app) => {
      const providers = { acme: { ...ACME, clientId: 'staff' } }
      await app.register(oauth, { decorator: 'staff', prefix: '/staff', baseUrl: 'https://shop.example', providers })
      app.get('/staff/me', async request => (request as unknown as { staff: typeof request.oauth }).staff.user)
    }
  })
  const { cookies, testProvider } = await loginAs(app, { decorator: 'staff' })
  t.equal(testProvider.clientId, 'staff')
  t.match((await app.inject({ url: '/staff/me', cookies })).json(), { id: 'alice' })
  t.match(await me(app, cookies), { user: null })
})

t.test('a route of the app\'s own starts the login', async (t) => {
  const app = await shop(t, {
    routes: false,
    setup: (app) => {
      app.get('/sign-in', async ({ oauth }, reply) => await oauth.login(reply, { maxAge: 60 }))
      app.get('/login/acme/callback', async ({ oauth }, reply) => await oauth.callback(reply))
    }
  })
  await t.rejects(loginAs(app), { message: /loginPath: '\/sign-in'/ })
  const { cookies } = await loginAs(app, { loginPath: '/sign-in' })
  t.match(await me(app, cookies), { user: { id: 'alice' }, claims: { auth_time: Number } })
})

t.test('a page behind a guard starts the login: a step-up, in the session that there is', async (t) => {
  const app = await shop(t, {
    setup: (app) => {
      app.get('/orders', { onRequest: app.oauth.requireLogin() }, async () => 'orders')
      app.get('/payout', { onRequest: app.oauth.requireLogin({ acrValues: 'mfa' }) }, async () => 'paid')
    }
  })
  const alice = await loginAs(app, { loginPath: '/orders' })
  t.equal(alice.location, '/orders')
  const { cookies } = alice
  await t.rejects(loginAs(app, { loginPath: '/payout', cookies }), { message: /403: FST_OAUTH_STEP_UP_REQUIRED: / })
  const strong = await loginAs(app, { loginPath: '/payout', cookies, claims: { acr: 'mfa' } })
  t.equal(strong.location, '/payout')
  t.equal(await (await strong.fetch('/payout')).text(), 'paid')
  await t.rejects(loginAs(app, { loginPath: '/payout', cookies: strong.cookies }), { message: /started no login/ })
  await t.rejects(loginAs(app, { loginPath: '/nowhere' }), { message: /GET \/nowhere of the app answered 404/ })
})

t.test('a second account is added through the app\'s route', async (t) => {
  const providers = { acme: ACME, other: { ...ACME, issuer: 'https://other.example' } }
  const app = await shop(t, {
    providers,
    setup: (app) => {
      app.get('/connect', async ({ oauth }, reply) => await oauth.login(reply, { provider: 'other', link: true }))
      app.get('/accounts', async ({ oauth }) => oauth.accounts.map(({ provider, user }) => [provider, user?.id]))
    }
  })
  const { cookies } = await loginAs(app, { provider: 'acme' })
  const both = await loginAs(app, { provider: 'other', loginPath: '/connect', cookies, sub: 'bob' })
  t.strictSame(await (await both.fetch('/accounts')).json(), [['acme', 'alice'], ['other', 'bob']])
})

t.test('providers without OpenID Connect tell their profile', async (t) => {
  const plain = {
    authorizationEndpoint: 'https://plain.example/oauth/authorize?kind=web',
    tokenEndpoint: 'https://api.plain.example/oauth/token',
    userinfoEndpoint: 'https://api.plain.example/v1/me?fields=all',
    clientId: 'shop',
    clientSecret: 'secret',
    scope: ['read', 'write:all'],
    userProfile: ({ id, login }: Record<string, unknown>) => ({ id: id as number, name: login as string })
  }
  const app = await shop(t, {
    providers: { github: github({ clientId: 'shop', clientSecret: 'secret' }), plain }
  })
  const atGithub = await loginAs(app, { provider: 'github', sub: '583231', claims: { login: 'octocat' } })
  t.match(await me(app, atGithub.cookies), {
    user: { id: '583231', name: 'octocat' }, scope: ['read:user', 'user:email']
  })
  const atPlain = await loginAs(app, { provider: 'plain', claims: { id: 7, login: 'Seven' } })
  t.match(await me(app, atPlain.cookies), { user: { id: '7', name: 'Seven' }, scope: ['read', 'write:all'] })
})

t.test('a login without a scope and without PKCE, at a provider with options of the test', async (t) => {
  const plain = {
    authorizationEndpoint: 'https://plain.example/authorize',
    tokenEndpoint: 'https://plain.example/token',
    userinfoEndpoint: 'https://plain.example/me',
    clientId: 'shop',
    clientSecret: 'secret',
    pkce: false as const
  }
  const app = await shop(t, { providers: { plain } })
  const provider = await replaceProvider(app, { configuration: { clockTolerance: 1 }, scopes: ['orders:read'] })
  const { cookies } = await loginAs(app, { sub: '7' })
  t.match(await me(app, cookies), { user: { id: '7' }, scope: [] })
  const answers = provider.requests.flatMap(({ endpoint, answer }) => endpoint === 'token' ? [answer!.body] : [])
  t.strictSame(answers.map(body => 'scope' in (body as object)), [false])
})

t.test('a logout token of the provider ends the login', async (t) => {
  const app = await shop(t)
  const { cookies, testProvider } = await loginAs(app, { sub: 'bob' })
  await testProvider.backchannelLogout('bob')
  t.equal((await me(app, cookies)).user, null)
})

t.test('a login that the app refuses says why', async (t) => {
  const app = await shop(t, { onLogin: () => { throw new Error('not on the list') } })
  await t.rejects(loginAs(app), { message: /GET \/login\/acme\/callback of the app answered 500/ })
  const closed = await shop(t)
  const provider = await replaceProvider(closed)
  provider.failNext('token', { error: 'invalid_client' })
  await t.rejects(loginAs(closed), { message: /answered 502: FST_OAUTH_INVALID_TOKEN_RESPONSE: .*invalid_client/ })
  const without = Fastify()
  t.after(() => without.close())
  await t.rejects(loginAs(without), { message: /the app has no fastify-oauth-session/ })
})

t.test('grants without a page are refused', async (t) => {
  const app = await shop(t, { providers: { acme: { ...ACME, grantType: 'client_credentials' } } })
  await t.rejects(loginAs(app), { code: 'FST_OAUTH_INVALID_OPTIONS', message: /grantType: 'client_credentials'/ })
})

t.test('cookies for Playwright', async (t) => {
  const app = await shop(t, { session: { cookieName: 'sid', cookie: { maxAge: 60_000, sameSite: 'lax' } } })
  const login = await loginAs(app)
  const value = login.cookie.slice('sid='.length)
  const now = Date.now() / 1000
  const [sid, ...others] = login.forPlaywright()
  t.match(sid, { name: 'sid', value, domain: 'shop.example', path: '/', httpOnly: true, secure: true, sameSite: 'Lax' })
  t.ok(sid!.expires > now && sid!.expires <= now + 61)
  t.strictSame(others, [])
  t.match(login.forPlaywright('http://localhost:3000'), [{ domain: 'localhost', secure: false }])
})

t.test('closing the app closes what stood in for its provider', async (t) => {
  const app = await shop(t)
  const before = Date.now()
  const { testProvider } = await loginAs(app)
  testProvider.advance(3600)
  await app.close()
  t.ok(Date.now() - before < 600_000)
  t.throws(() => testProvider.advance(1), { message: /closed/ })
})

t.test('who is not logged in is sent to log in', async (t) => {
  const app = await shop(t, {
    setup: app => app.get('/orders', { onRequest: app.oauth.requireLogin() }, async () => 'orders')
  })
  const visitor = await anonymous(app)
  const page = await visitor.fetch('/orders', { headers: { accept: 'text/html' } })
  t.equal(page.status, 302)
  t.match(page.headers.get('location'), '/login/acme?returnTo=%2Forders')
  t.equal((await visitor.fetch('/orders')).status, 401)
})

t.test('a login is of tests alone', async (t) => {
  const app = await shop(t)
  const before = process.env.NODE_ENV
  t.after(() => {
    if (before === undefined) delete process.env.NODE_ENV
    else process.env.NODE_ENV = before
  })
  process.env.NODE_ENV = 'production'
  await t.rejects(loginAs(app), { code: 'FST_OAUTH_INVALID_OPTIONS', message: /NODE_ENV=production/ })
  await t.rejects(replaceProvider(app), { code: 'FST_OAUTH_INVALID_OPTIONS', message: /NODE_ENV=production/ })
  await t.rejects(anonymous(app), { code: 'FST_OAUTH_INVALID_OPTIONS', message: /NODE_ENV=production/ })
})

t.test('helpers name what is wrong with their arguments', async (t) => {
  const app = await shop(t)
  const provider = await createTestProvider()
  t.after(() => provider.close())
  const visitor = await anonymous(app)
  const none = undefined as never
  for (const [what, misuse] of Object.entries<() => unknown>({
    'loginAs without the app': () => loginAs(none),
    'loginAs with the promise of an app': () => loginAs(Promise.resolve(app) as never),
    'loginAs with the name of a user': () => loginAs(app, 'alice' as never),
    'loginAs with a URL as loginPath': () => loginAs(app, { loginPath: 'https://shop.example/sign-in' }),
    'loginAs with a prefix that is none': () => loginAs(app, { prefix: 5 as never }),
    'anonymous without the app': () => anonymous(none),
    'replaceProvider without the app': () => replaceProvider(none),
    'replaceProvider with a name': () => replaceProvider(app, 'acme' as never),
    'createTestProvider with a URL': () => createTestProvider('https://id.example' as never),
    'createTestProvider with an issuer that is no URL': () => createTestProvider({ issuer: 'id.example' }),
    'createTestProvider with a scope that is no list': () => createTestProvider({ scopes: 5 as never }),
    'createTestProvider with a client without an id': () => createTestProvider({ clients: [{}] }),
    'checkTokenStore with a store': () => checkTokenStore({} as never),
    'api() without a URL': () => provider.api(none, () => ({})),
    'listen() with a port': () => provider.listen(3000 as never),
    'forPlaywright() with a path': () => visitor.forPlaywright('/')
  })) {
    await t.rejects(async () => await misuse(), { code: 'FST_OAUTH_INVALID_OPTIONS' }, what)
  }
})
