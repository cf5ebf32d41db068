import t, { type Test } from 'tap'
import { Browser } from '../helpers/browser.ts'
import { appAt, asJson, codeOf, loginApp, type LoginAppOptions } from '../helpers/login-app.ts'
import { startMisbehavingProvider } from '../helpers/misbehaving-provider.ts'
import { startProvider } from '../helpers/provider.ts'

// A login that a third party initiates (OpenID Connect Core, section 4).

const PORTAL = 'https://portal.example/apps'

async function start (t: Test, options: LoginAppOptions = {}) {
  const app = await loginApp(t, options)
  const query = (params: Record<string, string>) => new URLSearchParams({ iss: app.provider.issuer, ...params })
  const sent = () => app.provider.asked('authorization').at(-1)?.query
  return { ...app, query, sent }
}

t.test('oidcc-client-test-3rd-party-init-login: a login that another site asks for, against oidc-provider', async t => {
  const provider = await startProvider(t, { host: 'localhost' })
  const { browser, url } = await appAt(t, provider)
  const query = new URLSearchParams({
    iss: provider.issuer, login_hint: 'alice', target_link_uri: `${url}/?from=portal`
  })
  const form = await browser.get(`${url}/login?${query}`, { from: PORTAL })
  t.match(form.text, /name="login" value="alice"/, 'the provider got the hint')
  const page = await browser.submitForm(form, { password: 'alice-password' })
  t.equal(page.url, `${url}/?from=portal`)
  t.strictSame(page.json(), { user: 'alice' })
})

t.test('a third party may name the provider in the path, and post a form', async t => {
  const { browser, url, query, sent } = await start(t)
  const target = { target_link_uri: `${url}/?from=portal`, login_hint: 'alice' }
  const first = await browser.get(`${url}/login/acme?${query(target)}`, { from: PORTAL })
  t.equal(first.url, `${url}/?from=portal`)
  const other = new Browser()
  const posted = await other.post(`${url}/login/acme`, { form: query(target), from: PORTAL })
  t.equal(posted.url, `${url}/?from=portal`)
  t.equal(sent()?.get('login_hint'), 'alice')
})

for (const [what, target] of Object.entries({
  'another site': 'https://evil.example/',
  'another site, without a scheme': '//evil.example/',
  'another port': 'http://127.0.0.1:1/',
  'a script': 'javascript:alert(1)'
})) {
  t.test(`a target_link_uri that is ${what} leads to the start page`, async t => {
    const { browser, url, query } = await start(t)
    const page = await browser.get(`${url}/login?${query({ target_link_uri: target })}`, { from: PORTAL })
    t.equal(page.url, `${url}/`)
    t.equal(page.status, 200)
  })
}

t.test('the issuer chooses among several providers; of two clients at one issuer the default one is meant', async t => {
  const one = await startMisbehavingProvider(t)
  const two = await startMisbehavingProvider(t)
  const { browser, url } = await appAt(t, one, {
    providers: () => ({
      one: one.providerOptions, other: two.providerOptions, two: two.providerOptions
    }),
    oauth: { defaultProvider: 'two' }
  })
  const start = async (issuer: string) =>
    (await browser.get(`${url}/login?${new URLSearchParams({ iss: issuer })}`, { redirect: 'manual' })).location
  t.match(await start(one.issuer), new RegExp(`^${one.issuer}/authorize\\?.*login%2Fone%2Fcallback`))
  t.match(await start(two.issuer), new RegExp(`^${two.issuer}/authorize\\?.*login%2Ftwo%2Fcallback`))
})

for (const [what, issuer] of Object.entries({
  'is not configured': ['https://evil.example'],
  'differs by a slash': [],
  'is there twice': ['https://evil.example', 'https://other.example'],
  'is empty': ['']
})) {
  t.test(`an issuer that ${what} starts no login`, async t => {
    const { browser, url, provider } = await start(t)
    const query = new URLSearchParams()
    for (const iss of issuer.length === 0 ? [`${provider.issuer}/`] : issuer) query.append('iss', iss)
    for (const path of ['/login', '/login/acme']) {
      const page = await browser.get(`${url}${path}?${query}`, { ...asJson, redirect: 'manual' })
      t.equal(page.status, 404)
      t.equal(codeOf(page), 'FST_OAUTH_UNKNOWN_PROVIDER')
      t.notOk(page.text.includes(provider.issuer), 'the answer names no issuer')
    }
    t.equal(provider.asked('authorization').length, 0)
    t.strictSame(browser.cookies, [])
  })
}

t.test('a form without an issuer starts no login', async t => {
  const { browser, url } = await start(t)
  const page = await browser.post(`${url}/login/acme`, { form: { login_hint: 'alice' }, from: PORTAL, ...asJson })
  t.match(page, { status: 404 })
})

t.test('a frame, an image and a script start no login', async t => {
  const { app, query, provider } = await start(t)
  for (const dest of ['iframe', 'image', 'script']) {
    const { statusCode } = await app.inject({
      url: `/login?${query({})}`, headers: { 'sec-fetch-dest': dest, 'sec-fetch-site': 'cross-site' }
    })
    t.equal(statusCode, 403)
  }
  t.equal(provider.asked('authorization').length, 0)
})

t.test('a third party adds no account to a login: its login takes the place of the one before', async t => {
  const { browser, url, query, provider } = await start(t)
  await browser.login(`${url}/login/acme`)
  provider.subject = 'mallory'
  const page = await browser.get(`${url}/login?${query({ link: 'true', scope: 'everything' })}`, { from: PORTAL })
  t.strictSame(page.json(), { user: 'mallory' })
  t.equal(provider.asked('authorization').at(-1)?.query.get('scope'), 'openid')
})

t.test('a login_hint that is too long, or there twice, is left out', async t => {
  const { browser, url, query, sent } = await start(t)
  await browser.get(`${url}/login?${query({ login_hint: 'a'.repeat(1_025) })}`)
  t.notOk(sent()?.has('login_hint'))
  await browser.get(`${url}/login?${query({ login_hint: 'a' })}&login_hint=b`)
  t.notOk(sent()?.has('login_hint'))
})

t.test('without an issuer neither login_hint nor target_link_uri counts', async t => {
  const { browser, url, sent } = await start(t)
  const page = await browser.get(`${url}/login?login_hint=alice&target_link_uri=${encodeURIComponent(`${url}/?hello`)}`)
  t.equal(page.url, `${url}/`)
  t.notOk(sent()?.has('login_hint'))
})
