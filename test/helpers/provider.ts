import { randomBytes } from 'node:crypto'
import { SignJWT, type JWTPayload } from 'jose'
import type { Provider as OidcProvider } from 'oidc-provider'
import type { Test } from 'tap'
import { Endpoint, type Answer, type EndpointRequest, type Fault, type Filter, type RunningFault } from './endpoint.ts'
import type { Gate } from './gate.ts'
import { listen } from './listen.ts'
import { ProviderState } from './memory-adapter.ts'
import { providerConfiguration } from './provider-configuration.ts'
import { isRegistered, type ProviderOptions } from './provider-options.ts'
import { interactionPages } from './provider-pages.ts'
import { Provider } from './quiet-oidc-provider.ts'
import { startResourceServer, type ResourceServer } from './resource-server.ts'
import { signingKeys } from './signing-keys.ts'
import { users as defaultUsers, type Users } from './users.ts'

// The routes of oidc-provider that can be watched, held and failed.
const paths = {
  token: '/token',
  userinfo: '/me',
  revocation: '/token/revocation',
  introspection: '/token/introspection',
  jwks: '/jwks',
  discovery: '/.well-known/openid-configuration',
  pushedAuthorizationRequest: '/request',
  deviceAuthorization: '/device/auth',
}

/** A real oidc-provider on a port of its own. */
export class TestProvider {
  readonly issuer: string
  readonly clientId = `client-${randomBytes(4).toString('hex')}`
  readonly clientSecret = randomBytes(24).toString('base64url')
  readonly users: Users
  readonly api: ResourceServer
  /** The provider itself, for what is not covered here. */
  readonly oidc: OidcProvider
  readonly state = new ProviderState()
  readonly endpoints = mapValues(paths, () => new Endpoint())
  /** Internal errors, those that end as `server_error`. */
  readonly errors: unknown[] = []
  /** Seconds, for the tokens issued from now on. */
  accessTokenTtl: number
  readonly #redirects = new Set<string>()
  readonly #postLogoutRedirects = new Set<string>()
  readonly #close: () => Promise<void>

  constructor (issuer: string, api: ResourceServer, options: ProviderOptions, close: () => Promise<void>) {
    const { redirectUris = 'any', postLogoutRedirectUris = 'any' } = options
    this.issuer = issuer
    this.api = api
    this.#close = close
    this.users = { ...defaultUsers, ...options.users }
    this.accessTokenTtl = options.accessTokenTtl ?? 3600

    this.oidc = new Provider(issuer, providerConfiguration(this, options))
    this.oidc.on('error', (error: unknown) => this.errors.push(error))
    this.oidc.on('server_error', (_ctx: unknown, error: unknown) => this.errors.push(error))

    const client = this.oidc.Client.prototype
    client.redirectUriAllowed = uri => this.#redirects.has(uri) || isRegistered(redirectUris, uri)
    client.postLogoutRedirectUriAllowed = uri =>
      this.#postLogoutRedirects.has(uri) || isRegistered(postLogoutRedirectUris, uri)

    const endpoints = new Map(
      Object.entries(paths).map(([name, path]) => [path, this.endpoints[name as keyof typeof paths]])
    )
    this.oidc.use((ctx, next) => endpoints.get(ctx.path)?.handle(ctx, next) ?? next())
    this.oidc.use(interactionPages(this.oidc, this.users))
  }

  /** What an app configures: `providers: { acme: { ...provider.providerOptions, scope: ['openid'] } }`. */
  get providerOptions () {
    return {
      issuer: this.issuer,
      clientId: this.clientId,
      clientSecret: this.clientSecret,
      scope: ['openid', 'profile', 'email', 'offline_access', 'orders:read'],
      resourceServers: [this.api.url],
    }
  }

  allowRedirect (uri: string): void { this.#redirects.add(uri) }
  allowPostLogoutRedirect (uri: string): void { this.#postLogoutRedirects.add(uri) }

  get tokenRequests (): EndpointRequest[] { return this.endpoints.token.requests }

  get refreshRequests (): EndpointRequest[] {
    return this.tokenRequests.filter(({ body }) => body.grant_type === 'refresh_token')
  }

  /** Holds token requests until the gate is released: see `Endpoint.hold`. */
  holdTokenEndpoint (options?: Filter & { afterwards?: boolean }): Gate<EndpointRequest> {
    return this.endpoints.token.hold(options)
  }

  /** Answers token requests in the provider's place: see `Endpoint.fail` and faults.ts. */
  failTokenEndpoint (fault: Fault | Answer, options?: Filter & { times?: number }): RunningFault {
    return this.endpoints.token.fail(fault, options)
  }

  /** Each refresh token that the provider was asked to use → how often. */
  get refreshTokensSeen (): Map<string, number> {
    const seen = new Map<string, number>()
    for (const { body: { refresh_token: token }, processed, answer } of this.tokenRequests) {
      // A request whose proof lacks a nonce is refused before the token is looked at.
      const isUsed = processed && (answer?.body as { error?: string } | undefined)?.error !== 'use_dpop_nonce'
      if (typeof token === 'string' && isUsed) seen.set(token, (seen.get(token) ?? 0) + 1)
    }
    return seen
  }

  /** How many times a refresh token was used again: each one costs the user the login. */
  get refreshTokenReuses (): number {
    return [...this.refreshTokensSeen.values()].reduce((reuses, count) => reuses + count - 1, 0)
  }

  /** Every access token issued so far is refused from now on, whatever its `expires_in` said. */
  expireAccessTokens (): number {
    return this.state.remove('AccessToken') + this.state.remove('ClientCredentials')
  }

  revokeAccessToken (token: string): void {
    for (const model of ['AccessToken', 'ClientCredentials']) this.state.remove(model, ({ jti }) => jti === token)
  }

  /** Ends what the users (or one of them) granted: tokens are refused, a refresh answers `invalid_grant`. */
  revokeGrants (sub?: string): number {
    const ofUser = ({ accountId }: Record<string, unknown>) => sub === undefined || accountId === sub
    this.state.remove('AccessToken', ofUser)
    this.state.remove('RefreshToken', ofUser)
    return this.state.remove('Grant', ofUser)
  }

  /** Where the client wants its logout tokens; from now on ID tokens carry a `sid`. */
  async setBackchannelLogoutUri (uri: string): Promise<void> {
    const client = await this.oidc.Client.find(this.clientId)
    if (client !== undefined) client.backchannelLogoutUri = uri
  }

  /** Sends a logout token (OIDC Back-Channel Logout) and rejects unless the app says 200 or 204. */
  async backchannelLogout (sub: string, sid?: string): Promise<void> {
    const client = await this.oidc.Client.find(this.clientId)
    await client?.backchannelLogout(sub, sid)
  }

  /** A JWT signed with the provider's own key: for ID tokens and logout tokens that are wrong in one point. */
  async signJwt (claims: JWTPayload, header: { typ?: string } = {}): Promise<string> {
    const [{ kid, alg, privateKey }] = signingKeys
    return new SignJWT(claims).setProtectedHeader({ alg, kid, ...header }).sign(privateKey)
  }

  /** Stops provider and API, in the middle of whatever they do. May be called again. */
  async close (): Promise<void> {
    await Promise.all([this.#close(), this.api.close()])
  }
}

/** Starts a provider and its API; both are closed after `t`. */
export async function startProvider (t?: Pick<Test, 'after'>, options: ProviderOptions = {}): Promise<TestProvider> {
  const { tls } = options
  const { server, port, close } = await listen(undefined, tls)
  const api = await startResourceServer(tls)
  const issuer = `${tls === undefined ? 'http' : 'https'}://${options.host ?? '127.0.0.1'}:${port}`
  const provider = new TestProvider(issuer, api, options, close)
  server.on('request', provider.oidc.callback())
  api.trust(provider.oidc)
  t?.after(() => provider.close())
  // oidc-provider looks at a client's metadata when it first needs it: a mistake in it should fail here.
  await provider.oidc.Client.find(provider.clientId)
  return provider
}

function mapValues<K extends string, V> (object: Record<K, unknown>, value: () => V): Record<K, V> {
  return Object.fromEntries(Object.keys(object).map((key) => [key, value()])) as Record<K, V>
}
