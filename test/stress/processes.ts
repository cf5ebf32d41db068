import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { openSync, closeSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Life } from './journal.ts'
import type { WorkerOptions } from './worker.ts'

const ENTRY = fileURLToPath(new URL('./child.js', import.meta.url))

/** A process of the driver's own, which answers questions. */
export class Child {
  /** What it sent when it was ready: its URL. */
  readonly url: string
  readonly #process: ChildProcess
  readonly #questions = new Map<number, (answer: { value?: unknown, error?: string }) => void>()
  readonly #exited: Promise<unknown>
  #asked = 0

  private constructor (child: ChildProcess, url: string, onEvent: (event: never) => void) {
    this.#process = child
    this.url = url
    this.#exited = child.exitCode !== null || child.signalCode !== null ? Promise.resolve() : once(child, 'exit')
    child.on('message', (message: { id?: number, value?: unknown, error?: string }) => {
      if (message.id === undefined) return onEvent(message as never)
      this.#questions.get(message.id)?.(message)
      this.#questions.delete(message.id)
    })
    child.on('error', () => {}) // a question to a process that has died
  }

  /** @param log path of the file that gets what it prints */
  static async start (
    role: string,
    options: unknown,
    log: string,
    onEvent: (event: never) => void = () => {}
  ): Promise<Child> {
    const file = openSync(log, 'a')
    const child = fork(ENTRY, [role, JSON.stringify(options)], {
      stdio: ['ignore', file, file, 'ipc'],
      execArgv: ['--expose-gc']
    })
    closeSync(file)
    const kill = () => child.kill('SIGKILL')
    process.once('exit', kill)
    child.once('exit', () => process.off('exit', kill))
    const url = await new Promise<string>((resolve, reject) => {
      child.once('message', (message: { ready: string }) => resolve(message.ready))
      child.once('exit', code => reject(new Error(`a ${role} did not start (exit code ${code}); its log is ${log}`)))
    })
    return new Child(child, url, onEvent)
  }

  get pid (): number { return this.#process.pid! }

  async ask<T> (question: object): Promise<T> {
    const id = ++this.#asked
    const answer = new Promise<{ value?: unknown, error?: string }>(resolve => this.#questions.set(id, resolve))
    this.#process.send({ ...question, id })
    const { value, error } = await answer
    if (error !== undefined) throw new Error(error)
    return value as T
  }

  signal (signal: NodeJS.Signals): void { this.#process.kill(signal) }

  async end (signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    this.#process.kill(signal)
    await this.#exited
  }
}

interface Worker {
  child: Child
  life: Life
}

/** The app's processes, and what became of each. A worker that has ended is started anew under another name. */
export class Workers {
  readonly lives: Life[] = []
  readonly #options: Omit<WorkerOptions, 'name'>
  readonly #logs: string
  readonly #slots: (Worker | undefined)[]
  /** Slots that a load balancer's health check would leave out. */
  readonly #unhealthy = new Set<number>()
  #started = 0

  /** @param logs directory for a log of each slot */
  constructor (count: number, options: Omit<WorkerOptions, 'name'>, logs: string) {
    this.#options = options
    this.#logs = logs
    this.#slots = Array.from({ length: count }, () => undefined)
  }

  get count (): number { return this.#slots.length }

  /** Those that requests may go to. */
  get healthy (): Worker[] {
    const healthy = this.#slots.filter((worker, slot) => worker !== undefined && !this.#unhealthy.has(slot)) as Worker[]
    return healthy.length > 0 ? healthy : this.#slots.filter(worker => worker !== undefined)
  }

  worker (slot: number): Worker | undefined { return this.#slots[slot] }

  async startAll (): Promise<void> {
    await Promise.all(this.#slots.map((_, slot) => this.start(slot)))
  }

  async start (slot: number): Promise<void> {
    const name = `${slot}.${++this.#started}`
    const child = await Child.start('worker', { ...this.#options, name }, join(this.#logs, `worker-${slot}.log`))
    const life: Life = { name, slot, from: Date.now(), to: Infinity, pauses: [] }
    this.lives.push(life)
    this.#slots[slot] = { child, life }
    this.#unhealthy.delete(slot)
  }

  /** Ends a worker; resolves when it is gone. */
  async end (slot: number, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const worker = this.#slots[slot]
    if (worker === undefined) return
    worker.life.end = signal
    this.#slots[slot] = undefined
    await worker.child.end(signal)
    worker.life.to = Date.now()
  }

  /** Stops a worker in its tracks for a time. The load balancer notices after `noticeMs`. */
  async pause (slot: number, ms: number, noticeMs: number): Promise<void> {
    const worker = this.#slots[slot]
    if (worker === undefined) return
    const pause = { from: Date.now(), to: Infinity }
    worker.life.pauses.push(pause)
    worker.child.signal('SIGSTOP')
    const noticed = setTimeout(() => { if (this.#slots[slot] === worker) this.#unhealthy.add(slot) }, noticeMs)
    await new Promise(resolve => setTimeout(resolve, ms))
    clearTimeout(noticed)
    pause.to = Date.now()
    worker.child.signal('SIGCONT')
    this.#unhealthy.delete(slot)
  }

  async endAll (): Promise<void> {
    await Promise.all(this.#slots.map((_, slot) => this.end(slot, 'SIGKILL')))
  }
}
