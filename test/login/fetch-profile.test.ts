import { text } from 'node:stream/consumers'
import { inspect } from 'node:util'
import t, { type Test } from 'tap'
import { listen } from '../helpers/listen.ts'
import { asJson, assertLoggedOut, codeOf, loginApp, type LoginApp } from '../helpers/login-app.ts'
import type { Misbehaviour } from '../helpers/misbehaving-provider.ts'
import { createProvider, OAuthError, type ProviderOptions } from '../../lib/index.ts'

interface ApiRequest {
  method: string
  url: string
  authorization: string | undefined
  headers: Record<string, unknown>
  body: string
}

interface ApiReply {
  status?: number
  headers?: Record<string, string>
  body?: unknown
}
type ApiAnswer = unknown | ((request: ApiRequest) => ApiReply)
type FetchProfile = NonNullable<ProviderOptions['fetchProfile']>

interface Api {
  url: string
  requests: ApiRequest[]
}

/** An API with the answers of some paths; whatever else is asked is a 404. */
async function startApi (t: Test, answers: Record<string, ApiAnswer>): Promise<Api> {
  const requests: ApiRequest[] = []
  const { port, close } = await listen(async (message, response) => {
    const { method = '', url = '', headers } = message
    const request = { method, url, authorization: headers.authorization, headers, body: await text(message) }
    requests.push(request)
    const answer = answers[url.split('?')[0]!]
    if (answer === 'silence') return
    const { status = 200, headers: further, body } = typeof answer === 'function'
      ? (answer as (request: ApiRequest) => ApiReply)(request)
      : answer === undefined ? { status: 404, body: {} } : { body: answer }
    const sent = typeof body === 'string' ? body : JSON.stringify(body ?? {})
    response.writeHead(status, { 'content-type': 'application/json', ...further }).end(sent)
  })
  t.after(close)
  return { url: `http://127.0.0.1:${port}`, requests }
}

interface Setup {
  fetchProfile: FetchProfile
  answers?: Record<string, ApiAnswer>
  provider?: Partial<ProviderOptions>
  wrong?: Misbehaviour
}

/** An app at a provider of OAuth 2 alone whose profile is at an API of its own. */
async function profileApp (t: Test, setup: Setup): Promise<LoginApp & { api: Api }> {
  const { fetchProfile, answers = {}, provider: options, wrong } = setup
  const api = await startApi(t, answers)
  const resourceServers = [`${api.url}/v2/`]
  const app = await loginApp(t, {
    ...(wrong !== undefined && { wrong }),
    providers: ({ staticOptions }) => ({ acme: { ...staticOptions, resourceServers, fetchProfile, ...options } }),
    setup: (app) => {
      app.get('/user', async (request) => request.oauth.user)
      app.get('/userinfo', async (request) => request.oauth.userinfo())
    }
  })
  return { ...app, api }
}

const logIn = ({ browser, url }: LoginApp) => browser.get(`${url}/login/acme`)
const refusal = async (app: LoginApp) => codeOf(await app.browser.get(`${app.url}/login/acme`, asJson))

t.test('a profile by POST, with a header and a second call, makes the user', async (t) => {
  const app = await profileApp(t, {
    answers: {
      '/v2/account': { account_id: 'dbid:1', name: { display_name: 'Alice Adams' } },
      '/v2/emails': [{ address: 'alice@example.com' }]
    },
    fetchProfile: async ({ call }) => {
      const account = await call('account', { method: 'POST', json: null, headers: { 'Api-Version': '7' } }).json<any>()
      const [email] = await call.get('emails', { query: { first: 1 } }).json<any[]>()
      return { sub: account.account_id, name: account.name.display_name, email: email.address, email_verified: true }
    }
  })
  await logIn(app)
  const user = (await app.browser.get(`${app.url}/user`)).json()
  t.match(user, { id: 'dbid:1', name: 'Alice Adams', email: 'alice@example.com', emailVerified: true })
  const [first, second] = app.api.requests
  t.match(first, { method: 'POST', url: '/v2/account', body: 'null' })
  t.match(first?.headers, { 'api-version': '7', 'content-type': 'application/json' })
  t.match(second, { method: 'GET', url: '/v2/emails?first=1' })
  t.match(first!.authorization, /^Bearer \S+$/)
  t.equal(first!.authorization, second!.authorization)
  t.strictSame(app.provider.asked('userinfo'), [], 'userinfo is not asked')
})

t.test('a token that goes in the query is in the query alone', async (t) => {
  const fetchers: Record<string, FetchProfile> = {
    'by the function': ({ tokens, call }) => call('me', { query: { access_token: tokens.accessToken } }).json<object>(),
    'by the function, in the URL': ({ tokens, call }) => call(`me?access_token=${tokens.accessToken}`).json<object>(),
    'by tokenPlacement': ({ call }) => call('me').json<object>()
  }
  for (const [how, fetchProfile] of Object.entries(fetchers)) {
    const provider: Partial<ProviderOptions> = how === 'by tokenPlacement' ? { tokenPlacement: 'query' } : {}
    const app = await profileApp(t, { answers: { '/v2/me': { id: 7 } }, fetchProfile, provider })
    await logIn(app)
    t.equal(await app.userOf(app.browser), '7', how)
    const [{ url, authorization } = { url: '', authorization: '' }] = app.api.requests
    t.match(url, /^\/v2\/me\?access_token=[\w-]+$/, how)
    t.equal(authorization, undefined, how)
  }
})

t.test('a token that goes in a form is in the form alone', async (t) => {
  const app = await profileApp(t, {
    answers: { '/v2/me': { id: 7 } },
    fetchProfile: ({ tokens, call }) => {
      const body = new URLSearchParams({ client_id: 'app', access_token: tokens.accessToken })
      return call.post('me', { body }).json<object>()
    }
  })
  await logIn(app)
  t.equal(await app.userOf(app.browser), '7')
  const [{ url, authorization, body } = { url: '', authorization: '', body: '' }] = app.api.requests
  t.strictSame([url, authorization], ['/v2/me', undefined])
  t.match(body, /^client_id=app&access_token=[\w-]+$/)
})

t.test('an id that a number cannot hold is not another user\'s', async (t) => {
  const app = await profileApp(t, {
    answers: { '/v2/me': () => ({ body: '{"id":17841405793187219}' }) },
    fetchProfile: ({ call }) => call('me').json<object>()
  })
  await logIn(app)
  t.equal(await app.userOf(app.browser), '17841405793187219')
})

t.test('userProfile makes the user of what it returned', async (t) => {
  const app = await profileApp(t, {
    fetchProfile: ({ tokens }) => ({ uid: tokens.raw.uid }),
    wrong: { tokens: { uid: 'u-17' } },
    provider: { userProfile: ({ uid }) => ({ id: uid as string, name: 'by hand' }) }
  })
  await logIn(app)
  t.match((await app.browser.get(`${app.url}/user`)).json(), { id: 'u-17', name: 'by hand', raw: { uid: 'u-17' } })
})

t.test('the token goes to the resource servers and to the userinfo endpoint, and nowhere else', async (t) => {
  const other = await startApi(t, {})
  const outcomes: Record<string, unknown> = {}
  const app = await profileApp(t, {
    fetchProfile: async ({ call }) => {
      const userinfo = app.provider.url('userinfo')
      const paths = [userinfo, `${userinfo}?fields=name`, `${userinfo}/`, `${userinfo}/other`, `${userinfo}2`]
      const outside = [`${app.provider.issuer}/admin`, `${other.url}/me`, '../admin', `${app.api.url}/v20/me`]
      for (const url of [...paths, ...outside]) {
        const sent = call(url, { withholdToken: true } as object)
        outcomes[url] = await sent.then(({ statusCode }) => statusCode, (error: OAuthError) => error.code)
      }
      return { sub: 'alice' }
    }
  })
  await logIn(app)
  const userinfo = app.provider.url('userinfo')
  t.strictSame(outcomes, {
    [userinfo]: 200,
    [`${userinfo}?fields=name`]: 200,
    [`${userinfo}/`]: 'FST_OAUTH_ORIGIN_NOT_ALLOWED',
    [`${userinfo}/other`]: 'FST_OAUTH_ORIGIN_NOT_ALLOWED',
    [`${userinfo}2`]: 'FST_OAUTH_ORIGIN_NOT_ALLOWED',
    [`${app.provider.issuer}/admin`]: 'FST_OAUTH_ORIGIN_NOT_ALLOWED',
    [`${other.url}/me`]: 'FST_OAUTH_ORIGIN_NOT_ALLOWED',
    '../admin': 'FST_OAUTH_ORIGIN_NOT_ALLOWED',
    [`${app.api.url}/v20/me`]: 'FST_OAUTH_ORIGIN_NOT_ALLOWED'
  })
  t.strictSame(other.requests, [])
  t.strictSame(app.api.requests, [])
})

t.test('a redirect is not followed', async (t) => {
  const other = await startApi(t, { '/me': { id: 'mallory' } })
  const app = await profileApp(t, {
    answers: { '/v2/me': () => ({ status: 307, headers: { location: `${other.url}/me` } }) },
    fetchProfile: async ({ call }) => call('me').json<object>()
  })
  t.equal(await refusal(app), 'FST_OAUTH_RESPONSE_STATUS')
  t.strictSame(other.requests, [])
  await assertLoggedOut(t, app)
})

t.test('a failure is a typed error without a token, and no user is logged in', async (t) => {
  const me: FetchProfile = async ({ call }) => call('me').json<object>()
  const answered = (answer: ApiAnswer, provider?: Partial<ProviderOptions>): Setup => ({
    fetchProfile: me, answers: { '/v2/me': answer }, ...(provider !== undefined && { provider })
  })
  const returned = (profile: unknown): Setup => ({ fetchProfile: () => profile as object })
  const thrown = (what: (secrets: string) => unknown): Setup => ({
    fetchProfile: ({ tokens }) => { throw what(`${tokens.accessToken} ${tokens.refreshToken}`) }
  })
  const never = () => new Promise<object>(() => {})
  const refused = ({ authorization }: ApiRequest) => ({ status: 403, body: { sent: authorization } })
  const cases: Record<string, [Setup, string]> = {
    'nothing is returned': [returned(undefined), 'FST_OAUTH_INVALID_RESPONSE'],
    'a list is returned': [returned([{ id: 1 }]), 'FST_OAUTH_INVALID_RESPONSE'],
    'a Map is returned': [returned(new Map([['id', 1]])), 'FST_OAUTH_INVALID_RESPONSE'],
    'no id is returned': [returned({ name: 'Alice' }), 'FST_OAUTH_INVALID_RESPONSE'],
    'the function throws': [thrown(secrets => new Error(`no profile for ${secrets}`)), 'FST_OAUTH_INVALID_RESPONSE'],
    'it throws no error': [thrown(() => undefined), 'FST_OAUTH_INVALID_RESPONSE'],
    'the API refuses': [answered(refused), 'FST_OAUTH_RESPONSE_STATUS'],
    'the API is away': [answered(() => ({ status: 503 })), 'FST_OAUTH_PROVIDER_UNAVAILABLE'],
    'nothing listens': [answered({}, { resourceServers: ['http://127.0.0.1:1/'] }), 'FST_OAUTH_PROVIDER_UNAVAILABLE'],
    'the API does not answer': [answered('silence', { requestTimeout: 200 }), 'FST_OAUTH_PROVIDER_UNAVAILABLE'],
    'it never ends': [{ fetchProfile: never, provider: { requestTimeout: 200 } }, 'FST_OAUTH_PROVIDER_UNAVAILABLE'],
    'it cannot be read': [answered(() => ({ headers: { 'content-encoding': 'x' } })), 'FST_OAUTH_INVALID_RESPONSE'],
    'the answer is too large': [answered({ id: 'a'.repeat(1024 * 1024) }), 'FST_OAUTH_INVALID_RESPONSE']
  }
  for (const [what, [setup, code]] of Object.entries(cases)) {
    const app = await profileApp(t, setup)
    t.equal(await refusal(app), code, what)
    const [error] = app.errors
    t.ok(error instanceof OAuthError && error.provider === 'acme', what)
    const shown = inspect(error, { depth: 5 })
    t.strictSame(app.provider.secrets.filter(secret => shown.includes(secret)), [], what)
    await assertLoggedOut(t, app)
  }
})

t.test('a call that fetchProfile did not await is aborted when it returns', async (t) => {
  let left: Promise<unknown> | undefined
  let late: ((url: string) => Promise<unknown>) | undefined
  const app = await profileApp(t, {
    answers: { '/v2/slow': 'silence' },
    fetchProfile: ({ call }) => {
      left = call('slow').json().catch((error: unknown) => error)
      late = url => call(url).json()
      return { sub: 'alice' }
    }
  })
  await logIn(app)
  t.equal(await app.userOf(app.browser), 'alice')
  t.match(await left, { code: 'FST_OAUTH_INVALID_OPTIONS', message: /fetchProfile/ })
  await t.rejects(late!('me'), { code: 'FST_OAUTH_INVALID_OPTIONS' })
})

t.test('beside an ID token', async (t) => {
  const alice = { name: 'A.', email: 'alice@example.com' }
  const scope = ['openid', 'profile', 'email']
  const withIssuer = async (fetchProfile: FetchProfile, claims: Record<string, unknown> = {}) => await loginApp(t, {
    wrong: { claims },
    provider: { scope, fetchProfile },
    setup: (app) => { app.get('/user', async ({ oauth: { user, claims } }) => ({ user, claims })) }
  })

  await t.test('the ID token identifies the user, the profile describes them', async (t) => {
    const app = await withIssuer(() => ({ name: 'Alice', id: 99, iss: 'https://evil.example', aud: 'another' }), alice)
    await logIn(app)
    const { user, claims } = (await app.browser.get(`${app.url}/user`)).json()
    t.match(user, { id: 'alice', name: 'Alice', email: 'alice@example.com' })
    t.match(user.raw, { iss: app.provider.issuer, sub: 'alice' })
    t.notHas(user.raw, { aud: 'another' }, 'the profile says nothing of the ID token')
    t.match(claims, { sub: 'alice', name: 'A.' })
  })

  await t.test('fetchProfile is called though the ID token says enough', async (t) => {
    const app = await withIssuer(() => ({ picture: 'https://img.example/a.png' }), alice)
    await logIn(app)
    t.equal((await app.browser.get(`${app.url}/user`)).json().user.picture, 'https://img.example/a.png')
  })

  await t.test('another subject is refused', async (t) => {
    const app = await withIssuer(() => ({ sub: 'mallory' }))
    t.equal(codeOf(await app.browser.get(`${app.url}/login/acme`, asJson)), 'FST_OAUTH_INVALID_RESPONSE')
    t.equal(app.errors[0]?.reason, 'subject_mismatch')
    await assertLoggedOut(t, app)
  })

  await t.test('an address of the profile is not verified by what the ID token says of another one', async (t) => {
    const claims = { email: 'alice@example.com', email_verified: true }
    const verified = async (profile: object) => {
      const app = await withIssuer(() => profile, claims)
      await logIn(app)
      const { email, emailVerified } = (await app.browser.get(`${app.url}/user`)).json().user
      return [email, emailVerified]
    }
    t.strictSame(await verified({ email: 'mallory@example.com' }), ['mallory@example.com', undefined])
    t.strictSame(await verified({ email: 'alice@example.com' }), ['alice@example.com', true])
    t.strictSame(await verified({ email: 'al@example.com', email_verified: true }), ['al@example.com', true])
    t.strictSame(await verified({}), ['alice@example.com', true])
  })

  await t.test('without an issuer the scope openid needs no `profile: userinfo` beside it', async (t) => {
    const app = await profileApp(t, { fetchProfile: () => ({ sub: 'bob' }), provider: { scope } })
    await logIn(app)
    t.equal(await app.userOf(app.browser), 'bob')
  })
})

t.test('request.oauth.userinfo() and a headless session return the same profile', async (t) => {
  let asked = 0
  const fetchProfile: FetchProfile = async ({ call }) => {
    return { ...await call('me').json<object>(), asked: ++asked }
  }
  const app = await profileApp(t, { answers: { '/v2/me': { id: 7 } }, fetchProfile })
  await logIn(app)
  t.strictSame((await app.browser.get(`${app.url}/userinfo`)).json(), { id: 7, asked: 2 })

  const resourceServers = [`${app.api.url}/v2/`]
  const headless = createProvider({ ...app.provider.staticOptions, resourceServers, fetchProfile })
  t.after(() => headless.close())
  const session = headless.session({ tokens: { access_token: 'at', token_type: 'Bearer' } })
  t.strictSame(await session.userinfo(), { id: 7, asked: 3 })
  t.equal(app.api.requests.at(-1)!.authorization, 'Bearer at')
})

t.test('a token that the API refuses is refreshed once, in a web session and in a headless one', async (t) => {
  const seen: string[] = []
  const answers = {
    '/v2/me': ({ authorization = '' }: ApiRequest) => {
      seen.push(authorization)
      return new Set(seen).size === 2 ? { status: 401 } : { body: { id: 7 } }
    }
  }
  const fetchProfile: FetchProfile = async ({ call }) => call('me').json<object>()
  const app = await profileApp(t, { answers, fetchProfile })
  const options = { ...app.provider.staticOptions, resourceServers: [`${app.api.url}/v2/`], fetchProfile }
  await logIn(app)
  const first = seen[0]!
  const refreshes = () => app.provider.refreshRequests.length

  seen.length = 0
  seen.push('another token')
  t.strictSame((await app.browser.get(`${app.url}/userinfo`)).json(), { id: 7 })
  t.equal(refreshes(), 1)
  t.equal(seen[1], first)
  t.not(seen[2], first)

  const headless = createProvider(options)
  t.after(() => headless.close())
  const refreshToken = app.provider.secrets.at(-1)!
  seen.length = 0
  seen.push('another token')
  const tokens = { access_token: 'old', token_type: 'Bearer', refresh_token: refreshToken }
  const session = headless.session({ tokens })
  t.strictSame(await session.userinfo(), { id: 7 })
  t.equal(refreshes(), 2)
  t.equal(seen[1], 'Bearer old')
})

t.test('a fetchProfile that is no function is refused at start', async (t) => {
  const options = { authorizationEndpoint: 'https://a.example/', tokenEndpoint: 'https://a.example/t', clientId: 'c' }
  const error = { code: 'FST_OAUTH_INVALID_OPTIONS', message: /fetchProfile/ }
  t.throws(() => createProvider({ ...options, fetchProfile: {} as never }), error)
})
