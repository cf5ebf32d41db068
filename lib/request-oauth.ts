import type { FastifyRequest } from 'fastify'
import { AccountClient, type ClientAccount } from './calls/account-client.ts'
import { kAccount } from './calls/authorized-client.ts'
import type { PluginContext } from './context.ts'
import { InvalidOptionsError, LoginRequiredError, type OAuthError } from './errors.ts'
import type { AnyReply } from './options.ts'
import type { User } from './providers/options.ts'
import type { ProviderName } from './providers/presets/names.ts'
import type { ProviderClient } from './providers/provider.ts'
import { appCallback } from './routes/callback.ts'
import { type LoginOptions, sendToProvider } from './routes/login.ts'
import { checkLoginOptions } from './routes/login-options.ts'
import { logout, logoutAndRedirect, type LogoutResult } from './routes/logout.ts'
import { accountTokens } from './session/account-tokens.ts'
import { type Account, isIdentityProven, type SessionLogin } from './session/accounts.ts'
import { providerOf } from './session/context.ts'
import { currentSession, type SessionObject } from './session/fastify-session.ts'
import { knownDetails } from './session/known-details.ts'
import { disconnectAccount } from './session/link-account.ts'
import { endOf, isOver, isTimed, notedEnd } from './session/login-end.ts'
import type { OAuthSession } from './standalone/session.ts'
import type { detailsOf } from './tokens/account-details.ts'
import { isObject } from './util/is-object.ts'
import { optionsOf } from './util/options-of.ts'

/**
 * `request.oauth`: who is logged in, and an HTTP client that calls APIs as them. Synchronous properties read the loaded
 * session, without I/O.
 */
export class RequestOAuth extends AccountClient {
  readonly #context: PluginContext
  readonly #request: FastifyRequest
  readonly #name: string | undefined
  #using: Map<string, RequestOAuth> | undefined
  #signal: AbortSignal | undefined
  /** The account of the last call, and its record. */
  #last: { recordId: string, account: ClientAccount } | undefined
  #read: { account: Account, claims: unknown, details: ReturnType<typeof detailsOf> } | undefined

  /**
   * @param name the provider's name; if absent, the one that the user logged in with
   * @param using the objects that `using` has returned in this request
   */
  constructor (context: PluginContext, request: FastifyRequest, name?: string, using?: Map<string, RequestOAuth>) {
    super(context.transport)
    this.#name = name
    this.#context = context
    this.#request = request
    this.#using = using
  }

  /**
   * The same user's account at another provider; for a provider of grantType `client_credentials`, the app's own
   * client.
   * @param name a name of the plugin's option `providers`
   * @returns an object of the same kind, for that account
   * @throws FST_OAUTH_UNKNOWN_PROVIDER
   */
  using (name: ProviderName): RequestOAuth {
    this.#using ??= new Map()
    const known = this.#using.get(name)
    if (known !== undefined) return known
    const { name: provider } = providerOf(this.#context, name)
    const oauth = new RequestOAuth(this.#context, this.#request, provider, this.#using)
    this.#using.set(provider, oauth)
    return oauth
  }

  /** The connected accounts, by provider. */
  get accounts (): { provider: ProviderName, user: User | null, scope: string[] }[] {
    const { records } = this.#context
    return Object.entries(this.#accounts?.accounts ?? {})
      .filter(([, account]) => !records.isDeleted(account.recordId))
      .map(([provider, account]) => {
        const { user, scope } = knownDetails(records, account)
        return { provider, user, scope }
      })
  }

  /** Whether a user is logged in, as of the session's load; `requireLogin` reads the token record. */
  get authenticated (): boolean {
    const login = this.#login
    if (login === undefined || !isIdentityProven(login.account)) return false
    return !isTimed(this.#context, login.all) || !isOver(this.#context, login.all, login.name)
  }

  /**
   * Epoch seconds at which the login is over: by `idleTimeout` if no further request comes, by `absoluteTimeout`, or
   * by what the provider has said of its session and its refresh token. Undefined if nothing of this is known.
   */
  get expiresAt (): number | undefined {
    const login = this.#login
    const end = login === undefined ? undefined : endOf(this.#context, login.all, login.name)
    return end === undefined ? undefined : Math.ceil(end.at)
  }

  /**
   * Aborted when the login ends: by a logout, a timeout, the provider, or another login in its place; the signal of
   * `using(name)` also when the account is disconnected. It fires at once if the login ends in this process, and within
   * a second if it ends in another one, as long as the request, or the connection that it was upgraded to, lasts. Its
   * reason is FST_OAUTH_LOGIN_ENDED. Without a login it is aborted from the start, with FST_OAUTH_LOGIN_REQUIRED or
   * FST_OAUTH_LOGIN_ENDED.
   */
  get signal (): AbortSignal {
    this.#signal ??= this.#watch()
    return this.#signal
  }

  /** Name of the provider that the user logged in with. */
  get provider (): ProviderName | undefined { return this.#login?.name }

  /** Who is logged in, or null. */
  get user (): User | null { return this.#details?.user ?? null }

  /** The claims of the newest ID token, or of userinfo if there was none; those of a refresh once they are read. */
  get claims (): Record<string, unknown> { return this.#details?.claims ?? {} }

  /** The scope that was granted at login. */
  get scope (): string[] { return this.#details?.scope ?? [] }

  /**
   * Starts a login and sends the browser to the provider.
   * @param reply the reply of this request, which the redirect is sent with
   * @param options.provider its name; the one of `using`, or the default, if absent
   * @param options.maxAge seconds since the user last authenticated
   * @returns the reply, which has been sent
   * @throws FST_OAUTH_UNKNOWN_PROVIDER, FST_OAUTH_PROVIDER_UNAVAILABLE, FST_OAUTH_STORE_UNAVAILABLE,
   *   FST_OAUTH_INVALID_OPTIONS, FST_OAUTH_INSECURE_TRANSPORT, FST_OAUTH_SESSION_UNAVAILABLE,
   *   FST_OAUTH_CROSS_SITE_REQUEST for what is no page load of this site, FST_OAUTH_LOGIN_REQUIRED if there is no
   *   login to link to; if the request is pushed FST_OAUTH_AUTHORIZATION_FAILED, FST_OAUTH_INVALID_RESPONSE
   */
  async login<Reply extends AnyReply>(reply: Reply, options: LoginOptions = {}): Promise<Reply> {
    checkLoginOptions(options)
    checkReply('login', reply)
    const provider = this.#named(options.provider)
    return await sendToProvider(this.#context, this.#request, reply, provider, options) as unknown as Reply
  }

  /**
   * Finishes a login on a callback route of the app's own, and redirects (RFC 6749, section 4.1.2). A popup gets the
   * page that posts the outcome, or an error, to its opener.
   * @param reply the reply of this request, which the redirect is sent with
   * @param options.provider its name; the route's parameter `provider` if absent
   * @returns the reply, which has been sent
   * @throws FST_OAUTH_STATE_MISMATCH, FST_OAUTH_AUTHORIZATION_FAILED, FST_OAUTH_INVALID_TOKEN_RESPONSE,
   *   FST_OAUTH_INVALID_ID_TOKEN, FST_OAUTH_INVALID_RESPONSE of the profile, FST_OAUTH_PROVIDER_UNAVAILABLE,
   *   FST_OAUTH_STORE_UNAVAILABLE, FST_OAUTH_SESSION_UNAVAILABLE, FST_OAUTH_UNKNOWN_PROVIDER,
   *   FST_OAUTH_LOGIN_REQUIRED if a login with `prompt=none` was declined, FST_OAUTH_LOGIN_ENDED,
   *   FST_OAUTH_STEP_UP_REQUIRED if the provider has not given it, FST_OAUTH_CROSS_SITE_REQUEST; and what
   *   `onTokens`, `onLogin` and `fetchProfile` throw
   */
  async callback<Reply extends AnyReply> (reply: Reply, options: { provider?: ProviderName } = {}): Promise<Reply> {
    checkReply('callback', reply)
    const { provider: wanted } = optionsOf('callback', options)
    const { provider } = this.#request.params as { provider?: string }
    const named = this.#named(wanted ?? provider)
    return await appCallback(this.#context, this.#request, reply, named) as unknown as Reply
  }

  /**
   * Logs out: the tokens are deleted and revoked, the session is destroyed. With a reply the browser is sent on, to the
   * provider's end-session endpoint if there is one; without, its URL is returned.
   * @returns `{ endSessionUrl }`
   * @throws FST_OAUTH_STORE_UNAVAILABLE: the user is still logged in; FST_OAUTH_SESSION_UNAVAILABLE; and what
   *   `onLogout` throws, once the user is logged out
   */
  async logout (): Promise<LogoutResult>
  /**
   * Logs out, and redirects the browser: to the provider's end-session endpoint if there is one.
   * @param reply the reply of this request, which the redirect is sent with
   * @returns the reply, which has been sent
   * @throws FST_OAUTH_STORE_UNAVAILABLE: the user is still logged in; FST_OAUTH_SESSION_UNAVAILABLE; and what
   *   `onLogout` throws, once the user is logged out
   */
  async logout<Reply extends AnyReply> (reply: Reply): Promise<Reply>
  async logout (reply?: AnyReply): Promise<LogoutResult | AnyReply> {
    if (reply === undefined) return await logout(this.#context, this.#request, undefined)
    checkReply('logout', reply)
    return await logoutAndRedirect(this.#context, this.#request, reply)
  }

  /**
   * Removes an account that was added with `link` from the login: its tokens are deleted, and revoked unless the
   * provider's `revokeAtLogout` is false. The session gets a new id and keeps the app's own fields. Without such an
   * account it does nothing. To end the account that the user logged in with, call `logout`.
   * @param provider name of the provider; if absent, the one of `using(name)`
   * @throws FST_OAUTH_ACTIVE_ACCOUNT for the account that the user logged in with, FST_OAUTH_LOGIN_REQUIRED,
   *   FST_OAUTH_UNKNOWN_PROVIDER, FST_OAUTH_STORE_UNAVAILABLE: the account is still there,
   *   FST_OAUTH_SESSION_UNAVAILABLE, FST_OAUTH_INVALID_OPTIONS if no provider is named
   */
  async disconnect (provider: ProviderName | undefined = this.#name): Promise<void> {
    if (provider === undefined) {
      throw new InvalidOptionsError('disconnect takes the name of the provider whose account is to go')
    }
    await disconnectAccount(this.#context, this.#request, providerOf(this.#context, provider))
  }

  #watch (): AbortSignal {
    const login = this.#login
    if (login === undefined) {
      return this.#own === undefined ? AbortSignal.abort(this.#loginRequired()) : new AbortController().signal
    }
    const controller = new AbortController()
    const { shared } = this.#context
    shared.loginSignals ??= import('./session/login-signals.ts').then(({ LoginSignals }) => new LoginSignals())
    shared.loginSignals.then(
      signals => signals.hold(this.#context, this.#request, login.all, login.name, controller),
      (error: unknown) => controller.abort(error)
    )
    return controller.signal
  }

  get #session (): SessionObject | null { return currentSession(this.#request) }

  /** The login of the session; undefined once it has ended. */
  get #accounts (): SessionLogin | undefined {
    const { records, sessionLogins } = this.#context
    const login = sessionLogins.of(this.#session)
    // A logout or an end that this process has seen counts at once, whatever this request has loaded before.
    return login === undefined || records.isDeleted(login.accounts[login.active]!.recordId) ? undefined : login
  }

  get #login (): { name: string, account: Account, all: SessionLogin } | undefined {
    const login = this.#accounts
    const name = this.#name ?? login?.active
    const account = name === undefined ? undefined : login?.accounts[name]
    if (login === undefined || name === undefined || account === undefined) return undefined
    return this.#context.records.isDeleted(account.recordId) ? undefined : { name, account, all: login }
  }

  /** The app's own client, for a provider of that grant; without a name, only if no user is logged in. */
  get #own (): OAuthSession | undefined {
    const name = this.#name ?? (this.#accounts === undefined ? this.#context.config.defaultProvider : undefined)
    const provider = name === undefined ? undefined : this.#context.providerHandles.get(name)
    return provider?.grantType === 'client_credentials' ? provider.clientCredentials() : undefined
  }

  #loginRequired (): OAuthError {
    const ended = notedEnd(this.#context, this.#request, this.#name)
    if (ended !== undefined) return ended.error
    const provider = this.#name ?? this.#context.config.defaultProvider
    return new LoginRequiredError(
      `no user is logged in${provider === undefined ? '' : ` with provider "${provider}"`}; log in and try again`,
      { provider }
    )
  }

  get #account (): Account | undefined { return this.#login?.account }

  /** User, claims and scope of the login, from the session or a newer record; parsed once a request. */
  get #details (): ReturnType<typeof detailsOf> | undefined {
    const account = this.#account
    if (account === undefined) return undefined
    const { records } = this.#context
    const claims = records.known(account.recordId)?.claims
    if (this.#read?.account !== account || this.#read.claims !== claims) {
      this.#read = { account, claims, details: knownDetails(records, account) }
    }
    return this.#read.details
  }

  #named (name: string | undefined): ProviderClient {
    const known = name ?? this.#name ?? this.#context.config.defaultProvider ?? this.provider
    if (known === undefined) {
      throw new LoginRequiredError('several providers are configured and none is named; pass `provider`')
    }
    return providerOf(this.#context, known)
  }

  [kAccount] (): ClientAccount {
    const login = this.#login
    const own = login === undefined || this.#name !== undefined ? this.#own : undefined
    if (own !== undefined) return own[kAccount]()
    if (login === undefined) throw this.#loginRequired()
    const { name, account: { recordId }, all } = login
    if (this.#last?.recordId !== recordId) {
      this.#last = {
        recordId,
        account: {
          provider: providerOf(this.#context, name),
          tokens: accountTokens(this.#context, this.#request, all, name),
          subject: () => {
            const sub = this.#details?.claims.sub
            return typeof sub === 'string' ? sub : undefined
          }
        }
      }
    }
    return this.#last.account
  }
}

function checkReply (method: string, reply: unknown): void {
  if (isObject(reply) && 'redirect' in reply) return
  throw new InvalidOptionsError(`${method} needs the reply, which it sends: write \`return await ${method}(reply)\``)
}
