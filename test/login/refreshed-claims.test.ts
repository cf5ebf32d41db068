import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import type { ProviderOptions } from '../../lib/index.ts'
import { Browser } from '../helpers/browser.ts'
import { buildApp, type TestApp } from '../helpers/build-app.ts'
import { captureLog } from '../helpers/log.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { asJson } from '../helpers/login-app.ts'
import {
  startMisbehavingProvider, type Misbehaviour, type MisbehavingProvider
} from '../helpers/misbehaving-provider.ts'
import { tokenRecords } from '../helpers/records.ts'
import { JsonStore } from '../helpers/stores.ts'

// What a refresh says of the user: claims do not go stale.

interface Known {
  claims: Record<string, unknown>
  user: { id: string, name?: string, email?: string } | null
}

interface TwoProcesses {
  provider: MisbehavingProvider
  store: JsonStore
  first: TestApp
  second: TestApp
  browser: Browser
  log: ReturnType<typeof captureLog>
  /** Refreshes at the first process, with a provider that is like this from then on. */
  refresh (wrong: Misbehaviour): Promise<number>
  /** What the second one knows in a guarded request. */
  known (): Promise<Known>
}

/** Two apps on one store, to the plugin two processes; a user is logged in. */
async function twoProcesses (
  t: Test, wrong: Misbehaviour, options: Partial<ProviderOptions> = {}, plain = false
): Promise<TwoProcesses> {
  const provider = await startMisbehavingProvider(t, wrong)
  const store = new JsonStore()
  const log = captureLog()
  const { issuer, ...own } = provider.providerOptions
  const acme: ProviderOptions = plain
    ? {
        ...own,
        scope: [],
        authorizationEndpoint: `${issuer}/authorize`,
        tokenEndpoint: `${issuer}/token`,
        userinfoEndpoint: `${issuer}/userinfo`,
        ...options
      }
    : { ...provider.providerOptions, ...options }
  const start = async () => await buildApp(t, {
    fastify: { logger: log.logger },
    session: { store: store as never },
    oauth: { providers: { acme }, baseUrl: () => first.url },
    setup (app: FastifyInstance) {
      app.get('/refresh', async ({ oauth }) => (await oauth.refresh()).tokenType)
      app.get('/known', { onRequest: app.oauth.requireLogin() }, async ({ oauth: { claims, user } }) =>
        ({ claims, user }))
      app.get('/unguarded', async ({ oauth: { claims, user } }) => ({ claims, user }))
    }
  })
  const first: TestApp = await start()
  const second = await start()
  const browser = new Browser()
  await browser.login(`${first.url}/login/acme`)
  return {
    provider,
    store,
    first,
    second,
    browser,
    log,
    refresh: async (changed) => {
      provider.wrong = changed
      return (await browser.get(`${first.url}/refresh`, asJson)).status
    },
    known: async () => (await browser.get(`${second.url}/known`, asJson)).json<Known>()
  }
}

t.test('a refreshed ID token changes claims and user for every process with its next guarded request', async t => {
  const wrong = { claims: { name: 'Alice', role: 'reader' } }
  const { refresh, known, browser, second, first } = await twoProcesses(t, wrong)
  t.match(await known(), { claims: { name: 'Alice', role: 'reader' }, user: { id: 'alice', name: 'Alice' } })
  t.equal(await refresh({ claims: { name: 'Alice B.', role: 'writer' } }), 200)
  const { claims, user } = await known()
  t.match(claims, { name: 'Alice B.', role: 'writer', sub: 'alice' })
  t.match(user, { id: 'alice', name: 'Alice B.', raw: { role: 'writer' } })
  t.notHas(claims, { aud: String }, 'nothing about the ID token itself')
  for (const { url } of [first, second]) {
    t.match((await browser.get(`${url}/unguarded`)).json(), { user: { name: 'Alice B.' } }, 'once it has been read')
  }
})

t.test('a claim that the refreshed ID token leaves out goes; one that it may leave out stays', async t => {
  const { refresh, known } = await twoProcesses(t, {
    claims: { name: 'Alice', email: 'alice@example.com', groups: ['admins'], acr: 'high' }
  })
  t.equal(await refresh({ claims: { department: 'sales' } }), 200)
  const { claims, user } = await known()
  t.match(claims, { name: 'Alice', acr: 'high', department: 'sales' })
  t.notOk('groups' in claims)
  t.match(user, { name: 'Alice', email: 'alice@example.com' })
})

t.test('what userinfo said at login stays where a refreshed ID token says nothing new of it', async t => {
  const { refresh, known } = await twoProcesses(t, {
    claims: { email: 'of the ID token' }, userinfo: { sub: 'alice', email: 'of userinfo', team: 'blue' }
  }, { profileSource: 'userinfo' })
  t.equal(await refresh({ claims: { email: 'of the ID token', role: 'new' } }), 200)
  const user = { email: 'of userinfo', raw: { team: 'blue', role: 'new' } }
  t.match(await known(), { claims: { role: 'new' }, user })
  t.equal(await refresh({ claims: { email: 'changed', role: 'new' } }), 200)
  t.match(await known(), { user: { email: 'changed', raw: { team: 'blue' } } })
})

t.test('a refresh that says nothing new writes nothing of the user', async t => {
  const { refresh, store } = await twoProcesses(t, { claims: { name: 'Alice', auth_time: 1 } })
  t.equal(await refresh({ claims: { name: 'Alice', auth_time: 1 } }), 200)
  t.notOk('claims' in [...tokenRecords(store).values()][0]!)
})

t.test('userProfile makes the user again, whose id stays', async t => {
  const { refresh, known } = await twoProcesses(t, { claims: { upn: 'alice@one', title: 'Ms' } }, {
    userProfile: ({ upn, title }) => ({ id: String(upn), name: `${String(title)} Alice` })
  })
  t.equal(await refresh({ claims: { upn: 'alice@two', title: 'Dr' } }), 200)
  t.match((await known()).user, { id: 'alice@one', name: 'Dr Alice', raw: { upn: 'alice@two' } })
})

t.test('a userProfile that throws costs neither the tokens nor the login', async t => {
  const { refresh, known, log, provider } = await twoProcesses(t, { claims: { name: 'Alice' } }, {
    userProfile: (claims) => {
      if (claims.name !== 'Alice') throw new Error('no such user')
      return { id: 'alice', name: 'Alice' }
    }
  })
  t.equal(await refresh({ claims: { name: 'B' } }), 200)
  t.match((await known()).user, { id: 'alice', name: 'Alice' })
  t.ok(log.lines.some(({ event }) => event === 'profile_not_refreshed'))
  t.strictSame(log.leaked(provider.secrets), [])
})

for (const [name, claims] of [
  ['sub: oidcc-client-test-refresh-token-invalid-sub', { sub: 'bob' }],
  ['iss: oidcc-client-test-refresh-token-invalid-issuer', { iss: 'https://other.example' }]
] as const) {
  t.test(`a refreshed ID token with another ${name}: the login ends, and nothing of it is taken over`, async t => {
    const { refresh, store, browser, second } = await twoProcesses(t, { claims: { name: 'Alice' } })
    t.equal(await refresh({ claims: { ...claims, name: 'Mallory' } }), 401)
    t.equal(tokenRecords(store).size, 0)
    t.equal((await browser.get(`${second.url}/known`, asJson)).status, 401)
  })
}

// refreshProfile

const asked = ({ provider }: TwoProcesses) => provider.requests.filter(({ path }) => path === '/userinfo').length

t.test('without refreshProfile no refresh asks userinfo', async t => {
  const two = await twoProcesses(t, { userinfo: { sub: 'alice', name: 'A' } }, { profileSource: 'userinfo' })
  t.equal(asked(two), 1)
  await two.refresh({ userinfo: { sub: 'alice', name: 'B' } })
  t.equal(asked(two), 1)
})

for (const plain of [false, true]) {
  const kind = plain ? 'plain OAuth 2' : 'OpenID Connect'

  t.test(`refreshProfile asks userinfo after a refresh (${kind})`, async t => {
    const two = await twoProcesses(t, { userinfo: { sub: 'alice', name: 'A' } },
      { profileSource: 'userinfo', refreshProfile: true }, plain)
    t.equal((await two.known()).user?.name, 'A')
    t.equal(await two.refresh({ userinfo: { sub: 'alice', name: 'B' } }), 200)
    t.equal(asked(two), 2)
    t.match((await two.known()).user, { id: 'alice', name: 'B', raw: { name: 'B' } })
    const { headers } = two.provider.requests.filter(({ path }) => path === '/userinfo').at(-1)!
    const [{ tokens }] = tokenRecords(two.store).values() as unknown as [{ tokens: { accessToken: string } }]
    t.equal(headers.authorization, `Bearer ${tokens.accessToken}`, 'with the new token')
  })

  t.test(`a failure of refreshProfile loses neither tokens nor login (${kind})`, async t => {
    const two = await twoProcesses(t, { userinfo: { sub: 'alice', name: 'A' } },
      { profileSource: 'userinfo', refreshProfile: true }, plain)
    const [before] = tokenRecords(two.store).values()
    t.equal(await two.refresh({ instead: { userinfo: { status: 500, body: 'down' } } }), 200)
    t.match(await two.known(), { user: { id: 'alice', name: 'A' } })
    const [after] = tokenRecords(two.store).values()
    t.not(after!.tokens.refreshToken, before!.tokens.refreshToken)
    t.ok(two.log.lines.some(({ event }) => event === 'profile_not_refreshed'))
    t.strictSame(two.log.leaked(two.provider.secrets), [])
    t.equal(await two.refresh({ userinfo: { sub: 'alice', name: 'C' } }), 200)
    t.equal((await two.known()).user?.name, 'C')
  })

  t.test(`a profile of another user after a refresh ends the login (${kind})`, async t => {
    const two = await twoProcesses(t, { userinfo: { sub: 'alice', name: 'A' } },
      { profileSource: 'userinfo', refreshProfile: true }, plain)
    t.equal(await two.refresh({ userinfo: { sub: 'mallory', name: 'M' } }), 401)
    t.equal(tokenRecords(two.store).size, 0)
    t.equal((await two.browser.get(`${two.second.url}/known`, asJson)).status, 401)
  })
}

for (const [what, wrong] of Object.entries({
  'ID token': { claims: { sub: 'mallory' } },
  profile: { userinfo: { sub: 'mallory' } }
})) {
  t.test(`the tokens of a refresh whose ${what} is another user's are gone before the request ends`, async t => {
    const { provider, run, store } = await loggedInApp(t, {
      wrong: { userinfo: { sub: 'alice' } },
      provider: { profileSource: 'userinfo', refreshProfile: true }
    })
    provider.wrong = wrong
    const left = await run(async (oauth) => {
      await t.rejects(oauth.refresh(), { code: 'FST_OAUTH_LOGIN_ENDED' })
      return tokenRecords(store).size
    })
    t.equal(left, 0)
  })
}

t.test('a profile that does not come in time holds no refresh up', async t => {
  const two = await twoProcesses(t, { userinfo: { sub: 'alice', name: 'A' } },
    { profileSource: 'userinfo', refreshProfile: true, requestTimeout: 1000 })
  t.equal(await two.refresh({ instead: { userinfo: async () => await new Promise(() => {}) } }), 200)
  t.equal((await two.known()).user?.name, 'A')
})
