import { InvalidOptionsError } from '../errors.ts'
import type { ProviderConfig } from '../providers/config.ts'

/**
 * How a login shows its code verifier beforehand (RFC 7636, section 4.2), or undefined for not at all.
 * @param pkce in place of the provider's own
 * @throws FST_OAUTH_INVALID_OPTIONS
 */
export function challengeMethod (
  { name, grantType, clientSecret, ...config }: ProviderConfig,
  pkce = config.pkce
): 'S256' | 'plain' | undefined {
  if (grantType === 'implicit') return undefined
  if (pkce === 'S256' || pkce === 'plain') return pkce
  if (pkce !== false) throw new InvalidOptionsError(`pkce is ${JSON.stringify(pkce)}; write 'S256'`, { provider: name })
  // A client without a secret has nothing else to protect its code.
  return clientSecret === undefined ? 'S256' : undefined
}
