import { createSecretKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { CompactEncrypt, type CompactJWEHeaderParameters, decodeProtectedHeader } from 'jose'
import t, { type Test } from 'tap'
import { createProvider } from '../../lib/index.ts'
import {
  appAt, asJson, assertLoggedOut, codeOf, loginApp, type LoginApp, type LoginAppOptions
} from '../helpers/login-app.ts'
import { postLogoutToken } from '../helpers/logout-token.ts'
import { matchEach } from '../helpers/match-each.ts'
import { startProvider } from '../helpers/provider.ts'
import { tokenRecords } from '../helpers/records.ts'

// What a provider encrypts for the client: ID tokens, userinfo and authorization responses (OpenID Connect Core,
// section 10.2), decrypted with the keys of `clientKeys` whose use is `enc`.

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const otherRsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })

const encKey = (key: KeyObject, kid = 'enc-1') => ({ key, kid, use: 'enc' as const })
const publicJwks = (key: KeyObject, kid = 'enc-1') => {
  const { kty, n, e, crv, x, y } = key.export({ format: 'jwk' })
  return { keys: [JSON.parse(JSON.stringify({ kty, n, e, crv, x, y, kid, use: 'enc' }))] }
}

// Against oidc-provider

const algorithms = [
  ['RSA-OAEP-256', 'A256GCM', rsa],
  ['RSA-OAEP', 'A128CBC-HS256', rsa],
  ['ECDH-ES', 'A128GCM', ec],
  ['ECDH-ES+A256KW', 'A256CBC-HS512', ec]
] as const

for (const [alg, enc, { privateKey }] of algorithms) {
  t.test(`${alg} with ${enc}: login, userinfo, refresh and logout at oidc-provider`, async t => {
    const provider = await startProvider(t, {
      features: { encryption: true, jwtUserinfo: true, jwtResponseModes: true },
      client: {
        jwks: publicJwks(privateKey),
        id_token_encrypted_response_alg: alg,
        id_token_encrypted_response_enc: enc,
        userinfo_signed_response_alg: 'RS256',
        userinfo_encrypted_response_alg: alg,
        userinfo_encrypted_response_enc: enc,
        authorization_encrypted_response_alg: alg,
        authorization_encrypted_response_enc: enc
      },
      configuration: {
        enabledJWA: {
          idTokenEncryptionAlgValues: [alg],
          userinfoEncryptionAlgValues: [alg],
          authorizationEncryptionAlgValues: [alg]
        }
      }
    })
    const { browser, url } = await appAt(t, provider, {
      provider: {
        clientKeys: [encKey(otherRsa.privateKey, 'enc-0'), encKey(privateKey)],
        encryptedIdToken: true,
        profileSource: 'userinfo',
        responseMode: 'jwt'
      },
      setup: app => {
        app.get('/user', async ({ oauth }) => oauth.user)
        app.get('/tokens', async ({ oauth }) => await oauth.tokens())
        app.get('/refresh', async ({ oauth }) => await oauth.refresh())
      }
    })
    const page = await browser.login(`${url}/login/acme`)
    t.strictSame(page.json(), { user: 'alice' })
    const [callback] = browser.history.filter(({ url }) => url.includes('/login/acme/callback'))
    t.equal(new URL(callback!.url).searchParams.get('response')!.split('.').length, 5)
    t.match((await browser.get(`${url}/user`)).json(), { id: 'alice', name: 'Alice Adams', email: 'alice@example.com' })

    const { idToken } = (await browser.get(`${url}/tokens`)).json<{ idToken: string }>()
    t.match(decodeProtectedHeader(idToken), { alg, enc })
    const refreshed = (await browser.get(`${url}/refresh`)).json<{ idToken: string }>()
    t.match(decodeProtectedHeader(refreshed.idToken), { alg, enc })
    t.not(refreshed.idToken, idToken)

    // The provider takes its own signed ID token back, not one that it cannot decrypt (section 3.1.2.1).
    const { location } = await browser.post(`${url}/logout`, { redirect: 'manual' })
    const hint = new URL(location!).searchParams.get('id_token_hint')!
    t.match(decodeProtectedHeader(hint), { alg: 'RS256', enc: undefined })
    t.match((await browser.get(location!)).text, /name="logout"/)
  })
}

t.test('userinfo that is encrypted and not signed counts as userinfo that is not signed', async t => {
  const { browser, url, provider } = await loginApp(t, {
    provider: { clientKeys: encKey(rsa.privateKey), profileSource: 'userinfo' },
    setup: app => { app.get('/user', async ({ oauth }) => oauth.user) }
  })
  const body = await new CompactEncrypt(Buffer.from(JSON.stringify({ sub: 'alice', name: 'Alice Encrypted' })))
    .setProtectedHeader({ alg: 'RSA-OAEP-256', enc: 'A256GCM' })
    .encrypt(rsa.publicKey)
  provider.wrong = { instead: { userinfo: { headers: { 'content-type': 'application/jwt' }, body } } }
  await browser.login(`${url}/login/acme`)
  t.match((await browser.get(`${url}/user`)).json(), { id: 'alice', name: 'Alice Encrypted' })
})

t.test('a headless session decrypts the ID token of its login', async t => {
  const app = await encrypted(t, {})
  const { providerOptions } = app.provider
  const redirectUri = 'http://127.0.0.1:1/callback'
  const acme = createProvider({ ...providerOptions, redirectUri, clientKeys: encKey(rsa.privateKey) })
  t.after(() => acme.close())
  const session = acme.session()
  const { url } = await session.authorizationUrl()
  const { location } = await app.browser.get(url, { redirect: 'manual' })
  t.equal((await session.fetchTokens({ callbackUrl: location! })).idToken!.split('.').length, 5)
})

// What is refused

interface Encryption {
  header?: Partial<CompactJWEHeaderParameters>
  to?: KeyObject | Uint8Array
  /** In place of the signed JWT. */
  inside?: (jwt: string) => string
  /** Changes the encrypted JWT. */
  outside?: (jwe: string) => string
}

const base64url = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

/** An app at a provider that encrypts its ID tokens. */
async function encrypted (t: Test, how: Encryption, options: LoginAppOptions = {}): Promise<LoginApp> {
  const { header, to = rsa.publicKey, inside = jwt => jwt, outside = jwe => jwe } = how
  const app = await loginApp(t, { provider: { clientKeys: encKey(rsa.privateKey) }, ...options })
  app.provider.wrong = {
    ...app.provider.wrong,
    instead: {
      token: async (request, response) => {
        const { provider } = app
        const before = provider.wrong
        provider.wrong = { ...before, instead: {} }
        const answer = JSON.parse(await answerOf(app, request)) as Record<string, string>
        provider.wrong = before
        const jwe = await new CompactEncrypt(Buffer.from(inside(answer.id_token!)))
          .setProtectedHeader({ alg: 'RSA-OAEP-256', enc: 'A256GCM', kid: 'enc-1', cty: 'JWT', ...header })
          .encrypt(to)
        response.setHeader('content-type', 'application/json')
        response.end(JSON.stringify({ ...answer, id_token: outside(jwe) }))
        return 'handled' as const
      }
    }
  }
  return app
}

/** What the provider itself answers to a token request. */
async function answerOf (
  { provider }: LoginApp, { headers, form }: { headers: NodeJS.Dict<string | string[]>, form: URLSearchParams }
): Promise<string> {
  const { authorization } = headers as { authorization: string }
  const response = await fetch(`${provider.issuer}/token`, { method: 'POST', headers: { authorization }, body: form })
  return await response.text()
}

t.test('an ID token that is encrypted without kid, or under a kid of the provider\'s own, logs in', async t => {
  for (const kid of [undefined, 'thumbprint-of-the-provider']) {
    const { browser, url } = await encrypted(t, { header: { kid } as CompactJWEHeaderParameters }, {
      provider: { clientKeys: [encKey(otherRsa.privateKey, 'enc-0'), encKey(rsa.privateKey)] }
    })
    t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
  }
})

const unsigned = (jwt: string) => `${base64url({ alg: 'none' })}.${jwt.split('.')[1]}.`
const withHeader = (changes: object) => (jwe: string) => {
  const [header, ...rest] = jwe.split('.') as [string, ...string[]]
  const members = JSON.parse(Buffer.from(header, 'base64url').toString()) as object
  return [base64url({ ...members, ...changes }), ...rest].join('.')
}

const refusals: Record<string, [how: Encryption, reason: string]> = {
  'for another key under our kid': [{ to: otherRsa.publicKey }, 'encrypted'],
  'with RSA1_5': [{ outside: withHeader({ alg: 'RSA1_5' }) }, 'alg'],
  'with dir': [{ header: { alg: 'dir' }, to: createSecretKey(Buffer.alloc(32, 1)).export() }, 'alg'],
  'with a password (PBES2)': [
    { header: { alg: 'PBES2-HS256+A128KW' }, to: Buffer.from('the client secret, say') },
    'alg'
  ],
  'with A256KW': [{ header: { alg: 'A256KW' }, to: Buffer.alloc(32, 1) }, 'alg'],
  'with ECDH-ES for an RSA key': [{ header: { alg: 'ECDH-ES' }, to: ec.publicKey }, 'alg'],
  'with an unknown enc': [{ outside: withHeader({ enc: 'A1GCM' }) }, 'alg'],
  compressed: [{ outside: withHeader({ zip: 'DEF' }) }, 'encrypted'],
  'and changed': [{ outside: jwe => jwe.replace(/\.[^.]*$/, `.${'A'.repeat(22)}`) }, 'encrypted'],
  'with a header that cannot be read': [{ outside: jwe => jwe.replace(/^[^.]*/, 'zz') }, 'malformed'],
  'and holds claims that nobody has signed': [{ inside: jwt => jwt.split('.')[1]! }, 'malformed'],
  'and holds JSON that nobody has signed': [
    { inside: jwt => Buffer.from(jwt.split('.')[1]!, 'base64url').toString() },
    'malformed'
  ],
  'and holds a JWT with alg none': [{ inside: unsigned }, 'alg'],
  'and holds another encrypted JWT': [{ inside: () => 'a.b.c.d.e' }, 'malformed']
}

for (const [name, [how, reason]] of Object.entries(refusals)) {
  t.test(`an ID token that is encrypted ${name} is refused`, async t => {
    const app = await encrypted(t, how)
    const page = await app.browser.login(`${app.url}/login/acme`, asJson)
    t.equal(page.status, 502)
    t.equal(codeOf(page), 'FST_OAUTH_INVALID_ID_TOKEN')
    matchEach(t, app.errors, [{ code: 'FST_OAUTH_INVALID_ID_TOKEN', provider: 'acme', reason }])
    await assertLoggedOut(t, app)
  })
}

t.test('an encrypted ID token, and no key to decrypt it: the error says what to add', async t => {
  const app = await encrypted(t, {}, { provider: {} })
  await app.browser.login(`${app.url}/login/acme`, asJson)
  matchEach(t, app.errors, [{ code: 'FST_OAUTH_INVALID_ID_TOKEN', reason: 'encrypted', message: /use: 'enc'/ }])
})

t.test('a key that signs decrypts nothing', async t => {
  const app = await encrypted(t, {}, { provider: { clientKeys: { key: rsa.privateKey, kid: 'enc-1' } } })
  await app.browser.login(`${app.url}/login/acme`, asJson)
  matchEach(t, app.errors, [{ code: 'FST_OAUTH_INVALID_ID_TOKEN', reason: 'encrypted' }])
})

t.test('encryptedIdToken refuses an ID token that is signed alone', async t => {
  const app = await loginApp(t, { provider: { clientKeys: encKey(rsa.privateKey), encryptedIdToken: true } })
  await app.browser.login(`${app.url}/login/acme`, asJson)
  matchEach(t, app.errors, [{ code: 'FST_OAUTH_INVALID_ID_TOKEN', reason: 'not_encrypted' }])
  await assertLoggedOut(t, app)
})

t.test('without encryptedIdToken one that is signed alone logs in', async t => {
  const { browser, url } = await loginApp(t, { provider: { clientKeys: encKey(rsa.privateKey) } })
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
})

const refreshing: LoginAppOptions = {
  provider: { clientKeys: encKey(rsa.privateKey) },
  setup: app => { app.get('/refresh', async ({ oauth }) => await oauth.refresh()) }
}

t.test('an encrypted ID token of another user in a refresh ends the login', async t => {
  const app = await encrypted(t, {}, refreshing)
  await app.browser.login(`${app.url}/login/acme`)
  app.provider.wrong = { ...app.provider.wrong, claims: { sub: 'mallory' } }
  t.equal(codeOf(await app.browser.get(`${app.url}/refresh`, asJson)), 'FST_OAUTH_LOGIN_ENDED')
  await assertLoggedOut(t, app)
})

t.test('a claim of an encrypted ID token goes with the first refresh that leaves it out', async t => {
  const app = await encrypted(t, {}, {
    provider: { clientKeys: encKey(rsa.privateKey) },
    setup: app => {
      app.get('/refresh', async ({ oauth }) => {
        await oauth.refresh()
        return oauth.claims
      })
    }
  })
  const { wrong } = app.provider
  app.provider.wrong = { ...wrong, claims: { groups: ['admins'], name: 'Alice' } }
  await app.browser.login(`${app.url}/login/acme`)
  app.provider.wrong = wrong
  const claims = (await app.browser.get(`${app.url}/refresh`)).json<Record<string, unknown>>()
  t.match(claims, { sub: 'alice', name: 'Alice', groups: undefined })
})

t.test('an ID token in a refresh that cannot be decrypted costs itself alone: the rotated token is kept', async t => {
  let broken = false
  const outside = (jwe: string) => broken ? withHeader({ alg: 'RSA1_5' })(jwe) : jwe
  const app = await encrypted(t, { outside }, refreshing)
  await app.browser.login(`${app.url}/login/acme`)
  broken = true
  const page = await app.browser.get(`${app.url}/refresh`, asJson)
  t.equal(page.status, 200)
  t.equal(tokenRecords(app.store).size, 1)
  broken = false
  t.equal((await app.browser.get(`${app.url}/refresh`, asJson)).status, 200)
})

t.test('a logout whose ID token no key decrypts any more goes to the provider without it', async t => {
  const app = await encrypted(t, {})
  const { provider, browser, url, store } = app
  await browser.login(`${url}/login/acme`)
  provider.wrong = { metadata: { end_session_endpoint: `${provider.issuer}/end` } }
  // The same app after its key was replaced.
  const later = await appAt(t, provider, {
    session: { store }, provider: { clientKeys: encKey(otherRsa.privateKey) }
  })
  t.equal(await later.userOf(browser), 'alice')
  const { location } = await browser.post(`${later.url}/logout`, { redirect: 'manual' })
  t.match(location, `${provider.issuer}/end?client_id=`)
  t.notOk(new URL(location!).searchParams.has('id_token_hint'))
})

t.test('a logout token that is encrypted ends the login', async t => {
  const app = await loginApp(t, {
    provider: { clientKeys: encKey(rsa.privateKey) }, wrong: { claims: { sid: 'the-session' } }
  })
  await app.browser.login(`${app.url}/login/acme`)
  const jwe = await new CompactEncrypt(Buffer.from(app.provider.logoutToken({ sid: 'the-session' })))
    .setProtectedHeader({ alg: 'RSA-OAEP-256', enc: 'A256GCM' })
    .encrypt(rsa.publicKey)
  t.equal((await postLogoutToken(app.url, withHeader({ alg: 'RSA1_5' })(jwe))).status, 400)
  t.equal(await app.userOf(app.browser), 'alice')
  t.equal((await postLogoutToken(app.url, jwe)).status, 200)
  await assertLoggedOut(t, app)
})
