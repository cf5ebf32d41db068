import type { FastifyServerOptions } from 'fastify'
import t from 'tap'
import { serverTls } from '../helpers/certificates.ts'
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

t.test('over HTTP/2 with TLS: a login with secure cookies, calls, a Response, a refresh and a logout', async (t) => {
  const { browser, url, provider, run, page, orders, refreshes } = await loggedInApp(t, {
    http2: true,
    fastify: { https: serverTls } as FastifyServerOptions,
    session: { cookie: { secure: true, sameSite: 'lax' } },
    through: 'browser'
  })
  t.match(url, /^https:/)
  const given = browser.history.flatMap(({ url: at, headers }) => at.startsWith(url) ? headers['set-cookie'] ?? [] : [])
  t.ok(given.some(cookie => /^__Host-oauth-.*; Secure/.test(cookie)), 'the cookie of the pending login')
  t.ok(given.some(cookie => /^sessionId=.*; Secure/.test(cookie)), 'the cookie of the session')
  t.strictSame(given.filter(cookie => !/; Secure/.test(cookie)), [])

  t.equal((await orders()).status, 200)
  provider.api.routes['GET kept'] = () => ({ body: { a: 1 }, headers: { connection: 'keep-alive' } })
  const answer = await page(oauth => oauth.fetch('kept'))
  t.strictSame([answer.status, answer.json()], [200, { a: 1 }])
  const { accessToken } = await run(oauth => oauth.refresh())
  t.equal(refreshes(), 1)
  t.equal((await run(oauth => oauth.tokens())).accessToken, accessToken)

  t.equal((await browser.logout(`${url}/logout`)).status, 200)
  t.strictSame((await browser.get(`${url}/`)).json(), { user: null })
})
