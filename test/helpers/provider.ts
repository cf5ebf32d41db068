import { randomBytes } from 'node:crypto'
import type { Test } from 'tap'
import type { Answer, EndpointRequest, Fault, Filter, RunningFault } from '../../lib/testing/endpoint.ts'
import { loadOidcProvider } from '../../lib/testing/load-oidc-provider.ts'
import { ProviderCore } from '../../lib/testing/provider-core.ts'
import { isRegistered } from '../../lib/testing/provider-options.ts'
import { testProviderOf } from '../../lib/testing/provider.ts'
import type { Gate } from './gate.ts'
import { listen } from './listen.ts'
import type { ProviderOptions } from './provider-options.ts'
import { startResourceServer, type ResourceServer } from './resource-server.ts'
import { users } from './users.ts'

const oidcProvider = await loadOidcProvider()

/** A real oidc-provider on a port of its own, with an API. */
export class TestProvider extends ProviderCore {
  readonly api: ResourceServer
  readonly #redirects: Set<string>
  readonly #close: () => Promise<void>
  #forLoginAs: ReturnType<typeof testProviderOf> | undefined

  constructor (issuer: string, api: ResourceServer, options: ProviderOptions, close: () => Promise<void>) {
    const redirects = new Set<string>()
    const { redirectUris = 'any' } = options
    super(oidcProvider, issuer, {
      clientId: `client-${randomBytes(4).toString('hex')}`,
      clientSecret: randomBytes(24).toString('base64url'),
      scopes: ['orders:read', 'orders:write'],
      ...options,
      users: { ...users, ...options.users },
      redirectUris: uri => redirects.has(uri) || isRegistered(redirectUris, uri)
    })
    this.api = api
    this.#redirects = redirects
    this.#close = close
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

  /** What `loginAs` takes as `testProvider`. */
  get forLoginAs () {
    this.#forLoginAs ??= testProviderOf(this)
    return this.#forLoginAs
  }

  allowRedirect (uri: string): void { this.#redirects.add(uri) }

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

  /** Fails where the configuration has a mistake. */
  async started (): Promise<this> {
    await this.check()
    return this
  }

  /** Stops provider and API, in the middle of whatever they do. May be called again. */
  async close (): Promise<void> {
    await Promise.all([this.#close(), this.api.close(), this.#forLoginAs?.close()])
  }
}

/** Starts a provider and its API; both are closed after `t`. */
export async function startProvider (t?: Pick<Test, 'after'>, options: ProviderOptions = {}): Promise<TestProvider> {
  const { tls } = options
  const { server, port, close } = await listen(undefined, tls)
  const api = await startResourceServer(tls)
  const issuer = `${tls === undefined ? 'http' : 'https'}://${options.host ?? '127.0.0.1'}:${port}`
  const provider = new TestProvider(issuer, api, options, close)
  server.on('request', (request, response) => { provider.handle(request, response) })
  api.trust(provider.oidc)
  t?.after(() => provider.close())
  return await provider.started()
}
