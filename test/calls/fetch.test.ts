import { once } from 'node:events'
import { brotliCompressSync, createGzip, deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import t from 'tap'
import { FormData as UndiciFormData, Request as UndiciRequest } from 'undici'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { rejection } from '../helpers/rejection.ts'
import { Gate } from '../helpers/gate.ts'

const { run, page, provider, requests } = await loggedInApp(t)
const { api } = provider
t.beforeEach(() => { requests.length = 0 })

interface Echo {
  method: string
  url: string
  headers: Record<string, string>
  body: string
}
const echo = async (input: Parameters<typeof fetch>[0], init?: RequestInit) =>
  (await (await run(oauth => oauth.fetch(input, init))).json()) as Echo

for (const [name, input] of Object.entries<Parameters<typeof fetch>[0]>({
  'a relative URL': 'echo?a=1',
  'an absolute URL': `${api.url}echo?a=1`,
  'a URL': new URL('echo?a=1', api.url),
  'a Request': new Request(`${api.url}echo?a=1`),
  'a Request of undici': new UndiciRequest(`${api.url}echo?a=1`) as unknown as Request
})) {
  t.test(`${name} is fetched as the user`, async (t) => {
    const { accessToken } = await run(oauth => oauth.tokens())
    t.match(await echo(input), {
      method: 'GET',
      url: '/v1/echo?a=1',
      headers: { authorization: `Bearer ${accessToken}`, accept: '*/*' },
      body: ''
    })
  })
}

t.test('the result is a Response of Node\'s own', async (t) => {
  const response = await run(oauth => oauth.fetch('orders#part'))
  t.ok(response instanceof Response)
  t.equal(response.status, 200)
  t.equal(response.ok, true)
  t.equal(response.statusText, 'OK')
  t.equal(response.url, `${api.url}orders`)
  t.equal(response.redirected, false)
  t.equal(response.headers.get('content-type'), 'application/json')
  t.match(await response.json(), [{ id: 1 }])
})

t.test('a copy of the response has its url and redirected, too', async (t) => {
  const response = await run(oauth => oauth.fetch('orders'))
  const copy = response.clone()
  t.equal(copy.clone().url, response.url)
  t.equal(copy.redirected, false)
  t.strictSame(await copy.json(), await response.json())
})

t.test('fetch can be passed to a function without its object', async (t) => {
  const client = async (fetch: typeof globalThis.fetch) => (await fetch(new Request(`${api.url}orders`))).json()
  t.match(await run(oauth => client(oauth.fetch)), [{ id: 1 }])
  t.match(await run((oauth) => {
    const { fetch } = oauth
    return fetch('orders').then(response => response.json())
  }), [{ id: 1 }])
  const [one, two] = await run(oauth => [oauth.fetch, oauth.fetch])
  t.equal(one, two, 'it stays the same')
})

for (const status of [400, 401, 404, 500]) {
  t.test(`a ${status} is no error`, async (t) => {
    const response = await run(oauth => oauth.fetch(`status/${status}`))
    t.equal(response.status, status)
    t.equal(response.ok, false)
    await response.text()
  })
}

t.test('a 401 is met with a refresh and one more try', async (t) => {
  provider.expireAccessTokens()
  t.match(await echo(new Request(`${api.url}echo`, { method: 'POST', body: 'some bytes' })), { body: 'some bytes' })
  t.strictSame(requests.map(({ status, body }) => [status, body]), [[401, 'some bytes'], [200, 'some bytes']])
})

for (const [name, [input, init, body, type]] of Object.entries<
  [Parameters<typeof fetch>[0], RequestInit | undefined, string, string | undefined]
>({
  'a string': ['echo', { method: 'POST', body: 'Grüße' }, 'Grüße', 'text/plain;charset=UTF-8'],
  'a URLSearchParams': [
    'echo',
    { method: 'POST', body: new URLSearchParams('a=1&a=2') },
    'a=1&a=2',
    'application/x-www-form-urlencoded;charset=UTF-8'
  ],
  'a Buffer': ['echo', { method: 'POST', body: Buffer.from('some bytes') }, 'some bytes', undefined],
  'a Blob': [
    'echo',
    { method: 'POST', body: new Blob(['some bytes'], { type: 'text/x-own' }) },
    'some bytes',
    'text/x-own'
  ],
  'a stream': [
    'echo',
    { method: 'POST', body: new Blob(['some bytes']).stream(), duplex: 'half' } as RequestInit,
    'some bytes',
    undefined
  ],
  'a Request with JSON': [
    new Request(`${api.url}echo`, { method: 'PUT', body: '{"a":1}', headers: { 'content-type': 'application/json' } }),
    undefined,
    '{"a":1}',
    'application/json'
  ],
  'a Request of undici with JSON': [
    new UndiciRequest(`${api.url}echo`, {
      method: 'PUT',
      body: '{"a":1}',
      headers: { 'content-type': 'application/json' }
    }) as unknown as Request,
    undefined,
    '{"a":1}',
    'application/json'
  ],
  'a Request, its body replaced': [
    new Request(`${api.url}echo`, { method: 'POST', body: 'a' }),
    { body: 'b' },
    'b',
    'text/plain;charset=UTF-8'
  ]
})) {
  t.test(`the body is ${name}`, async (t) => {
    const seen = await echo(input, init)
    t.equal(seen.body, body)
    t.equal(seen.headers['content-type'], type)
  })
}

for (const [name, Form] of Object.entries({ FormData, 'FormData of undici': UndiciFormData })) {
  t.test(`the body is a ${name}`, async (t) => {
    const body = new Form()
    body.append('file', new File(['some bytes'], 'a.txt', { type: 'text/x-own' }))
    const seen = await echo('echo', { method: 'POST', body: body as FormData })
    t.match(seen.headers['content-type'], /^multipart\/form-data; boundary=/)
    t.match(seen.body, /name="file"; filename="a.txt"\r\nContent-Type: text\/x-own\r\n\r\nsome bytes/)
  })
}

t.test('init replaces what the Request says', async (t) => {
  const request = new Request(`${api.url}echo`, { method: 'POST', headers: { 'x-one': 'a', 'x-two': 'b' }, body: 'a' })
  const seen = await echo(request, { method: 'PUT', headers: { 'x-three': 'c' } })
  t.equal(seen.method, 'PUT')
  t.equal(seen.body, 'a')
  t.match(seen.headers, { 'x-three': 'c' })
  t.notOk('x-one' in seen.headers, 'headers are replaced as a whole')
})

t.test('an Authorization of the caller\'s is replaced', async (t) => {
  const { accessToken } = await run(oauth => oauth.tokens())
  t.equal(
    (await echo(new Request(`${api.url}echo`, { headers: { authorization: 'mine' } }))).headers.authorization,
    `Bearer ${accessToken}`
  )
  t.equal((await echo('echo', { headers: { AUTHORIZATION: 'mine' } })).headers.authorization, `Bearer ${accessToken}`)
})

for (const [name, init] of Object.entries<RequestInit>({
  'a GET with a body': { body: 'a' },
  'a HEAD with a body': { method: 'HEAD', body: 'a' },
  CONNECT: { method: 'CONNECT' },
  TRACE: { method: 'trace' }
})) {
  t.test(`${name} is refused, as the standard has it`, async (t) => {
    t.ok(await rejection(run(oauth => oauth.fetch('echo', init))) instanceof TypeError)
    t.equal(requests.length, 0)
  })
}

t.test("a dispatcher of the caller's is refused", async t => {
  t.match(await rejection(run(oauth => oauth.fetch('echo', { dispatcher: {} } as RequestInit))), {
    code: 'FST_OAUTH_INVALID_OPTIONS'
  })
  t.equal(requests.length, 0)
})

t.test('a Request that has been used up is refused', async (t) => {
  const request = new Request(`${api.url}echo`, { method: 'POST', body: 'a' })
  await request.text()
  t.ok(await rejection(run(oauth => oauth.fetch(request))) instanceof TypeError)
})

for (const [name, method, path] of [
  ['a 204', 'GET', 'status/204'],
  ['a 304', 'GET', 'status/304'],
  ['a HEAD', 'HEAD', 'orders']
] as const) {
  t.test(`${name} has no body`, async t => {
    const response = await run(oauth => oauth.fetch(path, { method }))
    t.equal(response.body, null)
    t.equal(await response.text(), '')
  })
}

t.test('a status that a Response cannot hold is a typed error', async (t) => {
  api.routes['GET odd'] = () => ({ status: 999 })
  t.match(await rejection(run(oauth => oauth.fetch('odd'))), { code: 'FST_OAUTH_INVALID_RESPONSE' })
})

t.test('the body streams: what comes first can be read before the rest is there', async (t) => {
  const gate = new Gate()
  api.routes['GET events'] = async ({ response }) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('data: one\n\n')
    await gate.pass()
    response.end('data: two\n\n')
    return undefined
  }
  const response = await run(oauth => oauth.fetch('events'))
  const reader = response.body!.getReader()
  t.equal(Buffer.from((await reader.read()).value!).toString(), 'data: one\n\n')
  gate.release()
  t.equal(Buffer.from((await reader.read()).value!).toString(), 'data: two\n\n')
  t.ok((await reader.read()).done)
})

t.test('a packed body streams as well', async (t) => {
  const gate = new Gate()
  api.routes['GET events'] = async ({ response }) => {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' })
    const gzip = createGzip()
    gzip.pipe(response)
    gzip.write('data: one\n\n')
    gzip.flush()
    await gate.pass()
    gzip.end('data: two\n\n')
    return undefined
  }
  const reader = (await run(oauth => oauth.fetch('events'))).body!.getReader()
  t.equal(Buffer.from((await reader.read()).value!).toString(), 'data: one\n\n')
  gate.release()
  t.equal(Buffer.from((await reader.read()).value!).toString(), 'data: two\n\n')
})

t.test('a reader that stops reading ends the request', async (t) => {
  let closed!: Promise<unknown>
  api.routes['GET events'] = ({ response }) => {
    closed = once(response, 'close')
    response.writeHead(200)
    response.write('one')
    return undefined
  }
  const reader = (await run(oauth => oauth.fetch('events'))).body!.getReader()
  await reader.read()
  await reader.cancel()
  await closed
  t.pass('the API sees the connection close')
})

const text = 'Grüße '.repeat(10_000)
for (const [coding, body] of Object.entries({
  gzip: gzipSync(text),
  deflate: deflateSync(text),
  br: brotliCompressSync(text),
  'gzip, br': brotliCompressSync(gzipSync(text)),
  'deflate ': deflateRawSync(text)
})) {
  t.test(`a body in ${coding} is unpacked, and the headers no longer speak of it`, async t => {
    api.routes['GET packed'] = () => ({
      body,
      headers: { 'content-encoding': coding, 'content-length': String(body.length) }
    })
    const response = await run(oauth => oauth.fetch('packed'))
    t.equal(response.headers.get('content-encoding'), null)
    t.equal(response.headers.get('content-length'), null)
    t.equal(await response.text(), text)
  })
}

for (const coding of ['zip', 'constructor', '__proto__']) {
  t.test(`a body in a coding that is not known (${coding}) comes as it is, and says so`, async (t) => {
    api.routes['GET packed'] = () => ({ body: Buffer.from('abc'), headers: { 'content-encoding': coding } })
    const response = await run(oauth => oauth.fetch('packed'))
    t.equal(response.headers.get('content-encoding'), coding)
    t.equal(await response.text(), 'abc')
  })
}

for (const [coding, body] of Object.entries({ gzip: 'not gzip', deflate: 'not deflate', br: 'not brotli' })) {
  t.test(`a body that is not the ${coding} it says it is fails where it is read`, async (t) => {
    api.routes['GET packed'] = () => ({ body: Buffer.from(body), headers: { 'content-encoding': coding } })
    const response = await run(oauth => oauth.fetch('packed'))
    t.ok(await rejection(response.text()) instanceof Error)
  })
}

t.test('an API\'s cookies do not become the app\'s', async (t) => {
  api.routes['GET cookie'] = () => ({ body: { a: 1 }, headers: { 'set-cookie': 'sessionId=of-the-api' } })
  t.strictSame((await run(oauth => oauth.fetch('cookie'))).headers.getSetCookie(), [])
  const answer = await page(oauth => oauth.fetch('cookie'))
  t.strictSame(answer.json(), { a: 1 })
  t.notMatch(String(answer.headers['set-cookie']), 'of-the-api')
})

t.test('the Response has no headers of the connection to the API', async (t) => {
  const headers = { connection: 'keep-alive, X-Hop', 'keep-alive': 'timeout=5', 'x-hop': '1', 'x-answer': '2' }
  api.routes['GET hop'] = () => ({ body: { a: 1 }, headers })
  const names = [...(await run(oauth => oauth.fetch('hop'))).headers.keys()]
  t.ok(names.includes('x-answer'))
  t.strictSame(names.filter(name => ['connection', 'keep-alive', 'transfer-encoding', 'x-hop'].includes(name)), [])
})

t.test('a handler may return the Response as it is', async t => {
  api.routes['GET packed'] = () => ({
    body: gzipSync(text),
    headers: {
      'content-encoding': 'gzip',
      'content-type': 'text/plain',
      'content-length': String(gzipSync(text).length)
    }
  })
  const answer = await page(oauth => oauth.fetch('packed'))
  t.equal(answer.status, 200)
  t.equal(answer.text, text)
})

t.test('a signal ends it', async (t) => {
  const gate = api.holdSlow()
  const reason = new Error('enough')
  for (const start of [
    (signal: AbortSignal) => run(oauth => oauth.fetch('slow', { signal })),
    (signal: AbortSignal) => run(oauth => oauth.fetch(new Request(`${api.url}slow`, { signal })))
  ]) {
    const controller = new AbortController()
    const arrived = gate.arrivedTimes(gate.arrivals.length + 1)
    const call = start(controller.signal)
    await arrived
    controller.abort(reason)
    t.equal(await rejection(call), reason)
  }
  gate.release()
  requests.length = 0
  t.equal(await rejection(run(oauth => oauth.fetch('orders', { signal: AbortSignal.abort(reason) }))), reason)
  t.equal(requests.length, 0)
})

t.test('a signal ends a body that is being read', async (t) => {
  api.routes['GET events'] = ({ response }) => {
    response.writeHead(200)
    response.write('one')
    return undefined
  }
  const controller = new AbortController()
  const reason = new Error('enough')
  const reader = (await run(oauth => oauth.fetch('events', { signal: controller.signal }))).body!.getReader()
  await reader.read()
  controller.abort(reason)
  t.equal(await rejection(reader.read()), reason)
})

t.end()
