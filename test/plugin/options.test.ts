import { EventEmitter } from 'node:events'
import cookie from '@fastify/cookie'
import session, { type FastifySessionOptions } from '@fastify/session'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Agent, interceptors, MockAgent } from 'undici'
import oauth, { createProvider, OAuthError, type StandaloneProvider, type PluginOptions } from '../../lib/index.ts'
import { apple, github, google, keycloak } from '../../lib/providers.ts'
import { redisStore } from '../../lib/redis.ts'
import { SESSION_SECRET } from '../helpers/build-app.ts'
import { matchEach } from '../helpers/match-each.ts'
import { JsonStore } from '../helpers/stores.ts'

const acme = { issuer: 'https://id.acme.example', clientId: 'client', clientSecret: 'secret' }
/** What is said of an option whose environment variable is not set. */
const UNSET = /is undefined: an environment variable that is not set\?/
const good: PluginOptions = { baseUrl: 'https://app.example.com', providers: { acme } }

interface Around {
  session?: Partial<FastifySessionOptions> | false
  setup?: (app: FastifyInstance) => unknown
  /** Runs once the plugin is registered. */
  after?: (app: FastifyInstance) => unknown
}

/** Boots an app with these options of the plugin, whatever their type. */
async function boot (
  t: Test,
  options: unknown,
  { session: settings = {}, setup, after }: Around = {}
): Promise<FastifyInstance> {
  const app = Fastify()
  t.after(() => app.close())
  if (settings !== false) {
    await app.register(cookie)
    await app.register(session, { secret: SESSION_SECRET, saveUninitialized: false, ...settings })
  }
  await setup?.(app)
  await app.register(oauth, options as PluginOptions)
  await after?.(app)
  await app.ready()
  return app
}

/** Boots, and returns what the error says: one line a mistake. */
async function mistakes (t: Test, options: unknown, around?: Around): Promise<string[]> {
  try {
    await boot(t, options, around)
  } catch (error) {
    t.ok(error instanceof OAuthError)
    t.match(error, { code: 'FST_OAUTH_INVALID_OPTIONS', statusCode: 500 })
    const [heading, ...lines] = (error as Error).message.split('\n')
    t.match(heading, /fastify-oauth-session/)
    return lines.map((line) => line.replace(/^- /, ''))
  }
  return []
}

const withProvider = (changes: object) => ({ ...good, providers: { acme: { ...acme, ...changes } } })

t.test('the options of the documentation are accepted', async (t) => {
  t.strictSame(await mistakes(t, good), [])
})

// Each with what the message has to say: the option's path, and the remedy.
const single: Record<string, [options: unknown, path: string, remedy: RegExp]> = {
  'no baseUrl': [{ providers: { acme } }, 'baseUrl', /is missing.*https:\/\/app\.example\.com/],
  'a baseUrl that is a host alone': [{ ...good, baseUrl: 'app.example.com' }, 'baseUrl', /https:\/\/app\.example\.com/],
  'a baseUrl of another scheme': [{ ...good, baseUrl: 'ftp://app.example.com' }, 'baseUrl', /http/],
  'a baseUrl with a query': [{ ...good, baseUrl: 'https://app.example.com/?a=b' }, 'baseUrl', /origin and path alone/],
  'a baseUrl with a user': [{ ...good, baseUrl: 'https://user@app.example.com' }, 'baseUrl', /origin and path alone/],
  'a baseUrl with a password': [
    { ...good, baseUrl: 'https://:pass@app.example.com' },
    'baseUrl',
    /origin and path alone/
  ],
  'an unknown option': [{ ...good, callbackUri: '/x' }, 'callbackUri', /no option.*take it out/],
  'an option in snake_case': [{ ...good, default_provider: 'acme' }, 'default_provider', /write defaultProvider/],
  'an option in other letters': [{ ...good, baseURL: 'https://app.example.com' }, 'baseURL', /write baseUrl/],
  'no providers': [{ baseUrl: good.baseUrl }, 'providers', /is missing; it must be an object/],
  'providers that are empty': [{ ...good, providers: {} }, 'providers', /at least one/],
  'providers that are a list': [{ ...good, providers: [acme] }, 'providers', /must be an object, not a list/],
  'a provider that is a string': [{ ...good, providers: { acme: 'github' } }, 'providers.acme', /must be an object/],
  'a provider whose name does not fit a URL': [
    { ...good, providers: { 'a/b': acme } },
    'providers.a/b',
    /letters, digits/
  ],
  'a provider with the name of a member of every object: every user would seem to have an account there': [
    { ...good, providers: { constructor: acme } },
    'providers.constructor',
    /use another/
  ],
  'an unknown option of a provider': [withProvider({ scopes: ['openid'] }), 'providers.acme.scopes', /no option/],
  'an option of a provider in snake_case': [
    withProvider({ client_authentication: 'none' }),
    'providers.acme.client_authentication',
    /write clientAuthentication/
  ],
  'no clientId': [withProvider({ clientId: undefined }), 'providers.acme.clientId', /is missing/],
  'an empty clientId': [withProvider({ clientId: '' }), 'providers.acme.clientId', /is missing/],
  'no clientSecret where the authentication takes one': [
    withProvider({ clientSecret: undefined, clientAuthentication: 'client_secret_basic' }),
    'providers.acme.clientSecret',
    /write the secret, or 'none'/
  ],
  'an empty clientSecret': [
    withProvider({ clientSecret: '' }),
    'providers.acme.clientSecret',
    /is empty.*write the secret, or leave it out/
  ],
  'a clientSecret that came out of an environment variable that is not set': [
    withProvider({ clientSecret: undefined }),
    'providers.acme.clientSecret',
    /undefined|missing/
  ],
  'an unknown clientAuthentication': [
    withProvider({ clientAuthentication: 'basic' }),
    'providers.acme.clientAuthentication',
    /client_secret_basic/
  ],
  'an issuer over plain http': [
    withProvider({ issuer: 'http://id.acme.example' }),
    'providers.acme.issuer',
    /write https, or set allowInsecureRequests/
  ],
  'an issuer that is no URL': [
    withProvider({ issuer: 'id.acme.example' }),
    'providers.acme.issuer',
    /absolute http\(s\) URL/
  ],
  'the address of the metadata as the issuer': [
    withProvider({ issuer: 'https://id.acme.example/.well-known/openid-configuration' }),
    'providers.acme.issuer',
    /is the address of the metadata; write the `issuer` in it/
  ],
  'the address of the metadata of RFC 8414 as the issuer': [
    withProvider({ issuer: 'https://id.acme.example/.well-known/oauth-authorization-server/tenant' }),
    'providers.acme.issuer',
    /is the address of the metadata/
  ],
  'scopes between commas, of which a provider would see one': [
    withProvider({ scope: 'openid,profile' }),
    'providers.acme.scope',
    /separates scopes by commas; write a list/
  ],
  'neither issuer nor authorization endpoint': [
    {
      ...good,
      providers: { acme: { clientId: 'c', clientSecret: 's', tokenEndpoint: 'https://id.acme.example/token' } }
    },
    'providers.acme.authorizationEndpoint',
    /write it, or `issuer`/
  ],
  'neither issuer nor token endpoint': [
    {
      ...good,
      providers: { acme: { clientId: 'c', clientSecret: 's', authorizationEndpoint: 'https://id.acme.example/auth' } }
    },
    'providers.acme.tokenEndpoint',
    /write it, or `issuer`/
  ],
  'an endpoint over plain http': [
    withProvider({ tokenEndpoint: 'http://id.acme.example/token' }),
    'providers.acme.tokenEndpoint',
    /plain http/
  ],
  'openid without an issuer to check it against': [
    {
      ...good,
      providers: {
        acme: {
          clientId: 'c',
          clientSecret: 's',
          scope: 'openid',
          authorizationEndpoint: 'https://id.acme.example/auth',
          tokenEndpoint: 'https://id.acme.example/token'
        }
      }
    },
    'providers.acme.issuer',
    /openid/
  ],
  'a scope that is a number': [withProvider({ scope: 1 }), 'providers.acme.scope', /list of strings/],
  'a resource server that is a path': [
    withProvider({ resourceServers: ['/v1/'] }),
    'providers.acme.resourceServers[0]',
    /absolute/
  ],
  'a resource server over plain http': [
    withProvider({ resourceServers: ['https://api.acme.example/', 'http://api.acme.example/'] }),
    'providers.acme.resourceServers[1]',
    /plain http/
  ],
  'a resource server with a query': [
    withProvider({ resourceServers: ['https://api.acme.example/?key=1'] }),
    'providers.acme.resourceServers[0]',
    /origin and path alone/
  ],
  'a resource server with credentials': [
    withProvider({ resourceServers: ['https://user:pass@api.acme.example/'] }),
    'providers.acme.resourceServers[0]',
    /credentials/
  ],
  'a resource server outside of a list': [
    withProvider({ resourceServers: 'https://api.acme.example/' }),
    'providers.acme.resourceServers',
    /list/
  ],
  'a refreshProfile that is text': [withProvider({ refreshProfile: 'yes' }), 'providers.acme.refreshProfile', /boolean/],
  'an idleTimeout of 0': [{ ...good, idleTimeout: 0 }, 'idleTimeout', /at least 1/],
  'a negative absoluteTimeout': [{ ...good, absoluteTimeout: -1 }, 'absoluteTimeout', /at least 1/],
  'an idleTimeout that is no number': [{ ...good, idleTimeout: NaN }, 'idleTimeout', /at least 1/],
  'an absoluteTimeout without an end': [{ ...good, absoluteTimeout: Infinity }, 'absoluteTimeout', /at least 1/],
  'an idleTimeout that is text': [{ ...good, idleTimeout: '30m' }, 'idleTimeout', /at least 1/],
  'an idleTimeout of a provider that is 0': [withProvider({ idleTimeout: 0 }), 'providers.acme.idleTimeout', /at least 1/],
  'an absoluteTimeout of a provider that is text': [
    withProvider({ absoluteTimeout: '60' }),
    'providers.acme.absoluteTimeout',
    /at least 1/
  ],
  'a negative expiryLeeway': [withProvider({ expiryLeeway: -1 }), 'providers.acme.expiryLeeway', /at least 0/],
  'a requestTimeout that is no number': [
    withProvider({ requestTimeout: '10s' }),
    'providers.acme.requestTimeout',
    /number/
  ],
  'a requestTimeout that no timer can hold, which would be over at once': [
    withProvider({ requestTimeout: 2 ** 31 }),
    'providers.acme.requestTimeout',
    /at most/
  ],
  'an endless requestTimeout': [withProvider({ requestTimeout: Infinity }), 'providers.acme.requestTimeout', /number/],
  'an unknown pkce': [withProvider({ pkce: 's256' }), 'providers.acme.pkce', /write 'S256', 'plain' or false/],
  'pushed requests that are no boolean': [
    withProvider({ pushedAuthorizationRequests: 'yes' }), 'providers.acme.pushedAuthorizationRequests', /boolean/
  ],
  'a pkce that is true': [withProvider({ pkce: true }), 'providers.acme.pkce', /write 'S256', 'plain' or false/],
  'an unknown responseMode': [withProvider({ responseMode: 'fragment' }), 'providers.acme.responseMode', /form_post/],
  'encryptedIdToken without a key that decrypts': [
    withProvider({ encryptedIdToken: true }),
    'providers.acme.encryptedIdToken',
    /use 'enc'/
  ],
  'an encryptedIdToken that is a string': [
    withProvider({ encryptedIdToken: 'yes' }),
    'providers.acme.encryptedIdToken',
    /boolean/
  ],
  'an unknown responseType': [
    withProvider({ responseType: 'id_token' }),
    'providers.acme.responseType',
    /write one of code, code id_token/
  ],
  'a hybrid response in the query': [
    withProvider({ responseType: 'code id_token', scope: 'openid', responseMode: 'query' }),
    'providers.acme.responseMode',
    /must be 'form_post' or 'form_post.jwt'/
  ],
  'a hybrid response as a JWT in the query': [
    withProvider({ responseType: 'code id_token', scope: 'openid', responseMode: 'jwt' }),
    'providers.acme.responseMode',
    /must be 'form_post' or 'form_post.jwt'/
  ],
  'a hybrid response without openid': [
    withProvider({ responseType: 'code id_token', scope: 'profile' }),
    'providers.acme.responseType',
    /"openid" in scope/
  ],
  'a hybrid response of an implicit grant': [
    withProvider({ responseType: 'code id_token', scope: 'openid', grantType: 'implicit' }),
    'providers.acme.responseType',
    /grantType 'implicit'/
  ],
  'a signed response of an implicit grant': [
    withProvider({ responseMode: 'form_post.jwt', grantType: 'implicit' }),
    'providers.acme.responseMode',
    /no JWT/
  ],
  'a signed response by nobody knows whom': [
    withProvider({
      responseMode: 'jwt',
      issuer: undefined,
      authorizationEndpoint: 'https://id.acme.example/authorize',
      tokenEndpoint: 'https://id.acme.example/token'
    }),
    'providers.acme.responseMode',
    /write `issuer`/
  ],
  'an unknown profile': [
    withProvider({ profileSource: 'both' }),
    'providers.acme.profileSource',
    /id_token, userinfo, auto/
  ],
  'a userProfile that is no function': [withProvider({ userProfile: 'sub' }), 'providers.acme.userProfile', /function/],
  'an allowInsecureRequests that is a string': [
    withProvider({ allowInsecureRequests: 'yes' }),
    'providers.acme.allowInsecureRequests',
    /boolean/
  ],
  'a redirectUri that is a path': [
    withProvider({ redirectUri: '/callback' }),
    'providers.acme.redirectUri',
    /absolute/
  ],
  'a defaultProvider that is not there': [
    { ...good, defaultProvider: 'github' },
    'defaultProvider',
    /write one of acme/
  ],
  'a prefix without slash': [{ ...good, prefix: 'auth' }, 'prefix', /starts with "\/"/],
  'a route without slash': [{ ...good, routes: { login: 'signin' } }, 'routes.login', /starts with "\/"/],
  'an unknown route': [{ ...good, routes: { signin: '/signin' } }, 'routes.signin', /no option/],
  'a route in other letters': [{ ...good, routes: { logged_out: '/bye' } }, 'routes.logged_out', /write loggedOut/],
  'routes that are true': [{ ...good, routes: true }, 'routes', /must be an object/],
  'one callback for several providers': [
    { ...good, providers: { acme, other: acme }, routes: { callback: '/callback' } },
    'routes.callback',
    /:provider/
  ],
  'a hook that is no function': [{ ...good, onLogin: 'save' }, 'onLogin', /function/],
  'a login that is to be carried over to the next': [
    { ...good, keepSessionFields: ['cart', 'oauth'] },
    'keepSessionFields',
    /take it out/
  ],
  'a login of a name of its own that is to be carried over to the next': [
    { ...good, decorator: 'staff', keepSessionFields: ['cart', 'staff'] },
    'keepSessionFields',
    /lists "staff".*take it out/
  ],
  'a decorator that is no name': [{ ...good, decorator: 'staff login' }, 'decorator', /such as 'staff'.*"staff login"/],
  'a decorator that is no string': [{ ...good, decorator: true }, 'decorator', /must be a name/],
  'a decorator that every request has': [{ ...good, decorator: 'body' }, 'decorator', /request\.body has already/],
  'a decorator that every app has': [{ ...good, decorator: 'register' }, 'decorator', /app\.register has already/],
  'a decorator that every object has': [{ ...good, decorator: 'constructor' }, 'decorator', /has already/],
  'a decorator that would make a promise of the request': [{ ...good, decorator: 'then' }, 'decorator', /has already/],
  'a decorator that every session has': [{ ...good, decorator: 'regenerate' }, 'decorator', /session\.regenerate/],
  'a decorator of another plugin': [{ ...good, decorator: 'cookies' }, 'decorator', /request\.cookies/],
  'keepSessionFields outside of a list': [{ ...good, keepSessionFields: 'cart' }, 'keepSessionFields', /list/],
  'a token store without its methods': [
    { ...good, tokenStore: { get () {}, set () {}, consume () {}, delete () {} } },
    'tokenStore.touch',
    /function/
  ],
  'a dispatcher without dispatch()': [{ ...good, dispatcher: {} }, 'dispatcher.dispatch', /function/],
  'a preset that was not called': [{ ...good, providers: { github } }, 'providers.github', /call it/],
  "a preset's secret that came out of an environment variable that is not set": [
    { ...good, providers: { github: github({ clientId: 'c', clientSecret: undefined }) } },
    'providers.github.clientSecret',
    /write the secret, or 'none'/
  ],
  'the same, where the endpoints are discovered': [
    { ...good, providers: { google: google({ clientId: 'c', clientSecret: undefined }) } },
    'providers.google.clientSecret',
    /undefined|missing/
  ],
  'parameters in one string': [
    withProvider({ authorizationParams: 'prompt=login' }),
    'providers.acme.authorizationParams',
    /must be an object/
  ],
  'a title that is a number': [withProvider({ title: 5 }), 'providers.acme.title', /string/],
  'an idTokenIssuer that is a number': [withProvider({ idTokenIssuer: 5 }), 'providers.acme.idTokenIssuer', /function/],
  "a key that is a file's name": [
    withProvider({ clientKeys: './key.pem' }),
    'providers.acme.clientKeys',
    /write a private key as PEM, JWK or KeyObject/
  ],
  'a page that does not exist': [{ ...good, pages: { eror: () => '' } }, 'pages.eror', /no option/],
  'an issuer that came out of an environment variable that is not set': [
    withProvider({ issuer: undefined }),
    'providers.acme.issuer',
    UNSET
  ],
  'the same, with the scope openid': [
    withProvider({ issuer: undefined, scope: 'openid' }),
    'providers.acme.issuer',
    UNSET
  ],
  'a clientId that came out of one': [
    withProvider({ clientId: undefined }),
    'providers.acme.clientId',
    UNSET
  ],
  "a preset's clientId that came out of one": [
    { ...good, providers: { google: google({ clientId: undefined as never, clientSecret: 's' }) } },
    'providers.google.clientId',
    UNSET
  ],
  'a resource server that came out of one': [
    withProvider({ resourceServers: ['https://api.acme.example/', undefined] }),
    'providers.acme.resourceServers[1]',
    UNSET
  ],
  'an endpoint that came out of one': [
    {
      ...good,
      providers: {
        acme: {
          clientId: 'c',
          clientSecret: 's',
          authorizationEndpoint: 'https://id.acme.example/auth',
          tokenEndpoint: undefined
        }
      }
    },
    'providers.acme.tokenEndpoint',
    UNSET
  ],
  'a scope that came out of one': [
    withProvider({ scope: ['openid', undefined] }),
    'providers.acme.scope[1]',
    UNSET
  ],
  'a private key that came out of one': [
    withProvider({ clientAuthentication: 'private_key_jwt', clientKeys: undefined }),
    'providers.acme.clientKeys',
    UNSET
  ],
  'a baseUrl that came out of one': [
    { ...good, baseUrl: undefined },
    'baseUrl',
    /is undefined: an environment variable that is not set\?.*https:\/\/app\.example\.com/
  ],
  'an encryption key that came out of one': [
    { ...good, encryptionKeys: [undefined] },
    'encryptionKeys[0]',
    UNSET
  ],
  'options of a route that are no object': [{ ...good, routeOptions: 'hide' }, 'routeOptions', /must be an object/],
  "an option of a route that is not Fastify's": [
    { ...good, routeOptions: { configuration: {} } },
    'routeOptions.configuration',
    /is no option/
  ],
  'a hook of a route that is no function': [
    { ...good, routeOptions: { onRequest: [() => {}, 'limit'] } },
    'routeOptions.onRequest',
    /must be a function/
  ],
  'a page that is no function': [{ ...good, pages: { error: '<h1>Error</h1>' } }, 'pages.error', /function/]
}

for (const [what, [options, path, remedy]] of Object.entries(single)) {
  t.test(`${what}: the app does not boot, and is told what to write`, async (t) => {
    const lines = await mistakes(t, options)
    t.equal(lines.length, 1, lines.join('\n'))
    t.equal(lines[0]?.split(' ')[0], path)
    t.match(lines[0], remedy)
  })
}

t.test('a second registration in one scope is told to take a name of its own', async (t) => {
  const [line, ...others] = await mistakes(t, good, { setup: app => app.register(oauth, good) })
  t.match(line, /^decorator is "oauth", which another registration of the plugin has.*decorator: 'staff', and a prefix/)
  t.strictSame(others, [])
})

t.test('and then to take a prefix of its own', async (t) => {
  const around = { setup: (app: FastifyInstance) => app.register(oauth, good) }
  await t.rejects(boot(t, { ...good, decorator: 'staff' }, around), {
    code: 'FST_OAUTH_INVALID_OPTIONS',
    message: /GET \/login is a route of the app already; give this registration.* a prefix/
  })
})

t.test('what the app itself decorates under the name is not replaced', async (t) => {
  for (const [setup, owner] of [
    [(app: FastifyInstance) => { app.decorate('oauth', null as never) }, 'app.oauth'],
    [(app: FastifyInstance) => { app.decorateRequest('oauth', null as never) }, 'request.oauth']
  ] as const) {
    const [line] = await mistakes(t, good, { setup })
    t.match(line, `decorator is "oauth", which ${owner} has already`)
  }
})

for (const [written, meant, options] of [
  ['provider', 'providers', { ...good, provider: acme }],
  ['default_providers', 'defaultProvider', { ...good, default_providers: 'acme' }],
  ['callback_url', 'redirectUri', withProvider({ callback_url: 'https://app.example.com/cb' })],
  ['scopes', 'scope', withProvider({ scopes: ['openid'] })],
  ['resourceServer', 'resourceServers', withProvider({ resourceServer: 'https://api.acme.example/' })],
  ['redirect_uri', 'redirectUri', withProvider({ redirect_uri: 'https://app.example.com/cb' })],
  ['clientID', 'clientId', withProvider({ clientID: 'c' })],
  ['clientSceret', 'clientSecret', withProvider({ clientSceret: 's' })],
  ['tokenURL', 'tokenEndpoint', withProvider({ tokenURL: 'https://id.acme.example/token' })],
  ['accessTokenRespons', 'accessTokenResponse', withProvider({ hooks: { accessTokenRespons: () => {} } })],
  ['loggedout', 'loggedOut', { ...good, routes: { loggedout: '/bye' } }],
  ['errors', 'error', { ...good, pages: { errors: () => '' } }],
] as const) {
  t.test(`an option that is written ${written}: the message asks for the one that was meant`, async (t) => {
    const [line] = (await mistakes(t, options)).filter(line => line.split(' ')[0]!.endsWith(written))
    t.match(line, new RegExp(`is no option; did you mean ${meant}\\?`))
  })
}

t.test('for a name that is unlike every option the error suggests no other', async (t) => {
  const [line] = await mistakes(t, { ...good, database: 'orders' })
  t.notMatch(line, /did you mean/)
})

t.test('a guard\'s option that is misspelt: the message asks for the one that was meant', async (t) => {
  const app = await boot(t, good)
  const message = /^requireLogin takes \{.*\}; providers is no option; did you mean provider\?/
  t.throws(() => app.oauth.requireLogin({ providers: 'acme' } as never), { message })
})

t.test('what a preset cannot do without and has no value asks for the environment variable', async t => {
  t.throws(() => keycloak({ baseUrl: undefined as never, realm: 'r', clientId: 'c' }), {
    message: /baseUrl.*is undefined: an environment variable that is not set\?/
  })
})

// As up to undici 6: `compose` makes another emitter, and nothing is known of the handlers of today.
class OldDispatcher extends EventEmitter {
  dispatch () { throw new Error('invalid onError method') }
  compose () { return new OldDispatcher() }
}

t.test('a dispatcher of undici 6, which would fail each call, is found at boot', async (t) => {
  const [line] = await mistakes(t, { ...good, dispatcher: new OldDispatcher() })
  t.match(line, /^dispatcher is of undici 6 or older.*undici 7 or 8/)
  t.throws(() => createProvider(acme, { dispatcher: new OldDispatcher() as never }), {
    message: /dispatcher is of undici 6/
  })
})

t.test("dispatchers of undici 7 are taken: agent, composed agent, mock, and a function of the app's own", async t => {
  const agent = new Agent()
  t.after(() => agent.destroy())
  for (const dispatcher of [agent, agent.compose(interceptors.retry()), new MockAgent(), { dispatch: () => true }]) {
    t.strictSame(await mistakes(t, { ...good, dispatcher }), [])
  }
})

t.test('a provider without Fastify is called in errors as its issuer\'s host, or as `name` says', async (t) => {
  t.throws(() => createProvider({ ...acme, pkce: 'yes' as never }), { message: /id\.acme\.example'\)\.pkce/ })
  const close = (provider: StandaloneProvider) => { t.after(() => provider.close()); return provider }
  t.equal(close(createProvider(acme)).name, 'id.acme.example')
  t.equal(close(createProvider({ ...acme, name: 'acme' })).name, 'acme')
  t.equal(close(createProvider(acme, { name: 'acme' })).name, 'acme')
})

t.test('all mistakes are reported at once', async (t) => {
  const lines = await mistakes(t, {
    baseUrl: 'app.example.com',
    providers: { acme: { ...acme, client_id: 'x', expiryLeeway: 'soon' }, other: { clientId: 'c' } },
    defaultProvider: 'github',
    on_login: () => {}
  })
  t.strictSame(lines.map((line) => line.split(' ')[0]).sort(), [
    'baseUrl', 'defaultProvider', 'on_login', 'providers.acme.client_id', 'providers.acme.expiryLeeway',
    'providers.other.authorizationEndpoint', 'providers.other.tokenEndpoint'
  ])
})

t.test('no message holds a secret', async t => {
  const lines = await mistakes(t, {
    ...withProvider({ clientSecret: 'very-secret', scope: 5 }),
    baseUrl: 'https://app.example.com/?key=very-secret'
  })
  t.equal(lines.length, 2)
  t.notMatch(lines.join(), 'very-secret')
})

// Values that messages cannot repeat, or that have no members: once a TypeError of the check itself.
const ODD: Record<string, unknown> = {
  null: null,
  'a bigint': 10n,
  'a symbol': Symbol('odd'),
  'an object without a prototype': Object.create(null),
  'a list with null': [null],
  'the name of a member of every object': 'constructor',
  'a long text': 'x'.repeat(100_000)
}
const OF_PLUGIN = [
  'baseUrl', 'providers', 'defaultProvider', 'prefix', 'decorator', 'refresh', 'idleTimeout', 'absoluteTimeout',
  'tokenStore', 'tokenCacheMaxAge', 'encryptionKeys', 'onLogin', 'pages', 'dispatcher'
]
const OF_PROVIDER = [
  'issuer', 'clientId', 'clientSecret', 'grantType', 'clientAuthentication', 'pkce', 'tokenEndpoint', 'responseMode',
  'responseType', 'tokenPlacement', 'tokenEndpointMethod', 'expiryLeeway', 'profileSource', 'securityProfile', 'hooks',
  'resourceServers', 'clientKeys', 'clientAssertion', 'authorizationDetails', 'userProfile', 'dpop'
]

const FITTING: Record<string, (value: unknown) => boolean> = {
  prefix: value => value === null,
  decorator: value => typeof value === 'string' && value !== 'constructor',
  clientId: value => typeof value === 'string',
  clientSecret: value => typeof value === 'string',
  pages: isPlainObject,
  hooks: isPlainObject,
  clientAssertion: isPlainObject
}

function isPlainObject (value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

for (const [what, value] of Object.entries(ODD)) {
  t.test(`${what} as an option is refused by the option's name, in a short message`, async (t) => {
    const cases = [
      ...OF_PLUGIN.map(name => [name, { ...good, [name]: value }] as const),
      ...OF_PROVIDER.map(name => [`providers.acme.${name}`, withProvider({ [name]: value })] as const),
      ['routes.login', { ...good, routes: { login: value } }] as const,
      ['routeOptions.onRequest', { ...good, routeOptions: { onRequest: value } }] as const
    ]
    for (const [path, options] of cases) {
      const fits = FITTING[path.replace('providers.acme.', '')]?.(value) === true
      const lines = await mistakes(t, options)
      t.equal(lines.some(line => line.startsWith(path)), !fits, path)
      t.ok(lines.every(line => line.length < 1000), `${path}: short`)
    }
  })
}

t.test('a routeOptions function that throws is refused by its name', async t => {
  const cause = new Error('no such route')
  const options = { ...good, routeOptions: () => { throw cause } }
  await t.rejects(boot(t, options), { code: 'FST_OAUTH_INVALID_OPTIONS', message: /^routeOptions\('login'\) threw/, cause })
})

t.test('options that are missing', async (t) => {
  const lines = await mistakes(t, undefined)
  t.match(lines.join('\n'), /baseUrl is missing/)
  t.match(lines.join('\n'), /providers /)
})

// The app around the plugin

t.test('without @fastify/session the app does not boot', async (t) => {
  const lines = await mistakes(t, good, { session: false })
  t.equal(lines.length, 1)
  t.match(lines[0], /@fastify\/session is not registered; register @fastify\/cookie and @fastify\/session before/)
})

t.test('neither does it with @fastify/session after the plugin', async (t) => {
  const app = Fastify()
  t.after(() => app.close())
  app.register(cookie)
  app.register(oauth, good)
  app.register(session, { secret: SESSION_SECRET })
  await t.rejects(async () => app.ready(), {
    code: 'FST_OAUTH_INVALID_OPTIONS',
    message: /register @fastify\/cookie and @fastify\/session before/
  })
})

t.test('a route at the start page is refused by its name, with a path that would do', async (t) => {
  const lines = await mistakes(t, { ...good, routes: { loggedOut: '/', login: '', session: '//' } })
  t.strictSame(lines, [
    'routes.login must be a path of its own, such as "/login": "/" is the app\'s start page',
    'routes.loggedOut must be a path of its own, such as "/logout/callback": "/" is the app\'s start page',
    'routes.session must be a path of its own, such as "/session": "/" is the app\'s start page'
  ])
  t.equal((await mistakes(t, { ...good, routes: { logout: [] as never } })).length, 1, 'what is no path is said once')
})

t.test('a session cookie whose path does not cover the callback is found at boot', async (t) => {
  const lines = await mistakes(t, good, { session: { cookie: { path: '/app' } } })
  t.strictSame(
    lines.map(line => line.split(' ')[0]),
    ['routes.login', 'routes.callback', 'routes.logout', 'routes.loggedOut']
  )
  t.match(lines[1], /\/login\/:provider\/callback.*cookie's path \/app.*widen the session's cookie\.path/)
})

t.test('a session cookie whose path covers the login and not the callback is found at boot', async t => {
  const lines = await mistakes(
    t,
    { ...good, routes: { callback: '/callback/:provider', logout: '/login/out', loggedOut: '/login/bye' } },
    { session: { cookie: { path: '/login' } } }
  )
  t.equal(lines.length, 1)
  t.match(lines[0], /^routes\.callback is \/callback\/:provider/)
})

t.test('a path that is only the beginning of a word covers nothing', async (t) => {
  const lines = await mistakes(t, { ...good, prefix: '/application' }, { session: { cookie: { path: '/app' } } })
  t.equal(lines.length, 4)
})

t.test('a session cookie for /app is fine with the routes below /app', async (t) => {
  t.strictSame(await mistakes(t, { ...good, prefix: '/app' }, { session: { cookie: { path: '/app' } } }), [])
})

t.test('a secure session cookie over http is found at boot', async (t) => {
  const lines = await mistakes(t, { ...good, baseUrl: 'http://localhost:3000' })
  t.equal(lines.length, 1)
  t.match(lines[0], /^baseUrl is http, and the session cookie is `secure`.*set the session's cookie\.secure to 'auto'/)
})

for (const cookie of [{ sameSite: 'strict' }, { sameSite: true }, { secure: 'auto', sameSite: 'strict' }] as const) {
  t.test(`a session cookie with ${JSON.stringify(cookie)} is accepted`, async t => {
    t.strictSame(await mistakes(t, good, { session: { cookie } }), [])
  })
}

t.test('a clientSecret that is undefined is accepted where client authentication needs none', async (t) => {
  t.strictSame(await mistakes(t, withProvider({ clientSecret: undefined, clientAuthentication: 'none' })), [])
})

t.test("cookie.secure 'auto' over http is accepted", async t => {
  t.strictSame(
    await mistakes(t, { ...good, baseUrl: 'http://localhost:3000' }, { session: { cookie: { secure: 'auto' } } }),
    []
  )
})

t.test('a posted response to an app over http, whose cookie no browser would keep, is refused', async t => {
  const session: Around = { session: { cookie: { secure: 'auto' } } }
  const options = withProvider({ responseMode: 'form_post' })
  const lines = await mistakes(t, { ...options, baseUrl: 'http://app.example.com' }, session)
  matchEach(t, lines, [/^providers\.acme\.responseMode makes the browser post the response, and baseUrl is http/])
  t.strictSame(await mistakes(t, { ...options, baseUrl: 'http://localhost:3000' }, session), [])
  t.strictSame(await mistakes(t, { ...options, baseUrl: 'https://app.example.com' }, session), [])
})

t.test('an issuer on this very machine may be plain http', async t => {
  for (const issuer of ['http://localhost:4000', 'http://127.0.0.1:4000', 'http://[::1]:4000']) {
    t.strictSame(await mistakes(t, withProvider({ issuer })), [])
  }
})

t.test('a host that only looks like this machine may not', async t => {
  for (const issuer of ['http://localhost.evil.example', 'http://127.0.0.1.evil.example', 'http://127evil.example']) {
    t.equal((await mistakes(t, withProvider({ issuer }))).length, 1, issuer)
  }
})

t.test('allowInsecureRequests allows plain http for its provider alone', async (t) => {
  const lines = await mistakes(t, {
    ...good,
    providers: {
      acme: { ...acme, issuer: 'http://id.acme.example', allowInsecureRequests: true },
      other: { ...acme, issuer: 'http://id.other.example' }
    }
  })
  t.strictSame(lines.map((line) => line.split(' ')[0]), ['providers.other.issuer'])
})

t.test('a session whose ids need a real request does not keep the app from booting', async (t) => {
  const idGenerator = (request?: { headers: Record<string, string> }) => request!.headers['x-request-id']!.toUpperCase()
  t.strictSame(await mistakes(t, good, { session: { idGenerator: idGenerator as never } }), [])
})

t.test('reading the session\'s settings writes nothing into its store', async (t) => {
  const store = new JsonStore()
  await boot(t, good, { session: { store } })
  t.strictSame(store.calls, { get: 0, set: 0, destroy: 0 })
})

t.test('the options that were given are not changed', async (t) => {
  const options = structuredClone(good)
  await boot(t, Object.freeze(options))
  t.strictSame(options, good)
})

t.test('a baseUrl function that returns no URL is reported at the first login', async (t) => {
  const app = await boot(t, { ...good, baseUrl: () => 'app.example.com' }, { session: { cookie: { secure: false } } })
  const { statusCode, body } = await app.inject('/login/acme')
  t.equal(statusCode, 500)
  t.match(JSON.parse(body), {
    code: 'FST_OAUTH_INVALID_OPTIONS',
    message: /baseUrl function returned.*https:\/\/app\.example\.com/
  })
})

t.test('what is made before the plugin is registered says as clearly what it needs', async (t) => {
  const code = 'FST_OAUTH_INVALID_OPTIONS'
  t.throws(() => github(undefined as never), { code, message: /GitHub.*write \{ clientId, clientSecret \}/ })
  t.throws(() => apple({ clientId: 'c', teamId: 't', keyId: 'k', privateKey: './AuthKey.p8' }), {
    code,
    message: /privateKey.*BEGIN PRIVATE KEY/
  })
  t.throws(() => redisStore(undefined as never), { code, message: /redis/ })
})

t.test('a guard with options that it does not check is a mistake, and lets no request pass', async (t) => {
  const app = await boot(t, good)
  t.throws(() => app.oauth.requireLogin({ role: 'admin' } as never), {
    code: 'FST_OAUTH_INVALID_OPTIONS',
    message: /role is no option; take it out/
  })
  t.throws(() => app.oauth.requireLogin('acme' as never), {
    code: 'FST_OAUTH_INVALID_OPTIONS',
    message: /^requireLogin takes \{.*\}, not "acme"$/
  })
  t.throws(() => app.oauth.requireLogin({ provider: 'other' }), { code: 'FST_OAUTH_UNKNOWN_PROVIDER' })
})

t.test('requireLogin used without calling it lets no request pass', async t => {
  const app = await boot(t, good, {
    after: app => { app.get('/', { onRequest: app.oauth.requireLogin as never }, async () => 'in') }
  })
  t.equal((await app.inject('/')).statusCode, 500)
})
