import t from 'tap'
import type { FastifyInstance } from 'fastify'
import { Browser } from '../helpers/browser.ts'
import { deferred, Gate } from '../helpers/gate.ts'
import { appAt, asJson, assertLoggedOut, callbackUrl, codeOf, loginApp } from '../helpers/login-app.ts'
import { captureLog } from '../helpers/log.ts'
import { tokenRecords } from '../helpers/records.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'

// "oidcc-client-test…" names the module of the OpenID Foundation's relying-party test plan that a test reproduces.

// What a logout does

t.test('POST /logout: the session is gone, its cookie is cleared, and so are the tokens', async (t) => {
  const app = await loggedInApp(t, { wrong: {} })
  const { browser, url, store } = app
  const copy = browser.copy()
  const sessionId = (browser.cookie('sessionId') ?? '').split('.')[0]!
  const page = await browser.post(`${url}/logout`, { redirect: 'manual' })
  t.equal(page.status, 302)
  t.equal(page.location, `${url}/`)
  t.equal(page.headers['cache-control'], 'no-store')
  t.equal(browser.cookie('sessionId'), undefined)
  t.notOk(store.records.has(decodeURIComponent(sessionId)))
  await assertLoggedOut(t, app)
  t.equal(await app.userOf(copy), null, 'a copy of the cookie is worth nothing')
})

t.test('the tokens are revoked, the refresh token first', async (t) => {
  const { browser, url, provider } = await loggedInApp(t)
  const issued = provider.tokenRequests[0]!.answer!.body as Record<string, string>
  await browser.post(`${url}/logout`, { redirect: 'manual' })
  const revocations = provider.endpoints.revocation.requests
  t.strictSame(revocations.map(({ body }) => [body.token, body.token_type_hint]), [
    [issued.refresh_token, 'refresh_token'],
    [issued.access_token, 'access_token']
  ])
  t.strictSame(revocations.map(({ answer }) => answer?.status), [200, 200])
  t.strictSame([provider.state.entries('RefreshToken'), provider.state.entries('AccessToken')], [[], []])
})

t.test('revokeAtLogout: false leaves the grant alone', async (t) => {
  const { browser, url, provider } = await loggedInApp(t, { provider: { revokeAtLogout: false } })
  await browser.logout(`${url}/logout`)
  t.equal(provider.endpoints.revocation.requests.length, 0)
})

// oidcc-client-test-rp-init-logout
t.test('the browser goes on to the provider\'s own logout, and comes back', async (t) => {
  const { browser, url, provider, userOf } = await loggedInApp(t)
  const { id_token: idToken } = provider.tokenRequests[0]!.answer!.body as Record<string, string>
  const page = await browser.post(`${url}/logout?returnTo=/%3Fbye`, { redirect: 'manual' })
  const end = new URL(page.location!)
  t.equal(end.origin + end.pathname, `${provider.issuer}/session/end`)
  t.equal(end.searchParams.get('id_token_hint'), idToken)
  t.equal(end.searchParams.get('client_id'), provider.clientId)
  t.equal(end.searchParams.get('post_logout_redirect_uri'), `${url}/logout/callback`)
  t.match(end.searchParams.get('state'), /^[\w-]{43}$/)

  const question = await browser.follow(page)
  const back = await browser.submitForm(question)
  t.equal(new URL(browser.history.at(-2)!.url).pathname, '/logout/callback')
  t.equal(back.url, `${url}/?bye`)
  t.strictSame(back.json(), { user: null })
  t.equal(await userOf(browser), null)
  t.strictSame(browser.cookies.filter(({ host, name }) => host === '127.0.0.1' && name.startsWith('oauth')), [])

  const form = await browser.get(`${url}/login/acme`)
  t.match(form.text, 'type="password"', 'logged out at the provider, too')
})

t.test('each logout has a state of its own', async (t) => {
  const { browser, url } = await loggedInApp(t)
  const states: string[] = []
  for (let logout = 0; logout < 2; logout++) {
    const page = await browser.post(`${url}/logout`, { redirect: 'manual' })
    states.push(new URL(page.location!).searchParams.get('state')!)
    await browser.login(`${url}/login/acme`)
  }
  t.not(states[0], states[1])
})

for (const [what, query] of Object.entries({
  // oidcc-client-test-rp-init-logout-other-state
  'another state': `?state=${'s'.repeat(43)}`,
  'the empty state twice': '?state=&state='
})) {
  t.test(`a logout callback with ${what} is refused, and redirects nowhere`, async (t) => {
    const { browser, url } = await loggedInApp(t)
    await browser.post(`${url}/logout?returnTo=/bye`, { redirect: 'manual' })
    const page = await browser.get(`${url}/logout/callback${query}`, { ...asJson, redirect: 'manual' })
    t.equal(page.status, 400)
    t.equal(codeOf(page), 'FST_OAUTH_STATE_MISMATCH')
    t.equal(page.location, undefined)
    t.equal(page.headers['cache-control'], 'no-store')
  })
}

// oidcc-client-test-rp-init-logout-no-state
for (const [what, query] of Object.entries({
  'left out': '', 'left empty': '?state=', 'left out beside others': '?foo=1'
})) {
  t.test(`a logout callback whose state the provider has ${what} leads to the app's own returnTo`, async (t) => {
    const { browser, url } = await loggedInApp(t)
    await browser.post(`${url}/logout`, { form: { returnTo: '/bye?from=out' }, redirect: 'manual' })
    const page = await browser.get(`${url}/logout/callback${query}`, { redirect: 'manual' })
    t.strictSame([page.status, page.headers.location], [302, '/bye?from=out'])
    t.equal(page.headers['cache-control'], 'no-store')
    t.equal((await browser.get(`${url}/logout/callback${query}`, { redirect: 'manual' })).status, 400, 'once')
  })
}

t.test('the page for a logout that cannot be finished says so, and has a link to the app', async (t) => {
  const { browser, url } = await loggedInApp(t, { wrong: {} })
  const page = await browser.get(`${url}/logout/callback`)
  t.equal(page.status, 400)
  t.match(page.text, '<h1>No logout to finish</h1>')
  t.match(page.text, 'href="/">Continue to the app')
})

t.test('a logout callback with its state twice is refused', async (t) => {
  const { browser, url } = await loggedInApp(t)
  const { location } = await browser.post(`${url}/logout`, { redirect: 'manual' })
  const state = new URL(location!).searchParams.get('state')!
  const page = await browser.get(`${url}/logout/callback?state=${state}&state=${state}`, asJson)
  t.equal(codeOf(page), 'FST_OAUTH_STATE_MISMATCH')
})

t.test('the callback of a logout that another browser began is refused', async (t) => {
  const { browser, url } = await loggedInApp(t)
  const { location } = await browser.post(`${url}/logout`, { redirect: 'manual' })
  const state = new URL(location!).searchParams.get('state')!
  t.equal(codeOf(await new Browser().get(`${url}/logout/callback?state=${state}`, asJson)), 'FST_OAUTH_STATE_MISMATCH')
})

t.test('GET /logout/callback does not log out', async (t) => {
  const { browser, url, userOf } = await loggedInApp(t, { wrong: {} })
  await browser.get(`${url}/logout/callback?state=x`, { from: 'https://attacker.example/' })
  t.equal(await userOf(browser), 'alice')
})

t.test('a logout callback is not accepted twice', async (t) => {
  const { browser, url } = await loggedInApp(t)
  const { location } = await browser.post(`${url}/logout`, { redirect: 'manual' })
  const back = `${url}/logout/callback?state=${new URL(location!).searchParams.get('state')}`
  t.equal((await browser.get(back, { redirect: 'manual' })).status, 302)
  t.equal((await browser.get(back, { redirect: 'manual' })).status, 400)
})

t.test('the session of another user stays', async (t) => {
  const { browser, url, provider, userOf, store } = await loggedInApp(t, { wrong: {} })
  const bob = new Browser()
  provider.subject = 'bob'
  await bob.login(`${url}/login/acme`)
  await browser.post(`${url}/logout`)
  t.equal(await userOf(browser), null)
  t.equal(await userOf(bob), 'bob')
  t.equal(tokenRecords(store).size, 1)
})

t.test('a logout without a login leads back to the app', async (t) => {
  const { url, provider } = await loginApp(t)
  const page = await new Browser().post(`${url}/logout`, { redirect: 'manual' })
  t.equal(page.status, 302)
  t.equal(page.headers.location, '/')
  t.equal(provider.requests.length, 0)
})

t.test('two logouts at the same moment both succeed', async (t) => {
  const { browser, url, userOf } = await loggedInApp(t, { wrong: {} })
  const logout = () => browser.post(`${url}/logout`, { redirect: 'manual' })
  const pages = await Promise.all([logout(), logout()])
  t.strictSame(pages.map(({ status }) => status), [302, 302])
  t.equal(await userOf(browser), null)
})

t.test('a login form that was open at the logout, and is filled in after it, logs in', async (t) => {
  const { browser, url, userOf } = await loginApp(t)
  await browser.login(`${url}/login/acme`)
  const filledIn = await callbackUrl(browser, `${url}/login/acme`)
  await browser.post(`${url}/logout`)
  t.equal(await userOf(browser), null)
  t.strictSame((await browser.get(filledIn)).json(), { user: 'alice' })
})

t.test('what was begun for a login before its logout (link, step-up) is refused after it', async (t) => {
  for (const scope of [undefined, 'openid email']) {
    const { browser, url, userOf } = await loginApp(t, {
      setup: app => {
        app.get('/link', async ({ oauth }, reply) => await oauth.login(reply, { link: true, ...(scope && { scope }) }))
      }
    })
    await browser.login(`${url}/login/acme`)
    const back = await callbackUrl(browser, `${url}/link`)
    await browser.post(`${url}/logout`)
    const page = await browser.get(back, asJson)
    t.equal(page.status, 400)
    t.equal(codeOf(page), 'FST_OAUTH_STATE_MISMATCH')
    t.equal(await userOf(browser), null)
  }
})

t.test('an API caller is told where to go in JSON', async (t) => {
  const { browser, url, provider } = await loggedInApp(t)
  const page = await browser.post(`${url}/logout`, { json: {}, mode: 'cors', ...asJson })
  t.equal(page.status, 200)
  t.match(page.json(), { loggedOut: true, location: new RegExp(`^${provider.issuer}/session/end\\?`) })
})

for (const returnTo of [
  'https://evil.example/', '//evil.example', '/\\evil.example', '/.//evil.example', 'javascript:alert(1)',
  '/\r\nset-cookie:a=b'
]) {
  t.test(`open redirect: a logout does not lead to ${JSON.stringify(returnTo)}`, async t => {
    const { browser, url } = await loggedInApp(t, { wrong: {} })
    const page = await browser.post(`${url}/logout`, { form: { returnTo }, redirect: 'manual' })
    t.equal(page.status, 302)
    t.equal(page.headers.location, '/')
  })
}

t.test('open redirect: the provider\'s way back does not lead elsewhere either', async (t) => {
  const { browser, url } = await loggedInApp(t)
  const { location } = await browser.post(`${url}/logout`, { form: { returnTo: '//evil.example' }, redirect: 'manual' })
  const state = new URL(location!).searchParams.get('state')!
  const cookie = browser.cookies.find(({ name }) => name === 'oauth-logout')!
  const value = `${cookie.value.split('.')[0]}.${Buffer.from('//evil.example').toString('base64url')}`
  browser.jar.put({ ...cookie, value })
  t.equal((await browser.get(`${url}/logout/callback?state=${state}`, { redirect: 'manual' })).location, `${url}/`)
})

t.test('a returnTo of any length that is followed fits the cookie that remembers it', async (t) => {
  const { browser, url } = await loggedInApp(t)
  const returnTo = `/?${';'.repeat(2040)}`
  const { location, headers } = await browser.post(`${url}/logout`, { form: { returnTo }, redirect: 'manual' })
  const cookie = [headers['set-cookie']].flat().find((line) => line?.startsWith('oauth-logout='))
  t.ok(cookie!.length < 4096, `${cookie!.length} bytes`)
  const state = new URL(location!).searchParams.get('state')!
  t.equal((await browser.get(`${url}/logout/callback?state=${state}`, { redirect: 'manual' })).location, url + returnTo)
})

t.test('returnTo of the form leads to a page of the app', async (t) => {
  const { browser, url } = await loggedInApp(t, { wrong: {} })
  const page = await browser.post(`${url}/logout`, { form: { returnTo: '/?bye' }, redirect: 'manual' })
  t.equal(page.location, `${url}/?bye`)
})

// Cross-site requests

for (const [what, headers] of Object.entries({
  'Sec-Fetch-Site: cross-site': { 'sec-fetch-site': 'cross-site', origin: 'https://attacker.example' },
  'Sec-Fetch-Site: cross-site, whatever Origin says': { 'sec-fetch-site': 'cross-site', origin: 'OWN' },
  'Sec-Fetch-Site: same-site, from a neighbour that a third party may run': {
    'sec-fetch-site': 'same-site',
    origin: 'https://other.app.example'
  },
  'another Origin': { 'sec-fetch-site': undefined, origin: 'https://attacker.example' },
  'another port in Origin': { 'sec-fetch-site': undefined, origin: 'http://127.0.0.1:1' },
  'Origin: null, from a sandboxed frame': { 'sec-fetch-site': undefined, origin: 'null' },
  'Sec-Fetch-Site: cross-site without Origin': { 'sec-fetch-site': 'cross-site', origin: undefined },
})) {
  t.test(`logout CSRF: a POST with ${what} is refused`, async (t) => {
    const { browser, url, userOf, store } = await loggedInApp(t, { wrong: {} })
    const origin = headers.origin === 'OWN' ? url : headers.origin
    const page = await browser.post(`${url}/logout`, { headers: { ...headers, origin, ...asJson.headers } })
    t.equal(page.status, 403)
    t.equal(codeOf(page), 'FST_OAUTH_CROSS_SITE_REQUEST')
    t.equal(page.headers['cache-control'], 'no-store')
    t.equal(await userOf(browser), 'alice')
    t.equal(tokenRecords(store).size, 1)
  })
}

for (const [what, headers] of Object.entries({
  'the app\'s own Origin alone': { 'sec-fetch-site': undefined },
  'Sec-Fetch-Site: same-origin, where a referrer policy made Origin null': { origin: 'null' },
  'neither, since it is no browser': { 'sec-fetch-site': undefined, origin: undefined },
})) {
  t.test(`a POST with ${what} logs out`, async (t) => {
    const { browser, url, userOf } = await loggedInApp(t, { wrong: {} })
    t.equal((await browser.post(`${url}/logout`, { headers, redirect: 'manual' })).status, 302)
    t.equal(await userOf(browser), null)
  })
}

t.test('logout CSRF: GET /logout asks, and does nothing', async (t) => {
  const { browser, url, userOf, store } = await loggedInApp(t, { wrong: {}, provider: { scope: 'openid profile' } })
  const page = await browser.get(`${url}/logout?returnTo=/%3Fbye`, { from: 'https://attacker.example/' })
  t.equal(page.status, 200)
  t.match(page.text, /<h1>Log out\?<\/h1>/)
  t.match(page.text, 'Alice Adams')
  t.equal(page.headers['cache-control'], 'no-store')
  t.match(page.headers['content-security-policy'], /frame-ancestors 'none'/, 'nor can a frame make the person say yes')
  t.equal(await userOf(browser), 'alice')
  t.equal(tokenRecords(store).size, 1)
  t.equal((await browser.submitForm(page, {}, { redirect: 'manual' })).location, `${url}/?bye`)
  t.equal(await userOf(browser), null)
})

t.test('the page that asks before a logout lets the form lead on to the provider', async (t) => {
  const { browser, url, provider } = await loggedInApp(t)
  const page = await browser.get(`${url}/logout`)
  const [, formAction = ''] = /form-action ([^;]*)/.exec(String(page.headers['content-security-policy'])) ?? []
  t.ok(formAction.split(' ').includes("'self'"))
  t.ok(formAction.split(' ').includes(provider.issuer), formAction)
})

t.test('XSS: the page that asks before a logout escapes the user\'s name', async t => {
  const { browser, url } = await loggedInApp(t, {
    provider: { scope: 'openid profile' },
    wrong: { userinfo: { name: '<script>alert(1)</script>' } }
  })
  const page = await browser.get(`${url}/logout`)
  t.match(page.text, '&lt;script&gt;alert(1)&lt;/script&gt;')
  t.notMatch(page.text, '<script>')
})

t.test('GET /logout without a login says so', async (t) => {
  const { url } = await loginApp(t)
  const page = await new Browser().get(`${url}/logout`)
  t.equal(page.status, 200)
  t.match(page.text, /You are logged out/)
})

for (const method of ['HEAD', 'PUT', 'DELETE', 'OPTIONS'] as const) {
  t.test(`${method} /logout does nothing`, async (t) => {
    const { app, browser, url, userOf } = await loggedInApp(t, { wrong: {} })
    const cookie = browser.jar.header(new URL(url), { method, crossSite: false })!
    const { statusCode } = await app.inject({ method, url: '/logout', headers: { cookie } })
    t.equal(statusCode, 404)
    t.equal(await userOf(browser), 'alice')
  })
}

t.test('prefetching GET /logout does nothing', async (t) => {
  const { browser, url, userOf } = await loggedInApp(t, { wrong: {} })
  await browser.get(`${url}/logout`, { headers: { 'sec-purpose': 'prefetch;prerender' } })
  t.equal(await userOf(browser), 'alice')
})

// What fails on the way

t.test('a provider that is down does not keep the user logged in', async (t) => {
  const { browser, url, provider, userOf, store } = await loggedInApp(t)
  await provider.close()
  const page = await browser.post(`${url}/logout`, { redirect: 'manual' })
  t.match(page.location, provider.issuer)
  t.equal(await userOf(browser), null)
  t.equal(tokenRecords(store).size, 0)
})

t.test('a provider that was down before this process asked it anything does not keep the user logged in', async (t) => {
  const { browser, provider, store } = await loggedInApp(t)
  await provider.close()
  const { url } = await appAt(t, provider, { session: { store } })
  t.strictSame((await browser.get(url)).json(), { user: 'alice' })
  t.match(await browser.post(`${url}/logout`, { redirect: 'manual' }), { status: 302, location: `${url}/` })
  t.strictSame((await browser.get(url)).json(), { user: null })
})

t.test('a provider that refuses the revocation does not keep the user logged in', async (t) => {
  const { browser, url, provider, userOf } = await loggedInApp(t)
  provider.endpoints.revocation.fail({ status: 400, body: { error: 'unsupported_token_type' } })
  t.match((await browser.post(`${url}/logout`, { redirect: 'manual' })).location, provider.issuer)
  t.equal(await userOf(browser), null)
})

t.test('the user is logged out before the provider has heard of it', async (t) => {
  const { browser, url, provider, userOf, store } = await loggedInApp(t)
  const copy = browser.copy()
  const gate = provider.endpoints.revocation.hold()
  const page = browser.post(`${url}/logout`, { redirect: 'manual' })
  await gate.arrived
  t.equal(await userOf(copy), null)
  t.equal(tokenRecords(store).size, 0)
  gate.release()
  t.match((await page).location, provider.issuer)
})

t.test('a provider that does not answer a revocation holds no logout up', async t => {
  const log = captureLog()
  const { browser, url, provider } = await loggedInApp(t, { fastify: { logger: log.logger } })
  const gate = provider.endpoints.revocation.hold()
  t.match((await browser.post(`${url}/logout`, { redirect: 'manual' })).location, provider.issuer)
  t.equal(gate.arrivals.length, 1)
  t.notMatch(log.text, 'tokens_not_revoked', 'the request is still under way')
  gate.release()
})

for (const [what, metadata] of Object.entries({
  'an empty one': { end_session_endpoint: '' },
  'no URL': { end_session_endpoint: 'nonsense' },
  'a path': { end_session_endpoint: '/end' },
  'another scheme': { end_session_endpoint: 'javascript:alert(1)' },
  'plain http, elsewhere': { end_session_endpoint: 'http://login.example/end' },
  'a list': { end_session_endpoint: ['https://login.example/end'] },
  'a number': { end_session_endpoint: 7 },
  'line breaks and a policy': { end_session_endpoint: 'x\r\n; script-src *' }
})) {
  t.test(`an end-session endpoint that cannot be used (${what}): logged out, with a warning`, async (t) => {
    const log = captureLog()
    const app = await loggedInApp(t, {
      wrong: { metadata },
      provider: { revokeAtLogout: false },
      fastify: { logger: log.logger }
    })
    const { browser, url } = app
    t.equal((await browser.get(`${url}/logout`)).status, 200, 'the page that asks is there')
    const page = await browser.post(`${url}/logout`, { form: { returnTo: '/bye' }, redirect: 'manual' })
    t.strictSame([page.status, page.headers.location], [302, '/bye'])
    await assertLoggedOut(t, app)
    t.match(log.lines.findLast(({ level }) => level === 40), { provider: 'acme', msg: /^the user is logged out here/ })
  })
}

t.test('a provider whose metadata cannot be had: logged out, with a warning', async (t) => {
  const log = captureLog()
  const { browser, provider, store } = await loggedInApp(t, { wrong: {}, provider: { revokeAtLogout: false } })
  provider.wrong = { instead: { discovery: { status: 500 } } }
  const { url } = await appAt(t, provider, {
    provider: { revokeAtLogout: false },
    session: { store },
    fastify: { logger: log.logger }
  })
  t.strictSame((await browser.get(url)).json(), { user: 'alice' })
  t.match(await browser.post(`${url}/logout`, { redirect: 'manual' }), { status: 302, headers: { location: '/' } })
  t.strictSame((await browser.get(url)).json(), { user: null })
  t.match(log.lines.findLast(({ level }) => level === 40), {
    provider: 'acme', err: { code: 'FST_OAUTH_PROVIDER_UNAVAILABLE' }
  })
})

t.test(
  'the response to a posted logout is a page that goes on to the provider: a form may lead to no other origin',
  async t => {
    const { browser, url, provider } = await loggedInApp(t)
    const page = await browser.post(`${url}/logout`, { form: { returnTo: '/?bye' }, redirect: 'manual' })
    t.equal(page.status, 200)
    t.equal(page.headers.location, undefined)
    t.equal(page.headers['cache-control'], 'no-store')
    t.match(
      page.headers['content-security-policy'],
      /^default-src 'none'; style-src 'sha256-[^']+'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'$/
    )
    const [, link] = /<a class="button primary" href="([^"]*)">Continue</.exec(page.text)!
    t.equal(link!.replaceAll('&amp;', '&'), page.location, 'with a link to the same place')
    t.match(page.location, `${provider.issuer}/session/end?id_token_hint=`)
    t.notMatch(page.text, '<script')
  }
)

t.test('the page that goes on to the provider can be the app\'s own', async (t) => {
  const { browser, url, provider } = await loggedInApp(t, {
    oauth: {
      pages: {
        onward: ({ title, message, href }) =>
          `<title>${title}</title><meta http-equiv="refresh" content="0; url=${href}">${message}`
      }
    }
  })
  const page = await browser.post(`${url}/logout`, { redirect: 'manual' })
  t.match(page.text, /^<title>Logging out<\/title>.*You are logged out of this site/)
  t.match(page.location, `${provider.issuer}/session/end?id_token_hint=`)
  t.match(page.headers, { 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' })
  t.notOk('content-security-policy' in page.headers, 'its policy is the app\'s own')
})

for (const [what, headers, status] of [
  ['a script that takes JSON', { accept: 'application/json' }, 200],
  ['a script that takes anything', { accept: '*/*' }, 302],
  ['a script that takes a page', { accept: 'text/html', 'sec-fetch-mode': 'cors' }, 302]
] as const) {
  t.test(`${what} gets the URL to go to in the response to its logout, and no page`, async (t) => {
    const { browser, url, provider } = await loggedInApp(t)
    const page = await browser.post(`${url}/logout`, { headers, redirect: 'manual' })
    t.equal(page.status, status)
    t.match(status === 200 ? page.json().location : page.headers.location, `${provider.issuer}/session/end?`)
  })
}

t.test('onLogout may send the response to a logout itself', async t => {
  const { browser, url, userOf } = await loggedInApp(t, {
    oauth: { onLogout: (_request, reply) => reply?.redirect('/mine') }
  })
  t.match(await browser.post(`${url}/logout`, { redirect: 'manual' }), { status: 302, headers: { location: '/mine' } })
  t.equal(await userOf(browser), null)
})

t.test('a returnTo that no cookie can remember leads home after a logout, and the log says so', async (t) => {
  const log = captureLog()
  const { browser, url } = await loggedInApp(t, { fastify: { logger: log.logger } })
  for (const returnTo of [`/?${';'.repeat(2047)}`, `/${'日'.repeat(400)}`]) {
    const { location } = await browser.post(`${url}/logout`, { form: { returnTo }, redirect: 'manual' })
    const state = new URL(location!).searchParams.get('state')!
    t.equal((await browser.get(`${url}/logout/callback?state=${state}`, { redirect: 'manual' })).location, `${url}/`)
    t.match(log.lines.findLast(({ level }) => level === 40), { length: returnTo.length, limit: 2048 })
    await browser.login(`${url}/login/acme`)
  }
})

t.test('a store that is down at logout: 503, and the user is still logged in', async (t) => {
  const { browser, url, store, userOf } = await loggedInApp(t, { wrong: {} })
  store.fail.get = store.fail.set = store.fail.destroy = true
  const page = await browser.post(`${url}/logout`, { ...asJson, redirect: 'manual' })
  t.equal(page.status, 503)
  t.equal(codeOf(page), 'FST_OAUTH_STORE_UNAVAILABLE')
  t.notMatch(page.text, '10.1.2.3')
  store.fail.get = store.fail.set = store.fail.destroy = false
  t.equal(await userOf(browser), 'alice')
  t.equal(tokenRecords(store).size, 1)
})

t.test('a store that can no longer delete: 503, and the user is still logged in, with working tokens', async t => {
  const { browser, url, store, userOf } = await loggedInApp(t, {
    wrong: {},
    setup: app => { app.get('/tokens', async request => (await request.oauth.tokens()).tokenType) }
  })
  store.fail.destroy = true
  const page = await browser.post(`${url}/logout`, { redirect: 'manual' })
  t.equal(page.status, 503)
  t.match(page.text, 'you may still be logged in')
  t.equal(page.headers['cache-control'], 'no-store')
  store.fail.destroy = false
  t.equal(await userOf(browser), 'alice')
  t.equal((await browser.get(`${url}/tokens`)).text, 'Bearer')
  t.equal((await browser.post(`${url}/logout`, { redirect: 'manual' })).status, 302, 'and the next try succeeds')
  t.equal(await userOf(browser), null)
  t.equal(tokenRecords(store).size, 0, 'and leaves no token behind')
})

t.test('a store that fails only when the session itself is deleted: 503', async (t) => {
  const { browser, url, store } = await loggedInApp(t, { wrong: {} })
  const destroying = store.holdNext('destroy', (id) => !id.includes(':'))
  const page = browser.post(`${url}/logout`, { ...asJson, redirect: 'manual' })
  await destroying.arrived
  store.fail.destroy = true
  destroying.release()
  t.equal((await page).status, 503)
  t.equal(codeOf(await page), 'FST_OAUTH_STORE_UNAVAILABLE')
})

// Requests beside a logout

/** A route that writes into its session once the gate lets it go on. */
const writeAfter = (gate: Gate) => (app: FastifyInstance) => {
  app.get('/slow', async ({ session }) => {
    await gate.pass()
    session.set('visits' as never, 1 as never)
    return 'done'
  })
}

for (const rolling of [true, false]) {
  t.test(`race: a slower request that writes into the session brings no login back, rolling ${rolling}`, async (t) => {
    const gate = new Gate()
    const { browser, url, userOf, store } = await loggedInApp(t, {
      wrong: {},
      session: { rolling },
      setup: writeAfter(gate)
    })
    const copy = browser.copy()
    const slow = browser.get(`${url}/slow`)
    await gate.arrived
    await browser.post(`${url}/logout`)
    gate.release()
    await slow
    t.equal(await userOf(browser), null)
    t.equal(await userOf(copy), null)
    t.equal(tokenRecords(store).size, 0)
    t.notOk([...store.records.values()].some((json) => json.includes('"accounts"')))
  })
}

t.test('race: a request that began before the logout sees it afterwards', async (t) => {
  const waiting = new Gate()
  const { browser, url } = await loggedInApp(t, {
    wrong: {},
    setup: (app) => {
      app.get('/waiting', async ({ oauth }) => {
        const before = oauth.user?.id
        await waiting.pass()
        return { before, authenticated: oauth.authenticated, user: oauth.user, accounts: oauth.accounts }
      })
    }
  })
  const response = browser.get(`${url}/waiting`)
  await waiting.arrived
  await browser.post(`${url}/logout`)
  waiting.release()
  t.strictSame((await response).json(), { before: 'alice', authenticated: false, user: null, accounts: [] })
})

t.test('race: a request that writes into the session during the revocation brings no login back', async t => {
  const gate = new Gate()
  const { browser, url, provider, userOf } = await loggedInApp(t, {
    setup: writeAfter(gate)
  })
  const copy = browser.copy()
  const slow = copy.get(`${url}/slow`)
  await gate.arrived
  const revocation = provider.endpoints.revocation.hold()
  const leaving = browser.post(`${url}/logout`, { redirect: 'manual' })
  await revocation.arrived
  gate.release()
  t.equal((await slow).status, 200)
  t.equal(await userOf(copy), null)
  revocation.release()
  await leaving
  t.equal(await userOf(copy), null)
  t.equal(await userOf(browser), null)
})

t.test('race: a slower request that calls session.save() brings no login back', async (t) => {
  const gate = new Gate()
  const { browser, url, userOf } = await loggedInApp(t, {
    wrong: {},
    setup: (app) => {
      app.get('/slow', async ({ session }, reply) => {
        await gate.pass()
        reply.hijack()
        await session.save()
        reply.raw.end('done')
      })
    }
  })
  const copy = browser.copy()
  const slow = browser.get(`${url}/slow`)
  await gate.arrived
  await browser.post(`${url}/logout`)
  gate.release()
  await slow
  t.equal(await userOf(copy), null)
})

// The app's own ways to end a session

/** Routes that end the session by hand, as a handler would, and one that tells of the tokens. */
function ownRoutes (app: FastifyInstance): void {
  app.post('/destroy', async request => {
    await request.session.destroy()
    return 'bye'
  })
  app.post('/regenerate', async request => {
    await request.session.regenerate()
    return 'new'
  })
  app.post('/regenerate-with-login', async request => {
    await request.session.regenerate(['oauth' as never])
    return 'new'
  })
  app.post('/forget', async request => {
    delete request.session.oauth
    return 'forgotten'
  })
  app.post('/hijack', async (request, reply) => {
    reply.hijack()
    await request.session.destroy()
    reply.raw.end('bye')
  })
  app.get('/tokens', async (request) => (await request.oauth.tokens()).accessToken)
}

for (const path of ['/destroy', '/regenerate', '/forget']) {
  t.test(`the tokens go with the session where the app's own handler ends it (${path})`, async (t) => {
    const app = await loggedInApp(t, { wrong: {}, setup: ownRoutes })
    const copy = app.browser.copy()
    t.equal((await app.browser.post(app.url + path, { json: {} })).status, 200)
    await assertLoggedOut(t, app)
    t.equal((await copy.get(`${app.url}/tokens`)).status, 401)
  })
}

t.test('the tokens go with the session where a handler ends it after reply.hijack()', async (t) => {
  const app = await loggedInApp(t, { wrong: {}, setup: ownRoutes })
  const [record] = tokenRecords(app.store).keys()
  const gone = deferred()
  const remove = app.store.records.delete.bind(app.store.records)
  app.store.records.delete = (id) => {
    if (id.endsWith(record!)) gone.resolve()
    return remove(id)
  }
  t.equal((await app.browser.post(`${app.url}/hijack`, { json: {} })).text, 'bye')
  await gone.promise
  await assertLoggedOut(t, app)
})

t.test('regenerate([\'oauth\']) in a handler gives the login a new session id, and keeps the tokens', async (t) => {
  const { browser, url, store, userOf } = await loggedInApp(t, { wrong: {}, setup: ownRoutes })
  const before = browser.cookie('sessionId')
  const token = (await browser.get(`${url}/tokens`)).text
  await browser.post(`${url}/regenerate-with-login`, { json: {} })
  t.not(browser.cookie('sessionId'), before)
  t.equal(await userOf(browser), 'alice')
  t.equal((await browser.get(`${url}/tokens`)).text, token)
  t.equal(tokenRecords(store).size, 1)
  await browser.post(`${url}/logout`)
  t.equal(tokenRecords(store).size, 0, 'and the logout finds them')
})

// Hooks and calls

t.test('onLogout gets the user, once the logout has taken effect', async (t) => {
  const events: unknown[] = []
  const app = await loggedInApp(t, {
    wrong: {},
    oauth: {
      onLogout: (request, _reply, event) => {
        events.push([event.provider, event.user?.id, request.oauth.authenticated])
      }
    }
  })
  await app.browser.post(`${app.url}/logout`)
  t.strictSame(events, [['acme', 'alice', false]])
})

t.test('request.oauth.logout() in a handler ends the session and returns where the browser has to go', async (t) => {
  const { browser, url, provider, userOf } = await loggedInApp(t, {
    setup: (app) => { app.post('/bye', async (request) => request.oauth.logout()) }
  })
  const { endSessionUrl } = (await browser.post(`${url}/bye`, { json: {} })).json<{ endSessionUrl: string }>()
  t.match(endSessionUrl, new RegExp(`^${provider.issuer}/session/end\\?id_token_hint=`))
  t.equal(await userOf(browser), null)
  t.equal(provider.endpoints.revocation.requests.length, 2)
})

t.test('request.oauth.logout(reply) in a handler sends the browser on', async (t) => {
  const { browser, url, provider, userOf } = await loggedInApp(t, {
    setup: (app) => { app.post('/bye', async (request, reply) => request.oauth.logout(reply)) }
  })
  const page = await browser.post(`${url}/bye`, { json: {}, redirect: 'manual' })
  t.match(page.location, new RegExp(`^${provider.issuer}/session/end\\?`))
  t.equal(browser.cookie('sessionId'), undefined)
  t.equal(await userOf(browser), null)
})

t.test('a postLogoutRedirectUri that is registered elsewhere goes to the provider as it is', async (t) => {
  const { browser, url } = await loggedInApp(t, {
    provider: { postLogoutRedirectUri: 'https://www.example.com/bye' }
  })
  const { location } = await browser.post(`${url}/logout`, { redirect: 'manual' })
  t.equal(new URL(location!).searchParams.get('post_logout_redirect_uri'), 'https://www.example.com/bye')
})

t.test(
  'an end-session endpoint that is plain http, elsewhere, is not visited: the ID token would go along',
  async t => {
    const { browser, url, userOf } = await loggedInApp(t, {
      wrong: { metadata: { end_session_endpoint: 'http://login.example/end' } }
    })
    const page = await browser.post(`${url}/logout`, { redirect: 'manual' })
    t.equal(page.location, `${url}/`)
    t.equal(await userOf(browser), null)
  }
)

t.test('a session cookie with a prefix and a path of its own is cleared, too', async t => {
  const { browser, url, userOf } = await loggedInApp(t, {
    wrong: {},
    session: { cookieName: 'sid', cookiePrefix: 's:', cookie: { secure: false, path: '/' } }
  })
  t.ok(browser.cookie('sid'))
  await browser.post(`${url}/logout`)
  t.equal(browser.cookie('sid'), undefined)
  t.equal(await userOf(browser), null)
})
