import t, { type Test } from 'tap'
import { Browser } from '../helpers/browser.ts'
import { captureLog } from '../helpers/log.ts'
import {
  asJson, assertLoggedOut, callbackUrl, codeOf, loginApp, type LoginApp, type LoginAppOptions, loginCookies,
  pendingLogins, withQuery
} from '../helpers/login-app.ts'
import { matchEach } from '../helpers/match-each.ts'
import type { Misbehaviour, MisbehavingProvider } from '../helpers/misbehaving-provider.ts'
import { createKey, publicJwk } from '../helpers/signing-keys.ts'

// Authorization responses that are JWTs (JWT Secured Authorization Response Mode, section 2.4), wrong in one point.

const now = () => Math.floor(Date.now() / 1000)
const strangeKey = createKey()

type Wrong = Misbehaviour | ((provider: MisbehavingProvider) => Misbehaviour)

const secured: LoginAppOptions = { provider: { responseMode: 'query.jwt' } }

async function start (t: Test, wrong: Wrong = {}, options = secured): Promise<LoginApp> {
  const app = await loginApp(t, options)
  app.provider.wrong = typeof wrong === 'function' ? wrong(app.provider) : wrong
  return app
}

/** Asserts that a callback is refused, that its login is used up, and that no code was exchanged. */
async function assertRefused (
  t: Test, app: LoginApp, page: Awaited<ReturnType<Browser['get']>>, code: string, reason: string | undefined
): Promise<void> {
  t.equal(page.status, 400)
  t.equal(codeOf(page), code)
  matchEach(t, app.errors, [{ code, provider: 'acme', ...(reason !== undefined && { reason }) }])
  t.equal(app.provider.asked('token').length, 0)
  await assertLoggedOut(t, app)
}

const refusals: Record<string, [wrong: Wrong, reason: string]> = {
  'alg none': [{ signedBy: 'none' }, 'alg'],
  'alg none, of a provider that announces it': [
    { signedBy: 'none', metadata: { authorization_signing_alg_values_supported: ['none'] } },
    'alg'
  ],
  'HS256 with the client secret': [({ clientSecret }) => ({ signedBy: { hmac: clientSecret } }), 'alg'],
  'HS256 with the public key': [
    ({ keys: [key] }) => ({ signedBy: { hmac: key!.publicKey.export({ type: 'spki', format: 'pem' }) } }),
    'alg'
  ],
  'an algorithm that the provider does not announce': [
    { metadata: { authorization_signing_alg_values_supported: ['ES256'] } },
    'alg'
  ],
  'a bad signature': [({ keys: [key] }) => ({ signedBy: { ...strangeKey, kid: key!.kid } }), 'signature'],
  'an unknown kid': [{ signedBy: strangeKey }, 'key'],
  'a key of its own (jwk)': [
    ({ keys: [key] }) => ({
      signedBy: { ...strangeKey, kid: key!.kid }, header: { jwk: publicJwk(strangeKey), jku: 'https://evil.example/' }
    }),
    'signature'
  ],
  'a wrong iss': [{ response: { iss: 'https://evil.example' } }, 'iss'],
  'no iss': [{ response: { iss: undefined } }, 'iss'],
  'a wrong aud': [{ response: { aud: 'another-client' } }, 'aud'],
  'no aud': [{ response: { aud: undefined } }, 'aud'],
  'an exp in the past': [{ response: { exp: now() - 3600 } }, 'exp'],
  'no exp': [{ response: { exp: undefined } }, 'exp'],
  'an exp that is text': [{ response: { exp: String(now() + 300) } }, 'exp'],
  'no code': [{ response: { code: undefined } }, 'missing_code'],
  'a code that is a list': [{ response: { code: ['a', 'b'] } }, 'missing_code']
}

for (const [name, [wrong, reason]] of Object.entries(refusals)) {
  t.test(`JARM: a response with ${name} is refused, and its login is used up`, async t => {
    const app = await start(t, wrong)
    const page = await app.browser.login(`${app.url}/login/acme`, asJson)
    t.strictSame(pendingLogins(app.store), [])
    t.strictSame(loginCookies(app.browser), [])
    await assertRefused(t, app, page, 'FST_OAUTH_AUTHORIZATION_FAILED', reason)
  })
}

t.test('JARM: parameters beside the response do not count', async t => {
  const app = await start(t, {
    outside: params => {
      params.set('code', 'of-an-attacker')
      params.set('state', 'of-an-attacker')
      params.set('iss', 'https://evil.example')
      params.set('error', 'access_denied')
    }
  })
  t.strictSame((await app.browser.login(`${app.url}/login/acme`)).json(), { user: 'alice' })
  t.not(app.provider.asked('token')[0]?.form.get('code'), 'of-an-attacker')
})

t.test('JARM: a response that is no JWT is refused, and its login is used up', async t => {
  const app = await start(t)
  // The provider sends what it would send to a client that has not asked for a JWT.
  const callback = await callbackUrl(app.browser, `${app.url}/login/acme`)
  const state = app.provider.asked('authorization')[0]!.query.get('state')!
  const plain = new URL(callback)
  plain.search = new URLSearchParams({ code: 'zz', state, iss: app.provider.issuer }).toString()
  const page = await app.browser.get(plain.href, asJson)
  t.strictSame(pendingLogins(app.store), [])
  await assertRefused(t, app, page, 'FST_OAUTH_AUTHORIZATION_FAILED', 'missing_response')
})

t.test('JARM: an error outside of the JWT is not believed', async t => {
  const app = await start(t)
  await callbackUrl(app.browser, `${app.url}/login/acme`)
  const state = app.provider.asked('authorization')[0]!.query.get('state')!
  const query = new URLSearchParams({ error: 'access_denied', state })
  const page = await app.browser.get(`${app.url}/login/acme/callback?${query}`, asJson)
  await assertRefused(t, app, page, 'FST_OAUTH_AUTHORIZATION_FAILED', 'missing_response')
  t.notOk('oauthError' in app.errors[0]!)
})

t.test('JARM: an error inside of the JWT is the answer', async t => {
  const app = await start(t, {
    callback: params => {
      params.delete('code')
      params.set('error', 'access_denied')
      params.set('error_description', 'the user said no')
    }
  })
  const page = await app.browser.login(`${app.url}/login/acme`, asJson)
  t.equal(page.status, 403)
  matchEach(t, app.errors, [{ oauthError: 'access_denied', oauthErrorDescription: 'the user said no' }])
})

for (const [name, change, reason] of [
  ['several responses', (query: URLSearchParams) => query.append('response', 'another'), 'missing_state'],
  ['an empty response', (query: URLSearchParams) => query.set('response', ''), 'missing_state']
] as const) {
  t.test(`JARM: ${name} are refused`, async t => {
    const app = await start(t)
    const callback = withQuery(await callbackUrl(app.browser, `${app.url}/login/acme`), change)
    await assertRefused(t, app, await app.browser.get(callback, asJson), 'FST_OAUTH_STATE_MISMATCH', reason)
  })
}

for (const [name, response, reason] of [
  ['no JWT', 'zz', 'malformed'],
  ['an encrypted JWT that nothing can decrypt', 'a.b.c.d.e', 'encrypted'],
  ['a JWT whose payload is a list', `e30.${Buffer.from('[]').toString('base64url')}.zz`, 'malformed'],
  ['a JWT of 8 KB that says nothing', `e30.${'e30'.repeat(2700)}.zz`, 'malformed']
] as const) {
  t.test(`JARM: ${name} is a 400, not a 500`, async t => {
    const app = await start(t)
    const callback = withQuery(await callbackUrl(app.browser, `${app.url}/login/acme`), query => {
      query.set('response', response)
    })
    const page = await app.browser.get(callback, asJson)
    await assertRefused(t, app, page, 'FST_OAUTH_AUTHORIZATION_FAILED', reason)
  })
}

t.test('JARM: a response with the state of another browser is refused before its signature is looked at', async t => {
  const app = await start(t)
  const callback = await callbackUrl(new Browser(), `${app.url}/login/acme`)
  await assertRefused(t, app, await app.browser.get(callback, asJson), 'FST_OAUTH_STATE_MISMATCH', 'other_browser')
  t.equal(app.provider.asked('keys').length, 0)
})

t.test('JARM: a response that is replayed after its login is refused', async t => {
  const app = await start(t)
  const callback = await callbackUrl(app.browser, `${app.url}/login/acme`)
  const cookies = app.browser.copy()
  t.strictSame((await app.browser.get(callback)).json(), { user: 'alice' })
  const again = await cookies.get(callback, asJson)
  t.equal(codeOf(again), 'FST_OAUTH_STATE_MISMATCH')
  matchEach(t, app.errors, [{ reason: 'unknown_or_used' }])
})

t.test('JARM: a callback that is loaded once more leads to where its login led', async t => {
  const app = await start(t)
  const callback = await callbackUrl(app.browser, `${app.url}/login/acme?returnTo=/%3Fhello`)
  await app.browser.get(callback)
  t.equal((await app.browser.get(callback)).url, `${app.url}/?hello`)
})

t.test('JARM: a response that a login without responseMode brings is not looked at', async t => {
  const app = await loginApp(t, { wrong: { outside: params => params.set('response', 'zz') } })
  t.strictSame((await app.browser.login(`${app.url}/login/acme`)).json(), { user: 'alice' })
})

t.test('JARM: the log of a refused response holds nothing of it', async t => {
  const log = captureLog()
  const app = await start(t, { response: { aud: 'another-client' } }, { ...secured, fastify: { logger: log.logger } })
  await app.browser.login(`${app.url}/login/acme`, asJson)
  t.equal(log.lines.filter(({ event }) => event === 'login_failed').length, 1)
  t.ok(app.provider.secrets.length > 1)
  t.strictSame(log.leaked(app.provider.secrets), [])
})
