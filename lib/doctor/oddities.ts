import { isAccepted } from '../oauth/algorithms.ts'
import { CLIENT_AUTHENTICATION_METHODS } from '../oauth/client-authentication.ts'
import { isLoopback } from '../oauth/urls.ts'
import { strings } from './documents.ts'
import { type Finding, note, problem } from './finding.ts'
import type { Metadata } from './metadata.ts'

const REQUIRED = ['authorization_endpoint', 'token_endpoint']

/** Whether a provider issues ID tokens, by its metadata. */
export function isOpenId (metadata: Metadata): boolean {
  return metadata.id_token_signing_alg_values_supported !== undefined || metadata.userinfo_endpoint !== undefined ||
    strings(metadata.scopes_supported).includes('openid')
}

/** What is odd about a provider's metadata. */
export function odditiesOf (issuer: string, metadata: Metadata): Finding[] {
  return [
    ...ofEndpoints(issuer, metadata), ...ofFlow(metadata), ...ofIdTokens(metadata), ...ofClients(metadata)
  ]
}

function ofEndpoints (issuer: string, metadata: Metadata): Finding[] {
  const findings: Finding[] = []
  const missing = REQUIRED.filter(name => metadata[name] === undefined)
  if (missing.length > 0) {
    findings.push(problem('endpoint_missing', `the metadata has no ${missing.join(' and no ')}: nobody can log in`))
  }
  const hosts = new Map<string, string[]>()
  for (const [name, value] of Object.entries(metadata)) {
    if (!/_endpoint$|^jwks_uri$/.test(name)) continue
    if (typeof value !== 'string' || !URL.canParse(value)) {
      findings.push(problem('endpoint_url', `${name} is no URL: ${JSON.stringify(value)}`))
      continue
    }
    const url = new URL(value)
    if (url.protocol === 'http:' && !isLoopback(url.hostname)) {
      findings.push(problem('endpoint_http', `${name} is on plain http (${value}): the plugin refuses to use it`))
    }
    if (url.host !== new URL(issuer).host) hosts.set(url.host, [...hosts.get(url.host) ?? [], name])
  }
  if (hosts.size > 0) {
    const list = [...hosts].map(([host, names]) => `${host} (${names.join(', ')})`).join(', ')
    const where = `endpoints are on other hosts than the issuer: ${list}`
    findings.push(note('other_hosts', `${where}. Is each one the provider's?`))
  }
  return findings
}

function ofFlow (metadata: Metadata): Finding[] {
  const findings: Finding[] = []
  const methods = metadata.code_challenge_methods_supported
  if (methods === undefined) {
    const said = 'the metadata does not say that PKCE is supported (code_challenge_methods_supported)'
    findings.push(note('pkce_unsaid', `${said}; the plugin sends S256 all the same, which such providers ignore`))
  } else if (!strings(methods).includes('S256')) {
    const plain = strings(methods).includes('plain')
    findings.push(problem('no_s256', 'PKCE is offered without S256' + (plain
      ? ": write pkce: 'plain', and ask the provider for S256"
      : ': nothing but the secret protects the code')))
  }
  const types = strings(metadata.response_types_supported)
  if (metadata.response_types_supported !== undefined && !types.includes('code')) {
    findings.push(problem('no_code', 'response_types_supported has no "code": the code flow is not offered'))
  }
  const grants = metadata.grant_types_supported
  if (grants !== undefined && !strings(grants).includes('refresh_token')) {
    const what = 'grant_types_supported has no refresh_token: a login is over with its access token'
    findings.push(note('no_refresh', what))
  }
  return findings
}

function ofIdTokens (metadata: Metadata): Finding[] {
  if (!isOpenId(metadata)) return []
  const findings: Finding[] = []
  if (metadata.jwks_uri === undefined) {
    findings.push(problem('jwks_missing', 'the metadata has no jwks_uri: no ID token can be checked'))
  }
  const algorithms = strings(metadata.id_token_signing_alg_values_supported)
  if (algorithms.includes('none')) {
    findings.push(note('alg_none', 'unsigned ID tokens are offered (alg "none"); the plugin never accepts one'))
  }
  if (algorithms.length > 0 && !algorithms.some(isAccepted)) {
    const named = algorithms.join(', ')
    const remedy = "have the provider sign with RS256 or ES256, or use profileSource: 'userinfo' without an issuer"
    const what = `ID tokens are signed with ${named} alone, which the plugin refuses`
    findings.push(problem('algorithms', `${what}; ${remedy}`))
  }
  return findings
}

function ofClients (metadata: Metadata): Finding[] {
  const findings: Finding[] = []
  const methods = metadata.token_endpoint_auth_methods_supported
  const known: readonly string[] = CLIENT_AUTHENTICATION_METHODS
  if (methods !== undefined && !strings(methods).some(name => known.includes(name))) {
    const named = strings(methods).join(', ') || 'none'
    const what = `clients authenticate with ${named}, which the plugin does not know`
    findings.push(problem('client_authentication', `${what}; write a clientAuthentication function`))
  }
  if (metadata.require_signed_request_object === true) {
    findings.push(note('signed_requests', 'authorization requests have to be signed (JAR): give clientKeys'))
  }
  if (metadata.authorization_response_iss_parameter_supported !== true) {
    const mixUp = 'with several providers in one app, responses cannot be told apart by it (RFC 9207)'
    findings.push(note('no_iss', `authorization responses do not name their issuer; ${mixUp}`))
  }
  return findings
}
