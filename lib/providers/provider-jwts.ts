import type { JSONWebKeySet } from 'jose'
import {
  InvalidIdTokenError, InvalidResponseError, type OAuthErrorReason, ProviderUnavailableError
} from '../errors.ts'
import { fitsProfile, PROFILE_ALGORITHMS } from '../oauth/algorithms.ts'
import { isCompactJwe } from '../oauth/compact.ts'
import type { AuthorizationServerMetadata } from '../oauth/discovery.ts'
import type { IdTokenClaims, IdTokenExpectation } from '../oauth/id-token.ts'
import type { KeySource } from '../oauth/jwks.ts'
import type { JwtExpectation } from '../oauth/jwt.ts'
import type { LogoutTokenClaims } from '../oauth/logout-token.ts'
import { parseMembers } from '../oauth/token-response.ts'
import type { ProviderConfig } from './config.ts'
import type { ProviderClient } from './provider.ts'

/** The member of the metadata that lists the algorithms of one kind of JWT. */
type AlgorithmList = `${'id_token' | 'userinfo' | 'authorization'}_signing_alg_values_supported`

/** Kept, since another `import()` of a loaded module costs as much as the checks of a token without its signature. */
let idTokens: typeof import('../oauth/id-token.ts') | undefined

/** The JWTs that one provider issues: decrypted with the client's keys, and validated with the provider's. */
export class ProviderJwts {
  readonly #provider: ProviderClient
  readonly #name: string
  readonly #config: ProviderConfig
  #keys: KeySource | undefined

  constructor (provider: ProviderClient) {
    this.#provider = provider
    this.#name = provider.name
    this.#config = provider.config
  }

  /**
   * Takes the encryption off a JWT, if there is one (OpenID Connect Core, section 10.2).
   * @param refuse makes the error for one that cannot be decrypted
   * @returns the text inside, which has still to be verified
   */
  async decrypted (
    jwt: string, refuse: (reason: OAuthErrorReason, what: string, cause?: unknown) => Error
  ): Promise<string> {
    if (!isCompactJwe(jwt)) return jwt
    const { decryptCompact, DecryptionError } = await import('../oauth/decrypt.ts')
    try {
      return await decryptCompact(jwt, this.#config.clientKeys)
    } catch (error) {
      throw error instanceof DecryptionError ? refuse(error.reason, error.message, error.cause) : error
    }
  }

  /** @throws FST_OAUTH_INVALID_ID_TOKEN, FST_OAUTH_PROVIDER_UNAVAILABLE if its keys cannot be had */
  async validateIdToken (
    idToken: string,
    expected: Omit<IdTokenExpectation, 'atHashRequired'>
  ): Promise<IdTokenClaims> {
    idTokens ??= await import('../oauth/id-token.ts')
    const isSigned = !this.#config.encryptedIdToken && !isCompactJwe(idToken)
    const jwt = isSigned ? idToken : await this.#decryptedIdToken(idToken)
    const signed = await this.#signedBy('id_token_signing_alg_values_supported')
    const atHashRequired = this.#config.grantType === 'implicit'
    return await idTokens.validateIdToken(jwt, signed, { ...expected, atHashRequired })
  }

  /** @throws FST_OAUTH_INVALID_LOGOUT_TOKEN, FST_OAUTH_PROVIDER_UNAVAILABLE if its keys cannot be had */
  async validateLogoutToken (logoutToken: string): Promise<LogoutTokenClaims> {
    const { logoutTokenRefused, validateLogoutToken } = await import('../oauth/logout-token.ts')
    // It may be encrypted as ID tokens are (Back-Channel Logout, section 2.4).
    const jwt = await this.decrypted(logoutToken, logoutTokenRefused(this.#name))
    return await validateLogoutToken(jwt, await this.#signedBy('id_token_signing_alg_values_supported'))
  }

  /** All names of the issuer of an ID token. */
  issuerNames (iss: string): readonly string[] {
    const { idTokenIssuer } = this.#config
    return Array.isArray(idTokenIssuer) && idTokenIssuer.includes(iss) ? idTokenIssuer : [iss]
  }

  /**
   * Validates an authorization response that is a JWT and returns its parameters (JWT Secured Authorization Response
   * Mode, section 2.4).
   * @throws FST_OAUTH_AUTHORIZATION_FAILED, FST_OAUTH_PROVIDER_UNAVAILABLE if its keys cannot be had
   */
  async validateResponse (response: string): Promise<URLSearchParams> {
    const { responseRefused, validateAuthorizationResponse } = await import('../oauth/signed-response.ts')
    const jwt = await this.decrypted(response, responseRefused(this.#name))
    const expected = await this.#signedBy('authorization_signing_alg_values_supported')
    if (this.#config.issuer === undefined) return await validateAuthorizationResponse(jwt, expected)
    // The authorization server signs it, also where the ID tokens are another issuer's.
    const { issuer } = await this.#provider.metadata()
    return await validateAuthorizationResponse(jwt, { ...expected, issuer, acceptIssuer: undefined })
  }

  /**
   * Validates signed userinfo and returns its claims (OpenID Connect Core, section 5.3.2).
   * @throws FST_OAUTH_INVALID_RESPONSE, FST_OAUTH_PROVIDER_UNAVAILABLE if its keys cannot be had
   */
  async validateUserinfo (jwt: string): Promise<Record<string, unknown>> {
    if (!this.#provider.hasIdTokens) {
      const message =
        `the userinfo of provider "${this.#name}" is signed, and it is not known by whom; write \`issuer\``
      throw new InvalidResponseError(message, { provider: this.#name, reason: 'iss' })
    }
    const { validateUserinfo } = await import('../oauth/signed-response.ts')
    return await validateUserinfo(jwt, await this.#signedBy('userinfo_signing_alg_values_supported'))
  }

  async #decryptedIdToken (idToken: string): Promise<string> {
    const refuse = (reason: OAuthErrorReason, what: string, cause?: unknown) => {
      const message = `the ID token of provider "${this.#name}" is refused: ${what}`
      return new InvalidIdTokenError(message, { provider: this.#name, reason, cause })
    }
    // Section 3.1.3.7, step 1: if encryption was agreed on, an ID token without it is to be refused.
    if (this.#config.encryptedIdToken && !isCompactJwe(idToken)) {
      throw refuse('not_encrypted', 'it is not encrypted, and encryptedIdToken asks for it')
    }
    return await this.decrypted(idToken, refuse)
  }

  /** What the JWTs that the provider signs for this client are validated with. */
  #signedBy (algorithms: AlgorithmList): JwtExpectation | Promise<JwtExpectation> {
    const { knownMetadata } = this.#provider
    const isReady = knownMetadata !== undefined && this.#keys !== undefined
    return isReady ? this.#expectation(algorithms, knownMetadata, this.#keys!) : this.#firstExpectation(algorithms)
  }

  async #firstExpectation (algorithms: AlgorithmList): Promise<JwtExpectation> {
    const metadata = await this.#provider.metadata()
    const { KeySource } = await import('../oauth/jwks.ts')
    this.#keys ??= new KeySource({ fetchKeys: () => this.#fetchKeys(), now: this.#provider.clock.monotonic })
    return this.#expectation(algorithms, metadata, this.#keys)
  }

  #expectation (algorithms: AlgorithmList, metadata: AuthorizationServerMetadata, keys: KeySource): JwtExpectation {
    const listed = (known: AuthorizationServerMetadata) => this.#allowed(known[algorithms] as string[] | undefined)
    const { idTokenIssuer } = this.#config
    const areSeveral = typeof idTokenIssuer === 'function'
    return {
      provider: this.#name,
      issuer: areSeveral ? '' : idTokenIssuer ?? metadata.issuer,
      acceptIssuer: areSeveral ? idTokenIssuer : undefined,
      clientId: this.#config.clientId,
      keys,
      now: this.#provider.clock.now(),
      clockTolerance: this.#config.clockTolerance,
      trustedAudiences: this.#config.trustedAudiences,
      algorithms: listed(metadata),
      renewAlgorithms: async (algorithm) => {
        if (this.#config.securityProfile !== undefined && !fitsProfile(algorithm)) return undefined
        const newer = await this.#provider.renewedMetadata(metadata)
        return newer && listed(newer)
      }
    }
  }

  #allowed (promised: string[] | undefined): readonly string[] | undefined {
    if (this.#config.securityProfile === undefined) return promised
    const allowed = promised?.filter(fitsProfile) ?? []
    return allowed.length > 0 ? allowed : PROFILE_ALGORITHMS
  }

  async #fetchKeys (): Promise<JSONWebKeySet> {
    const url = await this.#provider.endpoint('jwks_uri')
    const answer = await this.#provider.http.send({
      url,
      method: 'GET',
      headers: { accept: 'application/json, application/jwk-set+json' }
    })
    const set = answer.status === 200 ? parseMembers(answer.text) : undefined
    if (!Array.isArray(set?.keys)) {
      const message = `the keys of provider "${this.#name}" could not be read; try again later, or check its jwks_uri`
      throw new ProviderUnavailableError(message, {
        provider: this.#name, responseStatus: answer.status, reason: 'jwks'
      })
    }
    return set as unknown as JSONWebKeySet
  }
}
