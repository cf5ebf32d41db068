/** The commands that each operation sends to Redis: those of clients, not those within scripts. */
import { request } from 'undici'
import { connectRedis } from '../apps/redis-client.ts'
import type { Bench, RunningApp } from '../bench.ts'
import { FASTIFY_OAUTH2, FLOOR, THIS_PROJECT, type Contestant } from '../contestants.ts'
import { hasRedis, startRedis, type RedisServer } from '../redis.ts'
import type { MeasureResult, Row } from '../results.ts'

interface RedisRow {
  title: string
  contestant: Contestant
  /** The route that calls the API; without it nothing of the login is in Redis. */
  call?: string
}

const ROWS: RedisRow[] = [
  { title: '@fastify/session alone', contestant: FLOOR },
  { title: 'fastify-oauth-session', contestant: THIS_PROJECT, call: '/json' },
  { title: '@fastify/oauth2', contestant: FASTIFY_OAUTH2, call: '/orders' }
]

const TIMES = 10

export async function redis (bench: Bench): Promise<MeasureResult> {
  const title = 'Commands to Redis for one operation'
  if (!hasRedis) return { name: 'redis', title, rows: [{ title: 'all', values: {}, failure: 'no redis-server' }] }
  const server = await startRedis()
  const rows: Row[] = []
  for (const row of ROWS) {
    try {
      rows.push({ title: row.title, values: await countCommands(bench, row, server) })
    } catch (error) {
      rows.push({ title: row.title, values: {}, failure: (error as Error).message })
    }
  }
  server.end()
  return { name: 'redis', title, rows }
}

async function countCommands (bench: Bench, { contestant, call }: RedisRow, server: RedisServer) {
  const app = await bench.startApp(contestant, { redis: server.path })
  const monitor = await startMonitor(server)
  const count = async (operation: (index: number) => Promise<unknown>) => {
    await monitor.take()
    for (let index = 0; index < TIMES; index++) await operation(index)
    return summarize(await monitor.take())
  }
  try {
    const cookies = await bench.logIn(contestant, app, TIMES)
    const values: Record<string, string> = { 'plain route': await count(async () => send(app, '/plain', cookies[0])) }
    if (call === undefined) return values
    values.call = await count(async () => send(app, call, cookies[0]))
    values['three calls'] = await count(async () => send(app, '/three-calls', cookies[0]))
    values['GET /login'] = await count(async () => send(app, contestant.login ?? ''))
    values['whole login'] = await count(async () => logInOnce(bench, contestant, app))
    const expired = await logInForASecond(bench, contestant, app)
    values['call with a refresh'] = await count(async (index) => send(app, call, expired[index]))
    values.logout = await count(async (index) => send(app, '/logout', cookies[index], 'POST'))
    return values
  } finally {
    monitor.end()
    bench.endApp(app)
  }
}

type Method = 'GET' | 'POST'

async function send ({ origin }: RunningApp, path: string, cookie?: string, method: Method = 'GET'): Promise<void> {
  const headers = { 'sec-fetch-site': 'same-origin', ...(cookie !== undefined && { cookie }) }
  const { statusCode, body } = await request(origin + path, { method, headers })
  await body.dump()
  if (statusCode >= 400) throw new Error(`${method} ${path} answered ${statusCode}`)
}

async function logInOnce (bench: Bench, { login: path = '' }: Contestant, { origin }: RunningApp): Promise<void> {
  const { failed, firstFailure } = await bench.logInMany({ origin, path, count: 1, atOnce: 1 })
  if (failed > 0) throw new Error(firstFailure)
}

/** Users whose access tokens have expired. */
async function logInForASecond (bench: Bench, contestant: Contestant, app: RunningApp): Promise<string[]> {
  await bench.setProvider({ expiresIn: 1 })
  const cookies = await bench.logIn(contestant, app, TIMES)
  await bench.setProvider({ expiresIn: 36_000 })
  await new Promise(resolve => setTimeout(resolve, 1500))
  return cookies
}

async function startMonitor ({ path }: RedisServer) {
  const client = await connectRedis(path)
  let commands: string[] = []
  await client.monitor((line) => {
    // 1767225600.000000 [0 unix:/tmp/socket] "get" "sess:…"; of a script: [0 lua]
    const [, source, command] = /\[\d+ (\S+)\] "(\w+)"/.exec(String(line)) ?? []
    if (source !== undefined && source !== 'lua') commands.push(command!.toUpperCase())
  })
  return {
    async take (): Promise<string[]> {
      // What a response does not wait for is still to come.
      await new Promise(resolve => setTimeout(resolve, 200))
      const taken = commands
      commands = []
      return taken
    },
    end: () => client.destroy()
  }
}

/** `3: GET, 2 SET` for one of the operations. */
function summarize (commands: readonly string[]): string {
  const counts = new Map<string, number>()
  for (const command of commands) counts.set(command, (counts.get(command) ?? 0) + 1)
  const each = (count: number) => String(Math.round(count / TIMES * 10) / 10)
  const parts = Array.from(counts, ([command, times]) => times === TIMES ? command : `${each(times)} ${command}`)
  return parts.length === 0 ? '0' : `${each(commands.length)}: ${parts.join(', ')}`
}
