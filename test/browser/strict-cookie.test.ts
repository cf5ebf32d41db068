import helmet from '@fastify/helmet'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { buildApp } from '../helpers/build-app.ts'
import { signIn } from '../helpers/chromium.ts'
import { openHttpsPage, startHttpsProvider } from '../helpers/https-page.ts'
import { pendingLogins } from '../helpers/login-app.ts'
import { logInInPopup, OPENER, OPENER_POLICY, openPopup, toldTo } from '../helpers/opener.ts'
import type { Way } from '../helpers/response-modes.ts'

// A strict session cookie over https, at a provider on another site, in Chromium: a whole login, and those that are
// lost on their way.

async function open (t: Test, way: Way) {
  const { provider, fastify, oauth } = await startHttpsProvider(t, way)
  const { url, store } = await buildApp(t, {
    fastify,
    session: { cookie: { secure: 'auto', sameSite: 'strict' } },
    oauth,
    setup: async (app) => {
      await app.register(helmet)
      app.get('/orders', { onRequest: app.oauth.requireLogin() }, async ({ oauth }) => ({ orders: oauth.user?.id }))
      app.get('/more', (request, reply) =>
        request.oauth.login(reply, { link: true, scope: ['openid', 'orders:write'], returnTo: '/scope' }))
      app.get('/scope', async ({ oauth }) => ({ scope: oauth.scope }))
      app.get('/opener', async (_request, reply) => {
        reply.header('content-security-policy', OPENER_POLICY)
        reply.header('cross-origin-opener-policy', 'same-origin-allow-popups')
        return await reply.type('text/html').send(OPENER)
      })
    }
  })
  const opened = await openHttpsPage(t)
  if (opened === undefined) return undefined
  const { context, page, complaints } = opened
  const sessionCookie = async () => (await context.cookies(url)).find(({ name }) => name === 'sessionId')
  return { context, page, url, store, provider, complaints, sessionCookie }
}

async function bodyOf (page: Page, expected: string): Promise<string | null> {
  await page.waitForSelector(`text=${expected}`)
  return await page.textContent('body')
}

const ORDERS = '{"orders":"alice"}'
const ways: Way[] = [{ responseMode: 'query' }, { responseMode: 'form_post' }, { responseMode: 'query.jwt' }]

for (const way of ways) {
  const isPosted = way.responseMode === 'form_post'
  const name = `Chromium, a strict cookie over https, ${way.responseMode}`

  t.test(`${name}: login, more scope, a reload, logout`, async (t) => {
    const opened = await open(t, way)
    if (opened === undefined) return
    const { page, url, provider, complaints, sessionCookie } = opened
    await page.goto(`${url}/orders`)
    await signIn(page)
    await page.waitForURL(`${url}/orders`)
    t.equal(await bodyOf(page, 'orders'), ORDERS)
    t.match(await sessionCookie(), { secure: true, httpOnly: true, sameSite: 'Strict' })
    await page.reload()
    t.equal(await bodyOf(page, 'orders'), ORDERS)

    await page.goto(`${url}/more`)
    if (page.url().startsWith(provider.issuer)) await signIn(page)
    await page.waitForURL(`${url}/scope`)
    t.match(await bodyOf(page, 'scope'), /orders:write/)

    await page.goto(`${url}/logout?returnTo=/%3Fbye`)
    await page.click('text=Log out >> nth=-1')
    await page.waitForURL(`${provider.issuer}/session/end**`)
    await page.click('button')
    await page.waitForURL(`${url}/?bye`)
    t.equal(await bodyOf(page, 'user'), '{"user":null}')
    t.strictSame(complaints, [])
  })

  t.test(`${name}: Back onto the used callback, and a callback that is opened again`, async (t) => {
    const opened = await open(t, way)
    if (opened === undefined) return
    const { page, url, provider } = opened
    const callbacks: string[] = []
    page.on('request', (request) => {
      if (request.url().startsWith(`${url}/login/acme/callback`)) callbacks.push(request.url())
    })
    await page.goto(`${url}/orders`)
    await signIn(page)
    await page.waitForURL(`${url}/orders`)
    await bodyOf(page, 'orders')
    const tokens = () => provider.requests.filter(({ endpoint }) => endpoint === 'token').length
    const before = tokens()
    for (let step = 0; step < 2; step++) {
      await page.goBack({ waitUntil: 'load' })
      t.notOk(page.url().startsWith(`${url}/login`), page.url())
    }
    if (!isPosted) {
      await page.goto(callbacks[0]!)
      await page.waitForURL(`${url}/orders`)
    }
    await page.goto(`${url}/orders`)
    t.equal(await bodyOf(page, 'orders'), ORDERS)
    t.equal(tokens(), before, 'nothing was exchanged')
  })

  for (const what of ['too late', 'its cookie gone']) {
    t.test(`${name}: ${what}`, async (t) => {
      const opened = await open(t, way)
      if (opened === undefined) return
      const { context, page, url, store } = opened
      await page.goto(`${url}/orders`)
      if (what === 'too late') for (const id of pendingLogins(store)) store.records.delete(id)
      else await context.clearCookies({ name: /oauth-/ })
      await signIn(page)
      if (isPosted) {
        await page.waitForSelector('text=Log in again')
        await page.click('text=Log in again')
      }
      // The provider knows the user now. A login without its cookie does not know where it was to lead.
      await page.waitForURL(what === 'too late' ? `${url}/orders` : `${url}/`)
      t.match(await bodyOf(page, 'alice'), /alice/)
    })
  }

  t.test(`${name}: in a hidden frame, and in a popup, too late and in time`, async (t) => {
    const opened = await open(t, way)
    if (opened === undefined) return
    const { page, url, store } = opened
    await page.goto(`${url}/opener`)
    await page.evaluate('silently()')
    t.match(await toldTo(page), { outcome: 'error', code: 'FST_OAUTH_LOGIN_REQUIRED', oauthError: 'login_required' })
    const late = await openPopup(page)
    for (const id of pendingLogins(store)) store.records.delete(id)
    await logInInPopup(late)
    t.match(await toldTo(page), { outcome: 'error', code: 'FST_OAUTH_STATE_MISMATCH', provider: 'acme' })
    const closed = (await openPopup(page)).waitForEvent('close')
    t.match(await toldTo(page), { outcome: 'logged_in' })
    await closed
    t.equal(await page.evaluate("fetch('/').then(response => response.text())"), '{"user":"alice"}')
  })
}
