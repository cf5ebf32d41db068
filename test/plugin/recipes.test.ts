import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import cookie from '@fastify/cookie'
import session from '@fastify/session'
import swagger from '@fastify/swagger'
import underPressure from '@fastify/under-pressure'
import Fastify, { type FastifyError, type FastifyInstance } from 'fastify'
import { createClient } from 'redis'
import t, { type Test } from 'tap'
import oauth from '../../lib/index.ts'
import { Browser } from '../helpers/browser.ts'
import { SESSION_SECRET } from '../helpers/build-app.ts'
import { freePort } from '../helpers/listen.ts'
import { asJson, codeOf } from '../helpers/login-app.ts'
import { startProvider, type TestProvider } from '../helpers/provider.ts'
import { runBlock } from '../helpers/run-block.ts'
import { startRedis } from '../helpers/redis.ts'
import { programOf } from '../types/documents.ts'
import { environment, installPackage, linkImports, repository } from '../types/installed-package.ts'
import { until } from '../helpers/until.ts'

// Each recipe of docs/recipes.md as it is written there, with the real plugin and a login at a real provider.

interface Options {
  before?: (app: FastifyInstance) => unknown
  /** Whether the recipe brings its own @fastify/session. */
  bringsSession?: boolean
  env?: Record<string, string>
}

async function start (t: Test, heading: string, { before, bringsSession = false, env }: Options = {}) {
  const provider = await startProvider(t)
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const app = Fastify()
  t.after(() => app.close())
  if (!bringsSession) {
    await app.register(cookie)
    await app.register(session, { secret: SESSION_SECRET, cookie: { secure: 'auto' }, saveUninitialized: false })
  }
  app.setErrorHandler((error: FastifyError, _request, reply) => {
    return reply.code(error.statusCode ?? 500).send({ seen: error.message, code: error.code })
  })
  await before?.(app)
  await runBlock('docs/recipes.md', heading, {
    app, acme: provider.providerOptions, env: { BASE_URL: url, SESSION_SECRET, ...env }
  })
  app.get('/', async request => ({ user: request.oauth.user?.id ?? null }))
  await app.listen({ port, host: '127.0.0.1' })
  return { app, url, provider, browser: new Browser() }
}

t.test('@fastify/rate-limit: the login route alone is limited, and the 429 is the app\'s', async (t) => {
  const { browser, url, app } = await start(t, '@fastify/rate-limit')
  t.strictSame((await browser.login(`${url}/login`)).json(), { user: 'alice' })
  for (let count = 0; count < 20; count++) await app.inject('/login/acme')
  const answer = await app.inject('/login/acme')
  t.equal(answer.statusCode, 429)
  t.match(answer.json(), { seen: /Rate limit exceeded/ })
  t.strictSame((await browser.get(url)).json(), { user: 'alice' })
  t.equal((await browser.get(`${url}/logout`)).status, 200)
})

t.test('@fastify/csrf-protection: the plugin\'s routes are left out, the app\'s are not', async (t) => {
  const { browser, url } = await start(t, '@fastify/csrf-protection', {
    before: (app) => { app.delete('/order', async () => 'deleted') }
  })
  t.strictSame((await browser.login(`${url}/login`)).json(), { user: 'alice' })
  const response = await fetch(`${url}/order`, { method: 'DELETE' })
  t.equal(response.status, 403)
  const away = await browser.post(`${url}/logout`, { from: 'http://evil.test/', ...asJson })
  t.equal(codeOf(away), 'FST_OAUTH_CROSS_SITE_REQUEST')
  await browser.logout(`${url}/logout`)
  t.strictSame((await browser.get(url)).json(), { user: null })
})

t.test('@fastify/helmet: login, logout form and the plugin\'s pages', async (t) => {
  const { browser, url } = await start(t, '@fastify/helmet')
  const page = await browser.login(`${url}/account`)
  t.match(page.headers['content-security-policy'], /form-action 'self'/)
  // A redirect to the provider would be held to `form-action`.
  const answer = await browser.submitForm(page, {}, { redirect: 'manual' })
  t.equal(answer.status, 200)
  t.match(answer.headers['content-security-policy'], /^default-src 'none'/)
  await browser.follow(answer)
  t.strictSame((await browser.get(url)).json(), { user: null })
})

t.test('@fastify/swagger: the plugin\'s routes are hidden, but the one with a schema', async (t) => {
  const { app, browser, url } = await start(t, '@fastify/swagger')
  t.strictSame(Object.keys(app.swagger().paths ?? {}).sort(), ['/', '/logout'])
  t.match(app.swagger(), { paths: { '/logout': { post: { tags: ['session'], summary: 'Log out' } } } })
  t.strictSame((await browser.login(`${url}/login`)).json(), { user: 'alice' })
})

t.test('@fastify/swagger: without routeOptions every route of the plugin is hidden', async (t) => {
  const { providerOptions } = await startProvider(t)
  const app = Fastify()
  t.after(() => app.close())
  await app.register(cookie)
  await app.register(session, { secret: SESSION_SECRET })
  await app.register(swagger)
  await app.register(oauth, { baseUrl: 'https://app.example.com', providers: { acme: providerOptions } })
  app.get('/orders', async () => [])
  await app.ready()
  t.strictSame(Object.keys((app.swagger() as { paths: object }).paths), ['/orders'])
})

t.test('@fastify/cors: the API is open to its origin, the plugin\'s routes to none', async (t) => {
  const { app, browser, url } = await start(t, '@fastify/cors')
  const origin = 'https://www.example.com'
  const preflight = await app.inject({
    method: 'OPTIONS', url: '/orders', headers: { origin, 'access-control-request-method': 'GET' }
  })
  t.match(preflight, { statusCode: 204, headers: { 'access-control-allow-origin': origin } })
  const refused = await app.inject({ url: '/orders', headers: { origin, accept: 'application/json' } })
  t.match(refused, { statusCode: 401, headers: { 'access-control-allow-origin': origin } }, 'a script can read the 401')
  t.match((await browser.login(`${url}/orders`)).json(), { id: 'alice' })
  const logout = await browser.post(`${url}/logout`, { from: `${origin}/`, ...asJson })
  t.equal(codeOf(logout), 'FST_OAUTH_CROSS_SITE_REQUEST')
  t.match((await browser.get(`${url}/orders`)).json(), { id: 'alice' })
})

t.test('@fastify/compress: a login, a page of the plugin\'s and an answer of the app', async (t) => {
  const { app, browser, url } = await start(t, '@fastify/compress')
  t.strictSame((await browser.login(`${url}/orders`)).json(), { user: 'alice' })
  const headers = { 'accept-encoding': 'gzip', accept: 'text/html' }
  const page = await app.inject({ url: '/logout', headers })
  t.equal(page.headers['content-encoding'], 'gzip')
  t.match(gunzipSync(page.rawPayload).toString(), /<html/)
  const redirect = await app.inject({ url: '/login/acme', headers })
  t.equal(redirect.statusCode, 302)
  const cookies = browser.cookieHeader
  const orders = await app.inject({ url: '/orders', headers: { ...headers, cookie: cookies } })
  t.strictSame(JSON.parse(gunzipSync(orders.rawPayload).toString()), { user: 'alice' })
})

t.test('@fastify/under-pressure: its status route is open, the guarded ones are not', async (t) => {
  const { browser, url } = await start(t, '@fastify/under-pressure')
  t.equal((await browser.get(`${url}/health`)).status, 200)
  t.equal((await browser.get(`${url}/orders`, asJson)).status, 401)
  t.match((await browser.login(`${url}/orders`)).json(), { id: 'alice' })
})

t.test('@fastify/under-pressure: its 503 on a login is the app\'s to show', async (t) => {
  const { app } = await start(t, '@fastify/helmet', {
    before: app =>
      app.register(underPressure, { healthCheck: async () => false, healthCheckInterval: 500, retryAfter: 5 })
  })
  const answer = await app.inject('/login/acme')
  t.match(answer, { statusCode: 503, headers: { 'retry-after': '5' } })
  t.match(answer.json(), { code: 'FST_UNDER_PRESSURE' })
})

t.test('connect-redis: login, refresh and logout', async (t) => {
  const redis = await startRedis(t)
  if (redis === undefined) return
  const client = await createClient({ url: redis.url }).connect()
  t.after(() => client.close())
  const { browser, url, provider } = await start(t, 'connect-redis', {
    bringsSession: true, env: { REDIS_URL: redis.url }
  })
  t.match((await browser.login(`${url}/orders`)).json(), [{ id: 1 }, { id: 2 }])
  t.equal((await client.keys('session:*')).length, 1)
  const isTokens = async (key: string) => (await client.hGet(key, 'd'))?.includes('accessToken') === true
  const keys = await client.keys('oauth:*')
  const [key] = (await Promise.all(keys.map(async key => await isTokens(key) ? [key] : []))).flat()
  const record = JSON.parse(await client.hGet(key!, 'd') ?? '')
  record.tokens.expiresAt = Math.floor(Date.now() / 1000) - 10
  await client.hSet(key!, 'd', JSON.stringify(record))
  t.match((await browser.get(`${url}/orders`)).json(), [{ id: 1 }, { id: 2 }])
  t.equal(provider.refreshRequests.length, 1)
  await browser.logout(`${url}/logout`)
  t.equal((await browser.get(`${url}/orders`, asJson)).status, 401)
  t.equal(await client.exists(key!) === 1 && await isTokens(key!), false)
  t.equal((await client.keys('session:*')).length, 0)
})

t.test('@fastify/autoload and fastify-cli: fastify start --options app.js', async (t) => {
  const provider = await startProvider(t)
  const { url } = await startByCli(t, provider)
  const browser = new Browser()
  t.match((await browser.login(`${url}/orders`)).json(), { id: 'alice' })
  await browser.logout(`${url}/logout`)
  t.equal((await browser.get(`${url}/orders`, asJson)).status, 401)
  t.strictSame(provider.errors, [])
})

async function startByCli (t: Test, provider: TestProvider) {
  const folder = await installPackage(t)
  const files = {
    'app.js': programOf('docs/recipes.md', 'app.js'),
    'plugins/auth.js': programOf('docs/recipes.md', 'plugins/auth.js')
  }
  await linkImports(folder, Object.values(files).join('\n'))
  await mkdir(join(folder, 'plugins'))
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
  for (const [name, code] of Object.entries(files)) await writeFile(join(folder, name), code)
  const port = await freePort()
  const url = `http://localhost:${port}`
  const cli = join(repository, 'node_modules/fastify-cli/cli.js')
  const args = [cli, 'start', '--options', '--log-level', 'info', '--port', String(port), 'app.js']
  const child = spawn(process.execPath, args, {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: environment({
      BASE_URL: url,
      SESSION_SECRET,
      ISSUER: provider.issuer,
      CLIENT_ID: provider.clientId,
      CLIENT_SECRET: provider.clientSecret
    })
  })
  t.after(async () => { if (child.kill('SIGKILL')) await once(child, 'exit') })
  let log = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => { log += chunk.toString() })
  await until(() => {
    if (child.exitCode !== null) throw new Error(`fastify-cli has ended:\n${log}`)
    return log.includes('Server listening')
  }, 'fastify-cli listens')
  return { url }
}
