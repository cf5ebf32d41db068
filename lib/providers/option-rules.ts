import { CLIENT_AUTHENTICATION_METHODS } from '../oauth/client-authentication.ts'
import * as is from './option-checks.ts'
import type { ProviderHooks, ProviderOptions } from './options.ts'
import { checkProfile } from './security-profile.ts'

/** How one option is checked and completed. */
export interface OptionRule<Value> {
  /** Reports what is wrong with a value. */
  check: is.OptionCheck<Value>
  /** The value if none is given. */
  default?: Value
  /** The member of the provider's metadata that the option stands for (RFC 8414, section 2). */
  metadata?: string
}

/** How each option is checked, and its default; a new option is a member of `ProviderOptions` and an entry here. */
export const PROVIDER_OPTIONS = {
  title: { check: is.text },
  issuer: { check: is.issuer },
  authorizationEndpoint: { check: is.providerUrl, metadata: 'authorization_endpoint' },
  pushedAuthorizationRequestEndpoint: {
    check: is.providerUrl, metadata: 'pushed_authorization_request_endpoint'
  },
  tokenEndpoint: { check: is.providerUrl, metadata: 'token_endpoint' },
  userinfoEndpoint: { check: is.providerUrl, metadata: 'userinfo_endpoint' },
  revocationEndpoint: { check: is.providerUrl, metadata: 'revocation_endpoint' },
  introspectionEndpoint: { check: is.providerUrl, metadata: 'introspection_endpoint' },
  endSessionEndpoint: { check: is.providerUrl, metadata: 'end_session_endpoint' },
  deviceAuthorizationEndpoint: { check: is.providerUrl, metadata: 'device_authorization_endpoint' },
  jwksUri: { check: is.providerUrl, metadata: 'jwks_uri' },
  idTokenIssuer: { check: is.idTokenIssuer },
  grantType: {
    check: is.oneOf('authorization_code', 'implicit', 'password', 'client_credentials', 'device_code'),
    default: 'authorization_code'
  },
  clientId: { check: is.clientId },
  clientSecret: { check: is.clientSecret },
  clientAuthentication: { check: is.oneOfOrFunction(...CLIENT_AUTHENTICATION_METHODS) },
  clientKeys: { check: is.clientKeys },
  encryptedIdToken: { check: is.encryptedIdToken, default: false },
  clientAssertion: { check: is.clientAssertion },
  clientCertificate: { check: is.clientCertificate },
  tlsClientCertificateBoundAccessTokens: { check: is.boolean },
  securityProfile: { check: checkProfile },
  redirectUri: { check: is.redirectUri },
  scope: { check: is.scope },
  scopeSeparator: { check: is.text, default: ' ' },
  pushedAuthorizationRequests: { check: is.pushedAuthorizationRequests },
  requestObjects: { check: is.requestObjects },
  authorizationParams: { check: is.authorizationParams },
  authorizationDetails: { check: is.authorizationDetails },
  tokenParams: { check: is.tokenParams },
  refreshParams: { check: is.tokenParams },
  pkce: { check: is.pkce, default: 'S256' },
  callbackParams: { check: is.callbackParams },
  forwardedLoginParams: { check: is.list, default: [] },
  tokenEndpointMethod: { check: is.oneOf('POST', 'GET'), default: 'POST' },
  tokenRequestPlacement: { check: is.oneOf('body', 'query'), default: 'body' },
  requireTokenType: { check: is.boolean, default: false },
  responseMode: { check: is.responseMode },
  responseType: { check: is.responseType, default: 'code' },
  resourceServers: { check: is.resourceServers },
  dpop: { check: is.dpop, default: false },
  tokenPlacement: { check: is.oneOf('header', 'query', 'body'), default: 'header' },
  refresh: { check: is.oneOf('auto', 'notify', 'manual') },
  expiryLeeway: { check: is.number(0), default: 30 },
  defaultExpiresIn: { check: is.number(1) },
  requestTimeout: { check: is.timerMs, default: 10_000 },
  clockTolerance: { check: is.number(0), default: 60 },
  trustedAudiences: { check: is.list, default: [] },
  refreshAhead: { check: is.boolean, default: true },
  idleTimeout: { check: is.number(1) },
  absoluteTimeout: { check: is.number(1) },
  revokeAtLogout: { check: is.boolean, default: true },
  postLogoutRedirectUri: { check: is.appUrl },
  profileSource: { check: is.oneOf('id_token', 'userinfo', 'auto'), default: 'auto' },
  refreshProfile: { check: is.boolean, default: false },
  fetchProfile: { check: is.func },
  userProfile: { check: is.func },
  conform: { check: is.func },
  hooks: {
    check: is.functions<keyof ProviderHooks>('accessTokenRequest', 'accessTokenResponse', 'refreshTokenRequest',
      'refreshTokenResponse', 'protectedRequest'),
    default: {}
  },
  allowInsecureRequests: { check: is.boolean, default: false }
} as const satisfies { [Name in keyof ProviderOptions]-?: OptionRule<Required<ProviderOptions>[Name]> }
