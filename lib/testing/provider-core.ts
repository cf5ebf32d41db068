import { randomUUID } from 'node:crypto'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { SignJWT, type JWTPayload } from 'jose'
import { InvalidOptionsError } from '../errors.ts'
import { Endpoint, ENDPOINT_PATHS, type EndpointName, type EndpointRequest } from './endpoint.ts'
import { loadOidcProvider } from './load-oidc-provider.ts'
import { asksForNoScope, NO_SCOPE, withoutScope } from './no-scope.ts'
import type { Context, OidcProviderModule, Provider } from './oidc-types.ts'
import { peekBody } from './peek-body.ts'
import { cookieSettings, DAY, type Instance, providerConfiguration } from './provider-configuration.ts'
import { isRegistered, type TestProviderOptions } from './provider-options.ts'
import { interactionPages, type Login } from './provider-pages.ts'
import { ProviderState } from './provider-state.ts'
import { signingKeys } from './signing-keys.ts'
import { DEFAULT_USERS, ownClaims, type TestUsers } from './users.ts'

/** A login that `loginAs` makes: whom, and what is granted. */
export interface DecidedLogin {
  readonly login: Login
  /** Default every scope that is asked for. */
  readonly scope?: readonly string[] | undefined
}

/** The header by which a request of `loginAs` is known; its value is secret to this process. */
export const LOGIN_HEADER = 'x-test-provider-login'

/** A real oidc-provider, what is seen of it, and what can be done to it. Answers at no address by itself. */
export class ProviderCore implements Instance {
  readonly clientId: string
  readonly clientSecret: string
  readonly users: TestUsers
  readonly state = new ProviderState()
  readonly cookies = cookieSettings()
  /** Every request to an endpoint, in order, from its arrival on. */
  readonly requests: EndpointRequest[] = []
  readonly endpoints: Readonly<Record<EndpointName, Endpoint>>
  /** Internal errors, those that end as `server_error`. */
  readonly errors: unknown[] = []
  /** Scopes that there are beside those of OpenID Connect. */
  readonly scopes: Set<string>
  /** Users whose ID tokens always have `auth_time`. */
  readonly withAuthTime = new Set<string>()
  /** Seconds, for the tokens issued from now on. */
  accessTokenTtl: number
  /** Seconds, for the refresh tokens issued from now on. */
  refreshTokenTtl: number
  fetch: (url: string, options: RequestInit) => Promise<Response> = fetch
  readonly #options: TestProviderOptions
  readonly #Provider: OidcProviderModule['Provider']
  readonly #logins = new Map<string, DecidedLogin>()
  #issuer: string
  #oidc: Provider
  #listener: RequestListener
  #backchannelLogoutUri: string | undefined

  protected constructor ({ Provider }: OidcProviderModule, issuer: string, options: TestProviderOptions) {
    const { clientId = 'test-client', clientSecret = 'test-secret', users, scopes = [] } = options
    this.clientId = clientId
    this.clientSecret = clientSecret
    this.users = { ...DEFAULT_USERS, ...users }
    this.scopes = new Set(['profile', 'email', 'phone', 'address', ...scopes])
    this.accessTokenTtl = options.accessTokenTtl ?? 3600
    this.refreshTokenTtl = options.refreshTokenTtl ?? 14 * DAY
    this.endpoints = Object.fromEntries(Object.keys(ENDPOINT_PATHS).map((name) => [
      name, new Endpoint(name as EndpointName, request => { this.requests.push(request) })
    ])) as Record<EndpointName, Endpoint>
    this.#options = options
    this.#Provider = Provider
    this.#issuer = issuer
    this.#oidc = this.#build()
    this.#listener = this.#oidc.callback()
  }

  /** @throws FST_OAUTH_INVALID_OPTIONS if oidc-provider is not installed, or refuses the options */
  static async start (issuer: string, options: TestProviderOptions = {}): Promise<ProviderCore> {
    const module = await loadOidcProvider()
    try {
      const core = new ProviderCore(module, issuer, options)
      await core.check()
      return core
    } catch (error) {
      throw error instanceof InvalidOptionsError ? error : refused(error as Error)
    }
  }

  /** oidc-provider looks at a client's metadata when it first needs it: a mistake in it fails here. */
  protected async check (): Promise<void> {
    await this.#oidc.Client.find(this.clientId).catch(({ message, error_description: what = message }) => {
      throw new InvalidOptionsError(`oidc-provider refuses the metadata of the test provider's client: ${what}`)
    })
  }

  get issuer (): string { return this.#issuer }

  /** From now on it is known by another issuer. */
  async move (issuer: string): Promise<void> {
    this.#issuer = issuer
    await this.#rebuild()
  }

  /** The provider itself, for what is not covered here. */
  get oidc (): Provider { return this.#oidc }

  /**
   * Answers one request.
   * @param before awaited with the path within the provider
   */
  async handle (
    request: IncomingMessage, response: ServerResponse, before?: (path: string) => Promise<void>
  ): Promise<void> {
    const { url = '/' } = request
    const base = new URL(this.#issuer).pathname.replace(/\/$/, '')
    // By the two URLs oidc-provider knows where it is mounted.
    if (url.startsWith(`${base}/`)) Object.assign(request, { originalUrl: url, url: url.slice(base.length) })
    await this.#learnScopes(request)
    await before?.(request.url!.split('?')[0]!)
    await (this.#listener(request, response) as unknown as Promise<void>)
  }

  /** Has the requests that carry the value in LOGIN_HEADER log in without a question; they end with `forget`. */
  decide (decided: DecidedLogin): { value: string, forget: () => void } {
    const value = randomUUID()
    this.#logins.set(value, decided)
    return { value, forget: () => { this.#logins.delete(value) } }
  }

  grantedScope (ctx: Context): readonly string[] | undefined { return this.#decided(ctx)?.scope }

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
    this.#backchannelLogoutUri = uri
    await this.#register()
  }

  /**
   * Sends a logout token (OIDC Back-Channel Logout) and rejects unless the app says 200 or 204.
   * @throws FST_OAUTH_INVALID_OPTIONS if the client has not said where to
   */
  async backchannelLogout (sub: string, sid?: string): Promise<void> {
    const client = await this.#oidc.Client.find(this.clientId)
    if (client?.backchannelLogoutUri === undefined) {
      throw new InvalidOptionsError(
        'the test provider does not know where the app takes logout tokens: loginAs() tells it; for an app in ' +
          "another process write { client: { backchannel_logout_uri: 'http://…' } }")
    }
    await client.backchannelLogout(sub, sid)
  }

  /** A JWT signed with the provider's own key: for ID tokens and logout tokens that are wrong in one point. */
  async signJwt (claims: JWTPayload, header: { typ?: string } = {}): Promise<string> {
    const [{ kid, alg, privateKey }] = signingKeys
    return new SignJWT(claims).setProtectedHeader({ alg, kid, ...header }).sign(privateKey)
  }

  #decided (ctx: Context): DecidedLogin | undefined {
    const value = ctx.headers[LOGIN_HEADER]
    return typeof value === 'string' ? this.#logins.get(value) : undefined
  }

  // What it knows is in `state`, so that another one can go on in its place.
  async #rebuild (): Promise<void> {
    this.#oidc = this.#build()
    this.#listener = this.#oidc.callback()
    await this.#register()
  }

  async #register (): Promise<void> {
    if (this.#backchannelLogoutUri === undefined) return // that of the client's metadata, perhaps
    const client = await this.#oidc.Client.find(this.clientId)
    if (client !== undefined) client.backchannelLogoutUri = this.#backchannelLogoutUri
  }

  #build (): Provider {
    const options = this.#options
    const { redirectUris = 'any', postLogoutRedirectUris = 'any' } = options
    const oidc = new this.#Provider(this.#issuer, providerConfiguration(this, options))
    const note = (error: unknown) => { this.errors.push(error) }
    oidc.on('error', note)
    oidc.on('server_error', (_ctx: unknown, error: unknown) => note(error))
    oidc.Client.prototype.redirectUriAllowed = uri => isRegistered(redirectUris, uri)
    oidc.Client.prototype.postLogoutRedirectUriAllowed = uri => isRegistered(postLogoutRedirectUris, uri)
    this.#addOwnClaims(oidc)

    const endpoints = new Map(Object.entries(ENDPOINT_PATHS).map(([name, path]) =>
      [path, this.endpoints[name as EndpointName]]))
    oidc.use((ctx, next) => endpoints.get(ctx.path)?.handle(ctx, next) ?? next())
    oidc.use(withoutScope)
    oidc.use(interactionPages(oidc, this.users, ctx => this.#decided(ctx)?.login))
    return oidc
  }

  // oidc-provider tells the claims that its configuration names, and these are known only when a user logs in.
  #addOwnClaims (oidc: Provider): void {
    const { withAuthTime } = this
    const { Claims } = oidc
    class AllClaims extends Claims {
      override async result (): Promise<Record<string, unknown>> {
        const { acr, amr, auth_time: authTime, sub } = this.available
        return {
          ...acr !== undefined && { acr },
          ...amr !== undefined && { amr },
          ...withAuthTime.has(String(sub)) && authTime !== undefined && { auth_time: authTime },
          ...ownClaims(this.available),
          ...await super.result()
        }
      }
    }
    Object.defineProperty(oidc, 'Claims', { value: AllClaims })
  }

  // If the options name no scopes, there is every one that is asked for.
  async #learnScopes (request: IncomingMessage): Promise<void> {
    const [path, query = ''] = request.url?.split('?') ?? []
    const asked = asksForNoScope(path, query) ? [NO_SCOPE] : []
    if (this.#options.scopes === undefined) {
      const form = request.method === 'POST' ? await peekBody(request) : ''
      const written = [query, form].flatMap(text => new URLSearchParams(text).getAll('scope'))
      asked.push(...written.join(' ').split(' '))
    }
    const unknown = asked.filter(scope => scope !== '' && !this.scopes.has(scope))
    const isNew = unknown.some(scope => scope !== 'openid' && scope !== 'offline_access')
    if (!isNew) return
    for (const scope of unknown) this.scopes.add(scope)
    await this.#rebuild()
  }
}

function refused (error: Error & { error_description?: string }): InvalidOptionsError {
  const { error_description: what = error.message } = error
  const message = `oidc-provider refuses the options of the test provider: ${what.split('\n', 1)[0]}`
  return new InvalidOptionsError(message, { cause: error })
}
