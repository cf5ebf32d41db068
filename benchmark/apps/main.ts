/** The process of one contestant: its app on a port of its own, and what the parent asks about this process. */
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { Session } from 'node:inspector/promises'
import type { AddressInfo } from 'node:net'
import { serve } from '../rpc.ts'
import type { AppContext } from './context.ts'

const [name = '', settings = '{}'] = process.argv.slice(2)

const server = createServer()
// As Fastify sets a server that it makes itself.
server.keepAliveTimeout = 72_000
server.requestTimeout = 0
server.listen(0, '127.0.0.1')
await once(server, 'listening')
const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

const { build } = await import(`./${name}.js`) as { build: (context: AppContext) => Promise<void> }
await build({ server, origin, ...JSON.parse(settings) })

const inspector = new Session()

serve({
  origin: () => origin,
  /** User and system time of this process in microseconds, all threads. */
  cpu () {
    const { user, system } = process.cpuUsage()
    return user + system
  },
  /** Bytes in use after a full collection; needs `--expose-gc`. */
  async memory () {
    for (let index = 0; index < 4; index++) {
      gc?.()
      await new Promise(resolve => setTimeout(resolve, 50))
    }
    const { heapUsed, external } = process.memoryUsage()
    return heapUsed + external
  },
  async startProfile () {
    inspector.connect()
    await inspector.post('Profiler.enable')
    await inspector.post('Profiler.start')
  },
  async writeProfile ({ file }: { file: string }) {
    const { profile } = await inspector.post('Profiler.stop')
    writeFileSync(file, JSON.stringify(profile))
    inspector.disconnect()
  }
})
