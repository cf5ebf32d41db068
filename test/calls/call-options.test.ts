import { Readable } from 'node:stream'
import t from 'tap'
import type { CallOptions } from '../../lib/index.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { rejection } from '../helpers/rejection.ts'
import { keptTokens, scriptProvider, startScriptServer } from '../helpers/script-server.ts'

// What a caller in plain JavaScript writes: no compiler has looked at it.
const plain = (options: unknown) => options as CallOptions

t.test('an option that a call does not have is refused by name, and nothing is sent', async (t) => {
  const { run, requests } = await loggedInApp(t)
  requests.length = 0
  const unknown: [Record<string, unknown>, RegExp][] = [
    [{ data: { a: 1 } }, /"data"; write `json` for JSON, or `body`/],
    [{ data: 'a=1' }, /"data"/],
    [{ payload: 'a' }, /"payload"; .*`json`/],
    [{ params: { a: 1 } }, /"params"; write `query`/],
    [{ qs: {} }, /"qs"; write `query`/],
    [{ searchParams: {} }, /"searchParams"; write `query`/],
    [{ form: { a: 1 } }, /"form"; write `body: new URLSearchParams/],
    [{ files: [] }, /"files"; write `body`/],
    [{ timeout: 5 }, /"timeout"; write `signal: AbortSignal.timeout/],
    [{ auth: ['a', 'b'] }, /"auth"; .*`withholdToken/],
    [{ allow_redirects: true }, /"allow_redirects"; .*`fetch`/],
    [{ responseType: 'json' }, /"responseType"; .*`\.json\(\)`/],
    [{ withhold_token: true }, /"withhold_token"; write `withholdToken`/],
    [{ Headers: {} }, /"Headers"; write `headers`/],
    [{ JSON: {} }, /"JSON"; write `json`/],
    [{ item: 'tea' }, /"item"; what is to be sent goes into `json` or `body`/],
    [{ __proto__: null, constructor: 1 }, /"constructor"/]
  ]
  for (const [options, message] of unknown) {
    const name = Object.keys(options)[0]
    t.test(String(name), async (t) => {
      for (const error of [
        await rejection(run(oauth => oauth.post('orders', plain(options)))),
        await rejection(run(oauth => oauth.get('orders', plain(options)).json())),
        await rejection(run(oauth => oauth.request('orders', plain(options)).text()))
      ]) t.match(error, { code: 'FST_OAUTH_INVALID_OPTIONS', reason: 'unknown_option', provider: 'acme', message })
    })
  }

  for (const [name, options] of Object.entries({
    'a text': 'a=1',
    'a form': new URLSearchParams('a=1'),
    'a list': [1],
    bytes: Buffer.from('a'),
    'a FormData': new FormData(),
    'a Map': new Map(),
    'a stream': Readable.from(['a']),
    'a number': 5,
    'a function': () => {}
  })) {
    t.test(`${name} in the place of the options`, async t => {
      t.match(await rejection(run(oauth => oauth.post('orders', plain(options)))), {
        code: 'FST_OAUTH_INVALID_OPTIONS',
        message: /\{ body \} or \{ json \}/
      })
    })
  }

  for (const [options, message] of [
    [{ query: 'a=b' }, /"query" of a call is a string; write an object of parameters/],
    [{ query: [['a', 'b']] }, /"query" of a call is a Array/],
    [{ query: new Map([['a', 'b']]) }, /"query" of a call is a Map/],
    [{ headers: 'x-a: b' }, /"headers" of a call is a string; write an object of headers/],
    [{ headers: 5 }, /"headers" of a call is a number/],
    [{ method: ['GET'] }, /"method" of a call is a Array; write a string/],
    [{ signal: 5 }, /"signal" of a call is a number; write an AbortSignal/],
    [{ withholdToken: 'false' }, /"withholdToken" of a call is a string; write true or false/],
    [{ withholdToken: 1 }, /"withholdToken" of a call is a number/],
    [{ maxResponseSize: '1mb' }, /"maxResponseSize" of a call is a string; write a number of bytes/]
  ] as const) {
    t.test(`${Object.keys(options)[0]} in a shape that a call would drop or take for another`, async (t) => {
      const error = await rejection(run(oauth => oauth.get('orders', plain(options))))
      t.match(error, { code: 'FST_OAUTH_INVALID_OPTIONS', reason: 'invalid_option', provider: 'acme', message })
    })
  }

  t.test("a method that is not the function's own", async t => {
    t.match(await rejection(run(oauth => oauth.get('orders', plain({ method: 'POST' })))), {
      code: 'FST_OAUTH_INVALID_OPTIONS',
      message: /request\(\)/
    })
    t.match(await rejection(run(oauth => oauth.post('orders', plain({ method: 'put' })))), {
      code: 'FST_OAUTH_INVALID_OPTIONS'
    })
  })

  for (const [name, body] of Object.entries({
    'a plain object': { a: 1 },
    'a list of values': [{ a: 1 }],
    'a number': 1,
    true: true,
    'an empty object': {}
  })) {
    t.test(`${name} as body`, async t => {
      t.match(await rejection(run(oauth => oauth.post('orders', plain({ body })))), {
        code: 'FST_OAUTH_INVALID_OPTIONS',
        message: /`json`/
      })
    })
  }

  t.test('options that fetch would drop', async t => {
    for (const [name, value] of Object.entries({
      json: { a: 1 },
      data: 'a',
      form: {},
      withholdToken: true,
      maxResponseSize: 1
    })) {
      const init = { method: 'POST', [name]: value } as RequestInit
      t.match(await rejection(run(oauth => oauth.fetch('orders', init))), {
        code: 'FST_OAUTH_INVALID_OPTIONS',
        message: `"${name}"`,
        reason: 'unknown_option'
      })
    }
  })

  t.test('nothing was sent', async (t) => { t.strictSame(requests, []) })
})

t.test('options of undici, and undefined ones, go through', async (t) => {
  const { run, requests } = await loggedInApp(t)
  requests.length = 0
  const options = {
    headers: { 'x-a': 'b' },
    query: { a: 1 },
    headersTimeout: 10_000,
    bodyTimeout: null,
    reset: true,
    idempotent: true,
    blocking: false,
    highWaterMark: 1024,
    opaque: { a: 1 },
    expectContinue: false,
    typeOfService: 0,
    timeout: undefined,
    dispatcher: undefined
  }
  const { statusCode, opaque } = await run(oauth => oauth.get('echo', plain(options)))
  t.equal(statusCode, 200)
  t.strictSame(opaque, { a: 1 })
  await run(oauth => oauth.get('echo', plain(null)).json())
  await run(oauth => oauth.get('echo', plain({ method: 'get' })).json())
  await run(oauth => oauth.request('echo', { method: 'delete' }).json())
  await run(oauth =>
    oauth.request('echo', Object.assign(Object.create(null), { method: 'PUT', body: [Buffer.from('a'), 'b'] })).json()
  )
  await (await run(oauth => oauth.fetch('echo', { cache: 'no-store', next: { revalidate: 1 } } as RequestInit))).text()
  t.strictSame(requests.map(({ method, url }) => `${method} ${url}`), [
    'GET /v1/echo?a=1', 'GET /v1/echo', 'GET /v1/echo', 'DELETE /v1/echo', 'PUT /v1/echo', 'GET /v1/echo'
  ])
})

t.test('a headless session refuses the same', async (t) => {
  const server = await startScriptServer(t)
  const session = scriptProvider(t, server.providerOptions).session({ tokens: keptTokens(3600) })
  t.match(await rejection(session.post('orders', plain({ data: 1 }))), {
    code: 'FST_OAUTH_INVALID_OPTIONS',
    reason: 'unknown_option'
  })
  t.strictSame(server.calls, [])
})
