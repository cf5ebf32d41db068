import t from 'tap'
import { resolveResourceUrl } from '../../lib/calls/resource-url.ts'
import type { ProviderConfig } from '../../lib/providers/config.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { rejection } from '../helpers/rejection.ts'
import { listen } from '../helpers/listen.ts'

const config = (servers: string[], allowInsecureRequests = false) => {
  const resourceServers = servers.map(url => new URL(url))
  const resourceBases = resourceServers.map(({ href, origin, pathname }) => ({ href, origin, path: pathname }))
  return { name: 'acme', resourceServers, resourceBases, allowInsecureRequests } as unknown as ProviderConfig
}
const acme = config(['https://api.example/v1/', 'https://files.example/', 'https://api.example:8443/v2/'])
const resolve = (input: string | URL, to = acme) => {
  const { origin, path } = resolveResourceUrl(input, to)
  return origin + path
}

const allowed: Record<string, string> = {
  orders: 'https://api.example/v1/orders',
  'orders/1': 'https://api.example/v1/orders/1',
  'orders/': 'https://api.example/v1/orders/',
  'orders//1': 'https://api.example/v1/orders//1',
  '': 'https://api.example/v1/',
  '?page=2': 'https://api.example/v1/?page=2',
  'orders?page=2&q=a%20b': 'https://api.example/v1/orders?page=2&q=a%20b',
  'orders?next=https://elsewhere.example/../x': 'https://api.example/v1/orders?next=https://elsewhere.example/../x',
  'orders?q=%2f%5c\\': 'https://api.example/v1/orders?q=%2f%5c\\',
  'orders?q=a b': 'https://api.example/v1/orders?q=a%20b',
  'orders#part': 'https://api.example/v1/orders',
  'search/a b': 'https://api.example/v1/search/a%20b',
  'Grüße/€': 'https://api.example/v1/Gr%C3%BC%C3%9Fe/%E2%82%AC',
  'users/@me': 'https://api.example/v1/users/@me',
  'files/report.v1..pdf': 'https://api.example/v1/files/report.v1..pdf',
  'files/...': 'https://api.example/v1/files/...',
  '.hidden': 'https://api.example/v1/.hidden',
  'a;b=c': 'https://api.example/v1/a;b=c',
  '50%25': 'https://api.example/v1/50%25',
  '/v1/orders': 'https://api.example/v1/orders',
  'https://api.example/v1/orders': 'https://api.example/v1/orders',
  'https://api.example/v1': 'https://api.example/v1',
  'HTTPS://API.EXAMPLE/v1/orders': 'https://api.example/v1/orders',
  'https://api.example:443/v1/orders': 'https://api.example/v1/orders',
  'https://api.example:8443/v2/orders': 'https://api.example:8443/v2/orders',
  'https://files.example': 'https://files.example/',
  'https://files.example/any/where': 'https://files.example/any/where'
}
for (const [input, expected] of Object.entries(allowed)) {
  t.test(`${JSON.stringify(input)} is covered`, async (t) => {
    t.equal(resolve(input), expected)
    if (URL.canParse(input)) t.equal(resolve(new URL(input)), expected)
  })
}

const suspicious = [
  '..', '../admin', './orders', 'orders/..', 'orders/../../admin', 'orders/.', 'orders/./1', '/v1/../admin',
  '%2e%2e/admin', '%2E%2E/admin', '.%2e/admin', 'orders/%2e%2e/%2e%2e/admin', '%2e/orders', '%252e%252e/admin',
  '%25252e./admin', '..;/admin', '..;a=b/admin', 'orders/..;/..;/admin', 'https:../v1/orders',
  'https:%252e%252e/admin', 'HTTPS:..;/admin', 'https:./orders', '..%3b/admin', '..%253Ba=b/admin',
  '..%00/admin', 'orders/..%0d%0a/admin', '.%2e%09', 'orders%2f..%2fadmin', 'orders%2F1', '%2f%2fevil.example',
  '..%2fadmin', 'orders%5c1', 'orders%5C..%5cadmin', 'orders%252f1', '\\', '\\evil.example', '/\\evil.example',
  '\\\\evil.example', 'orders\\..\\admin', 'https:\\\\evil.example', 'https://api.example\\@evil.example/v1/',
  '//evil.example', '//evil.example/v1/', '//api.example/v1/orders', '///evil.example', '////evil.example',
  '\t//evil.example', '/\t/evil.example', 'or\tders', 'orders\n', '\norders', 'orders\r\nHost: evil.example',
  'orders?a=\r\nb', 'orders?a=\tb', 'orders\u0000', '\u0000orders', 'orders\u007f', ' //evil.example',
  ' orders', 'orders ', 'ht\ntps://evil.example', 'https://api.example/v1/../v2/',
  'https://api.example/v1/%2e%2e/v2/', 'https://api.example/v1/x%2fy'
]
for (const input of suspicious) {
  t.test(`${JSON.stringify(input)} is refused as ambiguous`, async t => {
    t.throws(() => resolve(input), {
      code: 'FST_OAUTH_ORIGIN_NOT_ALLOWED',
      statusCode: 500,
      reason: 'suspicious_url',
      provider: 'acme'
    })
  })
}

const uncovered = [
  'https://evil.example/',
  'https://evil.example/v1/orders',
  'https://api.example.evil/v1/orders',
  'https://api.example.evil.example/v1/',
  'https://xapi.example/v1/',
  'https://sub.api.example/v1/',
  'https://api.example./v1/orders',
  'https://apiXexample/v1/',
  'https://api.example@evil.example/v1/orders',
  'https://api.example:443@evil.example/v1/',
  'https://user@api.example/v1/orders',
  'https://user:word@api.example/v1/orders',
  'https://:word@api.example/v1/',
  'https://api.example:444/v1/orders',
  'https://api.example:80/v1/orders',
  'https://api.example:8443/v1/orders',
  'https://api.example/v2/orders',
  'https://api.example/',
  'https://api.example',
  'https://api.example/v10',
  'https://api.example/v10/orders',
  'https://api.example/v1orders',
  'https://api.example/V1/orders',
  'https://api.example/x/v1/',
  'https://api.example/?/v1/',
  'https://api.example/#/v1/',
  '/',
  '/orders',
  '/v10',
  '/v2/orders',
  'https:/orders'
]
for (const input of uncovered) {
  t.test(`${JSON.stringify(input)} is not covered`, async t => {
    t.throws(() => resolve(input), {
      code: 'FST_OAUTH_ORIGIN_NOT_ALLOWED',
      statusCode: 500,
      reason: 'not_covered',
      provider: 'acme'
    })
    if (URL.canParse(input)) t.throws(() => resolve(new URL(input)), { code: 'FST_OAUTH_ORIGIN_NOT_ALLOWED' })
  })
}

const insecure = [
  'http://api.example/v1/orders', 'http://api.example:443/v1/orders', 'http://evil.example/',
  'ftp://api.example/v1/', 'file:///etc/passwd', 'javascript:alert(1)', 'data:text/plain,a',
  'blob:https://api.example/v1/', 'ws://api.example/v1/'
]
for (const input of insecure) {
  t.test(`${JSON.stringify(input)} would not be encrypted`, async (t) => {
    t.throws(() => resolve(input), { code: 'FST_OAUTH_INSECURE_TRANSPORT', statusCode: 500, provider: 'acme' })
  })
}

t.test('with allowInsecureRequests plain http is allowed where it is listed, and no other scheme', async (t) => {
  const inside = config(['http://api.internal/v1/'], true)
  t.equal(resolve('orders', inside), 'http://api.internal/v1/orders')
  t.throws(() => resolve('http://elsewhere.internal/v1/', inside), { code: 'FST_OAUTH_ORIGIN_NOT_ALLOWED' })
  t.throws(() => resolve('ftp://api.internal/v1/', inside), { code: 'FST_OAUTH_INSECURE_TRANSPORT' })
})

t.test('loopback is allowed without', async (t) => {
  const local = config(['http://localhost:3000/', 'http://127.0.0.1:3000/', 'http://[::1]:3000/'])
  for (const host of ['localhost', '127.0.0.1', '[::1]']) {
    t.equal(resolve(`http://${host}:3000/x`, local), `http://${host}:3000/x`)
  }
  t.throws(() => resolve('http://localhost.evil.example:3000/', local), { code: 'FST_OAUTH_INSECURE_TRANSPORT' })
  t.throws(() => resolve('http://127.0.0.1.evil.example:3000/', local), { code: 'FST_OAUTH_INSECURE_TRANSPORT' })
})

for (const input of ['http://', 'https://', 'https://[', 'https://a b/', 'https://api.example:99999/v1/']) {
  t.test(`${JSON.stringify(input)} is no URL`, async (t) => {
    t.throws(() => resolve(input), { code: 'FST_OAUTH_ORIGIN_NOT_ALLOWED', reason: 'invalid_url' })
  })
}

for (const input of [undefined, null, 42, {}, new Request('https://api.example/v1/')]) {
  t.test(`${String(input)} is no URL`, async (t) => {
    t.throws(() => resolve(input as unknown as string), { code: 'FST_OAUTH_ORIGIN_NOT_ALLOWED', reason: 'invalid_url' })
  })
}

t.test('the error about a path from the root says how to write it', async (t) => {
  t.throws(() => resolve('/orders'), { message: /leave the slash away/ })
  t.notMatch((await rejection((async () => resolve('https://evil.example/'))())).message, /slash/)
})

t.test('an error names the origin, and nothing that may be secret', async (t) => {
  const { message } = await rejection((async () => resolve('https://evil.example/secret-path?token=secret'))())
  t.match(message, 'https://evil.example')
  t.notMatch(message, /secret/)
})

t.test('through an app', async (t) => {
  const { run, requests, provider } = await loggedInApp(t)
  const other = await listen((_request, response) => response.end('{}'))
  t.after(() => other.close())
  let asked = 0
  other.server.on('request', () => { asked++ })
  const { port } = new URL(provider.api.url)

  for (const input of [
    `http://127.0.0.1:${other.port}/v1/orders`,
    `http://127.0.0.1:${port}@127.0.0.1:${other.port}/v1/`,
    `//127.0.0.1:${other.port}/v1/`,
    `/\\127.0.0.1:${other.port}/`,
    `http://localhost:${port}/v1/orders`,
    '../admin',
    '%2e%2e/admin',
    '/v10/orders',
    new URL('/admin', provider.api.url)
  ]) {
    t.test(`${String(input)} is refused by every way to call, and nothing is sent`, async (t) => {
      requests.length = 0
      for (const error of [
        await rejection(run(oauth => oauth.get(input))),
        await rejection(run(oauth => oauth.post(input, { json: 1 }).json())),
        await rejection(run(oauth => oauth.request(input).text())),
        await rejection(run(oauth => oauth.fetch(input)))
      ]) t.match(error, { code: 'FST_OAUTH_ORIGIN_NOT_ALLOWED', statusCode: 500, provider: 'acme' })
      t.equal(requests.length, 0)
      t.equal(asked, 0)
    })
  }

  t.test('withholdToken goes anywhere, without the token and with what the caller has in its place', async (t) => {
    const seen: unknown[] = []
    other.server.on('request', ({ headers }) => { seen.push(headers.authorization) })
    const url = `http://127.0.0.1:${other.port}/`
    t.strictSame(await run(oauth => oauth.get(url, { withholdToken: true }).json()), {})
    t.strictSame(
      await run(oauth => oauth.get(url, { withholdToken: true, headers: { Authorization: 'mine' } }).json()),
      {}
    )
    t.strictSame(seen, [undefined, 'mine'])
  })
})

t.test('a Host header of the caller\'s does not take the token to another virtual server', async (t) => {
  const { run, requests, provider } = await loggedInApp(t)
  requests.length = 0
  const headers = { Host: 'evil.example' }
  await run(oauth => oauth.get('orders', { headers }).json())
  await run(oauth => oauth.get('orders', { headers: Object.entries(headers) }))
  await (await run(oauth => oauth.fetch('orders', { headers }))).text()
  t.strictSame(requests.map(request => request.headers.host), Array<string>(3).fill(new URL(provider.api.url).host))
})

for (const slash of ['', '/']) {
  t.test(`an entry that ends with "${slash}" covers its own segments, not longer ones that begin alike`, async (t) => {
    const { run, requests, provider } = await loggedInApp(t, {
      provider: ({ providerOptions: { resourceServers } }) => ({
        resourceServers: [String(resourceServers![0]).replace(/\/$/, slash)]
      })
    })
    requests.length = 0
    const { origin } = new URL(provider.api.url)
    t.match(await run(oauth => oauth.get('orders').json()), [{ id: 1 }])
    await run(oauth => oauth.get(`${origin}/v1`))
    for (const url of [
      `${origin}/v10`,
      `${origin}/v10/orders`,
      `${origin}/v1.evil/`,
      `${origin}/v1;a/`,
      `${origin}/v1%20/`,
      `${origin}/`
    ]) {
      t.match(await rejection(run(oauth => oauth.get(url))), {
        code: 'FST_OAUTH_ORIGIN_NOT_ALLOWED',
        reason: 'not_covered'
      })
      t.match(await rejection(run(oauth => oauth.fetch(url))), {
        code: 'FST_OAUTH_ORIGIN_NOT_ALLOWED',
        reason: 'not_covered'
      })
    }
    t.strictSame(requests.map(({ url }) => url), ['/v1/orders', '/v1'])
  })
}

t.test('without resource servers', async (t) => {
  const { run, provider } = await loggedInApp(t, { provider: { resourceServers: [] } })
  t.match(await run(oauth => oauth.userinfo()), { sub: 'alice' }, 'userinfo works')
  for (const input of ['orders', '/v1/orders', '']) {
    t.match(await rejection(run(oauth => oauth.get(input))), {
      code: 'FST_OAUTH_ORIGIN_NOT_ALLOWED',
      reason: 'invalid_url',
      message: /resourceServers/
    })
  }
  for (const input of [`${provider.api.url}orders`, `${provider.issuer}/me`]) {
    t.match(await rejection(run(oauth => oauth.get(input).json())), {
      code: 'FST_OAUTH_ORIGIN_NOT_ALLOWED',
      reason: 'not_covered'
    })
    t.match(await rejection(run(oauth => oauth.fetch(input))), {
      code: 'FST_OAUTH_ORIGIN_NOT_ALLOWED',
      reason: 'not_covered'
    })
  }
})
