import type { TokenSnapshot, TokenSource } from '../tokens/token-source.ts'

/**
 * How often one call is sent at most. After a 401 it is sent with a newer token; if the provider revokes a token at
 * its refresh, that one may have been replaced as well while the second request was on its way.
 */
export const MAX_SENDS = 3

/**
 * Does something with the current token, and again with a newer one after a 401.
 * @param attempt rejects with an error whose `responseStatus` is 401 if the token is refused
 */
export async function withRenewal<T> (
  source: TokenSource, attempt: (snapshot: TokenSnapshot) => Promise<T>
): Promise<T> {
  let snapshot = await source.current(true)
  for (let sends = 1; ; sends++) {
    try {
      return await attempt(snapshot)
    } catch (error) {
      if ((error as { responseStatus?: number }).responseStatus !== 401 || sends === MAX_SENDS) throw error
      const newer = await source.renew(snapshot)
      if (newer === undefined) throw error
      snapshot = newer
    }
  }
}
