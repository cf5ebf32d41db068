import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import oauth, { createProvider, type LogoutEvent, type OAuthError, type ProviderOptions } from '../../lib/index.ts'
import { Browser } from '../helpers/browser.ts'
import { captureLog } from '../helpers/log.ts'
import { asJson, loginApp, type LoginAppOptions } from '../helpers/login-app.ts'
import { postForm, postLogoutToken } from '../helpers/logout-token.ts'
import { matchEach } from '../helpers/match-each.ts'
import type { Misbehaviour, MisbehavingProvider } from '../helpers/misbehaving-provider.ts'
import { createKey } from '../helpers/signing-keys.ts'

// The route that a provider posts its logout tokens to, and what it refuses (OpenID Connect Back-Channel Logout 1.0).

const SID = 'the session at the provider'
const EVENT = 'http://schemas.openid.net/event/backchannel-logout'
const now = () => Math.floor(Date.now() / 1000)

async function start (t: Test, options: LoginAppOptions = {}) {
  const log = captureLog()
  const logouts: LogoutEvent[] = []
  const built = await loginApp(t, {
    wrong: { claims: { sid: SID } },
    ...options,
    fastify: { logger: log.logger, ...options.fastify },
    oauth: { onLogout: (_request, _reply, event) => { logouts.push(event) }, ...options.oauth },
    setup: async (app) => {
      app.get('/guarded', { onRequest: app.oauth.requireLogin() }, async () => 'in')
      await options.setup?.(app)
    }
  })
  await built.browser.login(`${built.url}/login/acme`)
  const isLoggedIn = async (browser = built.browser) =>
    (await browser.get(`${built.url}/guarded`, asJson)).status === 200
  return { ...built, log, logouts, isLoggedIn }
}

t.test('a logout token ends the login of its sid: 200, not to be cached, and no body', async (t) => {
  const { url, provider, isLoggedIn, logouts, store, log } = await start(t)
  const answer = await postLogoutToken(url, provider.logoutToken({ sid: SID, sub: 'alice' }))
  t.match(answer, { status: 200, text: '' })
  t.equal(answer.headers.get('cache-control'), 'no-store')
  t.notOk(answer.headers.has('set-cookie'))
  t.notOk(await isLoggedIn())
  matchEach(t, logouts, [{ provider: 'acme', user: { id: 'alice' }, reason: 'backchannel' }])
  t.notOk([...store.records.values()].some(json => json.includes('"accounts"') || json.includes('accessToken')))
  t.match(log.lines.filter(({ event }) => event === 'backchannel_logout'), [{ level: 30, provider: 'acme', ended: 1 }])
})

t.test('the user of a login that ended elsewhere is asked to log in, and can', async (t) => {
  const { url, provider, browser, isLoggedIn } = await start(t)
  t.equal((await postLogoutToken(url, provider.logoutToken({ sid: SID }))).status, 200)
  t.notOk(await isLoggedIn())
  await browser.login(`${url}/login/acme`)
  t.ok(await isLoggedIn(), 'also where the provider gives its session the same id')
})

interface Wrong {
  claims?: Record<string, unknown>
  wrong?: Misbehaviour | ((provider: MisbehavingProvider) => Misbehaviour)
  token?: (token: string, provider: MisbehavingProvider) => string
  reason: string
}
const future = () => now() + 3_600
const refusals: Record<string, Wrong> = {
  'alg none': { wrong: { signedBy: 'none' }, reason: 'alg' },
  'HS256 with the client secret': {
    wrong: ({ clientSecret }) => ({ signedBy: { hmac: clientSecret } }), reason: 'alg'
  },
  'HS256 with the public key': {
    wrong: ({ keys: [key] }) => ({
      signedBy: { hmac: key!.publicKey.export({ type: 'spki', format: 'pem' }) as string }
    }),
    reason: 'alg'
  },
  'an algorithm that the provider does not name': { wrong: () => ({ signedBy: createKey('ES256') }), reason: 'alg' },
  'a wrong signature': { token: token => token.replace(/[^.]{10}$/, 'AAAAAAAAAA'), reason: 'signature' },
  'a key that is not the provider\'s': { wrong: () => ({ signedBy: createKey() }), reason: 'key' },
  'another issuer': { claims: { iss: 'https://issuer.example' }, reason: 'iss' },
  'no issuer': { claims: { iss: undefined }, reason: 'iss' },
  'another audience': { claims: { aud: 'another-client' }, reason: 'aud' },
  'several audiences without this client': { claims: { aud: ['one', 'two'] }, reason: 'aud' },
  'no audience': { claims: { aud: undefined }, reason: 'aud' },
  'no iat': { claims: { iat: undefined }, reason: 'iat' },
  'an iat that is no number': { claims: { iat: String(now()) }, reason: 'iat' },
  'an iat in the future': { claims: { iat: future(), exp: future() + 60 }, reason: 'iat' },
  'an iat of ten minutes ago, whatever its exp': { claims: { iat: now() - 600, exp: future() }, reason: 'iat' },
  'no exp': { claims: { exp: undefined }, reason: 'exp' },
  'an exp in the past': { claims: { iat: now() - 200, exp: now() - 90 }, reason: 'exp' },
  'an nbf in the future': { claims: { nbf: future() }, reason: 'nbf' },
  'no event': { claims: { events: undefined }, reason: 'events' },
  'another event': { claims: { events: { 'http://schemas.openid.net/event/other': {} } }, reason: 'events' },
  'an event that is no object': { claims: { events: { [EVENT]: true } }, reason: 'events' },
  'an event that is null': { claims: { events: { [EVENT]: null } }, reason: 'events' },
  'an event that is a list': { claims: { events: { [EVENT]: [] } }, reason: 'events' },
  'events as a list': { claims: { events: [EVENT] }, reason: 'events' },
  'events as text': { claims: { events: EVENT }, reason: 'events' },
  'an event that is inherited': {
    claims: JSON.parse(`{"events":{"__proto__":{"${EVENT}":{}}}}`) as Record<string, unknown>, reason: 'events'
  },
  'a nonce': { claims: { nonce: 'n' }, reason: 'nonce' },
  'a nonce that is null': { claims: { nonce: null }, reason: 'nonce' },
  'no jti': { claims: { jti: undefined }, reason: 'jti' },
  'an empty jti': { claims: { jti: '' }, reason: 'jti' },
  'a jti that is a number': { claims: { jti: 7 }, reason: 'jti' },
  'neither sub nor sid': { claims: { sub: undefined, sid: undefined }, reason: 'sub' },
  'an empty sub': { claims: { sub: '', sid: undefined }, reason: 'sub' },
  'a sub that is a list': { claims: { sub: ['alice'] }, reason: 'sub' },
  'a sid that is a number': { claims: { sid: 7 }, reason: 'sid' },
  'a sid that is null': { claims: { sid: null }, reason: 'sid' },
  'an endless sid': { claims: { sid: 's'.repeat(5_000) }, reason: 'sid' },
  'the type of an access token': { wrong: { header: { typ: 'at+jwt' } }, reason: 'typ' },
  'the type of another event': { wrong: { header: { typ: 'secevent+jwt' } }, reason: 'typ' },
  'a type that is a number': { wrong: { header: { typ: 7 } }, reason: 'typ' },
  'an extension that has to be understood': { wrong: { header: { crit: ['odd'], odd: true } }, reason: 'malformed' },
  'an unencoded payload': { wrong: { header: { crit: ['b64'], b64: false } }, reason: 'malformed' },
  'no JWT': { token: () => 'no JWT', reason: 'malformed' },
  'a payload that is no object': { token: (_token, provider) => provider.signJwt('[]'), reason: 'malformed' },
  'a JWT of five parts, which is none that is encrypted': { token: token => `${token}.e30.e30`, reason: 'encrypted' }
}

t.test('a logout token is refused, with 400, and nothing is ended', async (t) => {
  const { url, provider, isLoggedIn, logouts, errors, log } = await start(t)
  for (const [what, { claims = {}, wrong = {}, token = (text: string) => text, reason }] of Object.entries(refusals)) {
    await t.test(`a logout token with ${what} is refused`, async t => {
      provider.wrong = typeof wrong === 'function' ? wrong(provider) : wrong
      const logoutToken = token(provider.logoutToken({ sub: 'alice', sid: SID, ...claims }), provider)
      errors.length = 0
      const answer = await postLogoutToken(url, logoutToken)
      t.equal(answer.status, 400)
      t.equal(answer.headers.get('cache-control'), 'no-store')
      const body = JSON.parse(answer.text)
      t.match(body, { error: 'invalid_request', error_description: String })
      t.match(body.error_description, /^[\x20\x21\x23-\x5b\x5d-\x7e]+$/)
      matchEach(t, errors, [{ code: 'FST_OAUTH_INVALID_LOGOUT_TOKEN', reason, provider: 'acme' }])
      t.ok(await isLoggedIn())
      if (logoutToken.length <= 20) return
      t.strictSame(log.leaked([logoutToken, logoutToken.split('.')[2]!].filter(Boolean)), [])
    })
  }
  t.strictSame(logouts, [])
  const failures = log.lines.filter(({ event }) => event === 'backchannel_logout_failed')
  t.equal(failures.length, Object.keys(refusals).length)
  t.match(failures[0], { level: 40, provider: 'acme', err: { code: 'FST_OAUTH_INVALID_LOGOUT_TOKEN', reason: 'alg' } })
})

const accepted: Record<string, { claims?: Record<string, unknown>, wrong?: Misbehaviour }> = {
  'the type logout+jwt': { wrong: { header: { typ: 'logout+jwt' } } },
  'the same as a whole media type, in capitals': { wrong: { header: { typ: 'Application/Logout+JWT' } } },
  'the type JWT, which names no kind': { wrong: { header: { typ: 'JWT' } } },
  'several audiences with this client': { claims: { aud: 'several' } },
  'members of others in the event, and other events': { claims: { events: { other: {}, [EVENT]: { more: true } } } },
  'clocks that differ by less than a minute': { claims: { iat: now() + 40, exp: now() + 160 } },
  'the sid without the sub': { claims: { sub: undefined } },
  'the sub without the sid': { claims: { sid: undefined } }
}

for (const [what, { claims, wrong = {} }] of Object.entries(accepted)) {
  t.test(`a logout token is accepted with ${what}`, async (t) => {
    const { url, provider, isLoggedIn } = await start(t)
    provider.wrong = wrong
    const aud = claims?.aud === undefined ? provider.clientId : ['other', provider.clientId]
    t.equal((await postLogoutToken(url, provider.logoutToken({ sub: 'alice', sid: SID, ...claims, aud }))).status, 200)
    t.notOk(await isLoggedIn())
  })
}

t.test('a logout of a user or a session that is not known is no failure', async (t) => {
  const { url, provider, isLoggedIn, logouts } = await start(t)
  for (const claims of [{ sub: 'bob' }, { sid: 'other' }, { sub: 'alice', sid: 'other' }, { sub: 'bob', sid: SID }]) {
    t.equal((await postLogoutToken(url, provider.logoutToken(claims))).status, 200)
  }
  t.ok(await isLoggedIn())
  t.strictSame(logouts, [])
})

t.test('a new key of the provider signs a logout token', async (t) => {
  const { url, provider, isLoggedIn } = await start(t)
  provider.rotateKeys()
  t.equal((await postLogoutToken(url, provider.logoutToken({ sid: SID }))).status, 200)
  t.notOk(await isLoggedIn())
})

t.test('an ID token is no logout token', async (t) => {
  const { url, provider, isLoggedIn } = await start(t)
  const idToken = provider.secrets.find(secret => secret.split('.').length === 3)!
  t.equal((await postLogoutToken(url, idToken)).status, 400)
  t.ok(await isLoggedIn())
})

t.test('a logout token that was carried out is refused the second time: a later login goes on', async (t) => {
  const { url, provider, browser, isLoggedIn, errors } = await start(t)
  const logoutToken = provider.logoutToken({ sub: 'alice' })
  t.equal((await postLogoutToken(url, logoutToken)).status, 200)
  await browser.login(`${url}/login/acme`)
  const again = await postLogoutToken(url, logoutToken)
  t.equal(again.status, 400)
  matchEach(t, errors, [{ reason: 'replayed' }])
  t.ok(await isLoggedIn())
  t.equal((await postLogoutToken(url, provider.logoutToken({ sub: 'alice', jti: randomUUID() }))).status, 200)
  t.notOk(await isLoggedIn())
})

t.test('a refused logout token does not use up its jti', async (t) => {
  const { url, provider, isLoggedIn } = await start(t)
  const jti = randomUUID()
  t.equal((await postLogoutToken(url, provider.logoutToken({ jti, sid: SID, nonce: 'n' }))).status, 400)
  t.equal((await postLogoutToken(url, provider.logoutToken({ jti, sid: SID }))).status, 200)
  t.notOk(await isLoggedIn())
})

t.test('a store that is down: 503 and nothing remembered, so that the provider can send the token again', async (t) => {
  for (const method of ['get', 'set', 'destroy'] as const) {
    const { url, provider, store, isLoggedIn, logouts } = await start(t)
    const logoutToken = provider.logoutToken({ sid: SID, sub: 'alice' })
    store.fail[method] = true
    const answer = await postLogoutToken(url, logoutToken)
    t.equal(answer.status, 503, method)
    t.match(JSON.parse(answer.text), { error: 'temporarily_unavailable', error_description: String })
    t.notMatch(answer.text, '10.1.2.3')
    t.equal(answer.headers.get('retry-after'), '1')
    t.equal(answer.headers.get('cache-control'), 'no-store')
    store.fail[method] = false
    t.equal((await postLogoutToken(url, logoutToken)).status, 200, method)
    t.notOk(await isLoggedIn())
    matchEach(t, logouts, [{ user: { id: 'alice' }, reason: 'backchannel' }], 'once')
    t.equal((await postLogoutToken(url, logoutToken)).status, 400)
  }
})

t.test('a store that takes everything but the jti: 503, and the token may be sent again', async (t) => {
  const { url, provider, store, logouts, isLoggedIn } = await start(t)
  const logoutToken = provider.logoutToken({ sid: SID })
  const gate = store.holdNext('set', id => id.startsWith('oauth:logout:'))
  const answer = postLogoutToken(url, logoutToken)
  await gate.arrived
  store.fail.set = true
  gate.release()
  t.equal((await answer).status, 503)
  store.fail.set = false
  t.notOk(await isLoggedIn())
  t.equal((await postLogoutToken(url, logoutToken)).status, 200)
  t.equal(logouts.length, 1)
})

t.test('a key set that cannot be had: 503, and the login goes on until the token is sent again', async (t) => {
  const { url, provider, isLoggedIn } = await start(t)
  provider.wrong = { claims: { sid: SID }, instead: { keys: { status: 500 } } }
  provider.rotateKeys()
  const logoutToken = provider.logoutToken({ sid: SID })
  const answer = await postLogoutToken(url, logoutToken)
  t.strictSame([answer.status, JSON.parse(answer.text).error], [503, 'temporarily_unavailable'])
  t.ok(await isLoggedIn())
  provider.wrong = {}
  t.equal((await postLogoutToken(url, logoutToken)).status, 200)
  t.notOk(await isLoggedIn())
})

t.test('the token is read from a form alone, and has to be there once', async (t) => {
  const { url, provider, isLoggedIn, errors } = await start(t)
  const logout = `${url}/login/acme/backchannel-logout`
  const logoutToken = provider.logoutToken({ sid: SID })
  const cases: Record<string, () => ReturnType<typeof postForm>> = {
    'no body': () => postForm(logout, ''),
    'another parameter': () => postForm(logout, new URLSearchParams({ token: logoutToken })),
    'an empty token': () => postForm(logout, 'logout_token='),
    'two tokens': () => postForm(logout, `logout_token=${logoutToken}&logout_token=${logoutToken}`),
    'the query': () => postForm(`${logout}?logout_token=${logoutToken}`, ''),
    JSON: () => postForm(logout, JSON.stringify({ logout_token: logoutToken }), { 'content-type': 'application/json' }),
    text: () => postForm(logout, `logout_token=${logoutToken}`, { 'content-type': 'text/plain' }),
    'a type that begins like a form': () =>
      postForm(logout, `logout_token=${logoutToken}`, { 'content-type': 'application/x-www-form-urlencoded2' }),
    'a body of another kind': () => postForm(logout, logoutToken, { 'content-type': 'application/logout+jwt' }),
    'a body that is too large': () => postForm(logout, `logout_token=${logoutToken}&more=${'a'.repeat(70_000)}`)
  }
  for (const [what, post] of Object.entries(cases)) {
    errors.length = 0
    const answer = await post()
    t.equal(answer.status, 400, what)
    t.match(JSON.parse(answer.text), { error: 'invalid_request', error_description: /logout_token/ })
    matchEach(t, errors, [{ code: 'FST_OAUTH_INVALID_LOGOUT_TOKEN', reason: 'missing_logout_token' }])
  }
  t.ok(await isLoggedIn())
  const withCharset = { 'content-type': 'application/x-www-form-urlencoded; charset=UTF-8' }
  t.equal((await postForm(logout, `a=b&logout_token=${logoutToken}`, withCharset)).status, 200)
  t.notOk(await isLoggedIn())
})

t.test('a provider needs neither cookie nor origin, and a browser can end nothing without a token', async (t) => {
  const { url, provider, browser, isLoggedIn } = await start(t)
  const logout = `${url}/login/acme/backchannel-logout`
  t.equal((await browser.post(logout, { form: {} })).status, 400)
  t.equal((await browser.get(logout)).status, 404)
  t.ok(await isLoggedIn())
  const headers = { 'sec-fetch-site': 'cross-site', origin: 'https://id.example' }
  const body = new URLSearchParams({ logout_token: provider.logoutToken({ sid: SID }) })
  t.equal((await postForm(logout, body, headers)).status, 200)
  t.notOk(await isLoggedIn())
})

t.test('the route is for providers with OpenID Connect', async (t) => {
  const { url, provider, app } = await start(t, {
    providers: ({ providerOptions, staticOptions }) => ({ acme: providerOptions, plain: staticOptions })
  })
  for (const name of ['plain', 'nobody', '__proto__']) {
    const answer = await postLogoutToken(url, provider.logoutToken({ sid: SID }), { provider: name })
    t.match([answer.status, JSON.parse(answer.text)], [404, { error: 'invalid_request' }], name)
    t.equal(answer.headers.get('cache-control'), 'no-store')
  }
  t.ok(app.hasRoute({ method: 'POST', url: '/login/:provider/backchannel-logout' }))
  const plain = await loginApp(t, { providers: ({ staticOptions }) => ({ acme: staticOptions }) })
  t.notOk(plain.app.hasRoute({ method: 'POST', url: '/login/:provider/backchannel-logout' }))
})

t.test('the path follows the mount and `routes`, has options of its own, and the log says it at start', async (t) => {
  const { url, provider, log, app } = await start(t, {
    oauth: {
      baseUrl: 'http://127.0.0.1',
      prefix: '/auth',
      routes: { backchannelLogout: '/ended' },
      routeOptions: name => ({ config: { name } as never })
    },
    setup: (app) => {
      app.addHook('onRequest', async (request, reply) => {
        const { name } = request.routeOptions.config as { name?: string }
        if (name !== undefined) reply.header('x-route', name)
      })
    }
  })
  const logoutToken = new URLSearchParams({ logout_token: provider.logoutToken({ sid: SID }) })
  const answer = await postForm(`${url}/auth/ended`, logoutToken)
  t.equal(answer.status, 200)
  t.ok(app.hasRoute({ method: 'POST', url: '/auth/ended' }))
  const said = log.lines.filter(({ event }) => event === 'backchannel_logout_announced')
  const msg = 'back-channel logout URI for acme, where it has that: http://127.0.0.1/auth/ended'
  matchEach(t, said, [{ level: 30, provider: 'acme', msg }])
})

t.test('a guard of the whole app lets the provider pass', async (t) => {
  const { url, provider, logouts } = await start(t, {
    setup: (app) => { app.addHook('onRequest', app.oauth.requireLogin()) }
  })
  t.equal((await postLogoutToken(url, provider.logoutToken({ sid: SID }))).status, 200)
  t.equal(logouts.length, 1)
})

t.test('without routes the app hands the token over itself', async (t) => {
  const { url, app, provider, browser, logouts, userOf } = await start(t, {
    oauth: { routes: false },
    setup: (app) => {
      app.get('/login/acme', (request, reply) => request.oauth.login(reply))
      app.get('/login/:provider/callback', (request, reply) => request.oauth.callback(reply))
      const form = 'application/x-www-form-urlencoded'
      app.addContentTypeParser(form, { parseAs: 'string' }, async (_request: unknown, body: string) =>
        Object.fromEntries(new URLSearchParams(body)))
      app.post<{ Body: { logout_token: string } }>('/ended', async (request, reply) => {
        await app.oauth.provider('acme').backchannelLogout(request.body.logout_token, { request })
        return reply.header('cache-control', 'no-store').send()
      })
    }
  })
  t.equal(await userOf(browser), 'alice')
  t.equal((await postLogoutToken(url, provider.logoutToken({ sid: SID }))).status, 404)
  const post = (token: string) => postForm(`${url}/ended`, new URLSearchParams({ logout_token: token }))
  const logoutToken = provider.logoutToken({ sid: SID })
  t.equal((await post(logoutToken)).status, 200)
  t.equal(await userOf(browser), null)
  matchEach(t, logouts, [{ reason: 'backchannel' }])
  const again = await post(logoutToken)
  t.match([again.status, JSON.parse(again.text)], [400, { code: 'FST_OAUTH_INVALID_LOGOUT_TOKEN' }])
  await browser.login(`${url}/login/acme`)
  for (const token of [undefined, null, '', 5, ['a', 'b'], {}] as never[]) {
    await t.rejects(app.oauth.provider('acme').backchannelLogout(token), {
      code: 'FST_OAUTH_INVALID_LOGOUT_TOKEN', reason: 'missing_logout_token', statusCode: 400
    })
  }
  t.equal((await postForm(`${url}/ended`, new URLSearchParams({ another: 'field' }))).status, 400)
  t.equal(await app.oauth.provider('acme').backchannelLogout(provider.logoutToken({ sub: 'alice' })), 1)
  t.equal(await userOf(browser), null)
})

t.test('there is nothing to end without sessions, or without an issuer', async (t) => {
  const { app, provider } = await start(t, {
    providers: ({ providerOptions, staticOptions }) => ({ acme: providerOptions, plain: staticOptions })
  })
  const logoutToken = provider.logoutToken({ sid: SID })
  const standalone = createProvider(provider.providerOptions)
  t.after(() => standalone.close())
  const invalid = { code: 'FST_OAUTH_INVALID_OPTIONS', reason: 'configuration' }
  await t.rejects(standalone.backchannelLogout(logoutToken), { ...invalid, message: /needs a plugin/ })
  const plain = app.oauth.provider('plain')
  await t.rejects(plain.backchannelLogout(logoutToken), { ...invalid, message: /needs a known issuer/ })
})

t.test('an error of onLogout is answered with 500, once all logins have ended', async (t) => {
  let calls = 0
  const { url, provider, browser, isLoggedIn } = await start(t, {
    oauth: {
      onLogout: () => {
        calls++
        throw new Error('the database of the app')
      }
    }
  })
  const second = new Browser()
  await second.login(`${url}/login/acme`)
  const logoutToken = provider.logoutToken({ sub: 'alice' })
  const answer = await postLogoutToken(url, logoutToken)
  t.match([answer.status, JSON.parse(answer.text)], [500, { error: 'server_error' }])
  t.notMatch(answer.text, 'database')
  t.strictSame([await isLoggedIn(browser), await isLoggedIn(second), calls], [false, false, 2])
  t.equal((await postLogoutToken(url, logoutToken)).status, 400, 'it was carried out')
})

t.test('onError may send the answer itself', async (t) => {
  const { url, provider } = await start(t, {
    oauth: { onError: (_request, reply, error: OAuthError) => reply.code(400).send({ mine: error.reason }) }
  })
  const answer = await postLogoutToken(url, provider.logoutToken({ nonce: 'n', sid: SID }))
  t.match([answer.status, JSON.parse(answer.text)], [400, { mine: 'nonce' }])
})

t.test('a path for several providers has to name the provider', async (t) => {
  const { default: cookie } = await import('@fastify/cookie')
  const { default: session } = await import('@fastify/session')
  const { default: Fastify } = await import('fastify')
  const provider: ProviderOptions = { issuer: 'https://id.example', clientId: 'app' }
  const app = Fastify()
  t.after(() => app.close())
  await app.register(cookie)
  await app.register(session, { secret: 'thirty-two characters at the very least' })
  const routes = { backchannelLogout: '/ended' }
  const options = { baseUrl: 'https://app.example', providers: { a: provider, b: provider }, routes }
  await t.rejects(Promise.resolve(app.register(oauth, options)), {
    code: 'FST_OAUTH_INVALID_OPTIONS', message: /routes\.backchannelLogout must hold ":provider"/
  })
})
