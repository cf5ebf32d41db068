import t, { type Test } from 'tap'
import { Browser } from '../helpers/browser.ts'
import { firstForm } from '../helpers/html.ts'
import { appAt, callbackUrl, lastPageAtProvider, loginCookies } from '../helpers/login-app.ts'
import { matchEach } from '../helpers/match-each.ts'
import { type Callback, noteCallbacks, startProviderOfAllWays, type Way } from '../helpers/response-modes.ts'

// How an authorization response comes back, each way as a whole login against oidc-provider: with a GET or a POST, as
// parameters or as a JWT that the provider has signed (JWT Secured Authorization Response Mode), and with an ID token
// beside the code (OpenID Connect Core, section 3.3).

/** An app at a provider on another site, which does all of these ways; and how the browser came back. */
async function start (t: Test, way: Way) {
  const provider = await startProviderOfAllWays(t)
  const callbacks: Callback[] = []
  const app = await appAt(t, provider, {
    provider: way,
    setup: app => noteCallbacks(app, callbacks)
  })
  return { ...app, callbacks }
}

const ways: [Way, sent: Callback][] = [
  [{ responseMode: 'query' }, { method: 'GET', names: ['code', 'iss', 'state'] }],
  [{ responseMode: 'form_post' }, { method: 'POST', names: ['code', 'iss', 'state'] }],
  [{ responseMode: 'query.jwt' }, { method: 'GET', names: ['response'] }],
  [{ responseMode: 'jwt' }, { method: 'GET', names: ['response'] }],
  [{ responseMode: 'form_post.jwt' }, { method: 'POST', names: ['response'] }],
  [{ responseType: 'code id_token' }, { method: 'POST', names: ['code', 'id_token', 'state'] }],
  [{ responseType: 'code id_token', responseMode: 'form_post.jwt' }, { method: 'POST', names: ['response'] }]
]

for (const [way, expected] of ways) {
  const name = Object.entries(way).map(entry => entry.join(' ')).join(', ')

  t.test(`${name}: logs in at oidc-provider`, async t => {
    const { browser, url, provider, callbacks } = await start(t, way)
    const page = await browser.login(`${url}/login/acme?returnTo=/%3Fhello`)
    t.equal(page.url, `${url}/?hello`)
    t.strictSame(page.json(), { user: 'alice' })
    t.strictSame(callbacks, [expected])
    t.equal(provider.tokenRequests.length, 1)
    t.strictSame(loginCookies(browser), [])
  })

  t.test(`${name}: a user who says no at oidc-provider is told so, and comes back as an answer of the same kind`,
    async t => {
      const { browser, url, callbacks, errors, provider } = await start(t, way)
      const form = await browser.get(`${url}/login/acme`)
      const back = await browser.submitForm(form, { login: 'alice', cancel: 'yes' })
      const page = expected.method === 'POST' ? await browser.submitForm(back) : back
      t.equal(page.status, 403)
      matchEach(t, errors, [{ code: 'FST_OAUTH_AUTHORIZATION_FAILED', oauthError: 'access_denied' }])
      t.strictSame(callbacks, [{
        method: expected.method,
        names: expected.names.includes('response')
          ? ['response']
          : ['error', 'error_description', 'iss', 'state']
      }])
      t.equal(provider.tokenRequests.length, 0)
    })
}

t.test('a headless session finishes a login whose response is a JWT', async t => {
  const { provider, app } = await start(t, { responseMode: 'query.jwt' })
  const session = app.oauth.provider('acme').session({ redirectUri: 'http://127.0.0.1:1/callback' })
  const { url } = await session.authorizationUrl()
  const callbackUrl = await headlessCallback(url)
  t.match(callbackUrl, /\?response=[\w.-]+$/)
  t.type((await session.parseCallback(callbackUrl)).code, 'string')
  t.type((await session.fetchTokens({ callbackUrl })).idToken, 'string')
  t.equal(provider.tokenRequests.length, 1)
})

t.test('a headless session asks for a JWT by the parameter response_mode, and then takes nothing else', async t => {
  const { app, provider } = await start(t, {})
  const session = app.oauth.provider('acme').session({ redirectUri: 'http://127.0.0.1:1/callback' })
  const { url, state } = await session.authorizationUrl({ params: { response_mode: 'query.jwt' } })
  const callbackUrl = await headlessCallback(url)
  const plain = `http://127.0.0.1:1/callback?code=zz&state=${state}&iss=${encodeURIComponent(provider.issuer)}`
  await t.rejects(session.parseCallback(plain), { code: 'FST_OAUTH_AUTHORIZATION_FAILED', reason: 'missing_response' })
  t.type((await session.fetchTokens({ callbackUrl })).idToken, 'string')
})

t.test('a headless session takes the fields of a posted hybrid response as the query of its callback', async t => {
  const { app } = await start(t, { responseType: 'code id_token' })
  const session = app.oauth.provider('acme').session({ redirectUri: 'http://127.0.0.1:1/callback' })
  const { url } = await session.authorizationUrl()
  const posted = await headlessForm(url)
  t.type((await session.fetchTokens({ callbackUrl: `http://127.0.0.1:1/callback?${posted}` })).idToken, 'string')
})

const headlessCallback = async (url: string) => await callbackUrl(new Browser(), url)

async function headlessForm (url: string): Promise<URLSearchParams> {
  const browser = new Browser()
  const { text } = await lastPageAtProvider(browser, await browser.get(url, { redirect: 'manual' }))
  return new URLSearchParams(firstForm(text)!.fields)
}
