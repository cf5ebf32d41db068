import t from 'tap'
import { asJson, callbackUrl, codeOf, loginApp, pendingLogins } from '../helpers/login-app.ts'

// Which address the app has: baseUrl, never what a request or an untrusted proxy says.

for (const trustProxy of [false, true]) {
  t.test(`Host and X-Forwarded-Host do not get into the redirect URI, trustProxy ${trustProxy}`, async (t) => {
    const { browser, url } = await loginApp(t, { fastify: { trustProxy } })
    const headers = {
      host: 'evil.example',
      'x-forwarded-host': 'evil.example',
      'x-forwarded-proto': 'https',
      'x-forwarded-port': '444',
      forwarded: 'host=evil.example'
    }
    const start = await browser.get(`${url}/login/acme`, { headers, redirect: 'manual' })
    t.equal(new URL(start.location!).searchParams.get('redirect_uri'), `${url}/login/acme/callback`)
  })
}

t.test('Host does not get into where a login or a logout ends', async (t) => {
  const { browser, url } = await loginApp(t)
  const callback = await callbackUrl(browser, `${url}/login/acme?returnTo=http://evil.example/x`)
  const headers = { host: 'evil.example' }
  t.equal((await browser.get(callback, { headers, redirect: 'manual' })).headers.location, '/')
  t.equal((await browser.post(`${url}/logout`, { headers, redirect: 'manual' })).headers.location, '/')
})

t.test('a secure session cookie over http, where a proxy ends TLS and is not trusted, is reported', async t => {
  const app = await loginApp(t, {
    oauth: { baseUrl: 'https://app.example.com' },
    session: { cookie: { secure: true } }
  })
  const page = await app.browser.get(`${app.url}/login/acme`, {
    ...asJson,
    redirect: 'manual',
    headers: { ...asJson.headers, 'x-forwarded-proto': 'https' }
  })
  t.equal(page.status, 500)
  t.equal(codeOf(page), 'FST_OAUTH_SESSION_UNAVAILABLE')
  t.match(page.json().message, /trustProxy/)
  t.strictSame(pendingLogins(app.store), [])
})

t.test('behind a trusted proxy that ends TLS a login works, with cookies that no other subdomain can set', async t => {
  const app = await loginApp(t, {
    oauth: { baseUrl: 'https://app.example.com' },
    session: { cookie: { secure: true } },
    fastify: { trustProxy: true }
  })
  const { browser, url } = app
  const headers = { 'x-forwarded-proto': 'https' }
  const start = await browser.get(`${url}/login/acme`, { headers, redirect: 'manual' })
  const back = await browser.follow(start, { redirect: 'manual' })
  t.match(back.location, /^https:\/\/app\.example\.com\/login\/acme\/callback\?/)
  t.match(browser.cookies, [{ name: /^__Host-oauth-/, secure: true, httpOnly: true, path: '/', sameSite: 'lax' }])
  const done = await browser.get(back.location!.replace('https://app.example.com', url), {
    headers,
    redirect: 'manual'
  })
  t.strictSame([done.status, done.headers.location], [302, '/'])
  t.strictSame((await browser.get(url, { headers })).json(), { user: 'alice' })
})

t.test('a session cookie whose path does not cover a route of the app\'s own is reported there', async (t) => {
  const { browser, url } = await loginApp(t, {
    oauth: { routes: false },
    session: { cookie: { secure: false, path: '/app' } },
    setup: (app) => { app.get('/elsewhere', async (request, reply) => request.oauth.login(reply)) }
  })
  const page = await browser.get(`${url}/elsewhere`, asJson)
  t.equal(page.status, 500)
  t.match(page.json(), { code: 'FST_OAUTH_SESSION_UNAVAILABLE', message: /cookie\.path/ })
})
