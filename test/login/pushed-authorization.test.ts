import t, { type Test } from 'tap'
import { createProvider, type ProviderOptions } from '../../lib/index.ts'
import type { Answer, Fault } from '../../lib/testing/endpoint.ts'
import { cutBefore, drip, edited, flood, garbage, hang, html } from '../helpers/faults.ts'
import { captureLog } from '../helpers/log.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { appAt, asJson, assertLoggedOut, codeOf, loginCookies, pendingLogins } from '../helpers/login-app.ts'
import { matchEach } from '../helpers/match-each.ts'
import { startProvider, type TestProvider } from '../helpers/provider.ts'
import type { ProviderOptions as OidcOptions } from '../helpers/provider-options.ts'

const pushing = { pushedAuthorizationRequests: true }

interface PushApp {
  oidc?: OidcOptions
  provider?: Partial<ProviderOptions>
  providers?: (provider: TestProvider) => Record<string, ProviderOptions>
}

async function pushApp (t: Test, { oidc, provider = pushing, providers }: PushApp = {}) {
  const log = captureLog()
  const app = await appAt(t, await startProvider(t, oidc), { provider, providers, fastify: { logger: log.logger } })
  const pushed = app.provider.endpoints.pushedAuthorizationRequest
  /** Where `GET /login/acme` leads. */
  const start = async (query = '') => {
    const page = await app.browser.get(`${app.url}/login/acme${query}`, { redirect: 'manual' })
    return new URL(page.location!)
  }
  return { ...app, log, pushed, start }
}

t.test('a login pushes its request, and the browser takes along client_id and request_uri alone', async (t) => {
  const { provider, pushed, start, browser, url, log } = await pushApp(t)
  const { searchParams, origin, pathname } = await start()
  t.equal(origin + pathname, `${provider.issuer}/auth`)
  t.strictSame([...searchParams.keys()], ['client_id', 'request_uri'])
  t.equal(searchParams.get('client_id'), provider.clientId)
  matchEach(t, pushed.requests, [{
    method: 'POST',
    headers: { authorization: /^Basic /, accept: 'application/json' },
    body: {
      client_id: provider.clientId,
      response_type: 'code',
      redirect_uri: `${url}/login/acme/callback`,
      scope: provider.providerOptions.scope.join(' '),
      state: /^[\w-]{43}$/,
      nonce: /^[\w-]{43}$/,
      code_challenge: /^[\w-]{43}$/,
      code_challenge_method: 'S256',
      client_secret: undefined
    },
    answer: { status: 201 }
  }])
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
  const { state, nonce } = pushed.requests[1]!.body
  t.strictSame(log.leaked([state as string, nonce as string, searchParams.get('request_uri')!]), [])
})

t.test('requests are pushed by themselves where the metadata requires it', async (t) => {
  const { provider, pushed, start, browser, url } = await pushApp(t, { provider: {} })
  provider.endpoints.discovery.fail(edited(body => ({ ...body, require_pushed_authorization_requests: true })))
  t.strictSame([...(await start()).searchParams.keys()], ['client_id', 'request_uri'])
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
  t.equal(pushed.requests.length, 2)
})

t.test('with false they are never pushed, and without the option only where that is required', async (t) => {
  for (const [provider, required] of [[{ pushedAuthorizationRequests: false }, true], [{}, 'true']] as const) {
    const app = await pushApp(t, { provider })
    const metadata = { require_pushed_authorization_requests: required }
    app.provider.endpoints.discovery.fail(edited(body => ({ ...body, ...metadata })))
    t.ok((await app.start()).searchParams.has('state'))
    t.strictSame((await app.browser.login(`${app.url}/login/acme`)).json(), { user: 'alice' })
    t.equal(app.pushed.requests.length, 0)
  }
})

t.test('the endpoint may be written into the options', async (t) => {
  const { pushed, browser, url } = await pushApp(t, {
    providers: ({ issuer, providerOptions: { issuer: _none, ...options } }) => ({
      acme: {
        ...options,
        ...pushing,
        profileSource: 'userinfo',
        authorizationEndpoint: `${issuer}/auth?tenant=one`,
        pushedAuthorizationRequestEndpoint: `${issuer}/request`,
        tokenEndpoint: `${issuer}/token`,
        userinfoEndpoint: `${issuer}/me`
      }
    })
  })
  const { location } = await browser.get(`${url}/login/acme`, { redirect: 'manual' })
  t.match(location, /\/auth\?tenant=one&client_id=[^&]+&request_uri=[^&]+$/)
  t.equal((await browser.login(`${url}/login/acme`)).status, 200)
  t.equal(pushed.requests.length, 2)
})

t.test('a provider without that endpoint is a mistake in the options', async (t) => {
  t.throws(() => createProvider({
    clientId: 'a', authorizationEndpoint: 'https://a.example/a', tokenEndpoint: 'https://a.example/t', ...pushing
  }), { code: 'FST_OAUTH_INVALID_OPTIONS', message: /needs `pushedAuthorizationRequestEndpoint`/ })
  const { browser, url, errors } = await pushApp(t, { oidc: { features: { pushedAuthorizationRequests: false } } })
  t.equal((await browser.get(`${url}/login/acme`)).status, 500)
  matchEach(t, errors, [{ code: 'FST_OAUTH_INVALID_OPTIONS', reason: 'missing_pushed_authorization_request_endpoint' }])
})

t.test('PAR error', async (t) => {
  const { provider, browser, url, pushed, errors, log, store } = await pushApp(t, { oidc: { redirectUris: [] } })
  const refused = await browser.get(`${url}/login/acme?returnTo=/orders`)
  t.equal(refused.status, 400)
  t.equal(codeOf(refused), 'FST_OAUTH_AUTHORIZATION_FAILED')
  t.match(refused.text, /The login was turned down.*href="\/login\/acme"/s, 'with a way on')
  t.match(refused.headers, { 'cache-control': /no-store/ })
  t.strictSame((await browser.get(`${url}/login/acme`, asJson)).json(), {
    statusCode: 400,
    code: 'FST_OAUTH_AUTHORIZATION_FAILED',
    error: 'Bad Request',
    message: 'provider "acme" refused a pushed authorization request: invalid_request',
    provider: 'acme',
    oauthError: 'invalid_request',
    oauthErrorDescription: "redirect_uri did not match any of the client's registered redirect_uris"
  })
  matchEach(t, errors, [{ reason: 'refused', responseStatus: 400 }, { reason: 'refused' }])
  t.strictSame(loginCookies(browser), [])
  t.strictSame(pendingLogins(store), [], 'no pending login is left behind')
  t.match(log.lines.filter(({ event }) => event === 'login_failed'), [
    { provider: 'acme', err: { code: 'FST_OAUTH_AUTHORIZATION_FAILED', oauthError: 'invalid_request' } }, {}
  ])
  t.strictSame(log.leaked(pushed.requests.flatMap(({ body }) => [body.state as string, body.nonce as string])), [])

  provider.allowRedirect(`${url}/login/acme/callback`)
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' }, 'the next login works')
})

t.test('a PAR error costs a user who is logged in nothing', async (t) => {
  const { provider, page, orders } = await loggedInApp(t, { provider: pushing })
  provider.endpoints.pushedAuthorizationRequest.fail({ status: 400, body: { error: 'invalid_scope' } })
  const refused = await page((oauth, _request, reply) => oauth.login(reply, { params: { prompt: 'consent' } }))
  t.equal(refused.status, 400)
  t.equal((await orders()).status, 200)
})

t.test('what the provider repeats of the request in an error is not told', async (t) => {
  const { pushed, browser, url, errors, log, provider } = await pushApp(t)
  pushed.fail(({ request: { body } }) => ({
    status: 400,
    body: { error: 'invalid_request', error_description: `bad ${body.state as string} and ${body.nonce as string}` }
  }))
  const { text } = await browser.get(`${url}/login/acme`, asJson)
  matchEach(t, errors, [{ oauthErrorDescription: 'bad [redacted] and [redacted]' }])
  const { state, nonce } = pushed.requests[0]!.body
  for (const secret of [state, nonce, provider.clientSecret] as string[]) t.notMatch(text, secret)
  t.strictSame(log.leaked([state as string, nonce as string, provider.clientSecret]), [])
})

t.test('an endpoint that misbehaves costs the login alone, and the next one works', async (t) => {
  const reference = 'urn:ietf:params:oauth:request_uri:1'
  const created = (body: unknown): Answer => ({ status: 201, body })
  const unavailable = { code: 'FST_OAUTH_PROVIDER_UNAVAILABLE' }
  const invalid = { code: 'FST_OAUTH_INVALID_RESPONSE', reason: 'unreadable_response' }
  const tooLarge = { code: 'FST_OAUTH_INVALID_TOKEN_RESPONSE', reason: 'too_large' }
  const wrong: Record<string, [Fault | Answer, object]> = {
    'cut off': [cutBefore, { ...unavailable, reason: 'no_answer' }],
    silent: [hang, { ...unavailable, reason: 'no_answer' }],
    dripping: [drip, { ...unavailable, reason: 'no_answer' }],
    'a 502 with HTML': [html, { ...unavailable, responseStatus: 502 }],
    'a 503': [{ status: 503, headers: { 'retry-after': '7' } }, { ...unavailable, retryAfter: 7 }],
    'a 429': [{ status: 429, body: { error: 'slow_down' } }, { ...unavailable, oauthError: 'slow_down' }],
    'temporarily unavailable': [{ status: 400, body: { error: 'temporarily_unavailable' } }, unavailable],
    'a 200 with HTML': [{ status: 200, body: '<h1>Hello</h1>' }, invalid],
    'broken JSON': [garbage, invalid],
    huge: [flood(), tooLarge],
    'a redirect': [
      { status: 302, headers: { location: 'https://evil.example/' } },
      { code: 'FST_OAUTH_INVALID_RESPONSE', reason: 'redirect' }
    ],
    'a 404': [{ status: 404 }, { code: 'FST_OAUTH_INVALID_RESPONSE', reason: 'status' }],
    'no request_uri': [created({ expires_in: 60 }), invalid],
    'an empty request_uri': [created({ request_uri: '', expires_in: 60 }), invalid],
    'a request_uri that is a number': [created({ request_uri: 7 }), invalid],
    'a request_uri that is a list': [created({ request_uri: [reference] }), invalid],
    'a request_uri with a line break': [created({ request_uri: `${reference}\r\nset-cookie: a=b` }), invalid],
    'a request_uri that is no URI': [created({ request_uri: 'reference' }), invalid],
    'a request_uri without end': [created({ request_uri: reference + 'x'.repeat(3000) }), invalid]
  }
  const { browser, url, pushed, errors, store } = await pushApp(t, { provider: { ...pushing, requestTimeout: 300 } })
  for (const [name, [fault, expected]] of Object.entries(wrong)) {
    const running = pushed.fail(fault)
    const page = await browser.get(`${url}/login/acme`)
    running.stop()
    t.equal(page.status, (errors.at(-1) as { statusCode?: number }).statusCode, name)
    t.match(page.text, /href="\/login\/acme"|That did not work/, `${name}: a readable page`)
    t.match(errors.at(-1), expected, name)
    t.strictSame(pendingLogins(store), [], `${name}: no pending login is left behind`)
  }
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
})

t.test('expired request_uri', async (t) => {
  const app = await pushApp(t)
  const { browser, url, provider } = app
  const page = await browser.get(`${url}/login/acme`, { redirect: 'manual' })
  t.equal(provider.state.remove('PushedAuthorizationRequest'), 1)
  const late = await browser.follow(page)
  t.equal(new URL(late.url).origin, provider.issuer, "the provider's own page")
  t.match(late.text, /invalid_request_uri/)
  await assertLoggedOut(t, app)
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' }, 'a fresh login works')
})

t.test('a request_uri that the provider sends back as an error ends that login alone', async (t) => {
  const { browser, url, pushed, errors, provider: { issuer } } = await pushApp(t)
  await browser.get(`${url}/login/acme`, { redirect: 'manual' })
  const { state } = pushed.requests[0]!.body
  const back = new URLSearchParams({ error: 'invalid_request_uri', state: state as string, iss: issuer })
  t.equal((await browser.get(`${url}/login/acme/callback?${back}`)).status, 400)
  matchEach(t, errors, [{ code: 'FST_OAUTH_AUTHORIZATION_FAILED', oauthError: 'invalid_request_uri' }])
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
})

t.test('every kind of login pushes: step-up, link, prompt=none, a session without a request', async (t) => {
  const { provider, page, browser, url, run } = await loggedInApp(t, {
    through: 'browser',
    providers: ({ providerOptions }) => ({
      acme: { ...providerOptions, ...pushing },
      other: { ...providerOptions, ...pushing, forwardedLoginParams: ['prompt'] }
    }),
    oauth: { defaultProvider: 'acme' }
  })
  const { requests } = provider.endpoints.pushedAuthorizationRequest
  const last = () => requests.at(-1)!.body

  await page((oauth, _request, reply) => oauth.login(reply, { maxAge: 60, scope: ['openid', 'orders:write'] }))
  t.match(last(), { max_age: '60', scope: 'openid orders:write' })
  await page((oauth, _request, reply) => oauth.login(reply, { provider: 'other', link: true }))
  t.equal(requests.length, 3)
  t.strictSame(await run(oauth => oauth.accounts.map(({ provider }) => provider)), ['acme', 'other'])
  await browser.get(`${url}/login/other?prompt=none`, { redirect: 'manual' })
  t.match(last(), { prompt: 'none' })

  const session = createProvider({ ...provider.providerOptions, ...pushing, redirectUri: `${url}/cb` }).session()
  const started = await session.authorizationUrl({ params: { resource: ['a:b', 'c:d'], request_uri: 'urn:other' } })
  t.strictSame([...new URL(started.url).searchParams.keys()], ['client_id', 'request_uri'])
  t.match(last(), { state: started.state, resource: ['a:b', 'c:d'] })
  t.notOk('request_uri' in last(), 'a pushed request names no other one')
})

t.test('the client is authenticated as at the token endpoint', async (t) => {
  const post = { token_endpoint_auth_method: 'client_secret_post' }
  const written = await pushApp(t, {
    oidc: { client: post }, provider: { ...pushing, clientAuthentication: 'client_secret_post' }
  })
  await written.start()
  const { clientSecret } = written.provider
  matchEach(t, written.pushed.requests, [{ body: { client_secret: clientSecret }, answer: { status: 201 } }])

  // Neither the options nor the metadata name a method: Basic is tried, and then the form.
  const found = await pushApp(t)
  const { discovery, pushedAuthorizationRequest } = found.provider.endpoints
  discovery.fail(edited(body => ({ ...body, token_endpoint_auth_methods_supported: undefined })))
  pushedAuthorizationRequest.fail({ status: 401, body: { error: 'invalid_client' } }, {
    when: ({ headers }) => headers.authorization !== undefined
  })
  t.strictSame((await found.browser.login(`${found.url}/login/acme`)).json(), { user: 'alice' })
  matchEach(t, found.pushed.requests, [{ body: { client_secret: undefined } }, { answer: { status: 201 } }])
  matchEach(t, found.provider.tokenRequests, [{ body: { client_secret: found.provider.clientSecret } }])
  t.equal(found.provider.tokenRequests.length, 1, 'the token request knows by then')
})

t.test('a refused client is the mistake of the operator, and says what to check', async (t) => {
  const { browser, url, errors } = await pushApp(t, { provider: { ...pushing, clientSecret: 'wrong' } })
  t.equal((await browser.get(`${url}/login/acme`)).status, 400)
  matchEach(t, errors, [{ oauthError: 'invalid_client', message: /check clientId, clientSecret and clientAuthentication/ }])
})

t.test('a request is not pushed over plain http', async (t) => {
  const { browser, url, errors, provider } = await pushApp(t)
  const plain = { pushed_authorization_request_endpoint: 'http://id.example/par' }
  provider.endpoints.discovery.fail(edited(body => ({ ...body, ...plain })))
  t.equal((await browser.get(`${url}/login/acme`)).status, 500)
  matchEach(t, errors, [{ code: 'FST_OAUTH_INSECURE_TRANSPORT' }])
})
