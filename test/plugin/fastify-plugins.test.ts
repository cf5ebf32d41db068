import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import autoload from '@fastify/autoload'
import cookie from '@fastify/cookie'
import csrf from '@fastify/csrf-protection'
import helmet from '@fastify/helmet'
import rateLimit from '@fastify/rate-limit'
import session from '@fastify/session'
import Fastify, { type FastifyError, type FastifyInstance, type FastifyServerOptions, type RouteOptions } from 'fastify'
import t, { type Test } from 'tap'
import oauth, { type PluginOptions } from '../../lib/index.ts'
import { Browser } from '../helpers/browser.ts'
import { SESSION_SECRET } from '../helpers/build-app.ts'
import { asJson, codeOf } from '../helpers/login-app.ts'
import { captureLog } from '../helpers/log.ts'
import { startMisbehavingProvider } from '../helpers/misbehaving-provider.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    csrf?: boolean
  }
}

// The plugin beside others that most apps have.

interface Around {
  fastify?: FastifyServerOptions
  oauth?: Partial<PluginOptions>
  before?: (app: FastifyInstance) => unknown
  after?: (app: FastifyInstance) => unknown
}

async function start (t: Test, { fastify, oauth: options, before, after }: Around) {
  const provider = await startMisbehavingProvider(t)
  const app = Fastify(fastify)
  t.after(() => app.close())
  let url = ''
  await app.register(cookie)
  await app.register(session, {
    secret: SESSION_SECRET,
    cookie: { secure: false },
    rolling: false,
    saveUninitialized: false
  })
  await before?.(app)
  await app.register(oauth, { baseUrl: () => url, providers: { acme: provider.providerOptions }, ...options })
  app.get('/', async request => ({ user: request.oauth.user?.id ?? null }))
  await after?.(app)
  url = await app.listen({ port: 0, host: '127.0.0.1' })
  const browser = new Browser()
  return { app, url, provider, browser }
}

const ownHandler = (app: FastifyInstance) =>
  app.setErrorHandler((error: FastifyError, _request, reply) => {
    return reply.code(error.statusCode ?? 500).send({ seen: error.message, code: error.code })
  })

// Errors that are not the plugin's

for (const order of ['before', 'after']) {
  t.test(
    `the 429 of a rate limit on a route of the plugin's goes to the app's own error handler, set ${order} the plugin`,
    async t => {
      const onError: string[] = []
      const { browser, url } = await start(t, {
        oauth: {
          onError: (_request, _reply, error) => { onError.push(error.code) }
        },
        before: async app => {
          await app.register(rateLimit, {
            max: 1,
            errorResponseBuilder: () => Object.assign(new Error('slow down'), { statusCode: 429 })
          })
          if (order === 'before') ownHandler(app)
        },
        ...(order === 'after' && { after: ownHandler })
      })
      t.equal((await browser.get(`${url}/login/acme`, { redirect: 'manual' })).status, 302)
      const answer = await browser.get(`${url}/login/acme`, { redirect: 'manual' })
      t.equal(answer.status, 429)
      t.strictSame(answer.json(), { seen: 'slow down' })
      t.ok(answer.headers['retry-after'], 'with the headers that it had')
      t.strictSame(onError, [])
    }
  )
}

t.test("without an error handler of the app's the 429 is Fastify's own", async t => {
  const { browser, url } = await start(t, { before: app => app.register(rateLimit, { max: 1 }) })
  await browser.get(`${url}/login/acme`, { redirect: 'manual' })
  t.match((await browser.get(`${url}/login/acme`, { redirect: 'manual' })).json(), {
    statusCode: 429,
    error: 'Too Many Requests',
    message: /Rate limit exceeded/
  })
})

for (const hook of ['onRequest', 'preParsing', 'preValidation', 'preHandler'] as const) {
  t.test(`an error of the app's own ${hook} hook goes to the app's own error handler, once`, async t => {
    const seen: unknown[] = []
    const failure = Object.assign(new Error('closed today'), { statusCode: 451 })
    const { browser, url } = await start(t, {
      before: app => {
        app.addHook(hook as 'onRequest', async () => { throw failure })
        app.addHook('onError', async (_request, _reply, error) => { seen.push(error) })
      },
      after: app =>
        app.setErrorHandler((error: FastifyError, _request, reply) => {
          seen.push(error)
          return reply.code(error.statusCode ?? 500).send('mine')
        })
    })
    t.match(await browser.post(`${url}/logout`), { status: 451, text: 'mine' })
    t.equal(seen.length, 2)
    t.ok(seen.every(error => error === failure), 'the very same')
  })
}

t.test("the plugin's own errors keep their page, whatever error handler the app has", async t => {
  const { browser, url } = await start(t, { after: ownHandler })
  t.match((await browser.get(`${url}/login/acme/callback?code=c&state=s`)).text, /This login has run out/)
  t.equal(codeOf(await browser.get(`${url}/login/unknown`, asJson)), 'FST_OAUTH_UNKNOWN_PROVIDER')
})

// Options of the plugin's own routes

/** The routes that an app tells an `onRoute` hook of, by method and path. */
function routesOf (app: FastifyInstance): Map<string, RouteOptions> {
  const routes = new Map<string, RouteOptions>()
  app.addHook('onRoute', route => { routes.set(`${String(route.method)} ${route.url}`, route) })
  return routes
}

const ALL = [
  'GET /login', 'GET /login/:provider', 'POST /login/:provider', 'POST /logout', 'GET /logout',
  'GET /logout/callback', 'GET /login/:provider/callback', 'POST /login/:provider/callback',
  'HEAD /login/:provider/callback'
]

t.test('documentation: every route of the plugin is hidden', async t => {
  let routes = new Map<string, RouteOptions>()
  await start(t, {
    oauth: {
      providers: { legacy: { tokenEndpoint: 'https://id.example/token', clientId: 'app', grantType: 'password' } }
    },
    before: app => { routes = routesOf(app) }
  })
  const own = [...routes].filter(([name]) => name.includes('/log'))
  t.strictSame(own.map(([name]) => name).sort(), [...ALL].sort())
  for (const [name, { schema }] of own) t.match(schema, { hide: true }, name)
})

t.test('routeOptions: for all routes', async t => {
  let routes = new Map<string, RouteOptions>()
  const config = { csrf: false }
  await start(t, {
    oauth: { routeOptions: { config, logLevel: 'warn' } },
    before: app => { routes = routesOf(app) }
  })
  const own = [...routes].filter(([name]) => name.includes('/log'))
  t.not(own.length, 0)
  for (const [name, route] of own) t.match(route, { config, logLevel: 'warn', schema: { hide: true } }, name)
  t.ok(own.every(([, route]) => route.config !== config), 'each has its own, which Fastify may write into')
})

t.test("routeOptions: a function of the route's name, and a schema in place of the plugin's", async t => {
  let routes = new Map<string, RouteOptions>()
  const names = new Set<string>()
  await start(t, {
    oauth: {
      routeOptions: route => {
        names.add(route)
        return route === 'logout' ? { schema: { tags: ['session'] } } : undefined
      }
    },
    before: app => { routes = routesOf(app) }
  })
  t.strictSame([...names].sort(), ['backchannelLogout', 'callback', 'loggedOut', 'login', 'logout'])
  t.match(routes.get('POST /logout')?.schema, { tags: ['session'], hide: undefined })
  t.match(routes.get('GET /login')?.schema, { hide: true })
})

t.test('routeOptions: what the function returns is checked', async t => {
  await t.rejects(start(t, { oauth: { routeOptions: () => ({ preHandler: () => {} }) as never } }), {
    code: 'FST_OAUTH_INVALID_OPTIONS',
    message: /routeOptions\('login'\)\.preHandler is no option/
  })
})

t.test('routeOptions: an onRequest hook runs, with the session', async t => {
  const seen: string[] = []
  const { browser, url } = await start(t, {
    oauth: {
      routeOptions: route => ({
        onRequest: async ({ session }) => { seen.push(`${route} ${typeof session.sessionId}`) }
      })
    }
  })
  await browser.login(`${url}/login`)
  t.strictSame(seen, ['login string', 'callback string'])
})

t.test('routeOptions: constraints', async t => {
  const { app } = await start(t, { oauth: { routeOptions: { constraints: { host: 'app.example.com' } } } })
  t.equal((await app.inject({ url: '/login/acme', headers: { host: 'app.example.com' } })).statusCode, 302)
  t.equal((await app.inject({ url: '/login/acme', headers: { host: 'other.example.com' } })).statusCode, 404)
})

// As the README shows

t.test('@fastify/rate-limit on the login route alone, by routeOptions', async t => {
  const { app } = await start(t, {
    oauth: {
      routeOptions: route => (route === 'login' ? { config: { rateLimit: { max: 2, timeWindow: '1 minute' } } } : {})
    },
    before: app => app.register(rateLimit, { global: false })
  })
  for (const status of [302, 302, 429]) t.equal((await app.inject('/login/acme')).statusCode, status)
  for (const status of [400, 400, 400]) t.equal((await app.inject('/logout/callback')).statusCode, status)
})

t.test(
  "@fastify/csrf-protection for all routes but the plugin's, which check where a request comes from themselves",
  async t => {
    const { browser, url } = await start(t, {
      oauth: { routeOptions: { config: { csrf: false } } },
      before: async app => {
        await app.register(csrf, { sessionPlugin: '@fastify/session' })
        app.addHook('preHandler', (request, reply, done) => {
          if (request.method !== 'POST' || request.routeOptions.config.csrf === false) return done()
          app.csrfProtection(request, reply, done)
        })
      },
      after: app => { app.post('/order', async () => 'ordered') }
    })
    t.strictSame((await browser.login(`${url}/login`)).json(), { user: 'alice' })
    t.match(
      (await browser.post(`${url}/order`, { json: {} })).json(),
      { code: /^FST_CSRF_/ },
      "the app's own routes are protected"
    )
    t.equal(
      codeOf(await browser.post(`${url}/logout`, { from: 'http://evil.test/', ...asJson })),
      'FST_OAUTH_CROSS_SITE_REQUEST'
    )
    const page = await browser.submitForm(await browser.get(`${url}/logout`))
    t.equal(page.status, 200)
    t.strictSame((await browser.get(url)).json(), { user: null })
  }
)

t.test("without that exemption the 403 is the app's to show", async t => {
  const { browser, url } = await start(t, {
    before: async app => {
      await app.register(csrf, { sessionPlugin: '@fastify/session' })
      app.addHook('preHandler', (request, reply, done) =>
        request.method === 'POST' ? app.csrfProtection(request, reply, done) : done()
      )
    },
    after: ownHandler
  })
  t.match((await browser.post(`${url}/logout`, asJson)).json(), { code: 'FST_CSRF_MISSING_SECRET' })
})

t.test("@fastify/helmet as it comes: the plugin's pages keep the policy that they were made for", async t => {
  const { browser, url } = await start(t, { before: app => app.register(helmet) })
  t.strictSame((await browser.login(`${url}/login`)).json(), { user: 'alice' })
  const { headers } = await browser.get(`${url}/logout`)
  t.match(headers['content-security-policy'], /^default-src 'none'/)
  t.equal(headers['x-frame-options'], 'SAMEORIGIN')
})

// Options that come along

/** A folder with one file that autoload registers: the plugin and its options. */
async function pluginFolder (t: Test, name: string) {
  const folder = await mkdtemp(join(tmpdir(), 'autoload-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  await mkdir(join(folder, 'plugins', name), { recursive: true })
  await symlink(join(import.meta.dirname, '../../node_modules'), join(folder, 'node_modules'), 'dir')
  await writeFile(
    join(folder, 'plugins', name, 'index.cjs'),
    'module.exports = globalThis.autoloaded.plugin; module.exports.autoConfig = undefined\n'
  )
  return join(folder, 'plugins')
}

// What fastify-cli hands on with --options: the server's options, as the app's file exports them.
const passed = {
  logger: true,
  trustProxy: true,
  bodyLimit: 1024,
  ignoreTrailingSlash: true,
  pluginTimeout: 1000,
  skipOverride: true,
  https: null
}

for (const folder of ['.', 'auth']) {
  t.test(`@fastify/autoload in the folder ${folder}: what it hands on is left alone, with one warning`, async t => {
    const log = captureLog()
    const dir = await pluginFolder(t, folder)
    const app = Fastify({ logger: log.logger })
    t.after(() => app.close())
    await app.register(cookie)
    await app.register(session, { secret: SESSION_SECRET })
    Object.assign(globalThis, { autoloaded: { plugin: oauth } })
    const options = {
      baseUrl: 'https://app.example.com',
      providers: { acme: { issuer: 'https://id.acme.example', clientId: 'c' } }
    }
    await app.register(autoload, { dir, options: { ...passed, ...options } })
    await app.ready()
    t.ok(app.hasRoute({ method: 'GET', url: folder === '.' ? '/logout' : '/auth/logout' }))
    const warnings = log.lines.map(({ msg }) => String(msg)).filter(msg => msg.includes('leaves these options alone'))
    t.equal(warnings.length, 1)
    for (const name of Object.keys(passed)) t.match(warnings[0], name)
  })
}

t.test(
  "options that Fastify's register takes are left alone; a misspelt one of the plugin's is still a mistake",
  async t => {
    const log = captureLog()
    const around = { fastify: { logger: log.logger } }
    await start(t, { ...around, oauth: { logLevel: 'warn', logSerializers: {} } as never })
    t.equal(
      log.lines.filter(({ msg }) => /leaves these options alone.*logLevel, logSerializers/.test(String(msg))).length,
      1
    )
    await t.rejects(start(t, { oauth: { logLevel: 'warn', prefx: '/auth' } as never }), {
      code: 'FST_OAUTH_INVALID_OPTIONS',
      message: /prefx is no option; did you mean prefix/
    })
  }
)
