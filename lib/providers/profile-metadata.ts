import { InvalidOptionsError } from '../errors.ts'
import { fitsProfile } from '../oauth/algorithms.ts'
import { isTlsMethod } from '../oauth/client-authentication.ts'
import type { AuthorizationServerMetadata } from '../oauth/discovery.ts'
import type { ProviderConfig } from './config.ts'

/**
 * Checks that a provider offers what `securityProfile` needs (FAPI 2.0 Security Profile, section 5.3.2).
 * @throws FST_OAUTH_INVALID_OPTIONS that lists all of what its metadata lacks
 */
export function assertProfile (config: ProviderConfig, metadata: AuthorizationServerMetadata): void {
  const { name, grantType, dpop, certificateBound, scope } = config
  const lacks: string[] = []
  const need = (what: string, isThere: boolean) => { if (!isThere) lacks.push(what) }
  const lists = (member: string, wanted: (value: string) => boolean, otherwise = false) => {
    const list = metadata[member]
    return Array.isArray(list) ? (list as string[]).some(wanted) : otherwise
  }
  const isCode = (value: string) => value === 'code'
  if (grantType === 'authorization_code') {
    const pushed = metadata.pushed_authorization_request_endpoint
    need('pushed_authorization_request_endpoint (RFC 9126)', typeof pushed === 'string')
    need('authorization_response_iss_parameter_supported (RFC 9207)',
      metadata.authorization_response_iss_parameter_supported === true)
    need('S256 among code_challenge_methods_supported (RFC 7636)',
      lists('code_challenge_methods_supported', value => value === 'S256'))
    need('code among response_types_supported', lists('response_types_supported', isCode, true))
    if (scope.includes('openid')) {
      need('PS256, ES256 or EdDSA among id_token_signing_alg_values_supported',
        lists('id_token_signing_alg_values_supported', fitsProfile, true))
    }
  }
  needAuthentication(config, need, lists)
  if (dpop === true) {
    need('ES256 among dpop_signing_alg_values_supported (RFC 9449)',
      lists('dpop_signing_alg_values_supported', value => value === 'ES256'))
  } else if (certificateBound === true) {
    need('tls_client_certificate_bound_access_tokens (RFC 8705)',
      metadata.tls_client_certificate_bound_access_tokens === true)
  }
  if (lacks.length === 0) return
  const message = `provider "${name}" does not offer what securityProfile 'fapi2' needs: its metadata has no ` +
    `${lacks.join(', no ')}; have it switched on there, or take securityProfile out`
  throw new InvalidOptionsError(message, { provider: name, reason: 'security_profile' })
}

function needAuthentication (
  { clientAuthentication, signingKey, clientAssertion, clientCertificate }: ProviderConfig,
  need: (what: string, isThere: boolean) => void,
  lists: (member: string, wanted: (value: string) => boolean, otherwise?: boolean) => boolean
): void {
  const canSign = signingKey !== undefined || typeof clientAssertion === 'function'
  const mayUse = (method: string) => typeof clientAuthentication === 'string'
    ? method === clientAuthentication
    : (method === 'private_key_jwt' && canSign) || (isTlsMethod(method) && clientCertificate !== undefined)
  const methods = ['private_key_jwt', 'tls_client_auth', 'self_signed_tls_client_auth'].filter(mayUse)
  need(`${methods.join(' or ')} among token_endpoint_auth_methods_supported`,
    lists('token_endpoint_auth_methods_supported', mayUse))
  if (signingKey !== undefined && methods.includes('private_key_jwt')) {
    need(`${signingKey.algorithms.join(' or ')} among token_endpoint_auth_signing_alg_values_supported`,
      lists('token_endpoint_auth_signing_alg_values_supported', value => signingKey.algorithms.includes(value), true))
  }
}
