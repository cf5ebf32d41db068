import { UnsupportedTokenTypeError } from '../errors.ts'
import { redact } from '../util/redact.ts'
import type { TokenSet } from './token-set.ts'

const NO_KEY = ', and the key that it is bound to is not there: `dpop: true` makes one for each login, and a session ' +
  'without a request takes it as `dpopKey`'

/**
 * The value of the Authorization header of a call with a token that is bound to a key (RFC 9449, section 7.1).
 * @throws FST_OAUTH_UNSUPPORTED_TOKEN_TYPE if the token is not bound
 */
export function boundAuthorizationOf ({ accessToken, tokenType }: TokenSet, provider: string): string {
  if (tokenType.toLowerCase() !== 'dpop') {
    const message = `a token of provider "${provider}" is not bound to the key of its login, and is not sent`
    throw new UnsupportedTokenTypeError(`${message}; log in again`, { provider })
  }
  return `DPoP ${accessToken}`
}

/** The value of the Authorization header (RFC 6750, section 2.1). @throws FST_OAUTH_UNSUPPORTED_TOKEN_TYPE */
export function authorizationOf (tokens: TokenSet, provider: string): string {
  const { accessToken, tokenType } = tokens
  if (tokenType !== 'Bearer' && tokenType.toLowerCase() !== 'bearer') {
    // A provider may have written a token where the type belongs.
    const type = redact(tokenType, [accessToken, tokens.refreshToken ?? '', tokens.idToken ?? '']).slice(0, 40)
    throw new UnsupportedTokenTypeError(
      `provider "${provider}" issued a token of type "${type}", which cannot be sent as a bearer ` +
        `token${tokenType.toLowerCase() === 'dpop' ? NO_KEY : ''}`,
      { provider }
    )
  }
  return `Bearer ${accessToken}`
}
