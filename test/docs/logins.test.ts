import formbody from '@fastify/formbody'
import type { FastifyInstance, RouteHandlerMethod } from 'fastify'
import t, { type Test } from 'tap'
import oauth, { type PluginOptions } from '../../lib/index.ts'
import { insideOf } from '../../lib/testing/provider.ts'
import { anonymous, createTestProvider, loginAs, replaceProvider, type TestVisitor } from '../../lib/testing.ts'
import { Browser } from '../helpers/browser.ts'
import { captureLog } from '../helpers/log.ts'
import { freePort } from '../helpers/listen.ts'
import { finishLogin, pageApp, pageLoad } from '../helpers/page-app.ts'
import { runBlock } from '../helpers/run-block.ts'

// What docs/accounts.md, guards.md, hooks.md, logins.md and logout.md show of an app, as it is written there.

/** `loginAs` puts a test provider in its place. */
const acme = { issuer: 'https://id.acme.example', clientId: 'app', clientSecret: 'secret', scope: ['openid', 'profile'] }
const baseUrl = 'https://app.example.com'

/** An app at a test provider, `acme`, with these routes. */
async function acmeApp (t: Test, own: Partial<PluginOptions>, routes: (app: FastifyInstance) => unknown) {
  const provider = await createTestProvider()
  t.after(() => provider.close())
  const app = await pageApp(t)
  await app.register(oauth, { baseUrl, providers: { acme: provider.options }, dispatcher: provider.dispatcher, ...own })
  await routes(app)
  return { app, provider }
}

const jsonOf = async (visitor: TestVisitor, path: string, init?: RequestInit): Promise<any> =>
  await (await visitor.fetch(path, init)).json()

t.test('accounts.md: a page with a link for each provider; the second account added, used and removed', async (t) => {
  const page = 'docs/accounts.md'
  const heading = 'Several providers, several accounts'
  const app = await pageApp(t)
  await runBlock(page, heading, { app, env: { CLIENT_ID: 'app', CLIENT_SECRET: 'secret' } })
  await runBlock(page, heading, { app }, { index: 1 })
  const nobody = await anonymous(app)
  const chooser = await (await nobody.fetch('/login', pageLoad)).text()
  t.match(chooser, /href="\/login\/github"[^]*href="\/login\/acme"[^]*Acme/)
  const start = await nobody.fetch('/login/github', pageLoad)
  t.match(start.headers.get('location'), /^https:\/\/github\.com\/login\/oauth\/authorize\?/)

  const github = await replaceProvider(app, { provider: 'github' })
  github.api('https://api.github.com/', ({ url }) => url.pathname === '/user/repos' ? [{ name: 'tea' }] : { id: 7 })
  const alice = await loginAs(app, { provider: 'acme' })
  t.equal((await alice.fetch('/repositories')).headers.get('location'), '/connect')
  const away = await alice.fetch('/connect', pageLoad)
  const back = await finishLogin(alice, github, away.headers.get('location'))
  t.equal(back.headers.get('location'), '/repositories')
  t.strictSame(await jsonOf(alice, '/repositories'), [{ name: 'tea' }])
  t.strictSame(await jsonOf(alice, '/disconnect', { method: 'POST' }), { connected: ['acme'] })
  t.equal((await alice.fetch('/repositories')).headers.get('location'), '/connect')
})

t.test('guards.md: a route and a scope that only a login passes', async (t) => {
  const { app, provider } = await acmeApp(t, {}, async (app) => { await runBlock('docs/guards.md', 'Guards', { app }) })
  const nobody = await anonymous(app)
  for (const path of ['/orders', '/admin']) {
    const refused = await nobody.fetch(path)
    t.equal(refused.status, 401)
    t.match(refused.headers.get('www-authenticate'), /^Bearer/)
    const sent = await nobody.fetch(path, pageLoad)
    t.equal(sent.status, 302)
  }
  const back = await finishLogin(nobody, provider, await authorizationOf(nobody, '/admin'))
  t.equal(back.headers.get('location'), '/admin')
  t.equal(await (await nobody.fetch('/admin')).text(), 'Hello Alice Adams')
})

/** Where a page load is sent in the end, by way of the app's own routes. */
async function authorizationOf (visitor: TestVisitor, path: string): Promise<string> {
  const location = (await visitor.fetch(path, pageLoad)).headers.get('location') ?? ''
  if (/^https:\/\/id\d*\.test\//.test(location)) return location
  return await authorizationOf(visitor, location.replace(baseUrl, ''))
}

t.test('hooks.md: only staff logs in, and the log says what happens', async (t) => {
  const log = captureLog()
  const app = await pageApp(t, { logger: log.logger })
  await runBlock('docs/hooks.md', 'Hooks', { app, acme })
  app.get('/me', async ({ oauth }) => ({ user: oauth.user?.id ?? null }))
  const bob = await loginAs(app, { sub: 'bob' })
  t.equal(bob.location, '/welcome')
  t.strictSame(await jsonOf(bob, '/me'), { user: null })

  const alice = await loginAs(app, { claims: { staff: true } })
  t.strictSame(await jsonOf(alice, '/me'), { user: 'alice' })
  await alice.fetch('/logout', { method: 'POST', headers: { origin: baseUrl } })
  t.strictSame(await jsonOf(alice, '/me'), { user: null })
  const said = log.lines.filter(({ msg }) => msg === 'new tokens' || msg === 'logged out')
  t.match(said.filter(({ user }) => user === 'alice'), [
    { msg: 'new tokens', provider: 'acme', reason: 'login', until: Number },
    { msg: 'logged out', provider: 'acme', reason: 'logout' }
  ])
})

t.test('logins.md: an idle login ends, and a provider\'s own absoluteTimeout wins', async (t) => {
  const app = await pageApp(t)
  await runBlock('docs/logins.md', 'How long a login lasts', { app, oauth, acme })
  app.get('/me', async ({ oauth }) => await oauth.userinfo().then(
    ({ sub }) => ({ sub, expiresAt: oauth.expiresAt }),
    ({ code, reason }) => ({ code, reason })
  ))
  const idle = await loginAs(app)
  const provider = idle.testProvider
  const now = Math.floor(Date.now() / 1000)
  const { expiresAt } = await jsonOf(idle, '/me')
  t.ok(Math.abs(expiresAt - now - 1800) < 60, 'idleTimeout comes first')
  provider.advance(31 * 60)
  t.strictSame(await jsonOf(idle, '/me'), { code: 'FST_OAUTH_LOGIN_ENDED', reason: 'idle_timeout' })

  const busy = await loginAs(app)
  for (let minutes = 0; minutes < 50; minutes += 25) {
    provider.advance(25 * 60)
    t.match(await jsonOf(busy, '/me'), { sub: 'alice' })
  }
  provider.advance(11 * 60)
  t.strictSame(await jsonOf(busy, '/me'), { code: 'FST_OAUTH_LOGIN_ENDED', reason: 'absolute_timeout' })
})

t.test('logins.md: a page asks for a fresh login, a transfer for more', async (t) => {
  const transferPage: RouteHandlerMethod = async () => 'the page'
  const transfer: RouteHandlerMethod = async () => 'done'
  const { app, provider } = await acmeApp(t, {}, async (app) => {
    await runBlock('docs/logins.md', 'More than a login', { app, transferPage, transfer })
  })
  const alice = await loginAs(app, { claims: { auth_time: Math.floor(Date.now() / 1000) } })
  t.equal((await alice.fetch('/transfer', pageLoad)).status, 200)
  provider.advance(300 + 60 + 1)
  const sent = await alice.fetch('/transfer', pageLoad)
  t.equal(new URL(sent.headers.get('location') ?? '').searchParams.get('max_age'), '300')

  const refused = await alice.fetch('/transfer', { method: 'POST' })
  t.equal(refused.status, 401)
  const { code, loginUrl } = await refused.json() as Record<string, string>
  t.equal(code, 'FST_OAUTH_STEP_UP_REQUIRED')
  const { pathname, search } = new URL(loginUrl!)
  const start = await alice.fetch(pathname + search, pageLoad)
  const asked = new URL(start.headers.get('location') ?? '').searchParams
  t.match(asked.get('scope'), /payments:write/)
  t.equal(asked.get('acr_values'), 'urn:example:mfa')
  await finishLogin(alice, provider, start.headers.get('location'), { acr: 'urn:example:mfa' })
  t.equal(await (await alice.fetch('/transfer', { method: 'POST' })).text(), 'done')

  const clerk = await loginAs(app, { sub: 'bob', claims: { role: 'clerk' } })
  t.equal(await (await clerk.fetch('/transfer', { method: 'POST' })).text(), 'done', '`when` lets the login do')
})

t.test('logins.md: a page asks once whether the provider knows the user', async (t) => {
  const provider = await createTestProvider()
  t.after(() => provider.close())
  await provider.listen()
  const port = await freePort()
  const url = `http://localhost:${port}`
  const app = await pageApp(t, {}, { cookie: { secure: false } })
  await app.register(oauth, { baseUrl: url, providers: { acme: provider.options } })
  await runBlock('docs/logins.md', 'Logins that a portal starts, and logins without a question', { app })
  await app.listen({ port, host: 'localhost' })
  const silent = () => provider.requests.filter(({ params }) => params.prompt === 'none').length

  const browser = new Browser()
  t.strictSame((await browser.get(`${url}/`)).json(), { user: null })
  t.strictSame((await browser.get(`${url}/`)).json(), { user: null })
  t.equal(silent(), 1)

  await browser.login(`${url}/login`)
  browser.cookies = browser.cookies.filter(({ name }) => name !== 'sessionId')
  t.match((await browser.get(`${url}/`)).json(), { user: { id: 'alice' } })
  t.equal(silent(), 2)
})

t.test('logout.md: a route of the app\'s own takes logout tokens', async (t) => {
  const { app, provider } = await acmeApp(t, {}, async (app) => {
    await app.register(formbody)
    await runBlock('docs/logout.md', 'Back-channel logout', { app })
    app.get('/me', { onRequest: app.oauth.requireLogin() }, async ({ oauth }) => oauth.user)
  })
  const alice = await loginAs(app)
  t.equal((await alice.fetch('/me')).status, 200)
  await insideOf(provider).core.setBackchannelLogoutUri(`${baseUrl}/ended`)
  await provider.backchannelLogout('alice')
  t.equal((await alice.fetch('/me')).status, 401)
  const wrong = await alice.fetch('/ended', { method: 'POST', body: new URLSearchParams({ logout_token: 'no token' }) })
  t.equal(wrong.status, 400)
})

t.test('logout.md: a user whose account is locked is logged out everywhere', async (t) => {
  const { app } = await acmeApp(t, {}, async (app) => {
    await runBlock('docs/logout.md', 'Ending a user\'s sessions', { app })
    app.get('/me', { onRequest: app.oauth.requireLogin() }, async ({ oauth }) => oauth.user)
  })
  const [here, there, bob] = [await loginAs(app), await loginAs(app), await loginAs(app, { sub: 'bob' })]
  const init = {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ id: 'alice' })
  }
  t.strictSame(await jsonOf(bob, '/accounts/lock', init), { ended: 2 })
  const statuses = await Promise.all([here, there, bob].map(async visitor => (await visitor.fetch('/me')).status))
  t.strictSame(statuses, [401, 401, 200])
})
