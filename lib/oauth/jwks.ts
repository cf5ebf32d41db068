import {
  createLocalJWKSet,
  type CryptoKey,
  errors,
  type FlattenedJWSInput,
  type JSONWebKeySet,
  type JWK,
  type JWSHeaderParameters
} from 'jose'
import { isObject } from '../util/is-object.ts'
import { PAUSE_MS, SharedFetch } from '../util/shared-fetch.ts'

/** Milliseconds after which a set is fetched anew. */
const MAX_AGE_MS = 3_600_000
/** Milliseconds for which a set of that age is still used if the next one cannot be fetched. */
const MAX_STALE_MS = 86_400_000

/**
 * A provider's key set, fetched when it is first needed. Concurrent callers share one fetch; a failed one is not kept.
 * An unknown `kid`, or a signature that the key of that name did not make, causes one more fetch, then none for a pause
 * (OpenID Connect Core, section 10.1.1).
 *
 * jose's `createLocalJWKSet` selects and imports the keys. Its `createRemoteJWKSet` is not used: its pause begins with
 * any fetch, so that a key which is rotated soon after the first login would be refused for as long; it does not look
 * again after a bad signature; one entry that is no object makes it refuse the set; past its age a set is lost where
 * the next one cannot be fetched; and it reads the wall clock.
 */
export class KeySource {
  readonly #fetch: SharedFetch<void>
  readonly #now: () => number
  #keys: ReturnType<typeof createLocalJWKSet> | undefined
  /** By algorithm and `kid`: those that signed a token before. */
  readonly #used = new Map<string, CryptoKey>()
  #generation = 0
  #fetchedAt = 0
  #failedAt = -Infinity

  /**
   * @param options.fetchKeys fetches the key set (RFC 7517, section 5), bounded in time and size
   * @param options.now milliseconds of a clock that only goes forward
   */
  constructor ({ fetchKeys, now }: { fetchKeys: () => Promise<JSONWebKeySet>, now: () => number }) {
    this.#fetch = new SharedFetch(async () => { this.#use(await fetchKeys()) }, now)
    this.#now = now
  }

  /** How many sets have been fetched. */
  get generation (): number { return this.#generation }

  /** A key as the set that was fetched last has it, with its further members. */
  entry (kid: string | undefined): JWK | undefined {
    const all = this.#keys?.jwks().keys ?? []
    return kid === undefined && all.length === 1 ? all[0] : all.find(key => key.kid === kid)
  }

  /**
   * Finds the key that a token says it is signed with. Bound to this object, for jose.
   * @throws jose's errors, and what fetching the keys throws
   */
  readonly find = async (header: JWSHeaderParameters, token: FlattenedJWSInput): Promise<CryptoKey> => {
    if (this.#keys === undefined) await this.#fetch.run()
    else if (this.#now() - this.#fetchedAt > MAX_AGE_MS) await this.#renew()
    const name = JSON.stringify([header.alg, header.kid])
    const known = this.#used.get(name)
    if (known !== undefined) return known
    const asked = this.#generation
    try {
      const key = await this.#keys!(header, token)
      if (asked === this.#generation) this.#used.set(name, key)
      return key
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || !await this.reload(asked)) throw error
      return await this.#keys!(header, token)
    }
  }

  /**
   * Fetches the set anew if none has been fetched since, for a signature that no key of it made.
   * @param since the `generation` that the key is of
   * @returns false within the pause after such a fetch
   * @throws what fetching the keys throws
   */
  async reload (since: number): Promise<boolean> {
    // Another caller who met the same key a moment ago may have fetched the set, or be at it.
    return this.#generation !== since || await this.#fetch.search()
  }

  /** Fetches the successor of a set that has come of age. */
  async #renew (): Promise<void> {
    const isTooOld = this.#now() - this.#fetchedAt > MAX_AGE_MS + MAX_STALE_MS
    if (!isTooOld && !this.#fetch.isRunning && this.#now() - this.#failedAt < PAUSE_MS) return
    await this.#fetch.run().catch((error: unknown) => {
      this.#failedAt = this.#now()
      if (isTooOld) throw error
    })
  }

  #use (set: JSONWebKeySet): void {
    this.#used.clear()
    // An entry that cannot be used takes no other with it (RFC 7517, section 5).
    this.#keys = createLocalJWKSet({ ...set, keys: set.keys.filter(isObject) })
    this.#generation++
    this.#fetchedAt = this.#now()
  }
}
