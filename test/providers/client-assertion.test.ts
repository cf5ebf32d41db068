import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { text } from 'node:stream/consumers'
import { inspect } from 'node:util'
import { calculateJwkThumbprint, decodeJwt, decodeProtectedHeader, importJWK, type JWK, jwtVerify } from 'jose'
import t, { type Test } from 'tap'
import { listen } from '../helpers/listen.ts'
import { createProvider, type ProviderOptions } from '../../lib/index.ts'

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
const jwk = privateKey.export({ format: 'jwk' })

interface Client {
  options: ProviderOptions
  /** Sends a token request and returns the assertion that came with it. */
  assertion (): Promise<string>
  form (): Promise<URLSearchParams>
  url: string
}

/** A client of a provider that keeps what its endpoints are sent. */
async function client (t: Test, own: Partial<ProviderOptions>): Promise<Client> {
  const forms: URLSearchParams[] = []
  let url = ''
  const { port, close } = await listen(async (request, response) => {
    const metadata = { issuer: url, token_endpoint: `${url}/token`, revocation_endpoint: `${url}/revoke` }
    if (request.method === 'POST') forms.push(new URLSearchParams(await text(request)))
    const body = request.method === 'GET' ? metadata : { access_token: 'at', token_type: 'Bearer' }
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
  t.after(close)
  url = `http://127.0.0.1:${port}`
  const endpoints = { tokenEndpoint: `${url}/token`, revocationEndpoint: `${url}/revoke` }
  const options: ProviderOptions = {
    ...(own.issuer === undefined ? endpoints : { issuer: url }),
    clientId: 'app',
    grantType: 'client_credentials',
    clientAuthentication: 'private_key_jwt',
    clientKeys: pem,
    ...own,
    ...(own.issuer !== undefined && { issuer: url })
  }
  const provider = createProvider(options)
  t.after(() => provider.close())
  const form = async () => {
    await provider.session().fetchTokens()
    return forms.at(-1)!
  }
  return {
    url,
    options,
    form,
    assertion: async () => (await form()).get('client_assertion')!
  }
}

const header = (jwt: string) => decodeProtectedHeader(jwt) as Record<string, unknown>
const publicKey: KeyObject = createPublicKey(privateKey)

t.test('thumbprints of a JWK are in the header, and those of one that has none are not', async (t) => {
  const thumbprints = { x5t: 'A1bC2dE3fH4iJ5kL6mN7oP8qR9s', 'x5t#S256': 'A1bC2dE3fH4iJ5kL6mN7oP8qR9sT0uA1bC2dE3fH4iJ' }
  const with256 = await client(t, {
    clientKeys: { ...jwk, kid: 'k1', 'x5t#S256': thumbprints['x5t#S256'] } as any
  })
  t.strictSame(header(await with256.assertion()), { alg: 'RS256', kid: 'k1', 'x5t#S256': thumbprints['x5t#S256'] })
  const withBoth = await client(t, { clientKeys: { ...jwk, alg: 'PS256', ...thumbprints } as any })
  const signed = await withBoth.assertion()
  t.strictSame(header(signed), { alg: 'PS256', kid: await calculateJwkThumbprint(jwk as JWK), ...thumbprints })
  await jwtVerify(signed, publicKey)
  const without = await client(t, { clientKeys: jwk as any })
  t.strictSame(header(await without.assertion()), { alg: 'RS256', kid: await calculateJwkThumbprint(jwk as JWK) })
})

t.test('header: what is given is in it, and alg chooses what the key signs with', async (t) => {
  const keys = {
    pem,
    jwk,
    'a JWK for that algorithm': { ...jwk, alg: 'PS256' },
    'a CryptoKey': await importJWK(jwk as any, 'PS256')
  }
  for (const [kind, clientKeys] of Object.entries(keys)) {
    const given = { alg: 'PS256', typ: 'JWT', kid: 'named', 'x5t#S256': 'thumb' }
    const app = await client(t, { clientKeys: clientKeys as any, clientAssertion: { header: given } })
    const signed = await app.assertion()
    t.strictSame(header(signed), given, kind)
    await t.resolves(jwtVerify(signed, publicKey, { algorithms: ['PS256'] }), kind)
  }
})

t.test('audience: the issuer, or the token endpoint where there is none, at each endpoint', async (t) => {
  for (const issuer of [undefined, 'discovered']) {
    const app = await client(t, { ...(issuer !== undefined && { issuer }) })
    const server = issuer === undefined ? `${app.url}/token` : app.url
    const provider = createProvider(app.options)
    t.after(() => provider.close())
    t.equal(await provider.revoke('at'), true)
    t.equal(decodeJwt((await app.form()).get('client_assertion')!).aud, server)
  }
})

t.test('audience: what is given, as text, as a list, or by a function that is asked for each assertion', async (t) => {
  const audience = async (clientAssertion: ProviderOptions['clientAssertion'], own: Partial<ProviderOptions> = {}) => {
    const app = await client(t, { clientAssertion, ...own } as Partial<ProviderOptions>)
    const { aud } = decodeJwt(await app.assertion())
    return JSON.stringify(aud).replaceAll(app.url, 'URL')
  }
  t.equal(await audience({ audience: 'https://as.example' }), '"https://as.example"')
  t.equal(
    await audience({ audience: ['https://as.example', 'https://as.example/token'] }),
    '["https://as.example","https://as.example/token"]'
  )
  t.equal(
    await audience(({ endpoint, issuer }) => ({ audience: `${endpoint} of ${issuer}` })),
    '"URL/token of undefined"'
  )
  t.equal(
    await audience(async ({ endpoint, issuer }) => ({ audience: [endpoint, issuer!] }), { issuer: 'x' }),
    '["URL/token","URL"]'
  )
  const secret = { clientAuthentication: 'client_secret_jwt', clientSecret: 'the secret of this client' } as const
  t.equal(await audience({ audience: 'https://as.example' }, secret), '"https://as.example"')

  let asked = 0
  const app = await client(t, { clientAssertion: () => ({ header: { number: ++asked } }) })
  t.strictSame([header(await app.assertion()).number, header(await app.assertion()).number], [1, 2])
})

t.test('what every assertion has stays as it is', async (t) => {
  const app = await client(t, { clientAssertion: { audience: 'https://as.example', header: { kid: 'k' } } })
  const [one, two] = [decodeJwt(await app.assertion()), decodeJwt(await app.assertion())]
  t.match(one, { iss: 'app', sub: 'app', jti: /\S{20}/, iat: Number, exp: Number })
  t.equal(one.exp! - one.iat!, 60)
  t.not(one.jti, two.jti)
  t.equal((await app.form()).get('client_id'), 'app')
})

t.test('a key that cannot sign as asked is an error that names the option and does not show the key', async (t) => {
  const rs256 = await importJWK(jwk as any, 'RS256')
  const cases: [Partial<ProviderOptions>, RegExp][] = [
    [
      { clientKeys: rs256 as any, clientAssertion: { header: { alg: 'PS256' } } },
      /clientAssertion\.header\.alg is "PS256"; write one of RS256$/
    ],
    [{ clientAssertion: { header: { alg: 'ES256' } } }, /clientAssertion\.header\.alg is "ES256"; write one of RS256, /],
    [{ clientAssertion: () => ({ header: { alg: 'ES256' } }) }, /header\.alg is "ES256", and the client's key signs/],
    [{ clientKeys: '-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----' }, /clientKeys cannot be read/],
    [{ clientKeys: { key: pem, use: 'enc' }, clientAssertion: () => ({}) }, /no key among clientKeys to sign with/],
    [{ clientAssertion: () => 5 as never }, /neither an assertion nor/],
    [{ clientAssertion: () => ({ audience: [] }) }, /an audience that is no string/],
    [{ clientAssertion: () => ({ audience: 5 as never }) }, /clientAssertion/],
    [{ clientAssertion: () => ({ aud: 'a' } as never) }, /clientAssertion.*"aud"/],
    [{ clientAssertion: () => ({ header: 'kid' as never }) }, /clientAssertion.*header/],
    [
      {
        clientAuthentication: 'client_secret_jwt',
        clientSecret: 'secret',
        clientAssertion: { header: { alg: 'RS256' } }
      },
      /"RS256", and the client's key signs with HS256/
    ]
  ]
  for (const [own, message] of cases) {
    const error = await client(t, own).then(app => app.assertion()).catch((error: unknown) => error)
    t.match(error, { code: 'FST_OAUTH_INVALID_OPTIONS', message })
    t.notMatch(inspect(error, { depth: 5, showHidden: true }), pem.split('\n')[1]!)
  }
})

t.test('what is no clientAssertion is refused at start', async (t) => {
  const wrong: Record<string, unknown> = {
    'clientAssertion must': 'https://as.example',
    'clientAssertion.aud is': { aud: 'https://as.example' },
    'clientAssertion.audience must': { audience: 5 },
    'clientAssertion.header must': { header: 'kid' }
  }
  for (const [message, clientAssertion] of Object.entries(wrong)) {
    await t.rejects(client(t, { clientAssertion } as Partial<ProviderOptions>), {
      code: 'FST_OAUTH_INVALID_OPTIONS',
      message: new RegExp(message)
    })
  }
})
