import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import t, { type Test } from 'tap'
import { KeySource } from '../../lib/oauth/jwks.ts'
import { deferred, Gate } from '../helpers/gate.ts'
import {
  asJson, assertLoggedOut, codeOf, finishTogether, loginApp, type LoginAppOptions
} from '../helpers/login-app.ts'
import { matchEach } from '../helpers/match-each.ts'
import type { Misbehaviour, MisbehavingProvider } from '../helpers/misbehaving-provider.ts'
import { createKey, publicJwk, type SigningKey } from '../helpers/signing-keys.ts'

// What a relying party has to check in an ID token (OpenID Connect Core, section 3.1.3.7), driven through a whole
// login. "oidcc-client-test…" names the module of the OpenID Foundation's relying-party test plan that a test
// reproduces.

const now = () => Math.floor(Date.now() / 1000)
const strangeKey = createKey()

type Wrong = Misbehaviour | ((provider: MisbehavingProvider) => Misbehaviour)

/** Logs in at a provider whose ID token is wrong, and asserts that it is refused for this reason. */
async function assertRefused (t: Test, wrong: Wrong, reason: string, options: LoginAppOptions = {}): Promise<void> {
  const app = await loginApp(t, options)
  const { provider, browser, url, errors } = app
  provider.wrong = typeof wrong === 'function' ? wrong(provider) : wrong
  const page = await browser.login(`${url}/login/acme`, asJson)
  t.equal(page.status, 502)
  t.equal(codeOf(page), 'FST_OAUTH_INVALID_ID_TOKEN')
  matchEach(t, errors, [{ code: 'FST_OAUTH_INVALID_ID_TOKEN', provider: 'acme', reason }])
  t.equal(errors.length, 1)
  await assertLoggedOut(t, app)
}

const refusals: Record<string, [wrong: Wrong, reason: string]> = {
  // oidcc-client-test-invalid-iss
  'of another issuer': [{ claims: { iss: 'https://issuer.example' } }, 'iss'],
  'without issuer': [{ claims: { iss: undefined } }, 'iss'],
  'whose issuer differs by a slash': [({ issuer }) => ({ claims: { iss: `${issuer}/` } }), 'iss'],
  // oidcc-client-test-missing-sub
  'without subject': [{ claims: { sub: undefined } }, 'sub'],
  'with an empty subject': [{ claims: { sub: '' } }, 'sub'],
  'whose subject is no string': [{ claims: { sub: 42 } }, 'sub'],
  // oidcc-client-test-invalid-aud
  'for another client': [{ claims: { aud: 'another-client' } }, 'aud'],
  // oidcc-client-test-missing-aud
  'without audience': [{ claims: { aud: undefined } }, 'aud'],
  'with an empty list of audiences': [{ claims: { aud: [] } }, 'aud'],
  'for several audiences, whose authorized party is another client': [
    ({ clientId }) => ({ claims: { aud: [clientId, 'another-client'], azp: 'another-client' } }),
    'azp'
  ],
  'for this client, whose authorized party is another': [{ claims: { azp: 'another-client' } }, 'azp'],
  'without expiry': [{ claims: { exp: undefined } }, 'exp'],
  'that expired an hour ago': [{ claims: { exp: now() - 3600 } }, 'exp'],
  'whose expiry is no number': [{ claims: { exp: String(now() + 300) } }, 'exp'],
  // oidcc-client-test-missing-iat
  'without time of issue': [{ claims: { iat: undefined } }, 'iat'],
  'issued an hour from now': [{ claims: { iat: now() + 3600 } }, 'iat'],
  'whose time of issue is no number': [{ claims: { iat: 'now' } }, 'iat'],
  'not valid before an hour from now': [{ claims: { nbf: now() + 3600 } }, 'nbf'],
  // oidcc-client-test-nonce-invalid
  'with the nonce of another login': [{ claims: { nonce: 'n'.repeat(43) } }, 'nonce'],
  'without nonce': [{ claims: { nonce: undefined } }, 'nonce'],
  'whose nonce is a list': [{ claims: { nonce: ['a'] } }, 'nonce'],
  // oidcc-client-test-invalid-athash
  'whose at_hash is that of another access token': [{ claims: { at_hash: 'a'.repeat(22) } }, 'at_hash'],
  'whose at_hash is no string': [{ claims: { at_hash: 1 } }, 'at_hash'],
  // oidcc-client-test-idtoken-sig-none: allowed by the module where it was asked for, which never happens here
  'without a signature': [{ signedBy: 'none' }, 'alg'],
  'without a signature, of a provider that announces none': [
    { signedBy: 'none', metadata: { id_token_signing_alg_values_supported: ['none'] } },
    'alg'
  ],
  // oidcc-client-test-invalid-sig-hs256
  'signed with HS256 and the client secret': [({ clientSecret }) => ({ signedBy: { hmac: clientSecret } }), 'alg'],
  'signed with HS256 and the client secret, as the provider promises': [
    ({ clientSecret }) => ({
      signedBy: { hmac: clientSecret },
      metadata: { id_token_signing_alg_values_supported: ['HS256'] }
    }),
    'alg'
  ],
  'signed with HS256 and the public key': [
    ({ keys: [key] }) => ({
      signedBy: { hmac: key!.publicKey.export({ type: 'spki', format: 'pem' }) },
      header: { kid: key!.kid }
    }),
    'alg'
  ],
  'whose algorithm is none, in mixed case': [{ signedBy: 'none', header: { alg: 'nOnE' } }, 'alg'],
  'without algorithm': [{ header: { alg: undefined } }, 'malformed'],
  // oidcc-client-test-invalid-sig-rs256
  "signed by a third party under the provider's key id": [
    ({ keys: [key] }) => ({ signedBy: { ...strangeKey, kid: key!.kid } }),
    'signature'
  ],
  'whose claims were changed after it was signed': [
    {
      idToken: jwt => {
        const [header, payload, signature] = jwt.split('.') as [string, string, string]
        const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object
        const forged = Buffer.from(JSON.stringify({ ...claims, sub: 'mallory' })).toString('base64url')
        return `${header}.${forged}.${signature}`
      }
    },
    'signature'
  ],
  'whose signature is cut off': [{ idToken: jwt => jwt.slice(0, jwt.lastIndexOf('.') + 1) }, 'signature'],
  'signed by a key that is not published': [{ signedBy: strangeKey }, 'key'],
  // RFC 7515, section 4.1.2, 4.1.3 and 4.1.5: keys that come with the token are the attacker's own.
  'that brings its own key (jwk)': [
    ({ keys: [key] }) => ({
      signedBy: { ...strangeKey, kid: key!.kid },
      header: { jwk: publicJwk(strangeKey) }
    }),
    'signature'
  ],
  'with an extension that must be understood and is not': [
    { header: { crit: ['urn:example:x'], 'urn:example:x': true } },
    'malformed'
  ],
  'that is encrypted': [{ idToken: () => 'eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.a.b.c.d' }, 'encrypted'],
  'that is no JWT': [{ idToken: () => 'not a token' }, 'malformed'],
  'that is an empty list of claims': [{ idToken: jwt => jwt.replace(/\.[^.]*\./, '.e30.') }, 'signature']
}

for (const [what, [wrong, reason]] of Object.entries(refusals)) {
  t.test(`refuses an ID token ${what}`, t => assertRefused(t, wrong, reason))
}

t.test('refuses a login with "openid" that brings no ID token', t =>
  assertRefused(t, { tokens: { id_token: undefined } }, 'missing')
)

t.test('refuses a login with "openid" whose ID token is null', t =>
  assertRefused(t, { tokens: { id_token: null } }, 'missing')
)

t.test('refuses an algorithm that the provider does not promise, though its key is published', t =>
  // oidcc-client-test-invalid-sig-es256
  assertRefused(
    t,
    provider => {
      const es256 = createKey('ES256')
      provider.keys = [es256, ...provider.keys]
      return { signedBy: es256, metadata: { id_token_signing_alg_values_supported: ['RS256'] } }
    },
    'alg'
  )
)

t.test('refuses a signature of ES256 with its halves the wrong way round', t =>
  // oidcc-client-test-invalid-sig-es256
  assertRefused(
    t,
    provider => {
      provider.useAlgorithm('ES256')
      return {
        idToken: jwt => {
          const dot = jwt.lastIndexOf('.') + 1
          const signature = Buffer.from(jwt.slice(dot), 'base64url')
          return (
            jwt.slice(0, dot) + Buffer.concat([signature.subarray(32), signature.subarray(0, 32)]).toString('base64url')
          )
        }
      }
    },
    'signature'
  )
)

t.test('refuses a login older than the max_age that was asked for', async t => {
  await assertRefused(t, { claims: { auth_time: now() - 3600 } }, 'auth_time', {
    provider: { authorizationParams: { max_age: 300 } }
  })
})

t.test('refuses a login without auth_time where max_age was asked for', async t => {
  await assertRefused(t, { claims: { auth_time: undefined } }, 'auth_time', {
    provider: { authorizationParams: { max_age: 300 } }
  })
})

t.test('max_age=0 is asked for and checked like any other', async t => {
  await assertRefused(t, { claims: { auth_time: now() - 3600 } }, 'auth_time', {
    provider: { authorizationParams: { max_age: 0 } }
  })
})

t.test('a login younger than max_age passes, and max_age went to the provider', async t => {
  const { provider, browser, url } = await loginApp(t, { provider: { authorizationParams: { max_age: 300 } } })
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
  t.equal(provider.asked('authorization')[0]?.query.get('max_age'), '300')
})

const stepUp: LoginAppOptions['setup'] = app => {
  app.get('/again', async ({ oauth }, reply) => oauth.login(reply, { maxAge: 60 }))
}

for (const [name, ...values] of [
  ['maxAge', '60', -1, 1.5, NaN, null, [60]],
  ['acrValues', 5, {}, null],
  ['scope', 5, {}, null],
  ['params', 'prompt=login', null, ['a']],
  ['link', 'true', 1, null]
] as const) {
  t.test(`a login whose ${name} has another type is refused: it would not be asked for, nor checked`, async t => {
    let value: unknown
    const { browser, url, provider } = await loginApp(t, {
      setup: app => {
        app.get('/again', async ({ oauth }, reply) => oauth.login(reply, { [name]: value }))
      }
    })
    for (value of values) {
      const page = await browser.get(`${url}/again`, asJson)
      t.match(page.json(), { statusCode: 500, code: 'FST_OAUTH_INVALID_OPTIONS' })
      t.match(page.json<{ message: string }>().message, `the option "${name}" of a login is `)
    }
    t.equal(provider.asked('authorization').length, 0)
  })
}

t.test('a login with a misspelt option is refused: what it means would not be asked for, nor checked', async t => {
  const { browser, url, provider } = await loginApp(t, {
    setup: app => {
      app.get('/again', async ({ oauth }, reply) => oauth.login(reply, { maxage: 60 } as object))
    }
  })
  const page = await browser.get(`${url}/again`, asJson)
  t.match(page.json(), { code: 'FST_OAUTH_INVALID_OPTIONS', message: /maxage is no option; did you mean maxAge\?/ })
  t.equal(provider.asked('authorization').length, 0)
})

t.test('maxAge of a single login is asked for and checked', async t => {
  const app = await loginApp(t, { setup: stepUp })
  const { provider, browser, url, errors } = app
  t.strictSame((await browser.login(`${url}/again`)).json(), { user: 'alice' })
  t.equal(provider.asked('authorization')[0]?.query.get('max_age'), '60')
  provider.wrong = { claims: { auth_time: now() - 600 } }
  t.equal(codeOf(await browser.login(`${url}/again`, asJson)), 'FST_OAUTH_INVALID_ID_TOKEN')
  matchEach(t, errors, [{ reason: 'auth_time' }])
})

for (const [what, options] of Object.entries({
  'a provider without ID tokens': { providers: ({ staticOptions }) => ({ acme: staticOptions }) },
  'a scope without openid': { provider: { scope: 'profile' } }
} satisfies Record<string, LoginAppOptions>)) {
  t.test(`maxAge of a single login is refused with ${what}: it could not be checked`, async t => {
    const { provider, browser, url } = await loginApp(t, { setup: stepUp, ...options })
    t.equal(codeOf(await browser.get(`${url}/again`, { ...asJson, redirect: 'manual' })), 'FST_OAUTH_INVALID_OPTIONS')
    t.equal(provider.asked('authorization').length, 0)
  })
}

for (const alg of ['RS256', 'PS256', 'ES256', 'EdDSA'] as const) {
  // oidcc-client-test-idtoken-sig-rs256, and -es256
  t.test(`takes an ID token signed with ${alg}`, async t => {
    const { provider, browser, url } = await loginApp(t)
    provider.useAlgorithm(alg)
    t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
  })
}

t.test('takes an ID token for a list of one audience', async t => {
  const { provider, browser, url } = await loginApp(t)
  provider.wrong = { claims: { aud: [provider.clientId] } }
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
})

t.test('takes an ID token that names this client twice', async t => {
  const { provider, browser, url } = await loginApp(t)
  provider.wrong = { claims: { aud: [provider.clientId, provider.clientId] } }
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
})

t.test('trustedAudiences are who else an ID token without authorized party may be for', async t => {
  const trustedAudiences = ['https://api.example/', 'https://other.example/']
  const { provider, browser, url } = await loginApp(t, { provider: { trustedAudiences } })
  provider.wrong = { claims: { aud: ['https://api.example/', provider.clientId] } }
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
})

t.test('an audience that is not among trustedAudiences is named, with what to write', async t => {
  const { provider, browser, url, errors } =
    await loginApp(t, { provider: { trustedAudiences: ['https://api.example/'] } })
  provider.wrong = { claims: { aud: ['https://api.example/', provider.clientId, 'another-client'] } }
  await browser.login(`${url}/login/acme`)
  t.match(errors, [{ reason: 'azp', message: /is also for "another-client".* into trustedAudiences$/ }])
})

t.test('trustedAudiences alone, without this client, do not do', async t => {
  const { provider, browser, url, errors } =
    await loginApp(t, { provider: { trustedAudiences: ['https://api.example/'] } })
  provider.wrong = { claims: { aud: ['https://api.example/'] } }
  await browser.login(`${url}/login/acme`)
  t.match(errors, [{ reason: 'aud' }])
})

t.test('takes an ID token for several audiences that names this client as the authorized party', async t => {
  const { provider, browser, url } = await loginApp(t)
  provider.wrong = { claims: { aud: ['another-client', provider.clientId], azp: provider.clientId } }
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
})

t.test('takes an ID token without at_hash, which the code flow leaves to the provider', async t => {
  const { browser, url } = await loginApp(t, { wrong: { claims: { at_hash: undefined } } })
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
})

t.test('an ID token of a provider whose clock is 30 seconds ahead is accepted', async t => {
  const { browser, url } = await loginApp(t, { wrong: { claims: { iat: now() + 30, auth_time: now() + 30 } } })
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
})

t.test('the error about a wrong clock says by how much it differs', async t => {
  const { provider, browser, url, errors } = await loginApp(t)
  for (const claims of [{ iat: now() + 120 }, { nbf: now() + 120 }, { exp: now() - 120 }]) {
    provider.wrong = { claims }
    await browser.login(`${url}/login/acme`)
  }
  t.match(
    errors.map(({ message }) => message),
    [
      /it was issued 1[12]\d seconds in the future; is this machine's clock right\?/,
      /it begins to be valid 1[12]\d seconds in the future; is this machine's clock right\?/,
      /it expired 1[12]\d seconds ago; is this machine's clock right\?/
    ]
  )
})

t.test('clockTolerance is how far the clocks may differ', async t => {
  const { provider, browser, url } = await loginApp(t, { provider: { clockTolerance: 300 } })
  for (const claims of [{ iat: now() + 240 }, { nbf: now() + 240 }, { exp: now() - 240 }]) {
    provider.wrong = { claims }
    t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
  }
  const strict = await loginApp(t, { provider: { clockTolerance: 0 } })
  strict.provider.wrong = { claims: { iat: now() + 30 } }
  t.equal(codeOf(await strict.browser.login(`${strict.url}/login/acme`)), 'FST_OAUTH_INVALID_ID_TOKEN')
})

const claimsText = (jwt: string) => Buffer.from(jwt.split('.')[1]!, 'base64url').toString()

t.test('an id in an ID token that a number cannot hold is kept exactly', async t => {
  const userProfile = ({ oid }: Record<string, unknown>) => ({ id: oid as string })
  const { provider, browser, url, userOf } = await loginApp(t, { provider: { userProfile } })
  const withId = (jwt: string) => claimsText(jwt).replace('"oid":1', '"oid":17841405793187219')
  provider.wrong = { claims: { oid: 1 }, idToken: jwt => provider.signJwt(withId(jwt)) }
  await browser.login(`${url}/login/acme`)
  t.equal(await userOf(browser), '17841405793187219')
})

t.test('a subject that is a number beyond 2^53 is refused', t =>
  assertRefused(
    t,
    provider => ({
      claims: { sub: 1 },
      idToken: jwt => provider.signJwt(claimsText(jwt).replace('"sub":1', '"sub":17841405793187219'))
    }),
    'sub'
  )
)

t.test('a claim that cannot be made a text is no error of the app', async t => {
  const odd = { toString: 1 }
  const { browser, url, provider, errors } = await loginApp(t, {
    wrong: { claims: { email: 'alice@example.com', email_verified: odd, acr: odd, name: odd } },
    setup: app => {
      app.get('/user', async ({ oauth }) => oauth.user)
      app.get('/strong', { onRequest: app.oauth.requireLogin({ acrValues: 'gold' }) }, async () => 'strong')
      app.get('/stronger', (request, reply) => request.oauth.login(reply, { acrValues: 'gold' }))
    }
  })
  await browser.login(`${url}/login/acme`)
  t.match((await browser.get(`${url}/user`)).json(), { email: 'alice@example.com', emailVerified: false })
  t.equal(codeOf(await browser.get(`${url}/strong`, asJson)), 'FST_OAUTH_STEP_UP_REQUIRED')
  t.equal(codeOf(await browser.login(`${url}/stronger`)), 'FST_OAUTH_INVALID_ID_TOKEN')
  t.match(errors.at(-1), { reason: 'acr' })
  provider.wrong = { claims: { acr: 1, email_verified: 'true', email: 'a@b.c' } }
  await browser.login(`${url}/login/acme`)
  t.match((await browser.get(`${url}/user`)).json(), { emailVerified: true }, 'the boolean as a string')
})

t.test('a claim called __proto__ in an ID token changes no prototype', async t => {
  const { browser, url } = await loginApp(t, {
    wrong: { claims: JSON.parse('{"__proto__":{"isAdmin":true}}') as Record<string, unknown> },
    setup: app => {
      app.get('/claims', async ({ oauth: { claims, user } }) => ({
        claim: claims.isAdmin ?? null,
        user: (user as { isAdmin?: boolean }).isAdmin ?? null,
        all: ({} as { isAdmin?: boolean }).isAdmin ?? null
      }))
    }
  })
  await browser.login(`${url}/login/acme`)
  t.strictSame((await browser.get(`${url}/claims`)).json(), { claim: null, user: null, all: null })
})

// One login endpoint for many issuers

const tenant = (name: string) => `https://${name}.tenants.example`
const manyIssuers: LoginAppOptions = {
  provider: { idTokenIssuer: issuer => /^https:\/\/(?:one|two)\.tenants\.example$/.test(issuer) }
}

t.test('takes an ID token of an issuer that the options accept', async t => {
  const { browser, url } = await loginApp(t, { ...manyIssuers, wrong: { claims: { iss: tenant('one') } } })
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: `${tenant('one')}#alice` })
})

t.test('refuses an ID token of an issuer that the options do not accept', t =>
  assertRefused(t, { claims: { iss: tenant('three') } }, 'iss', manyIssuers)
)

t.test('refuses an ID token without issuer where the options accept several', t =>
  assertRefused(t, { claims: { iss: undefined } }, 'iss', manyIssuers)
)

// Keys

t.test('the key set is fetched once for many logins', async t => {
  const { provider, browser, url } = await loginApp(t)
  for (let login = 0; login < 3; login++) {
    t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
  }
  t.equal(provider.asked('keys').length, 1)
})

// oidcc-client-test-signing-key-rotation
t.test('a key that was rotated between two logins is fetched', async t => {
  const { provider, browser, url } = await loginApp(t)
  await browser.login(`${url}/login/acme`)
  provider.rotateKeys()
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
  t.equal(provider.asked('keys').length, 2)
})

// oidcc-client-test-signing-key-rotation-just-before-signing
t.test('a key that was rotated in the middle of a login is fetched', async t => {
  const { provider, browser, url } = await loginApp(t)
  await browser.login(`${url}/login/acme`)
  provider.wrong = {
    instead: {
      token: () => { provider.rotateKeys() }
    }
  }
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
})

t.test('tokens with made-up key ids do not cause a key set request each', async t => {
  const { provider, browser, url, errors } = await loginApp(t)
  await browser.login(`${url}/login/acme`)
  provider.wrong = { signedBy: strangeKey }
  for (let login = 0; login < 5; login++) await browser.login(`${url}/login/acme`)
  t.strictSame(errors.map(({ reason }) => reason), Array(5).fill('key'))
  t.equal(provider.asked('keys').length, 2, 'once at first, once more for the first unknown key')
})

t.test('while an unknown key id may not be fetched again yet, a login with a known key works', async t => {
  const { provider, browser, url } = await loginApp(t)
  provider.wrong = { signedBy: strangeKey }
  await browser.login(`${url}/login/acme`)
  provider.wrong = {}
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
})

t.test(
  'a rotated key whose fetch failed is fetched again by the next login: only a fetch that succeeded is followed by ' +
    'a pause',
  async t => {
    const { provider, browser, url } = await loginApp(t)
    await browser.login(`${url}/login/acme`)
    provider.rotateKeys()
    provider.wrong = { instead: { keys: { status: 503 } } }
    t.equal(codeOf(await browser.login(`${url}/login/acme`)), 'FST_OAUTH_PROVIDER_UNAVAILABLE')
    provider.wrong = {}
    t.equal((await browser.login(`${url}/login/acme`)).status, 200)
  }
)

t.test('a new key under an old key id is fetched, once for all logins that meet it', async t => {
  const { provider, browser, url } = await loginApp(t)
  await browser.login(`${url}/login/acme`)
  provider.keys = [{ ...createKey(), kid: provider.keys[0]!.kid }]
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
  t.equal(provider.asked('keys').length, 2)
})

t.test('a new key where the old one had no key id either is fetched', async t => {
  const { provider, browser, url } = await loginApp(t)
  const nameless = () => {
    const keys = provider.keys.map(key => publicJwk(key, { kid: undefined }))
    return { header: { kid: undefined }, keySet: { keys } }
  }
  provider.wrong = nameless()
  await browser.login(`${url}/login/acme`)
  provider.rotateKeys()
  provider.wrong = nameless()
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
})

t.test('tokens with made-up signatures under a known key id do not cause a key set request each', async t => {
  const { provider, browser, url, errors } = await loginApp(t)
  await browser.login(`${url}/login/acme`)
  provider.wrong = { signedBy: { ...strangeKey, kid: provider.keys[0]!.kid } }
  for (let login = 0; login < 5; login++) await browser.login(`${url}/login/acme`)
  t.strictSame(errors.map(({ reason }) => reason), Array(5).fill('signature'))
  t.equal(provider.asked('keys').length, 2)
})

t.test('an ID token or response of another issuer, or for another client, is refused, naming both', async t => {
  const { provider, browser, url } = await loginApp(t)
  const { issuer, clientId } = provider
  const other = issuer.replace('127.0.0.1', 'localhost')
  const messageOf = async (wrong: typeof provider.wrong) => {
    provider.wrong = wrong
    return (await browser.login(`${url}/login/acme`, asJson)).json<{ message: string }>().message
  }
  const issued = await messageOf({ claims: { iss: other } })
  t.ok(issued.includes(`it is of issuer "${other}", not of "${issuer}"`), issued)
  t.match(issued, 'check `issuer`')
  t.match(await messageOf({ claims: { aud: 'shop' } }), `it is for "shop", not for "${clientId}"; check \`clientId\``)
  const answered = await messageOf({
    callback: params => { params.set('iss', other) }
  })
  t.ok(answered.includes(`it names "${other}", not "${issuer}"`), answered)
})

const twice: Record<string, (key: SigningKey) => unknown[]> = {
  'beside entries that are no keys': key => [null, 'key', 5, [], publicJwk(key)],
  'listed twice': key => [publicJwk(key), publicJwk(key)],
  'listed twice, once with more to say': key => [
    publicJwk(key),
    publicJwk(key, { alg: undefined, use: undefined, x5t: 'abc' })
  ],
  'listed under two names': key => [publicJwk(key, { kid: 'another' }), publicJwk(key)],
  'one of two keys of one name': key => [publicJwk(createKey(), { kid: key.kid }), publicJwk(key)],
  'one of two keys of one name, the first': key => [publicJwk(key), publicJwk(createKey(), { kid: key.kid })],
  'beside one of its name without usable numbers': key => [publicJwk(key, { n: '!!!' }), publicJwk(key)],
  'beside one of its name that is too short': key => [
    publicJwk(key, { n: generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' }).n }),
    publicJwk(key)
  ]
}

for (const [what, keys] of Object.entries(twice)) {
  t.test(`takes an ID token whose key is ${what}`, async t => {
    const { provider, browser, url } = await loginApp(t)
    provider.wrong = { keySet: { keys: keys(provider.keys[0]!) } }
    t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
  })
}

for (const [place, user] of [[16, 'alice'], [17, null]] as const) {
  t.test(`the ${place}th key of one name ${user === null ? 'is not tried' : 'is still tried'}`, async t => {
    const { provider, browser, url, userOf } = await loginApp(t)
    const [key] = provider.keys
    const others = Array.from({ length: place - 1 }, (_, at) =>
      publicJwk(key!, { n: Buffer.alloc(256, 0x81 + 2 * at).toString('base64url') }))
    provider.wrong = { keySet: { keys: [...others, publicJwk(key!)] } }
    await browser.login(`${url}/login/acme`)
    t.equal(await userOf(browser), user)
  })
}

t.test('takes an ID token without key id where one key is listed twice', async t => {
  const { provider, browser, url } = await loginApp(t)
  const key = provider.keys[0]!
  const keys = [publicJwk(key), publicJwk(key), publicJwk(key, { kid: 'other' })]
  provider.wrong = { header: { kid: undefined }, keySet: { keys } }
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
})

t.test("a third party's signature matches neither of two keys with one key id", t =>
  assertRefused(
    t,
    ({ keys: [key] }) => ({
      signedBy: { ...strangeKey, kid: key!.kid },
      keySet: { keys: [publicJwk(key!), publicJwk(createKey(), { kid: key!.kid })] }
    }),
    'signature'
  )
)

t.test('logins that meet a rotated key at the same moment share one fetch, and all succeed', async t => {
  const app = await loginApp(t)
  const { provider, browser, url } = app
  await browser.login(`${url}/login/acme`)
  provider.rotateKeys()
  const gate = new Gate()
  provider.wrong = { instead: { keys: () => gate.pass() } }
  const pages = await finishTogether(app, gate)
  t.strictSame(pages.map(({ status }) => status), [200, 200, 200])
  t.equal(provider.asked('keys').length, 2)
})

/** A key source over a list of keys, with a clock of the test's. */
function keySource (keys: SigningKey[]) {
  const state = { now: 0, fetches: 0, failing: false, keys, held: undefined as Promise<void> | undefined }
  const source = new KeySource({
    now: () => state.now,
    fetchKeys: async () => {
      state.fetches++
      await state.held
      if (state.failing) throw new Error('down')
      return { keys: state.keys.map(key => publicJwk(key)) } as never
    }
  })
  const find = (key: SigningKey) => source.find({ alg: key.alg, kid: key.kid }, {} as never)
  return Object.assign(state, { find })
}

const [oldKey, newKey, madeUp] = [createKey('ES256'), createKey('ES256'), createKey('ES256')]

t.test('key source: after the pause an unknown key is looked for once more', async t => {
  const keys = keySource([oldKey])
  await keys.find(oldKey)
  await t.rejects(keys.find(madeUp), { code: 'ERR_JWKS_NO_MATCHING_KEY' })
  await t.rejects(keys.find(madeUp), { code: 'ERR_JWKS_NO_MATCHING_KEY' })
  t.equal(keys.fetches, 2)
  keys.now += 31_000
  await t.rejects(keys.find(madeUp), { code: 'ERR_JWKS_NO_MATCHING_KEY' })
  t.equal(keys.fetches, 3)
})

t.test('key source: a caller that asks while the set is being fetched waits for it', async t => {
  const keys = keySource([oldKey])
  await keys.find(oldKey)
  const { promise, resolve } = deferred()
  Object.assign(keys, { keys: [newKey], held: promise })
  const finding = [keys.find(newKey), keys.find(newKey), keys.find(newKey)]
  resolve()
  t.equal((await Promise.allSettled(finding)).filter(({ status }) => status === 'fulfilled').length, 3)
  t.equal(keys.fetches, 2)
})

t.test("key source: a set of an hour's age is fetched anew, so that a withdrawn key ends", async t => {
  const keys = keySource([oldKey])
  await keys.find(oldKey)
  keys.keys = [newKey]
  keys.now += 3_601_000
  await t.rejects(keys.find(oldKey), { code: 'ERR_JWKS_NO_MATCHING_KEY' })
  await keys.find(newKey)
})

t.test('key source: cached keys outlive a key set endpoint that cannot be reached, for a day', async t => {
  const keys = keySource([oldKey])
  await keys.find(oldKey)
  keys.failing = true
  keys.now += 3_601_000
  await keys.find(oldKey)
  await keys.find(oldKey)
  t.equal(keys.fetches, 2, 'a login a pause waits for the endpoint, not each')
  keys.now += 31_000
  await keys.find(oldKey)
  t.equal(keys.fetches, 3)
  await t.rejects(keys.find(newKey), { message: 'down' }, 'a key that is not among them is looked for')
  keys.now += 86_400_000
  await t.rejects(keys.find(oldKey), { message: 'down' })
})

t.test('key source: after an outage of the endpoint a withdrawn key ends', async t => {
  const keys = keySource([oldKey])
  await keys.find(oldKey)
  keys.failing = true
  keys.now += 3_601_000
  await keys.find(oldKey)
  Object.assign(keys, { failing: false, keys: [newKey] })
  keys.now += 31_000
  await t.rejects(keys.find(oldKey), { code: 'ERR_JWKS_NO_MATCHING_KEY' })
  await keys.find(newKey)
})

t.test('key source: a fetch that fails is not kept', async t => {
  const keys = keySource([oldKey])
  keys.failing = true
  await t.rejects(keys.find(oldKey), { message: 'down' })
  keys.failing = false
  await keys.find(oldKey)
})

// oidcc-client-test-kid-absent-single-jwks
t.test('takes an ID token without key id where the provider has a single key', async t => {
  const { browser, url } = await loginApp(t, { wrong: { header: { kid: undefined } } })
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
})

// oidcc-client-test-kid-absent-multiple-jwks
t.test('refuses an ID token without key id where several keys could have signed it', t =>
  assertRefused(
    t,
    provider => {
      provider.keys = [createKey(), ...provider.keys]
      return { header: { kid: undefined } }
    },
    'key'
  )
)

t.test('takes an ID token without key id where one key of several fits its algorithm', async t => {
  const { provider, browser, url } = await loginApp(t)
  provider.keys = [createKey('ES256'), ...provider.keys]
  provider.wrong = { header: { kid: undefined } }
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
})

t.test('a key that is published for encryption verifies nothing', t =>
  assertRefused(t, ({ keys: [key] }) => ({ keySet: { keys: [publicJwk(key!, { use: 'enc' })] } }), 'key')
)

t.test('entries of a key set that are no keys do no harm beside a good one', async t => {
  const { provider, browser, url } = await loginApp(t)
  provider.wrong = { keySet: { keys: [null, 'key', 7, [], {}, publicJwk(provider.keys[0]!)] } }
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
})

t.test('a key set without a key that fits names what failed', t => assertRefused(t, { keySet: { keys: [] } }, 'key'))

t.test('keys of an unknown kind do no harm beside a good one', async t => {
  const { provider, browser, url } = await loginApp(t)
  provider.wrong = {
    keySet: { keys: [{ kty: 'XYZ', kid: 'x' }, { kty: 'oct', kid: 'y', k: 'c2VjcmV0' }, publicJwk(provider.keys[0]!)] }
  }
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
})

for (const header of ['jku', 'x5u'] as const) {
  t.test(
    `a URL in the header ${header} is never asked: it would let a token choose its own key, and reach into the ` +
      'app\'s network',
    async t => {
      const app = await loginApp(t)
      const { provider, browser, url, errors } = app
      const target = `${provider.issuer}/attacker/keys`
      provider.wrong = { signedBy: { ...strangeKey, kid: provider.keys[0]!.kid }, header: { [header]: target } }
      await browser.login(`${url}/login/acme`)
      matchEach(t, errors, [{ code: 'FST_OAUTH_INVALID_ID_TOKEN', reason: 'signature' }])
      t.strictSame(provider.requests.filter(({ path }) => path.startsWith('/attacker')), [])
      await assertLoggedOut(t, app)
    }
  )
}

t.test('an x5c chain in the header replaces no key', t =>
  assertRefused(
    t,
    ({ keys: [key] }) => ({
      signedBy: { ...strangeKey, kid: key!.kid },
      header: {
        x5c: [createPublicKey(strangeKey.privateKey).export({ type: 'spki', format: 'der' }).toString('base64')]
      }
    }),
    'signature'
  )
)

const noKeys: Record<string, [misbehaviour: Misbehaviour, status: number, code: string]> = {
  HTML: [
    { instead: { keys: { headers: { 'content-type': 'text/html' }, body: '<h1>Log in to the Wi-Fi</h1>' } } },
    503,
    'FST_OAUTH_PROVIDER_UNAVAILABLE'
  ],
  'an error': [{ instead: { keys: { status: 500, body: 'down' } } }, 503, 'FST_OAUTH_PROVIDER_UNAVAILABLE'],
  'JSON that is not a key set': [{ keySet: { keys: 'none' } }, 503, 'FST_OAUTH_PROVIDER_UNAVAILABLE'],
  'a redirect': [
    { instead: { keys: { status: 302, headers: { location: '/elsewhere' } } } },
    503,
    'FST_OAUTH_PROVIDER_UNAVAILABLE'
  ],
  'five megabytes': [
    { instead: { keys: { body: JSON.stringify({ keys: [], padding: 'x'.repeat(5 * 1024 * 1024) }) } } },
    502,
    'FST_OAUTH_INVALID_TOKEN_RESPONSE'
  ],
  nothing: [{ instead: { keys: () => 'handled' } }, 503, 'FST_OAUTH_PROVIDER_UNAVAILABLE'],
  'dripping, never at its end': [
    {
      instead: {
        keys: (_request, response) => {
          const drip = setInterval(() => response.write(' '), 50)
          response.once('close', () => clearInterval(drip))
          return 'handled'
        }
      }
    },
    503,
    'FST_OAUTH_PROVIDER_UNAVAILABLE'
  ]
}
const slow = ['nothing', 'dripping, never at its end']

for (const [what, [wrong, status, code]] of Object.entries(noKeys)) {
  t.test(`a key set that is ${what} does not log in, and is not kept`, async t => {
    const app = await loginApp(t, { wrong, provider: { requestTimeout: slow.includes(what) ? 1_000 : 10_000 } })
    const { provider, browser, url } = app
    const page = await browser.login(`${url}/login/acme`, asJson)
    t.equal(page.status, status)
    t.equal(codeOf(page), code)
    await assertLoggedOut(t, app)
    provider.wrong = {}
    t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
  })
}

t.test('a jwks_uri with plain http on another host is not fetched', async t => {
  const app = await loginApp(t, { wrong: { metadata: { jwks_uri: 'http://keys.example/jwks' } } })
  const page = await app.browser.login(`${app.url}/login/acme`, asJson)
  t.equal(codeOf(page), 'FST_OAUTH_INSECURE_TRANSPORT')
  await assertLoggedOut(t, app)
})

// Userinfo

// oidcc-client-test-userinfo-invalid-sub
t.test('userinfo about another user is refused', async t => {
  const app = await loginApp(t, { provider: { scope: 'openid profile' }, wrong: { userinfo: { sub: 'mallory' } } })
  const page = await app.browser.login(`${app.url}/login/acme`, asJson)
  t.equal(page.status, 502)
  matchEach(t, app.errors, [{ code: 'FST_OAUTH_INVALID_RESPONSE', reason: 'subject_mismatch' }])
  await assertLoggedOut(t, app)
})

t.test('userinfo without a sub is refused', async t => {
  const app = await loginApp(t, { provider: { scope: 'openid profile' }, wrong: { userinfo: { sub: undefined } } })
  const page = await app.browser.login(`${app.url}/login/acme`, asJson)
  t.equal(page.status, 502)
  await assertLoggedOut(t, app)
})

// oidcc-client-test-scope-userinfo-claims, oidcc-client-test-userinfo-bearer-header
t.test('claims that the ID token leaves out come from userinfo, asked with the token in the header', async t => {
  const { provider, browser, url } = await loginApp(t, {
    provider: { scope: 'openid profile email' },
    setup: app => { app.get('/me', async request => request.oauth.user) }
  })
  await browser.login(`${url}/login/acme`)
  t.match((await browser.get(`${url}/me`)).json(), { id: 'alice', name: 'Alice Adams', email: 'alice@example.com' })
  const { method, headers, query } = provider.asked('userinfo')[0]!
  t.equal(method, 'GET')
  t.match(headers.authorization, /^Bearer [\w-]+$/)
  t.equal(query.size, 0)
})

for (const [said, verified] of [
  [undefined, undefined],
  [false, false],
  ['false', false],
  [null, false],
  [1, false],
  [true, true],
  ['true', true]
] as const) {
  t.test(
    `an e-mail address whose email_verified is ${JSON.stringify(said) ?? 'missing'} is ` +
      `${verified === true ? '' : 'not '}said to be verified`,
    async t => {
      const { browser, url } = await loginApp(t, {
        provider: { scope: 'openid email' },
        wrong: { userinfo: { email_verified: said } },
        setup: app => { app.get('/me', async request => request.oauth.user) }
      })
      await browser.login(`${url}/login/acme`)
      const { email, emailVerified } = (await browser.get(`${url}/me`)).json<{
        email: string
        emailVerified?: boolean
      }>()
      t.strictSame({ email, emailVerified }, { email: 'alice@example.com', emailVerified: verified })
    }
  )
}

t.test('where userinfo is down the login succeeds, without a name', async t => {
  const { browser, url } = await loginApp(t, {
    provider: { scope: 'openid profile' },
    wrong: { instead: { userinfo: { status: 500 } } }
  })
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
})

for (const [what, userProfile] of Object.entries<(claims: any) => unknown>({
  'fails at the claims': claims => ({ id: claims.sub, email: claims.emails[0].value }),
  'throws an error without a message': () => { throw Object.assign(new Error('x'), { message: undefined }) },
  'returns null': () => null,
  'returns nothing': () => {},
  'returns a text': ({ sub }) => sub
})) {
  t.test(`a userProfile that ${what} is a response that cannot be used, and no 500`, async t => {
    const app = await loginApp(t, { provider: { userProfile: userProfile as never } })
    const page = await app.browser.login(`${app.url}/login/acme`, asJson)
    t.match(page.json(), { statusCode: 502, code: 'FST_OAUTH_INVALID_RESPONSE' })
    matchEach(t, app.errors, [{ reason: 'user_profile', provider: 'acme' }])
    await assertLoggedOut(t, app)
  })
}

t.test('the status of an error of userProfile is the answer\'s', async t => {
  const refuse = () => { throw Object.assign(new Error('not of the staff'), { statusCode: 403 }) }
  const { browser, url } = await loginApp(t, { provider: { userProfile: refuse } })
  t.equal((await browser.login(`${url}/login/acme`, asJson)).status, 403)
})

t.test('where userProfile cannot read userinfo the login succeeds, without a name', async t => {
  const userProfile = (claims: Record<string, unknown>) => {
    if (claims.name !== undefined) throw new Error('a name of an odd shape')
    return { id: String(claims.sub) }
  }
  const { browser, url, provider } = await loginApp(t, { provider: { scope: 'openid profile', userProfile } })
  t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
  t.equal(provider.asked('userinfo').length, 1)
})

for (const [what, reply] of Object.entries({
  'an error': { status: 500, body: 'down' },
  HTML: { headers: { 'content-type': 'text/html' }, body: '<h1>Hello</h1>' },
  'a list': { body: ['alice'] },
  'the JSON null': { headers: { 'content-type': 'application/json' }, body: 'null' },
  'a user without id': { body: { name: 'Alice' } },
  'a user whose id is an object': { body: { sub: { toString: 'alice' } } }
})) {
  t.test(`a plain OAuth 2 login is refused where userinfo is ${what}: the login would have no user`, async t => {
    const app = await loginApp(t, {
      providers: ({ staticOptions }) => ({ acme: staticOptions }),
      wrong: { instead: { userinfo: reply } }
    })
    const page = await app.browser.login(`${app.url}/login/acme`, asJson)
    const expected = 'status' in reply ? [503, 'FST_OAUTH_PROVIDER_UNAVAILABLE'] : [502, 'FST_OAUTH_INVALID_RESPONSE']
    t.strictSame([page.status, codeOf(page)], expected)
    await assertLoggedOut(t, app)
  })
}

// Refresh

const refreshRoute: LoginAppOptions['setup'] = app => {
  app.get('/refresh', async ({ oauth }) => {
    const before = await oauth.tokens()
    const after = await oauth.refresh()
    return {
      renewed: after.accessToken !== before.accessToken && after.refreshToken !== before.refreshToken,
      idToken: after.idToken === before.idToken ? 'old' : 'new'
    }
  })
}

t.test(
  'refreshParams are sent with each refresh: the token keeps the resource it was requested for',
  async t => {
    const resource = ['https://api.example/', 'https://files.example/']
    const params = { authorizationParams: { resource }, tokenParams: { resource }, refreshParams: { resource } }
    const { provider, browser, url } = await loginApp(t, { setup: refreshRoute, provider: params })
    await browser.login(`${url}/login/acme`)
    for (let refresh = 0; refresh < 2; refresh++) await browser.get(`${url}/refresh`)
    t.strictSame(provider.asked('authorization').map(({ query }) => query.getAll('resource')), [resource])
    t.strictSame(provider.asked('token').map(({ form }) => form.getAll('resource')), [resource, resource, resource])
  }
)

const dropped: Record<string, Wrong> = {
  'for another client': { claims: { aud: 'another-client' } },
  'that has expired': { claims: { exp: now() - 3600 } },
  'without a signature': { signedBy: 'none' },
  'about another user, signed by a third party': ({ keys: [key] }) => ({
    claims: { sub: 'mallory' },
    signedBy: { ...strangeKey, kid: key!.kid }
  }),
  'whose at_hash is that of another access token': { claims: { at_hash: 'a'.repeat(22) } },
  'that is no JWT': { idToken: () => 'not a token' },
  'whose keys cannot be had': provider => {
    provider.rotateKeys()
    return { instead: { keys: { status: 503 } } }
  }
}

for (const [what, wrong] of Object.entries(dropped)) {
  t.test(
    `a refreshed ID token ${what} is dropped; the rotated tokens and the login are kept`,
    async t => {
      const { provider, browser, url, userOf } = await loginApp(t, { setup: refreshRoute })
      await browser.login(`${url}/login/acme`)
      provider.wrong = typeof wrong === 'function' ? wrong(provider) : wrong
      t.strictSame((await browser.get(`${url}/refresh`)).json(), { renewed: true, idToken: 'old' })
      provider.wrong = {}
      t.strictSame(
        (await browser.get(`${url}/refresh`)).json(),
        { renewed: true, idToken: 'new' },
        'and the next refresh goes on from them'
      )
      t.equal(await userOf(browser), 'alice')
    }
  )
}

// oidcc-client-test-refresh-token-invalid-issuer, oidcc-client-test-refresh-token-invalid-sub
for (const [what, claims] of Object.entries({
  'of another issuer': { iss: 'https://issuer.example' },
  'about another user': { sub: 'mallory' }
})) {
  t.test(`a refreshed ID token ${what} ends the login, and none of its tokens is used`, async t => {
    const app = await loginApp(t, { setup: refreshRoute })
    const { provider, browser, url } = app
    await browser.login(`${url}/login/acme`)
    provider.wrong = { claims }
    const page = await browser.get(`${url}/refresh`, asJson)
    t.equal(page.status, 401)
    t.equal(codeOf(page), 'FST_OAUTH_LOGIN_ENDED')
    await assertLoggedOut(t, app)
  })
}

t.test(
  'a refreshed ID token of another issuer that the options accept as well ends the login: the same subject there ' +
    'is another user',
  async t => {
    const app = await loginApp(t, { ...manyIssuers, setup: refreshRoute, wrong: { claims: { iss: tenant('one') } } })
    const { provider, browser, url } = app
    await browser.login(`${url}/login/acme`)
    t.strictSame((await browser.get(`${url}/refresh`)).json(), { renewed: true, idToken: 'new' })
    provider.wrong = { claims: { iss: tenant('two') } }
    t.equal(codeOf(await browser.get(`${url}/refresh`, asJson)), 'FST_OAUTH_LOGIN_ENDED')
    await assertLoggedOut(t, app)
  }
)
