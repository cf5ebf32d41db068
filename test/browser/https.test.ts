import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { buildApp } from '../helpers/build-app.ts'
import { signIn } from '../helpers/chromium.ts'
import { openHttpsPage, startHttpsProvider } from '../helpers/https-page.ts'
import type { TestProvider } from '../helpers/provider.ts'
import { type Callback, noteCallbacks, type Way } from '../helpers/response-modes.ts'

// Whole logins over https at an oidc-provider on another site, in Chromium: which of `__Host-`, Secure and SameSite
// cookies go along with a response that the provider has the browser post, is the browser's to say.

interface Opened {
  page: Page
  url: string
  provider: TestProvider
  complaints: string[]
  /** Of the login's cookie, as it is while the user is at the provider. */
  loginCookie (): Promise<object | undefined>
  /** How the browser came back, each time. */
  callbacks: Callback[]
}

async function open (t: Test, way: Way): Promise<Opened | undefined> {
  const { provider, fastify, oauth } = await startHttpsProvider(t, way)
  const callbacks: Callback[] = []
  const { url } = await buildApp(t, {
    fastify,
    // Written out: without it Chromium lets a new cookie go along with a cross-site POST for two minutes.
    session: { cookie: { secure: true, sameSite: 'lax' } },
    oauth,
    setup: (app) => {
      noteCallbacks(app, callbacks)
      app.get('/orders', async ({ oauth }) => await oauth.get('orders').json())
      app.get('/more', (request, reply) =>
        request.oauth.login(reply, { link: true, scope: ['openid', 'orders:write'], returnTo: '/scope' }))
      app.get('/scope', async ({ oauth, session }) => ({ scope: oauth.scope, field: session.get('field' as never) }))
      app.get('/field', async ({ session }) => {
        session.set('field' as never, 'kept' as never)
        return 'set'
      })
    }
  })
  const opened = await openHttpsPage(t)
  if (opened === undefined) return undefined
  const { context, page, complaints } = opened
  const loginCookie = async () =>
    (await context.cookies(url)).find(({ name }) => /^__Host-oauth-/.test(name))
  return { page, url, provider, complaints, loginCookie, callbacks }
}

const ways: [Way, callback: Callback, sameSite: string][] = [
  [{ responseMode: 'query' }, { method: 'GET', names: ['code', 'iss', 'state'] }, 'Lax'],
  [{ responseMode: 'form_post' }, { method: 'POST', names: ['code', 'iss', 'state'] }, 'None'],
  [{ responseMode: 'query.jwt' }, { method: 'GET', names: ['response'] }, 'Lax'],
  [{ responseMode: 'form_post.jwt' }, { method: 'POST', names: ['response'] }, 'None'],
  [{ responseType: 'code id_token' }, { method: 'POST', names: ['code', 'id_token', 'state'] }, 'None'],
  [{ responseType: 'code id_token', responseMode: 'form_post.jwt' }, { method: 'POST', names: ['response'] }, 'None']
]

for (const [way, callback, sameSite] of ways) {
  const name = Object.entries(way).map((entry) => entry.join(' ')).join(', ')

  t.test(`Chromium over https, ${name}: login, call, more scope, logout`, async (t) => {
    const opened = await open(t, way)
    if (opened === undefined) return
    const { page, url, provider, complaints, callbacks, loginCookie } = opened
    const text = () => page.textContent('body')
    await page.goto(`${url}/login/acme?returnTo=/%3Fhello`)
    t.match(await loginCookie(), { secure: true, httpOnly: true, sameSite, path: '/', domain: '127.0.0.1' })
    await signIn(page)
    await page.waitForURL(`${url}/?hello`)
    t.equal(await text(), '{"user":"alice"}')
    t.strictSame(callbacks, [callback])
    t.equal(await loginCookie(), undefined, 'the login is over, and so is its cookie')
    await page.goto(`${url}/orders`)
    t.match(await text(), /tea/)

    await page.goto(`${url}/field`)
    await page.goto(`${url}/more`)
    if (page.url().startsWith(provider.issuer)) await signIn(page)
    await page.waitForURL(`${url}/scope`)
    t.match(JSON.parse(await text() ?? ''), { scope: /orders:write/, field: 'kept' }, 'the session went along')

    await page.goto(`${url}/logout?returnTo=/%3Fbye`)
    await page.click('text=Log out >> nth=-1')
    await page.waitForURL(`${provider.issuer}/session/end**`)
    await page.click('button')
    await page.waitForURL(`${url}/?bye`)
    t.equal(await text(), '{"user":null}')
    t.strictSame(complaints, [])
  })
}
