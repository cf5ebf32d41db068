import { InvalidOptionsError } from '../errors.ts'
import { fitsProfile, PROFILE_ALGORITHMS } from '../oauth/algorithms.ts'
import type { ClientAssertion } from '../oauth/client-assertion.ts'
import {
  type AuthenticateClient, type ClientAuthenticationFunction, type ClientAuthenticationMethod, clientIdOnly,
  clientSecretBasic, clientSecretPost, isTlsMethod
} from '../oauth/client-authentication.ts'
import type { AuthorizationServerMetadata } from '../oauth/discovery.ts'
import type { Clock } from '../util/clock.ts'
import { isNonEmptyText } from '../util/is-text.ts'
import type { ProviderConfig } from './config.ts'

/** Chooses the client authentication at a provider's endpoints (RFC 6749, section 2.3). */
export class ClientAuthenticator {
  readonly #config: ProviderConfig
  readonly #metadata: () => Promise<AuthorizationServerMetadata>
  readonly #clock: Clock
  #basic: AuthenticateClient | undefined
  /** Found by trying: the provider refuses Basic and accepts the form. */
  #prefersPost = false

  constructor (config: ProviderConfig, metadata: () => Promise<AuthorizationServerMetadata>, clock: Clock) {
    this.#config = config
    this.#metadata = metadata
    this.#clock = clock
  }

  /**
   * Sends a request once more, with the secret in the form, if Basic was refused and neither the options nor the
   * metadata name a method: servers must support Basic (RFC 6749, section 2.3.1), but some support the form alone.
   * @param response to the request as it was sent first
   * @param send sends it with the client authentication that `at` gives then
   * @param isRefused whether a response refuses the client
   * @returns the response that counts
   */
  async tryPost<R> (response: R, send: () => Promise<R>, isRefused: (response: R) => boolean): Promise<R> {
    if (!isRefused(response) || !await this.#mayTryPost()) return response
    this.#prefersPost = true
    const second = await send()
    if (isRefused(second)) this.#prefersPost = false
    return second
  }

  async #mayTryPost (): Promise<boolean> {
    const { clientAuthentication, clientSecret } = this.#config
    if (clientAuthentication !== undefined || clientSecret === undefined || this.#prefersPost) return false
    return (await this.#metadata()).token_endpoint_auth_methods_supported === undefined
  }

  /** After a refusal: whether Basic was used, encodes characters of id or secret, and the form was not tried. */
  async mayNeedPost (): Promise<boolean> {
    if (await this.#mayTryPost()) return false // it has been tried
    const { clientId, clientSecret, clientAuthentication = 'client_secret_basic' } = this.#config
    if (clientAuthentication !== 'client_secret_basic' || clientSecret === undefined) return false
    const supported = (await this.#metadata()).token_endpoint_auth_methods_supported
    return /[^\w.~-]/.test(clientId + clientSecret) && supported?.includes('client_secret_post') !== false
  }

  /** The options on which it depends whether the provider accepts the client, for a message. */
  get options (): string {
    const { clientSecret, clientAuthentication, signingKey, clientCertificate } = this.#config
    const isTls = isTlsMethod(clientAuthentication)
    const credentials = clientSecret !== undefined && !isTls
      ? 'clientSecret'
      : signingKey !== undefined && !isTls
        ? 'clientKeys'
        : isTls || clientCertificate !== undefined ? 'clientCertificate' : 'clientSecret'
    return `clientId, ${credentials} and clientAuthentication`
  }

  /** The client authentication at one endpoint. @param metadata the provider's, which has the endpoint */
  async at (url: URL, metadata: AuthorizationServerMetadata): Promise<AuthenticateClient> {
    const { clientId, clientSecret, clientAuthentication } = this.#config
    if (typeof clientAuthentication === 'function') return custom(clientAuthentication, url)
    const method = clientAuthentication ?? this.#usualMethod(metadata)
    if (method === 'private_key_jwt') return await this.#signedByKey(url)
    if (clientSecret === undefined || method === 'none' || isTlsMethod(method)) return clientIdOnly(clientId)
    if (method === 'client_secret_jwt') {
      const assertion = await this.#assertion(url)
      const { clientSecretJwt, givenAssertion } = await import('../oauth/client-assertion.ts')
      return typeof assertion === 'string' ? givenAssertion(assertion) : clientSecretJwt(clientSecret, assertion)
    }
    if (method === 'client_secret_post') return clientSecretPost(clientId, clientSecret)
    this.#basic ??= clientSecretBasic(clientId, clientSecret)
    return this.#basic
  }

  // Every server supports Basic (RFC 6749, section 2.3.1); the metadata of some has something else alone.
  #usualMethod (
    { token_endpoint_auth_methods_supported: supported = [] }: AuthorizationServerMetadata
  ): ClientAuthenticationMethod {
    const { clientSecret, signingKey, clientAssertion, clientCertificate } = this.#config
    if (this.#prefersPost) return 'client_secret_post'
    const canSign = signingKey !== undefined || typeof clientAssertion === 'function'
    if (clientSecret === undefined && !canSign) return clientCertificate === undefined ? 'none' : 'tls_client_auth'
    const isSupported = (method: ClientAuthenticationMethod) => supported.includes(method)
    if (clientSecret === undefined) {
      // The keys of other clients sign their request objects, or decrypt their ID tokens.
      if (isSupported('private_key_jwt')) return 'private_key_jwt'
      const takesCertificate = isSupported('tls_client_auth') || isSupported('self_signed_tls_client_auth')
      if (clientCertificate !== undefined && takesCertificate) return 'tls_client_auth'
      return isSupported('none') ? 'none' : 'private_key_jwt'
    }
    if (isSupported('client_secret_basic')) return 'client_secret_basic'
    if (isSupported('client_secret_post')) return 'client_secret_post'
    return canSign && isSupported('private_key_jwt') ? 'private_key_jwt' : 'client_secret_basic'
  }

  async #signedByKey (url: URL): Promise<AuthenticateClient> {
    const { signingKey, name, securityProfile } = this.#config
    const assertion = await this.#assertion(url)
    const { algorithmOfAssertion, givenAssertion, privateKeyJwt } = await import('../oauth/client-assertion.ts')
    if (typeof assertion === 'string') {
      const fits = securityProfile === undefined || fitsProfile(algorithmOfAssertion(assertion))
      if (fits) return givenAssertion(assertion)
      const fitting = PROFILE_ALGORITHMS.join(', ')
      const message = `clientAssertion of provider "${name}" gave an assertion that is not signed with ${fitting}`
      throw new InvalidOptionsError(message, { provider: name, reason: 'security_profile' })
    }
    if (signingKey !== undefined) return privateKeyJwt(signingKey, assertion)
    const message = `provider "${name}" has no key among clientKeys to sign with, and clientAssertion gave no assertion`
    throw new InvalidOptionsError(message, { provider: name, reason: 'client_key' })
  }

  // By default the authorization server's own identifier, one string, wherever the request goes: the issuer, or the
  // token endpoint if there is none (RFC 7523, section 3; FAPI 2.0 Security Profile, section 5.3.3.1).
  async #assertion (url: URL): Promise<ClientAssertion | string> {
    const { clientAssertion, issuer, name, securityProfile } = this.#config
    const metadata = await this.#metadata()
    const given = typeof clientAssertion === 'function'
      ? await clientAssertion({ endpoint: url.href, issuer: issuer === undefined ? undefined : metadata.issuer })
      : clientAssertion
    if (isNonEmptyText(given)) return given
    const server = issuer === undefined ? metadata.token_endpoint ?? url.href : metadata.issuer
    const refused = (what: string) => {
      const message = `clientAssertion of provider "${name}" gave ${what}`
      return new InvalidOptionsError(message, { provider: name, reason: 'configuration' })
    }
    if (given !== undefined && (typeof given !== 'object' || given === null)) {
      throw refused('neither an assertion nor { audience, header }')
    }
    const { audience = server, header = {}, ...unknown } = given ?? {}
    const [other] = Object.keys(unknown)
    if (other !== undefined) throw refused(`"${other}"; it can give \`audience\` and \`header\``)
    if (typeof header !== 'object' || header === null) throw refused('a header that is no object')
    const isList = Array.isArray(audience) && audience.length > 0 && audience.every(isNonEmptyText)
    if (!isNonEmptyText(audience) && !isList) {
      throw refused('an audience that is no string and no list of strings')
    }
    if (securityProfile !== undefined && audience !== metadata.issuer) {
      throw refused('an audience that is not the issuer, which its securityProfile asks for')
    }
    return { audience, header: header as Record<string, unknown>, now: this.#clock.now() }
  }
}

// A custom authentication may also add to the endpoint's query, as some providers want it.
function custom (authenticate: ClientAuthenticationFunction, url: URL): AuthenticateClient {
  return async (_server, _client, body, headers) => {
    const changed = new Headers([...headers])
    await authenticate({ url, body, headers: changed })
    headers.clear()
    for (const [name, value] of changed) headers.set(name, value)
  }
}
