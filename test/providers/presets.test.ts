import { generateKeyPairSync } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { compileFunction } from 'node:vm'
import t, { type Test } from 'tap'
import { buildApp } from '../helpers/build-app.ts'
import { APPLE_KEY, presetCases } from '../helpers/preset-cases.ts'
import { SimulatedProvider, verifiedClaims } from '../helpers/simulated-provider.ts'
import { fencedBlocks } from '../types/markdown.ts'
import { createProvider, type ProviderOptions, type TokenSet } from '../../lib/index.ts'
import { appleClientSecret } from '../../lib/oauth/apple-client-secret.ts'
import * as presets from '../../lib/providers.ts'
import { preset } from '../../lib/providers/presets/preset.ts'

/** All but those whose provider has shut its logins down. */
const OPEN = Object.keys(presets).filter(name => name !== 'fitbit').sort()
const client = { clientId: 'client', clientSecret: 'secret' }
/** Epoch seconds at which the exchanges of this file happen. */
const NOW = 1_800_000_000
const errorOf = (promise: Promise<unknown>) =>
  promise.then(() => undefined, (error: unknown) => error)
const tryTo = <T>(make: () => T): T | unknown => {
  try {
    return make()
  } catch (error) {
    return error
  }
}

t.test('what the app says wins over the preset', async t => {
  const facts = {
    title: 'Acme',
    scope: ['openid'],
    clientAuthentication: 'client_secret_basic' as const,
    authorizationParams: { prompt: 'consent', access_type: 'offline' },
    hooks: { accessTokenRequest: () => "the preset's", protectedRequest: () => "the preset's" }
  }

  t.test('single options', async t => {
    t.match(preset(facts, { ...client, title: 'Our login', scope: 'a b' }), {
      title: 'Our login',
      scope: 'a b',
      clientId: 'client',
      clientSecret: 'secret'
    })
  })

  t.test('a variable that is not set replaces nothing', async t => {
    const options = preset(facts, {
      ...client,
      title: undefined as unknown as string,
      scope: undefined as unknown as string
    })
    t.strictSame([options.title, options.scope], ['Acme', ['openid']])
  })

  t.test('parameters are added, replaced one by one, and taken away by null', async t => {
    const params = (given: ProviderOptions['authorizationParams']) =>
      preset(facts, { ...client, authorizationParams: given }).authorizationParams
    t.strictSame(params({ hd: 'example.com' }), { prompt: 'consent', access_type: 'offline', hd: 'example.com' })
    t.strictSame(params({ prompt: 'select_account' }), { prompt: 'select_account', access_type: 'offline' })
    t.equal(
      String(params(new URLSearchParams('prompt=login&hd=example.com'))),
      'access_type=offline&prompt=login&hd=example.com'
    )

    const { provider } = simulated(t, 'google')
    const google = createProvider(presets.google({ ...client, offline: true, authorizationParams: { prompt: null } }), {
      dispatcher: provider
    })
    t.after(() => google.close())
    const { url } = await google.authorizationUrl()
    const query = new URL(url).searchParams
    t.strictSame([query.get('access_type'), query.get('prompt')], ['offline', null])
  })

  t.test('hooks are replaced one by one', async t => {
    const protectedRequest = () => "the app's"
    t.strictSame(preset(facts, { ...client, hooks: { protectedRequest } }).hooks, { ...facts.hooks, protectedRequest })
  })

  t.test('without a secret the app is a public client, unless it says how it authenticates', async t => {
    t.equal(preset(facts, client).clientAuthentication, 'client_secret_basic')
    t.equal(preset(facts, { clientId: 'client' }).clientAuthentication, 'none')
    t.equal(
      preset(facts, { clientId: 'client', clientAuthentication: 'private_key_jwt' }).clientAuthentication,
      'private_key_jwt'
    )
    const authenticate = () => {}
    t.equal(
      presets.apple({
        clientId: 'client',
        teamId: 'T',
        keyId: 'K',
        privateKey: 'P',
        clientAuthentication: authenticate
      }).clientAuthentication,
      authenticate
    )
  })
})

t.test('what a preset cannot do without is named where it is missing', async t => {
  const needs = (preset: string, field: string, how: string) => ({
    code: 'FST_OAUTH_INVALID_OPTIONS',
    message: `${preset}() needs \`${field}\`, and it is ${how}`
  })
  t.match(
    tryTo(() => presets.apple({ ...client, teamId: 'T', keyId: '', privateKey: 'P' })),
    needs('apple', 'keyId', 'empty')
  )
  t.match(tryTo(() => presets.auth0({ ...client } as presets.Auth0Options)), needs('auth0', 'domain', 'missing'))
  t.match(tryTo(() => presets.okta({ ...client } as presets.OktaOptions)), needs('okta', 'domain', 'missing'))
  const signing = { clientId: 'a', domain: 'd', clientAuthentication: 'private_key_jwt' } as const
  t.match(tryTo(() => presets.okta(signing)), needs('okta', 'clientKeys', 'missing'), 'found at boot')
  t.match(
    tryTo(() => presets.keycloak({ ...client, baseUrl: 'https://id.example.com' } as presets.KeycloakOptions)),
    needs('keycloak', 'realm', 'missing')
  )
  t.match(
    tryTo(() => presets.cognito({ ...client, domain: 'd', userPoolId: 'p' } as presets.CognitoOptions)),
    needs('cognito', 'region', 'missing')
  )
  t.match(
    tryTo(() => presets.plentymarkets({ ...client } as presets.PlentymarketsOptions)),
    needs('plentymarkets', 'baseUrl', 'missing')
  )
  t.match(
    tryTo(() => presets.microsoft({ ...client, tenant: 'common/../evil' })),
    { code: 'FST_OAUTH_INVALID_OPTIONS', message: /tenant/ }
  )
})

t.test('a preset that is called without options says what it needs', async t => {
  const error = { code: 'FST_OAUTH_INVALID_OPTIONS', message: /write \{ clientId, clientSecret \}/ }
  for (const name of OPEN) {
    const make = presets[name as keyof typeof presets] as (options?: unknown) => unknown
    for (const options of [undefined, null, 'the id']) t.throws(() => make(options), error, name)
  }
})

t.test('clientAssertion: what the app says is added to what the preset says, and checked', async t => {
  const assertion = async (clientAssertion: ProviderOptions['clientAssertion']) => {
    const options = presets.okta({ ...client, domain: 'd', clientAssertion: clientAssertion! }).clientAssertion
    return await (options as (context: object) => unknown)({ endpoint: 'https://d/token', issuer: undefined })
  }
  t.strictSame(await assertion({ header: { kid: 'k' } }), { audience: 'https://d/token', header: { kid: 'k' } })
  t.strictSame(await assertion(() => ({ audience: 'https://d' })), { audience: 'https://d', header: {} })
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const key = { ...client, clientKeys: privateKey }
  const microsoft = (own: unknown) => presets.microsoft({ ...key, clientAssertion: own as never })
  const merged = microsoft({ header: { kid: 'k', alg: 'RS256' } }).clientAssertion
  t.strictSame(merged, { header: { typ: 'JWT', alg: 'RS256', kid: 'k' } })
  t.strictSame(microsoft({}).clientAssertion, { header: { typ: 'JWT', alg: 'PS256', kid: undefined } })
  for (const own of ['text', { aud: 'a' }]) {
    t.throws(() => createProvider(microsoft(own)), { code: 'FST_OAUTH_INVALID_OPTIONS', message: /clientAssertion/ })
  }
})

t.test('a secret whose variable is not set is refused when the app starts, and makes no public client', async t => {
  for (const make of [presets.spotify, presets.google, presets.github]) {
    const providers = { acme: make({ clientId: 'client', clientSecret: undefined as unknown as string }) }
    await t.rejects(buildApp(t, { oauth: { baseUrl: 'https://app.example.com', providers } }), {
      code: 'FST_OAUTH_INVALID_OPTIONS',
      message: /acme\.clientSecret/
    })
  }
})

t.test('apple: a key that cannot sign is refused at once, and not shown', async t => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({
    type: 'pkcs8',
    format: 'pem'
  }) as string
  const sec1 = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
    type: 'sec1',
    format: 'pem'
  }) as string
  for (const privateKey of ['AuthKey_ABC.p8', APPLE_KEY.slice(0, 60), rsa, sec1]) {
    const error = tryTo(() => presets.apple({ clientId: 'client', teamId: 'T', keyId: 'K', privateKey })) as Error & {
      code?: string
    }
    t.equal(error.code, 'FST_OAUTH_INVALID_OPTIONS')
    t.match(error.message, /\.p8 file/)
    const [first, second] = privateKey.split('\n')
    t.notOk(error.message.includes(second ?? first!), error.message)
  }
})

t.test('what a preset cannot use is named', async t => {
  const wrong: Record<string, () => unknown> = {
    'google() takes true or false as `offline`, and it is "yes"': () =>
      presets.google({ ...client, offline: 'yes' as never }),
    'gitlab() takes a string that is not empty as `baseUrl`, and it is ""': () =>
      presets.gitlab({ ...client, baseUrl: '' }),
    'microsoft() has a `tenant`': () => presets.microsoft({ ...client, tenant: 5 as never }),
    'facebook() has a `version`': () => presets.facebook({ ...client, version: '25' }),
    'microsoft() takes the origin of a login server as `authority`': () =>
      presets.microsoft({
        ...client,
        authority: 'https://login.microsoftonline.us/contoso'
      }),
    'microsoft() takes a string that is not empty': () => presets.microsoft({ ...client, authority: '' }),
    'github() takes { baseUrl } as `enterprise`': () =>
      presets.github({
        ...client,
        enterprise: 'https://github.example.com' as never
      }),
    'github() needs `enterprise.baseUrl`': () => presets.github({ ...client, enterprise: {} as never }),
    'cognito() takes "ORIGINAL" or "UPDATED" as `issuerType`': () =>
      presets.cognito({
        ...client,
        domain: 'd',
        region: 'r',
        userPoolId: 'p',
        issuerType: 'updated' as never
      }),
    'slack() cannot ask for "openid" beside `userScope` or `actAs`': () =>
      presets.slack({
        ...client,
        scope: 'openid',
        userScope: 'users:read'
      }),
    'slack() takes "bot" or "user" as `actAs`': () => presets.slack({ ...client, actAs: 'robot' as never }),
    'slack() takes a list of strings or one string with spaces as `userScope`': () =>
      presets.slack({ ...client, userScope: 5 as never }),
    'mailchimp() takes a list of names like "us6" as `dataCenters`': () =>
      presets.mailchimp({ ...client, dataCenters: 'us6' as never }),
    'ebay() takes true or false as `sandbox`, and it is "false"': () =>
      presets.ebay({ ...client, sandbox: 'false' as never }),
    'paypal() takes true or false as `sandbox`, and it is 1': () =>
      presets.paypal({ ...client, sandbox: 1 as never }),
    'salesforce() takes true or false as `sandbox`, and it is "yes"': () =>
      presets.salesforce({ ...client, sandbox: 'yes' as never }),
    'salesforce() takes a string that is not empty as `domain`, and it is ""': () =>
      presets.salesforce({ ...client, domain: '' }),
    'salesforce() takes `domain` or `sandbox`, not both': () =>
      presets.salesforce({ ...client, domain: 'example.my.salesforce.com', sandbox: true }),
    'vk() takes "id.vk.ru" or "id.vk.com" as `domain`': () =>
      presets.vk({ ...client, domain: 'vk.com' as never }),
    'reddit() takes a string that is not empty as `userAgent`, and it is ""': () =>
      presets.reddit({ ...client, userAgent: '' }),
    'notion() takes a string that is not empty as `version`, and it is 2025': () =>
      presets.notion({ ...client, version: 2025 as never }),
    'auth0() takes a string that is not empty as `audience`, and it is ""': () =>
      presets.auth0({ ...client, domain: 'd', audience: '' }),
    'okta() takes a string that is not empty as `authorizationServer`, and it is true': () =>
      presets.okta({ ...client, domain: 'd', authorizationServer: true as never }),
    'cognito() takes a string that is not empty as `logoutUri`, and it is ""': () =>
      presets.cognito({ ...client, domain: 'd', region: 'r', userPoolId: 'p', logoutUri: '' })
  }
  for (const [message, make] of Object.entries(wrong)) {
    const error = tryTo(make) as Error & { code?: string }
    t.equal(error.code, 'FST_OAUTH_INVALID_OPTIONS', message)
    t.ok(error.message.includes(message), error.message)
  }
})

t.test('linkedin: a login may ask for another scope, and no scope brings a nonce', async t => {
  const { app } = await buildApp(t, {
    oauth: { baseUrl: 'https://app.example.com', providers: { linkedin: presets.linkedin(client) } },
    setup: app => {
      app.get('/share', (request, reply) => request.oauth.login(reply, { scope: ['openid', 'w_member_social'] }))
    }
  })
  const query = new URL((await app.inject('/share')).headers.location as string).searchParams
  t.strictSame(
    [query.get('scope'), query.get('nonce'), query.get('code_challenge')],
    ['openid w_member_social', null, null]
  )
})

t.test('a misspelled option is refused when the app starts, as everywhere', async t => {
  const options = presets.google({ ...client, ofline: true } as presets.GoogleOptions)
  await t.rejects(buildApp(t, { oauth: { baseUrl: 'https://app.example.com', providers: { google: options } } }), {
    code: 'FST_OAUTH_INVALID_OPTIONS',
    message: /google\.ofline/
  })
})

t.test('what docs/providers.md says of each one can be registered', async t => {
  const sections = (await readFile(new URL('../../docs/providers.md', import.meta.url), 'utf8')).split(/^## /m).slice(1)
  const env = new Proxy({}, { get: (_env, name) => (name === 'APPLE_PRIVATE_KEY' ? APPLE_KEY : `the ${String(name)}`) })
  const documented = sections.map(section => {
    const [title = ''] = section.split('\n')
    const examples = fencedBlocks(section).filter(({ language }) => language === 'js')
    for (const { code } of examples) {
      const options = compileFunction(`return ${code}`, ['env', ...Object.keys(presets)])(
        env,
        ...Object.values(presets)
      ) as ProviderOptions
      t.equal(options.title, title)
      t.doesNotThrow(() => createProvider(options), title)
    }
    t.match(section, /^- Documentation: \[.+\]\(https:\/\/.+\)/m, `${title}: the provider's own documentation`)
    return /^\w+/.exec(examples[0]?.code ?? '')?.[0]
  })
  t.strictSame(documented.sort(), OPEN)
})

t.test('a login that was cancelled is access denied, in the words of LinkedIn, Apple and LINE too', async t => {
  for (const [name, word] of [
    ['linkedin', 'user_cancelled_login'],
    ['linkedin', 'user_cancelled_authorize'],
    ['apple', 'user_cancelled_authorize'],
    ['line', 'ACCESS_DENIED'],
    ['vk', 'access_denied']
  ] as const) {
    const row = presetCases[name]!
    const provider = new SimulatedProvider(row)
    t.after(() => provider.close())
    const providers = { acme: row.preset({ clientId: provider.clientId, clientSecret: provider.clientSecret }) }
    const { app } = await buildApp(t, {
      oauth: { baseUrl: 'https://app.example.com', providers, dispatcher: provider }
    })
    const begun = await app.inject('/login/acme')
    const state = new URL(begun.headers.location as string).searchParams.get('state')!
    const cookies = Object.fromEntries(begun.cookies.map(({ name, value }) => [name, value]))
    const params = String(new URLSearchParams({ state, error: word }))
    const headers = { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' }
    const url = '/login/acme/callback'
    const answer = await app.inject(
      row.responseMode === 'form_post'
        ? { method: 'POST', url, cookies, headers, payload: params }
        : { url: `${url}?${params}`, cookies, headers: { accept: 'application/json' } }
    )
    t.equal(answer.statusCode, 403, name)
    t.match(answer.json(), { code: 'FST_OAUTH_AUTHORIZATION_FAILED', oauthError: word }, name)
  }
})

t.test("google and apple: a refreshed ID token under the issuer's other name is of the same user", async t => {
  for (const [name, names] of [
    ['google, offline', ['https://accounts.google.com', 'accounts.google.com']],
    ['apple', ['https://appleid.apple.com', 'https://account.apple.com']]
  ] as const) {
    const row = presetCases[name]!
    const idToken = { ...row.idToken, iss: names[0] as string }
    const provider = new SimulatedProvider({ ...row, idToken })
    t.after(() => provider.close())
    const providers = { acme: row.preset({ clientId: provider.clientId, clientSecret: provider.clientSecret }) }
    const { app } = await buildApp(t, {
      oauth: { baseUrl: 'https://app.example.com', providers, dispatcher: provider },
      setup: app => { app.get('/refresh', async request => (await request.oauth.refresh()).accessToken) }
    })
    const begun = await app.inject('/login/acme')
    const { params } = provider.authorize(begun.headers.location as string)
    const cookies = Object.fromEntries(begun.cookies.map(({ name, value }) => [name, value]))
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    const done = await app.inject(
      row.responseMode === 'form_post'
        ? { method: 'POST', url: '/login/acme/callback', cookies, headers, payload: String(params) }
        : { url: `/login/acme/callback?${params}`, cookies }
    )
    t.equal(done.statusCode, 302, done.body)
    idToken.iss = names[1]
    const session = Object.fromEntries(done.cookies.map(({ name, value }) => [name, value]))
    const refreshed = await app.inject({ url: '/refresh', cookies: { ...cookies, ...session } })
    t.equal(refreshed.body, 'access-2', name)
    idToken.iss = 'https://evil.example'
    t.equal((await app.inject({ url: '/refresh', cookies: { ...cookies, ...session } })).statusCode, 401, name)
  }
})

t.test('github: an address is verified where GitHub lists it so, and its absence costs no login', async t => {
  const emails = 'https://api.github.com/user/emails'
  const user = { login: 'alice', id: 1, email: 'public@example.com' }
  const userOf = async (answer: unknown, status = 200, own: Partial<presets.GithubOptions> = {}) => {
    const row = presetCases['github, a GitHub App']!
    const provider = new SimulatedProvider({
      ...row,
      profile: [{ url: 'https://api.github.com/user', answer: user }, { url: emails, answer, status }]
    })
    t.after(() => provider.close())
    const headless = createProvider(
      presets.github({
        ...client,
        redirectUri: 'https://app.example.com/callback',
        ...own
      }),
      { dispatcher: provider }
    )
    t.after(() => headless.close())
    const session = headless.session()
    await session.fetchTokens({ code: 'the-code' })
    const { email, emailVerified } = presets.github(client).userProfile!(await session.userinfo())
    return [email, emailVerified]
  }
  const entry = (email: string, primary: boolean, verified: boolean) => ({ email, primary, verified, visibility: null })
  t.strictSame(await userOf([entry('al@example.com', false, true), entry('alice@example.com', true, true)]), [
    'alice@example.com',
    true
  ])
  t.strictSame(await userOf([entry('alice@example.com', true, false)]), ['alice@example.com', false])
  t.strictSame(await userOf([]), ['public@example.com', undefined])
  t.strictSame(await userOf({ message: 'Not Found' }, 404), ['public@example.com', undefined])
  t.strictSame(
    await userOf([entry('alice@example.com', true, true)], 200, {
      resourceServers: ['https://api.github.com/repos/']
    }),
    ['public@example.com', undefined]
  )
  t.match(await errorOf(userOf({}, 503)), { code: 'FST_OAUTH_PROVIDER_UNAVAILABLE' })
})

t.test('microsoft: whose ID tokens are taken', async t => {
  const PERSONAL = '9188040d-6c67-4c5b-b112-36a304b66dad'
  const CONTOSO = '8eaef023-2b34-4da1-9baa-8bc8c9d6a490'
  const issuer = (tenant: string) => `https://login.microsoftonline.com/${tenant}/v2.0`
  const takes = (
    tenant: string | undefined,
    iss: string,
    claims: Record<string, unknown>,
    keyIssuer = issuer('{tenantid}')
  ) => {
    const { idTokenIssuer } = presets.microsoft({ ...client, ...(tenant !== undefined && { tenant }) })
    return (idTokenIssuer as (...args: unknown[]) => boolean)(iss, claims, { kid: '1', issuer: keyIssuer })
  }
  const table: [tenant: string | undefined, personal: boolean, work: boolean][] = [
    [undefined, true, true],
    ['common', true, true],
    ['organizations', false, true],
    ['consumers', true, false],
    ['contoso.onmicrosoft.com', false, true],
    [CONTOSO, false, true],
    [CONTOSO.toUpperCase(), false, true],
    [PERSONAL, true, false]
  ]
  for (const [tenant, personal, work] of table) {
    t.equal(takes(tenant, issuer(PERSONAL), { tid: PERSONAL }), personal, `${tenant}: a personal account`)
    t.equal(takes(tenant, issuer(CONTOSO), { tid: CONTOSO }), work, `${tenant}: an account of an organization`)
    t.equal(takes(tenant, issuer('evil'), { tid: 'evil' }), false, `${tenant}: a tenant that is no id`)
    t.equal(takes(tenant, 'https://evil.example/v2.0', { tid: CONTOSO }), false, `${tenant}: another tenant`)
  }
  for (const tenant of ['common', 'organizations', 'contoso.onmicrosoft.com', CONTOSO]) {
    t.equal(
      takes(tenant, issuer(CONTOSO), { tid: CONTOSO }, issuer(CONTOSO)),
      true,
      `${tenant}: signed with the tenant's own key`
    )
    t.equal(
      takes(tenant, issuer(CONTOSO), { tid: CONTOSO }, issuer(PERSONAL)),
      false,
      `${tenant}: signed with the key of personal accounts`
    )
    t.equal(takes(tenant, issuer(CONTOSO), { tid: PERSONAL }), false, `${tenant}: the issuer is not the tenant's`)
    t.equal(takes(tenant, issuer(CONTOSO), {}), false, `${tenant}: no tenant`)
    t.equal(takes(tenant, issuer(`x/${CONTOSO}`), { tid: `x/${CONTOSO}` }), false, `${tenant}: a path`)
  }
})

t.test(
  'microsoft: an ID token of an organization that the key of personal accounts has signed is refused in a login',
  async t => {
    const row = presetCases['microsoft, one tenant']!
    for (const [keyIssuer, status] of [
      [row.keyIssuer!, 302],
      ['https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0', 502]
    ] as const) {
      const provider = new SimulatedProvider({ ...row, keyIssuer })
      t.after(() => provider.close())
      const { app } = await buildApp(t, {
        oauth: {
          baseUrl: 'https://app.example.com',
          providers: { microsoft: row.preset({ clientId: provider.clientId, clientSecret: provider.clientSecret }) },
          dispatcher: provider
        }
      })
      const begun = await app.inject('/login/microsoft')
      const { params } = provider.authorize(begun.headers.location as string)
      const cookies = Object.fromEntries(begun.cookies.map(({ name, value }) => [name, value]))
      const answer = await app.inject({
        url: `/login/microsoft/callback?${params}`,
        cookies,
        headers: { accept: 'application/json' }
      })
      t.equal(answer.statusCode, status)
      if (status === 502) t.match(answer.json(), { code: 'FST_OAUTH_INVALID_ID_TOKEN' })
    }
  }
)

t.test('apple: the client secret', async t => {
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const identity = {
    issuer: 'TEAM',
    clientId: 'com.example.web',
    audience: 'https://appleid.apple.com',
    keyId: 'KEY',
    privateKey: key.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
  }

  t.test('is signed with the key, for an hour', async t => {
    const secret = await appleClientSecret(identity)(1000.7)
    t.strictSame(verifiedClaims(secret, key.publicKey), {
      header: { alg: 'ES256', kid: 'KEY' },
      claims: { iss: 'TEAM', sub: 'com.example.web', aud: 'https://appleid.apple.com', iat: 1000, exp: 4600 }
    })
  })

  t.test('is used until ten minutes before its end, and not where the clock was set back before its start', async t => {
    const secretAt = appleClientSecret(identity)
    const first = await secretAt(10_000)
    t.equal(await secretAt(12_999), first)
    const second = await secretAt(13_000)
    t.not(second, first)
    t.equal(await secretAt(13_001), second)
    t.not(await secretAt(5000), second)
  })

  t.test('is signed once for all callers that wait for it', async t => {
    const secretAt = appleClientSecret(identity)
    const [first, second] = await Promise.all([secretAt(1000), secretAt(1000)])
    t.equal(first, second)
  })

  t.test('an invalid key is refused, and the error does not show the key', async t => {
    const secretAt = appleClientSecret({ ...identity, privateKey: 'not a key' })
    for (let attempt = 0; attempt < 2; attempt++) {
      const error = await errorOf(secretAt(1000))
      t.ok(error instanceof Error)
      t.notMatch(String(error), 'not a key')
    }
  })
})

t.test('apple: onLogin can read the name that comes with the first login', async t => {
  const row = presetCases.apple!
  const provider = new SimulatedProvider(row)
  t.after(() => provider.close())
  const names: unknown[] = []
  const { app } = await buildApp(t, {
    oauth: {
      baseUrl: 'https://app.example.com',
      providers: {
        apple: presets.apple({
          clientId: provider.clientId,
          teamId: 'TEAM123456',
          keyId: 'KEY1234567',
          privateKey: APPLE_KEY
        })
      },
      dispatcher: provider,
      onLogin: ({ body }) => {
        const { user } = body as { user?: string }
        names.push(user === undefined ? undefined : JSON.parse(user).name)
      }
    }
  })
  for (const posted of [row.posted!, {}]) {
    const begun = await app.inject('/login/apple')
    const { params } = provider.authorize(begun.headers.location as string)
    const cookies = Object.fromEntries(begun.cookies.map(({ name, value }) => [name, value]))
    const payload = String(new URLSearchParams({ ...Object.fromEntries(params), ...posted }))
    const answer = await app.inject({
      method: 'POST',
      url: '/login/apple/callback',
      cookies,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      payload
    })
    t.equal(answer.statusCode, 302, answer.body)
  }
  t.strictSame(names, [{ firstName: 'Alice', lastName: 'Adams' }, undefined])
  t.strictSame(provider.complaints, [])
})

t.test('slack', async t => {
  t.test("a bot's token is sent as a bearer token, and its scopes are read one by one", async t => {
    const tokens = await exchange(
      t,
      'slack',
      { ok: true, access_token: 'xoxb', token_type: 'bot', scope: 'a,b' },
      { scope: ['a', 'b'] }
    )
    t.match(tokens, { accessToken: 'xoxb', tokenType: 'Bearer', scope: ['a', 'b'] })
  })

  t.test('bot and user in one response: the app decides whose token is used', async t => {
    const answer = {
      ok: true,
      access_token: 'xoxb',
      token_type: 'bot',
      scope: 'chat:write',
      refresh_token: 'xoxe-bot',
      authed_user: {
        id: 'U1',
        scope: 'users:read',
        access_token: 'xoxp',
        token_type: 'user',
        refresh_token: 'xoxe-user'
      }
    }
    const scopes = { scope: 'chat:write', userScope: 'users:read' }
    t.match(await exchange(t, 'slack', answer, scopes), {
      accessToken: 'xoxb',
      refreshToken: 'xoxe-bot',
      scope: ['chat:write'],
      tokenType: 'Bearer'
    })
    t.match(await exchange(t, 'slack', answer, { ...scopes, actAs: 'bot' }), {
      accessToken: 'xoxb',
      refreshToken: 'xoxe-bot'
    })
    t.match(await exchange(t, 'slack', answer, { ...scopes, actAs: 'user' }), {
      accessToken: 'xoxp',
      refreshToken: 'xoxe-user',
      scope: ['users:read'],
      tokenType: 'Bearer'
    })
    t.match(await exchange(t, 'slack', answer, { userScope: 'users:read' }), {
      accessToken: 'xoxp',
      refreshToken: 'xoxe-user'
    })
  })

  t.test("the other one's refresh token and lifetime are not taken for its own", async t => {
    const answer = {
      ok: true,
      access_token: 'xoxb',
      token_type: 'bot',
      refresh_token: 'xoxe-bot',
      expires_in: 43200,
      authed_user: { id: 'U1', access_token: 'xoxp', token_type: 'user' }
    }
    const tokens = await exchange(t, 'slack', answer, { userScope: 'users:read' })
    t.strictSame([tokens.accessToken, tokens.refreshToken, tokens.expiresAt], ['xoxp', undefined, undefined])
  })

  t.test('an error with status 200 is an error', async t => {
    t.match(await errorOf(exchange(t, 'slack', { ok: false, error: 'invalid_code' }, { userScope: 'users:read' })), {
      oauthError: 'invalid_code'
    })
  })

  t.test('a client without a secret, or with PKCE enabled, sends a verifier', async t => {
    const challenge = async (options: presets.SlackOptions) => {
      const slack = createProvider(presets.slack({ redirectUri: 'https://app.example.com/callback', ...options }))
      t.after(() => slack.close())
      return new URL((await slack.authorizationUrl()).url).searchParams.get('code_challenge_method')
    }
    t.equal(await challenge({ clientId: 'client' }), 'S256')
    t.equal(await challenge(client), null)
    t.equal(await challenge({ ...client, pkce: 'S256' }), 'S256')
  })
})

t.test('fitbit: what has been shut down is refused at start, with the way out', async t => {
  const gone = { code: 'FST_OAUTH_INVALID_OPTIONS', message: /google\(\).*googlehealth/ }
  t.throws(() => presets.fitbit(client), gone)
  t.throws(() => presets.fitbit(), gone)
})

t.test('mailchimp: a token whose end is not told', async t => {
  const answer = { access_token: 'at', expires_in: 0, scope: null }
  const tokens = await exchange(t, 'mailchimp', answer)
  t.equal(tokens.expiresAt, undefined)
  t.strictSame(tokens.scope, [])
  t.notOk(Object.hasOwn(tokens.raw, 'scope'))
  t.equal((await exchange(t, 'mailchimp', answer, { defaultExpiresIn: 86_400 })).expiresAt, NOW + 86_400)
  t.equal((await exchange(t, 'mailchimp', { ...answer, expires_in: 60 })).expiresAt, NOW + 60)

  // An app that kept the answer's members, and goes on with them later.
  const { provider } = simulated(t, 'mailchimp')
  const headless = createProvider(presets.mailchimp(client), { dispatcher: provider })
  t.after(() => headless.close())
  const session = headless.session({ tokens: answer })
  t.strictSame(await session.get('https://us6.api.mailchimp.com/3.0/lists').json(), { called: true })
  t.strictSame(presets.mailchimp({ ...client, dataCenters: ['us6'] }).resourceServers, [
    'https://us6.api.mailchimp.com/3.0/'
  ])
})

t.test('ebay: only its own words for Bearer are changed', async t => {
  const typeOf = async (type: string) =>
    (await exchange(t, 'ebay', { access_token: 'at', token_type: type })).raw.token_type
  t.equal(await typeOf('User Access Token'), 'Bearer')
  t.equal(await typeOf('Application Access Token'), 'Bearer')
  t.equal(await typeOf('bearer'), 'bearer')
  t.equal(await typeOf('mac'), 'mac')
  t.match(presets.ebay({ ...client, sandbox: true }), {
    authorizationEndpoint: /^https:\/\/auth\.sandbox\.ebay\.com\//,
    tokenEndpoint: /^https:\/\/api\.sandbox\.ebay\.com\//,
    resourceServers: ['https://api.sandbox.ebay.com/', 'https://apiz.sandbox.ebay.com/']
  })
})

t.test('ebay: the RuName is a redirect URI', async t => {
  const ebay = createProvider(presets.ebay({ ...client, redirectUri: 'Tea_Ltd-TeaLtd-Tea-abcdef' }))
  t.after(() => ebay.close())
  const { url } = await ebay.authorizationUrl()
  t.equal(new URL(url).searchParams.get('redirect_uri'), 'Tea_Ltd-TeaLtd-Tea-abcdef')
})

t.test("weibo and douban: the user's id stands beside the token", async t => {
  t.match(await exchange(t, 'weibo', { access_token: 'at', uid: '1' }), {
    tokenType: 'Bearer',
    raw: { uid: '1', token_type: 'Bearer' }
  })
  t.match(await exchange(t, 'douban', { access_token: 'at', douban_user_id: '1' }), {
    tokenType: 'Bearer',
    raw: { douban_user_id: '1' }
  })
})

t.test('google: scopes are called what the app called them', async t => {
  const LONG = 'https://www.googleapis.com/auth/userinfo.email'
  const granted = async (scope: string) =>
    (
      await exchange(
        t,
        'google',
        { access_token: 'at', token_type: 'Bearer', scope: `openid ${LONG} https://www.googleapis.com/auth/drive` },
        { scope }
      )
    ).scope
  t.strictSame(await granted('openid email'), ['openid', 'email', 'https://www.googleapis.com/auth/drive'])
  t.strictSame(await granted(`openid ${LONG}`), ['openid', LONG, 'https://www.googleapis.com/auth/drive'])
})

t.test('plentymarkets: a name of another kind stays as it is', async t => {
  t.match(
    await exchange(
      t,
      'plentymarkets',
      { accessToken: 'at', expiresIn: 86400, constructor: 'x', userId: 7 },
      { baseUrl: 'shop.example.com' }
    ),
    { accessToken: 'at', raw: { userId: 7, constructor: 'x' } }
  )
})

t.test('discord: no picture and no address', async t => {
  t.strictSame(
    presets.discord(client).userProfile!({
      id: '1',
      username: 'alice',
      global_name: null,
      avatar: null,
      email: null,
      verified: false
    }),
    { id: '1', name: 'alice', email: undefined }
  )
})

t.test('line: a login that may ask nothing of the user, and would have to, is no failure', async t => {
  const { provider } = simulated(t, 'line')
  const { app } = await buildApp(t, {
    oauth: {
      baseUrl: 'https://app.example.com',
      providers: { line: presets.line({ clientId: provider.clientId, clientSecret: provider.clientSecret }) },
      dispatcher: provider
    },
    setup: app => {
      app.get('/silent', (request, reply) =>
        request.oauth.login(reply, { params: { prompt: 'none' }, returnTo: '/after' }))
    }
  })
  const begun = await app.inject('/silent')
  const state = new URL(begun.headers.location as string).searchParams.get('state')!
  const cookies = Object.fromEntries(begun.cookies.map(({ name, value }) => [name, value]))
  const url = `/login/line/callback?${new URLSearchParams({ state, error: 'LOGIN_REQUIRED' })}`
  const answer = await app.inject({ url, cookies, headers: { accept: 'text/html' } })
  t.strictSame([answer.statusCode, answer.headers.location], [302, '/after'])
})

t.test('yandex, strava and kakao: a portrait that is none, an address that is not checked', async t => {
  const none = { id: '1', login: 'alice', default_avatar_id: '0/0-0', is_avatar_empty: true }
  t.strictSame(presets.yandex(client).userProfile!(none), { id: '1', name: 'alice', email: undefined })
  t.strictSame(presets.strava(client).userProfile!({ id: 1, username: 'alice', profile: 'avatar/athlete/large.png' }), {
    id: 1, name: 'alice'
  })
  const account = { email: 'a@example.com', is_email_valid: false, is_email_verified: true }
  t.match(presets.kakao(client).userProfile!({ id: 1, kakao_account: account }), { emailVerified: false })
})

/** The provider of one row of the table, giving one answer to any code. */
function simulated (
  t: Test,
  name: keyof typeof presets,
  answer?: unknown,
  status?: number
): { provider: SimulatedProvider } {
  const row = Object.entries(presetCases).find(([key]) => key.split(',')[0] === name)![1]
  const provider = new SimulatedProvider({
    ...row,
    ...(answer !== undefined && { tokens: answer }),
    ...(status !== undefined && { tokensStatus: status })
  })
  t.after(() => provider.close())
  return { provider }
}

/** What comes of a token answer. */
async function exchange (
  t: Test,
  name: keyof typeof presets,
  answer: unknown,
  own: Record<string, unknown> = {},
  status?: number
): Promise<TokenSet> {
  const { provider } = simulated(t, name, answer, status)
  const make = presets[name] as (options: presets.PresetOptions) => ProviderOptions
  const headless = createProvider(make({ ...client, redirectUri: 'https://app.example.com/callback', ...own }), {
    dispatcher: provider,
    clock: { now: () => NOW }
  })
  t.after(() => headless.close())
  return await headless.session().fetchTokens({ code: 'the-code' })
}

t.test('zoom: what its page does not name ends the login, whoever asked for the refresh', async (t) => {
  const { conform } = presets.zoom(client)
  const read = (body: Record<string, unknown>, grantType: string) =>
    conform!(body, { status: 401, grantType } as Parameters<NonNullable<typeof conform>>[1]).error
  t.equal(read({ error: 'invalid_request', reason: 'Invalid Token!' }, 'refresh_token'), 'invalid_grant')
  t.equal(read({ error: 'invalid_request', reason: 'Invalid Token!' }, 'authorization_code'), 'invalid_request')
  t.equal(read({ error: 'invalid_request', reason: 'Bad request' }, 'refresh_token'), 'invalid_request')
})

t.test('salesforce: tokens go to the API of an organization that is named, and to no other', async (t) => {
  const domain = 'example.my.salesforce.com'
  t.strictSame(presets.salesforce({ ...client, domain }).resourceServers, [`https://${domain}/services/`])
  t.equal(presets.salesforce(client).resourceServers, undefined)
  t.equal(presets.salesforce({ ...client, sandbox: true }).resourceServers, undefined)
})
