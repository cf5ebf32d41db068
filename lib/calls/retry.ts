import type { TokenSet } from '../oauth/token-set.ts'
import type { TokenSource } from '../tokens/token-source.ts'

/**
 * How often one call is sent at most. A 401 is answered with a newer token; where the provider ends a token at its
 * refresh, that one may be replaced as well while the second try is on its way.
 */
export const MAX_SENDS = 3

/**
 * Does something with the current token, and again with a newer one where it was refused.
 * @param attempt rejects with an error whose `responseStatus` is 401 where the token is not taken
 */
export async function withRenewal<T> (source: TokenSource, attempt: (tokens: TokenSet) => Promise<T>): Promise<T> {
  let grant = await source.current(true)
  for (let sends = 1; ; sends++) {
    try {
      return await attempt(grant.tokens)
    } catch (error) {
      if ((error as { responseStatus?: number }).responseStatus !== 401 || sends === MAX_SENDS) throw error
      const newer = await source.renew(grant)
      if (newer === undefined) throw error
      grant = newer
    }
  }
}
