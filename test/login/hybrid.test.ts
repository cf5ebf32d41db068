import t, { type Test } from 'tap'
import { firstForm } from '../helpers/html.ts'
import {
  asJson, assertLoggedOut, codeOf, loginApp, type LoginApp, type LoginAppOptions, loginCookies, pendingLogins
} from '../helpers/login-app.ts'
import { matchEach } from '../helpers/match-each.ts'
import type { Misbehaviour, MisbehavingProvider } from '../helpers/misbehaving-provider.ts'
import { createKey } from '../helpers/signing-keys.ts'

// The hybrid flow `code id_token` (OpenID Connect Core, section 3.3): the ID token that the browser brings is checked
// before the code is exchanged, and the second one has to be of the same user.

const strangeKey = createKey()

type Wrong = Misbehaviour | ((provider: MisbehavingProvider) => Misbehaviour)

const hybrid: LoginAppOptions = { host: 'localhost', provider: { responseType: 'code id_token' } }

async function start (t: Test, wrong: Wrong = {}, options = hybrid): Promise<LoginApp> {
  const app = await loginApp(t, options)
  app.provider.wrong = typeof wrong === 'function' ? wrong(app.provider) : wrong
  return app
}

const frontChannel: Record<string, [wrong: Wrong, reason: string]> = {
  'without c_hash': [{ frontChannel: { c_hash: undefined } }, 'c_hash'],
  'with the c_hash of another code': [{ frontChannel: { c_hash: 'a'.repeat(22) } }, 'c_hash'],
  'whose c_hash is no string': [{ frontChannel: { c_hash: 1 } }, 'c_hash'],
  'beside another code than its own': [{ callback: params => params.set('code', 'of-an-attacker') }, 'c_hash'],
  'with the s_hash of another state': [{ frontChannel: { s_hash: 'a'.repeat(22) } }, 's_hash'],
  'with the nonce of another login': [{ frontChannel: { nonce: 'n'.repeat(43) } }, 'nonce'],
  'without nonce': [{ frontChannel: { nonce: undefined } }, 'nonce'],
  'of another issuer': [{ frontChannel: { iss: 'https://evil.example' } }, 'iss'],
  'for another client': [{ frontChannel: { aud: 'another-client' } }, 'aud'],
  'that has expired': [{ frontChannel: { exp: 1 } }, 'exp'],
  'without subject': [{ frontChannel: { sub: undefined } }, 'sub'],
  'with alg none': [{ signedBy: 'none' }, 'alg'],
  'signed by a third party': [({ keys: [key] }) => ({ signedBy: { ...strangeKey, kid: key!.kid } }), 'signature'],
  'that is missing': [{ callback: params => params.delete('id_token') }, 'missing'],
  'that is empty': [{ callback: params => params.set('id_token', '') }, 'missing']
}

for (const [name, [wrong, reason]] of Object.entries(frontChannel)) {
  t.test(`hybrid: an ID token from the browser ${name} is refused, and the code is not exchanged`, async t => {
    const app = await start(t, wrong)
    const form = await app.browser.get(`${app.url}/login/acme`)
    const page = await app.browser.submitForm(form, {}, asJson)
    t.equal(codeOf(page), 'FST_OAUTH_INVALID_ID_TOKEN')
    matchEach(t, app.errors, [{ code: 'FST_OAUTH_INVALID_ID_TOKEN', provider: 'acme', reason }])
    t.equal(app.provider.asked('token').length, 0)
    t.strictSame(pendingLogins(app.store), [])
    t.strictSame(loginCookies(app.browser), [])
    await assertLoggedOut(t, app)
  })
}

t.test('hybrid: an ID token from the browser that is there twice is refused', async t => {
  const app = await start(t)
  const page = await app.browser.get(`${app.url}/login/acme`)
  const { action, fields } = firstForm(page.text)!
  const form = new URLSearchParams([...Object.entries(fields), ['id_token', fields.id_token!]])
  t.equal(codeOf(await app.browser.post(action, { form, ...asJson })), 'FST_OAUTH_INVALID_ID_TOKEN')
  matchEach(t, app.errors, [{ reason: 'missing' }])
  t.equal(app.provider.asked('token').length, 0)
})

const second: Record<string, [claims: Record<string, unknown>, reason: string]> = {
  'of another user': [{ sub: 'mallory' }, 'subject_changed'],
  'of another issuer': [{ iss: 'https://evil.example' }, 'iss'],
  'with another nonce': [{ nonce: 'n'.repeat(43) }, 'nonce'],
  'whose at_hash is of another access token': [{ at_hash: 'a'.repeat(22) }, 'at_hash']
}

for (const [name, [claims, reason]] of Object.entries(second)) {
  t.test(`hybrid: a second ID token ${name} is refused`, async t => {
    const app = await start(t, { claims })
    const page = await app.browser.login(`${app.url}/login/acme`, asJson)
    t.equal(codeOf(page), 'FST_OAUTH_INVALID_ID_TOKEN')
    matchEach(t, app.errors, [{ reason }])
    t.equal(app.provider.asked('token').length, 1)
    await assertLoggedOut(t, app)
  })
}

t.test('hybrid: a second ID token that is missing is refused', async t => {
  const app = await start(t, { tokens: { id_token: undefined } })
  const page = await app.browser.login(`${app.url}/login/acme`, asJson)
  t.equal(codeOf(page), 'FST_OAUTH_INVALID_ID_TOKEN')
  matchEach(t, app.errors, [{ reason: 'missing' }])
  await assertLoggedOut(t, app)
})

t.test('hybrid: an ID token from the browser need not have an s_hash', async t => {
  const app = await start(t, { frontChannel: { s_hash: undefined } })
  t.strictSame((await app.browser.login(`${app.url}/login/acme`)).json(), { user: 'alice' })
})

t.test('hybrid: the response may leave out a promised iss, which the ID token has; a wrong one is refused', async t => {
  const metadata = { authorization_response_iss_parameter_supported: true }
  const app = await start(t, { metadata })
  t.strictSame((await app.browser.login(`${app.url}/login/acme`)).json(), { user: 'alice' })
  app.provider.wrong = { metadata, callback: params => params.set('iss', 'https://evil.example') }
  await app.browser.login(`${app.url}/login/acme`, asJson)
  matchEach(t, app.errors, [{ reason: 'issuer_mismatch' }])
})

t.test('hybrid: an error needs no ID token', async t => {
  const app = await start(t, {
    callback: params => {
      params.delete('code')
      params.delete('id_token')
      params.set('error', 'access_denied')
    }
  })
  const form = await app.browser.get(`${app.url}/login/acme`)
  t.equal((await app.browser.submitForm(form, {}, asJson)).status, 403)
})

t.test('hybrid: with responseMode form_post.jwt all of it is inside the JWT', async t => {
  const app = await start(t, { outside: params => params.set('code', 'of-an-attacker') }, {
    host: 'localhost', provider: { responseType: 'code id_token', responseMode: 'form_post.jwt' }
  })
  t.strictSame((await app.browser.login(`${app.url}/login/acme`)).json(), { user: 'alice' })
})

t.test('hybrid: the cookie of a login over https is SameSite=None, Secure and __Host-', async t => {
  const { app } = await loginApp(t, { ...hybrid, oauth: { baseUrl: 'https://app.example' } })
  const { headers } = await app.inject('/login/acme')
  t.match(headers['set-cookie'], /^__Host-oauth-[\w-]{22}=.*Path=\/.*HttpOnly.*Secure.*SameSite=None/)
  t.match(headers.location, /[?&]response_type=code\+id_token&.*response_mode=form_post(&|$)/)
})

t.test('hybrid: a login whose scope has no openid is refused', async t => {
  const { browser, url } = await loginApp(t, {
    ...hybrid,
    setup: app => { app.get('/narrow', async ({ oauth }, reply) => await oauth.login(reply, { scope: ['orders'] })) }
  })
  const page = await browser.get(`${url}/narrow`, asJson)
  t.equal(codeOf(page), 'FST_OAUTH_INVALID_OPTIONS')
  t.match(page.text, /keep \\"openid\\" in its scope/)
})

t.test('a baseUrl that turns out to be http refuses a posted response at the first login', async t => {
  const { app, errors } = await loginApp(t, { ...hybrid, oauth: { baseUrl: () => 'http://app.example' } })
  const { statusCode } = await app.inject('/login/acme')
  t.equal(statusCode, 500)
  matchEach(t, errors, [{ code: 'FST_OAUTH_INVALID_OPTIONS', reason: 'configuration', message: /https/ }])
})
