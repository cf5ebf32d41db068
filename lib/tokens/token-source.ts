import { type OAuthError, TokensUpdatedError } from '../errors.ts'
import type { DpopKey } from '../oauth/dpop-key.ts'
import { effectiveLeeway, isExpired, type TokenSet } from '../oauth/token-set.ts'
import { mergeParameters } from '../oauth/urls.ts'
import type { RefreshMode } from '../providers/options.ts'
import type { ProviderClient } from '../providers/provider.ts'
import { loginEnded, tokenExpired, waitForProvider } from '../providers/refresh-errors.ts'
import type { Clock } from '../util/clock.ts'
import { loadTokens, type TokensInput } from './load-tokens.ts'
import type { OnTokensHook } from './on-tokens.ts'
import { isRecordOf, type TokenRecord } from './record.ts'
import type { TokenRecords } from './records.ts'
import { isRenewable, type Refresher, type RefreshOptions } from './refresher.ts'
import { saveTokens } from './save.ts'
import { isTimed, type TokenLifetime } from './token-lifetime.ts'

/** A token set that may be used now, and its version. */
export interface TokenSnapshot {
  tokens: TokenSet
  version: number
  /** The key that the tokens are bound to. */
  dpopKey?: DpopKey | undefined
}

/** Where an authorized client gets its token. The client does not know sessions, stores or refreshes. */
export interface TokenSource {
  /**
   * The set for a call now; synchronous if nothing has to be read or refreshed.
   * @param replayable whether the call can be sent again with a newer token
   */
  current (replayable: boolean): TokenSnapshot | Promise<TokenSnapshot>
  /** A newer set after an API refused this one, or undefined if there is none. */
  renew (refused: TokenSnapshot): Promise<TokenSnapshot | undefined>
  /** Notes that an API accepted the token. */
  accepted (snapshot: TokenSnapshot): void
}

export interface RecordTokenSourceOptions {
  records: TokenRecords
  refresher: Refresher
  onTokensHook: OnTokensHook
  clock: Clock
  mode: RefreshMode
  hooks?: RefreshOptions['hooks']
  /** Parameters of every refresh of this session. */
  params?: RefreshOptions['params']
  /**
   * Id of the record of the login's active account, if this account was added to it. This account cannot be used
   * without that record.
   */
  loginRecord?: string | undefined
  /** When the request began, in monotonic milliseconds: what was read since is not read again. Default now. */
  since?: number | undefined
  /** Absent for a session without a request, which lasts as long as its tokens. */
  lifetime?: TokenLifetime | undefined
  /** Called with the id of a record that turns out to be deleted. */
  onEnded?: (record: string) => void
}

/** The last part of the leeway, in which a call waits for the refresh: its token could expire on the way. */
const HARD_MARGIN = 1 / 3

/** The tokens of one account, for one request or one session without a request. */
export class RecordTokenSource implements TokenSource {
  readonly #provider: ProviderClient
  readonly #id: string
  readonly #options: RecordTokenSourceOptions
  readonly #since: number
  #reading: Promise<TokenRecord> | undefined

  constructor (provider: ProviderClient, id: string, options: RecordTokenSourceOptions) {
    this.#provider = provider
    this.#id = id
    this.#options = options
    this.#since = options.since ?? options.clock.monotonic()
  }

  current (replayable = true): TokenSnapshot | Promise<TokenSnapshot> {
    const { records, loginRecord } = this.#options
    const record = records.usable(this.#id, this.#since)
    const isUsable = isRecordOf(record, this.#provider.config) &&
      (loginRecord === undefined || records.usable(loginRecord, this.#since) !== undefined) &&
      !(isTimed(record, this.#options) && this.#options.lifetime!.mayBeOver())
    if (isUsable) return this.#fresh(record, replayable)
    // Calls that are made side by side share one read. Whether to wait for `onTokens` is for each of them to ask: the
    // hook itself may be one of them.
    this.#reading ??= this.#read().finally(() => { this.#reading = undefined })
    return this.#reading.then(read => this.#announced(read)).then(read => this.#fresh(read, replayable))
  }

  async renew (refused: TokenSnapshot): Promise<TokenSnapshot | undefined> {
    if (this.#options.mode !== 'auto') return undefined
    const newest = await this.record()
    // A newer version may be the same token with its ID token beside it.
    if (newest.tokens.accessToken !== refused.tokens.accessToken) return newest
    const state = this.#options.records.state(this.#id)
    if (!isRenewable(this.#provider, newest) || state.isRejected(newest.version)) return undefined
    const record = await this.#refresh({ version: newest.version })
    state.markRejected(record.version)
    return record
  }

  accepted ({ version }: TokenSnapshot): void {
    this.#options.records.markAccepted(this.#id, version)
  }

  /** The record as the store has it. @throws FST_OAUTH_LOGIN_ENDED, FST_OAUTH_STORE_UNAVAILABLE */
  async record (): Promise<TokenRecord> {
    return await this.#announced(await this.#read())
  }

  async #read (): Promise<TokenRecord> {
    const { records, loginRecord, onEnded } = this.#options
    const [record, login] = await Promise.all(
      [this.#id, loginRecord].map(id => (id === undefined ? undefined : records.read(id)))
    )
    if (loginRecord !== undefined && login === undefined) {
      onEnded?.(loginRecord)
      throw loginEnded(this.#provider)
    }
    if (record === undefined) onEnded?.(this.#id)
    if (!isRecordOf(record, this.#provider.config)) throw loginEnded(this.#provider)
    if (isTimed(record, this.#options)) await this.#options.lifetime!.check()
    return record
  }

  /** A record once `onTokens` has ended that runs for it, unless the caller is inside that. */
  async #announced (record: TokenRecord): Promise<TokenRecord> {
    const { records, onTokensHook } = this.#options
    const state = records.state(this.#id)
    if (state.barrier !== undefined) await waitForProvider(onTokensHook.waitForBarrier(state), this.#provider)
    return record
  }

  /** The current set; with `refresh: 'auto'` it is refreshed if it has expired. */
  async tokens (): Promise<TokenSet> {
    const { tokens } = this.#options.mode === 'auto' ? await this.current() : await this.record()
    return { ...tokens, recordId: this.#id }
  }

  /** Forces a refresh, saves and returns the new set. */
  async refresh (options: Omit<RefreshOptions, 'version' | 'keepPending'> = {}): Promise<TokenSet> {
    const { version } = await this.record()
    const { tokens } = await this.#refresh({ ...options, version })
    return { ...tokens, recordId: this.#id }
  }

  /** Makes a set the current one. @throws FST_OAUTH_INVALID_OPTIONS if it holds no usable token */
  async save (tokens: TokensInput): Promise<void> {
    const { records, clock } = this.#options
    const { name: provider, config: { conform, scope } } = this.#provider
    const known = records.peek(this.#id) ?? await records.read(this.#id)
    const { recordId: _record, ...set } = loadTokens(tokens, {
      now: clock.now(),
      scope: known?.tokens.scope ?? scope,
      provider,
      conform,
      isBound: known?.dpopKey !== undefined
    })
    if (this.#options.loginRecord !== undefined) await this.record()
    await saveTokens(this.#options, this.#provider, this.#id, set)
  }

  /** Whether a refresh failed a moment ago that no caller has to repeat. */
  get refreshIsPaused (): boolean { return this.#options.records.state(this.#id).refreshAheadIsPaused }

  /** Starts no refresh ahead of time for some seconds. */
  pauseRefresh (): void { this.#options.records.state(this.#id).pauseRefreshAhead() }

  #fresh (record: TokenRecord, replayable: boolean): TokenSnapshot | Promise<TokenSnapshot> {
    const { expiresAt } = record.tokens
    if (expiresAt === undefined) return record
    const { expiryLeeway, refreshAhead } = this.#provider.config
    const { clock, mode, refresher } = this.#options
    const now = clock.now()
    const leeway = effectiveLeeway(expiryLeeway, expiresAt, record.obtainedAt)
    if (!isExpired(expiresAt, now, leeway)) return record
    if (mode === 'manual') throw tokenExpired(this.#provider, 'call refresh() and try again')
    if (mode === 'notify') return this.#notify(record, now)
    const valid = !isExpired(expiresAt, now)
    if (!isRenewable(this.#provider, record)) {
      if (valid) return record
      throw tokenExpired(this.#provider)
    }
    if (valid && !refreshAhead) return record
    // Near its end but still valid: the token is used while the refresh runs in the background. A call that cannot be
    // sent again after a 401 waits for the refresh.
    if (replayable && !isExpired(expiresAt, now, leeway * HARD_MARGIN)) {
      refresher.refreshAhead(this.#provider, this.#id, this.#refreshOptions({ version: record.version }))
      return record
    }
    return this.#refreshOrUse(record, valid)
  }

  async #refreshOrUse (record: TokenRecord, valid: boolean): Promise<TokenSnapshot> {
    try {
      return await this.#refresh({ version: record.version })
    } catch (error) {
      // The provider cannot be reached, or the store takes no lease; and the token has some seconds left.
      const { code, reason } = Object(error) as OAuthError
      if (valid && (code === 'FST_OAUTH_PROVIDER_UNAVAILABLE' || reason === 'acquireRefresh')) return record
      throw error
    }
  }

  /** The options of one refresh, with the session's hooks and, below its own, the session's parameters. */
  #refreshOptions (options: RefreshOptions): RefreshOptions {
    const { hooks, params } = this.#options
    return { ...options, hooks, params: mergeParameters(params, options.params), isOwn: options.params === undefined }
  }

  /** Refreshes unless the record has a pending set, and throws the new set in place of making the call. */
  async #notify (record: TokenRecord, now: number): Promise<never> {
    let newest = record
    if (record.pendingTokens === undefined || isExpired(record.pendingTokens.expiresAt, now)) {
      newest = await this.#refresh({ version: record.version, keepPending: true })
    }
    throw new TokensUpdatedError(
      `the token of provider "${this.#provider.name}" had expired and was refreshed; save the new set with ` +
        'save(error.tokens) and try again',
      {
        provider: this.#provider.name,
        tokens: { ...(newest.pendingTokens ?? newest.tokens), recordId: this.#id }
      }
    )
  }

  async #refresh (options: RefreshOptions): Promise<TokenRecord> {
    const { refresher, onEnded } = this.#options
    try {
      return await refresher.refresh(this.#provider, this.#id, this.#refreshOptions(options))
    } catch (error) {
      const { code } = Object(error) as OAuthError
      if (code === 'FST_OAUTH_LOGIN_ENDED' || code === 'FST_OAUTH_REFRESH_LOST') onEnded?.(this.#id)
      throw error
    }
  }
}
