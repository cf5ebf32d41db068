import { gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { Agent, interceptors } from 'undici'
import { Browser } from '../helpers/browser.ts'
import { Gate } from '../helpers/gate.ts'
import { freePort, listen } from '../helpers/listen.ts'
import { asJson, assertLoggedOut, callbackUrl, codeOf, loginApp, type LoginAppOptions } from '../helpers/login-app.ts'
import { matchEach } from '../helpers/match-each.ts'
import { startMisbehavingProvider } from '../helpers/misbehaving-provider.ts'
import type { Misbehaviour, MisbehavingProvider, Reply } from '../helpers/misbehaving-provider.ts'
import { createProvider } from '../../lib/index.ts'
import { tokenRecords } from '../helpers/records.ts'

// A provider's metadata, and its token endpoint, at a login. "oidcc-client-test…" names the module of the OpenID
// Foundation's relying-party test plan that a test reproduces.

// oidcc-client-test-discovery-openid-config, oidcc-client-test-discovery-jwks-uri-keys
t.test('endpoints and keys are those that the provider\'s metadata names', async (t) => {
  const { provider, browser, url } = await loginApp(t)
  provider.wrong = { metadata: { authorization_endpoint: `${provider.url('authorization')}?tenant=a%20b&x=1` } }
  const start = await browser.get(`${url}/login/acme`, { redirect: 'manual' })
  t.match(
    start.location,
    `${provider.url('authorization')}?tenant=a%20b&x=1&response_type=code&`,
    'a query that is there stays as it is'
  )
  t.strictSame((await browser.follow(start)).json(), { user: 'alice' })
  t.equal(provider.asked('keys').length, 1)
})

t.test('an app boots without asking its provider anything', async (t) => {
  const { provider } = await loginApp(t)
  t.equal(provider.requests.length, 0)
})

t.test('an app boots while its provider is down, and logs in once it is up', async t => {
  const { provider, browser, url } = await loginApp(t, {
    wrong: { instead: { discovery: { status: 503, body: 'starting' } } }
  })
  const page = await browser.get(`${url}/login/acme`, asJson)
  t.equal(page.status, 503)
  t.equal(codeOf(page), 'FST_OAUTH_PROVIDER_UNAVAILABLE')
  t.strictSame((await browser.get(url)).json(), { user: null }, 'the rest of the app works meanwhile')
  provider.wrong = {}
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
})

for (const [what, issuer] of Object.entries({
  'name does not resolve': 'https://provider.invalid',
  'port is closed': `http://127.0.0.1:${await freePort()}`
})) {
  t.test(`a provider whose ${what} is a 503 without its address`, async (t) => {
    const { browser, url } = await loginApp(t, { provider: { issuer } })
    const page = await browser.get(`${url}/login/acme`, asJson)
    t.equal(page.status, 503)
    t.equal(codeOf(page), 'FST_OAUTH_PROVIDER_UNAVAILABLE')
    t.notOk(page.text.includes(new URL(issuer).host))
  })
}

t.test('logins that begin together share one discovery', async (t) => {
  const gate = new Gate()
  const { app, provider, url } = await loginApp(t, { wrong: { instead: { discovery: () => gate.pass() } } })
  const arrivals = new Gate()
  app.server.on('request', () => { arrivals.pass() })
  const pages = Array.from({ length: 10 }, () => new Browser().get(`${url}/login/acme`, { redirect: 'manual' }))
  await Promise.all([gate.arrived, arrivals.arrivedTimes(10)])
  gate.release()
  t.strictSame((await Promise.all(pages)).map(({ status }) => status), Array(10).fill(302))
  t.equal(provider.asked('discovery').length, 1)
})

t.test('a discovery that failed is not kept: the next login asks again', async (t) => {
  const gate = new Gate()
  const { provider, url } = await loginApp(t, {
    wrong: {
      instead: {
        discovery: async () => {
          await gate.pass()
          return { status: 500 }
        }
      }
    }
  })
  const failing = Array.from({ length: 3 }, () => new Browser().get(`${url}/login/acme`, asJson))
  await gate.arrived
  gate.release()
  for (const page of await Promise.all(failing)) t.equal(codeOf(page), 'FST_OAUTH_PROVIDER_UNAVAILABLE')
  provider.wrong = {}
  t.match(await new Browser().get(`${url}/login/acme`, { redirect: 'manual' }), { status: 302 })
})

t.test('the metadata of a provider without OpenID Connect is found where RFC 8414 puts it', async (t) => {
  const { provider, browser, url } = await loginApp(t, { provider: { scope: 'profile' } })
  const metadata = {
    issuer: provider.issuer,
    authorization_endpoint: provider.url('authorization'),
    token_endpoint: provider.url('token'),
    userinfo_endpoint: provider.url('userinfo'),
  }
  provider.wrong = { instead: { discovery: { status: 404 }, oauthDiscovery: { body: metadata } } }
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
})

const unusable: Record<string, Reply> = {
  'is forbidden': { status: 403, body: { message: 'Forbidden' } },
  'may not be asked for': { status: 405 },
  'is a bad request': { status: 400, body: 'no such path' },
  'asks for a login': { status: 401, headers: { 'www-authenticate': 'Basic' } },
  'is gone': { status: 410 },
  'redirects to a page': { status: 302, headers: { location: '/login' } },
  'is a page': { headers: { 'content-type': 'text/html' }, body: '<!doctype html><title>App</title>' },
  'is empty': { body: '' },
  'is a list': { body: [] },
  'has no issuer': { body: { error: 'not found' } },
  'makes the server fail': { status: 500 },
  'is larger than any document': { body: 'x'.repeat(1024 * 1024 + 1) },
  'is in an encoding that was not asked for': { headers: { 'content-encoding': 'x-own' }, body: '{}' },
  'is not implemented': { status: 501 }
}

for (const [what, discovery] of Object.entries(unusable)) {
  t.test(`where openid-configuration ${what}, the document of RFC 8414 is used`, async (t) => {
    const { provider, browser, url } = await loginApp(t, { provider: { scope: [] } })
    const metadata = {
      issuer: provider.issuer,
      authorization_endpoint: provider.url('authorization'),
      token_endpoint: provider.url('token')
    }
    provider.wrong = { instead: { discovery, oauthDiscovery: { body: metadata } } }
    t.equal((await browser.login(`${url}/login/acme`)).status, 200)
    t.equal(provider.asked('token').length, 1)
  })
}

t.test('metadata of OpenID Connect that is known is not replaced by that of RFC 8414', async (t) => {
  const server = await startMisbehavingProvider(t)
  let monotonic = 0
  const { issuer, clientId } = server
  const acme = createProvider({ issuer, clientId, scope: ['openid'] }, { clock: { monotonic: () => monotonic } })
  t.after(() => acme.close())
  await acme.authorizationUrl()
  const other = `${issuer}/other`
  const oauthDiscovery = { body: { issuer, authorization_endpoint: other, token_endpoint: other } }
  server.wrong = { instead: { discovery: { status: 503 }, oauthDiscovery } }
  // The second one is asked for when the first one is done.
  while (server.asked('oauthDiscovery').length < 2) {
    monotonic += 2 * 3_600_000
    await acme.authorizationUrl()
    await new Promise(setImmediate)
  }
  t.match((await acme.authorizationUrl()).url, server.url('authorization'))
})

t.test('the document of RFC 8414 of an issuer with a path is before that path', async (t) => {
  const { provider, browser, url } = await loginApp(t, {
    providers: ({ issuer, providerOptions }) => ({ acme: { ...providerOptions, issuer: `${issuer}/tenant/a/` } })
  })
  await browser.get(`${url}/login/acme`)
  t.strictSame(provider.requests.map(({ path }) => path), [
    '/tenant/a/.well-known/openid-configuration', '/.well-known/oauth-authorization-server/tenant/a'
  ])
})

t.test('an error of discovery names both documents and what came of them', async (t) => {
  const { provider, browser, url, errors } = await loginApp(t, {
    wrong: { instead: { discovery: { status: 403 }, oauthDiscovery: { body: '<html>' } } }
  })
  const page = await browser.get(`${url}/login/acme`, asJson)
  t.match(page.json(), { statusCode: 503, code: 'FST_OAUTH_PROVIDER_UNAVAILABLE' })
  t.match(errors[0]?.message, `${provider.url('discovery')} answered 403`)
  t.match(errors[0]?.message, `${provider.url('oauthDiscovery')} answered 200 without an issuer`)
})

t.test('an issuer under another name of the same machine is told with both names', async (t) => {
  const { provider, browser, url, errors } = await loginApp(t, {
    providers: ({ providerOptions }) => ({
      acme: { ...providerOptions, issuer: providerOptions.issuer.replace('127.0.0.1', 'localhost') }
    })
  })
  t.equal(codeOf(await browser.get(`${url}/login/acme`, asJson)), 'FST_OAUTH_INVALID_OPTIONS')
  matchEach(t, errors, [{ reason: 'issuer_mismatch' }])
  t.match(errors[0]?.message, `is of issuer "${provider.issuer}"`)
  t.match(errors[0]?.message, `options say "${provider.issuer.replace('127.0.0.1', 'localhost')}"`)
  t.match(errors[0]?.message, `write issuer: '${provider.issuer}'`)
})

for (const lists of [{}, 'client_secret_post', 1, null, [1, null, {}]]) {
  t.test(`a login works where the metadata has ${JSON.stringify(lists)} for its lists`, async (t) => {
    const metadata = {
      token_endpoint_auth_methods_supported: lists,
      id_token_signing_alg_values_supported: lists,
      userinfo_signing_alg_values_supported: lists,
      scopes_supported: lists
    }
    const { browser, url } = await loginApp(t, { wrong: { metadata } })
    t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
  })
}

t.test('an issuer with a path is asked below that path', async t => {
  const { provider, browser, url } = await loginApp(t, {
    providers: ({ providerOptions }) => ({ acme: { ...providerOptions, issuer: `${providerOptions.issuer}/tenant` } })
  })
  await browser.get(`${url}/login/acme`)
  t.equal(provider.requests[0]?.path, '/tenant/.well-known/openid-configuration')
})

t.test('what the options say of an endpoint wins over what was discovered', async t => {
  const { browser, url } = await loginApp(t, {
    wrong: { metadata: { authorization_endpoint: 'https://old.example/authorize' } },
    providers: provider => ({
      acme: { ...provider.providerOptions, authorizationEndpoint: provider.url('authorization') },
      discovered: provider.providerOptions
    })
  })
  const start = await browser.get(`${url}/login/discovered`, { redirect: 'manual' })
  t.match(start.location, /^https:\/\/old\.example\/authorize\?/, 'without it')
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
})

const refused: Record<
  string,
  [wrong: Misbehaviour | ((provider: MisbehavingProvider) => Misbehaviour), status: number, code: string]
> = {
  // oidcc-client-test-discovery-issuer-mismatch
  'names another issuer': [{ metadata: { issuer: 'https://evil.example' } }, 500, 'FST_OAUTH_INVALID_OPTIONS'],
  'names no issuer': [{ metadata: { issuer: undefined } }, 503, 'FST_OAUTH_PROVIDER_UNAVAILABLE'],
  'is HTML': [
    { instead: { discovery: { headers: { 'content-type': 'text/html' }, body: '<h1>Hello</h1>' } } },
    503,
    'FST_OAUTH_PROVIDER_UNAVAILABLE'
  ],
  'is empty': [{ instead: { discovery: {} } }, 503, 'FST_OAUTH_PROVIDER_UNAVAILABLE'],
  'is a list': [{ instead: { discovery: { body: [] } } }, 503, 'FST_OAUTH_PROVIDER_UNAVAILABLE'],
  'does not exist': [
    { instead: { discovery: { status: 404 }, oauthDiscovery: { status: 404 } } },
    503,
    'FST_OAUTH_PROVIDER_UNAVAILABLE'
  ],
  'is elsewhere': [
    ({ issuer }) => ({ instead: { discovery: { status: 302, headers: { location: `${issuer}/elsewhere` } } } }),
    503,
    'FST_OAUTH_PROVIDER_UNAVAILABLE'
  ],
  'never comes': [{ instead: { discovery: () => 'handled' } }, 503, 'FST_OAUTH_PROVIDER_UNAVAILABLE'],
  'has no authorization endpoint': [
    { metadata: { authorization_endpoint: undefined } },
    500,
    'FST_OAUTH_INVALID_OPTIONS'
  ],
  'sends the browser over plain http': [
    { metadata: { authorization_endpoint: 'http://login.example/authorize' } },
    500,
    'FST_OAUTH_INSECURE_TRANSPORT'
  ],
  'sends the browser to a script': [
    { metadata: { authorization_endpoint: 'javascript:alert(1)' } },
    500,
    'FST_OAUTH_INSECURE_TRANSPORT'
  ]
}

for (const [what, [wrong, status, code]] of Object.entries(refused)) {
  t.test(`no login begins where the provider's metadata ${what}`, async t => {
    const { provider, browser, url, store } = await loginApp(t, {
      provider: { requestTimeout: what === 'never comes' ? 1_000 : 10_000 }
    })
    provider.wrong = typeof wrong === 'function' ? wrong(provider) : wrong
    const page = await browser.get(`${url}/login/acme`, { ...asJson, redirect: 'manual' })
    t.equal(page.status, status)
    t.equal(codeOf(page), code)
    t.equal(store.records.size, 0, 'and nothing is remembered of it')
    t.strictSame(browser.cookies, [])
  })
}

for (const [endpoint, path] of [
  ['/authorize\r\nset-cookie: a=b', '/authorizeset-cookie:%20a=b'],
  ['/authorize ', '/authorize'],
  ['/größe', '/gr%C3%B6%C3%9Fe'],
  ['/a\tb', '/ab']
] as const) {
  t.test(
    `a login goes where a browser would understand an authorization endpoint of ${JSON.stringify(endpoint)}`,
    async t => {
      const { provider, browser, url } = await loginApp(t)
      provider.wrong = { metadata: { authorization_endpoint: provider.issuer + endpoint } }
      const { status, headers } = await browser.get(`${url}/login/acme`, { redirect: 'manual' })
      t.equal(status, 302)
      t.equal(headers.location?.split('?')[0], provider.issuer + path)
      t.equal(headers['set-cookie']?.length, 1)
    }
  )
}

for (const endpoint of ['authorize', '', 1, null, {}, 'https://']) {
  t.test(
    `no login begins, and the error is one of ours, where the authorization endpoint is ${JSON.stringify(endpoint)}`,
    async t => {
      const { browser, url, store } = await loginApp(t, { wrong: { metadata: { authorization_endpoint: endpoint } } })
      const page = await browser.get(`${url}/login/acme`, { ...asJson, redirect: 'manual' })
      t.strictSame([page.status, codeOf(page)], [500, 'FST_OAUTH_INVALID_OPTIONS'])
      t.equal(store.records.size, 0)
    }
  )

  t.test(
    `no user is logged in, and the error is one of ours, where the token endpoint is ${JSON.stringify(endpoint)}`,
    async t => {
      const app = await loginApp(t, { wrong: { metadata: { token_endpoint: endpoint } } })
      const page = await app.browser.login(`${app.url}/login/acme`, asJson)
      t.strictSame([page.status, codeOf(page)], [500, 'FST_OAUTH_INVALID_OPTIONS'])
      await assertLoggedOut(t, app)
    }
  )
}

t.test('metadata that is endless is not read to its end', async t => {
  const { browser, url } = await loginApp(t, {
    wrong: { instead: { discovery: { body: { padding: 'x'.repeat(5 * 1024 * 1024) } } } }
  })
  const page = await browser.get(`${url}/login/acme`, asJson)
  t.strictSame([page.status, codeOf(page)], [503, 'FST_OAUTH_PROVIDER_UNAVAILABLE'])
})

t.test('a token endpoint that is plain http, elsewhere, gets no secret', async (t) => {
  const app = await loginApp(t, { wrong: { metadata: { token_endpoint: 'http://tokens.example/token' } } })
  const page = await app.browser.login(`${app.url}/login/acme`, asJson)
  t.equal(page.status, 500)
  t.equal(codeOf(page), 'FST_OAUTH_INSECURE_TRANSPORT')
  await assertLoggedOut(t, app)
})

// The token endpoint

/** Logs in where the token endpoint misbehaves, and asserts what becomes of it. */
async function assertFails (
  t: Test,
  token: Reply | Misbehaviour,
  expected: { status: number, code: string, reason?: string },
  options: LoginAppOptions = {}
) {
  const wrong =
    'status' in token || 'body' in token || 'headers' in token
      ? { instead: { token: token as Reply } }
      : (token as Misbehaviour)
  const app = await loginApp(t, { wrong, ...options })
  const page = await app.browser.login(`${app.url}/login/acme`, asJson)
  t.equal(page.status, expected.status)
  t.equal(codeOf(page), expected.code)
  if (expected.reason !== undefined) t.equal(app.errors.at(-1)?.reason, expected.reason)
  t.equal(app.provider.asked('token').length, 1, 'a code is sent once, whatever the answer')
  await assertLoggedOut(t, app)
  return { ...app, page }
}

const invalid = { status: 502, code: 'FST_OAUTH_INVALID_TOKEN_RESPONSE' }
const unavailable = { status: 503, code: 'FST_OAUTH_PROVIDER_UNAVAILABLE' }
const json = { 'content-type': 'application/json' }

const answers: Record<
  string,
  [token: Reply | Misbehaviour, expected: { status: number, code: string, reason?: string }]
> = {
  'HTML with status 200': [
    { headers: { 'content-type': 'text/html' }, body: '<!doctype html><h1>Log in to the Wi-Fi</h1>' },
    { ...invalid, reason: 'unreadable_response' }
  ],
  nothing: [{ status: 200, body: '' }, { ...invalid, reason: 'empty_response' }],
  'half a JSON': [{ headers: json, body: '{"access_token":' }, { ...invalid, reason: 'unreadable_response' }],
  'a list': [{ headers: json, body: '[]' }, invalid],
  null: [{ headers: json, body: 'null' }, invalid],
  'no token': [{ body: { token_type: 'Bearer' } }, { ...invalid, reason: 'missing_token' }],
  'a token that is null': [{ tokens: { access_token: null } }, { ...invalid, reason: 'missing_token' }],
  'a token that is an object': [{ tokens: { access_token: { a: 1 } } }, { ...invalid, reason: 'missing_token' }],
  'an empty token': [{ tokens: { access_token: '' } }, { ...invalid, reason: 'missing_token' }],
  'a token with a line break in it': [
    { tokens: { access_token: 'abc\r\nx-admin: 1' } },
    { ...invalid, reason: 'missing_token' }
  ],
  'a token with a line break at its end': [
    { tokens: { access_token: 'abc\n' } },
    { ...invalid, reason: 'missing_token' }
  ],
  'a token that no header can carry': [{ tokens: { access_token: 'tokén' } }, { ...invalid, reason: 'missing_token' }],
  'an expiry that is a word': [{ tokens: { expires_in: 'soon' } }, { ...invalid, reason: 'invalid_expires_in' }],
  'an error with status 200': [
    { body: { error: 'bad_verification_code', error_description: 'too late' } },
    { status: 400, code: 'FST_OAUTH_AUTHORIZATION_FAILED', reason: 'refused' }
  ],
  'an error beside a token': [
    { tokens: { error: 'invalid_grant' } },
    { status: 400, code: 'FST_OAUTH_AUTHORIZATION_FAILED', reason: 'refused' }
  ],
  'a refusal in words of its own': [
    { status: 400, body: { error: { type: 'OAuthException', code: 190, message: 'expired' } } },
    { status: 400, code: 'FST_OAUTH_AUTHORIZATION_FAILED' }
  ],
  'a 404 in HTML': [{ status: 404, body: '<h1>Not found</h1>' }, invalid],
  'a 500': [{ status: 500, body: '<h1>Oops</h1>' }, unavailable],
  'a 503 without Retry-After': [{ status: 503, body: '' }, unavailable],
  'a 429': [{ status: 429, body: '' }, unavailable],
  temporarily_unavailable: [{ status: 400, body: { error: 'temporarily_unavailable' } }, unavailable],
  'four megabytes': [
    { headers: json, body: JSON.stringify({ access_token: 'a'.repeat(4 * 1024 * 1024) }) },
    { ...invalid, reason: 'too_large' }
  ],
  'a gzip bomb': [
    { headers: { ...json, 'content-encoding': 'gzip' }, body: gzipSync(Buffer.alloc(32 * 1024 * 1024, ' ')) },
    { ...invalid, reason: 'too_large' }
  ],
  'an invalid gzip body': [
    { headers: { ...json, 'content-encoding': 'gzip' }, body: '{}' },
    { ...invalid, reason: 'encoding' }
  ],
  'an unknown encoding': [
    { headers: { ...json, 'content-encoding': 'x-secret' }, body: '{}' },
    { ...invalid, reason: 'encoding' }
  ]
}

for (const [what, [token, expected]] of Object.entries(answers)) {
  t.test(`a token endpoint that responds with ${what} does not log in`, t => assertFails(t, token, expected))
}

t.test('a provider that is overloaded tells when to come back, and so does the app', async (t) => {
  const { page } = await assertFails(t, { status: 503, headers: { 'retry-after': '17' }, body: 'busy' }, unavailable)
  t.equal(page.headers['retry-after'], '17')
})

t.test('a Retry-After that is no time is not passed on', async (t) => {
  const { page } = await assertFails(t, { status: 503, headers: { 'retry-after': 'soon' }, body: 'busy' }, unavailable)
  t.equal(page.headers['retry-after'], undefined)
})

t.test('a token endpoint that hangs is given up after requestTimeout', async (t) => {
  await assertFails(t, { instead: { token: () => 'handled' } }, unavailable, { provider: { requestTimeout: 1_000 } })
})

t.test('a token endpoint that drips for ever is given up after requestTimeout', async (t) => {
  const wrong: Misbehaviour = {
    instead: {
      token: (_request, response) => {
        response.writeHead(200, json)
        const timer = setInterval(() => response.write(' '), 20)
        response.once('close', () => clearInterval(timer))
        return 'handled'
      }
    }
  }
  await assertFails(t, wrong, unavailable, { provider: { requestTimeout: 1_000 } })
})

t.test('a connection that breaks in the middle of the response does not log the user in', async (t) => {
  const wrong: Misbehaviour = {
    instead: {
      token: (_request, response) => {
        response.writeHead(200, { ...json, 'content-length': 1000 })
        response.write('{"access_token":"abc"', () => response.destroy())
        return 'handled'
      }
    }
  }
  await assertFails(t, wrong, unavailable)
})

for (const status of [301, 302, 303, 307, 308]) {
  for (const [how, dispatcher] of [
    ['', undefined],
    [
      ', and with a dispatcher that follows redirects',
      new Agent().compose(interceptors.redirect({ maxRedirections: 5 }))
    ]
  ] as const) {
    t.test(`a token endpoint that redirects with ${status} does not get the secret handed on${how}`, async t => {
      const { server, port, close } = await listen()
      t.after(close)
      const handed: string[] = []
      server.on('request', (request, response) => {
        handed.push(request.url!)
        response.end('{}')
      })
      const { errors } = await assertFails(
        t,
        { status, headers: { location: `http://127.0.0.1:${port}/steal` } },
        invalid,
        dispatcher === undefined ? {} : { oauth: { dispatcher } }
      )
      t.strictSame(handed, [])
      t.equal(errors[0]?.responseStatus, status)
    })
  }
}

t.test('what an error shows of the response holds no token and no secret', async t => {
  const { errors, page, provider } = await assertFails(
    t,
    {
      instead: {
        token: ({ form }) => ({
          status: 400,
          headers: json,
          body: `{"error":"invalid_request","error_description":"code ${form.get('code')} verifier ` +
            `${form.get('code_verifier')}","access_token":"eyJhbGciOiJub25lIn0"}`
        })
      }
    },
    { status: 400, code: 'FST_OAUTH_AUTHORIZATION_FAILED' }
  )
  const { form } = provider.asked('token')[0]!
  for (const secret of [form.get('code')!, form.get('code_verifier')!, 'eyJhbGciOiJub25lIn0']) {
    t.notOk(`${JSON.stringify(errors)}${errors[0]!.message}${errors[0]!.stack}${page.text}`.includes(secret))
  }
})

t.test('a member called __proto__ in the token response changes no prototype', async (t) => {
  const { browser, url, store } = await loginApp(t, {
    wrong: {
      tokens: JSON.parse('{"__proto__":{"isAdmin":true},"constructor":{"prototype":{"isAdmin":true}}}') as Record<
        string,
        unknown
      >
    },
    setup: app => {
      app.get('/tokens', async request => {
        const tokens = await request.oauth.tokens()
        return {
          tokens: (tokens as { isAdmin?: true }).isAdmin ?? null,
          raw: tokens.raw.isAdmin ?? null,
          all: ({} as { isAdmin?: true }).isAdmin ?? null
        }
      })
    }
  })
  await browser.login(`${url}/login/acme`)
  t.strictSame((await browser.get(`${url}/tokens`)).json(), { tokens: null, raw: null, all: null })
  t.equal(tokenRecords(store).size, 1)
})

for (const [expiresIn, expected] of [
  ['3600', 3600],
  [3599.5, 3600],
  [0, undefined],
  [null, undefined],
  [undefined, undefined],
  [1e308, 2 ** 31 - 1]
] as const) {
  t.test(`expires_in of ${JSON.stringify(expiresIn) ?? 'nothing'} is survived`, async t => {
    const { browser, url } = await loginApp(t, {
      wrong: { tokens: { expires_in: expiresIn } },
      setup: app => {
        app.get('/tokens', async request => ({
          left: ((await request.oauth.tokens()).expiresAt ?? NaN) - Date.now() / 1000
        }))
      }
    })
    await browser.login(`${url}/login/acme`)
    const { left } = (await browser.get(`${url}/tokens`)).json<{ left: number | null }>()
    if (expected === undefined) t.equal(left, null)
    else t.ok(Math.abs(left! - expected) < 60, `${left}`)
  })
}

t.test('a form-encoded token response, as old providers send it, is read', async (t) => {
  const { browser, url } = await loginApp(t, {
    providers: ({ staticOptions }) => ({ acme: staticOptions }),
    wrong: {
      instead: {
        token: {
          headers: { 'content-type': 'application/x-www-form-urlencoded' },
          body: 'access_token=abc&token_type=bearer&expires_in=3600'
        }
      }
    }
  })
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
})

t.test('a token that is bound to a key is not sent as a Bearer to userinfo', async t => {
  const { provider, browser, url, errors } = await loginApp(t, {
    provider: { scope: 'openid profile' },
    wrong: { tokens: { token_type: 'DPoP' } }
  })
  await browser.login(`${url}/login/acme`)
  t.strictSame(provider.asked('userinfo').map(({ headers }) => headers.authorization?.split(' ')[0]), [])
  t.strictSame(errors.filter(({ code }) => code !== 'FST_OAUTH_UNSUPPORTED_TOKEN_TYPE'), [])
})

const refusedClient: Reply = { status: 401, body: { error: 'invalid_client' } }

for (const [what, wrong, tries] of [
  [
    'whose metadata names Basic alone',
    { metadata: { token_endpoint_auth_methods_supported: ['client_secret_basic'] } },
    ['Basic']
  ],
  [
    'whose metadata names the form alone',
    { metadata: { token_endpoint_auth_methods_supported: ['client_secret_post'] } },
    ['form']
  ],
  ['that does not say what it takes: each of the two is tried once', {}, ['Basic', 'form']]
] as const) {
  t.test(`a client that is refused by a provider ${what}`, async (t) => {
    const app = await loginApp(t, { wrong: { ...wrong, instead: { token: refusedClient } } })
    const page = await app.browser.login(`${app.url}/login/acme`, asJson)
    t.equal(page.status, 502, 'is the operator\'s to mend')
    t.match(page.json(), { code: 'FST_OAUTH_INVALID_TOKEN_RESPONSE', oauthError: 'invalid_client' })
    t.strictSame(
      app.provider
        .asked('token')
        .map(({ headers, form }) =>
          headers.authorization === undefined && form.has('client_secret') ? 'form' : 'Basic'
        ),
      tries
    )
    await assertLoggedOut(t, app)
  })
}

t.test('a client that is refused is tried once where the options say how it authenticates', async t => {
  await assertFails(
    t,
    refusedClient,
    { ...invalid, reason: 'refused' },
    { provider: { clientAuthentication: 'client_secret_basic' } }
  )
})

t.test('the authentication that the provider says is the one that is used', async t => {
  const { provider, browser, url } = await loginApp(t, {
    wrong: { metadata: { token_endpoint_auth_methods_supported: ['client_secret_post'] } }
  })
  const callback = await callbackUrl(browser, `${url}/login/acme`)
  await browser.get(callback)
  const { form, headers } = provider.asked('token')[0]!
  t.equal(form.get('client_secret'), provider.clientSecret)
  t.equal(headers.authorization, undefined)
})
