import { createClient } from 'redis'
import t, { type Test } from 'tap'
import type { AppProcessReport, LongAnswer } from '../helpers/app-process.ts'
import { Browser } from '../helpers/browser.ts'
import { asJson, codeOf } from '../helpers/login-app.ts'
import { postLogoutToken, signLogoutToken } from '../helpers/logout-token.ts'
import { startProvider, type TestProvider } from '../helpers/provider.ts'
import { startRedis } from '../helpers/redis.ts'
import { type AppProcess, startAppProcess } from '../helpers/start-app-process.ts'

// Back-channel logout with processes of their own on one Redis: the token is posted to one, and two others have the
// sessions.

interface Setting {
  provider: TestProvider
  apps: [AppProcess, AppProcess, AppProcess]
  keys (): Promise<string[]>
  /** Logs in at one process. */
  logIn (index: number, user?: string): Promise<Browser>
  /** Posts a logout token to the first process. */
  logOut (claims: Record<string, unknown>): Promise<number>
  isLoggedIn (browser: Browser, index: number): Promise<boolean>
  /** Whom the app was told about, on whichever process. */
  logouts (): string[]
}

/** Three processes, for all of the tests: each takes a while to start. */
async function threeProcesses (t: Test): Promise<Setting | undefined> {
  const redis = await startRedis(t)
  if (redis === undefined) return undefined
  const provider = await startProvider(t)
  const client = await createClient({ url: redis.url }).connect()
  t.after(() => client.destroy())
  const options = { redisUrl: redis.url, providerOptions: provider.providerOptions }
  const apps = await Promise.all([0, 1, 2].map(() => startAppProcess(t, options))) as Setting['apps']
  for (const { url } of apps) provider.allowRedirect(`${url}/login/acme/callback`)
  await provider.setBackchannelLogoutUri(`${apps[0].url}/login/acme/backchannel-logout`)
  return {
    provider,
    apps,
    keys: () => client.keys('*'),
    async logIn (index, user = 'alice') {
      const browser = new Browser()
      await browser.login(`${apps[index]!.url}/login/acme`, { user })
      return browser
    },
    async logOut (claims) {
      const logoutToken = await signLogoutToken(provider, claims)
      return (await postLogoutToken(apps[0].url, logoutToken)).status
    },
    isLoggedIn: async (browser, index) => (await browser.get(`${apps[index]!.url}/guarded`, asJson)).status === 200,
    logouts: () => apps.flatMap(({ reports }) => reports).flatMap((report) => 'logout' in report ? [report.logout] : [])
  }
}

t.test('three processes on one Redis', async (t) => {
  const setting = await threeProcesses(t)
  if (setting === undefined) return

  await t.test('a logout token posted to one process ends the sessions that two others serve', async (t) => {
    const { logIn, logOut, isLoggedIn, logouts, keys, apps } = setting
    const [second, third, bob] = [await logIn(1), await logIn(2), await logIn(2, 'bob')]
    // Each process has read what it serves, a moment ago.
    for (const [browser, index] of [[second, 1], [third, 2], [second, 2], [third, 1], [bob, 2]] as const) {
      t.equal((await browser.get(`${apps[index].url}/orders`)).status, 200)
    }
    t.equal(await logOut({ sub: 'alice' }), 200)
    const left = [await isLoggedIn(second, 1), await isLoggedIn(third, 2), await isLoggedIn(second, 2)]
    t.strictSame(left, [false, false, false], 'with the next request')
    for (const [browser, index] of [[second, 1], [third, 2], [second, 2], [third, 1]] as const) {
      const page = await browser.get(`${apps[index].url}/orders`, asJson)
      t.equal(page.status, 401)
      t.match(codeOf(page), /^FST_OAUTH_LOGIN_(?:ENDED|REQUIRED)$/)
    }
    t.ok(await isLoggedIn(bob, 2), 'and no other user\'s')
    t.strictSame(logouts(), ['alice: backchannel', 'alice: backchannel'])
    t.equal((await keys()).filter((key) => key.startsWith('session:')).length, 1, 'the other user\'s is left')
  })

  await t.test('a sid from the provider itself ends that session alone', async (t) => {
    const { provider, apps, logIn, isLoggedIn } = setting
    const [second, third] = [await logIn(1), await logIn(2)]
    const { sid } = (await second.get(`${apps[1].url}/guarded`)).json<{ sid: string }>()
    t.type(sid, 'string')
    await provider.backchannelLogout('alice', sid)
    t.strictSame([await isLoggedIn(second, 1), await isLoggedIn(third, 2)], [false, true])
  })

  await t.test('requests under way on two other processes end with the logout', async (t) => {
    const { apps, logIn, logOut } = setting
    const calling = (report: AppProcessReport) => 'calling' in report
    const browsers = [await logIn(1), await logIn(2)]
    const answers = [1, 2].map((index) => browsers[index - 1]!.get(`${apps[index]!.url}/long`))
    await Promise.all([apps[1].reported(calling), apps[2].reported(calling)])
    t.equal(await logOut({ sub: 'alice' }), 200)
    for (const page of await Promise.all(answers)) t.equal(page.json<LongAnswer>().code, 'FST_OAUTH_LOGIN_ENDED')
  })

  await t.test('a call and a refresh under way on another process do not bring the login back', async (t) => {
    const { provider, apps, logIn, logOut, isLoggedIn, keys } = setting
    const others = (await keys()).filter((key) => key.startsWith('session:')).length
    const [caller, refresher] = [await logIn(1), await logIn(2)]
    const slow = provider.api.holdSlow()
    const call = caller.get(`${apps[1].url}/slow`)
    await slow.arrived
    const refresh = provider.holdTokenEndpoint({ afterwards: true })
    provider.expireAccessTokens()
    const refreshing = refresher.get(`${apps[2].url}/orders`, asJson)
    await refresh.arrived
    t.equal(await logOut({ sub: 'alice' }), 200)
    slow.release()
    refresh.release()
    t.equal((await call).status, 200, 'what was sent is not recalled')
    const refused = await refreshing
    t.equal(codeOf(refused), 'FST_OAUTH_LOGIN_ENDED')
    t.strictSame([await isLoggedIn(caller, 1), await isLoggedIn(refresher, 2)], [false, false])
    const ofAlice = (await keys()).filter((key) => key.startsWith('session:'))
    t.equal(ofAlice.length, others, 'no session came back')
    const { refresh_token: rotated } = refresh.arrivals[0]!.answer!.body as { refresh_token: string }
    t.ok(provider.endpoints.revocation.requests.some(({ body }) => body.token === rotated), 'what came late is revoked')
  })
})
