import { generateKeyPairSync } from 'node:crypto'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import t, { type Test } from 'tap'
import { Agent } from 'undici'
import { createProvider, type OAuthError, type ProviderOptions } from '../../lib/index.ts'
import { parseClientKeys, publicKeySet } from '../../lib/oauth/client-keys.ts'
import { buildApp } from '../helpers/build-app.ts'
import { authority, clientCertificates, serverTls } from '../helpers/certificates.ts'
import { edited } from '../helpers/faults.ts'
import { captureLog } from '../helpers/log.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { appAt, assertLoggedOut, callbackUrl, codeOf, withQuery } from '../helpers/login-app.ts'
import { matchEach } from '../helpers/match-each.ts'
import { mtlsOptions, startMtlsProvider, thumbprintOf } from '../helpers/mtls-provider.ts'
import { startProvider, type TestProvider } from '../helpers/provider.ts'
import type { ProviderOptions as OidcOptions } from '../helpers/provider-options.ts'

// FAPI 2.0 Security Profile, over TLS, at a real provider with its FAPI 2.0 profile on.

const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey

const jwks = (clientKeys: unknown) => publicKeySet(parseClientKeys(clientKeys))
const algorithms = ['PS256', 'ES256', 'EdDSA', 'Ed25519']

/** oidc-provider as FAPI 2.0 wants it. */
const fapi = (client: Record<string, unknown>): OidcOptions => ({
  tls: serverTls,
  dpopNonces: true,
  client: { id_token_signed_response_alg: 'ES256', require_pushed_authorization_requests: true, ...client },
  furtherFeatures: {
    fapi: { enabled: true, profile: '2.0' },
    pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests: true }
  },
  configuration: {
    enabledJWA: { idTokenSigningAlgValues: algorithms, clientAuthSigningAlgValues: algorithms }
  }
})

const keyClient = { token_endpoint_auth_method: 'private_key_jwt', jwks: jwks(key), dpop_bound_access_tokens: true }

function dispatcherFor (t: Test): Agent {
  const dispatcher = new Agent({ connect: { ca: authority } })
  t.teardown(() => dispatcher.destroy())
  return dispatcher
}

function optionsFor ({ providerOptions }: TestProvider, own: Partial<ProviderOptions> = {}): ProviderOptions {
  const { clientSecret: _none, ...options } = providerOptions
  return { ...options, securityProfile: 'fapi2', clientKeys: key, ...own }
}

t.test('one word: login, call, refresh with a nonce and logout with keys and DPoP', async (t) => {
  const log = captureLog()
  const provider = await startProvider(t, fapi(keyClient))
  const { orders, run, browser, url, requests } = await loggedInApp(t, {
    at: provider,
    through: 'browser',
    providers: provider => ({ acme: optionsFor(provider) }),
    oauth: { dispatcher: dispatcherFor(t) },
    fastify: { logger: log.logger }
  })
  t.equal((await orders()).status, 200)
  const before = provider.refreshRequests.length
  // The provider asks for a nonce in the middle of a refresh, which is sent again.
  const nonce = provider.tokenRequests.flatMap(({ answer }) => answer?.headers?.['dpop-nonce'] ?? []).at(-1)!
  provider.failTokenEndpoint(
    { status: 400, headers: { 'dpop-nonce': nonce }, body: { error: 'use_dpop_nonce' } },
    { times: 1, grantType: 'refresh_token' }
  )
  const tokens = await run(oauth => oauth.refresh())
  t.equal(tokens.tokenType.toLowerCase(), 'dpop')
  t.equal((await orders()).status, 200)
  t.ok(requests.every(({ authorization }) => /^DPoP /.test(authorization!)))

  const pushed = provider.endpoints.pushedAuthorizationRequest.requests
  t.match(pushed.at(-1)!.body, { code_challenge_method: 'S256', response_type: 'code', client_assertion: /./ })
  const [authorization] = browser.history.filter(({ url }) => url.startsWith(`${provider.issuer}/auth?`))
  t.strictSame([...new URL(authorization!.url).searchParams.keys()], ['client_id', 'request_uri'])

  const refreshes = provider.refreshRequests.slice(before)
  t.strictSame(refreshes.map(({ processed }) => processed), [false, true])
  const assertions = [...pushed, ...provider.tokenRequests].map(({ body }) => body.client_assertion as string)
  const ids = assertions.map(jwt => decodeJwt(jwt).jti)
  t.equal(new Set(ids).size, ids.length, 'each request has a new assertion')
  t.ok(assertions.every(jwt => decodeJwt(jwt).aud === provider.issuer && decodeProtectedHeader(jwt).alg === 'ES256'))

  await browser.post(`${url}/logout`)
  const revoked = provider.endpoints.revocation.requests
  matchEach(t, revoked, [
    { body: { token: tokens.refreshToken }, answer: { status: 200 } },
    { body: { token: tokens.accessToken }, answer: { status: 200 } }
  ])
  t.strictSame(log.leaked([...assertions, tokens.accessToken, tokens.refreshToken!]), [])
})

t.test('one word: login, call, refresh and logout with a certificate that authenticates and binds', async (t) => {
  const client = {
    token_endpoint_auth_method: 'tls_client_auth', tls_client_certificate_bound_access_tokens: true
  }
  const mtls = await startMtlsProvider(t, fapi(client))
  const { provider, alias } = mtls
  const { orders, run, browser, url, requests } = await loggedInApp(t, {
    at: provider,
    providers: () => ({ acme: { ...mtlsOptions(mtls), securityProfile: 'fapi2' as const } })
  })
  t.equal((await orders()).status, 200)
  await run(oauth => oauth.refresh())
  t.equal((await orders()).status, 200)
  const shown = thumbprintOf(clientCertificates.app.cert)
  t.strictSame(requests.map(({ certificate, status }) => [certificate, status]), [[shown, 200], [shown, 200]])
  t.ok(requests.every(({ authorization, headers }) => /^Bearer /.test(authorization!) && !('dpop' in headers)))
  t.strictSame(alias.requests.slice(0, 2).map(({ url }) => url), ['/request', '/token'])
  await browser.post(`${url}/logout`)
  t.equal(alias.requests.at(-1)?.url, '/token/revocation')
  t.ok(alias.requests.every(({ certificate }) => certificate === shown))
})

t.test('keys authenticate, and a certificate binds the tokens', async (t) => {
  const mtls = await startMtlsProvider(t, fapi({
    token_endpoint_auth_method: 'private_key_jwt', jwks: jwks(key), tls_client_certificate_bound_access_tokens: true
  }))
  const { orders, requests } = await loggedInApp(t, {
    at: mtls.provider,
    providers: () => ({ acme: { ...mtlsOptions(mtls), clientKeys: key, securityProfile: 'fapi2' as const } })
  })
  t.equal((await orders()).status, 200)
  t.equal(requests[0]?.certificate, thumbprintOf(clientCertificates.app.cert))
  matchEach(t, mtls.provider.tokenRequests, [{ body: { client_assertion: /./ }, headers: { dpop: undefined } }])
})

t.test('an RSA key signs with PS256, and is published for that alone', async (t) => {
  const acme = createProvider({
    issuer: 'https://id.example', clientId: 'app', clientKeys: rsa, securityProfile: 'fapi2'
  })
  t.teardown(() => acme.close())
  t.match(acme.jwks(), { keys: [{ kty: 'RSA', alg: 'PS256' }] })
  const provider = await startProvider(t, fapi({ ...keyClient, jwks: acme.jwks() }))
  await loggedInApp(t, {
    at: provider,
    providers: provider => ({ acme: optionsFor(provider, { clientKeys: rsa }) }),
    oauth: { dispatcher: dispatcherFor(t) }
  })
  t.equal(decodeProtectedHeader(provider.tokenRequests[0]!.body.client_assertion as string).alg, 'PS256')
})

t.test('a response without iss, or of another issuer, is refused', async (t) => {
  const provider = await startProvider(t, fapi(keyClient))
  const app = await appAt(t, provider, {
    providers: provider => ({ acme: optionsFor(provider) }), oauth: { dispatcher: dispatcherFor(t) }
  })
  t.strictSame((await app.browser.login(`${app.url}/login/acme`)).json(), { user: 'alice' })
  const exchanged = provider.tokenRequests.length
  for (const iss of [undefined, 'https://evil.example']) {
    // The provider remembers her, and sends her straight back.
    const url = await callbackUrl(app.browser, `${app.url}/login/acme`)
    const back = withQuery(url, query => iss === undefined ? query.delete('iss') : query.set('iss', iss))
    t.equal(codeOf(await app.browser.get(back)), 'FST_OAUTH_AUTHORIZATION_FAILED')
    t.match(app.errors.at(-1), { reason: 'issuer_mismatch' })
  }
  t.equal(provider.tokenRequests.length, exchanged, 'no code is exchanged')
})

t.test('an ID token signed with RS256 is refused, and no metadata is fetched for it', async (t) => {
  const options = fapi({ ...keyClient, id_token_signed_response_alg: 'RS256' })
  const provider = await startProvider(t, { ...options, configuration: { ...options.configuration, enabledJWA: {} } })
  const app = await appAt(t, provider, {
    providers: provider => ({ acme: optionsFor(provider) }), oauth: { dispatcher: dispatcherFor(t) }
  })
  t.equal(codeOf(await app.browser.login(`${app.url}/login/acme`)), 'FST_OAUTH_INVALID_ID_TOKEN')
  t.match(app.errors, [{ reason: 'alg' }])
  t.equal(provider.endpoints.discovery.requests.length, 1)
  await assertLoggedOut(t, app)
})

t.test('metadata that does not offer what is needed is refused before anybody is sent there', async (t) => {
  const provider = await startProvider(t, fapi(keyClient))
  const lacks: Record<string, [Record<string, unknown>, RegExp]> = {
    PAR: [{ pushed_authorization_request_endpoint: undefined }, /no pushed_authorization_request_endpoint/],
    iss: [
      { authorization_response_iss_parameter_supported: false },
      /no authorization_response_iss_parameter_supported/
    ],
    PKCE: [{ code_challenge_methods_supported: ['plain'] }, /no S256 among code_challenge_methods_supported/],
    'PKCE at all': [{ code_challenge_methods_supported: undefined }, /no S256/],
    code: [{ response_types_supported: ['id_token'] }, /no code among response_types_supported/],
    'ID tokens': [{ id_token_signing_alg_values_supported: ['RS256'] }, /no PS256, ES256 or EdDSA among id_token/],
    authentication: [
      { token_endpoint_auth_methods_supported: ['client_secret_basic'] },
      /no private_key_jwt among token/
    ],
    'authentication by default': [
      { token_endpoint_auth_methods_supported: undefined },
      /no private_key_jwt among token/
    ],
    algorithm: [
      { token_endpoint_auth_signing_alg_values_supported: ['PS256'] },
      /no ES256 among token_endpoint_auth_signing/
    ],
    DPoP: [{ dpop_signing_alg_values_supported: undefined }, /no ES256 among dpop_signing_alg_values_supported/],
    'several at once': [
      { dpop_signing_alg_values_supported: ['RS256'], pushed_authorization_request_endpoint: 5 },
      /no pushed_authorization_request_endpoint \(RFC 9126\), no ES256 among dpop_signing.*have it switched on there/
    ]
  }
  for (const [what, [members, message]] of Object.entries(lacks)) {
    const fault = provider.endpoints.discovery.fail(edited(body => ({ ...body, ...members })))
    const acme = createProvider(optionsFor(provider), { dispatcher: dispatcherFor(t) })
    await t.rejects(acme.authorizationUrl({ redirectUri: 'https://app.example/cb' }), {
      code: 'FST_OAUTH_INVALID_OPTIONS', reason: 'security_profile', message
    }, what)
    await acme.close()
    fault.stop()
  }
  t.equal(provider.endpoints.pushedAuthorizationRequest.requests.length, 0)
})

t.test('metadata that does not bind tokens to certificates is refused', async (t) => {
  const mtls = await startMtlsProvider(t, fapi({ token_endpoint_auth_method: 'tls_client_auth' }))
  const acme = createProvider({ ...mtlsOptions(mtls), securityProfile: 'fapi2' })
  t.teardown(() => acme.close())
  const unbound = { tls_client_certificate_bound_access_tokens: false }
  mtls.provider.endpoints.discovery.fail(edited(body => ({ ...body, ...unbound })))
  await t.rejects(acme.clientCredentials().tokens(), { message: /no tls_client_certificate_bound_access_tokens/ })
})

t.test('a call cannot take back what the profile says', async (t) => {
  const provider = await startProvider(t, fapi(keyClient))
  const acme = createProvider(optionsFor(provider), { dispatcher: dispatcherFor(t) })
  t.teardown(() => acme.close())
  for (const pkce of ['plain', false] as const) {
    const refused = { code: 'FST_OAUTH_INVALID_OPTIONS', reason: 'security_profile', message: /pkce/ }
    await t.rejects(acme.authorizationUrl({ pkce, redirectUri: 'https://app.example/cb' }), refused)
  }
  const options = optionsFor(provider, { clientAssertion: ({ endpoint }) => ({ audience: endpoint }) })
  const other = createProvider(options, { dispatcher: dispatcherFor(t) })
  t.teardown(() => other.close())
  await t.rejects(other.clientCredentials().tokens(), { message: /an audience that is not the issuer/ })
  const { clientKeys: _none, ...keyless } = optionsFor(provider)
  for (const assertion of ['no assertion', `${Buffer.from('{"alg":"RS256"}').toString('base64url')}.e30.AA`]) {
    const elsewhere = createProvider(
      { ...keyless, clientAssertion: () => assertion }, { dispatcher: dispatcherFor(t) }
    )
    t.teardown(() => elsewhere.close())
    await t.rejects(elsewhere.clientCredentials().tokens(), { message: /an assertion that is not signed with PS256/ })
  }
})

t.test('an app does not start without what the profile needs, nor with what contradicts it', async (t) => {
  const good = { issuer: 'https://id.example', clientId: 'app', securityProfile: 'fapi2', clientKeys: key }
  const { clientKeys: _none, ...keyless } = good
  const wrong: Record<string, [object, RegExp]> = {
    'another profile': [{ ...good, securityProfile: 'fapi1' }, /securityProfile is "fapi1"; write one of fapi2/],
    'no client authentication': [keyless, /securityProfile needs a client that proves who it is; write `clientKeys`/],
    'a secret': [{ ...keyless, clientSecret: 's' }, /clientSecret cannot authenticate the client.*take it out/],
    'a secret in the form': [
      { ...good, clientSecret: 's', clientAuthentication: 'client_secret_post' },
      /clientAuthentication is "client_secret_post".*needs 'private_key_jwt' or 'tls_client_auth'/
    ],
    'a secret that signs': [
      { ...good, clientSecret: 's', clientAuthentication: 'client_secret_jwt' },
      /clientAuthentication is "client_secret_jwt"/
    ],
    'a public client': [{ ...good, clientAuthentication: 'none' }, /clientAuthentication is "none"/],
    'a function': [{ ...good, clientAuthentication: () => {} }, /clientAuthentication is a function/],
    'no issuer': [
      {
        ...good,
        issuer: undefined,
        authorizationEndpoint: 'https://id.example/a',
        tokenEndpoint: 'https://id.example/t'
      },
      /issuer is missing; write it: securityProfile is 'fapi2'/
    ],
    'plain http': [{ ...good, issuer: 'http://id.example' }, /issuer is plain http/],
    'plain http, allowed': [
      { ...good, issuer: 'http://id.example', allowInsecureRequests: true },
      /allowInsecureRequests is true.*needs false/
    ],
    'requests that are not pushed': [
      { ...good, pushedAuthorizationRequests: false },
      /pushedAuthorizationRequests is false/
    ],
    'plain PKCE': [{ ...good, pkce: 'plain' }, /pkce is "plain", and securityProfile is 'fapi2', which needs 'S256'/],
    'no PKCE': [{ ...good, pkce: false }, /pkce is false/],
    'the implicit grant': [{ ...good, grantType: 'implicit' }, /grantType is "implicit"/],
    'the password grant': [{ ...good, grantType: 'password' }, /grantType is "password"/],
    'a hybrid response': [
      { ...good, scope: 'openid', responseType: 'code id_token' }, /responseType is "code id_token".*needs 'code'/
    ],
    'a token in the query': [{ ...good, tokenPlacement: 'query' }, /tokenPlacement is "query".*needs 'header'/],
    'bearer tokens': [{ ...good, dpop: false }, /dpop is off.*write `dpop: true`, or a `clientCertificate`/],
    'bearer tokens, with a certificate': [
      {
        ...keyless,
        clientCertificate: clientCertificates.app,
        dpop: false,
        tlsClientCertificateBoundAccessTokens: false
      },
      /dpop is off/
    ],
    'a key for RS256': [
      { ...good, clientKeys: { key: rsa, alg: 'RS256' } },
      /clientKeys signs with RS256.*takes PS256, ES256/
    ],
    'a key on P-384': [
      { ...good, clientKeys: generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey },
      /clientKeys signs with ES384/
    ],
    'another audience': [
      { ...good, clientAssertion: { audience: 'https://id.example/t' } }, /an audience that is not the issuer/
    ],
    'an assertion by another algorithm': [
      { ...good, clientKeys: rsa, clientAssertion: { header: { alg: 'RS256' } } }, /clientAssertion has the alg "RS256"/
    ],
    'several at once': [
      { ...keyless, pkce: false, dpop: false, tokenPlacement: 'body' },
      /pkce is false[^]*tokenPlacement is "body"[^]*proves who it is[^]*dpop is off/
    ]
  }
  for (const [what, [acme, message]] of Object.entries(wrong)) {
    const failed = buildApp(t, { oauth: { providers: { acme: acme as ProviderOptions } } })
    const error = await failed.then(() => ({ message: 'it started' }), (error: OAuthError) => error)
    t.match(error, { code: 'FST_OAUTH_INVALID_OPTIONS', message }, what)
  }
  await buildApp(t, { oauth: { providers: { acme: good as ProviderOptions } } })
})
