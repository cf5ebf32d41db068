import t from 'tap'
import {
  buildAuthorizationUrl, prepareAuthorizationUrl, type AuthorizationRequest
} from '../../lib/oauth/authorization-request.ts'

const endpoint = 'https://as.example/authorize'
const request: AuthorizationRequest = { clientId: 'cid', scope: [], state: 's' }
const build = (over: Partial<AuthorizationRequest> = {}, to = endpoint) =>
  buildAuthorizationUrl(to, { ...request, ...over })
const pairs = (url: string) => [...new URL(url).searchParams]

t.test('the fewest parameters', async (t) => {
  t.equal(build(), `${endpoint}?response_type=code&client_id=cid&state=s`)
})

t.test('every parameter', async t => {
  t.strictSame(
    pairs(
      build({
        responseType: 'id_token token',
        redirectUri: 'https://app.example/cb?x=1&y=2',
        scope: ['openid', 'https://x.y/z', 'é'],
        nonce: 'n',
        responseMode: 'form_post',
        codeVerifier: 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk'
      })
    ),
    [
      ['response_type', 'id_token token'],
      ['client_id', 'cid'],
      ['redirect_uri', 'https://app.example/cb?x=1&y=2'],
      ['scope', 'openid https://x.y/z é'],
      ['state', 's'],
      // RFC 7636, appendix B.
      ['code_challenge', 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'],
      ['code_challenge_method', 'S256'],
      ['nonce', 'n'],
      ['response_mode', 'form_post']
    ]
  )
})

t.test('the verifier itself is not in the URL', async (t) => {
  t.notMatch(build({ codeVerifier: 'the-verifier' }), 'the-verifier')
})

t.test('a scope is encoded in UTF-8', async (t) => {
  t.match(build({ scope: ['https://x.y/z', 'a:b', 'é'] }), 'scope=https%3A%2F%2Fx.y%2Fz+a%3Ab+%C3%A9')
})

t.test("an endpoint's own query stays byte for byte", async t => {
  for (const query of [
    'claims=%7B%22userinfo%22%3Anull%7D&q=%7E', 'a=b+c%20d', 'a=%c3%a9', 'flag', 'a=1&a=2', 'tenant=x&'
  ]) {
    const url = build({}, `${endpoint}?${query}`)
    t.equal(url, `${endpoint}?${query}${query.endsWith('&') ? '' : '&'}response_type=code&client_id=cid&state=s`)
  }
  t.equal(build({}, `${endpoint}?`), `${endpoint}?response_type=code&client_id=cid&state=s`)
})

for (const [name, params, expected] of [
  [
    '0, false and an empty string stay',
    { max_age: 0, flag: false, empty: '' },
    [['max_age', '0'], ['flag', 'false'], ['empty', '']]
  ],
  ['null and undefined are left out', { a: null, b: undefined, c: 1 }, [['c', '1']]],
  [
    'a list is repeated',
    { resource: ['https://a.example/', 'https://b.example/'] },
    [['resource', 'https://a.example/'], ['resource', 'https://b.example/']]
  ],
  [
    'what is repeated in a URLSearchParams stays repeated',
    new URLSearchParams([['resource', 'a'], ['x', '1'], ['resource', 'b']]),
    [['resource', 'a'], ['x', '1'], ['resource', 'b']]
  ],
  ['an empty list is nothing', { resource: [] }, []],
  ['an odd character is encoded', { login_hint: 'a b&c=d#é' }, [['login_hint', 'a b&c=d#é']]]
] as const) {
  t.test(`further parameters: ${name}`, async (t) => {
    t.strictSame(pairs(build({ params })).slice(3), expected)
  })
}

t.test('further parameters may replace the scope', async (t) => {
  t.strictSame(new URL(build({ scope: ['a'], params: { scope: 'b' } })).searchParams.getAll('scope'), ['b'])
})

for (const name of [
  'response_type', 'client_id', 'redirect_uri', 'state', 'code_challenge', 'code_challenge_method', 'nonce',
  'response_mode'
]) {
  t.test(`further parameters cannot replace or add ${name}`, async t => {
    const over = { redirectUri: 'https://app.example/cb', codeVerifier: 'v', nonce: 'n', responseMode: 'query' }
    for (const params of [
      { [name]: 'evil' },
      { [name]: ['evil', 'twice'] },
      new URLSearchParams([[name, 'evil'], [name, 'twice']])
    ]) {
      t.notMatch(build({ params }), 'evil')
      t.notMatch(build({ ...over, params }), 'evil')
      t.equal(new URL(build({ ...over, params })).searchParams.getAll(name).length, 1)
    }
  })
}

const endpoints = [endpoint, `${endpoint}?tenant=%7Ex&state=old&nonce=old`, `${endpoint}?#fragment`]
for (const [what, over] of Object.entries<Partial<AuthorizationRequest>>({
  'state alone': {},
  'a code verifier': { codeVerifier: 'v'.repeat(43) },
  'a code verifier sent as it is': { codeVerifier: 'v~.-_'.repeat(9), codeChallengeMethod: 'plain' },
  'a nonce': { nonce: 'n' },
  'an empty nonce': { nonce: '' },
  everything: {
    responseType: 'id_token token',
    redirectUri: 'https://app.example/cb?x=1',
    scope: ['openid', 'é'],
    nonce: 'n',
    codeVerifier: 'w'.repeat(128),
    responseMode: 'form_post',
    params: { scope: 'b', resource: ['a b', 'é'] }
  }
})) {
  t.test(`a prepared URL is the one that is built: ${what}`, async (t) => {
    for (const to of endpoints) {
      const prepared = prepareAuthorizationUrl(to, { ...request, ...over })
      for (const state of ['t', 'a b&c=d#é~*%', '']) {
        const own = {
          state,
          ...(over.codeVerifier !== undefined && { codeVerifier: over.codeVerifier.replace('v', 'u') }),
          ...(over.nonce !== undefined && { nonce: `${over.nonce}+ /` })
        }
        t.equal(prepared(own), build({ ...over, ...own }, to))
      }
    }
  })
}
