import type { Transport } from '../http/transport.ts'
import type { TokenSet } from '../oauth/token-set.ts'
import type { ProviderHooks } from '../providers/options.ts'
import type { ProviderClient } from '../providers/provider.ts'
import type { TokensInput } from '../tokens/load-tokens.ts'
import type { RefreshOptions } from '../tokens/refresher.ts'
import type { TokenSource } from '../tokens/token-source.ts'
import { optionsOf } from '../util/options-of.ts'
import { type AccountHolder, AuthorizedClient, type CallAccount, kAccount } from './authorized-client.ts'
import type { CallOptions } from './call-options.ts'
import type { OAuthCall } from './call.ts'
import { currentProfile } from './profile.ts'

type VerbOptions = Omit<CallOptions, 'method'>

/** The tokens of one account. Each method may throw FST_OAUTH_LOGIN_REQUIRED. */
export interface AccountTokens extends TokenSource {
  tokens (): Promise<TokenSet>
  refresh (options?: Pick<RefreshOptions, 'refreshToken' | 'params'>): Promise<TokenSet>
  save (tokens: TokensInput): Promise<void>
}

/** Whose client it is. */
export interface ClientAccount extends CallAccount {
  provider: ProviderClient
  tokens: AccountTokens
  /** The `sub` that a userinfo response must name. */
  subject?: () => string | undefined
}

/** An HTTP client that is authorized as one account at one provider. */
export abstract class AccountClient implements AccountHolder {
  readonly #transport: Transport
  readonly #hooks: ProviderHooks | undefined
  readonly #withholdToken: boolean
  #client: AuthorizedClient | undefined
  #fetch: typeof globalThis.fetch | undefined

  constructor (
    transport: Transport, { hooks, withholdToken = false }: { hooks?: ProviderHooks, withholdToken?: boolean } = {}
  ) {
    this.#transport = transport
    this.#hooks = hooks
    this.#withholdToken = withholdToken
  }

  /** The account as of now. @throws FST_OAUTH_LOGIN_REQUIRED */
  abstract [kAccount] (): ClientAccount

  /**
   * Sends a GET request; see `request`.
   * @param url relative to the first resource server, or absolute below any of them
   * @param options undici's, plus `json`
   * @returns the call: a promise of `ResponseData`, with `.json()`, `.text()` and `.bytes()`
   * @throws what `request` throws
   */
  get (url: string | URL, options?: VerbOptions): OAuthCall { return this.#calls.call('GET', url, options) }
  /**
   * Sends a POST request; see `request`.
   * @param url relative to the first resource server, or absolute below any of them
   * @param options undici's, plus `json`
   * @returns the call: a promise of `ResponseData`, with `.json()`, `.text()` and `.bytes()`
   * @throws what `request` throws
   */
  post (url: string | URL, options?: VerbOptions): OAuthCall { return this.#calls.call('POST', url, options) }
  /**
   * Sends a PUT request; see `request`.
   * @param url relative to the first resource server, or absolute below any of them
   * @param options undici's, plus `json`
   * @returns the call: a promise of `ResponseData`, with `.json()`, `.text()` and `.bytes()`
   * @throws what `request` throws
   */
  put (url: string | URL, options?: VerbOptions): OAuthCall { return this.#calls.call('PUT', url, options) }
  /**
   * Sends a PATCH request; see `request`.
   * @param url relative to the first resource server, or absolute below any of them
   * @param options undici's, plus `json`
   * @returns the call: a promise of `ResponseData`, with `.json()`, `.text()` and `.bytes()`
   * @throws what `request` throws
   */
  patch (url: string | URL, options?: VerbOptions): OAuthCall { return this.#calls.call('PATCH', url, options) }
  /**
   * Sends a DELETE request; see `request`.
   * @param url relative to the first resource server, or absolute below any of them
   * @param options undici's, plus `json`
   * @returns the call: a promise of `ResponseData`, with `.json()`, `.text()` and `.bytes()`
   * @throws what `request` throws
   */
  delete (url: string | URL, options?: VerbOptions): OAuthCall { return this.#calls.call('DELETE', url, options) }
  /**
   * Sends a HEAD request; see `request`.
   * @param url relative to the first resource server, or absolute below any of them
   * @param options undici's, plus `json`
   * @returns the call: a promise of `ResponseData`, with `.json()`, `.text()` and `.bytes()`
   * @throws what `request` throws
   */
  head (url: string | URL, options?: VerbOptions): OAuthCall { return this.#calls.call('HEAD', url, options) }

  /**
   * Sends a request with the access token. The call is a promise of undici's `ResponseData`, which never rejects for a
   * status; its `.json()`, `.text()` and `.bytes()` read the response whole. Wrong options reject the call too.
   * @param url relative to the first resource server, or absolute below any of them
   * @param options undici's, plus `json`; `method` is GET if absent
   * @returns the call
   * @throws FST_OAUTH_ORIGIN_NOT_ALLOWED, FST_OAUTH_INSECURE_TRANSPORT, FST_OAUTH_INVALID_OPTIONS,
   *   FST_OAUTH_UNSUPPORTED_TOKEN_TYPE, FST_OAUTH_API_UNAVAILABLE, FST_OAUTH_INVALID_RESPONSE, and what `tokens`
   *   throws; with `refresh: 'notify'` FST_OAUTH_TOKENS_UPDATED; and what hooks throw
   */
  request (url: string | URL, options?: CallOptions): OAuthCall { return this.#calls.call(undefined, url, options) }

  /**
   * `fetch` with the access token; redirects are followed, and each hop is checked. It is a plain function that can be
   * passed to a client library.
   */
  get fetch (): typeof globalThis.fetch {
    this.#fetch ??= async (...request) => {
      const { authorizedFetch } = await import('./authorized-fetch.ts')
      return await authorizedFetch(this.#calls, ...request)
    }
    return this.#fetch
  }

  /**
   * The current token set. In refresh mode `auto` it is refreshed if it has expired; the app's own client gets its
   * first one.
   * @returns a token set; `expiresAt` is in epoch seconds
   * @throws FST_OAUTH_LOGIN_REQUIRED, FST_OAUTH_LOGIN_ENDED, FST_OAUTH_REFRESH_LOST, FST_OAUTH_TOKEN_EXPIRED,
   *   FST_OAUTH_PROVIDER_UNAVAILABLE, FST_OAUTH_INVALID_TOKEN_RESPONSE, FST_OAUTH_STORE_UNAVAILABLE; of the app's own
   *   client FST_OAUTH_AUTHORIZATION_FAILED; and what `onTokens` throws
   */
  async tokens (): Promise<TokenSet> {
    return await this[kAccount]().tokens.tokens()
  }

  /**
   * Refreshes now, saves and returns the new set (RFC 6749, section 6).
   * @param options.refreshToken in place of the stored one; required for a session without a token set
   * @param options.params further parameters of this request
   * @returns the new token set
   * @throws what `tokens` throws, and FST_OAUTH_INVALID_OPTIONS if a parameter would authenticate the client again
   */
  async refresh (options: Pick<RefreshOptions, 'refreshToken' | 'params'> = {}): Promise<TokenSet> {
    return await this[kAccount]().tokens.refresh(optionsOf('refresh', options))
  }

  /**
   * Makes a token set the current one: the one that `TokensUpdatedError` carries, or one from elsewhere.
   * @param tokens a token set, columns of the app's own, or the members of a token response (`access_token`, …)
   * @throws FST_OAUTH_LOGIN_REQUIRED, FST_OAUTH_LOGIN_ENDED, FST_OAUTH_STORE_UNAVAILABLE, FST_OAUTH_INVALID_OPTIONS
   *   if that holds no usable token
   */
  async save (tokens: TokensInput): Promise<void> {
    await this[kAccount]().tokens.save(tokens)
  }

  /**
   * Requests the user's profile: from userinfo (OpenID Connect Core, section 5.3), or by the provider's `fetchProfile`.
   * If the token is refused, it is refreshed and the request repeated.
   * @returns the claims as the provider writes them
   * @throws FST_OAUTH_INVALID_RESPONSE, FST_OAUTH_PROVIDER_UNAVAILABLE, FST_OAUTH_INVALID_OPTIONS if there is no
   *   userinfo endpoint, and what `tokens` throws; with `refresh: 'notify'` FST_OAUTH_TOKENS_UPDATED; and what
   *   `fetchProfile` throws
   */
  async userinfo (): Promise<Record<string, unknown>> {
    const { provider, tokens, subject } = this[kAccount]()
    return await currentProfile(provider, tokens, subject?.())
  }

  get #calls (): AuthorizedClient {
    if (this.#client !== undefined) return this.#client
    const Client = this.#withholdToken ? WithholdingClient : AuthorizedClient
    this.#client = new Client(this, this.#transport, this.#hooks)
    return this.#client
  }
}

/** Sends calls without the token, except for those whose `withholdToken` is false. */
class WithholdingClient extends AuthorizedClient {
  override call (method: string | undefined, url: string | URL, options?: CallOptions): OAuthCall {
    return super.call(method, url, { withholdToken: true, ...options })
  }
}
