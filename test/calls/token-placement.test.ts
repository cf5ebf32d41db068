import { inspect } from 'node:util'
import t from 'tap'
import type { OAuthError } from '../../lib/index.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { matchEach } from '../helpers/match-each.ts'
import { rejection } from '../helpers/rejection.ts'
import { startOutside } from '../helpers/outside.ts'

for (const tokenPlacement of ['query', 'body'] as const) {
  t.test(`an Authorization header of the caller's does not go out beside a token in the ${tokenPlacement}`, async t => {
    const { run, requests } = await loggedInApp(t, { provider: { tokenPlacement } })
    requests.length = 0
    await run(oauth => oauth.post('echo', { headers: { Authorization: 'Basic of-another-user' } }).json())
    matchEach(t, requests, [{ authorization: undefined, status: 200 }])
  })
}

t.test('a token in the query', async (t) => {
  const { run, requests, provider } = await loggedInApp(t, { provider: { tokenPlacement: 'query' } })
  const { accessToken } = await run(oauth => oauth.tokens())
  t.beforeEach(() => { requests.length = 0 })

  for (const [path, sent] of [
    ['echo', '/v1/echo?'],
    ['echo?a=%7E&b=c+d', '/v1/echo?a=%7E&b=c+d&'],
    ['echo?', '/v1/echo?'],
    ['echo#part', '/v1/echo?']
  ] as const) {
    t.test(`${path}: the rest of the URL stays byte for byte`, async (t) => {
      await run(oauth => oauth.get(path).json())
      t.equal(requests[0]?.url, `${sent}access_token=${accessToken}`)
      t.equal(requests[0]?.authorization, undefined)
    })
  }

  t.test('is there once after a 401', async (t) => {
    provider.expireAccessTokens()
    await run(oauth => oauth.get('orders?a=1').json())
    const { accessToken: newer } = await run(oauth => oauth.tokens())
    t.strictSame(
      requests.map(({ url, status }) => [url, status]),
      [[`/v1/orders?a=1&access_token=${accessToken}`, 401], [`/v1/orders?a=1&access_token=${newer}`, 200]]
    )
  })

  t.test('is in no error', async (t) => {
    const { accessToken } = await run(oauth => oauth.tokens())
    provider.api.routes['GET mirror'] = ({ url }) => ({ status: 404, body: `no route ${url}` })
    t.notMatch(inspect(await rejection(run(oauth => oauth.get('mirror').json())), { depth: Infinity }), accessToken)
  })
})

t.test('a token in the body', async (t) => {
  const { run, requests, provider } = await loggedInApp(t, { provider: { tokenPlacement: 'body' } })
  const { accessToken } = await run(oauth => oauth.tokens())
  t.beforeEach(() => { requests.length = 0 })

  t.test('joins a form', async (t) => {
    await run(oauth => oauth.post('orders', { body: new URLSearchParams('a=1&a=2') }).json())
    t.equal(requests[0]?.body, `a=1&a=2&access_token=${accessToken}`)
    t.equal(requests[0]?.authorization, undefined)
  })

  t.test('is a form by itself', async (t) => {
    await run(oauth => oauth.post('orders').json())
    t.equal(requests[0]?.body, `access_token=${accessToken}`)
    t.equal(requests[0]?.headers['content-type'], 'application/x-www-form-urlencoded')
  })

  t.test('is there once after a 401', async (t) => {
    provider.expireAccessTokens()
    await run(oauth => oauth.post('orders', { body: new URLSearchParams('a=1') }).json())
    t.equal(requests.length, 2)
    for (const { body } of requests) t.equal(new URLSearchParams(body).getAll('access_token').length, 1)
  })

  for (const [name, call] of Object.entries({
    'a GET': { method: 'GET' },
    JSON: { method: 'POST', json: { a: 1 } },
    'a stream': { method: 'POST', body: new Blob(['a']).stream() },
    text: { method: 'POST', body: 'a=1' }
  })) {
    t.test(`cannot be put into ${name}`, async (t) => {
      t.match(await rejection(run(oauth => oauth.request('echo', call).json())), { code: 'FST_OAUTH_INVALID_OPTIONS' })
      t.equal(requests.length, 0)
    })
  }
})

t.test('a token that stands where its type belongs is in no error', async (t) => {
  const { run } = await loggedInApp(t, {
    provider: { conform: members => ({ ...members, token_type: `Bearer ${String(members.access_token)}` }) }
  })
  const token = await run(async oauth => (await oauth.tokens()).accessToken)
  const { code, message } = await rejection(run(oauth => oauth.get('orders').json())) as OAuthError
  t.equal(code, 'FST_OAUTH_UNSUPPORTED_TOKEN_TYPE')
  t.notMatch(message, token.slice(0, 12))
})

t.test('a token that is no bearer token is not sent as one', async t => {
  const { run, requests, provider } = await loggedInApp(t, {
    provider: { conform: members => ({ ...members, token_type: 'DPoP' }) }
  })
  requests.length = 0
  for (const call of [
    () => run(oauth => oauth.get('orders')),
    () => run(oauth => oauth.get('orders').json()),
    () => run(oauth => oauth.fetch('orders'))
  ]) t.match(await rejection(call()), { code: 'FST_OAUTH_UNSUPPORTED_TOKEN_TYPE', provider: 'acme' })
  t.equal(requests.length, 0)
  t.strictSame(provider.errors, [])
})

t.test('the hook before a call', async t => {
  let hook: (request: {
    url: URL
    method: string
    headers: Record<string, unknown>
    body: unknown
  }) => unknown = () => {}
  const outside = await startOutside(t)
  const { run, requests, provider } = await loggedInApp(t, {
    provider: { hooks: { protectedRequest: request => hook(request) } }
  })
  t.beforeEach(() => {
    requests.length = 0
    hook = () => {}
  })

  t.test('sees what goes over the wire, the token included', async (t) => {
    const { accessToken } = await run(oauth => oauth.tokens())
    const seen: unknown[] = []
    hook = ({ url, method, headers, body }) => { seen.push([url.href, method, headers.authorization, body]) }
    await run(oauth => oauth.post('echo', { json: { a: 1 } }).json())
    t.strictSame(seen, [[`${provider.api.url}echo`, 'POST', `Bearer ${accessToken}`, '{"a":1}']])
  })

  t.test('may change everything, and is waited for', async (t) => {
    hook = async (request) => {
      await Promise.resolve()
      request.url.searchParams.set('b', '2')
      request.method = 'PUT'
      request.headers['x-own'] = 'yes'
      request.body = new URLSearchParams('c=3')
    }
    t.match(await run(oauth => oauth.post('echo?a=1').json()), {
      method: 'PUT',
      url: '/v1/echo?a=1&b=2',
      headers: { 'x-own': 'yes', 'content-type': 'application/x-www-form-urlencoded' },
      body: 'c=3'
    })
  })

  t.test('is asked again for a second try, with the new token and the first URL', async (t) => {
    provider.expireAccessTokens()
    const seen: unknown[] = []
    hook = ({ url, headers }) => {
      url.searchParams.append('b', '2')
      seen.push(headers.authorization)
    }
    t.match(await run(oauth => oauth.get('echo').json()), { url: '/v1/echo?b=2' })
    t.equal(new Set(seen).size, 2)
  })

  t.test('cannot take the token elsewhere', async t => {
    for (const elsewhere of [
      outside.url,
      new URL('/v10/', provider.api.url).href,
      provider.api.url.replace('http:', 'ftp:')
    ]) {
      hook = request => { request.url = new URL(elsewhere) }
      const { code } = await rejection(run(oauth => oauth.get('echo').json()))
      t.match(code, /FST_OAUTH_ORIGIN_NOT_ALLOWED|FST_OAUTH_INSECURE_TRANSPORT/)
      hook = request => { request.url.href = elsewhere }
      t.match(
        (await rejection(run(oauth => oauth.get('echo')))).code,
        /FST_OAUTH_ORIGIN_NOT_ALLOWED|FST_OAUTH_INSECURE_TRANSPORT/
      )
    }
    t.equal(requests.length, 0)
    t.strictSame(outside.seen, [])
  })

  t.test('what it throws is what the caller gets', async (t) => {
    const error = new Error('mine')
    hook = () => { throw error }
    t.equal(await rejection(run(oauth => oauth.get('echo').json())), error)
    hook = async () => { throw error }
    t.equal(await rejection(run(oauth => oauth.get('echo'))), error)
    t.equal(requests.length, 0)
  })

  t.test('it is there for fetch as well', async (t) => {
    hook = (request) => { request.headers['x-own'] = 'yes' }
    t.match(await (await run(oauth => oauth.fetch('echo'))).json(), { headers: { 'x-own': 'yes' } })
  })
})
