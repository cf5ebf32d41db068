import t, { type Test } from 'tap'
import { parseJson } from '../../lib/oauth/json.ts'
import { readTokenResponse } from '../../lib/oauth/token-response.ts'
import type { ProviderOptions } from '../../lib/index.ts'
import { Browser } from '../helpers/browser.ts'
import { asJson, codeOf, loginApp } from '../helpers/login-app.ts'

// Numbers of a provider's: `JSON.parse` rounds an integer beyond 2^53, and two users become one.

const plainOAuth = (more: Partial<ProviderOptions> = {}) => ({ staticOptions }: { staticOptions: ProviderOptions }) =>
  ({ acme: { ...staticOptions, profileSource: 'userinfo' as const, ...more } })

/** Logs in at a provider whose userinfo answer is this text. */
async function idFrom (t: Test, body: string, more: Partial<ProviderOptions> = {}): Promise<string | null> {
  const wrong = { instead: { userinfo: { headers: { 'content-type': 'application/json' }, body } } }
  const app = await loginApp(t, { providers: plainOAuth(more), wrong })
  await app.browser.login(`${app.url}/login/acme`)
  return await app.userOf(app.browser)
}

t.test('three users whose ids differ beyond 2^53 stay three users', async (t) => {
  const app = await loginApp(t, { providers: plainOAuth() })
  for (const id of ['17841405793187219', '17841405793187220', '17841405793187221']) {
    app.provider.wrong = { instead: { userinfo: { body: `{"id":${id},"name":"N"}` } } }
    const browser = new Browser()
    await browser.login(`${app.url}/login/acme`)
    t.equal(await app.userOf(browser), id)
  }
})

for (const [body, id] of [
  ['{"sub":35,"name":"N"}', '35'],
  ['{"sub":0}', '0'],
  ['{"sub":9007199254740993}', '9007199254740993'],
  ['{"id":-17841405793187219}', '-17841405793187219'],
  ['{"id":17841405793187219.0}', '17841405793187219'],
  ['{"id":1.7841405793187219e16}', '17841405793187219'],
  ['{"id" : 17841405793187219 , "name" : "N"}', '17841405793187219'],
  [`{"id":${'9'.repeat(40)}}`, '9'.repeat(40)],
  ['{"sub":null,"id":17841405793187219}', '17841405793187219']
] as const) {
  t.test(`a user's id in ${body} is kept exactly`, async (t) => {
    t.equal(await idFrom(t, body), id)
  })
}

t.test('an id that a userProfile finds deep inside is kept exactly', async (t) => {
  const userProfile: ProviderOptions['userProfile'] = ({ data }) => (data as { id: string }[])[0]!
  t.equal(await idFrom(t, '{"data":[{"id":17841405793187219}]}', { userProfile }), '17841405793187219')
})

t.test('an id that a fetchProfile reads is kept exactly', async (t) => {
  const app = await loginApp(t, {
    providers: ({ staticOptions }) => ({
      acme: {
        ...staticOptions,
        fetchProfile: async ({ call }) => await call.get(staticOptions.userinfoEndpoint).json<{ id: string }>()
      }
    }),
    wrong: { instead: { userinfo: { body: '{"id":17841405793187219}' } } }
  })
  await app.browser.login(`${app.url}/login/acme`)
  t.equal(await app.userOf(app.browser), '17841405793187219')
})

for (const [what, userProfile] of Object.entries<NonNullable<ProviderOptions['userProfile']>>({
  'that a userProfile has rounded': ({ id }) => ({ id: Number(id) }),
  'that is a fraction': () => ({ id: 1.5 }),
  'that is no number': () => ({ id: NaN })
})) {
  t.test(`an id ${what} is refused, by name`, async (t) => {
    const app = await loginApp(t, {
      providers: plainOAuth({ userProfile }),
      wrong: { instead: { userinfo: { body: '{"id":17841405793187219}' } } }
    })
    const page = await app.browser.login(`${app.url}/login/acme`, asJson)
    t.equal(codeOf(page), 'FST_OAUTH_INVALID_RESPONSE')
    t.match(page.json().message, 'cannot hold; keep it as text')
    t.equal(await app.userOf(app.browser), null)
  })
}

t.test('userinfo that names the subject of the ID token as a number is about the same user', async (t) => {
  const app = await loginApp(t, { provider: { profileSource: 'userinfo' }, wrong: { userinfo: { sub: 35 } } })
  app.provider.subject = '35'
  await app.browser.login(`${app.url}/login/acme`)
  t.equal(await app.userOf(app.browser), '35')
})

for (const [text, expected] of [
  ['{"a":9007199254740991,"b":-9007199254740991,"c":0.1,"d":1e3,"e":1234567890123.5}',
    { a: 9007199254740991, b: -9007199254740991, c: 0.1, d: 1000, e: 1234567890123.5 }],
  ['{"a":[{"b":[12345678901234567890]}]}', { a: [{ b: ['12345678901234567890'] }] }],
  ['{"a":"12345678901234567890","b\\"12345678901234567890":"\\\\","c":"[{\\"x\\":12345678901234567890}]"}',
    { a: '12345678901234567890', 'b"12345678901234567890': '\\', c: '[{"x":12345678901234567890}]' }],
  ['{"a":1e21,"b":-12e20,"c":1E+17,"d":123456789012345678.90e2}',
    { a: `1${'0'.repeat(21)}`, b: `-12${'0'.repeat(20)}`, c: `1${'0'.repeat(17)}`, d: '12345678901234567890' }],
  ['{"a":9007199254740991.4,"b":17841405793187219e-1,"c":[-12345678901234567.8],"d":3600.0}',
    { a: '9007199254740991.4', b: '17841405793187219e-1', c: ['-12345678901234567.8'], d: 3600 }],
  ['[1e400,-1e400,1e300,1e-400]', [Infinity, -Infinity, 1e300, 0]]
] as const) {
  t.test(`integers that a number cannot hold are text, and nothing else is: ${text}`, async (t) => {
    t.strictSame(parseJson(text), expected)
  })
}

for (const text of [
  '{"a":012345678901234567}', '{"a":1234567890123456789', '12345678901234567890.', '-', '{"a":--12345678901234567}'
]) {
  t.test(`what is no JSON does not become JSON: ${text}`, async (t) => {
    t.throws(() => parseJson(text), SyntaxError)
  })
}

const read = (text: string) => {
  const context = { provider: 'acme', now: 1000, grantType: 'authorization_code', scope: [] }
  return readTokenResponse({ status: 200, headers: {}, text }, context)
}

t.test('a response that is nested too deep to be stored is refused', async (t) => {
  const deep = (levels: number) => `{"access_token":"at1","more":${'['.repeat(levels)}${']'.repeat(levels)}}`
  t.match(read(deep(50)), { tokens: { accessToken: 'at1' } })
  const error = { code: 'FST_OAUTH_INVALID_TOKEN_RESPONSE', reason: 'unreadable_response' }
  t.match(read(deep(100_000)), { error })
})

t.test('a response of a hundred thousand members is refused', async (t) => {
  const names = Array.from({ length: 100_000 }, (_, index) => `m${index}`)
  for (const text of [
    `{"access_token":"at1",${names.map(name => `"${name}":1`).join()}}`,
    `access_token=at1&${names.map(name => `${name}=1`).join('&')}`
  ]) t.match(read(text), { error: { reason: 'unreadable_response' } })
})

t.test('a lifetime that no number holds is the longest there is', async (t) => {
  const app = await loginApp(t, {
    providers: plainOAuth(),
    wrong: { instead: { token: { body: '{"access_token":"at1","expires_in":99999999999999999999}' } } },
    setup: (app) => { app.get('/expires', async ({ oauth }) => (await oauth.tokens()).expiresAt) }
  })
  await app.browser.login(`${app.url}/login/acme`)
  t.ok(Number((await app.browser.get(`${app.url}/expires`)).text) > Date.now() / 1000 + 2 ** 30)
})

t.test('a provider whose clock is late ends no new token: expires_in counts, no call refreshes', async (t) => {
  const late = Math.floor(Date.now() / 1000) - 3600
  const app = await loginApp(t, {
    wrong: { tokens: { expires_in: 3600, expires_at: late } },
    setup: (app) => { app.get('/tokens', async ({ oauth }) => await oauth.tokens()) }
  })
  await app.browser.login(`${app.url}/login/acme`)
  const { expiresAt } = (await app.browser.get(`${app.url}/tokens`)).json<{ expiresAt: number }>()
  t.ok(Math.abs(expiresAt - late - 7200) < 60)
  t.equal(app.provider.asked('token').length, 1)
})
