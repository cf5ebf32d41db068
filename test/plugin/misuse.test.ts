import type { FastifyInstance, FastifyRequest, RouteShorthandOptions } from 'fastify'
import t from 'tap'
import { codeChallenge, createProvider } from '../../lib/index.ts'
import { redisStore } from '../../lib/redis.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { asJson, loginApp } from '../helpers/login-app.ts'
import { matchEach } from '../helpers/match-each.ts'
import { rejection } from '../helpers/rejection.ts'

// Methods that are called otherwise than they are meant: nothing passes, and the message says what to write.

const invalid = { code: 'FST_OAUTH_INVALID_OPTIONS', statusCode: 500 }

t.test('a guard for a provider that does not exist names those that do', async (t) => {
  const { app } = await loginApp(t)
  t.throws(() => app.oauth.requireLogin({ provider: 'acmee' }), {
    code: 'FST_OAUTH_UNKNOWN_PROVIDER', message: 'requireLogin: there is no provider "acmee"; write one of acme'
  })
})

for (const name of ['requireLogin', 'requireHeader'] as const) {
  t.test(`${name} in place of the hook that it makes lets nobody pass`, async (t) => {
    const { browser, url } = await loggedInApp(t, {
      wrong: {},
      setup: (app: FastifyInstance) => {
        const options = { onRequest: app.oauth[name] } as unknown as RouteShorthandOptions
        app.get('/members', options, async () => 'members only')
      }
    })
    const answer = await browser.get(`${url}/members`, asJson)
    t.match(answer.json(), { ...invalid, message: `${name} makes the hook, and is none itself: write \`${name}()\`` })
  })
}

t.test('login and callback without the reply', async (t) => {
  const { run } = await loggedInApp(t, { wrong: {} })
  for (const method of ['login', 'callback'] as const) {
    const error = await rejection(run(oauth => oauth[method](undefined as never)))
    t.match(error, { ...invalid, message: `write \`return await ${method}(reply)\`` })
  }
})

t.test('logoutUser without a subject ends nothing, and says so', async (t) => {
  const { app, browser, userOf } = await loggedInApp(t, { wrong: {} })
  for (const user of [{ provider: 'acme', userId: 'alice' }, { provider: 'acme', subject: '' }]) {
    const error = await rejection(app.oauth.logoutUser(user as never))
    t.match(error, { ...invalid, message: /takes the id of a user as `subject`/ })
  }
  t.equal(await userOf(browser), 'alice')
})

t.test('a session that a hook of the app has destroyed is called that, and no matter of its cookie', async (t) => {
  const { browser, url } = await loginApp(t, {
    setup: (app) => {
      const preHandler = async ({ session }: FastifyRequest) => { await session.destroy() }
      app.get('/own-login', { preHandler }, (request, reply) => request.oauth.login(reply))
    }
  })
  const { code, message } = (await browser.get(`${url}/own-login`, asJson)).json()
  t.equal(code, 'FST_OAUTH_SESSION_UNAVAILABLE')
  t.match(message, 'has been destroyed, by a hook or a handler of the app')
  t.notMatch(message, 'cookie.path')
})

t.test('logout with anything but the reply logs nobody out', async (t) => {
  const { browser, run, userOf } = await loggedInApp(t, { wrong: {} })
  for (const reply of [null, {}, 'reply', 5]) {
    const error = await rejection(run(oauth => oauth.logout(reply as never)))
    t.match(error, { ...invalid, message: /logout needs the reply/ })
  }
  t.equal(await userOf(browser), 'alice')
})

/** The arguments that a method is called with, by its name. */
const misused = {
  'request.oauth': {
    callback: [['reply', 'acme']],
    refresh: [['token']],
    fetch: [[null], [5], [{}], ['/', { method: 5 }], ['/', { headers: 'a: b' }], ['/', { signal: {} }]]
  },
  'app.oauth': { logoutUser: [['alice'], [5]] },
  'a provider': {
    session: [['token'], [[]]],
    authorizationUrl: [['openid']],
    clientCredentials: [['openid'], [5]],
    jwtBearer: [[], [null], ['assertion'], [{}]],
    exchange: [[], [null], ['token'], [{}], [{ subjectToken: 'a', subjectTokenType: 5 }]],
    device: [['openid']],
    introspect: [[], [null], ['']],
    revoke: [[], [null], ['']],
    backchannelLogout: [['token', 'request']]
  },
  'a session': { authorizationUrl: [[[]]], fetchTokens: [['code']], parseCallback: [[]], tokensFromFragment: [[null]] }
}

for (const [owner, methods] of Object.entries(misused)) {
  t.test(`methods of ${owner} name what is wrong with their arguments`, async (t) => {
    const { app, run } = await loggedInApp(t, { wrong: {} })
    const provider = app.oauth.provider('acme')
    for (const [method, calls] of Object.entries(methods)) {
      for (const args of calls) {
        const error = await rejection(run(async (oauth, _request, reply) => {
          const owners: Record<string, object> = {
            'request.oauth': oauth, 'app.oauth': app.oauth, 'a provider': provider, 'a session': provider.session()
          }
          const object = owners[owner] as Record<string, (...args: unknown[]) => unknown>
          return await object[method]!(...args.map((arg: unknown) => arg === 'reply' ? reply : arg))
        }))
        t.equal(error.code, 'FST_OAUTH_INVALID_OPTIONS', `${method}(${JSON.stringify(args)}): ${error.message}`)
      }
    }
  })
}

t.test('logoutUser without an argument says what it takes', async (t) => {
  const { app } = await loggedInApp(t, { wrong: {} })
  for (const user of [undefined, null]) {
    t.equal((await rejection(app.oauth.logoutUser(user as never))).code, 'FST_OAUTH_INVALID_OPTIONS')
  }
})

t.test('options that are null are none', async (t) => {
  const { app, run } = await loggedInApp(t, { wrong: {} })
  const provider = app.oauth.provider('acme')
  const none = null as never
  t.match((await provider.authorizationUrl(none)).url, 'client_id=')
  t.match((await provider.session(none).authorizationUrl({ params: none })).url, 'client_id=')
  t.equal(provider.clientCredentials(none), provider.clientCredentials())
  t.match(await run(oauth => oauth.refresh(none)), { tokenType: 'Bearer' })
})

t.test('functions of the package name what is wrong with their arguments', async (t) => {
  t.throws(() => codeChallenge(undefined as never), { ...invalid, message: /takes a code verifier, not undefined/ })
  t.throws(() => redisStore({} as never, 'prefix' as never), invalid)
  t.throws(() => createProvider({ issuer: 'https://id.example', clientId: 'a' }, 'acme' as never), invalid)
})

/** An async function, where the value itself is needed; what it rejects with would end the process. */
const late = (() => Promise.reject(new Error('a bug of the app'))) as never

t.test('a page of the app that is made by an async function is told as that, and ends no process', async (t) => {
  const { browser, url, errors } = await loggedInApp(t, { wrong: {}, oauth: { pages: { logoutConfirmation: late } } })
  t.equal((await browser.get(`${url}/logout`)).status, 500)
  matchEach(t, errors, [
    { ...invalid, message: 'pages.logoutConfirmation has to return a string, at once; it returned a promise' }
  ])
})

for (const [option, code, message] of [
  ['userProfile', 'FST_OAUTH_INVALID_RESPONSE', /userProfile of provider "acme" returned a promise/],
  ['conform', 'FST_OAUTH_INVALID_TOKEN_RESPONSE', /`conform` could not read/]
] as const) {
  t.test(`an async ${option} is told as that, and ends no process`, async (t) => {
    const { browser, url, errors } = await loginApp(t, { provider: { [option]: late } })
    t.equal((await browser.login(`${url}/login/acme`)).status, 502)
    matchEach(t, errors, [{ code, message }])
  })
}

t.test('an async baseUrl is told as that, and ends no process', async (t) => {
  const { browser, url } = await loginApp(t, { oauth: { baseUrl: late } })
  const answer = await browser.get(`${url}/login/acme`, asJson)
  t.match(answer.json(), { ...invalid, message: /baseUrl function returned is a promise/ })
})

t.test('options that are a promise, and async routeOptions, which would count for nothing, do not start', async (t) => {
  t.match(await rejection(loginApp(t, { oauth: { routeOptions: late } })), {
    ...invalid, message: /routeOptions\('login'\) is a promise/
  })
  const acme = Promise.resolve({}) as never
  t.match(await rejection(loginApp(t, { providers: () => ({ acme }) })), {
    ...invalid, message: /providers\.acme is a promise/
  })
  const nothing: unknown = null
  t.match(await rejection(loginApp(t, { oauth: { routeOptions: () => { throw nothing } } })), {
    ...invalid, message: /routeOptions\('login'\) threw/
  })
})
