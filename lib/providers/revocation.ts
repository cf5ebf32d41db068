import type { TokenSet } from '../oauth/token-set.ts'
import type { ProviderClient } from './provider.ts'

/**
 * Revokes every token of some sets (RFC 7009), each once.
 * @param sets the newest first: it holds the valid refresh token
 * @param onFailure called with the error of each revocation that failed, in place of a rejection
 * @returns whether the provider revoked all of them
 * @throws FST_OAUTH_PROVIDER_UNAVAILABLE, FST_OAUTH_INSECURE_TRANSPORT, if there is no `onFailure`
 */
export async function revokeSets (
  provider: ProviderClient, sets: readonly TokenSet[], onFailure?: (cause: unknown) => void
): Promise<boolean> {
  const hints = new Map<string, 'refresh_token' | 'access_token'>()
  for (const { refreshToken, accessToken } of sets) {
    // In this order: a provider may revoke the access token together with the refresh token.
    if (refreshToken !== undefined) hints.set(refreshToken, 'refresh_token')
    hints.set(accessToken, 'access_token')
  }
  let all = true
  for (const [token, hint] of hints) {
    const revoked = await provider.revoke(token, hint).catch((cause: unknown) => {
      if (onFailure === undefined) throw cause
      onFailure(cause)
      return false
    })
    all &&= revoked
  }
  return all
}

/** The log message if a token could not be revoked. */
export const NOT_REVOKED = 'a token could not be revoked; it expires with its time'
