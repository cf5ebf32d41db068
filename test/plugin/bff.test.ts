import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import http from 'node:http'
import { join } from 'node:path'
import websocket from '@fastify/websocket'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { Browser } from '../helpers/browser.ts'
import { signIn, startChromium } from '../helpers/chromium.ts'
import { Gate } from '../helpers/gate.ts'
import { startProvider } from '../helpers/provider.ts'
import { runBlock } from '../helpers/run-block.ts'
import { programOf, read } from '../types/documents.ts'
import { installPackage, linkImports } from '../types/installed-package.ts'
import { fencedBlocks } from '../types/markdown.ts'
import { runApp } from '../types/run-app.ts'

// The program of docs/bff.md as it is written there, with its page, in front of an API.

const program = programOf('docs/bff.md', 'server.mjs')
const page = fencedBlocks(read('docs/bff.md')).find(({ file }) => file === 'page.html')!.code
const folder = await installPackage(t)
await linkImports(folder, program)
await writeFile(join(folder, 'page.html'), page)

/** Held before the first byte of late events, and when they have ended. */
const late = new Gate()
const lateEnded = new Gate()
/** The same of a WebSocket, held before it is one. */
const lateSocket = new Gate()
const lateSocketEnded = new Gate()

/** An API that tells what it got, and refuses tokens. */
async function startApi (t: Test) {
  const refused = new Set<string>()
  const calls: (Record<'method' | 'url' | 'token', string> & { cookie: string | undefined })[] = []
  const api = Fastify()
  t.after(() => api.close())
  await api.register(websocket)
  api.addContentTypeParser('application/octet-stream', (_request, payload, done) => { done(null, payload) })
  api.addHook('onRequest', async ({ method, url, headers }, reply) => {
    const token = String(headers.authorization).replace('Bearer ', '')
    calls.push({ method, url, token, cookie: headers.cookie })
    if (refused.has(token)) return reply.code(401).header('www-authenticate', 'Bearer error="invalid_token"').send('no')
  })
  api.get('/v1/orders', async () => [{ id: 1 }])
  api.post('/v1/orders', async ({ body }) => ({ ordered: body }))
  api.get('/v1/careless', async (_request, reply) => {
    reply.header('set-cookie', 'sessionId=a; Path=/').header('access-control-allow-origin', '*')
    return reply.header('cache-control', 'public').send('mine')
  })
  api.get('/v1/download', async (_request, reply) => {
    return reply.type('application/octet-stream').send(Buffer.alloc(1_000_000, 'a'))
  })
  api.post('/v1/upload', async ({ body }) => {
    let size = 0
    for await (const chunk of body as AsyncIterable<Buffer>) size += chunk.length
    return { size }
  })
  api.get('/v1/events', (_request, reply) => {
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': 'text/event-stream' })
    reply.raw.write('data: one\n\n')
    reply.raw.once('close', () => reply.raw.end())
  })
  api.get('/v1/late-events', async (_request, reply) => {
    await late.pass()
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': 'text/event-stream' })
    reply.raw.write('data: one\n\n')
    reply.raw.once('close', () => {
      reply.raw.end()
      lateEnded.pass()
    })
  })
  api.register(async (scope) => {
    scope.get('/v1/live', { websocket: true }, socket => {
      socket.on('message', message => socket.send(`echo ${String(message)}`))
    })
    scope.get('/v1/late-live', { websocket: true, preHandler: () => lateSocket.pass() }, (socket) => {
      socket.on('close', () => { lateSocketEnded.pass() })
    })
  })
  return { url: await api.listen({ port: 0, host: '127.0.0.1' }), calls, refused }
}

const api = await startApi(t)
const provider = await startProvider(t, { host: 'localhost' })
const { url } = await runApp(t, program, provider, { folder, env: { API_URL: `${api.url}/v1` } })

/** A browser with a login of its own. */
async function login () {
  const browser = new Browser()
  await browser.login(`${url}/login`)
  api.calls.length = 0
  const before = provider.refreshRequests.length
  const headers = () => ({ cookie: browser.cookieHeader })
  const call = async (path: string, { headers: own, ...init }: RequestInit = {}) =>
    await fetch(url + path, { ...init, headers: { ...headers(), 'x-csrf': '1', ...own } })
  const refreshes = () => provider.refreshRequests.length - before
  return { browser, call, headers, refreshes }
}

t.test('a call goes out with the token in place of the cookie', async (t) => {
  const { call } = await login()
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

t.test('a script of the page sends the header', async (t) => {
  const { headers } = await login()
  const answers: Response[] = []
  const fetchHere = async (path: string, init: RequestInit) => {
    answers.push(await fetch(url + path, { ...init, headers: { ...headers(), ...init.headers as object } }))
  }
  await runBlock('docs/bff.md', 'Calls that change something', { fetch: fetchHere })
  t.strictSame(await answers[0]!.json(), { ordered: { item: 'tea' } })
})

t.test('without the header nothing is changed', async (t) => {
  const { call } = await login()
  const answer = await call('/api/orders', { method: 'POST', headers: { 'x-csrf': '' } })
  t.equal(answer.status, 403)
  t.equal(api.calls.length, 0)
})

t.test('uploads and downloads', async (t) => {
  const { call } = await login()
  const headers = { 'content-type': 'application/octet-stream' }
  const upload = { method: 'POST', body: Buffer.alloc(3_000_000), headers }
  t.strictSame(await (await call('/api/upload', upload)).json(), { size: 3_000_000 })
  t.equal((await (await call('/api/download')).arrayBuffer()).byteLength, 1_000_000)
})

t.test('server-sent events come as they are sent', async (t) => {
  const { call } = await login()
  const controller = new AbortController()
  const response = await call('/api/events', { signal: controller.signal })
  const { value } = await response.body!.getReader().read()
  t.equal(Buffer.from(value!).toString(), 'data: one\n\n')
  controller.abort()
})

t.test('a WebSocket', async (t) => {
  const { headers } = await login()
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

t.test('a WebSocket of a page of another origin is refused, whatever cookie comes along', async (t) => {
  const { headers } = await login()
  const open = (own: Record<string, string>) => {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/api/live`, { headers: { ...headers(), ...own } })
    t.after(() => socket.terminate())
    return socket
  }
  const others: Record<string, string>[] = [
    { origin: 'https://evil.test' }, { origin: 'null' }, { 'sec-fetch-site': 'same-site' }
  ]
  for (const own of others) {
    t.match((await once(open(own), 'error'))[0], { message: /403/ }, JSON.stringify(own))
  }
  t.equal(api.calls.length, 0, 'no token has gone out')
  await once(open({ origin: url }), 'open')
})

t.test('a 401 has the token refreshed, once for all, and the call sent again', async (t) => {
  const { call, refreshes } = await login()
  await call('/api/orders')
  api.refused.add(api.calls[0]!.token)
  const answers = await Promise.all([1, 2, 3].map(() => call('/api/orders')))
  t.strictSame(answers.map(({ status }) => status), [200, 200, 200])
  t.strictSame(await answers[0]!.json(), [{ id: 1 }])
  t.equal(answers[0]!.headers.get('www-authenticate'), null)
  t.ok(refreshes() >= 1)
  t.equal(api.refused.has(api.calls.at(-1)!.token), false)
})

t.test('a 401 to a request with a body has the token refreshed, and is the script\'s to repeat', async (t) => {
  const { call, refreshes } = await login()
  await call('/api/orders')
  api.refused.add(api.calls[0]!.token)
  const order = { method: 'POST', body: '{}', headers: { 'content-type': 'application/json' } }
  const refused = await call('/api/orders', order)
  t.equal(refused.status, 401)
  t.equal((await call('/api/orders', order)).status, 200)
  t.equal(refreshes(), 1)
})

t.test('a login that the provider has ended is a 401 that says so', async (t) => {
  const { call } = await login()
  await call('/api/orders')
  api.refused.add(api.calls[0]!.token)
  provider.revokeGrants()
  const answer = await call('/api/orders')
  t.equal(answer.status, 401)
  t.match(await answer.json(), { code: 'FST_OAUTH_LOGIN_ENDED' })
  t.match(await (await call('/session')).json(), { authenticated: false })
})

t.test('events and WebSockets end with the login', async (t) => {
  const { browser, call, headers } = await login()
  const reader = (await call('/api/events')).body!.getReader()
  await reader.read()
  const socket = new WebSocket(`${url.replace('http', 'ws')}/api/live`, { headers: headers() })
  t.after(() => socket.terminate())
  await once(socket, 'open')
  const closed = once(socket, 'close')
  await browser.logout(`${url}/logout`)
  await t.rejects(reader.read(), { name: 'TypeError', message: 'terminated' })
  await closed
})

t.test("events do not begin where the login ended before the API's first byte", async (t) => {
  const { browser, call } = await login()
  const waiting = call('/api/late-events')
  await late.arrived
  await browser.post(`${url}/logout`, { redirect: 'manual' })
  late.release()
  const response = await waiting
  t.equal(response.status, 401)
  t.equal(response.headers.get('content-type'), null)
  await lateEnded.arrived
  t.pass('the connection to the API is closed')
})

t.test('a WebSocket does not go on at the API where the login ended before that had answered', async (t) => {
  const { browser, headers } = await login()
  const socket = new WebSocket(`${url.replace('http', 'ws')}/api/late-live`, { headers: headers() })
  t.after(() => socket.terminate())
  await lateSocket.arrived
  const closed = once(socket, 'close')
  await browser.post(`${url}/logout`, { redirect: 'manual' })
  await closed
  lateSocket.release()
  await lateSocketEnded.arrived
  t.pass('the connection to the API is closed')
})

t.test('no cookie, permission or caching of the API\'s comes through', async (t) => {
  const { call } = await login()
  const answer = await call('/api/careless')
  t.equal(await answer.text(), 'mine')
  t.equal(answer.headers.get('set-cookie'), null)
  t.equal(answer.headers.get('access-control-allow-origin'), null)
  t.equal(answer.headers.get('cache-control'), 'private, no-store')
})

t.test('no path leads the token out of the API\'s own', async (t) => {
  const { headers } = await login()
  const { hostname, port } = new URL(url)
  for (const path of [
    '/api/orders', '/api', '/api/../admin', '/api/%2e%2e/admin', '/api/.%2e/admin', '/api/..%2fadmin',
    '/api/..%5cadmin', '/api/..\\admin', '/api//other.example/', '/api/x/../../admin', '/api/%252e%252e/admin',
    '/api/http://other.example/', '/api/..;/admin', '/api/x/..', '/api/..', '/api/%2e%2e', '/api/%2f..%2f..%2fadmin',
    '/%61pi/../admin', '/apix', '/api%2f..%2fadmin'
  ]) {
    const request = http.get({ hostname, port, path, headers: headers() })
    const [response] = await once(request, 'response')
    response.resume()
    await once(response, 'end')
  }
  t.ok(api.calls.length > 0)
  const segments = (path: string) => decodeURIComponent(path).split(/[/\\]/)
  const isOutside = (path: string) => segments(path)[1] !== 'v1' || segments(path).includes('..')
  t.strictSame(api.calls.map(({ url }) => url).filter(isOutside), [])
})

t.test('the page in Chromium: login by a call, order, expired token, logout', async (t) => {
  const chromium = await startChromium(t)
  if (chromium === undefined) return
  const page = await (await chromium.newContext()).newPage()
  const before = provider.refreshRequests.length
  await page.goto(url)
  t.equal(await page.textContent('#user'), 'Hello')
  await page.click('#login')
  await signIn(page)
  await page.waitForURL(`${url}/`)
  await page.waitForSelector('text=[{"id":1}]')
  t.match(await page.textContent('#user'), /Hello Alice/)

  api.refused.add(api.calls.at(-1)!.token)
  await page.click('#order button')
  await page.waitForSelector('text={"ordered":{"item":"tea"}}')
  t.equal(provider.refreshRequests.length, before + 1)

  provider.revokeGrants()
  api.refused.add(api.calls.at(-1)!.token)
  await Promise.all([page.waitForEvent('load'), page.click('#order button')])
  await page.waitForSelector('text=[{"id":1}]')
  t.match(await page.textContent('#user'), /Hello Alice/, 'the provider still knew who it is')

  await page.click('text=Log out')
  await page.waitForURL(`${provider.issuer}/session/end**`)
  await page.click('button')
  await page.waitForURL(`${url}/`)
  await page.waitForFunction("document.getElementById('user').textContent === 'Hello'")
})

t.end()
