import { once } from 'node:events'
import { setTimeout as later } from 'node:timers/promises'
import cookie from '@fastify/cookie'
import session from '@fastify/session'
import websocket from '@fastify/websocket'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { Browser } from '../helpers/browser.ts'
import { SESSION_SECRET } from '../helpers/build-app.ts'
import { freePort } from '../helpers/listen.ts'
import { startProvider } from '../helpers/provider.ts'
import { runRecipe } from '../helpers/recipe.ts'

// The app of docs/bff.md as it is written there, with a strict session cookie, in front of an API.

/** An API that tells what it got, and refuses tokens. */
async function startApi (t: Test) {
  const refused = new Set<string>()
  const calls: { method: string, token: string, cookie: string | undefined }[] = []
  const api = Fastify()
  t.after(() => api.close())
  await api.register(websocket)
  api.addContentTypeParser('application/octet-stream', (_request, payload, done) => { done(null, payload) })
  api.addHook('onRequest', async ({ method, headers }, reply) => {
    const token = String(headers.authorization).replace('Bearer ', '')
    calls.push({ method, token, cookie: headers.cookie })
    if (refused.has(token)) return reply.code(401).header('www-authenticate', 'Bearer error="invalid_token"').send('no')
  })
  api.get('/orders', async () => [{ id: 1 }])
  api.post('/orders', async ({ body }) => ({ ordered: body }))
  api.get('/download', async (_request, reply) => {
    return reply.type('application/octet-stream').send(Buffer.alloc(1_000_000, 'a'))
  })
  api.post('/upload', async ({ body }) => {
    let size = 0
    for await (const chunk of body as AsyncIterable<Buffer>) size += chunk.length
    return { size }
  })
  api.get('/events', (_request, reply) => {
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': 'text/event-stream' })
    reply.raw.write('data: one\n\n')
    reply.raw.once('close', () => reply.raw.end())
  })
  api.register(async (scope) => {
    scope.get('/live', { websocket: true }, socket => {
      socket.on('message', message => socket.send(`echo ${String(message)}`))
    })
  })
  return { url: await api.listen({ port: 0, host: '127.0.0.1' }), calls, refused }
}

async function start (t: Test) {
  const api = await startApi(t)
  const provider = await startProvider(t, { host: 'localhost' })
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const app = Fastify()
  t.after(() => app.close())
  await app.register(cookie)
  await app.register(session, {
    secret: SESSION_SECRET, cookie: { secure: false, sameSite: 'strict' }, saveUninitialized: false
  })
  await runRecipe('docs/bff.md', 'Calls through the app', {
    app, acme: provider.providerOptions, env: { BASE_URL: url, API_URL: api.url }
  })
  app.get('/', async () => 'home')
  await app.listen({ port, host: '127.0.0.1' })
  const browser = new Browser()
  await browser.login(`${url}/login`)
  const headers = () => ({ cookie: browser.cookies.map(({ name, value }) => `${name}=${value}`).join('; ') })
  const call = async (path: string, { headers: own, ...init }: RequestInit = {}) =>
    await fetch(url + path, { ...init, headers: { ...headers(), 'x-csrf': '1', ...own } })
  return { url, api, provider, browser, call, headers }
}

t.test('a call goes out with the token in place of the cookie', async (t) => {
  const { call, api, url } = await start(t)
  t.strictSame(await (await call('/api/orders')).json(), [{ id: 1 }])
  const body = JSON.stringify({ item: 'tea' })
  const json = { 'content-type': 'application/json' }
  t.strictSame(await (await call('/api/orders', { method: 'POST', body, headers: json })).json(), {
    ordered: { item: 'tea' }
  })
  t.strictSame(api.calls.map(({ cookie }) => cookie), [undefined, undefined])
  t.ok(api.calls.every(({ token }) => token.length > 20))
  t.equal((await fetch(`${url}/api/orders`)).status, 401)
  t.equal(api.calls.length, 2, 'without a login nothing goes out')
  t.match(await (await call('/session')).json(), { authenticated: true, user: { id: 'alice' } })
})

t.test('without the header nothing is changed', async (t) => {
  const { call, api } = await start(t)
  const answer = await call('/api/orders', { method: 'POST', headers: { 'x-csrf': '' } })
  t.equal(answer.status, 403)
  t.equal(api.calls.length, 0)
})

t.test('uploads and downloads', async (t) => {
  const { call } = await start(t)
  const headers = { 'content-type': 'application/octet-stream' }
  const upload = { method: 'POST', body: Buffer.alloc(3_000_000), headers }
  t.strictSame(await (await call('/api/upload', upload)).json(), { size: 3_000_000 })
  t.equal((await (await call('/api/download')).arrayBuffer()).byteLength, 1_000_000)
})

t.test('server-sent events come as they are sent', async (t) => {
  const { call } = await start(t)
  const controller = new AbortController()
  const response = await call('/api/events', { signal: controller.signal })
  const { value } = await response.body!.getReader().read()
  t.equal(Buffer.from(value!).toString(), 'data: one\n\n')
  controller.abort()
})

t.test('a WebSocket', async (t) => {
  const { url, api, headers } = await start(t)
  const socket = new WebSocket(`${url.replace('http', 'ws')}/api/live`, { headers: headers() })
  t.after(() => socket.terminate())
  await once(socket, 'open')
  socket.send('hello')
  t.equal(String((await once(socket, 'message'))[0]), 'echo hello')
  t.match(api.calls.at(-1), { cookie: undefined })
  t.ok(api.calls.at(-1)!.token.length > 20)
  const other = new WebSocket(`${url.replace('http', 'ws')}/api/live`)
  const [error] = await once(other, 'error')
  t.match(error, { message: /401/ })
})

t.test('a 401 has the token refreshed, once for all, and the call sent again', async (t) => {
  const { call, api, provider } = await start(t)
  await call('/api/orders')
  api.refused.add(api.calls[0]!.token)
  const answers = await Promise.all([1, 2, 3].map(() => call('/api/orders')))
  t.strictSame(answers.map(({ status }) => status), [200, 200, 200])
  t.strictSame(await answers[0]!.json(), [{ id: 1 }])
  t.equal(answers[0]!.headers.get('www-authenticate'), null)
  t.ok(provider.refreshRequests.length >= 1)
  await later(0)
  t.equal(api.refused.has(api.calls.at(-1)!.token), false)
})

t.test('a 401 to an upload is the browser\'s to repeat', async (t) => {
  const { call, api } = await start(t)
  await call('/api/orders')
  api.refused.add(api.calls[0]!.token)
  const json = { 'content-type': 'application/json' }
  t.equal((await call('/api/orders', { method: 'POST', body: '{}', headers: json })).status, 401)
})
