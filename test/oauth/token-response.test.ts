import { inspect } from 'node:util'
import t from 'tap'
import { InvalidTokenResponseError } from '../../lib/index.ts'
import {
  excerptOf,
  parseMembers,
  readTokenResponse,
  type TokenResponseContext
} from '../../lib/oauth/token-response.ts'
import type { TokenSet } from '../../lib/oauth/token-set.ts'

const NOW = 1_000
const LONGEST = 2 ** 31 - 1
const context = (over: Partial<TokenResponseContext> = {}): TokenResponseContext =>
  ({ provider: 'acme', now: NOW, grantType: 'authorization_code', scope: ['read', 'write'], ...over })
const read = (body: unknown, over?: Partial<TokenResponseContext>, status = 200, headers = {}) =>
  readTokenResponse({ status, headers, text: typeof body === 'string' ? body : JSON.stringify(body) }, context(over))

function tokensOf (...args: Parameters<typeof read>): TokenSet {
  const result = read(...args)
  if ('error' in result) throw result.error
  return result.tokens
}
function errorOf (...args: Parameters<typeof read>) {
  const result = read(...args)
  if (!('error' in result)) throw new Error(`no error, but ${JSON.stringify(result.tokens)}`)
  return result.error
}
const answer = { access_token: 'at1', token_type: 'Bearer' }

t.test('a response as in RFC 6749, section 5.1', async t => {
  const body = {
    ...answer,
    expires_in: 3600,
    refresh_token: 'rt1',
    id_token: 'h.p.s',
    scope: 'read write',
    example_parameter: 'v',
    team: { id: 1 }
  }
  t.strictSame(read(body), {
    tokens: {
      accessToken: 'at1',
      tokenType: 'Bearer',
      expiresAt: NOW + 3600,
      refreshToken: 'rt1',
      idToken: 'h.p.s',
      scope: ['read', 'write'],
      raw: body
    },
    scopeChange: undefined
  })
})

// expires_in → expiresAt. What JSON cannot say is written as text.
for (const [text, expected] of Object.entries<number | undefined>({
  3600: NOW + 3600,
  '"3600"': NOW + 3600,
  '" 3600 "': NOW + 3600,
  '3600.0': NOW + 3600,
  '"3600.0"': NOW + 3600,
  '3.6e3': NOW + 3600,
  1: NOW + 1,
  '-1': NOW - 1,
  '"-1"': NOW - 1,
  0: undefined,
  '"0"': undefined,
  '-0': undefined,
  null: undefined,
  '""': undefined,
  1000000000000: NOW + LONGEST,
  '"1000000000000"': NOW + LONGEST,
  '1e308': NOW + LONGEST,
  '1e999': NOW + LONGEST
})) {
  t.test(`expires_in ${text}`, async (t) => {
    const tokens = tokensOf(`{"access_token":"at1","token_type":"Bearer","expires_in":${text}}`)
    t.equal(tokens.expiresAt, expected)
    t.equal('expiresAt' in tokens, expected !== undefined, 'what is not known is not there')
  })
}

t.test('without expires_in nothing is known, unless the options know', async (t) => {
  t.notOk('expiresAt' in tokensOf(answer))
  t.equal(tokensOf(answer, { defaultExpiresIn: 60 }).expiresAt, NOW + 60)
  t.equal(tokensOf({ ...answer, expires_in: null }, { defaultExpiresIn: 60 }).expiresAt, NOW + 60)
  t.equal(tokensOf({ ...answer, expires_in: 10 }, { defaultExpiresIn: 60 }).expiresAt, NOW + 10)
})

for (const text of ['false', 'true', '{}', '[]', '[3600]', '"soon"', '"1h"', '"NaN"']) {
  t.test(`expires_in ${text} is refused in the response to a login`, async t => {
    t.match(errorOf(`{"access_token":"at1","token_type":"Bearer","expires_in":${text}}`), {
      code: 'FST_OAUTH_INVALID_TOKEN_RESPONSE',
      reason: 'invalid_expires_in'
    })
  })

  t.test(`expires_in ${text} does not cost a refresh its rotated token`, async t => {
    const tokens = tokensOf(`{"access_token":"at1","refresh_token":"rt2","expires_in":${text}}`, {
      grantType: 'refresh_token'
    })
    t.match(tokens, { accessToken: 'at1', refreshToken: 'rt2' })
    t.notOk('expiresAt' in tokens)
  })
}

t.test('the computed time is a whole number', async (t) => {
  t.equal(tokensOf({ ...answer, expires_in: 3600 }, { now: 1661185148.6437678 }).expiresAt, 1661188749)
  t.equal(tokensOf({ ...answer, expires_in: 3599.7 }).expiresAt, NOW + 3599)
  t.equal(tokensOf({ ...answer, expires_in: '3599.7' }).expiresAt, NOW + 3599)
})

for (const [name, [members, expected]] of Object.entries<[object, number | undefined]>({
  'gives way to expires_in, which depends on no other clock': [{ expires_in: 3600, expires_at: 200 }, NOW + 3600],
  'wins over an expires_in of 0': [{ expires_in: 0, expires_at: 200 }, 200],
  'may be a string': [{ expires_at: '1661185148' }, 1661185148],
  'may be in milliseconds': [{ expires_at: 1661185148500 }, 1661185148],
  'may be in milliseconds, as a string': [{ expires_at: '1661185148500' }, 1661185148],
  'may stand for "never"': [{ expires_at: 253402300799 }, 253402300799],
  'that is a date in words is not read': [{ expires_in: 3600, expires_at: '2006-01-02T15:04:05Z' }, NOW + 3600],
  'that is a date in words, alone': [{ expires_at: '2006-01-02T15:04:05Z' }, undefined],
  'of null': [{ expires_in: 3600, expires_at: null }, NOW + 3600],
  'of 0': [{ expires_in: 3600, expires_at: 0 }, NOW + 3600]
})) {
  t.test(`expires_at ${name}`, async (t) => {
    t.equal(tokensOf({ ...answer, ...members }).expiresAt, expected)
  })
}

t.test('a life without end is the longest there is, one that never began ended as long ago', async (t) => {
  const longest = 2 ** 31 - 1
  for (const [text, expected] of [
    ['1e999', longest],
    ['"Infinity"', longest],
    ['-1e999', -longest],
    ['"-Infinity"', -longest]
  ] as const) {
    t.equal(
      tokensOf(`{"access_token":"at1","token_type":"Bearer","expires_in":${text}}`).expiresAt,
      NOW + expected,
      text
    )
  }
})

for (const [name, [members, expected]] of Object.entries<[object, number | undefined]>({
  'counts where there is no expires_in': [{ expires: 3600 }, NOW + 3600],
  'may be a string': [{ expires: '3600' }, NOW + 3600],
  'gives way to expires_in': [{ expires: 10, expires_in: 3600 }, NOW + 3600],
  'that is a date is no lifetime': [{ expires: '2006-01-02T15:04:05Z' }, undefined],
  'of 0 says nothing': [{ expires: 0 }, undefined]
})) {
  t.test(`expires, as the drafts had it, ${name}`, async (t) => {
    t.equal(tokensOf({ ...answer, ...members }).expiresAt, expected)
  })
}

t.test('an expiry that JSON cannot hold counts as absent', async (t) => {
  // Infinity becomes null in the store, and null reads as long ago.
  for (const member of ['"expires_at":1e999', '"expires_at":-1e999', '"expires_at":"Infinity"']) {
    const result = read(`{"access_token":"at1","token_type":"Bearer",${member}}`)
    const expiresAt = 'tokens' in result ? result.tokens.expiresAt : undefined
    t.equal(expiresAt, undefined, member)
  }
})

const json = JSON.stringify({ ...answer, expires_in: 10, scope: 'read write' })
const form = 'access_token=at1&token_type=Bearer&expires_in=10&scope=read+write'
for (const [name, text] of Object.entries({
  JSON: json,
  'a form': form,
  'a form with a raw space': form.replace('+', ' '),
  'JSON with a byte order mark': `\ufeff${json}`,
  'a form with a byte order mark': `\ufeff${form}`,
  'JSON among white space': `\r\n ${json}\n`
})) {
  for (const type of [
    'application/json', 'application/x-www-form-urlencoded', 'text/html; charset=utf-8', 'text/plain', undefined
  ]) {
    t.test(`${name} that says it is ${type}`, async t => {
      t.match(tokensOf(text, {}, 200, { 'content-type': type }), {
        accessToken: 'at1',
        tokenType: 'Bearer',
        expiresAt: NOW + 10,
        scope: ['read', 'write']
      })
    })
  }
}

for (const [text, reason] of Object.entries({
  '': 'empty_response',
  ' \r\n': 'empty_response',
  '<html><body>502 Bad Gateway</body></html>': 'unreadable_response',
  '<a href="?a=b">x</a>': 'unreadable_response',
  'Too many requests': 'unreadable_response',
  null: 'unreadable_response',
  5: 'unreadable_response',
  '"abc"': 'unreadable_response',
  '[]': 'unreadable_response',
  '[{"access_token":"at1"}]': 'unreadable_response',
  '{"access_token":': 'unreadable_response',
  '{access_token:"at1"}': 'unreadable_response',
  true: 'unreadable_response'
})) {
  for (const status of [200, 400, 502]) {
    t.test(`${JSON.stringify(text)} with ${status} is a typed error`, async (t) => {
      const error = errorOf(text, {}, status)
      t.ok(error instanceof InvalidTokenResponseError)
      t.match(error, {
        code: 'FST_OAUTH_INVALID_TOKEN_RESPONSE',
        statusCode: 502,
        provider: 'acme',
        responseStatus: status,
        reason
      })
      t.equal('oauthError' in error, false)
    })
  }
}

for (const [name, members] of Object.entries<object>({
  'no access token': { token_type: 'Bearer' },
  'an empty access token': { ...answer, access_token: '' },
  'an access token of null': { ...answer, access_token: null },
  'a number for an access token': { ...answer, access_token: 42 },
  'an object for an access token': { ...answer, access_token: { a: 1 } },
  'a line break in the access token': { ...answer, access_token: 'a\r\nX-Evil: 1' },
  'a control character in the access token': { ...answer, access_token: 'a\u0000b' },
  'more than ASCII in the access token': { ...answer, access_token: 'tökén' }
})) {
  t.test(`${name} is refused`, async t => {
    t.match(errorOf(members), {
      code: 'FST_OAUTH_INVALID_TOKEN_RESPONSE',
      reason: 'missing_token',
      responseStatus: 200
    })
  })
}

t.test('the tokens of a refused response are handed out: they may be the only copy', async (t) => {
  t.match(read({ refresh_token: 'rt2' }), { refreshToken: 'rt2' })
  t.match(read({ error: 'temporarily_unavailable', refresh_token: 'rt2' }, {}, 503), { refreshToken: 'rt2' })
  t.match(read({ access_token: 'at1', refresh_token: 'rt2' }, {}, 500), { refreshToken: 'rt2' })
})

for (const [name, token] of Object.entries<unknown>({
  'no refresh token': undefined,
  null: null,
  'an empty one': '',
  'a number': 1,
  'a line break': 'a\nb'
})) {
  t.test(`${name} as refresh token counts as absent`, async t => {
    t.notOk('refreshToken' in tokensOf({ ...answer, refresh_token: token }))
  })
}

t.test('a missing token type is Bearer, unless it must be there', async t => {
  for (const type of [undefined, null, '', 1]) {
    t.equal(tokensOf({ access_token: 'at1', token_type: type }).tokenType, 'Bearer')
  }
  t.equal(tokensOf({ access_token: 'at1', token_type: 'bEAreR' }).tokenType, 'bEAreR')
  t.equal(tokensOf({ access_token: 'at1', token_type: 'DPoP' }).tokenType, 'DPoP')
  t.match(errorOf({ access_token: 'at1' }, { requireTokenType: true }), { reason: 'missing_token_type' })
  t.equal(tokensOf(answer, { requireTokenType: true }).tokenType, 'Bearer')
})

t.test('an ID token that is not a text counts as absent', async (t) => {
  for (const token of [null, '', 1, {}]) t.notOk('idToken' in tokensOf({ ...answer, id_token: token }))
})

// error → oauthError, whatever the status says.
for (const [name, [body, expected]] of Object.entries<[unknown, object]>({
  'a string': [
    { error: 'invalid_grant', error_description: 'D', error_uri: 'https://as.example/e' },
    { oauthError: 'invalid_grant', oauthErrorDescription: 'D', oauthErrorUri: 'https://as.example/e' }
  ],
  'a string alone': [{ error: 'invalid_request' }, { oauthError: 'invalid_request' }],
  'a form': [
    'error=bad_verification_code&error_description=The+code+is+old&error_uri=https%3A%2F%2Fx.y%2F',
    { oauthError: 'bad_verification_code', oauthErrorDescription: 'The code is old', oauthErrorUri: 'https://x.y/' }
  ],
  'one word of a form': ['error=access_denied', { oauthError: 'access_denied' }],
  'an object, as Facebook sends it': [
    { error: { message: 'm', type: 'OAuthException', code: 100 } },
    { oauthError: 'OAuthException', oauthErrorDescription: 'm' }
  ],
  'an object with a number for a code': [
    { error: { code: 190, message: 'm' } },
    { oauthError: '190', oauthErrorDescription: 'm' }
  ],
  'a number': [{ error: 401 }, { oauthError: '401' }],
  'an object with a code': [
    { error: { code: 'expired', message: 'm' } },
    { oauthError: 'expired', oauthErrorDescription: 'm' }
  ],
  true: [{ error: true, message: 'm' }, { oauthError: 'true' }],
  'an array': [{ error: ['a', 'b'] }, { oauthError: 'error' }],
  'beside a token': [{ ...answer, error: 'invalid_grant' }, { oauthError: 'invalid_grant' }],
  'with a description that is no text': [
    { error: 'invalid_grant', error_description: { a: 1 }, error_uri: 5 },
    { oauthError: 'invalid_grant' }
  ]
})) {
  for (const status of [200, 400]) {
    t.test(`the error is ${name}, with ${status}`, async (t) => {
      const error = errorOf(body, {}, status)
      t.match(error, {
        code: 'FST_OAUTH_INVALID_TOKEN_RESPONSE',
        reason: 'refused',
        responseStatus: status,
        ...expected
      })
      t.equal('oauthErrorDescription' in error, 'oauthErrorDescription' in expected)
      t.equal('oauthErrorUri' in error, 'oauthErrorUri' in expected)
    })
  }
}

for (const error of [null, '', undefined, false, 0, [], {}]) {
  t.test(`an error of ${JSON.stringify(error)} is ignored`, async (t) => {
    t.equal(tokensOf({ ...answer, error }).accessToken, 'at1')
  })
}

for (const [status, reason] of [
  [302, 'redirect'],
  [307, 'redirect'],
  [401, 'status'],
  [500, 'status'],
  [101, 'redirect']
] as const) {
  t.test(`a token set with ${status} is refused`, async t => {
    t.match(errorOf(answer, {}, status), { reason, responseStatus: status })
  })
}

const secret = 'a-secret-of-the-client'
t.test('secrets that were sent are redacted from errors', async t => {
  const error = errorOf(
    {
      error: `no_${secret}`,
      error_description: `your secret "${secret}" and code one-use-code`,
      error_uri: `https://x.y/${secret}`
    },
    { secrets: () => [secret, 'one-use-code', ''] },
    400
  )
  t.match(error, {
    oauthError: 'no_[redacted]',
    oauthErrorDescription: 'your secret "[redacted]" and code [redacted]',
    oauthErrorUri: 'https://x.y/[redacted]'
  })
  const shown = inspect(error, { depth: Infinity, showHidden: true })
  t.notMatch(shown, secret)
  t.notMatch(shown, 'one-use-code')
})

t.test('a text is not cut in the middle of a secret', async (t) => {
  const near = (length: number, filling: string) => `${filling.repeat(length - 8)}=${secret}`
  for (const field of ['error', 'error_description', 'error_uri']) {
    const { oauthError, oauthErrorDescription, oauthErrorUri } = errorOf(
      { error: 'x', [field]: near(300, '.') },
      { secrets: () => [secret] },
      400
    )
    t.notMatch([oauthError, oauthErrorDescription, oauthErrorUri].join(), 'a-sec', field)
  }
  t.notMatch(excerptOf(near(2000, ' '), [secret]), 'a-sec')
})

t.test('line breaks and length of what comes back cannot forge a log', async (t) => {
  const error = errorOf({ error: 'a\r\nb', error_description: `x\u0000\u2028y${'z'.repeat(1000)}` }, {}, 400)
  t.match(error, { oauthError: 'a b' })
  t.notMatch(error.oauthErrorDescription, /[\u0000-\u001f\u2028]/) // eslint-disable-line no-control-regex
  t.ok(error.oauthErrorDescription!.length <= 300)
})

t.test('an excerpt tells what came, without tokens and tags', async (t) => {
  t.equal(excerptOf('<html><body>502 Bad Gateway</body></html>'), '502 Bad Gateway')
  t.equal(excerptOf('{"access_token":"short","error":"x"}'), '{"access_token":"[redacted]","error":"x"}')
  t.equal(
    excerptOf('access_token=short&refresh_token=rt&id_token=x&a=b'),
    'access_token=[redacted]&refresh_token=[redacted]&id_token=[redacted]&a=b'
  )
  t.equal(excerptOf(`before ${'a1B2-_.~'.repeat(5)} after`), 'before [redacted] after')
  t.equal(excerptOf('{"access_token":"cut off in the middl'), '{"access_token":"[redacted]"')
  t.equal(excerptOf(`a ${secret} b`, [secret]), 'a [redacted] b')
  t.equal(excerptOf(''), undefined)
  t.equal(excerptOf('<p>'), undefined)
  t.ok(excerptOf('word '.repeat(1000))!.length <= 120)
})

t.test('no error about a readable response shows its tokens', async (t) => {
  const tokens = ['at-0123456789', 'rt-0123456789', 'h.p.s-0123456789']
  for (const body of [
    { access_token: tokens[0], refresh_token: tokens[1], id_token: tokens[2], error: 'odd' },
    { access_token: tokens[0], refresh_token: tokens[1], id_token: tokens[2], expires_in: 'soon' },
    new URLSearchParams({
      access_token: tokens[0]!,
      refresh_token: tokens[1]!,
      id_token: tokens[2]!,
      error: 'odd'
    }).toString()
  ]) {
    const shown = inspect(errorOf(body), { depth: Infinity, showHidden: true })
    for (const token of tokens) t.notMatch(shown, token)
  }
})

// scope of the answer → scope of the set, where `read` and `write` were asked for.
for (const [name, [answered, scope, change]] of Object.entries<[unknown, string[], object | undefined]>({
  'the same': ['read write', ['read', 'write'], undefined],
  'the same in another order': ['write read', ['write', 'read'], undefined],
  'several spaces, and one at the end': [' read  write ', ['read', 'write'], undefined],
  'a line break and a tab': ['read\n\twrite', ['read', 'write'], undefined],
  'a list': [['read', 'write'], ['read', 'write'], undefined],
  'a list with commas': ['read,write', ['read', 'write'], undefined],
  'a list with commas and spaces': ['read, write', ['read', 'write'], undefined],
  'a list with commas that is not what was asked for': [
    'read,more',
    ['read', 'more'],
    { missing: ['write'], added: ['more'] }
  ],
  'a comma inside one of several scopes': [
    'read,more write',
    ['read,more', 'write'],
    { missing: ['read'], added: ['read,more'] }
  ],
  'a comma inside an item of a list': [
    ['read,more', 'write'],
    ['read,more', 'write'],
    { missing: ['read'], added: ['read,more'] }
  ],
  fewer: ['read', ['read'], { missing: ['write'], added: [] }],
  more: ['read write admin', ['read', 'write', 'admin'], { missing: [], added: ['admin'] }],
  'another case': ['READ write', ['READ', 'write'], { missing: ['read'], added: ['READ'] }],
  'none, as an empty string': ['', ['read', 'write'], undefined],
  'none, as null': [null, ['read', 'write'], undefined],
  'none at all': [undefined, ['read', 'write'], undefined],
  'a number': [7, ['read', 'write'], undefined],
  'a list with more than text in it': [['read', null, 7, 'write', ''], ['read', 'write'], undefined]
})) {
  t.test(`the granted scope is ${name}`, async (t) => {
    const result = read({ ...answer, scope: answered })
    t.match(result, { tokens: { scope } })
    t.strictSame((result as { scopeChange: unknown }).scopeChange, change)
  })
}

t.test('where a scope with a comma was asked for, a comma separates nothing', async (t) => {
  const result = read({ ...answer, scope: 'read,write' }, { scope: ['read,write'] })
  t.match(result, { tokens: { scope: ['read,write'] }, scopeChange: undefined })
  t.strictSame(tokensOf({ ...answer, scope: 'read,more' }, { scope: ['read,write'] }).scope, ['read,more'])
})

t.test('a scope that is named twice is no change', async (t) => {
  const result = read({ ...answer, scope: 'read write read' })
  t.strictSame((result as { scopeChange: unknown }).scopeChange, undefined)
  t.strictSame([...new Set((result as { tokens: TokenSet }).tokens.scope)], ['read', 'write'])
})

t.test('the scope of a set is not the list that was asked for', async (t) => {
  const asked = ['read']
  tokensOf(answer, { scope: asked }).scope.push('more')
  t.strictSame(asked, ['read'])
})

t.test('__proto__ is an ordinary member', async t => {
  const body =
    '{"access_token":"at1","__proto__":{"admin":true,"refresh_token":"evil"},"constructor":{"prototype":{"x":1}}}'
  const { raw, refreshToken } = tokensOf(body)
  t.equal(Object.getPrototypeOf(raw), Object.prototype)
  t.ok(Object.hasOwn(raw, '__proto__'))
  t.equal((raw as { admin?: unknown }).admin, undefined)
  t.equal(refreshToken, undefined)
  t.equal(({} as { x?: unknown }).x, undefined)
  t.equal(JSON.stringify(raw), body)
  t.ok(Object.hasOwn(parseMembers('__proto__=a&b=c')!, '__proto__'))
  t.equal(parseMembers('{"__proto__":{"error":"x"}}')?.error, undefined)
})

t.test('conform gets the response first, and what it returns is read', async (t) => {
  const seen: unknown[] = []
  const tokens = tokensOf({ data: { token: 'at1' } }, {
    conform: (members, about) => {
      seen.push(about)
      return { access_token: (members.data as { token: string }).token }
    }
  })
  t.equal(tokens.accessToken, 'at1')
  t.strictSame(seen, [{ status: 200, grantType: 'authorization_code' }])
})

t.test('a conform that fails is a typed error', async (t) => {
  const error = errorOf(answer, { conform: () => { throw new Error('not mine') } })
  t.match(error, { code: 'FST_OAUTH_INVALID_TOKEN_RESPONSE', reason: 'conform_failed', cause: { message: 'not mine' } })
})

t.test('a response with more than 1,000 members is none, as JSON and as a form', async (t) => {
  const names = Array.from({ length: 1_000 }, (_none, index) => `member${index}`)
  const members = { ...answer, ...Object.fromEntries(names.map(name => [name, '1'])) }
  for (const text of [JSON.stringify(members), String(new URLSearchParams(members))]) {
    t.match(errorOf(text), { code: 'FST_OAUTH_INVALID_TOKEN_RESPONSE', reason: 'unreadable_response' })
  }
})

t.test('of the granted scopes beyond those that were asked for 1,000 are kept, and none is a book', async (t) => {
  const granted = ['a'.repeat(1_001), ...Array.from({ length: 5_000 }, (_none, index) => `scope${index}`)]
  const { scope } = tokensOf({ ...answer, scope: granted.join(' ') })
  t.ok(scope.length <= 1_010)
  t.notOk(scope.includes(granted[0]!))
})
