import t from 'tap'
import { createProvider, type ProviderOptions } from '../../lib/index.ts'
import { rejection } from '../helpers/rejection.ts'
import { keptTokens, scriptProvider, startScriptServer } from '../helpers/script-server.ts'

const credentials = { client_id: 'script', client_secret: 'secret of the script' }
const refused = {
  code: 'FST_OAUTH_INVALID_OPTIONS',
  reason: 'second_authentication',
  message: /"client_secret".*'client_secret_post'/
}

t.test('credentials among the parameters are not sent beside another client authentication', async (t) => {
  const server = await startScriptServer(t)
  const deviceAuthorizationEndpoint = server.providerOptions.tokenEndpoint!
  for (const clientAuthentication of [undefined, 'client_secret_basic', 'client_secret_jwt'] as const) {
    const provider = scriptProvider(t, {
      ...server.providerOptions,
      deviceAuthorizationEndpoint,
      ...(clientAuthentication !== undefined && { clientAuthentication })
    })
    const session = provider.session({ tokens: keptTokens(3600), params: {} })
    const errors = [
      await rejection(session.refresh({ params: credentials })),
      await rejection(session.refresh({ params: new URLSearchParams(credentials) })),
      await rejection(provider.session().refresh({ refreshToken: 'r', params: credentials })),
      await rejection(provider.session().fetchTokens({ code: 'c', params: credentials })),
      await rejection(provider.session().fetchTokens({ username: 'u', password: 'p', params: credentials })),
      await rejection(provider.clientCredentials({ params: credentials }).tokens()),
      await rejection(provider.jwtBearer({ assertion: 'a', params: credentials })),
      await rejection(provider.exchange({ subjectToken: 's', params: credentials })),
      await rejection(provider.device({ params: credentials }))
    ]
    for (const error of errors) {
      t.match(error, refused)
      t.notMatch(error.message, 'secret of the script')
    }
    t.ok(session.authorized, 'the login is kept')
  }
  t.strictSame(server.tokenRequests, [])
})

t.test('another secret than the configured one is refused, not replaced', async (t) => {
  const server = await startScriptServer(t)
  const provider = scriptProvider(t, { ...server.providerOptions, clientAuthentication: 'client_secret_post' })
  const session = provider.session({ tokens: keptTokens(3600) })
  t.match(await rejection(session.refresh({ params: { client_secret: 'another' } })), refused)
  t.strictSame(server.tokenRequests, [])
})

t.test('they are sent where they are the one authentication that there is', async (t) => {
  const server = await startScriptServer(t)
  const { clientSecret: _none, ...publicClient } = server.providerOptions
  const ways: Partial<ProviderOptions>[] = [
    {}, { clientAuthentication: 'none' }, { clientAuthentication: ({ headers }) => { headers.set('x-own', 'yes') } },
    { clientAuthentication: 'client_secret_post', clientSecret: credentials.client_secret }
  ]
  for (const way of ways) {
    const session = scriptProvider(t, { ...publicClient, ...way }).session({ tokens: keptTokens(3600) })
    await session.refresh({ params: credentials })
    t.match(server.tokenRequests.at(-1), {
      form: { ...credentials, grant_type: 'refresh_token' },
      headers: { authorization: undefined }
    })
  }
})

t.test('a token request names this package as its user agent', async (t) => {
  const server = await startScriptServer(t)
  await scriptProvider(t, server.providerOptions).session({ tokens: keptTokens(3600) }).refresh()
  t.match(server.tokenRequests.at(-1), { headers: { 'user-agent': 'fastify-oauth-session' } })
})

t.test('in the options they are refused at start', async (t) => {
  const { providerOptions } = await startScriptServer(t)
  for (const option of ['tokenParams', 'refreshParams', 'authorizationParams'] as const) {
    for (const params of [credentials, new URLSearchParams(credentials)]) {
      t.throws(() => createProvider({ ...providerOptions, [option]: params }), {
        code: 'FST_OAUTH_INVALID_OPTIONS', message: new RegExp(`${option}\\.client_secret must not be there`)
      })
    }
  }
  const own = { ...providerOptions, clientAuthentication: () => {}, refreshParams: credentials }
  await createProvider(own).close()
  t.throws(() => createProvider({ ...own, authorizationParams: credentials }), /authorizationParams\.client_secret/)
})

t.test('a secret among the parameters does not get into the URL of a login', async (t) => {
  const { providerOptions } = await startScriptServer(t)
  const { url } = await scriptProvider(t, providerOptions)
    .session()
    .authorizationUrl({ params: { ...credentials, client_assertion: 'a' } })
  t.notMatch(url, /secret/)
  t.notMatch(url, /client_assertion/)
})

t.test('callbackParams: the exchange and each refresh repeat them, where the response had each once', async (t) => {
  const server = await startScriptServer(t)
  const provider = scriptProvider(t, { ...server.providerOptions, callbackParams: ['device_id', 'lang', 'twice'] })
  const session = provider.session()
  const { url, state } = await session.authorizationUrl()
  t.notMatch(url, /device_id/)
  const query = new URLSearchParams({ code: 'c', state, device_id: 'the device', code_verifier: 'of the browser' })
  query.append('twice', '1')
  query.append('twice', '2')
  await session.fetchTokens({ callbackUrl: `https://app.example.com/callback?${query}` })
  await session.refresh()
  await session.refresh()
  const forms = server.tokenRequests.map(({ form }) => form)
  t.strictSame(forms.map(({ grant_type: grant }) => grant), ['authorization_code', 'refresh_token', 'refresh_token'])
  for (const form of forms) {
    t.strictSame([form.device_id, form.lang, form.twice], ['the device', undefined, undefined])
    t.not(form.code_verifier, 'of the browser')
  }
})

t.test('callbackParams: what a token request sets itself is refused at start', async (t) => {
  const { providerOptions } = await startScriptServer(t)
  for (const name of ['code', 'client_id', 'client_secret', 'grant_type', 'redirect_uri', 'scope']) {
    t.throws(() => createProvider({ ...providerOptions, callbackParams: [name] }), {
      code: 'FST_OAUTH_INVALID_OPTIONS', message: new RegExp(`callbackParams has "${name}"`)
    })
  }
  t.throws(() => createProvider({ ...providerOptions, callbackParams: 'device_id' as never }), /callbackParams/)
})

t.test('errors of a session without a request do not speak of request.oauth', async (t) => {
  const server = await startScriptServer(t)
  const provider = scriptProvider(t, server.providerOptions)
  const expired = keptTokens(-10)
  const { refreshToken: _none, ...last } = expired
  server.answerTokens = () => [200, { access_token: 'new', refresh_token: 'new', expires_in: 60 }]
  const errors = [
    await rejection(provider.session({ tokens: expired, refresh: 'manual' }).get('orders')),
    await rejection(provider.session({ tokens: expired, refresh: 'notify' }).get('orders')),
    await rejection(provider.session({ tokens: last }).get('orders')),
    await rejection(provider.session().get('orders')),
    await rejection(provider.session().tokens()),
    await rejection(provider.session().userinfo()),
    await rejection(provider.session().refresh()),
    await rejection(provider.session().fetchTokens()),
    await rejection(provider.session({ tokens: expired }).get('https://elsewhere.example/')),
    await rejection(provider.session({ tokens: expired }).post('orders', { json: undefined, body: {} }))
  ]
  server.answerTokens = () => [400, { error: 'invalid_grant' }]
  errors.push(await rejection(provider.session({ tokens: expired }).get('orders')))
  t.match(
    errors.map(({ code }) => code),
    [
      'FST_OAUTH_TOKEN_EXPIRED',
      'FST_OAUTH_TOKENS_UPDATED',
      'FST_OAUTH_TOKEN_EXPIRED',
      'FST_OAUTH_LOGIN_REQUIRED',
      'FST_OAUTH_LOGIN_REQUIRED',
      'FST_OAUTH_LOGIN_REQUIRED',
      'FST_OAUTH_LOGIN_REQUIRED',
      'FST_OAUTH_AUTHORIZATION_FAILED',
      'FST_OAUTH_ORIGIN_NOT_ALLOWED',
      'FST_OAUTH_INVALID_OPTIONS',
      'FST_OAUTH_LOGIN_ENDED'
    ]
  )
  t.strictSame(errors.map(({ message }) => message).filter(message => message.includes('request.oauth')), [])
})
