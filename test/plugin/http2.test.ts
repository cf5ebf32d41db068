import t from 'tap'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { loginApp } from '../helpers/login-app.ts'

// An app on a server that speaks HTTP/2 alone: what differs from HTTP/1, and a whole login.

t.test('over HTTP/2 a browser is sent from a guard to log in, comes back, and logs out', async (t) => {
  const { browser, url } = await loginApp(t, {
    http2: true,
    setup: (app) => { app.get('/page', { onRequest: app.oauth.requireLogin() }, async ({ oauth }) => oauth.user) }
  })
  t.match((await browser.get(`${url}/page`)).json(), { id: 'alice' })
  t.equal((await browser.logout(`${url}/logout`)).status, 200)
  t.strictSame((await browser.get(`${url}/`)).json(), { user: null })
})

t.test('over HTTP/2 a handler that returns the Response of an API does not end the process', async (t) => {
  const { page, provider } = await loggedInApp(t, { http2: true })
  provider.api.routes['GET kept'] = () => ({ body: { a: 1 }, headers: { connection: 'keep-alive' } })
  const answer = await page(oauth => oauth.fetch('kept'))
  t.equal(answer.status, 200)
  t.strictSame(answer.json(), { a: 1 })
})
