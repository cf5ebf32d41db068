import { InvalidResponseError, type OAuthErrorReason } from '../errors.ts'
import { excerptOf, type HttpResponse, parseMembers } from '../oauth/token-response.ts'
import { isUnavailable } from './http.ts'
import type { ProviderClient } from './provider.ts'
import { refusedForm } from './refused-form.ts'

const ENDPOINT = 'pushed_authorization_request_endpoint'
/** Characters of a `request_uri`: it goes into a URL, and RFC 9101, section 5.2 has 512 in mind. */
const MAX_REQUEST_URI = 2048
/** Parameters that a response may repeat, and that are in no error and no log. */
const SECRET_PARAMETERS = ['state', 'nonce', 'code_challenge', 'id_token_hint', 'login_hint', 'request']

/**
 * Sends an authorization request to the provider itself, authenticated as at the token endpoint (RFC 9126, section 2).
 * @returns the `request_uri` that stands for it
 * @throws FST_OAUTH_AUTHORIZATION_FAILED if the provider refuses it, FST_OAUTH_INVALID_RESPONSE,
 *   FST_OAUTH_INVALID_TOKEN_RESPONSE if the response is too large, FST_OAUTH_PROVIDER_UNAVAILABLE,
 *   FST_OAUTH_INVALID_OPTIONS if the provider has no such endpoint, FST_OAUTH_INSECURE_TRANSPORT
 */
export async function pushAuthorizationRequest (provider: ProviderClient, params: URLSearchParams): Promise<string> {
  params.delete('request_uri') // section 2.1
  const { name, http, authenticator, config: { clientSecret = '' } } = provider
  const send = () => provider.form(ENDPOINT, params)
  const answer = await authenticator.tryPost(await send(), send, isClientRefused)
  const sent = SECRET_PARAMETERS.flatMap(parameter => params.getAll(parameter))
  const members = parseMembers(answer.text) ?? {}
  const refused = refusedForm(provider, 'a pushed authorization request', answer.status, members, sent)
  if (isUnavailable(answer, refused)) throw http.unavailable(answer, [clientSecret, ...sent], refused)
  if (refused !== undefined) throw refused
  const unusable = (what: string, reason: OAuthErrorReason) => {
    const excerpt = excerptOf(answer.text, [clientSecret, ...sent])
    const message = `the pushed authorization request endpoint of provider "${name}" ${what}`
    return new InvalidResponseError(message, { provider: name, responseStatus: answer.status, excerpt, reason })
  }
  const { status } = answer
  if (status < 200 || status > 299) {
    throw unusable(`answered ${status}`, status >= 300 && status < 400 ? 'redirect' : 'status')
  }
  const { request_uri: requestUri } = members
  const isUsable = typeof requestUri === 'string' && requestUri.length <= MAX_REQUEST_URI &&
    /^[\x21-\x7e]+$/.test(requestUri) && URL.canParse(requestUri)
  if (!isUsable) throw unusable('sent no usable request_uri', 'unreadable_response')
  return requestUri
}

function isClientRefused ({ status, text }: HttpResponse): boolean {
  return status === 401 || (status === 400 && parseMembers(text)?.error === 'invalid_client')
}
