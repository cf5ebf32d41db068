import t from 'tap'
import type { TokensInput } from '../../lib/index.ts'
import { mailchimp } from '../../lib/providers.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { matchEach } from '../helpers/match-each.ts'
import { rejection } from '../helpers/rejection.ts'
import { keptTokens, scriptProvider, startScriptServer } from '../helpers/script-server.ts'

const now = () => Date.now() / 1000
const wrong = (tokens: unknown) => tokens as TokensInput

t.test('a session with an access token saves the members of a token response', async t => {
  const members = {
    access_token: 'new',
    refresh_token: 'new-refresh',
    token_type: 'bearer',
    expires_in: 600,
    scope: 'a b'
  }

  t.test('by a headless session', async (t) => {
    const server = await startScriptServer(t)
    const session = scriptProvider(t, server.providerOptions).session({ tokens: keptTokens(3600) })
    await session.save(members)
    t.match(session.storedTokens, {
      accessToken: 'new',
      refreshToken: 'new-refresh',
      scope: ['a', 'b'],
      tokenType: 'bearer',
      raw: { expires_in: 600 }
    })
    t.ok(Math.abs(session.storedTokens!.expiresAt! - now() - 600) < 5)
    await session.get('orders').json()
    matchEach(t, server.calls, [{ headers: { authorization: 'Bearer new' } }])
  })

  t.test('by a request', async (t) => {
    const { run } = await loggedInApp(t)
    const scope = (await run(oauth => oauth.tokens())).scope
    await run(oauth => oauth.save(members))
    t.match(await run(oauth => oauth.tokens()), { accessToken: 'new', refreshToken: 'new-refresh', scope: ['a', 'b'] })
    await run(oauth => oauth.save({ access_token: 'newer' }))
    t.match(
      await run(oauth => oauth.tokens()),
      { accessToken: 'newer', scope: ['a', 'b'] },
      'the scope stays where nothing is said of it'
    )
    t.ok(scope.length > 0)
  })
})

for (const [name, tokens] of Object.entries<unknown>({
  undefined,
  null: null,
  'a text': 'access',
  'a number': 1,
  'a list': [{ access_token: 'a' }],
  nothing: {},
  'another token': { id_token: 'a' },
  'an error': { error: 'invalid_grant' },
  'an empty token': { access_token: '' },
  'a number as token': { access_token: 1 },
  'a token of lines': { accessToken: 'a\nb' },
  'a number as accessToken': { accessToken: 1 },
  'a number as refreshToken': { accessToken: 'a', refreshToken: 1 },
  'a number as scope': { accessToken: 'a', scope: 1 },
  'a word as expiresAt': { accessToken: 'a', expiresAt: 'tomorrow' },
  'a time without its zone': { accessToken: 'a', expiresAt: '2026-11-25 21:00:00' },
  'no time': { accessToken: 'a', expiresAt: new Date(NaN) },
  'no number': { accessToken: 'a', expiresAt: NaN }
})) {
  t.test(`${name} in place of tokens is a typed error`, async (t) => {
    const server = await startScriptServer(t)
    const provider = scriptProvider(t, server.providerOptions)
    const error = { code: 'FST_OAUTH_INVALID_OPTIONS', provider: 'provider', message: /^the tokens given for provider/ }
    const session = provider.session({ tokens: keptTokens(3600) })
    t.match(await rejection(session.save(wrong(tokens))), error)
    t.equal(session.storedTokens?.accessToken, 'access-0', 'what was there stays')
    t.match(await rejection(provider.session().save(wrong(tokens))), error)
    if (tokens !== undefined && tokens !== null) t.throws(() => provider.session({ tokens: wrong(tokens) }), error)
  })
}

t.test('request.oauth.save() refuses them too', async (t) => {
  const { run } = await loggedInApp(t)
  const { accessToken } = await run(oauth => oauth.tokens())
  for (const tokens of [undefined, null, {}, 'a', { accessToken: 1 }]) {
    t.match(await rejection(run(oauth => oauth.save(wrong(tokens)))), {
      code: 'FST_OAUTH_INVALID_OPTIONS',
      statusCode: 500
    })
  }
  t.equal((await run(oauth => oauth.tokens())).accessToken, accessToken)
})

for (const expires of [
  { expires_in: 0 },
  { expires_in: '0' },
  { expires_in: '0.0' },
  { expires_in: -5 },
  { expires_in: 0, expires_at: null }
]) {
  t.test(`tokens in hand with ${JSON.stringify(expires)} have expired`, async t => {
    const server = await startScriptServer(t)
    const tokens = { access_token: 'old', refresh_token: 'refresh-0', ...expires }
    for (const expiryLeeway of [0, 30]) {
      const provider = scriptProvider(t, { ...server.providerOptions, expiryLeeway })
      const session = provider.session({ tokens })
      await session.get('orders').json()
      t.not(server.calls.at(-1)?.headers.authorization, 'Bearer old')
      t.match(await rejection(provider.session({ tokens, refresh: 'manual' }).get('orders')), {
        code: 'FST_OAUTH_TOKEN_EXPIRED'
      })
    }
    t.equal(server.tokenRequests.length, 2)
  })
}

for (const [name, tokens] of Object.entries({
  'a kept end of 0': { access_token: 'a', expires_in: 0, expires_at: 0 },
  'no lifetime': { access_token: 'a' },
  'a set whose response had no lifetime': { accessToken: 'a', scope: [], raw: { expires_in: 0 } },
  'a kept end in the future, and a lifetime that has run since': {
    access_token: 'a',
    expires_in: 0,
    expires_at: now() + 600
  }
})) {
  t.test(`tokens in hand with ${name} have not expired`, async (t) => {
    const server = await startScriptServer(t)
    await scriptProvider(t, server.providerOptions).session({ tokens, refresh: 'manual' }).get('orders').json()
    matchEach(t, server.calls, [{ headers: { authorization: 'Bearer a' } }])
  })
}

t.test('a preset that knows what a lifetime of 0 means is asked', async (t) => {
  const server = await startScriptServer(t)
  const { providerOptions } = server
  const session = scriptProvider(t, mailchimp(providerOptions)).session({
    tokens: { access_token: 'a', expires_in: 0, scope: null },
    refresh: 'manual'
  })
  await session.get('orders').json()
  t.equal(server.calls.length, 1)
})

const end = Math.floor(now()) + 1800
for (const [name, columns, expected] of [
  ['three columns', { accessToken: 'a', refreshToken: 'r', expiresAt: end }, { refreshToken: 'r', expiresAt: end }],
  ['the token alone', { accessToken: 'a' }, {}],
  ['an empty scope', { accessToken: 'a', scope: [] }, { scope: [] }],
  ['a scope as text', { accessToken: 'a', scope: 'x y' }, { scope: ['x', 'y'] }],
  [
    'columns that are null',
    { accessToken: 'a', refreshToken: null, idToken: null, tokenType: null, expiresAt: null, scope: null, raw: null },
    {}
  ],
  ['milliseconds', { accessToken: 'a', expiresAt: end * 1000 }, { expiresAt: end }],
  ['milliseconds as a string', { accessToken: 'a', expiresAt: `${end * 1000}` }, { expiresAt: end }],
  ['milliseconds as a bigint', { accessToken: 'a', expiresAt: BigInt(end * 1000) }, { expiresAt: end }],
  ['milliseconds of a response', { access_token: 'a', expires_at: end * 1000 }, { expiresAt: end }],
  ['a Date', { accessToken: 'a', expiresAt: new Date(end * 1000) }, { expiresAt: end }],
  ['an ISO date', { accessToken: 'a', expiresAt: new Date(end * 1000).toISOString() }, { expiresAt: end }],
  [
    'a date with an offset',
    { accessToken: 'a', expiresAt: `${new Date((end + 7200) * 1000).toISOString().slice(0, 19)}+02:00` },
    { expiresAt: end }
  ],
  ['a number as text', { accessToken: 'a', expiresAt: String(end) }, { expiresAt: end }],
  ['a bigint', { accessToken: 'a', expiresAt: BigInt(end) }, { expiresAt: end }],
  ['further columns', { id: 7, userId: 'u', accessToken: 'a' }, {}],
  ["a response's members with a Date", { access_token: 'a', expires_at: new Date(end * 1000) }, { expiresAt: end }],
  [
    "a response's members with an ISO date",
    { access_token: 'a', expires_at: new Date(end * 1000).toISOString() },
    { expiresAt: end }
  ],
  ["a response's members with a bigint", { access_token: 'a', expires_at: BigInt(end), id: 5n }, { expiresAt: end }]
] as const) {
  t.test(`tokens in columns of the app's own are taken: ${name}`, async (t) => {
    const server = await startScriptServer(t)
    const session = scriptProvider(t, { ...server.providerOptions, scope: ['asked'] }).session({
      tokens: { ...columns }
    })
    const { raw, ...tokens } = session.storedTokens!
    t.strictSame(tokens, { accessToken: 'a', tokenType: 'Bearer', scope: ['asked'], ...expected })
    t.type(raw, 'object')
    await session.get('orders').json()
    matchEach(t, server.calls, [{ headers: { authorization: 'Bearer a' } }])
    await session.save({ ...columns, accessToken: 'b', access_token: 'b' })
    t.equal(session.storedTokens?.accessToken, 'b')
  })
}
