import t from 'tap'
import { Browser } from '../helpers/browser.ts'
import { asJson, loginApp, type LoginApp } from '../helpers/login-app.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'

// nextjs-auth0 CVE-2025-48947: a shared cache kept an answer, and the session cookie in it, for the next visitor.

const PRIVATE = 'private, no-store'

function routes (app: LoginApp['app']): void {
  let visits = 0
  const onRequest = app.oauth.requireLogin()
  app.get('/guarded', { onRequest }, async ({ oauth }) => oauth.user)
  app.get('/guarded/own', { onRequest }, async (_request, reply) => {
    return reply.header('cache-control', 'private, max-age=60').send({})
  })
  app.get('/guarded/before', {
    onRequest: [async (_request, reply) => { reply.header('cache-control', 'max-age=5') }, onRequest]
  }, async () => ({}))
  app.get('/guarded/fails', { onRequest }, async () => { throw new Error('of the app') })
  app.get('/plain', async () => ({}))
  app.get('/plain/user', async ({ oauth }) => oauth.user)
  app.get('/write', async ({ session }) => {
    session.set('visits' as never, ++visits as never)
    return {}
  })
  app.get('/write/own', async ({ session }, reply) => {
    session.set('visits' as never, ++visits as never)
    return reply.header('cache-control', 'no-cache').send({})
  })
}

const ofPath = async ({ url }: Pick<LoginApp, 'url'>, browser: Browser, path: string) =>
  (await browser.get(`${url}${path}`, { ...asJson, redirect: 'manual' })).headers['cache-control']

t.test('an answer behind requireLogin is not for a shared cache, unless the handler says otherwise', async (t) => {
  const app = await loggedInApp(t, { wrong: {}, session: { rolling: false }, setup: routes })
  const { browser } = app
  t.equal(await ofPath(app, browser, '/guarded'), PRIVATE)
  t.equal(await ofPath(app, browser, '/guarded/own'), 'private, max-age=60')
  t.equal(await ofPath(app, browser, '/guarded/before'), 'max-age=5')
  t.equal(await ofPath(app, browser, '/guarded/fails'), PRIVATE)
  t.equal(await ofPath(app, new Browser(), '/guarded'), PRIVATE, 'the 401 of a guard')
})

t.test('a plain answer that sets no cookie is left alone', async (t) => {
  const app = await loggedInApp(t, { wrong: {}, session: { rolling: false }, setup: routes })
  for (const path of ['/plain', '/plain/user']) {
    t.equal(await ofPath(app, app.browser, path), undefined, path)
    t.equal(await ofPath(app, new Browser(), path), undefined, path)
  }
})

t.test('an answer that gives the browser a session cookie is not for a shared cache', async (t) => {
  const app = await loginApp(t, { session: { rolling: false }, setup: routes })
  const browser = new Browser()
  const page = await browser.get(`${app.url}/write`)
  t.ok(page.headers['set-cookie'])
  t.equal(page.headers['cache-control'], PRIVATE)
  t.equal(await ofPath(app, browser, '/write/own'), 'no-cache')
  const rolling = await loggedInApp(t, { wrong: {}, session: { rolling: true }, setup: routes })
  t.equal(await ofPath(rolling, rolling.browser, '/plain'), PRIVATE)
})

t.test('an answer that takes a session cookie away is not for a shared cache', async (t) => {
  const app = await loggedInApp(t, { wrong: {}, session: { rolling: false }, setup: routes })
  const { browser, store } = app
  store.records.clear()
  const page = await browser.get(`${app.url}/plain`)
  t.match(page.headers['set-cookie'], [/^sessionId=;/])
  t.equal(page.headers['cache-control'], PRIVATE)
})

t.test('login, callback and logout answer with no-store', async (t) => {
  const app = await loggedInApp(t, { wrong: {}, session: { rolling: false }, setup: routes })
  const { browser, url } = app
  await browser.login(`${url}/login/acme`)
  await browser.post(`${url}/logout`)
  const isOwn = (page: string) => page.startsWith(url) && /^\/(?:login|logout)/.test(new URL(page).pathname)
  const own = browser.history.filter(page => isOwn(page.url))
  t.ok(own.length > 3)
  t.strictSame(new Set(own.map(({ headers }) => headers['cache-control'])), new Set(['no-store']))
})
