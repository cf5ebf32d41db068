import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { MockAgent } from 'undici'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { matchEach } from '../helpers/match-each.ts'
import { rejection } from '../helpers/rejection.ts'
import { startOutside } from '../helpers/outside.ts'

// fetch alone follows redirects.
t.test('redirects', async (t) => {
  const outside = await startOutside(t, (request, response) => {
    const to = new URL(request.url!, 'http://outside').searchParams.get('to')
    if (to === null) response.end('{"outside":true}')
    else response.writeHead(307, { location: to }).end()
  })
  const listed = await startOutside(t)
  const { run, provider, requests } = await loggedInApp(t, {
    provider: ({ api }) => ({ resourceServers: [api.url, `${listed.url}data/`] })
  })
  const { api } = provider
  t.beforeEach(() => {
    for (const list of [requests, outside.seen, listed.seen]) list.length = 0
  })

  const to = (url: string, status = 302) => `redirect?status=${status}&to=${encodeURIComponent(url)}`
  const follow = async (path: string, init?: RequestInit) => await run(oauth => oauth.fetch(path, init))
  const ours = {
    authorization: 'mine',
    cookie: 'a=b',
    'x-api-key': 'key',
    dpop: 'proof',
    'x-user': 'alice',
    'proxy-authorization': 'Basic YTpi',
    referer: 'https://app.example/alice'
  }

  for (const status of [301, 302, 303, 307, 308]) {
    t.test(`a ${status} within the list is followed, with the token`, async (t) => {
      const response = await follow(to(`${api.url}me`, status))
      t.match(await response.json(), { sub: 'alice' })
      t.equal(response.url, `${api.url}me`)
      t.equal(response.redirected, true)
      t.equal(requests.length, 2)
      t.equal(requests[0]?.authorization, requests[1]?.authorization)
    })

    t.test(`a ${status} that leaves the list is followed, without anything that names the user`, async t => {
      const response = await follow(to(`${outside.url}x?a=1`, status), {
        headers: { ...ours, accept: 'text/x-own', 'accept-language': 'de' }
      })
      t.strictSame(await response.json(), { outside: true })
      t.equal(response.url, `${outside.url}x?a=1`)
      const [{ headers, url } = { headers: {}, url: '' }] = outside.seen
      t.equal(url, '/x?a=1')
      t.match(headers, { accept: 'text/x-own', 'accept-language': 'de' })
      for (const name of Object.keys(ours)) t.notOk(name in headers, name)
    })
  }

  t.test('a relative redirect is followed', async (t) => {
    t.match(await (await follow(to('me'))).json(), { sub: 'alice' })
    t.match(await (await follow(to('/v1/me'))).json(), { sub: 'alice' })
    t.match(await (await follow(to('?to=me'))).json(), { sub: 'alice' })
  })

  t.test('a redirect to another path of the same server leaves the list as well', async (t) => {
    await (await follow(to('/v10/me'))).text()
    await (await follow(to('/admin'))).text()
    await (await follow(to('../admin'))).text()
    await (await follow(to('%2e%2e/admin'))).text()
    await (await follow(to('x%2f..%2f..%2fadmin'))).text()
    const others = requests.filter(({ url }) => !url.startsWith('/v1/redirect'))
    t.strictSame(others.map(({ url }) => url), ['/v10/me', '/admin', '/admin', '/admin', '/v1/x%2f..%2f..%2fadmin'])
    t.ok(others.every(({ authorization }) => authorization === undefined))
  })

  t.test('credentials in a redirect do not make it one of the list', async (t) => {
    await (await follow(to(api.url.replace('://', '://user:word@') + 'me'))).text()
    t.equal(requests.at(-1)?.authorization, undefined)
  })

  t.test('a redirect that comes back to the list brings no token', async (t) => {
    const response = await follow(to(`${outside.url}?to=${encodeURIComponent(`${api.url}me`)}`), { headers: ours })
    t.equal(response.status, 401)
    t.equal(requests.length, 2)
    for (const name of Object.keys(ours)) t.notOk(name in requests[1]!.headers, name)
  })

  t.test('another server of the list gets the token, and not what was meant for the first', async (t) => {
    const response = await follow(to(`${listed.url}data/x`), { headers: { ...ours, host: new URL(api.url).host } })
    await response.text()
    const [{ headers } = { headers: {} as Record<string, string> }] = listed.seen
    t.match(headers.authorization, /^Bearer /)
    t.equal(headers.host, new URL(listed.url).host)
    t.notOk('cookie' in headers || 'proxy-authorization' in headers)
    t.equal(headers['x-user'], 'alice')
  })

  t.test('a path of another server that is not listed gets nothing', async (t) => {
    await (await follow(to(`${listed.url}other/x`), { headers: ours })).text()
    t.notOk('authorization' in listed.seen[0]!.headers)
  })

  t.test('a token that has to be refreshed on the way is', async (t) => {
    provider.expireAccessTokens()
    t.match(await (await follow(to(`${api.url}me`))).json(), { sub: 'alice' })
    t.strictSame(requests.map(({ status }) => status), [401, 302, 200])
  })

  for (const [status, method, then] of [
    [301, 'POST', 'GET'],
    [302, 'POST', 'GET'],
    [303, 'POST', 'GET'],
    [303, 'PUT', 'GET'],
    [303, 'DELETE', 'GET'],
    [301, 'PUT', 'PUT'],
    [302, 'DELETE', 'DELETE'],
    [307, 'POST', 'POST'],
    [308, 'POST', 'POST'],
    [307, 'PATCH', 'PATCH']
  ] as const) {
    t.test(`a ${method} goes on as ${then} after a ${status}`, async (t) => {
      const headers = { 'content-type': 'text/x-own', 'content-language': 'de', 'x-user': 'alice' }
      const response = await follow(to(`${api.url}echo`, status), { method, body: 'some bytes', headers })
      const echo = await response.json() as { method: string, body: string, headers: Record<string, string> }
      t.equal(echo.method, then)
      t.equal(echo.headers['x-user'], 'alice')
      t.equal(echo.body, then === 'GET' ? '' : 'some bytes')
      t.equal(echo.headers['content-type'], then === 'GET' ? undefined : 'text/x-own')
      t.equal(echo.headers['content-language'], then === 'GET' ? undefined : 'de')
    })
  }

  for (const status of [301, 303, 307]) {
    t.test(`a HEAD stays one after a ${status}`, async (t) => {
      await follow(to(`${api.url}orders`, status), { method: 'HEAD' })
      t.strictSame(requests.map(({ method }) => method), ['HEAD', 'HEAD'])
    })
  }

  t.test('a body that leaves the list keeps its type', async t => {
    await (
      await follow(to(outside.url, 307), {
        method: 'POST',
        body: '{}',
        headers: { 'content-type': 'application/json', ...ours }
      })
    ).text()
    matchEach(t, outside.seen, [{ method: 'POST', body: '{}', headers: { 'content-type': 'application/json' } }])
    t.notOk('x-api-key' in outside.seen[0]!.headers)
  })

  t.test('a stream cannot be sent to the next URL', async t => {
    const error = await rejection(
      follow(to(`${api.url}echo`, 307), {
        method: 'POST',
        body: new Blob(['a']).stream(),
        duplex: 'half'
      } as RequestInit)
    )
    t.ok(error instanceof TypeError)
    t.match(error.message, /stream/)
    const response = await follow(to(`${api.url}echo`, 303), {
      method: 'POST',
      body: new Blob(['a']).stream(),
      duplex: 'half'
    } as RequestInit)
    t.match(await response.json(), { method: 'GET' })
  })

  t.test('redirect: manual returns the redirect', async (t) => {
    const response = await follow(to(`${api.url}me`), { redirect: 'manual' })
    t.equal(response.status, 302)
    t.equal(response.headers.get('location'), `${api.url}me`)
    t.equal(response.redirected, false)
    t.equal(requests.length, 1)
    await follow(`${api.url}${to(`${api.url}me`)}`, { redirect: 'manual' })
    const asked = await run(oauth =>
      oauth.fetch(new Request(`${api.url}${to(`${api.url}me`)}`, { redirect: 'manual' }))
    )
    t.equal(asked.status, 302)
  })

  t.test('redirect: error refuses it', async (t) => {
    t.ok(await rejection(follow(to(`${api.url}me`), { redirect: 'error' })) instanceof TypeError)
    t.equal(requests.length, 1)
    t.equal((await follow('orders', { redirect: 'error' })).status, 200)
  })

  t.test('20 redirects are followed, and no more', async (t) => {
    api.routes['GET count'] = ({ query }) => {
      const left = Number(query.get('left'))
      return left === 0 ? { body: { there: true } } : { status: 302, headers: { location: `count?left=${left - 1}` } }
    }
    t.strictSame(await (await follow('count?left=20')).json(), { there: true })
    t.equal(requests.length, 21)
    requests.length = 0
    t.ok(await rejection(follow('count?left=21')) instanceof TypeError)
    t.equal(requests.length, 21)
    t.ok(await rejection(follow(to('?status=302&to='))) instanceof TypeError, 'a circle')
  })

  t.test('a 3xx without a location is returned as it is', async (t) => {
    const response = await follow('status/302')
    t.equal(response.status, 302)
    t.equal(response.redirected, false)
    t.equal((await follow('status/300')).status, 300)
    t.equal((await follow('status/304')).status, 304)
  })

  t.test('a location that is no URL is an error', async (t) => {
    t.ok(await rejection(follow(to('http://['))) instanceof TypeError)
  })

  for (const location of [
    'ftp://127.0.0.1/', 'file:///etc/passwd', 'data:text/plain,a', 'javascript:alert(1)', 'http://192.0.2.1/'
  ]) {
    t.test(`a redirect to ${location} is refused`, async t => {
      t.match(await rejection(follow(to(location))), { code: 'FST_OAUTH_INSECURE_TRANSPORT', provider: 'acme' })
      t.equal(requests.length, 1)
    })
  }

  t.test('a redirect to a server that is down is a typed error', async (t) => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    server.close()
    await once(server, 'close')
    t.match(await rejection(follow(to(`http://127.0.0.1:${port}/`))), {
      code: 'FST_OAUTH_API_UNAVAILABLE',
      provider: 'acme'
    })
  })

  t.test('a signal ends it outside of the list, too', async (t) => {
    const reason = new Error('enough')
    const controller = new AbortController()
    const holding = await startOutside(t, () => controller.abort(reason))
    t.equal(await rejection(follow(to(holding.url), { signal: controller.signal })), reason)
  })
})

t.test('https', async (t) => {
  const agent = new MockAgent()
  t.after(() => agent.close())
  agent.enableNetConnect(/^127\.0\.0\.1/)
  const { run } = await loggedInApp(t, {
    oauth: { dispatcher: agent },
    provider: { resourceServers: ['https://api.example/v1/'] }
  })
  const api = agent.get('https://api.example')

  t.test('a redirect from https to http is refused', async (t) => {
    api.intercept({ path: '/v1/a' }).reply(302, '', { headers: { location: 'http://api.example/v1/b' } })
    t.match(await rejection(run(oauth => oauth.fetch('a'))), { code: 'FST_OAUTH_INSECURE_TRANSPORT' })
    api.intercept({ path: '/v1/a' }).reply(302, '', { headers: { location: 'http://other.example/' } })
    t.match(await rejection(run(oauth => oauth.fetch('a'))), { code: 'FST_OAUTH_INSECURE_TRANSPORT' })
  })

  for (const location of [
    'https://api.example.evil/v1/b',
    'https://sub.api.example/v1/b',
    'https://api.example:8443/v1/b',
    '//api.example@evil.example/v1/b',
    'https://api.example/v10/b',
    'https://api.example/v1/%252e%252e/admin',
    'https://api.example/v1/..;/admin',
    'https://api.example/v1/x%2f..%2f..%2fadmin'
  ]) {
    t.test(`a redirect to ${location} gets no token`, async t => {
      api.intercept({ path: '/v1/a' }).reply(302, '', { headers: { location } })
      const to = new URL(location, 'https://api.example')
      let seen: Record<string, string> | undefined
      agent.get(to.origin).intercept({ path: to.pathname }).reply(200, ({ headers }) => {
        seen = headers as Record<string, string>
        return '{}'
      })
      await (await run(oauth => oauth.fetch('a'))).text()
      t.ok(seen !== undefined)
      t.notOk('authorization' in seen!)
    })
  }
})

t.test('a redirect does not lead from the Internet into a private network or onto this machine', async (t) => {
  const inside = await startOutside(t)
  const agent = new MockAgent()
  t.after(() => agent.close())
  agent.enableNetConnect(/^(?:127\.0\.0\.1|localhost|\[::1\])/)
  const { run } = await loggedInApp(t, {
    oauth: { dispatcher: agent }, provider: { resourceServers: ['https://api.example/v1/'], allowInsecureRequests: true }
  })
  const redirect = (location: string, from = 'https://api.example', path = '/v1/a') =>
    agent.get(from).intercept({ path, method: 'POST' }).reply(307, '', { headers: { location } })
  const post = () => run(oauth => oauth.fetch('a', { method: 'POST', body: 'of the user' }))
  const { port } = new URL(inside.url)

  for (const host of [
    `127.0.0.1:${port}`,
    `localhost:${port}`,
    `LOCALHOST.:${port}`,
    `api.localhost:${port}`,
    `2130706433:${port}`,
    `0x7f000001:${port}`,
    `0177.0.0.1:${port}`,
    `127.1:${port}`,
    `127.0.0.1.:${port}`,
    `0:${port}`,
    `0.0.0.0:${port}`,
    `[::1]:${port}`,
    `[::]:${port}`,
    `[::ffff:127.0.0.1]:${port}`,
    `[::ffff:7f00:1]:${port}`,
    `[::127.0.0.1]:${port}`,
    `[64:ff9b::127.0.0.1]:${port}`,
    '10.1.2.3',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.0.1',
    '169.254.169.254',
    '2852039166',
    '100.64.0.1',
    '[::ffff:10.0.0.1]',
    '[::ffff:a9fe:a9fe]',
    '[fe80::1]',
    '[fd00::1]',
    '[fec0::1]',
    '[64:ff9b::10.0.0.1]',
    '255.255.255.255',
    '224.0.0.1',
    `[::ffff:0:127.0.0.1]:${port}`,
    'localhost.localdomain',
    'wiki.corp',
    'nas.lan',
    'nas.home',
    'wiki.intranet',
    'redis',
    'printer.local',
    'metadata.google.internal',
    'metadata.google.internal.',
    'router.home.arpa'
  ]) {
    for (const scheme of ['http', 'https']) {
      t.test(`${scheme}://${host}`, async (t) => {
        redirect(`${scheme}://${host}/take`)
        t.match(await rejection(post()), {
          code: 'FST_OAUTH_ORIGIN_NOT_ALLOWED',
          reason: 'redirect_inside',
          provider: 'acme'
        })
      })
    }
  }

  t.test('nor by way of another server, nor to an API of the list that is inside', async (t) => {
    redirect('https://other.example/x')
    redirect(inside.url, 'https://other.example', '/x')
    t.match(await rejection(post()), { reason: 'redirect_inside' })
  })

  t.test('nor to plain http, where the provider is allowed that', async (t) => {
    redirect('http://other.example/x')
    t.match(await rejection(post()), { code: 'FST_OAUTH_INSECURE_TRANSPORT', reason: 'redirect_downgrade' })
  })

  for (const host of [
    'other.example', '93.184.216.34', '172.32.0.1', '11.0.0.1', '[2606:2800:220:1::1]', 'localhost.example',
    'internal.example'
  ]) {
    t.test(`to another public server it is followed, without the user's name: ${host}`, async t => {
      redirect(`https://${host}/x`)
      let seen: unknown
      agent.get(`https://${host}`).intercept({ path: '/x', method: 'POST' }).reply(200, ({ headers, body }) => {
        seen = { body, named: 'authorization' in headers! }
        return 'public'
      })
      t.equal(await (await post()).text(), 'public')
      t.strictSame(seen, { body: 'of the user', named: false })
    })
  }

  t.test('with redirect: manual the caller gets the redirect', async (t) => {
    agent.get('https://api.example').intercept({ path: '/v1/a' }).reply(302, '', { headers: { location: inside.url } })
    t.equal((await run(oauth => oauth.fetch('a', { redirect: 'manual' }))).status, 302)
  })
  await t.test('nothing was asked inside', async (t) => { t.strictSame(inside.seen, []) })
})

t.test('a redirect to an API of the list is followed with the token, wherever both are', async (t) => {
  const agent = new MockAgent()
  t.after(() => agent.close())
  agent.enableNetConnect(/^127\.0\.0\.1/)
  const { run, requests, provider } = await loggedInApp(t, {
    oauth: { dispatcher: agent }, provider: ({ api }) => ({ resourceServers: ['https://api.example/v1/', api.url] })
  })
  requests.length = 0
  agent
    .get('https://api.example')
    .intercept({ path: '/v1/a' })
    .reply(307, '', { headers: { location: `${provider.api.url}orders` } })
  t.match(await (await run(oauth => oauth.fetch('a'))).json(), [{ id: 1 }])
  matchEach(t, requests, [{ url: '/v1/orders', authorization: /^Bearer / }])
})

t.test('a token in the query', async (t) => {
  const outside = await startOutside(t)
  const { run, provider, requests } = await loggedInApp(t, { provider: { tokenPlacement: 'query' } })
  const { api } = provider
  // A server that repeats the query it was asked with.
  api.routes['GET moved'] = ({ url, query }) => ({
    status: 302,
    headers: { location: query.get('to') + new URL(url, api.url).search }
  })
  const { accessToken } = await run(oauth => oauth.tokens())

  t.test('is not in the response\'s URL', async (t) => {
    const response = await run(oauth => oauth.fetch('orders?a=%7E'))
    t.equal(response.url, `${api.url}orders?a=%7E`)
    await response.text()
    t.equal(requests.at(-1)?.url, `/v1/orders?a=%7E&access_token=${accessToken}`)
    t.equal(requests.at(-1)?.authorization, undefined)
  })

  t.test('is there once after a redirect', async (t) => {
    const response = await run(oauth => oauth.fetch('moved?to=/v1/me&b=2'))
    t.match(await response.json(), { sub: 'alice' })
    t.equal(response.url, `${api.url}me?to=/v1/me&b=2`)
    t.equal(requests.at(-1)?.url, `/v1/me?to=/v1/me&b=2&access_token=${accessToken}`)
  })

  t.test('does not leave the list with a redirect that repeats it', async (t) => {
    const response = await run(oauth => oauth.fetch(`moved?to=${outside.url}`))
    await response.text()
    t.equal(outside.seen.length, 1)
    t.notMatch(JSON.stringify(outside.seen), accessToken)
    t.notMatch(response.url, accessToken)
  })
})
