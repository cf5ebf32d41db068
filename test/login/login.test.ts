import t from 'tap'
import { Browser } from '../helpers/browser.ts'
import { buildApp } from '../helpers/build-app.ts'
import { appAt } from '../helpers/login-app.ts'
import { matchEach } from '../helpers/match-each.ts'
import { startProvider } from '../helpers/provider.ts'

t.test('a user logs in, is known, calls an API and logs out', async (t) => {
  const provider = await startProvider(t)
  const { url } = await buildApp(t, {
    oauth: { providers: { acme: provider.providerOptions } },
    setup: (app) => {
      app.get('/orders', async (request) => request.oauth.get('orders').json())
      app.get('/me', async (request) => request.oauth.user)
    }
  })
  const browser = new Browser()
  const page = await browser.login(`${url}/login/acme`, { user: 'alice' })
  t.equal(page.status, 200)
  t.strictSame(page.json(), { user: 'alice' })
  const orders = await browser.get(`${url}/orders`)
  t.equal(orders.status, 200, orders.text)
  t.ok(Array.isArray(orders.json()))
  const me = await browser.get(`${url}/me`)
  t.match(me.json(), { id: 'alice', name: /Alice/, emailVerified: true })
  const out = await browser.logout(`${url}/logout`)
  t.equal(out.status, 200, out.text)
  t.strictSame((await browser.get(url)).json(), { user: null })
  t.equal((await browser.get(`${url}/orders`)).status, 401)
  t.strictSame(provider.errors, [])
})

t.test('a login without the scope `openid` at an OpenID provider fails with a message that says so', async (t) => {
  const provider = await startProvider(t)
  const { browser, url, errors } = await appAt(t, provider, { provider: { scope: ['orders:read'] } })
  t.equal((await browser.login(`${url}/login/acme`)).status, 502)
  matchEach(t, errors, [{
    code: 'FST_OAUTH_INVALID_RESPONSE', message: /is a 403; add "openid" to the scope of the provider/
  }])
})
