import { text } from 'node:stream/consumers'
import cookie from '@fastify/cookie'
import session from '@fastify/session'
import Fastify from 'fastify'
import { createRemoteJWKSet, decodeJwt, jwtVerify } from 'jose'
import * as oauth from 'oauth4webapi'
import t, { type Test } from 'tap'
import { Browser } from '../helpers/browser.ts'
import { signIn, startChromium } from '../helpers/chromium.ts'
import { answerLost, cutBefore, cutMidway, drip, edited, hang, html } from '../helpers/faults.ts'
import { listen } from '../helpers/listen.ts'
import { captureLog } from '../helpers/log.ts'
import { matchEach } from '../helpers/match-each.ts'
import { startProvider, type TestProvider } from '../helpers/provider.ts'
import type { ProviderOptions } from '../helpers/provider-options.ts'
import { startRedis } from '../helpers/redis.ts'
import { requireService } from '../helpers/services.ts'
import { JsonStore } from '../helpers/stores.ts'
import { until } from '../helpers/until.ts'

const invalidGrant = { code: 'OAUTH_RESPONSE_BODY_ERROR', error: 'invalid_grant' }
const insecure = { [oauth.allowInsecureRequests]: true }
const scope = 'openid profile email offline_access orders:read'

/** An app that logs in with oauth4webapi, the way that its documentation shows, for one user at a time. */
async function startApp (t: Test, options?: ProviderOptions) {
  const provider = await startProvider(t, options)
  const issuer = new URL(provider.issuer)
  const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, insecure))
  const client = { client_id: provider.clientId }
  const auth = oauth.ClientSecretBasic(provider.clientSecret)
  const { server, port, close } = await listen()
  const url = `http://127.0.0.1:${port}`
  const redirectUri = `${url}/callback`
  const codeVerifier = oauth.generateRandomCodeVerifier()
  const codeChallenge = await oauth.calculatePKCECodeChallenge(codeVerifier)
  const app = { provider, as, client, auth, url, tokens: undefined as oauth.TokenEndpointResponse | undefined, refresh }

  async function refresh (refreshToken = app.tokens?.refresh_token ?? ''): Promise<oauth.TokenEndpointResponse> {
    const response = await oauth.refreshTokenGrantRequest(as, client, auth, refreshToken, insecure)
    app.tokens = await oauth.processRefreshTokenResponse(as, client, response)
    return app.tokens
  }

  async function handle (path: string, body: string): Promise<{ location?: string, text?: string }> {
    const current = new URL(body === '' ? path : `${path}?${body}`, url)
    if (current.pathname !== '/callback') {
      const parameters = {
        client_id: client.client_id,
        response_type: 'code',
        redirect_uri: redirectUri,
        scope,
        state: 'xyz',
        code_challenge: codeChallenge,
        code_challenge_method: 'S256',
        ...Object.fromEntries(current.searchParams),
      }
      return { location: `${as.authorization_endpoint}?${new URLSearchParams(parameters)}` }
    }
    const callback = oauth.validateAuthResponse(as, client, current, 'xyz')
    const response = await oauth.authorizationCodeGrantRequest(
      as,
      client,
      auth,
      callback,
      redirectUri,
      codeVerifier,
      insecure
    )
    app.tokens = await oauth.processAuthorizationCodeResponse(as, client, response)
    return { text: 'logged in' }
  }

  server.on('request', async (request, response) => {
    handle(request.url ?? '', await text(request)).then(({ location, text }) => {
      response.writeHead(location === undefined ? 200 : 302, location === undefined ? {} : { location }).end(text)
    }, (error) => response.writeHead(500).end(error.error ?? String(error)))
  })
  t.after(close)
  return app
}

function callApi ({ api }: TestProvider, path: string, token?: string, init: RequestInit = {}) {
  const headers = { ...init.headers, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) }
  return fetch(new URL(path, api.url), { ...init, headers })
}

t.test('a whole login, userinfo and an API call', async (t) => {
  const app = await startApp(t)
  const { provider } = app
  const browser = new Browser()
  const page = await browser.login(`${app.url}/login/acme`, { user: 'bob' })
  t.match(page, { status: 200, text: 'logged in' })

  const {
    access_token: accessToken, scope: granted, id_token: idToken = ''
  } = app.tokens as oauth.TokenEndpointResponse
  t.equal(granted, 'openid profile email orders:read', 'offline_access needs prompt=consent')
  t.match(decodeJwt(idToken), { sub: 'bob', iss: provider.issuer, aud: provider.clientId })
  const userinfo = await oauth.userInfoRequest(app.as, app.client, accessToken, insecure)
  const { password: _, ...claims } = provider.users.bob ?? {}
  t.strictSame(await userinfo.json(), { sub: 'bob', ...claims })

  t.strictSame(await (await callApi(provider, 'me', accessToken)).json(), { sub: 'bob', scope: granted })
  t.equal((await callApi(provider, 'orders', accessToken)).status, 200)
  t.equal(provider.api.requests.length, 2)
  t.equal(provider.api.requests[0]?.authorization, `Bearer ${accessToken}`)
  matchEach(t, provider.tokenRequests, [
    { body: { grant_type: 'authorization_code' }, processed: true, answer: { status: 200 } }
  ])
  t.strictSame(provider.errors, [])

  const jwt = await provider.signJwt({ sub: 'mallory' }, { typ: 'logout+jwt' })
  const { payload } = await jwtVerify(jwt, createRemoteJWKSet(new URL(app.as.jwks_uri ?? '')))
  t.equal(payload.sub, 'mallory')

  const sites = browser.history.map(({ url, requestHeaders }) => [
    new URL(url).pathname.split('/')[1],
    requestHeaders['sec-fetch-site']
  ])
  t.strictSame(sites, [
    ['login', 'none'], ['auth', 'none'], ['interaction', 'none'],
    ['interaction', 'same-origin'], ['auth', 'same-origin'], ['callback', 'same-site'],
  ])
})

t.test('the provider remembers the user, consents, refuses, and honours prompt and login_hint', async (t) => {
  const app = await startApp(t)
  const browser = new Browser()
  await browser.login(`${app.url}/login/acme`)
  const hops = browser.history.length
  t.equal((await browser.login(`${app.url}/login/acme?prompt=none`)).text, 'logged in')
  t.equal(browser.history.length, hops + 3, 'without a form')
  await browser.login(`${app.url}/login/acme?prompt=consent`)
  t.match(app.tokens?.scope, 'offline_access')
  t.equal((await browser.login(`${app.url}/login/acme?response_mode=form_post`)).text, 'logged in')
  t.match(browser.page, { method: 'POST', requestHeaders: { origin: app.provider.issuer } })
  t.equal((await new Browser().login(`${app.url}/login/acme?prompt=none`)).text, 'login_required')

  const form = await browser.get(`${app.url}/login/acme?prompt=login&login_hint=bob`)
  t.match(form.text, 'name="login" value="bob"')
  t.equal((await browser.submitForm(form, { password: 'wrong' })).status, 401)
  t.equal((await browser.submitForm(form, { cancel: 'yes' })).text, 'access_denied')

  const other = await browser.login(`${app.url}/login/acme?prompt=login`, { user: 'bob' })
  t.equal(other.text, 'logged in')
  t.equal(decodeJwt(app.tokens?.id_token ?? '').sub, 'bob')
  await browser.login(`${app.url}/login/acme?prompt=login&acr_values=urn:example:mfa`, { user: 'bob' })
  t.equal(decodeJwt(app.tokens?.id_token ?? '').acr, 'urn:example:mfa')
})

t.test('refresh tokens rotate, and using one again revokes everything', async (t) => {
  const app = await startApp(t)
  const { provider } = app
  await new Browser().login(`${app.url}/login/acme`)
  const first = app.tokens?.refresh_token ?? ''
  const { refresh_token: second, access_token: accessToken } = await app.refresh()
  t.not(second, first)
  t.equal(provider.refreshTokenReuses, 0)

  await t.rejects(app.refresh(first), invalidGrant)
  t.equal(provider.refreshTokenReuses, 1)
  t.equal(provider.refreshTokensSeen.get(first), 2)
  await t.rejects(app.refresh(second), invalidGrant, 'the winner has lost its tokens too')
  t.equal((await callApi(provider, 'orders', accessToken)).status, 401)
})

t.test('access tokens end when the test says so', async (t) => {
  const app = await startApp(t, { accessTokenTtl: 60 })
  const { provider } = app
  await new Browser().login(`${app.url}/login/acme`)
  const { access_token: accessToken, expires_in: expiresIn } = app.tokens as oauth.TokenEndpointResponse
  t.equal(expiresIn, 60)
  provider.expireAccessTokens()
  const refused = await callApi(provider, 'orders', accessToken)
  t.equal(refused.status, 401)
  t.equal(refused.headers.get('www-authenticate'), 'Bearer error="invalid_token"')
  t.equal((await oauth.userInfoRequest(app.as, app.client, accessToken, insecure)).status, 401)

  provider.accessTokenTtl = 120
  const refreshed = await app.refresh()
  t.equal(refreshed.expires_in, 120)
  t.equal((await callApi(provider, 'orders', refreshed.access_token)).status, 200)
  provider.revokeAccessToken(refreshed.access_token)
  t.equal((await callApi(provider, 'orders', refreshed.access_token)).status, 401)
  provider.revokeGrants('alice')
  await t.rejects(app.refresh(), invalidGrant)
})

t.test('gates and faults at the token endpoint', async (t) => {
  const app = await startApp(t)
  const { provider } = app
  await new Browser().login(`${app.url}/login/acme`)

  const gate = provider.holdTokenEndpoint({ grantType: 'refresh_token' })
  const refreshing = app.refresh()
  const held = await gate.arrived
  t.equal(held.body.refresh_token, app.tokens?.refresh_token)
  t.equal(held.processed, false)
  gate.release()
  await refreshing

  const answered = provider.holdTokenEndpoint({ afterwards: true })
  const rotating = app.refresh()
  t.equal((await answered.arrived).processed, true)
  answered.release()
  await rotating

  const down = provider.failTokenEndpoint({ status: 503, headers: { 'retry-after': '1' }, body: 'down' }, { times: 1 })
  await t.rejects(app.refresh())
  t.equal(down.hits, 1)
  await app.refresh()

  for (const fault of [cutBefore, html, drip, hang]) {
    const running = provider.failTokenEndpoint(fault)
    const waiting = new AbortController()
    const attempt = oauth.refreshTokenGrantRequest(app.as, app.client, app.auth, app.tokens?.refresh_token ?? '', {
      ...insecure, signal: waiting.signal,
    })
    const rejected = t.rejects(attempt.then((response) => response.json()), fault.name)
    // Not before the request has come: one that comes later is answered.
    await until(() => running.hits === 1, 'the request has come')
    if (fault === drip || fault === hang) waiting.abort()
    await rejected
    running.stop()
  }
  t.equal(provider.refreshTokenReuses, 0, 'the provider has not seen those')

  provider.failTokenEndpoint(edited((tokens) => ({ ...tokens, scope: 'openid' })), { times: 1 })
  t.equal((await app.refresh()).scope, 'openid')

  for (const fault of [cutMidway, answerLost]) {
    await new Browser().login(`${app.url}/login/acme`)
    provider.failTokenEndpoint(fault, { times: 1, grantType: 'refresh_token' })
    await t.rejects(app.refresh(), fault.name)
    t.ok(provider.tokenRequests.at(-1)?.answer?.body, 'the provider has rotated')
    await t.rejects(app.refresh(), invalidGrant, 'and the new token is lost')
  }
  t.strictSame(provider.errors, [])

  const both = provider.holdTokenEndpoint()
  for (const token of ['one', 'two']) app.refresh(token).catch(() => {})
  t.equal((await both.arrivedTimes(2)).length, 2, 'left waiting: the end of the test must not hang')
})

t.test('the other endpoints', async (t) => {
  const app = await startApp(t)
  const { provider } = app
  await provider.setBackchannelLogoutUri(`${app.url}/backchannel-logout`)
  const browser = new Browser()
  await browser.login(`${app.url}/login/acme`)
  const { refresh_token: refreshToken = '', id_token: idToken = '' } = app.tokens as oauth.TokenEndpointResponse

  t.type(decodeJwt(idToken).sid, 'string')
  await t.rejects(provider.backchannelLogout('alice', 'sid'), /got: 302/)

  const logout = await browser.get(`${app.as.end_session_endpoint}?${new URLSearchParams({
    id_token_hint: idToken, post_logout_redirect_uri: `${app.url}/bye`, state: 's',
  })}`)
  const bye = await browser.submitForm(logout, {}, { redirect: 'manual' })
  t.equal(bye.location, `${app.url}/bye?state=s`)

  await browser.login(`${app.url}/login/acme`)
  const revoked = app.tokens?.refresh_token ?? ''
  await oauth.processRevocationResponse(await oauth.revocationRequest(app.as, app.client, app.auth, revoked, insecure))
  await t.rejects(app.refresh(revoked), invalidGrant)
  t.ok(await app.refresh(refreshToken), 'which a logout does not end')

  const credentials = await oauth.processClientCredentialsResponse(app.as, app.client,
    await oauth.clientCredentialsGrantRequest(app.as, app.client, app.auth, { scope: 'orders:read' }, insecure))
  t.equal((await callApi(provider, 'orders', credentials.access_token)).status, 200)
  t.equal((await callApi(provider, 'orders', credentials.access_token, { method: 'DELETE' })).status, 403)
  t.equal((await callApi(provider, `orders?access_token=${credentials.access_token}`)).status, 200)
  t.equal((await callApi(provider, 'status/429', credentials.access_token)).status, 429)
  t.match(await (await callApi(provider, 'echo', credentials.access_token, { method: 'PUT' })).json(), {
    method: 'PUT'
  })
  t.match(await (await callApi(provider, 'orders', credentials.access_token, { method: 'POST', body: 'x' })).json(), {
    body: 'x'
  })
  const slow = provider.api.holdSlow()
  const waiting = callApi(provider, 'slow', credentials.access_token)
  await slow.arrived
  slow.release()
  t.equal((await waiting).status, 200)

  const other = new Browser()
  const device = await oauth.processDeviceAuthorizationResponse(app.as, app.client,
    await oauth.deviceAuthorizationRequest(app.as, app.client, app.auth, { scope: 'openid' }, insecure))
  const confirm = await other.submitForm(await other.get(device.verification_uri_complete ?? ''))
  const signIn = await other.submitForm(confirm)
  const done = await other.submitForm(signIn, { login: 'alice', password: 'alice-password' })
  t.match(done.text, 'Device signed in')
  const tokens = await oauth.processDeviceCodeResponse(app.as, app.client,
    await oauth.deviceCodeGrantRequest(app.as, app.client, app.auth, device.device_code, insecure))
  t.equal((await callApi(provider, 'me', tokens.access_token)).status, 200)

  const pushed = await oauth.pushedAuthorizationRequest(app.as, app.client, app.auth, {
    response_type: 'code',
    redirect_uri: `${app.url}/callback`,
    scope,
    code_challenge: 'a'.repeat(43),
    code_challenge_method: 'S256',
  }, insecure)
  t.equal(pushed.status, 201)
  t.equal(provider.endpoints.pushedAuthorizationRequest.requests[0]?.body.scope, scope)
  t.strictSame(provider.errors, [])
})

t.test('options of the provider', async (t) => {
  const provider = await startProvider(t, {
    host: 'localhost',
    redirectUris: ['https://one.example/callback'],
    features: {
      deviceFlow: false,
      clientCredentials: false,
      backchannelLogout: false,
      revocation: false,
      userinfo: false
    },
    resourceServers: { 'https://api.example/': 'orders:read' },
    configuration: { conformIdTokenClaims: false },
  })
  const authorize = (redirectUri: string) =>
    new Browser().get(
      `${provider.issuer}/auth?${new URLSearchParams({
        client_id: provider.clientId,
        response_type: 'code',
        redirect_uri: redirectUri,
        code_challenge: 'a'.repeat(43),
        code_challenge_method: 'S256'
      })}`
    )
  t.equal((await authorize('https://one.example/callback')).status, 200)
  t.match(await authorize('https://two.example/callback'), { status: 400, text: /redirect_uri/ })
  provider.allowRedirect('https://two.example/callback')
  t.equal((await authorize('https://two.example/callback')).status, 200)
  t.notMatch(await (await fetch(`${provider.issuer}/.well-known/openid-configuration`)).json(), {
    revocation_endpoint: String
  })
  await provider.close()
})

t.test('cookies and sites as in a browser', async (t) => {
  const { server, port, close } = await listen((request, response) => {
    const query = new URL(request.url ?? '', 'http://x').searchParams
    response.setHeader('set-cookie', query.getAll('cookie'))
    const to = query.get('to')
    if (to !== null) response.writeHead(Number(query.get('status') ?? 302), { location: to })
    response.end(JSON.stringify({ method: request.method, headers: request.headers }))
  })
  t.ok(server.listening)
  t.after(close)
  const browser = new Browser()
  const cookies = [
    'lax=1', 'strict=1; SameSite=Strict', 'none=1; SameSite=None; Secure', 'deep=1; Path=/deep',
    '__Host-no=1; Path=/', 'foreign=1; Domain=evil.test'
  ]
  await browser.get(
    `http://app.test:${port}/?${new URLSearchParams(cookies.map((value): [string, string] => ['cookie', value]))}`
  )
  const sent = (page: { json(): any }) => page.json().headers.cookie
  t.equal(sent(await browser.get('/')), 'lax=1; strict=1; none=1')
  t.equal(sent(await browser.get('/deep/er')), 'deep=1; lax=1; strict=1; none=1')
  t.equal(sent(await browser.get('/', { from: 'http://evil.test/' })), 'lax=1; none=1')
  t.equal(sent(await browser.post('/', { from: 'http://evil.test/' })), 'none=1')
  t.equal(sent(await browser.get(`http://other.test:${port}/`)), undefined)

  const posted = await browser.post(`http://app.test:${port}/?status=307&to=http://other.test:${port}/`, {
    form: { a: '1' },
    from: `http://app.test:${port}/`
  })
  t.match(posted.json(), {
    method: 'POST',
    headers: { origin: `http://app.test:${port}`, 'sec-fetch-site': 'cross-site' }
  })
  const step = await browser.get(`http://app.test:${port}/?to=/deep&cookie=lax=;Max-Age=0`, { redirect: 'manual' })
  t.equal(step.location, `http://app.test:${port}/deep`)
  t.equal(sent(await browser.follow(step)), 'deep=1; strict=1; none=1')

  const twin = browser.copy()
  t.equal(twin.cookie('strict'), '1')
})

t.test('JsonStore behind @fastify/session', async (t) => {
  const log = captureLog()
  const store = new JsonStore()
  const app = Fastify({ logger: log.logger })
  await app.register(cookie)
  await app.register(session, { secret: 's'.repeat(32), store, cookie: { secure: false, maxAge: 60_000 } })
  app.get('/', async (request) => {
    const visits = Number(Object(request.session).visits ?? 0) + 1
    Object.assign(request.session, { visits })
    return { visits }
  })
  t.after(() => app.close())
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const browser = new Browser()
  t.strictSame((await browser.get(url)).json(), { visits: 1 })
  t.strictSame((await browser.get(url)).json(), { visits: 2 })
  const [sessionId = ''] = store.records.keys()
  t.match(store.peek(sessionId), { visits: 2 })

  const gate = store.holdNext('set', (id) => id === sessionId)
  const slow = browser.get(url)
  t.equal(await gate.arrived, sessionId)
  t.strictSame((await browser.get(url)).json(), { visits: 3 })
  gate.release()
  t.strictSame((await slow).json(), { visits: 3 }, 'a lost update')
  t.strictSame(store.calls, { get: 3, set: 4, destroy: 0 })

  store.fail.get = true
  t.equal((await browser.get(url)).status, 500)
  store.fail.get = false
  store.records.set(sessionId, JSON.stringify({ visits: 9, cookie: { expires: new Date(0) } }))
  t.equal(store.peek(sessionId), undefined)

  t.ok(log.lines.length > 5)
  t.strictSame(log.leaked([sessionId, '127.0.0.1']), ['127.0.0.1'])
})

t.test('a service that is not installed', async (t) => {
  const skipped: string[] = []
  const test = { pass: (message: string) => skipped.push(message) > 0 } as unknown as Test
  const { REQUIRE_SERVICES: required } = process.env
  t.after(() => {
    required === undefined ? delete process.env.REQUIRE_SERVICES : (process.env.REQUIRE_SERVICES = required)
  })
  delete process.env.REQUIRE_SERVICES
  t.equal(requireService(test, 'no-such-binary'), false)
  t.match(skipped, [/no-such-binary/])
  process.env.REQUIRE_SERVICES = '1'
  t.throws(() => requireService(test, 'no-such-binary'), /not on the PATH/)
})

t.test('Redis that is paused, restarted and loses nothing', async (t) => {
  const redis = await startRedis(t, { appendonly: true })
  if (redis === undefined) return
  const { createClient } = await import('redis')
  const client = createClient({ url: redis.url })
  client.on('error', () => {})
  await client.connect()
  t.after(() => client.destroy())
  await client.set('key', 'value')

  redis.pause()
  const reading = client.get('key')
  redis.resume()
  t.equal(await reading, 'value')

  const { pid } = redis
  await redis.restart('SIGKILL')
  t.not(redis.pid, pid)
  t.equal(await client.get('key'), 'value')
  await redis.stop()
})

t.test('a login in Chromium', async (t) => {
  const app = await startApp(t)
  const chromium = await startChromium(t)
  if (chromium === undefined) return
  const page = await chromium.newPage()
  await page.goto(`${app.url}/login/acme`)
  await signIn(page)
  await page.waitForURL(`${app.url}/callback?*`)
  t.equal(await page.textContent('body'), 'logged in')
  await page.goto(`${app.as.end_session_endpoint}`)
  await page.click('button')
  await page.waitForURL('**/session/end/success*')
})
