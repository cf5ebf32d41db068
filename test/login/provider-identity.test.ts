import t, { type Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import { createProvider, type ProviderOptions, type TokenSet } from '../../lib/index.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { appAt, asJson, callbackUrl, codeOf, type LoginApp } from '../helpers/login-app.ts'
import { startMisbehavingProvider, type MisbehavingProvider } from '../helpers/misbehaving-provider.ts'
import { expireTokens, tokenRecords } from '../helpers/records.ts'
import { JsonStore } from '../helpers/stores.ts'

// A login belongs to the provider that it was made at, whatever has that provider's name in the options by now.

function routes (app: FastifyInstance): void {
  app.get('/me', async ({ oauth }) => {
    const { authenticated, user, provider = null, accounts } = oauth
    return { authenticated, user: user?.id ?? null, provider, accounts: accounts.length }
  })
  app.get('/call', async ({ oauth }) => ({ status: (await oauth.get('thing')).statusCode }))
  app.get('/guarded', { onRequest: app.oauth.requireLogin() }, async () => 'in')
}

const withApi = (provider: MisbehavingProvider, options: Partial<ProviderOptions> = {}): ProviderOptions =>
  ({ ...provider.providerOptions, resourceServers: [`${provider.issuer}/api/`], ...options })

type Providers = Record<string, ProviderOptions>

const optionsOf = (providers: Providers, store = new JsonStore()) => ({
  session: { store, rolling: false },
  setup: routes,
  providers: () => providers,
  oauth: { defaultProvider: 'acme' }
})

const loggedIn = async (t: Test, at: MisbehavingProvider, providers: Providers, login?: string) =>
  await loggedInApp(t, { at, login, ...optionsOf(providers) })

/** Stops an app, and starts it again with these providers. */
async function restart (t: Test, { app, store, provider }: LoginApp, providers: Providers): Promise<LoginApp> {
  await app.close()
  return await appAt(t, provider, optionsOf(providers, store))
}

const startTwo = async (t: Test) => [await startMisbehavingProvider(t), await startMisbehavingProvider(t)] as const

const loggedOut = { authenticated: false, user: null, provider: null, accounts: 0 }

/** Every token of another provider that a provider was sent. */
function strayTokens (to: MisbehavingProvider, from: MisbehavingProvider): string[] {
  const sent = JSON.stringify(to.requests.map(({ headers, form, query }) => [headers, [...form], [...query]]))
  return from.secrets.filter(secret => sent.includes(secret))
}

/** OAuth 2 alone, without an issuer. */
const withEndpoints = (provider: MisbehavingProvider, options: Partial<ProviderOptions> = {}): ProviderOptions =>
  ({ ...provider.staticOptions, resourceServers: [`${provider.issuer}/api/`], ...options })

type Change = (first: MisbehavingProvider, other: MisbehavingProvider) => [ProviderOptions, ProviderOptions]

const changes: Record<string, Change> = {
  'another issuer': (first, other) => [withApi(first), withApi(other)],
  'another client id': (first, { clientId, clientSecret }) =>
    [withApi(first), withApi(first, { clientId, clientSecret })],
  'other endpoints, without an issuer,': (first, other) => [withEndpoints(first), withEndpoints(other)],
  'another token endpoint alone, without an issuer,': (first, { staticOptions: { tokenEndpoint } }) =>
    [withEndpoints(first), withEndpoints(first, { tokenEndpoint })]
}

for (const [what, options] of Object.entries(changes)) {
  t.test(`${what} under the same name: the restart logs the user out, and no token goes anywhere`, async (t) => {
    const [first, other] = await startTwo(t)
    const [before, after] = options(first, other)
    const old = await loggedIn(t, first, { acme: before })
    const { browser, store } = old
    t.match((await browser.get(`${old.url}/me`)).json(), { authenticated: true, provider: 'acme' })

    const { url } = await restart(t, old, { acme: after })
    const calls = first.requests.length
    expireTokens(store)
    t.strictSame((await browser.get(`${url}/me`)).json(), loggedOut)
    t.equal((await browser.get(`${url}/guarded`, asJson)).status, 401)
    t.equal(codeOf(await browser.get(`${url}/call`, asJson)), 'FST_OAUTH_LOGIN_REQUIRED')
    await browser.post(`${url}/logout`)
    t.strictSame(strayTokens(other, first), [])
    t.equal(first.requests.length, calls, 'the first provider is not asked anything')
    t.equal(tokenRecords(store).size, 1, 'what the first provider issued ends with its time')
  })
}

t.test('after the restart with another issuer, a login there works', async (t) => {
  const [first, other] = await startTwo(t)
  const old = await loggedIn(t, first, { acme: withApi(first) })
  const { browser } = old
  other.subject = 'bob'
  const { url } = await restart(t, old, { acme: withApi(other) })
  await browser.login(`${url}/login/acme`)
  t.match((await browser.get(`${url}/me`)).json(), { authenticated: true, user: 'bob', accounts: 1 })
})

const unchanged: Record<string, (provider: MisbehavingProvider) => ProviderOptions> = {
  'the same options': provider => withApi(provider),
  'another way to write the same issuer': provider => withApi(provider, { issuer: `${provider.issuer}/` }),
  'another secret, another scope': provider => withApi(provider, { scope: ['openid', 'email'] })
}

for (const [what, options] of Object.entries(unchanged)) {
  t.test(`${what}: a restart keeps the login, its tokens and their refresh`, async (t) => {
    const provider = await startMisbehavingProvider(t)
    const old = await loggedIn(t, provider, { acme: withApi(provider) })
    const { browser, store } = old
    const { url } = await restart(t, old, { acme: options(provider) })
    expireTokens(store)
    t.match((await browser.get(`${url}/me`)).json(), { authenticated: true, user: 'alice' })
    t.equal((await browser.get(`${url}/guarded`, asJson)).status, 200)
    t.equal((await browser.get(`${url}/call`, asJson)).status, 200)
    t.equal(provider.asked('token').length, 2)
  })
}

t.test('a provider that is configured no longer: its users are logged out', async (t) => {
  const provider = await startMisbehavingProvider(t)
  const old = await loggedIn(t, provider, { acme: withApi(provider), gh: withApi(provider) }, 'gh')
  const { browser } = old
  const { url } = await restart(t, old, { acme: withApi(provider) })
  t.match((await browser.get(`${url}/me`)).json(), { authenticated: false, accounts: 0 })
  t.equal((await browser.get(`${url}/guarded`, asJson)).status, 401)
})

t.test('an added account whose provider has changed is removed, and the login stays', async (t) => {
  const [acme, gh] = await startTwo(t)
  const other = await startMisbehavingProvider(t)
  const old = await loggedIn(t, acme, { acme: withApi(acme), gh: withApi(gh) })
  const { browser, store } = old
  await old.link('gh')
  t.match((await browser.get(`${old.url}/me`)).json(), { accounts: 2 })
  const { url } = await restart(t, old, { acme: withApi(acme), gh: withApi(other) })
  t.match((await browser.get(`${url}/me`)).json(), { authenticated: true, user: 'alice', accounts: 1 })
  await browser.post(`${url}/logout`)
  t.strictSame(strayTokens(other, gh), [])
  t.equal(tokenRecords(store).size, 1, 'the record of the other one ends with its time')
})

t.test('a login that comes back after the provider changed: the code is not sent', async (t) => {
  const [first, other] = await startTwo(t)
  const old = await appAt(t, first, optionsOf({ acme: withApi(first) }))
  const { browser } = old
  const back = new URL(await callbackUrl(browser, `${old.url}/login/acme`))
  const { url } = await restart(t, old, { acme: withApi(other) })
  const answer = await browser.get(`${url}${back.pathname}${back.search}`, asJson)
  t.equal(codeOf(answer), 'FST_OAUTH_STATE_MISMATCH')
  t.equal(other.asked('token').length, 0)
})

t.test('tokens that onTokens handed out are used at their own provider only', async (t) => {
  const [acme, gh] = await startTwo(t)
  const handed: TokenSet[] = []
  const { app } = await loggedInApp(t, {
    at: acme,
    providers: () => ({ acme: withApi(acme), gh: withApi(gh) }),
    oauth: { defaultProvider: 'acme', onTokens: (tokens) => { handed.push(tokens) } }
  })
  const [tokens] = handed
  const foreign = app.oauth.provider('gh').session({ tokens: tokens! })
  await t.rejects(foreign.tokens(), { code: 'FST_OAUTH_LOGIN_ENDED' })
  t.equal(foreign.authorized, false)
  await t.rejects(foreign.get('thing'), { code: 'FST_OAUTH_LOGIN_ENDED' })
  await t.rejects(foreign.refresh(), { code: 'FST_OAUTH_LOGIN_ENDED' })
  await t.rejects(foreign.save({ ...tokens!, accessToken: 'another' }), { code: 'FST_OAUTH_LOGIN_ENDED' })
  t.equal(await foreign.revoke(), false)
  t.strictSame(strayTokens(gh, acme), [])
  const own = app.oauth.provider('acme').session({ tokens: tokens! })
  t.equal((await own.tokens()).accessToken, tokens!.accessToken, 'at its own provider the login is as it was')
})

t.test('createProvider: tokens without a stored record are used as they are', async (t) => {
  const acme = await startMisbehavingProvider(t)
  const provider = createProvider(withApi(acme))
  t.after(() => provider.close())
  const session = provider.session({ tokens: { access_token: 'kept elsewhere', token_type: 'Bearer' } })
  t.equal((await session.tokens()).accessToken, 'kept elsewhere')
})
