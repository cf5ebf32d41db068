import { once } from 'node:events'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { RedisServer } from '../helpers/redis.ts'
import { findBinary } from '../helpers/services.ts'
import { askAll, findLeftovers, logoutAll, type Leftovers } from './audit.ts'
import type { LogoutToken } from './authority.ts'
import { Inquest } from './causes.ts'
import { Chaos } from './chaos.ts'
import { Crowd } from './crowd.ts'
import type { ChaosJournal, ProviderJournal } from './journal.ts'
import { Ledger } from './ledger.ts'
import { Child, Workers } from './processes.ts'
import type { ProviderCommand, TokenRequestSeen } from './provider.ts'
import { Random } from './random.ts'
import { LoadBalancer } from './traffic.ts'
import type { Memory } from './worker.ts'

export interface TortureOptions {
  seed: string
  seconds: number
  workers: number
  sessions: number
  rate: number
  /** Redis writes an append-only file; without, it keeps a snapshot of a second ago. */
  aof: boolean
  /** Whether anything is killed, paused or cut at all. */
  faults: boolean
}

export interface MemorySample extends Memory {
  /** Seconds since the start. */
  at: number
  logins: number
}

/** What a run brought, before it is counted. */
export interface Outcome {
  options: TortureOptions
  rolling: boolean
  ledger: Ledger
  chaos: ChaosJournal
  provider: ProviderJournal
  inquest: Inquest
  leftovers: Leftovers
  memory: MemorySample[]
  /** Directory with the logs of all processes. */
  logs: string
  settledMs: number
}

/** Runs everything, and ends everything that it started. */
export async function torture (options: TortureOptions, log: (line: string) => void): Promise<Outcome> {
  const directory = await mkdtemp(join(tmpdir(), 'torture-'))
  const started: (() => unknown)[] = []
  try {
    return await run(options, directory, log, started)
  } finally {
    for (const end of started.reverse()) await end()
    await rm(join(directory, 'redis'), { recursive: true, force: true })
  }
}

async function run (
  options: TortureOptions,
  directory: string,
  log: (line: string) => void,
  started: (() => unknown)[]
): Promise<Outcome> {
  const { seed, seconds, sessions } = options
  // Half of all seeds: each way of saving sessions loses others.
  const rolling = new Random(seed, 'rolling').chance(0.5)
  const redis = await startRedis(options.aof, join(directory, 'redis'))
  started.push(() => redis.stop('SIGKILL'))
  let saw: (event: TokenRequestSeen) => void = () => {}
  const provider = await Child.start(
    'provider',
    { seed, port: await freePort() },
    join(directory, 'provider.log'),
    (event: TokenRequestSeen) => saw(event)
  )
  started.push(() => provider.end('SIGKILL'))
  const askProvider = async <T>(command: ProviderCommand) => await provider.ask<T>(command)

  const baseUrl = 'http://127.0.0.1:1'
  const workers = new Workers(
    options.workers,
    { redisUrl: redis.url, issuer: provider.url, baseUrl, rolling },
    directory
  )
  started.push(() => workers.endAll())
  await workers.startAll()

  const ledger = new Ledger()
  const balancer = new LoadBalancer(workers)
  started.push(() => balancer.close())
  const logoutToken = async (subject: string, code?: string) =>
    await askProvider<LogoutToken>({ ask: 'logoutToken', subject, code })
  const crowd = new Crowd({ ...options, baseUrl, balancer, ledger, logoutToken })
  const chaos = new Chaos({ seed, workers, provider, redis })
  saw = chaos.saw

  const memory: MemorySample[] = []
  const begun = Date.now()
  const sample = async () => {
    const survivor = workers.worker(workers.count - 1)
    if (survivor === undefined) return
    const taken = await survivor.child.ask<Memory>({ ask: 'memory' })
    memory.push({ ...taken, at: (Date.now() - begun) / 1000, logins: ledger.logins.length })
  }

  log(
    `${options.workers} workers, ${sessions} browsers, seed ${seed}, ${seconds} s, Redis ` +
      `${options.aof ? 'with AOF' : 'with snapshots alone'}, rolling ${rolling}; logs in ${directory}`
  )
  const living = crowd.run()
  const rampMs = Math.min(5_000, seconds * 200)
  await sleep(rampMs)
  await sample()
  const sampling = setInterval(() => { sample().catch(() => {}) }, Math.max(5_000, seconds * 100))
  await askProvider({ ask: 'faults', on: options.faults })
  if (options.faults) await chaos.run(seconds * 1000 - rampMs)
  else await sleep(seconds * 1000 - rampMs)
  clearInterval(sampling)

  log('all faults are over; waiting for what is under way')
  await askProvider({ ask: 'faults', on: false })
  crowd.stop()
  const stopped = Date.now()
  await living
  const settledMs = Date.now() - stopped

  const asking = { random: new Random(seed, 'audit'), balancer, ledger, baseUrl }
  await askAll(ledger, asking)
  const state = new Map(ledger.logins.map(login => [login, login.state]))
  await logoutAll(crowd, ledger, asking)
  await sample()
  const journal = await askProvider<ProviderJournal>({ ask: 'journal' })
  const inquest = new Inquest(journal.families, chaos.journal, !options.aof)
  ledger.checkFamilies(inquest)
  for (const [login, before] of state) if (before === 'abandoned') login.state = 'abandoned'
  const leftovers = await findLeftovers(redis.url, ledger, inquest, chaos.journal)
  return {
    options,
    rolling,
    ledger,
    chaos: chaos.journal,
    provider: journal,
    inquest,
    leftovers,
    memory,
    logs: directory,
    settledMs
  }
}

async function startRedis (aof: boolean, directory: string): Promise<RedisServer> {
  const binary = findBinary('redis-server')
  if (binary === undefined) throw new Error('redis-server is not on the PATH')
  await mkdir(directory)
  // Without AOF: a snapshot a second, which is more than Redis' own default; a kill takes back what came after.
  const persistence = aof ? ['--appendonly', 'yes', '--appendfsync', 'always'] : ['--save', '1 1']
  const redis = new RedisServer(binary, await freePort(), ['--dir', directory, ...persistence])
  await redis.start()
  return redis
}

/** A port that is still free when its server comes back: below those that systems give to outgoing connections. */
async function freePort (): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000)
    const server = createServer().listen(port, '127.0.0.1')
    const free = await Promise.race([
      once(server, 'listening').then(() => true),
      once(server, 'error').then(() => false)
    ])
    if (free) await new Promise(resolve => server.close(resolve))
    if (free) return port
  }
}

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))
