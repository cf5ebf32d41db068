import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import { ReadableStream } from 'node:stream/web'
import t from 'tap'
import { FormData as UndiciFormData } from 'undici'
import type { CallOptions } from '../../lib/index.ts'
import { freePort } from '../helpers/listen.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { rejection } from '../helpers/rejection.ts'

const { run, requests, provider } = await loggedInApp(t)
t.beforeEach(() => { requests.length = 0 })

interface Echo { headers: Record<string, string>, body: string }
// Both ways that a call is sent: as a stream, and read whole.
const ways = {
  awaited: (options: CallOptions) => run(async oauth => await (await oauth.post('echo', options)).body.json() as Echo),
  read: (options: CallOptions) => run(oauth => oauth.post('echo', options).json<Echo>())
}

const bytes = Buffer.from('some bytes')
const shared = new Uint8Array(Buffer.from('--some bytes--')).subarray(2, 12)
const form = () => {
  const data = new FormData()
  data.append('name', 'Grüße')
  data.append('file', new File(['some bytes'], 'a.txt', { type: 'text/x-own' }))
  return data
}
const undiciForm = () => {
  const data = new UndiciFormData()
  data.append('name', 'Grüße')
  data.append('file', new File(['some bytes'], 'a.txt', { type: 'text/x-own' }))
  return data
}
const multipart = /^multipart\/form-data; boundary=/
const parts =
  /name="name"\r\n\r\nGrüße\r\n[^]*name="file"; filename="a.txt"\r\nContent-Type: text\/x-own\r\n\r\nsome bytes\r\n/i

const bodies: Record<string, { make: () => CallOptions, type?: string | RegExp, body?: string | RegExp }> = {
  'no body': { make: () => ({}), body: '' },
  'a body of null': { make: () => ({ body: null }), body: '' },
  'an empty string': { make: () => ({ body: '' }), body: '' },
  'a string': { make: () => ({ body: 'some bytes' }) },
  'a string of more than ASCII': { make: () => ({ body: 'Grüße €' }), body: 'Grüße €' },
  'a Buffer': { make: () => ({ body: bytes }) },
  'a piece of a larger buffer': { make: () => ({ body: shared }) },
  'a view that is no Uint8Array': {
    make: () => ({ body: new DataView(shared.buffer, shared.byteOffset, shared.byteLength) })
  },
  'an ArrayBuffer': { make: () => ({ body: new Uint8Array(bytes).buffer }) },
  'a URLSearchParams': {
    make: () => ({
      body: new URLSearchParams([['a', '1'], ['a', '2'], ['b', 'ü &']])
    }),
    type: 'application/x-www-form-urlencoded',
    body: 'a=1&a=2&b=%C3%BC+%26'
  },
  'a Blob': { make: () => ({ body: new Blob(['some ', 'bytes'], { type: 'text/x-own' }) }), type: 'text/x-own' },
  'a Blob without a type': { make: () => ({ body: new Blob(['some bytes']) }) },
  'a FormData with a file': { make: () => ({ body: form() }), type: multipart, body: parts },
  'a FormData of undici with a file': { make: () => ({ body: undiciForm() }), type: multipart, body: parts },
  'a Readable': { make: () => ({ body: Readable.from([Buffer.from('some '), Buffer.from('bytes')]) }) },
  'a web stream': { make: () => ({ body: ReadableStream.from([Buffer.from('some '), Buffer.from('bytes')]) }) },
  'a generator': {
    make: () => ({
      body: (function * () {
        yield Buffer.from('some ')
        yield Buffer.from('bytes')
      })()
    })
  },
  'an async generator': {
    make: () => ({
      body: (async function * () {
        yield Buffer.from('some ')
        yield Buffer.from('bytes')
      })()
    })
  },
  'json: an object': { make: () => ({ json: { a: 'ü', b: undefined } }), type: 'application/json', body: '{"a":"ü"}' },
  'json: null': { make: () => ({ json: null }), type: 'application/json', body: 'null' },
  'json: false': { make: () => ({ json: false }), type: 'application/json', body: 'false' },
  'json: 0': { make: () => ({ json: 0 }), type: 'application/json', body: '0' },
  'json: an empty string': { make: () => ({ json: '' }), type: 'application/json', body: '""' },
  'json: undefined': { make: () => ({ json: undefined }), body: '' },
  'json beside a body of null': { make: () => ({ json: 1, body: null }), type: 'application/json', body: '1' },
  "json with a content type of the caller's": {
    make: () => ({ json: {}, headers: { 'Content-Type': 'application/merge-patch+json' } }),
    type: 'application/merge-patch+json',
    body: '{}'
  },
  "a form with a content type of the caller's": {
    make: () => ({ body: new URLSearchParams('a=1'), headers: { 'content-type': 'text/plain' } }),
    type: 'text/plain',
    body: 'a=1'
  }
}

for (const [name, { make, type, body = 'some bytes' }] of Object.entries(bodies)) {
  for (const [way, send] of Object.entries(ways)) {
    t.test(`${name} is sent, ${way}`, async (t) => {
      const echo = await send(make())
      if (typeof body === 'string') t.equal(echo.body, body)
      else t.match(echo.body, body)
      if (type === undefined) t.notOk('content-type' in echo.headers)
      else t.match(echo.headers['content-type'], type)
    })
  }
}

t.test('a FormData that is sent again is the same, boundary and all', async (t) => {
  // The first try meets a token that the API no longer takes.
  provider.expireAccessTokens()
  t.match((await ways.read({ body: form() })).body, parts)
  const [first, second] = requests
  t.equal(requests.length, 2)
  t.equal(first?.body, second?.body)
  t.equal(first?.headers['content-type'], second?.headers['content-type'])
})

const headerForms: Record<string, CallOptions['headers']> = {
  'an object': { 'X-One': 'a', 'X-Two': ['b', 'c'], 'X-None': undefined },
  Headers: new Headers([['X-One', 'a'], ['X-Two', 'b'], ['X-Two', 'c']]),
  'a list of pairs': [['X-One', 'a'], ['X-Two', 'b'], ['x-two', 'c']],
  'undici\'s flat list': ['X-One', 'a', 'X-Two', 'b', 'X-Two', 'c'],
  'a Map': new Map<string, string | string[]>([['X-One', 'a'], ['X-Two', ['b', 'c']]])
}
for (const [name, headers] of Object.entries(headerForms)) {
  t.test(`headers as ${name}`, async (t) => {
    const echo = await ways.read({ headers })
    t.match(echo.headers, { 'x-one': 'a', 'x-two': 'b, c' })
    t.notOk('x-none' in echo.headers)
  })
}

t.test('no headers, as null', async (t) => {
  t.equal((await ways.read({ headers: null })).body, '')
})

t.test('headers that have the names of members of every object', async t => {
  t.match((await ways.read({ headers: { constructor: 'a', tostring: 'b' } })).headers, {
    constructor: 'a',
    tostring: 'b'
  })
})

t.test('options and headers of the caller are not changed', async (t) => {
  const headers = Object.freeze({ 'X-One': 'a', Authorization: 'mine' })
  const options = Object.freeze({ headers, json: Object.freeze({ a: 1 }) })
  await ways.read(options)
  await ways.awaited(options)
  t.strictSame(options, { headers: { 'X-One': 'a', Authorization: 'mine' }, json: { a: 1 } })

  const list = new Headers({ 'x-one': 'a' })
  await ways.read({ headers: list })
  t.strictSame([...list], [['x-one', 'a']])
})

for (const [name, headers] of Object.entries<CallOptions['headers']>({
  'in lower case': { authorization: 'Bearer mine' },
  'in title case': { Authorization: 'Bearer mine' },
  'in upper case': { AUTHORIZATION: 'Bearer mine' },
  'several times over': {
    authorization: 'Bearer mine',
    Authorization: 'Bearer mine',
    AUTHORIZATION: ['Bearer a', 'Bearer b']
  },
  'in Headers': new Headers({ authorization: 'Bearer mine' }),
  'in a flat list': ['AuthoriZation', 'Bearer mine'],
  'in pairs': [['Authorization', 'Bearer mine']]
})) {
  t.test(`the caller's Authorization ${name} is replaced, and one is sent`, async (t) => {
    const { accessToken } = await run(oauth => oauth.tokens())
    for (const send of Object.values(ways)) {
      const { headers: seen } = await send({ headers })
      t.equal(seen.authorization, `Bearer ${accessToken}`)
    }
  })
}

t.test('a host of the caller\'s does not take the call to another server', async (t) => {
  const { host } = new URL(provider.api.url)
  t.equal((await ways.read({ headers: { Host: 'evil.example' } })).headers.host, host)
  t.equal((await ways.awaited({ headers: new Headers({ host: 'evil.example' }) })).headers.host, host)
})

const refused: Record<string, CallOptions> = {
  origin: { origin: 'https://evil.example' },
  path: { path: '/elsewhere' },
  dispatcher: { dispatcher: { dispatch: () => { throw new Error('must not be asked') } } },
  upgrade: { upgrade: 'websocket' },
  maxRedirections: { maxRedirections: 3 }
} as Record<string, CallOptions>
for (const [name, options] of Object.entries(refused)) {
  t.test(`the option "${name}" is refused`, async t => {
    t.match(await rejection(run(oauth => oauth.get('echo', options))), {
      code: 'FST_OAUTH_INVALID_OPTIONS',
      provider: 'acme',
      message: new RegExp(`"${name}"`)
    })
    t.match(await rejection(run(oauth => oauth.get('echo', options).json())), { code: 'FST_OAUTH_INVALID_OPTIONS' })
    t.equal(requests.length, 0)
  })
}

t.test('undici\'s own options reach it', async (t) => {
  const gate = provider.api.holdSlow()
  t.teardown(() => gate.release())
  const call = run(oauth => oauth.get('slow', { headersTimeout: 1, reset: true }).json())
  t.match(await rejection(call), { code: 'FST_OAUTH_API_UNAVAILABLE', reason: 'timeout' })
})

for (const [name, options] of Object.entries<CallOptions>({
  'json and body together': { json: 1, body: 'a' },
  'a function as json': { json: () => {} },
  'a symbol as json': { json: Symbol('s') },
  'an object as a body': { body: { a: 1 } },
  'an invalid header': { headers: { 'not a name': 'a' } },
  'a header with a line break': { headers: { 'x-a': 'a\r\nb: c' } },
  'an invalid method': { method: 'NOT A METHOD' },
  'a wrong content-length': { body: 'abc', headers: { 'content-length': '2' } }
})) {
  t.test(`${name}: refused as the caller's mistake`, async (t) => {
    for (const read of [true, false]) {
      const error = await rejection(run((oauth) => {
        const call = oauth.request('echo', { method: 'POST', ...options })
        return read ? call.json() : call
      }))
      t.match(error, { code: 'FST_OAUTH_INVALID_OPTIONS' })
    }
    t.equal(requests.length, 0)
  })
}

t.test('what JSON.stringify throws comes as a rejection', async (t) => {
  t.ok(await rejection(run(oauth => oauth.post('echo', { json: 1n }))) instanceof TypeError)
})

t.test('a stream that fails fails the call with its own error', async (t) => {
  for (const send of Object.values(ways)) {
    const error = new Error('the disk is gone')
    const body = new Readable({ read () { this.destroy(error) } })
    t.equal(await rejection(send({ body })), error)
  }
})

const failing: Record<string, (error: Error) => CallOptions['body']> = {
  'a generator': error => (function * () { throw error })(),
  'an async generator': error => (async function * () {
    yield Buffer.from('a')
    throw error
  })(),
  'a web stream': error => new ReadableStream({ pull (controller) { controller.error(error) } })
}
for (const [name, make] of Object.entries(failing)) {
  t.test(`${name} that fails fails the call with its own error`, async (t) => {
    for (const send of Object.values(ways)) {
      const error = new Error('the disk is gone')
      t.equal(await rejection(send({ body: make(error) })), error)
    }
  })
}

const readAlready: Record<string, () => Promise<CallOptions['body']>> = {
  'a Readable that has been read': async () => {
    const body = Readable.from(['a'])
    await body.toArray()
    return body
  },
  'a Readable that has been destroyed': async () => Readable.from(['a']).destroy(),
  'a web stream that has been read': async () => {
    const { body, text } = new Response('a')
    await text.call(new Response(body))
    return body
  },
  'a web stream of which a part has been read': async () => {
    const body = ReadableStream.from(['a', 'b'])
    const reader = body.getReader()
    await reader.read()
    reader.releaseLock()
    return body
  },
  'a web stream that has a reader': async () => {
    const body = ReadableStream.from(['a'])
    body.getReader()
    return body
  }
}
for (const [name, make] of Object.entries(readAlready)) {
  t.test(`${name} is not sent as an empty body`, async (t) => {
    for (const send of Object.values(ways)) {
      t.match(await rejection(send({ body: await make() })), { code: 'FST_OAUTH_INVALID_OPTIONS' })
    }
    const init = { method: 'POST', body: await make(), duplex: 'half' } as RequestInit
    t.match(await rejection(run(oauth => oauth.fetch('echo', init))), { code: 'FST_OAUTH_INVALID_OPTIONS' })
    t.equal(requests.length, 0)
  })
}

const generators: Record<string, () => CallOptions['body']> = {
  'a generator': function * () { yield Buffer.from('a') },
  'an async generator': async function * () { yield Buffer.from('a') }
}
for (const [name, make] of Object.entries(generators)) {
  t.test(`${name} that a call has read is not sent as an empty body`, async (t) => {
    for (const send of Object.values(ways)) {
      const body = make()
      t.equal((await send({ body })).body, 'a')
      t.match(await rejection(send({ body })), { code: 'FST_OAUTH_INVALID_OPTIONS' })
      const init = { method: 'POST', body, duplex: 'half' } as RequestInit
      t.match(await rejection(run(oauth => oauth.fetch('echo', init))), { code: 'FST_OAUTH_INVALID_OPTIONS' })
    }
    t.equal(requests.length, 2)
  })

  t.test(`race: ${name} that two calls are given is read by one of them`, async (t) => {
    const body = make()
    const outcomes = await Promise.allSettled([ways.read({ body }), ways.read({ body })])
    const read = outcomes.find(({ status }) => status === 'fulfilled') as PromiseFulfilledResult<Echo>
    const refused = outcomes.find(({ status }) => status === 'rejected') as PromiseRejectedResult
    t.equal(read.value.body, 'a')
    t.match(refused.reason, { code: 'FST_OAUTH_INVALID_OPTIONS' })
  })

  t.test(`${name} of a call that failed before it was sent is good for another`, async (t) => {
    const body = make()
    t.match(await rejection(run(oauth => oauth.using('acme').post('https://evil.example/', { body }))), {
      code: 'FST_OAUTH_ORIGIN_NOT_ALLOWED'
    })
    t.equal((await ways.read({ body })).body, 'a')
  })
}

t.test('an empty generator is an empty body', async (t) => {
  t.equal((await ways.read({ body: (function * () {})() })).body, '')
})

t.test('a web stream of a call that is refused later is cancelled', async (t) => {
  const cancelled: unknown[] = []
  const body = new ReadableStream({ cancel: (reason) => { cancelled.push(reason) } })
  t.match(await rejection(run(oauth => oauth.post('echo', { body, headers: { 'a b': '1' } }))), {
    code: 'FST_OAUTH_INVALID_OPTIONS'
  })
  t.equal(cancelled.length, 1)
})

t.test('an API that is down is a typed error beside a stream, too, which is destroyed', async (t) => {
  const port = await freePort()
  const { run } = await loggedInApp(t, { provider: { resourceServers: [`http://127.0.0.1:${port}/`] } })
  for (const read of [false, true]) {
    const body = Readable.from(['a'])
    const error = await rejection(run((oauth) => {
      const call = oauth.post('echo', { body })
      return read ? call.json() : call
    }))
    t.match(error, { code: 'FST_OAUTH_API_UNAVAILABLE', reason: 'no_answer' })
    t.ok(body.destroyed)
  }
})

for (const [name, body] of Object.entries<() => object>({
  'a Map': () => new Map([['item', 'tea']]),
  'a Set of numbers': () => new Set([1, 2]),
  'a generator of objects': () => (function * () { yield { item: 'tea' } })(),
  'a stream of objects': () => Readable.from([{ item: 'tea' }])
})) {
  t.test(`${name} as body is refused as the caller's mistake`, async (t) => {
    const error = await rejection(run(oauth => oauth.post('echo', { body: body() }).json()))
    t.match(error, { code: 'FST_OAUTH_INVALID_OPTIONS', message: /has to yield bytes or strings/ })
    t.equal((await ways.read({ body: 'tea' })).body, 'tea', 'and the next call is sent')
  })
}

t.test('a file that does not exist is no uncaught error', async (t) => {
  const missing = () => ({ body: createReadStream(new URL('no-such-file', import.meta.url)) })
  t.match(await rejection(run(oauth => oauth.post('echo', missing()))), { code: 'ENOENT' })
  t.match(await rejection(run(oauth => oauth.post('echo', missing()).json())), { code: 'ENOENT' })
})

t.test('a stream that is not sent is destroyed', async (t) => {
  const body = Readable.from(['a'])
  const cancelled: unknown[] = []
  const web = new ReadableStream({ cancel: (reason) => { cancelled.push(reason) } })
  await rejection(run(oauth => oauth.post('https://evil.example/', { body })))
  await rejection(run(oauth => oauth.post('https://evil.example/', { body: web })))
  t.ok(body.destroyed)
  t.equal(cancelled.length, 1)
})

t.end()
