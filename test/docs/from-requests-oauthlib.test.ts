import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import cookie from '@fastify/cookie'
import session from '@fastify/session'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import oauth, { createProvider, type OAuthSession, type ProviderOptions, type TokenSet } from '../../lib/index.ts'
import { authorize } from '../../lib/testing/authorize.ts'
import { anonymous, loginAs } from '../../lib/testing.ts'
import { SESSION_SECRET } from '../helpers/build-app.ts'
import { clientCertificates } from '../helpers/certificates.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { matchEach } from '../helpers/match-each.ts'
import { startMtlsProvider, thumbprintOf } from '../helpers/mtls-provider.ts'
import { movingClock } from '../helpers/moving-clock.ts'
import { startPasswordServer } from '../helpers/password-server.ts'
import { startProvider, type TestProvider } from '../helpers/provider.ts'
import { expireTokens } from '../helpers/records.ts'
import { runBlock } from '../helpers/run-block.ts'
import { keptTokens, startScriptServer } from '../helpers/script-server.ts'
import { StandIns } from '../helpers/stand-ins.ts'

// Each TypeScript block of docs/from-requests-oauthlib.md, as it is written, against servers that stand in for those
// that it names.

const PAGE = 'docs/from-requests-oauthlib.md'
const ORDERS = [{ id: 1 }, { id: 2 }]
const CALLBACK = 'https://your.callback/uri'

/** `createProvider` of the package, whose requests go to the stand-ins. */
function packageWith (t: Test, dispatcher: StandIns) {
  return {
    'fastify-oauth-session': {
      createProvider: (options: ProviderOptions) => {
        const provider = createProvider(options, { dispatcher })
        t.after(() => provider.close())
        return provider
      }
    }
  }
}

const envOf = ({ clientId, clientSecret }: TestProvider) => ({ CLIENT_ID: clientId, CLIENT_SECRET: clientSecret })

/** Logs alice in at the URL that a block has made, and returns where the browser comes back to. */
async function comeBack (provider: TestProvider, url: URL): Promise<URL> {
  return (await authorize(provider.forLoginAs, url, { login: { accountId: 'alice' } })).url
}

t.test('web application: the URL is opened, the callback typed in, and the API called', async (t) => {
  const scope = ['email', 'profile'].map(name => `https://www.googleapis.com/auth/userinfo.${name}`)
  const provider = await startProvider(t, { scopes: scope })
  provider.api.routes['GET userinfo'] = ({ token }) => ({ body: { id: token.accountId } })
  const there = new StandIns(t, {
    'https://accounts.google.com/o/oauth2/auth': `${provider.issuer}/auth`,
    'https://accounts.google.com/o/oauth2/token': `${provider.issuer}/token`,
    'https://www.googleapis.com/oauth2/v1/': provider.api.url
  })
  const input = new PassThrough()
  const opened: Promise<void>[] = []
  const open = async (line: string) => {
    const asked = new URL(/^Please go to (\S+) and authorize access\.$/.exec(line)![1]!)
    t.equal(asked.origin + asked.pathname, 'https://accounts.google.com/o/oauth2/auth')
    t.match(Object.fromEntries(asked.searchParams), {
      response_type: 'code',
      client_id: provider.clientId,
      redirect_uri: CALLBACK,
      scope: scope.join(' '),
      access_type: 'offline',
      prompt: 'select_account',
      state: /^[\w-]{22,}$/,
      code_challenge_method: 'S256'
    })
    asked.searchParams.delete('prompt') // oidc-provider has no account chooser
    input.write(`${(await comeBack(provider, new URL(there.urlOf(asked.href)))).href}\n`)
  }

  const { tokens, user, terminal, session } = await runBlock(PAGE, 'Web application', {
    env: envOf(provider),
    process: { stdin: input, stdout: new PassThrough() },
    console: { log: (line: string) => { opened.push(open(line)) } }
  }, { replace: packageWith(t, there) })
  terminal.close()
  await Promise.all(opened)

  const [request] = provider.tokenRequests
  const { authorization } = request!.headers
  const basic = `${provider.clientId}:${provider.clientSecret}`
  t.equal(authorization, `Basic ${Buffer.from(basic).toString('base64')}`)
  t.match(request!.body, { grant_type: 'authorization_code', redirect_uri: CALLBACK, code_verifier: /^[\w-]{43,}$/ })
  t.match(tokens, { accessToken: /^\S+$/, refreshToken: /^\S+$/, tokenType: 'Bearer', scope })
  t.strictSame(user, { id: 'alice' })
  matchEach(t, provider.api.requests, [{ url: '/v1/userinfo', authorization: `Bearer ${tokens.accessToken}` }])
  t.equal(session.authorized, true)
})

t.test('web application: in an app it is two lines, for every user', async (t) => {
  const app = Fastify()
  t.after(() => app.close())
  await app.register(cookie)
  await app.register(session, { secret: SESSION_SECRET })
  const env = { CLIENT_ID: 'app', CLIENT_SECRET: 'secret' }
  await runBlock(PAGE, 'Web application', { app, oauth, env }, { index: 1 })

  t.equal((await (await anonymous(app)).fetch('/me')).status, 401)
  const [alice, bob] = [await loginAs(app), await loginAs(app, { sub: 'bob' })]
  t.match(await (await alice.fetch('/me')).json(), { sub: 'alice', name: 'Alice Adams' })
  t.match(await (await bob.fetch('/me')).json(), { sub: 'bob' })
  const asked = alice.testProvider.requests.find(({ endpoint }) => endpoint === 'authorization')
  t.match(asked?.params, {
    client_id: 'app',
    access_type: 'offline',
    prompt: 'consent',
    redirect_uri: 'https://app.example.com/login/google/callback'
  })
})

t.test('mobile application: the tokens are in the fragment', async (t) => {
  const scope = ['scope_1', 'scope_2']
  const provider = await startProvider(t, {
    scopes: scope,
    client: { response_types: ['id_token token'], grant_types: ['implicit'], application_type: 'native' },
    configuration: { responseTypes: ['id_token token', 'code'] }
  })
  const there = new StandIns(t, { 'https://your.oauth2/auth': `${provider.issuer}/auth` })
  let asked!: URL
  const logIn = async (url: string) => {
    asked = new URL(url)
    // oidc-provider hands out a token in the fragment only beside an ID token, of which the page's provider knows
    // nothing.
    const request = new URL(there.urlOf(url))
    request.searchParams.set('response_type', 'id_token token')
    request.searchParams.set('scope', `openid ${scope.join(' ')}`)
    request.searchParams.set('nonce', 'of the test')
    const back = await comeBack(provider, request)
    const fragment = new URLSearchParams(back.hash.slice(1))
    fragment.delete('id_token')
    fragment.set('scope', scope.join(' '))
    back.hash = fragment.toString()
    return back.href
  }

  const { tokens, session } = await runBlock(
    PAGE, 'Mobile application', { env: envOf(provider), logIn, callbackUrl: undefined }, {
      replace: packageWith(t, there),
      edit: code => code.replace(/^\/\/ … the user logs in at `url`.*$/m, 'callbackUrl = await logIn(url)')
    })

  t.match(Object.fromEntries(asked.searchParams), {
    response_type: 'token', client_id: provider.clientId, redirect_uri: CALLBACK, scope: scope.join(' '), state: /./
  })
  t.equal(asked.searchParams.get('code_challenge'), null)
  t.match(tokens, { accessToken: /^\S+$/, tokenType: 'Bearer', refreshToken: undefined, scope })
  t.ok(await provider.oidc.AccessToken.find(tokens.accessToken), 'a token of the provider')
  t.equal((session as OAuthSession).storedTokens?.accessToken, tokens.accessToken)
  t.equal(provider.tokenRequests.length, 0)
})

t.test('legacy application: the tokens are for a user name and a password', async (t) => {
  const server = await startPasswordServer(t, { your_username: 'correct horse' })
  const { tokenEndpoint, clientId, clientSecret } = server.providerOptions
  const there = new StandIns(t, { 'https://somesite.com/oauth2/token': tokenEndpoint })
  const env = { CLIENT_ID: clientId, CLIENT_SECRET: clientSecret, PASSWORD: 'correct horse' }

  const { tokens } = await runBlock(PAGE, 'Legacy application', { env }, { replace: packageWith(t, there) })

  t.match(tokens, { accessToken: 'token-of-your_username', tokenType: 'Bearer' })
  matchEach(t, server.requests, [{
    body: { grant_type: 'password', username: 'your_username', password: 'correct horse' },
    authorization: /^Basic /
  }])
})

t.test('backend application: a token at the first call, and a new one in time', async (t) => {
  const provider = await startProvider(t, { client: { token_endpoint_auth_method: 'client_secret_post' } })
  provider.api.routes['GET report'] = ({ token }) => ({ body: { client: token.clientId } })
  const there = new StandIns(t, {
    'https://provider.com/oauth2/token': `${provider.issuer}/token`,
    'https://provider.com/api/': provider.api.url
  })

  const clock = movingClock(t)
  const { report, api } = await runBlock(
    PAGE, 'Backend application', { env: envOf(provider) }, { replace: packageWith(t, there) })

  t.strictSame(report, { client: provider.clientId })
  const [request] = provider.tokenRequests
  t.equal(request!.headers.authorization, undefined)
  t.match(request!.body, {
    grant_type: 'client_credentials', client_id: provider.clientId, client_secret: provider.clientSecret
  })
  clock.pass(3600)
  t.strictSame(await (api as OAuthSession).get('report').json(), { client: provider.clientId })
  t.equal(provider.tokenRequests.length, 2)
  t.strictSame(provider.api.requests.map(({ status }) => status), [200, 200], 'the old one was not tried')
})

t.test('TLS client authentication: the client is known by its certificate, without a secret', async (t) => {
  const mtls = await startMtlsProvider(t, { client: { token_endpoint_auth_method: 'tls_client_auth' } })
  const folder = await mkdtemp(join(tmpdir(), 'certificate-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const { cert, key, ca } = clientCertificates.app
  await writeFile(join(folder, 'test-client.pem'), cert)
  await writeFile(join(folder, 'test-client-key.pem'), key)
  // Connections with a certificate are the package's own: no dispatcher is asked for them.
  const here = ({ tokenEndpoint, clientCertificate, ...options }: ProviderOptions) => {
    t.equal(tokenEndpoint, 'https://somesite.com/oauth2/token')
    const provider = createProvider({
      ...options, tokenEndpoint: `${mtls.alias.origin}/token`, clientCertificate: { ...clientCertificate!, ca }
    })
    t.after(() => provider.close())
    return provider
  }

  const { tokens } = await runBlock(PAGE, 'TLS client authentication', { env: envOf(mtls.provider) }, {
    replace: {
      'fastify-oauth-session': { createProvider: here },
      'node:fs/promises': { readFile: async (path: string, encoding: 'utf8') => readFile(join(folder, path), encoding) }
    }
  })

  t.match(tokens, { accessToken: /^\S+$/ })
  matchEach(t, mtls.alias.requests, [{ url: '/token', certificate: thumbprintOf(cert) }])
  const [request] = mtls.provider.tokenRequests
  t.match(request!.body, { grant_type: 'client_credentials', client_id: mtls.provider.clientId })
  t.strictSame([request!.body.client_secret, request!.headers.authorization], [undefined, undefined])
})

const byHandler = {
  'First: by hand': { path: '/by-hand', refresh: 'manual' },
  'Second: refreshed for you, saved by you': { path: '/notified', refresh: 'notify' },
  'Third, recommended: refreshed and saved': { path: '/automatic', refresh: 'auto' }
} as const

for (const [heading, { path, refresh }] of Object.entries(byHandler)) {
  t.test(`refreshing tokens, ${heading}`, async (t) => {
    const { browser, url, provider, store, run } = await loggedInApp(t, {
      oauth: { refresh },
      setup: async (app) => { await runBlock(PAGE, heading, { app }) }
    })
    t.match((await browser.get(url + path)).json(), ORDERS)
    t.equal(provider.refreshRequests.length, 0)
    const before = await run(async oauth => (await oauth.tokens()).accessToken)

    expireTokens(store)
    t.match((await browser.get(url + path)).json(), ORDERS)
    t.match((await browser.get(url + path)).json(), ORDERS, 'and it is kept')

    t.equal(provider.refreshRequests.length, 1)
    t.strictSame(provider.api.requests.map(({ status }) => status), [200, 200, 200], 'no call with the old one')
    const after = await run(async oauth => (await oauth.tokens()).accessToken)
    t.not(after, before)
    t.equal(provider.api.requests.at(-1)?.authorization, `Bearer ${after}`)
  })
}

/** A session whose token set, of a real login, has expired. */
async function expired (t: Test) {
  const server = await startProvider(t)
  server.api.routes['GET secret'] = ({ token }) => ({ body: { secretOf: token.accountId } })
  const provider = createProvider({ ...server.providerOptions, redirectUri: CALLBACK })
  t.after(() => provider.close())
  const session = provider.session()
  const { url } = await session.authorizationUrl()
  const callbackUrl = (await comeBack(server, new URL(url))).href
  return { server, provider, tokens: await session.fetchTokens({ callbackUrl }) }
}

const forms: Record<string, (tokens: TokenSet) => object> = {
  'as columns of the app\'s own': ({ accessToken, refreshToken }) => ({ accessToken, refreshToken, expiresAt: 1 }),
  'as the members of a token response': ({ raw }) => ({ ...raw, expires_in: 0 })
}

for (const [what, keptAs] of Object.entries(forms)) {
  t.test(`refreshing tokens without a request, kept ${what}`, async (t) => {
    const { server, provider, tokens } = await expired(t)
    const saved: TokenSet[] = []
    const keep = (tokens: TokenSet) => { saved.push(tokens) }

    const { secret } = await runBlock(
      PAGE, 'Third, recommended: refreshed and saved', { provider, kept: keptAs(tokens), keep }, { index: 1 })

    t.strictSame(secret, { secretOf: 'alice' })
    t.match(server.refreshRequests.map(({ body }) => body.refresh_token), [tokens.refreshToken])
    t.equal(saved.length, 1)
    t.not(saved[0]!.refreshToken, tokens.refreshToken, 'the rotated one is handed out')
    matchEach(t, server.api.requests, [{ url: '/v1/secret', authorization: `Bearer ${saved[0]!.accessToken}` }])
  })
}

t.test('names: auto_refresh_kwargs, include_client_id, token_updater and the hooks', async (t) => {
  const server = await startScriptServer(t)
  server.answerTokens = () => [200, { access_token: 'new', expires_in: 3600 }]
  const saved: TokenSet[] = []
  const keep = (tokens: TokenSet) => { saved.push(tokens) }

  const { session } = await runBlock(PAGE, 'Names', {
    acme: server.providerOptions, kept: keptTokens(3600), keep
  }, { replace: packageWith(t, new StandIns(t)) })

  const [request] = server.tokenRequests
  t.equal(request!.headers.authorization, undefined)
  t.match(request!.form, {
    grant_type: 'refresh_token',
    refresh_token: 'refresh-0',
    client_id: 'script',
    client_secret: 'secret of the script',
    audience: 'https://api.acme.example',
    resource: 'https://api.acme.example'
  })
  matchEach(t, saved, [{ accessToken: 'new', tokenType: 'Bearer', refreshToken: 'refresh-0' }])
  t.strictSame(await (session as OAuthSession).get('orders').json(), { ok: true })
  matchEach(t, server.calls, [{ url: '/api/orders', headers: { authorization: 'Bearer new', 'x-tenant': 'a' } }])
})
