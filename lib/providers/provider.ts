import { InvalidOptionsError, InvalidResponseError, type OAuthErrorReason } from '../errors.ts'
import type { Transport } from '../http/transport.ts'
import { authorizationOf, boundAuthorizationOf } from '../oauth/bearer-token.ts'
import { isCompactJws } from '../oauth/compact.ts'
import type { AuthorizationServerMetadata, Discovery } from '../oauth/discovery.ts'
import { createDpopKey, type DpopKey } from '../oauth/dpop-key.ts'
import { buildEndSessionUrl, type EndSessionRequest } from '../oauth/end-session.ts'
import { identifierText } from '../oauth/json.ts'
import { assertOneAuthentication } from '../oauth/token-request.ts'
import { excerptOf, type HttpResponse, parseMembers } from '../oauth/token-response.ts'
import type { TokenSet } from '../oauth/token-set.ts'
import { type RequestParameters, secureEndpoint, setParameters } from '../oauth/urls.ts'
import type { Clock } from '../util/clock.ts'
import { SharedFetch } from '../util/shared-fetch.ts'
import { AuthorizationUrls } from './authorization-urls.ts'
import { ClientAuthenticator } from './client-authenticator.ts'
import type { ProviderConfig } from './config.ts'
import type { DpopProofs } from './dpop.ts'
import { isUnavailable, ProviderHttp, type ProviderRequest } from './http.ts'
import { ProviderJwts } from './provider-jwts.ts'

type Endpoint =
  | 'authorization_endpoint'
  | 'pushed_authorization_request_endpoint'
  | 'token_endpoint'
  | 'userinfo_endpoint'
  | 'revocation_endpoint'
  | 'introspection_endpoint'
  | 'end_session_endpoint'
  | 'device_authorization_endpoint'
  | 'jwks_uri'

const ACCEPT_USERINFO = 'application/json, application/jwt;q=0.9'

/** Milliseconds after which discovered metadata is fetched anew, in the background. */
const METADATA_MAX_AGE_MS = 3_600_000
/** The same, if the first document could not be fetched for the moment. */
const PROVISIONAL_MAX_AGE_MS = 60_000

/** One provider: its metadata, and requests to its endpoints. Shared by all requests. */
export class ProviderClient {
  readonly config: ProviderConfig
  readonly transport: Transport
  readonly clock: Clock
  readonly http: ProviderHttp
  readonly authenticator: ClientAuthenticator
  /** The URLs that logins start with. */
  readonly authorizationUrls = new AuthorizationUrls(this)
  /** What it has signed, or encrypted for this client. */
  readonly jwts: ProviderJwts
  #metadata: AuthorizationServerMetadata | undefined
  #metadataAt = 0
  #secondary = false
  readonly #discovery: SharedFetch<AuthorizationServerMetadata>
  #dpop: Promise<DpopProofs> | undefined

  constructor (config: ProviderConfig, transport: Transport, clock: Clock) {
    this.config = config
    this.transport = transport
    this.clock = clock
    this.#discovery = new SharedFetch(() => this.#discover(), () => clock.monotonic())
    this.http = new ProviderHttp(config, transport, clock)
    this.jwts = new ProviderJwts(this)
    this.authenticator = new ClientAuthenticator(config, () => this.metadata(), clock)
    if (config.issuer === undefined) {
      // oauth4webapi requires an issuer; nothing is compared with this one.
      const anchor = config.endpoints.token_endpoint ?? config.endpoints.authorization_endpoint
      this.#metadata = { issuer: new URL('/', anchor).href, ...config.endpoints }
      this.#metadataAt = Infinity
    }
  }

  get name (): string { return this.config.name }

  /** Whether its ID tokens can be validated: their issuer is known. */
  get hasIdTokens (): boolean { return this.config.issuer !== undefined || this.config.idTokenIssuer !== undefined }

  /** Whether a login with this scope brings an ID token (OpenID Connect Core, section 3.1.2.1). */
  expectsIdToken (scope: readonly string[]): boolean { return this.hasIdTokens && scope.includes('openid') }

  /** The same provider with another grant type. */
  withGrantType (grantType: ProviderConfig['grantType']): ProviderClient {
    return this.config.grantType === grantType
      ? this
      : new ProviderClient({ ...this.config, grantType }, this.transport, this.clock)
  }

  /** The metadata, if it is known already; it is renewed in the background. */
  get knownMetadata (): AuthorizationServerMetadata | undefined {
    if (this.#metadata !== undefined && this.clock.monotonic() - this.#metadataAt > METADATA_MAX_AGE_MS) {
      this.#metadataAt = this.clock.monotonic()
      this.#discovery.run().catch(() => {}) // the known metadata stays in use
    }
    return this.#metadata
  }

  /**
   * The provider's metadata: one discovery serves all callers; after a failure the next call tries again.
   * @throws FST_OAUTH_PROVIDER_UNAVAILABLE, FST_OAUTH_INVALID_OPTIONS
   */
  async metadata (): Promise<AuthorizationServerMetadata> {
    return this.knownMetadata ?? await this.#discovery.run()
  }

  /**
   * Discovers the metadata anew if the caller has the newest one, and a JWT is signed by an algorithm that it lacks:
   * a provider may have changed what it signs with.
   * @returns undefined within the pause after such a discovery, and if the metadata is the options' own
   * @throws FST_OAUTH_PROVIDER_UNAVAILABLE, FST_OAUTH_INVALID_OPTIONS
   */
  async renewedMetadata (known: AuthorizationServerMetadata): Promise<AuthorizationServerMetadata | undefined> {
    if (this.config.issuer === undefined) return undefined
    if (this.#metadata !== known) return this.#metadata
    return await this.#discovery.search() ? this.#metadata : undefined
  }

  async #discover (): Promise<AuthorizationServerMetadata> {
    const { metadata, secondary, provisional } = await this.#fetchMetadata()
    // The metadata of the first document is not replaced by that of the second one, which may have less.
    if (secondary && this.#metadata !== undefined && !this.#secondary) return this.#metadata
    this.#metadata = metadata
    this.#secondary = secondary
    this.#metadataAt = this.clock.monotonic() - (provisional ? METADATA_MAX_AGE_MS - PROVISIONAL_MAX_AGE_MS : 0)
    return metadata
  }

  async #fetchMetadata (): Promise<Discovery> {
    const { discover } = await import('../oauth/discovery.ts')
    const found = await discover(this.name, this.config.issuer!, async (url, headers) =>
      await this.http.send({ url: new URL(url), method: 'GET', headers }))
    const aliases = this.config.usesCertificate
      ? (await import('../oauth/mtls-aliases.ts')).mtlsAliases(this.name, found.metadata)
      : undefined
    // The options take precedence over the discovered metadata.
    const metadata = { ...found.metadata, ...aliases, ...this.config.endpoints }
    if (this.config.securityProfile !== undefined) {
      const { assertProfile } = await import('./profile-metadata.ts')
      assertProfile(this.config, metadata)
    }
    return { ...found, metadata }
  }

  /** @throws FST_OAUTH_INVALID_OPTIONS if the provider has no such endpoint, FST_OAUTH_INSECURE_TRANSPORT */
  async endpoint (name: Endpoint): Promise<URL> {
    return this.endpointIn(await this.metadata(), name)
  }

  /** The same, of metadata that is at hand. */
  endpointIn (metadata: AuthorizationServerMetadata, name: Endpoint): URL {
    const url = metadata[name]
    if (typeof url !== 'string') {
      throw new InvalidOptionsError(`provider "${this.name}" has no ${name}; write the endpoint into its options`, {
        provider: this.name,
        reason: `missing_${name}`
      })
    }
    return secureEndpoint(url, name, this.name, this.config.allowInsecureRequests)
  }

  /** Whether the provider is known to have an endpoint; false also if its metadata cannot be had. */
  async has (name: Endpoint): Promise<boolean> {
    try {
      return typeof (await this.metadata())[name] === 'string'
    } catch {
      return false
    }
  }

  /** The proofs of logins whose tokens are bound to a key (RFC 9449). */
  dpop (): Promise<DpopProofs> {
    this.#dpop ??= import('./dpop.ts').then(({ DpopProofs }) => new DpopProofs(this.name, this.clock))
    return this.#dpop
  }

  /**
   * The key for a new login, or undefined if its tokens are not to be bound to one.
   * @throws FST_OAUTH_INVALID_OPTIONS if the provider does not take its proofs
   */
  async createDpopKey (): Promise<DpopKey | undefined> {
    if (this.config.dpop !== true) return undefined
    const { checkDpopAlgorithm } = await import('./dpop.ts')
    checkDpopAlgorithm(this.name, await this.metadata())
    return await createDpopKey()
  }

  /**
   * Builds the URL that ends the user's session at the provider, or undefined if it has no such endpoint.
   * @throws FST_OAUTH_PROVIDER_UNAVAILABLE if its metadata cannot be had, FST_OAUTH_INVALID_OPTIONS and
   *   FST_OAUTH_INSECURE_TRANSPORT if the endpoint cannot be used
   */
  async endSessionUrl (request: Omit<EndSessionRequest, 'clientId'>): Promise<string | undefined> {
    const { end_session_endpoint: named } = await this.metadata()
    if (named === undefined || named === null) return undefined
    const endpoint = await this.endpoint('end_session_endpoint')
    const idTokenHint = request.idTokenHint && await this.#hintOf(request.idTokenHint)
    return buildEndSessionUrl(endpoint.href, { clientId: this.config.clientId, ...request, idTokenHint })
  }

  /** An ID token as the provider takes it back: decrypted (OpenID Connect Core, section 3.1.2.1), or not at all. */
  async #hintOf (idToken: string): Promise<string | undefined> {
    return await this.jwts.decrypted(idToken, (_reason, message) => new Error(message)).catch(() => undefined)
  }

  /**
   * Requests the user's claims (OpenID Connect Core, section 5.3). A signed response is verified, an encrypted
   * one decrypted before.
   * @param expectedSubject the `sub` of the ID token; a response about another user is refused
   * @param dpopKey the key that the tokens are bound to
   * @throws FST_OAUTH_INVALID_RESPONSE, FST_OAUTH_PROVIDER_UNAVAILABLE; `responseStatus` 401 if the token is refused
   */
  async userinfo (tokens: TokenSet, expectedSubject?: string, dpopKey?: DpopKey): Promise<Record<string, unknown>> {
    const url = await this.endpoint('userinfo_endpoint')
    const authorization = (dpopKey === undefined ? authorizationOf : boundAuthorizationOf)(tokens, this.name)
    const request = { url, method: 'GET', headers: { authorization, accept: ACCEPT_USERINFO } }
    const answer = dpopKey === undefined
      ? await this.http.send(request)
      : await this.#sendWithProof(request, dpopKey, tokens.accessToken)
    const invalid = (what: string, reason: OAuthErrorReason) =>
      new InvalidResponseError(`the userinfo answer of provider "${this.name}" ${what}`, {
        provider: this.name,
        responseStatus: answer.status,
        reason
      })
    if (isUnavailable(answer)) throw this.http.unavailable(answer, [tokens.accessToken])
    if (answer.status < 200 || answer.status > 299) {
      // OpenID Connect Core, section 5.3: the token has to be one of an OpenID Connect login.
      const isForeign = this.config.issuer !== undefined && !this.config.scope.includes('openid')
      throw invalid(`is a ${answer.status}${isForeign ? '; add "openid" to the scope of the provider' : ''}`, 'status')
    }
    const text = await this.jwts.decrypted(answer.text.trim(), (reason, what) => invalid(`is refused: ${what}`, reason))
    const plain = text.startsWith('{') ? parseMembers(text) : undefined
    const claims = isCompactJws(text) ? await this.jwts.validateUserinfo(text) : plain
    if (claims === undefined) throw invalid('is no JSON object', 'unreadable_response')
    if (expectedSubject !== undefined && identifierText(claims.sub) !== expectedSubject) {
      throw invalid('speaks of another user than the login', 'subject_mismatch')
    }
    return claims
  }

  async #sendWithProof (request: ProviderRequest, key: DpopKey, accessToken: string): Promise<HttpResponse> {
    const { method, url: { origin, pathname }, headers } = request
    const proofs = await this.dpop()
    return await proofs.sendToResource(key, { method, url: origin + pathname, accessToken }, async (dpop) => {
      const answer = await this.http.send({ ...request, headers: { ...headers, dpop } })
      return { ...answer, statusCode: answer.status }
    })
  }

  /** Revokes a token (RFC 7009). False if the provider has no such endpoint, or refused. */
  async revoke (token: string, hint: 'access_token' | 'refresh_token'): Promise<boolean> {
    if (!await this.has('revocation_endpoint')) return false
    const answer = await this.form('revocation_endpoint', { token, token_type_hint: hint })
    return answer.status >= 200 && answer.status < 300
  }

  /**
   * Asks the provider whether a token is active (RFC 7662).
   * @throws FST_OAUTH_INVALID_RESPONSE, FST_OAUTH_PROVIDER_UNAVAILABLE, FST_OAUTH_INVALID_OPTIONS if the provider
   *   has no such endpoint
   */
  async introspect (token: string, hint?: string): Promise<Record<string, unknown>> {
    const answer = await this.form('introspection_endpoint', { token, token_type_hint: hint })
    const claims = answer.status === 200 ? parseMembers(answer.text) : undefined
    const secrets = [token, this.config.clientSecret ?? '']
    if (isUnavailable(answer)) throw this.http.unavailable(answer, secrets)
    if (typeof claims?.active !== 'boolean') {
      const details = { responseStatus: answer.status, excerpt: excerptOf(answer.text, secrets) }
      const message = `the introspection answer of provider "${this.name}" cannot be used`
      throw new InvalidResponseError(message, { provider: this.name, ...details })
    }
    return claims
  }

  /** Posts a form to one of the provider's endpoints, authenticated as the client. */
  async form (endpoint: Endpoint, params: RequestParameters): Promise<HttpResponse> {
    const metadata = await this.metadata()
    const url = this.endpointIn(metadata, endpoint)
    const headers = new Map([['accept', 'application/json']])
    const body = setParameters(new URLSearchParams(), params)
    const givenSecret = body.get('client_secret')
    const clientAuth = await this.authenticator.at(url, metadata)
    await clientAuth(metadata, { client_id: this.config.clientId }, body, headers)
    headers.set('content-type', 'application/x-www-form-urlencoded')
    const request = { url, method: 'POST', headers: Object.fromEntries(headers), body: body.toString() }
    if (givenSecret !== null) {
      assertOneAuthentication(this.name, givenSecret, { headers: request.headers, body })
    }
    return await this.http.send(request)
  }
}
