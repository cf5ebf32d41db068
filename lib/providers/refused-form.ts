import { AuthorizationFailedError, type OAuthError } from '../errors.ts'
import type { TokenMembers } from '../oauth/token-response.ts'
import { redact, secretsIn } from '../util/redact.ts'
import type { ProviderClient } from './provider.ts'

/**
 * The error that an endpoint named in its response (RFC 6749, section 5.2), or undefined if it named none.
 * @param request what was refused, for the message: `a device authorization`
 * @param sent values of the request that the response may repeat
 */
export function refusedForm (
  provider: ProviderClient, request: string, responseStatus: number, members: TokenMembers,
  sent: readonly string[] = []
): OAuthError | undefined {
  if (typeof members.error !== 'string' || members.error === '') return undefined
  const { clientSecret = '' } = provider.config
  const secrets = [clientSecret, ...sent, ...secretsIn(members)]
  const textOf = (value: unknown) => typeof value === 'string' ? redact(value, secrets) : undefined
  const oauthError = textOf(members.error)
  const refused = `provider "${provider.name}" refused ${request}: ${oauthError}`
  const remedy = oauthError === 'invalid_client' ? `; check ${provider.authenticator.options}` : ''
  return new AuthorizationFailedError(refused + remedy, {
    provider: provider.name,
    oauthError,
    oauthErrorDescription: textOf(members.error_description),
    oauthErrorUri: textOf(members.error_uri),
    responseStatus,
    reason: 'refused'
  })
}
