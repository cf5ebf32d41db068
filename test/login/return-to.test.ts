import cookie from '@fastify/cookie'
import session from '@fastify/session'
import formbody from '@fastify/formbody'
import Fastify, { type FastifyRequest } from 'fastify'
import t from 'tap'
import oauth from '../../lib/index.ts'
import { callbackParams } from '../../lib/routes/reply.ts'
import { PendingLogins } from '../../lib/login/transaction.ts'
import { SessionTokenStore } from '../../lib/tokens/stores/session-store.ts'
import type { TokenStore } from '../../lib/tokens/stores/token-store.ts'
import { Browser, type Page } from '../helpers/browser.ts'
import { SESSION_SECRET } from '../helpers/build-app.ts'
import {
  asJson,
  callbackUrl,
  codeOf,
  loginApp,
  pendingLogins,
  type LoginApp,
  type LoginAppOptions
} from '../helpers/login-app.ts'
import { startMisbehavingProvider } from '../helpers/misbehaving-provider.ts'
import { tokenRecords } from '../helpers/records.ts'

// Where a login comes back to

/** Logs in with a returnTo and returns the callback's Location, as it stands in the header. */
async function locationAfterLogin ({ url }: LoginApp, query: string): Promise<string | undefined> {
  const browser = new Browser()
  const callback = await callbackUrl(browser, `${url}/login/acme?${query}`)
  return (await browser.get(callback, { redirect: 'manual' })).headers.location
}

t.test('open redirect: a login leads to no other place than the app', async (t) => {
  const app = await loginApp(t)
  const { host } = new URL(app.url)
  const elsewhere = [
    '//evil.example',
    '///evil.example',
    '////evil.example/',
    '//evil.example\\@x',
    '/\\evil.example',
    '\\/evil.example',
    '\\\\evil.example',
    '/\\/evil.example',
    '/\t/evil.example',
    '\t//evil.example',
    '/\n/evil.example',
    '/\r/evil.example',
    ' //evil.example',
    '/ /evil.example',
    '\u0000//evil.example',
    '/.//evil.example',
    '/..//evil.example',
    '/x/..//evil.example',
    '/x/../..//evil.example',
    '/%2e//evil.example',
    '/%2e%2e//evil.example',
    '/x/%2E%2e//evil.example',
    '/./\\evil.example',
    'https://evil.example',
    'http://evil.example/',
    'HTTPS://evil.example',
    'https:evil.example',
    'https:/evil.example',
    'http:///evil.example',
    '//evil.example:80',
    `http://${host}.evil.example/`,
    `http://${host}@evil.example/`,
    `http://user@${host}/`,
    `http://evil.example\\@${host}/`,
    `http://${host}:1@evil.example/`,
    `https://${host}/`,
    'javascript:alert(1)',
    'JavaScript:alert(1)',
    'java\nscript:alert(1)',
    'data:text/html,<script>alert(1)</script>',
    `blob:http://${host}/x`,
    'mailto:a@b',
    'about:blank',
    'orders',
    './orders',
    '?a=b',
    '#top',
    '',
    '.',
    '/\r\nset-cookie: a=b',
    '/\r\n\r\n<script>',
    `/${'a'.repeat(5000)}`
  ]
  for (const returnTo of elsewhere) {
    t.equal(
      await locationAfterLogin(app, new URLSearchParams({ returnTo }).toString()),
      '/',
      JSON.stringify(returnTo.slice(0, 60))
    )
  }
})

t.test('a login comes back to the path that it was given', async (t) => {
  const app = await loginApp(t)
  for (const [returnTo, location] of [
    ['/orders', '/orders'],
    ['/orders?a=b&c=%2F%2Fevil.example#top', '/orders?a=b&c=%2F%2Fevil.example#top'],
    ['/?next=https://evil.example', '/?next=https://evil.example'],
    ['/a//b', '/a//b'],
    ['/@evil.example', '/@evil.example'],
    ['/%5cevil.example', '/%5cevil.example'],
    ['/%0d%0aset-cookie:a=b', '/%0d%0aset-cookie:a=b'],
    ['/x/../orders', '/orders'],
    ['/grüße/日本', '/gr%C3%BC%C3%9Fe/%E6%97%A5%E6%9C%AC'],
    ['/100%', '/100%'],
    [`${app.url}/orders?a=b`, '/orders?a=b'],
  ] as const) {
    t.equal(await locationAfterLogin(app, new URLSearchParams({ returnTo }).toString()), location)
  }
})

t.test('several returnTo lead to the start page', async (t) => {
  t.equal(await locationAfterLogin(await loginApp(t), 'returnTo=/a&returnTo=//evil.example'), '/')
})

// oidcc-client-test-3rd-party-init-login
t.test('a login that a third party begins is like any other, and its target_link_uri leads nowhere', async (t) => {
  const { provider, browser, url } = await loginApp(t)
  const query = new URLSearchParams({
    iss: provider.issuer,
    login_hint: 'alice',
    target_link_uri: 'https://evil.example/'
  })
  const page = await browser.get(`${url}/login/acme?${query}`, { from: 'https://portal.example/' })
  t.equal(page.url, `${url}/`)
  t.strictSame(page.json(), { user: 'alice' })
})

t.test('open redirect: a page that asks for a login does not lead elsewhere after it', async (t) => {
  const { app, browser, url } = await loginApp(t, {
    setup: (app) => { app.get('/*', { onRequest: app.oauth.requireLogin() }, async () => 'members only') }
  })
  const { headers } = await app.inject({ url: '//evil.example/x', headers: { accept: 'text/html' } })
  const callback = await callbackUrl(browser, new URL(headers.location!, url).href)
  t.equal((await browser.get(callback, { redirect: 'manual' })).headers.location, '/')
})

t.test(
  "of a visitor's own parameters only those that the options name go to the provider, and none that protects the login",
  async t => {
    const forwardedLoginParams = [
      'login_hint',
      'prompt',
      'state',
      'nonce',
      'redirect_uri',
      'code_challenge',
      'response_mode',
      'client_id'
    ]
    const { browser, url, provider } = await loginApp(t, { provider: { forwardedLoginParams } })
    const query = new URLSearchParams({
      login_hint: 'alice',
      prompt: 'login',
      scope: 'openid admin',
      acr_values: 'low',
      max_age: '99999',
      claims: '{}'
    })
    for (const name of forwardedLoginParams.slice(2)) query.set(name, 'chosen')
    await browser.login(`${url}/login/acme?${query}&prompt=none`)
    const { query: asked } = provider.asked('authorization')[0]!
    t.equal(asked.get('login_hint'), 'alice')
    t.equal(asked.get('prompt'), null, 'given twice it is none')
    t.strictSame(
      [...asked.values()].filter(value => value === 'chosen'),
      []
    )
    t.strictSame(
      ['scope', 'acr_values', 'max_age', 'claims'].map(name => asked.get(name)),
      ['openid', null, null, null]
    )
  }
)

// Whose address is believed

for (const trustProxy of [false, true]) {
  t.test(`Host and X-Forwarded-Host do not get into the redirect URI, trustProxy ${trustProxy}`, async (t) => {
    const { browser, url } = await loginApp(t, { fastify: { trustProxy } })
    const headers = {
      host: 'evil.example',
      'x-forwarded-host': 'evil.example',
      'x-forwarded-proto': 'https',
      'x-forwarded-port': '444',
      forwarded: 'host=evil.example'
    }
    const start = await browser.get(`${url}/login/acme`, { headers, redirect: 'manual' })
    t.equal(new URL(start.location!).searchParams.get('redirect_uri'), `${url}/login/acme/callback`)
  })
}

t.test('Host does not get into where a login or a logout ends', async (t) => {
  const { browser, url } = await loginApp(t)
  const callback = await callbackUrl(browser, `${url}/login/acme?returnTo=http://evil.example/x`)
  const headers = { host: 'evil.example' }
  t.equal((await browser.get(callback, { headers, redirect: 'manual' })).headers.location, '/')
  t.equal((await browser.post(`${url}/logout`, { headers, redirect: 'manual' })).headers.location, '/')
})

t.test('a secure session cookie over http, where a proxy ends TLS and is not trusted, is reported', async t => {
  const app = await loginApp(t, {
    oauth: { baseUrl: 'https://app.example.com' },
    session: { cookie: { secure: true } }
  })
  const page = await app.browser.get(`${app.url}/login/acme`, {
    ...asJson,
    redirect: 'manual',
    headers: { ...asJson.headers, 'x-forwarded-proto': 'https' }
  })
  t.equal(page.status, 500)
  t.equal(codeOf(page), 'FST_OAUTH_SESSION_UNAVAILABLE')
  t.match(page.json().message, /trustProxy/)
  t.strictSame(pendingLogins(app.store), [])
})

t.test('behind a trusted proxy that ends TLS a login works, with cookies that no neighbour can plant', async t => {
  const app = await loginApp(t, {
    oauth: { baseUrl: 'https://app.example.com' },
    session: { cookie: { secure: true } },
    fastify: { trustProxy: true }
  })
  const { browser, url } = app
  const headers = { 'x-forwarded-proto': 'https' }
  const start = await browser.get(`${url}/login/acme`, { headers, redirect: 'manual' })
  const back = await browser.follow(start, { redirect: 'manual' })
  t.match(back.location, /^https:\/\/app\.example\.com\/login\/acme\/callback\?/)
  t.match(browser.cookies, [{ name: /^__Host-oauth-/, secure: true, httpOnly: true, path: '/', sameSite: 'lax' }])
  const done = await browser.get(back.location!.replace('https://app.example.com', url), {
    headers,
    redirect: 'manual'
  })
  t.match(done, { status: 302, headers: { location: '/' } })
  t.strictSame((await browser.get(url, { headers })).json(), { user: 'alice' })
})

t.test('a session cookie whose path does not cover a route of the app\'s own is reported there', async (t) => {
  const { browser, url } = await loginApp(t, {
    oauth: { routes: false },
    session: { cookie: { secure: false, path: '/app' } },
    setup: (app) => { app.get('/elsewhere', async (request, reply) => request.oauth.login(reply)) }
  })
  const page = await browser.get(`${url}/elsewhere`, asJson)
  t.equal(page.status, 500)
  t.match(page.json(), { code: 'FST_OAUTH_SESSION_UNAVAILABLE', message: /cookie\.path/ })
})

// What anonymous clients post

const MIB = 1 << 20
const large: Record<string, [type: string, body: string | Buffer]> = {
  'a text': ['text/plain', 'x'.repeat(MIB)],
  'a JSON text': ['application/json', JSON.stringify('x'.repeat(MIB))],
  'a JSON list': ['application/json', JSON.stringify(Array(MIB / 4).fill('a'))],
  'a JSON object of 90,000 members': [
    'application/json',
    JSON.stringify(Object.fromEntries(Array.from({ length: 90_000 }, (_, index) => [`k${index}`, 1])))
  ],
  'a JSON object nested 100,000 deep': ['application/json', '{"a":'.repeat(100_000) + '1' + '}'.repeat(100_000)],
  'parts of a form': [
    'multipart/form-data; boundary=b',
    `--b\r\ncontent-disposition: form-data; name="a"\r\n\r\n${'x'.repeat(MIB)}\r\n--b--\r\n`
  ],
  'a form of 100,000 fields': [
    'application/x-www-form-urlencoded',
    Array.from({ length: 100_000 }, (_, index) => `k${index}=1`).join('&')
  ],
  'bytes of no known type': ['application/octet-stream', Buffer.alloc(MIB)]
}

for (const [what, [type, body]] of Object.entries(large)) {
  t.test(`an anonymous client posts ${what}, a MiB of it: refused before it is read`, async (t) => {
    const { app, url } = await loginApp(t, {
      provider: { grantType: 'password', tokenEndpoint: 'http://127.0.0.1:9/token' },
      // An answer that came before the whole body leaves a connection that is not idle when the app closes.
      fastify: { forceCloseConnections: true },
      setup: (app) => app.register(formbody)
    })
    for (const path of ['/login/acme/callback', '/login/acme']) {
      const { statusCode } = await app.inject({
        method: 'POST',
        url: path,
        headers: { 'content-type': type },
        payload: body
      })
      t.ok(statusCode === 413 || statusCode === 415, `${path}: ${statusCode}`)
      const chunked = await fetch(url + path, {
        method: 'POST',
        headers: { 'content-type': type },
        body: new Blob([body]).stream(),
        duplex: 'half'
      } as RequestInit).then(({ status }) => status, () => 'cut off')
      t.ok(chunked === 413 || chunked === 415 || chunked === 'cut off', `${path}, of unknown length: ${chunked}`)
    }
  })
}

t.test(
  "what is posted to a callback of the app's own, where its limits hold, is read as a form or not at all",
  async t => {
    const fields = ({ body, method = 'POST' }: { body: unknown, method?: string }) =>
      [...callbackParams({ method, body } as FastifyRequest)].length
    t.equal(fields({ body: { state: 's', code: ['a', 'b'] } }), 3)
    for (const body of [
      'x'.repeat(MIB),
      Array(1000).fill('a'),
      Buffer.alloc(1000),
      new Uint8Array(1000),
      null,
      undefined,
      5,
      true
    ]) { t.equal(fields({ body }), 0) }
    t.equal(fields({ body: Object.fromEntries(Array.from({ length: 90_000 }, (_, index) => [`k${index}`, 1])) }), 0)
    t.ok(fields({ body: { state: Array(90_000).fill('a') } }) <= 100)
  }
)

const odd: Record<string, [type: string | undefined, body: string]> = {
  'JSON, and nothing': ['application/json', ''],
  'JSON, and half of it': ['application/json', '{"returnTo":'],
  'JSON, and a text': ['application/json', '"x"'],
  'JSON, and null': ['application/json', 'null'],
  'a form, and nothing': ['application/x-www-form-urlencoded', ''],
  'text/plain': ['text/plain', 'bye'],
  multipart: ['multipart/form-data; boundary=b', '--b--\r\n'],
  'a type that is none': ['json', '{}'],
  'no type': [undefined, 'bye'],
  'no type, and nothing': [undefined, ''],
  'a form that is far too large': ['application/x-www-form-urlencoded', `returnTo=/${'a'.repeat(100_000)}`]
}

for (const [what, [type, body]] of Object.entries(odd)) {
  t.test(`a logout is carried out whatever comes with it: ${what}`, async (t) => {
    const { app, browser, url, userOf } = await loginApp(t)
    await browser.login(`${url}/login/acme`)
    const cookies = Object.fromEntries(browser.cookies.map(({ name, value }) => [name, value]))
    const headers = { origin: url, accept: 'application/json', ...(type !== undefined && { 'content-type': type }) }
    const answer = await app.inject({ method: 'POST', url: '/logout', cookies, headers, payload: body })
    t.equal(answer.statusCode, 200)
    t.strictSame(answer.json(), { loggedOut: true, location: '/' })
    t.equal(await userOf(browser), null)
  })
}

t.test('a logout that another site sends is refused whatever comes with it', async (t) => {
  const { app, browser, url, userOf } = await loginApp(t)
  await browser.login(`${url}/login/acme`)
  const cookies = Object.fromEntries(browser.cookies.map(({ name, value }) => [name, value]))
  for (const type of ['application/json', 'text/plain', 'multipart/form-data; boundary=b']) {
    const { statusCode } = await app.inject({
      method: 'POST',
      url: '/logout',
      cookies,
      headers: { origin: 'https://evil.example', 'content-type': type },
      payload: ''
    })
    t.equal(statusCode, 403)
  }
  t.equal(await userOf(browser), 'alice')
})

// What a login leaves in the browser and in the store

t.test('the cookie of a login is out of reach for scripts and other sites, and ends after ten minutes', async (t) => {
  const { browser, url } = await loginApp(t)
  const { headers } = await browser.get(`${url}/login/acme`, { redirect: 'manual' })
  t.equal(headers['set-cookie']?.length, 1)
  t.match(headers['set-cookie']?.[0], /^oauth-[\w-]{22}=[\w.-]+; Max-Age=600; Path=\/; HttpOnly; SameSite=Lax$/)
})

t.test('a visitor who only begins a login gets no session', async (t) => {
  const app = await loginApp(t)
  await app.browser.get(`${app.url}/login/acme`, { redirect: 'manual' })
  t.equal(app.browser.cookie('sessionId'), undefined)
  t.strictSame([...app.store.records.keys()], pendingLogins(app.store))
})

for (const headers of [
  { 'sec-purpose': 'prefetch' },
  { 'sec-purpose': 'prefetch;prerender' },
  { purpose: 'prefetch' }
]) {
  t.test(`a prefetch of /login begins no login (${JSON.stringify(headers)})`, async t => {
    const app = await loginApp(t)
    const page = await app.browser.get(`${app.url}/login/acme`, { headers, redirect: 'manual' })
    t.equal(page.status, 403)
    t.equal(page.location, undefined)
    t.strictSame([app.browser.cookies, [...app.store.records.keys()]], [[], []])
  })
}

t.test('HEAD /login begins no login', async (t) => {
  const { app, store } = await loginApp(t)
  t.ok((await app.inject({ method: 'HEAD', url: '/login/acme' })).statusCode >= 400)
  t.equal(store.records.size, 0)
})

t.test('memory: logins that are never finished are swept out of a store that never expires anything', async (t) => {
  let now = Date.now()
  const memory = new session.MemoryStore()
  const { store: kept } = memory as unknown as { store: Map<string, unknown> }
  const logins = new PendingLogins(
    new SessionTokenStore(
      () => memory as never,
      () => now
    ),
    () => now / 1000
  )
  const begin = () =>
    logins.put({ provider: 'acme', state: 's', codeVerifier: 'v', redirectUri: 'r', returnTo: '/', scope: [] })
  for (let visitor = 0; visitor < 2_000; visitor++) await begin()
  t.equal(kept.size, 2_000)
  now += 601_000
  for (let visitor = 0; visitor < 700; visitor++) await begin()
  t.equal(kept.size, 700, 'only those of the last ten minutes are left')
})

t.test(
  'memory: however many anonymous visitors begin a login, ten thousand are kept, and no user is logged out for them',
  async t => {
    const memory = new session.MemoryStore()
    const { store: kept } = memory as unknown as { store: Map<string, unknown> }
    const store = new SessionTokenStore(() => memory as never)
    await store.set('tokens', { version: 1 }, { ttl: 86_400, expectedVersion: 0 })
    const logins = new PendingLogins(store, () => Date.now() / 1000)
    for (let visitor = 0; visitor < 10_100; visitor++) {
      await logins.put({ provider: 'acme', state: 's', codeVerifier: 'v', redirectUri: 'r', returnTo: '/', scope: [] })
    }
    t.equal(kept.size, 10_001)
    t.match(await store.get('tokens'), { version: 1 })
  }
)

t.test('memory: a login that makes room for another leaves no tombstone, which would pile up', async (t) => {
  const calls: string[] = []
  const store = new Proxy({} as TokenStore, { get: (_target, method) => async () => { calls.push(String(method)) } })
  await new PendingLogins(store, () => 0).drop(`0.${'x'.repeat(43)}`)
  t.strictSame(calls, ['consume'])
})

t.test('cookies that a visitor makes up do not make the store work', async (t) => {
  const { app, store } = await loginApp(t)
  const made = Array.from(
    { length: 100 },
    (_, number) =>
      `oauth-${String(number).padStart(22, 'x')}=${number.toString(36)}.${String(number).padStart(43, 'y')}`
  )
  const { statusCode } = await app.inject({ url: '/login/acme', headers: { cookie: made.join('; ') } })
  t.equal(statusCode, 302)
  t.ok(store.calls.destroy + store.calls.get + store.calls.set <= 25, JSON.stringify(store.calls))
})

t.test('cookies of logins whose value is no id are no trouble', async (t) => {
  const { browser, url } = await loginApp(t)
  const values = ['', '.', 'x'.repeat(3000), '%', '__proto__', '9.z', '../../x']
  const headers = {
    cookie: values.map((value, index) => `oauth-${String(index).padStart(22, 'a')}=${value}`).join('; ')
  }
  t.equal((await browser.get(`${url}/login/acme`, { headers, redirect: 'manual' })).status, 302)
})

for (const [what, defaults] of Object.entries({
  'a domain': { domain: 'example.com' },
  'a signature': { signed: true },
  SameSite: { sameSite: 'strict' },
  'a path': { path: '/app' }
})) {
  t.test(`${what} among the app's defaults for its own cookies does not break the cookie of a login`, async t => {
    const provider = await startMisbehavingProvider(t)
    const app = Fastify()
    t.after(() => app.close())
    let url = ''
    await app.register(cookie, { secret: SESSION_SECRET, parseOptions: defaults as never })
    await app.register(session, { secret: SESSION_SECRET, cookie: { secure: false }, saveUninitialized: false })
    await app.register(oauth, { baseUrl: () => url, providers: { acme: provider.providerOptions } })
    url = await app.listen({ port: 0, host: '127.0.0.1' })
    const browser = new Browser()
    const { headers } = await browser.get(`${url}/login/acme`, { redirect: 'manual' })
    t.match(
      headers['set-cookie']?.[0],
      /^oauth-[\w-]{22}=[\w-]+\.[\w-]{43}; Max-Age=600; Path=\/; HttpOnly; SameSite=Lax$/
    )
    const callback = await callbackUrl(browser, `${url}/login/acme`)
    t.equal((await browser.get(callback, { redirect: 'manual' })).status, 302)
  })
}

for (const [what, options] of Object.entries({
  'rolling, and saved from the first request on': { rolling: true, saveUninitialized: true },
  rolling: { rolling: true },
  'that are written on change alone': { rolling: false },
  'with an end': { cookie: { secure: false, maxAge: 60_000 } },
  'under a name and a prefix of their own': { cookieName: 'sid', cookiePrefix: 's:' },
} as Record<string, LoginAppOptions['session'] & object>)) {
  t.test(`sessions ${what}: log in, be known, log out`, async (t) => {
    const app = await loginApp(t, { session: options })
    const { browser, url, userOf } = app
    t.equal(await userOf(browser), null)
    t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
    t.equal(await userOf(browser), 'alice')
    t.equal(tokenRecords(app.store).size, 1)
    await browser.post(`${url}/logout`)
    t.equal(await userOf(browser), null)
    t.equal(tokenRecords(app.store).size, 0)
  })
}

t.test('requests of two users at the same moment each see their own', async t => {
  const {
    browser: alice,
    url,
    provider
  } = await loginApp(t, {
    setup: app => {
      app.get('/me', async request => ({
        id: request.oauth.user?.id,
        token: (await request.oauth.tokens()).accessToken
      }))
    }
  })
  const bob = new Browser()
  await alice.login(`${url}/login/acme`)
  provider.subject = 'bob'
  await bob.login(`${url}/login/acme`)
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, number) => (number % 2 === 0 ? alice : bob).get(`${url}/me`))
  )
  const seen = answers.map(page => page.json<{ id: string, token: string }>())
  t.strictSame(
    seen.map(({ id }) => id),
    Array.from({ length: 20 }, (_, number) => (number % 2 === 0 ? 'alice' : 'bob'))
  )
  t.equal(new Set(seen.map(({ id, token }) => `${id} ${token}`)).size, 2)
})

// Answers

t.test('no answer of login, callback or logout may be kept', async t => {
  const { browser, url } = await loginApp(t, {
    providers: ({ providerOptions }) => ({ acme: providerOptions, other: providerOptions })
  })
  const callback = await callbackUrl(browser, `${url}/login/acme`)
  const pages: Page[] = []
  for (const path of [
    '/login',
    '/login/acme',
    '/login/unknown',
    '/login/acme/callback?code=c&state=s',
    '/logout',
    '/logout/callback',
    callback,
    '/logout'
  ]) {
    for (const accept of ['text/html', 'application/json']) {
      pages.push(
        await browser.get(path.startsWith('/') ? url + path : path, { headers: { accept }, redirect: 'manual' })
      )
    }
  }
  pages.push(await browser.post(`${url}/logout`, { headers: { 'sec-fetch-site': 'cross-site' }, redirect: 'manual' }))
  pages.push(await browser.post(`${url}/login/acme/callback`, { redirect: 'manual' }))
  pages.push(
    await browser.post(`${url}/login/acme/callback`, { headers: { 'content-type': 'image/png' }, redirect: 'manual' })
  )
  pages.push(await browser.post(`${url}/logout`, { redirect: 'manual' }))
  t.strictSame(
    pages
      .filter(page => page.headers['cache-control'] !== 'no-store')
      .map(({ method, url, status }) => `${method} ${url} ${status}`),
    []
  )
  t.strictSame([...new Set(pages.map(({ status }) => status))].sort(), [200, 302, 400, 403, 404, 415])
})

t.test('every page comes with a policy, and is what it says it is', async t => {
  const { browser, url } = await loginApp(t, {
    providers: ({ providerOptions }) => ({ acme: providerOptions, other: providerOptions })
  })
  for (const path of ['/login', '/login/unknown', '/login/acme/callback', '/logout', '/logout/callback']) {
    const { headers } = await browser.get(url + path)
    t.match(
      headers['content-security-policy'],
      /^default-src 'none'; style-src 'sha256-[^']+'; base-uri 'none'; frame-ancestors 'none'; form-action /,
      path
    )
    t.equal(headers['x-content-type-options'], 'nosniff')
    t.equal(headers['content-type'], 'text/html; charset=utf-8')
  }
})

for (const [accept, type] of [
  ['text/html,application/xhtml+xml,*/*;q=0.8', 'text/html; charset=utf-8'],
  ['application/json', 'application/json; charset=utf-8'],
  ['*/*', 'application/json; charset=utf-8'],
  [undefined, 'application/json; charset=utf-8'],
] as const) {
  t.test(`a client that accepts ${accept ?? 'anything'} gets a failure as ${type}`, async (t) => {
    const { browser, url } = await loginApp(t)
    const page = await browser.get(`${url}/login/acme/callback?code=c&state=s`, { headers: { accept } })
    t.equal(page.status, 400)
    t.equal(page.headers['content-type'], type)
    t.equal(codeOf(page), 'FST_OAUTH_STATE_MISMATCH')
  })
}

t.test('an error in JSON has a status, a code and a sentence', async (t) => {
  const { browser, url } = await loginApp(t)
  const page = await browser.get(`${url}/login/acme/callback?code=c&state=s`, asJson)
  t.match(page.json(), {
    statusCode: 400,
    code: 'FST_OAUTH_STATE_MISMATCH',
    error: 'Bad Request',
    message: /start the login again/,
    provider: 'acme'
  })
})

t.test('a page about a failure has a way on, and a number to be looked up in the log', async (t) => {
  const { browser, url } = await loginApp(t, { provider: { title: 'Acme <&> Co' } })
  const page = await browser.get(`${url}/login/acme/callback?code=c&state=s`)
  t.match(page.text, 'href="/login/acme"')
  t.match(page.text, /Request: <code>req-\w+<\/code>/)
})

t.test('XSS: a request id that came from outside is escaped', async (t) => {
  const { browser, url } = await loginApp(t, { fastify: { requestIdHeader: 'x-request-id' } })
  const page = await browser.get(`${url}/login/unknown`, { headers: { 'x-request-id': '<script>alert(1)</script>' } })
  t.match(page.text, '&lt;script&gt;alert(1)&lt;/script&gt;')
  t.notMatch(page.text, '<script>')
})

t.test('XSS: titles of providers are escaped', async (t) => {
  const { browser, url } = await loginApp(t, {
    providers: ({ providerOptions }) => ({
      acme: { ...providerOptions, title: '<script>alert(1)</script>' },
      other: providerOptions
    }),
    wrong: { instead: { discovery: { status: 500 } } }
  })
  for (const path of ['/login', '/login/acme']) {
    const page = await browser.get(url + path)
    t.match(page.text, '&lt;script&gt;alert(1)&lt;/script&gt;', path)
    t.notMatch(page.text, '<script>')
  }
})

t.test('XSS: a returnTo on the page of choices is escaped, and a bad one left out', async t => {
  const { browser, url } = await loginApp(t, {
    providers: ({ providerOptions }) => ({ acme: providerOptions, other: providerOptions })
  })
  const page = await browser.get(`${url}/login?${new URLSearchParams({ returnTo: '/"><script>alert(1)</script>' })}`)
  t.notMatch(page.text, '<script>')
  t.match((await browser.get(`${url}/login?returnTo=/orders`)).text, 'href="/login/other?returnTo=%2Forders"')
  t.notMatch((await browser.get(`${url}/login?returnTo=//evil.example`)).text, 'evil')
})

t.test('the chooser does not show a provider that users cannot log in with', async (t) => {
  const { browser, url } = await loginApp(t, {
    providers: ({ providerOptions }) => ({
      acme: providerOptions,
      billing: { ...providerOptions, grantType: 'client_credentials' },
      television: { ...providerOptions, grantType: 'device_code' },
      staff: { ...providerOptions, grantType: 'password' }
    })
  })
  const asked = async (path: string, method: 'get' | 'post' = 'get') => {
    const { status, text } = await browser[method](url + path, { ...asJson, redirect: 'manual' })
    return { status, body: text.replace(/req-\w+/, '') }
  }
  const unknown = await asked('/login/x')
  t.equal(unknown.status, 404)
  for (const name of ['acme', 'billing', 'television', 'staff']) t.notMatch(unknown.body, name)
  for (const name of ['billing', 'television']) {
    t.strictSame(await asked(`/login/${name}`), unknown, 'no other answer than for a name that is none')
    t.strictSame(await asked(`/login/${name}/callback?code=c&state=s`), await asked('/login/x/callback?code=c&state=s'))
    t.strictSame(await asked(`/login/${name}`, 'post'), unknown)
  }
})

t.test('with several providers /login lets the person choose', async t => {
  const { browser, url } = await loginApp(t, {
    providers: ({ providerOptions }) => ({ acme: { ...providerOptions, title: 'Acme' }, other: providerOptions })
  })
  const page = await browser.get(`${url}/login`)
  t.equal(page.status, 200)
  t.strictSame(
    [...page.text.matchAll(/<a class="button" href="([^"]*)">([^<]*)/g)].map(([, href, label]) => [href, label]),
    [
      ['/login/acme', 'Acme'],
      ['/login/other', 'other']
    ]
  )
})

t.test('with a defaultProvider, or only one, /login begins right away', async (t) => {
  for (const app of [
    await loginApp(t),
    await loginApp(t, {
      providers: ({ providerOptions }) => ({ other: providerOptions, acme: providerOptions }),
      oauth: { defaultProvider: 'acme' }
    })
  ]) {
    const page = await app.browser.get(`${app.url}/login`, { redirect: 'manual' })
    t.match(page.location, app.provider.url('authorization'))
    t.equal(new URL(page.location!).searchParams.get('redirect_uri'), `${app.url}/login/acme/callback`)
  }
})

t.test("a page of the app's own takes the place of the plugin's, and its policy is the app's business", async t => {
  const { browser, url } = await loginApp(t, {
    oauth: {
      pages: { error: (data: { code: string, statusCode: number }) => `<p>${data.statusCode} ${data.code}</p>` }
    }
  })
  const page = await browser.get(`${url}/login/unknown`)
  t.match(page, { status: 404, text: '<p>404 FST_OAUTH_UNKNOWN_PROVIDER</p>' })
  t.equal(page.headers['content-security-policy'], undefined)
})

t.test('onError is told of a failure, and may answer it itself', async t => {
  const { browser, url } = await loginApp(t, {
    oauth: { onError: (_request, reply, error) => reply.code(418).send({ mine: error.code }) }
  })
  const page = await browser.get(`${url}/login/unknown`)
  t.match(page, { status: 418 })
  t.strictSame(page.json(), { mine: 'FST_OAUTH_UNKNOWN_PROVIDER' })
})

t.test("an error of the app's own is not answered by the plugin", async t => {
  const { browser, url } = await loginApp(t, {
    setup: app => {
      app.get('/broken', async () => {
        throw new Error('mine')
      })
    }
  })
  const page = await browser.get(`${url}/broken`)
  t.match(page.json(), { statusCode: 500, message: 'mine' })
  t.equal(page.headers['cache-control'], undefined)
})
