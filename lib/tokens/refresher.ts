import { type OAuthError, RefreshLostError, StoreUnavailableError } from '../errors.ts'
import type { TokenResponse } from '../oauth/token-response.ts'
import { isSameSet, loggedScopeChange, type ScopeChange, type TokenSet } from '../oauth/token-set.ts'
import type { RequestParameters } from '../oauth/urls.ts'
import type { ProviderHooks } from '../providers/options.ts'
import type { ProviderClient } from '../providers/provider.ts'
import {
  loginEnded,
  mayHaveArrived,
  readRefusal,
  timedOut,
  tokenExpired,
  waitForProvider
} from '../providers/refresh-errors.ts'
import { NOT_REVOKED, revokeSets } from '../providers/revocation.ts'
import { requestTokens, type TokenError } from '../providers/token-endpoint.ts'
import type { Clock } from '../util/clock.ts'
import type { Logger } from '../util/logger.ts'
import { randomToken } from '../util/random.ts'
import { sleep } from '../util/timeout.ts'
import type { TokensEvent, OnTokensHook } from './on-tokens.ts'
import { isOutdated, isRecordOf, liveSets, nextRefreshToken, withUsedRefreshToken, type TokenRecord } from './record.ts'
import type { TokenRecords } from './records.ts'
import { POLL_MS, RefreshLeases } from './refresh-lease.ts'

export interface RefreshOptions {
  /** The version to replace: a newer one that stands there already is used instead. */
  version: number
  /** A refresh token given by the caller, in place of the stored one. */
  refreshToken?: string | undefined
  /** Further parameters of this one refresh; they win over `refreshParams`. */
  params?: RequestParameters | undefined
  /** False where the app itself added parameters to this one refresh. Default true. */
  isOwn?: boolean
  /** Run after the provider's own hooks. */
  hooks?: ProviderHooks | undefined
  /** Leaves the new set beside the current one until somebody takes it over. */
  keepPending?: boolean
}

export interface RefresherOptions {
  records: TokenRecords
  clock: Clock
  log: Logger
  onTokensHook: OnTokensHook
}

/**
 * Milliseconds for which the exchange itself is read on after its callers gave up: its answer may be the only copy of a
 * rotated token.
 */
const EXCHANGE_MS = 60_000
/** Milliseconds without refreshes ahead of time after one failed. */
const PAUSE_MS = 5_000
/**
 * Refusals of one refresh token, in a row, after which the provider is asked at longer and longer intervals
 * (milliseconds).
 */
const FREE_REFUSALS = 5
const FIRST_REFUSAL_PAUSE_MS = 1_000
const REFUSAL_PAUSE_MS = 60_000

/**
 * Replaces tokens: one exchange at a time for a record, shared by all who wait, detached from any of them.
 * What arrived is stored before anything else is looked at.
 */
export class Refresher {
  readonly #records: TokenRecords
  readonly #clock: Clock
  readonly #log: Logger
  readonly #onTokensHook: OnTokensHook
  readonly #leases: RefreshLeases
  readonly #underWay = new Set<Promise<unknown>>()
  #lostCount = 0

  constructor ({ records, clock, log, onTokensHook }: RefresherOptions) {
    this.#records = records
    this.#clock = clock
    this.#log = log
    this.#onTokensHook = onTokensHook
    this.#leases = new RefreshLeases(records, clock)
  }

  /**
   * Returns a record newer than `options.version`, through a refresh where there is none yet. Waits `requestTimeout`;
   * the exchange goes on without the caller.
   * @throws FST_OAUTH_LOGIN_ENDED, FST_OAUTH_TOKEN_EXPIRED, FST_OAUTH_PROVIDER_UNAVAILABLE,
   *   FST_OAUTH_INVALID_TOKEN_RESPONSE, FST_OAUTH_STORE_UNAVAILABLE
   */
  refresh (provider: ProviderClient, id: string, options: RefreshOptions): Promise<TokenRecord> {
    // The hook's own calls use the set that it was called for, whatever its expiry says: they cannot wait for
    // themselves.
    const { record } = this.#records.state(id)
    if (record !== undefined && !this.#onTokensHook.mayWait(id)) return Promise.resolve(record)
    return this.#onTokensHook.waitFor(id, waitForProvider(this.#joinOrStart(provider, id, options), provider))
  }

  /** Starts a refresh that nobody waits for, unless one failed a moment ago. */
  refreshAhead (provider: ProviderClient, id: string, options: RefreshOptions): void {
    const live = this.#records.state(id)
    if (live.refreshInProgress !== undefined || live.refreshAheadPausedUntil > this.#clock.monotonic()) return
    this.#joinOrStart(provider, id, options).catch((error: unknown) => {
      live.refreshAheadPausedUntil = this.#clock.monotonic() + PAUSE_MS
      const { code, oauthError } = error as OAuthError
      this.#log.warn(
        { provider: provider.name, code, oauthError },
        'a refresh ahead of time failed; the token is still valid and stays in use'
      )
    })
  }

  /** Logins that ended because a refreshed token never arrived, since this process began. */
  get lost (): number { return this.#lostCount }

  /** Resolves when no refresh is under way. */
  async idle (): Promise<void> {
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay)
  }

  #joinOrStart (provider: ProviderClient, id: string, options: RefreshOptions): Promise<TokenRecord> {
    const { refreshInProgress } = this.#records.state(id)
    if (refreshInProgress === undefined) return this.#singleFlight(id, () => this.#run(provider, id, options))
    // A flight serves whoever waits for something newer than what it set out to replace.
    return refreshInProgress.then(record =>
      record.version > options.version ? record : this.#joinOrStart(provider, id, options)
    )
  }

  /** Does something that nothing else of this process may come between. */
  #singleFlight (id: string, work: () => Promise<TokenRecord>): Promise<TokenRecord> {
    const live = this.#records.state(id)
    const flight = work().finally(() => {
      if (live.refreshInProgress === flight) live.refreshInProgress = undefined
      this.#underWay.delete(flight)
    })
    live.refreshInProgress = flight
    this.#underWay.add(flight)
    flight.catch(() => {}) // those who wait hear of it; nobody may be waiting
    return flight
  }

  async #run (provider: ProviderClient, id: string, options: RefreshOptions): Promise<TokenRecord> {
    const { refusals } = this.#records.state(id)
    if (refusals?.version === options.version && this.#clock.monotonic() < refusals.pausedUntil) throw refusals.last
    const owner = randomToken()
    const begun = await this.#leases.acquire(id, { owner, version: options.version }, EXCHANGE_MS)
    if (begun.state === 'gone') throw loginEnded(provider)
    if (begun.state === 'late') throw timedOut(provider)
    if (begun.state === 'newer') return begun.record
    const { record: current, abandoned, standing } = begun
    const live = this.#records.state(id)
    if (abandoned) live.outcomeUnknownVersion = current.version

    const intent = { owner, version: current.version }
    const stopHeartbeat = this.#leases.startHeartbeat(id, standing)
    let answer: TokenResponse
    try {
      answer = await this.#exchange(provider, current, begun.sendBefore, options)
    } catch (error) {
      await stopHeartbeat()
      await this.#leases.abandon(id, intent, mayHaveArrived(error))
      throw error
    }
    const stopped = stopHeartbeat()
    if ('error' in answer) {
      await stopped
      return await this.#refused(provider, id, owner, current, answer, options)
    }
    // Not awaited: a beat that comes later than the write finds another version and leaves nothing.
    return await this.#onTokensHook.withBarrier(id, () =>
      this.#storeResult(provider, id, owner, current, answer, options)
    )
  }

  /** Stores what arrived before anything else is looked at, then announces it. */
  async #storeResult (
    provider: ProviderClient,
    id: string,
    owner: string,
    current: TokenRecord,
    answer: Exclude<TokenResponse, { error: unknown }>,
    options: RefreshOptions
  ): Promise<TokenRecord> {
    // The ID token is checked after the write: nothing that it says may cost the rotated token beside it.
    const { idToken, ...tokens } = answer.tokens
    const used = options.refreshToken ?? nextRefreshToken(current)
    if (tokens.refreshToken === undefined && used !== undefined) tokens.refreshToken = used
    const kept = current.tokens.idToken
    const spent =
      used === undefined || used === tokens.refreshToken
        ? current.usedRefreshTokens
        : withUsedRefreshToken(current, used)
    const place = (set: TokenSet, version: number): TokenRecord =>
      options.keepPending === true
        ? { ...current, version, usedRefreshTokens: spent, pendingTokens: set }
        : {
            ...current,
            version,
            usedRefreshTokens: spent,
            tokens: set,
            pendingTokens: undefined,
            obtainedAt: this.#clock.now()
          }
    let next = place({ ...tokens, ...(kept !== undefined && { idToken: kept }) }, current.version + 1)
    const written = await this.#records.write(id, { owner, record: next }, current, () => this.#revoke(provider, next))
    if (!written) return await this.#superseded(provider, id)
    this.#records.state(id).refusals = undefined
    if (idToken !== undefined && await this.#acceptIdToken(provider, id, next, tokens, idToken)) {
      const checked = place({ ...tokens, idToken }, next.version + 1)
      // A store that fails now costs the ID token alone.
      if (await this.#records.update(id, checked).catch(() => false)) next = checked
    }
    const { scopeChange } = answer
    if (scopeChange !== undefined) {
      const change = loggedScopeChange(scopeChange)
      this.#log.info({ provider: provider.name, ...change }, 'the provider granted another scope than before')
    }
    if (options.keepPending !== true) {
      await this.#onTokensHook.run(id, next.tokens, eventOf(next, current.tokens, scopeChange))
    }
    return next
  }

  /**
   * Makes a set the current one: a parked set, or one from anywhere else. A refresh that is under way comes first, and
   * a set that it (or one before) has replaced stays replaced: its refresh token has been used up.
   * @throws FST_OAUTH_LOGIN_ENDED, FST_OAUTH_STORE_UNAVAILABLE
   */
  async save (provider: ProviderClient, id: string, tokens: TokenSet): Promise<TokenRecord> {
    // The hook's own save is part of the flight that the hook belongs to.
    if (!this.#onTokensHook.mayWait(id)) return await this.#adopt(provider, id, tokens)
    const { refreshInProgress } = this.#records.state(id)
    if (refreshInProgress === undefined) {
      return await this.#onTokensHook.waitFor(
        id,
        this.#singleFlight(id, () => this.#adopt(provider, id, tokens))
      )
    }
    await this.#onTokensHook.waitFor(
      id,
      waitForProvider(
        refreshInProgress.catch(() => {}),
        provider
      )
    )
    return await this.save(provider, id, tokens)
  }

  async #adopt (provider: ProviderClient, id: string, tokens: TokenSet): Promise<TokenRecord> {
    const givenUpAt = this.#clock.monotonic() + provider.config.requestTimeout
    for (let wait = 10; this.#clock.monotonic() < givenUpAt; wait = Math.min(wait * 2, POLL_MS)) {
      const current = await this.#records.read(id)
      if (!isRecordOf(current, provider.config)) throw loginEnded(provider)
      // Somebody else has saved it already. A set that has been parked meanwhile stays: its refresh token exists only
      // once.
      if (isOutdated(current, tokens) || isSameSet(current.tokens, tokens)) return current
      const next: TokenRecord = {
        ...current,
        version: current.version + 1,
        tokens,
        pendingTokens: undefined,
        obtainedAt: this.#clock.now()
      }
      const adopted = await this.#onTokensHook.withBarrier(id, async () => {
        if (!await this.#records.update(id, next)) return false
        await this.#onTokensHook.run(id, tokens, eventOf(next, current.tokens))
        return true
      })
      if (adopted) return next
      await sleep(wait)
    }
    throw new StoreUnavailableError('the token set could not be saved; try again in a moment', {
      provider: provider.name,
      reason: 'save',
      retryAfter: 1
    })
  }

  async #exchange (
    provider: ProviderClient,
    current: TokenRecord,
    sendBefore: number,
    options: RefreshOptions
  ): Promise<TokenResponse> {
    const own = provider.config.grantType === 'client_credentials'
    const refreshToken = options.refreshToken ?? nextRefreshToken(current)
    if (refreshToken === undefined && !own) throw tokenExpired(provider)
    const { scope } = current.tokens
    return await requestTokens(provider, {
      // The app's own tokens are not refreshed but asked for again (RFC 6749, section 4.4.3).
      ...(own
        ? {
            grantType: 'client_credentials',
            grant: { scope: scope.length > 0 ? scope.join(' ') : undefined },
            params: [provider.config.tokenParams, options.params]
          }
        : {
            grantType: 'refresh_token',
            grant: { refresh_token: refreshToken },
            params: [provider.config.refreshParams, options.params]
          }),
      scope,
      hooks: options.hooks,
      timeoutMs: Math.max(EXCHANGE_MS, provider.config.requestTimeout),
      // A process that was stopped and goes on must not send what another one has sent meanwhile.
      beforeSend: () => { if (this.#clock.monotonic() > sendBefore) throw timedOut(provider, 'not_sent') }
    })
  }

  /** The provider said no: what that means for the login is `readRefusal`'s to say. */
  async #refused (
    provider: ProviderClient, id: string, owner: string, current: TokenRecord,
    { error, refreshToken }: TokenError, { refreshToken: given, isOwn = true }: RefreshOptions
  ): Promise<TokenRecord> {
    const live = this.#records.state(id)
    const isRefresh = provider.config.grantType !== 'client_credentials'
    const refusal = isRefresh ? readRefusal(error, { isOwn: isOwn && given === undefined }) : 'kept'
    if (refusal !== 'ended') {
      // An answer that cannot be used may have rotated the refresh token all the same.
      if (refreshToken !== undefined && refreshToken !== nextRefreshToken(current)) {
        const next = withRefreshToken(current, refreshToken)
        await this.#records.write(id, { owner, record: next }, current, () => this.#revoke(provider, next))
      } else {
        await this.#leases.abandon(id, { owner, version: current.version }, refusal === 'unsure')
        if (given === undefined) this.#countRefusal(id, current.version, error)
      }
      throw error
    }
    const newest = await this.#records.read(id)
    if (newest !== undefined && newest.version > current.version) return newest
    if (newest === undefined) throw loginEnded(provider, error)
    await this.#records.remove(id)
    if (live.outcomeUnknownVersion !== current.version) {
      this.#log.info(
        { provider: provider.name, oauthError: error.oauthError },
        'the provider has ended the login; the user has to log in again'
      )
      throw loginEnded(provider, error)
    }
    this.#lostCount++
    this.#log.warn(
      { provider: provider.name, oauthError: error.oauthError, lost: this.#lostCount },
      'a refreshed token was lost on its way (a process that died, or an answer that never came), and the provider ' +
        'takes the old one no more; the user has to log in again'
    )
    throw new RefreshLostError(
      `the login at provider "${provider.name}" is lost: a refresh was answered, and the answer did not arrive; ` +
        'log in again',
      { provider: provider.name, oauthError: error.oauthError }
    )
  }

  /** Keeps calls that go on in spite of refusals from asking the provider each time. */
  #countRefusal (id: string, version: number, error: OAuthError): void {
    const live = this.#records.state(id)
    const count = live.refusals?.version === version ? live.refusals.count + 1 : 1
    const pause = count < FREE_REFUSALS ? 0 : FIRST_REFUSAL_PAUSE_MS * 2 ** Math.min(count - FREE_REFUSALS, 6)
    const asked = count < FREE_REFUSALS ? 0 : (error.retryAfter ?? 0) * 1000
    const pausedUntil = this.#clock.monotonic() + Math.min(Math.max(pause, asked), REFUSAL_PAUSE_MS)
    live.refusals = { version, count, pausedUntil, last: error }
  }

  /** Somebody else wrote first: their set is used. Ours is not revoked, since providers revoke by grant. */
  async #superseded (provider: ProviderClient, id: string): Promise<TokenRecord> {
    const stored = await this.#records.read(id)
    if (stored !== undefined) return stored
    throw loginEnded(provider)
  }

  /** Revokes a set that came after its login had been ended, so that nobody else can. */
  #revoke (provider: ProviderClient, record: TokenRecord): void {
    if (!provider.config.revokeAtLogout) return
    const work: Promise<unknown> = revokeSets(provider, liveSets(record), (cause) => {
      this.#log.warn({ provider: provider.name, code: (cause as OAuthError).code }, NOT_REVOKED)
    }).finally(() => this.#underWay.delete(work))
    this.#underWay.add(work)
  }

  /**
   * A refreshed ID token that fails is dropped; one that names somebody else ends the login (OpenID Connect Core,
   * section 12.2).
   */
  async #acceptIdToken (
    provider: ProviderClient,
    id: string,
    record: TokenRecord,
    { accessToken }: TokenSet,
    idToken: string
  ): Promise<boolean> {
    try {
      await provider.validateIdToken(idToken, { previous: record.identity, accessToken })
      return true
    } catch (error) {
      const { code, reason } = error as OAuthError
      this.#log.warn({ provider: provider.name, code, reason }, 'a refreshed ID token was refused')
      if (reason !== 'subject_changed' && reason !== 'iss') return false
      await this.#records.remove(id)
      throw loginEnded(provider, error as OAuthError)
    }
  }
}

/** A record as it is, but for the refresh token that is taken next. */
function withRefreshToken (record: TokenRecord, refreshToken: string): TokenRecord {
  const { pendingTokens, tokens } = record
  const next = { ...record, version: record.version + 1 }
  return pendingTokens === undefined
    ? { ...next, tokens: { ...tokens, refreshToken } }
    : { ...next, pendingTokens: { ...pendingTokens, refreshToken } }
}

function eventOf ({ provider, user }: TokenRecord, previous: TokenSet, scopeChange?: ScopeChange): TokensEvent {
  return { provider, user, previous, reason: 'refresh', ...(scopeChange !== undefined && { scopeChange }) }
}

/** Whether a set can be replaced without the user. */
export function isRenewable (provider: ProviderClient, record: TokenRecord): boolean {
  return provider.config.grantType === 'client_credentials' || nextRefreshToken(record) !== undefined
}
