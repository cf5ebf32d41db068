import { decodeJwt, decodeProtectedHeader, type JWTPayload } from 'jose'
import { generateKeyPairSync } from 'node:crypto'
import { Readable } from 'node:stream'
import { inspect } from 'node:util'
import t, { type Test } from 'tap'
import { MockAgent } from 'undici'
import { createDpopKey, createProvider, type ProviderOptions } from '../../lib/index.ts'
import { parseClientKeys, publicKeySet } from '../../lib/oauth/client-keys.ts'
import type { EndpointRequest } from '../../lib/testing/endpoint.ts'
import { edited } from '../helpers/faults.ts'
import { captureLog } from '../helpers/log.ts'
import { loggedInApp, type LoggedInApp, type LoggedInAppOptions } from '../helpers/logged-in-app.ts'
import { appAt, codeOf } from '../helpers/login-app.ts'
import { matchEach } from '../helpers/match-each.ts'
import { startProvider } from '../helpers/provider.ts'
import type { ProviderOptions as OidcOptions } from '../helpers/provider-options.ts'
import { expireTokens, tokenRecords } from '../helpers/records.ts'
import { rejection } from '../helpers/rejection.ts'
import { startResourceServer } from '../helpers/resource-server.ts'

const bound = { dpop: true }
const strict: OidcOptions = { dpopNonces: true, client: { dpop_bound_access_tokens: true } }

/** An app whose user's tokens are bound to a key, at a provider that takes no others and wants nonces. */
async function boundApp (t: Test, options: LoggedInAppOptions = {}): Promise<LoggedInApp> {
  const app = await loggedInApp(t, { oidc: strict, provider: bound, ...options })
  app.requests.length = 0
  return app
}

const claimsOf = (proof: unknown) => decodeJwt(proof as string)
const proofsOf = ({ requests }: Pick<LoggedInApp, 'requests'>): JWTPayload[] =>
  requests.map(({ headers }) => claimsOf(headers.dpop))
const statuses = ({ requests }: Pick<LoggedInApp, 'requests'>) => requests.map(({ status }) => status)
const keyOf = ({ store }: Pick<LoggedInApp, 'store'>) =>
  ([...tokenRecords(store).values()] as { dpopKey?: Record<string, string> }[]).map(({ dpopKey }) => dpopKey)

t.test('a login, its calls and its refresh carry proofs of one key', async (t) => {
  const app = await boundApp(t)
  t.match(await app.run(oauth => oauth.get('orders?limit=1#top').json()), [{ id: 1 }])
  const { provider } = app
  const tokens = await app.run(oauth => oauth.refresh())
  t.equal(tokens.tokenType, 'DPoP')
  t.match(await app.run(oauth => oauth.post('orders', { json: {} }).json()), { method: 'POST' })

  matchEach(t, app.requests, [{ authorization: /^DPoP / }, { authorization: `DPoP ${tokens.accessToken}` }])
  const [first, second] = proofsOf(app) as [JWTPayload, JWTPayload]
  t.match(first, { htm: 'GET', htu: `${provider.api.url}orders`, jti: /^[\w-]{43}$/, ath: /^[\w-]{43}$/ })
  t.match(second, { htm: 'POST', htu: `${provider.api.url}orders` })
  t.not(first.jti, second.jti)
  t.ok(Math.abs(first.iat! - Date.now() / 1000) < 5)

  const tokenProofs = provider.tokenRequests.map(({ headers }) => headers.dpop as string)
  for (const proof of tokenProofs) {
    t.match(claimsOf(proof), { htm: 'POST', htu: `${provider.issuer}/token`, ath: undefined })
  }
  const keys = [...tokenProofs, ...app.requests.map(({ headers }) => headers.dpop as string)]
    .map(proof => decodeProtectedHeader(proof))
  for (const header of keys) t.strictSame(header, { ...keys[0], alg: 'ES256', typ: 'dpop+jwt' })
  t.strictSame(Object.keys(keys[0]!.jwk!).sort(), ['crv', 'kty', 'x', 'y'], 'the public half alone')
})

t.test('the code is bound to the key, in the URL or pushed', async (t) => {
  const app = await boundApp(t)
  const { location } = await app.browser.get(`${app.url}/login/acme`, { redirect: 'manual' })
  const first = new URL(location!).searchParams.get('dpop_jkt')
  t.match(first, /^[\w-]{43}$/)
  const again = await app.browser.get(`${app.url}/login/acme`, { redirect: 'manual' })
  t.not(new URL(again.location!).searchParams.get('dpop_jkt'), first, 'a key for each login')

  const pushing = await boundApp(t, { provider: { ...bound, pushedAuthorizationRequests: true } })
  matchEach(t, pushing.provider.endpoints.pushedAuthorizationRequest.requests, [{ body: { dpop_jkt: /^[\w-]{43}$/ } }])
  t.equal((await pushing.orders()).status, 200)
})

t.test('DPoP nonce asked once more, htu right', async (t) => {
  const app = await boundApp(t)
  const { provider, requests } = app
  t.strictSame(provider.tokenRequests.map(({ answer }) => answer?.status), [400, 200], 'of the provider')
  t.match(provider.tokenRequests[0]!.answer!.body, { error: 'use_dpop_nonce' })
  t.equal(provider.tokenRequests[0]!.body.code, provider.tokenRequests[1]!.body.code)

  provider.api.dpop.rotate()
  t.match(await app.run(oauth => oauth.get('orders?a=1').json()), [{ id: 1 }])
  t.strictSame(statuses(app), [401, 200], 'of an API')
  const [without, withNonce] = proofsOf(app) as [JWTPayload, JWTPayload]
  t.equal(without.nonce, undefined, 'the provider\'s nonce is not the API\'s')
  t.match(withNonce, { nonce: provider.api.dpop.nonce, htu: `${provider.api.url}orders`, htm: 'GET' })
  t.not(withNonce.jti, without.jti)
  t.equal(app.refreshes(), 0)

  requests.length = 0
  await app.run(oauth => oauth.get('orders').json())
  t.strictSame(statuses(app), [200], 'and it is remembered')
  await app.run(oauth => oauth.refresh())
  t.equal(provider.refreshRequests.length, 1, 'that of the provider too')
})

t.test('the second token request is a new one: its client assertion and its proof have not been used', async (t) => {
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  const client = {
    dpop_bound_access_tokens: true,
    require_signed_request_object: true,
    token_endpoint_auth_method: 'private_key_jwt',
    jwks: publicKeySet(parseClientKeys(key))
  }
  const strong = { ...bound, clientKeys: key, requestObjects: true, pushedAuthorizationRequests: true }
  const app = await loggedInApp(t, {
    oidc: { dpopNonces: true, features: { requestObjects: true }, client },
    providers: ({ providerOptions: { clientSecret: _none, ...options } }) => ({ acme: { ...options, ...strong } })
  })
  t.strictSame(app.provider.tokenRequests.map(({ answer }) => answer?.status), [400, 200])
  for (const read of [
    ({ body }: EndpointRequest) => body.client_assertion, ({ headers }: EndpointRequest) => headers.dpop
  ]) t.equal(new Set(app.provider.tokenRequests.map(request => claimsOf(read(request)).jti)).size, 2)
  await app.run(oauth => oauth.refresh())
  t.equal((await app.orders()).status, 200)
})

t.test('a nonce that is taken from the answer to a good call spares the next one a second try', async (t) => {
  const app = await boundApp(t)
  const { dpop } = app.provider.api
  dpop.rotate()
  dpop.nonceOnce = true
  for (let call = 0; call < 3; call++) await app.run(oauth => oauth.get('orders').json())
  t.strictSame(statuses(app), [401, 200, 200, 200])
})

t.test('an API that asks for nonces without end gets two requests', async (t) => {
  const app = await boundApp(t)
  const { api } = app.provider
  api.dpop.rotate()
  api.dpop.refuses = async () => {
    api.dpop.rotate()
    return 'use_dpop_nonce'
  }
  const { statusCode } = await app.run(oauth => oauth.get('orders'))
  t.equal(statusCode, 401)
  t.equal(app.requests.length, 2)
  t.equal(app.refreshes(), 0, 'and no refresh')
})

t.test('a 401 that asks for a nonce and has none is not answered by a second request, nor by a refresh', async (t) => {
  const app = await boundApp(t)
  app.provider.api.dpop.refuses = async () => 'use_dpop_nonce'
  t.equal((await app.run(oauth => oauth.get('orders'))).statusCode, 401)
  t.equal(app.requests.length, 1)
  t.equal(app.refreshes(), 0)
})

t.test('a provider that asks for nonces without end gets two requests', async (t) => {
  const app = await boundApp(t)
  let nonces = 0
  app.provider.failTokenEndpoint(() => ({
    status: 400, headers: { 'dpop-nonce': `nonce-${++nonces}` }, body: { error: 'use_dpop_nonce' }
  }))
  t.match(await rejection(app.run(oauth => oauth.refresh())), {
    code: 'FST_OAUTH_INVALID_TOKEN_RESPONSE', oauthError: 'use_dpop_nonce'
  })
  t.equal(app.refreshes(), 2)
  t.equal((await app.orders()).status, 200, 'the login is kept')
})

t.test('a refused token is refreshed once, and a nonce asked for on the way is no second refresh', async (t) => {
  const app = await boundApp(t)
  const { provider } = app
  provider.expireAccessTokens()
  provider.api.dpop.rotate()
  const refuses = provider.api.dpop.refuses.bind(provider.api.dpop)
  t.match(await app.run(oauth => oauth.get('orders').json()), [{ id: 1 }])
  t.strictSame(statuses(app), [401, 200], 'the nonce came with the refused token')
  t.equal(app.refreshes(), 1)

  // Both in one call, the nonce first.
  app.requests.length = 0
  provider.api.dpop.rotate()
  let asked = 0
  provider.api.dpop.refuses = async (request) => {
    const refusal = await refuses(request)
    return refusal ?? (asked++ === 0 ? 'invalid_token' : undefined)
  }
  t.match(await app.run(oauth => oauth.get('orders').json()), [{ id: 1 }])
  t.strictSame(statuses(app), [401, 401, 200])
  t.equal(app.refreshes(), 2)
})

t.test('a refused proof is no reason for a refresh', async (t) => {
  const app = await boundApp(t)
  app.provider.api.dpop.refuses = async () => 'invalid_dpop_proof'
  t.equal((await app.run(oauth => oauth.get('orders'))).statusCode, 401)
  t.equal(app.refreshes(), 0)
  t.equal(app.requests.length, 1)
})

t.test('a body that cannot be sent again: the error says so, and the next call has the nonce', async (t) => {
  const app = await boundApp(t)
  app.provider.api.dpop.rotate()
  const send = () => app.run(oauth => oauth.post('echo', { body: Readable.from(['some ', 'bytes']) }).json())
  t.match(await rejection(send()), {
    code: 'FST_OAUTH_API_UNAVAILABLE', reason: 'dpop_nonce', message: /POST \/v1\/echo.*make the call once more/
  })
  t.equal(app.requests.length, 1)
  t.match(await send(), { body: 'some bytes' })
  t.equal(app.refreshes(), 0)
})

t.test('a body that can be sent again is whole in the second request', async (t) => {
  const app = await boundApp(t)
  for (const options of [{ json: { a: 1 } }, { body: new URLSearchParams('a=1') }, { body: Buffer.from('{"a":1}') }]) {
    app.provider.api.dpop.rotate()
    app.requests.length = 0
    const { body } = await app.run(oauth => oauth.post('echo', options).json<{ body: string }>())
    t.match(body, /a=1|{"a":1}/)
    t.strictSame(statuses(app), [401, 200])
  }
})

t.test('a DPoP-bound token never sent as Bearer', async (t) => {
  const app = await boundApp(t)
  const { provider, requests, store } = app
  const callAll = () => app.run(async oauth => await Promise.all([
    rejection(oauth.get('orders').json()), rejection(oauth.fetch('orders')), rejection(oauth.userinfo())
  ]))
  const refused = { code: 'FST_OAUTH_UNSUPPORTED_TOKEN_TYPE' }
  // Another process has lost the key, or the record was written without it.
  const changeRecords = (change: (record: any) => void) => {
    for (const [id, text] of store.records) {
      const envelope = JSON.parse(text)
      if (envelope.record?.tokens === undefined) continue
      change(envelope.record)
      envelope.record.version++
      store.records.set(id, JSON.stringify(envelope))
    }
  }
  const [key] = keyOf(app)
  changeRecords((record) => { delete record.dpopKey })
  t.match(await callAll(), [refused, refused, refused])
  // A set without its type, or that calls itself bearer.
  changeRecords((record) => { Object.assign(record, { dpopKey: key }).tokens.tokenType = 'Bearer' })
  t.match(await callAll(), [refused, refused, refused])
  changeRecords((record) => { record.tokens.tokenType = 'DPoP' })

  const tokens = await app.run(oauth => oauth.tokens())
  const { accessToken, refreshToken } = tokens
  t.match(await rejection(app.run(oauth => oauth.save({ ...tokens, tokenType: 'Bearer' }))), {
    code: 'FST_OAUTH_INVALID_OPTIONS', reason: 'invalid_tokens'
  })
  await app.run(oauth => oauth.save({ access_token: accessToken, refresh_token: refreshToken }))
  t.match(await app.run(oauth => oauth.tokens()), { tokenType: 'DPoP' }, 'what is saved without a type is bound')
  t.match(await app.run(oauth => oauth.get('orders').json()), [{ id: 1 }])

  const sent = [...requests, ...provider.endpoints.userinfo.requests].map(({ headers }) => headers.authorization)
  t.strictSame(sent.filter(authorization => !/^DPoP /.test(String(authorization))), [])
})

t.test('a bearer token in place of a bound one is refused, at login and at a refresh', async (t) => {
  const app = await boundApp(t)
  const { provider, browser, url } = app
  provider.failTokenEndpoint(edited(body => ({ ...body, ...('access_token' in body && { token_type: 'Bearer' }) })))
  t.match(await rejection(app.run(oauth => oauth.refresh())), {
    code: 'FST_OAUTH_INVALID_TOKEN_RESPONSE', reason: 'not_bound', message: /switch on DPoP for this client/
  })
  const page = await browser.login(`${url}/login/acme`)
  t.equal(page.status, 502)
  t.equal(codeOf(page), 'FST_OAUTH_INVALID_TOKEN_RESPONSE')
})

t.test('the refresh token that came with such a token is not lost', async (t) => {
  const app = await boundApp(t)
  const fault = app.provider.failTokenEndpoint(edited(body => ({ ...body, token_type: undefined })))
  await rejection(app.run(oauth => oauth.refresh()))
  fault.stop()
  t.match(await app.run(oauth => oauth.refresh()), { tokenType: 'DPoP' })
  t.equal(app.provider.refreshTokenReuses, 0)
})

t.test('a login from before the option stays a bearer login until the next one', async (t) => {
  const before = await loggedInApp(t)
  const { provider: at, store } = before
  const after = await loggedInApp(t, { at, provider: bound, session: { store: store as never } })
  after.browser.cookies = before.browser.cookies
  const { requests } = before.provider.api
  requests.length = 0
  t.equal((await after.orders()).status, 200)
  await after.run(oauth => oauth.refresh())
  t.equal((await after.orders()).status, 200)
  matchEach(t, requests, [{ authorization: /^Bearer /, headers: { dpop: undefined } }, { authorization: /^Bearer / }])
  await after.browser.login(`${after.url}/login/acme`)
  t.equal((await after.orders()).status, 200)
  t.match(requests.at(-1), { authorization: /^DPoP / })
})

t.test('a login with a key stays bound where the option is taken out again', async (t) => {
  const before = await loggedInApp(t, { provider: bound })
  const { provider: at, store } = before
  const after = await loggedInApp(t, { at, session: { store: store as never } })
  after.browser.cookies = before.browser.cookies
  await after.run(oauth => oauth.refresh())
  t.equal((await after.orders()).status, 200)
  t.match(at.api.requests.at(-1), { authorization: /^DPoP / })
})

t.test('fetch makes a proof for each hop, with its own URL and method', async (t) => {
  const app = await boundApp(t)
  const { url } = app.provider.api
  app.provider.api.dpop.rotate()
  const to = encodeURIComponent(`${url}echo?last=1`)
  const middle = encodeURIComponent(`${url}redirect?to=${to}&status=303`)
  const answer = await app.run(async (oauth) => {
    const response = await oauth.fetch(`redirect?to=${middle}&status=307`, { method: 'POST', body: 'a' })
    return await response.json() as { method: string }
  })
  t.match(answer, { method: 'GET' })
  t.strictSame(proofsOf(app).map(({ htm, htu }) => [htm, htu]), [
    ['POST', `${url}redirect`], ['POST', `${url}redirect`], ['POST', `${url}redirect`], ['GET', `${url}echo`]
  ])
  t.strictSame(statuses(app), [401, 307, 303, 200])
  t.equal(new Set(proofsOf(app).map(({ jti }) => jti)).size, 4)
})

t.test('a hop that leaves the resource servers has neither token nor proof', async (t) => {
  const other = await startResourceServer()
  t.teardown(() => other.close())
  const app = await boundApp(t)
  const away = encodeURIComponent(`${other.url}orders`)
  const { status } = await app.run(oauth => oauth.fetch(`redirect?to=${away}`, { headers: { dpop: 'mine' } }))
  t.equal(status, 401)
  matchEach(t, other.requests, [{ authorization: undefined, headers: { dpop: undefined } }])
})

t.test('each origin has its own nonce, and the provider\'s endpoints another one than its userinfo', async (t) => {
  const other = await startResourceServer()
  t.teardown(() => other.close())
  const app = await boundApp(t, {
    provider: ({ api }) => ({ ...bound, resourceServers: [api.url, other.url] })
  })
  const { provider } = app
  other.trust(provider.oidc)
  provider.api.dpop.nonce = 'nonce-of-one'
  other.dpop.nonce = 'nonce-of-two'
  for (let round = 0; round < 2; round++) {
    await app.run(oauth => oauth.get('orders').json())
    await app.run(oauth => oauth.get(`${other.url}orders`).json())
  }
  t.strictSame(provider.api.requests.map(({ headers }) => claimsOf(headers.dpop).nonce),
    [undefined, 'nonce-of-one', 'nonce-of-one'])
  t.strictSame(other.requests.map(({ headers }) => claimsOf(headers.dpop).nonce),
    [undefined, 'nonce-of-two', 'nonce-of-two'])
  t.match(await app.run(oauth => oauth.userinfo()), { sub: 'alice' })
  const [first] = provider.endpoints.userinfo.requests
  t.equal(claimsOf(first!.headers.dpop).nonce, undefined, 'a resource of the provider has nonces of its own')
})

t.test('userinfo carries a proof, and is asked once more with a nonce', async (t) => {
  const app = await boundApp(t, { provider: { ...bound, profileSource: 'userinfo' } })
  const { requests } = app.provider.endpoints.userinfo
  t.strictSame(requests.map(({ answer }) => answer?.status), [401, 200])
  t.match(claimsOf(requests[1]!.headers.dpop), {
    htm: 'GET', htu: `${app.provider.issuer}/me`, ath: /^[\w-]{43}$/, nonce: /./
  })
  t.match(await app.run(oauth => oauth.userinfo()), { sub: 'alice' })
  t.equal(requests.length, 3)
})

t.test('the calls of fetchProfile carry proofs', async (t) => {
  const app = await loggedInApp(t, {
    oidc: strict,
    provider: { ...bound, fetchProfile: async ({ call }) => await call('me').json<object>() }
  })
  t.match(await app.run(oauth => oauth.user), { id: 'alice' })
  t.match(await app.run(oauth => oauth.userinfo()), { sub: 'alice' })
  matchEach(t, app.provider.api.requests, [{ authorization: /^DPoP / }, { authorization: /^DPoP / }])
})

t.test('an API that the proof is a nuisance to: a nonce that no header can have is not taken', async (t) => {
  const app = await boundApp(t)
  const nonces = ['with "quotes"', 'with space', 'x'.repeat(5_000), 'back\\slash', '']
  for (const nonce of nonces) {
    app.provider.api.dpop.nonce = nonce
    app.requests.length = 0
    t.equal((await app.run(oauth => oauth.get('orders'))).statusCode, 401)
    t.equal(app.requests.length, 1, nonce.slice(0, 20))
    t.equal(proofsOf(app)[0]!.nonce, undefined)
  }
  app.provider.api.dpop.nonce = undefined
  t.equal((await app.orders()).status, 200)
})

t.test('a hook sees the token and changes the request, and the proof is for what is sent', async (t) => {
  const app = await boundApp(t, {
    provider: {
      ...bound,
      hooks: {
        protectedRequest: (request) => {
          request.url.pathname = '/v1/echo'
          request.url.searchParams.set('hooked', '1')
          request.headers['x-own'] = 'yes'
        }
      }
    }
  })
  t.match(await app.run(oauth => oauth.get('orders').json()), { headers: { 'x-own': 'yes' } })
  t.match(proofsOf(app), [{ htu: `${app.provider.api.url}echo` }])
})

t.test('a caller\'s own proof is replaced, and a call without the token has none of ours', async (t) => {
  const app = await boundApp(t)
  const { headers } = await app.run(oauth =>
    oauth.get('echo', { headers: { DPoP: 'mine' } }).json<{ headers: Record<string, string> }>())
  t.match(claimsOf(headers.dpop), { htm: 'GET' })
  await app.run(oauth => oauth.get(`${app.provider.api.url}echo`, { withholdToken: true }))
  t.match(app.requests.at(-1), { authorization: undefined, headers: { dpop: undefined } })
})

t.test('20 first calls at once are 20 answers, one second try each at most, and no refresh', async (t) => {
  const app = await boundApp(t)
  app.provider.api.dpop.rotate()
  const all = await app.run(oauth => Promise.all(Array.from({ length: 20 }, () => oauth.get('orders').json())))
  t.equal(all.length, 20)
  t.ok(app.requests.length <= 40, `${app.requests.length} requests`)
  t.equal(app.provider.api.dpop.proofs.length, 20)
  t.equal(app.refreshes(), 0)
})

t.test('20 calls at once with an expired token and a nonce that has changed are one refresh', async (t) => {
  const app = await boundApp(t)
  await app.run(oauth => oauth.get('orders').json())
  expireTokens(app.store)
  app.provider.api.dpop.rotate()
  const { 'dpop-nonce': nonce } = app.provider.tokenRequests[0]!.answer!.headers!
  app.provider.failTokenEndpoint({
    status: 400, headers: { 'dpop-nonce': nonce! }, body: { error: 'use_dpop_nonce' }
  }, { times: 1, grantType: 'refresh_token' })
  const all = await app.run(oauth => Promise.all(Array.from({ length: 20 }, () => oauth.get('orders').json())))
  t.equal(all.length, 20)
  t.strictSame(app.provider.refreshRequests.map(({ processed }) => processed), [false, true])
  t.equal(app.provider.refreshTokenReuses, 0)
})

t.test('a clock that is off: servers with nonces take the proof all the same', async (t) => {
  const app = await boundApp(t)
  app.provider.api.dpop.rotate()
  const { now } = Date
  t.teardown(() => { Date.now = now })
  await app.run(async (oauth) => {
    Date.now = () => now() + 600_000
    try {
      t.match(await oauth.get('orders').json(), [{ id: 1 }])
    } finally {
      Date.now = now
    }
  })
  t.ok(proofsOf(app).at(-1)!.iat! > now() / 1000 + 500)
})

t.test('the private key is in the record alone: not in session, cookie, log, error, JSON or inspect', async (t) => {
  const log = captureLog()
  const app = await boundApp(t, { fastify: { logger: log.logger } })
  const { store, provider, browser } = app
  provider.api.dpop.rotate()
  await app.run(oauth => oauth.get('orders').json())
  await app.run(oauth => oauth.refresh())
  provider.api.dpop.refuses = async () => 'invalid_dpop_proof'
  const error = await rejection(app.run(oauth => oauth.get('orders').json()))
  const [key] = keyOf(app)
  t.match(key, { kty: 'EC', crv: 'P-256', d: /^[\w-]{43}$/ })
  const seen = await app.run(async oauth => [
    inspect(oauth, { depth: 9, showHidden: true }), JSON.stringify(await oauth.tokens()), inspect(await oauth.tokens()),
    inspect(error, { depth: 9, showHidden: true }), JSON.stringify(error), JSON.stringify(browser.cookies)
  ])
  const proofs = app.requests.map(({ headers }) => headers.dpop as string)
  for (const text of seen) {
    t.notMatch(text, key!.d)
    for (const proof of proofs) t.notMatch(text, proof)
  }
  t.strictSame(log.leaked([key!.d!, ...proofs]), [])
  const holders = [...store.records].filter(([, text]) => text.includes(key!.d!))
  t.equal(holders.length, 1)
  t.match(holders[0]![0], /^oauth:(?!login)/)
})

t.test('with encryptionKeys the key is encrypted with the tokens, and while the login is pending', async (t) => {
  const app = await boundApp(t, { oauth: { encryptionKeys: [Buffer.alloc(32, 7)] } })
  await app.browser.copy().get(`${app.url}/login/acme`, { redirect: 'manual' })
  t.equal((await app.orders()).status, 200)
  for (const [, text] of app.store.records) t.notMatch(text, /"d"|dpopKey/)
})

t.test('a pending login holds its key, and the tokens are bound to that one', async (t) => {
  const app = await boundApp(t)
  await app.browser.copy().get(`${app.url}/login/acme`, { redirect: 'manual' })
  const pending = [...app.store.records].filter(([id]) => id.startsWith('oauth:login:')).map(([, text]) => text)
  t.match(pending, [/"dpopKey":{"kty":"EC"/])
})

const odd: Record<string, unknown> = {
  'a text': 'key',
  null: null,
  'an RSA key': { kty: 'RSA', n: 'AQAB', e: 'AQAB', d: 'AQAB' },
  'a symmetric key': { kty: 'oct', k: 'c2VjcmV0' },
  'a public key': { kty: 'EC', crv: 'P-256', x: 'A'.repeat(43), y: 'B'.repeat(43) },
  'another curve': { kty: 'EC', crv: 'P-384', x: 'A'.repeat(43), y: 'B'.repeat(43), d: 'C'.repeat(43) },
  'a point that is on no curve': { kty: 'EC', crv: 'P-256', x: 'A'.repeat(43), y: 'B'.repeat(43), d: 'C'.repeat(43) }
}
for (const [name, dpopKey] of Object.entries(odd)) {
  t.test(`a stored key that is ${name} ends the login, and nothing is sent`, async (t) => {
    const app = await boundApp(t)
    for (const [id, text] of app.store.records) {
      const envelope = JSON.parse(text)
      if (envelope.record?.tokens === undefined) continue
      envelope.record.dpopKey = dpopKey
      envelope.record.version++
      app.store.records.set(id, JSON.stringify(envelope))
    }
    const error = await rejection(app.run(oauth => oauth.get('orders').json()))
    t.match(error, { code: 'FST_OAUTH_LOGIN_ENDED', statusCode: 401 })
    // What has the shape of a key is found out when it is to sign; a record with anything else is not read at all.
    t.equal(error.reason, name === 'a point that is on no curve' ? 'dpop_key' : undefined)
    t.notMatch(inspect(error, { depth: 9, showHidden: true }), 'CCCC')
    t.equal(app.requests.length, 0)
  })
}

t.test('the error of a dispatcher that shows the request shows neither token nor proof', async (t) => {
  const agent = new MockAgent()
  agent.disableNetConnect()
  t.teardown(() => agent.close())
  const provider = createProvider({
    clientId: 'a',
    authorizationEndpoint: 'https://id.example/a',
    tokenEndpoint: 'https://id.example/t',
    resourceServers: ['https://api.example/'],
    ...bound
  }, { dispatcher: agent })
  const dpopKey = await createDpopKey()
  const session = provider.session({ tokens: { accessToken: 'secret-token', refreshToken: 'r' }, dpopKey })
  const errors = [await rejection(session.get('x')), await rejection(session.refresh())]
  for (const error of errors) t.notMatch(inspect(error, { depth: 9, showHidden: true }), /secret-token|eyJ|dpop+jwt/)
})

t.test('what does not go with dpop is refused at registration', async (t) => {
  const endpoints = {
    clientId: 'a', authorizationEndpoint: 'https://id.example/a', tokenEndpoint: 'https://id.example/t'
  }
  const wrong: [Partial<ProviderOptions>, RegExp][] = [
    [{ dpop: true, tokenPlacement: 'query' }, /dpop needs the token in the header/],
    [{ dpop: true, tokenPlacement: 'body' }, /dpop needs the token in the header/],
    [{ dpop: true, grantType: 'implicit' }, /has no token request/],
    [{ dpop: 'yes' as never }, /dpop must be a boolean/]
  ]
  for (const [options, message] of wrong) {
    t.throws(() => createProvider({ ...endpoints, ...options }), { code: 'FST_OAUTH_INVALID_OPTIONS', message })
  }
})

t.test('a provider that takes no ES256 proofs is named at the login', async (t) => {
  const other = await startProvider(t)
  other.endpoints.discovery.fail(edited(body => ({ ...body, dpop_signing_alg_values_supported: ['RS256'] })))
  const app = await appAt(t, other, { provider: bound })
  t.equal((await app.browser.get(`${app.url}/login/acme`)).status, 500)
  matchEach(t, app.errors, [{ code: 'FST_OAUTH_INVALID_OPTIONS', message: /no DPoP proof that is signed with ES256/ }])
})
