import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { FastifyPluginAsync } from 'fastify'
import t, { type Test } from 'tap'
import type { Browser } from '../helpers/browser.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import type { ApiRoute } from '../helpers/resource-server.ts'
import { StandIns } from '../helpers/stand-ins.ts'
import { programOf } from '../types/documents.ts'
import { repository } from '../types/installed-package.ts'

// The programs of docs/calls.md, as they are written, against a local API that stands for the ones they name.

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
  await t.rejects(reader.read())
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

/** An app with alice logged in that has registered this program; the API has these routes. */
async function appWith (t: Test, program: string, routes: Record<string, ApiRoute> = {}) {
  // In the repository, where the packages are that it imports.
  await mkdir(join(repository, '.tap'), { recursive: true })
  const folder = await mkdtemp(join(repository, '.tap/calls-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const file = join(folder, 'plugin.mjs')
  await writeFile(file, program)
  const { default: plugin } = await import(pathToFileURL(file).href) as { default: FastifyPluginAsync }
  const dispatcher = new StandIns(t)
  const app = await loggedInApp(t, {
    provider: { resourceServers: ['https://api.example.com/v1/', 'https://api.github.com/'] },
    oauth: { dispatcher },
    setup: async (app) => { await app.register(plugin) }
  })
  const { url } = app.provider.api
  Object.assign(dispatcher.urls, { 'https://api.example.com/v1/': url, 'https://api.github.com/': url })
  Object.assign(app.provider.api.routes, routes)
  return app
}

function cookiesOf (browser: Browser): string {
  return browser.cookies.map(({ name, value }) => `${name}=${value}`).join('; ')
}
