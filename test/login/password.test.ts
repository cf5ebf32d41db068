import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Browser } from '../helpers/browser.ts'
import { buildApp } from '../helpers/build-app.ts'
import { captureLog } from '../helpers/log.ts'
import { startPasswordServer } from '../helpers/password-server.ts'
import { addressBlock, foldName, LoginThrottle, type Outcome } from '../../lib/login/throttle.ts'
import { type ProviderOptions } from '../../lib/index.ts'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'

// The password grant: the form, and how guessing is slowed down.

async function passwordApp (
  t: Parameters<typeof startPasswordServer>[0],
  options: Partial<ProviderOptions> = {},
  logger: FastifyServerOptions['logger'] = false,
  setup?: (app: FastifyInstance) => unknown
) {
  const server = await startPasswordServer(t)
  const { url, app, store } = await buildApp(t, {
    oauth: { providers: { legacy: { ...server.providerOptions, grantType: 'password', ...options } } },
    fastify: { logger },
    setup: app => {
      setup?.(app)
      app.get('/whoami', async request => ({ user: request.oauth.user, authenticated: request.oauth.authenticated }))
    }
  })
  return { server, url, app, store }
}

t.test('password: a user logs in with the form', async t => {
  const { url, server } = await passwordApp(t)
  const browser = new Browser()
  const form = await browser.get(`${url}/login/legacy?returnTo=/whoami`)
  t.match(form.text, /<form method="post"/)
  const page = await browser.submitForm(form, { username: 'alice', password: 'correct horse' })
  t.match(page.json(), { authenticated: true, user: { id: 'alice' } })
  t.match(server.requests[0]!.body, { grant_type: 'password', username: 'alice', password: 'correct horse' })
})

t.test('password: wrong credentials are a 401, on the form and as JSON', async t => {
  const { url, app } = await passwordApp(t)
  const browser = new Browser()
  const page = await browser.submitForm(await browser.get(`${url}/login/legacy`), {
    username: 'alice',
    password: 'wrong'
  })
  t.equal(page.status, 401)
  t.match(page.text, /wrong/)
  t.match(page.text, /value="alice"/)
  t.notMatch(page.text, /value="wrong"/)
  const answer = await app.inject({
    method: 'POST',
    url: '/login/legacy',
    payload: { username: 'alice', password: 'wrong' }
  })
  t.equal(answer.statusCode, 401)
  t.match(answer.json(), { code: 'FST_OAUTH_AUTHORIZATION_FAILED', oauthError: 'invalid_grant' })
  t.equal((await app.inject({ method: 'POST', url: '/login/legacy', payload: { username: 'alice' } })).statusCode, 401)
})

t.test('password: a hook that throws null is a failure of the route, and causes no other error', async t => {
  const log = captureLog()
  const nothing: unknown = null
  const hooks = { accessTokenRequest: () => { throw nothing } }
  const { app } = await passwordApp(t, { hooks }, log.logger)
  const payload = { username: 'alice', password: 'correct horse' }
  const answer = await app.inject({ method: 'POST', url: '/login/legacy', payload })
  t.equal(answer.statusCode, 500)
  t.notMatch(log.text, /Cannot /)
})

t.test('password: a post from another site is refused, and no token request is made', async t => {
  const { url, server } = await passwordApp(t)
  const answer = await new Browser().post(`${url}/login/legacy`, {
    form: { username: 'alice', password: 'correct horse' },
    from: 'http://evil.test/'
  })
  t.equal(answer.status, 403)
  t.equal(server.requests.length, 0)
})

t.test('password: guessing is slowed down by user name, with the way to wait', async t => {
  const { app, server } = await passwordApp(t)
  const guess = (username: string, password: string, remoteAddress: string) =>
    app.inject({ method: 'POST', url: '/login/legacy', remoteAddress, payload: { username, password } })
  for (let index = 0; index < 10; index++) {
    t.equal((await guess('alice', `wrong${index}`, `10.0.0.${index}`)).statusCode, 401)
  }
  const answer = await guess('ALICE', 'correct horse', '10.0.1.1')
  t.equal(answer.statusCode, 429)
  t.ok(Number(answer.headers['retry-after']) > 0)
  t.equal(server.requests.length, 10)
  t.equal((await guess('bob', 'also correct', '10.0.1.2')).statusCode, 302, 'others are not locked out')
})

t.test('password: guessing is slowed down by address, whatever the names are', async t => {
  const { app } = await passwordApp(t)
  const guess = (username: string, password: string, remoteAddress = '10.0.0.1') =>
    app.inject({ method: 'POST', url: '/login/legacy', remoteAddress, payload: { username, password } })
  for (let index = 0; index < 10; index++) t.equal((await guess(`name${index}`, 'wrong')).statusCode, 401)
  t.equal((await guess('bob', 'also correct')).statusCode, 429)
  t.equal((await guess('bob', 'also correct', '10.0.0.2')).statusCode, 302)
})

t.test('password: guesses that are sent side by side are slowed down like any others', async t => {
  const { app, server } = await passwordApp(t)
  const guesses = Array.from({ length: 40 }, (_, index) =>
    app.inject({
      method: 'POST',
      url: '/login/legacy',
      remoteAddress: `10.0.0.${index}`,
      payload: { username: 'alice', password: `wrong${index}` }
    })
  )
  const statuses = (await Promise.all(guesses)).map(({ statusCode }) => statusCode)
  t.equal(server.requests.length, 10)
  t.equal(statuses.filter(status => status === 429).length, 30)
})

t.test('password: a request without a guess is not counted', async t => {
  const { app, server } = await passwordApp(t)
  const post = (payload: object) => app.inject({ method: 'POST', url: '/login/legacy', payload })
  for (let index = 0; index < 12; index++) {
    t.equal((await post({ username: 'alice' })).statusCode, 401, 'without password')
  }
  for (let index = 0; index < 12; index++) {
    t.equal((await post({ username: 'alice', password: 'correct horse' })).statusCode, 302)
  }
  server.down = true
  for (let index = 0; index < 12; index++) {
    t.equal((await post({ username: 'alice', password: 'correct horse' })).statusCode, 503, 'a provider that is down')
  }
  server.down = false
  t.equal((await post({ username: 'alice', password: 'correct horse' })).statusCode, 302)
})

// How servers spell one and the same user: trimmed, in one case, normalized.
const spellings = [
  'alice', ' alice', 'alice ', 'ALICE', 'Alice', '\talice\u00a0', '\u3000alice',
  '\uff21\uff2c\uff29\uff23\uff25', 'ali\u00adce', 'al\u200bice', 'a\u0301lice', '\u00c1lice', '\ufeffalice'
]

t.test('password: spellings of one user name are counted as one', async t => {
  const { app, server } = await passwordApp(t)
  const statuses = new Set<number>()
  for (let index = 0; index < 30; index++) {
    const username = spellings[index % spellings.length]
    const { statusCode } = await app.inject({
      method: 'POST',
      url: '/login/legacy',
      remoteAddress: `10.0.0.${index}`,
      payload: { username, password: `wrong${index}` }
    })
    statuses.add(statusCode)
  }
  t.equal(server.requests.length, 10)
  t.strictSame([...statuses], [401, 429])
})

t.test('password: how user names are folded', t => {
  t.strictSame([...new Set(spellings.map(foldName))], ['alice'])
  t.equal(foldName('STRASSE'), foldName('straße'))
  t.equal(foldName('\u0130stanbul'), foldName('istanbul'))
  t.not(foldName('alice'), foldName('bob'))
  t.end()
})

t.test('password: one password for many names is stopped by address, whatever sessions come with it', async t => {
  const { app, server } = await passwordApp(t, {}, false, app => {
    app.get('/visit', async request => { ;(request.session as { seen?: boolean }).seen = true })
  })
  let last = 0
  for (let index = 0; index < 120; index++) {
    const { cookies } = await app.inject('/visit')
    const session = Object.fromEntries(cookies.map(({ name, value }) => [name, value]))
    last = (
      await app.inject({
        method: 'POST',
        url: '/login/legacy',
        cookies: session,
        payload: { username: `name${index}`, password: 'Summer2026' }
      })
    ).statusCode
  }
  t.equal(server.requests.length, 100)
  t.equal(last, 429)
})

t.test("password: one's own good login buys no further guesses from one address", async t => {
  const { app, server } = await passwordApp(t)
  const post = async (username: string, password: string) =>
    (await app.inject({ method: 'POST', url: '/login/legacy', payload: { username, password } })).statusCode
  let last = 0
  for (let round = 0; round < 13; round++) {
    for (let index = 0; index < 9; index++) last = await post(`name${round}.${index}`, 'wrong')
    await post('bob', 'also correct')
  }
  t.equal(server.requests.filter(({ body }) => body.username !== 'bob').length, 100)
  t.equal(last, 429)
})

t.test('password: a login over a Unix socket, where a request has no address, is no 500', async t => {
  const { app, url, server } = await passwordApp(t)
  const directory = await mkdtemp(join(tmpdir(), 'socket-')) // the path of a socket has to be short
  t.after(() => rm(directory, { recursive: true }))
  const socketPath = join(directory, 'app')
  const proxied = createServer((request, response) => { app.routing(request, response) })
  t.after(() => proxied.close())
  await once(proxied.listen(socketPath), 'listening')
  const headers = { host: new URL(url).host, origin: url, 'content-type': 'application/x-www-form-urlencoded' }
  const guess = async (password: string) => {
    const post = request({ socketPath, path: '/login/legacy', method: 'POST', headers, agent: false })
    post.end(String(new URLSearchParams({ username: 'alice', password })))
    const [{ statusCode }] = await once(post, 'response') as [IncomingMessage]
    return statusCode
  }
  t.equal(await guess('correct horse'), 302)
  for (let index = 0; index < 10; index++) t.equal(await guess('wrong'), 401)
  t.equal(await guess('correct horse'), 429)
  t.equal(server.requests.length, 11)
})

t.test('password: an address is an IPv4 address, or the network that an IPv6 host has to itself', t => {
  for (const [ip, block] of [
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::1', '0:0:0:0::/64'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:DB8:1:2::', '2001:db8:1:2::/64'],
    ['2001:db8::6', '2001:db8:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['unix', 'unix']
  ] as const) { t.equal(addressBlock(ip), block, ip) }
  t.equal(addressBlock('::ffff:c000:201'), addressBlock('::ffff:c000:201'))
  t.not(addressBlock('::ffff:c000:201'), addressBlock('::ffff:c000:202'))
  t.end()
})

for (const [what, status, body] of [
  ['invalid_request', 400, { error: 'invalid_request' }],
  ['access_denied', 403, { error: 'access_denied' }],
  ['a code of its own', 400, { error: 'wrong_password' }],
  ['an error in a 200', 200, { error: 'invalid_user' }],
  ['an empty 400', 400, ''],
  ['an empty 401', 401, ''],
  ['an empty 403', 403, ''],
  ['a page with 401', 401, '<h1>No</h1>'],
  ['an empty 409', 409, ''],
  ['a 200 that says no', 200, { success: false }]
] as const) {
  t.test(`password: a provider that refuses with ${what}: 401, and it counts`, async t => {
    const { app, server } = await passwordApp(t)
    server.refusal = { status, body: typeof body === 'string' ? body : JSON.stringify(body) }
    const post = () =>
      app.inject({ method: 'POST', url: '/login/legacy', payload: { username: 'alice', password: 'wrong' } })
    for (let index = 0; index < 10; index++) {
      t.match(await post(), { statusCode: 401, payload: /FST_OAUTH_AUTHORIZATION_FAILED/ })
    }
    t.equal((await post()).statusCode, 429)
    t.equal(server.requests.length, 10)
  })
}

for (const [what, status, body] of [
  ['an empty 404', 404, ''],
  ['a page with 200', 200, '<h1>Log in</h1>'],
  ['an empty 200', 200, '']
] as const) {
  t.test(`password: guesses are limited at a server that responds with ${what}`, async t => {
    const { app, server } = await passwordApp(t)
    server.refusal = { status, body }
    const post = () =>
      app.inject({ method: 'POST', url: '/login/legacy', payload: { username: 'alice', password: 'wrong' } })
    for (let index = 0; index < 10; index++) t.equal((await post()).statusCode, 502)
    t.equal((await post()).statusCode, 429)
    t.equal(server.requests.length, 10)
  })
}

for (const [what, status, body] of [
  ['the client', 401, { error: 'invalid_client' }],
  ['what the client may do', 400, { error: 'unauthorized_client' }],
  ['the grant', 400, { error: 'unsupported_grant_type' }],
  ['the scope', 400, { error: 'invalid_scope' }],
  ['the rate', 429, ''],
  ['the rate, with an error', 429, { error: 'invalid_grant' }],
  ['itself', 503, ''],
  ['itself, with an error', 500, { error: 'invalid_grant' }]
] as const) {
  t.test(`password: a provider that refuses ${what} has not judged the password, and it does not count`, async t => {
    const { app, server } = await passwordApp(t)
    server.refusal = { status, body: typeof body === 'string' ? body : JSON.stringify(body) }
    const post = () =>
      app.inject({ method: 'POST', url: '/login/legacy', payload: { username: 'alice', password: 'correct horse' } })
    for (let index = 0; index < 12; index++) t.not((await post()).statusCode, 401)
    server.refusal = undefined
    t.equal((await post()).statusCode, 302)
  })
}

t.test('password: user name and password in the query are not read, and the provider is not asked', async t => {
  const { app, server } = await passwordApp(t)
  const credentials = { username: 'alice', password: 'correct horse' }
  t.equal((await app.inject({ method: 'POST', url: '/login/legacy', query: credentials })).statusCode, 401)
  t.equal(
    (await app.inject({ method: 'POST', url: '/login/legacy', query: credentials, payload: { username: 'alice' } }))
      .statusCode,
    401
  )
  t.equal(
    (
      await app.inject({
        method: 'POST',
        url: '/login/legacy',
        query: { password: 'correct horse' },
        payload: { username: 'alice' }
      })
    ).statusCode,
    401
  )
  t.equal(server.requests.length, 0)
})

t.test('throttle: failures are forgotten in their time, and a success forgets those before it', async t => {
  const clock = { now: 0 }
  const throttle = new LoginThrottle(() => clock.now)
  const tries = (count: number, outcome: Outcome) =>
    Array.from({ length: count }, () => {
      const wait = throttle.begin(['user:a'])
      if (wait === 0) throttle.end(['user:a'], outcome)
      return wait
    })
  tries(9, 'failed')
  tries(1, 'succeeded')
  t.strictSame(tries(11, 'failed'), [...Array<number>(10).fill(0), 900])
  clock.now += 899_000
  t.strictSame(tries(1, 'failed'), [1])
  clock.now += 1_000
  t.strictSame(tries(10, 'failed'), Array<number>(10).fill(0))
  t.strictSame(throttle.begin(['user:a', 'browser:b']), 900, 'the longest of all')
})

t.test('throttle: made-up user names take bounded memory, the oldest entry goes', async t => {
  const throttle = new LoginThrottle(() => 0)
  const fail = (key: string) => {
    if (throttle.begin([key]) === 0) throttle.end([key], 'failed')
  }
  for (let index = 0; index < 10; index++) fail('user:first')
  t.equal(throttle.begin(['user:first']), 900)
  for (let index = 0; index < 20_000; index++) fail(`user:${index}`)
  t.equal(throttle.begin(['user:first']), 0)
})

for (const returnTo of [
  'https://evil.example/', '//evil.example', '/\\evil.example', '/.//evil.example', 'javascript:alert(1)'
]) {
  t.test(`password: open redirect: a login does not lead to ${JSON.stringify(returnTo)}`, async t => {
    const { app } = await passwordApp(t)
    const login = { method: 'POST', url: '/login/legacy' } as const
    t.equal(
      (await app.inject({ ...login, payload: { username: 'alice', password: 'correct horse', returnTo } })).headers
        .location,
      '/'
    )
    const form = await app.inject({
      ...login,
      headers: { accept: 'text/html' },
      payload: { username: 'alice', password: 'wrong', returnTo }
    })
    t.notMatch(form.body, 'name="returnTo"')
  })
}

t.test('password: a password that the server repeats in its error is in no log and no response', async t => {
  const log = captureLog()
  const { app, server } = await passwordApp(t, {}, log.logger)
  server.repeating = true
  const { statusCode, body } = await app.inject({
    method: 'POST',
    url: '/login/legacy',
    payload: { username: 'alice@home', password: 'hunt3r/+two' }
  })
  t.equal(statusCode, 401)
  t.match(log.text, 'cannot log in')
  t.strictSame(log.leaked(['alice@home', 'hunt3r/+two']), [])
  t.notOk(body.includes('hunt3r'))
})

t.test('password: the password is neither stored nor logged', async t => {
  const log = captureLog()
  const { app, store } = await passwordApp(t, {}, log.logger)
  for (const password of ['correct horse', 'wrong stable']) {
    await app.inject({ method: 'POST', url: '/login/legacy', payload: { username: 'alice', password } })
  }
  t.ok(store.records.size > 0)
  t.match(log.text, '/login/legacy')
  t.notMatch([...store.records.values()].join() + log.text, /correct horse|wrong stable/)
})
