import t, { type Test } from 'tap'
import { readRefusal } from '../../lib/providers/refresh-errors.ts'
import { createProvider, type ProviderOptions } from '../../lib/index.ts'
import { readTokenResponse } from '../../lib/oauth/token-response.ts'
import { ProviderUnavailableError } from '../../lib/errors.ts'
import { tokenSet, startTokenProcess } from '../helpers/token-process.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { startMisbehavingProvider, type Reply } from '../helpers/misbehaving-provider.ts'
import { expireTokens, tokenRecords } from '../helpers/records.ts'
import { MemoryTokenStore } from '../../lib/tokens/stores/memory-store.ts'

/** Reads an answer to a refresh as the client does. */
function refusalOf ({ status = 400, headers = {}, body = '' }: Reply, isOwn = true) {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const read = readTokenResponse(
    { status, headers, text },
    { provider: 'acme', now: 0, grantType: 'refresh_token', scope: [] }
  )
  if (!('error' in read)) throw new Error('tokens')
  return readRefusal(read.error, { isOwn })
}

const ended: Record<string, Reply> = {
  'invalid_grant with 400': { body: { error: 'invalid_grant' } },
  'invalid_grant with 401': { status: 401, body: { error: 'invalid_grant' } },
  'invalid_grant with 403': { status: 403, body: { error: 'invalid_grant' } },
  'invalid_grant with 200': { status: 200, body: { error: 'invalid_grant' } },
  invalid_request: { body: { error: 'invalid_request', error_description: 'the refresh token has been revoked' } },
  'INVALID_GRANT in capitals': { body: { error: 'INVALID_GRANT' } },
  bad_refresh_token: { body: { error: 'bad_refresh_token' } },
  invalid_refresh_token: { body: { error: 'invalid_refresh_token' } },
  'refresh_token_expired with 401': { status: 401, body: { error: 'refresh_token_expired' } },
  'token_revoked with 200': { status: 200, body: { error: 'token_revoked' } },
  'invalid_token with 401': { status: 401, body: { error: 'invalid_token' } },
  'invalid_token with 400': { body: { error: 'invalid_token' } },
  interaction_required: { body: { error: 'interaction_required' } },
  'login_required with 403': { status: 403, body: { error: 'login_required' } },
  consent_required: { body: { error: 'consent_required' } },
  account_selection_required: { body: { error: 'account_selection_required' } },
  'mfa_required with 403': { status: 403, body: { error: 'mfa_required' } },
  'an empty 400': {},
  'an empty 401': { status: 401 },
  'white space with 400': { body: ' \r\n' },
  'an empty object with 401': { status: 401, body: {} },
  'a form': { body: 'error=login_required' }
}
const basic = { 'www-authenticate': 'Basic realm="token"' }
const kept: Record<string, Reply> = {
  'invalid_client with 401': { status: 401, body: { error: 'invalid_client' } },
  'invalid_client with 400': { body: { error: 'invalid_client' } },
  'an empty 401 with a challenge for client authentication': { status: 401, headers: basic },
  unauthorized_client: { body: { error: 'unauthorized_client' } },
  'a token type that is not supported': { body: { error: 'unsupported_token_type' } },
  invalid_scope: { body: { error: 'invalid_scope' } },
  unsupported_grant_type: { body: { error: 'unsupported_grant_type' } },
  'an empty 403': { status: 403 },
  'an empty 404': { status: 404 },
  'an empty 200': { status: 200 },
  'HTML with 400': { body: '<h1>Bad Request</h1>' },
  'invalid_grant in a redirect': { status: 302, body: { error: 'invalid_grant' } },
  'JSON without an error with 400': { body: { message: 'no' } }
}
for (const [name, reply] of Object.entries(ended)) {
  t.test(`a refresh refused with ${name} ends the login`, async (t) => { t.equal(refusalOf(reply), 'ended') })
}
for (const [name, reply] of Object.entries(kept)) {
  t.test(`a refresh refused with ${name} keeps the login`, async (t) => { t.equal(refusalOf(reply), 'kept') })
}
t.test('invalid_request keeps the login where the app added parameters of its own to this refresh', async (t) => {
  t.equal(refusalOf({ body: { error: 'invalid_request' } }, false), 'kept')
  t.equal(refusalOf({ body: { error: 'invalid_grant' } }, false), 'ended')
})
for (const status of [408, 429, 500, 502, 503, 504]) {
  t.test(`a ${status} keeps the login whatever error it names`, async t => {
    const error = new ProviderUnavailableError('x', {
      provider: 'acme',
      responseStatus: status,
      oauthError: 'invalid_grant'
    })
    t.equal(readRefusal(error, { isOwn: true }), [500, 502, 504].includes(status) ? 'unsure' : 'kept')
  })
}

/** Alice, logged in with an access token that has ended; this is the response to every refresh. */
async function refused (t: Test, reply: Reply, options: Partial<ProviderOptions> = {}) {
  const app = await loggedInApp(t, {
    wrong: {},
    provider: options,
    setup: (app) => {
      app.get('/tokens', async (request) => { await request.oauth.tokens() })
      app.get('/guarded', { onRequest: app.oauth.requireLogin() }, async () => 'in')
    }
  })
  expireTokens(app.store)
  app.provider.wrong = {
    instead: {
      token: ({ form }) => {
        if (form.get('grant_type') === 'refresh_token') return reply
      }
    }
  }
  const call = async () => await app.browser.get(`${app.url}/tokens`, { headers: { accept: 'application/json' } })
  return { ...app, call }
}

t.test(
  'a refresh that is refused with invalid_request every time is tried once, and the user is sent to log in',
  async t => {
    const { browser, url, store, refreshes, call } = await refused(t, {
      status: 400,
      body: { error: 'invalid_request' }
    })
    t.match((await call()).json(), { statusCode: 401, code: 'FST_OAUTH_LOGIN_ENDED' })
    for (let calls = 0; calls < 2; calls++) t.equal((await call()).status, 401)
    t.equal(refreshes(), 1)
    t.equal(tokenRecords(store).size, 0)
    const page = await browser.get(`${url}/guarded`, { redirect: 'manual', headers: { accept: 'text/html' } })
    t.equal(page.status, 302)
    t.match(page.location, '/login')
  }
)

t.test('a client that is refused keeps the login, and the provider is not asked at every call', async (t) => {
  const { provider, refreshes, call } = await refused(t, { status: 401, body: { error: 'invalid_client' } }, {
    clientAuthentication: 'client_secret_basic'
  })
  for (let calls = 0; calls < 30; calls++) {
    t.match((await call()).json(), { code: 'FST_OAUTH_INVALID_TOKEN_RESPONSE' })
  }
  t.ok(refreshes() < 10, `${refreshes()} refreshes in 30 calls`)
  provider.wrong = {}
  let answer = await call()
  while (answer.status === 502) answer = await call()
  t.equal(answer.status, 200, 'and is asked again soon')
})

t.test('a headless session: invalid_request ends the login, with and without a stored set', async t => {
  const provider = await startMisbehavingProvider(t, {
    instead: { token: { status: 400, body: { error: 'invalid_request' } } }
  })
  const headless = createProvider({ ...provider.staticOptions })
  t.after(() => headless.close())
  await t.rejects(headless.session().refresh({ refreshToken: 'r' }), { code: 'FST_OAUTH_LOGIN_ENDED' })
  const session = headless.session({ tokens: tokenSet('r', 1) })
  await t.rejects(session.refresh(), { code: 'FST_OAUTH_LOGIN_ENDED' })
  t.equal(session.authorized, false)
})

t.test('refusals are counted for one refresh token: a new set starts anew', async (t) => {
  const provider = await startMisbehavingProvider(t)
  const { records, refresher, client } = startTokenProcess(t, new MemoryTokenStore(), {
    providerOptions: { ...provider.staticOptions, resourceServers: [] } as never
  })
  const id = await records.create({
    version: 1,
    provider: 'acme',
    providerIdentity: client.config.identity,
    tokens: tokenSet('r', 1),
    obtainedAt: 0,
    ttl: 60,
    user: null
  })
  provider.wrong = { instead: { token: { status: 429, headers: { 'retry-after': '30' } } } }
  const fail = async (version: number) =>
    await t.rejects(refresher.refresh(client, id, { version }), {
      code: 'FST_OAUTH_PROVIDER_UNAVAILABLE',
      retryAfter: 30
    })
  for (let tries = 0; tries < 8; tries++) await fail(1)
  t.equal(provider.asked('token').length, 5)
  t.equal(await records.update(id, { ...(await records.read(id))!, version: 2 }), true)
  await fail(2)
  t.equal(provider.asked('token').length, 6)
})
