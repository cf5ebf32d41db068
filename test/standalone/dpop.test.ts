import { calculateJwkThumbprint, decodeJwt, decodeProtectedHeader } from 'jose'
import { inspect } from 'node:util'
import t, { type Test } from 'tap'
import { createDpopKey, createProvider, type DpopKey, type OAuthSession } from '../../lib/index.ts'
import { Browser } from '../helpers/browser.ts'
import { startCluster } from '../helpers/cluster.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { callbackUrl } from '../helpers/login-app.ts'
import { startProvider, type TestProvider } from '../helpers/provider.ts'
import { rejection } from '../helpers/rejection.ts'
import { scriptProvider, startScriptServer } from '../helpers/script-server.ts'

const redirectUri = 'http://127.0.0.1:9/callback'

async function start (t: Test) {
  const server = await startProvider(t, { dpopNonces: true, client: { dpop_bound_access_tokens: true } })
  const provider = createProvider({ ...server.providerOptions, redirectUri, dpop: true })
  t.teardown(() => provider.close())
  return { server, provider }
}

/** Walks a login and returns the URL that it comes back to. */
const comeBack = async (url: string) => await callbackUrl(new Browser(), url)

const jktOf = (key: DpopKey) => calculateJwkThumbprint(key as never)
const lastJkt = async ({ api }: TestProvider) =>
  await calculateJwkThumbprint(decodeProtectedHeader(api.requests.at(-1)!.headers.dpop as string).jwk!)

t.test('a script keeps tokens and key, and goes on with both in another process', async (t) => {
  const { server, provider } = await start(t)
  const session = provider.session()
  t.equal(session.dpopKey, undefined)
  const { url } = await session.authorizationUrl()
  const tokens = await session.fetchTokens({ callbackUrl: await comeBack(url) })
  t.equal(tokens.tokenType, 'DPoP')
  t.equal(session.dpopKey === undefined, false)
  t.equal(new URL(url).searchParams.get('dpop_jkt'), await jktOf(session.dpopKey!))
  t.match(await session.get('orders').json(), [{ id: 1 }])

  const kept = JSON.parse(JSON.stringify({ tokens: await session.tokens(), dpopKey: session.dpopKey }))
  t.notOk('dpopKey' in kept.tokens)
  const later = provider.session(kept)
  t.match(await later.get('orders').json(), [{ id: 1 }])
  const { accessToken } = await later.refresh()
  t.not(accessToken, tokens.accessToken)
  t.match(await later.get('orders').json(), [{ id: 1 }])
  t.match(await later.userinfo(), { sub: 'alice' })
  t.strictSame(later.dpopKey, session.dpopKey)
  t.equal(await lastJkt(server), await jktOf(session.dpopKey!))
  t.equal(await later.revoke(), true)
})

t.test('a refresh token alone is refreshed with the key', async (t) => {
  const { provider } = await start(t)
  const session = provider.session()
  const { url } = await session.authorizationUrl()
  const { refreshToken } = await session.fetchTokens({ callbackUrl: await comeBack(url) })
  const { dpopKey } = session
  const later = provider.session({ dpopKey: dpopKey! })
  await later.refresh({ refreshToken: refreshToken! })
  t.match(await later.get('orders').json(), [{ id: 1 }])
  t.strictSame(later.dpopKey, dpopKey)
})

t.test('a login that one session starts is finished by another', async (t) => {
  const { provider } = await start(t)
  const { url, ...kept } = await provider.authorizationUrl()
  t.match(kept.dpopKey, { kty: 'EC', d: /./ })
  const session = provider.session(JSON.parse(JSON.stringify(kept)))
  await session.fetchTokens({ callbackUrl: await comeBack(url) })
  t.match(await session.get('orders').json(), [{ id: 1 }])
  t.strictSame(session.dpopKey, kept.dpopKey)
})

t.test('a code that is bound to another key is refused', async (t) => {
  const { provider } = await start(t)
  const { url, dpopKey: _key, ...kept } = await provider.authorizationUrl()
  const session = provider.session(kept as never)
  t.match(await rejection(session.fetchTokens({ callbackUrl: await comeBack(url) })), {
    code: 'FST_OAUTH_AUTHORIZATION_FAILED', oauthError: 'invalid_grant'
  })
})

t.test('tokens without their key are not sent, and the error says what is missing', async (t) => {
  const { provider, server } = await start(t)
  const session = provider.session({ tokens: { accessToken: 'a', tokenType: 'DPoP', refreshToken: 'r' } })
  const { requests } = server.api
  t.match(await rejection(session.get('orders')), {
    code: 'FST_OAUTH_UNSUPPORTED_TOKEN_TYPE', message: /takes it as `dpopKey`/
  })
  t.equal(requests.length, 0)
})

t.test('with a key, tokens are bound: those that say otherwise are refused', async (t) => {
  const { provider } = await start(t)
  const dpopKey = await createDpopKey()
  const bearer = { accessToken: 'a', tokenType: 'Bearer' }
  t.throws(() => provider.session({ tokens: bearer, dpopKey }), { code: 'FST_OAUTH_INVALID_OPTIONS' })
  t.throws(() => provider.session({ tokens: { access_token: 'a', token_type: 'bearer' }, dpopKey }), {
    code: 'FST_OAUTH_INVALID_OPTIONS'
  })
  t.match(provider.session({ tokens: { access_token: 'a' }, dpopKey }).storedTokens, { tokenType: 'DPoP' })
  t.match(provider.session({ tokens: { accessToken: 'a' }, dpopKey }).storedTokens, { tokenType: 'DPoP' })
  for (const wrong of ['key', null, {}, { ...dpopKey, d: 'short' }, { kty: 'RSA' }]) {
    t.throws(() => provider.session({ dpopKey: wrong as never }), {
      code: 'FST_OAUTH_INVALID_OPTIONS', reason: 'dpop_key'
    })
  }
})

t.test('a key that the app changes afterwards, or that has more members, is another matter', async (t) => {
  const { provider } = await start(t)
  const given = { ...await createDpopKey(), use: 'enc', key_ops: [], kid: 'mine' }
  const session = provider.session({ dpopKey: given })
  const { url } = await session.authorizationUrl()
  given.d = 'changed'
  await session.fetchTokens({ callbackUrl: await comeBack(url) })
  t.match(await session.get('orders').json(), [{ id: 1 }])
  session.dpopKey!.d = 'changed'
  t.strictSame(Object.keys(session.dpopKey!), ['kty', 'crv', 'x', 'y', 'd'])
  t.match(await session.get('orders').json(), [{ id: 1 }])
})

t.test('neither a session nor a provider shows a key when it is printed', async (t) => {
  const { provider } = await start(t)
  const dpopKey = await createDpopKey()
  const session = provider.session({ tokens: { accessToken: 'a', refreshToken: 'r' }, dpopKey })
  for (const text of [session, provider].flatMap(value => [
    inspect(value, { depth: 9, showHidden: true }), JSON.stringify(value), `${value as unknown as string}`
  ])) t.notMatch(text, dpopKey.d)
})

t.test('the app\'s own client has one key for all its tokens, kept at each renewal', async (t) => {
  const { provider, server } = await start(t)
  const sessions: OAuthSession[] = [provider.clientCredentials(), provider.clientCredentials({ scope: 'orders:read' })]
  const seen = new Set<string>()
  for (const session of sessions) {
    await session.get('orders').json()
    seen.add(await lastJkt(server))
    await session.refresh()
    await session.get('orders').json()
    seen.add(await lastJkt(server))
  }
  t.equal(seen.size, 1)
  t.match(server.api.requests.at(-1), { authorization: /^DPoP / })
  server.expireAccessTokens()
  t.match(await sessions[0]!.get('orders').json(), [{ id: 1 }])
})

t.test('20 first calls of the app\'s own client at once are one token request with one key', async (t) => {
  const { provider, server } = await start(t)
  await Promise.all(Array.from({ length: 20 }, () => provider.clientCredentials().get('orders').json()))
  t.equal(server.tokenRequests.filter(({ answer }) => answer?.status === 200).length, 1)
  t.equal(new Set(server.api.requests.map(({ authorization }) => authorization)).size, 1)
})

t.test('exchange, jwtBearer and device bind their tokens to a key that the app gives', async (t) => {
  const server = await startScriptServer(t)
  server.answerTokens = () => [200, { access_token: 'a', token_type: 'DPoP', expires_in: 60 }]
  server.answerCall = ({ url }) => url === '/device'
    ? [200, { device_code: 'd', user_code: 'u', verification_uri: 'https://id.example/', expires_in: 60, interval: 1 }]
    : [200, { ok: true }]
  const wait = async () => {}
  const deviceAuthorizationEndpoint = `${server.url}device`
  const options = { ...server.providerOptions, deviceAuthorizationEndpoint, dpop: true }
  const provider = scriptProvider(t, options, { clock: { wait } })
  const missing = { code: 'FST_OAUTH_INVALID_OPTIONS', reason: 'dpop_key', message: /createDpopKey/ }
  t.match(await rejection(provider.exchange({ subjectToken: 's' })), missing)
  t.match(await rejection(provider.jwtBearer({ assertion: 'a' })), missing)
  t.match(await rejection(provider.device()), missing)
  for (const wrong of ['key', {}, { kty: 'RSA' }] as never[]) {
    t.match(await rejection(provider.exchange({ subjectToken: 's', dpopKey: wrong })), missing)
  }
  t.equal(server.tokenRequests.length, 0)

  const dpopKey = await createDpopKey()
  const sets = [
    await provider.exchange({ subjectToken: 's', dpopKey }),
    await provider.jwtBearer({ assertion: 'a', dpopKey }),
    await (await provider.device({ dpopKey })).tokens()
  ]
  for (const [index, tokens] of sets.entries()) {
    const { jwk } = decodeProtectedHeader(server.tokenRequests[index]!.headers.dpop as string)
    t.equal(await calculateJwkThumbprint(jwk!), await jktOf(dpopKey))
    t.strictSame(await provider.session({ tokens, dpopKey }).get('x').json(), { ok: true })
    t.match(server.calls.at(-1), { headers: { authorization: 'DPoP a' } })
    t.match(decodeJwt(server.calls.at(-1)!.headers.dpop as string), { htu: `${server.url}api/x` })
  }
})

t.test('revocation and introspection carry client authentication alone', async (t) => {
  const { provider, server } = await start(t)
  const { accessToken } = await provider.clientCredentials().tokens()
  t.match(await provider.introspect(accessToken), { active: true, token_type: 'DPoP' })
  t.equal(await provider.revoke(accessToken), true)
  for (const name of ['introspection', 'revocation'] as const) {
    t.match(server.endpoints[name].requests, [{ headers: { authorization: /^Basic /, dpop: undefined } }])
  }
})

t.test('a session without a request shares the record of a login, and with it the key', async (t) => {
  const { app, run, provider } = await loggedInApp(t, { oidc: { dpopNonces: true }, provider: { dpop: true } })
  const tokens = await run(oauth => oauth.tokens())
  const session = app.oauth.provider('acme').session({ tokens })
  t.match(await session.get('orders').json(), [{ id: 1 }])
  await session.refresh()
  t.match(await session.get('orders').json(), [{ id: 1 }])
  t.equal(session.dpopKey, undefined, 'the key of a login is not handed out')
  t.match(await run(oauth => oauth.get('orders').json()), [{ id: 1 }])
  const proofs = provider.api.requests.map(({ headers }) => decodeProtectedHeader(headers.dpop as string).jwk)
  for (const jwk of proofs) t.strictSame(jwk, proofs[0])
})

t.test('three processes on Redis share the key of a login, and refresh once', async (t) => {
  const at = await startProvider(t, { dpopNonces: true, client: { dpop_bound_access_tokens: true } })
  const started = await startCluster(t, at, 3, {
    oauth: { providers: { acme: { ...at.providerOptions, dpop: true } }, encryptionKeys: [Buffer.alloc(32, 1)] },
    setup: (app) => { app.get('/orders', async ({ oauth }) => await oauth.get('orders').json()) }
  })
  if (started === undefined) return
  const { apps, client } = started
  const browser = new Browser()
  await browser.login(`${apps[0]!.url}/login/acme`)
  at.api.dpop.rotate()
  at.expireAccessTokens()
  const urls = Array.from({ length: 30 }, (_, index) => `${apps[index % 3]!.url}/orders`)
  const pages = await Promise.all(urls.map(url => browser.get(url)))
  t.strictSame(pages.map(({ status }) => status).filter(status => status !== 200), [])
  t.equal(at.refreshRequests.filter(({ answer }) => answer?.status === 200).length, 1)
  t.equal(at.refreshTokenReuses, 0)
  const keys = at.api.requests.map(({ headers }) => JSON.stringify(decodeProtectedHeader(headers.dpop as string).jwk))
  t.equal(new Set(keys).size, 1)
  for (const key of await client.keys('oauth:*')) {
    if (await client.type(key) === 'hash') t.notMatch(await client.hGet(key, 'd'), /dpopKey/)
  }
})
