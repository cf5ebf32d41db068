import t from 'tap'
import type { FastifyInstance } from 'fastify'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { asJson, codeOf, loginApp, type LoginAppOptions } from '../helpers/login-app.ts'
import { expireTokens, tokenRecords } from '../helpers/records.ts'

// Several accounts in one login: the one that was logged in with is the login, and no other takes its place.

/** Providers `acme`, `gh` and `lab`, whose user is always alice. */
const severalProviders: LoginAppOptions = {
  providers: ({ providerOptions }) => ({ acme: providerOptions, gh: providerOptions, lab: providerOptions }),
  setup: (app: FastifyInstance) => {
    app.get<{ Params: { name: string } }>('/link/:name', async (request, reply) =>
      request.oauth.login(reply, { provider: request.params.name, link: true, returnTo: '/who' })
    )
    app.get('/who', async ({ oauth }) => ({
      provider: oauth.provider ?? null,
      user: oauth.user?.id ?? null,
      authenticated: oauth.authenticated,
      accounts: oauth.accounts.map(({ provider }) => provider)
    }))
    app.get<{ Params: { name: string } }>(
      '/refresh/:name',
      async request => (await request.oauth.using(request.params.name).refresh()).scope
    )
    app.get<{ Params: { name: string } }>(
      '/tokens/:name',
      async request => (await request.oauth.using(request.params.name).tokens()).tokenType
    )
    app.get('/tokens', async request => (await request.oauth.tokens()).tokenType)
    app.get('/guarded', { onRequest: app.oauth.requireLogin() }, async () => 'passed')
    app.get('/guarded/:name', { onRequest: app.oauth.requireLogin({ provider: 'gh' }) }, async () => 'passed')
  }
}
const loggedOut = { provider: null, user: null, authenticated: false, accounts: [] }
const invalidGrant = { status: 400, body: { error: 'invalid_grant' } }

for (const [how, path] of Object.entries({
  'a refresh that the provider refuses': '/refresh/acme',
  'a call whose refresh is refused': '/tokens'
})) {
  t.test(`when the tokens of the first account end, the whole login ends: ${how}`, async t => {
    const { browser, url, provider, store } = await loggedInApp(t, { wrong: {}, ...severalProviders })
    await browser.get(`${url}/link/gh`)
    expireTokens(store)
    provider.wrong = { instead: { token: invalidGrant } }
    t.equal(codeOf(await browser.get(url + path, asJson)), 'FST_OAUTH_LOGIN_ENDED')
    provider.wrong = {}
    t.equal(tokenRecords(store).size, 0, 'no token of either account is left')
    t.equal((await browser.get(`${url}/guarded`, asJson)).status, 401)
    t.equal((await browser.get(`${url}/guarded/gh`, asJson)).status, 401)
    t.strictSame((await browser.get(`${url}/who`)).json(), loggedOut)
    t.equal((await browser.get(`${url}/tokens/gh`, asJson)).status, 401)
  })
}

for (const path of ['/guarded', '/guarded/gh', '/tokens/gh', '/refresh/gh', '/tokens']) {
  t.test(
    `when another process deletes the first account, the whole login ends (${path})`,
    async t => {
      const { browser, url, store } = await loggedInApp(t, { wrong: {}, ...severalProviders })
      const [acme] = tokenRecords(store).keys()
      await browser.get(`${url}/link/gh`)
      store.records.delete(acme!)
      const page = await browser.get(url + path, asJson)
      t.equal(page.status, 401)
      t.equal(tokenRecords(store).size, 0, 'no token of either account is left')
      t.strictSame((await browser.get(`${url}/who`)).json(), loggedOut)
    }
  )
}

t.test('when an added account ends, the login and its other accounts stay', async (t) => {
  const { browser, url, provider, store } = await loggedInApp(t, { wrong: {}, ...severalProviders })
  await browser.get(`${url}/link/gh`)
  provider.wrong = { instead: { token: invalidGrant } }
  t.equal(codeOf(await browser.get(`${url}/refresh/gh`, asJson)), 'FST_OAUTH_LOGIN_ENDED')
  t.strictSame((await browser.get(`${url}/who`)).json(), {
    provider: 'acme',
    user: 'alice',
    authenticated: true,
    accounts: ['acme']
  })
  t.equal((await browser.get(`${url}/guarded`)).text, 'passed')
  t.equal(tokenRecords(store).size, 1)
})

for (const where of ['here', 'at another process']) {
  t.test(`an added account whose tokens ended ${where} does not come back when another one is added`, async (t) => {
    const { browser, url, provider, store } = await loggedInApp(t, { wrong: {}, ...severalProviders })
    const [acme] = tokenRecords(store).keys()
    await browser.get(`${url}/link/gh`)
    if (where === 'here') {
      provider.wrong = { instead: { token: invalidGrant } }
      await browser.get(`${url}/refresh/gh`, asJson)
      provider.wrong = {}
    } else {
      const gh = [...tokenRecords(store).keys()].find(id => id !== acme)
      store.records.delete(gh!)
    }
    t.match((await browser.get(`${url}/link/lab`)).json(), { accounts: ['acme', 'lab'] })
  })
}

t.test(
  'user and provider stay those of the first account, whatever defaultProvider says',
  async t => {
    const { browser, url, provider } = await loginApp(t, { ...severalProviders, oauth: { defaultProvider: 'acme' } })
    provider.subject = 'bob'
    await browser.login(`${url}/login/gh`)
    provider.subject = 'alice'
    await browser.get(`${url}/link/acme`)
    t.strictSame((await browser.get(`${url}/who`)).json(), {
      provider: 'gh',
      user: 'bob',
      authenticated: true,
      accounts: ['gh', 'acme']
    })
  }
)

t.test('request.oauth calls as the user who is logged in, though the default provider is the app\'s own', async (t) => {
  const { browser, url, provider } = await loggedInApp(t, {
    wrong: {},
    login: 'gh',
    providers: ({ providerOptions, issuer }) => ({
      gh: { ...providerOptions, resourceServers: [issuer] },
      service: { ...providerOptions, scope: [], grantType: 'client_credentials', resourceServers: [issuer] }
    }),
    oauth: { defaultProvider: 'service' },
    setup: (app) => { app.get('/call', async (request) => request.oauth.get('userinfo').json()) }
  })
  provider.requests.length = 0
  t.match((await browser.get(`${url}/call`)).json(), { sub: 'alice' })
  t.equal(provider.asked('token').length, 0, 'no token of the app\'s own was asked for')
})
