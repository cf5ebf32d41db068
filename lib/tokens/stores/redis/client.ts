import { createHash } from 'node:crypto'
import { InvalidOptionsError } from '../../../errors.ts'
import type { Script } from './scripts.ts'

/** The few commands the store needs, the same for every client. */
export interface RedisCommands {
  hmget (key: string, fields: string[]): Promise<(string | null)[]>
  /** Runs a script on one key; a script cache that Redis lost is filled again. */
  run (script: Script, key: string, args: string[]): Promise<unknown>
  /**
   * Waits until replicas have acknowledged this connection's writes. Absent on clusters, where it cannot be addressed.
   */
  wait?: (replicas: number, timeoutMs: number) => Promise<number>
  /** Text of an INFO section and of one setting; undefined if the server does not tell. */
  info (section: string): Promise<string | undefined>
  config (name: string): Promise<string | undefined>
}

// The parts of node-redis (v4 and later, client and cluster) and ioredis (client and Cluster) that are called.
interface NodeRedis {
  hmGet (key: string, fields: string[]): Promise<(string | null)[]>
  evalSha (sha: string, options: { keys: string[], arguments: string[] }): Promise<unknown>
  eval (source: string, options: { keys: string[], arguments: string[] }): Promise<unknown>
  /** A cluster has it, and a `wait` that goes to any of its nodes. */
  nodeClient?: unknown
  wait? (replicas: number, timeoutMs: number): Promise<number>
  info? (section: string): Promise<string>
  configGet? (name: string): Promise<Record<string, string>>
}
interface IoRedis {
  isCluster?: boolean
  hmget (key: string, ...fields: string[]): Promise<(string | null)[]>
  evalsha (sha: string, keys: number, ...args: string[]): Promise<unknown>
  eval (source: string, keys: number, ...args: string[]): Promise<unknown>
  wait (replicas: number, timeoutMs: number): Promise<number>
  info (section: string): Promise<string>
  config (verb: 'GET', name: string): Promise<string[]>
}

/** A connected client of node-redis or ioredis, single server or cluster. */
export type RedisClient = object

/** @throws FST_OAUTH_INVALID_OPTIONS if the client is of neither kind */
export function redisCommands (client: RedisClient): RedisCommands {
  if (typeof (client as NodeRedis | undefined)?.evalSha === 'function') return nodeRedis(client as NodeRedis)
  if (typeof (client as IoRedis | undefined)?.evalsha === 'function') return ioRedis(client as IoRedis)
  throw new InvalidOptionsError('redisStore needs a connected client of `redis` (node-redis) or `ioredis`')
}

function nodeRedis (client: NodeRedis): RedisCommands {
  return {
    hmget: (key, fields) => client.hmGet(key, fields),
    run: (script, key, args) =>
      cached(
        script,
        sha => client.evalSha(sha, { keys: [key], arguments: args }),
        source => client.eval(source, { keys: [key], arguments: args })
      ),
    ...(typeof client.wait === 'function' &&
      typeof client.nodeClient !== 'function' && {
      wait: (replicas: number, timeoutMs: number) => client.wait!(replicas, timeoutMs)
    }),
    info: async section => client.info?.(section),
    config: async name => (await client.configGet?.(name))?.[name]
  }
}

function ioRedis (client: IoRedis): RedisCommands {
  return {
    hmget: (key, fields) => client.hmget(key, ...fields),
    run: (script, key, args) =>
      cached(
        script,
        sha => client.evalsha(sha, 1, key, ...args),
        source => client.eval(source, 1, key, ...args)
      ),
    ...(client.isCluster !== true && {
      wait: (replicas: number, timeoutMs: number) => client.wait(replicas, timeoutMs)
    }),
    info: async section => client.info(section),
    config: async name => (await client.config('GET', name))[1]
  }
}

const digests = new WeakMap<Script, string>()

// Scripts are named by their digest, which is the same on every server; a server that does not know it is sent the
// source.
async function cached (
  script: Script,
  bySha: (sha: string) => Promise<unknown>,
  bySource: (source: string) => Promise<unknown>
): Promise<unknown> {
  let sha = digests.get(script)
  if (sha === undefined) {
    sha = createHash('sha1').update(script.source).digest('hex')
    digests.set(script, sha)
  }
  try {
    return await bySha(sha)
  } catch (error) {
    if (!String((error as Error).message).startsWith('NOSCRIPT')) throw error
    return await bySource(script.source)
  }
}
