import { AuthorizationFailedError, InsecureTransportError, InvalidOptionsError, StateMismatchError } from '../errors.ts'
import {
  type AuthorizationResponse,
  checkIssuer,
  parseAuthorizationResponse,
  throwAuthorizationError
} from '../oauth/authorization-response.ts'
import { readTokenParameters } from '../oauth/token-response.ts'
import { parseScope } from '../oauth/token-set.ts'
import { isSecureUrl, type RequestParameters, setParameters } from '../oauth/urls.ts'
import {
  clientCredentialsGrant,
  codeGrant,
  type GrantResult,
  type GrantOptions,
  jwtBearerGrant,
  passwordGrant
} from '../providers/grants.ts'
import type { ProviderHooks } from '../providers/options.ts'
import type { ProviderClient } from '../providers/provider.ts'
import { randomToken, safeEqual } from '../util/random.ts'
import { challengeMethod } from './challenge-method.ts'

export interface AuthorizationUrlOptions {
  state?: string
  scope?: string | readonly string[]
  redirectUri?: string
  /** Further parameters (`prompt`, `login_hint`, `nonce`, repeated `resource`, …). */
  params?: RequestParameters
  /** In place of one that is made here: 43 to 128 unreserved characters. */
  codeVerifier?: string
  /** In place of the provider's own `pkce`. */
  pkce?: 'S256' | 'plain' | false
}

/** One way to get tokens; which one is told by what is given, and by the provider's `grantType` where nothing is. */
export type FetchTokensOptions = Omit<GrantOptions, 'hooks'> & {
  /** The URL that the browser came back to: state checked, code taken. */
  callbackUrl?: string
  code?: string
  codeVerifier?: string
  redirectUri?: string
  username?: string
  password?: string
  assertion?: string
}

/** What a session is made with, as far as its logins go. */
export interface LoginInit {
  redirectUri?: string
  scope?: string | readonly string[]
  /** The state that a callback must bring, where a login was begun elsewhere. */
  state?: string
  /** The verifier of a login that was begun elsewhere. */
  codeVerifier?: string
  /** The nonce that the ID token of a login that was begun elsewhere must name. */
  nonce?: string
  hooks?: ProviderHooks
  /** Further parameters of each token request that is made for the app itself (`audience`, `resource`, …). */
  params?: RequestParameters
}

/** A login that has begun and not come back yet. */
interface Pending {
  state: string
  codeVerifier: string | undefined
  nonce: string | undefined
  redirectUri: string | undefined
  scope: string[]
}

/** What a login starts with. All but the URL has to be kept where another session finishes it. */
export interface StartedLogin {
  url: string
  state: string
  /** Undefined where the provider takes no PKCE. */
  codeVerifier: string | undefined
  /** Undefined where there will be no ID token. */
  nonce: string | undefined
}

/** The way of one session to its tokens: the login that it remembers, and what it trades for a set. */
export class LoginFlow {
  readonly #provider: ProviderClient
  readonly #now: () => number
  readonly #init: LoginInit
  #pending: Pending | undefined

  /** @param now epoch seconds */
  constructor (provider: ProviderClient, now: () => number, init: LoginInit) {
    this.#provider = provider
    this.#now = now
    this.#init = init
    const { state, codeVerifier, nonce, redirectUri } = init
    if (state !== undefined) this.#pending = { state, codeVerifier, nonce, redirectUri, scope: this.scope }
  }

  /** What is asked for where a call says nothing else. */
  get scope (): string[] {
    return parseScope(this.#init.scope) ?? [...this.#provider.config.scope]
  }

  /**
   * Builds the URL that a login starts with; state, verifier and nonce are remembered (RFC 6749, section 4.1.1; RFC
   * 7636; OpenID Connect Core, section 3.1.2.1).
   * @throws FST_OAUTH_INSECURE_TRANSPORT, FST_OAUTH_INVALID_OPTIONS, FST_OAUTH_PROVIDER_UNAVAILABLE
   */
  async authorizationUrl (options: AuthorizationUrlOptions): Promise<StartedLogin> {
    const { config } = this.#provider
    const method = challengeMethod(config, options.pkce)
    const codeVerifier = method === undefined ? undefined : verifierOf(options, this.#provider)
    const state = options.state ?? this.#init.state ?? randomToken()
    const redirectUri = options.redirectUri ?? this.#init.redirectUri ?? config.redirectUri
    const scope = parseScope(options.scope) ?? this.scope
    const params = setParameters(setParameters(new URLSearchParams(), config.authorizationParams), options.params)
    const nonce =
      params.get('nonce') ?? this.#init.nonce ?? (this.#provider.expectsIdToken(scope) ? randomToken() : undefined)
    const url = await this.#provider.authorizationUrl({
      responseType: config.grantType === 'implicit' ? 'token' : 'code',
      redirectUri,
      scope,
      state,
      codeVerifier,
      codeChallengeMethod: method,
      nonce,
      // Without a web session the way back is the caller's to serve.
      responseMode: config.responseMode ?? params.get('response_mode') ?? undefined,
      params
    })
    this.#pending = { state, codeVerifier, nonce, redirectUri, scope }
    return { url, state, codeVerifier, nonce }
  }

  /**
   * Reads a callback: its state must be the one that was remembered (RFC 6749, section 4.1.2).
   * @throws FST_OAUTH_STATE_MISMATCH, FST_OAUTH_AUTHORIZATION_FAILED, FST_OAUTH_INSECURE_TRANSPORT,
   *   FST_OAUTH_INVALID_OPTIONS
   */
  parseCallback (callbackUrl: string): AuthorizationResponse {
    const { name, config, knownMetadata } = this.#provider
    return parseAuthorizationResponse(this.#callback(callbackUrl).searchParams, {
      provider: name,
      state: this.#pending?.state ?? '',
      issuer: config.issuer === undefined ? undefined : knownMetadata?.issuer
    })
  }

  /**
   * Gets tokens by what is given: user name and password, an assertion, a callback URL or a code; by nothing at all
   * where the app itself is the one who asks.
   * @throws FST_OAUTH_AUTHORIZATION_FAILED, FST_OAUTH_STATE_MISMATCH, FST_OAUTH_INVALID_TOKEN_RESPONSE,
   *   FST_OAUTH_INVALID_ID_TOKEN, FST_OAUTH_PROVIDER_UNAVAILABLE, FST_OAUTH_INVALID_OPTIONS
   */
  async fetch (options: FetchTokensOptions): Promise<GrantResult> {
    const nonce = this.#nonce
    return await this.#identified(await this.#trade(options), nonce)
  }

  async #trade (options: FetchTokensOptions): Promise<GrantResult> {
    const { callbackUrl, code, codeVerifier, redirectUri, username, password, assertion, ...further } = options
    const provider = this.#provider
    const { grantType } = provider.config
    const common: GrantOptions = {
      ...further,
      scope: options.scope ?? this.#pending?.scope ?? this.scope,
      hooks: this.#init.hooks
    }
    if (username !== undefined || password !== undefined) {
      return await passwordGrant(provider, { ...common, username, password })
    }
    if (assertion !== undefined) return await jwtBearerGrant(provider, { ...common, assertion })
    if (grantType === 'implicit') return this.#implicit(callbackUrl)
    if (callbackUrl === undefined && code === undefined) {
      if (grantType === 'password') return await passwordGrant(provider, { ...common, username, password })
      if (grantType === 'client_credentials') {
        return await clientCredentialsGrant(provider, {
          ...common,
          params: setParameters(setParameters(new URLSearchParams(), this.#init.params), options.params)
        })
      }
    }
    const taken = callbackUrl === undefined ? code : await this.#takeCode(callbackUrl)
    if (typeof taken !== 'string' || taken === '') {
      throw new AuthorizationFailedError(
        `there is no authorization code for provider "${provider.name}"; pass callbackUrl or code`,
        { provider: provider.name, reason: 'missing_code' }
      )
    }
    const pending = this.#pending
    this.#pending = undefined // a login is finished once
    return await codeGrant(provider, {
      ...common,
      code: taken,
      redirectUri: redirectUri ?? pending?.redirectUri ?? this.#init.redirectUri ?? provider.config.redirectUri,
      codeVerifier: codeVerifier ?? pending?.codeVerifier ?? this.#init.codeVerifier
    })
  }

  // The metadata may not be known yet, and is asked for only by who has the right state.
  async #takeCode (callbackUrl: string): Promise<string> {
    const { code, params } = this.parseCallback(callbackUrl)
    const { name: provider, config } = this.#provider
    if (config.issuer !== undefined) {
      const { issuer, authorization_response_iss_parameter_supported: issuerPromised } = await this.#provider.metadata()
      checkIssuer(params, { provider, state: '', issuer, issuerPromised: issuerPromised === true })
    }
    return code
  }

  // There is nothing to ask the token endpoint for: the tokens came with the browser.
  #implicit (callbackUrl: string | undefined): GrantResult {
    if (callbackUrl !== undefined) return this.#readFragment(callbackUrl)
    const { name } = this.#provider
    throw new InvalidOptionsError(
      `an implicit login at provider "${name}" has no token request; pass callbackUrl, with its fragment`,
      { provider: name, reason: 'implicit' }
    )
  }

  /**
   * Reads the tokens that an implicit login left in the fragment (RFC 6749, section 4.2.2): legacy.
   * @throws FST_OAUTH_STATE_MISMATCH, FST_OAUTH_AUTHORIZATION_FAILED, FST_OAUTH_INVALID_TOKEN_RESPONSE,
   *   FST_OAUTH_INVALID_ID_TOKEN, FST_OAUTH_INSECURE_TRANSPORT, FST_OAUTH_INVALID_OPTIONS
   */
  async fromFragment (callbackUrl: string): Promise<GrantResult> {
    const nonce = this.#nonce
    return await this.#identified(this.#readFragment(callbackUrl), nonce)
  }

  /** What the ID token of the login under way must name. To be read before the login is finished. */
  get #nonce (): string | undefined { return this.#pending?.nonce ?? this.#init.nonce }

  // Whoever reads who logged in from an ID token may rely on it, here as well (OpenID Connect Core, section 3.1.3.7).
  async #identified (granted: GrantResult, nonce: string | undefined): Promise<GrantResult> {
    const { idToken, accessToken } = granted.tokens
    if (idToken !== undefined && this.#provider.hasIdTokens) {
      await this.#provider.validateIdToken(idToken, { nonce, accessToken })
    }
    return granted
  }

  #readFragment (callbackUrl: string): GrantResult {
    const { name, config } = this.#provider
    const params = new URLSearchParams(this.#callback(callbackUrl).hash.slice(1))
    const pending = this.#pending
    if (pending !== undefined && (pending.state === '' || !safeEqual(params.get('state') ?? '', pending.state))) {
      throw new StateMismatchError(
        `the fragment of provider "${name}" does not belong to a login that was begun here`,
        { provider: name }
      )
    }
    throwAuthorizationError(params, name)
    const read = readTokenParameters(params, {
      provider: name,
      now: this.#now(),
      grantType: 'implicit',
      scope: pending?.scope ?? this.scope,
      defaultExpiresIn: config.defaultExpiresIn,
      conform: config.conform,
      requireTokenType: config.requireTokenType
    })
    if ('error' in read) throw read.error
    this.#pending = undefined
    return read
  }

  // Behind a proxy that ends TLS the app sees http: where the browser was sent is what counts.
  #callback (callbackUrl: string): URL {
    const { name: provider, config } = this.#provider
    if (!URL.canParse(callbackUrl)) {
      const message = `the callback URL of provider "${provider}" is no absolute URL; pass it as the browser has it`
      throw new InvalidOptionsError(message, { provider, reason: 'callback_url' })
    }
    const url = new URL(callbackUrl)
    const redirectUri = this.#pending?.redirectUri ?? this.#init.redirectUri ?? config.redirectUri
    const judged = redirectUri !== undefined && URL.canParse(redirectUri) ? new URL(redirectUri) : url
    if (isSecureUrl(judged) || config.allowInsecureRequests) return url
    throw new InsecureTransportError(`the callback URL of provider "${provider}" is plain http`, { provider })
  }
}

// One that is too short could be guessed, and servers refuse what is no verifier (RFC 7636, section 4.1).
function verifierOf ({ codeVerifier = randomToken() }: AuthorizationUrlOptions, { name }: ProviderClient): string {
  if (/^[\w.~-]{43,128}$/.test(codeVerifier)) return codeVerifier
  throw new InvalidOptionsError(
    'codeVerifier is no code verifier; write 43 to 128 letters, digits, "-", ".", "_" or "~", or leave it out',
    { provider: name }
  )
}
