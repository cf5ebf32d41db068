import cookie from '@fastify/cookie'
import formbody from '@fastify/formbody'
import session from '@fastify/session'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import oauth from '../../lib/index.ts'
import { Browser } from '../helpers/browser.ts'
import { SESSION_SECRET } from '../helpers/build-app.ts'
import { asJson, assertLoggedOut, callbackUrl, codeOf, loginApp } from '../helpers/login-app.ts'
import { captureLog } from '../helpers/log.ts'
import { startMisbehavingProvider, type MisbehavingProvider } from '../helpers/misbehaving-provider.ts'

// Where the plugin's routes are, and what an app does that has its own.

/** An app with sessions, whose rest is the test's. */
async function sessionApp (
  t: Test,
  register: (app: FastifyInstance, options: { provider: MisbehavingProvider, baseUrl: () => string }) => unknown
) {
  const provider = await startMisbehavingProvider(t)
  const app = Fastify()
  t.after(() => app.close())
  let url = ''
  await app.register(cookie)
  await app.register(session, { secret: SESSION_SECRET, cookie: { secure: false }, saveUninitialized: false })
  await register(app, { provider, baseUrl: () => url })
  url = await app.listen({ port: 0, host: '127.0.0.1' })
  return { app, url, provider, browser: new Browser() }
}

/** Walks a login and a logout below a prefix. */
async function assertWorks (
  t: Test,
  { url, provider, browser }: { url: string, provider: MisbehavingProvider, browser: Browser },
  prefix: string
): Promise<void> {
  const callback = await callbackUrl(
    browser,
    `${url}${prefix}/login/acme?returnTo=${encodeURIComponent(`${prefix}/me`)}`
  )
  t.equal(new URL(callback).pathname, `${prefix}/login/acme/callback`)
  t.equal(provider.asked('authorization')[0]?.query.get('redirect_uri'), `${url}${prefix}/login/acme/callback`)
  const page = await browser.get(callback)
  t.strictSame(page.json(), { user: 'alice' })
  t.equal((await browser.get(`${url}${prefix}/logout`)).status, 200)
  t.equal((await browser.post(`${url}${prefix}/logout`, { redirect: 'manual' })).status, 302)
  t.strictSame((await browser.get(`${url}${prefix}/me`)).json(), { user: null })
}

t.test('a prefix, registered at the root', async (t) => {
  const built = await sessionApp(t, async (app, { provider, baseUrl }) => {
    await app.register(oauth, { baseUrl, prefix: '/auth', providers: { acme: provider.providerOptions } })
    app.get('/auth/me', async ({ oauth: { user } }) => ({ user: user?.id ?? null }))
  })
  await assertWorks(t, built, '/auth')
  t.equal((await built.browser.get(`${built.url}/login/acme`)).status, 404, 'and nowhere else')
})

t.test('a prefix that ends with a slash', async (t) => {
  const built = await sessionApp(t, async (app, { provider, baseUrl }) => {
    await app.register(oauth, { baseUrl, prefix: '/auth/', providers: { acme: provider.providerOptions } })
    app.get('/auth/me', async ({ oauth: { user } }) => ({ user: user?.id ?? null }))
  })
  await assertWorks(t, built, '/auth')
})

t.test('a scope with a prefix', async (t) => {
  const built = await sessionApp(t, async (app, { provider, baseUrl }) => {
    await app.register(async (scope) => {
      await scope.register(oauth, { baseUrl, providers: { acme: provider.providerOptions } })
      scope.get('/me', async ({ oauth: { user } }) => ({ user: user?.id ?? null }))
    }, { prefix: '/shop' })
  })
  await assertWorks(t, built, '/shop')
})

t.test('a prefix in a scope with a prefix', async (t) => {
  const built = await sessionApp(t, async (app, { provider, baseUrl }) => {
    await app.register(async (scope) => {
      await scope.register(oauth, { baseUrl, prefix: '/auth', providers: { acme: provider.providerOptions } })
      scope.get('/auth/me', async ({ oauth: { user } }) => ({ user: user?.id ?? null }))
    }, { prefix: '/shop' })
  })
  await assertWorks(t, built, '/shop/auth')
})

t.test('two registrations in two scopes do not affect each other', async (t) => {
  const built = await sessionApp(t, async (app, { provider, baseUrl }) => {
    for (const prefix of ['/one', '/two']) {
      await app.register(async (scope) => {
        await scope.register(oauth, { baseUrl, providers: { acme: provider.providerOptions } })
        scope.get('/me', async ({ oauth: { user } }) => ({ user: user?.id ?? null }))
      }, { prefix })
    }
  })
  for (const prefix of ['/one', '/two']) {
    const page = await built.browser.login(`${built.url}${prefix}/login/acme?returnTo=${prefix}/me`)
    t.strictSame(page.json(), { user: 'alice' })
  }
})

t.test('a baseUrl with a path, which a proxy takes off again', async (t) => {
  const app = await loginApp(t, { oauth: { baseUrl: 'https://app.example.com/shop' } })
  const { browser, url } = app
  const start = await browser.get(`${url}/login/acme?returnTo=/shop/orders`, { redirect: 'manual' })
  t.equal(new URL(start.location!).searchParams.get('redirect_uri'), 'https://app.example.com/shop/login/acme/callback')
  t.match(browser.cookies, [{ path: '/shop', secure: true, name: /^oauth-/ }])
  const { location } = await browser.follow(start, { redirect: 'manual' })
  const [loginCookie] = browser.cookies
  browser.jar.put({ ...loginCookie!, path: '/' })
  const done = await browser.get(location!.replace('https://app.example.com/shop', url), { redirect: 'manual' })
  t.strictSame([done.status, done.headers.location], [302, '/shop/orders'])
  t.match(String(done.headers['set-cookie']), /oauth-[\w-]{22}=; Max-Age=0; Path=\/shop;/, 'cleared where it was set')

  const failed = await browser.get(`${url}/login/acme/callback?code=c&state=s`)
  t.match(failed.text, 'href="/shop/login/acme"')
  t.match(failed.text, 'href="/shop"')
  t.match((await browser.get(`${url}/logout`)).text, 'action="/shop/logout"')
})

t.test('a baseUrl with a path that ends with a slash is the same', async (t) => {
  const { browser, url } = await loginApp(t, { oauth: { baseUrl: 'https://app.example.com/shop/' } })
  const start = await browser.get(`${url}/login/acme`, { redirect: 'manual' })
  t.equal(new URL(start.location!).searchParams.get('redirect_uri'), 'https://app.example.com/shop/login/acme/callback')
})

t.test('routes of the app\'s choice', async (t) => {
  const { browser, url, userOf } = await loginApp(t, {
    oauth: {
      routes: { login: '/signin', callback: '/signed-in/:provider', logout: '/signout', loggedOut: '/signed-out' }
    }
  })
  const callback = await callbackUrl(browser, `${url}/signin`)
  t.equal(new URL(callback).pathname, '/signed-in/acme')
  t.strictSame((await browser.get(callback)).json(), { user: 'alice' })
  t.match((await browser.get(`${url}/signout`)).text, 'action="/signout"')
  await browser.post(`${url}/signout`)
  t.equal(await userOf(browser), null)
  t.equal(codeOf(await browser.get(`${url}/signed-out?state=x`)), 'FST_OAUTH_STATE_MISMATCH')
  t.equal((await browser.get(`${url}/login`)).status, 404)
})

t.test('a single provider\'s callback needs no name in it', async (t) => {
  const { browser, url } = await loginApp(t, { oauth: { routes: { callback: '/callback' } } })
  t.equal(new URL(await callbackUrl(browser, `${url}/login/acme`)).pathname, '/callback')
  t.strictSame((await browser.login(`${url}/login`)).json(), { user: 'alice' })
})

t.test('a redirect URI that is registered already is a callback, too', async t => {
  const { app, browser, url, provider } = await loginApp(t, {
    provider: { redirectUri: 'https://app.example.com/old/callback' },
    oauth: { baseUrl: 'https://app.example.com' }
  })
  const callback = await callbackUrl(browser, `${url}/login/acme`)
  t.match(callback, /^https:\/\/app\.example\.com\/old\/callback\?/)
  const { pathname, search } = new URL(callback)
  const cookies = browser.cookieHeader
  const { statusCode } = await app.inject({ url: pathname + search, headers: { cookie: cookies } })
  t.equal(statusCode, 302)
  t.equal(provider.asked('token')[0]?.form.get('redirect_uri'), 'https://app.example.com/old/callback')
})

t.test('a redirect URI that is registered already, below the path of baseUrl, which a proxy takes off', async t => {
  const { app, browser, url } = await loginApp(t, {
    provider: { redirectUri: 'https://app.example.com/shop/old/callback' },
    oauth: { baseUrl: 'https://app.example.com/shop' }
  })
  const { search } = new URL(await callbackUrl(browser, `${url}/login/acme`))
  const cookies = browser.cookieHeader
  const { statusCode, headers } = await app.inject({ url: `/old/callback${search}`, headers: { cookie: cookies } })
  t.equal(statusCode, 302)
  t.equal(headers.location, '/shop')
})

t.test('a redirect URI on another host takes no route of this app', async (t) => {
  const { browser, url } = await loginApp(t, {
    provider: { redirectUri: 'https://relay.example.com/hello' },
    oauth: { baseUrl: 'https://app.example.com' },
    setup: (app) => { app.get('/hello', async () => 'mine') }
  })
  t.equal((await browser.get(`${url}/hello`)).text, 'mine')
})

for (const [registered, elsewhere] of [
  ['/my%20app/cb', ['/my-app/cb']],
  ['/gr%C3%BC%C3%9Fe/cb', ['/gruesse/cb']],
  ['/grüße/cb', ['/gruesse/cb']],
  ['/cb%2Facme', ['/cb/acme', '/cbXacme']],
  ['/cb%3Aacme', ['/cb']],
  ['/100%25/cb', ['/100/cb']],
  ['/a%3Fb%23c', ['/a']],
  ['/cb:acme', ['/cb', '/cbX', '/cb:other']],
  ['/:provider/back', ['/acme/back', '/x/back']],
  ['/back/*', ['/back/x', '/back/']],
  ['/a+b/(cb)', ['/ab/cb']],
  ['/%F0%9F%94%91/cb', ['/key/cb']],
  ['/cb/', ['/cb']],
  ['/cb?tenant=1', ['/cb/x']],
  ['/cb%2dacme', ['/cb']],
] as const) {
  t.test(`a redirect URI with the path ${registered} takes the login back, and no other path does`, async t => {
    const { app, browser, url, provider } = await loginApp(t, {
      provider: { redirectUri: `https://app.example.com${registered}` },
      oauth: { baseUrl: 'https://app.example.com' }
    })
    const callback = new URL(await callbackUrl(browser, `${url}/login/acme`))
    t.equal(provider.asked('authorization')[0]?.query.get('redirect_uri'), `https://app.example.com${registered}`)
    const headers = { cookie: browser.cookieHeader }
    for (const path of elsewhere) {
      t.equal((await app.inject({ url: path + callback.search, headers })).statusCode, 404, path)
    }
    t.match(await app.inject({ url: callback.pathname + callback.search, headers }), {
      statusCode: 302,
      headers: { location: '/' }
    })
  })
}

for (const [mount, baseUrl, redirectUri, path] of [
  ['', 'https://app.example.com/my%20shop', 'https://app.example.com/my%20shop/old/cb', '/old/cb'],
  ['', 'https://app.example.com/größe', 'https://app.example.com/gr%c3%b6%c3%9fe/old/cb', '/old/cb'],
  ['/auth', 'https://app.example.com', 'https://app.example.com/old/cb', '/old/cb'],
  ['/auth', 'https://app.example.com', 'https://app.example.com/auth/old/cb', '/auth/old/cb'],
] as const) {
  t.test(`the redirect URI ${redirectUri} below ${baseUrl}, the routes below ${mount || '/'}`, async (t) => {
    const { app, browser, url } = await loginApp(t, { provider: { redirectUri }, oauth: { baseUrl, prefix: mount } })
    const callback = new URL(await callbackUrl(browser, `${url}${mount}/login/acme`))
    const headers = { cookie: browser.cookieHeader }
    t.equal((await app.inject({ url: path + callback.search, headers })).statusCode, 302)
  })
}

t.test('a redirect URI outside of the scope that the plugin is in: the log says what to do', async (t) => {
  const log = captureLog()
  const app = Fastify({ logger: log.logger })
  t.after(() => app.close())
  await app.register(cookie)
  await app.register(session, { secret: SESSION_SECRET })
  await app.register(
    async scope => {
      const acme = { issuer: 'https://id.acme.example', clientId: 'c', redirectUri: 'https://app.example.com/old/cb' }
      await scope.register(oauth, { baseUrl: 'https://app.example.com', providers: { acme } })
    },
    { prefix: '/shop' }
  )
  t.equal(
    log.lines.filter(({ msg }) => /redirectUri of provider "acme".*request\.oauth\.callback/.test(String(msg))).length,
    1
  )
})

for (const [what, options, prefix] of [
  ['a prefix with an escape', { prefix: '/my%20auth' }, '/my%20auth'],
  ['a prefix that is not ASCII', { prefix: '/größe' }, '/gr%C3%B6%C3%9Fe'],
] as const) {
  t.test(`${what}: routes, links and redirect URIs are the same`, async (t) => {
    const built = await sessionApp(t, async (app, { provider, baseUrl }) => {
      await app.register(oauth, { baseUrl, ...options, providers: { acme: provider.providerOptions } })
      app.get(`${decodeURI(prefix)}/me`, async ({ oauth: { user } }) => ({ user: user?.id ?? null }))
    })
    await assertWorks(t, built, prefix)
  })
}

t.test("routes of the app's choice with escapes and in other scripts", async t => {
  const { browser, url, userOf } = await loginApp(t, {
    oauth: { routes: { login: '/sign%20in', callback: '/zurück/:provider', logout: '/abmelden/ü' } }
  })
  t.strictSame((await browser.login(`${url}/sign%20in`)).json(), { user: 'alice' })
  await browser.submitForm(await browser.get(`${url}/abmelden/%C3%BC`))
  t.equal(await userOf(browser), null)
})

t.test('a scope whose prefix is not ASCII', async (t) => {
  const built = await sessionApp(t, async (app, { provider, baseUrl }) => {
    await app.register(async (scope) => {
      await scope.register(oauth, { baseUrl, providers: { acme: provider.providerOptions } })
      scope.get('/me', async ({ oauth: { user } }) => ({ user: user?.id ?? null }))
    }, { prefix: '/mein laden/größe' })
  })
  await assertWorks(t, built, '/mein%20laden/gr%C3%B6%C3%9Fe')
})

// Forms

for (const [order, before] of [['before', true], ['after', false]] as const) {
  t.test(`@fastify/formbody ${order} the plugin`, async (t) => {
    const { browser, url } = await sessionApp(t, async (app, { provider, baseUrl }) => {
      if (before) await app.register(formbody)
      await app.register(oauth, {
        baseUrl,
        providers: { acme: { ...provider.providerOptions, responseMode: 'form_post' } }
      })
      if (!before) await app.register(formbody)
      app.get('/', async ({ oauth: { user } }) => ({ user: user?.id ?? null }))
      app.post('/form', async ({ body }) => body)
    })
    t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
    const page = await browser.post(`${url}/logout`, { form: { returnTo: '/?bye' }, redirect: 'manual' })
    t.equal(page.location, `${url}/?bye`)
    t.strictSame(
      (await browser.post(`${url}/form`, { form: { a: 'b' } })).json(),
      { a: 'b' },
      "and the app's own forms work"
    )
  })
}

t.test('without @fastify/formbody the app\'s own routes take no form: the plugin\'s parser is its own', async (t) => {
  const { browser, url } = await loginApp(t, { setup: (app) => { app.post('/form', async ({ body }) => body) } })
  t.equal((await browser.post(`${url}/form`, { form: { a: 'b' } })).status, 415)
})

t.test('a form that is larger than any response of a provider is refused', async (t) => {
  const app = await loginApp(t)
  const page = await app.browser.post(`${app.url}/login/acme/callback`, {
    form: { state: 's', code: 'c'.repeat(200_000) },
    ...asJson
  })
  t.equal(page.status, 413)
  await assertLoggedOut(t, app)
})

t.test('a form with a member called __proto__ is just a form', async (t) => {
  const app = await loginApp(t)
  const page = await app.browser.post(`${app.url}/login/acme/callback`, {
    form: { __proto__: 'x', 'constructor[prototype]': 'y', state: 's' },
    ...asJson
  })
  t.equal(codeOf(page), 'FST_OAUTH_STATE_MISMATCH')
})

// Without routes

t.test('routes: false: the app\'s own routes begin, finish and end a login', async (t) => {
  const { browser, url, provider, userOf } = await loginApp(t, {
    oauth: { routes: false },
    setup: app => {
      app.get('/in', async (request, reply) =>
        request.oauth.login(reply, { returnTo: '/?back', params: { prompt: 'login' } })
      )
      app.get('/login/:provider/callback', async (request, reply) => request.oauth.callback(reply))
      app.post('/out', async (request, reply) => request.oauth.logout(reply))
    }
  })
  const page = await browser.login(`${url}/in`)
  t.strictSame(page.json(), { user: 'alice' })
  t.equal(page.url, `${url}/?back`)
  t.equal(provider.asked('authorization')[0]?.query.get('prompt'), 'login')
  t.equal((await browser.get(`${url}/login/acme`)).status, 404)
  t.equal((await browser.get(`${url}/logout`)).status, 404)
  t.match(await browser.post(`${url}/out`, { json: {}, redirect: 'manual' }), { status: 302, location: `${url}/` })
  t.equal(await userOf(browser), null)
})

t.test('routes: false: a callback on a route of any name, with the redirect URI that belongs to it', async (t) => {
  const built = await sessionApp(t, async (app, { provider, baseUrl }) => {
    await app.register(oauth, {
      baseUrl,
      routes: false,
      providers: { acme: { ...provider.providerOptions, redirectUri: 'http://127.0.0.1/back' } }
    })
    app.get('/in', async (request, reply) => request.oauth.login(reply))
    app.get('/back', async (request, reply) => request.oauth.callback(reply))
    app.get('/', async ({ oauth: { user } }) => ({ user: user?.id ?? null }))
  })
  const callback = new URL(await callbackUrl(built.browser, `${built.url}/in`))
  t.strictSame((await built.browser.get(`${built.url}/back${callback.search}`)).json(), { user: 'alice' })
})

t.test('routes: false: a callback that fails throws, and the app sends the response', async (t) => {
  const app = await loginApp(t, {
    oauth: { routes: false },
    setup: app => {
      app.setErrorHandler((error: { code?: string, statusCode?: number }, _request, reply) =>
        reply.code(error.statusCode ?? 500).send({ mine: error.code })
      )
      app.get('/login/:provider/callback', async (request, reply) => request.oauth.callback(reply))
    }
  })
  const page = await app.browser.get(`${app.url}/login/acme/callback?code=c&state=s`)
  t.equal(page.status, 400)
  t.strictSame(page.json(), { mine: 'FST_OAUTH_STATE_MISMATCH' })
  t.equal(page.headers['cache-control'], 'no-store')
  await assertLoggedOut(t, app)
})

for (const method of ['HEAD', 'OPTIONS', 'PUT', 'DELETE', 'PATCH'] as const) {
  t.test(`routes: false: ${method} neither begins nor finishes a login, on a route for all methods`, async (t) => {
    const { app, browser, url, provider, store } = await loginApp(t, {
      oauth: { routes: false },
      setup: (app) => {
        app.all('/in', async (request, reply) => request.oauth.login(reply))
        app.all('/login/:provider/callback', async (request, reply) => request.oauth.callback(reply))
      }
    })
    const begun = await app.inject({ method, url: '/in' })
    t.equal(begun.statusCode, 405)
    t.equal(begun.headers['set-cookie'], undefined)
    t.equal(store.records.size, 0)

    const callback = await callbackUrl(browser, `${url}/in`)
    const cookie = browser.jar.header(new URL(callback), { method: 'HEAD', crossSite: false })!
    const refused = await app.inject({ method, url: callback.slice(url.length), headers: { cookie } })
    t.match(refused, { statusCode: 405, headers: { allow: 'GET, POST' } })
    t.equal(provider.asked('token').length, 0)
    t.strictSame((await browser.get(callback)).json(), { user: 'alice' })
  })
}

t.test('routes: false: an unsafe returnTo is not followed, wherever it comes from', async (t) => {
  const { browser, url } = await loginApp(t, {
    oauth: { routes: false },
    setup: app => {
      app.get('/in', async (request, reply) =>
        request.oauth.login(reply, { returnTo: (request.query as { next: string }).next })
      )
      app.get('/login/:provider/callback', async (request, reply) => request.oauth.callback(reply))
    }
  })
  for (const next of ['//evil.example', 'https://evil.example', '/.//evil.example']) {
    const callback = await callbackUrl(browser, `${url}/in?${new URLSearchParams({ next })}`)
    t.equal((await browser.get(callback, { redirect: 'manual' })).headers.location, '/')
  }
})

t.test('routes: false with several providers: one has to be named', async (t) => {
  const { browser, url, provider } = await loginApp(t, {
    oauth: { routes: false },
    providers: ({ providerOptions }) => ({ acme: providerOptions, other: providerOptions }),
    setup: (app) => {
      app.get('/in', async (request, reply) => request.oauth.login(reply))
      app.get('/in/other', async (request, reply) => request.oauth.login(reply, { provider: 'other' }))
      app.get('/in/unknown', async (request, reply) => request.oauth.login(reply, { provider: 'unknown' }))
      app.get('/login/:provider/callback', async (request, reply) => request.oauth.callback(reply))
    }
  })
  t.equal(codeOf(await browser.get(`${url}/in`, asJson)), 'FST_OAUTH_LOGIN_REQUIRED')
  t.equal(codeOf(await browser.get(`${url}/in/unknown`, asJson)), 'FST_OAUTH_UNKNOWN_PROVIDER')
  t.strictSame((await browser.get(`${url}/in/other`)).json(), { user: 'alice' })
  t.equal(provider.asked('authorization')[0]?.query.get('redirect_uri'), `${url}/login/other/callback`)
})
