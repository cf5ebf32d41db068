import t from 'tap'
import { Browser } from '../helpers/browser.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { appAt, callbackUrl, loginApp } from '../helpers/login-app.ts'
import { startProvider } from '../helpers/provider.ts'
import { tokenRecords } from '../helpers/records.ts'

// An account that is added to a login by login(reply, { link: true }).

t.test('an account is added to a login only by the session that asked for it', async t => {
  const provider = await startProvider(t)
  const other = await startProvider(t)
  const { browser, url } = await appAt(t, provider, {
    providers: ({ providerOptions }) => ({ acme: providerOptions, other: other.providerOptions }),
    oauth: { defaultProvider: 'acme' },
    setup: app => {
      app.get('/link', async (request, reply) =>
        request.oauth.login(reply, { provider: 'other', link: true, returnTo: '/accounts' })
      )
      app.get('/accounts', async request =>
        request.oauth.accounts.map(({ provider, user }) => `${provider}:${user?.id}`)
      )
      app.get('/other', async request => request.oauth.using('other').get('me').json())
    }
  })
  t.equal((await browser.get(`${url}/link`)).status, 401, 'no user to add it to')
  await browser.login(`${url}/login/acme`)
  const page = await browser.login(`${url}/link`, { user: 'bob' })
  t.strictSame(page.json(), ['acme:alice', 'other:bob'])
  t.match((await browser.get(`${url}/other`)).json(), { sub: 'bob' })
  t.strictSame((await browser.get(url)).json(), { user: 'alice' })
  const attacked = new Browser()
  await attacked.login(`${url}/login/acme`)
  let hop = await attacked.get(`${url}/link`)
  await attacked.login(`${url}/login/acme`) // another login in between
  hop = await attacked.submitForm(hop, { login: 'alice', password: 'alice-password' })
  t.equal(hop.status, 400)
  t.strictSame((await attacked.get(`${url}/accounts`)).json(), ['acme:alice'], 'nothing was added')
  await browser.login(`${url}/login/other`)
  t.strictSame((await browser.get(`${url}/accounts`)).json(), ['other:bob'], 'a plain login replaces every account')
})

t.test(
  'account linking: another user of the same provider gets a session of their own, and no ' +
    'account of the one before',
  async t => {
    const { browser, url, provider, store } = await loggedInApp(t, {
      wrong: {},
      providers: ({ providerOptions }) => ({ acme: providerOptions, other: providerOptions }),
      setup: app => {
        app.get<{ Params: { name: string } }>('/link/:name', async (request, reply) =>
          request.oauth.login(reply, { provider: request.params.name, link: true, returnTo: '/accounts' })
        )
        app.get('/accounts', async request =>
          request.oauth.accounts.map(({ provider, user }) => `${provider}:${user?.id}`)
        )
      }
    })
    await browser.get(`${url}/link/other`)
    t.strictSame(
      (await browser.get(`${url}/link/acme`)).json(),
      ['acme:alice', 'other:alice'],
      'the same user: ' + 'nothing else changes'
    )
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
          app.get<{ Params: { name: string } }>('/link/:name', async (request, reply) =>
            request.oauth.login(reply, { provider: request.params.name, link: true })
          )
          app.get('/renew', async request => {
            await request.session.regenerate(['oauth'])
            return {}
          })
          app.get('/accounts', async request =>
            request.oauth.accounts.map(({ provider, user }) => `${provider}:${user?.id}`)
          )
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
      t.match(errors, [{ code: 'FST_OAUTH_STATE_MISMATCH', provider: 'other', reason: 'link' }])
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
      app.get('/accounts', async request =>
        request.oauth.accounts.map(({ provider, user }) => `${provider}:${user?.id}`)
      )
      app.get('/token', async request => ({ token: (await request.oauth.tokens()).accessToken.length > 0 }))
    }
  })
  t.equal((await link('other')).status, 500)
  t.strictSame((await browser.get(`${url}/accounts`)).json(), ['acme:alice'])
  t.equal(await userOf(browser), 'alice')
  t.strictSame((await browser.get(`${url}/token`)).json(), { token: true })
  t.equal(tokenRecords(store).size, 1)
  t.strictSame(
    [...store.records.values()].filter(json => json.includes('"other"')),
    [],
    'nor does the session ' + 'speak of it'
  )
})
