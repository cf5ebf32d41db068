import session from '@fastify/session'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import type { LogoutEvent, ProviderOptions } from '../../lib/index.ts'
import { microsoft } from '../../lib/providers.ts'
import { Browser } from '../helpers/browser.ts'
import { startCluster } from '../helpers/cluster.ts'
import { Gate } from '../helpers/gate.ts'
import { appAt, asJson, codeOf, loginApp, type LoginAppOptions } from '../helpers/login-app.ts'
import { postLogoutToken, signLogoutToken } from '../helpers/logout-token.ts'
import { matchEach } from '../helpers/match-each.ts'
import { movingMonotonic } from '../helpers/moving-clock.ts'
import { startMisbehavingProvider } from '../helpers/misbehaving-provider.ts'
import { startProvider, type TestProvider } from '../helpers/provider.ts'
import { JsonStore } from '../helpers/stores.ts'

// What a logout token ends, on every process, and what it leaves (OpenID Connect Back-Channel Logout 1.0, section 2.7).

function routes (app: FastifyInstance): void {
  app.get('/guarded', { onRequest: app.oauth.requireLogin() }, async request => request.oauth.claims)
  app.get('/orders', async request => await request.oauth.get('orders').json())
  app.get('/link', (request, reply) => request.oauth.login(reply, { provider: 'gh', link: true }))
}

interface Options extends LoginAppOptions {
  provider?: Partial<ProviderOptions>
  /** More routes. */
  routes?: (app: FastifyInstance) => void
}

async function start (t: Test, options: Options = {}) {
  const logouts: LogoutEvent[] = []
  const built = await loginApp(t, {
    ...options,
    oauth: { onLogout: (_request, _reply, event) => { logouts.push(event) }, ...options.oauth },
    setup: (app) => {
      routes(app)
      options.routes?.(app)
    }
  })
  const { url, provider } = built
  /** Logs in, in a session at the provider of this id. */
  const logIn = async (sid: string | undefined, browser = new Browser()) => {
    provider.wrong = { ...provider.wrong, claims: { ...provider.wrong.claims, sid } }
    await browser.login(`${url}/login/acme`)
    return browser
  }
  const areLoggedIn = async (...browsers: Browser[]) => await Promise.all(browsers.map(async browser =>
    (await browser.get(`${url}/guarded`, asJson)).status === 200))
  const send = async (claims: Record<string, unknown>, to = 'acme') =>
    (await postLogoutToken(url, provider.logoutToken(claims), { provider: to })).status
  return { ...built, logouts, logIn, areLoggedIn, send }
}

t.test('a sid ends the logins of that session at the provider, and no other of the user', async (t) => {
  const { logIn, areLoggedIn, send, logouts } = await start(t)
  const browsers = [await logIn('one'), await logIn('one'), await logIn('two'), await logIn(undefined)] as const
  t.equal(await send({ sub: 'alice', sid: 'one' }), 200)
  t.strictSame(await areLoggedIn(...browsers), [false, false, true, true])
  t.equal(logouts.length, 2)
  t.equal(await send({ sid: 'two' }), 200)
  t.strictSame(await areLoggedIn(...browsers), [false, false, false, true])
  t.equal(logouts.length, 3)
})

t.test('a sub ends all logins of the user of the ID token, whatever userProfile makes of it', async (t) => {
  const { logIn, areLoggedIn, send, provider, logouts } = await start(t, {
    provider: { userProfile: ({ sub }) => ({ id: `user ${String(sub)}` }) }
  })
  const alice = [await logIn('one'), await logIn('two'), await logIn(undefined)]
  provider.subject = 'bob'
  const bob = await logIn('three')
  t.equal(await send({ sub: 'user alice' }), 200)
  t.strictSame(await areLoggedIn(...alice, bob), [true, true, true, true])
  t.equal(await send({ sub: 'alice' }), 200)
  t.strictSame(await areLoggedIn(...alice, bob), [false, false, false, true])
  t.strictSame(logouts.map(({ user, reason }) => [user?.id, reason]), Array(3).fill(['user alice', 'backchannel']))
})

t.test('a login after a logout by sub works, at once', async (t) => {
  const { logIn, areLoggedIn, send } = await start(t)
  for (let turn = 0; turn < 5; turn++) {
    const browser = await logIn('one')
    t.strictSame(await areLoggedIn(browser), [true])
    t.equal(await send({ sub: 'alice' }), 200)
    t.strictSame(await areLoggedIn(browser), [false])
  }
})

t.test('the provider is not asked to revoke what it has ended itself, unless revokeAtLogout is set', async (t) => {
  for (const [options, count] of [[{}, 0], [{ revokeAtLogout: true }, 2], [{ revokeAtLogout: false }, 0]] as const) {
    const { app, logIn, send, provider } = await start(t, { provider: options })
    provider.wrong = { metadata: { revocation_endpoint: provider.url('revocation') } }
    await logIn('one')
    t.equal(await send({ sid: 'one' }), 200)
    await app.close() // when what goes on after the answer is over
    t.equal(provider.asked('revocation').length, count, JSON.stringify(options))
  }
})

t.test('an account of another provider that was added ends with the login, and is revoked there', async (t) => {
  const gh = await startMisbehavingProvider(t, {})
  gh.wrong = { metadata: { revocation_endpoint: gh.url('revocation') } }
  const { app, url, logIn, areLoggedIn, send, logouts, store } = await start(t, {
    providers: ({ providerOptions }) => ({ acme: providerOptions, gh: gh.providerOptions })
  })
  const browser = await logIn('one')
  await browser.login(`${url}/link`)
  t.equal(await send({ sid: 'one' }), 200)
  t.strictSame(await areLoggedIn(browser), [false])
  t.strictSame(logouts.map(({ provider, reason }) => [provider, reason]).sort(),
    [['acme', 'backchannel'], ['gh', 'backchannel']])
  t.notOk([...store.records.values()].some(json => json.includes('accessToken')))
  await app.close()
  t.equal(gh.asked('revocation').length, 2)
})

t.test('a session that is ended in two tries ends with its added accounts, and the app is told once', async (t) => {
  const gh = await startMisbehavingProvider(t)
  const { url, logIn, areLoggedIn, logouts, store, provider } = await start(t, {
    providers: ({ providerOptions }) => ({ acme: providerOptions, gh: gh.providerOptions })
  })
  const browser = await logIn('one')
  await browser.login(`${url}/link`)
  const logoutToken = provider.logoutToken({ sid: 'one' })
  const gate = store.holdNext('destroy')
  const first = postLogoutToken(url, logoutToken)
  await gate.arrived
  store.fail.destroy = true
  gate.release()
  t.equal((await first).status, 503)
  t.strictSame(logouts, [])
  store.fail.destroy = false
  t.equal((await postLogoutToken(url, logoutToken)).status, 200)
  t.strictSame(await areLoggedIn(browser), [false])
  t.strictSame(logouts.map(({ provider, user }) => [provider, user?.id]).sort(), [['acme', 'alice'], ['gh', 'alice']])
  t.notOk([...store.records.values()].some(json => json.includes('accessToken')))
})

const stores: Record<string, () => object> = {
  'a store that serializes': () => new JsonStore(),
  'the in-memory store': () => new session.MemoryStore()
}

for (const [kind, make] of Object.entries(stores)) {
  t.test(`${kind}: race: a login under way is not made once the provider has ended its session`, async (t) => {
    for (const ended of [{ sid: 'one' }, { sub: 'alice' }, { sub: 'alice', sid: 'one' }]) {
      const app = await start(t, { session: { store: make() as never } })
      const { provider, url, areLoggedIn, send, logouts, logIn } = app
      const gate = new Gate()
      provider.wrong = { claims: { sid: 'one' }, instead: { token: async () => { await gate.pass() } } }
      const browser = new Browser()
      const login = browser.login(`${url}/login/acme`, asJson)
      await gate.arrived
      t.equal(await send(ended), 200)
      gate.release()
      t.match([(await login).status, codeOf(await login)], [401, 'FST_OAUTH_LOGIN_ENDED'], JSON.stringify(ended))
      t.strictSame(await areLoggedIn(browser), [false])
      t.strictSame(logouts, [])
      provider.wrong = {}
      t.strictSame(await areLoggedIn(await logIn('one', browser)), [true], 'a login that begins later is made')
    }
  })

  t.test(`${kind}: race: a login under way in another session at the provider is made`, async (t) => {
    const { provider, url, areLoggedIn, send } = await start(t, { session: { store: make() as never } })
    const gate = new Gate()
    provider.wrong = { claims: { sid: 'two' }, instead: { token: async () => { await gate.pass() } } }
    const browser = new Browser()
    const login = browser.login(`${url}/login/acme`)
    await gate.arrived
    const others = [{ sid: 'one' }, { sub: 'alice', sid: 'one' }, { sub: 'bob' }]
    for (const claims of others) t.equal(await send(claims), 200)
    gate.release()
    await login
    t.strictSame(await areLoggedIn(browser), [true])
  })
}

t.test('race: a login whose tokens are being stored is not made', async (t) => {
  const { url, provider, store, areLoggedIn, send } = await start(t)
  provider.wrong = { claims: { sid: 'one' } }
  const gate = store.holdNext('set', id => /^oauth:[\w-]{32}$/.test(id))
  const mark = store.holdNext('set', id => id.startsWith('oauth:ended:'), { afterwards: true })
  const browser = new Browser()
  const login = browser.login(`${url}/login/acme`, asJson)
  await gate.arrived
  const answer = send({ sid: 'one' })
  await mark.arrived
  mark.release()
  gate.release()
  t.equal(await answer, 200)
  t.strictSame([(await login).status, codeOf(await login)], [401, 'FST_OAUTH_LOGIN_ENDED'])
  t.strictSame(await areLoggedIn(browser), [false])
  t.notOk([...store.records.values()].some(json => json.includes('accessToken')))
})

t.test('race: an account of an ended session at the provider is not added to a login', async (t) => {
  const gh = await startMisbehavingProvider(t, { claims: { sid: 'of gh' } })
  const { url, logIn, areLoggedIn } = await start(t, {
    providers: ({ providerOptions }) => ({ acme: providerOptions, gh: gh.providerOptions })
  })
  const browser = await logIn('one')
  const gate = new Gate()
  gh.wrong = { ...gh.wrong, instead: { token: async () => { await gate.pass() } } }
  const link = browser.login(`${url}/link`, asJson)
  await gate.arrived
  t.equal((await postLogoutToken(url, gh.logoutToken({ sid: 'of gh' }), { provider: 'gh' })).status, 200)
  gate.release()
  t.strictSame([(await link).status, codeOf(await link)], [401, 'FST_OAUTH_LOGIN_ENDED'])
  t.strictSame(await areLoggedIn(browser), [true], 'the login that it was to be added to goes on')
})

t.test('race: a request under way sees the logout, and does not bring the login back', async (t) => {
  for (const rolling of [false, true]) {
    const gate = new Gate()
    const { url, logIn, areLoggedIn, send, store } = await start(t, {
      session: { rolling },
      routes: (app) => {
        app.get('/slow', async ({ oauth, session }) => {
          await gate.pass()
          session.set('late' as never, 'save' as never)
          return { authenticated: oauth.authenticated, call: await oauth.get('orders').catch(({ code }) => code) }
        })
      }
    })
    const browser = await logIn('one')
    const slow = browser.copy().get(`${url}/slow`)
    await gate.arrived
    t.equal(await send({ sid: 'one' }), 200)
    gate.release()
    t.strictSame((await slow).json(), { authenticated: false, call: 'FST_OAUTH_LOGIN_REQUIRED' })
    t.strictSame(await areLoggedIn(browser), [false])
    t.notOk([...store.records.values()].some(json => json.includes('accessToken') || json.includes('"accounts"')))
  }
})

t.test('a logout of the user and one of the provider at the same moment: the app is told once', async (t) => {
  for (let turn = 0; turn < 5; turn++) {
    const { url, logIn, areLoggedIn, send, logouts } = await start(t)
    const browser = await logIn('one')
    const [answer] = await Promise.all([send({ sid: 'one' }), browser.post(`${url}/logout`)])
    t.equal(answer, 200)
    t.strictSame(await areLoggedIn(browser), [false])
    t.equal(logouts.length, 1)
  }
})

t.test('reasons: a logout by the user, and one by the app with the request that it is for', async (t) => {
  const { app, url, logIn, logouts } = await start(t)
  await (await logIn('one')).post(`${url}/logout`)
  await logIn('one')
  t.equal(await app.oauth.logoutUser({ provider: 'acme', subject: 'alice' }), 1)
  t.strictSame(logouts.map(({ reason }) => reason), ['logout'], 'without a request the hook is not called')
  await logIn('one')
  const request = { id: 'of an operator' } as never
  t.equal(await app.oauth.logoutUser({ provider: 'acme', subject: 'alice', request }), 1)
  t.strictSame(logouts.map(({ reason, user }) => [reason, user?.id]), [['logout', 'alice'], ['logoutUser', 'alice']])
})

t.test('logoutUser passes on what onLogout throws, once all sessions have ended', async (t) => {
  const { app, logIn, areLoggedIn } = await start(t, { oauth: { onLogout: () => { throw new Error('of the app') } } })
  const browsers = [await logIn('one'), await logIn('two')]
  const user = { provider: 'acme', subject: 'alice', request: {} as never }
  await t.rejects(app.oauth.logoutUser(user), { message: 'of the app' })
  t.strictSame(await areLoggedIn(...browsers), [false, false])
})

const ONE = 'https://one.example'
const TWO = 'https://two.example'

t.test('one issuer under several names: each of them ends the logins of all', async (t) => {
  for (const claims of [{ sid: 'one' }, { sub: 'alice' }]) {
    const { provider, logIn, areLoggedIn, send } = await start(t, { provider: { idTokenIssuer: [ONE, TWO] } })
    const browsers = []
    for (const iss of [ONE, TWO]) {
      provider.wrong = { claims: { iss } }
      browsers.push(await logIn('one'))
    }
    t.equal(await send({ ...claims, iss: provider.issuer }), 400, 'not under a name that it does not have')
    t.equal(await send({ ...claims, iss: TWO }), 200)
    t.strictSame(await areLoggedIn(...browsers), [false, false])
  }
})

t.test('several issuers at one login endpoint: each ends the logins of its own users', async (t) => {
  for (const claims of [{ sid: 'one' }, { sub: 'alice' }]) {
    const idTokenIssuer = (iss: string) => iss === ONE || iss === TWO
    const { provider, logIn, areLoggedIn, send, logouts } = await start(t, { provider: { idTokenIssuer } })
    const browsers = []
    for (const iss of [ONE, TWO]) {
      provider.wrong = { claims: { iss } }
      browsers.push(await logIn('one'))
    }
    t.equal(await send({ ...claims, iss: 'https://three.example' }), 400)
    t.equal(await send({ ...claims, iss: ONE }), 200)
    t.strictSame(await areLoggedIn(...browsers), [false, true])
    matchEach(t, logouts, [{ user: { id: `${ONE}#alice` } }])
  }
})

t.test('Microsoft, all tenants at one endpoint: a logout token ends logins of its own tenant', async (t) => {
  const tenants = [1, 2].map(number => `00000000-0000-4000-8000-00000000000${number}`)
  const { provider, logIn, areLoggedIn, send } = await start(t, {
    providers: provider => ({
      acme: microsoft({
        tenant: 'common',
        authority: provider.issuer,
        clientId: provider.clientId,
        clientSecret: provider.clientSecret,
        clientAuthentication: 'client_secret_basic',
        authorizationEndpoint: provider.url('authorization'),
        tokenEndpoint: provider.url('token'),
        jwksUri: provider.url('keys')
      })
    })
  })
  const claimsOf = (tid: string) => ({ tid, iss: `${provider.issuer}/${tid}/v2.0` })
  for (const claims of [{ sid: 'one' }, { sub: 'alice' }]) {
    const browsers = []
    for (const tid of tenants) {
      provider.wrong = { claims: claimsOf(tid) }
      browsers.push(await logIn('one'))
    }
    t.strictSame(await areLoggedIn(...browsers), [true, true])
    t.equal(await send({ ...claims, ...claimsOf(tenants[0]!), tid: tenants[1] }), 400, 'the issuer of another tenant')
    t.equal(await send({ ...claims, ...claimsOf(tenants[0]!) }), 200)
    t.strictSame(await areLoggedIn(...browsers), [false, true])
  }
})

t.test('two clients of one issuer: a logout token is for one of them, and for both where it says so', async (t) => {
  const acme = await startMisbehavingProvider(t)
  const other = { ...acme.providerOptions, clientId: 'other-client' }
  const { url, browser, userOf } = await appAt(t, acme, {
    providers: () => ({ acme: acme.providerOptions, other, same: acme.providerOptions })
  })
  await browser.login(`${url}/login/acme`)
  const post = async (provider: string, logoutToken: string) =>
    (await postLogoutToken(url, logoutToken, { provider })).status
  t.equal(await post('other', acme.logoutToken({ sub: 'alice' })), 400)
  t.equal(await post('acme', acme.logoutToken({ sub: 'alice', aud: 'other-client' })), 400)
  t.equal(await post('other', acme.logoutToken({ sub: 'alice', aud: 'other-client' })), 200)
  t.equal(await userOf(browser), 'alice', 'the login of another client is not its own')
  const both = acme.logoutToken({ sub: 'alice', aud: ['other-client', acme.clientId] })
  t.equal(await post('other', both), 200)
  t.equal(await userOf(browser), 'alice')
  t.equal(await post('same', both), 200, 'another name of the same client')
  t.equal(await userOf(browser), null)
  t.equal(await post('acme', both), 400, 'it has been carried out there')
})

// On Redis, and at a real provider.

interface Cluster {
  provider: TestProvider
  apps: NonNullable<Awaited<ReturnType<typeof startCluster>>>['apps']
  logouts: LogoutEvent[]
  logoutToken (claims: Record<string, unknown>): Promise<string>
  logIn (index: number): Promise<Browser>
  isLoggedIn (browser: Browser, index: number): Promise<boolean>
}

async function cluster (t: Test, more?: (app: FastifyInstance) => void): Promise<Cluster | undefined> {
  const provider = await startProvider(t)
  const logouts: LogoutEvent[] = []
  const started = await startCluster(t, provider, 3, {
    ownBaseUrls: true,
    oauth: { onLogout: (_request, _reply, event) => { logouts.push(event) } },
    setup: (app) => {
      routes(app)
      more?.(app)
    }
  })
  if (started === undefined) return undefined
  const { apps } = started
  for (const { url } of apps) provider.allowRedirect(`${url}/login/acme/callback`)
  await provider.setBackchannelLogoutUri(`${apps[0]!.url}/login/acme/backchannel-logout`)
  return {
    provider,
    apps,
    logouts,
    logoutToken: claims => signLogoutToken(provider, claims),
    async logIn (index) {
      const browser = new Browser()
      await browser.login(`${apps[index]!.url}/login/acme`)
      return browser
    },
    isLoggedIn: async (browser, index) => (await browser.get(`${apps[index]!.url}/guarded`, asJson)).status === 200
  }
}

t.test('Redis: a logout token sent to one process ends sessions that live on two others', async (t) => {
  const setting = await cluster(t)
  if (setting === undefined) return
  const { provider, apps, logouts, logIn, isLoggedIn, logoutToken } = setting
  const [second, third] = [await logIn(1), await logIn(2)]
  t.strictSame([await isLoggedIn(second, 1), await isLoggedIn(third, 2)], [true, true])
  const { sid } = (await second.get(`${apps[1]!.url}/guarded`)).json<{ sid: string }>()
  t.type(sid, 'string')
  await provider.backchannelLogout('alice', sid)
  t.strictSame([await isLoggedIn(second, 1), await isLoggedIn(third, 2)], [false, true], 'with the next request')

  const bySub = await logoutToken({ sub: 'alice' })
  t.equal((await postLogoutToken(apps[0]!.url, bySub)).status, 200)
  t.notOk(await isLoggedIn(third, 2))
  t.match(logouts.map(({ reason }) => reason), ['backchannel', 'backchannel'])

  const again = await logIn(2)
  for (const { url } of apps) t.equal((await postLogoutToken(url, bySub)).status, 400, 'remembered on every process')
  t.ok(await isLoggedIn(again, 2))
})

t.test('Redis: a long request of another process sees the logout within a second', async (t) => {
  const clock = movingMonotonic(t)
  const gate = new Gate()
  const setting = await cluster(t, (app) => {
    app.get('/long', async ({ oauth }) => {
      await oauth.get('orders').json()
      await gate.pass()
      clock.pass(1.001)
      return await oauth.get('orders').json()
    })
  })
  if (setting === undefined) return
  const { apps, logIn, logoutToken } = setting
  const browser = await logIn(1)
  const long = browser.get(`${apps[1]!.url}/long`, asJson)
  await gate.arrived
  t.equal((await postLogoutToken(apps[0]!.url, await logoutToken({ sub: 'alice' }))).status, 200)
  gate.release()
  const page = await long
  t.strictSame([page.status, codeOf(page)], [401, 'FST_OAUTH_LOGIN_ENDED'])
})

t.test('Redis: 50 logout tokens at once for one user end each session once', async (t) => {
  const setting = await cluster(t)
  if (setting === undefined) return
  const { apps, logouts, logIn, isLoggedIn, logoutToken } = setting
  const indexes = [0, 1, 2, 0, 1, 2]
  const browsers = await Promise.all(indexes.map(logIn))
  const tokens = await Promise.all(Array.from({ length: 50 }, () => logoutToken({ sub: 'alice' })))
  const answers = await Promise.all(tokens.map(async (token, index) =>
    (await postLogoutToken(apps[index % 3]!.url, token)).status))
  t.strictSame(answers, Array(50).fill(200))
  t.equal(logouts.length, browsers.length)
  const left = await Promise.all(browsers.map((browser, index) => isLoggedIn(browser, indexes[index]!)))
  t.strictSame(left, Array(6).fill(false))
})

t.test('Redis: one logout token 50 times at once ends each session once, and is remembered', async (t) => {
  const setting = await cluster(t)
  if (setting === undefined) return
  const { apps, logouts, logIn, isLoggedIn, logoutToken } = setting
  const browser = await logIn(2)
  const token = await logoutToken({ sub: 'alice' })
  const answers = await Promise.all(Array.from({ length: 50 }, async (_, index) =>
    (await postLogoutToken(apps[index % 3]!.url, token)).status))
  t.equal(answers.filter(status => status === 200).length, 1)
  t.equal(answers.filter(status => status === 400).length, 49)
  t.equal(logouts.length, 1)
  t.notOk(await isLoggedIn(browser, 2))
})

t.test('Redis: race: a login under way on another process is not made', async (t) => {
  const setting = await cluster(t)
  if (setting === undefined) return
  const { provider, apps, logoutToken, isLoggedIn } = setting
  for (const afterwards of [false, true]) {
    const gate = provider.holdTokenEndpoint({ afterwards })
    const browser = new Browser()
    const login = browser.login(`${apps[1]!.url}/login/acme`, asJson)
    await gate.arrived
    t.equal((await postLogoutToken(apps[2]!.url, await logoutToken({ sub: 'alice' }))).status, 200)
    gate.release()
    t.strictSame([(await login).status, codeOf(await login)], [401, 'FST_OAUTH_LOGIN_ENDED'])
    t.notOk(await isLoggedIn(browser, 1))
  }
})

for (const required of [true, false]) {
  const what = required ? 'with sid' : 'with sub alone'
  t.test(`oidc-provider, logout token ${what}: a logout at the provider ends the app's session`, async (t) => {
    const provider = await startProvider(t, { client: { backchannel_logout_session_required: required } })
    const logouts: LogoutEvent[] = []
    const { url, browser, userOf } = await appAt(t, provider, {
      oauth: { onLogout: (_request, _reply, event) => { logouts.push(event) } },
      setup: routes
    })
    provider.allowRedirect(`${url}/login/acme/callback`)
    await provider.setBackchannelLogoutUri(`${url}/login/acme/backchannel-logout`)
    const failures: unknown[] = []
    provider.oidc.on('backchannel.error', (_ctx: unknown, error: unknown) => failures.push(error))
    const other = new Browser()
    for (const one of [browser, other]) await one.login(`${url}/login/acme`)
    t.strictSame([await userOf(browser), await userOf(other)], ['alice', 'alice'])

    const page = await browser.get(`${provider.issuer}/session/end`)
    await browser.submitForm(page, { logout: 'yes' })
    t.equal(await userOf(browser), null)
    t.equal(await userOf(other), required ? 'alice' : null)
    t.strictSame(failures, [])
    t.equal(logouts.length, required ? 1 : 2)

    await browser.login(`${url}/login/acme`)
    t.equal(await userOf(browser), 'alice')
    await browser.logout(`${url}/logout`)
    t.equal(await userOf(browser), null)
    t.strictSame(failures, [], "the provider's answer to the app's own logout finds nothing to end")
    t.match(logouts.map(({ reason }) => reason).slice(required ? 1 : 2), ['logout'])
    t.strictSame(provider.errors, [])
  })
}
