import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { decodeJwt, decodeProtectedHeader, SignJWT } from 'jose'
import t, { type Test } from 'tap'
import type { ProviderOptions } from '../../lib/index.ts'
import { createProvider } from '../../lib/index.ts'
import { parseClientKeys, publicKeySet } from '../../lib/oauth/client-keys.ts'
import type { EndpointRequest } from '../../lib/testing/endpoint.ts'
import { captureLog } from '../helpers/log.ts'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import type { TestProvider } from '../helpers/provider.ts'

// Clients that prove who they are by a signature, at a real provider that checks it, and each `jti` for a replay.

const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
const ed25519 = generateKeyPairSync('ed25519').privateKey

interface Client {
  /** Over the plugin's options. */
  options?: Partial<ProviderOptions>
  /** How the client is registered. */
  registered: Record<string, unknown>
  withSecret?: boolean
}

/** A client that has been registered with the public half of a key. */
const signing = (key: KeyObject, alg: string, more: Partial<ProviderOptions> = {}): Client => ({
  options: { clientKeys: key, ...more },
  registered: {
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: alg,
    jwks: publicKeySet(parseClientKeys(key))
  }
})

function optionsFor (provider: TestProvider, { options, withSecret = false }: Client): ProviderOptions {
  const { clientSecret, ...rest } = provider.providerOptions
  return { ...rest, ...(withSecret && { clientSecret }), pushedAuthorizationRequests: true, ...options }
}

async function signedApp (t: Test, client: Client) {
  const log = captureLog()
  const app = await loggedInApp(t, {
    oidc: { client: client.registered },
    providers: provider => ({ acme: optionsFor(provider, client) }),
    fastify: { logger: log.logger }
  })
  return { ...app, log }
}

const assertionOf = ({ body, headers }: EndpointRequest) => {
  const { client_assertion: assertion } = body
  if (typeof assertion !== 'string' || headers.authorization !== undefined || 'client_secret' in body) {
    throw new Error('the client is not authenticated by an assertion alone')
  }
  return assertion
}

const clients: Record<string, Client & { alg: string }> = {
  'private_key_jwt, chosen since there are only keys: ES256': { ...signing(ec, 'ES256'), alg: 'ES256' },
  'private_key_jwt: RS256': { ...signing(rsa, 'RS256'), alg: 'RS256' },
  'private_key_jwt: PS256, as clientKeys say': {
    ...signing(rsa, 'PS256', { clientKeys: { key: rsa, alg: 'PS256' } }),
    alg: 'PS256'
  },
  'private_key_jwt: EdDSA': { ...signing(ed25519, 'EdDSA'), alg: 'EdDSA' },
  client_secret_jwt: {
    options: { clientAuthentication: 'client_secret_jwt' },
    registered: { token_endpoint_auth_method: 'client_secret_jwt' },
    withSecret: true,
    alg: 'HS256'
  }
}

for (const [name, client] of Object.entries(clients)) {
  t.test(`${name}: at the PAR, token and revocation endpoints, at login, refresh and logout`, async (t) => {
    const { provider, run, orders, browser, url, log } = await signedApp(t, client)
    await run(oauth => oauth.refresh())
    t.equal((await orders()).status, 200)
    const { token, pushedAuthorizationRequest, revocation } = provider.endpoints
    const requests = () => [...pushedAuthorizationRequest.requests, ...token.requests, ...revocation.requests]
    await browser.post(`${url}/logout`)
    t.strictSame(
      [pushedAuthorizationRequest.requests, token.requests].map(list => list.length), [1, 2], 'login and refresh'
    )
    t.ok(revocation.requests.length > 0, 'logout')
    const assertions = requests().map(assertionOf)
    for (const assertion of assertions) {
      const { iss, sub, aud, iat, exp } = decodeJwt(assertion)
      t.strictSame([iss, sub, aud, exp! - iat!], [provider.clientId, provider.clientId, provider.issuer, 60])
      t.equal(decodeProtectedHeader(assertion).alg, client.alg)
    }
    const ids = assertions.map(assertion => decodeJwt(assertion).jti)
    t.equal(new Set(ids).size, assertions.length, 'each has a jti of its own')
    t.ok(requests().every(({ answer }) => answer!.status < 300), 'each is accepted')
    t.strictSame(log.leaked(assertions), [])
  })
}

for (const [name, client] of Object.entries(clients)) {
  t.test(`${name}: at introspection, revocation, the device endpoint and client credentials`, async (t) => {
    const { provider, log } = await signedApp(t, client)
    const acme = createProvider(optionsFor(provider, client))
    t.teardown(() => acme.close())
    const { accessToken } = await acme.clientCredentials({ scope: 'orders:read' }).tokens()
    t.match(await acme.introspect(accessToken), { active: true })
    t.equal(await acme.revoke(accessToken), true)
    t.match(await acme.introspect(accessToken), { active: false })
    t.match(await acme.device({ scope: 'openid' }), { userCode: String })
    const { introspection, revocation, deviceAuthorization, token } = provider.endpoints
    const requests = [introspection, revocation, deviceAuthorization, token].map(({ requests }) => requests.at(-1)!)
    for (const { answer } of requests) t.equal(answer!.status, 200)
    const assertions = requests.map(assertionOf)
    for (const assertion of assertions) {
      t.equal(decodeJwt(assertion).aud, provider.issuer)
      t.equal(decodeProtectedHeader(assertion).alg, client.alg)
    }
    t.strictSame(log.leaked(assertions), [])
  })
}

t.test('a refresh that is sent again has an assertion of its own: the provider has seen the first one', async (t) => {
  const { provider, run } = await signedApp(t, signing(ec, 'ES256'))
  provider.failTokenEndpoint({ status: 503 }, { times: 1 })
  await t.rejects(run(oauth => oauth.refresh()), { code: 'FST_OAUTH_PROVIDER_UNAVAILABLE' })
  await run(oauth => oauth.refresh())
  const [failed, sent] = provider.refreshRequests.map(assertionOf)
  t.not(decodeJwt(failed!).jti, decodeJwt(sent!).jti)
})

t.test('rotation: the first key signs, and a provider that knows both takes it', async (t) => {
  const clientKeys = [{ key: rsa, kid: 'new' }, { key: ec, kid: 'old' }]
  const jwks = publicKeySet(parseClientKeys(clientKeys))
  const registered = { token_endpoint_auth_method: 'private_key_jwt', jwks }
  const { provider } = await signedApp(t, { options: { clientKeys }, registered })
  t.match(decodeProtectedHeader(assertionOf(provider.tokenRequests[0]!)), { alg: 'RS256', kid: 'new' })
})

t.test('an algorithm that the metadata names is chosen before the usual one', async (t) => {
  const client = signing(rsa, 'PS256')
  const app = await loggedInApp(t, {
    oidc: {
      client: client.registered,
      configuration: { enabledJWA: { clientAuthSigningAlgValues: ['PS256', 'ES256'] } }
    },
    providers: provider => ({ acme: optionsFor(provider, client) })
  })
  t.equal(decodeProtectedHeader(assertionOf(app.provider.tokenRequests[0]!)).alg, 'PS256')
})

t.test('a function as clientAssertion may sign elsewhere: the client has no key here', async (t) => {
  const seen: string[] = []
  const client = signing(ec, 'ES256')
  const app = await loggedInApp(t, {
    oidc: { client: client.registered },
    providers: (provider) => {
      const { clientKeys: _none, ...options } = optionsFor(provider, client)
      return {
        acme: {
          ...options,
          clientAssertion: async ({ endpoint, issuer }) => {
            seen.push(endpoint)
            return await new SignJWT({ jti: String(seen.length) })
              .setProtectedHeader({ alg: 'ES256' })
              .setIssuer(provider.clientId)
              .setSubject(provider.clientId)
              .setAudience(issuer!)
              .setIssuedAt()
              .setExpirationTime('1 minute')
              .sign(ec)
          }
        }
      }
    }
  })
  t.strictSame(seen, [`${app.provider.issuer}/request`, `${app.provider.issuer}/token`])
})

t.test('a key that the provider does not know is an error that names the options', async (t) => {
  const client = signing(ec, 'ES256')
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  const { provider } = await signedApp(t, client)
  const acme = createProvider(optionsFor(provider, { ...client, options: { clientKeys: other } }))
  t.teardown(() => acme.close())
  await t.rejects(acme.clientCredentials().tokens(), {
    message: /refused the client: invalid_client; check clientId, clientKeys and clientAuthentication/
  })
})
