import t, { type Test } from 'tap'
import { createProvider, type OAuthError, type ProviderOptions } from '../../lib/index.ts'
import { Browser } from '../helpers/browser.ts'
import { appAt, asJson } from '../helpers/login-app.ts'
import {
  type MisbehavingProvider, type Misbehaviour, startMisbehavingProvider
} from '../helpers/misbehaving-provider.ts'

// One login, two front ends: the routes of the plugin, and a session without a request. Each rule is stated once and
// holds for both.

interface FrontEnd {
  /** Starts a login and returns the authorization request. */
  start (): Promise<URL>
  /** Finishes the login with an authorization response. Returns the error, or undefined. */
  finish (response: URLSearchParams): Promise<OAuthError | undefined>
}

type MakeFrontEnd = (
  t: Test, provider: MisbehavingProvider, options: Partial<ProviderOptions>, known?: ProviderOptions
) => Promise<FrontEnd>

const routes: MakeFrontEnd = async (t, provider, options, known = provider.providerOptions) => {
  const { browser, url, errors } = await appAt(t, provider, { providers: () => ({ acme: { ...known, ...options } }) })
  const callback = `${url}/login/acme/callback`
  return {
    start: async () => new URL((await browser.get(`${url}/login/acme`, { redirect: 'manual' })).location!),
    finish: async response => {
      if (options.grantType === 'implicit') {
        await browser.post(callback, { form: Object.fromEntries(response), ...asJson })
      } else await browser.get(`${callback}?${response}`, asJson)
      return errors.at(-1)
    }
  }
}

const session: MakeFrontEnd = async (t, provider, options, known = provider.providerOptions) => {
  const redirectUri = 'http://127.0.0.1:1/callback'
  const acme = createProvider({ ...known, redirectUri, ...options })
  t.after(() => acme.close())
  const session = acme.session()
  return {
    start: async () => new URL((await session.authorizationUrl()).url),
    finish: async response => {
      const callbackUrl = `${redirectUri}${options.grantType === 'implicit' ? '#' : '?'}${response}`
      return await session.fetchTokens({ callbackUrl }).then(() => undefined, (error: OAuthError) => error)
    }
  }
}

const frontEnds = Object.entries({ 'the routes': routes, 'a session': session })

/** A login at a provider that is wrong in one point, up to its authorization response. */
async function begun (t: Test, make: MakeFrontEnd, wrong: Misbehaviour = {}, options: Partial<ProviderOptions> = {}) {
  const provider = await startMisbehavingProvider(t, wrong)
  const frontEnd = await make(t, provider, options)
  const request = await frontEnd.start()
  const { location } = await new Browser().get(request.href, { redirect: 'manual' })
  const response = new URL(location!).searchParams
  return { provider, ...frontEnd, request, response }
}

const promised = { authorization_response_iss_parameter_supported: true }

for (const [which, make] of frontEnds) {
  for (const [grantType, scope, expected] of [
    ['authorization_code', ['openid'], 'code'],
    ['implicit', ['openid'], 'id_token token'],
    ['implicit', ['read'], 'token']
  ] as const) {
    t.test(`${which}: ${grantType} with the scope ${scope[0]} asks for response_type "${expected}"`, async t => {
      const provider = await startMisbehavingProvider(t)
      const { searchParams } = await (await make(t, provider, { grantType, scope: [...scope] })).start()
      t.equal(searchParams.get('response_type'), expected)
      t.equal(searchParams.has('nonce'), scope[0] === 'openid', 'a nonce where an ID token will come')
      t.equal(searchParams.has('code_challenge'), expected === 'code')
    })
  }

  t.test(`${which}: an ID token is not asked for where it could not be checked`, async t => {
    const provider = await startMisbehavingProvider(t)
    const options = { grantType: 'implicit', profileSource: 'userinfo' } as const
    const { start } = await make(t, provider, { ...options, scope: ['openid'] }, provider.staticOptions)
    const { searchParams } = await start()
    t.equal(searchParams.get('response_type'), 'token')
    t.equal(searchParams.get('nonce'), null)
  })

  t.test(`${which}: a response without the iss that the provider promised is refused (RFC 9207)`, async t => {
    const { finish, response, provider } = await begun(t, make, { metadata: promised })
    t.match(await finish(response), { code: 'FST_OAUTH_AUTHORIZATION_FAILED', reason: 'issuer_mismatch' })
    t.equal(provider.asked('token').length, 0, 'and its code is not redeemed')
  })

  t.test(`${which}: a response with the iss that the provider promised is accepted`, async t => {
    const { finish, response, provider } = await begun(t, make, { metadata: promised })
    response.set('iss', provider.issuer)
    t.equal(await finish(response), undefined)
  })

  t.test(`${which}: an ID token in the query does not replace the iss of a code`, async t => {
    const { finish, response } = await begun(t, make, { metadata: promised })
    response.set('id_token', 'a.b.c')
    t.match(await finish(response), { code: 'FST_OAUTH_AUTHORIZATION_FAILED', reason: 'issuer_mismatch' })
  })

  t.test(`${which}: an error of another issuer is not taken for the provider's`, async t => {
    const { finish, response } = await begun(t, make)
    response.set('error', 'access_denied')
    response.set('iss', 'https://other.example')
    t.match(await finish(response), { reason: 'issuer_mismatch', oauthError: undefined })
  })

  t.test(`${which}: a login that asked for openid needs an ID token`, async t => {
    const { finish, response } = await begun(t, make, { tokens: { id_token: undefined } })
    t.match(await finish(response), { code: 'FST_OAUTH_INVALID_ID_TOKEN', reason: 'missing' })
  })

  t.test(`${which}: an implicit login that asked for openid needs an ID token`, async t => {
    const provider = await startMisbehavingProvider(t)
    const { start, finish } = await make(t, provider, { grantType: 'implicit' })
    const state = (await start()).searchParams.get('state')!
    const response = new URLSearchParams({ access_token: 'a', token_type: 'Bearer', state })
    t.match(await finish(response), { code: 'FST_OAUTH_INVALID_ID_TOKEN', reason: 'missing' })
  })

  t.test(`${which}: an implicit response without token_type is refused with requireTokenType`, async t => {
    const provider = await startMisbehavingProvider(t)
    const { start, finish } = await make(t, provider, {
      grantType: 'implicit', scope: ['read'], requireTokenType: true
    })
    const state = (await start()).searchParams.get('state')!
    t.match(await finish(new URLSearchParams({ access_token: 'a', state })), {
      code: 'FST_OAUTH_INVALID_TOKEN_RESPONSE', reason: 'missing_token_type'
    })
  })

  t.test(`${which}: an ID token with the nonce of another login is refused`, async t => {
    const { finish, response } = await begun(t, make, { claims: { nonce: 'n'.repeat(43) } })
    t.match(await finish(response), { code: 'FST_OAUTH_INVALID_ID_TOKEN', reason: 'nonce' })
  })

  t.test(`${which}: max_age is checked in the ID token`, async t => {
    const claims = { auth_time: Math.floor(Date.now() / 1000) - 3600 }
    const options = { authorizationParams: { max_age: 300 } }
    const { finish, request, response } = await begun(t, make, { claims }, options)
    t.equal(request.searchParams.get('max_age'), '300')
    t.match(await finish(response), { code: 'FST_OAUTH_INVALID_ID_TOKEN', reason: 'auth_time' })
  })

  t.test(`${which}: an ID token that was not asked for is checked all the same`, async t => {
    const { finish, response, request } = await begun(t, make, { tokens: { id_token: 'a.b.c' } }, { scope: ['read'] })
    t.equal(request.searchParams.get('nonce'), null)
    t.match(await finish(response), { code: 'FST_OAUTH_INVALID_ID_TOKEN' })
  })

  t.test(`${which}: nonce and response_mode of authorizationParams are the login's own to set`, async t => {
    const { request } = await begun(t, make, {}, {
      authorizationParams: { nonce: 'n'.repeat(43), response_mode: 'fragment', prompt: 'login' }
    })
    t.not(request.searchParams.get('nonce'), 'n'.repeat(43))
    t.equal(request.searchParams.get('response_mode'), null)
    t.equal(request.searchParams.get('prompt'), 'login')
  })

  t.test(`${which}: a login is finished once, also by a response that is refused`, async t => {
    const { finish, response } = await begun(t, make, { tokens: { id_token: undefined } })
    t.match(await finish(response), { reason: 'missing' })
    t.match(await finish(response), { code: 'FST_OAUTH_STATE_MISMATCH' })
  })
}

/** Providers without Fastify, and the redirect URI of their logins. */
async function headless (t: Test, wrong: Misbehaviour = {}) {
  const provider = await startMisbehavingProvider(t, wrong)
  const redirectUri = 'http://127.0.0.1:1/callback'
  const create = () => {
    const acme = createProvider({ ...provider.providerOptions, redirectUri })
    t.after(() => acme.close())
    return acme
  }
  const callbackOf = async (url: string) => (await new Browser().get(url, { redirect: 'manual' })).location!
  return { provider, redirectUri, create, callbackOf }
}

t.test('parseCallback of a session refuses a response without the iss that the provider promised', async t => {
  const { provider, redirectUri, create } = await headless(t, { metadata: promised })
  // As in another process: nothing has asked for the metadata yet.
  const session = create().session({ state: 'the-state' })
  const callbackUrl = `${redirectUri}?code=zz&state=the-state`
  await t.rejects(session.parseCallback(callbackUrl), {
    code: 'FST_OAUTH_AUTHORIZATION_FAILED', reason: 'issuer_mismatch'
  })
  t.equal((await session.parseCallback(`${callbackUrl}&iss=${encodeURIComponent(provider.issuer)}`)).code, 'zz')
})

t.test('a session of another process refuses a response without the promised iss', async t => {
  const { create, callbackOf } = await headless(t, { metadata: promised })
  const { url, state, codeVerifier, nonce } = await create().authorizationUrl()
  const session = create().session({ state, codeVerifier: codeVerifier!, nonce: nonce! })
  await t.rejects(session.fetchTokens({ callbackUrl: await callbackOf(url) }), {
    code: 'FST_OAUTH_AUTHORIZATION_FAILED', reason: 'issuer_mismatch'
  })
})

t.test('userinfo of a session about another user than its login is refused', async t => {
  const { provider, create, callbackOf } = await headless(t)
  const session = create().session()
  const { url } = await session.authorizationUrl()
  await session.fetchTokens({ callbackUrl: await callbackOf(url) })
  t.match(await session.userinfo(), { sub: 'alice' })
  provider.wrong = { userinfo: { sub: 'mallory' } }
  await t.rejects(session.userinfo(), { code: 'FST_OAUTH_INVALID_RESPONSE', reason: 'subject_mismatch' })
})
