import { InvalidOptionsError } from '../../../errors.ts'
import { optionsOf } from '../../../util/options-of.ts'
import {
  type AcquireRefreshResult, type RefreshLease, type StoredMember, type StoredRecord, TOMBSTONE_MS, type TokenStore
} from '../token-store.ts'
import { type RedisClient, redisCommands, type RedisCommands } from './client.ts'
import {
  ACQUIRE, ADD_MEMBER, CONSUME, DELETE, FINISH, MEMBERS, REMOVE_MEMBERS, type Script, SET, TOUCH
} from './scripts.ts'

/** Options of `redisStore`. */
export interface RedisStoreOptions {
  /** Prefix of every key. Default `oauth:`. */
  prefix?: string
  /**
   * Number of replicas to wait for after each write, for at most a second. A failover then loses less. It may still
   * lose writes: the promoted replica may not have acknowledged them, and a write is not undone if replicas are slow.
   */
  waitReplicas?: number
}

/** Milliseconds to wait for replicas. */
const WAIT_MS = 1_000
/** Members of a set that one command reads (about) or removes: Redis runs no other command meanwhile. */
const MEMBERS_AT_ONCE = 1_000

/**
 * Keeps token records in Redis (or Valkey), for any number of processes: every step of a refresh is one atomic script.
 * @param client a connected client of node-redis or ioredis, single server or cluster; the app has to close it
 * @param options the keys' prefix, and replicas to wait for
 * @returns the store, for the plugin's option `tokenStore`
 * @throws FST_OAUTH_INVALID_OPTIONS if the client is none of these, or cannot do what an option asks for
 */
export function redisStore (
  client: RedisClient, options: RedisStoreOptions = {}
): TokenStore {
  const { prefix = 'oauth:', waitReplicas = 0 } = optionsOf('redisStore', options)
  const commands = redisCommands(client)
  if (waitReplicas > 0 && commands.wait === undefined) {
    throw new InvalidOptionsError(
      'redisStore: waitReplicas does not work on a cluster client, where WAIT cannot be sent to the node that took ' +
        'the write; take it out'
    )
  }
  return new RedisTokenStore(commands, prefix, waitReplicas)
}

class RedisTokenStore implements TokenStore {
  readonly #redis: RedisCommands
  readonly #prefix: string
  readonly #replicas: number

  constructor (redis: RedisCommands, prefix: string, replicas: number) {
    this.#redis = redis
    this.#prefix = prefix
    this.#replicas = replicas
  }

  async get (id: string): Promise<StoredRecord | undefined> {
    const [data] = await this.#redis.hmget(this.#key(id), ['d'])
    return parse(data)
  }

  async set (
    id: string,
    record: StoredRecord,
    { ttl, expectedVersion, onlyIfUnlocked = false }: {
      ttl: number
      expectedVersion?: number
      onlyIfUnlocked?: boolean
    }
  ): Promise<boolean> {
    const expected = expectedVersion === undefined ? '' : String(expectedVersion)
    const unlocked = onlyIfUnlocked ? '1' : ''
    const args = [expected, String(record.version), JSON.stringify(record), ms(ttl), unlocked]
    return Number(await this.#write(SET, id, args)) === 1
  }

  async consume (id: string): Promise<StoredRecord | undefined> {
    return parse(await this.#write(CONSUME, id, []))
  }

  async touch (id: string, { ttl }: { ttl: number }): Promise<void> {
    await this.#redis.run(TOUCH, this.#key(id), [ms(ttl)])
  }

  async delete (id: string): Promise<void> {
    await this.remove(id)
  }

  async remove (id: string): Promise<StoredRecord | undefined> {
    return parse(await this.#write(DELETE, id, [String(TOMBSTONE_MS)]))
  }

  async acquireRefresh (
    id: string,
    { owner, until, version, takeOver = true }: RefreshLease
  ): Promise<AcquireRefreshResult> {
    const life = Math.max(0, Math.round(until - Date.now()))
    const args = [owner, String(life), version === undefined ? '' : String(version), takeOver ? '1' : '']
    const [state, data, left] = await this.#write(ACQUIRE, id, args) as [string, string?, number?]
    const record = parse(data)
    if (record === undefined || state === 'gone') return { state: 'gone' }
    if (state === 'busy') return { state, record, until: Date.now() + Number(left) }
    if (state === 'newer') return { state, record }
    return { state: 'begun', record, abandoned: state === 'abandoned' }
  }

  async finishRefresh (
    id: string,
    { owner, record, ttl }: { owner: string, record?: StoredRecord, ttl: number }
  ): Promise<boolean> {
    const outcome = record === undefined ? ['', ''] : [String(record.version), JSON.stringify(record)]
    return Number(await this.#write(FINISH, id, [owner, ...outcome, ms(ttl)])) === 1
  }

  async addMember (
    id: string, member: string, value: StoredMember,
    { ttl, onlyIfPresent = false }: { ttl: number, onlyIfPresent?: boolean }
  ): Promise<boolean> {
    const args = [member, JSON.stringify(value), ms(ttl), onlyIfPresent ? '1' : '']
    return Number(await this.#write(ADD_MEMBER, id, args)) === 1
  }

  async removeMembers (id: string, members: readonly string[]): Promise<void> {
    for (let start = 0; start < members.length; start += MEMBERS_AT_ONCE) {
      await this.#write(REMOVE_MEMBERS, id, members.slice(start, start + MEMBERS_AT_ONCE))
    }
  }

  async members (id: string): Promise<[string, StoredMember][]> {
    // By name: a scan may return a member twice.
    const found = new Map<string, StoredMember>()
    let cursor = '0'
    do {
      const args = [cursor, String(MEMBERS_AT_ONCE)]
      const [next, page] = await this.#redis.run(MEMBERS, this.#key(id), args) as [string, string[]]
      for (let at = 0; at < page.length; at += 2) found.set(page[at]!, parse(page[at + 1]) as StoredMember)
      cursor = String(next)
    } while (cursor !== '0')
    return [...found]
  }

  async inspect (): Promise<string[]> {
    const findings: string[] = []
    const policy = await this.#redis.config('maxmemory-policy')
    if (policy !== undefined && policy !== 'noeviction') {
      findings.push(`Redis may evict logins (maxmemory-policy is ${policy}); set it to noeviction`)
    }
    const persistence = await this.#redis.info('persistence')
    if (persistence !== undefined && !/^aof_enabled:1/m.test(persistence)) {
      findings.push(
        'Redis does not write an append-only file: a restart brings back refresh tokens that have been used ' +
          'already, and providers that detect reuse end those logins; set appendonly yes'
      )
    }
    return findings
  }

  async #write (script: Script, id: string, args: string[]): Promise<unknown> {
    const written = await this.#redis.run(script, this.#key(id), args)
    if (this.#replicas > 0) await this.#redis.wait!(this.#replicas, WAIT_MS)
    return written
  }

  #key (id: string): string { return this.#prefix + id }
}

const ms = (seconds: number) => String(Math.max(1, Math.round(seconds * 1000)))

// Data that is not JSON is returned unchanged, for the caller to reject: the parser's error would quote it.
function parse (data: unknown): StoredRecord | undefined {
  if (typeof data !== 'string') return undefined
  try {
    return JSON.parse(data) as StoredRecord
  } catch {
    return data as unknown as StoredRecord
  }
}
