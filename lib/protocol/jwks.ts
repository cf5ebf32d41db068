import { createLocalJWKSet, errors, type FlattenedJWSInput, type JSONWebKeySet, type JWK, type JWSHeaderParameters, type CryptoKey } from 'jose'

/** The keys of one provider, fetched when first needed and again when a token names a key not seen yet. */
export interface KeySource {
  (header: JWSHeaderParameters, token: FlattenedJWSInput): Promise<CryptoKey>
  /** A key as it stands in the set that was fetched last, with what the provider says of it beside its numbers. */
  entry (kid: string | undefined): JWK | undefined
}

export interface KeySourceOptions {
  /** Fetches the key set (RFC 7517, section 5), bounded in time and size by the caller. */
  fetchKeys: () => Promise<JSONWebKeySet>
  /** Milliseconds, of any clock that only goes forward. */
  now: () => number
  /** Milliseconds after which the set is fetched anew. */
  maxAgeMs?: number
  /** Milliseconds in which a second unknown key causes no second fetch: otherwise anybody could make the app hammer its provider. */
  pauseMs?: number
}

/**
 * Keeps a provider's key set. Concurrent callers share one fetch; a failed one is not kept.
 * An unknown `kid` causes one more fetch, then none for a pause (OpenID Connect Core, section 10.1.1).
 */
export function createKeySource ({ fetchKeys, now, maxAgeMs = 3_600_000, pauseMs = 30_000 }: KeySourceOptions): KeySource {
  let keys: ReturnType<typeof createLocalJWKSet> | undefined
  let fetchedAt = 0
  let unknownAt = -Infinity
  let fetching: Promise<void> | undefined

  const load = () => {
    fetching ??= fetchKeys().then((set) => {
      keys = createLocalJWKSet(set)
      fetchedAt = now()
    }).finally(() => { fetching = undefined })
    return fetching
  }

  const keyFor = async (header: JWSHeaderParameters, token: FlattenedJWSInput) => {
    if (keys === undefined || now() - fetchedAt > maxAgeMs) await load()
    const asked = keys!
    try {
      return await asked(header, token)
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error
      // Somebody who met the same key a moment ago may have fetched the set, or be at it.
      if (keys === asked) {
        if (fetching === undefined && now() - unknownAt < pauseMs) throw error
        await load()
        unknownAt = now()
      }
      return await keys!(header, token)
    }
  }
  const entry = (kid: string | undefined) => {
    const all = keys?.jwks().keys ?? []
    return kid === undefined && all.length === 1 ? all[0] : all.find(key => key.kid === kid)
  }
  return Object.assign(keyFor, { entry })
}
