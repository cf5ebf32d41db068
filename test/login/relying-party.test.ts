import t, { type Test } from 'tap'
import { Browser } from '../helpers/browser.ts'
import { asJson, assertLoggedOut, codeOf, loginApp, type LoginApp, type LoginAppOptions } from '../helpers/login-app.ts'
import { postLogoutToken } from '../helpers/logout-token.ts'
import { matchEach } from '../helpers/match-each.ts'
import type { Misbehaviour, MisbehavingProvider } from '../helpers/misbehaving-provider.ts'
import { createKey } from '../helpers/signing-keys.ts'

// The modules of the OpenID Foundation's relying-party test plans, by name, each as a whole login (refresh, logout) at
// a provider that does what the module's does.

type Wrong = Misbehaviour | ((provider: MisbehavingProvider) => Misbehaviour)
type Module = (t: Test) => Promise<unknown>

const setup: LoginAppOptions['setup'] = (app) => {
  app.get('/me', async ({ oauth: { user } }) => user)
  app.get('/refresh', async ({ oauth }) => ({ refreshed: (await oauth.refresh()).refreshToken !== undefined }))
}

async function start (t: Test, wrong: Wrong, options: LoginAppOptions = {}): Promise<LoginApp> {
  const app = await loginApp(t, { setup, ...options })
  app.provider.wrong = typeof wrong === 'function' ? wrong(app.provider) : wrong
  return app
}

/** A login that has to succeed; what comes after it is asserted by `then`. */
const passes =
  (wrong: Wrong = {}, then?: (t: Test, app: LoginApp) => Promise<unknown>, options?: LoginAppOptions): Module =>
    async t => {
      const app = await start(t, wrong, options)
      t.strictSame((await app.browser.login(`${app.url}/login/acme`)).json(), { user: 'alice' })
      await then?.(t, app)
    }

/** A login that has to be refused, for this reason. */
const refused = (wrong: Wrong, code: string, reason?: string, options?: LoginAppOptions): Module => async (t) => {
  const app = await start(t, wrong, options)
  t.equal(codeOf(await app.browser.login(`${app.url}/login/acme`, asJson)), code)
  matchEach(t, app.errors, [{ code, ...(reason !== undefined && { reason }) }])
  await assertLoggedOut(t, app)
}

const idToken = (wrong: Wrong, reason: string) => refused(wrong, 'FST_OAUTH_INVALID_ID_TOKEN', reason)

/** A refresh whose ID token is wrong: the login has ended. */
const endsAtRefresh = (claims: Record<string, unknown>): Module => passes({}, async (t, app) => {
  app.provider.wrong = { claims }
  const page = await app.browser.get(`${app.url}/refresh`, asJson)
  t.equal(page.status, 401)
  t.equal(codeOf(page), 'FST_OAUTH_LOGIN_ENDED')
  await assertLoggedOut(t, app)
})

const asksUserinfo: LoginAppOptions = { provider: { scope: 'openid profile email' } }
const withEndSession: Wrong = ({ issuer }) => ({ metadata: { end_session_endpoint: `${issuer}/end` } })

/** Comes back from the provider's logout with another query than it left with. */
const comesBack = (change: (query: URLSearchParams) => void, status: number): Module =>
  passes(withEndSession, async (t, app) => {
    const { browser, url, provider } = app
    const { location } = await browser.post(`${url}/logout`, { redirect: 'manual' })
    const { origin, pathname, searchParams } = new URL(location!)
    t.equal(origin + pathname, `${provider.issuer}/end`)
    t.equal(searchParams.get('post_logout_redirect_uri'), `${url}/logout/callback`)
    t.ok(provider.secrets.includes(searchParams.get('id_token_hint')!), 'with the ID token of the login')
    const query = new URLSearchParams({ state: searchParams.get('state')! })
    change(query)
    t.equal((await browser.get(`${url}/logout/callback?${query}`, { redirect: 'manual' })).status, status)
    await assertLoggedOut(t, app)
  })

const EVENT = 'http://schemas.openid.net/event/backchannel-logout'

/**
 * A logout of the app in one of two browsers that share a session at the provider, which sends a logout token before it
 * sends the browser back. Where that is wrong, the other browser stays logged in.
 */
const backchannel = (wrong: Misbehaviour, claims: Record<string, unknown>, reason?: string): Module => async (t) => {
  const sid = 'of both'
  const endSession = withEndSession as (provider: MisbehavingProvider) => Misbehaviour
  const app = await start(t, provider => ({ ...endSession(provider), claims: { sid } }))
  const { browser, url, provider, errors, userOf } = app
  const other = new Browser()
  for (const one of [browser, other]) t.strictSame((await one.login(`${url}/login/acme`)).json(), { user: 'alice' })
  const { location } = await browser.post(`${url}/logout`, { redirect: 'manual' })
  provider.wrong = wrong
  const answer = await postLogoutToken(url, provider.logoutToken({ sub: 'alice', sid, ...claims }))
  t.equal(answer.status, reason === undefined ? 200 : 400)
  t.equal(answer.headers.get('cache-control'), 'no-store')
  matchEach(t, errors, reason === undefined ? [] : [{ code: 'FST_OAUTH_INVALID_LOGOUT_TOKEN', reason }])
  const query = new URLSearchParams({ state: new URL(location!).searchParams.get('state')! })
  t.equal((await browser.get(`${url}/logout/callback?${query}`, { redirect: 'manual' })).status, 302)
  t.equal(await userOf(browser), null)
  t.equal(await userOf(other), reason === undefined ? null : 'alice')
}

const modules: Record<string, Module> = {
  'oidcc-client-test': passes(),
  'oidcc-client-test-invalid-iss': idToken({ claims: { iss: 'https://issuer.example' } }, 'iss'),
  'oidcc-client-test-missing-sub': idToken({ claims: { sub: undefined } }, 'sub'),
  'oidcc-client-test-invalid-aud': idToken({ claims: { aud: 'another-client' } }, 'aud'),
  'oidcc-client-test-missing-aud': idToken({ claims: { aud: undefined } }, 'aud'),
  'oidcc-client-test-missing-iat': idToken({ claims: { iat: undefined } }, 'iat'),
  'oidcc-client-test-kid-absent-single-jwks': passes({ header: { kid: undefined } }),
  'oidcc-client-test-kid-absent-multiple-jwks': idToken((provider) => {
    provider.keys = [createKey(), ...provider.keys]
    return { header: { kid: undefined } }
  }, 'key'),
  'oidcc-client-test-idtoken-sig-rs256': passes({ header: { alg: 'RS256' } }),
  // Allowed where it was asked for, which never happens here.
  'oidcc-client-test-idtoken-sig-none': idToken({ signedBy: 'none' }, 'alg'),
  'oidcc-client-test-invalid-sig-rs256': idToken(
    { idToken: jwt => jwt.replace(/[^.]{10}$/, 'AAAAAAAAAA') },
    'signature'
  ),
  'oidcc-client-test-invalid-sig-hs256': idToken(
    ({ clientSecret }) => ({ signedBy: { hmac: `${clientSecret}x` } }),
    'alg'
  ),
  'oidcc-client-test-invalid-sig-es256': idToken(provider => {
    provider.useAlgorithm('ES256')
    return { signedBy: { ...createKey('ES256'), kid: provider.keys[0]!.kid } }
  }, 'signature'),
  'oidcc-client-test-invalid-athash': idToken({ claims: { at_hash: 'a'.repeat(22) } }, 'at_hash'),
  'oidcc-client-test-nonce-invalid': idToken({ claims: { nonce: 'n'.repeat(43) } }, 'nonce'),
  'oidcc-client-test-userinfo-invalid-sub': refused(
    { userinfo: { sub: 'mallory' } },
    'FST_OAUTH_INVALID_RESPONSE',
    'subject_mismatch',
    asksUserinfo
  ),
  'oidcc-client-test-userinfo-bearer-header': passes(
    {},
    async (t, { provider }) => {
      const [request] = provider.asked('userinfo')
      t.equal(request?.method, 'GET')
      t.ok(provider.secrets.includes(request!.headers.authorization!.replace(/^Bearer /, '')))
      t.equal(request?.query.size, 0)
    },
    asksUserinfo
  ),
  'oidcc-client-test-scope-userinfo-claims': passes(
    {},
    async (t, { browser, url, provider }) => {
      t.equal(provider.asked('authorization')[0]?.query.get('scope'), 'openid profile email')
      t.match((await browser.get(`${url}/me`)).json(), { id: 'alice', name: 'Alice Adams', email: 'alice@example.com' })
    },
    asksUserinfo
  ),
  'oidcc-client-test-client-secret-basic': passes({}, async (t, { provider }) => {
    const [request] = provider.asked('token')
    t.equal(
      request?.headers.authorization,
      `Basic ${Buffer.from(`${provider.clientId}:${provider.clientSecret}`).toString('base64')}`
    )
    t.notOk(request?.form.has('client_secret'))
  }),
  'oidcc-client-test-form-post-error': async t => {
    const app = await start(
      t,
      {
        callback: params => {
          params.delete('code')
          params.set('error', 'access_denied')
        }
      },
      { host: 'localhost', provider: { responseMode: 'form_post' } }
    )
    const form = await app.browser.get(`${app.url}/login/acme`)
    const page = await app.browser.submitForm(form, {}, asJson)
    t.match(page, { method: 'POST', status: 403 })
    t.match(page.json(), { code: 'FST_OAUTH_AUTHORIZATION_FAILED', oauthError: 'access_denied' })
    await assertLoggedOut(t, app)
  },
  'oidcc-client-test-3rd-party-init-login': async (t) => {
    const { provider, browser, url } = await start(t, {})
    const query = new URLSearchParams({ iss: provider.issuer, target_link_uri: 'https://evil.example/' })
    const page = await browser.get(`${url}/login/acme?${query}`, { from: 'https://portal.example/' })
    t.equal(page.url, `${url}/`)
    t.strictSame(page.json(), { user: 'alice' })
  },

  'oidcc-client-test-discovery-openid-config': passes({}, async (t, { provider }) => {
    t.strictSame(provider.requests.map(({ path }) => path).slice(0, 3), [
      '/.well-known/openid-configuration',
      '/authorize',
      '/token'
    ])
  }),
  'oidcc-client-test-discovery-jwks-uri-keys': passes({}, async (t, { provider }) => {
    t.equal(provider.asked('keys').length, 1)
  }),
  'oidcc-client-test-discovery-issuer-mismatch': async t => {
    const { browser, url, provider } = await start(t, { metadata: { issuer: 'https://issuer.example' } })
    const page = await browser.get(`${url}/login/acme`, { ...asJson, redirect: 'manual' })
    t.equal(codeOf(page), 'FST_OAUTH_INVALID_OPTIONS')
    t.equal(provider.asked('authorization').length, 0)
  },
  'oidcc-client-test-signing-key-rotation': passes({}, async (t, { browser, url, provider }) => {
    provider.rotateKeys()
    t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
    t.equal(provider.asked('keys').length, 2)
  }),
  'oidcc-client-test-signing-key-rotation-just-before-signing': passes({}, async (t, { browser, url, provider }) => {
    provider.wrong = { instead: { token: () => { provider.rotateKeys() } } }
    t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
  }),

  'oidcc-client-test-refresh-token': passes({}, async (t, { browser, url, provider, userOf }) => {
    for (let refresh = 0; refresh < 2; refresh++) {
      t.strictSame((await browser.get(`${url}/refresh`)).json(), { refreshed: true })
    }
    t.strictSame(
      provider.asked('token').map(({ form }) => form.get('grant_type')),
      ['authorization_code', 'refresh_token', 'refresh_token']
    )
    t.equal(await userOf(browser), 'alice')
  }),
  'oidcc-client-test-refresh-token-invalid-issuer': endsAtRefresh({ iss: 'https://issuer.example' }),
  'oidcc-client-test-refresh-token-invalid-sub': endsAtRefresh({ sub: 'mallory' }),

  'oidcc-client-test-rp-init-logout': comesBack(() => {}, 302),
  // Nothing is changed by the answer, and some providers leave the state out: the browser goes where its own logout was
  // to lead.
  'oidcc-client-test-rp-init-logout-no-state': comesBack((query) => query.delete('state'), 302),
  'oidcc-client-test-rp-init-logout-other-state': comesBack((query) => query.set('state', 's'.repeat(43)), 400),

  'oidcc-client-test-rp-backchannel-rpinitlogout': backchannel({}, {}),
  'oidcc-client-test-rp-backchannel-rpinitlogout-alg-none': backchannel({ signedBy: 'none' }, {}, 'alg'),
  'oidcc-client-test-rp-backchannel-rpinitlogout-no-event': backchannel({}, { events: undefined }, 'events'),
  'oidcc-client-test-rp-backchannel-rpinitlogout-with-nonce': backchannel({}, { nonce: 'n'.repeat(43) }, 'nonce'),
  'oidcc-client-test-rp-backchannel-rpinitlogout-wrong-alg':
    backchannel({ signedBy: createKey('ES256') }, {}, 'alg'),
  'oidcc-client-test-rp-backchannel-rpinitlogout-wrong-aud': backchannel({}, { aud: 'another-client' }, 'aud'),
  'oidcc-client-test-rp-backchannel-rpinitlogout-wrong-event':
    backchannel({}, { events: { [`${EVENT}-wrong`]: {} } }, 'events'),
  'oidcc-client-test-rp-backchannel-rpinitlogout-wrong-iss':
    backchannel({}, { iss: 'https://issuer.example' }, 'iss')
}

for (const [name, module] of Object.entries(modules)) t.test(name, module)
