import { EventEmitter, once } from 'node:events'
import http2 from 'node:http2'
import { Readable } from 'node:stream'
import cookie from '@fastify/cookie'
import session from '@fastify/session'
import websocket from '@fastify/websocket'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import oauth, { type OAuthError } from '../../lib/index.ts'
import { sharedSession } from '../../lib/session/context.ts'
import { createTestProvider, loginAs } from '../../lib/testing.ts'
import { Browser } from '../helpers/browser.ts'
import { type TestApp } from '../helpers/build-app.ts'
import { Gate } from '../helpers/gate.ts'
import { startCluster } from '../helpers/cluster.ts'
import { asJson, loginApp, type LoginAppOptions } from '../helpers/login-app.ts'
import { postLogoutToken } from '../helpers/logout-token.ts'
import { movingClock } from '../helpers/moving-clock.ts'
import { runBlock } from '../helpers/run-block.ts'
import { startProvider } from '../helpers/provider.ts'
import { until } from '../helpers/until.ts'

// `request.oauth.signal`, as server-sent events, streams and WebSockets use it.

/** Tells an open request's client what its signal says. */
function sendEvents (request: FastifyRequest, write: (text: string) => void, end: () => void, name?: string): void {
  const { signal } = name === undefined ? request.oauth : request.oauth.using(name)
  const tell = () => {
    const { code, reason, provider } = signal.reason as OAuthError
    write(JSON.stringify({ code, reason, provider }))
    end()
  }
  write('open\n')
  if (signal.aborted) tell()
  else signal.addEventListener('abort', tell)
}

function routes (app: FastifyInstance): void {
  app.get<{ Querystring: { using?: string } }>('/events', (request, reply) => {
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': 'text/event-stream' })
    sendEvents(request, text => reply.raw.write(text), () => reply.raw.end(), request.query.using)
  })
  app.get('/stream', (request, reply) => {
    const stream = new Readable({ read () {} })
    sendEvents(request, text => stream.push(text), () => stream.push(null))
    return reply.send(stream)
  })
  app.get('/wait', async (request) => {
    const { signal } = request.oauth
    await new Promise((resolve) => { signal.addEventListener('abort', resolve) })
    return 'ended'
  })
  app.get('/short', async request => ({ aborted: request.oauth.signal.aborted }))
  app.get('/guarded', { onRequest: app.oauth.requireLogin() }, async () => 'in')
  app.get('/refresh', async (request) => { await request.oauth.refresh() })
  app.get('/destroy', async (request) => { await request.session.destroy() })
  app.get('/own-logout', async (request) => {
    const { signal } = request.oauth
    await request.oauth.logout()
    return { aborted: signal.aborted }
  })
  app.get('/link', (request, reply) => request.oauth.login(reply, { provider: 'other', link: true }))
  app.get('/step-up', (request, reply) => request.oauth.login(reply, { link: true }))
  app.get('/disconnect', async (request) => { await request.oauth.disconnect('other') })
}

async function start (t: Test, { setup, ...options }: LoginAppOptions = {}) {
  const built = await loginApp(t, {
    ...options,
    providers: ({ providerOptions }) => ({ acme: providerOptions, other: providerOptions }),
    setup: async (app) => {
      routes(app)
      await setup?.(app)
    }
  })
  await built.browser.login(`${built.url}/login/acme`)
  return { ...built, held: async () => (await sharedSession(built.app).loginSignals)?.size ?? 0 }
}

interface Open {
  /** What its signal said in the end. */
  ended: Promise<{ code: string, reason?: string, provider?: string }>
  /** Whether it has ended. */
  isOver: () => boolean
  close: () => void
}

/** Opens a request that lasts, and waits until its handler holds the signal. */
async function open (t: Test, browser: Browser, url: string): Promise<Open> {
  const controller = new AbortController()
  t.after(() => controller.abort())
  const cookie = browser.cookieHeader
  const response = await fetch(url, { headers: { cookie }, signal: controller.signal })
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  while (!text.includes('open\n')) text += (await reader.read()).value ?? ''
  let isOver = false
  const read = async () => {
    for (;;) {
      const { done, value = '' } = await reader.read()
      text += value
      if (!done) continue
      isOver = true
      return JSON.parse(text.replace('open\n', ''))
    }
  }
  const ended = read()
  ended.catch(() => {})
  return { ended, isOver: () => isOver, close: () => controller.abort() }
}

const ENDED = { code: 'FST_OAUTH_LOGIN_ENDED', provider: 'acme' }

// Ends

type Started = Awaited<ReturnType<typeof start>>

const ends: Record<string, (started: Started) => Promise<unknown>> = {
  'a logout in another tab': ({ browser, url }) => browser.copy().post(`${url}/logout`),
  'a logout by a handler': ({ browser, url }) => browser.get(`${url}/own-logout`),
  logoutUser: ({ app }) => app.oauth.logoutUser({ provider: 'acme', subject: 'alice' }),
  "the provider's logout token": ({ url, provider }) => postLogoutToken(url, provider.logoutToken({ sub: 'alice' })),
  'a refresh that the provider refuses': ({ browser, url, provider }) => {
    provider.wrong = { instead: { token: { status: 400, body: { error: 'invalid_grant' } } } }
    return browser.get(`${url}/refresh`)
  },
  'the app, which destroys the session': ({ browser, url }) => browser.get(`${url}/destroy`),
  'another login in its place': ({ browser, url }) => browser.login(`${url}/login/acme`)
}

for (const [what, end] of Object.entries(ends)) {
  t.test(`${what} aborts the signals of the login, and no other's`, async (t) => {
    const started = await start(t)
    const { browser, url, provider } = started
    const [events, stream] = [await open(t, browser, `${url}/events`), await open(t, browser, `${url}/stream`)]
    const bob = new Browser()
    provider.subject = 'bob'
    await bob.login(`${url}/login/acme`)
    provider.subject = 'alice'
    const other = await open(t, bob, `${url}/events`)
    await end(started)
    t.match(await events.ended, ENDED)
    t.match(await stream.ended, ENDED)
    t.equal(other.isOver(), false)
    t.equal(await started.held(), 1)
  })
}

for (const [option, reason] of [['idleTimeout', 'idle_timeout'], ['absoluteTimeout', 'absolute_timeout']] as const) {
  t.test(`${option} aborts the signal when its time is over`, async (t) => {
    const clock = movingClock(t)
    const { browser, url } = await start(t, { oauth: { [option]: 60 } })
    const events = await open(t, browser, `${url}/events`)
    clock.pass(61)
    t.match(await events.ended, { ...ENDED, reason })
    t.equal((await browser.get(`${url}/guarded`, asJson)).status, 401, 'the login has ended, for all')
  })
}

t.test('an idleTimeout goes on from each request, and an open connection is none', async (t) => {
  const clock = movingClock(t)
  const { browser, url } = await start(t, { oauth: { idleTimeout: 60 } })
  const events = await open(t, browser, `${url}/events`)
  for (let turn = 0; turn < 3; turn++) {
    clock.pass(50)
    await browser.get(url)
  }
  t.equal(events.isOver(), false)
  clock.pass(61)
  t.match(await events.ended, { ...ENDED, reason: 'idle_timeout' })
})

t.test('a step-up and a link leave the signal, which sees the logout after them', async (t) => {
  const { browser, url, held } = await start(t)
  const events = await open(t, browser, `${url}/events`)
  for (const step of ['/step-up', '/link', '/step-up']) {
    t.equal((await browser.login(url + step)).status, 200)
    t.equal((await browser.get(`${url}/guarded`, asJson)).status, 200)
  }
  const later = await open(t, browser, `${url}/events`)
  t.equal(events.isOver(), false)
  t.equal(await held(), 2)
  await browser.post(`${url}/logout`)
  t.match(await events.ended, ENDED)
  t.match(await later.ended, ENDED)
})

t.test('the signal of an added account goes on where a step-up of the login puts the end off', async (t) => {
  const clock = movingClock(t)
  const { browser, url, store } = await start(t, { oauth: { absoluteTimeout: 60 } })
  clock.pass(20)
  t.equal((await browser.login(`${url}/link`)).status, 200)
  const added = await open(t, browser, `${url}/events?using=other`)
  clock.pass(20)
  t.equal((await browser.login(`${url}/step-up`)).status, 200)
  clock.pass(30)
  // Two looks: the first may have begun before the time had passed.
  for (let looks = 0; looks < 2; looks++) {
    const look = store.holdNext('get')
    await look.arrived
    look.release()
  }
  t.equal((await browser.get(`${url}/guarded`, asJson)).status, 200)
  t.equal(added.isOver(), false)
})

t.test('the signal of an added account also ends when that is disconnected', async (t) => {
  const { browser, url } = await start(t)
  t.equal((await browser.login(`${url}/link`)).status, 200)
  const [whole, added] = [await open(t, browser, `${url}/events`), await open(t, browser, `${url}/events?using=other`)]
  await browser.get(`${url}/disconnect`)
  t.match(await added.ended, { code: 'FST_OAUTH_LOGIN_ENDED', provider: 'other' })
  t.equal(whole.isOver(), false)
  await browser.login(`${url}/link`)
  const again = await open(t, browser, `${url}/events?using=other`)
  await browser.post(`${url}/logout`)
  t.match(await again.ended, { code: 'FST_OAUTH_LOGIN_ENDED', provider: 'other' })
  t.match(await whole.ended, ENDED)
})

t.test('without a login it is aborted from the start', async (t) => {
  const { url } = await start(t)
  t.match(await (await open(t, new Browser(), `${url}/events`)).ended, { code: 'FST_OAUTH_LOGIN_REQUIRED' })
  t.strictSame((await new Browser().get(`${url}/short`)).json(), { aborted: true })
})

t.test('the request that logs out sees its own signal aborted', async (t) => {
  const { browser, url } = await start(t)
  t.strictSame((await browser.get(`${url}/short`)).json(), { aborted: false })
  t.strictSame((await browser.get(`${url}/own-logout`)).json(), { aborted: true })
})

// What is held, and for how long

t.test('it is let go of with the answer, or with the connection', async (t) => {
  const { browser, url, held } = await start(t)
  for (let turn = 0; turn < 3; turn++) await browser.get(`${url}/short`)
  t.equal(await held(), 0)
  const closing = [await open(t, browser, `${url}/events`), await open(t, browser, `${url}/stream`)]
  t.equal(await held(), 2)
  for (const { close } of closing) close()
  while (await held() > 0) await new Promise(resolve => setImmediate(resolve))
  const waiting = new AbortController()
  const cookie = browser.cookieHeader
  const answer = fetch(`${url}/wait`, { headers: { cookie }, signal: waiting.signal })
  while (await held() === 0) await new Promise(resolve => setImmediate(resolve))
  waiting.abort()
  await t.rejects(answer, { name: 'AbortError' })
  await until(async () => await held() === 0, 'nothing is held')
})

/** Waits until another app with a signal has asked its store twice: by then this one would have asked too. */
async function lookTwice (t: Test): Promise<void> {
  const { browser, url, store } = await start(t)
  await open(t, browser, `${url}/events`)
  for (let look = 0; look < 2; look++) {
    const asked = store.holdNext('get')
    await asked.arrived
    asked.release()
  }
}

t.test('the store is asked while a signal is held, and not otherwise', async (t) => {
  const { browser, url, store } = await start(t)
  await browser.get(`${url}/short`)
  const before = store.calls.get
  await lookTwice(t)
  t.equal(store.calls.get, before, 'nobody holds one')
  const events = await open(t, browser, `${url}/events`)
  const asked = store.holdNext('get')
  t.ok(await asked.arrived)
  asked.release()
  events.close()
})

t.test('a store that is away aborts nothing; what happened meanwhile is seen when it is back', async (t) => {
  const { browser, url, store } = await start(t)
  const events = await open(t, browser, `${url}/events`)
  store.fail.get = true
  const failed = store.calls.get
  await until(() => store.calls.get >= failed + 2, 'the store was asked twice')
  t.equal(events.isOver(), false)
  // As another process would do it.
  for (const id of store.records.keys()) if (id.startsWith('oauth:')) store.records.delete(id)
  store.fail.get = false
  t.match(await events.ended, ENDED)
})

t.test('a process ends with signals held', async (t) => {
  const { app, browser, url } = await start(t)
  await open(t, browser, `${url}/events`)
  const timers = process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
  const signals = await sharedSession(app).loginSignals
  t.equal(signals?.size, 1)
  const events = await open(t, browser, `${url}/events`)
  t.ok(process.getActiveResourcesInfo().filter(name => name === 'Timeout').length <= timers, 'no timer that holds it')
  events.close()
})

// HTTP/2

t.test('over HTTP/2 the streams of one connection end with the login, and a closed one is let go of', async (t) => {
  const provider = await createTestProvider()
  t.after(() => provider.close())
  const app = Fastify({ http2: true })
  t.after(() => app.close())
  await app.register(cookie)
  await app.register(session, { secret: 'a secret of 32 characters or more', cookie: { secure: false } })
  await app.register(oauth, {
    baseUrl: 'http://localhost', providers: { acme: provider.options }, dispatcher: provider.dispatcher
  })
  app.get('/events', (request, reply) => {
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': 'text/event-stream' })
    reply.raw.write('open')
    const { signal } = request.oauth
    signal.addEventListener('abort', () => reply.raw.end((signal.reason as OAuthError).code))
  })
  app.get('/out', async (request) => { await request.oauth.logout() })
  const user = await loginAs(app)
  const connection = http2.connect(await app.listen({ port: 0, host: '127.0.0.1' }))
  t.after(() => connection.destroy())
  const ask = (path: string) => connection.request({ ':path': path, cookie: user.cookie }).setEncoding('utf8')
  const openStream = async () => {
    const stream = ask('/events')
    t.equal((await once(stream, 'data'))[0], 'open')
    return stream
  }
  const [closed, ...others] = [await openStream(), await openStream(), await openStream()]
  closed!.close()
  const held = async () => (await sharedSession(app as unknown as FastifyInstance).loginSignals)?.size
  while (await held() !== 2) await new Promise(resolve => setImmediate(resolve))
  const told = Promise.all(others.map(stream => once(stream, 'data')))
  await once(ask('/out').resume(), 'end')
  t.strictSame(await told, [['FST_OAUTH_LOGIN_ENDED'], ['FST_OAUTH_LOGIN_ENDED']])
})

// WebSockets

t.test('a WebSocket is closed by its handler when the login ends', async (t) => {
  const { browser, url, held } = await start(t, {
    setup: async (app) => {
      await app.register(websocket)
      await app.register(async (scope) => {
        scope.get('/live', { websocket: true, onRequest: app.oauth.requireLogin() }, (socket, request) => {
          const { signal } = request.oauth
          signal.addEventListener('abort', () => socket.close(4401, (signal.reason as OAuthError).code))
          socket.send('open')
        })
      })
    }
  })
  const connect = async () => {
    const cookie = browser.cookieHeader
    const socket = new WebSocket(`${url.replace('http', 'ws')}/live`, { headers: { cookie } })
    t.after(() => socket.terminate())
    const closed = new Promise<[number, string]>((resolve) => {
      socket.on('close', (code, reason) => resolve([code, reason.toString()]))
    })
    await new Promise((resolve, reject) => { socket.once('message', resolve).once('error', reject) })
    return { socket, closed }
  }
  const [first, second] = [await connect(), await connect()]
  t.equal(await held(), 2)
  first.socket.close()
  await first.closed
  while (await held() > 1) await new Promise(resolve => setImmediate(resolve))
  await browser.get(`${url}/guarded`)
  await browser.post(`${url}/logout`)
  t.strictSame(await second.closed, [4401, 'FST_OAUTH_LOGIN_ENDED'])
  while (await held() > 0) await new Promise(resolve => setImmediate(resolve))
})

t.test('as the recipe has it', async (t) => {
  const orders = new EventEmitter()
  const { browser, url } = await start(t, {
    setup: async (app) => {
      // Without the route of the same name above.
      await app.register(async scope => await runBlock('docs/recipes.md', 'WebSockets and server-sent events', {
        app: scope, env: {}, orders
      }), { prefix: '/recipe' })
    }
  })
  const cookie = browser.cookieHeader
  const socket = new WebSocket(`${url.replace('http', 'ws')}/recipe/live`, { headers: { cookie } })
  t.after(() => socket.terminate())
  const closed = once(socket, 'close')
  t.match(String((await once(socket, 'message'))[0]), 'hello alice')
  const response = await fetch(`${url}/recipe/events`, { headers: { cookie } })
  while (orders.listenerCount('order') === 0) await new Promise(resolve => setImmediate(resolve))
  orders.emit('order', { id: 1 })
  await browser.post(`${url}/logout`)
  const [code, reason] = await closed
  t.strictSame([code, String(reason)], [4401, 'FST_OAUTH_LOGIN_ENDED'])
  t.equal(await response.text(), 'data: {"id":1}\n\nevent: logout\ndata: FST_OAUTH_LOGIN_ENDED\n\n')
})

t.test('as the recipe has it, a WebSocket whose login ended between guard and handler is closed', async (t) => {
  const gate = new Gate()
  const { browser, url } = await start(t, {
    setup: async (app) => {
      await app.register(async (scope) => {
        scope.addHook('preHandler', async () => { await gate.pass() })
        await runBlock('docs/recipes.md', 'WebSockets and server-sent events', {
          app: scope, env: {}, orders: new EventEmitter()
        })
      }, { prefix: '/recipe' })
    }
  })
  const cookie = browser.cookieHeader
  const socket = new WebSocket(`${url.replace('http', 'ws')}/recipe/live`, { headers: { cookie } })
  t.after(() => socket.terminate())
  const closed = once(socket, 'close')
  await gate.arrived
  await browser.post(`${url}/logout`)
  gate.release()
  const [code, reason] = await closed
  t.strictSame([code, String(reason)], [4401, 'FST_OAUTH_LOGIN_REQUIRED'])
})

// Several processes

t.test('on Redis, what another process ends is seen without a request, and a request there counts', async (t) => {
  const provider = await startProvider(t)
  const cluster = await startCluster(t, provider, 3, { setup: routes, oauth: { idleTimeout: 3600 } })
  if (cluster === undefined) return
  const [first, second, third] = cluster.apps as [TestApp, TestApp, TestApp]
  const browser = new Browser()
  await browser.login(`${first.url}/login/acme`)
  const events = [await open(t, browser, `${first.url}/events`), await open(t, browser, `${third.url}/events`)]
  await browser.get(`${second.url}/guarded`)
  await browser.post(`${second.url}/logout`)
  for (const { ended } of events) t.match(await ended, ENDED)
})

t.test('on Redis, a refresh in another process leaves the signal', async (t) => {
  const provider = await startProvider(t)
  const cluster = await startCluster(t, provider, 2, { setup: routes })
  if (cluster === undefined) return
  const [first, second] = cluster.apps as [TestApp, TestApp]
  const browser = new Browser()
  await browser.login(`${first.url}/login/acme`)
  const events = await open(t, browser, `${first.url}/events`)
  await browser.get(`${second.url}/refresh`)
  // One look at the store is for all signals: after two that found another login ended, this one was looked at too.
  for (let look = 0; look < 2; look++) {
    const other = new Browser()
    await other.login(`${first.url}/login/acme`)
    const { ended } = await open(t, other, `${first.url}/events`)
    await other.get(`${second.url}/guarded`)
    await other.post(`${second.url}/logout`)
    t.match(await ended, ENDED)
  }
  t.equal(events.isOver(), false)
  await browser.post(`${second.url}/logout`)
  t.match(await events.ended, ENDED)
})
