import { InvalidOptionsError } from '../errors.ts'
import type { ClientAssertion, privateKeyJwt } from '../oauth/client-assertion.ts'
import {
  type AuthenticateClient, type ClientAuthenticationFunction, clientIdOnly, clientSecretBasic, clientSecretPost
} from '../oauth/client-authentication.ts'
import type { AuthorizationServerMetadata } from '../oauth/discovery.ts'
import type { ProviderConfig } from './config.ts'

/** Chooses the client authentication at a provider's endpoints (RFC 6749, section 2.3). */
export class ClientAuthenticator {
  readonly #config: ProviderConfig
  readonly #metadata: () => Promise<AuthorizationServerMetadata>
  #basic: AuthenticateClient | undefined
  #signAssertion: ReturnType<typeof privateKeyJwt> | undefined
  /** Found by trying: the provider refuses Basic and accepts the form. */
  #prefersPost = false

  constructor (config: ProviderConfig, metadata: () => Promise<AuthorizationServerMetadata>) {
    this.#config = config
    this.#metadata = metadata
  }

  /**
   * Whether the form may be tried after Basic was refused as `invalid_client`, where neither the options nor the
   * metadata name a method: servers must support Basic, but some support the form alone.
   */
  async mayTryPost (): Promise<boolean> {
    const { clientAuthentication, clientSecret } = this.#config
    if (clientAuthentication !== undefined || clientSecret === undefined || this.#prefersPost) return false
    return (await this.#metadata()).token_endpoint_auth_methods_supported === undefined
  }

  /** Whether Basic is used and encodes characters of id or secret, and the provider may accept the form as well. */
  async isEncodedInBasic (): Promise<boolean> {
    const { clientId, clientSecret, clientAuthentication = 'client_secret_basic' } = this.#config
    if (clientAuthentication !== 'client_secret_basic' || clientSecret === undefined) return false
    const supported = (await this.#metadata()).token_endpoint_auth_methods_supported
    return /[^\w.~-]/.test(clientId + clientSecret) && supported?.includes('client_secret_post') !== false
  }

  /** Notes whether the provider accepts the form in place of Basic. */
  preferPost (works: boolean): void { this.#prefersPost = works }

  /** The client authentication at one endpoint. */
  async at (url: URL): Promise<AuthenticateClient> {
    const { clientId, clientSecret, clientAuthentication, clientPrivateKey } = this.#config
    if (typeof clientAuthentication === 'function') return custom(clientAuthentication, url)
    if (clientAuthentication === 'private_key_jwt') {
      const { privateKeyJwt } = await import('../oauth/client-assertion.ts')
      this.#signAssertion ??= privateKeyJwt(clientPrivateKey!)
      return this.#signAssertion(await this.#assertion(url))
    }
    if (clientSecret === undefined || clientAuthentication === 'none' || clientAuthentication === 'tls_client_auth') {
      return clientIdOnly(clientId)
    }
    if (clientAuthentication === 'client_secret_jwt') {
      const { clientSecretJwt } = await import('../oauth/client-assertion.ts')
      return clientSecretJwt(clientSecret, await this.#assertion(url))
    }
    if (clientAuthentication === 'client_secret_post' || this.#prefersPost) {
      return clientSecretPost(clientId, clientSecret)
    }
    if (clientAuthentication === undefined) {
      // Every server supports Basic (RFC 6749, section 2.3.1); the metadata of some has the form alone.
      const supported = (await this.#metadata()).token_endpoint_auth_methods_supported
      if (supported?.includes('client_secret_post') === true && !supported.includes('client_secret_basic')) {
        return clientSecretPost(clientId, clientSecret)
      }
    }
    this.#basic ??= clientSecretBasic(clientId, clientSecret)
    return this.#basic
  }

  // By default the authorization server's own identifier, wherever the request goes: the issuer, or the token endpoint
  // where there is none (RFC 7523, section 3).
  async #assertion (url: URL): Promise<ClientAssertion> {
    const { clientAssertion, issuer, name } = this.#config
    const metadata = await this.#metadata()
    const given = typeof clientAssertion === 'function'
      ? await clientAssertion({ endpoint: url.href, issuer: issuer === undefined ? undefined : metadata.issuer })
      : clientAssertion
    const server = issuer === undefined ? metadata.token_endpoint ?? url.href : metadata.issuer
    const { audience = server, header = {}, ...unknown } = given ?? {}
    const refused = (what: string) => {
      const message = `clientAssertion of provider "${name}" gave ${what}`
      return new InvalidOptionsError(message, { provider: name, reason: 'configuration' })
    }
    const [other] = Object.keys(unknown)
    if (other !== undefined) throw refused(`"${other}"; it can give \`audience\` and \`header\``)
    if (typeof header !== 'object' || header === null) throw refused('a header that is no object')
    if (!isText(audience) && !(Array.isArray(audience) && audience.every(isText))) {
      throw refused('an audience that is no string and no list of strings')
    }
    return { audience, header: header as Record<string, unknown> }
  }
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''

// A custom authentication may also add to the endpoint's query, as some providers want it.
function custom (authenticate: ClientAuthenticationFunction, url: URL): AuthenticateClient {
  return async (_server, _client, body, headers) => {
    const changed = new Headers([...headers])
    await authenticate({ url, body, headers: changed })
    headers.clear()
    for (const [name, value] of changed) headers.set(name, value)
  }
}
