import t from 'tap'
import { type Page } from '../helpers/browser.ts'
import { asJson, callbackUrl, codeOf, loginApp } from '../helpers/login-app.ts'

// The responses of the routes: pages and JSON, their headers, and what the app may replace.

t.test('no response of login, callback or logout may be cached', async t => {
  const { browser, url } = await loginApp(t, {
    providers: ({ providerOptions }) => ({ acme: providerOptions, other: providerOptions })
  })
  const callback = await callbackUrl(browser, `${url}/login/acme`)
  const pages: Page[] = []
  for (const path of [
    '/login', '/login/acme', '/login/unknown', '/login/acme/callback?code=c&state=s', '/logout',
    '/logout/callback', callback, '/logout'
  ]) {
    for (const accept of ['text/html', 'application/json']) {
      pages.push(
        await browser.get(path.startsWith('/') ? url + path : path, { headers: { accept }, redirect: 'manual' })
      )
    }
  }
  pages.push(await browser.post(`${url}/logout`, { headers: { 'sec-fetch-site': 'cross-site' }, redirect: 'manual' }))
  pages.push(await browser.post(`${url}/login/acme/callback`, { redirect: 'manual' }))
  pages.push(
    await browser.post(`${url}/login/acme/callback`, { headers: { 'content-type': 'image/png' }, redirect: 'manual' })
  )
  pages.push(await browser.post(`${url}/logout`, { redirect: 'manual' }))
  t.strictSame(
    pages
      .filter(page => page.headers['cache-control'] !== 'no-store')
      .map(({ method, url, status }) => `${method} ${url} ${status}`),
    []
  )
  t.strictSame([...new Set(pages.map(({ status }) => status))].sort(), [200, 302, 400, 403, 404, 415])
})

t.test('every page has a Content-Security-Policy, and its type may not be guessed', async t => {
  const { browser, url } = await loginApp(t, {
    providers: ({ providerOptions }) => ({ acme: providerOptions, other: providerOptions })
  })
  for (const path of ['/login', '/login/unknown', '/login/acme/callback', '/logout', '/logout/callback']) {
    const { headers } = await browser.get(url + path)
    t.match(
      headers['content-security-policy'],
      /^default-src 'none'; style-src 'sha256-[^']+'; base-uri 'none'; frame-ancestors 'none'; form-action /,
      path
    )
    t.equal(headers['x-content-type-options'], 'nosniff')
    t.equal(headers['content-type'], 'text/html; charset=utf-8')
  }
})

for (const [accept, type] of [
  ['text/html,application/xhtml+xml,*/*;q=0.8', 'text/html; charset=utf-8'],
  ['application/json', 'application/json; charset=utf-8'],
  ['*/*', 'application/json; charset=utf-8'],
  [undefined, 'application/json; charset=utf-8'],
] as const) {
  t.test(`a client that accepts ${accept ?? 'anything'} gets a failure as ${type}`, async (t) => {
    const { browser, url } = await loginApp(t)
    const page = await browser.get(`${url}/login/acme/callback?code=c&state=s`, { headers: { accept } })
    t.equal(page.status, 400)
    t.equal(page.headers['content-type'], type)
    t.equal(codeOf(page), 'FST_OAUTH_STATE_MISMATCH')
  })
}

t.test('an error in JSON has a status, a code and a sentence', async (t) => {
  const { browser, url } = await loginApp(t)
  const page = await browser.get(`${url}/login/acme/callback?code=c&state=s`, asJson)
  t.match(page.json(), {
    statusCode: 400,
    code: 'FST_OAUTH_STATE_MISMATCH',
    error: 'Bad Request',
    message: /start the login again/,
    provider: 'acme'
  })
})

t.test('a page about a failure has a way on, and a number to be looked up in the log', async (t) => {
  const { browser, url } = await loginApp(t, { provider: { title: 'Acme <&> Co' } })
  const page = await browser.get(`${url}/login/acme/callback?code=c&state=s`)
  t.match(page.text, 'href="/login/acme"')
  t.match(page.text, /Request: <code>req-\w+<\/code>/)
})

t.test('XSS: a request id that came from outside is escaped', async (t) => {
  const { browser, url } = await loginApp(t, { fastify: { requestIdHeader: 'x-request-id' } })
  const page = await browser.get(`${url}/login/unknown`, { headers: { 'x-request-id': '<script>alert(1)</script>' } })
  t.match(page.text, '&lt;script&gt;alert(1)&lt;/script&gt;')
  t.notMatch(page.text, '<script>')
})

t.test('XSS: titles of providers are escaped', async (t) => {
  const { browser, url } = await loginApp(t, {
    providers: ({ providerOptions }) => ({
      acme: { ...providerOptions, title: '<script>alert(1)</script>' },
      other: providerOptions
    }),
    wrong: { instead: { discovery: { status: 500 } } }
  })
  for (const path of ['/login', '/login/acme']) {
    const page = await browser.get(url + path)
    t.match(page.text, '&lt;script&gt;alert(1)&lt;/script&gt;', path)
    t.notMatch(page.text, '<script>')
  }
})

t.test('XSS: a returnTo on the page of choices is escaped, and a bad one left out', async t => {
  const { browser, url } = await loginApp(t, {
    providers: ({ providerOptions }) => ({ acme: providerOptions, other: providerOptions })
  })
  const page = await browser.get(`${url}/login?${new URLSearchParams({ returnTo: '/"><script>alert(1)</script>' })}`)
  t.notMatch(page.text, '<script>')
  t.match((await browser.get(`${url}/login?returnTo=/orders`)).text, 'href="/login/other?returnTo=%2Forders"')
  t.notMatch((await browser.get(`${url}/login?returnTo=//evil.example`)).text, 'evil')
})

t.test('the chooser does not show a provider that users cannot log in with', async (t) => {
  const { browser, url } = await loginApp(t, {
    providers: ({ providerOptions }) => ({
      acme: providerOptions,
      billing: { ...providerOptions, grantType: 'client_credentials' },
      television: { ...providerOptions, grantType: 'device_code' },
      staff: { ...providerOptions, grantType: 'password' }
    })
  })
  const asked = async (path: string, method: 'get' | 'post' = 'get') => {
    const { status, text } = await browser[method](url + path, { ...asJson, redirect: 'manual' })
    return { status, body: text.replace(/req-\w+/, '') }
  }
  const unknown = await asked('/login/x')
  t.equal(unknown.status, 404)
  for (const name of ['acme', 'billing', 'television', 'staff']) t.notMatch(unknown.body, name)
  for (const name of ['billing', 'television']) {
    t.strictSame(await asked(`/login/${name}`), unknown, 'no other answer than for a name that is none')
    t.strictSame(await asked(`/login/${name}/callback?code=c&state=s`), await asked('/login/x/callback?code=c&state=s'))
    t.strictSame(await asked(`/login/${name}`, 'post'), unknown)
  }
})

t.test('with several providers /login lets the user choose', async t => {
  const { browser, url } = await loginApp(t, {
    providers: ({ providerOptions }) => ({ acme: { ...providerOptions, title: 'Acme' }, other: providerOptions })
  })
  const page = await browser.get(`${url}/login`)
  t.equal(page.status, 200)
  t.strictSame(
    [...page.text.matchAll(/<a class="button" href="([^"]*)">([^<]*)/g)].map(([, href, label]) => [href, label]),
    [['/login/acme', 'Acme'], ['/login/other', 'other']]
  )
})

t.test('with a defaultProvider, or only one, /login begins right away', async (t) => {
  for (const app of [
    await loginApp(t),
    await loginApp(t, {
      providers: ({ providerOptions }) => ({ other: providerOptions, acme: providerOptions }),
      oauth: { defaultProvider: 'acme' }
    })
  ]) {
    const page = await app.browser.get(`${app.url}/login`, { redirect: 'manual' })
    t.match(page.location, app.provider.url('authorization'))
    t.equal(new URL(page.location!).searchParams.get('redirect_uri'), `${app.url}/login/acme/callback`)
  }
})

t.test("a page of the app's own takes the place of the plugin's, and its policy is the app's business", async t => {
  const { browser, url } = await loginApp(t, {
    oauth: {
      pages: { error: (data: { code: string, statusCode: number }) => `<p>${data.statusCode} ${data.code}</p>` }
    }
  })
  const page = await browser.get(`${url}/login/unknown`)
  t.match(page, { status: 404, text: '<p>404 FST_OAUTH_UNKNOWN_PROVIDER</p>' })
  t.equal(page.headers['content-security-policy'], undefined)
})

t.test('onError gets a failure, and may send the response itself', async t => {
  const { browser, url } = await loginApp(t, {
    oauth: { onError: (_request, reply, error) => reply.code(418).send({ mine: error.code }) }
  })
  const page = await browser.get(`${url}/login/unknown`)
  t.match(page, { status: 418 })
  t.strictSame(page.json(), { mine: 'FST_OAUTH_UNKNOWN_PROVIDER' })
})

t.test('onError is awaited: a response that it sends late is the one', async t => {
  const { browser, url } = await loginApp(t, {
    oauth: {
      onError: async (_request, reply) => {
        await new Promise(resolve => setImmediate(resolve))
        return await reply.code(418).send('mine')
      }
    }
  })
  t.match(await browser.get(`${url}/login/unknown`), { status: 418, text: 'mine' })
})

t.test("an error of the app's own is left to the app's error handler", async t => {
  const { browser, url } = await loginApp(t, {
    setup: app => { app.get('/broken', async () => { throw new Error('mine') }) }
  })
  const page = await browser.get(`${url}/broken`)
  t.match(page.json(), { statusCode: 500, message: 'mine' })
  t.equal(page.headers['cache-control'], undefined)
})
