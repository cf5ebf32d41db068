import {
  createPrivateKey, createPublicKey, createSecretKey, generateKeyPairSync, type JsonWebKey,
  type KeyObject, sign, verify
} from 'node:crypto'
import { inspect } from 'node:util'
import { calculateJwkThumbprint, generateKeyPair, type JWK } from 'jose'
import t from 'tap'
import { buildApp } from '../helpers/build-app.ts'
import { type ClientKeyInput, createProvider } from '../../lib/index.ts'
import { discord } from '../../lib/providers.ts'
import { parseClientKeys } from '../../lib/oauth/client-keys.ts'

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
const ec = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve }).privateKey
const p256 = ec('P-256')
const ed25519 = generateKeyPairSync('ed25519').privateKey
const x25519 = generateKeyPairSync('x25519').privateKey

const jwkOf = (key: KeyObject, more: object = {}): JWK => ({ ...key.export({ format: 'jwk' }), ...more }) as JWK
const pemOf = (key: KeyObject, type: 'pkcs8' | 'pkcs1' | 'sec1' = 'pkcs8') =>
  key.export({ type, format: 'pem' }) as string

const options = (clientKeys: unknown) => ({
  clientId: 'app',
  authorizationEndpoint: 'https://id.example/authorize',
  tokenEndpoint: 'https://id.example/token',
  ...(clientKeys !== undefined && { clientKeys: clientKeys as ClientKeyInput })
})

/** The message with which an app refuses to start with these keys. */
async function refusal (clientKeys: unknown): Promise<string> {
  const error = await buildApp(t, { oauth: { providers: { acme: options(clientKeys) } } }).then(
    () => { throw new Error('the app started') }, (error: unknown) => error) as Error & { code?: string }
  if (error.code !== 'FST_OAUTH_INVALID_OPTIONS') throw error
  t.notMatch(inspect(error, { depth: 9, showHidden: true }), pemOf(rsa).split('\n')[3]!, 'shows nothing of the key')
  return error.message
}

t.test('a key is PEM (PKCS#8, PKCS#1, SEC 1), a JWK, a KeyObject or a CryptoKey, alone or in a list', async t => {
  const { privateKey: cryptoKey } = await generateKeyPair('PS256')
  const forms: [unknown, string][] = [
    [pemOf(rsa), 'RS256'],
    [pemOf(rsa, 'pkcs1'), 'RS256'],
    [pemOf(p256, 'sec1'), 'ES256'],
    [pemOf(p256).replaceAll('\n', '\\n'), 'ES256'],
    [`a line before\n${pemOf(p256)}and after`, 'ES256'],
    [jwkOf(rsa), 'RS256'],
    [jwkOf(rsa, { alg: 'PS512' }), 'PS512'],
    [p256, 'ES256'],
    [cryptoKey, 'PS256'],
    [{ key: pemOf(rsa), alg: 'PS256' }, 'PS256'],
    [{ key: jwkOf(ed25519) }, 'EdDSA'],
    [[ec('P-384')], 'ES384'],
    [[ec('P-521')], 'ES512']
  ]
  for (const [clientKeys, alg] of forms) {
    const [key, ...others] = parseClientKeys(clientKeys, (_index, problem) => t.fail(problem))
    const read = { alg: key?.alg, use: key?.use, type: key?.key.type, others }
    t.match(read, { alg, use: 'sig', type: 'private', others: [] })
  }
})

t.test('use: enc, by the option, by the JWK, by its alg, or because the key can do nothing else', async t => {
  const [byOption, byJwk, byAlg, byKind] = parseClientKeys([
    { key: rsa, use: 'enc' },
    jwkOf(p256, { use: 'enc' }),
    { key: pemOf(ec('P-256')), alg: 'ECDH-ES+A256KW' },
    x25519
  ])
  t.match([byOption, byJwk, byAlg, byKind].map(key => [key?.use, key?.alg]), [
    ['enc', 'RSA-OAEP-256'], ['enc', 'ECDH-ES'], ['enc', 'ECDH-ES+A256KW'], ['enc', 'ECDH-ES']
  ])
})

t.test('jwks() has the public halves with kid and use, alg where there is one, and no private member', async t => {
  const certificate = { x5c: ['MIIB'], 'x5t#S256': 'thumb' }
  const { app } = await buildApp(t, {
    oauth: {
      providers: {
        acme: options([
          jwkOf(p256, { kid: 'new', ...certificate, key_ops: ['sign'], note: 'private' }),
          { key: pemOf(rsa), kid: 'old', alg: 'PS256' },
          { key: ec('P-256'), kid: 'decrypts', use: 'enc' },
          { key: ed25519, kid: 'ed' }
        ]),
        other: options(undefined)
      }
    },
    setup: app => app.get('/jwks.json', async () => app.oauth.provider('acme').jwks())
  })
  const { keys } = (await app.inject('/jwks.json')).json() as { keys: JWK[] }
  t.strictSame(keys.map(key => Object.keys(key).sort().join(' ')), [
    'alg crv kid kty use x x5c x5t#S256 y', 'alg e kid kty n use', 'crv kid kty use x y', 'crv kid kty use x'
  ])
  t.match(keys, [
    { kid: 'new', use: 'sig', alg: 'ES256', ...certificate },
    { kid: 'old', use: 'sig', alg: 'PS256' },
    { kid: 'decrypts', use: 'enc' },
    { kid: 'ed', use: 'sig' }
  ])
  const data = Buffer.from('data')
  const published = createPublicKey({ key: keys[0] as JsonWebKey, format: 'jwk' })
  t.ok(verify('sha256', data, published, sign('sha256', data, p256)), 'it is the half that belongs to the key')
  t.strictSame(app.oauth.provider('other').jwks(), { keys: [] })
})

t.test('what jwks() returned may be changed: the next one is whole again', async t => {
  const provider = createProvider(options(p256))
  t.teardown(() => provider.close())
  const first = provider.jwks()
  first.keys[0]!.kid = 'changed'
  first.keys.length = 0
  t.equal(provider.jwks().keys[0]?.kid, await calculateJwkThumbprint(jwkOf(createPublicKey(p256))))
})

t.test('kid: what is given, else the JWK\'s own, else its thumbprint (RFC 7638)', async t => {
  for (const key of [rsa, p256, ed25519, x25519]) {
    t.equal(parseClientKeys(pemOf(key))[0]?.kid, await calculateJwkThumbprint(jwkOf(createPublicKey(key))))
  }
  t.equal(parseClientKeys(jwkOf(rsa, { kid: 'own' }))[0]?.kid, 'own')
  t.equal(parseClientKeys({ key: jwkOf(rsa, { kid: 'own' }), kid: 'given' })[0]?.kid, 'given')
})

t.test('what is no private key of the client is refused when the app starts, and not shown', async t => {
  const publicKey = createPublicKey(rsa)
  const sealed = { format: 'pem', cipher: 'aes-256-cbc', passphrase: 'top secret' } as const
  const encrypted = rsa.export({ type: 'pkcs8', ...sealed })
  const legacy = rsa.export({ type: 'pkcs1', ...sealed })
  const damaged = pemOf(rsa).replace(/\n.{20}/, '\nMIIEvQIBADANBgkqhkiG')
  const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey
  const wrong: Record<string, [unknown, RegExp]> = {
    'a public PEM': [publicKey.export({ type: 'spki', format: 'pem' }), /clientKeys is a public key; write the private one/],
    'a public JWK': [jwkOf(publicKey), /is a public key/],
    'a public KeyObject': [publicKey, /is a public key/],
    'a secret JWK': [{ kty: 'oct', k: 'c2VjcmV0' }, /is a secret/],
    'a secret KeyObject': [createSecretKey(Buffer.alloc(32)), /is a secret/],
    'a damaged PEM': [damaged.slice(0, 800) + '\n-----END PRIVATE KEY-----', /cannot be read as a private key in PEM/],
    'a PEM of nonsense': ['-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----', /cannot be read/],
    'a PEM that is encrypted': [encrypted, /is an encrypted PEM; write createPrivateKey\(\{ key, passphrase \}\)/],
    'a PEM that is encrypted in the old way': [legacy, /is an encrypted PEM/],
    'a PEM with two keys': [pemOf(rsa) + pemOf(p256), /is a PEM with several keys; write each as an entry/],
    'a certificate': ['-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----', /is a PEM without a key/],
    'a JWK without some members': [{ ...jwkOf(rsa), n: undefined }, /cannot be read as a private JWK/],
    'a JWK of two keys': [{ ...jwkOf(p256), d: jwkOf(ec('P-256')).d }, /cannot be read|does not belong to its public one/],
    'a weak RSA key': [weak, /is an RSA key of 1024 bits; use one of 2048 at least/],
    'another kind of key': [ec('secp256k1'), /is a key of the kind "secp256k1"/],
    'a number': [5, /is no private key; write a private key as PEM, JWK or KeyObject/],
    null: [null, /is no private key/],
    'an empty object': [{}, /has no key/],
    'an object with something else': [{ key: p256, algorithm: 'ES256' }, /has a member "algorithm"/],
    'a list that is empty': [[], /is empty/],
    'a variable that is not set': [[undefined], /clientKeys\[0\] is undefined: an environment variable/],
    'a kid that is a number': [{ key: p256, kid: 5 }, /`kid` that is no text/],
    'an alg for another key': [{ key: p256, alg: 'RS256' }, /has the alg "RS256", which does not fit the key; with use 'sig': ES256/],
    'an alg that is none': [{ key: rsa, alg: 'none' }, /has the alg "none", which does not fit/],
    'an alg for secrets': [{ key: rsa, alg: 'HS256' }, /has the alg "HS256", which does not fit/],
    'an alg of a JWK that does not fit': [jwkOf(p256, { alg: 'ES384' }), /has the alg "ES384"/],
    'an alg of the other use': [{ key: rsa, alg: 'RSA-OAEP', use: 'sig' }, /has the alg "RSA-OAEP".*use 'sig'/],
    'RSA1_5, which leaks': [{ key: rsa, alg: 'RSA1_5', use: 'enc' }, /has the alg "RSA1_5"/],
    'an alg that a CryptoKey is not for': [
      { key: (await generateKeyPair('RS256')).privateKey, alg: 'PS256' }, /its CryptoKey is for RS256 alone/
    ],
    'a use that is none': [{ key: rsa, use: 'signature' }, /`use` that is not 'sig' or 'enc'/],
    'a use that the key does not have': [{ key: ed25519, use: 'enc' }, /which has no use as 'enc'/],
    'two keys with one kid': [[{ key: rsa, kid: 'k' }, { key: p256, kid: 'k' }], /clientKeys\[1\] has the `kid` of another one/],
    'one key twice': [[p256, pemOf(p256)], /clientKeys\[1\] has the `kid` of another one/]
  }
  for (const [what, [clientKeys, message]] of Object.entries(wrong)) t.match(await refusal(clientKeys), message, what)
})

t.test('a key whose variable is not set is refused, and makes no public client', async t => {
  const unset = /clientKeys is missing \(it is undefined: an environment variable that is not set\?\)/
  t.throws(() => createProvider({ ...options(undefined), clientKeys: undefined! }), { message: unset })
  t.doesNotThrow(() => createProvider({ ...options(undefined), clientSecret: 's' }))
  const asks = { clientId: 'app' }
  t.throws(() => createProvider(discord({ ...asks, clientKeys: undefined! })), { message: unset })
  t.throws(() => createProvider(discord({ ...asks, clientCertificate: undefined! })), { message: /clientCertificate is missing/ })
  t.match(discord({ ...asks, clientKeys: p256 }), { clientAuthentication: undefined, clientKeys: p256 })
  t.match(discord(asks), { clientAuthentication: 'none' })
})

t.test('private_key_jwt without a key that signs is refused when the app starts', async t => {
  const start = (own: object) => () =>
    createProvider({ ...options(undefined), clientAuthentication: 'private_key_jwt', ...own })
  t.throws(start({}), { message: /clientKeys is missing.*write the private key as PEM, JWK or KeyObject/ })
  t.throws(start({ clientKeys: { key: p256, use: 'enc' } }), { message: /clientKeys has no key to sign with/ })
  t.doesNotThrow(start({ clientKeys: p256 }))
  t.doesNotThrow(start({ clientAssertion: () => 'signed.elsewhere.jwt' }))
})

t.test('a key that jose and openssl wrote is read', async t => {
  const { privateKey } = await generateKeyPair('ES256', { extractable: false })
  t.equal(parseClientKeys(privateKey)[0]?.alg, 'ES256')
  // What `openssl ecparam -genkey` writes has the curve before the key.
  const parameters = '-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n'
  const [key] = parseClientKeys(parameters + pemOf(p256, 'sec1'), (_index, problem) => t.fail(problem))
  t.ok(key?.key.equals(createPrivateKey(pemOf(p256))))
})
