/** Starts the child processes, each on its core, and ends them with this process. */
import { fork, spawnSync, type ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Peer } from './rpc.ts'

const cores = usableCores()

/** Whether the app has a core of its own. */
export const pinned = cores.length > 1 && spawnSync('taskset', ['--version']).status === 0

const children = new Set<ChildProcess>()
process.on('exit', () => { for (const child of children) child.kill('SIGKILL') })
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1))

export type Core = 'app' | 'others'

export interface ProcessOptions {
  readonly core: Core
  readonly args?: readonly string[]
  /** Options of Node.js. */
  readonly nodeOptions?: readonly string[]
}

/** Starts a compiled module of this folder as a process with an IPC channel. */
export function startProcess (module: string, { core, args = [], nodeOptions = [] }: ProcessOptions): ChildProcess {
  const command = [process.execPath, ...nodeOptions]
  if (pinned) command.unshift('taskset', '-c', String(core === 'app' ? cores[0] : cores[1]))
  const [execPath, ...execArgv] = command
  const child = fork(fileURLToPath(new URL(module, import.meta.url)), args, {
    execPath,
    execArgv,
    // Keeps undefined, which JSON does not.
    serialization: 'advanced',
    env: { ...process.env, NODE_ENV: 'production' }
  })
  children.add(child)
  child.on('exit', () => children.delete(child))
  return child
}

/** The same, for modules that answer requests. */
export async function startPeer (module: string, options: ProcessOptions): Promise<Peer> {
  const peer = new Peer(startProcess(module, options), [module, ...options.args ?? []].join(' '))
  await peer.ready
  return peer
}

export function endPeer (peer: Peer): void {
  peer.process.kill('SIGKILL')
}

/** The cores that this process may use; none where the system does not say. */
function usableCores (): number[] {
  let list: string | undefined
  try {
    list = /^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
  } catch {
    // Not Linux.
  }
  if (list === undefined) return []
  return list.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, index) => first + index)
  })
}
