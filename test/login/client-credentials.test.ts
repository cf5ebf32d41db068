import t from 'tap'
import { Browser } from '../helpers/browser.ts'
import { buildApp } from '../helpers/build-app.ts'
import { startProvider } from '../helpers/provider.ts'
import type { FastifyInstance } from 'fastify'

// request.oauth at a provider with grantType client_credentials.

const routes = (app: FastifyInstance) => { app.get('/orders', async request => request.oauth.get('orders').json()) }

t.test(
  "client credentials: the app's own client makes one token request for all callers, and keeps its parameters",
  async t => {
    const provider = await startProvider(t)
    const { app } = await buildApp(t, {
      oauth: {
        providers: { machine: { ...provider.providerOptions, grantType: 'client_credentials', scope: ['orders:read'] } }
      }
    })
    const client = app.oauth.provider('machine').clientCredentials({ audience: 'https://orders.example' })
    t.equal(
      client,
      app.oauth.provider('machine').clientCredentials({ audience: 'https://orders.example' }),
      'one for the same options'
    )
    await Promise.all(Array.from({ length: 20 }, () => client.get('orders').json()))
    t.equal(provider.tokenRequests.length, 1)
    t.match(provider.tokenRequests[0]!.body, {
      grant_type: 'client_credentials',
      scope: 'orders:read',
      audience: 'https://orders.example'
    })
    provider.expireAccessTokens()
    await Promise.all(Array.from({ length: 20 }, () => client.get('orders').json()))
    t.equal(provider.tokenRequests.length, 2, 'asked for again after a 401')
    t.match(provider.tokenRequests[1]!.body, {
      grant_type: 'client_credentials',
      scope: 'orders:read',
      audience: 'https://orders.example'
    })
  }
)

t.test("client credentials: request.oauth of such a provider is the app's own client", async t => {
  const provider = await startProvider(t)
  const { app } = await buildApp(t, {
    oauth: {
      providers: { machine: { ...provider.providerOptions, grantType: 'client_credentials', scope: ['orders:read'] } }
    },
    setup: routes
  })
  t.equal((await app.inject('/orders')).statusCode, 200)
  t.equal((await app.inject('/orders')).statusCode, 200)
  t.equal(provider.tokenRequests.length, 1)
  t.equal((await app.inject('/login/machine')).statusCode, 404)
})

t.test("using(name) calls with another provider's account", async t => {
  const provider = await startProvider(t)
  const { url } = await buildApp(t, {
    oauth: {
      providers: {
        acme: provider.providerOptions,
        machine: { ...provider.providerOptions, grantType: 'client_credentials', scope: ['orders:read'] }
      }
    },
    setup: app => {
      app.get('/own', async request => request.oauth.using('machine').get('orders').json())
      app.get('/mine', async request => request.oauth.using('acme').get('me').json())
    }
  })
  const browser = new Browser()
  t.equal((await browser.get(`${url}/own`)).status, 200)
  t.match((await browser.get(`${url}/mine`)).json(), { code: 'FST_OAUTH_LOGIN_REQUIRED' })
  await browser.login(`${url}/login`)
  t.match((await browser.get(`${url}/mine`)).json(), { sub: 'alice' })
})
