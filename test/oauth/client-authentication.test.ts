import t from 'tap'
import { clientIdOnly, clientSecretBasic, clientSecretPost } from '../../lib/oauth/client-authentication.ts'
import { buildTokenRequest, type TokenRequest } from '../../lib/oauth/token-request.ts'

const server = { issuer: 'https://as.example', token_endpoint: 'https://as.example/token' }
const build = (clientAuth: TokenRequest['clientAuth'], over: Partial<TokenRequest> = {}) =>
  buildTokenRequest({
    provider: 'acme',
    server,
    clientId: 'cid',
    clientAuth,
    grantType: 'authorization_code',
    grant: { code: 'zz', redirect_uri: 'https://app.example/cb' },
    ...over
  })
const basic = async (id: string, secret: string) =>
  Buffer.from(
    (await build(clientSecretBasic(id, secret))).headers.authorization!.replace('Basic ', ''),
    'base64'
  ).toString()

// RFC 6749, section 2.3.1 and appendix B; unreserved characters (RFC 3986, section 2.3) stay as they are.
for (const [id, secret, expected] of [
  ['cid', 'sec', 'cid:sec'],
  ['CLIENT_ID', 'a-b.c_d~e', 'CLIENT_ID:a-b.c_d~e'],
  ['CLIENT_ID??', 'CLIENT_SECRET??', 'CLIENT_ID%3F%3F:CLIENT_SECRET%3F%3F'],
  ['c:id', 's:ec', 'c%3Aid:s%3Aec'],
  ['a b', 'c+d', 'a+b:c%2Bd'],
  ['cid', '日本', 'cid:%E6%97%A5%E6%9C%AC'],
  ['cid', 'a%20b', 'cid:a%2520b'],
  ['https://app.example/', '&=/', 'https%3A%2F%2Fapp.example%2F:%26%3D%2F']
] as const) {
  t.test(`Basic for ${id} and ${secret}`, async (t) => {
    t.equal(await basic(id, secret), expected)
  })
}

t.test('Basic puts nothing into the form', async (t) => {
  const { headers, body } = await build(clientSecretBasic('cid', 'sec'))
  t.equal(headers.authorization, 'Basic Y2lkOnNlYw==')
  t.notOk(body.has('client_id') || body.has('client_secret'))
})

t.test('post puts both into the form, and nothing into a header', async (t) => {
  const { headers, body } = await build(clientSecretPost('cid', 'sé c'))
  t.notOk('authorization' in headers)
  t.strictSame([body.getAll('client_id'), body.getAll('client_secret')], [['cid'], ['sé c']])
})

t.test('a public client names itself alone', async (t) => {
  const { headers, body } = await build(clientIdOnly('cid'))
  t.notOk('authorization' in headers)
  t.strictSame(body.getAll('client_id'), ['cid'])
  t.notOk(body.has('client_secret'))
})

t.test('a token request is a form, and asks for JSON', async (t) => {
  const { headers, body } = await build(clientIdOnly('cid'))
  t.match(headers, { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' })
  t.match(Object.fromEntries(body), {
    grant_type: 'authorization_code',
    code: 'zz',
    redirect_uri: 'https://app.example/cb'
  })
})

t.test('further parameters: repeated stays repeated, falsy stays, null and undefined do not', async t => {
  const { body } = await build(clientIdOnly('cid'), {
    params: [
      { resource: ['https://a.example/', 'https://b.example/'], max_age: 0, empty: '', none: null },
      undefined,
      { audience: 'x' }
    ]
  })
  t.strictSame(body.getAll('resource'), ['https://a.example/', 'https://b.example/'])
  t.strictSame([body.get('max_age'), body.get('empty'), body.get('audience')], ['0', '', 'x'])
  t.notOk(body.has('none'))
})

t.test('later parameters win over earlier ones, and the grant over all', async (t) => {
  const { body } = await build(clientIdOnly('cid'), { params: [{ audience: 'a', code: 'evil' }, { audience: 'b' }] })
  t.strictSame([body.getAll('audience'), body.getAll('code')], [['b'], ['zz']])
})

for (const [name, params] of Object.entries({
  'another grant': { grant_type: 'password' },
  'another client': { client_id: 'other' },
  'an assertion': { client_assertion: 'jwt' },
  'an assertion\'s type': { client_assertion_type: 'x' }
})) {
  t.test(`${name} is refused`, async t => {
    await t.rejects(build(clientSecretPost('cid', 'sec'), { params: [params] }), {
      code: 'FST_OAUTH_INVALID_OPTIONS',
      provider: 'acme'
    })
  })
}

t.test('the same client again is accepted', async (t) => {
  const { body } = await build(clientIdOnly('cid'), { params: [{ client_id: 'cid' }] })
  t.strictSame(body.getAll('client_id'), ['cid'])
})
