import type { TokenStore } from '../tokens/stores/token-store.ts'
import { BoundedMap } from '../util/bounded-map.ts'
import { shortHash } from '../util/random.ts'

/** A user of an issuer, or a session there. */
export type Ended = { iss: string, sub: string } | { iss: string, sid: string }

/** Seconds within which a login that began before a logout may finish. A pending login has 10 minutes. */
const MARK_TTL = 900
/** Marks of a process that shares its sessions with no other. */
const MAX_LOCAL = 10_000

/**
 * Remembers back-channel logouts: which users and sessions have ended at the provider, so that a login that was under
 * way is refused; and which logout tokens have been used.
 */
export class ProviderLogouts {
  readonly #store: TokenStore
  readonly #isShared: () => boolean
  readonly #now: () => number
  readonly #member: string
  readonly #local = new BoundedMap<string, number>(MAX_LOCAL)

  /**
   * @param isShared whether other processes can end sessions too, so that the store has to be asked
   * @param now epoch seconds
   * @param member the session's member that the logins are in: another registration has logouts of its own
   */
  constructor (store: TokenStore, isShared: () => boolean, now: () => number, member: string) {
    this.#store = store
    this.#isShared = isShared
    this.#now = now
    this.#member = member
  }

  /**
   * Marks a user, or a session at the provider, as ended now; to be called before the logins are looked for.
   * @param identity `identity` of the provider
   * @throws FST_OAUTH_STORE_UNAVAILABLE
   */
  async mark (identity: string, ended: Ended): Promise<void> {
    const id = this.#markId(identity, ended)
    const at = this.#now()
    if (this.#isShared()) await this.#store.set(id, { version: 0, at }, { ttl: MARK_TTL })
    else this.#local.set(id, at)
  }

  /**
   * Whether the provider has ended a login while it was under way; to be called once the login can be found.
   * @param claims of the login
   * @param begunAt epoch seconds, with fractions, at which the login began
   * @throws FST_OAUTH_STORE_UNAVAILABLE
   */
  async hasEnded (identity: string, { iss, sub, sid }: Record<string, unknown>, begunAt: number): Promise<boolean> {
    if (typeof iss !== 'string' || typeof sub !== 'string') return false
    const isShared = this.#isShared()
    if (!isShared && this.#local.size === 0) return false
    const ids = [{ iss, sub }, ...(typeof sid === 'string' ? [{ iss, sid }] : [])]
      .map(ended => this.#markId(identity, ended))
    const times = isShared
      ? (await Promise.all(ids.map(id => this.#store.get(id)))).map(mark => mark?.at)
      : ids.map(id => this.#local.get(id))
    return times.some(at => typeof at === 'number' && begunAt < at)
  }

  /** Whether a logout token has been carried out, on any process. @throws FST_OAUTH_STORE_UNAVAILABLE */
  async isCarriedOut (identity: string, { iss, jti }: { iss: string, jti: string }): Promise<boolean> {
    return await this.#store.get(this.#tokenId(identity, iss, jti)) !== undefined
  }

  /**
   * Notes that a logout token has been carried out.
   * @param ttl seconds after which it is refused for its age
   * @returns false if another request has carried it out meanwhile
   * @throws FST_OAUTH_STORE_UNAVAILABLE
   */
  async noteCarriedOut (
    identity: string, { iss, jti }: { iss: string, jti: string }, ttl: number
  ): Promise<boolean> {
    return await this.#store.set(this.#tokenId(identity, iss, jti), { version: 1 }, { ttl, expectedVersion: 0 })
  }

  #markId (identity: string, ended: Ended): string {
    const name = 'sid' in ended ? ['sid', ended.iss, ended.sid] : ['sub', ended.iss, ended.sub]
    return `ended:${shortHash(JSON.stringify([this.#member, identity, ...name]))}`
  }

  #tokenId (identity: string, iss: string, jti: string): string {
    return `logout:${shortHash(JSON.stringify([this.#member, identity, iss, jti]))}`
  }
}
