import {
  type AuthorizationRequest, authorizationParameters, buildAuthorizationUrl, prepareAuthorizationUrl
} from '../oauth/authorization-request.ts'
import { setQuery } from '../oauth/urls.ts'
import type { ProviderClient } from './provider.ts'

/** Kinds of authorization URLs, by scope and redirect URI, that are prepared. */
const MAX_PREPARED = 4

/** The URLs that logins at one provider start with. */
export class AuthorizationUrls {
  readonly #provider: ProviderClient
  /** The newest first; `kind`: what the URLs of one kind have in common. */
  readonly #prepared: { kind: unknown[], urlOf: ReturnType<typeof prepareAuthorizationUrl> }[] = []

  constructor (provider: ProviderClient) {
    this.#provider = provider
  }

  /**
   * Builds the URL that a login starts with. If the options or the metadata say so, the request is signed (RFC
   * 9101), or pushed to the provider first (RFC 9126), or both.
   * @param options.usual the further parameters are those of the provider's options, the same at each login
   */
  async build (request: Omit<AuthorizationRequest, 'clientId'>, { usual }: { usual: boolean }): Promise<string> {
    const metadata = this.#provider.knownMetadata ?? await this.#provider.metadata()
    const { authorization_endpoint: written = '' } = metadata
    const { pushedAuthorizationRequests, requestObjects } = this.#provider.config
    const isPushed = pushedAuthorizationRequests ?? metadata.require_pushed_authorization_requests === true
    const isSigned = requestObjects ?? metadata.require_signed_request_object === true
    if (isPushed || isSigned) return await this.#referredUrl(request, { isPushed, isSigned })
    const { responseType, redirectUri, scope, codeVerifier, codeChallengeMethod, nonce, responseMode } = request
    const isAlikeOthers = usual && request.dpopJkt === undefined
    const method = codeVerifier !== undefined && codeChallengeMethod
    const hasNonce = nonce !== undefined
    const kind = [written, responseType, redirectUri, method, hasNonce, responseMode, ...scope]
    const isAlike = (other: unknown[]) => other.length === kind.length && other.every((item, at) => item === kind[at])
    const prepared = isAlikeOthers ? this.#prepared.find(({ kind }) => isAlike(kind)) : undefined
    if (prepared !== undefined) return prepared.urlOf(request)
    const endpoint = await this.#endpoint(written)
    const whole = this.#withClient(request)
    if (isAlikeOthers) {
      this.#prepared.unshift({ kind, urlOf: prepareAuthorizationUrl(endpoint, whole) })
      this.#prepared.splice(MAX_PREPARED)
    }
    return buildAuthorizationUrl(endpoint, whole)
  }

  /** The URL whose request is in a request object, or is referred to by a `request_uri`. */
  async #referredUrl (
    request: Omit<AuthorizationRequest, 'clientId'>, { isPushed, isSigned }: { isPushed: boolean, isSigned: boolean }
  ): Promise<string> {
    const { authorization_endpoint: written = '' } = await this.#provider.metadata()
    const endpoint = await this.#endpoint(written)
    let params = authorizationParameters(this.#withClient(request))
    if (isSigned) {
      const { queryOf, signedRequest } = await import('./signed-request.ts')
      const signed = await signedRequest(this.#provider, params)
      if (!isPushed) return setQuery(endpoint, queryOf(signed, params))
      params = signed
    }
    const { pushAuthorizationRequest } = await import('./pushed-authorization.ts')
    const requestUri = await pushAuthorizationRequest(this.#provider, params)
    const { clientId } = this.#provider.config
    return setQuery(endpoint, new URLSearchParams({ client_id: clientId, request_uri: requestUri }))
  }

  /** As the provider wrote it, unless it does not fit into a Location header. */
  async #endpoint (written: string): Promise<string> {
    const { href } = await this.#provider.endpoint('authorization_endpoint')
    return /^[\x21-\x7e]+$/.test(written) ? written : href
  }

  #withClient (request: Omit<AuthorizationRequest, 'clientId'>): AuthorizationRequest {
    const { clientId, scopeSeparator } = this.#provider.config
    return { clientId, scopeSeparator, ...request }
  }
}
