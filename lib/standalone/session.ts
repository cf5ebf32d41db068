import { AccountClient, type ClientAccount } from '../calls/account-client.ts'
import { kAccount } from '../calls/authorized-client.ts'
import { AuthorizationFailedError, InsecureTransportError, InvalidOptionsError, StateMismatchError } from '../errors.ts'
import {
  type AuthorizationResponse, checkIdToken, finishLogin, type LoginTokens, readAuthorizationResponse
} from '../login/finish.ts'
import { type PendingAuthorization, startLogin } from '../login/start.ts'
import type { AuthorizationDetail } from '../oauth/authorization-details.ts'
import { copyDpopKey, type DpopKey, isDpopKey } from '../oauth/dpop-key.ts'
import { parseScope, type ScopeChange, type TokenSet } from '../oauth/token-set.ts'
import { isSecureUrl, mergeParameters, type RequestParameters, setParameters } from '../oauth/urls.ts'
import {
  clientCredentialsGrant, type GrantOptions, type GrantResult, jwtBearerGrant, passwordGrant
} from '../providers/grants.ts'
import { OptionChecker } from '../providers/option-checker.ts'
import { PROVIDER_OPTIONS } from '../providers/option-rules.ts'
import type { ProviderHooks, ProviderOptions, RefreshMode } from '../providers/options.ts'
import type { TokensInput } from '../tokens/load-tokens.ts'
import type { TokensEvent } from '../tokens/on-tokens.ts'
import { optionsOf } from '../util/options-of.ts'
import { type SessionBasis, SessionTokens } from './session-tokens.ts'

/** Options of a session without a request. */
export interface OAuthSessionInit {
  /** The tokens to start with: a set that `onTokens` got, columns of the app's own, or a token response's members. */
  tokens?: TokensInput | null
  /** In place of the provider's own refresh mode. */
  refresh?: RefreshMode
  /**
   * Awaited once for each new set, before a call is sent with it. If `tokens` share the record of a web session, by
   * their `recordId`, new sets go to the plugin's `onTokens` instead.
   */
  onTokens?: (tokens: TokenSet, event: TokensEvent) => unknown
  /** Sends calls without the token, for an API that must not get it. */
  withholdToken?: boolean
  /** In place of the provider's own redirect URI. */
  redirectUri?: string
  /** In place of the provider's own scope. */
  scope?: string | readonly string[]
  /** State of a login that was started elsewhere; the callback must have it. */
  state?: string
  /** Code verifier of a login that was started elsewhere. */
  codeVerifier?: string
  /** Nonce of a login that was started elsewhere; the ID token must have it. */
  nonce?: string
  /** The DPoP key that `tokens` are bound to, or the one of a login that was started elsewhere. */
  dpopKey?: DpopKey
  /** Run after the provider's own. */
  hooks?: ProviderHooks
  /** Further parameters of each client credentials request and each refresh (`audience`, `resource`, …). */
  params?: RequestParameters
}

/** Options of `authorizationUrl`. */
export interface AuthorizationUrlOptions {
  /** Default random. */
  state?: string
  /** In place of the session's. */
  scope?: string | readonly string[]
  /** In place of the session's. */
  redirectUri?: string
  /** What the tokens shall allow (RFC 9396), in place of the provider's own `authorizationDetails`. */
  authorizationDetails?: readonly AuthorizationDetail[]
  /** Further parameters (`prompt`, `login_hint`, `nonce`, repeated `resource`, …). */
  params?: RequestParameters
  /** In place of a random one: 43 to 128 unreserved characters (RFC 7636, section 4.1). */
  codeVerifier?: string
  /** In place of the provider's own `pkce`. */
  pkce?: 'S256' | 'plain' | false
}

/** A login that has been started. If another session finishes it, keep all members but the URL. */
export interface StartedLogin {
  /** Where the browser has to go. */
  url: string
  /** The `state` that the callback must have. */
  state: string
  /** Undefined for a login without PKCE. */
  codeVerifier: string | undefined
  /** Undefined for a login without an ID token. */
  nonce: string | undefined
  /** With `dpop: true`, the key that the tokens will be bound to: a secret. */
  dpopKey?: DpopKey
}

/** Options of `fetchTokens`. They decide the grant; without any, the provider's `grantType` does. */
export type FetchTokensOptions = Omit<GrantOptions, 'hooks' | 'dpopKey'> & {
  /** The URL that the browser came back to. */
  callbackUrl?: string
  /** An authorization code whose response the app has checked. */
  code?: string
  /** In place of the one of the login. */
  codeVerifier?: string
  /** In place of the one of the login. */
  redirectUri?: string
  /** For the password grant, with `password`. */
  username?: string
  /** For the password grant. */
  password?: string
  /** For the JWT bearer grant. */
  assertion?: string
}

/**
 * One account at one provider, without a web session: for scripts, background jobs and tests. The counterpart of
 * requests-oauthlib's OAuth2Session.
 */
export class OAuthSession extends AccountClient {
  readonly #basis: SessionBasis
  readonly #init: OAuthSessionInit
  readonly #tokens: SessionTokens
  readonly #sharedKey: (() => Promise<DpopKey | undefined>) | undefined
  /** In place of a pending login if there is none. */
  readonly #none: PendingAuthorization
  #pending: PendingAuthorization
  #subject: string | undefined

  /** @param sharedKey the key of the app's own clients */
  constructor (
    basis: SessionBasis, given: OAuthSessionInit = {}, sharedKey?: () => Promise<DpopKey | undefined>
  ) {
    const init = optionsOf('session', given)
    super(basis.transport, init)
    const { config } = basis.provider
    const { state, codeVerifier, nonce, redirectUri = config.redirectUri } = init
    const { tokens, refresh, onTokens, hooks, params, dpopKey: givenKey } = init
    if (givenKey !== undefined && !isDpopKey(givenKey)) {
      const message = `the dpopKey of a session of provider "${basis.provider.name}" is no private key of the curve ` +
        'P-256; pass what `session.dpopKey` or `createDpopKey()` returned'
      throw new InvalidOptionsError(message, { provider: basis.provider.name, reason: 'dpop_key' })
    }
    // A stage that is misspelt would never run.
    if (hooks !== undefined) checkHooks(hooks, basis.provider.name)
    const scope = parseScope(init.scope) ?? [...config.scope]
    this.#basis = basis
    const dpopKey = givenKey && copyDpopKey(givenKey)
    this.#init = { ...init, ...(dpopKey !== undefined && { dpopKey }) }
    this.#sharedKey = sharedKey
    this.#none = { state: undefined, scope, redirectUri, codeVerifier, nonce, dpopKey }
    this.#pending = { ...this.#none, state }
    const fetchFirst = () => this.fetchTokens()
    this.#tokens = new SessionTokens(basis, { scope, refresh, onTokens, hooks, params, dpopKey, fetchFirst })
    if (tokens !== undefined && tokens !== null) this.#tokens.load(tokens)
  }

  /** The current token set, expired or not, without I/O; undefined if there is none. */
  get storedTokens (): TokenSet | undefined { return this.#tokens.stored }

  /**
   * With `dpop: true`, the private key that the tokens are bound to. Keep it beside them, and pass both to the next
   * session. Undefined if the tokens are not bound, or are those of a web session.
   */
  get dpopKey (): DpopKey | undefined {
    const { dpopKey } = this.#tokens
    return dpopKey && copyDpopKey(dpopKey)
  }

  /** Whether there is a token set. */
  get authorized (): boolean { return this.storedTokens !== undefined }

  /** How the scope of the last set differs from what was asked for; undefined if it does not. */
  get scopeChange (): ScopeChange | undefined { return this.#tokens.scopeChange }

  /**
   * Builds a URL to log in with, and remembers state, code verifier and nonce for `fetchTokens` (RFC 6749, section
   * 4.1.1; RFC 7636; OpenID Connect Core, section 3.1.2.1).
   * @param options scope, parameters and further options of this login; see each member
   * @returns `{ url, state, codeVerifier, nonce }`, and with `dpop: true` the `dpopKey`
   * @throws FST_OAUTH_INSECURE_TRANSPORT, FST_OAUTH_INVALID_OPTIONS, FST_OAUTH_PROVIDER_UNAVAILABLE; if the request
   *   is pushed FST_OAUTH_AUTHORIZATION_FAILED, FST_OAUTH_INVALID_RESPONSE
   */
  async authorizationUrl (options: AuthorizationUrlOptions = {}): Promise<StartedLogin> {
    const {
      scope, params, authorizationDetails, codeVerifier, pkce,
      state = this.#init.state, redirectUri = this.#none.redirectUri
    } = optionsOf('authorizationUrl', options)
    const given = setParameters(new URLSearchParams(), params)
    const { url, pending } = await startLogin(this.#basis.provider, {
      scope: parseScope(scope) ?? this.#none.scope,
      redirectUri,
      params,
      authorizationDetails,
      state,
      codeVerifier,
      pkce,
      nonce: given.get('nonce') ?? this.#init.nonce,
      dpopKey: this.#init.dpopKey,
      // The callback is the app's own here, so it may choose how the response comes.
      responseMode: given.get('response_mode') ?? undefined
    })
    this.#pending = pending
    const { dpopKey } = pending
    return {
      url,
      state: pending.state,
      codeVerifier: pending.codeVerifier,
      nonce: pending.nonce,
      ...(dpopKey !== undefined && { dpopKey: copyDpopKey(dpopKey) })
    }
  }

  /**
   * Checks a callback's state, issuer and error and returns its code, without redeeming it (RFC 6749, section 4.1.2;
   * RFC 9207). If the response is a JWT, its signature is verified; if it has an ID token (hybrid flow), that is.
   * @param callbackUrl the URL that the browser came back to; put fields that it posted into the query
   * @returns its `code` and all its `params`
   * @throws FST_OAUTH_STATE_MISMATCH, FST_OAUTH_AUTHORIZATION_FAILED, FST_OAUTH_INVALID_ID_TOKEN,
   *   FST_OAUTH_PROVIDER_UNAVAILABLE, FST_OAUTH_INSECURE_TRANSPORT, FST_OAUTH_INVALID_OPTIONS
   */
  async parseCallback (callbackUrl: string): Promise<AuthorizationResponse> {
    const { searchParams } = this.#callback(callbackUrl)
    return await readAuthorizationResponse(this.#basis.provider, this.#pending, searchParams)
  }

  /**
   * Gets tokens: by a callback URL, a code, user name and password, or an assertion; with none of these, by the app's
   * own client credentials.
   * @param options one of `callbackUrl`, `code`, `username` and `password`, `assertion`; and further parameters
   * @returns the token set, which the session uses from now on
   * @throws FST_OAUTH_AUTHORIZATION_FAILED, FST_OAUTH_STATE_MISMATCH, FST_OAUTH_INVALID_TOKEN_RESPONSE,
   *   FST_OAUTH_INVALID_ID_TOKEN, FST_OAUTH_PROVIDER_UNAVAILABLE, FST_OAUTH_INSECURE_TRANSPORT,
   *   FST_OAUTH_INVALID_OPTIONS, and what `onTokens` and hooks throw
   */
  async fetchTokens (options: FetchTokensOptions = {}): Promise<TokenSet> {
    const { provider } = this.#basis
    const { grantType } = provider.config
    const { callbackUrl, code, codeVerifier, redirectUri, username, password, assertion, ...further } =
      optionsOf('fetchTokens', options)
    const scope = parseScope(further.scope) ?? this.#pending.scope
    const dpopKey = this.#init.dpopKey ?? await this.#sharedKey?.()
    const common = { ...further, scope, dpopKey, hooks: this.#init.hooks }
    const isBare = callbackUrl === undefined && code === undefined
    let granted: GrantResult | undefined
    if (username !== undefined || password !== undefined || (isBare && grantType === 'password')) {
      granted = await passwordGrant(provider, { ...common, username, password })
    } else if (assertion !== undefined) {
      granted = await jwtBearerGrant(provider, { ...common, assertion })
    } else if (isBare && grantType === 'client_credentials') {
      const params = mergeParameters(this.#init.params, further.params)
      granted = await clientCredentialsGrant(provider, { ...common, params })
    }
    if (granted !== undefined) {
      return await this.#adopt(await checkIdToken(provider, granted, { ...this.#pending, scope }))
    }
    if (grantType === 'implicit') {
      if (callbackUrl !== undefined) return await this.tokensFromFragment(callbackUrl)
      const message = `an implicit login at provider "${provider.name}" has no token request; pass callbackUrl, with ` +
        'its fragment'
      throw new InvalidOptionsError(message, { provider: provider.name, reason: 'implicit' })
    }
    const response = callbackUrl === undefined ? code : this.#callback(callbackUrl).searchParams
    if (!(response instanceof URLSearchParams) && (typeof response !== 'string' || response === '')) {
      const message = `there is no authorization code for provider "${provider.name}"; pass callbackUrl or code`
      throw new AuthorizationFailedError(message, { provider: provider.name, reason: 'missing_code' })
    }
    const overrides = {
      scope, ...(redirectUri !== undefined && { redirectUri }), ...(codeVerifier !== undefined && { codeVerifier })
    }
    return await this.#finish(response, common, overrides)
  }

  /**
   * Reads the tokens of an implicit login from the fragment of its callback (RFC 6749, section 4.2.2): legacy. If no
   * login was started here, and the session has no `state`, the state is for the app to check.
   * @param callbackUrl the URL that the browser came back to, with its fragment
   * @returns the token set, which the session uses from now on
   * @throws FST_OAUTH_STATE_MISMATCH, FST_OAUTH_AUTHORIZATION_FAILED, FST_OAUTH_INVALID_TOKEN_RESPONSE,
   *   FST_OAUTH_INVALID_ID_TOKEN, FST_OAUTH_INSECURE_TRANSPORT, FST_OAUTH_INVALID_OPTIONS
   */
  async tokensFromFragment (callbackUrl: string): Promise<TokenSet> {
    const params = new URLSearchParams(this.#callback(callbackUrl).hash.slice(1))
    const provider = this.#basis.provider.withGrantType('implicit')
    return await this.#finish(params, { stateChecked: this.#pending.state === undefined }, {}, provider)
  }

  /**
   * Revokes the tokens (RFC 7009) and forgets them. Resolves to false if the provider could not.
   * @returns whether the provider has revoked them
   * @throws FST_OAUTH_INSECURE_TRANSPORT, FST_OAUTH_PROVIDER_UNAVAILABLE; FST_OAUTH_STORE_UNAVAILABLE of a session that
   *   shares the record of a web session
   */
  async revoke (): Promise<boolean> {
    return await this.#tokens.revoke()
  }

  [kAccount] (): ClientAccount {
    return { provider: this.#basis.provider, tokens: this.#tokens, subject: () => this.#subject }
  }

  async #finish (
    response: URLSearchParams | string, options: GrantOptions & { stateChecked?: boolean },
    overrides: Partial<PendingAuthorization>, provider = this.#basis.provider
  ): Promise<TokenSet> {
    const pending = this.#pending
    this.#pending = this.#none // a login can be finished only once
    const login = await finishLogin(provider, { ...pending, ...overrides }, response, {
      ...options, now: this.#basis.clock.now()
    }).catch((error: unknown) => {
      // The response to another login leaves this one pending.
      if (error instanceof StateMismatchError && this.#pending === this.#none) this.#pending = pending
      throw error
    })
    return await this.#adopt(login)
  }

  async #adopt ({ idTokenClaims, ...granted }: LoginTokens): Promise<TokenSet> {
    this.#subject = idTokenClaims?.sub
    return await this.#tokens.adopt(granted, 'login')
  }

  // Behind a proxy that terminates TLS the app sees http: the redirect URI has the scheme that the browser used.
  #callback (callbackUrl: string): URL {
    const { name: provider, config } = this.#basis.provider
    if (!URL.canParse(callbackUrl)) {
      const message = `the callback URL of provider "${provider}" is no absolute URL; pass it as the browser has it`
      throw new InvalidOptionsError(message, { provider, reason: 'callback_url' })
    }
    const url = new URL(callbackUrl)
    const { redirectUri } = this.#pending
    const seen = redirectUri !== undefined && URL.canParse(redirectUri) ? new URL(redirectUri) : url
    if (isSecureUrl(seen) || config.allowInsecureRequests) return url
    const remedy = 'serve the callback over https, or set allowInsecureRequests for a network of your own'
    const message = `the callback URL of provider "${provider}" is plain http; ${remedy}`
    throw new InsecureTransportError(message, { provider })
  }
}

/** @throws FST_OAUTH_INVALID_OPTIONS */
function checkHooks (hooks: unknown, provider: string): void {
  const check = new OptionChecker()
  PROVIDER_OPTIONS.hooks.check(check, 'hooks', hooks, {} as ProviderOptions)
  check.report(`a session of provider "${provider}" cannot have these hooks`)
}
