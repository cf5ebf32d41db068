import { strings } from './documents.ts'
import type { Metadata } from './metadata.ts'
import { isOpenId } from './oddities.ts'

/** One thing that a provider offers or does not, in plain words. */
export interface Offer {
  /** Stable, for scripts. */
  id: string
  offered: boolean
  /** What it is. */
  what: string
  /** How, or what it means. */
  detail?: string
}

/** What a provider offers, as its metadata has it. */
export function offersOf (metadata: Metadata): Offer[] {
  const list = (name: string) => strings(metadata[name])
  const has = (name: string) => metadata[name] !== undefined
  const modes = list('response_modes_supported')
  const scopes = list('scopes_supported')
  const methods = list('token_endpoint_auth_methods_supported')
  const algorithms = list('id_token_signing_alg_values_supported')
  const refreshes = list('grant_types_supported').includes('refresh_token')
  const pushes = has('pushed_authorization_request_endpoint')
  const signs = has('request_object_signing_alg_values_supported') || metadata.request_parameter_supported === true
  const mtls = metadata.tls_client_certificate_bound_access_tokens === true
  return [
    offer('openid', isOpenId(metadata), 'OpenID Connect: ID tokens', signedWith(algorithms)),
    offer('pkce', list('code_challenge_methods_supported').includes('S256'), 'PKCE with S256 (RFC 7636)'),
    offer('refresh', refreshes || scopes.includes('offline_access'), 'Refresh tokens', scopes.includes('offline_access')
      ? 'with the scope offline_access'
      : refreshes ? 'the metadata names no scope for them' : 'the metadata does not say so'),
    offer('client_authentication', true, 'Client authentication', methods.length > 0
      ? methods.join(', ')
      : 'not said: client_secret_basic is what every provider has'),
    offer('userinfo', has('userinfo_endpoint'), 'Userinfo', signedWith(list('userinfo_signing_alg_values_supported'))),
    offer('rp_logout', has('end_session_endpoint'), 'Logout at the provider (RP-initiated)',
      'register the address to return to'),
    offer('backchannel_logout', metadata.backchannel_logout_supported === true,
      'Logout by the provider (back-channel)', metadata.backchannel_logout_session_supported === true
        ? 'of single sessions too'
        : "of all of a user's sessions"),
    offer('revocation', has('revocation_endpoint'), 'Token revocation (RFC 7009)'),
    offer('introspection', has('introspection_endpoint'), 'Token introspection (RFC 7662)'),
    offer('device', has('device_authorization_endpoint'), 'Logins on devices (RFC 8628)'),
    offer('par', pushes, 'Pushed authorization requests (PAR, RFC 9126)',
      metadata.require_pushed_authorization_requests === true
        ? 'required; the plugin sends them by itself'
        : 'with pushedAuthorizationRequests: true'),
    offer('jar', signs, 'Signed authorization requests (JAR, RFC 9101)', 'with requestObjects: true and clientKeys'),
    offer('dpop', has('dpop_signing_alg_values_supported'), 'Tokens bound to a key (DPoP, RFC 9449)',
      'with dpop: true'),
    offer('mtls', mtls, 'Tokens bound to a TLS certificate (RFC 8705)', 'with clientCertificate'),
    offer('iss', metadata.authorization_response_iss_parameter_supported === true,
      'Responses that name their issuer (RFC 9207)'),
    offer('jarm', modes.some(mode => mode.endsWith('jwt')), 'Signed authorization responses (JARM)',
      "with responseMode: 'query.jwt'"),
    offer('response_modes', true, 'Response modes', modes.join(', ') || 'not said: query and fragment'),
    offer('rar', has('authorization_details_types_supported'), 'Rich authorization requests (RFC 9396)',
      'with authorizationDetails')
  ]
}

function offer (id: string, offered: boolean, what: string, detail?: string): Offer {
  return { id, offered, what, ...(offered && detail !== undefined && detail !== '' && { detail }) }
}

const signedWith = (algorithms: string[]) => algorithms.length > 0 ? `signed with ${algorithms.join(', ')}` : ''
