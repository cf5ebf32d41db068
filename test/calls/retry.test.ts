import { Readable } from 'node:stream'
import { ReadableStream } from 'node:stream/web'
import t, { type Test } from 'tap'
import { Agent, FormData as UndiciFormData } from 'undici'
import type { CallOptions } from '../../lib/index.ts'
import { loggedInApp, type LoggedInApp, type LoggedInAppOptions } from '../helpers/logged-in-app.ts'
import { rejection } from '../helpers/rejection.ts'

/** An app whose user has a token that the API no longer takes, and that says itself that it is good for an hour. */
async function startRevoked (t: Test, options?: LoggedInAppOptions) {
  const app = await loggedInApp(t, options)
  const { accessToken } = await app.run(oauth => oauth.tokens())
  app.provider.revokeAccessToken(accessToken)
  app.requests.length = 0
  return app
}
const statuses = ({ requests }: LoggedInApp) => requests.map(({ status }) => status)

t.test('a revoked token: the handler notices nothing', async (t) => {
  const app = await startRevoked(t)
  t.match(await app.run(oauth => oauth.get('orders').json()), [{ id: 1 }])
  t.strictSame(statuses(app), [401, 200])
  t.equal(app.refreshes(), 1)
})

t.test('a revoked token: the same for a call that is awaited', async (t) => {
  const app = await startRevoked(t)
  const { statusCode, body } = await app.run(oauth => oauth.get('orders'))
  t.equal(statusCode, 200)
  t.match(await body.json(), [{ id: 1 }])
  t.strictSame(statuses(app), [401, 200])
  t.equal(app.refreshes(), 1)
})

t.test('the next call has the new token at once', async (t) => {
  const app = await startRevoked(t)
  await app.run(oauth => oauth.get('orders').json())
  await app.run(oauth => oauth.get('orders').json())
  t.strictSame(statuses(app), [401, 200, 200])
})

const again: Record<string, () => CallOptions> = {
  'no body': () => ({}),
  'a string': () => ({ body: 'some bytes' }),
  'a Buffer': () => ({ body: Buffer.from('some bytes') }),
  'a Uint8Array': () => ({ body: new Uint8Array(Buffer.from('some bytes')) }),
  'an ArrayBuffer': () => ({ body: new Uint8Array(Buffer.from('some bytes')).buffer }),
  'a URLSearchParams': () => ({ body: new URLSearchParams('a=1&b=2') }),
  'a Blob': () => ({ body: new Blob(['some bytes'], { type: 'text/x-own' }) }),
  'a FormData': () => {
    const body = new FormData()
    body.append('file', new Blob(['some bytes']), 'a.txt')
    return { body }
  },
  'undici\'s FormData': () => {
    const body = new UndiciFormData()
    body.append('file', new Blob(['some bytes']), 'a.txt')
    return { body }
  },
  json: () => ({ json: { a: 1 } })
}
for (const [name, options] of Object.entries(again)) {
  t.test(`${name} is sent again after a 401, the same`, async (t) => {
    const app = await startRevoked(t)
    t.equal((await app.run(oauth => oauth.post('orders', options()))).statusCode, 201)
    const [first, second] = app.requests
    t.strictSame(statuses(app), [401, 201])
    t.equal(second?.body, first?.body)
    t.equal(second?.headers['content-type'], first?.headers['content-type'])
    t.equal(second?.body === '', name === 'no body')
  })
}

const once: Record<string, () => CallOptions['body']> = {
  'a Readable': () => Readable.from(['some bytes']),
  'a web stream': () => ReadableStream.from([Buffer.from('some bytes')]),
  'a generator': () => (function * () { yield Buffer.from('some bytes') })(),
  'an async generator': () => (async function * () { yield Buffer.from('some bytes') })()
}
for (const [name, body] of Object.entries(once)) {
  t.test(`${name} is not sent again: the 401 comes back`, async (t) => {
    const app = await startRevoked(t)
    const answer = await app.run(oauth => oauth.post('orders', { body: body() }))
    t.equal(answer.statusCode, 401)
    t.strictSame(await answer.body.json(), { error: 'invalid_token' })
    t.match(await rejection(app.run(oauth => oauth.post('orders', { body: body() }).json())), {
      code: 'FST_OAUTH_RESPONSE_STATUS',
      responseStatus: 401
    })
    t.strictSame(app.requests.map(({ body }) => body), ['some bytes', 'some bytes'])
    t.equal(app.refreshes(), 0)
  })
}

t.test('a second 401 is handed out, and does not loop', async (t) => {
  const app = await loggedInApp(t)
  app.requests.length = 0
  const answer = await app.run(oauth => oauth.get('status/401'))
  t.equal(answer.statusCode, 401)
  t.strictSame(await answer.body.json(), { error: 'invalid_token' })
  t.strictSame(statuses(app), [401, 401])
  t.equal(app.refreshes(), 1)
})

t.test('an API that always responds with 401 does not cause a refresh at each call', async (t) => {
  const app = await loggedInApp(t)
  for (let i = 0; i < 5; i++) {
    t.match(await rejection(app.run(oauth => oauth.get('status/401').json())), {
      responseStatus: 401,
      code: 'FST_OAUTH_RESPONSE_STATUS'
    })
  }
  t.equal(app.refreshes(), 1)
})

t.test('a second 401 can be read as JSON and as a stream', async (t) => {
  const app = await loggedInApp(t)
  await rejection(app.run(oauth => oauth.get('status/401').json()))
  const { headers, body } = await app.run(oauth => oauth.get('status/401'))
  t.match(headers['www-authenticate'], /invalid_token/)
  t.strictSame(await body.json(), { error: 'invalid_token' })
  const chunks: unknown[] = []
  for await (const chunk of (await app.run(oauth => oauth.get('status/401'))).body) chunks.push(chunk)
  t.equal(Buffer.concat(chunks as Buffer[]).toString(), '{"error":"invalid_token"}')
})

/** An API whose every answer to a call is a 401 that comes once the token has been replaced, as often as asked. */
async function startOvertaken (t: Test, times: number) {
  const app = await loggedInApp(t)
  const seen: (string | undefined)[] = []
  app.provider.api.routes['* overtaken'] = async ({ authorization, method, body }) => {
    seen.push(authorization)
    if (seen.length > times) return { body: { method, body } }
    // Another request of the same user, as a slow page that is open beside this one.
    await app.run(oauth => oauth.refresh())
    return { status: 401, headers: { 'www-authenticate': 'Bearer error="invalid_token"' } }
  }
  return { ...app, seen }
}

t.test('a call whose token is replaced twice while it is on its way goes through with the newest', async (t) => {
  for (const times of [1, 2]) {
    const { run, seen } = await startOvertaken(t, times)
    t.match(await run(oauth => oauth.post('overtaken', { json: { a: 1 } }).json()), { method: 'POST', body: '{"a":1}' })
    t.equal(seen.length, times + 1)
    t.equal(new Set(seen).size, times + 1, 'each time with another token')
    t.equal(seen.at(-1), `Bearer ${(await run(oauth => oauth.tokens())).accessToken}`)
  }
})

t.test('the same for a call that is awaited, and for fetch', async (t) => {
  const awaited = await startOvertaken(t, 2)
  t.equal((await awaited.run(oauth => oauth.get('overtaken'))).statusCode, 200)
  const fetched = await startOvertaken(t, 2)
  t.equal((await fetched.run(oauth => oauth.fetch('overtaken', { method: 'PUT', body: 'a' }))).status, 200)
})

t.test('a call whose token is replaced again and again does not loop', async (t) => {
  const { run, seen } = await startOvertaken(t, Infinity)
  t.match(await rejection(run(oauth => oauth.get('overtaken').json())), {
    code: 'FST_OAUTH_RESPONSE_STATUS',
    responseStatus: 401
  })
  t.equal(seen.length, 3)
})

t.test('a stream whose token is replaced on its way is sent once', async (t) => {
  const { run, seen } = await startOvertaken(t, Infinity)
  t.equal((await run(oauth => oauth.post('overtaken', { body: Readable.from(['some bytes']) }))).statusCode, 401)
  t.equal(seen.length, 1)
})

t.test('userinfo whose token is replaced twice while it is on its way goes through with the newest', async (t) => {
  const app = await loggedInApp(t)
  const fault = app.provider.endpoints.userinfo.fail(async () => {
    if (fault.hits === 2) fault.stop()
    await app.run(oauth => oauth.refresh())
    return { status: 401 }
  })
  t.match(await app.run(oauth => oauth.userinfo()), { sub: 'alice' })
  t.equal(fault.hits, 2)
})

t.test('after a call that the new token was good for, a 401 may cause a refresh again', async (t) => {
  const app = await startRevoked(t)
  await app.run(oauth => oauth.get('orders').json())
  const { accessToken } = await app.run(oauth => oauth.tokens())
  app.provider.revokeAccessToken(accessToken)
  t.match(await app.run(oauth => oauth.get('orders').json()), [{ id: 1 }])
  t.equal(app.refreshes(), 2)
})

for (const status of [401, 403]) {
  t.test(`a ${status} for want of scope causes no refresh`, async (t) => {
    const app = await loggedInApp(t)
    app.provider.api.routes['GET scoped'] = () => ({
      status,
      headers: { 'www-authenticate': 'Bearer realm="api", error="insufficient_scope", scope="orders:write"' },
      body: {}
    })
    t.match(await rejection(app.run(oauth => oauth.get('scoped').json())), { responseStatus: status })
    t.equal((await app.run(oauth => oauth.get('scoped'))).statusCode, status)
    t.equal(app.refreshes(), 0)
  })
}

t.test('many calls that meet a 401 at once cause one refresh', async (t) => {
  const app = await startRevoked(t)
  const answers = await Promise.all(Array.from({ length: 20 }, () => app.run(oauth => oauth.get('orders').json())))
  t.ok(answers.every(answer => Array.isArray(answer)))
  t.equal(app.refreshes(), 1)
  t.equal(app.provider.refreshTokenReuses, 0)
})

t.test('many calls of one handler that meet a 401 at once cause one refresh', async (t) => {
  const app = await startRevoked(t)
  await app.run(oauth =>
    Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        i % 2 === 0 ? oauth.get('orders').json() : oauth.get('orders').then(({ body }) => body.dump())
      )
    )
  )
  t.equal(app.refreshes(), 1)
  t.equal(app.provider.refreshTokenReuses, 0)
})

t.test('without a refresh token the 401 comes back', async (t) => {
  const app = await startRevoked(t, { oidc: { refreshTokens: 'never' } })
  t.equal((await app.run(oauth => oauth.get('orders'))).statusCode, 401)
  t.strictSame(statuses(app), [401])
})

t.test('a grant that was revoked ends the login', async (t) => {
  const app = await loggedInApp(t)
  app.provider.revokeGrants('alice')
  t.match(await rejection(app.run(oauth => oauth.get('orders').json())), {
    code: 'FST_OAUTH_LOGIN_ENDED',
    statusCode: 401
  })
  t.match(await rejection(app.run(oauth => oauth.get('orders').json())), { code: 'FST_OAUTH_LOGIN_REQUIRED' })
})

t.test('where the API responds with 401 and the provider is down, the error names the provider', async (t) => {
  const app = await startRevoked(t)
  app.provider.failTokenEndpoint({ status: 503 })
  t.match(await rejection(app.run(oauth => oauth.get('orders').json())), {
    code: 'FST_OAUTH_PROVIDER_UNAVAILABLE',
    statusCode: 503
  })
})

t.test('userinfo() of a revoked token refreshes it, once', async (t) => {
  const app = await startRevoked(t)
  const atLogin = app.provider.endpoints.userinfo.requests.length
  t.match(await app.run(oauth => oauth.userinfo()), { sub: 'alice', email: 'alice@example.com' })
  t.equal(app.refreshes(), 1)
  t.equal(app.provider.endpoints.userinfo.requests.length - atLogin, 2)
})

t.test('userinfo() that is always refused does not loop', async (t) => {
  const app = await loggedInApp(t)
  const atLogin = app.provider.endpoints.userinfo.requests.length
  app.provider.endpoints.userinfo.fail({ status: 401 })
  t.match(await rejection(app.run(oauth => oauth.userinfo())), { responseStatus: 401 })
  t.equal(app.provider.endpoints.userinfo.requests.length - atLogin, 2)
  t.equal(app.refreshes(), 1)
})

t.test('one connection for everything', async (t) => {
  const dispatcher = new Agent({ connections: 1, pipelining: 1 })
  t.after(() => dispatcher.destroy())
  const app = await loggedInApp(t, { oauth: { dispatcher } })
  // Larger than what a socket holds by itself: left unread, it would keep the connection.
  const large = Buffer.alloc(300 * 1024, 'a')
  app.provider.api.routes['GET never'] = () => ({
    status: 401,
    body: large,
    headers: { 'www-authenticate': 'Bearer error="invalid_token"' }
  })

  t.test('many 401s in a row leave it free', async (t) => {
    for (let i = 0; i < 10; i++) {
      t.match(await rejection(app.run(oauth => oauth.get('never').bytes())), { responseStatus: 401 })
      const { statusCode, body } = await app.run(oauth => oauth.get('never'))
      t.equal(statusCode, 401)
      t.equal((await body.arrayBuffer()).byteLength, large.length)
    }
    t.match(await app.run(oauth => oauth.get('orders').json()), [{ id: 1 }])
  })

  t.test('a 401 is read before the refresh that may need its connection', async (t) => {
    app.provider.api.routes['GET once'] = ({ authorization }) => {
      first ??= authorization
      return authorization === first ? { status: 401, body: large } : { body: { fine: true } }
    }
    let first: string | undefined
    const { body } = await app.run(oauth => oauth.get('once'))
    t.strictSame(await body.json(), { fine: true })
  })

  t.test('a call that fails by its status leaves it free', async (t) => {
    app.provider.api.routes['GET broken'] = () => ({ status: 500, body: large })
    for (let i = 0; i < 5; i++) await rejection(app.run(oauth => oauth.get('broken').json()))
    t.match(await app.run(oauth => oauth.get('orders').json()), [{ id: 1 }])
  })

  t.test('a redirect leaves it free', async (t) => {
    for (let i = 0; i < 5; i++) {
      const answer = await app.run(oauth =>
        oauth.fetch(`redirect?to=${encodeURIComponent(`${app.provider.api.url}orders`)}`)
      )
      t.match(await answer.json(), [{ id: 1 }])
    }
  })
})
