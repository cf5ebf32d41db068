import t from 'tap'
import { Gate } from '../helpers/gate.ts'
import { asJson, codeOf, finishTogether, loginApp } from '../helpers/login-app.ts'
import { postLogoutToken } from '../helpers/logout-token.ts'
import { createKey, type Signer } from '../helpers/signing-keys.ts'

// A provider that signs with another algorithm than the metadata lists that the app knows.

t.test('a provider that moves from RS256 to ES256 between two logins is asked for its metadata once more', async t => {
  const { provider, browser, url } = await loginApp(t)
  await browser.login(`${url}/login/acme`)
  provider.useAlgorithm('ES256')
  for (let login = 0; login < 2; login++) {
    t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
  }
  t.equal(provider.asked('discovery').length, 2)
  t.equal(provider.asked('keys').length, 2)
})

t.test('a provider that adds an algorithm, with its key under the old kid, is asked for its metadata once more',
  async t => {
    const { provider, browser, url } = await loginApp(t)
    await browser.login(`${url}/login/acme`)
    provider.keys.push({ ...createKey('PS256'), kid: provider.keys[0]!.kid })
    t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
    t.equal(provider.asked('discovery').length, 2)
  })

t.test('logins that meet a new algorithm at the same moment share one discovery, and all succeed', async t => {
  const app = await loginApp(t)
  const { provider, browser, url } = app
  await browser.login(`${url}/login/acme`)
  provider.useAlgorithm('ES256')
  const gate = new Gate()
  provider.wrong = { instead: { discovery: () => gate.pass() } }
  const pages = await finishTogether(app, gate)
  t.strictSame(pages.map(({ status }) => status), [200, 200, 200])
  t.equal(provider.asked('discovery').length, 2)
})

t.test('tokens of an algorithm that the provider has not do not cause a discovery each', async t => {
  const { provider, browser, url, errors } = await loginApp(t)
  await browser.login(`${url}/login/acme`)
  provider.wrong = { signedBy: createKey('ES256') }
  for (let login = 0; login < 3; login++) await browser.login(`${url}/login/acme`, asJson)
  t.strictSame(errors.map(({ reason }) => reason), ['alg', 'alg', 'alg'])
  t.equal(provider.asked('discovery').length, 2)
  t.equal(provider.asked('keys').length, 1)
})

t.test('no discovery for none and for symmetric algorithms', async t => {
  const { provider, browser, url, errors } = await loginApp(t)
  await browser.login(`${url}/login/acme`)
  const signers: Signer[] = ['none', { hmac: provider.clientSecret }]
  for (const signedBy of signers) {
    provider.wrong = { signedBy }
    await browser.login(`${url}/login/acme`, asJson)
  }
  t.strictSame(errors.map(({ reason }) => reason), ['alg', 'alg'])
  t.equal(provider.asked('discovery').length, 1)
})

t.test('metadata that cannot be had for a new algorithm says nothing of the token: 503, and the next login asks again',
  async t => {
    const { provider, browser, url } = await loginApp(t)
    await browser.login(`${url}/login/acme`)
    provider.useAlgorithm('ES256')
    provider.wrong = { instead: { discovery: { status: 503 }, oauthDiscovery: { status: 503 } } }
    t.equal(codeOf(await browser.login(`${url}/login/acme`, asJson)), 'FST_OAUTH_PROVIDER_UNAVAILABLE')
    provider.wrong = {}
    t.strictSame((await browser.login(`${url}/login/acme`)).json(), { user: 'alice' })
  })

t.test('a logout token of a new algorithm ends the login', async t => {
  const { provider, browser, url, userOf } = await loginApp(t)
  await browser.login(`${url}/login/acme`)
  provider.useAlgorithm('EdDSA')
  t.equal((await postLogoutToken(url, provider.logoutToken({ sub: 'alice' }))).status, 200)
  t.equal(await userOf(browser), null)
})
