import t from 'tap'
import type { FastifyInstance } from 'fastify'
import { Browser } from '../helpers/browser.ts'
import { startCluster } from '../helpers/cluster.ts'
import { answerLost, cutBefore } from '../helpers/faults.ts'
import { deferred } from '../helpers/gate.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { callbackUrl } from '../helpers/login-app.ts'
import { startProvider } from '../helpers/provider.ts'
import { until } from '../helpers/until.ts'

const routes = (app: FastifyInstance) => {
  let visits = 0
  app.get('/write', async request => {
    ;(request.session as unknown as { visits: number }).visits = ++visits
    return 'written'
  })
  app.get('/slow-write', async request => {
    await request.oauth.get('slow').json()
    ;(request.session as unknown as { slow: boolean }).slow = true
    return 'written'
  })
  app.get('/destroy', async request => {
    await request.session.destroy()
    return 'destroyed'
  })
}

for (const processes of [1, 3, 6]) {
  for (const rolling of [true, false]) {
    t.test(
      `any number of calls with an expired token on ${processes} processes make one token request, rolling ` +
        `${rolling}`,
      async t => {
        const setup = await loggedInApp(t, { processes, session: { rolling }, setup: routes })
        if (setup === undefined) return
        const { provider, browser, apps, expireTokens, refreshes } = setup
        let expected = 0
        for (const calls of [20, 200, 1000]) {
          // Loaded before the refresh, saved after it.
          const slow = provider.api.holdSlow()
          const slowWriter = browser.get(`${apps.at(-1)!.url}/slow-write`)
          await slow.arrived
          await expireTokens()
          expected++
          const answers = await Promise.all(
            Array.from({ length: calls }, (_, index) =>
              browser.get(`${apps[index % processes]!.url}/${index % 10 === 9 ? 'write' : 'orders'}`)
            )
          )
          slow.release()
          t.equal((await slowWriter).status, 200)
          t.equal(
            answers.filter(({ status }) => status === 200).length,
            calls,
            answers.find(({ status }) => status !== 200)?.text ?? `all ${calls} answered`
          )
          t.equal(refreshes(), expected)
          for (const { url } of apps) t.equal((await browser.get(`${url}/orders`)).status, 200)
        }
        // Whatever the slow writers brought back would be used now.
        await expireTokens()
        for (const { url } of apps) t.equal((await browser.get(`${url}/orders`)).status, 200)
        t.equal(refreshes(), expected + 1)
        t.equal(provider.refreshTokenReuses, 0)
      }
    )
  }
}

t.test('50 parallel replays of one callback on 3 processes make one login', async t => {
  const provider = await startProvider(t)
  const cluster = await startCluster(t, provider, 3)
  if (cluster === undefined) return
  const browser = new Browser()
  const { pathname, search } = new URL(await callbackUrl(browser, `${cluster.apps[0]!.url}/login/acme`))
  const headers = { cookie: browser.cookieHeader }
  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, index) =>
      cluster.apps[index % 3]!.app.inject({ url: pathname + search, headers })
    )
  )
  t.equal(answers.filter(({ statusCode }) => statusCode === 302).length, 1)
  t.equal(answers.filter(({ statusCode }) => statusCode === 400).length, 49)
  t.equal(provider.tokenRequests.length, 1)
})

t.test('race: a logout while another process refreshes stays a logout, and the new token is revoked', async t => {
  const setup = await loggedInApp(t, { processes: 2, setup: routes })
  if (setup === undefined) return
  const { provider, browser, apps, expireTokens, tokenRecords, sessions, orders } = setup
  await expireTokens()
  const gate = provider.holdTokenEndpoint({ afterwards: true })
  const call = orders(1)
  await gate.arrived
  await browser.logout(`${apps[0]!.url}/logout`)
  gate.release()
  t.match((await call).json(), { code: 'FST_OAUTH_LOGIN_ENDED' })
  t.equal((await tokenRecords()).size, 0)
  t.strictSame(await sessions(), [])
  const rotated = (gate.arrivals[0]!.answer?.body as { refresh_token: string }).refresh_token
  t.ok(provider.endpoints.revocation.requests.some(({ body }) => body.token === rotated))
  t.strictSame((await browser.get(apps[1]!.url)).json(), { user: null })
})

t.test('a slower request of another process does not bring a logged-out session back', async t => {
  const setup = await loggedInApp(t, { processes: 2, setup: routes })
  if (setup === undefined) return
  const { provider, browser, apps, sessions } = setup
  const gate = provider.api.holdSlow()
  const slow = browser.get(`${apps[1]!.url}/slow-write`)
  await gate.arrived
  await browser.logout(`${apps[0]!.url}/logout`)
  gate.release()
  const late = await slow
  t.equal(late.headers['set-cookie'], undefined, 'the browser is not put back on it')
  t.strictSame(await sessions(), [])
})

t.test('a slower request does not put the browser back on the session that it had before the login', async t => {
  const provider = await startProvider(t)
  const blocked = deferred()
  const arrived = deferred()
  const cluster = await startCluster(t, provider, 2, {
    session: { rolling: true, saveUninitialized: true },
    setup: app => {
      app.get('/slow', async () => {
        arrived.resolve()
        await blocked.promise
        return 'slow'
      })
    }
  })
  if (cluster === undefined) return
  const [one, two] = cluster.apps
  const browser = new Browser()
  await browser.get(one!.url)
  const before = browser.cookie('sessionId')
  const slow = browser.get(`${two!.url}/slow`)
  await arrived.promise
  t.strictSame((await browser.login(`${one!.url}/login/acme`)).json(), { user: 'alice' })
  blocked.resolve()
  await slow
  t.not(browser.cookie('sessionId'), before)
  t.strictSame((await browser.get(one!.url)).json(), { user: 'alice' })
})

t.test('a session that the app destroyed itself takes its tokens along, on every process', async t => {
  const setup = await loggedInApp(t, { processes: 2, setup: routes })
  if (setup === undefined) return
  const { provider, browser, apps, tokenRecords, sessions } = setup
  const gate = provider.api.holdSlow()
  const slow = browser.get(`${apps[1]!.url}/slow-write`)
  await gate.arrived
  await browser.get(`${apps[0]!.url}/destroy`)
  gate.release()
  await slow
  t.equal((await tokenRecords()).size, 0)
  t.strictSame(await sessions(), [])
})

t.test('logoutUser ends every session of one user on every process, and of no other user', async t => {
  const setup = await loggedInApp(t, { processes: 3, setup: routes })
  if (setup === undefined) return
  const { browser, apps, tokenRecords } = setup
  const phone = new Browser()
  const bob = new Browser()
  await phone.login(`${apps[1]!.url}/login/acme`)
  await bob.login(`${apps[2]!.url}/login/acme`, { user: 'bob' })
  t.equal(await apps[2]!.app.oauth.logoutUser({ provider: 'acme', subject: 'alice' }), 2)
  t.strictSame((await browser.get(apps[0]!.url)).json(), { user: null })
  t.strictSame((await phone.get(apps[1]!.url)).json(), { user: null })
  t.strictSame((await bob.get(apps[0]!.url)).json(), { user: 'bob' })
  t.equal((await tokenRecords()).size, 1)
  t.strictSame((await phone.login(`${apps[0]!.url}/login/acme`)).json(), { user: 'alice' }, 'and may log in again')
  await t.rejects(apps[0]!.app.oauth.logoutUser({ provider: 'unknown', subject: 'alice' }), {
    code: 'FST_OAUTH_UNKNOWN_PROVIDER'
  })
})

t.test('a token response that was lost ends the login as FST_OAUTH_REFRESH_LOST', async t => {
  const setup = await loggedInApp(t, { processes: 2, setup: routes })
  if (setup === undefined) return
  const { provider, expireTokens, orders } = setup
  await expireTokens()
  provider.failTokenEndpoint(answerLost, { times: 1, grantType: 'refresh_token' })
  t.match((await orders(0)).json(), { code: 'FST_OAUTH_PROVIDER_UNAVAILABLE' })
  t.match(
    (await orders(1)).json(),
    { statusCode: 401, code: 'FST_OAUTH_REFRESH_LOST' },
    'also on the process that did not see it happen'
  )
  t.match((await orders(0)).json(), { code: 'FST_OAUTH_LOGIN_REQUIRED' })
})

t.test('a connection that was cut before the provider saw the token does not end the login', async t => {
  const setup = await loggedInApp(t, { processes: 2, setup: routes })
  if (setup === undefined) return
  const { provider, expireTokens, orders } = setup
  await expireTokens()
  provider.failTokenEndpoint(cutBefore, { times: 1, grantType: 'refresh_token' })
  t.match((await orders(0)).json(), { code: 'FST_OAUTH_PROVIDER_UNAVAILABLE' })
  t.equal((await orders(1)).status, 200)
  t.equal(provider.refreshTokenReuses, 0)
})

t.test('a store that fails right after the provider has rotated loses nothing', async t => {
  const setup = await loggedInApp(t, { processes: 1, setup: routes })
  if (setup === undefined) return
  const { provider, expireTokens, tokenRecords, redis, orders } = setup
  await expireTokens()
  const gate = provider.holdTokenEndpoint({ afterwards: true })
  const call = orders(0)
  await gate.arrived
  await redis.stop('SIGKILL')
  gate.release()
  const during = await call
  t.ok([200, 503].includes(during.status), during.text)
  t.notMatch(during.text, /127\.0\.0\.1|ECONNREFUSED/)
  await redis.restart()
  // As a person would: again, until the store is back.
  await until(async () => (await orders(0)).status === 200, 'the store is back')
  while ([...(await tokenRecords()).values()][0]!.version < 2) await new Promise(resolve => setImmediate(resolve))
  const rotated = (gate.arrivals[0]!.answer?.body as { refresh_token: string }).refresh_token
  t.equal([...(await tokenRecords()).values()][0]!.tokens.refreshToken, rotated)
  t.equal(provider.refreshTokenReuses, 0)
})

t.test('a store that is down is a 503 without its address, and the login works once it is back', async t => {
  const setup = await loggedInApp(t, { processes: 1, setup: routes })
  if (setup === undefined) return
  const { redis, orders } = setup
  await redis.stop('SIGTERM')
  const answer = await orders(0)
  t.equal(answer.status, 503)
  t.match(answer.json(), { code: 'FST_OAUTH_STORE_UNAVAILABLE' })
  t.notMatch(answer.text, /127\.0\.0\.1|ECONN|redis/i)
  await redis.restart()
  await until(async () => (await orders(0)).status === 200, 'the store is back')
})
