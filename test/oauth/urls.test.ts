import t from 'tap'
import { codeChallenge } from '../../lib/oauth/pkce.ts'
import {
  appendQuery,
  isSecureUrl,
  secureEndpoint,
  setParameters,
  type RequestParameters
} from '../../lib/oauth/urls.ts'
import { randomToken, safeEqual, shortHash } from '../../lib/util/random.ts'

for (const [url, query, expected] of [
  ['https://a.example/x', 'a=1', 'https://a.example/x?a=1'],
  ['https://a.example/x?', 'a=1', 'https://a.example/x?a=1'],
  ['https://a.example/x?b=%7E+%c3%A9', 'a=1', 'https://a.example/x?b=%7E+%c3%A9&a=1'],
  ['https://a.example/x?b=2&', 'a=1', 'https://a.example/x?b=2&a=1'],
  ['https://a.example/x#f?g', 'a=1', 'https://a.example/x?a=1#f?g'],
  ['https://a.example/x?b#f', 'a=1', 'https://a.example/x?b&a=1#f'],
  ['https://a.example/x?b=2', '', 'https://a.example/x?b=2'],
  ['/path', 'a=1&a=2', '/path?a=1&a=2'],
  ['', 'a=1', '?a=1']
] as const) {
  t.test(`${url} and ${query} make ${expected}`, async (t) => {
    t.equal(appendQuery(url, new URLSearchParams(query)), expected)
  })
}

for (const [name, [params, expected]] of Object.entries<[RequestParameters | undefined, string]>({
  nothing: [undefined, 'a=1'],
  'a new name': [{ b: 'x y' }, 'a=1&b=x+y'],
  'a name that is there': [{ a: '2' }, 'a=2'],
  'a list': [{ a: [2, 3] }, 'a=2&a=3'],
  'falsy values': [{ b: 0, c: false, d: '' }, 'a=1&b=0&c=false&d='],
  'null and undefined, which leave what is there': [{ a: undefined, b: null }, 'a=1'],
  'an empty list, which takes it away': [{ a: [] }, ''],
  'a URLSearchParams': [new URLSearchParams('a=2&a=3&b=4'), 'a=2&a=3&b=4']
})) {
  t.test(`parameters: ${name}`, async (t) => {
    const target = new URLSearchParams('a=1')
    t.equal(setParameters(target, params), target)
    t.equal(target.toString(), expected)
  })
}

for (const [url, secure] of Object.entries({
  'https://as.example/': true,
  'https://localhost/': true,
  'http://localhost:3000/': true,
  'http://127.0.0.1/': true,
  'http://127.8.8.8/': true,
  'http://[::1]:80/': true,
  'http://2130706433/': true,
  'http://as.example/': false,
  'http://localhost.example/': false,
  'http://127.0.0.1.example/': false,
  'http://x.localhost/': false,
  'http://0.0.0.0/': false,
  'http://[::]/': false,
  'http://10.0.0.1/': false,
  'ws://localhost/': false,
  'ftp://localhost/': false
})) {
  t.test(`${url} ${secure ? 'may' : 'must not'} carry secrets`, async (t) => {
    t.equal(isSecureUrl(new URL(url)), secure)
    if (secure) t.equal(secureEndpoint(url, 'token_endpoint', 'acme', false).href, new URL(url).href)
    else {
      t.throws(() => secureEndpoint(url, 'token_endpoint', 'acme', false), {
        code: 'FST_OAUTH_INSECURE_TRANSPORT',
        statusCode: 500,
        provider: 'acme',
        message: /token_endpoint/
      })
    }
  })
}

t.test('allowInsecureRequests allows http, and nothing else', async (t) => {
  t.equal(secureEndpoint('http://as.internal/token', 'token_endpoint', 'acme', true).href, 'http://as.internal/token')
  t.throws(() => secureEndpoint('ftp://as.internal/token', 'token_endpoint', 'acme', true), {
    code: 'FST_OAUTH_INSECURE_TRANSPORT'
  })
})

t.test('a random token is 256 bits, and no two are the same', async (t) => {
  const tokens = Array.from({ length: 100 }, randomToken)
  for (const token of tokens) t.match(token, /^[\w-]{43}$/)
  t.equal(new Set(tokens).size, 100)
})

t.test('the code challenge is the specification\'s own', async (t) => {
  // RFC 7636, appendix B.
  t.equal(codeChallenge('dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk'), 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM')
})

t.test('a short hash is always the same and fits a cookie\'s name', async (t) => {
  t.equal(shortHash('a'), shortHash('a'))
  t.not(shortHash('a'), shortHash('b'))
  t.match(shortHash('a'), /^[\w-]{22}$/)
})

t.test('strings are compared whole', async (t) => {
  t.equal(safeEqual('abc', 'abc'), true)
  t.equal(safeEqual('', ''), true)
  for (const other of ['abd', 'ab', 'abcd', '', 'ABC', 'äbc']) t.equal(safeEqual('abc', other), false)
})
