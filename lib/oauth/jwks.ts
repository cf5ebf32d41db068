import {
  createLocalJWKSet,
  type CryptoKey,
  errors,
  type FlattenedJWSInput,
  type JSONWebKeySet,
  type JWK,
  type JWSHeaderParameters
} from 'jose'

/** The keys of one provider, fetched when first needed and again when a token names a key not seen yet. */
export interface KeySource {
  (header: JWSHeaderParameters, token: FlattenedJWSInput): Promise<CryptoKey>
  /** A key as it stands in the set that was fetched last, with what the provider says of it beside its numbers. */
  entry (kid: string | undefined): JWK | undefined
  /** How many sets have been fetched. */
  generation (): number
  /**
   * Fetches the set anew where none has been fetched since, for a signature that no key of it made.
   * @param since the `generation` that the key is of
   * @returns false within the pause after such a fetch
   */
  reload (since: number): Promise<boolean>
}

interface KeySourceOptions {
  /** Fetches the key set (RFC 7517, section 5), bounded in time and size by the caller. */
  fetchKeys: () => Promise<JSONWebKeySet>
  /** Milliseconds, of any clock that only goes forward. */
  now: () => number
  /** Milliseconds after which the set is fetched anew. */
  maxAgeMs?: number
  /** Milliseconds for which a set is used whose successor cannot be fetched. */
  maxStaleMs?: number
  /** Milliseconds in which a second unknown key causes no fetch: made-up tokens must not cause one each. */
  pauseMs?: number
}

// An entry that cannot be used takes no other with it (RFC 7517, section 5).
const isKey = (entry: unknown) => typeof entry === 'object' && entry !== null && !Array.isArray(entry)

/**
 * Keeps a provider's key set. Concurrent callers share one fetch; a failed one is not kept.
 * An unknown `kid`, or a signature that the key of that name did not make, causes one more fetch, then none for a pause
 * (OpenID Connect Core, section 10.1.1).
 *
 * jose's `createLocalJWKSet` selects and imports the keys. Its `createRemoteJWKSet` is not used: its pause begins with
 * any fetch, so that a key which is rotated soon after the first login would be refused for as long; it does not look
 * again after a bad signature; one entry that is no object makes it refuse the set; past its age a set is lost where
 * the next one cannot be fetched; and it reads the wall clock.
 */
export function createKeySource ({
  fetchKeys,
  now,
  maxAgeMs = 3_600_000,
  maxStaleMs = 86_400_000,
  pauseMs = 30_000
}: KeySourceOptions): KeySource {
  let keys: ReturnType<typeof createLocalJWKSet> | undefined
  /** By algorithm and `kid`: those that signed a token before. */
  const used = new Map<string, CryptoKey>()
  let fetchedAt = 0
  let unknownAt = -Infinity
  let failedAt = -Infinity
  let fetching: Promise<void> | undefined
  let generation = 0

  const load = () => {
    fetching ??= fetchKeys().then((set) => {
      used.clear()
      keys = createLocalJWKSet({ ...set, keys: set.keys.filter(isKey) })
      generation++
      fetchedAt = now()
    }).finally(() => { fetching = undefined })
    return fetching
  }

  const keyFor = async (header: JWSHeaderParameters, token: FlattenedJWSInput) => {
    if (keys === undefined) await load()
    else if (now() - fetchedAt > maxAgeMs) await renew()
    const name = JSON.stringify([header.alg, header.kid])
    const known = used.get(name)
    if (known !== undefined) return known
    const asked = generation
    try {
      const key = await keys!(header, token)
      if (asked === generation) used.set(name, key)
      return key
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || !await reload(asked)) throw error
      return await keys!(header, token)
    }
  }
  /** For a set that has come of age. */
  const renew = async () => {
    const isTooOld = now() - fetchedAt > maxAgeMs + maxStaleMs
    if (!isTooOld && fetching === undefined && now() - failedAt < pauseMs) return
    await load().catch((error: unknown) => {
      failedAt = now()
      if (isTooOld) throw error
    })
  }
  const reload = async (since: number) => {
    // Another caller who met the same key a moment ago may have fetched the set, or be at it.
    if (generation !== since) return true
    if (fetching === undefined && now() - unknownAt < pauseMs) return false
    await load()
    unknownAt = now()
    return true
  }
  const entry = (kid: string | undefined) => {
    const all = keys?.jwks().keys ?? []
    return kid === undefined && all.length === 1 ? all[0] : all.find(key => key.kid === kid)
  }
  return Object.assign(keyFor, { entry, reload, generation: () => generation })
}
