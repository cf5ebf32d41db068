import { AuthorizationFailedError, InsecureTransportError, InvalidOptionsError, LoginRequiredError, StateMismatchError, type OAuthError } from '../errors.ts'
import type { TokensEvent } from '../options.ts'
import { parseAuthorizationResponse, throwAuthorizationError } from '../protocol/authorization-response.ts'
import { randomToken, safeEqual } from '../protocol/random.ts'
import { readTokenResponse } from '../protocol/token-response.ts'
import { parseScope, type ScopeChange, type TokenSet } from '../protocol/token-set.ts'
import { isSecureUrl, setParameters, type Parameters } from '../protocol/urls.ts'
import type { ProviderHooks, RefreshMode } from '../providers/types.ts'
import { MemoryTokenStore } from '../session/memory-token-store.ts'
import { TokenRecords, type TokenRecord } from '../session/token-records.ts'
import { AuthorizedClient, type CallOptions } from './authorized-client.ts'
import { createAuthorizedFetch } from './authorized-fetch.ts'
import type { Clock } from './clock.ts'
import { clientCredentialsGrant, codeGrant, jwtBearerGrant, passwordGrant, type GrantOptions, type Granted } from './grants.ts'
import { HttpVerbs, kCall } from './http-verbs.ts'
import type { OAuthCall } from './oauth-call.ts'
import type { ProviderClient } from './provider-client.ts'
import { Refresher, type Logger, type RefreshOptions } from './refresher.ts'
import { RecordTokenSource, type TokenSource } from './token-source.ts'
import { loadTokens } from './load-tokens.ts'
import type { Transport } from './transport.ts'

/** What a headless session is made with. */
export interface OAuthSessionInit {
  /** A set to go on from: one that `onTokens` handed out, or an answer's members. */
  tokens?: TokenSet | Record<string, unknown> | null
  refresh?: RefreshMode
  /** Awaited once for each new set, before a call goes out with it. */
  onTokens?: (tokens: TokenSet, event: TokensEvent) => unknown
  /** Sends calls without the token, for an API that is not to have it. */
  withholdToken?: boolean
  redirectUri?: string
  scope?: string | readonly string[]
  /** The state that a callback must bring, where a login was begun elsewhere. */
  state?: string
  /** The verifier of a login that was begun elsewhere. */
  codeVerifier?: string
  hooks?: ProviderHooks
  /** Further parameters of each token request that is made for the app itself (`audience`, `resource`, …). */
  params?: Parameters
}

/** What a headless session stands on. */
export interface OAuthSessionBasis {
  provider: ProviderClient
  transport: Transport
  clock: Clock
  log: Logger
  /** The web sessions' records, where there are any: a set that lives there is refreshed there. */
  shared?: { records: TokenRecords, refresher: Refresher }
}

export interface AuthorizationUrlOptions {
  state?: string
  scope?: string | readonly string[]
  redirectUri?: string
  params?: Parameters
  /** Default S256. False only for a provider that refuses the parameters. */
  pkce?: 'S256' | false
}

/** One way to get tokens; which one is told by what is given. */
export type FetchTokensOptions = Omit<GrantOptions, 'hooks'> & {
  /** The URL that the browser came back to: state checked, code taken. */
  callbackUrl?: string
  code?: string
  codeVerifier?: string
  redirectUri?: string
  username?: string
  password?: string
  assertion?: string
}

/** Seconds that a record of a headless session would live in a store that forgets; this one does not. */
const TTL = 86_400

/**
 * One account at one provider without a web session: for scripts, background jobs and tests. Everything that
 * requests-oauthlib's OAuth2Session does.
 */
export class OAuthSession extends HttpVerbs {
  readonly #basis: OAuthSessionBasis
  readonly #init: OAuthSessionInit
  readonly #store = new MemoryTokenStore()
  readonly #client: AuthorizedClient
  #records: TokenRecords
  #refresher: Refresher
  #source: RecordTokenSource | undefined
  #id: string | undefined
  #first: Promise<TokenSet> | undefined
  #pending: { state: string, codeVerifier: string | undefined, redirectUri: string | undefined, scope: string[] } | undefined
  #scopeChange: ScopeChange | undefined

  constructor (basis: OAuthSessionBasis, init: OAuthSessionInit = {}) {
    super()
    this.#basis = basis
    this.#init = init
    const { clock, log } = basis
    this.#records = new TokenRecords(this.#store, clock.monotonic)
    this.#refresher = new Refresher({ records: this.#records, clock, log, onTokens: (tokens, event) => this.#announced(tokens, event) })
    this.#client = new AuthorizedClient(basis.provider.config, basis.transport, () => this.#tokenSourceOrFirst(), init.hooks ?? basis.provider.config.hooks)
    if (init.tokens !== undefined && init.tokens !== null) this.#load(init.tokens)
    if (init.state !== undefined) this.#pending = { state: init.state, codeVerifier: init.codeVerifier, redirectUri: init.redirectUri, scope: this.#scope() }
  }

  /** The set as it stands, expired or not. */
  get tokens (): TokenSet | undefined {
    return this.#record()?.tokens
  }

  /** Whether there is a token. */
  get authorized (): boolean { return this.tokens !== undefined }

  /** How the scope of the last set differs from what was asked for. */
  get scopeChange (): ScopeChange | undefined { return this.#scopeChange }

  /**
   * Builds the URL that a login starts with; state and verifier are remembered for `fetchTokens` (RFC 6749, section 4.1.1; RFC 7636).
   * @throws FST_OAUTH_INSECURE_TRANSPORT, FST_OAUTH_INVALID_OPTIONS, FST_OAUTH_PROVIDER_UNAVAILABLE
   */
  async authorizationUrl (options: AuthorizationUrlOptions = {}): Promise<{ url: string, state: string, codeVerifier: string | undefined }> {
    const { config } = this.#basis.provider
    const { pkce = 'S256' } = options
    if (pkce !== 'S256' && pkce !== false) throw new InvalidOptionsError(`pkce is ${JSON.stringify(pkce)}; write 'S256'`, { provider: config.name })
    const implicit = config.grantType === 'implicit'
    // A client without a secret has nothing else to protect its code.
    const verifier = !implicit && (pkce === 'S256' || config.clientSecret === undefined) ? randomToken() : undefined
    const state = options.state ?? this.#init.state ?? randomToken()
    const redirectUri = options.redirectUri ?? this.#init.redirectUri ?? config.redirectUri
    const scope = parseScope(options.scope) ?? this.#scope()
    const params = setParameters(setParameters(new URLSearchParams(), config.authorizationParams), options.params)
    const url = await this.#basis.provider.authorizationUrl({
      responseType: implicit ? 'token' : 'code', redirectUri, scope, state, codeVerifier: verifier, responseMode: config.responseMode, params
    })
    this.#pending = { state, codeVerifier: verifier, redirectUri, scope }
    return { url, state, codeVerifier: verifier }
  }

  /**
   * Reads a callback: its state must be the one that was remembered (RFC 6749, section 4.1.2).
   * @throws FST_OAUTH_STATE_MISMATCH, FST_OAUTH_AUTHORIZATION_FAILED, FST_OAUTH_INSECURE_TRANSPORT
   */
  parseCallback (callbackUrl: string): { code: string, params: URLSearchParams } {
    const { provider } = this.#basis
    return parseAuthorizationResponse(this.#callback(callbackUrl).searchParams, {
      provider: provider.name,
      state: this.#pending?.state ?? '',
      issuer: provider.config.issuer === undefined ? undefined : provider.knownMetadata?.issuer
    })
  }

  /**
   * Gets tokens, by a callback URL, a code, user name and password, an assertion, or (for `client_credentials`) by what the app itself is.
   * @throws FST_OAUTH_AUTHORIZATION_FAILED, FST_OAUTH_STATE_MISMATCH, FST_OAUTH_INVALID_TOKEN_RESPONSE, FST_OAUTH_PROVIDER_UNAVAILABLE, FST_OAUTH_INVALID_OPTIONS
   */
  async fetchTokens (options: FetchTokensOptions = {}): Promise<TokenSet> {
    const { tokens, scopeChange } = await this.#grant(options)
    return await this.#adopt(tokens, scopeChange)
  }

  async #grant (options: FetchTokensOptions): Promise<Granted> {
    const { provider } = this.#basis
    const { callbackUrl, code, codeVerifier, redirectUri, username, password, assertion, ...rest } = options
    const common: GrantOptions = { scope: options.scope ?? this.#pending?.scope ?? this.#scope(), hooks: this.#init.hooks, ...pick(rest) }
    const { grantType } = provider.config
    if (username !== undefined || password !== undefined || grantType === 'password') return await passwordGrant(provider, { ...common, username: username!, password: password! })
    if (assertion !== undefined) return await jwtBearerGrant(provider, { ...common, assertion })
    if (callbackUrl === undefined && code === undefined && grantType === 'client_credentials') {
      return await clientCredentialsGrant(provider, { ...common, params: setParameters(setParameters(new URLSearchParams(), this.#init.params), options.params) })
    }
    const taken = callbackUrl === undefined ? code : this.parseCallback(callbackUrl).code
    if (typeof taken !== 'string' || taken === '') {
      throw new AuthorizationFailedError(`there is no authorization code for provider "${provider.name}"; pass callbackUrl or code`, { provider: provider.name, reason: 'missing_code' })
    }
    const pending = this.#pending
    this.#pending = undefined // a login is finished once
    return await codeGrant(provider, {
      ...common,
      code: taken,
      redirectUri: redirectUri ?? pending?.redirectUri ?? this.#init.redirectUri ?? provider.config.redirectUri,
      codeVerifier: codeVerifier ?? pending?.codeVerifier ?? this.#init.codeVerifier
    })
  }

  /**
   * Reads the tokens that an implicit login left in the fragment (RFC 6749, section 4.2.2): legacy.
   * @throws FST_OAUTH_STATE_MISMATCH, FST_OAUTH_AUTHORIZATION_FAILED, FST_OAUTH_INVALID_TOKEN_RESPONSE, FST_OAUTH_INSECURE_TRANSPORT
   */
  async tokensFromFragment (callbackUrl: string): Promise<TokenSet> {
    const { provider, clock } = this.#basis
    const fragment = this.#callback(callbackUrl).hash.slice(1)
    const params = new URLSearchParams(fragment)
    const pending = this.#pending
    if (pending !== undefined && !safeEqual(params.get('state') ?? '', pending.state)) {
      throw new StateMismatchError(`the fragment of provider "${provider.name}" does not belong to a login that was begun here`, { provider: provider.name })
    }
    throwAuthorizationError(params, provider.name)
    const read = readTokenResponse({ status: 200, headers: {}, text: fragment }, {
      provider: provider.name, now: clock.now(), grantType: 'implicit', scope: pending?.scope ?? this.#scope(), defaultExpiresIn: provider.config.defaultExpiresIn, conform: provider.config.conform
    })
    if ('error' in read) throw read.error
    this.#pending = undefined
    return await this.#adopt(read.tokens, read.scopeChange)
  }

  /** `fetch` with this session's token. */
  get fetch (): typeof globalThis.fetch {
    return createAuthorizedFetch(this.#client, this.#basis.transport, this.#basis.provider.config)
  }

  /**
   * Refreshes now and keeps the new set (RFC 6749, section 6).
   * @throws FST_OAUTH_LOGIN_ENDED, FST_OAUTH_TOKEN_EXPIRED, FST_OAUTH_PROVIDER_UNAVAILABLE, FST_OAUTH_INVALID_TOKEN_RESPONSE
   */
  async refresh (options: Pick<RefreshOptions, 'refreshToken' | 'params'> = {}): Promise<TokenSet> {
    return await this.#tokenSource().refresh(options)
  }

  /** The current set: fetched where it is the app's own, refreshed where it has to be. @throws what `refresh` throws, FST_OAUTH_LOGIN_REQUIRED */
  async currentTokens (): Promise<TokenSet> {
    return { ...(await this.#tokenSourceOrFirst().current(true)).tokens }
  }

  /** Makes a set the current one: the one that `TokensUpdatedError` carries, or one from elsewhere. */
  async save (tokens: TokenSet): Promise<void> {
    if (this.#id === undefined) this.#load(tokens)
    else await this.#tokenSource().save(tokens)
  }

  /** Asks for the user's profile (OpenID Connect Core, section 5.3). */
  async userinfo (): Promise<Record<string, unknown>> {
    const { tokens } = await this.#tokenSource().current()
    return await this.#basis.provider.userinfo(tokens)
  }

  /** Revokes the tokens (RFC 7009) and forgets them. Resolves to false where the provider could not. */
  async revoke (): Promise<boolean> {
    const tokens = this.tokens
    if (tokens === undefined) return false
    const { refreshToken, accessToken } = tokens
    const revoked = refreshToken === undefined || await this.#basis.provider.revoke(refreshToken, 'refresh_token')
    const also = await this.#basis.provider.revoke(accessToken, 'access_token')
    if (this.#id !== undefined) await this.#records.remove(this.#id)
    this.#id = undefined
    return revoked && also
  }

  [kCall] (method: string | undefined, url: string | URL, options: CallOptions | undefined): OAuthCall {
    const { withholdToken } = this.#init
    return this.#client.call(method, url, withholdToken === undefined ? options : { withholdToken, ...options })
  }

  #scope (): string[] {
    return parseScope(this.#init.scope) ?? [...this.#basis.provider.config.scope]
  }

  #callback (callbackUrl: string): URL {
    const url = new URL(callbackUrl)
    if (isSecureUrl(url) || this.#basis.provider.config.allowInsecureRequests) return url
    throw insecureCallback(this.#basis.provider.name)
  }

  #record (): TokenRecord | undefined {
    if (this.#id === undefined) return undefined
    const live = this.#records.live(this.#id)
    return live.record ?? this.#records.decode(this.#store.peek(this.#id))
  }

  /** The app's own tokens are fetched by whoever needs them first; everybody else has to be given some. */
  #tokenSourceOrFirst (): TokenSource {
    if (this.#id !== undefined || this.#basis.provider.config.grantType !== 'client_credentials') return this.#tokenSource()
    const first = async () => {
      this.#first ??= this.fetchTokens().finally(() => { this.#first = undefined })
      await this.#first
      return this.#tokenSource()
    }
    return {
      current: async replayable => await (await first()).current(replayable),
      renew: async refused => await (await first()).renew(refused),
      accepted: grant => { if (this.#id !== undefined) this.#tokenSource().accepted(grant) }
    }
  }

  #tokenSource (): RecordTokenSource {
    const { provider, clock } = this.#basis
    if (this.#id === undefined) throw new LoginRequiredError(`this session has no token of provider "${provider.name}"; call fetchTokens first`, { provider: provider.name, reason: 'missing_token' })
    this.#source ??= new RecordTokenSource(provider, this.#id, {
      records: this.#records,
      refresher: this.#refresher,
      clock,
      mode: this.#init.refresh ?? provider.config.refresh ?? 'auto',
      hooks: this.#init.hooks,
      params: this.#init.params,
      onEnded: () => {
        this.#id = undefined
        this.#source = undefined
      }
    })
    return this.#source
  }

  #load (input: TokenSet | Record<string, unknown>): void {
    const { provider, clock, shared } = this.#basis
    const tokens = loadTokens(input, { now: clock.now(), scope: this.#scope(), provider: provider.name, conform: provider.config.conform })
    const { record, ...set } = tokens
    this.#source = undefined
    if (record !== undefined && shared !== undefined) {
      // Beside a web session: the record there is the truth, and a refresh goes through it.
      this.#id = record
      this.#records = shared.records
      this.#refresher = shared.refresher
      return
    }
    this.#id = this.#records.plant({ provider: provider.name, tokens: set, obtainedAt: clock.now(), ttl: TTL, user: null }, this.#store)
  }

  async #adopt (tokens: TokenSet, scopeChange: ScopeChange | undefined): Promise<TokenSet> {
    const previous = this.tokens
    this.#scopeChange = scopeChange
    this.#load(tokens)
    const event: TokensEvent = { provider: this.#basis.provider.name, user: null, previous, reason: 'login', ...(scopeChange !== undefined && { scopeChange }) }
    await this.#init.onTokens?.(tokens, event)
    return tokens
  }

  async #announced (tokens: TokenSet, event: TokensEvent): Promise<void> {
    this.#scopeChange = event.scopeChange
    const { record: _place, ...set } = tokens
    await this.#init.onTokens?.(set, event)
  }
}

function pick ({ params, headers }: Pick<GrantOptions, 'params' | 'headers'>): Pick<GrantOptions, 'params' | 'headers'> {
  return { ...(params !== undefined && { params }), ...(headers !== undefined && { headers }) }
}

function insecureCallback (provider: string): OAuthError {
  return new InsecureTransportError(`the callback URL of provider "${provider}" is plain http`, { provider })
}
