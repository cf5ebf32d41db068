import t, { type Test } from 'tap'
import { redisStore } from '../../lib/redis.ts'
import { SessionTokenStore } from '../../lib/tokens/stores/session-store.ts'
import { Browser } from '../helpers/browser.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import type { LoginAppOptions } from '../helpers/login-app.ts'
import type { MisbehavingProvider } from '../helpers/misbehaving-provider.ts'
import { expireTokens, tokenRecords } from '../helpers/records.ts'
import { JsonStore } from '../helpers/stores.ts'
import { until } from '../helpers/until.ts'
import { unlessAway, wrappedStore } from '../helpers/wrapped-store.ts'

// Every token that the provider still accepts when a login ends is revoked, whichever process knows of it.

const revoked = (provider: MisbehavingProvider) => provider.asked('revocation').map(({ form }) => form.get('token'))

async function notified (t: Test, options: LoginAppOptions = {}) {
  const issued: { access_token: string, refresh_token: string }[] = []
  const app = await loggedInApp(t, {
    wrong: {},
    oauth: { refresh: 'notify' },
    setup: (app) => { app.get('/call', async (request) => await request.oauth.get('thing').json()) },
    ...options,
    provider: (server) => ({
      revocationEndpoint: server.url('revocation'),
      resourceServers: ['http://127.0.0.1:9/'],
      hooks: {
        accessTokenResponse: ({ text }) => { issued.push(JSON.parse(text)) },
        refreshTokenResponse: ({ text }) => { issued.push(JSON.parse(text)) }
      },
      ...options.provider
    })
  })
  expireTokens(app.store)
  t.match((await app.browser.get(`${app.url}/call`)).text, 'FST_OAUTH_TOKENS_UPDATED')
  t.equal(issued.length, 2)
  return { ...app, issued }
}

for (const how of ['logout', 'logoutUser']) {
  t.test(`${how} revokes a refreshed set that is not saved yet`, async (t) => {
    const { app, provider, browser, url, issued } = await notified(t)
    if (how === 'logout') await browser.post(`${url}/logout`, { redirect: 'manual' })
    else t.equal(await app.oauth.logoutUser({ provider: 'acme', subject: 'alice' }), 1)
    const [login, refreshed] = issued
    await until(() => revoked(provider).length >= 4, 'four tokens are revoked')
    t.strictSame(revoked(provider), [
      refreshed!.refresh_token,
      refreshed!.access_token,
      login!.refresh_token,
      login!.access_token
    ])
  })
}

t.test('a headless session that is revoked revokes the set that it handed out last, too', async (t) => {
  const { app, provider, issued, browser, url } = await notified(t)
  await browser.post(`${url}/logout`, { redirect: 'manual' })
  await until(() => revoked(provider).length >= 4, 'four tokens are revoked')
  const session = app.oauth.provider('acme').session({ refresh: 'notify' })
  const { url: start, state } = await session.authorizationUrl({ redirectUri: 'https://app.example/cb' })
  const back = await new Browser().get(start, { redirect: 'manual' })
  t.equal(new URL(back.location!).searchParams.get('state'), state)
  const tokens = await session.fetchTokens({ callbackUrl: back.location!, redirectUri: 'https://app.example/cb' })
  await session.save({ ...tokens, expiresAt: 1 })
  await t.rejects(session.get('thing'), { code: 'FST_OAUTH_TOKENS_UPDATED' })
  t.equal(await session.revoke(), true)
  t.ok(revoked(provider).includes(issued.at(-1)!.refresh_token))
  t.ok(revoked(provider).includes(issued.at(-1)!.access_token))
})

t.test(
  'a deletion whose reply from the store was lost: the tokens this process knows are revoked, once',
  async t => {
    const store = new JsonStore()
    let failing = false
    const tokenStore = wrappedStore(new SessionTokenStore(() => store), inner => ({
      consume: async id => {
        const taken = await inner.consume(id)
        if (failing) throw new Error('connection lost')
        return taken
      }
    }))
    const { provider, browser, url, issued } = await notified(t, {
      oauth: { refresh: 'notify', tokenStore },
      session: { store }
    })
    failing = true
    t.equal((await browser.post(`${url}/logout`, { redirect: 'manual' })).status, 503)
    failing = false
    await until(() => revoked(provider).length >= 4, 'four tokens are revoked')
    t.ok(revoked(provider).includes(issued[1]!.refresh_token))
    t.equal((await browser.post(`${url}/logout`, { redirect: 'manual' })).status, 302)
    t.equal(revoked(provider).length, 4)
  }
)

t.test('a logout whose deletion did not come about revokes nothing: the user is still logged in', async (t) => {
  const store = new JsonStore()
  let failing = false
  let looks = 0
  const tokenStore = wrappedStore(new SessionTokenStore(() => store), inner => ({
    get: async (id) => {
      looks++
      return await inner.get(id)
    },
    consume: async (id) => {
      if (failing) throw new Error('connection lost')
      return await inner.consume(id)
    }
  }))
  const { provider, browser, url } = await notified(t, { oauth: { refresh: 'notify', tokenStore }, session: { store } })
  failing = true
  const before = looks
  t.equal((await browser.post(`${url}/logout`, { redirect: 'manual' })).status, 503)
  await until(() => looks > before, 'the store was looked at')
  await new Promise(resolve => setImmediate(resolve))
  t.strictSame(revoked(provider), [])
  t.equal(tokenRecords(store).size, 1)
  failing = false
  t.equal((await browser.post(`${url}/logout`, { redirect: 'manual' })).status, 302)
  await until(() => revoked(provider).length >= 4, 'four tokens are revoked')
})

t.test(
  'a set that could not be written while its login was ended elsewhere is revoked when the store is back',
  async t => {
    let away = false
    const setup = await loggedInApp(t, {
      processes: 2,
      oauth: (index, client) => index === 1
        ? {}
        : { tokenStore: wrappedStore(redisStore(client), store => unlessAway(store, () => away)) }
    })
    if (setup === undefined) return
    const { apps: [, other], browser, orders, provider, expireTokens, tokenRecords } = setup
    await expireTokens()
    const gate = provider.holdTokenEndpoint({ afterwards: true })
    const call = orders(0)
    await gate.arrived
    away = true
    gate.release()
    t.equal((await call).status, 200, 'served from memory')
    await browser.get(other!.url)
    await browser.logout(`${other!.url}/logout`)
    away = false
    const rotated = (gate.arrivals[0]!.answer?.body as { refresh_token: string }).refresh_token
    const tokens = () => provider.endpoints.revocation.requests.map(({ body }) => body.token)
    await until(() => tokens().includes(rotated), 'the rotated token is revoked')
    t.equal((await tokenRecords()).size, 0)
  }
)
