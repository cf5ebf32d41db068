import t, { type Test } from 'tap'
import { asJson, assertLoggedOut, codeOf, loginApp, type LoginApp, type LoginAppOptions } from '../helpers/login-app.ts'
import { matchEach } from '../helpers/match-each.ts'
import type { Misbehaviour, MisbehavingProvider } from '../helpers/misbehaving-provider.ts'
import { createKey, publicJwk } from '../helpers/signing-keys.ts'

// What is wrong with an ID token, one point a test, under the names that auditors have for them. id-token.test.ts has
// the variants, and what is taken all the same.

const now = () => Math.floor(Date.now() / 1000)
const strangeKey = createKey()

type Wrong = Misbehaviour | ((provider: MisbehavingProvider) => Misbehaviour)
interface Line {
  wrong: Wrong
  /** Reason of the error; null where the login succeeds. */
  reason: string | null
  code?: string
  options?: LoginAppOptions
  /** What else has to be so. */
  also?: (t: Test, app: LoginApp) => Promise<unknown>
}

const claims = (changes: Record<string, unknown>, reason: string): Line => ({ wrong: { claims: changes }, reason })
/** A third party's signature under the provider's key id, with a key of its own in the header. */
const ownKey = (header: (issuer: string) => Record<string, unknown>): Line => ({
  wrong: ({ keys: [key], issuer }) => ({ signedBy: { ...strangeKey, kid: key!.kid }, header: header(issuer) }),
  reason: 'signature',
  also: async (t, { provider }) => {
    t.strictSame(provider.requests.filter(({ path }) => path === '/attacker'), [], 'the URL was not asked')
  }
})

const lines: Record<string, Line> = {
  'alg none': { wrong: { signedBy: 'none' }, reason: 'alg' },
  'HS256 with the public key': {
    wrong: ({ keys: [key] }) => ({
      signedBy: { hmac: key!.publicKey.export({ type: 'spki', format: 'pem' }) }, header: { kid: key!.kid }
    }),
    reason: 'alg'
  },
  'unexpected alg': {
    wrong: provider => {
      const es256 = createKey('ES256')
      provider.keys = [es256, ...provider.keys]
      return { signedBy: es256, metadata: { id_token_signing_alg_values_supported: ['RS256'] } }
    },
    reason: 'alg'
  },
  'bad signature': { wrong: { idToken: jwt => jwt.replace(/[^.]{10}$/, 'AAAAAAAAAA') }, reason: 'signature' },
  iss: claims({ iss: 'https://evil.example' }, 'iss'),
  'aud wrong': claims({ aud: 'another-client' }, 'aud'),
  'aud missing': claims({ aud: undefined }, 'aud'),
  'several aud without azp': {
    wrong: ({ clientId }) => ({ claims: { aud: [clientId, 'another-client'] } }), reason: 'azp'
  },
  'azp wrong': claims({ azp: 'another-client' }, 'azp'),
  'exp missing': claims({ exp: undefined }, 'exp'),
  'exp past': claims({ exp: now() - 3_600 }, 'exp'),
  'iat missing': claims({ iat: undefined }, 'iat'),
  'iat future': claims({ iat: now() + 3_600 }, 'iat'),
  'nonce wrong': claims({ nonce: 'n'.repeat(43) }, 'nonce'),
  'nonce missing': claims({ nonce: undefined }, 'nonce'),
  at_hash: claims({ at_hash: 'a'.repeat(22) }, 'at_hash'),
  'sub missing': claims({ sub: undefined }, 'sub'),
  'auth_time older than max_age': {
    ...claims({ auth_time: now() - 3_600 }, 'auth_time'),
    options: { provider: { authorizationParams: { max_age: 60 } } }
  },
  'no kid and several keys': {
    wrong: provider => {
      provider.keys = [createKey(), ...provider.keys]
      return { header: { kid: undefined } }
    },
    reason: 'key'
  },
  'jku header': ownKey(issuer => ({ jku: `${issuer}/attacker` })),
  'x5u header': ownKey(issuer => ({ x5u: `${issuer}/attacker` })),
  'jwk header': ownKey(() => ({ jwk: publicJwk(strangeKey) })),
  'JWKS huge': {
    wrong: { instead: { keys: { body: JSON.stringify({ keys: [], padding: 'x'.repeat(5 * 1024 * 1024) }) } } },
    reason: 'too_large',
    code: 'FST_OAUTH_INVALID_TOKEN_RESPONSE'
  },
  'JWKS slow': {
    wrong: { instead: { keys: () => 'handled' } },
    reason: 'no_answer',
    code: 'FST_OAUTH_PROVIDER_UNAVAILABLE',
    options: { provider: { requestTimeout: 500 } }
  },
  'userinfo sub differs': {
    wrong: { userinfo: { sub: 'mallory' } },
    reason: 'subject_mismatch',
    code: 'FST_OAUTH_INVALID_RESPONSE',
    options: { provider: { scope: 'openid profile' } }
  },
  'key rotated mid-login': {
    wrong: provider => ({ instead: { token: () => { provider.rotateKeys() } } }), reason: null
  }
}

for (const [name, { wrong, reason, code = 'FST_OAUTH_INVALID_ID_TOKEN', options, also }] of Object.entries(lines)) {
  t.test(`ID token: ${name}`, async t => {
    const app = await loginApp(t, options)
    // The keys are known before one is rotated.
    if (name === 'key rotated mid-login') await app.browser.login(`${app.url}/login/acme`)
    app.provider.wrong = typeof wrong === 'function' ? wrong(app.provider) : wrong
    const page = await app.browser.login(`${app.url}/login/acme`, asJson)
    if (reason === null) return t.strictSame(page.json(), { user: 'alice' })
    t.equal(codeOf(page), code)
    matchEach(t, app.errors, [{ code, provider: 'acme', reason }])
    await assertLoggedOut(t, app)
    await also?.(t, app)
  })
}

t.test('ID token: unknown kid: one refetch, then a pause', async t => {
  const { provider, browser, url, errors } = await loginApp(t)
  await browser.login(`${url}/login/acme`)
  provider.wrong = { signedBy: strangeKey }
  for (let login = 0; login < 3; login++) await browser.login(`${url}/login/acme`, asJson)
  t.strictSame(errors.map(({ reason }) => reason), ['key', 'key', 'key'])
  t.equal(provider.asked('keys').length, 2)
})

for (const [name, changes] of Object.entries({ sub: { sub: 'mallory' }, iss: { iss: 'https://evil.example' } })) {
  t.test(`ID token: refreshed ID token with another ${name}`, async t => {
    const app = await loginApp(t, { setup: app => { app.get('/refresh', async ({ oauth }) => await oauth.refresh()) } })
    await app.browser.login(`${app.url}/login/acme`)
    app.provider.wrong = { claims: changes }
    t.equal(codeOf(await app.browser.get(`${app.url}/refresh`, asJson)), 'FST_OAUTH_LOGIN_ENDED')
    await assertLoggedOut(t, app)
  })
}
