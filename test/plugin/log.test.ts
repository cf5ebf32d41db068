import { inspect } from 'node:util'
import t, { type Test } from 'tap'
import { Dispatcher, MockAgent } from 'undici'
import type { ProviderOptions } from '../../lib/index.ts'
import { Browser } from '../helpers/browser.ts'
import { buildApp } from '../helpers/build-app.ts'
import { captureLog, type CapturedLog } from '../helpers/log.ts'
import { callbackUrl, loginApp, withQuery, type LoginAppOptions } from '../helpers/login-app.ts'
import { matchEach } from '../helpers/match-each.ts'
import { startOutside } from '../helpers/outside.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import type { TestProvider } from '../helpers/provider.ts'
import { expireTokens } from '../helpers/records.ts'

// Nothing of what a login, a refresh or a logout is made of stands in the log, at level trace: neither in messages nor
// in URLs nor in the causes of errors. And what does stand there tells the cause.

/** Every secret that a real provider and a browser have seen of each other. */
function secretsOf (provider: TestProvider, ...browsers: Browser[]): string[] {
  const secrets = new Set<string>([provider.clientSecret])
  for (const { body, answer } of provider.tokenRequests) {
    for (const name of ['code', 'code_verifier', 'refresh_token']) {
      if (typeof body[name] === 'string') secrets.add(body[name])
    }
    const members = (answer?.body ?? {}) as Record<string, unknown>
    for (const name of ['access_token', 'refresh_token', 'id_token']) {
      if (typeof members[name] === 'string') secrets.add(members[name] as string)
    }
  }
  for (const { history } of browsers) {
    for (const { url, headers } of history) {
      const { searchParams } = new URL(url)
      for (const name of ['code', 'state', 'nonce', 'code_challenge', 'id_token_hint']) {
        const value = searchParams.get(name)
        if (value !== null) secrets.add(value)
      }
      for (const header of headers['set-cookie'] ?? []) {
        const [, value = ''] = /^[^=]*=([^;]*)/.exec(header) ?? []
        if (value.length >= 20) secrets.add(decodeURIComponent(value))
      }
    }
  }
  return [...secrets]
}

/** The browser knows what passes through it: it has to be the one that logs in. */
const logged = ({ logger }: CapturedLog) => ({ through: 'browser' as const, fastify: { logger } })

function assertNothingLeaked (t: Test, log: CapturedLog, secrets: string[], count: number): void {
  t.ok(secrets.length >= count, `${secrets.length} secrets to look for`)
  t.strictSame(log.leaked(secrets), [])
}

t.test('a login, calls, a refresh and a logout leave no secret in the log', async (t) => {
  const log = captureLog()
  const { url, store, browser, provider, orders } = await loggedInApp(t, logged(log))
  t.equal((await orders()).status, 200)
  expireTokens(store)
  t.equal((await orders()).status, 200)
  t.strictSame(provider.tokenRequests.map(({ body }) => body.grant_type), ['authorization_code', 'refresh_token'])
  await browser.logout(`${url}/logout`)
  assertNothingLeaked(t, log, secretsOf(provider, browser), 15)
  t.match(log.text, '"url":"/login/acme/callback"', 'while the routes themselves are logged')
})

t.test('a refresh that fails leaves no secret in the log', async (t) => {
  const log = captureLog()
  const { store, browser, provider, orders } = await loggedInApp(t, logged(log))
  // The last one ends the login.
  for (const [status, error, answer] of [[502, 'server_error', 503], [400, 'invalid_grant', 401]] as const) {
    expireTokens(store)
    const fault = provider.failTokenEndpoint(({ request: { body } }) => ({
      status,
      body: { error, error_description: `refresh token ${String(body.refresh_token)} is unknown` }
    }))
    t.equal((await orders()).status, answer)
    fault.stop()
  }
  assertNothingLeaked(t, log, secretsOf(provider, browser), 8)
})

t.test('a revocation that fails leaves no secret in the log', async (t) => {
  const log = captureLog()
  const { url, browser, provider } = await loggedInApp(t, logged(log))
  provider.endpoints.revocation.fail(({ response }) => { response.destroy() })
  await browser.post(`${url}/logout`, { redirect: 'manual' })
  t.match(log.text, 'could not be revoked')
  assertNothingLeaked(t, log, secretsOf(provider, browser), 8)
})

const failures: Record<string, LoginAppOptions & { logged: RegExp }> = {
  'the provider says no': {
    wrong: {
      callback: params => { params.set('error', 'access_denied') }
    },
    logged: /access_denied/
  },
  'the provider repeats what came with its error': {
    wrong: {
      callback: params => {
        params.set('error', 'invalid_request')
        params.set('error_description', `no: ${params}`)
        params.set('error_uri', `https://id.example/?${params}`)
      }
    },
    logged: /"oauthErrorDescription":"no: code=\[redacted\]&state=\[redacted\]/
  },
  'the issuer is another': {
    wrong: {
      callback: params => { params.set('iss', 'https://evil.example') }
    },
    logged: /issuer_mismatch/
  },
  'the ID token is refused': { wrong: { claims: { nonce: 'another' } }, logged: /"reason":"nonce"/ },
  'the ID token is no token': { wrong: { idToken: (jwt) => `${jwt}x.y` }, logged: /"reason":"malformed"/ },
  'the token endpoint repeats what it was sent': {
    wrong: {
      instead: {
        token: ({ form, headers }) => ({
          status: 400,
          body: {
            error: 'invalid_request',
            error_description: `${form.toString()} ${headers.authorization}`,
            error_uri: `https://id.example/?${form.toString()}`
          }
        })
      }
    },
    logged: /invalid_request/
  },
  'the token endpoint repeats a short secret and a 503': {
    provider: { clientSecret: 'p4ss/w0rd+x', clientAuthentication: 'client_secret_post' },
    wrong: {
      instead: {
        token: ({ form }) => ({ status: 503, body: `overloaded by ${form.get('client_secret')} in ${form.toString()}` })
      }
    },
    logged: /overloaded|PROVIDER_UNAVAILABLE/
  },
  'the token endpoint repeats a short secret and a 400': {
    provider: { clientSecret: 'p4ss/w0rd+x', clientAuthentication: 'client_secret_post' },
    wrong: {
      instead: {
        token: ({ form }) => ({
          status: 400,
          body: { error: 'invalid_request', error_description: `${form.get('client_secret')} ${form.toString()}` }
        })
      }
    },
    logged: /invalid_request/
  },
  'the token endpoint repeats it in HTML': {
    wrong: {
      instead: {
        token: ({ form }) => ({
          status: 403,
          headers: { 'content-type': 'text/html' },
          body: `<h1>Blocked</h1><p>${form.toString()}</p>`
        })
      }
    },
    logged: /Blocked/
  },
  'the token answer cannot be read': {
    wrong: {
      instead: {
        token: {
          headers: { 'content-type': 'application/json' },
          body: '{"access_token":"sEcReT-tOkEn-oF-a-uSeR-12345","refresh_token":"sEcReT-rEfReSh'
        }
      }
    },
    logged: /unreadable_response/
  },
  'the connection to the token endpoint breaks': {
    wrong: {
      instead: {
        token: (_request, response) => {
          response.destroy()
          return 'handled'
        }
      }
    },
    logged: /cannot be reached/
  },
  'userinfo is of another user': {
    wrong: { userinfo: { sub: 'mallory' } },
    provider: { scope: 'openid profile' },
    logged: /subject_mismatch/
  },
  'userinfo repeats a short token': {
    providers: ({ staticOptions }) => ({ acme: staticOptions }),
    wrong: {
      tokens: { access_token: 'short-t0ken' },
      instead: { userinfo: ({ headers }) => ({ status: 503, body: `overloaded by ${headers.authorization}` }) }
    },
    logged: /overloaded by Bearer/
  },
  'onLogin throws': { oauth: { onLogin: () => { throw new Error('not one of us') } }, logged: /not one of us/ },
}

for (const [what, { logged, ...options }] of Object.entries(failures)) {
  t.test(`the log names the cause and no secret where ${what}`, async (t) => {
    const log = captureLog()
    const { browser, url, provider } = await loginApp(t, { ...options, fastify: { logger: log.logger } })
    const callback = await callbackUrl(browser, `${url}/login/acme`)
    const cookies = browser.cookies.map(({ value }) => value)
    t.ok((await browser.get(callback)).status >= 400)
    t.match(log.text, logged)
    const challenge = provider.asked('authorization')[0]!.query.get('code_challenge')!
    const basic = Buffer.from(`${provider.clientId}:${provider.clientSecret}`).toString('base64')
    assertNothingLeaked(
      t,
      log,
      [
        ...provider.secrets,
        ...cookies,
        challenge,
        basic,
        'p4ss/w0rd+x',
        'sEcReT-tOkEn-oF-a-uSeR-12345',
        'sEcReT-rEfReSh',
        'short-t0ken'
      ],
      7
    )
  })
}

t.test('an error shows nothing of the request that failed, however deep one looks', async (t) => {
  // What undici's own errors have had in them: sockets, requests, headers.
  class Revealing extends Dispatcher {
    override dispatch (options: Dispatcher.DispatchOptions): boolean {
      throw Object.assign(new Error('connection lost'), {
        code: 'ECONNRESET',
        options,
        cause: new Error(String(options.body)),
        [Symbol('request')]: options
      })
    }
  }
  const { browser, url, errors, provider } = await loginApp(t, {
    oauth: { dispatcher: new Revealing() },
    providers: ({ staticOptions }) => ({ acme: staticOptions })
  })
  await browser.login(`${url}/login/acme`)
  const [error] = errors
  t.match(error, { code: 'FST_OAUTH_PROVIDER_UNAVAILABLE', cause: { message: 'connection lost', code: 'ECONNRESET' } })
  const { query } = provider.asked('authorization')[0]!
  const secrets = [
    ...provider.secrets,
    query.get('state')!,
    Buffer.from(`${provider.clientId}:${provider.clientSecret}`).toString('base64')
  ]
  const shown = [
    inspect(error, { depth: Infinity, showHidden: true, getters: true }),
    JSON.stringify(error),
    error!.stack,
    String(error!.cause)
  ].join()
  t.strictSame(secrets.filter(secret => shown.includes(secret)), [])
  t.notMatch(shown, 'code_verifier')
})

t.test('an API that repeats a short token gets it into no error and no log', async (t) => {
  const log = captureLog()
  const api = await startOutside(t, ({ headers }, response) =>
    response.writeHead(422).end(`no ${headers.authorization}, no ${encodeURIComponent(String(headers.authorization))}`)
  )
  const { browser, url } = await loginApp(t, {
    fastify: { logger: log.logger },
    provider: { resourceServers: [api.url] },
    wrong: { tokens: { access_token: 't0ken/+short' }, claims: { at_hash: undefined } },
    setup: (app) => { app.get('/orders', async ({ oauth }) => oauth.get('orders').json()) }
  })
  await browser.login(`${url}/login/acme`)
  const page = await browser.get(`${url}/orders`)
  t.equal(page.status, 502)
  t.equal(api.seen[0]?.headers.authorization, 'Bearer t0ken/+short')
  t.match(log.text, '"excerpt":"no Bearer')
  t.strictSame(log.leaked(['t0ken/+short']), [])
  t.notMatch(page.text, 't0ken')
})

t.test('an error shows nothing of what a conform held when it failed', async (t) => {
  const { browser, url, errors, provider } = await loginApp(t, {
    provider: {
      conform: members => {
        throw Object.assign(new RangeError('no good'), { members, cause: new Error(String(members.access_token)) })
      }
    }
  })
  await browser.login(`${url}/login/acme`)
  matchEach(t, errors, [
    {
      code: 'FST_OAUTH_INVALID_TOKEN_RESPONSE',
      reason: 'conform_failed',
      cause: { name: 'RangeError', message: 'no good' }
    }
  ])
  const shown = inspect(errors[0], { depth: Infinity, showHidden: true })
  t.strictSame(provider.secrets.filter(secret => shown.includes(secret)), [])
})

for (const [what, [options, expected]] of Object.entries({
  'its headers': [{}, { headers: { accept: 'another' } }],
  'its body': [{ clientAuthentication: 'client_secret_post' }, { body: 'another' }],
  'its URL': [{ clientAuthentication: 'client_secret_post', tokenRequestPlacement: 'query' }, {}],
} satisfies Record<string, [Partial<ProviderOptions>, object]>)) {
  t.test(`a mock that shows ${what} where it has no answer leaves no secret in the log`, async (t) => {
    const log = captureLog()
    const dispatcher = new MockAgent()
    dispatcher.disableNetConnect()
    t.after(() => dispatcher.close())
    dispatcher.get('https://id.example').intercept({ path: '/token', method: 'POST', ...expected }).reply(200, {})
    const { app } = await buildApp(t, {
      fastify: { logger: log.logger },
      oauth: {
        dispatcher,
        providers: {
          acme: {
            authorizationEndpoint: 'https://id.example/authorize',
            tokenEndpoint: 'https://id.example/token',
            clientId: 'c',
            clientSecret: 'p4ss/w0rd+x',
            ...options
          }
        }
      }
    })
    const start = await app.inject('/login/acme')
    const { name, value } = start.cookies[0]!
    const state = new URL(String(start.headers.location)).searchParams.get('state')!
    const answer = await app.inject({
      url: `/login/acme/callback?code=c0de-of-a-login&state=${state}`,
      headers: { cookie: `${name}=${value}` }
    })
    t.equal(answer.json().code, 'FST_OAUTH_PROVIDER_UNAVAILABLE')
    t.match(log.text, 'Mock dispatch not matched')
    assertNothingLeaked(
      t,
      log,
      [state, 'c0de-of-a-login', 'p4ss/w0rd+x', Buffer.from('c:p4ss%2Fw0rd%2Bx').toString('base64')],
      4
    )
    t.notMatch(log.text, /code_verifier=[\w-]{43}/)
  })
}

t.test('a callback that is refused leaves no code and no state in the log, whatever the method', async (t) => {
  const log = captureLog()
  const { app, browser, url, provider } = await loginApp(t, { fastify: { logger: log.logger } })
  const callback = await callbackUrl(new Browser(), `${url}/login/acme`)
  await browser.get(callback)
  await browser.get(withQuery(callback, (query) => query.append('state', 'x')))
  const { pathname, search } = new URL(callback)
  for (const method of ['HEAD', 'POST'] as const) await app.inject({ method, url: pathname + search })
  await app.inject({
    method: 'POST',
    url: pathname,
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: search.slice(1)
  })
  await app.inject({ method: 'POST', url: pathname, headers: { 'content-type': 'text/plain' }, body: search.slice(1) })
  await app.inject({ method: 'POST', url: pathname + search, headers: { 'content-type': 'image/png' }, body: 'x' })
  t.match(log.text, '"reason":"other_browser"')
  assertNothingLeaked(t, log, provider.secrets, 4)
})

t.test('a store that fails leaves no secret in the log, and its address is there to be found', async (t) => {
  const log = captureLog()
  const { browser, url, provider, store } = await loginApp(t, { fastify: { logger: log.logger } })
  const callback = await callbackUrl(browser, `${url}/login/acme`)
  provider.wrong = { instead: { token: () => { store.fail.set = true } } }
  t.equal((await browser.get(callback)).status, 503)
  t.match(log.text, '10.1.2.3:6379')
  assertNothingLeaked(t, log, provider.secrets, 7)
})

t.test("what is logged of a failure is one line of its kind: a warning for a visitor's, an error for ours", async t => {
  const log = captureLog()
  const { browser, url, provider } = await loginApp(t, { fastify: { logger: log.logger } })
  await browser.get(`${url}/login/acme/callback?code=c&state=s`)
  provider.wrong = { instead: { token: { status: 503 } } }
  await browser.login(`${url}/login/acme`)
  const lines = log.lines.filter(({ event }) => event === 'login_failed')
  matchEach(t, lines, [
    { level: 40, provider: 'acme', err: { code: 'FST_OAUTH_STATE_MISMATCH', reason: 'other_browser' } },
    { level: 50, provider: 'acme', err: { code: 'FST_OAUTH_PROVIDER_UNAVAILABLE', responseStatus: 503 } }
  ])
  t.equal(lines.length, 2)
})

t.test('a proxy on this machine that rewrites Host is not taken for another name of it', async (t) => {
  const log = captureLog()
  const { app } = await loginApp(t, { fastify: { logger: log.logger }, oauth: { baseUrl: 'http://localhost:8080' } })
  for (const headers of [
    { host: '127.0.0.1:3000' },
    { host: '127.0.0.1' },
    { host: '[::1]:3000' },
    { host: '127.0.0.1:8080', 'x-forwarded-for': '127.0.0.1' },
    { host: '127.0.0.1:8080', via: '1.1 proxy' }
  ]) {
    t.equal((await app.inject({ url: '/login/acme', headers })).statusCode, 302)
  }
  t.notMatch(log.text, 'none of its cookies')
  await app.inject({ url: '/login/acme', headers: { host: '127.0.0.1:8080' } })
  t.match(log.text, 'none of its cookies')
})

t.test('a login that starts at another name of this machine than it comes back to is told in the log', async (t) => {
  const log = captureLog()
  const { url } = await loginApp(t, { fastify: { logger: log.logger } })
  const browser = new Browser()
  await browser.get(`${url}/login/acme`, { redirect: 'manual' })
  t.notMatch(log.text, 'none of its cookies')
  await browser.get(`${url.replace('127.0.0.1', 'localhost')}/login/acme`, { redirect: 'manual' })
  t.match(
    log.lines.findLast(({ level }) => level === 40),
    {
      msg: 'this login starts at localhost and comes back to 127.0.0.1, where the browser has none of its cookies; ' +
        `open the app at ${url}, as baseUrl has it`
    }
  )
})
