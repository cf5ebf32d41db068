import type { OAuthError } from '../errors.ts'
import { effectiveLeeway, isExpired, type TokenSet } from '../protocol/token-set.ts'
import type { TokenRecord, TokenRecords } from '../session/token-records.ts'
import type { Clock } from './clock.ts'
import type { ProviderClient } from './provider-client.ts'
import { loginEnded, tokenExpired, type Refresher } from './refresher.ts'

/** A token set that may be used now, and its version. */
export interface Grant {
  tokens: TokenSet
  version: number
}

/** Where an authorized client gets its token. The client knows nothing of sessions, stores or refreshes. */
export interface TokenSource {
  /** A set that is good for a call now; synchronous where nothing has to be read or refreshed. */
  current (replayable: boolean): Grant | Promise<Grant>
  /** A newer set after an API refused this one, or undefined where there is none to be had. */
  renew (refused: Grant): Promise<Grant | undefined>
  /** An API took the token. */
  accepted (grant: Grant): void
}

/** Milliseconds for which a request trusts what it has read: a logout in another process is seen after that. */
const READ_MS = 1_000

/** The last part of the leeway, in which a call waits for the refresh: a token that ends on its way is of no use. */
const HARD_MARGIN = 1 / 3

/** The tokens of one account in one session, for one request. */
export class RecordTokenSource implements TokenSource {
  readonly #provider: ProviderClient
  readonly #id: string
  readonly #records: TokenRecords
  readonly #refresher: Refresher
  readonly #clock: Clock
  readonly #onEnded: () => void
  #readAt = -Infinity

  /** @param onEnded called when it turns out that the login is no more */
  constructor (provider: ProviderClient, id: string, { records, refresher, clock, onEnded }: { records: TokenRecords, refresher: Refresher, clock: Clock, onEnded: () => void }) {
    this.#provider = provider
    this.#id = id
    this.#records = records
    this.#refresher = refresher
    this.#clock = clock
    this.#onEnded = onEnded
  }

  current (replayable = true): Grant | Promise<Grant> {
    const live = this.#records.live(this.#id)
    if (live.record === undefined || live.gone || live.settling !== undefined || this.#clock.monotonic() - this.#readAt > READ_MS) {
      return this.#readCurrent(replayable)
    }
    return this.#fresh(live.record, replayable)
  }

  async renew (refused: Grant): Promise<Grant | undefined> {
    const newest = await this.record()
    if (newest.version > refused.version) return newest
    const live = this.#records.live(this.#id)
    if (newest.tokens.refreshToken === undefined || live.unproven === refused.version) return undefined
    const record = await this.#refresh(refused.version)
    live.unproven = record.version
    return record
  }

  accepted ({ version }: Grant): void {
    const live = this.#records.live(this.#id)
    if (live.unproven === version) live.unproven = 0
  }

  /** The record as the store has it. @throws FST_OAUTH_LOGIN_ENDED, FST_OAUTH_STORE_UNAVAILABLE */
  async record (): Promise<TokenRecord> {
    const startedAt = this.#clock.monotonic()
    const record = await this.#records.read(this.#id)
    if (record === undefined) {
      this.#onEnded()
      throw loginEnded(this.#provider)
    }
    this.#readAt = startedAt
    await this.#refresher.settled(this.#records.live(this.#id))
    return record
  }

  /** Forces a refresh. */
  async refresh (options: { refreshToken?: string | undefined, params?: Parameters<Refresher['refresh']>[2]['params'] } = {}): Promise<TokenRecord> {
    const { version } = await this.record()
    return await this.#refresh(version, options)
  }

  async #readCurrent (replayable: boolean): Promise<Grant> {
    return await this.#fresh(await this.record(), replayable)
  }

  #fresh (record: TokenRecord, replayable: boolean): Grant | Promise<Grant> {
    const { expiresAt, refreshToken } = record.tokens
    if (expiresAt === undefined) return record
    const now = this.#clock.now()
    const leeway = effectiveLeeway(this.#provider.config.expiryLeeway, expiresAt, record.obtainedAt)
    if (!isExpired(expiresAt, now, leeway)) return record
    if (refreshToken === undefined) {
      if (isExpired(expiresAt, now)) throw tokenExpired(this.#provider)
      return record
    }
    // Near its end and still valid: used as it is, while the next one is fetched behind it. A body that cannot be
    // sent again has no second chance after a 401, so it waits.
    if (!isExpired(expiresAt, now, leeway * HARD_MARGIN) && replayable) {
      if (this.#provider.config.refreshAhead) this.#refresher.refreshAhead(this.#provider, this.#id, record.version)
      return record
    }
    if (!this.#provider.config.refreshAhead && !isExpired(expiresAt, now)) return record
    return this.#refreshOrUse(record, now)
  }

  async #refreshOrUse (record: TokenRecord, now: number): Promise<Grant> {
    try {
      return await this.#refresh(record.version)
    } catch (error) {
      // The provider is away, and the token has some seconds left: better than nothing.
      const { code } = error as OAuthError
      if (code === 'FST_OAUTH_PROVIDER_UNAVAILABLE' && !isExpired(record.tokens.expiresAt, now)) return record
      throw error
    }
  }

  async #refresh (version: number, options: { refreshToken?: string | undefined, params?: Parameters<Refresher['refresh']>[2]['params'] } = {}): Promise<TokenRecord> {
    try {
      return await this.#refresher.refresh(this.#provider, this.#id, { version, ...options })
    } catch (error) {
      const { code } = error as OAuthError
      if (code === 'FST_OAUTH_LOGIN_ENDED' || code === 'FST_OAUTH_REFRESH_LOST') this.#onEnded()
      throw error
    }
  }
}
