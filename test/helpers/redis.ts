import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { createClient } from 'redis'
import type { Test } from 'tap'
import { freePort } from './listen.ts'
import { findBinary, requireService } from './services.ts'

export interface RedisOptions {
  /** Writes are kept over a restart (AOF, flushed at every write). Default: nothing is. */
  readonly appendonly?: boolean
  /** More of redis-server's own arguments: `['--maxmemory', '2mb']`. */
  readonly args?: readonly string[]
}

/** A redis-server of the test's own. */
export class RedisServer {
  readonly port: number
  readonly url: string
  readonly #command: string
  readonly #args: readonly string[]
  #process: ChildProcess | undefined

  constructor (command: string, port: number, args: readonly string[]) {
    this.port = port
    this.url = `redis://127.0.0.1:${port}`
    this.#command = command
    this.#args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', ...args]
  }

  /** Of the running server. */
  get pid (): number {
    if (this.#process?.pid === undefined) throw new Error('redis-server is not running')
    return this.#process.pid
  }

  /** Resolves when it answers. */
  async start (): Promise<void> {
    const server = spawn(this.#command, this.#args, { stdio: ['ignore', 'pipe', 'inherit'] })
    this.#process = server
    // A test that is aborted runs no `after`: the server must not outlive it all the same.
    const kill = () => server.kill('SIGKILL')
    process.once('exit', kill)
    server.once('exit', () => process.off('exit', kill))
    const output: string[] = []
    for await (const line of createInterface(server.stdout)) {
      output.push(line)
      if (line.includes('Ready to accept connections')) {
        // The rest is not read: it must neither fill the pipe nor keep this process alive.
        server.stdout.resume()
        return
      }
    }
    throw new Error(`redis-server did not start:\n${output.join('\n')}`)
  }

  /** Ends it, by default in good order; with SIGKILL as a crash would. May be called again. */
  async stop (signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const server = this.#process
    this.#process = undefined
    if (server === undefined || server.exitCode !== null || server.signalCode !== null) return
    const exited = once(server, 'exit')
    server.kill('SIGCONT')
    server.kill(signal)
    await exited
  }

  /** On the same port, and with `appendonly` with the same data. */
  async restart (signal?: NodeJS.Signals): Promise<void> {
    await this.stop(signal)
    await this.start()
  }

  /** Accepts connections but answers nothing, until `resume()`. */
  pause (): void { process.kill(this.pid, 'SIGSTOP') }
  resume (): void { process.kill(this.pid, 'SIGCONT') }
}

/** Starts a Redis that is stopped after `t`; undefined, and the test skipped, where there is none to start. */
export async function startRedis (
  t: Pick<Test, 'after' | 'pass'>,
  options: RedisOptions = {}
): Promise<RedisServer | undefined> {
  if (!requireService(t, 'redis-server')) return undefined

  const directory = await mkdtemp(join(tmpdir(), 'redis-'))
  const persistence = options.appendonly === true ? ['--appendonly', 'yes', '--appendfsync', 'always'] : []
  const redis = new RedisServer(findBinary('redis-server') ?? '', await freePort(), [
    '--dir', directory, ...persistence, ...options.args ?? [],
  ])
  t.after(async () => {
    await redis.stop('SIGKILL')
    // A child of the server may still write its last file.
    await rm(directory, { recursive: true, force: true, maxRetries: 10 })
  })
  await redis.start()
  return redis
}

/** Starts a Redis Cluster of one node, which has all slots: its clients take the cluster's ways all the same. */
export async function startRedisCluster (t: Pick<Test, 'after' | 'pass'>): Promise<RedisServer | undefined> {
  const busPort = await freePort()
  const redis = await startRedis(t, {
    args: ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1', '--cluster-port', String(busPort)]
  })
  if (redis === undefined) return undefined
  const client = await createClient({ url: redis.url }).connect()
  await client.sendCommand(['CLUSTER', 'ADDSLOTSRANGE', '0', '16383'])
  while (!String(await client.sendCommand(['CLUSTER', 'INFO'])).includes('cluster_state:ok')) {
    await new Promise(resolve => setImmediate(resolve))
  }
  client.destroy()
  return redis
}
