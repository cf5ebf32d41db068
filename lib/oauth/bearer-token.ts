import { UnsupportedTokenTypeError } from '../errors.ts'
import type { TokenSet } from './token-set.ts'

/** The value of the Authorization header (RFC 6750, section 2.1). @throws FST_OAUTH_UNSUPPORTED_TOKEN_TYPE */
export function authorizationOf ({ accessToken, tokenType }: TokenSet, provider: string): string {
  if (tokenType !== 'Bearer' && tokenType.toLowerCase() !== 'bearer') {
    throw new UnsupportedTokenTypeError(
      `provider "${provider}" issued a token of type "${tokenType.slice(0, 40)}", which cannot be sent as a bearer ` +
        'token',
      { provider }
    )
  }
  return `Bearer ${accessToken}`
}
