import type { RedisServer } from '../helpers/redis.ts'
import type { ChaosJournal } from './journal.ts'
import type { Child, Workers } from './processes.ts'
import type { ProviderCommand, TokenRequestSeen } from './provider.ts'
import { Random } from './random.ts'

export interface ChaosOptions {
  seed: string | number
  workers: Workers
  provider: Child
  redis: RedisServer
}

/** One round of what happens; the order is drawn anew for each. */
const ROUND = [
  'kill refreshing', 'kill refreshing', 'kill refreshing', 'kill', 'deploy', 'pause', 'redis killed',
  'redis restarted', 'redis stalls', 'provider away'
] as const
type Fault = (typeof ROUND)[number]

/** Milliseconds after which a load balancer's health check leaves out a worker that does not answer. */
const NOTICE_MS = 400

/** Does to the processes what operators, kernels and networks do, one thing of a kind at a time. */
export class Chaos {
  readonly journal: ChaosJournal
  readonly #options: ChaosOptions
  readonly #random: Random
  /** What is happening now, by what it happens to. */
  readonly #busy = new Map<string, Promise<void>>()
  readonly #watchers = new Set<(event: TokenRequestSeen) => void>()
  #stop!: () => void
  readonly #stopped = new Promise<void>(resolve => { this.#stop = resolve })

  constructor (options: ChaosOptions) {
    this.#options = options
    this.#random = new Random(options.seed, 'chaos')
    this.journal = { lives: options.workers.lives, redis: [], provider: [] }
  }

  /** To be called with what the provider sees. */
  readonly saw = (event: TokenRequestSeen): void => {
    for (const watcher of this.#watchers) watcher(event)
  }

  /** Goes on for that long; resolves when everything is up and running again. */
  async run (ms: number): Promise<void> {
    const until = Date.now() + ms
    const faults = async () => {
      // First of all, since it takes the longest.
      let round: Fault[] = ['pause', ...this.#random.shuffle(ROUND.filter(fault => fault !== 'pause'))]
      while (Date.now() < until) {
        if (round.length === 0) round = this.#random.shuffle(ROUND)
        this.#start(round.shift()!, until - Date.now())
        await sleep(this.#random.between(400, 2_000))
      }
    }
    await faults()
    this.#stop()
    while (this.#busy.size > 0) await Promise.all(this.#busy.values())
  }

  #start (fault: Fault, leftMs: number): void {
    const random = this.#random
    // Drawn here and not later, so that each fault is the same whatever is under way.
    const slot = random.between(0, this.#options.workers.count - 1)
    const delayMs = random.between(0, 30)
    // Some outages outlive a refresh's lease.
    const long = random.chance(0.15)
    const shortMs = random.between(100, 1_800)
    const outageMs = long ? random.between(5_500, 7_500) : shortMs
    switch (fault) {
      case 'kill refreshing':
        return this.#alone('worker', () =>
          this.#replace(this.#mortal(slot), 'SIGKILL', random.pick(['arrived', 'answered']), delayMs)
        )
      case 'kill':
        return this.#alone('worker', () => this.#replace(this.#mortal(slot), 'SIGKILL'))
      // Not while Redis is away: a process that is told to end cannot wait for it for ever.
      case 'deploy':
        return this.#busy.has('redis')
          ? undefined
          : this.#alone('worker', () => this.#replace(this.#mortal(slot), 'SIGTERM'))
      case 'pause': {
        const pauseMs = random.between(6_000, 8_000)
        return leftMs < pauseMs / 2
          ? undefined
          : this.#alone('pause', () => this.#options.workers.pause(slot, pauseMs, NOTICE_MS))
      }
      case 'redis killed':
        return this.#alone('redis', () => this.#restartRedis('SIGKILL', outageMs))
      case 'redis restarted':
        return this.#alone('redis', () => this.#restartRedis('SIGTERM', outageMs))
      case 'redis stalls':
        return this.#alone('redis', () => this.#stallRedis(long ? outageMs : shortMs * 2))
      case 'provider away':
        return this.#alone('provider', () => this.#leaveProvider(shortMs))
    }
  }

  /** The last worker is paused, but never ended: its memory tells whether anything is kept for ever. */
  #mortal (slot: number): number {
    return slot % (this.#options.workers.count - 1)
  }

  #alone (what: string, work: () => Promise<void>): void {
    if (this.#busy.has(what)) return
    this.#busy.set(what, work().finally(() => this.#busy.delete(what)))
  }

  async #replace (
    slot: number,
    signal: 'SIGKILL' | 'SIGTERM',
    during?: TokenRequestSeen['seen'],
    delayMs = 0
  ): Promise<void> {
    const { workers } = this.#options
    const name = workers.worker(slot)?.life.name
    if (name === undefined) return
    if (during !== undefined) {
      await this.#seen(name, during)
      if (delayMs > 0) await sleep(delayMs)
    }
    const ended = workers.end(slot, signal)
    // A deployment starts the new process without waiting for the old one.
    if (signal === 'SIGKILL') await ended
    await workers.start(slot)
    await ended
  }

  #seen (worker: string, what: TokenRequestSeen['seen']): Promise<void> {
    return new Promise(resolve => {
      const done = () => {
        clearTimeout(timer)
        this.#watchers.delete(watcher)
        resolve()
      }
      const watcher = (event: TokenRequestSeen) => {
        if (event.worker === worker && event.seen === what) done()
      }
      const timer = setTimeout(done, 2_000)
      this.#watchers.add(watcher)
    })
  }

  async #restartRedis (how: 'SIGKILL' | 'SIGTERM', ms: number): Promise<void> {
    const outage = { how, from: Date.now(), to: Infinity }
    this.journal.redis.push(outage)
    await this.#options.redis.stop(how)
    await Promise.race([sleep(ms), this.#stopped])
    await this.#options.redis.start()
    outage.to = Date.now()
    await this.#quiet()
  }

  async #stallRedis (ms: number): Promise<void> {
    const outage = { how: 'SIGSTOP' as const, from: Date.now(), to: Infinity }
    this.journal.redis.push(outage)
    this.#options.redis.pause()
    await Promise.race([sleep(ms), this.#stopped])
    this.#options.redis.resume()
    outage.to = Date.now()
    await this.#quiet()
  }

  /** Redis and the provider answer most of the time, or nothing else would happen. */
  async #quiet (): Promise<void> {
    await Promise.race([sleep(5_000), this.#stopped])
  }

  async #leaveProvider (ms: number): Promise<void> {
    const away = { from: Date.now(), to: Infinity }
    this.journal.provider.push(away)
    await this.#options.provider.ask({ ask: 'down' } satisfies ProviderCommand)
    await Promise.race([sleep(ms), this.#stopped])
    await this.#options.provider.ask({ ask: 'up' } satisfies ProviderCommand)
    away.to = Date.now()
    await this.#quiet()
  }
}

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))
