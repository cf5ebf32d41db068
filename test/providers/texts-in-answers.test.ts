import t, { type Test } from 'tap'
import { redact } from '../../lib/util/redact.ts'
import { readTokenResponse } from '../../lib/oauth/token-response.ts'
import { compareScope } from '../../lib/oauth/token-set.ts'
import { Browser } from '../helpers/browser.ts'
import { captureLog } from '../helpers/log.ts'
import { asJson, callbackUrl, loginApp } from '../helpers/login-app.ts'
import type { Reply } from '../helpers/misbehaving-provider.ts'

// What a provider says in an error reaches the log and the answer of a route. It may hold what the provider has just
// issued.

/** Mulberry32: the same numbers in every run. */
function randomNumbers (seed: number): (below: number) => number {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

const draw = randomNumbers(23)
const randomBytes = (count: number) => Buffer.from(Array.from({ length: count }, () => draw(256)))

/** Tokens as providers make them. */
const kinds: Record<string, () => string> = {
  base64url: () => randomBytes(24).toString('base64url'),
  base64: () => randomBytes(24).toString('base64'),
  hex: () => randomBytes(16).toString('hex'),
  'a UUID': () => randomBytes(16).toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'),
  'a JWT': () => [{ alg: 'RS256' }, { sub: randomBytes(8).toString('hex') }, randomBytes(32)]
    .map(part => Buffer.isBuffer(part) ? part : Buffer.from(JSON.stringify(part)))
    .map(part => part.toString('base64url')).join('.'),
  'with a prefix': () => `gho_${randomBytes(18).toString('base64url')}`,
  short: () => `at-${randomBytes(4).toString('hex')}`
}

const places: Record<string, (token: string) => Record<string, unknown>> = {
  'in error': token => ({ error: token }),
  'in the middle of error': token => ({ error: `invalid_grant:${token}` }),
  'in error_description': token => ({ error: 'invalid_grant', error_description: `the token ${token} was not stored` }),
  'in quotes in error_description': token => ({ error: 'invalid_grant', error_description: `"${token}"` }),
  'escaped in error_description': token =>
    ({ error: 'invalid_grant', error_description: `token=${encodeURIComponent(token)}&x` }),
  'in error_uri': token => ({ error: 'invalid_grant', error_uri: `https://id.example/why?token=${token}` }),
  'in error.message': token => ({ error: { message: `${token} is no good`, type: 'OAuthException', code: 190 } }),
  'in error.type': token => ({ error: { message: 'no', type: token } }),
  'in error.code': token => ({ error: { message: 'no', code: token } }),
  'in a text that cannot be read': token => ({ 'not json': token }),
  'in the scope': token => ({ error: 'invalid_scope', scope: token }),
}

/** Logs in while the token endpoint answers something, as often as wanted; returns all that log and browser saw. */
async function observedLogin (t: Test): Promise<(token: Reply) => Promise<string>> {
  const log = captureLog()
  const { browser, url, provider, errors } = await loginApp(t, { fastify: { logger: log.logger } })
  return async (token) => {
    provider.wrong = { instead: { token } }
    const page = await browser.login(`${url}/login/acme`, asJson)
    t.ok(page.status >= 400)
    const shown = errors.flatMap(error => [error.message, JSON.stringify(error), error.stack, String(error.cause)])
    return [log.text, page.text, ...shown].join('\n')
  }
}

const isIn = (text: string, secret: string) => [secret, encodeURIComponent(secret)].some(form => text.includes(form))

for (const [kind, make] of Object.entries(kinds)) {
  t.test(`a fresh token (${kind}) that the provider writes into an error is in no log and no response`, async (t) => {
    const login = await observedLogin(t)
    for (const [place, answerWith] of Object.entries(places)) {
      for (const status of [400, 200]) {
        const token = make()
        const alone = answerWith(token)
        const beside = { ...alone, access_token: token, refresh_token: make() }
        const deep = { ...alone, result: { tokens: [{ access_token: token }] } }
        for (const body of status === 200 ? [alone, beside] : [alone, deep]) {
          t.notOk(isIn(await login({ status, body }), token), place)
        }
      }
    }
  })
}

t.test('a short token without any shape is taken out where it came in the same response', async (t) => {
  const login = await observedLogin(t)
  const body = { error: 'no', error_description: 'plums and more plums', refresh_token: 'plums' }
  t.notMatch(await login({ status: 400, body }), 'plums')
})

for (const text of [
  '{"access_token":"plums"}',
  '{\\"access_token\\" : \\"plums\\"}',
  '<access_token>plums</access_token>',
  "access_token: 'plums'",
  'array(access_token => plums)',
  'accessToken=plums',
  "refresh-token = 'plums'",
  'https://id.example/cb?id_token=plums'
]) {
  t.test(`a token without any shape is taken out where the text names it: ${text}`, async (t) => {
    const login = await observedLogin(t)
    t.notMatch(
      await login({ status: 400, body: { error: 'no', error_description: `the ${text} is no good` } }),
      'plums'
    )
    t.notMatch(await login({ status: 500, body: `<h1>Error</h1> ${text}` }), 'plums')
    t.notMatch(await login({ status: 200, body: text }), 'plums')
  })
}

t.test('a token that a 503 holds is in no log and no response', async (t) => {
  const login = await observedLogin(t)
  const token = kinds['a UUID']!()
  const body = {
    access_token: 'plainwords',
    note: `plainwords ${token}`,
    error: 'temporarily_unavailable',
    error_description: 'plainwords'
  }
  const seen = await login({ status: 503, body })
  t.notMatch(seen, 'plainwords')
  t.notOk(isIn(seen, token))
})

t.test('ten thousand tokens of each kind are known by their shape', async (t) => {
  const alphabets = { base64url: 24, base64: 24, hex: 16 } as const
  for (const [encoding, count] of Object.entries(alphabets)) {
    const tokens = Array.from({ length: 10_000 }, () => randomBytes(count).toString(encoding as BufferEncoding))
    const shown = tokens.filter(token => redact(`the token ${token} is no good`) !== 'the token [redacted] is no good')
    t.strictSame(shown, [], encoding)
  }
})

t.test('the words of an error are still there to be read', async (t) => {
  for (const text of [
    'invalid_grant', 'OAuthException', 'GraphMethodException', 'unsupported_response_type',
    'AADSTS70008: the code has expired', 'Bad Request', '21327 expired_token',
    'The redirect_uri http://localhost:3000/login/acme/callback is not registered (RFC-6749, section 4.1.3)'
  ]) t.equal(redact(text), text)
})

t.test('the text of an error is bounded, whatever its length, and takes no time', async (t) => {
  for (const part of ['a', 'a b ', 'aB1', 'https://', '<', '"', '/', '=', '.', '_a', 'tok=']) {
    t.ok(redact(part.repeat(1024 * 1024 / part.length), ['aB1aB1']).length <= 300, part)
  }
})

for (const name of ['error', 'error_description', 'error_uri']) {
  t.test(`a token in ${name} of a callback is in no log and no response`, async (t) => {
    for (const make of Object.values(kinds)) {
      const log = captureLog()
      const token = make()
      const app = await loginApp(t, {
        fastify: { logger: log.logger },
        wrong: {
          callback: (params) => {
            params.delete('code')
            params.set('error', 'server_error')
            params.set(name, `not ${token}`)
          }
        }
      })
      const page = await app.browser.login(`${app.url}/login/acme`, asJson)
      t.equal(page.status, 400)
      t.notOk(isIn(log.text + page.text, token), token)
    }
  })
}

t.test('a scope that holds a token, and thousands of scopes, are not written into the log', async (t) => {
  const log = captureLog()
  const token = kinds.base64url!()
  const app = await loginApp(t, {
    fastify: { logger: log.logger },
    provider: { scope: 'openid' },
    setup: (app) => { app.get('/refresh', async ({ oauth }) => (await oauth.refresh()).scope.length) }
  })
  await app.browser.login(`${app.url}/login/acme`)
  const scope = `openid ${token} ${Array.from({ length: 5000 }, (_, index) => `s${index}`).join(' ')}`
  app.provider.wrong = { tokens: { scope, id_token: undefined } }
  t.equal((await app.browser.get(`${app.url}/refresh`)).status, 200)
  t.match(log.text, 'granted another scope')
  t.notOk(isIn(log.text, token))
  t.ok(log.lines.every(line => JSON.stringify(line).length < 5000))
})

t.test('no list of scopes is searched for each scope of another: thousands would stop the event loop', async (t) => {
  class Unsearchable extends Array<string> {
    override includes (): boolean { throw new Error('searched from its beginning') }
    override indexOf (): number { throw new Error('searched from its beginning') }
  }
  const many = (name: string) => Unsearchable.from({ length: 20_000 }, (_, index) => `${name}${index}`) as Unsearchable
  const change = compareScope(many('granted'), many('asked'))
  t.equal(change?.missing.length, 20_000)
  t.equal(change?.added.length, 20_000)
  const text = JSON.stringify({ access_token: 'at1', scope: many('granted').join() })
  const context = { provider: 'acme', now: 1000, grantType: 'authorization_code', scope: many('asked') }
  const read = readTokenResponse({ status: 200, headers: {}, text }, context)
  t.match(read, { tokens: { scope: ['granted0', 'granted1'] } })
})

t.test('of what a provider grants beyond what was asked for, a thousand scopes are kept', async (t) => {
  const many = Array.from({ length: 20_000 }, (_, index) => `s${index}`).join(' ')
  const app = await loginApp(t, {
    wrong: { tokens: { scope: `openid ${'x'.repeat(5000)} ${many}` } },
    setup: (app) => { app.get('/scopes', async ({ oauth }) => oauth.scope) }
  })
  await app.browser.login(`${app.url}/login/acme`)
  const scope = (await app.browser.get(`${app.url}/scopes`)).json<string[]>()
  t.equal(scope.length, 1001)
  t.equal(scope[0], 'openid')
  t.notOk(scope.some(item => item.length > 1000))
})

// A fuzz with a seed: the same answers in every run.

const NASTY = [
  '', ' ', '\u0000', '\r\nset-cookie: a=b', '"><svg/onload=alert(1)>', '//evil.example',
  '\\', '%', '%00', '{', '[1', '\ud800', '🔑', 'null', '-1', '1e999', 'a'.repeat(3000)
]

t.test('three hundred logins with hostile token responses: no unexpected status, no token anywhere', async (t) => {
  const pick = randomNumbers(1)
  const one = <T>(list: readonly T[]): T => list[pick(list.length)]!
  const log = captureLog()
  const tokens: string[] = []
  const hostile = (): Reply => {
    const fresh = () => {
      const token = one(Object.values(kinds))()
      tokens.push(token)
      return token
    }
    const [access, refresh, id] = [fresh(), fresh(), fresh()]
    const text = (): unknown => one<() => unknown>([
      () => access, () => `about ${refresh}`, () => `${one(NASTY)}${id}${one(NASTY)}`, () => one(NASTY),
      () => ({ message: `m ${access}`, type: refresh, code: one([190, id]) }),
      () => [access], () => ({}), () => null, () => pick(2 ** 31), () => true, () => encodeURIComponent(access),
      () => `"access_token":"${refresh}"`
    ])()
    const names = [
      'access_token', 'refresh_token', 'id_token', 'error', 'error_description', 'error_uri', 'message', 'token_type',
      'expires_in', 'expires_at', 'scope', '__proto__', 'data'
    ]
    const issued: Record<string, string> = { access_token: access, refresh_token: refresh, id_token: id }
    const entries = names.filter(() => pick(2) === 0)
      .map((name): [string, unknown] => [name, name in issued && pick(3) > 0 ? issued[name] : text()])
    const body = JSON.stringify(Object.fromEntries(entries))
    const form = new URLSearchParams(entries.map(([name, value]): [string, string] => [name, String(value)])).toString()
    return {
      status: one([200, 200, 400, 400, 401, 403, 500, 503, 302, 429]),
      headers: {
        'content-type': one(['application/json', 'text/html', 'application/x-www-form-urlencoded']),
        'retry-after': one(['1', '-1', 'x', access])
      },
      body: one([
        body, body, form, body.slice(0, -pick(40)), body.replaceAll('"', "'"),
        `<p>${access}</p>${body}`, `${one(NASTY)}${body}`
      ])
    }
  }
  const app = await loginApp(t, { fastify: { logger: log.logger }, wrong: { instead: { token: hostile } } })
  const answers: string[] = []
  for (let round = 0; round < 300; round++) {
    const page = await new Browser().login(`${app.url}/login/acme`, round % 2 === 0 ? asJson : {})
    answers.push(page.text, JSON.stringify(page.headers))
    if (page.status >= 400 && round % 2 === 0) t.match(page.json().code, /^FST_OAUTH_/)
    if (page.status === 500) t.fail(page.text)
  }
  const errors = app.errors.map(error => `${error.stack} ${JSON.stringify(error)}`)
  const text = [log.text, ...answers, ...errors].join('\n')
  t.strictSame(tokens.filter(token => isIn(text, token)), [])
})

t.test('three hundred hostile callbacks: no unexpected status, no redirect off the site, no secret', async (t) => {
  const pick = randomNumbers(2)
  const one = <T>(list: readonly T[]): T => list[pick(list.length)]!
  const log = captureLog()
  const app = await loginApp(t, { fastify: { logger: log.logger } })
  const secrets: string[] = []
  let browser = new Browser()
  for (let round = 0; round < 300; round++) {
    if (round % 20 === 0) browser = new Browser()
    const returnTo = encodeURIComponent(one(NASTY).replace('\ud800', ''))
    const good = new URL(await callbackUrl(browser, `${app.url}/login/acme?returnTo=${returnTo}`)).searchParams
    const token = one(Object.values(kinds))()
    secrets.push(token, ...['code', 'state'].map(name => good.get(name)!))
    const params = new URLSearchParams(pick(2) === 0 ? good : {})
    for (let more = pick(4); more > 0; more--) {
      const value = one([token, one(NASTY), `x ${token}`, `${one(NASTY)}${good.get('code')}`])
      const names = ['error', 'error_description', 'error_uri', 'iss', 'access_token', 'id_token', 'returnTo']
      params.append(one(names), value)
    }
    const url = `${app.url}/login/acme/callback`
    const options = { redirect: 'manual' as const, ...(pick(2) === 0 && asJson) }
    const page = pick(3) === 0
      ? await browser.post(url, { form: params, ...options })
      : await browser.get(`${url}?${params}`, options)
    t.ok(page.status < 500 || page.status === 502 || page.status === 503, `${page.status} ${page.text.slice(0, 100)}`)
    if (page.location !== undefined) t.equal(new URL(page.location).origin, app.url)
    const shown = page.text + JSON.stringify({ ...page.headers, 'set-cookie': '', location: '' })
    t.notOk([token, good.get('code')!].some(secret => isIn(shown, secret)), page.text.slice(0, 500))
  }
  t.strictSame(log.leaked(secrets), [])
})

t.test('a secret is taken out in each form in which a server may repeat it', async (t) => {
  const secret = 'top secret+word'
  for (const form of [secret, 'top%20secret%2Bword', 'top+secret%2Bword']) {
    t.equal(redact(`no such client: ${form}.`, [secret]), 'no such client: [redacted].')
  }
})
