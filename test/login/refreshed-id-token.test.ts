import { decodeJwt } from 'jose'
import t, { type Test } from 'tap'
import { createProvider, type ProviderOptions, type TokenSet } from '../../lib/index.ts'
import { captureLog } from '../helpers/log.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { type LoginAppOptions, loginApp } from '../helpers/login-app.ts'
import {
  type Misbehaviour, type MisbehavingProvider, startMisbehavingProvider
} from '../helpers/misbehaving-provider.ts'
import { tokenRecords } from '../helpers/records.ts'
import type { JsonStore } from '../helpers/stores.ts'

// What a refreshed ID token must not say otherwise than the one of the login (OpenID Connect Core, section 12.2).

const minute = 60
const now = () => Math.floor(Date.now() / 1000)

type Claims = Record<string, unknown> | ((provider: MisbehavingProvider) => Record<string, unknown>)

interface Refreshing {
  provider: MisbehavingProvider
  store: JsonStore
  log: ReturnType<typeof captureLog>
  /** The nonce of the login. */
  nonce: string
  /** Refreshes at a provider whose refreshed ID token has these claims. */
  refresh (claims: Claims): Promise<{ status: number, claims: Record<string, unknown> }>
  /** Why refreshed ID tokens were refused, in order. */
  refused (): string[]
}

/** An app with a user who is logged in, and a route that refreshes. */
async function refreshing (
  t: Test, claims: Claims = {}, options: LoginAppOptions = {}
): Promise<Refreshing> {
  const log = captureLog()
  const { provider, store, browser, url } = await loginApp(t, {
    fastify: { logger: log.logger },
    setup: (app) => {
      app.get('/refresh', async ({ oauth }) => {
        await oauth.refresh()
        return oauth.claims
      })
    },
    ...options
  })
  const claimsOf = (given: Claims) => typeof given === 'function' ? given(provider) : given
  provider.wrong = { claims: claimsOf(claims) }
  await browser.login(`${url}/login/acme`)
  return {
    provider,
    store,
    log,
    nonce: provider.asked('authorization')[0]!.query.get('nonce')!,
    refresh: async (changed) => {
      provider.wrong = { claims: { ...claimsOf(claims), ...claimsOf(changed) } }
      const page = await browser.get(`${url}/refresh`)
      return { status: page.status, claims: page.json<Record<string, unknown>>() }
    },
    refused: () => log.lines
      .filter(({ event }) => event === 'id_token_refused')
      .map(({ err }) => (err as { reason: string }).reason)
  }
}

const others: Record<string, [claims: Record<string, unknown>, reason: string]> = {
  nonce: [{ nonce: 'n'.repeat(43) }, 'nonce'],
  'nonce that is no text': [{ nonce: 1 }, 'nonce'],
  'auth_time, that of the refresh': [{ auth_time: now() + minute }, 'auth_time'],
  'auth_time, before that of the login': [{ auth_time: now() - minute }, 'auth_time'],
  'auth_time that is no number': [{ auth_time: 'now' }, 'auth_time']
}

for (const [what, [claims, reason]] of Object.entries(others)) {
  t.test(`a refreshed ID token with another ${what} is refused; tokens and login stay`, async (t) => {
    const { refresh, refused, provider, log } = await refreshing(t)
    const before = await refresh({})
    const after = await refresh({ ...claims, name: 'Mallory' })
    t.equal(after.status, 200)
    t.strictSame(after.claims, before.claims, 'nothing of it is taken over')
    t.strictSame(refused(), [reason])
    t.equal((await refresh({ name: 'Alice' })).claims.name, 'Alice', 'the next refresh goes on from the new tokens')
    t.equal(provider.refreshRequests.length, 3)
    t.strictSame(log.leaked(provider.secrets), [])
  })
}

t.test('a refreshed ID token with another audience, or another authorized party, is refused', async (t) => {
  const { refresh, refused } = await refreshing(t)
  await refresh(({ clientId }) => ({ aud: [clientId, 'another'], azp: clientId }))
  await refresh(({ clientId }) => ({ azp: clientId }))
  await refresh({ aud: 'another' })
  t.strictSame(refused(), ['aud', 'azp', 'aud'])
})

t.test('the same audiences in another order are the same, and a list of one is that one', async (t) => {
  const { refresh, refused } = await refreshing(t, ({ clientId }) => ({ aud: ['another', clientId], azp: clientId }))
  await refresh(({ clientId }) => ({ aud: [clientId, 'another'], azp: clientId }))
  const single = await refreshing(t)
  await single.refresh(({ clientId }) => ({ aud: [clientId] }))
  t.strictSame([...refused(), ...single.refused()], [])
})

t.test('a refreshed ID token with nonce and auth_time of the login is taken', async (t) => {
  const { refresh, refused, nonce } = await refreshing(t)
  t.equal((await refresh({ nonce, name: 'Alice B.' })).claims.name, 'Alice B.')
  t.strictSame(refused(), [])
})

t.test('refreshed ID tokens without nonce and auth_time are taken; one that has them later is compared', async (t) => {
  const { refresh, refused, nonce } = await refreshing(t)
  for (const name of ['one', 'two']) {
    t.equal((await refresh({ nonce: undefined, auth_time: undefined, name })).claims.name, name)
  }
  await refresh({ nonce: 'n'.repeat(43), auth_time: undefined })
  await refresh({ nonce, auth_time: now() + minute })
  t.strictSame(refused(), ['nonce', 'auth_time'])
  t.equal((await refresh({ nonce, name: 'three' })).claims.name, 'three')
  t.strictSame(refused(), ['nonce', 'auth_time'])
})

t.test('another user counts for more than another nonce: the login ends', async (t) => {
  const { refresh, store } = await refreshing(t)
  t.equal((await refresh({ sub: 'mallory', nonce: 'n'.repeat(43) })).status, 401)
  t.equal(tokenRecords(store).size, 0)
})

t.test('a record holds of nonce and auth_time only what its ID token has not', async (t) => {
  const { refresh, store } = await refreshing(t)
  const identity = () => ([...tokenRecords(store).values()][0] as unknown as { identity: object }).identity
  t.strictSame(Object.keys(identity()), ['sub', 'iss'], 'nothing more after the login')
  await refresh({})
  t.strictSame(Object.keys(identity()), ['sub', 'iss', 'nonceHash'], 'after a refresh without nonce')
  const kept = JSON.stringify(identity()).length
  await refresh({})
  t.equal(JSON.stringify(identity()).length, kept)
})

t.test('what is kept of a nonce is not the nonce', async (t) => {
  const { refresh, store, nonce } = await refreshing(t)
  await refresh({})
  t.notOk([...store.records.values()].some((text) => text.includes(nonce)))
})

t.test('with the method `notify` the refreshed ID token is compared too', async (t) => {
  const { refresh, refused } = await refreshing(t, {}, { oauth: { refresh: 'notify' } })
  await refresh({ nonce: 'n'.repeat(43) })
  t.strictSame(refused(), ['nonce'])
})

t.test('oidc-provider: nonce and auth_time of a refreshed ID token are those of the login', async (t) => {
  const log = captureLog()
  const app = await loggedInApp(t, {
    fastify: { logger: log.logger },
    provider: { authorizationParams: { max_age: 3600 } }
  })
  const first = decodeJwt((await app.run((oauth) => oauth.tokens())).idToken!)
  const { idToken } = await app.run((oauth) => oauth.refresh())
  t.match(app.provider.refreshRequests[0]?.answer?.body, { id_token: idToken }, 'it is the one of the refresh')
  t.match(decodeJwt(idToken!), { nonce: first.nonce, auth_time: first.auth_time, aud: first.aud, azp: first.azp })
  t.type(first.auth_time, 'number')
  t.notOk(log.lines.some(({ event }) => event === 'id_token_refused'))
})

// Sessions without a request

interface Headless {
  provider: MisbehavingProvider
  tokens: TokenSet
  refresh (wrong: Misbehaviour): Promise<TokenSet>
}

async function headless (t: Test): Promise<Headless> {
  const provider = await startMisbehavingProvider(t)
  const client = createProvider({ name: 'acme', ...provider.providerOptions } as ProviderOptions & { name: string })
  t.after(() => client.close())
  const session = client.session({ redirectUri: 'http://127.0.0.1/callback' })
  const { url } = await session.authorizationUrl()
  const response = await fetch(url, { redirect: 'manual' })
  const tokens = await session.fetchTokens({ callbackUrl: response.headers.get('location')! })
  return {
    provider,
    tokens,
    refresh: async (wrong) => {
      provider.wrong = wrong
      return await session.refresh()
    }
  }
}

t.test('a session without a request refuses a refreshed ID token with another nonce', async (t) => {
  const { tokens, refresh } = await headless(t)
  const refreshed = await refresh({ claims: { nonce: 'n'.repeat(43) } })
  t.not(refreshed.refreshToken, tokens.refreshToken)
  t.equal(refreshed.idToken, tokens.idToken, 'the one before stays')
})

t.test('a session without a request ends where a refreshed ID token is for another user', async (t) => {
  const { refresh } = await headless(t)
  await t.rejects(refresh({ claims: { sub: 'mallory' } }), { code: 'FST_OAUTH_LOGIN_ENDED' })
})

t.test('a provider without issuer: a refreshed ID token is handed on unchecked, as that of the login is', async (t) => {
  const log = captureLog()
  const app = await loggedInApp(t, {
    wrong: {},
    fastify: { logger: log.logger },
    providers: ({ staticOptions }) => ({ acme: { ...staticOptions, scope: ['openid'], profileSource: 'userinfo' } })
  })
  const { idToken } = await app.run((oauth) => oauth.tokens())
  const refreshed = await app.run((oauth) => oauth.refresh())
  t.type(idToken, 'string')
  t.not(refreshed.idToken, idToken)
  t.notOk(log.lines.some(({ event }) => event === 'id_token_refused'))
})
