import type { AuthorizationServer } from 'oauth4webapi'
import { InvalidOptionsError } from '../errors.ts'
import type { AuthenticateClient } from './client-authentication.ts'
import { type RequestParameters, setParameters } from './urls.ts'

/** A request to an endpoint of the provider. */
interface FormRequest {
  headers: Record<string, string>
  body: URLSearchParams
}

/** What a token request is built from. */
export interface TokenRequest {
  provider: string
  server: AuthorizationServer
  clientId: string
  clientAuth: AuthenticateClient
  grantType: string
  /** The grant's own parameters (code, refresh_token, …). They cannot be replaced. */
  grant: Record<string, string | undefined>
  /** Further parameters: `resource`, `audience`, … */
  params?: readonly (RequestParameters | undefined)[]
  headers?: Record<string, string>
}

/** Parameters that `params` must not replace. */
const RESERVED = ['grant_type', 'client_secret', 'client_assertion', 'client_assertion_type']

/**
 * Builds a token request: form, client authentication and headers (RFC 6749, section 3.2).
 * @throws FST_OAUTH_INVALID_OPTIONS if a further parameter would replace the grant or the client
 */
export async function buildTokenRequest (request: TokenRequest): Promise<FormRequest> {
  const { provider, server, clientId, clientAuth, grantType, grant } = request
  const form = new URLSearchParams()
  for (const params of request.params ?? []) setParameters(form, params)
  const givenSecret = form.size === 0 ? null : checkFurther(form, request)
  for (const name in grant) {
    const value = grant[name]
    if (value !== undefined) form.set(name, value)
  }
  form.set('grant_type', grantType)
  const further = furtherHeaders(request)
  const authenticated = new Map([['accept', 'application/json']])
  await clientAuth(server, { client_id: clientId }, form, authenticated)
  const headers: Record<string, string> = {}
  for (const [name, value] of authenticated) headers[name] = value
  const built = {
    headers: Object.assign(headers, further, { 'content-type': 'application/x-www-form-urlencoded' }),
    body: form
  }
  assertOneAuthentication(provider, givenSecret, built)
  return built
}

/**
 * Checks the further parameters, the only ones yet in a form.
 * @returns the `client_secret` among them
 * @throws FST_OAUTH_INVALID_OPTIONS
 */
function checkFurther (form: URLSearchParams, { provider, clientId, grantType }: TokenRequest): string | null {
  for (const name of RESERVED) {
    const same = (name === 'client_secret') || (name === 'grant_type' && form.get(name) === grantType)
    if (form.has(name) && !same) throw reserved(provider, name)
  }
  if (form.has('client_id') && form.get('client_id') !== clientId) throw reserved(provider, 'client_id')
  return form.get('client_secret')
}

/**
 * Refuses a client secret among further parameters if the client is authenticated by something else as well: a
 * request has one client authentication (RFC 6749, section 2.3), and strict servers refuse two.
 * @param given the `client_secret` among the parameters that the app gave
 * @param built the request as it would be sent
 * @throws FST_OAUTH_INVALID_OPTIONS
 */
export function assertOneAuthentication (
  provider: string, given: string | null, { headers, body }: Pick<FormRequest, 'headers' | 'body'>
): void {
  if (given === null) return
  const another =
    headers.authorization !== undefined || body.has('client_assertion') || body.get('client_secret') !== given
  if (!another) return
  throw new InvalidOptionsError(
    `parameter "client_secret" of a request to provider "${provider}" would authenticate the client a second time; ` +
      "take it out: the clientSecret of the provider's options is sent by itself, in the form with " +
      "clientAuthentication: 'client_secret_post'",
    { provider, reason: 'second_authentication' }
  )
}

// Added to the headers that each request has.
function furtherHeaders ({ provider, headers }: TokenRequest): Record<string, string> | undefined {
  if (headers === undefined) return undefined
  const named = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
  if (named.authorization !== undefined) {
    throw new InvalidOptionsError(
      `a token request to provider "${provider}" cannot have an Authorization header of its own; write a ` +
        'clientAuthentication function',
      { provider }
    )
  }
  return named
}

function reserved (provider: string, name: string) {
  return new InvalidOptionsError(
    `parameter "${name}" of a token request to provider "${provider}" is set by the plugin and cannot be given`,
    { provider }
  )
}
