import type { AccountTokens } from '../calls/account-client.ts'
import { LoginRequiredError } from '../errors.ts'
import type { Transport } from '../http/transport.ts'
import type { DpopKey } from '../oauth/dpop-key.ts'
import type { ScopeChange, TokenSet } from '../oauth/token-set.ts'
import { mergeParameters, type RequestParameters } from '../oauth/urls.ts'
import { type GrantResult, refreshGrant } from '../providers/grants.ts'
import type { ProviderHooks, RefreshMode } from '../providers/options.ts'
import type { ProviderClient } from '../providers/provider.ts'
import { revokeSets } from '../providers/revocation.ts'
import { loadTokens, obtainedAtOf, type TokensInput } from '../tokens/load-tokens.ts'
import { OnTokensHook, type TokensEvent } from '../tokens/on-tokens.ts'
import { isRecordOf, setsToRevoke, type TokenRecord } from '../tokens/record.ts'
import { TokenRecords } from '../tokens/records.ts'
import { Refresher, type RefreshOptions } from '../tokens/refresher.ts'
import { MemoryTokenStore } from '../tokens/stores/memory-store.ts'
import { RecordTokenSource, type TokenSnapshot } from '../tokens/token-source.ts'
import type { Clock } from '../util/clock.ts'
import type { Logger } from '../util/logger.ts'

/** Where token records are kept, and who refreshes them. */
interface RecordKeeper {
  records: TokenRecords
  refresher: Refresher
  onTokensHook: OnTokensHook
}

/** What all sessions without a request of one provider share. */
export interface SessionBasis {
  provider: ProviderClient
  transport: Transport
  clock: Clock
  log: Logger
  /** Of the web sessions, if there are any: a set with the id of a record there is refreshed there. */
  shared?: RecordKeeper
  /** Ends the web sessions that a logout token names, if there are any. */
  endLogins?: (logoutToken: string, request?: object) => Promise<number>
}

interface SessionTokensOptions {
  /** What a set without a scope was granted. */
  scope: readonly string[]
  refresh?: RefreshMode | undefined
  onTokens?: ((tokens: TokenSet, event: TokensEvent) => unknown) | undefined
  hooks?: ProviderHooks | undefined
  params?: RequestParameters | undefined
  /** The key that a set which is loaded is bound to. */
  dpopKey?: DpopKey | undefined
  /** Gets the first set of a session whose grant is the app's own. */
  fetchFirst: () => Promise<unknown>
}

/** Seconds that a store keeps a record; the one in memory ignores it. */
const TTL = 86_400

/** The tokens of one session without a request: a record in memory, or the record of a web session. */
export class SessionTokens implements AccountTokens {
  readonly #basis: SessionBasis
  readonly #options: SessionTokensOptions
  readonly #store = new MemoryTokenStore()
  readonly #own: RecordKeeper
  #keeper: RecordKeeper
  #id: string | undefined
  #source: RecordTokenSource | undefined
  #first: Promise<unknown> | undefined
  #dpopKey: DpopKey | undefined
  #resource: readonly string[] | undefined
  #callbackParams: Record<string, string> | undefined
  /** How the scope of the last set differs from what was asked for. */
  scopeChange: ScopeChange | undefined

  constructor (basis: SessionBasis, options: SessionTokensOptions) {
    const { clock, log } = basis
    this.#basis = basis
    this.#options = options
    this.#dpopKey = options.dpopKey
    const records = new TokenRecords(this.#store, clock.monotonic, { isSoleWriter: () => true })
    const onTokensHook = new OnTokensHook(records, async ({ recordId: _own, ...tokens }, event) => {
      this.scopeChange = event.scopeChange
      await options.onTokens?.(tokens, event)
    })
    this.#own = { records, onTokensHook, refresher: new Refresher({ records, clock, log, onTokensHook }) }
    this.#keeper = this.#own
  }

  /** The current set, expired or not. */
  get stored (): TokenSet | undefined { return this.#record()?.tokens }

  /** The key that the set is bound to; never that of a web session. */
  get dpopKey (): DpopKey | undefined { return this.#keeper === this.#own ? this.#dpopKey : undefined }

  current (replayable: boolean): TokenSnapshot | Promise<TokenSnapshot> {
    return this.#isFirst ? this.#opened().then(source => source.current(replayable)) : this.#open().current(replayable)
  }

  async renew (refused: TokenSnapshot): Promise<TokenSnapshot | undefined> {
    return await (await this.#opened()).renew(refused)
  }

  accepted (snapshot: TokenSnapshot): void {
    if (this.#id !== undefined) this.#open().accepted(snapshot)
  }

  async tokens (): Promise<TokenSet> {
    return this.#handedOut(await (await this.#opened()).tokens())
  }

  async refresh (options: Pick<RefreshOptions, 'refreshToken' | 'params'> = {}): Promise<TokenSet> {
    const { refreshToken } = options
    if (this.#id !== undefined || refreshToken === undefined) {
      return this.#handedOut(await this.#open().refresh(options))
    }
    const { hooks, params, scope } = this.#options
    const dpopKey = this.#dpopKey
    const request = { refreshToken, params: mergeParameters(params, options.params), scope, dpopKey, hooks }
    return await this.adopt(await refreshGrant(this.#basis.provider, request), 'refresh')
  }

  async save (tokens: TokensInput): Promise<void> {
    if (this.#id === undefined) this.load(tokens)
    else await this.#open().save(tokens)
  }

  /** Makes a set the session's, whatever it had before. @throws FST_OAUTH_INVALID_OPTIONS */
  load (input: TokensInput, obtainedAt?: number): void {
    const { provider: { name, config }, clock, shared } = this.#basis
    const { scope } = this.#options
    const { recordId, ...tokens } = loadTokens(input, {
      now: clock.now(), scope, provider: name, conform: config.conform, isBound: this.#dpopKey !== undefined
    })
    this.#source = undefined
    this.#keeper = recordId !== undefined && shared !== undefined ? shared : this.#own
    this.#id = this.#keeper === shared
      ? recordId
      : this.#own.records.insert({
        version: 1,
        provider: name,
        providerIdentity: config.identity,
        tokens,
        obtainedAt: obtainedAt ?? obtainedAtOf(tokens),
        ttl: TTL,
        user: null,
        ...(this.#dpopKey !== undefined && { dpopKey: this.#dpopKey }),
        ...(this.#resource !== undefined && { resource: this.#resource }),
        ...(this.#callbackParams !== undefined && { callbackParams: this.#callbackParams })
      }, this.#store)
  }

  /** Makes a set that was just granted the session's, and awaits `onTokens`. */
  async adopt (granted: GrantResult, reason: TokensEvent['reason']): Promise<TokenSet> {
    const { tokens, scopeChange, dpopKey, resource, callbackParams } = granted
    const { provider: { name }, clock } = this.#basis
    const previous = this.stored
    this.scopeChange = scopeChange
    this.#dpopKey = dpopKey
    this.#resource = resource
    this.#callbackParams = callbackParams
    this.load(tokens, clock.now())
    await this.#options.onTokens?.(tokens, {
      provider: name, user: null, previous, reason, ...(scopeChange !== undefined && { scopeChange })
    })
    return tokens
  }

  /** Revokes the tokens and forgets them. Resolves to false if the provider could not. */
  async revoke (): Promise<boolean> {
    const record = this.#record()
    if (record === undefined) return false
    const revoked = await revokeSets(this.#basis.provider, setsToRevoke(record))
    if (this.#id !== undefined) await this.#keeper.records.remove(this.#id)
    this.#id = undefined
    return revoked
  }

  /** Whether the first set is still to be requested: the app's own client needs no login. */
  get #isFirst (): boolean {
    return this.#id === undefined && this.#basis.provider.config.grantType === 'client_credentials'
  }

  async #opened (): Promise<RecordTokenSource> {
    if (this.#isFirst) {
      this.#first ??= this.#options.fetchFirst().finally(() => { this.#first = undefined })
      await this.#first
    }
    return this.#open()
  }

  /** @throws FST_OAUTH_LOGIN_REQUIRED */
  #open (): RecordTokenSource {
    const { provider, clock } = this.#basis
    if (this.#id === undefined) {
      const message = `this session has no token of provider "${provider.name}"; call fetchTokens first`
      throw new LoginRequiredError(message, { provider: provider.name, reason: 'missing_token' })
    }
    const { refresh = provider.config.refresh ?? 'auto', hooks, params } = this.#options
    this.#source ??= new RecordTokenSource(provider, this.#id, {
      ...this.#keeper,
      clock,
      mode: refresh,
      hooks,
      params,
      onEnded: () => {
        this.#id = undefined
        this.#source = undefined
      }
    })
    return this.#source
  }

  #record (): TokenRecord | undefined {
    if (this.#id === undefined) return undefined
    const { records } = this.#keeper
    const record = records.known(this.#id)
    return isRecordOf(record, this.#basis.provider.config) ? record : undefined
  }

  // The id of a record in this session's own memory means nothing elsewhere.
  #handedOut ({ recordId, ...tokens }: TokenSet): TokenSet {
    return this.#keeper === this.#own || recordId === undefined ? tokens : { ...tokens, recordId }
  }
}
