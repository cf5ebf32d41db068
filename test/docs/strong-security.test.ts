import { generateKeyPairSync } from 'node:crypto'
import formbody from '@fastify/formbody'
import { calculateJwkThumbprint, decodeJwt, decodeProtectedHeader } from 'jose'
import t, { type Test } from 'tap'
import oauth, { createProvider, type DpopKey, type ProviderOptions, type TokenSet } from '../../lib/index.ts'
import { parseClientKeys, publicKeySet } from '../../lib/oauth/client-keys.ts'
import { authorize } from '../../lib/testing/authorize.ts'
import { createTestProvider, loginAs, type TestProviderOptions } from '../../lib/testing.ts'
import { clientCertificates } from '../helpers/certificates.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { matchEach } from '../helpers/match-each.ts'
import { startMtlsProvider, thumbprintOf } from '../helpers/mtls-provider.ts'
import { pageApp } from '../helpers/page-app.ts'
import { startProvider } from '../helpers/provider.ts'
import type { ProviderOptions as OidcOptions } from '../helpers/provider-options.ts'
import { runBlock } from '../helpers/run-block.ts'
import { startScriptServer } from '../helpers/script-server.ts'

// What docs/sender-constrained-tokens.md and docs/strong-security.md show, as it is written there, at real providers
// that check it.

const SENDER = 'docs/sender-constrained-tokens.md'
const STRONG = 'docs/strong-security.md'
const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
const pem = key.export({ type: 'pkcs8', format: 'pem' }).toString()
const jwks = publicKeySet(parseClientKeys(key))

/** An app with alice logged in at a provider that is configured as a block says. */
async function appBy (
  t: Test, page: string, heading: string, oidc: OidcOptions = {},
  scope: (options: ProviderOptions) => object = () => ({})
) {
  const provider = await startProvider(t, oidc)
  const { providerOptions } = provider
  const { acme } = await runBlock(page, heading, { ...providerOptions, ...scope(providerOptions) })
  const withApi = { resourceServers: providerOptions.resourceServers, ...acme }
  return await loggedInApp(t, { at: provider, through: 'browser', providers: () => ({ acme: withApi }) })
}

t.test('PAR: the browser takes along `client_id` and `request_uri` alone', async (t) => {
  const { provider, browser, orders } = await appBy(t, SENDER, 'Pushed authorization requests (PAR, RFC 9126)', {
    features: { pushedAuthorizationRequests: true }
  })
  t.equal((await orders()).status, 200)
  const request = browser.history.find(({ url }) => url.startsWith(`${provider.issuer}/auth?`))!
  t.strictSame([...new URL(request.url).searchParams.keys()], ['client_id', 'request_uri'])
  matchEach(t, provider.endpoints.pushedAuthorizationRequest.requests, [{
    body: { response_type: 'code', state: /./ }, headers: { authorization: /^Basic / }
  }])
})

t.test('JAR: the request is signed by the client\'s key', async (t) => {
  const { provider, browser, orders } = await appBy(t, SENDER, 'Signed requests (JAR, RFC 9101)', {
    features: { requestObjects: true },
    client: {
      require_signed_request_object: true,
      request_object_signing_alg: 'ES256',
      token_endpoint_auth_method: 'private_key_jwt',
      token_endpoint_auth_signing_alg: 'ES256',
      jwks
    }
  }, () => ({ clientKeys: pem }))
  t.equal((await orders()).status, 200)
  const { searchParams } = new URL(browser.history.find(({ url }) => url.startsWith(`${provider.issuer}/auth?`))!.url)
  t.strictSame([...searchParams.keys()], ['client_id', 'request', 'response_type', 'scope'])
  const signed = searchParams.get('request')!
  t.match(decodeProtectedHeader(signed), { alg: 'ES256' })
  const { iat = 0, exp = 0 } = decodeJwt(signed)
  t.equal(exp - iat, 300, 'good for five minutes')
})

t.test('RAR: a payment is asked for, and what was granted is in the tokens', async (t) => {
  const granted = [{ type: 'payment_initiation', status: 'granted' }]
  const { browser, provider, url } = await loggedInApp(t, {
    wrong: { tokens: { authorization_details: granted } },
    login: 'bank',
    providers: ({ providerOptions }) => ({ bank: providerOptions }),
    setup: async (app) => {
      await app.register(formbody)
      await runBlock(SENDER, 'What exactly is asked for (RAR, RFC 9396)', { app })
      app.get('/payments/done', async ({ oauth }) => (await oauth.tokens()).raw.authorization_details)
    }
  })
  t.strictSame((await browser.post(`${url}/payments`, { form: {} })).json(), granted)
  t.strictSame(JSON.parse(provider.asked('authorization').at(-1)!.query.get('authorization_details')!), [{
    type: 'payment_initiation',
    instructedAmount: { currency: 'EUR', amount: '123.50' },
    creditorName: 'Merchant A'
  }])
})

t.test('resource: the login, the code exchange and each refresh name it', async (t) => {
  const resource = 'https://api.acme.example/'
  const { provider, run } = await appBy(t, SENDER, 'Which API a token is for (`resource`, RFC 8707)', {
    resourceServers: { [resource]: 'orders:read' }
  }, acme => ({ acme }))
  await run(oauth => oauth.refresh())
  t.strictSame(provider.endpoints.authorization.requests[0]!.params.resource, resource)
  t.strictSame(provider.tokenRequests.map(({ body }) => body.resource), [resource, resource])
})

t.test('DPoP: a call has a token that is bound, and a proof', async (t) => {
  const { provider, orders, run, requests } = await appBy(t, SENDER, 'Tokens that are bound to a key (DPoP, RFC 9449)')
  t.equal((await orders()).status, 200)
  await run(oauth => oauth.refresh())
  t.equal((await orders()).status, 200)
  t.ok(requests.every(({ authorization, headers }) => /^DPoP /.test(authorization!) && headers.dpop !== undefined))
  t.ok(provider.tokenRequests.every(({ headers }) => headers.dpop !== undefined))
  t.match(provider.endpoints.authorization.requests[0]!.params.dpop_jkt, /^[\w-]{43}$/)
})

t.test('DPoP, in scripts: the key is kept beside the tokens', async (t) => {
  const server = await startProvider(t)
  const provider = createProvider({ ...server.providerOptions, dpop: true, redirectUri: 'https://your.callback/uri' })
  t.after(() => provider.close())
  let kept = ''
  await runBlock(SENDER, 'Scripts and jobs', {
    provider,
    save: async (login: { tokens: TokenSet, dpopKey: DpopKey | undefined }) => { kept = JSON.stringify(login) },
    load: async () => JSON.parse(kept),
    logIn: async (url: string) =>
      (await authorize(server.forLoginAs, new URL(url), { login: { accountId: 'alice' } })).url.href
  }, { edit: code => code.replace('{ callbackUrl }', '{ callbackUrl: await logIn(url) }') })
  matchEach(t, server.api.requests, [{ status: 200, authorization: /^DPoP / }])
})

t.test('DPoP, in scripts: a token that is exchanged is bound to a key that the script keeps', async (t) => {
  const server = await startScriptServer(t)
  server.answerTokens = () => [200, {
    access_token: 'traded', token_type: 'DPoP', issued_token_type: 'urn:ietf:params:oauth:token-type:access_token'
  }]
  const provider = createProvider({ ...server.providerOptions, dpop: true })
  t.after(() => provider.close())
  const { dpopKey } = await runBlock(SENDER, 'Scripts and jobs', { provider, subjectToken: 'of alice' }, { index: 1 })
  matchEach(t, server.tokenRequests, [{ form: { subject_token: 'of alice', audience: 'orders' } }])
  matchEach(t, server.calls, [{ url: '/api/orders', headers: { authorization: 'DPoP traded' } }])
  const proofs = [...server.tokenRequests, ...server.calls].map(({ headers }) => headers.dpop as string)
  const thumbprint = await calculateJwkThumbprint(dpopKey)
  for (const proof of proofs) t.equal(await calculateJwkThumbprint(decodeProtectedHeader(proof).jwk!), thumbprint)
})

/** An app whose options a block has, at a provider in this process that answers as the issuer named there. */
async function appAtIssuer (t: Test, providers: Record<string, ProviderOptions>, options: TestProviderOptions) {
  const provider = await createTestProvider({ clientId: 'app', ...options })
  t.after(() => provider.close())
  const app = await pageApp(t)
  await app.register(oauth, { baseUrl: 'https://app.example.com', providers, dispatcher: provider.dispatcher })
  return { app, provider }
}

t.test('keys in place of a secret, published for the provider', async (t) => {
  const { providers } = await runBlock(STRONG, 'Keys of the client', { env: { CLIENT_ID: 'app', CLIENT_KEY: pem } })
  const { app, provider } = await appAtIssuer(t, providers, {
    issuer: 'https://id.acme.example',
    client: { token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'ES256', jwks }
  })
  await runBlock(STRONG, 'The public halves', { app })
  app.get('/me', async ({ oauth }) => oauth.user)
  const alice = await loginAs(app)
  t.match(await (await alice.fetch('/me')).json(), { id: 'alice' })
  const { body } = provider.requests.find(({ endpoint }) => endpoint === 'token')!
  t.equal(body.client_secret, undefined)
  t.match(decodeJwt(body.client_assertion as string), { iss: 'app', sub: 'app', aud: 'https://id.acme.example' })
  const published = (await app.inject('/jwks.json')).json()
  t.match(published, { keys: [{ kty: 'EC', crv: 'P-256', kid: String, use: 'sig' }] })
  t.notOk('d' in published.keys[0])
})

t.test('a certificate, to which the tokens are bound', async (t) => {
  const mtls = await startMtlsProvider(t, {
    client: { token_endpoint_auth_method: 'tls_client_auth', tls_client_certificate_bound_access_tokens: true }
  })
  const { provider, alias } = mtls
  const { cert, key, ca } = clientCertificates.app
  const { acme } = await runBlock(STRONG, 'Certificates', {
    env: { CLIENT_ID: provider.clientId, CLIENT_CERT: cert, CLIENT_CERT_KEY: key }
  })
  const { issuer, resourceServers } = provider.providerOptions
  const { orders, requests } = await loggedInApp(t, {
    at: provider,
    providers: () => ({
      acme: { ...acme, issuer, resourceServers, clientCertificate: { ...acme.clientCertificate, ca } }
    })
  })
  t.equal((await orders()).status, 200)
  matchEach(t, requests, [{ certificate: thumbprintOf(cert) }])
  const exchanges = alias.requests.filter(({ url }) => url === '/token')
  matchEach(t, exchanges, [{ certificate: thumbprintOf(cert) }])
})

t.test('FAPI 2.0 in one word', async (t) => {
  const { acme } = await runBlock(STRONG, 'FAPI 2.0 in one word', { env: { CLIENT_ID: 'app', CLIENT_KEY: pem } })
  const algorithms = ['PS256', 'ES256', 'EdDSA', 'Ed25519']
  const { app, provider } = await appAtIssuer(t, { acme }, {
    issuer: 'https://id.bank.example',
    client: {
      token_endpoint_auth_method: 'private_key_jwt',
      id_token_signed_response_alg: 'ES256',
      require_pushed_authorization_requests: true,
      dpop_bound_access_tokens: true,
      jwks
    },
    furtherFeatures: {
      fapi: { enabled: true, profile: '2.0' },
      pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests: true }
    },
    configuration: {
      enabledJWA: { idTokenSigningAlgValues: algorithms, clientAuthSigningAlgValues: algorithms }
    }
  })
  provider.api('https://api.bank.example/v1/', ({ headers }) => ({ scheme: headers.authorization!.split(' ')[0] }))
  app.get('/accounts', async ({ oauth }) => oauth.get('accounts').json())
  const alice = await loginAs(app)
  t.strictSame(await (await alice.fetch('/accounts')).json(), { scheme: 'DPoP' })
  const [pushed] = provider.requests.filter(({ endpoint }) => endpoint === 'pushedAuthorizationRequest')
  t.match(pushed!.body, { scope: 'openid accounts', code_challenge_method: 'S256', client_assertion: /./ })
})
