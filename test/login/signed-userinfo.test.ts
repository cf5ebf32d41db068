import t, { type Test } from 'tap'
import { asJson, codeOf, loginApp, type LoginApp, type LoginAppOptions } from '../helpers/login-app.ts'
import { matchEach } from '../helpers/match-each.ts'
import type { Misbehaviour, MisbehavingProvider } from '../helpers/misbehaving-provider.ts'
import { createKey } from '../helpers/signing-keys.ts'

// Userinfo that is a signed JWT (OpenID Connect Core, sections 5.3.2 and 5.3.4).

const now = () => Math.floor(Date.now() / 1000)
const strangeKey = createKey()

interface Signed {
  claims?: Record<string, unknown>
  signedBy?: Misbehaviour['signedBy']
  header?: Record<string, unknown>
  contentType?: string
  jwt?: (jwt: string) => string
}

const same = (jwt: string) => jwt
const changed = (jwt: string) => jwt.replace(/\.[^.]*\./, `.${Buffer.from('{"sub":"alice"}').toString('base64url')}.`)

/** Logs in at a provider that signs its userinfo. */
async function signedLogin (t: Test, signed: (provider: MisbehavingProvider) => Signed, options: LoginAppOptions = {}) {
  const app = await loginApp(t, {
    provider: { scope: ['openid', 'profile', 'email'], profileSource: 'userinfo' },
    setup: (app) => { app.get('/user', async (request) => request.oauth.user) },
    ...options
  })
  const { provider } = app
  provider.wrong = {
    ...provider.wrong,
    instead: {
      userinfo: () => {
        const { claims, signedBy, header, contentType = 'application/jwt', jwt = same } = signed(provider)
        const before = provider.wrong
        provider.wrong = { ...(signedBy !== undefined && { signedBy }), ...(header !== undefined && { header }) }
        const { issuer: iss, clientId: aud, subject: sub } = provider
        const own = { iss, aud, sub, name: 'Signed Name', email: 'a@b.example' }
        const body = provider.signJwt({ ...own, ...claims })
        provider.wrong = before
        return { headers: { 'content-type': contentType }, body: jwt(body) }
      }
    }
  }
  return { ...app, page: await app.browser.login(`${app.url}/login/acme`, asJson) }
}

const userOf = async ({ browser, url }: LoginApp) => (await browser.get(`${url}/user`)).json()

for (const contentType of ['application/jwt', 'application/jwt;charset=utf-8', 'text/plain', 'application/json']) {
  t.test(`userinfo that is signed, called ${contentType}, is taken after it was verified`, async (t) => {
    const app = await signedLogin(t, () => ({ contentType }))
    t.match(await userOf(app), { id: 'alice', name: 'Signed Name', email: 'a@b.example' })
  })
}

for (const [what, claims] of Object.entries<Record<string, unknown>>({
  'a list of audiences': { aud: ['another', 'this client'] },
  'times that are good': { iat: now(), exp: now() + 60, nbf: now() - 60 },
  'claims of the authentication': { auth_time: now(), acr: '1', amr: ['pwd'], sid: 'a', jti: 'b', nonce: null }
})) {
  t.test(`userinfo that is signed may have ${what}`, async (t) => {
    const app = await signedLogin(t, ({ clientId }) => ({
      claims: { ...claims, ...(Array.isArray(claims.aud) && { aud: ['another', clientId] }) }
    }))
    t.match(await userOf(app), { name: 'Signed Name' })
  })
}

const refused: Record<string, [signed: (provider: MisbehavingProvider) => Signed, reason: string]> = {
  'by an unknown key under the provider\'s key id':
    [({ keys: [key] }) => ({ signedBy: { ...strangeKey, kid: key!.kid } }), 'signature'],
  'by a key that is not published': [() => ({ signedBy: strangeKey }), 'key'],
  'not at all': [() => ({ signedBy: 'none' }), 'alg'],
  'with the client secret': [({ clientSecret }) => ({ signedBy: { hmac: clientSecret } }), 'alg'],
  'for another client': [() => ({ claims: { aud: 'another' } }), 'aud'],
  'for no client': [() => ({ claims: { aud: undefined } }), 'aud'],
  'by another issuer': [() => ({ claims: { iss: 'https://issuer.example' } }), 'iss'],
  'by no issuer': [() => ({ claims: { iss: undefined } }), 'iss'],
  'about another user': [() => ({ claims: { sub: 'mallory' } }), 'subject_mismatch'],
  'without a subject': [() => ({ claims: { sub: undefined } }), 'sub'],
  'and expired': [() => ({ claims: { exp: now() - 3600 } }), 'exp'],
  'and an ID token of the same login, by its nonce': [() => ({ claims: { nonce: 'n-0S6_WzA2Mj' } }), 'nonce'],
  'and an ID token of the same login, by its at_hash': [() => ({ claims: { at_hash: 'a'.repeat(22) } }), 'at_hash'],
  'and an ID token of the same login, by its c_hash': [() => ({ claims: { c_hash: 'a'.repeat(22) } }), 'c_hash'],
  'and an access token (RFC 9068)': [() => ({ header: { typ: 'at+jwt' } }), 'typ'],
  'and a logout token': [() => ({ header: { typ: 'application/logout+jwt' } }), 'typ'],
  'and changed': [() => ({ jwt: changed }), 'signature'],
  'and encrypted': [() => ({ jwt: () => 'eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.a.b.c.d' }), 'encrypted']
}

for (const [what, [signed, reason]] of Object.entries(refused)) {
  t.test(`userinfo that is signed ${what} is refused`, async (t) => {
    const { page, errors } = await signedLogin(t, signed)
    t.equal(codeOf(page), 'FST_OAUTH_INVALID_RESPONSE')
    matchEach(t, errors, [{ code: 'FST_OAUTH_INVALID_RESPONSE', provider: 'acme', reason }])
  })
}

t.test('userinfo that is signed, of a provider whose issuer is not known, is not believed', async (t) => {
  const { errors, page } = await signedLogin(t, () => ({}), {
    providers: ({ staticOptions }) => ({ acme: { ...staticOptions, profileSource: 'userinfo' } })
  })
  t.equal(codeOf(page), 'FST_OAUTH_INVALID_RESPONSE')
  matchEach(t, errors, [{ message: /write `issuer`/ }])
})
