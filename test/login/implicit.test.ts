import t, { type Test } from 'tap'
import type { Page } from 'playwright-core'
import { captureLog } from '../helpers/log.ts'
import { signIn, startChromium } from '../helpers/chromium.ts'
import { appAt, assertLoggedOut, loginApp } from '../helpers/login-app.ts'
import { matchEach } from '../helpers/match-each.ts'
import { startMisbehavingProvider } from '../helpers/misbehaving-provider.ts'
import { startProvider } from '../helpers/provider.ts'
import { createProvider } from '../../lib/index.ts'
import type { FastifyInstance } from 'fastify'
import { halfHash } from '../helpers/signing-keys.ts'

const setup = (app: FastifyInstance) => {
  app.get('/me', async (request) => ({ user: request.oauth.user, authenticated: request.oauth.authenticated }))
  app.get('/orders', async (request) => request.oauth.get('orders').json())
  app.get('/tokens', async (request) => {
    const { accessToken, refreshToken = null } = await request.oauth.tokens()
    return { accessToken, refreshToken }
  })
  app.get('/members', { onRequest: app.oauth.requireLogin() }, async () => 'members only')
}

async function implicitApp (t: Test, scope = ['openid', 'profile']) {
  const provider = await startProvider(t, {
    client: { response_types: ['id_token token', 'id_token'], grant_types: ['implicit'], application_type: 'native' },
    configuration: { responseTypes: ['id_token token', 'id_token', 'code'] }
  })
  const log = captureLog()
  const options = { provider: { scope, grantType: 'implicit' as const }, fastify: { logger: log.logger }, setup }
  return { ...await appAt(t, provider, options), log }
}

/** Every address that the tab can go back to. */
async function historyOf (page: Page): Promise<string[]> {
  const devtools = await page.context().newCDPSession(page)
  const { entries } = await devtools.send('Page.getNavigationHistory')
  return entries.map(({ url }) => url)
}

/** What the console says of a policy that something violated. */
function violations (page: Page): string[] {
  const found: string[] = []
  page.on('console', message => { if (message.text().includes('Content Security Policy')) found.push(message.text()) })
  return found
}

t.test(
  'implicit, in a real browser: the fragment reaches the server, and stays neither in the address bar nor in the ' +
    'history',
  async t => {
    const { provider, url, log } = await implicitApp(t)
    const chromium = await startChromium(t)
    if (chromium === undefined) return
    const page = await chromium.newPage()
    const problems = violations(page)
    const answers: string[] = []
    page.on('framenavigated', frame => {
      if (frame.url().includes('#')) answers.push(frame.url())
    })
    await page.goto(`${url}/login/acme?returnTo=/me`)
    await signIn(page)
    await page.waitForURL(`${url}/me`)
    t.match(JSON.parse(await page.locator('body').innerText()), { authenticated: true, user: { id: 'alice' } })
    await page.goto(`${url}/orders`)
    t.match(JSON.parse(await page.locator('body').innerText()), [{ item: 'tea' }])
    t.strictSame(problems, [])
    const token = provider.api.requests.at(-1)!.authorization!.slice('Bearer '.length)
    t.match(answers, [/^http.*\/login\/acme\/callback#.*access_token=/], 'it came in the fragment')
    const history = await historyOf(page)
    t.ok(history.length > 2)
    t.strictSame(
      history.filter(address => address.includes('#') || address.includes(token)),
      [],
      'no address to go back to has it'
    )
    t.notOk(log.text.includes(token), 'and the log neither')
    t.ok(log.text.includes('no longer recommended'), 'a warning at boot says what to use instead')
  }
)

t.test(
  'implicit, in a real browser: a response to a login that was begun elsewhere does not log in, and leaves no token ' +
    'in the address bar',
  async t => {
    const { url } = await implicitApp(t)
    const chromium = await startChromium(t)
    if (chromium === undefined) return
    const page = await chromium.newPage()
    const problems = violations(page)
    await page.goto(`${url}/login/acme/callback#access_token=stolen&token_type=Bearer&state=of-another-user`)
    await page.getByRole('heading', { name: 'This login has run out' }).waitFor()
    t.equal(page.url(), `${url}/login/acme/callback`)
    t.strictSame((await historyOf(page)).filter(address => address.includes('stolen')), [])
    await page.goto(`${url}/me`)
    t.strictSame(JSON.parse(await page.locator('body').innerText()), { user: null, authenticated: false })
    t.strictSame(problems, [])
  }
)

t.test('implicit, in a browser without JavaScript: the page says what is missing', async (t) => {
  const { url } = await implicitApp(t)
  const chromium = await startChromium(t)
  if (chromium === undefined) return
  const page = await chromium.newPage({ javaScriptEnabled: false })
  await page.goto(`${url}/login/acme/callback#access_token=a`)
  t.match(await page.locator('main').innerText(), /This login needs JavaScript/)
})

t.test('implicit: a response to another login is refused', async (t) => {
  const { browser, url } = await implicitApp(t)
  await browser.get(`${url}/login/acme`, { redirect: 'manual' })
  const answer = await browser.post(`${url}/login/acme/callback`, {
    form: { access_token: 'stolen', token_type: 'Bearer', state: 'of-another-user' }
  })
  t.equal(answer.status, 400)
  t.strictSame((await browser.get(`${url}/me`)).json(), { user: null, authenticated: false })
})

t.test('implicit: an access token without an ID token does not log in', async (t) => {
  const { browser, url, provider } = await implicitApp(t, ['orders:read'])
  const start = await browser.get(`${url}/login/acme`, { redirect: 'manual' })
  const query = new URL(start.location!).searchParams
  t.equal(query.get('response_type'), 'token')
  t.equal(query.get('code_challenge'), null)
  const answer = await browser.post(`${url}/login/acme/callback`, {
    form: { access_token: 'of-another-user', token_type: 'Bearer', state: query.get('state')!, iss: provider.issuer },
    redirect: 'manual'
  })
  t.equal(answer.status, 302)
  t.strictSame((await browser.get(`${url}/me`)).json(), { user: null, authenticated: false })
  t.match(
    await browser.get(`${url}/members`, { redirect: 'manual' }),
    { status: 401, text: /openid/ },
    'requireLogin lets no request pass, and makes no redirect loop'
  )
})

t.test('implicit: a refresh token in the response, which no server issues there, is not kept', async (t) => {
  const { browser, url, provider } = await implicitApp(t, ['orders:read'])
  const start = await browser.get(`${url}/login/acme`, { redirect: 'manual' })
  const state = new URL(start.location!).searchParams.get('state')!
  const form = {
    access_token: 'of-another-user',
    token_type: 'Bearer',
    refresh_token: 'of-another-user',
    state,
    iss: provider.issuer
  }
  t.equal((await browser.post(`${url}/login/acme/callback`, { form, redirect: 'manual' })).status, 302)
  t.match((await browser.get(`${url}/tokens`)).json(), { accessToken: 'of-another-user', refreshToken: null })
})

const mixedUp: Record<string, Record<string, string>> = {
  'of another issuer': { iss: 'https://evil.example' },
  'without the issuer that was promised, and without an ID token that names one': {},
}

for (const [what, fields] of Object.entries(mixedUp)) {
  t.test(`implicit: mix-up: a response ${what} is refused`, async (t) => {
    const { browser, url } = await implicitApp(t, ['orders:read'])
    const start = await browser.get(`${url}/login/acme`, { redirect: 'manual' })
    const state = new URL(start.location!).searchParams.get('state')!
    const answer = await browser.post(`${url}/login/acme/callback`, {
      form: { access_token: 'of-another-user', token_type: 'Bearer', state, ...fields },
      headers: { accept: 'application/json' }
    })
    t.match(answer.json(), { statusCode: 400, code: 'FST_OAUTH_AUTHORIZATION_FAILED' })
    t.match(answer.json().message, /from another issuer/)
  })
}

t.test('implicit: with openid a response without an ID token is refused', async (t) => {
  const { browser, url, provider } = await implicitApp(t)
  const start = await browser.get(`${url}/login/acme`, { redirect: 'manual' })
  const state = new URL(start.location!).searchParams.get('state')!
  const answer = await browser.post(`${url}/login/acme/callback`, {
    form: { access_token: 'of-another-user', token_type: 'Bearer', state, iss: provider.issuer },
    headers: { accept: 'application/json' }
  })
  t.match(answer.json(), { statusCode: 502, code: 'FST_OAUTH_INVALID_ID_TOKEN' })
})

/** An implicit login that comes back with an ID token of the right nonce; `claims` are further ones. */
async function implicitAnswer (t: Test, claims: Record<string, unknown> = {}) {
  const app = await loginApp(t, { provider: { grantType: 'implicit' } })
  const { provider, browser, url } = app
  const start = await browser.get(`${url}/login/acme`, { redirect: 'manual' })
  const { nonce, state } = Object.fromEntries(new URL(start.location!).searchParams)
  const now = Math.floor(Date.now() / 1000)
  const { issuer: iss, clientId: aud } = provider
  const idToken = provider.signJwt({ iss, sub: 'alice', aud, exp: now + 300, iat: now, nonce, ...claims })
  const form = { access_token: 'of-another-user', token_type: 'Bearer', id_token: idToken, state: state! }
  const page = await browser.post(`${url}/login/acme/callback`, { form, headers: { accept: 'application/json' } })
  return { ...app, page }
}

t.test('implicit: an access token beside an ID token without at_hash is refused', async (t) => {
  const app = await implicitAnswer(t)
  t.match(app.page.json(), { statusCode: 502, code: 'FST_OAUTH_INVALID_ID_TOKEN' })
  matchEach(t, app.errors, [{ reason: 'at_hash' }])
  await assertLoggedOut(t, app)
})

t.test('implicit: the at_hash of another access token is refused', async (t) => {
  const app = await implicitAnswer(t, { at_hash: halfHash('of-another', 'RS256') })
  matchEach(t, app.errors, [{ code: 'FST_OAUTH_INVALID_ID_TOKEN', reason: 'at_hash' }])
  await assertLoggedOut(t, app)
})

t.test('implicit: the right at_hash logs in', async (t) => {
  const { userOf, browser } = await implicitAnswer(t, { at_hash: halfHash('of-another-user', 'RS256') })
  t.equal(await userOf(browser), 'alice')
})

t.test('implicit, without a web session: an access token beside an ID token without at_hash is refused', async (t) => {
  const server = await startMisbehavingProvider(t)
  const { issuer, clientId } = server
  const redirectUri = 'http://127.0.0.1:1/cb'
  const acme = createProvider({ issuer, clientId, grantType: 'implicit', scope: ['openid'], redirectUri })
  t.after(() => acme.close())
  const now = Math.floor(Date.now() / 1000)
  const answer = async (further: Record<string, unknown>) => {
    const session = acme.session()
    const { state, nonce } = await session.authorizationUrl()
    const claims = { iss: issuer, sub: 'alice', aud: clientId, exp: now + 300, iat: now, nonce, ...further }
    const answer = { access_token: 'of-another-user', token_type: 'Bearer', id_token: server.signJwt(claims), state }
    return await session.tokensFromFragment(`${redirectUri}#${new URLSearchParams(answer)}`)
  }
  await t.rejects(answer({}), { code: 'FST_OAUTH_INVALID_ID_TOKEN', reason: 'at_hash' })
  t.match(await answer({ at_hash: halfHash('of-another-user', 'RS256') }), { accessToken: 'of-another-user' })
})

t.test('implicit: the page that relays the fragment runs its own script alone and is not cached', async (t) => {
  const { app } = await implicitApp(t)
  const page = await app.inject('/login/acme/callback')
  const policy = String(page.headers['content-security-policy'])
  const nonce = /script-src 'nonce-([\w-]+)'/.exec(policy)?.[1]
  t.ok(nonce)
  t.ok(page.body.includes(`<script nonce="${nonce}">`))
  t.not(
    /nonce-([\w-]+)/.exec(String((await app.inject('/login/acme/callback')).headers['content-security-policy']))?.[1],
    nonce
  )
  t.equal(page.headers['cache-control'], 'no-store')
})
