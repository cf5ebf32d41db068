import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { Transport } from '../http/transport.ts'
import type { ProviderConfig } from '../providers/config.ts'
import type { ProviderClient } from '../providers/provider.ts'
import { optionsOf } from '../util/options-of.ts'
import { ENDPOINT_PATHS, type EndpointName } from './endpoint.ts'
import { peekBody } from './peek-body.ts'
import type { ProviderCore } from './provider-core.ts'
import type { TestProviderOptions } from './provider-options.ts'
import { insideOf, isOpen, startTestProvider, type TestProvider } from './provider.ts'
import { refuseInProduction } from './refuse-in-production.ts'
import { type AnyApp, findRegistered, makeReady, type Registered, type WhichProvider } from './registrations.ts'

/** Options of `replaceProvider`: those of `createTestProvider`, but for what the app's configuration says. */
export interface ReplaceProviderOptions extends
  Omit<TestProviderOptions, 'clientId' | 'clientSecret'>, WhichProvider {}

/** The names of endpoints in metadata → those of the test provider. */
const ENDPOINTS: Record<string, EndpointName> = {
  authorization_endpoint: 'authorization',
  token_endpoint: 'token',
  userinfo_endpoint: 'userinfo',
  jwks_uri: 'jwks',
  revocation_endpoint: 'revocation',
  introspection_endpoint: 'introspection',
  end_session_endpoint: 'endSession',
  pushed_authorization_request_endpoint: 'pushedAuthorizationRequest',
  device_authorization_endpoint: 'deviceAuthorization'
}
/** Where the client authenticates. */
const WITH_CLIENT = new Set(['/token', '/request', '/token/revocation', '/token/introspection', '/device/auth'])

const replaced = new WeakMap<ProviderClient, TestProvider>()

/** The test provider that replaces an app's provider; undefined if there is none, or it is closed. */
export function replacementOf (client: ProviderClient): TestProvider | undefined {
  const provider = replaced.get(client)
  return provider !== undefined && isOpen(provider) ? provider : undefined
}

/**
 * Puts a test provider in place of a real one that the app is configured with. In this process, it answers as the real
 * issuer and at the real endpoints, and it accepts the client's credentials unchecked. The app's code and configuration
 * stay as they are. It is closed with the app.
 * @param app the app, with everything registered; `replaceProvider` calls `app.ready()`
 * @param options.provider name of the provider; default the only one, or `defaultProvider`
 * @param options.decorator of the registration, if several have a provider of that name; or its `prefix`
 * @param options users, lifetimes of tokens and more, as for `createTestProvider`
 * @returns the test provider
 * @throws FST_OAUTH_INVALID_OPTIONS if there is no such provider, oidc-provider is not installed, or NODE_ENV is
 *   `production`
 */
export async function replaceProvider (app: AnyApp, options: ReplaceProviderOptions = {}): Promise<TestProvider> {
  refuseInProduction('replaceProvider()')
  const { provider, decorator, prefix, ...rest } = optionsOf('replaceProvider', options)
  await makeReady('replaceProvider()', app)
  return await replace(findRegistered(app, { provider, decorator, prefix }), rest)
}

/** The same for a provider that is found. */
export async function replace (
  { context, client }: Registered, options: TestProviderOptions = {}
): Promise<TestProvider> {
  await replacementOf(client)?.close()
  const { config } = client
  const provider = await startTestProvider(withOptions(config, options))
  const { core, network, answer } = insideOf(provider)
  const listener = standIn(core, config)
  const urls = [provider.issuer, ...Object.values(config.endpoints)]
  for (const { origin } of urls.filter(url => URL.canParse(url)).map(url => new URL(url))) {
    answer(origin, listener)
  }
  const inside = new Transport(network)
  for (const transport of new Set([context.transport, client.transport])) divert(transport, inside, provider)
  replaced.set(client, provider)
  return provider
}

function issuerOf ({ issuer, idTokenIssuer, endpoints }: ProviderConfig): string {
  const named = Array.isArray(idTokenIssuer) ? idTokenIssuer[0] : idTokenIssuer
  if (issuer !== undefined) return issuer
  return typeof named === 'string' ? named : new URL('/', endpoints.token_endpoint).origin
}

/** Options that fit the app's configuration, under those of the test. */
function withOptions (config: ProviderConfig, options: TestProviderOptions): TestProviderOptions {
  const { clientId, clientKeys, responseMode, requestObjects, pkce } = config
  return {
    issuer: issuerOf(config),
    clientId,
    ...options,
    client: {
      token_endpoint_auth_method: 'client_secret_post',
      ...clientKeys.length > 0 && { jwks: { keys: clientKeys.map(({ publicJwk }) => publicJwk) } },
      ...options.client
    },
    features: {
      jwtResponseModes: responseMode?.endsWith('jwt') === true,
      requestObjects: requestObjects === true,
      ...options.features
    },
    configuration: {
      pkce: { required: () => pkce !== false },
      conformIdTokenClaims: !hasProfileInIdToken(config),
      ...options.configuration
    }
  }
}

// By OpenID Connect Core, section 5.4, those of a code's ID token come from the userinfo endpoint.
function hasProfileInIdToken ({ profileSource, issuer, endpoints }: ProviderConfig): boolean {
  return profileSource === 'id_token' || (issuer === undefined && endpoints.userinfo_endpoint === undefined)
}

/** Sends the requests of a transport to the test provider, if they are for it. */
function divert (transport: Transport, inside: Transport, provider: TestProvider): void {
  const { stream, buffered, close } = transport
  const { network } = insideOf(provider)
  const owner = ({ origin }: { origin: string }) => network.serves(origin) ? inside : undefined
  transport.stream = request => owner(request)?.stream(request) ?? stream.call(transport, request)
  transport.buffered = (request, options) =>
    owner(request)?.buffered(request, options) ?? buffered.call(transport, request, options)
  transport.close = async () => {
    await provider.close()
    await close.call(transport)
  }
}

/** Answers at the endpoints of the real provider as oidc-provider does at its own. */
function standIn (core: ProviderCore, config: ProviderConfig): RequestListener {
  const paths = new Map(Object.entries(config.endpoints).flatMap(([name, url]) => {
    const endpoint = ENDPOINTS[name]
    return endpoint === undefined ? [] : [[pathOf(url), ENDPOINT_PATHS[endpoint]]]
  }))
  const isOpenId = config.issuer !== undefined || config.idTokenIssuer !== undefined
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const [path, query] = (request.url ?? '/').split('?') as [string, string?]
    const own = paths.get(path)
    if (own === ENDPOINT_PATHS.userinfo && !isOpenId) return await tellProfile(core, request, response)
    if (own !== undefined) request.url = query === undefined ? own : `${own}?${query}`
    await core.handle(request, response, async (path) => {
      if (request.method === 'POST' && WITH_CLIENT.has(path)) await authenticate(core, request)
    })
  }
  return (request, response) => { answer(request, response).catch((error: Error) => response.destroy(error)) }
}

const pathOf = (url: string) => new URL(url).pathname

// The app proves itself to the real provider in its own way, perhaps with a key that the test has no part of.
async function authenticate (core: ProviderCore, request: IncomingMessage): Promise<void> {
  const form = new URLSearchParams(await peekBody(request))
  form.delete('client_assertion')
  form.delete('client_assertion_type')
  form.set('client_id', core.clientId)
  form.set('client_secret', core.clientSecret)
  delete request.headers.authorization
  request.read()
  const body = Buffer.from(form.toString())
  request.unshift(body)
  request.headers['content-length'] = String(body.length)
}

/** The profile of plain OAuth 2: the user's claims, with the id under two names. */
async function tellProfile (core: ProviderCore, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { searchParams } = new URL(request.url ?? '/', core.issuer)
  const inHeader = request.headers.authorization?.split(' ').at(-1)
  const inForm = new URLSearchParams(await peekBody(request)).get('access_token')
  const token = inHeader ?? searchParams.get('access_token') ?? inForm ?? ''
  const sub = (await core.oidc.AccessToken.find(token))?.accountId
  response.writeHead(sub === undefined ? 401 : 200, { 'content-type': 'application/json' })
  const { password: _, ...claims } = core.users[sub ?? ''] ?? {}
  response.end(JSON.stringify(sub === undefined ? { error: 'invalid_token' } : { sub, id: sub, ...claims }))
}
