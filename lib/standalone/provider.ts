import { InvalidLogoutTokenError, InvalidOptionsError } from '../errors.ts'
import { certificateJwk } from '../http/client-certificate.ts'
import { checkIdToken } from '../login/finish.ts'
import { type ClientJwk, publicKeySet } from '../oauth/client-keys.ts'
import { type DpopKey, isDpopKey } from '../oauth/dpop-key.ts'
import { parseScope, type TokenSet } from '../oauth/token-set.ts'
import { type RequestParameters, setParameters } from '../oauth/urls.ts'
import { type DeviceAuthorization, pollDevice, startDevice } from '../providers/device.ts'
import {
  type GrantOptions, type GrantResult, jwtBearerGrant, type TokenExchange, tokenExchangeGrant
} from '../providers/grants.ts'
import type { GrantType } from '../providers/options.ts'
import { BoundedMap } from '../util/bounded-map.ts'
import { isNonEmptyText } from '../util/is-text.ts'
import { optionsOf } from '../util/options-of.ts'
import { shown } from '../util/shown.ts'
import { sleep } from '../util/timeout.ts'
import type { SessionBasis } from './session-tokens.ts'
import { type AuthorizationUrlOptions, OAuthSession, type OAuthSessionInit, type StartedLogin } from './session.ts'

/** A device that waits for its user (RFC 8628). */
export interface DeviceLogin extends DeviceAuthorization {
  /**
   * Asks the provider until the user has answered.
   * @throws FST_OAUTH_AUTHORIZATION_FAILED with `oauthError` `access_denied` or `expired_token`,
   *   FST_OAUTH_INVALID_TOKEN_RESPONSE, FST_OAUTH_INVALID_ID_TOKEN; and the reason of `signal`
   */
  tokens (options?: { signal?: AbortSignal }): Promise<TokenSet>
}

/** Options of `clientCredentials`. */
export interface ClientCredentialsOptions {
  /** In place of the provider's own scope. */
  scope?: string | readonly string[]
  /** URIs of the services that the token is for; repeated (RFC 8707). */
  resource?: string | readonly string[]
  /** Names of the services that the token is for; repeated. */
  audience?: string | readonly string[]
  /** Further parameters, sent again with each renewal. */
  params?: RequestParameters
}

/** Own clients that are kept for one provider. An app may have one for each of its tenants, by their parameters. */
const MAX_OWN_CLIENTS = 1_000

/** Requests of the app itself at one of its providers: `app.oauth.provider(name)`. */
export class ProviderHandle {
  readonly #basis: SessionBasis
  readonly #own = new BoundedMap<string, OAuthSession>(MAX_OWN_CLIENTS)
  /** One key for all tokens of the app itself. */
  #ownKey: Promise<DpopKey | undefined> | undefined

  constructor (basis: SessionBasis) {
    this.#basis = basis
  }

  /** The name of the provider. */
  get name (): string { return this.#basis.provider.name }

  /** The option `grantType` of the provider. */
  get grantType (): GrantType { return this.#basis.provider.config.grantType }

  /**
   * The public halves of `clientKeys` as a JWK set (RFC 7517, section 5), with a self-signed certificate if that
   * authenticates the client (RFC 8705, section 2.2). For a route of the app's that the provider reads:
   * `app.get('/jwks.json', () => app.oauth.provider('acme').jwks())`.
   * @returns `{ keys }`, without anything private
   */
  jwks (): { keys: ClientJwk[] } {
    const { clientKeys, clientCertificate, clientAuthentication } = this.#basis.provider.config
    const { keys } = publicKeySet(clientKeys)
    const isSelfSigned = clientAuthentication === 'self_signed_tls_client_auth' && clientCertificate !== undefined
    return { keys: isSelfSigned ? [...keys, certificateJwk(clientCertificate)] : keys }
  }

  /**
   * Makes a session without a request: for scripts, background jobs and tests.
   * @param init tokens to start with, and the state of a login that was started elsewhere; see each member
   * @returns a session that keeps its tokens in memory
   * @throws FST_OAUTH_INVALID_OPTIONS if `tokens` holds no usable token, or `dpopKey` is no key
   */
  session (init?: OAuthSessionInit): OAuthSession {
    return new OAuthSession(this.#basis, init)
  }

  /**
   * Builds a URL to log in with. Keep the other members of the result for `session({ state, codeVerifier, nonce })
   * .fetchTokens({ callbackUrl })`.
   * @param options scope, parameters and further options of this login; see each member
   * @returns `{ url, state, codeVerifier, nonce }`, and with `dpop: true` the `dpopKey`
   * @throws FST_OAUTH_INSECURE_TRANSPORT, FST_OAUTH_INVALID_OPTIONS, FST_OAUTH_PROVIDER_UNAVAILABLE; if the request
   *   is pushed FST_OAUTH_AUTHORIZATION_FAILED, FST_OAUTH_INVALID_RESPONSE
   */
  async authorizationUrl (options?: AuthorizationUrlOptions): Promise<StartedLogin> {
    return await this.session().authorizationUrl(options)
  }

  /**
   * The app's own client (RFC 6749, section 4.4). The same options return the same client, which all callers share; its
   * token is renewed before it expires.
   * @param options scope, `resource`, `audience` and further parameters of the token request
   * @returns a session that requests its first token set at its first call
   */
  clientCredentials (options: ClientCredentialsOptions = {}): OAuthSession {
    const { scope, resource, audience, params } = optionsOf('clientCredentials', options)
    const all = setParameters(setParameters(new URLSearchParams(), { resource, audience }), params)
    const scopes = parseScope(scope) ?? [...this.#basis.provider.config.scope]
    const key = `${scopes.join(' ')}?${all}`
    let client = this.#own.get(key)
    if (client === undefined) {
      const provider = this.#basis.provider.withGrantType('client_credentials')
      const init: OAuthSessionInit = { scope: scopes, params: all, refresh: 'auto' }
      client = new OAuthSession({ ...this.#basis, provider }, init, () => this.#appKey())
      this.#own.set(key, client)
    }
    return client
  }

  /**
   * Exchanges a signed assertion for tokens (RFC 7523). With `dpop: true` it needs a `dpopKey`.
   * @param options `assertion`, the JWT; `scope`, `params` and `dpopKey`; see each
   * @returns the token set
   * @throws FST_OAUTH_AUTHORIZATION_FAILED, FST_OAUTH_INVALID_TOKEN_RESPONSE, FST_OAUTH_INVALID_ID_TOKEN,
   *   FST_OAUTH_PROVIDER_UNAVAILABLE, FST_OAUTH_INSECURE_TRANSPORT, FST_OAUTH_INVALID_OPTIONS
   */
  async jwtBearer (options: GrantOptions & { assertion: string }): Promise<TokenSet> {
    const given = this.#grantOptions(options, 'jwtBearer')
    return await this.#checked(await jwtBearerGrant(this.#basis.provider, given), given)
  }

  /**
   * Exchanges one token for another (RFC 8693). With `dpop: true` it needs a `dpopKey`.
   * @param options `subjectToken` and what it is exchanged for: `audience`, `resource`, `scope`, types; see each
   * @returns the token set
   * @throws FST_OAUTH_AUTHORIZATION_FAILED, FST_OAUTH_INVALID_TOKEN_RESPONSE, FST_OAUTH_PROVIDER_UNAVAILABLE,
   *   FST_OAUTH_INSECURE_TRANSPORT, FST_OAUTH_INVALID_OPTIONS
   */
  async exchange (options: TokenExchange): Promise<TokenSet> {
    const given = this.#grantOptions(options, 'exchange')
    return (await tokenExchangeGrant(this.#basis.provider, given)).tokens
  }

  /**
   * Starts a login on a device without a browser (RFC 8628). With `dpop: true` it needs a `dpopKey`.
   * @param options `scope`, `params` and `dpopKey`; see each
   * @returns what the user is shown, and `tokens()`, which waits for the user
   * @throws FST_OAUTH_AUTHORIZATION_FAILED, FST_OAUTH_INVALID_RESPONSE, FST_OAUTH_PROVIDER_UNAVAILABLE,
   *   FST_OAUTH_INSECURE_TRANSPORT, FST_OAUTH_INVALID_OPTIONS if the provider has no such endpoint
   */
  async device (options: GrantOptions = {}): Promise<DeviceLogin> {
    const given = this.#grantOptions(options, 'device')
    const { provider, clock } = this.#basis
    const device = await startDevice(provider, clock.now(), given)
    return {
      ...device,
      tokens: async (waiting) => {
        const { signal } = optionsOf('tokens', waiting)
        const wait = clock.wait ?? ((seconds, ended) => sleep(seconds * 1000, ended))
        const polling = { now: clock.now, wait: (seconds: number) => wait(seconds, signal) }
        return await this.#checked(await pollDevice(provider, device, polling, given), given)
      }
    }
  }

  /** The tokens of a grant, whose ID token was validated if there is one; it has no nonce to be of one login. */
  async #checked (granted: GrantResult, { scope }: GrantOptions): Promise<TokenSet> {
    const { provider } = this.#basis
    const asked = parseScope(scope) ?? [...provider.config.scope]
    return (await checkIdToken(provider, granted, { scope: asked })).tokens
  }

  /**
   * Asks whether a token is still good (RFC 7662).
   * @param token an access or a refresh token
   * @param hint which of them it is
   * @returns its claims; `active` says whether it is good
   * @throws FST_OAUTH_INVALID_RESPONSE, FST_OAUTH_PROVIDER_UNAVAILABLE, FST_OAUTH_INSECURE_TRANSPORT,
   *   FST_OAUTH_INVALID_OPTIONS if the provider has no such endpoint, or there is no token
   */
  async introspect (token: string, hint?: 'access_token' | 'refresh_token'): Promise<Record<string, unknown>> {
    this.#requireToken(token, 'introspect')
    return await this.#basis.provider.introspect(token, hint)
  }

  /**
   * Revokes a token (RFC 7009). Resolves to false if the provider could not.
   * @param token an access or a refresh token
   * @param hint which of them it is; default `access_token`
   * @returns whether the provider has revoked it
   * @throws FST_OAUTH_INSECURE_TRANSPORT, FST_OAUTH_PROVIDER_UNAVAILABLE, FST_OAUTH_INVALID_OPTIONS if there is no
   *   token
   */
  async revoke (token: string, hint: 'access_token' | 'refresh_token' = 'access_token'): Promise<boolean> {
    this.#requireToken(token, 'revoke')
    return await this.#basis.provider.revoke(token, hint)
  }

  /**
   * Carries out a logout token of the provider (OpenID Connect Back-Channel Logout 1.0, section 2.6), as the route
   * does: for an app with a route of its own. The route answers 200 with `Cache-Control: no-store`, or the error's
   * status.
   * @param logoutToken the parameter `logout_token` of the form that the provider posts
   * @param options the request that the token came with
   * @param options.request the Fastify request; if given, the `onLogout` hook is called for each login
   * @returns how many logins have ended
   * @throws FST_OAUTH_INVALID_LOGOUT_TOKEN, FST_OAUTH_PROVIDER_UNAVAILABLE, FST_OAUTH_STORE_UNAVAILABLE;
   *   FST_OAUTH_INVALID_OPTIONS if there are no sessions or no ID tokens; and what `onLogout` throws
   */
  async backchannelLogout (logoutToken: string, options: { request?: object } = {}): Promise<number> {
    const { request } = optionsOf('backchannelLogout', options)
    const { provider, endLogins } = this.#basis
    if (endLogins === undefined || !provider.hasIdTokens) {
      const lacking = endLogins === undefined ? 'a plugin, whose sessions a logout could end' : 'a known issuer'
      const message = `backchannelLogout of provider "${provider.name}" needs ${lacking}`
      throw new InvalidOptionsError(message, { provider: provider.name, reason: 'configuration' })
    }
    // It is a field of the request's body, which anyone may have written.
    if (!isNonEmptyText(logoutToken)) {
      const message = `a logout of provider "${provider.name}" is refused: it has no logout token`
      throw new InvalidLogoutTokenError(message, { provider: provider.name, reason: 'missing_logout_token' })
    }
    return await endLogins(logoutToken, request)
  }

  #appKey (): Promise<DpopKey | undefined> {
    this.#ownKey ??= this.#basis.provider.createDpopKey().catch((error: unknown) => {
      this.#ownKey = undefined
      throw error
    })
    return this.#ownKey
  }

  #requireToken (token: unknown, method: string): void {
    if (isNonEmptyText(token)) return
    throw new InvalidOptionsError(`${method}() takes a token, not ${shown(token)}`, {
      provider: this.name, reason: 'invalid_option'
    })
  }

  // What these return is a token set alone: a key of their own would be lost, and the tokens with it.
  #grantOptions<Options extends GrantOptions> (options: Options, method: string): Options {
    const given = optionsOf(method, options)
    const { dpopKey } = given
    const { name: provider, config } = this.#basis.provider
    if (dpopKey === undefined ? !config.dpop : isDpopKey(dpopKey)) return given
    const problem = dpopKey === undefined
      ? 'needs a dpopKey, since its tokens are bound to one'
      : 'got a dpopKey that is no private key of the curve P-256'
    const message = `${method}() of provider "${provider}" ${problem}: pass what \`createDpopKey()\` returns, and ` +
      'the same to `session({ tokens, dpopKey })`'
    throw new InvalidOptionsError(message, { provider, reason: 'dpop_key' })
  }
}
