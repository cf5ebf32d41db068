import { InsecureTransportError, InvalidOptionsError } from '../errors.ts'
import { isObject } from '../util/is-object.ts'
import { leadsInside } from '../util/network-zone.ts'
import { printable } from '../util/redact.ts'
import type { AuthorizationServerMetadata } from './discovery.ts'

/** The endpoints that the client itself calls; a browser has no certificate of the client's. */
const ENDPOINTS = [
  'token_endpoint', 'revocation_endpoint', 'introspection_endpoint', 'userinfo_endpoint',
  'device_authorization_endpoint', 'pushed_authorization_request_endpoint'
] as const

/**
 * The endpoints for clients with a TLS certificate, by their usual names (RFC 8705, section 5). They may be on another
 * host, but no further inside a network than the provider itself.
 * @throws FST_OAUTH_INSECURE_TRANSPORT, FST_OAUTH_INVALID_OPTIONS if one of them cannot be trusted
 */
export function mtlsAliases (
  provider: string, { issuer, mtls_endpoint_aliases: aliases }: AuthorizationServerMetadata
): Partial<Record<typeof ENDPOINTS[number], string>> {
  const found: Partial<Record<typeof ENDPOINTS[number], string>> = {}
  if (!isObject(aliases)) return found
  for (const name of ENDPOINTS) {
    const alias: unknown = Object.hasOwn(aliases, name) ? aliases[name] : undefined
    if (typeof alias !== 'string') continue
    assertTrusted(provider, name, alias, issuer)
    found[name] = alias
  }
  return found
}

function assertTrusted (provider: string, name: string, alias: string, issuer: string): void {
  const what = `the mtls_endpoint_aliases of provider "${provider}" have a ${name} that`
  const remedy = 'tell the provider, or write the endpoint into its options'
  const refuse = (problem: string) =>
    new InvalidOptionsError(`${what} ${problem}; ${remedy}`, { provider, reason: 'invalid_metadata' })
  if (!URL.canParse(alias)) throw refuse('is no URL')
  const [from, to] = [new URL(issuer), new URL(alias)]
  const shown = printable(to.origin)
  // Over plain http no certificate is shown; at a provider on plain http, which is a test, there is none anyway.
  if (to.protocol !== 'https:' && (to.protocol !== 'http:' || from.protocol === 'https:')) {
    throw new InsecureTransportError(`${what} is not https (${shown}); ${remedy}`, { provider })
  }
  if (to.username !== '' || to.password !== '') throw refuse('holds credentials')
  if (leadsInside(from, to)) {
    throw refuse(`leads from ${from.origin} to ${shown}, in a private network or on this machine`)
  }
}
