import { AuthorizedClient, type CallOptions } from '../calls/authorized-client.ts'
import { createAuthorizedFetch } from '../calls/authorized-fetch.ts'
import type { OAuthCall } from '../calls/call.ts'
import { currentProfile } from '../calls/profile.ts'
import { HttpVerbs, kCall } from '../calls/verbs.ts'
import { LoginRequiredError } from '../errors.ts'
import type { Transport } from '../http/transport.ts'
import {
  type AuthorizationUrlOptions,
  type FetchTokensOptions,
  LoginFlow,
  type LoginInit,
  type StartedLogin
} from '../login/start.ts'
import type { AuthorizationResponse } from '../oauth/authorization-response.ts'
import type { ScopeChange, TokenSet } from '../oauth/token-set.ts'
import { mergeParameters } from '../oauth/urls.ts'
import { type GrantResult, refreshGrant } from '../providers/grants.ts'
import type { RefreshMode } from '../providers/options.ts'
import type { ProviderClient } from '../providers/provider.ts'
import { revokeSets } from '../providers/revocation.ts'
import { loadTokens, obtainedAtOf, type TokensInput } from '../tokens/load-tokens.ts'
import type { TokensEvent } from '../tokens/on-tokens.ts'
import { OnTokensHook } from '../tokens/on-tokens.ts'
import { isRecordOf, setsToRevoke, type TokenRecord } from '../tokens/record.ts'
import { TokenRecords } from '../tokens/records.ts'
import { Refresher, type RefreshOptions } from '../tokens/refresher.ts'
import { MemoryTokenStore } from '../tokens/stores/memory-store.ts'
import { RecordTokenSource, type TokenSource } from '../tokens/token-source.ts'
import type { Clock } from '../util/clock.ts'
import type { Logger } from '../util/logger.ts'

export type { AuthorizationUrlOptions, FetchTokensOptions, StartedLogin } from '../login/start.ts'

/** What a headless session is made with. */
export interface OAuthSessionInit extends LoginInit {
  /** A set to go on from: one that `onTokens` handed out, columns of the app's own, or a token response's members. */
  tokens?: TokensInput | null
  refresh?: RefreshMode
  /** Awaited once for each new set, before a call goes out with it. */
  onTokens?: (tokens: TokenSet, event: TokensEvent) => unknown
  /** Sends calls without the token, for an API that is not to have it. */
  withholdToken?: boolean
}

/** What a headless session stands on. */
export interface OAuthSessionBasis {
  provider: ProviderClient
  transport: Transport
  clock: Clock
  log: Logger
  /** The web sessions' records, where there are any: a set that lives there is refreshed there. */
  shared?: { records: TokenRecords, refresher: Refresher, onTokensHook: OnTokensHook }
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
  readonly #login: LoginFlow
  readonly #store = new MemoryTokenStore()
  readonly #client: AuthorizedClient
  #records: TokenRecords
  #refresher: Refresher
  #onTokensHook: OnTokensHook
  #source: RecordTokenSource | undefined
  #id: string | undefined
  #first: Promise<TokenSet> | undefined
  #scopeChange: ScopeChange | undefined

  constructor (basis: OAuthSessionBasis, init: OAuthSessionInit = {}) {
    super()
    this.#basis = basis
    this.#init = init
    const { clock, log } = basis
    this.#login = new LoginFlow(basis.provider, clock.now, init)
    this.#records = new TokenRecords(this.#store, clock.monotonic)
    this.#onTokensHook = new OnTokensHook(this.#records, (tokens, event) => this.#announced(tokens, event))
    this.#refresher = new Refresher({ records: this.#records, clock, log, onTokensHook: this.#onTokensHook })
    const Client = init.withholdToken === true ? WithholdingClient : AuthorizedClient
    this.#client = new Client(basis.provider.config, basis.transport, () => this.#tokenSourceOrFirst(), init.hooks)
    if (init.tokens !== undefined && init.tokens !== null) this.#load(init.tokens)
  }

  /** The set as it stands, expired or not. */
  get storedTokens (): TokenSet | undefined {
    return this.#record()?.tokens
  }

  /** Whether there is a token. */
  get authorized (): boolean { return this.storedTokens !== undefined }

  /** How the scope of the last set differs from what was asked for. */
  get scopeChange (): ScopeChange | undefined { return this.#scopeChange }

  /**
   * Builds the URL that a login starts with; state, verifier and nonce are remembered for `fetchTokens` (RFC 6749,
   * section 4.1.1; RFC 7636; OpenID Connect Core, section 3.1.2.1).
   * @throws FST_OAUTH_INSECURE_TRANSPORT, FST_OAUTH_INVALID_OPTIONS, FST_OAUTH_PROVIDER_UNAVAILABLE
   */
  async authorizationUrl (options: AuthorizationUrlOptions = {}): Promise<StartedLogin> {
    return await this.#login.authorizationUrl(options)
  }

  /**
   * Reads a callback: its state must be the one that was remembered (RFC 6749, section 4.1.2).
   * @throws FST_OAUTH_STATE_MISMATCH, FST_OAUTH_AUTHORIZATION_FAILED, FST_OAUTH_INSECURE_TRANSPORT,
   *   FST_OAUTH_INVALID_OPTIONS
   */
  parseCallback (callbackUrl: string): AuthorizationResponse {
    return this.#login.parseCallback(callbackUrl)
  }

  /**
   * Gets tokens, by a callback URL, a code, user name and password, an assertion, or (for `client_credentials`) by what
   * the app itself is.
   * @throws FST_OAUTH_AUTHORIZATION_FAILED, FST_OAUTH_STATE_MISMATCH, FST_OAUTH_INVALID_TOKEN_RESPONSE,
   *   FST_OAUTH_INVALID_ID_TOKEN, FST_OAUTH_PROVIDER_UNAVAILABLE, FST_OAUTH_INVALID_OPTIONS
   */
  async fetchTokens (options: FetchTokensOptions = {}): Promise<TokenSet> {
    return await this.#adopt(await this.#login.fetch(options), 'login')
  }

  /**
   * Reads the tokens that an implicit login left in the fragment (RFC 6749, section 4.2.2): legacy.
   * @throws FST_OAUTH_STATE_MISMATCH, FST_OAUTH_AUTHORIZATION_FAILED, FST_OAUTH_INVALID_TOKEN_RESPONSE,
   *   FST_OAUTH_INVALID_ID_TOKEN, FST_OAUTH_INSECURE_TRANSPORT, FST_OAUTH_INVALID_OPTIONS
   */
  async tokensFromFragment (callbackUrl: string): Promise<TokenSet> {
    return await this.#adopt(await this.#login.fromFragment(callbackUrl), 'login')
  }

  /** `fetch` with this session's token. */
  get fetch (): typeof globalThis.fetch {
    return createAuthorizedFetch(this.#client, this.#basis.transport, this.#basis.provider.config)
  }

  /**
   * Refreshes now and keeps the new set (RFC 6749, section 6).
   * @param options.refreshToken in place of the one that came with the set; a session without a set needs it
   * @throws FST_OAUTH_LOGIN_ENDED, FST_OAUTH_TOKEN_EXPIRED, FST_OAUTH_PROVIDER_UNAVAILABLE,
   *   FST_OAUTH_INVALID_TOKEN_RESPONSE
   */
  async refresh (options: Pick<RefreshOptions, 'refreshToken' | 'params'> = {}): Promise<TokenSet> {
    const { refreshToken } = options
    if (this.#id !== undefined || refreshToken === undefined) return await this.#tokenSource().refresh(options)
    const { hooks, params } = this.#init
    return await this.#adopt(await refreshGrant(this.#basis.provider, {
      refreshToken, params: mergeParameters(params, options.params), scope: this.#login.scope, hooks
    }), 'refresh')
  }

  /**
   * The current set: fetched where it is the app's own, refreshed where it has to be.
   * @throws what `refresh` throws, FST_OAUTH_LOGIN_REQUIRED
   */
  async tokens (): Promise<TokenSet> {
    return { ...(await this.#tokenSourceOrFirst().current(true)).tokens }
  }

  /**
   * Makes a set the current one: the one that `TokensUpdatedError` carries, or one from elsewhere.
   * @param tokens a token set, columns of the app's own, or the members of a token response (`access_token`, …)
   * @throws FST_OAUTH_INVALID_OPTIONS where that holds no usable token, FST_OAUTH_LOGIN_ENDED
   */
  async save (tokens: TokensInput): Promise<void> {
    if (this.#id === undefined) this.#load(tokens)
    else await this.#tokenSource().save(tokens)
  }

  /**
   * Asks for the user's profile now: from userinfo (OpenID Connect Core, section 5.3), or by the provider's
   * `fetchProfile`.
   * @throws FST_OAUTH_INVALID_RESPONSE, FST_OAUTH_PROVIDER_UNAVAILABLE, and what `refresh` throws
   */
  async userinfo (): Promise<Record<string, unknown>> {
    return await currentProfile(this.#basis.provider, this.#tokenSource())
  }

  /** Revokes the tokens (RFC 7009) and forgets them. Resolves to false where the provider could not. */
  async revoke (): Promise<boolean> {
    const record = this.#record()
    if (record === undefined) return false
    const revoked = await revokeSets(this.#basis.provider, setsToRevoke(record))
    if (this.#id !== undefined) await this.#records.remove(this.#id)
    this.#id = undefined
    return revoked
  }

  [kCall] (method: string | undefined, url: string | URL, options: CallOptions | undefined): OAuthCall {
    return this.#client.call(method, url, options)
  }

  #record (): TokenRecord | undefined {
    if (this.#id === undefined) return undefined
    const record = this.#records.peek(this.#id) ?? this.#records.decode(this.#store.peek(this.#id))
    return isRecordOf(record, this.#basis.provider.config) ? record : undefined
  }

  /** The app's own tokens are fetched by whoever needs them first; everybody else has to be given some. */
  #tokenSourceOrFirst (): TokenSource {
    if (this.#id !== undefined || this.#basis.provider.config.grantType !== 'client_credentials') {
      return this.#tokenSource()
    }
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
    if (this.#id === undefined) {
      throw new LoginRequiredError(`this session has no token of provider "${provider.name}"; call fetchTokens first`, {
        provider: provider.name,
        reason: 'missing_token'
      })
    }
    this.#source ??= new RecordTokenSource(provider, this.#id, {
      records: this.#records,
      refresher: this.#refresher,
      onTokensHook: this.#onTokensHook,
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

  #load (input: TokensInput, obtainedAt?: number): void {
    const { provider, clock, shared } = this.#basis
    const tokens = loadTokens(input, {
      now: clock.now(),
      scope: this.#login.scope,
      provider: provider.name,
      conform: provider.config.conform
    })
    const { recordId, ...set } = tokens
    this.#source = undefined
    if (recordId !== undefined && shared !== undefined) {
      // Beside a web session: the record there is the truth, and a refresh goes through it.
      this.#id = recordId
      this.#records = shared.records
      this.#refresher = shared.refresher
      this.#onTokensHook = shared.onTokensHook
      return
    }
    this.#id = this.#records.insert({
      provider: provider.name,
      providerIdentity: provider.config.identity,
      tokens: set,
      obtainedAt: obtainedAt ?? obtainedAtOf(set),
      ttl: TTL,
      user: null
    }, this.#store)
  }

  async #adopt ({ tokens, scopeChange }: GrantResult, reason: TokensEvent['reason']): Promise<TokenSet> {
    const previous = this.storedTokens
    this.#scopeChange = scopeChange
    this.#load(tokens, this.#basis.clock.now())
    await this.#init.onTokens?.(tokens, {
      provider: this.#basis.provider.name,
      user: null,
      previous,
      reason,
      ...(scopeChange !== undefined && { scopeChange })
    })
    return tokens
  }

  async #announced (tokens: TokenSet, event: TokensEvent): Promise<void> {
    this.#scopeChange = event.scopeChange
    const { recordId: _place, ...set } = tokens
    await this.#init.onTokens?.(set, event)
  }
}

/** Sends calls without the token unless one of them asks for it. */
class WithholdingClient extends AuthorizedClient {
  override call (method: string | undefined, url: string | URL, options?: CallOptions): OAuthCall {
    return super.call(method, url, { withholdToken: true, ...options })
  }
}
