import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Dispatcher, fetch as undiciFetch } from 'undici'
import { InvalidOptionsError } from '../errors.ts'
import { optionsOf } from '../util/options-of.ts'
import { shown } from '../util/shown.ts'
import type { EndpointName, EndpointRequest, Filter } from './endpoint.ts'
import { faultOf, type TestFault } from './faults.ts'
import { Gate } from './gate.ts'
import { MemoryNetwork } from './memory-network.ts'
import { advanceTime, restoreTime } from './moved-time.ts'
import { ProviderCore } from './provider-core.ts'
import type { TestProviderOptions } from './provider-options.ts'
import { refuseInProduction } from './refuse-in-production.ts'
import { listenerOf, type TestApi } from './test-api.ts'
import type { TestUsers } from './users.ts'

/** The provider's options for the plugin. */
export interface TestProviderConfiguration {
  /** The issuer. */
  issuer: string
  /** The client's id. */
  clientId: string
  /** The client's secret. */
  clientSecret: string
  /** `openid profile email offline_access`. */
  scope: string[]
}

/** Those that are open, the newest first. */
const open: TestProvider[] = []

/** The open provider of an issuer, the newest of several; one that answers through the dispatcher goes first. */
export function openProviderOf (issuer: string, dispatcher: unknown): TestProvider | undefined {
  const same = open.filter(provider => sameUrl(provider.issuer, issuer))
  return same.find(provider => provider.dispatcher === dispatcher) ?? same[0]
}

const sameUrl = (one: string, two: string) => one.replace(/\/$/, '') === two.replace(/\/$/, '')

let make: (core: ProviderCore, others?: Dispatcher) => TestProvider
let lookInside: (provider: TestProvider) => Inside

/** What is inside a test provider, for the other parts of this folder. */
export interface Inside {
  readonly core: ProviderCore
  /** Servers without a port, its own among them. */
  readonly network: MemoryNetwork
  /** Answers at an origin, but for the APIs there. */
  answer (origin: string, listener: RequestListener): void
}

/** What is inside a test provider. */
export function insideOf (provider: TestProvider): Inside { return lookInside(provider) }

/** Whether a test provider has not been closed. */
export function isOpen (provider: TestProvider): boolean { return open.includes(provider) }

/** An OpenID provider for tests. `createTestProvider` makes one. */
export class TestProvider {
  static {
    make = (core, others) => new TestProvider(core, others)
    lookInside = provider => ({
      core: provider.#core,
      network: provider.#network,
      answer: (origin, listener) => provider.#serve(origin, listener)
    })
  }

  readonly #core: ProviderCore
  readonly #network: MemoryNetwork
  readonly #apis: { origin: string, path: string, listener: ReturnType<typeof listenerOf> }[] = []
  #server: Server | undefined

  private constructor (core: ProviderCore, others?: Dispatcher) {
    this.#core = core
    this.#network = new MemoryNetwork({ outside: others })
    core.fetch = async (url, options) =>
      await undiciFetch(url, { ...options, dispatcher: this.dispatcher } as never) as unknown as Response
    this.#serve(new URL(core.issuer).origin)
    open.unshift(this)
  }

  /** The issuer: the `iss` of its tokens, and the URL for discovery. */
  get issuer (): string { return this.#core.issuer }
  /** The client's id. */
  get clientId (): string { return this.#core.clientId }
  /** The client's secret. */
  get clientSecret (): string { return this.#core.clientSecret }

  /** For the plugin's provider options: `providers: { acme: { ...provider.options } }`. Changed by `listen()`. */
  get options (): TestProviderConfiguration {
    const { issuer, clientId, clientSecret } = this
    return { issuer, clientId, clientSecret, scope: ['openid', 'profile', 'email', 'offline_access'] }
  }

  /**
   * For the plugin's option `dispatcher`, and for undici: requests to the issuer and to the APIs of `api()` stay in
   * this process; all others are sent as usual, or through the `dispatcher` of `createTestProvider`.
   */
  get dispatcher (): Dispatcher { return this.#network }

  /** Who may log in, by `sub`; may be changed at any time. */
  get users (): TestUsers { return this.#core.users }

  /** Every request to one of its endpoints, in order, with the secrets that it had. */
  get requests (): readonly EndpointRequest[] { return this.#core.requests }

  /** Its internal errors; usually there is a mistake in its configuration. */
  get errors (): readonly unknown[] { return this.#core.errors }

  /** Lifetime of the access tokens that are issued from now on, in seconds. */
  get accessTokenTtl (): number { return this.#core.accessTokenTtl }
  set accessTokenTtl (seconds: number) { this.#core.accessTokenTtl = seconds }

  /** Lifetime of the refresh tokens that are issued from now on, in seconds. */
  get refreshTokenTtl (): number { return this.#core.refreshTokenTtl }
  set refreshTokenTtl (seconds: number) { this.#core.refreshTokenTtl = seconds }

  /**
   * Moves the clock of this process forward, until `close()`: `Date` and `performance.now()`, for the provider, the
   * plugin, sessions and the app's own code. Timers stay in real time, and so does a store outside the process.
   * @param seconds above 0
   * @throws FST_OAUTH_INVALID_OPTIONS
   */
  advance (seconds: number): void {
    if (!isOpen(this)) throw new InvalidOptionsError('the test provider has been closed; it moves no time any more')
    advanceTime(this, seconds)
  }

  /**
   * Makes the next requests to an endpoint fail.
   * @param endpoint the endpoint
   * @param fault a status; `{ error: 'invalid_grant' }`; `{ status, headers, body }`; `'network_error'`, before the
   *   provider has acted; `'answer_lost'`, after it has; or a function of `{ request, process, response }` that returns
   *   an answer
   * @param options.times how many requests; default 1
   * @param options.grantType only token requests of this grant: `'refresh_token'`
   * @param options.when only requests that this is true of
   * @throws FST_OAUTH_INVALID_OPTIONS if there is no such endpoint, or no such fault
   */
  failNext (endpoint: EndpointName, fault: TestFault, options: Filter & { times?: number } = {}): void {
    this.#endpoint(endpoint).fail(faultOf(fault), { times: 1, ...options })
  }

  /**
   * Holds the requests to an endpoint that come from now on, until the returned gate is released, or until a promise is
   * settled.
   * @param endpoint the endpoint
   * @param options without options, every request is held until `release()`
   * @param options.until lets the requests through when it is settled
   * @param options.afterwards the provider acts at once, and its answer is held
   * @param options.grantType only token requests of this grant
   * @param options.when only requests that this is true of
   * @returns the gate: `release()` lets the requests through
   * @throws FST_OAUTH_INVALID_OPTIONS if there is no such endpoint
   */
  hold (
    endpoint: EndpointName, { until, ...options }: Filter & { afterwards?: boolean, until?: PromiseLike<unknown> } = {}
  ): Gate<EndpointRequest> {
    const gate = this.#endpoint(endpoint).hold(options)
    until?.then(() => gate.release(), () => gate.release())
    return gate
  }

  /**
   * Answers in place of an API: requests below a URL stay in this process. If several APIs fit, the one with the
   * longest URL answers, and the newest of the same URL.
   * @param url origin and path: `'https://api.acme.example/v1/'`
   * @param api a function of `{ method, url, headers, body }` that returns JSON or a Response; or a Fastify app
   */
  api (url: string | URL, api: TestApi): void {
    if (!URL.canParse(String(url))) throw new InvalidOptionsError(`api() takes the URL of an API, not ${shown(url)}`)
    const { origin, pathname: path } = new URL(url)
    // The newest first, if two have the same URL.
    this.#apis.unshift({ origin, path, listener: listenerOf(api, origin) })
    this.#apis.sort((one, two) => two.path.length - one.path.length)
    if (!this.#network.serves(origin)) this.#serve(origin)
  }

  /** Refuses every access token issued so far, whatever its `expires_in` said: the next API call gets 401. */
  expireAccessTokens (): void { this.#core.expireAccessTokens() }

  /**
   * Revokes the grants of users: their tokens are refused, and a refresh answers `invalid_grant`.
   * @param sub the user; default all users
   */
  revokeGrants (sub?: string): void { this.#core.revokeGrants(sub) }

  /**
   * Ends a user's session at the provider, which sends the app a logout token (OpenID Connect Back-Channel Logout) and
   * waits for its answer. `loginAs` registers the app's URI; for an app in another process, set the option
   * `client: { backchannel_logout_uri }`.
   * @param sub the user
   * @throws if the app refuses the logout token; FST_OAUTH_INVALID_OPTIONS if nothing is registered
   */
  async backchannelLogout (sub: string): Promise<void> { await this.#core.backchannelLogout(sub) }

  /** Whether an access token is valid: for an API of the test. */
  async isActive (accessToken: string): Promise<boolean> {
    const { AccessToken, ClientCredentials } = this.#core.oidc
    return (await AccessToken.find(accessToken) ?? await ClientCredentials.find(accessToken)) !== undefined
  }

  /**
   * Listens, for browsers and for apps in other processes. Call it before the plugin is registered with `options`,
   * because the issuer becomes `http://127.0.0.1:PORT`.
   * @param options port and host
   * @param options.port default a free port
   * @param options.host of the issuer, one of the loopback interface; default `127.0.0.1`
   * @returns the issuer
   */
  async listen (options: { port?: number, host?: string } = {}): Promise<string> {
    const { port = 0, host = '127.0.0.1' } = optionsOf('listen', options)
    if (this.#server === undefined) {
      const server = createServer((request, response) => { void this.#core.handle(request, response) })
      server.listen(port, '127.0.0.1')
      await once(server, 'listening')
      this.#server = server
      this.#network.leave(new URL(this.issuer).origin)
      await this.#core.move(`http://${host}:${(server.address() as AddressInfo).port}`)
    }
    return this.issuer
  }

  /** Closes the provider and its port, and sets the clock of this process back to real time. May be called again. */
  async close (): Promise<void> {
    const index = open.indexOf(this)
    if (index !== -1) open.splice(index, 1)
    restoreTime(this)
    await this.#network.end()
    const server = this.#server
    if (server === undefined) return
    this.#server = undefined
    await new Promise<void>((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  }

  #endpoint (name: EndpointName) {
    const endpoint = this.#core.endpoints[name]
    if (endpoint !== undefined) return endpoint
    const names = Object.keys(this.#core.endpoints).join(', ')
    throw new InvalidOptionsError(`the test provider has no endpoint "${String(name)}"; write one of ${names}`)
  }

  #serve (origin: string, listener: RequestListener = (...exchange) => { void this.#core.handle(...exchange) }): void {
    this.#network.serve(origin, (request, response) => {
      const path = request.url ?? '/'
      const api = this.#apis.find(each => each.origin === origin && path.startsWith(each.path))
      if (api === undefined) listener(request, response)
      else api.listener(request, response)
    })
  }
}

/**
 * Starts a real OpenID provider (oidc-provider) in this process. Requests to it do not leave the process.
 * @param options users, lifetimes of tokens and more; see each member
 * @returns the provider; `close()` ends it
 * @throws FST_OAUTH_INVALID_OPTIONS if oidc-provider is not installed, an option is wrong, or NODE_ENV is
 *   `production`
 */
export async function createTestProvider (options: TestProviderOptions = {}): Promise<TestProvider> {
  refuseInProduction('createTestProvider()')
  return await startTestProvider(optionsOf('createTestProvider', options))
}

/** The same for callers that have checked where they run. */
export async function startTestProvider (options: TestProviderOptions): Promise<TestProvider> {
  return make(await ProviderCore.start(options.issuer ?? freeIssuer(), options), options.dispatcher)
}

/** A test provider whose core is answered for elsewhere: what listens for it belongs to the caller. */
export function testProviderOf (core: ProviderCore): TestProvider { return make(core) }

function freeIssuer (): string {
  for (let number = 1; ; number++) {
    const issuer = `https://id${number === 1 ? '' : number}.test`
    if (!open.some(provider => provider.issuer === issuer)) return issuer
  }
}
