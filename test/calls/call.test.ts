import { Readable } from 'node:stream'
import t, { type Test } from 'tap'
import { OAuthError } from '../../lib/index.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { rejection } from '../helpers/rejection.ts'
import { Gate } from '../helpers/gate.ts'
import { freePort } from '../helpers/listen.ts'

const { run, page, provider, requests } = await loggedInApp(t)
const { api } = provider
t.beforeEach(() => { requests.length = 0 })

const echoed = async (body: { json(): Promise<unknown> }) =>
  (await body.json()) as { method: string, url: string, headers: Record<string, string>, body: string }

for (const method of ['get', 'post', 'put', 'patch', 'delete'] as const) {
  t.test(`${method} sends a ${method.toUpperCase()}`, async (t) => {
    const { body } = await run(oauth => oauth[method]('echo?a=1'))
    t.match(await echoed(body), { method: method.toUpperCase(), url: '/v1/echo?a=1' })
  })
}

t.test('head sends a HEAD and gets headers alone', async (t) => {
  const { statusCode, headers, body } = await run(oauth => oauth.head('orders'))
  t.equal(requests[0]?.method, 'HEAD')
  t.equal(statusCode, 200)
  t.equal(headers['content-type'], 'application/json')
  t.equal(await body.text(), '')
})

t.test('request sends what `method` says, in any case', async (t) => {
  const { body } = await run(oauth => oauth.request('echo', { method: 'report' }))
  t.equal((await echoed(body)).method, 'REPORT')
})

t.test('request without a method is a GET', async (t) => {
  const { body } = await run(oauth => oauth.request('echo'))
  t.equal((await echoed(body)).method, 'GET')
})

t.test('each call carries the token of the user who is logged in', async (t) => {
  t.match(await run(oauth => oauth.get('me').json()), { sub: 'alice' })
  const { accessToken } = await run(oauth => oauth.tokens())
  t.equal(requests[0]?.authorization, `Bearer ${accessToken}`)
})

t.test('an absolute URL below a resource server is as good as a relative one', async (t) => {
  t.match(await run(oauth => oauth.get(`${api.url}me`).json()), { sub: 'alice' })
  t.match(await run(oauth => oauth.get(new URL('me', api.url)).json()), { sub: 'alice' })
})

t.test('a call has a User-Agent, unless it sets its own', async t => {
  t.equal(
    (await echoed(await run(oauth => oauth.get('echo')).then(({ body }) => body))).headers['user-agent'],
    'fastify-oauth-session'
  )
  t.equal(
    (
      await echoed(
        await run(oauth => oauth.get('echo', { headers: { 'User-Agent': 'mine' } })).then(({ body }) => body)
      )
    ).headers['user-agent'],
    'mine'
  )
})

t.test('`query` is added to what the URL has', async (t) => {
  const { body } = await run(oauth => oauth.get('echo?a=%7E', { query: { b: [1, 2], c: 0, d: undefined } }))
  t.equal((await echoed(body)).url, '/v1/echo?a=%7E&b=1&b=2&c=0')
})

t.test('awaited, a call is undici\'s ResponseData', async (t) => {
  const answer = await run(oauth => oauth.get('orders'))
  t.equal(answer.statusCode, 200)
  t.equal(answer.headers['content-type'], 'application/json')
  t.ok(answer.body instanceof Readable)
  t.match(await answer.body.json(), [{ id: 1 }, { id: 2 }])
})

for (const status of [204, 304, 400, 403, 404, 418, 429, 500, 503]) {
  t.test(`awaited, a ${status} is no error`, async (t) => {
    const { statusCode, body } = await run(oauth => oauth.get(`status/${status}`))
    await body.dump()
    t.equal(statusCode, status)
  })
}

t.test('no redirect is followed', async t => {
  const { statusCode, headers, body } = await run(oauth =>
    oauth.get(`redirect?to=${encodeURIComponent(`${api.url}orders`)}`)
  )
  await body.dump()
  t.equal(statusCode, 302)
  t.equal(headers.location, `${api.url}orders`)
  t.equal(requests.length, 1)
})

t.test('json() parses the response', async (t) => {
  t.match(await run(oauth => oauth.get('orders').json<{ id: number }[]>()), [{ id: 1 }, { id: 2 }])
})

t.test('json() asks for JSON, unless the call asks for something itself', async (t) => {
  t.match(await run(oauth => oauth.get('echo').json()), { headers: { accept: 'application/json' } })
  t.match(await run(oauth => oauth.get('echo', { headers: { Accept: 'application/hal+json' } }).json()), {
    headers: { accept: 'application/hal+json' }
  })
})

t.test('text() and bytes() ask for nothing', async (t) => {
  await run(oauth => oauth.get('echo').text())
  await run(oauth => oauth.get('echo').bytes())
  t.strictSame(requests.map(({ headers }) => headers.accept), [undefined, undefined])
})

t.test('json() skips a byte order mark', async (t) => {
  api.routes['GET bom'] = () => ({ body: Buffer.from('\ufeff{"a":1}') })
  t.strictSame(await run(oauth => oauth.get('bom').json()), { a: 1 })
})

t.test('text() is the response as text', async (t) => {
  t.equal(await run(oauth => oauth.get('orders').text()), '[{"id":1,"item":"tea"},{"id":2,"item":"cake"}]')
})

t.test('bytes() is the response as bytes of a buffer of their own', async (t) => {
  const sent = Buffer.from([0, 1, 254, 255])
  api.routes['GET bytes'] = () => ({ body: sent, headers: { 'content-type': 'application/octet-stream' } })
  const bytes = await run(oauth => oauth.get('bytes').bytes())
  t.ok(bytes instanceof Uint8Array)
  t.strictSame(Buffer.from(bytes), sent)
  t.equal(bytes.buffer.byteLength, 4, 'the buffer behind them shows nothing else of the connection')
})

t.test('a response of many chunks is put together', async (t) => {
  api.routes['GET pieces'] = ({ response }) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.write('["€')
    response.write(Buffer.from('€').subarray(0, 1), () =>
      response.end(Buffer.concat([Buffer.from('€').subarray(1), Buffer.from('"]')]))
    )
    return undefined
  }
  t.strictSame(await run(oauth => oauth.get('pieces').json()), ['€€'])
})

t.test('a 204 is undefined as JSON, empty as text and bytes', async (t) => {
  t.equal(await run(oauth => oauth.get('status/204').json()), undefined)
  t.equal(await run(oauth => oauth.get('status/204').text()), '')
  t.equal((await run(oauth => oauth.get('status/204').bytes())).length, 0)
})

t.test('the JSON of a HEAD is undefined', async (t) => {
  t.equal(await run(oauth => oauth.head('orders').json()), undefined)
})

t.test('a call is sent once, however often it is read', async (t) => {
  await run(async (oauth) => {
    const call = oauth.get('orders')
    const [json, again, text, bytes, answer] = await Promise.all([
      call.json<unknown[]>(),
      call.json(),
      call.text(),
      call.bytes(),
      call
    ])
    t.equal(json.length, 2)
    t.strictSame(again, json)
    t.strictSame(JSON.parse(text), json)
    t.equal(Buffer.from(bytes).toString(), text)
    t.equal(answer.statusCode, 200)
    t.strictSame(await answer.body.json(), json)
  })
  t.equal(requests.length, 1)
})

t.test('awaited first, read whole afterwards', async (t) => {
  await run(async (oauth) => {
    const call = oauth.get('orders')
    t.equal((await call).statusCode, 200)
    t.match(await call.json(), [{ id: 1 }, { id: 2 }])
    t.equal(await call.text(), '[{"id":1,"item":"tea"},{"id":2,"item":"cake"}]')
  })
  t.equal(requests.length, 1)
})

t.test('read whole first, awaited afterwards', async (t) => {
  await run(async (oauth) => {
    const call = oauth.get('orders')
    const json = await call.json()
    const { statusCode, headers, body } = await call
    t.equal(statusCode, 200)
    t.equal(headers['content-type'], 'application/json')
    t.strictSame(await body.json(), json)
    t.equal(await body.text(), '[{"id":1,"item":"tea"},{"id":2,"item":"cake"}]')
  })
  t.equal(requests.length, 1)
})

t.test('then() and json() in one tick, in that order', async (t) => {
  await run(async (oauth) => {
    const call = oauth.get('orders')
    const status = call.then(({ statusCode }) => statusCode)
    t.match(await call.json(), [{ id: 1 }, { id: 2 }])
    t.equal(await status, 200)
  })
  t.equal(requests.length, 1)
})

t.test('what was read whole can be read as a stream', async (t) => {
  const { body } = await run(async (oauth) => {
    const call = oauth.get('orders')
    await call.json()
    return await call
  })
  const chunks: Buffer[] = []
  for await (const chunk of body) chunks.push(chunk as Buffer)
  t.match(JSON.parse(Buffer.concat(chunks).toString()), [{ id: 1 }, { id: 2 }])
})

t.test('a response whose body was taken by other code is an error, not empty', async (t) => {
  const error = await run(async (oauth) => {
    const call = oauth.get('orders')
    await (await call).body.dump()
    return await rejection(call.json())
  })
  t.match(error, { code: 'FST_OAUTH_INVALID_RESPONSE', reason: 'body_used', provider: 'acme' })
})

t.test('a call is a promise: catch, finally and then make plain ones, and send nothing', async (t) => {
  await run(async (oauth) => {
    const call = oauth.get('orders')
    t.ok(call instanceof Promise)
    const derived = [call.then(() => 1), call.catch(() => 2), call.finally(() => {})]
    t.ok(derived.every(promise => promise.constructor === Promise))
    t.equal((await derived[0]), 1)
    await (await call).body.dump()
  })
  t.equal(requests.length, 1)
})

t.test('a call goes out although it is not awaited', async (t) => {
  const gate = new Gate()
  api.routes['POST events'] = async () => {
    await gate.pass()
    return { status: 204 }
  }
  const answer = await page((oauth) => {
    oauth.post('events', { json: { seen: true } })
    return 'done'
  })
  t.equal(answer.text, 'done', 'the handler has not waited')
  await gate.arrived
  gate.release()
  t.equal(requests[0]?.body, '{"seen":true}')
})

t.test('a handler returns what it has read', async (t) => {
  t.match((await page(oauth => oauth.get('orders').json())).json(), [{ id: 1 }, { id: 2 }])
  t.match((await page(async oauth => (await oauth.get('orders')).body)).text, /tea/)
})

// Listens for what would end the process, until the test is over.
function unhandled (t: Pick<Test, 'after'>): unknown[] {
  const seen: unknown[] = []
  const note = (reason: unknown) => { seen.push(reason) }
  process.on('unhandledRejection', note)
  t.after(() => { process.off('unhandledRejection', note) })
  return seen
}

// unhandledRejection is emitted when the microtasks are done: two turns of the loop later it has been, if ever.
const turns = async () => {
  for (let turn = 0; turn < 3; turn++) await new Promise(resolve => setImmediate(resolve))
}

async function deadUrl (): Promise<string> {
  const port = await freePort()
  return `http://127.0.0.1:${port}/`
}

t.test('failures', async (t) => {
  const dead = await deadUrl()
  const { run } = await loggedInApp(t, { provider: { resourceServers: [dead] } })

  for (const [name, start] of Object.entries({
    'a call': (oauth) => oauth.get('x'),
    'the JSON of a call': (oauth) => oauth.get('x').json(),
    'text, bytes and JSON of a call': (oauth) => {
      const call = oauth.get('x')
      call.text()
      call.bytes()
      return call.json()
    },
    'a call to a place that is refused': (oauth) => oauth.get('https://evil.example/')
  } satisfies Record<string, (oauth: Parameters<Parameters<typeof run>[0]>[0]) => Promise<unknown>>)) {
    t.test(`${name} that fails and is not awaited does not end the process`, async (t) => {
      const seen = unhandled(t)
      await run(async (oauth) => {
        // Another promise of the same failure, so that the test knows when it has happened.
        start(oauth)
        await rejection(oauth.get('x'))
      })
      await turns()
      t.strictSame(seen, [])
    })
  }

  t.test('every await of a call that fails rejects', async (t) => {
    await run(async (oauth) => {
      const call = oauth.get('x')
      const errors = await Promise.all(
        [call, call.json(), call.text(), call.then(() => {})].map(promise => rejection(promise))
      )
      t.ok(errors.every(error => error instanceof OAuthError && error.code === 'FST_OAUTH_API_UNAVAILABLE'))
    })
  })

  t.test('a call that has failed rejects a late await, too', async (t) => {
    await run(async (oauth) => {
      const call = oauth.get('x')
      const first = await rejection(call)
      await turns()
      t.equal(await rejection(call), first)
      t.equal(await rejection(call.json()), first)
    })
  })
})

// There is more than tests to end: the servers that they share.
t.end()
