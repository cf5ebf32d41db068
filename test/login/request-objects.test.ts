import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { compactVerify, decodeJwt, decodeProtectedHeader, type JWTPayload } from 'jose'
import t, { type Test } from 'tap'
import { createProvider, type ProviderOptions } from '../../lib/index.ts'
import { parseClientKeys, publicKeySet } from '../../lib/oauth/client-keys.ts'
import { edited } from '../helpers/faults.ts'
import { captureLog } from '../helpers/log.ts'
import { appAt, assertLoggedOut, codeOf, pendingLogins } from '../helpers/login-app.ts'
import { matchEach } from '../helpers/match-each.ts'
import { startProvider } from '../helpers/provider.ts'

const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
const another = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
const signing: Partial<ProviderOptions> = { clientKeys: key, requestObjects: true }

/** An app at a provider that takes signed requests alone, with the public half of the key. */
async function signedApp (t: Test, options: Partial<ProviderOptions> = signing, more: Record<string, unknown> = {}) {
  const log = captureLog()
  const provider = await startProvider(t, {
    features: { requestObjects: true },
    client: {
      require_signed_request_object: true,
      request_object_signing_alg: 'ES256',
      token_endpoint_auth_method: 'client_secret_basic',
      jwks: publicKeySet(parseClientKeys(key)),
      ...more
    }
  })
  const own = { clientAuthentication: 'client_secret_basic' as const, ...options }
  const app = await appAt(t, provider, { provider: own, fastify: { logger: log.logger } })
  const start = async (query = '') => {
    const page = await app.browser.get(`${app.url}/login/acme${query}`, { redirect: 'manual' })
    return new URL(page.location!).searchParams
  }
  return { ...app, log, start }
}

t.test('a login has its whole request in a JWT that the client has signed', async (t) => {
  const { start, provider, url, browser, log } = await signedApp(t)
  const query = await start()
  t.strictSame([...query.keys()], ['client_id', 'request', 'response_type', 'scope'])
  t.match(Object.fromEntries(query), {
    client_id: provider.clientId, response_type: 'code', scope: provider.providerOptions.scope.join(' ')
  })
  const request = query.get('request')!
  const { kid } = publicKeySet(parseClientKeys(key)).keys[0]!
  t.strictSame(decodeProtectedHeader(request), { kid, alg: 'ES256', typ: 'oauth-authz-req+jwt' })
  await t.resolves(compactVerify(request, createPublicKey(key)))
  const claims = decodeJwt(request)
  t.match(claims, {
    iss: provider.clientId,
    aud: provider.issuer,
    client_id: provider.clientId,
    response_type: 'code',
    redirect_uri: `${url}/login/acme/callback`,
    state: /^[\w-]{43}$/,
    nonce: /^[\w-]{43}$/,
    code_challenge_method: 'S256',
    jti: /^[\w-]{43}$/
  })
  t.notOk('sub' in claims, 'a request object must not pass for a client assertion (RFC 9101, section 10.8)')
  t.equal(claims.exp! - claims.nbf!, 300)
  t.not(decodeJwt((await start()).get('request')!).jti, claims.jti)
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
  t.strictSame(log.leaked([request, claims.state as string]), [])
})

t.test('without OpenID Connect nothing is beside it', async (t) => {
  const { start } = await signedApp(t, { ...signing, scope: ['orders:read'] })
  t.strictSame([...(await start()).keys()], ['client_id', 'request'])
})

t.test('a pushed request is signed as well', async (t) => {
  const { start, provider, browser, url } = await signedApp(t, { ...signing, pushedAuthorizationRequests: true })
  t.strictSame([...(await start()).keys()], ['client_id', 'request_uri'])
  const [{ body } = { body: {} }] = provider.endpoints.pushedAuthorizationRequest.requests
  t.strictSame(Object.keys(body), ['client_id', 'request'])
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
})

t.test('requests are signed by themselves where the metadata requires it', async (t) => {
  const { start, provider, browser, url } = await signedApp(t, { clientKeys: key })
  provider.endpoints.discovery.fail(edited(body => ({ ...body, require_signed_request_object: true })))
  t.ok((await start()).has('request'))
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
})

t.test('there, a client without a key is told what is missing', async (t) => {
  const { provider, browser, url, errors, store } = await signedApp(t, {})
  provider.endpoints.discovery.fail(edited(body => ({ ...body, require_signed_request_object: true })))
  t.equal((await browser.get(`${url}/login/acme`)).status, 500)
  matchEach(t, errors, [{ code: 'FST_OAUTH_INVALID_OPTIONS', reason: 'client_key', message: /write `clientKeys`/ }])
  t.strictSame(pendingLogins(store), [])
})

t.test('with false they are never signed', async (t) => {
  const { start, provider } = await signedApp(t, { clientKeys: key, requestObjects: false })
  provider.endpoints.discovery.fail(edited(body => ({ ...body, require_signed_request_object: true })))
  t.ok((await start()).has('state'))
})

t.test('a request that is signed with another key is refused by the provider, in the browser or pushed', async (t) => {
  const app = await signedApp(t, { ...signing, clientKeys: another, pushedAuthorizationRequests: true })
  const page = await app.browser.get(`${app.url}/login/acme`)
  t.equal(codeOf(page), 'FST_OAUTH_AUTHORIZATION_FAILED')
  matchEach(t, app.errors, [{ oauthError: 'invalid_request_object' }])
  await assertLoggedOut(t, app)
  const byValue = await signedApp(t, { ...signing, clientKeys: another })
  const refused = await byValue.browser.get(`${byValue.url}/login/acme`)
  t.match(refused.text, /invalid_request_object/, 'on its own page')
  await assertLoggedOut(t, byValue)
})

t.test('numbers, JSON and lists keep their kind, and the app replaces no claim of the plugin\'s', async (t) => {
  const { provider } = await signedApp(t)
  const client = createProvider({ ...provider.providerOptions, ...signing, redirectUri: 'http://127.0.0.1:9/cb' })
  t.teardown(() => client.close())
  const { url, state } = await client.authorizationUrl({
    params: {
      max_age: 60,
      claims: JSON.stringify({ id_token: { acr: { essential: true } } }),
      authorization_details: '[{"type":"a"}]',
      resource: ['https://one.example', 'https://two.example'],
      login_hint: '{"not":"json"',
      iss: 'https://evil.example',
      aud: 'https://evil.example',
      exp: 9_999_999_999,
      sub: 'evil',
      request: 'other',
      request_uri: 'urn:other',
      __proto__: 'x'
    }
  })
  const { searchParams } = new URL(url)
  const claims = decodeJwt(searchParams.get('request')!)
  t.match(claims, {
    iss: provider.clientId,
    aud: provider.issuer,
    state,
    max_age: 60,
    claims: { id_token: { acr: { essential: true } } },
    authorization_details: [{ type: 'a' }],
    resource: ['https://one.example', 'https://two.example'],
    login_hint: '{"not":"json"'
  } as JWTPayload)
  t.ok(claims.exp! < 9_999_999_999)
  for (const name of ['sub', 'request', 'request_uri']) t.notOk(name in claims, name)
  t.equal(searchParams.getAll('request').length, 1)
})

t.test('with dpop the code is bound by a claim of the request', async (t) => {
  const { start, browser, url } = await signedApp(t, { ...signing, dpop: true })
  const query = await start()
  t.notOk(query.has('dpop_jkt'))
  t.match(decodeJwt(query.get('request')!), { dpop_jkt: /^[\w-]{43}$/ })
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
})

t.test('what signed requests need is asked for at registration', async (t) => {
  const endpoints = { clientId: 'a', authorizationEndpoint: 'https://a.example/a', tokenEndpoint: 'https://a.example/t' }
  const wrong: [Partial<ProviderOptions>, RegExp][] = [
    [{ issuer: 'https://a.example', requestObjects: true }, /requestObjects needs a key to sign with/],
    [{ issuer: 'https://a.example', requestObjects: true, clientKeys: { key, use: 'enc' } }, /needs a key to sign with/],
    [{ requestObjects: true, clientKeys: key }, /requestObjects needs `issuer`/],
    [{ requestObjects: 'yes' as never }, /requestObjects must be a boolean/]
  ]
  for (const [options, message] of wrong) {
    t.throws(() => createProvider({ ...endpoints, ...options }), { code: 'FST_OAUTH_INVALID_OPTIONS', message })
  }
})
