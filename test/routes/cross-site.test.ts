import t from 'tap'
import type { FastifyInstance } from 'fastify'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { asJson, callbackUrl, codeOf, loginApp, pendingLogins, type LoginAppOptions } from '../helpers/login-app.ts'

// What other sites, and what is embedded in any page, can make a browser do.

const twoProviders: LoginAppOptions = {
  providers: ({ providerOptions }) => ({ acme: providerOptions, gh: { ...providerOptions, title: 'Git Hub' } }),
  setup: (app: FastifyInstance) => {
    app.get<{ Params: { name: string } }>('/link/:name', async (request, reply) =>
      request.oauth.login(reply, { provider: request.params.name, link: true, returnTo: '/accounts' })
    )
    app.post('/link', async (request, reply) =>
      request.oauth.login(reply, { provider: 'gh', link: true, returnTo: '/accounts' })
    )
    app.get('/accounts', async request => request.oauth.accounts.map(({ provider }) => provider))
    app.get('/cart', async ({ session }) => ({ cart: session.get('cart' as never) ?? null }))
    app.get('/fill', async ({ session }) => { session.set('cart' as never, 'tea' as never); return 'filled' })
  }
}
const elsewhere = { from: 'https://attacker.example/' }

for (const [what, options] of Object.entries({
  'another site': elsewhere,
  'a neighbour on the same site': { headers: { 'sec-fetch-site': 'same-site' } }
})) {
  for (const name of ['gh', 'acme']) {
    t.test(`a link to ${name} that ${what} starts does not go to the provider unasked`, async (t) => {
      const { browser, url, provider, store } = await loggedInApp(t, { wrong: {}, ...twoProviders })
      const asked = provider.asked('authorization').length
      const page = await browser.get(`${url}/link/${name}`, options)
      t.match(page, {
        status: 403,
        headers: { 'cache-control': 'no-store', 'content-security-policy': /frame-ancestors 'none'/ }
      })
      t.equal(codeOf(page), 'FST_OAUTH_CROSS_SITE_REQUEST')
      t.match(page.text, `href="/link/${name}"`, 'the person is asked')
      t.equal(provider.asked('authorization').length, asked)
      t.strictSame(pendingLogins(store), [])
      t.strictSame(
        (await browser.get(`${url}/link/${name}`, { from: page.url })).json(),
        name === 'gh' ? ['acme', 'gh'] : ['acme']
      )
    })
  }
}

t.test('a link that another site posts, or starts from a script, is an error', async (t) => {
  const { browser, url, provider } = await loggedInApp(t, { wrong: {}, ...twoProviders })
  const asked = provider.asked('authorization').length
  for (const page of [
    await browser.post(`${url}/link`, { ...elsewhere, json: {}, redirect: 'manual' }),
    await browser.post(`${url}/link`, {
      ...elsewhere,
      json: {},
      headers: { 'sec-fetch-site': undefined, 'sec-fetch-mode': undefined, 'sec-fetch-dest': undefined },
      redirect: 'manual'
    }),
    await browser.get(`${url}/link/gh`, { ...elsewhere, ...asJson, mode: 'cors', redirect: 'manual' })
  ]) t.strictSame([page.status, page.json().code], [403, 'FST_OAUTH_CROSS_SITE_REQUEST'])
  t.equal(provider.asked('authorization').length, asked)
})

for (const [what, headers] of Object.entries({
  'the app\'s own page': { 'sec-fetch-site': 'same-origin' },
  'the address bar': { 'sec-fetch-site': 'none' },
  'a browser without Fetch Metadata': {
    'sec-fetch-site': undefined,
    'sec-fetch-mode': undefined,
    'sec-fetch-dest': undefined
  }
})) {
  t.test(`a link from ${what} goes to the provider`, async (t) => {
    const { browser, url } = await loggedInApp(t, { wrong: {}, ...twoProviders })
    t.strictSame((await browser.get(`${url}/link/gh`, { headers })).json(), ['acme', 'gh'])
  })
}

for (const [what, headers] of Object.entries({
  'an image': { 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' },
  'a frame': { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe' },
  'an embedded object': { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'object' },
  'a script': { 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' }
})) {
  for (const from of ['https://attacker.example/', undefined]) {
    t.test(
      `${what} on ${from === undefined ? 'a page of the app' : 'another site'} neither begins a login nor finishes one`,
      async t => {
        const { browser, url, provider, store } = await loggedInApp(t, { wrong: {}, ...twoProviders })
        await browser.get(`${url}/fill`)
        const options = { headers, from: from ?? url, redirect: 'manual' } as const
        const begun = await browser.get(`${url}/login/gh`, options)
        t.strictSame([begun.status, codeOf(begun)], [403, 'FST_OAUTH_CROSS_SITE_REQUEST'])
        t.strictSame(pendingLogins(store), [])

        const callback = await callbackUrl(browser, `${url}/login/gh`)
        const exchanges = provider.asked('token').length
        const finished = await browser.get(callback, options)
        t.strictSame([finished.status, codeOf(finished)], [403, 'FST_OAUTH_CROSS_SITE_REQUEST'])
        t.equal(provider.asked('token').length, exchanges)
        t.strictSame((await browser.get(`${url}/accounts`)).json(), ['acme'])
        t.strictSame((await browser.get(`${url}/cart`)).json(), { cart: 'tea' })

        await browser.get(callback)
        t.strictSame(
          (await browser.get(`${url}/accounts`)).json(),
          ['gh'],
          'the login that was under way is not used up'
        )
      }
    )
  }
}

t.test('a login that another site starts, and the user declines, leaves the one before as it was', async (t) => {
  const { browser, url, provider } = await loggedInApp(t, { wrong: {}, ...twoProviders })
  await browser.get(`${url}/fill`)
  provider.wrong = { callback: (params) => { params.delete('code'); params.set('error', 'access_denied') } }
  t.equal((await browser.get(`${url}/login/acme`, elsewhere)).status, 403)
  t.strictSame((await browser.get(`${url}/accounts`)).json(), ['acme'])
  t.strictSame((await browser.get(`${url}/cart`)).json(), { cart: 'tea' })
})

t.test('routes: false: neither the login nor the callback of the app\'s own routes is open to an image', async (t) => {
  const { browser, url } = await loginApp(t, {
    oauth: { routes: false },
    setup: (app) => {
      app.get('/in', async (request, reply) => request.oauth.login(reply))
      app.get('/login/:provider/callback', async (request, reply) => request.oauth.callback(reply))
    }
  })
  const headers = { 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' }
  t.equal((await browser.get(`${url}/in`, { headers, redirect: 'manual' })).status, 403)
  const callback = await callbackUrl(browser, `${url}/in`)
  t.equal((await browser.get(callback, { headers, redirect: 'manual' })).status, 403)
  t.strictSame((await browser.get(callback)).json(), { user: 'alice' })
})
