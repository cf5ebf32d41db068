/** A redis-server of the benchmark's own, on a socket in a temporary folder. */
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connectRedis } from './apps/redis-client.ts'

export const hasRedis = spawnSync('redis-server', ['--version']).status === 0

export interface RedisServer {
  /** Path of its socket. */
  readonly path: string
  readonly end: () => void
}

/** With an append-only file, as this project's README asks for. */
export async function startRedis (): Promise<RedisServer> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-redis-'))
  const path = join(folder, 'socket')
  const args = ['--port', '0', '--unixsocket', path, '--dir', folder, '--save', '', '--appendonly', 'yes']
  const server = spawn('redis-server', args, { stdio: 'ignore' })
  const end = () => {
    process.off('exit', end)
    server.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
  process.on('exit', end)
  const client = await connectRedis(path)
  client.destroy()
  return { path, end }
}
