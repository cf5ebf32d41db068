/** From the start of a process until its app listens. */
import { once } from 'node:events'
import type { Bench } from '../bench.ts'
import { startProcess } from '../processes.ts'
import type { MeasureResult, Row } from '../results.ts'
import { median, ratioOf } from '../statistics.ts'

const BASE = 'fastify, @fastify/session'
const AT_MOST = 1.20

const ROWS = [
  { title: BASE, app: 'session' },
  { title: '… and a Pool of undici', app: 'pool' },
  { title: '… and fastify-oauth-session', app: 'this-project' },
  { title: '… and @fastify/passport', app: 'passport' },
  { title: '… and @fastify/oauth2', app: 'fastify-oauth2' }
]

interface Start { wall: number, cpu: number }

export async function start ({ options }: Bench): Promise<MeasureResult> {
  const spawns = options.quick ? 4 : Math.max(15, options.rounds)
  const starts = ROWS.map((): Start[] => [])
  const failures = new Map<string, string>()
  const order = [...ROWS.keys()]
  // One before the first that counts: files are in the system's cache then.
  for (let spawn = -1; spawn < spawns; spawn++) {
    for (const index of order) {
      const { title, app } = ROWS[index]!
      if (failures.has(title)) continue
      try {
        const measured = await startOnce(app)
        if (spawn >= 0) starts[index]!.push(measured)
      } catch (error) {
        failures.set(title, (error as Error).message)
      }
    }
    order.reverse()
  }
  const base = starts[0]!
  const rows = ROWS.map(({ title, app }, index): Row => {
    const failure = failures.get(title)
    if (failure !== undefined) return { title, values: {}, failure }
    const own = starts[index]!
    const wall = ratioOf(own.map(({ wall }) => wall), base.map(({ wall }) => wall))
    const cpu = ratioOf(own.map(({ cpu }) => cpu), base.map(({ cpu }) => cpu))
    return {
      title,
      values: {
        'CPU ms': median(own.map(({ cpu }) => cpu)),
        'x CPU': cpu,
        'wall ms': median(own.map(({ wall }) => wall)),
        'x wall': wall
      },
      ...(app === 'this-project' && {
        targets: [{ against: BASE, atMost: AT_MOST, ratio: cpu.median, met: cpu.median <= AT_MOST }]
      }),
      rounds: own
    }
  })
  return { name: 'start', title: `Import and register until listening, ${spawns} processes each`, rows }
}

async function startOnce (app: string): Promise<Start> {
  const before = performance.now()
  const child = startProcess('start-app.js', { core: 'app', args: [app] })
  let message: NodeJS.CpuUsage | undefined
  let wall = 0
  child.on('message', (usage: NodeJS.CpuUsage) => {
    wall = performance.now() - before
    message = usage
  })
  const [code] = await once(child, 'exit') as [number]
  if (message === undefined) throw new Error(`ended with ${code}`)
  return { wall, cpu: (message.user + message.system) / 1000 }
}
