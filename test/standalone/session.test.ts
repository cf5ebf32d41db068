import { generateKeyPair, jwtVerify, SignJWT } from 'jose'
import t, { type Test } from 'tap'
import { Browser } from '../helpers/browser.ts'
import { deferred } from '../helpers/gate.ts'
import { listen } from '../helpers/listen.ts'
import { callbackUrl } from '../helpers/login-app.ts'
import { matchEach } from '../helpers/match-each.ts'
import { startMisbehavingProvider } from '../helpers/misbehaving-provider.ts'
import { startProvider } from '../helpers/provider.ts'
import { createProvider, type ProviderOptions } from '../../lib/index.ts'
import { parse, type ParsedUrlQuery } from 'node:querystring'
import { text } from 'node:stream/consumers'
import { inspect } from 'node:util'
import { exportPKCS8 } from 'jose'

/** A token endpoint that answers what it is told, for grants that oidc-provider does not serve. */
async function tokenEndpoint (t: { after: (fn: () => unknown) => unknown }, answers: [number, unknown][]) {
  const requests: {
    body: ParsedUrlQuery
    authorization: string | undefined
    url: string | undefined
    method: string | undefined
  }[] = []
  const { port, close } = await listen(async (request, response) => {
    requests.push({
      body: parse(await text(request)),
      authorization: request.headers.authorization,
      url: request.url,
      method: request.method
    })
    const [status, body] = answers.length > 1 ? answers.shift()! : answers[0]!
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(typeof body === 'string' ? body : JSON.stringify(body))
  })
  t.after(close)
  const url = `http://127.0.0.1:${port}`
  const providerOptions: ProviderOptions = {
    authorizationEndpoint: `${url}/authorize`,
    tokenEndpoint: `${url}/token`,
    deviceAuthorizationEndpoint: `${url}/device`,
    clientId: 'script',
    clientSecret: 'secret of the script'
  }
  return { requests, providerOptions }
}

function provider (
  t: { after: (fn: () => unknown) => unknown },
  options: ProviderOptions,
  headless?: Parameters<typeof createProvider>[1]
) {
  const made = createProvider(options, headless)
  t.after(() => made.close())
  return made
}

const TOKENS = { access_token: 'at1', token_type: 'Bearer', expires_in: 3600 }

t.test('device authorization: the user confirms in a browser while the app asks, against a real provider', async t => {
  const server = await startProvider(t)
  const waited: number[] = []
  const asked = deferred()
  const confirmed = deferred()
  const wait = async (seconds: number) => {
    waited.push(seconds)
    if (waited.length === 2) {
      asked.resolve()
      await confirmed.promise
    }
  }
  const device = await provider(
    t,
    { ...server.providerOptions, grantType: 'device_code' },
    { clock: { wait } }
  ).device()
  t.match(device, { userCode: /\w{4}-\w{4}/, verificationUri: /^http/, interval: 5 })
  const tokens = device.tokens()
  await asked.promise
  const browser = new Browser()
  let page = await browser.get(device.verificationUriComplete!)
  page = await browser.submitForm(page, { login: 'alice', password: 'alice-password' })
  for (let hops = 0; /<form/.test(page.text) && hops < 4; hops++) {
    page = await browser.submitForm(page, { login: 'alice', password: 'alice-password' })
  }
  confirmed.resolve()
  t.match((await tokens).accessToken, /\S+/)
  t.strictSame(waited, [5, 5])
})

t.test('device authorization: slow_down adds five seconds to the polling interval', async t => {
  const waited: number[] = []
  const { providerOptions, requests } = await tokenEndpoint(t, [
    [200, { device_code: 'd', user_code: 'U', verification_url: 'https://as.example/d', expires_in: 1800 }],
    [400, { error: 'authorization_pending' }],
    [400, { error: 'slow_down' }],
    [400, { error: 'authorization_pending' }],
    [200, TOKENS]
  ])
  const device = await provider(
    t,
    { ...providerOptions, grantType: 'device_code' },
    {
      clock: {
        wait: async seconds => { waited.push(seconds) }
      }
    }
  ).device()
  t.equal(device.verificationUri, 'https://as.example/d', 'also as the drafts wrote it')
  t.equal((await device.tokens()).accessToken, 'at1')
  t.strictSame(waited, [5, 5, 10, 10])
  t.match(requests.at(-1)!.body, { grant_type: 'urn:ietf:params:oauth:grant-type:device_code', device_code: 'd' })
})

/** A device login, or the trade of an assertion, whose ID token is the provider's with these claims changed. */
async function idTokenOf (t: Test, claims: Record<string, unknown>, grant: 'device' | 'jwtBearer') {
  const op = await startMisbehavingProvider(t)
  const { issuer: iss, clientId: aud } = op
  const now = Math.floor(Date.now() / 1000)
  const idToken = op.signJwt({ iss, aud, sub: 'alice', iat: now, exp: now + 300, ...claims })
  const device = { device_code: 'd', user_code: 'U', verification_uri: 'https://as.example/d', interval: 1 }
  const tokens = { ...TOKENS, id_token: idToken }
  const answers: [number, unknown][] = grant === 'device' ? [[200, device], [200, tokens]] : [[200, tokens]]
  const { providerOptions } = await tokenEndpoint(t, answers)
  const client = provider(t, {
    ...providerOptions, clientId: aud, scope: 'openid', idTokenIssuer: iss, jwksUri: op.url('keys')
  }, { clock: { wait: async () => {} } })
  return grant === 'device' ? (await client.device()).tokens() : client.jwtBearer({ assertion: 'signed.by.us' })
}

for (const grant of ['device', 'jwtBearer'] as const) {
  t.test(`${grant}: an ID token is validated as that of any other login`, async t => {
    t.equal((await idTokenOf(t, {}, grant)).accessToken, 'at1')
    for (const [claims, reason] of [
      [{ aud: 'another-client' }, 'aud'],
      [{ iss: 'https://evil.example' }, 'iss'],
      [{ exp: 1 }, 'exp'],
      [{ sub: undefined }, 'sub'],
      [{ at_hash: 'a'.repeat(22) }, 'at_hash']
    ] as const) {
      await t.rejects(idTokenOf(t, claims, grant), { code: 'FST_OAUTH_INVALID_ID_TOKEN', reason })
    }
  })
}

t.test('device authorization: a user who declines ends it', async t => {
  const { providerOptions } = await tokenEndpoint(t, [
    [
      200,
      { device_code: 'd', user_code: 'U', verification_uri: 'https://as.example/d', expires_in: 1800, interval: 1 }
    ],
    [400, { error: 'access_denied' }]
  ])
  const device = await provider(
    t,
    { ...providerOptions, grantType: 'device_code' },
    { clock: { wait: async () => {} } }
  ).device()
  await t.rejects(device.tokens(), { code: 'FST_OAUTH_AUTHORIZATION_FAILED', oauthError: 'access_denied' })
})

t.test('device authorization: polling ends when the code expires', async t => {
  let now = 1000
  const { providerOptions, requests } = await tokenEndpoint(t, [
    [200, { device_code: 'd', user_code: 'U', verification_uri: 'https://as.example/d', expires_in: 10 }],
    [400, { error: 'authorization_pending' }]
  ])
  const device = await provider(
    t,
    { ...providerOptions, grantType: 'device_code' },
    {
      clock: {
        now: () => now,
        wait: async seconds => { now += seconds }
      }
    }
  ).device()
  await t.rejects(device.tokens(), { code: 'FST_OAUTH_AUTHORIZATION_FAILED', oauthError: 'expired_token' })
  t.equal(requests.length, 3)
})

t.test('token exchange sends both token types, and each of several resources', async t => {
  const { providerOptions, requests } = await tokenEndpoint(t, [
    [200, { ...TOKENS, issued_token_type: 'urn:ietf:params:oauth:token-type:access_token' }]
  ])
  const tokens = await provider(t, providerOptions).exchange({
    subjectToken: 'of-the-user',
    actorToken: 'of-the-job',
    resource: ['https://a.example/', 'https://b.example/'],
    audience: 'orders',
    scope: 'read'
  })
  t.equal(tokens.accessToken, 'at1')
  t.strictSame(
    { ...requests[0]!.body },
    {
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: 'of-the-user',
      subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      actor_token: 'of-the-job',
      actor_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      audience: 'orders',
      resource: ['https://a.example/', 'https://b.example/'],
      scope: 'read'
    }
  )
})

t.test('a JWT bearer grant sends the assertion', async t => {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true })
  const assertion = await new SignJWT({ sub: 'alice' })
    .setProtectedHeader({ alg: 'ES256' })
    .setIssuer('app')
    .sign(privateKey)
  const { providerOptions, requests } = await tokenEndpoint(t, [[200, TOKENS]])
  t.equal((await provider(t, providerOptions).jwtBearer({ assertion, scope: ['read'] })).accessToken, 'at1')
  t.match(requests[0]!.body, { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion, scope: 'read' })
})

t.test('introspection: an expired or revoked token is reported as inactive', async t => {
  const { providerOptions, requests } = await tokenEndpoint(t, [
    [200, { active: true, sub: 'alice' }],
    [200, { active: false }]
  ])
  const acme = provider(t, { ...providerOptions, introspectionEndpoint: providerOptions.tokenEndpoint! })
  t.strictSame(await acme.introspect('t0ken', 'refresh_token'), { active: true, sub: 'alice' })
  t.strictSame(await acme.introspect('t0ken'), { active: false })
  matchEach(t, requests, [
    { body: { token: 't0ken', token_type_hint: 'refresh_token' }, authorization: /^Basic / },
    { body: { token: 't0ken' } }
  ])
})

for (const [what, status, answer, code] of [
  ['says neither', 200, { sub: 'alice' }, 'FST_OAUTH_INVALID_RESPONSE'],
  ['says it in a word', 200, { active: 'true' }, 'FST_OAUTH_INVALID_RESPONSE'],
  ['is a list', 200, [{ active: true }], 'FST_OAUTH_INVALID_RESPONSE'],
  ['is an error that says active', 400, { active: true, token: 't0ken' }, 'FST_OAUTH_INVALID_RESPONSE'],
  ['does not come from it', 302, { active: true }, 'FST_OAUTH_INVALID_RESPONSE'],
  ['says that it is overloaded', 503, { active: true, token: 't0ken' }, 'FST_OAUTH_PROVIDER_UNAVAILABLE']
] as const) {
  t.test(`introspection: a response that ${what} is a typed error, which does not show the token`, async t => {
    const { providerOptions } = await tokenEndpoint(t, [[status, answer]])
    const error = await provider(t, { ...providerOptions, introspectionEndpoint: providerOptions.tokenEndpoint! })
      .introspect('t0ken')
      .catch((reason: unknown) => reason)
    t.match(error, { code, provider: 'provider', responseStatus: status })
    t.notMatch(inspect(error, { depth: Infinity, showHidden: true }), 't0ken')
  })
}

t.test('private_key_jwt signs an assertion for the token endpoint, from a PEM', async t => {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true })
  const {
    providerOptions: { clientSecret: _none, ...options },
    requests
  } = await tokenEndpoint(t, [[200, TOKENS]])
  await provider(t, {
    ...options,
    grantType: 'client_credentials',
    clientAuthentication: 'private_key_jwt',
    clientKeys: await exportPKCS8(privateKey)
  }).session().fetchTokens()
  const { body } = requests[0]!
  t.equal(body.client_assertion_type, 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer')
  const claims = JSON.parse(Buffer.from(String(body.client_assertion).split('.')[1]!, 'base64url').toString())
  t.match(claims, { iss: 'script', sub: 'script', aud: options.tokenEndpoint, jti: /\S/ })
  t.notOk('client_secret' in body)
})

t.test('client_secret_jwt signs an assertion with the secret, which is not sent', async t => {
  const { providerOptions, requests } = await tokenEndpoint(t, [[200, TOKENS]])
  await provider(t, { ...providerOptions, grantType: 'client_credentials', clientAuthentication: 'client_secret_jwt' })
    .session()
    .fetchTokens()
  const { body, authorization } = requests[0]!
  t.equal(body.client_assertion_type, 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer')
  const { payload, protectedHeader } = await jwtVerify(
    String(body.client_assertion),
    new TextEncoder().encode(providerOptions.clientSecret)
  )
  t.equal(protectedHeader.alg, 'HS256')
  t.match(payload, { iss: 'script', sub: 'script', aud: providerOptions.tokenEndpoint, jti: /\S/ })
  t.equal(authorization, undefined)
  t.notOk('client_secret' in body)
})

t.test('a custom client authentication may add to the query', async t => {
  const { providerOptions, requests } = await tokenEndpoint(t, [[200, TOKENS]])
  const clientAuthentication: ProviderOptions['clientAuthentication'] = ({ url, headers }) => {
    url.searchParams.set('app', 'script')
    headers.set('x-app', 'yes')
  }
  await provider(t, { ...providerOptions, grantType: 'client_credentials', clientAuthentication })
    .session()
    .fetchTokens()
  t.equal(requests[0]!.url, '/token?app=script')
  t.equal(requests[0]!.authorization, undefined)
})

t.test('a token endpoint that takes GET gets a GET without a body', async t => {
  const { providerOptions, requests } = await tokenEndpoint(t, [[200, TOKENS]])
  await provider(t, { ...providerOptions, tokenEndpointMethod: 'GET', redirectUri: 'https://app.example/cb' })
    .session()
    .fetchTokens({ code: 'zz' })
  t.equal(requests[0]!.method, 'GET')
  t.match(requests[0]!.url, /^\/token\?.*code=zz/)
  t.strictSame({ ...requests[0]!.body }, {})
})

t.test('after Basic is refused as invalid_client the credentials go in the form, now and later', async t => {
  const { providerOptions, requests } = await tokenEndpoint(t, [
    [401, { error: 'invalid_client' }],
    [200, TOKENS],
    [200, TOKENS]
  ])
  const headless = provider(t, { ...providerOptions, grantType: 'client_credentials' })
  await headless.session().fetchTokens()
  await headless.session().fetchTokens()
  t.strictSame(
    requests.map(({ authorization, body }) => (authorization === undefined ? body.client_secret : 'basic')),
    ['basic', 'secret of the script', 'secret of the script']
  )
})

t.test('a refused code is never sent a second time', async t => {
  const { providerOptions, requests } = await tokenEndpoint(t, [[400, { error: 'invalid_grant' }]])
  await t.rejects(
    provider(t, providerOptions).session().fetchTokens({ code: 'zz', redirectUri: 'https://app.example/cb' }),
    { code: 'FST_OAUTH_AUTHORIZATION_FAILED', oauthError: 'invalid_grant' }
  )
  t.equal(requests.length, 1)
})

t.test('hooks see and may change each request and response', async t => {
  const seen: string[] = []
  const { providerOptions, requests } = await tokenEndpoint(t, [[200, { ...TOKENS, refresh_token: 'r1' }]])
  const session = provider(t, {
    ...providerOptions,
    resourceServers: [new URL('/', providerOptions.tokenEndpoint).href]
  }).session({
    hooks: {
      accessTokenRequest: ({ body }) => { body.set('tenant', 'a') },
      accessTokenResponse: answer => { seen.push(`first ${answer.status}`) },
      refreshTokenRequest: ({ headers }) => { headers['x-refresh'] = 'yes' },
      refreshTokenResponse: answer => ({ ...answer, text: answer.text.replace('at1', 'at2') }),
      protectedRequest: ({ url, headers }) => {
        url.searchParams.set('seen', 'yes')
        headers['x-api'] = 'yes'
      }
    }
  })
  await session.fetchTokens({ code: 'zz' })
  t.equal(requests[0]!.body.tenant, 'a')
  await session.refresh()
  t.equal(session.storedTokens?.accessToken, 'at2')
  await session.get('x')
  t.equal(requests.at(-1)!.url, '/x?seen=yes')
  t.equal(requests.at(-1)!.authorization, 'Bearer at2')
  t.strictSame(seen, ['first 200'])
})

t.test('a headless login remembers state and verifier, and refuses another state', async t => {
  const server = await startProvider(t)
  const session = provider(t, { ...server.providerOptions, redirectUri: 'http://127.0.0.1:1/callback' }).session()
  const { url } = await session.authorizationUrl({ params: { login_hint: 'alice' } })
  const callback = await callbackUrl(new Browser(), url)
  await t.rejects(session.fetchTokens({ callbackUrl: callback.replace(/state=[^&]*/, 'state=other') }), {
    code: 'FST_OAUTH_STATE_MISMATCH'
  })
  t.equal(server.tokenRequests.length, 0)
  await session.fetchTokens({ callbackUrl: callback })
  t.match(await session.get('me').json(), { sub: 'alice' })
  t.match(await session.userinfo(), { sub: 'alice' })
  t.equal(await session.revoke(), true)
  await t.rejects(session.get('me').json(), { code: 'FST_OAUTH_LOGIN_REQUIRED' })
})

/** A headless login, begun and come back from a provider whose ID tokens can be made wrong. */
async function headlessLogin (t: Test) {
  const server = await startMisbehavingProvider(t)
  const headless = provider(t, {
    issuer: server.issuer,
    clientId: server.clientId,
    clientSecret: server.clientSecret,
    scope: ['openid'],
    redirectUri: 'http://127.0.0.1:1/callback'
  })
  const begun = await headless.authorizationUrl()
  const { location } = await new Browser().get(begun.url, { redirect: 'manual' })
  return { server, headless, begun, callbackUrl: location! }
}

t.test('a headless login is finished by another session, which is told state, verifier and nonce', async t => {
  const {
    headless,
    begun: { url, ...kept },
    callbackUrl
  } = await headlessLogin(t)
  t.equal(new URL(url).searchParams.get('nonce'), kept.nonce)
  const { idToken } = await headless.session(kept).fetchTokens({ callbackUrl })
  t.type(idToken, 'string')
})

t.test('a headless login refuses an ID token that was made for another login', async t => {
  const {
    headless,
    begun: { url: _url, ...kept },
    callbackUrl
  } = await headlessLogin(t)
  await t.rejects(headless.session({ ...kept, nonce: 'n'.repeat(43) }).fetchTokens({ callbackUrl }), {
    code: 'FST_OAUTH_INVALID_ID_TOKEN',
    reason: 'nonce'
  })
})

t.test('a headless session takes no ID token of another issuer, and no token that came with it', async t => {
  const {
    server,
    headless,
    begun: { url: _url, ...kept },
    callbackUrl
  } = await headlessLogin(t)
  server.wrong = { claims: { iss: 'https://issuer.example' } }
  const session = headless.session(kept)
  await t.rejects(session.fetchTokens({ callbackUrl }), { code: 'FST_OAUTH_INVALID_ID_TOKEN', reason: 'iss' })
  t.equal(session.storedTokens, undefined)
})

const DEVICE = '"device_code":"d","user_code":"U","verification_uri":"https://as.example/d"'

for (const [what, members, interval] of [
  ['is negative', '"interval":-1', 5],
  ['is nothing', '"interval":0', 5],
  ['is a word', '"interval":"soon"', 5],
  ['is null', '"interval":null', 5],
  ['is an object', '"interval":{"valueOf":1}', 5],
  ['is hardly anything', '"interval":0.0001', 1],
  ['is longer than a timer can be', '"interval":3e6', 300],
  ['is without end', '"interval":1e999', 300],
  ['is beyond what a number holds', '"interval":99999999999999999999', 300],
  ['is a number in a text', '"interval":"5"', 5],
  ['is a small number in a text', '"interval":"0.001"', 1],
  ['is sane', '"interval":7', 7]
] as const) {
  t.test(`device authorization: with an interval that ${what}, polling still pauses`, async t => {
    const waited: number[] = []
    const { providerOptions } = await tokenEndpoint(t, [
      [200, `{${DEVICE},"expires_in":1800,${members}}`],
      [400, { error: 'authorization_pending' }],
      [200, TOKENS]
    ])
    const clock = {
      wait: async (seconds: number) => { waited.push(seconds) }
    }
    const device = await provider(t, { ...providerOptions, grantType: 'device_code' }, { clock }).device()
    t.equal(device.interval, interval)
    await device.tokens()
    t.strictSame(waited, [interval, interval])
  })
}

for (const [expiresIn, life] of [
  ['-1', 600],
  ['"x"', 600],
  ['1e999', 2_592_000],
  ['"60"', 60],
  ['0.5', 1],
  ['null', 600]
] as const) {
  t.test(`device authorization: expires_in ${expiresIn} counts as ${life} seconds`, async t => {
    const { providerOptions } = await tokenEndpoint(t, [[200, `{${DEVICE},"expires_in":${expiresIn}}`]])
    const clock = { now: () => 1000 }
    const device = await provider(t, { ...providerOptions, grantType: 'device_code' }, { clock }).device()
    t.equal(device.expiresAt, 1000 + life)
  })
}

t.test('device authorization: a server that is down is polled more slowly, and not for ever', async t => {
  let now = 1000
  const waited: number[] = []
  const { providerOptions } = await tokenEndpoint(t, [
    [200, { device_code: 'd', user_code: 'U', verification_uri: 'https://as.example/d', expires_in: 1000 }],
    [503, {}]
  ])
  const wait = async (seconds: number) => {
    now += seconds
    waited.push(seconds)
  }
  const clock = { now: () => now, wait }
  const device = await provider(t, { ...providerOptions, grantType: 'device_code' }, { clock }).device()
  await t.rejects(device.tokens(), { code: 'FST_OAUTH_AUTHORIZATION_FAILED', oauthError: 'expired_token' })
  t.strictSame(waited, [5, 10, 20, 40, 80, 160, 300, 300, 85])
})

t.test('the error about a refused client says what to check', async t => {
  const message = /refused the client: invalid_client; check clientId, clientSecret and clientAuthentication$/
  const basic = { clientAuthentication: 'client_secret_basic' } as const
  const refusedClient = async (options: Partial<ProviderOptions>) => {
    const { providerOptions } = await tokenEndpoint(t, [[401, { error: 'invalid_client' }]])
    const acme = provider(t, { ...providerOptions, grantType: 'client_credentials', ...options })
    return await acme.session().fetchTokens().catch((error: unknown) => error)
  }
  const refusal = { code: 'FST_OAUTH_INVALID_TOKEN_RESPONSE', oauthError: 'invalid_client', message }
  t.match(await refusedClient({}), refusal)
  t.match(await refusedClient({ clientSecret: 'p+s/w%r:d=x' }), refusal, 'the form was tried')
  t.match(await refusedClient({ clientSecret: 'plain-secret', ...basic }), refusal)
  const encoded = await refusedClient({ clientSecret: 'p+s/w%r:d=x', ...basic })
  t.match(encoded, { message: /do not decode such a secret in Basic: try clientAuthentication: 'client_secret_post'$/ })
})

t.test('the error about a refused grant, or a wrong secret at Keycloak, says what to check', async t => {
  const { providerOptions } = await tokenEndpoint(t, [[401, { error: 'unauthorized_client' }]])
  const acme = provider(t, { ...providerOptions, grantType: 'client_credentials' })
  const error = await acme.session().fetchTokens().catch((error: unknown) => error)
  t.match(error, { code: 'FST_OAUTH_INVALID_TOKEN_RESPONSE', oauthError: 'unauthorized_client' })
  t.match(error, {
    message: /unauthorized_client; check clientId, clientSecret .*, and which grants the provider allows/
  })
})

t.test('the error about a secret that Basic encodes names client_secret_post where the provider has it', async t => {
  const messageFrom = async (methods: string[]) => {
    const wrong = { metadata: { token_endpoint_auth_methods_supported: methods } }
    const server = await startMisbehavingProvider(t, wrong)
    const { issuer, clientId } = server
    const acme = provider(t, { issuer, clientId, clientSecret: 'p+s/w%r:d=x', grantType: 'client_credentials' })
    return await acme.session().fetchTokens().catch((error: Error) => error.message)
  }
  const both = await messageFrom(['client_secret_basic', 'client_secret_post'])
  t.match(both, /try clientAuthentication: 'client_secret_post'$/)
  t.match(await messageFrom(['client_secret_basic']), /and clientAuthentication$/)
})

type Asking = (acme: ReturnType<typeof provider>) => Promise<unknown>
const refusedGrants: Record<string, [ask: Asking, message: RegExp, options?: Partial<ProviderOptions>]> = {
  'client credentials': [
    async acme => await acme.session().fetchTokens(),
    /did not accept the app's request for a token of its own: invalid_scope; check scope, resource and audience/,
    { grantType: 'client_credentials' }
  ],
  'the shared client of the app': [async acme => await acme.clientCredentials().tokens(), /a token of its own/],
  'a token exchange': [
    async acme => await acme.exchange({ subjectToken: 't0ken' }),
    /did not accept the token exchange: invalid_scope; check/
  ],
  'an assertion': [
    async acme => await acme.jwtBearer({ assertion: 'a.b.c' }),
    /did not accept the assertion: invalid_scope; check/
  ],
  'a code': [
    async acme => await acme.session().fetchTokens({ code: 'zz' }),
    /did not accept the login: invalid_scope; start the login again/
  ]
}

for (const [what, [ask, message, options]] of Object.entries(refusedGrants)) {
  t.test(`the error about a refusal of ${what} says what was refused`, async t => {
    const { providerOptions } = await tokenEndpoint(t, [[400, { error: 'invalid_scope' }]])
    const error = await ask(provider(t, { ...providerOptions, ...options })).catch((reason: unknown) => reason)
    t.match(error, { code: 'FST_OAUTH_AUTHORIZATION_FAILED', message })
  })
}
