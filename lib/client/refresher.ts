import { AsyncLocalStorage } from 'node:async_hooks'
import { LoginEndedError, OAuthError, ProviderUnavailableError, TokenExpiredError } from '../errors.ts'
import type { TokenSet } from '../protocol/token-set.ts'
import type { Parameters } from '../protocol/urls.ts'
import type { TokensEvent } from '../options.ts'
import type { LiveRecord, TokenRecord, TokenRecords } from '../session/token-records.ts'
import type { Clock } from './clock.ts'
import type { ProviderClient } from './provider-client.ts'

export interface Logger {
  warn (details: object, message: string): void
  info (details: object, message: string): void
}

export interface RefreshOptions {
  /** The version to replace: a newer one that stands there already is used instead. */
  version: number
  /** A refresh token given by the caller, in place of the stored one. */
  refreshToken?: string | undefined
  /** Further parameters of this one refresh; they win over `refreshParams`. */
  params?: Parameters | undefined
}

export interface RefresherOptions {
  records: TokenRecords
  clock: Clock
  log: Logger
  onTokens?: ((tokens: TokenSet, event: TokensEvent) => unknown) | undefined
}

/** Milliseconds for which the exchange itself is read on after its callers gave up: its answer may be the only copy of a rotated token. */
const EXCHANGE_MS = 60_000
/** Milliseconds without refreshes ahead of time after one failed. */
const PAUSE_MS = 5_000

/**
 * Replaces tokens: one exchange at a time for a record, shared by all who wait, detached from any of them.
 * What arrived is stored before anything else is looked at.
 */
export class Refresher {
  readonly #records: TokenRecords
  readonly #clock: Clock
  readonly #log: Logger
  readonly #onTokens: RefresherOptions['onTokens']
  readonly #insideHook = new AsyncLocalStorage<string>()
  readonly #flights = new Set<Promise<unknown>>()

  constructor ({ records, clock, log, onTokens }: RefresherOptions) {
    this.#records = records
    this.#clock = clock
    this.#log = log
    this.#onTokens = onTokens
  }

  /**
   * Returns a record newer than `options.version`, through a refresh where there is none yet.
   * Waits `requestTimeout`; the exchange goes on without the caller.
   * @throws FST_OAUTH_LOGIN_ENDED, FST_OAUTH_TOKEN_EXPIRED, FST_OAUTH_PROVIDER_UNAVAILABLE, FST_OAUTH_INVALID_TOKEN_RESPONSE, FST_OAUTH_STORE_UNAVAILABLE
   */
  refresh (provider: ProviderClient, id: string, options: RefreshOptions): Promise<TokenRecord> {
    return bounded(this.#flight(provider, id, options), provider)
  }

  /** Starts a refresh that nobody waits for, unless one failed a moment ago. */
  refreshAhead (provider: ProviderClient, id: string, version: number): void {
    const live = this.#records.live(id)
    if (live.flight !== undefined || live.pausedUntil > this.#clock.monotonic()) return
    this.#flight(provider, id, { version }).catch((error: unknown) => {
      live.pausedUntil = this.#clock.monotonic() + PAUSE_MS
      const { code, oauthError } = error as OAuthError
      this.#log.warn({ provider: provider.name, code, oauthError }, 'a refresh ahead of time failed; the token is still valid and stays in use')
    })
  }

  /** Waits for `onTokens` where it is at work for the newest set; a call from inside the hook itself does not wait. */
  async settled (live: LiveRecord): Promise<void> {
    if (live.settling !== undefined && this.#insideHook.getStore() !== live.id) await live.settling
  }

  /** Runs `onTokens` once for a new set; others wait for it before they use the set. */
  async announce (id: string, record: TokenRecord, previous: TokenSet | undefined, reason: TokensEvent['reason']): Promise<void> {
    if (this.#onTokens === undefined) return
    const live = this.#records.live(id)
    const event: TokensEvent = { provider: record.provider, user: record.user, previous, reason }
    const hook = this.#insideHook.run(id, async () => { await this.#onTokens!(record.tokens, event) })
    live.settling = hook.finally(() => { live.settling = undefined })
    live.settling.catch(() => {})
    await hook
  }

  /** Resolves when no refresh is under way: an app that closes must not lose what is on its way. */
  async idle (): Promise<void> {
    while (this.#flights.size > 0) await Promise.allSettled(this.#flights)
  }

  #flight (provider: ProviderClient, id: string, options: RefreshOptions): Promise<TokenRecord> {
    const live = this.#records.live(id)
    // A flight serves whoever waits for something newer than what it set out to replace.
    if (live.flight !== undefined) return live.flight
    const flight = this.#run(provider, id, options).finally(() => {
      if (live.flight === flight) live.flight = undefined
      this.#flights.delete(flight)
    })
    live.flight = flight
    this.#flights.add(flight)
    flight.catch(() => {}) // those who wait hear of it; nobody may be waiting
    return flight
  }

  async #run (provider: ProviderClient, id: string, options: RefreshOptions): Promise<TokenRecord> {
    const current = await this.#records.read(id)
    if (current === undefined) throw loginEnded(provider)
    if (current.version > options.version) return current
    const refreshToken = options.refreshToken ?? current.tokens.refreshToken
    if (refreshToken === undefined) throw tokenExpired(provider)

    const answer = await provider.requestTokens({
      grantType: 'refresh_token',
      grant: { refresh_token: refreshToken },
      params: [provider.config.refreshParams, options.params],
      scope: current.tokens.scope,
      timeoutMs: Math.max(EXCHANGE_MS, provider.config.requestTimeout)
    })
    if ('error' in answer) return await this.#refused(provider, id, current, answer)

    // The ID token is checked after the write: nothing that it says may cost the rotated token beside it.
    const { idToken, ...tokens } = answer.tokens
    tokens.refreshToken ??= refreshToken
    const kept = current.tokens.idToken
    let next: TokenRecord = {
      ...current,
      version: current.version + 1,
      obtainedAt: this.#clock.now(),
      tokens: { ...tokens, ...(kept !== undefined && { idToken: kept }) }
    }
    if (!await this.#records.replace(id, next)) return await this.#lost(provider, id, next)
    if (idToken !== undefined && await this.#acceptIdToken(provider, id, next, idToken)) {
      next = { ...next, version: next.version + 1, tokens: { ...next.tokens, idToken } }
      if (!await this.#records.replace(id, next)) return await this.#lost(provider, id, next)
    }
    await this.announce(id, next, current.tokens, 'refresh')
    return next
  }

  /** The provider said no. Only `invalid_grant`, or the bare 400 that some send in its place, ends the login. */
  async #refused (provider: ProviderClient, id: string, current: TokenRecord, { error, refreshToken }: { error: OAuthError, refreshToken?: string | undefined }): Promise<TokenRecord> {
    const ended = error.oauthError === 'invalid_grant' || (error.reason === 'empty_response' && error.responseStatus === 400)
    if (!ended) {
      // An answer that cannot be used may have rotated the refresh token all the same.
      if (refreshToken !== undefined && refreshToken !== current.tokens.refreshToken) {
        await this.#records.replace(id, { ...current, version: current.version + 1, tokens: { ...current.tokens, refreshToken } })
      }
      throw error
    }
    const newest = await this.#records.read(id)
    if (newest !== undefined && newest.version > current.version) return newest
    await this.#records.remove(id)
    this.#log.info({ provider: provider.name, oauthError: error.oauthError }, 'the provider has ended the login; the user has to log in again')
    throw loginEnded(provider, error)
  }

  /** Somebody else wrote first. Their set is used; ours is revoked only after a logout: providers revoke by grant. */
  async #lost (provider: ProviderClient, id: string, ours: TokenRecord): Promise<TokenRecord> {
    const stored = await this.#records.read(id)
    if (stored !== undefined) return stored
    const { refreshToken, accessToken } = ours.tokens
    if (provider.config.revokeAtLogout) {
      await provider.revoke(refreshToken ?? accessToken, refreshToken === undefined ? 'access_token' : 'refresh_token').catch(() => false)
    }
    throw loginEnded(provider)
  }

  /** A refreshed ID token that fails is dropped; one that names somebody else ends the login (OpenID Connect Core, section 12.2). */
  async #acceptIdToken (provider: ProviderClient, id: string, record: TokenRecord, idToken: string): Promise<boolean> {
    try {
      await provider.validateIdToken(idToken, { previous: record.identity, accessToken: record.tokens.accessToken })
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

export function loginEnded (provider: ProviderClient, cause?: OAuthError): OAuthError {
  return new LoginEndedError(`the login at provider "${provider.name}" has ended; log in again`, {
    provider: provider.name,
    oauthError: cause?.oauthError,
    oauthErrorDescription: cause?.oauthErrorDescription,
    reason: cause?.reason,
    cause
  })
}

export function tokenExpired (provider: ProviderClient): OAuthError {
  return new TokenExpiredError(`the access token of provider "${provider.name}" has expired, and there is no refresh token; log in again, and ask for offline access if the provider has it`, { provider: provider.name })
}

function bounded<T> (flight: Promise<T>, provider: ProviderClient): Promise<T> {
  let timer: NodeJS.Timeout
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new ProviderUnavailableError(`provider "${provider.name}" did not answer in time; the login is kept, try again`, { provider: provider.name, reason: 'timeout', retryAfter: 1 }))
    }, provider.config.requestTimeout)
  })
  return Promise.race([flight, timeout]).finally(() => clearTimeout(timer))
}
