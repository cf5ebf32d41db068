import { type OAuthError, TokensUpdatedError } from '../errors.ts'
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

/** A token set that may be used now, and its version. */
export interface TokenSnapshot {
  tokens: TokenSet
  version: number
}

/** Where an authorized client gets its token. The client knows nothing of sessions, stores or refreshes. */
export interface TokenSource {
  /** A set that is good for a call now; synchronous where nothing has to be read or refreshed. */
  current (replayable: boolean): TokenSnapshot | Promise<TokenSnapshot>
  /** A newer set after an API refused this one, or undefined where there is none to be had. */
  renew (refused: TokenSnapshot): Promise<TokenSnapshot | undefined>
  /** An API took the token. */
  accepted (grant: TokenSnapshot): void
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
   * Id of another record that has to stand as long as this one is used: of the account that was logged in with, where
   * this account was added to it.
   */
  loginRecord?: string
  /** Called with the id of the record that is no more. */
  onEnded?: (record: string) => void
}

/** Milliseconds for which a request trusts what it has read: a logout in another process is seen after that. */
const READ_MS = 1_000

/** The last part of the leeway, in which a call waits for the refresh: a token that ends on its way is of no use. */
const HARD_MARGIN = 1 / 3

/** The tokens of one account, for one request or one headless session. */
export class RecordTokenSource implements TokenSource {
  readonly #provider: ProviderClient
  readonly #id: string
  readonly #options: RecordTokenSourceOptions
  #readAt = -Infinity

  constructor (provider: ProviderClient, id: string, options: RecordTokenSourceOptions) {
    this.#provider = provider
    this.#id = id
    this.#options = options
  }

  current (replayable = true): TokenSnapshot | Promise<TokenSnapshot> {
    const { records, clock } = this.#options
    const live = records.state(this.#id)
    if (
      live.record === undefined ||
      live.deleted ||
      this.#loginIsGone() ||
      live.barrier !== undefined ||
      clock.monotonic() - this.#readAt > READ_MS
    ) {
      return this.#readCurrent(replayable)
    }
    return this.#fresh(live.record, replayable)
  }

  async renew (refused: TokenSnapshot): Promise<TokenSnapshot | undefined> {
    if (this.#options.mode !== 'auto') return undefined
    const newest = await this.record()
    // A newer version may be the same token with its ID token beside it.
    if (newest.tokens.accessToken !== refused.tokens.accessToken) return newest
    const live = this.#options.records.state(this.#id)
    if (!isRenewable(this.#provider, newest) || live.rejectedVersion === newest.version) return undefined
    const record = await this.#refresh({ version: newest.version })
    live.rejectedVersion = record.version
    return record
  }

  accepted ({ version }: TokenSnapshot): void {
    const live = this.#options.records.state(this.#id)
    if (live.rejectedVersion === version) live.rejectedVersion = 0
  }

  /** The record as the store has it. @throws FST_OAUTH_LOGIN_ENDED, FST_OAUTH_STORE_UNAVAILABLE */
  async record (): Promise<TokenRecord> {
    const { records, onTokensHook, clock, loginRecord, onEnded } = this.#options
    const startedAt = clock.monotonic()
    const [record, login] = await Promise.all(
      [this.#id, loginRecord].map(id => (id === undefined ? undefined : records.read(id)))
    )
    if (loginRecord !== undefined && login === undefined) {
      onEnded?.(loginRecord)
      throw loginEnded(this.#provider)
    }
    if (record === undefined) onEnded?.(this.#id)
    if (!isRecordOf(record, this.#provider.config)) throw loginEnded(this.#provider)
    this.#readAt = startedAt
    const live = records.state(this.#id)
    if (live.barrier !== undefined) await waitForProvider(onTokensHook.waitForBarrier(live), this.#provider)
    return record
  }

  /** The current set: refreshed where it has to be, or as it is where refreshing is the app's own business. */
  async tokens (): Promise<TokenSet> {
    const { tokens } = this.#options.mode === 'auto' ? await this.current() : await this.record()
    return { ...tokens, recordId: this.#id }
  }

  /** Forces a refresh, saves and returns the new set. */
  async refresh (options: Omit<RefreshOptions, 'version' | 'park'> = {}): Promise<TokenSet> {
    const { version } = await this.record()
    const { tokens } = await this.#refresh({ ...options, version })
    return { ...tokens, recordId: this.#id }
  }

  /** Makes a set the current one. @throws FST_OAUTH_INVALID_OPTIONS where it is none */
  async save (tokens: TokensInput): Promise<void> {
    const { records, clock } = this.#options
    const { name: provider, config: { conform, scope } } = this.#provider
    const asked = records.state(this.#id).record?.tokens.scope ?? scope
    const { recordId: _place, ...set } = loadTokens(tokens, { now: clock.now(), scope: asked, provider, conform })
    if (this.#options.loginRecord !== undefined) await this.record()
    await this.#options.refresher.save(this.#provider, this.#id, set)
  }

  #loginIsGone (): boolean {
    const { records, loginRecord } = this.#options
    return loginRecord !== undefined && records.isDeleted(loginRecord)
  }

  async #readCurrent (replayable: boolean): Promise<TokenSnapshot> {
    return await this.#fresh(await this.record(), replayable)
  }

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
    // Near its end and still valid: used as it is, while the next one is fetched behind it. A body that cannot be
    // sent again has no second chance after a 401, so it waits.
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
      // The provider is away, and the token has some seconds left: better than nothing.
      if (valid && (error as OAuthError).code === 'FST_OAUTH_PROVIDER_UNAVAILABLE') return record
      throw error
    }
  }

  /** What every refresh of this session has: its hooks, and its parameters below those of the one refresh. */
  #refreshOptions (options: RefreshOptions): RefreshOptions {
    const { hooks, params } = this.#options
    return { ...options, hooks, params: mergeParameters(params, options.params), isOwn: options.params === undefined }
  }

  /** Refreshes where nobody has yet, and hands out the new set in place of making the call. */
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
      const { code } = error as OAuthError
      if (code === 'FST_OAUTH_LOGIN_ENDED' || code === 'FST_OAUTH_REFRESH_LOST') onEnded?.(this.#id)
      throw error
    }
  }
}
