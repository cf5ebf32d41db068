import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { FastifyPluginAsync } from 'fastify'
import t, { type Test } from 'tap'
import type { Browser } from '../helpers/browser.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { startProvider } from '../helpers/provider.ts'
import { expireTokens } from '../helpers/records.ts'
import type { ApiRoute } from '../helpers/resource-server.ts'
import { runBlock } from '../helpers/run-block.ts'
import { StandIns } from '../helpers/stand-ins.ts'
import { programOf } from '../types/documents.ts'
import { repository } from '../types/installed-package.ts'

// The programs and the parts of README.md, docs/calls.md, refresh.md and request-oauth.md, as they are written, against
// a local API that stands for the ones they name.

const octokit = programOf('docs/calls.md', 'octokit.mjs')
const openapiFetch = programOf('docs/calls.md', 'openapi-fetch.mjs')
const ky = programOf('docs/calls.md', 'ky.mjs')
const graphqlRequest = programOf('docs/calls.md', 'graphql-request.mjs')
const events = programOf('docs/calls.md', 'events.mjs')
const upload = programOf('docs/calls.md', 'upload.mjs')
const download = programOf('docs/calls.md', 'download.mjs')

t.test('Octokit calls GitHub as the user', async (t) => {
  const { browser, url, requests } = await appWith(t, octokit, {
    'GET user': () => ({ body: [{ full_name: 'alice/tea' }, { full_name: 'alice/cake' }] })
  })
  t.strictSame((await browser.get(`${url}/repositories`)).json(), ['alice/tea', 'alice/cake'])
  t.equal(requests.at(-1)?.url, '/v1/user/repos?sort=updated&per_page=10')
  t.match(requests.at(-1)?.authorization, /^Bearer /)
})

t.test('openapi-fetch calls the API as the user, and tells its errors', async (t) => {
  let answer: ReturnType<ApiRoute> = { body: [{ id: 1 }] }
  const { browser, url, requests } = await appWith(t, openapiFetch, { 'GET orders': () => answer })
  t.strictSame((await browser.get(`${url}/tea`)).json(), [{ id: 1 }])
  t.equal(requests.at(-1)?.url, '/v1/orders?item=tea')
  answer = { status: 500, body: { error: 'oops' } }
  t.match(await browser.get(`${url}/tea`), { status: 502, text: /the API answered 500/ })
})

t.test('ky calls the API as the user', async (t) => {
  const { browser, url, requests } = await appWith(t, ky)
  const { status } = await browser.post(`${url}/tea`, { json: {} })
  t.equal(status, 200)
  t.match(requests.at(-1), { method: 'POST', url: '/v1/orders', body: '{"item":"tea"}', authorization: /^Bearer / })
})

t.test('graphql-request calls the API as the user', async (t) => {
  const { browser, url, requests } = await appWith(t, graphqlRequest, {
    'POST graphql': () => ({ body: { data: { orders: [{ id: 1 }, { id: 7 }] } } })
  })
  t.strictSame((await browser.get(`${url}/ids`)).json(), [1, 7])
  t.match(JSON.parse(requests.at(-1)?.body ?? '{}'), { variables: { item: 'tea' } })
})

t.test('server-sent events go on as they come, until the browser leaves', async (t) => {
  let close!: () => void
  const closed = new Promise<void>((resolve) => { close = resolve })
  const { browser, url } = await appWith(t, events, {
    'GET events': ({ response }) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write('data: one\n\n')
      response.on('close', close)
      return undefined
    }
  })
  const gone = new AbortController()
  const response = await fetch(`${url}/events`, { headers: { cookie: cookiesOf(browser) }, signal: gone.signal })
  t.equal(response.headers.get('content-type'), 'text/event-stream')
  const reader = response.body!.getReader()
  t.equal(new TextDecoder().decode((await reader.read()).value), 'data: one\n\n')
  gone.abort()
  await t.resolves(closed, "the API's connection is closed")
})

t.test('server-sent events end with the login', async (t) => {
  const { browser, url } = await appWith(t, events, {
    'GET events': ({ response }) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write('data: one\n\n')
      return undefined
    }
  })
  const response = await fetch(`${url}/events`, { headers: { cookie: cookiesOf(browser) } })
  const reader = response.body!.getReader()
  await reader.read()
  await browser.logout(`${url}/logout`)
  await t.rejects(reader.read(), { name: 'TypeError', message: 'terminated' })
})

t.test('an upload goes on as it comes, and a form is sent with its files', async (t) => {
  const { browser, url, requests } = await appWith(t, upload, {
    'PUT files': ({ body }) => ({ body: { length: body.length } }),
    'POST files': ({ headers }) => ({ body: { type: headers['content-type']?.split(';')[0] } })
  })
  const headers = { cookie: cookiesOf(browser), 'content-type': 'text/plain' }
  const response = await fetch(`${url}/files/a%20b.txt`, { method: 'PUT', headers, body: 'x'.repeat(2 ** 20) })
  t.strictSame(await response.json(), { length: 2 ** 20 })
  t.match(requests.at(-1), { url: '/v1/files/a%20b.txt', headers: { 'content-type': 'text/plain' } })
  t.strictSame((await browser.post(`${url}/files/july`)).json(), { type: 'multipart/form-data' })
  t.match(requests.at(-1)?.body, /name="title"[\s\S]*filename="july.csv"[\s\S]*tea,7/)
})

t.test('a download goes on as it comes', async (t) => {
  const file = Buffer.alloc(2 ** 20, 'x')
  const { browser, url } = await appWith(t, download, {
    'GET files': ({ path }) => path.endsWith('/a.pdf')
      ? { body: file, headers: { 'content-length': String(file.length) } }
      : { status: 404, body: {} }
  })
  const response = await fetch(`${url}/files/a.pdf`, { headers: { cookie: cookiesOf(browser) } })
  t.equal(response.headers.get('content-length'), String(file.length))
  t.equal(response.headers.get('content-disposition'), 'attachment')
  t.ok(Buffer.from(await response.arrayBuffer()).equals(file))
  t.match(await browser.get(`${url}/files/b.pdf`), { status: 404, text: /no such file/ })
})

for (const [page, heading] of [['README.md', 'Calls'], ['docs/calls.md', 'With request.oauth']] as const) {
  t.test(`${page}: JSON is read and sent, and a body goes on as a stream`, async (t) => {
    const { browser, url, requests, provider } = await loggedInApp(t, {
      setup: async (app) => { await runBlock(page, heading, { app }) }
    })
    provider.api.routes['GET orders'] = ({ path }) => path.endsWith('.pdf')
      ? { headers: { 'content-type': 'application/pdf' }, body: Buffer.from('%PDF-1.7') }
      : { body: [{ id: 1 }, { id: 2 }] }
    t.match(await browser.get(`${url}/report`), {
      status: 200, text: '%PDF-1.7', headers: { 'content-type': 'application/pdf' }
    })
    t.match(requests.map(({ method, url, body }) => `${method} ${url} ${body}`), [
      'GET /v1/orders ', 'POST /v1/orders {"item":"tea","quantity":2}', 'GET /v1/orders/report.pdf '
    ])
  })
}

t.test('calls.md: an error of the API that a visitor should see, and one that not', async (t) => {
  const { browser, url, provider, requests } = await loggedInApp(t, {
    setup: async (app) => { await runBlock('docs/calls.md', 'With request.oauth', { app }, { index: 1 }) }
  })
  let answer: ReturnType<ApiRoute> = { body: { id: 7 } }
  provider.api.routes['GET orders'] = () => answer
  t.match(await browser.get(`${url}/orders/7%208`), { status: 200, text: '{"id":7}' })
  t.equal(requests.at(-1)?.url, '/v1/orders/7%208')
  answer = { status: 404, body: {} }
  t.match(await browser.get(`${url}/orders/7`), { status: 404, text: '{"message":"no such order"}' })
  answer = { status: 500, body: {} }
  t.match(await browser.get(`${url}/orders/7`), { status: 502, text: /FST_OAUTH_RESPONSE_STATUS/ })
})

t.test('request-oauth.md: who is logged in, and what the API has of them', async (t) => {
  const { browser, url } = await loggedInApp(t, {
    setup: async (app) => { await runBlock('docs/request-oauth.md', 'request.oauth', { app }) }
  })
  t.match((await browser.get(`${url}/me`)).json(), { name: 'Alice Adams', orders: [{ id: 1 }, { id: 2 }] })
})

t.test('refresh.md: with `notify` the new set is saved by the handler', async (t) => {
  const { orders, refreshes, store, run } = await loggedInApp(t, {
    oauth: { refresh: 'notify' },
    setup: async (app) => { await runBlock('docs/refresh.md', 'The three methods', { app }) }
  })
  const before = await run(async oauth => (await oauth.tokens()).accessToken)
  expireTokens(store)
  t.match((await orders()).json(), [{ id: 1 }, { id: 2 }])
  t.match((await orders()).json(), [{ id: 1 }, { id: 2 }])
  t.equal(refreshes(), 1)
  t.not(await run(async oauth => (await oauth.tokens()).accessToken), before)
})

t.test('refresh.md: four calls with an expired token, one token request', async (t) => {
  const app = await loggedInApp(t, {
    setup: async (app) => { await runBlock('docs/refresh.md', 'Many calls, many processes', { app }) }
  })
  for (const part of ['orders', 'invoices', 'messages', 'offers']) {
    app.provider.api.routes[`GET ${part}`] = () => ({ body: part })
  }
  expireTokens(app.store)
  t.strictSame((await app.browser.get(`${app.url}/dashboard`)).json(), ['orders', 'invoices', 'messages', 'offers'])
  t.equal(app.refreshes(), 1)
})

/** An app with alice logged in that has registered this program; the API has these routes. */
async function appWith (t: Test, program: string, routes: Record<string, ApiRoute> = {}) {
  // In the repository, where the packages are that it imports.
  await mkdir(join(repository, '.tap'), { recursive: true })
  const folder = await mkdtemp(join(repository, '.tap/calls-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const file = join(folder, 'plugin.mjs')
  await writeFile(file, program)
  const { default: plugin } = await import(pathToFileURL(file).href) as { default: FastifyPluginAsync }
  const provider = await startProvider(t)
  const { providerOptions, api } = provider
  const { acme } = await runBlock('docs/calls.md', 'Where a token goes', providerOptions)
  Object.assign(api.routes, routes)
  return await loggedInApp(t, {
    at: provider,
    providers: () => ({ acme }),
    oauth: { dispatcher: new StandIns(t, { 'https://api.example.com/v1/': api.url, 'https://api.github.com/': api.url }) },
    setup: async (app) => { await app.register(plugin) }
  })
}

function cookiesOf (browser: Browser): string {
  return browser.cookieHeader
}
