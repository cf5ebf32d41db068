import t, { type Test } from 'tap'
import { microsoft, type MicrosoftOptions } from '../../lib/providers.ts'
import { Browser } from '../helpers/browser.ts'
import { asJson, assertLoggedOut, codeOf, loginApp } from '../helpers/login-app.ts'
import { postLogoutToken } from '../helpers/logout-token.ts'
import { matchEach } from '../helpers/match-each.ts'
import type { Misbehaviour } from '../helpers/misbehaving-provider.ts'
import { publicJwk } from '../helpers/signing-keys.ts'

// Entra's endpoints for many tenants (`common`, `organizations`, `consumers`): the metadata names no issuer, each ID
// token is its tenant's own, and a key may be for one tenant alone.

const CONTOSO = '8eaef023-2b34-4da1-9baa-8bc8c9d6a490'
const FABRIKAM = '72f988bf-86f1-41af-91ab-2d7cd011db47'
const PERSONAL = '9188040d-6c67-4c5b-b112-36a304b66dad'

/** An app with the preset, at a provider that stands for Entra. */
async function start (t: Test, options: Partial<MicrosoftOptions> = {}) {
  const built = await loginApp(t, {
    providers: provider => ({
      acme: microsoft({
        clientId: provider.clientId,
        clientSecret: provider.clientSecret,
        authority: provider.issuer,
        authorizationEndpoint: provider.url('authorization'),
        tokenEndpoint: provider.url('token'),
        jwksUri: provider.url('keys'),
        clientAuthentication: 'client_secret_basic',
        ...options
      })
    }),
    setup: app => {
      app.get('/refresh', async ({ oauth }) => ({ refreshed: (await oauth.refresh()).idToken !== undefined }))
    }
  })
  const { provider, browser, url } = built
  const issuerOf = (tenant: string) => `${provider.issuer}/${tenant}/v2.0`
  /** Logs in as a user of a tenant; `keyOf`: whose tokens the key may sign. */
  const from = (tenant: string, { claims, keyOf = '{tenantid}' }: { claims?: object, keyOf?: string } = {}) => {
    const wrong: Misbehaviour = {
      claims: { iss: issuerOf(tenant), tid: tenant, ...claims },
      keySet: { keys: provider.keys.map(key => publicJwk(key, { issuer: issuerOf(keyOf) })) }
    }
    provider.wrong = wrong
  }
  const login = async (who = browser) => await who.login(`${url}/login/acme`, asJson)
  return { ...built, issuerOf, from, login }
}

const may: [tenant: string | undefined, from: string, in_: boolean][] = [
  [undefined, CONTOSO, true],
  ['common', CONTOSO, true],
  ['common', PERSONAL, true],
  ['organizations', CONTOSO, true],
  ['organizations', PERSONAL, false],
  ['consumers', PERSONAL, true],
  ['consumers', CONTOSO, false],
  [CONTOSO, CONTOSO, true],
  [CONTOSO, FABRIKAM, false]
]

for (const [tenant, account, isIn] of may) {
  const who = account === PERSONAL ? 'a personal account' : account === CONTOSO ? 'Contoso' : 'Fabrikam'
  t.test(`tenant ${tenant ?? 'left out'}: a login of ${who} is ${isIn ? 'taken' : 'refused'}`, async t => {
    const app = await start(t, tenant === undefined ? {} : { tenant })
    app.from(account)
    const page = await app.login()
    if (isIn) return t.strictSame(page.json(), { user: 'alice' })
    t.equal(codeOf(page), 'FST_OAUTH_INVALID_ID_TOKEN')
    matchEach(t, app.errors, [{ reason: 'iss' }])
    await assertLoggedOut(t, app)
  })
}

const refusals: Record<string, Parameters<Awaited<ReturnType<typeof start>>['from']>> = {
  'whose issuer is another tenant than tid': [CONTOSO, { claims: { tid: FABRIKAM } }],
  'without tid': [CONTOSO, { claims: { tid: undefined } }],
  'whose issuer is the template itself': ['{tenantid}'],
  'whose issuer is common': ['common'],
  'signed with the key of personal accounts': [CONTOSO, { keyOf: PERSONAL }],
  'signed with the key of another tenant': [CONTOSO, { keyOf: FABRIKAM }],
  'of another authority': [CONTOSO, { claims: { iss: `https://evil.example/${CONTOSO}/v2.0` } }]
}

for (const [name, wrong] of Object.entries(refusals)) {
  t.test(`common: an ID token ${name} is refused`, async t => {
    const app = await start(t)
    app.from(...wrong)
    t.equal(codeOf(await app.login()), 'FST_OAUTH_INVALID_ID_TOKEN')
    matchEach(t, app.errors, [{ reason: 'iss' }])
    await assertLoggedOut(t, app)
  })
}

t.test('common: a refresh keeps tenant and subject; one of another tenant ends the login', async t => {
  const app = await start(t)
  const { browser, url } = app
  app.from(CONTOSO)
  await app.login()
  t.strictSame((await browser.get(`${url}/refresh`)).json(), { refreshed: true })
  t.equal(await app.userOf(browser), 'alice')
  app.from(FABRIKAM)
  t.equal(codeOf(await browser.get(`${url}/refresh`, asJson)), 'FST_OAUTH_LOGIN_ENDED')
  await assertLoggedOut(t, app)
})

t.test('common: a logout token ends the subject of its own tenant alone', async t => {
  const app = await start(t)
  const [contoso, fabrikam] = [new Browser(), new Browser()]
  app.from(CONTOSO)
  await app.login(contoso)
  app.from(FABRIKAM)
  await app.login(fabrikam)
  app.from(CONTOSO)
  const token = (tid: string) =>
    app.provider.logoutToken({ sub: 'alice', iss: app.issuerOf(CONTOSO), tid })
  t.equal((await postLogoutToken(app.url, token(FABRIKAM))).status, 400)
  t.equal((await postLogoutToken(app.url, token(CONTOSO))).status, 200)
  t.strictSame([await app.userOf(contoso), await app.userOf(fabrikam)], [null, 'alice'])
})

t.test('common: a logout goes on to the end-session endpoint with the ID token of the login', async t => {
  const app = await start(t)
  app.from(CONTOSO)
  await app.login()
  const { location } = await app.browser.post(`${app.url}/logout`, { redirect: 'manual' })
  const { pathname, searchParams } = new URL(location!)
  t.equal(pathname, '/common/oauth2/v2.0/logout')
  t.ok(app.provider.secrets.includes(searchParams.get('id_token_hint')!))
  t.equal(searchParams.get('post_logout_redirect_uri'), `${app.url}/logout/callback`)
})

t.test('common: a portal cannot start a login by the issuer of a tenant, which only an ID token proves', async t => {
  const app = await start(t)
  const query = new URLSearchParams({ iss: app.issuerOf(CONTOSO) })
  t.equal((await app.browser.get(`${app.url}/login?${query}`, asJson)).status, 404)
})

t.test('the issuer of many tenants, discovered without the preset: the error says what to use', async t => {
  const { provider, browser, url, errors } = await loginApp(t)
  provider.wrong = { metadata: { issuer: `${provider.issuer}/{tenantid}/v2.0` } }
  await browser.get(`${url}/login/acme`, asJson)
  matchEach(t, errors, [{ code: 'FST_OAUTH_INVALID_OPTIONS', reason: 'issuer_mismatch', message: /use microsoft\(\)/ }])
})
