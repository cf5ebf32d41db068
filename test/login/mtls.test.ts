import type { TlsOptions } from 'node:tls'
import { inspect } from 'node:util'
import t, { type Test } from 'tap'
import { Agent } from 'undici'
import { createProvider, type OAuthError, type ProviderOptions } from '../../lib/index.ts'
import { buildApp } from '../helpers/build-app.ts'
import { authority, clientCertificates, serverTls } from '../helpers/certificates.ts'
import { listen } from '../helpers/listen.ts'
import { captureLog } from '../helpers/log.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { matchEach } from '../helpers/match-each.ts'
import { mtlsOptions, startMtlsProvider, thumbprintOf } from '../helpers/mtls-provider.ts'

// RFC 8705, over TLS, at a real provider that checks the certificate and binds access tokens to it.

const { app: certificate, selfSigned, chained, encrypted, other } = clientCertificates
const endpoints = {
  authorizationEndpoint: 'https://id.example/authorize',
  tokenEndpoint: 'https://id.example/token'
}
const bound = { tls_client_certificate_bound_access_tokens: true }

async function mtlsApp (t: Test, registered: Record<string, unknown>, own: Partial<ProviderOptions> = {}) {
  const mtls = await startMtlsProvider(t, { client: { ...bound, ...registered } })
  const app = await loggedInApp(t, {
    at: mtls.provider,
    providers: () => ({ acme: { ...mtlsOptions(mtls), ...own } })
  })
  return { ...app, ...mtls }
}

const byItself = { clientAuthentication: 'self_signed_tls_client_auth', clientCertificate: selfSigned } as const

/** What an app with a self-signed certificate publishes. */
const selfSignedJwks = () => createProvider({ ...endpoints, clientId: 'app', ...byItself }).jwks()

const clients: Record<string, [Record<string, unknown>, Partial<ProviderOptions>, string?]> = {
  'tls_client_auth, chosen since there is only a certificate': [{ token_endpoint_auth_method: 'tls_client_auth' }, {}],
  'tls_client_auth with a chain and an intermediate authority': [
    { token_endpoint_auth_method: 'tls_client_auth' },
    { clientAuthentication: 'tls_client_auth', clientCertificate: chained },
    chained.cert
  ],
  'tls_client_auth with an encrypted key': [
    { token_endpoint_auth_method: 'tls_client_auth' }, { clientCertificate: encrypted }
  ],
  self_signed_tls_client_auth: [
    { token_endpoint_auth_method: 'self_signed_tls_client_auth', jwks: selfSignedJwks() },
    byItself,
    selfSigned.cert
  ]
}

for (const [name, [registered, own, cert = certificate.cert]] of Object.entries(clients)) {
  t.test(`${name}: login, call, refresh and logout with a bound token, at the aliases`, async (t) => {
    const { alias, provider, orders, run, browser, url, requests } = await mtlsApp(t, registered, own)
    t.equal((await orders()).status, 200)
    await run(oauth => oauth.refresh())
    t.equal((await orders()).status, 200)
    t.strictSame(requests.map(call => [call.status, call.certificate]), [200, 200].map(s => [s, thumbprintOf(cert)]))
    t.match(await run(oauth => oauth.userinfo()), { sub: 'alice' })
    await browser.post(`${url}/logout`)
    const paths = alias.requests.map(({ url }) => url)
    t.strictSame(paths.filter(path => path === '/token').length, 2)
    t.ok(paths.includes('/me') && paths.includes('/token/revocation'))
    t.ok(alias.requests.every(({ certificate }) => certificate === thumbprintOf(cert)))
    for (const { body, headers } of provider.tokenRequests) {
      t.equal(body.client_id, provider.clientId)
      t.notOk('client_secret' in body || 'client_assertion' in body || 'authorization' in headers)
    }
  })
}

t.test('a secret, and tokens that are bound to a certificate', async (t) => {
  const mtls = await startMtlsProvider(t, { client: bound })
  const { clientSecret } = mtls.provider
  const { orders, requests } = await loggedInApp(t, {
    at: mtls.provider, providers: () => ({ acme: { ...mtlsOptions(mtls), clientSecret } })
  })
  t.equal((await orders()).status, 200)
  t.equal(requests[0]?.certificate, thumbprintOf(certificate.cert))
  matchEach(t, mtls.provider.tokenRequests, [{ headers: { authorization: /^Basic / } }])
})

t.test("a certificate in a dispatcher of the app's own", async (t) => {
  const mtls = await startMtlsProvider(t, { client: { ...bound, token_endpoint_auth_method: 'tls_client_auth' } })
  const dispatcher = new Agent({ connect: { ...certificate } })
  t.teardown(() => dispatcher.destroy())
  const { clientCertificate: _none, ...acme } = mtlsOptions(mtls)
  const { orders } = await loggedInApp(t, {
    at: mtls.provider,
    providers: () => ({ acme: { ...acme, clientAuthentication: 'tls_client_auth' as const } }),
    oauth: { dispatcher }
  })
  t.equal((await orders()).status, 200)
  const shown = mtls.alias.requests.filter(({ url }) => url === '/token').map(({ certificate }) => certificate)
  t.strictSame(shown, [thumbprintOf(certificate.cert)])
})

t.test('an endpoint that the options name is used in place of its alias', async (t) => {
  const registered = { token_endpoint_auth_method: 'none', tls_client_certificate_bound_access_tokens: false }
  const { alias, provider } = await mtlsApp(t, registered, { clientAuthentication: 'none' })
  t.ok(alias.requests.some(({ url }) => url === '/token'))
  const before = alias.requests.length
  const second = await loggedInApp(t, {
    at: provider,
    providers: () => ({
      acme: {
        ...mtlsOptions({ provider, alias }),
        clientAuthentication: 'none' as const,
        tokenEndpoint: `${provider.issuer}/token`
      }
    })
  })
  t.equal((await second.orders()).status, 200)
  t.notOk(alias.requests.slice(before).some(({ url }) => url === '/token'))
})

t.test('two providers with two certificates have connections and TLS sessions of their own', async (t) => {
  const mtls = await startMtlsProvider(t, {
    client: { ...bound, token_endpoint_auth_method: 'none' }
  })
  const acme = { ...mtlsOptions(mtls), clientAuthentication: 'none' as const }
  const { link, run, alias, orders } = {
    ...await loggedInApp(t, {
      at: mtls.provider,
      providers: () => ({ acme, second: { ...acme, clientCertificate: other } }),
      oauth: { defaultProvider: 'acme' }
    }),
    ...mtls
  }
  await link('second')
  for (let times = 0; times < 3; times++) {
    await orders()
    t.match(await run(async oauth => await oauth.using('second').get('orders').json()), Array)
    await run(oauth => oauth.using('second').refresh())
    await run(oauth => oauth.refresh())
  }
  const shown = mtls.provider.api.requests.map(({ certificate, status }) => [certificate, status])
  const [a, b] = [thumbprintOf(certificate.cert), thumbprintOf(other.cert)]
  t.strictSame(shown, [[a, 200], [b, 200], [a, 200], [b, 200], [a, 200], [b, 200]])
  const refreshed = alias.requests.filter(({ url }) => url === '/token').slice(2).map(({ certificate }) => certificate)
  t.strictSame(refreshed, [b, a, b, a, b, a])
})

t.test('without bound tokens, calls to APIs do not have the certificate', async (t) => {
  const method = { token_endpoint_auth_method: 'tls_client_auth' }
  const registered = { ...method, tls_client_certificate_bound_access_tokens: false }
  const { orders, requests } = await mtlsApp(t, registered, { tlsClientCertificateBoundAccessTokens: false })
  // Only the connections of the certificate know its `ca`, and the API's own is of that authority.
  t.match((await orders()).json(), { code: 'FST_OAUTH_API_UNAVAILABLE' })
  t.strictSame(requests, [])
})

t.test('a redirect that leaves the resource servers is not followed with the certificate', async (t) => {
  const { run, provider } = await mtlsApp(t, { token_endpoint_auth_method: 'tls_client_auth' })
  const shown: unknown[] = []
  const elsewhere = await listen(undefined, { ...serverTls, requestCert: true, rejectUnauthorized: false })
  elsewhere.server.on('secureConnection', socket => shown.push(socket.getPeerX509Certificate()))
  t.teardown(() => elsewhere.close())
  const to = encodeURIComponent(`https://127.0.0.1:${elsewhere.port}/`)
  const failed = run(oauth => oauth.fetch(`redirect?to=${to}`))
  await t.rejects(failed, { code: 'FST_OAUTH_API_UNAVAILABLE' })
  t.equal(provider.api.requests.at(-1)?.status, 302)
  t.notOk(shown.some(certificate => certificate !== undefined))
})

/** A token request to a server that ends the handshake of clients that it does not trust. */
async function refusedBy (t: Test, { maxVersion }: TlsOptions, own: Partial<ProviderOptions>): Promise<OAuthError> {
  const strict = await listen(undefined, { ...serverTls, requestCert: true, rejectUnauthorized: true, maxVersion })
  t.teardown(() => strict.close())
  const acme = createProvider({
    authorizationEndpoint: `https://127.0.0.1:${strict.port}/authorize`,
    tokenEndpoint: `https://127.0.0.1:${strict.port}/token`,
    clientId: 'app',
    clientCertificate: certificate,
    ...own
  })
  t.teardown(() => acme.close())
  return await acme.clientCredentials().tokens().then(() => { throw new Error('accepted') }, error => error)
}

t.test('an expired certificate, and one that the provider does not accept, are errors that say so', async (t) => {
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const [expired, unknown] = [clientCertificates.expired, selfSigned]
    const details = { code: 'FST_OAUTH_PROVIDER_UNAVAILABLE', statusCode: 503 }
    const outdated = /does not accept the client's TLS certificate: it expired on 2021-01-01T.*check clientCertificate/
    const refused = await refusedBy(t, { maxVersion }, { clientCertificate: expired })
    t.match(refused, { ...details, reason: 'client_certificate', message: outdated })
    const message = /cannot be reached; try again later; or does it not accept the client's TLS certificate\?/
    t.match(await refusedBy(t, { maxVersion }, { clientCertificate: unknown }), { ...details, message })
    t.notMatch(inspect(refused, { depth: 9, showHidden: true }), certificate.key.split('\n')[1]!)
  }
})

t.test('an alert of the provider about the certificate is told', async (t) => {
  const alert = Object.assign(new Error('tlsv13 alert certificate required'), {
    code: 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED'
  })
  const dispatcher = new Agent().compose(() => (_options, handler) => {
    handler.onResponseError?.(undefined as never, alert)
    return true
  })
  const acme = createProvider({
    authorizationEndpoint: 'https://id.example/authorize',
    tokenEndpoint: 'https://id.example/token',
    clientId: 'app',
    clientAuthentication: 'tls_client_auth'
  }, { dispatcher })
  t.teardown(() => acme.close())
  await t.rejects(acme.clientCredentials().tokens(), { reason: 'client_certificate', cause: { code: alert.code } })
})

t.test('an app whose certificate ends soon starts, and warns', async (t) => {
  const log = captureLog()
  const provider = { ...endpoints, clientId: 'app' }
  await buildApp(t, {
    oauth: {
      providers: {
        outdated: { ...provider, clientCertificate: clientCertificates.expired },
        fine: { ...provider, clientCertificate: certificate }
      },
      defaultProvider: 'fine'
    },
    fastify: { logger: log.logger }
  })
  const warnings = log.lines.filter(({ event }) => event === 'client_certificate_expires')
  matchEach(t, warnings, [{ provider: 'outdated', msg: /expired on 2021-01-01T00:00:00.000Z; replace it/ }])
  t.equal(warnings.length, 1)
})

t.test('jwks() has a self-signed certificate, public, and no other one', async (t) => {
  const { keys: [jwk, ...others] } = selfSignedJwks()
  t.strictSame(others, [])
  t.strictSame(Object.keys(jwk!).sort(), ['crv', 'kid', 'kty', 'use', 'x', 'x5c', 'x5t#S256', 'y'])
  t.equal(jwk!['x5t#S256'], thumbprintOf(selfSigned.cert))
  const acme = createProvider({ ...endpoints, clientId: 'app', clientCertificate: certificate })
  t.teardown(() => acme.close())
  t.strictSame(acme.jwks(), { keys: [] })
})

t.test('what is no certificate is refused at start, and nothing of the key is shown', async (t) => {
  const start = (own: Partial<ProviderOptions>, dispatcher?: Agent) => {
    try {
      createProvider({ ...endpoints, clientId: 'app', ...own }, dispatcher && { dispatcher })
      return 'started'
    } catch (error) {
      t.notMatch(inspect(error, { depth: 9, showHidden: true }), certificate.key.split('\n')[1]!)
      return (error as Error).message
    }
  }
  const agent = new Agent()
  t.teardown(() => agent.destroy())
  const { cert, key } = certificate
  const encryptedKey = { cert, key: encrypted.key }
  const wrong: Record<string, [string, RegExp]> = {
    'no certificate': [
      start({ clientAuthentication: 'tls_client_auth' }),
      /clientCertificate is missing; write \{ cert, key \} in PEM.*clientAuthentication is 'tls_client_auth'/
    ],
    'none, self-signed': [start({ clientAuthentication: 'self_signed_tls_client_auth' }), /clientCertificate is missing/],
    'none for bound tokens': [
      start({ tlsClientCertificateBoundAccessTokens: true, clientSecret: 's' }), /clientCertificate is missing/
    ],
    'a variable that is not set': [start({ clientCertificate: undefined! }), /clientCertificate is missing \(it is undefined/],
    'a text': [start({ clientCertificate: cert as never }), /clientCertificate must be an object/],
    "a file's name": [
      start({ clientCertificate: { cert: './client.pem', key: './client.key' } }),
      /clientCertificate\.cert is no certificate; write it as PEM.*\n.*clientCertificate\.key is no private key/
    ],
    'a damaged certificate': [
      start({ clientCertificate: { cert: cert.replace(/MII/, 'MIX'), key } }), /clientCertificate\.cert is no certificate/
    ],
    "another certificate's key": [
      start({ clientCertificate: { cert, key: other.key } }), /clientCertificate\.key does not belong to the first certificate/
    ],
    'a chain in the wrong order': [
      start({ clientCertificate: { ...chained, cert: chained.cert.split(/(?=-----BEGIN)/).reverse().join('') } }),
      /does not belong to the first certificate/
    ],
    'an encrypted key': [start({ clientCertificate: encryptedKey }), /clientCertificate\.key is encrypted; write its/],
    'an encrypted key and another passphrase': [
      start({ clientCertificate: { ...encryptedKey, passphrase: 'wrong' } }), /key is encrypted, and `passphrase` does not open/
    ],
    'a passphrase that is none': [
      start({ clientCertificate: { ...encryptedKey, passphrase: 5 as never } }), /clientCertificate\.passphrase must be a string/
    ],
    'an authority that is none': [start({ clientCertificate: { cert, key, ca: ['x'] } }), /clientCertificate\.ca is no/],
    'another member': [
      start({ clientCertificate: { cert, key, pfx: 'x' } as never }), /clientCertificate\.pfx is no option/
    ],
    'a dispatcher beside it': [
      start({ clientCertificate: { cert, key } }, agent), /clientCertificate cannot be put into the `dispatcher`/
    ]
  }
  for (const [what, [said, message]] of Object.entries(wrong)) t.match(said, message, what)
  t.equal(start({ clientAuthentication: 'tls_client_auth' }, agent), 'started')
  const acme = { ...endpoints, clientId: 'app', clientCertificate: { cert, key } }
  await t.rejects(buildApp(t, { oauth: { providers: { acme }, dispatcher: agent } }), {
    message: /providers\.acme\.clientCertificate cannot be put into the `dispatcher`/
  })
  const escaped = { cert: cert.replaceAll('\n', '\\n'), key: Buffer.from(key), ca: [Buffer.from(authority)] }
  t.equal(start({ clientCertificate: escaped }), 'started')
})
