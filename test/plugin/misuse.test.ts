import type { FastifyInstance, FastifyRequest, RouteShorthandOptions } from 'fastify'
import t from 'tap'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { asJson, loginApp } from '../helpers/login-app.ts'
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
