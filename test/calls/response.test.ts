import { inspect } from 'node:util'
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import t from 'tap'
import { OAuthError, ResponseStatusError } from '../../lib/index.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { rejection } from '../helpers/rejection.ts'
import { freePort } from '../helpers/listen.ts'
import { captureLog } from '../helpers/log.ts'

const { run, page, provider, requests } = await loggedInApp(t)
const { api } = provider
t.beforeEach(() => { requests.length = 0 })

const MB = 1024 * 1024
const orders = [{ id: 1, item: 'Grüße' }]
const json = Buffer.from(JSON.stringify(orders))

for (const status of [301, 400, 403, 404, 409, 418, 429, 500, 503]) {
  t.test(`json(), text() and bytes() of a ${status} are typed errors`, async (t) => {
    for (const read of ['json', 'text', 'bytes'] as const) {
      const error = await rejection(run(oauth => oauth.get(`status/${status}`)[read]()))
      t.ok(error instanceof OAuthError && error instanceof ResponseStatusError)
      t.match(error, {
        code: 'FST_OAUTH_RESPONSE_STATUS',
        statusCode: 502,
        responseStatus: status,
        provider: 'acme',
        excerpt: `{"status":${status}}`
      })
    }
  })
}

t.test('a status error has the response for the handler, and not for the log', async t => {
  const error = await rejection<{ response: { statusCode: number, headers: Record<string, string>, body: Buffer } }>(
    run(oauth => oauth.get('status/409').json())
  )
  t.equal(error.response.statusCode, 409)
  t.equal(error.response.headers['content-type'], 'application/json')
  t.strictSame(JSON.parse(error.response.body.toString()), { status: 409 })
  t.notOk(Object.keys(error).includes('response'))
})

t.test('a status error that a handler does not catch is a 502 that shows nothing of the response', async (t) => {
  api.routes['GET secretive'] = () => ({ status: 500, body: { detail: 'stack trace of the API' } })
  const answer = await page(oauth => oauth.get('secretive').json())
  t.equal(answer.status, 502)
  t.match(answer.json(), { code: 'FST_OAUTH_RESPONSE_STATUS' })
  t.notMatch(answer.text, 'stack trace')
})

t.test('a token that the API echoes is in no error', async t => {
  api.routes['GET mirror'] = ({ authorization, headers }) => ({
    status: 400,
    body: { authorization, short: authorization?.slice(7), headers }
  })
  const error = await rejection(run(oauth => oauth.get('mirror').json()))
  const { accessToken } = await run(oauth => oauth.tokens())
  t.equal(error.responseStatus, 400)
  t.notMatch(inspect(error, { depth: 9 }), accessToken)
})

for (const [name, body] of Object.entries({
  HTML: '<!DOCTYPE html><h1>Hello</h1>',
  'half of JSON': '{"a":',
  'two JSONs': '{}{}'
})) {
  t.test(`json() of ${name} is a typed error`, async t => {
    api.routes['GET wrong'] = () => ({ body: Buffer.from(body) })
    t.match(await rejection(run(oauth => oauth.get('wrong').json())), {
      code: 'FST_OAUTH_INVALID_RESPONSE',
      statusCode: 502,
      reason: 'unreadable_response',
      provider: 'acme'
    })
  })
}

const packed: Record<string, [encoding: string, body: Buffer]> = {
  gzip: ['gzip', gzipSync(json)],
  'x-gzip': ['x-gzip', gzipSync(json)],
  'GZIP in capitals': ['GZIP', gzipSync(json)],
  deflate: ['deflate', deflateSync(json)],
  'deflate without the header that it should have': ['deflate', deflateRawSync(json)],
  br: ['br', brotliCompressSync(json)],
  'two codings': ['gzip, br', brotliCompressSync(gzipSync(json))],
  identity: ['identity', json],
  'no coding, as an empty name': ['', json]
}
for (const [name, [encoding, body]] of Object.entries(packed)) {
  t.test(`a response in ${name} is unpacked`, async (t) => {
    api.routes['GET packed'] = () => ({ body, headers: { 'content-encoding': encoding } })
    t.strictSame(await run(oauth => oauth.get('packed').json()), orders)
    t.equal(await run(oauth => oauth.get('packed').text()), json.toString())
    t.strictSame(Buffer.from(await run(oauth => oauth.get('packed').bytes())), json)
  })

  t.test(`a response in ${name} is unpacked where the call was awaited first`, async (t) => {
    api.routes['GET packed'] = () => ({ body, headers: { 'content-encoding': encoding } })
    t.strictSame(await run(async (oauth) => {
      const call = oauth.get('packed')
      await call
      return await call.json()
    }), orders)
  })
}

t.test('awaited alone, the body comes as it was sent', async (t) => {
  api.routes['GET packed'] = () => ({ body: gzipSync(json), headers: { 'content-encoding': 'gzip' } })
  const { headers, body } = await run(oauth => oauth.get('packed'))
  t.equal(headers['content-encoding'], 'gzip')
  t.strictSame(Buffer.from(await body.arrayBuffer()), gzipSync(json))
})

t.test('awaited beside json(), headers and body fit together', async t => {
  api.routes['GET packed'] = () => ({
    body: gzipSync(json),
    headers: { 'content-encoding': 'gzip', 'content-length': String(gzipSync(json).length) }
  })
  const { headers, body } = await run(async oauth => {
    const call = oauth.get('packed')
    await call.json()
    return await call
  })
  t.notOk('content-encoding' in headers || 'content-length' in headers)
  t.strictSame(await body.json(), orders)
})

t.test('a 204 with a Content-Encoding has nothing to unpack', async (t) => {
  api.routes['GET packed'] = () => ({ status: 204, headers: { 'content-encoding': 'gzip' } })
  t.equal(await run(oauth => oauth.get('packed').json()), undefined)
})

t.test('the error about a packed response shows it unpacked', async t => {
  api.routes['GET packed'] = () => ({
    status: 422,
    body: gzipSync('{"why":"so"}'),
    headers: { 'content-encoding': 'gzip' }
  })
  t.match(await rejection(run(oauth => oauth.get('packed').json())), { responseStatus: 422, excerpt: '{"why":"so"}' })
})

const unreadable: Record<string, [encoding: string, body: Buffer]> = {
  'an unknown coding': ['zip', json],
  'a coding with the name of a member of every object': ['constructor', json],
  'what is not gzip': ['gzip', json],
  'half of a gzip': ['gzip', gzipSync(json).subarray(0, -12)],
  'what is not brotli': ['br', json],
  'six layers': [
    'gzip,gzip,gzip,gzip,gzip,gzip',
    Array.from({ length: 6 }).reduce<Buffer>(body => gzipSync(body), json)
  ]
}
// Both ways that an answer is read whole.
const readings = {
  'read whole': (options?: object) => run(oauth => oauth.get('answer', options).bytes()),
  'awaited, then read whole': (options?: object) => run(async (oauth) => {
    const call = oauth.get('answer', options)
    await call
    return await call.bytes()
  })
}
for (const [way, read] of Object.entries(readings)) {
  for (const [name, [encoding, body]] of Object.entries(unreadable)) {
    t.test(`${name} is a typed error, ${way}`, async (t) => {
      api.routes['GET answer'] = () => ({ body, headers: { 'content-encoding': encoding } })
      t.match(await rejection(read()), {
        code: 'FST_OAUTH_INVALID_RESPONSE',
        statusCode: 502,
        reason: 'encoding',
        provider: 'acme'
      })
    })
  }

  t.test(`a response of more than 16 MiB is refused, ${way}`, async (t) => {
    api.routes['GET answer'] = () => ({ body: Buffer.alloc(16 * MB + 1, 'a') })
    t.match(await rejection(read()), {
      code: 'FST_OAUTH_INVALID_RESPONSE',
      statusCode: 502,
      reason: 'too_large',
      provider: 'acme'
    })
  })

  t.test(`a response of 16 MiB is not, ${way}`, async (t) => {
    api.routes['GET answer'] = () => ({ body: Buffer.alloc(16 * MB, 'a') })
    t.equal((await read()).length, 16 * MB)
  })

  t.test(`a response without an end is refused, ${way}`, async (t) => {
    api.routes['GET answer'] = ({ response }) => {
      const more = () => { while (!response.destroyed && response.write('a'.repeat(64 * 1024))); }
      response.writeHead(200).on('drain', more)
      more()
      return undefined
    }
    t.match(await rejection(read()), { code: 'FST_OAUTH_INVALID_RESPONSE', reason: 'too_large' })
  })

  for (const [name, pack] of Object.entries({ gzip: gzipSync, deflate: deflateSync, br: brotliCompressSync })) {
    t.test(`a ${name} bomb is refused, ${way}`, async (t) => {
      const bomb = pack(Buffer.alloc(20 * MB))
      t.ok(bomb.length < 100_000)
      api.routes['GET answer'] = () => ({ body: bomb, headers: { 'content-encoding': name } })
      t.match(await rejection(read()), { code: 'FST_OAUTH_INVALID_RESPONSE', reason: 'too_large' })
    })
  }

  t.test(`maxResponseSize is the limit, packed and unpacked, ${way}`, async (t) => {
    const options = { maxResponseSize: 100 }
    api.routes['GET answer'] = () => ({ body: Buffer.alloc(100, 'a') })
    t.equal((await read(options)).length, 100)
    api.routes['GET answer'] = () => ({ body: Buffer.alloc(101, 'a') })
    t.match(await rejection(read(options)), { reason: 'too_large' })
    api.routes['GET answer'] = () => ({
      body: gzipSync(Buffer.alloc(101, 'a')),
      headers: { 'content-encoding': 'gzip' }
    })
    t.match(await rejection(read(options)), { reason: 'too_large' })
  })
}

t.test('what is awaited and streamed has no limit but its own', async (t) => {
  api.routes['GET answer'] = () => ({ body: Buffer.alloc(17 * MB, 'a') })
  const { body } = await run(oauth => oauth.get('answer', { maxResponseSize: 10 }))
  t.equal((await body.arrayBuffer()).byteLength, 17 * MB)
})

t.test('a response that was too large does not keep its connection', async (t) => {
  api.routes['GET answer'] = () => ({ body: Buffer.alloc(MB, 'a') })
  for (const read of Object.values(readings)) {
    for (let i = 0; i < 300; i++) await rejection(read({ maxResponseSize: 10 }))
  }
  t.match(await run(oauth => oauth.get('orders').json()), [{ id: 1 }])
})

t.test('a connection that breaks in the middle of a response is a typed error', async (t) => {
  api.routes['GET answer'] = ({ response }) => {
    response.writeHead(200, { 'content-length': 100 })
    response.write('half', () => response.destroy())
    return undefined
  }
  for (const read of Object.values(readings)) {
    t.match(await rejection(read()), {
      code: 'FST_OAUTH_API_UNAVAILABLE',
      statusCode: 502,
      reason: 'no_answer',
      provider: 'acme'
    })
  }
})

t.test('an API that is down', async (t) => {
  const port = await freePort()
  const log = captureLog()
  const { run, page } = await loggedInApp(t, {
    provider: { resourceServers: [`http://127.0.0.1:${port}/`] },
    fastify: { logger: log.logger }
  })
  const secrets = async () => {
    const { accessToken, refreshToken, idToken } = await run(oauth => oauth.tokens())
    return [accessToken, refreshToken!, idToken!, 'the body']
  }

  for (const [name, call] of Object.entries({
    'get().json()': () => run(oauth => oauth.get('x').json()),
    'await get()': () => run(oauth => oauth.get('x')),
    'await post()': () => run(oauth => oauth.post('x', { body: 'the body' })),
    fetch: () => run(oauth => oauth.fetch('x', { method: 'POST', body: 'the body' }))
  })) {
    t.test(`${name} is a typed error that holds no secret`, async (t) => {
      const error = await rejection(call())
      t.ok(error instanceof OAuthError)
      t.match(error, {
        code: 'FST_OAUTH_API_UNAVAILABLE',
        statusCode: 502,
        reason: 'no_answer',
        provider: 'acme',
        cause: { code: 'ECONNREFUSED' }
      })
      const shown = inspect(error, { depth: Infinity, showHidden: true, getters: true })
      for (const secret of await secrets()) t.notOk(shown.includes(secret))
    })
  }

  t.test('the app responds with a 502 without the address, and its log holds no secret', async (t) => {
    const answer = await page(oauth => oauth.get('x').json())
    t.equal(answer.status, 502)
    t.match(answer.json(), { code: 'FST_OAUTH_API_UNAVAILABLE' })
    t.notMatch(answer.text, String(port))
    t.match(log.text, 'FST_OAUTH_API_UNAVAILABLE')
    t.strictSame(log.leaked(await secrets()), [])
  })
})

t.end()
