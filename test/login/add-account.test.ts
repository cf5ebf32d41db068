import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { appAt, asJson, callbackUrl, codeOf, loginApp, type LoginApp } from '../helpers/login-app.ts'
import { matchEach } from '../helpers/match-each.ts'
import { startProvider, type TestProvider } from '../helpers/provider.ts'
import { tokenRecords } from '../helpers/records.ts'

// An account that is added to a login by login(reply, { link: true }).

/** Routes that add an account of a provider, and list the accounts of the login. */
function accountRoutes (app: FastifyInstance): void {
  app.get<{ Params: { name: string } }>('/link/:name', async (request, reply) =>
    request.oauth.login(reply, { provider: request.params.name, link: true, returnTo: '/accounts' })
  )
  app.get('/accounts', async ({ oauth }) => oauth.accounts.map(({ provider, user }) => `${provider}:${user?.id}`))
}

/** An app at two providers that each ask for a password. */
async function startAtTwo (t: Test): Promise<LoginApp<TestProvider>> {
  const other = await startProvider(t)
  return await appAt(t, await startProvider(t), {
    providers: ({ providerOptions }) => ({ acme: providerOptions, other: other.providerOptions }),
    oauth: { defaultProvider: 'acme' },
    setup: app => {
      accountRoutes(app)
      app.get('/other', async ({ oauth }) => oauth.using('other').get('me').json())
    }
  })
}

t.test('account linking: without a login there is no user to add an account to', async t => {
  const { browser, url } = await startAtTwo(t)
  t.equal((await browser.get(`${url}/link/other`)).status, 401)
})

t.test('account linking: the account that is added makes calls of its own, and the user stays', async t => {
  const { browser, url } = await startAtTwo(t)
  await browser.login(`${url}/login/acme`)
  const page = await browser.login(`${url}/link/other`, { user: 'bob' })
  t.strictSame(page.json(), ['acme:alice', 'other:bob'])
  t.match((await browser.get(`${url}/other`)).json(), { sub: 'bob' })
  t.strictSame((await browser.get(url)).json(), { user: 'alice' })
})

t.test('account linking: after another login the session that asked is over, and nothing is added', async t => {
  const { browser, url } = await startAtTwo(t)
  await browser.login(`${url}/login/acme`)
  const form = await browser.get(`${url}/link/other`)
  await browser.login(`${url}/login/acme`)
  const page = await browser.submitForm(form, { login: 'alice', password: 'alice-password' }, asJson)
  t.strictSame([page.status, codeOf(page)], [400, 'FST_OAUTH_STATE_MISMATCH'])
  t.strictSame((await browser.get(`${url}/accounts`)).json(), ['acme:alice'])
})

t.test('account linking: a plain login replaces every account', async t => {
  const { browser, url } = await startAtTwo(t)
  await browser.login(`${url}/login/acme`)
  await browser.login(`${url}/link/other`, { user: 'bob' })
  await browser.login(`${url}/login/other`)
  t.strictSame((await browser.get(`${url}/accounts`)).json(), ['other:bob'])
})

t.test(
  'account linking: another user of the same provider gets a session of their own, and no ' +
    'account of the one before',
  async t => {
    const { browser, url, provider, store } = await loggedInApp(t, {
      wrong: {},
      providers: ({ providerOptions }) => ({ acme: providerOptions, other: providerOptions }),
      setup: accountRoutes
    })
    await browser.get(`${url}/link/other`)
    const same = await browser.get(`${url}/link/acme`)
    t.strictSame(same.json(), ['acme:alice', 'other:alice'], 'the same user: nothing else changes')
    const sessionId = browser.cookie('sessionId')
    provider.subject = 'mallory'
    t.strictSame((await browser.get(`${url}/link/acme`)).json(), ['acme:mallory'])
    t.not(browser.cookie('sessionId'), sessionId)
    t.equal(tokenRecords(store).size, 1)
  }
)

for (const [what, between] of Object.entries({
  'another session, with the same login': '/renew',
  'another login, in the same session': '/link/acme'
})) {
  t.test(
    `account linking: ${what}, between request and callback: nothing is added, and the new tokens are revoked`,
    async t => {
      const { browser, url, provider, errors, userOf } = await loginApp(t, {
        providers: ({ providerOptions }) => ({ acme: providerOptions, other: providerOptions }),
        setup: app => {
          accountRoutes(app)
          app.get('/renew', async request => {
            await request.session.regenerate(['oauth'])
            return {}
          })
        }
      })
      provider.wrong = { metadata: { revocation_endpoint: provider.url('revocation') } }
      await browser.login(`${url}/login/acme`)
      provider.subject = 'mallory'
      const callback = await callbackUrl(browser, `${url}/link/other`)
      provider.subject = 'alice'
      await browser.get(url + between)
      const revoked = provider.asked('revocation').length
      t.equal((await browser.get(callback)).status, 400)
      matchEach(t, errors, [{ code: 'FST_OAUTH_STATE_MISMATCH', provider: 'other', reason: 'link' }])
      t.strictSame((await browser.get(`${url}/accounts`)).json(), ['acme:alice'])
      t.equal(await userOf(browser), 'alice')
      t.equal(provider.asked('revocation').length, revoked + 2)
    }
  )
}

t.test('account linking: onLogin that throws adds nothing, and takes nothing away', async t => {
  const { browser, url, store, userOf, link } = await loggedInApp(t, {
    wrong: {},
    providers: ({ providerOptions }) => ({ acme: providerOptions, other: providerOptions }),
    oauth: {
      onLogin: (_request, _reply, { provider }) => {
        if (provider === 'other') throw new Error('not this one')
      }
    },
    setup: app => {
      accountRoutes(app)
      app.get('/token', async request => ({ token: (await request.oauth.tokens()).accessToken.length > 0 }))
    }
  })
  t.equal((await link('other')).status, 500)
  t.strictSame((await browser.get(`${url}/accounts`)).json(), ['acme:alice'])
  t.equal(await userOf(browser), 'alice')
  t.strictSame((await browser.get(`${url}/token`)).json(), { token: true })
  t.equal(tokenRecords(store).size, 1)
  const session = [...store.records.values()].filter(json => json.includes('"other"'))
  t.strictSame(session, [], 'nor does the session speak of it')
})
