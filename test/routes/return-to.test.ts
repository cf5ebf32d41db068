import t from 'tap'
import { safeReturnTo } from '../../lib/routes/return-to.ts'
import { Browser } from '../helpers/browser.ts'
import { callbackUrl, loginApp, type LoginApp } from '../helpers/login-app.ts'

// Where a login comes back to.

/** Logs in with a returnTo and returns the callback's Location, as it stands in the header. */
async function locationAfterLogin ({ url }: LoginApp, query: string): Promise<string | undefined> {
  const browser = new Browser()
  const callback = await callbackUrl(browser, `${url}/login/acme?${query}`)
  return (await browser.get(callback, { redirect: 'manual' })).headers.location
}

t.test('open redirect: a login leads to no other place than the app', async (t) => {
  const app = await loginApp(t)
  const { host } = new URL(app.url)
  const elsewhere = [
    '//evil.example',
    '///evil.example',
    '////evil.example/',
    '//evil.example\\@x',
    '/\\evil.example',
    '\\/evil.example',
    '\\\\evil.example',
    '/\\/evil.example',
    '/\t/evil.example',
    '\t//evil.example',
    '/\n/evil.example',
    '/\r/evil.example',
    ' //evil.example',
    '/ /evil.example',
    '\u0000//evil.example',
    '/.//evil.example',
    '/..//evil.example',
    '/x/..//evil.example',
    '/x/../..//evil.example',
    '/%2e//evil.example',
    '/%2e%2e//evil.example',
    '/x/%2E%2e//evil.example',
    '/./\\evil.example',
    'https://evil.example',
    'http://evil.example/',
    'HTTPS://evil.example',
    'https:evil.example',
    'https:/evil.example',
    'http:///evil.example',
    '//evil.example:80',
    `http://${host}.evil.example/`,
    `http://${host}@evil.example/`,
    `http://user@${host}/`,
    `http://evil.example\\@${host}/`,
    `http://${host}:1@evil.example/`,
    `https://${host}/`,
    'javascript:alert(1)',
    'JavaScript:alert(1)',
    'java\nscript:alert(1)',
    'data:text/html,<script>alert(1)</script>',
    `blob:http://${host}/x`,
    'mailto:a@b',
    'about:blank',
    'orders',
    './orders',
    '?a=b',
    '#top',
    '',
    '.',
    '/\r\nset-cookie: a=b',
    '/\r\n\r\n<script>',
    `/${'a'.repeat(5000)}`
  ]
  for (const returnTo of elsewhere) {
    t.equal(
      await locationAfterLogin(app, new URLSearchParams({ returnTo }).toString()),
      '/',
      JSON.stringify(returnTo.slice(0, 60))
    )
  }
})

t.test('a login comes back to the path that it was given', async (t) => {
  const app = await loginApp(t)
  for (const [returnTo, location] of [
    ['/orders', '/orders'],
    ['/orders?a=b&c=%2F%2Fevil.example#top', '/orders?a=b&c=%2F%2Fevil.example#top'],
    ['/?next=https://evil.example', '/?next=https://evil.example'],
    ['/a//b', '/a//b'],
    ['/@evil.example', '/@evil.example'],
    ['/%5cevil.example', '/%5cevil.example'],
    ['/%0d%0aset-cookie:a=b', '/%0d%0aset-cookie:a=b'],
    ['/x/../orders', '/orders'],
    ['/grüße/日本', '/gr%C3%BC%C3%9Fe/%E6%97%A5%E6%9C%AC'],
    ['/100%', '/100%'],
    [`${app.url}/orders?a=b`, '/orders?a=b'],
  ] as const) {
    t.equal(await locationAfterLogin(app, new URLSearchParams({ returnTo }).toString()), location)
  }
})

t.test('several returnTo lead to the start page', async (t) => {
  t.equal(await locationAfterLogin(await loginApp(t), 'returnTo=/a&returnTo=//evil.example'), '/')
})

// oidcc-client-test-3rd-party-init-login
t.test('a login that a third party begins is like any other, and its target_link_uri leads nowhere', async (t) => {
  const { provider, browser, url } = await loginApp(t)
  const query = new URLSearchParams({
    iss: provider.issuer,
    login_hint: 'alice',
    target_link_uri: 'https://evil.example/'
  })
  const page = await browser.get(`${url}/login/acme?${query}`, { from: 'https://portal.example/' })
  t.equal(page.url, `${url}/`)
  t.strictSame(page.json(), { user: 'alice' })
})

t.test('open redirect: a page that asks for a login does not lead elsewhere after it', async (t) => {
  const { app, browser, url } = await loginApp(t, {
    setup: (app) => { app.get('/*', { onRequest: app.oauth.requireLogin() }, async () => 'members only') }
  })
  const { headers } = await app.inject({ url: '//evil.example/x', headers: { accept: 'text/html' } })
  const callback = await callbackUrl(browser, new URL(headers.location!, url).href)
  t.equal((await browser.get(callback, { redirect: 'manual' })).headers.location, '/')
})

t.test(
  "of a visitor's parameters only those that the options name go to the provider, never those that protect the login",
  async t => {
    const forwardedLoginParams = [
      'login_hint', 'prompt', 'state', 'nonce', 'redirect_uri', 'code_challenge', 'response_mode', 'client_id'
    ]
    const { browser, url, provider } = await loginApp(t, { provider: { forwardedLoginParams } })
    const query = new URLSearchParams({
      login_hint: 'alice',
      prompt: 'login',
      scope: 'openid admin',
      acr_values: 'low',
      max_age: '99999',
      claims: '{}'
    })
    for (const name of forwardedLoginParams.slice(2)) query.set(name, 'chosen')
    await browser.login(`${url}/login/acme?${query}&prompt=none`)
    const { query: asked } = provider.asked('authorization')[0]!
    t.equal(asked.get('login_hint'), 'alice')
    t.equal(asked.get('prompt'), null, 'given twice it is none')
    t.strictSame([...asked.values()].filter(value => value === 'chosen'), [])
    t.strictSame(
      ['scope', 'acr_values', 'max_age', 'claims'].map(name => asked.get(name)),
      ['openid', null, null, null]
    )
  }
)

// One check alone: at a login the path is read twice, and a value that one reading lets through may be caught by the
// other.
const base = new URL('https://app.example/shop/')

for (const value of [
  '//evil.example',
  '///evil.example',
  '/\\evil.example',
  '\\/evil.example',
  '\\\\evil.example',
  '/\\/evil.example',
  '/x\\y',
  '/x\\..\\y',
  '/.\\/evil.example',
  '/.//evil.example',
  '/..//evil.example',
  '/x/..//evil.example',
  '/%2e//evil.example',
  '/x/%2E%2e//evil.example',
  '/./\\evil.example',
  '/\t/evil.example',
  '/\n/evil.example',
  '/\r/evil.example',
  '/ /evil.example',
  '/a b',
  '/\u0000',
  '/\u007f',
  '/x\r\nset-cookie: a=b',
  'https://evil.example/',
  'https://app.example//evil.example',
  'https://app.example/.//evil.example',
  'https://app.example.evil.example/',
  'https://app.example@evil.example/',
  'http://app.example/',
  'https:evil.example',
  'javascript:alert(1)',
  'data:text/html,x',
  'x',
  '',
  undefined,
  null,
  1,
  ['/'],
  `/${'a'.repeat(5000)}`,
  `/${'ä'.repeat(1000)}` // six characters each, as it is sent
]) {
  t.test(`${JSON.stringify(value)?.slice(0, 60)} is not followed`, async (t) => {
    t.equal(safeReturnTo(value, base), undefined)
  })
}

for (const [value, expected] of Object.entries({
  '/': '/',
  '/a/b?c=d#e': '/a/b?c=d#e',
  '/a?b=//evil.example': '/a?b=//evil.example',
  '/a?b=\\x': '/a?b=\\x',
  '/a//b': '/a//b',
  '/%5cevil.example': '/%5cevil.example',
  'https://app.example/a': '/a',
  '/a/../b': '/b',
  '/./a': '/a',
  '/ä?ö': '/%C3%A4?%C3%B6'
})) {
  t.test(`${value} is followed as ${expected}, on the app's origin`, async (t) => {
    t.equal(safeReturnTo(value, base), expected)
    t.equal(new URL(expected, base).origin, base.origin)
    t.equal(safeReturnTo(expected, base), expected, 'the same when it is read once more')
  })
}
