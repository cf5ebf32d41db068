import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { compactVerify, decodeJwt } from 'jose'
import * as oidc from 'oidc-provider'
import t, { type Test } from 'tap'
import type { AuthorizationDetail, ProviderOptions } from '../../lib/index.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { matchEach } from '../helpers/match-each.ts'
import { rejection } from '../helpers/rejection.ts'
import { scriptProvider, startScriptServer } from '../helpers/script-server.ts'

const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
const usual: AuthorizationDetail[] = [{ type: 'account_information', actions: ['list'], privileges: [] }]
const payment: AuthorizationDetail[] = [
  { type: 'payment', instructedAmount: { currency: 'EUR', amount: '123.50' }, creditorName: 'Müller & Söhne' }
]
const granted = [{ ...payment[0], status: 'granted' }]

/** An app at a small provider whose token answers say what was granted. */
const bankApp = (t: Test, provider: Partial<ProviderOptions>) =>
  loggedInApp(t, { wrong: { tokens: { authorization_details: granted } }, provider })

const detailsIn = (query: URLSearchParams) => JSON.parse(query.get('authorization_details')!) as unknown

t.test('authorization details are sent with each login, or with one in their place', async (t) => {
  const app = await bankApp(t, { authorizationDetails: usual })
  const asked = () => app.provider.asked('authorization').map(({ query }) => detailsIn(query))
  t.strictSame(asked(), [usual])
  await app.page((oauth, _request, reply) => oauth.login(reply, { authorizationDetails: payment }))
  t.strictSame(asked(), [usual, payment])
  await app.browser.login(`${app.url}/login/acme`)
  t.strictSame(asked(), [usual, payment, usual])
})

t.test('what was granted is in tokens().raw, and after a refresh what that answer says', async (t) => {
  const app = await bankApp(t, { authorizationDetails: payment })
  const raw = () => app.run(async (oauth): Promise<unknown> => (await oauth.tokens()).raw.authorization_details)
  t.strictSame(await raw(), granted)
  await app.run(oauth => oauth.refresh())
  t.strictSame(await raw(), granted)
  app.provider.wrong = { tokens: { authorization_details: [] } }
  await app.run(oauth => oauth.refresh())
  t.strictSame(await raw(), [])
})

t.test('they are in a pushed and in a signed request as well', async (t) => {
  const pushing = { authorizationDetails: payment, pushedAuthorizationRequests: true }
  const pushed = await loggedInApp(t, { provider: pushing })
  const [request] = pushed.provider.endpoints.pushedAuthorizationRequest.requests
  t.strictSame(JSON.parse(request!.body.authorization_details as string), payment)

  const options = { clientKeys: key, clientAuthentication: 'client_secret_basic' as const, requestObjects: true }
  const { browser, url } = await loggedInApp(t, {
    providers: ({ providerOptions }) => ({
      acme: providerOptions, signed: { ...providerOptions, ...options, authorizationDetails: payment }
    }),
    oauth: { defaultProvider: 'acme' }
  })
  const { location } = await browser.get(`${url}/login/signed`, { redirect: 'manual' })
  const signed = new URL(location!).searchParams.get('request')!
  await t.resolves(compactVerify(signed, createPublicKey(key)))
  t.strictSame(decodeJwt(signed).authorization_details, payment)
})

t.test('a session without a request sends them, and the app\'s own client in its token requests', async (t) => {
  const server = await startScriptServer(t)
  const provider = scriptProvider(t, { ...server.providerOptions, authorizationDetails: usual })
  t.strictSame(detailsIn(new URL((await provider.authorizationUrl()).url).searchParams), usual)
  const { url } = await provider.authorizationUrl({ authorizationDetails: payment })
  t.strictSame(detailsIn(new URL(url).searchParams), payment)

  const client = provider.clientCredentials()
  await client.tokens()
  await client.refresh()
  await provider.clientCredentials({ params: { authorization_details: '[{"type":"own"}]' } }).tokens()
  t.strictSame(server.tokenRequests.map(({ form }) => JSON.parse(form.authorization_details as string)),
    [usual, usual, [{ type: 'own' }]])
})

// At oidc-provider, which checks them by type and grants a payment for half of what was asked.

// Its types are few.
const { errors } = oidc as unknown as { errors: { InvalidAuthorizationDetails: new (message: string) => Error } }

interface Source { rar?: AuthorizationDetail[] }
interface RarContext { oidc: { params: { authorization_details?: string } } }

const half = (details: AuthorizationDetail[]) => details.map(detail => ({ ...detail, granted: 'half' }))
const richAuthorizationRequests = {
  enabled: true,
  types: {
    payment: {
      validate: (_ctx: unknown, detail: AuthorizationDetail) => {
        if (detail.creditorName === undefined) throw new errors.InvalidAuthorizationDetails('creditorName is missing')
      }
    }
  },
  authorizationDetailsForGrantSource: ({ oidc }: RarContext) =>
    half(JSON.parse(oidc.params.authorization_details!) as AuthorizationDetail[]),
  authorizationDetailsForAccessToken: (_ctx: unknown, _token: unknown, source: Source) => source.rar,
  authorizationDetailsForIntrospection: (_ctx: unknown, token: Source) => token.rar
}

const bank = 'https://bank.example/'
const rarApp = (t: Test, provider: Partial<ProviderOptions>) => loggedInApp(t, {
  oidc: {
    resourceServers: { [bank]: 'orders:read' },
    client: { authorization_details_types: ['payment'] },
    furtherFeatures: { richAuthorizationRequests }
  },
  provider: { authorizationParams: { resource: bank }, ...provider }
})

for (const pushedAuthorizationRequests of [true, false]) {
  const name = pushedAuthorizationRequests ? 'pushed' : 'in the URL'

  t.test(`oidc-provider, ${name}: what was granted comes with login, refresh and introspection`, async (t) => {
    const app = await rarApp(t, { authorizationDetails: payment, pushedAuthorizationRequests })
    const inTokens = async () => (await app.run(oauth => oauth.tokens())).raw.authorization_details
    t.strictSame(await inTokens(), half(payment))
    const { accessToken, raw } = await app.run(oauth => oauth.refresh())
    t.strictSame(raw.authorization_details, half(payment))
    const introspected = await app.app.oauth.provider('acme').introspect(accessToken)
    t.match(introspected, { active: true, authorization_details: half(payment) })
    t.equal(app.provider.refreshRequests[0]!.body.authorization_details, undefined, 'the refresh asks for no other')
  })
}

t.test('oidc-provider refuses details: the error names it, and the login before stays', async (t) => {
  const refused = { code: 'FST_OAUTH_AUTHORIZATION_FAILED', oauthError: 'invalid_authorization_details' }
  for (const authorizationDetails of [[{ type: 'payment' }], [{ type: 'unknown' }]]) {
    const inUrl = await rarApp(t, { authorizationDetails: payment })
    await inUrl.page((oauth, _request, reply) => oauth.login(reply, { authorizationDetails }))
    matchEach(t, inUrl.errors, [refused])
    t.equal(await inUrl.userOf(inUrl.browser), 'alice')

    const pushed = await rarApp(t, { authorizationDetails: payment, pushedAuthorizationRequests: true })
    const asked = pushed.run((oauth, _request, reply) => oauth.login(reply, { authorizationDetails }))
    t.match(await rejection(asked), refused)
    t.equal(await pushed.userOf(pushed.browser), 'alice')
  }
})

const cycle: Record<string, unknown> = { type: 'a' }
cycle.itself = cycle
const wrong: Record<string, unknown> = {
  'a text': '[{"type":"a"}]',
  'an object': { type: 'a' },
  'an empty list': [],
  'a list of texts': ['a'],
  'a list with a hole': [undefined],
  'a list of lists': [['a']],
  'no type': [{ actions: ['read'] }],
  'an empty type': [{ type: '' }],
  'a type that is no text': [{ type: 7 }],
  'a cycle': [cycle],
  'a bigint': [{ type: 'a', amount: 1n }]
}

t.test('details that are none are refused at registration, and at a login before anything is sent', async (t) => {
  const server = await startScriptServer(t)
  const session = scriptProvider(t, server.providerOptions).session()
  for (const [name, authorizationDetails] of Object.entries(wrong)) {
    const option = { ...server.providerOptions, authorizationDetails } as ProviderOptions
    const refused = { code: 'FST_OAUTH_INVALID_OPTIONS', message: /authorizationDetails.* must be a list of objects/ }
    t.throws(() => scriptProvider(t, option), refused, name)
    t.match(await rejection(session.authorizationUrl({ authorizationDetails } as never)), refused, name)
  }
})
