import { type OAuthError, RefreshLostError } from '../errors.ts'
import type { IdTokenClaims } from '../oauth/id-token.ts'
import type { TokenResponse } from '../oauth/token-response.ts'
import { loggedScopeChange, type ScopeChange, type TokenSet } from '../oauth/token-set.ts'
import type { RequestParameters } from '../oauth/urls.ts'
import { appsOwnParams } from '../providers/grants.ts'
import type { ProviderHooks } from '../providers/options.ts'
import type { ProviderClient } from '../providers/provider.ts'
import {
  loginEnded, mayHaveArrived, readRefusal, timedOut, tokenExpired, waitForProvider
} from '../providers/refresh-errors.ts'
import { NOT_REVOKED, revokeSets } from '../providers/revocation.ts'
import { requestTokens, type TokenError } from '../providers/token-endpoint.ts'
import type { Clock } from '../util/clock.ts'
import { errorForLog, type Logger } from '../util/logger.ts'
import { randomToken } from '../util/random.ts'
import { channels, type RefreshTrace, traced } from '../util/tracing.ts'
import { eventOf, type OnTokensHook } from './on-tokens.ts'
import type { RecordState } from './record-state.ts'
import { nextRefreshToken, setsToRevoke, type TokenRecord, userOf } from './record.ts'
import type { TokenRecords } from './records.ts'
import { RefreshLeases } from './refresh-lease.ts'
import { type RefreshedIdToken, validateRefreshedIdToken } from './refreshed-id-token.ts'
import { refreshedRecord, withIdToken, withRefreshToken } from './refreshed-record.ts'

export interface RefreshOptions {
  /** The version to replace; if there is a newer one already, that is used instead. */
  version: number
  /** A refresh token given by the caller, in place of the stored one. */
  refreshToken?: string | undefined
  /** Further parameters of this one refresh; they win over `refreshParams`. */
  params?: RequestParameters | undefined
  /** False if the app itself added parameters to this one refresh. Default true. */
  isOwn?: boolean
  /** Run after the provider's own hooks. */
  hooks?: ProviderHooks | undefined
  /** Leaves the new set beside the current one until `save` makes it current. */
  keepPending?: boolean
}

/** The user and the claims of a login after a refresh. */
export interface RefreshedIdentity {
  user: NonNullable<TokenRecord['user']>
  claims: Record<string, unknown>
}

/**
 * Finds out who the user is after a refresh; undefined if nothing has changed.
 * @param refreshed.claims those of the ID token that came with it, if that is valid
 */
export type Identify = (
  provider: ProviderClient, record: TokenRecord, refreshed: { tokens: TokenSet, claims: IdTokenClaims | undefined }
) => Promise<RefreshedIdentity | undefined>

export interface RefresherOptions {
  records: TokenRecords
  clock: Clock
  log: Logger
  onTokensHook: OnTokensHook
  /** Absent if the records do not belong to a login. */
  identify?: Identify
}

/** One refresh, from its lease to its outcome. */
interface RefreshRun {
  provider: ProviderClient
  state: RecordState
  options: RefreshOptions
  /** Owner of the lease. */
  owner: string
  /** The record to replace. */
  current: TokenRecord
  trace: RefreshTrace | undefined
  /** The refresh token of the response as it came, if a hook of the app reads that. */
  issued?: string
}

/**
 * Milliseconds that the exchange itself may take, although its callers give up earlier: its response may be the only
 * copy of a rotated token.
 */
const EXCHANGE_MS = 60_000

/**
 * Refreshes tokens: one exchange at a time for a record, shared by all callers and independent of each. The response is
 * stored before anything in it is checked.
 */
export class Refresher {
  readonly #records: TokenRecords
  readonly #clock: Clock
  readonly #log: Logger
  readonly #onTokensHook: OnTokensHook
  readonly #identify: Identify | undefined
  readonly #leases: RefreshLeases
  readonly #pending = new Set<Promise<unknown>>()
  #lostCount = 0

  constructor ({ records, clock, log, onTokensHook, identify }: RefresherOptions) {
    this.#records = records
    this.#clock = clock
    this.#log = log
    this.#onTokensHook = onTokensHook
    this.#identify = identify
    this.#leases = new RefreshLeases(records, clock)
  }

  /** Logins that ended because a refreshed token never arrived, since this process began. */
  get lost (): number { return this.#lostCount }

  /** Resolves when no refresh is under way. */
  async idle (): Promise<void> {
    while (this.#pending.size > 0) await Promise.allSettled(this.#pending)
  }

  /**
   * Returns a record newer than `options.version`, through a refresh if there is none yet. Waits `requestTimeout`;
   * the exchange continues without the caller.
   * @throws FST_OAUTH_LOGIN_ENDED, FST_OAUTH_TOKEN_EXPIRED, FST_OAUTH_PROVIDER_UNAVAILABLE,
   *   FST_OAUTH_INVALID_TOKEN_RESPONSE, FST_OAUTH_STORE_UNAVAILABLE
   */
  refresh (provider: ProviderClient, id: string, options: RefreshOptions): Promise<TokenRecord> {
    const state = this.#records.state(id)
    // The hook's own calls use the set that the hook was called for, whatever its expiry: they cannot wait for
    // themselves.
    if (state.record !== undefined && !this.#onTokensHook.mayWait(id)) return Promise.resolve(state.record)
    return this.#onTokensHook.waitFor(id, waitForProvider(this.#joinOrStart(provider, state, options), provider))
  }

  /** Starts a refresh without waiting for it, unless one is under way or failed a moment ago. */
  refreshAhead (provider: ProviderClient, id: string, options: RefreshOptions): void {
    const state = this.#records.state(id)
    if (state.refreshInProgress !== undefined || state.refreshAheadIsPaused) return
    this.#joinOrStart(provider, state, options).catch((error: unknown) => {
      state.pauseRefreshAhead()
      this.#log.warn(
        { event: 'refresh_failed', provider: provider.name, err: errorForLog(error) },
        'a refresh ahead of time failed; the token is still valid and stays in use'
      )
    })
  }

  /** Runs work on a record while no refresh of it is under way and none starts. */
  async exclusive (provider: ProviderClient, id: string, work: () => Promise<TokenRecord>): Promise<TokenRecord> {
    // Inside the hook of this very record the refresh that runs the hook goes on meanwhile.
    if (!this.#onTokensHook.mayWait(id)) return await work()
    const state = this.#records.state(id)
    for (;;) {
      const { refreshInProgress } = state
      if (refreshInProgress === undefined) return await this.#onTokensHook.waitFor(id, this.#share(state, work))
      await this.#onTokensHook.waitFor(id, waitForProvider(refreshInProgress.catch(() => {}), provider))
    }
  }

  #joinOrStart (provider: ProviderClient, state: RecordState, options: RefreshOptions): Promise<TokenRecord> {
    const { refreshInProgress } = state
    if (refreshInProgress === undefined) return this.#share(state, () => this.#start(provider, state, options))
    // It serves every caller that waits for something newer than the version that it replaces.
    return refreshInProgress.then(record =>
      record.version > options.version ? record : this.#joinOrStart(provider, state, options)
    )
  }

  #share (state: RecordState, work: () => Promise<TokenRecord>): Promise<TokenRecord> {
    const refresh = state.shareRefresh(work)
    this.#track(refresh)
    return refresh
  }

  #track (work: Promise<unknown>): void {
    this.#pending.add(work)
    const ended = () => { this.#pending.delete(work) }
    work.then(ended, ended)
  }

  #start (provider: ProviderClient, state: RecordState, options: RefreshOptions): Promise<TokenRecord> {
    if (!channels.refresh.hasSubscribers) return this.#run(provider, state, options)
    const trace: RefreshTrace = { provider: provider.name }
    return traced(channels.refresh, trace, 'refreshed', () =>
      this.#run(provider, state, options, trace).catch((error: OAuthError) => {
        const ending = ENDINGS[error.code]
        if (ending !== undefined) trace.outcome = ending
        throw error
      }))
  }

  async #run (
    provider: ProviderClient, state: RecordState, options: RefreshOptions, trace?: RefreshTrace
  ): Promise<TokenRecord> {
    const refusal = state.refusalOf(options.version)
    if (refusal !== undefined) throw refusal
    const owner = randomToken()
    const acquired = await this.#leases.acquire(state, { owner, version: options.version }, EXCHANGE_MS)
    if (acquired.state === 'deleted') throw loginEnded(provider)
    if (acquired.state === 'timed_out') throw timedOut(provider)
    const { record: current } = acquired
    if (acquired.state === 'newer') return noteNewer(current, trace)
    if (acquired.abandoned) state.markOutcomeUnknown(current.version)

    const run: RefreshRun = { provider, state, options, owner, current, trace }
    const stopHeartbeat = this.#leases.startHeartbeat(state.id, { owner, version: current.version })
    let response: TokenResponse
    try {
      response = await this.#exchange(run, acquired.sendBefore)
    } catch (error) {
      await stopHeartbeat()
      if (!await this.#storeIssued(run, run.issued)) {
        await this.#leases.giveUp(state, { owner, version: current.version }, mayHaveArrived(error))
      }
      throw error
    }
    const stopped = stopHeartbeat()
    if ('error' in response) {
      await stopped
      return await this.#refused(run, response)
    }
    // Not awaited: an extension that comes after the write finds another version and changes nothing.
    const { tokens, scopeChange } = response
    return await this.#onTokensHook.withBarrier(state, () => this.#storeResult(run, tokens, scopeChange))
  }

  async #exchange (run: RefreshRun, sendBefore: number): Promise<TokenResponse> {
    const { provider, current, options } = run
    const { config } = provider
    const { scope } = current.tokens
    // The app's own tokens are not refreshed but asked for again (RFC 6749, section 4.4.3).
    const isAppsOwn = config.grantType === 'client_credentials'
    const refreshToken = options.refreshToken ?? nextRefreshToken(current)
    if (refreshToken === undefined && !isAppsOwn) throw tokenExpired(provider)
    return await requestTokens(provider, {
      grantType: isAppsOwn ? 'client_credentials' : 'refresh_token',
      grant: isAppsOwn ? { scope: scope.length > 0 ? scope.join(' ') : undefined } : { refresh_token: refreshToken },
      params: isAppsOwn
        ? [appsOwnParams(provider), config.tokenParams, options.params]
        : [
            current.resource && { resource: current.resource }, current.callbackParams, config.refreshParams,
            options.params
          ],
      scope,
      dpopKey: current.dpopKey,
      hooks: options.hooks,
      timeoutMs: Math.max(EXCHANGE_MS, config.requestTimeout),
      onIssued: (refreshToken) => { run.issued = refreshToken },
      // A process that was stopped for a while must not send what another one has sent meanwhile.
      beforeSend: () => { if (this.#clock.monotonic() > sendBefore) throw timedOut(provider, 'not_sent') }
    })
  }

  /** Stores what arrived before anything in it is checked, then runs `onTokens`. */
  async #storeResult (
    run: RefreshRun, arrived: TokenSet, scopeChange: ScopeChange | undefined
  ): Promise<TokenRecord> {
    const { provider, state, options: { refreshToken, keepPending = false }, owner, current } = run
    const { idToken, ...others } = arrived
    // If nothing is known to check it against, it is handed on as that of the login is.
    const isChecked = idToken !== undefined && provider.hasIdTokens
    const tokens = isChecked ? others : arrived
    const used = refreshToken ?? nextRefreshToken(current)
    if (tokens.refreshToken === undefined && used !== undefined) tokens.refreshToken = used
    let next = refreshedRecord(current, { tokens, used, keepPending, now: this.#clock.now() })
    const onDeleted = () => this.#revoke(provider, next)
    const written = await this.#records.write(state, { owner, record: next }, current, onDeleted)
    if (!written) return await this.#superseded(run)
    next = await this.#checkResult(run, next, tokens, isChecked ? idToken : undefined)
    if (scopeChange !== undefined) {
      const message = 'the provider granted another scope than before'
      this.#log.info({ event: 'scope_changed', provider: provider.name, ...loggedScopeChange(scopeChange) }, message)
    }
    if (!keepPending) await this.#onTokensHook.run(state.id, next.tokens, eventOf(next, current.tokens, scopeChange))
    return next
  }

  /**
   * Checks the ID token that came along, and finds out what the refresh says of the user: after the write, since
   * whatever is wrong with them must not cost the rotated token beside them.
   * @returns the record with what was found; the stored one if that is nothing, or cannot be written
   */
  async #checkResult (
    run: RefreshRun, stored: TokenRecord, tokens: TokenSet, idToken: string | undefined
  ): Promise<TokenRecord> {
    const { state, options: { keepPending = false } } = run
    const checked = idToken === undefined ? undefined : await this.#checkIdToken(run, tokens, idToken)
    const found = await this.#identityOf(run, tokens, checked?.claims)
    if (checked === undefined && found === undefined) return stored
    const next = { ...withIdToken(stored, checked && { ...checked, idToken: idToken! }, keepPending), ...found }
    // If the store fails now, only the ID token is lost.
    return await this.#records.update(state.id, next).catch(() => false) ? next : stored
  }

  /** Another process wrote first: its set is used. Ours is not revoked, since providers revoke by grant. */
  async #superseded ({ provider, state, trace }: RefreshRun): Promise<TokenRecord> {
    const stored = await this.#records.read(state.id)
    if (stored !== undefined) return noteNewer(stored, trace)
    throw loginEnded(provider)
  }

  /**
   * A refreshed ID token that fails is dropped; one that names another user ends the login (OpenID Connect Core,
   * section 12.2).
   */
  async #checkIdToken (
    { provider, state, current }: RefreshRun, { accessToken }: TokenSet, idToken: string
  ): Promise<RefreshedIdToken | undefined> {
    try {
      return await validateRefreshedIdToken(provider, current, { idToken, accessToken })
    } catch (error) {
      const { reason } = error as OAuthError
      const message = 'a refreshed ID token was refused'
      this.#log.warn({ event: 'id_token_refused', provider: provider.name, err: errorForLog(error) }, message)
      if (reason !== 'subject_changed' && reason !== 'iss') return undefined
      await this.#records.remove(state.id)
      throw loginEnded(provider, error as OAuthError)
    }
  }

  /**
   * What the refresh says of the user. If that cannot be found out, nothing changes; another user ends the login, as
   * with an ID token (OpenID Connect Core, section 5.3.2).
   */
  async #identityOf (
    { provider, state, current }: RefreshRun, tokens: TokenSet, claims: IdTokenClaims | undefined
  ): Promise<RefreshedIdentity | undefined> {
    if (this.#identify === undefined || userOf(current) === null) return undefined
    if (claims === undefined && !provider.config.refreshProfile) return undefined
    try {
      return await this.#identify(provider, current, { tokens, claims })
    } catch (error) {
      const message = 'what a refresh says of the user could not be found out; user and claims stay as they were'
      this.#log.warn({ event: 'profile_not_refreshed', provider: provider.name, err: errorForLog(error) }, message)
      if ((Object(error) as OAuthError).reason !== 'subject_mismatch') return undefined
      await this.#records.remove(state.id)
      throw loginEnded(provider, error as OAuthError)
    }
  }

  /** The provider refused the refresh; `readRefusal` says what that means for the login. */
  async #refused (run: RefreshRun, { error, refreshToken }: TokenError): Promise<TokenRecord> {
    const { provider, state, options, owner, current } = run
    const { refreshToken: given, isOwn = true } = options
    const isRefresh = provider.config.grantType !== 'client_credentials'
    const refusal = isRefresh ? readRefusal(error, { isOwn: isOwn && given === undefined }) : 'kept'
    if (refusal === 'ended') return await this.#ended(run, error)
    if (!await this.#storeIssued(run, refreshToken ?? run.issued)) {
      await this.#leases.giveUp(state, { owner, version: current.version }, refusal === 'unsure')
      if (given === undefined) state.noteRefusal(current.version, error)
    }
    throw error
  }

  /**
   * Stores the refresh token of a response that no access token could be had of: the one before may be used up.
   * @returns whether it is another one
   */
  async #storeIssued (
    { provider, state, owner, current }: RefreshRun, refreshToken: string | undefined
  ): Promise<boolean> {
    if (refreshToken === undefined || refreshToken === nextRefreshToken(current)) return false
    const next = withRefreshToken(current, refreshToken)
    await this.#records.write(state, { owner, record: next }, current, () => this.#revoke(provider, next))
    return true
  }

  /** The provider has ended the login, unless another process has refreshed it meanwhile. */
  async #ended ({ provider, state, current, trace }: RefreshRun, error: OAuthError): Promise<TokenRecord> {
    const { name } = provider
    const details = { provider: name, err: errorForLog(error) }
    const newest = await this.#records.read(state.id)
    if (newest !== undefined && newest.version > current.version) return noteNewer(newest, trace)
    if (newest === undefined) throw loginEnded(provider, error)
    await this.#records.remove(state.id)
    if (!state.isOutcomeUnknown(current.version)) {
      const message = 'the provider has ended the login; the user has to log in again'
      this.#log.info({ event: 'login_ended', ...details }, message)
      throw loginEnded(provider, error)
    }
    this.#lostCount++
    this.#log.warn(
      { event: 'refresh_lost', ...details, lost: this.#lostCount },
      'a refreshed token was lost on its way (a process that died, or a response that never came), and the provider ' +
        'no longer accepts the old one; the user has to log in again'
    )
    throw new RefreshLostError(
      `the login at provider "${name}" is lost: a refresh was answered, and the response did not arrive; log in again`,
      { provider: name, oauthError: error.oauthError }
    )
  }

  /** Revokes a set that came after its login had ended: no other process knows it. */
  #revoke (provider: ProviderClient, record: TokenRecord): void {
    if (!provider.config.revokeAtLogout) return
    this.#track(revokeSets(provider, setsToRevoke(record), (cause) => {
      this.#log.warn({ event: 'tokens_not_revoked', provider: provider.name, err: errorForLog(cause) }, NOT_REVOKED)
    }))
  }
}

/** What the messages of a refresh call the errors that end a login. */
const ENDINGS: Record<string, RefreshTrace['outcome']> = {
  FST_OAUTH_LOGIN_ENDED: 'ended',
  FST_OAUTH_REFRESH_LOST: 'lost'
}

/** A record that another process wrote. */
function noteNewer (record: TokenRecord, trace: RefreshTrace | undefined): TokenRecord {
  if (trace !== undefined) trace.outcome = 'newer'
  return record
}

/** Whether a set can be replaced without a new login. */
export function isRenewable (provider: ProviderClient, record: TokenRecord): boolean {
  return provider.config.grantType === 'client_credentials' || nextRefreshToken(record) !== undefined
}
