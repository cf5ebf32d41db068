import { fitsProfile, PROFILE_ALGORITHMS } from '../oauth/algorithms.ts'
import { isTlsMethod } from '../oauth/client-authentication.ts'
import { parseClientKeys } from '../oauth/client-keys.ts'
import { shown } from '../util/shown.ts'
import type { OptionCheck } from './option-checks.ts'
import type { ProviderOptions, SecurityProfile } from './options.ts'

type Fixed = { [Name in keyof ProviderOptions]?: readonly unknown[] }

/** Options that the profile decides → the values that they may have (sections 5.3.3.1 and 5.3.3.2). */
const FIXED: Fixed = {
  grantType: ['authorization_code', 'client_credentials', 'device_code'],
  clientAuthentication: ['private_key_jwt', 'tls_client_auth', 'self_signed_tls_client_auth'],
  pushedAuthorizationRequests: [true],
  pkce: ['S256'],
  responseType: ['code'],
  tokenPlacement: ['header'],
  tokenEndpointMethod: ['POST'],
  tokenRequestPlacement: ['body'],
  allowInsecureRequests: [false]
}

const PROFILE = "securityProfile is 'fapi2'"

/** The options with what their profile switches on; what is written stays, and is checked. */
export function withProfile (options: ProviderOptions): ProviderOptions {
  if (options.securityProfile !== 'fapi2') return options
  const isBound = options.tlsClientCertificateBoundAccessTokens ?? options.clientCertificate !== undefined
  return {
    ...options,
    pushedAuthorizationRequests: options.pushedAuthorizationRequests ?? true,
    dpop: options.dpop ?? !isBound
  }
}

/** Reports every option that the profile needs and that is missing, and every one that contradicts it. */
export const checkProfile: OptionCheck<SecurityProfile> = (check, path, value, options) => {
  check.oneOf(path, value, ['fapi2'])
  if (value !== 'fapi2') return
  const at = (option: keyof ProviderOptions) => path.replace(/securityProfile$/, option)
  if (options.issuer === undefined) {
    check.add(at('issuer'), `is missing; write it: ${PROFILE}, which takes the endpoints from the provider's metadata`)
  }
  for (const [name, allowed] of Object.entries(FIXED) as [keyof ProviderOptions, readonly unknown[]][]) {
    const given = options[name]
    if (given === undefined || allowed.includes(given)) continue
    check.add(at(name), `is ${shown(given)}, and ${PROFILE}, which needs ${allowed.map(asWritten).join(' or ')}`)
  }
  checkAuthentication(options, (option, problem) => check.add(at(option), problem))
  const isBound = options.tlsClientCertificateBoundAccessTokens ?? options.clientCertificate !== undefined
  if (options.dpop !== true && !isBound) {
    const remedy = 'write `dpop: true`, or a `clientCertificate` that the tokens are bound to'
    check.add(at('dpop'), `is off, and ${PROFILE}, which needs sender-constrained tokens; ${remedy}`)
  }
}

function checkAuthentication (
  options: ProviderOptions, report: (option: keyof ProviderOptions, problem: string) => void
): void {
  const { clientAuthentication: method, clientSecret, clientCertificate, clientAssertion, issuer } = options
  const hasAssertion = typeof clientAssertion === 'function'
  const keys = parseClientKeys(options.clientKeys).filter(({ use }) => use === 'sig')
  if (method === undefined && clientSecret !== undefined) {
    const remedy = 'take it out, and write `clientKeys` or `clientCertificate`'
    report('clientSecret', `cannot authenticate the client: ${PROFILE}; ${remedy}`)
  } else if (method === undefined && options.clientKeys === undefined && !hasAssertion && !clientCertificate) {
    const remedy = 'write `clientKeys` (private_key_jwt) or `clientCertificate` (tls_client_auth)'
    report('securityProfile', `needs a client that proves who it is; ${remedy}`)
  }
  for (const { algorithms } of keys) {
    if (isTlsMethod(method) || algorithms.some(fitsProfile)) continue
    const fitting = PROFILE_ALGORITHMS.join(', ')
    report('clientKeys', `signs with ${algorithms.join(', ')}, and ${PROFILE}, which takes ${fitting}`)
  }
  if (typeof clientAssertion !== 'object' || clientAssertion === null) return
  const { audience, header } = clientAssertion
  if (audience !== undefined && audience !== issuer) {
    report('clientAssertion', `has an audience that is not the issuer, and ${PROFILE}; leave it out`)
  }
  if (typeof header?.alg === 'string' && !fitsProfile(header.alg)) {
    const fitting = PROFILE_ALGORITHMS.join(', ')
    report('clientAssertion', `has the alg "${header.alg}", and ${PROFILE}, which takes ${fitting}`)
  }
}

/** A value as it is written in the options. */
const asWritten = (value: unknown) => typeof value === 'string' ? `'${value}'` : String(value)
