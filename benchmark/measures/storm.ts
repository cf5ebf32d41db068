/** Many calls at once when the access token has just expired: the provider rotates refresh tokens. */
import type { Bench, RunningApp } from '../bench.ts'
import { FASTIFY_OAUTH2, OPENID_CLIENT, THIS_PROJECT, type Contestant } from '../contestants.ts'
import { hasRedis, startRedis } from '../redis.ts'
import type { MeasureResult, Row } from '../results.ts'

const CALLS = 200
const TOKEN_SECONDS = 2
/** Milliseconds that the provider takes for a refresh. */
const REFRESH_DELAY = 50

const ROWS: Array<{ title: string, contestant: Contestant, path: string }> = [
  { title: 'fastify-oauth-session', contestant: THIS_PROJECT, path: '/json' },
  { title: '@fastify/oauth2', contestant: FASTIFY_OAUTH2, path: '/orders' },
  { title: 'openid-client', contestant: OPENID_CLIENT, path: '/orders' }
]

export async function storm (bench: Bench): Promise<MeasureResult> {
  const rows: Row[] = []
  for (const row of ROWS) rows.push(await runStorms(bench, row, 1))
  if (hasRedis) {
    const { path: redis, end } = await startRedis()
    for (const row of ROWS) rows.push(await runStorms(bench, row, 3, redis))
    end()
  }
  return { name: 'storm', title: `${CALLS} calls at once of a user whose token has expired`, rows }
}

async function runStorms (bench: Bench, row: typeof ROWS[number], processes: number, redis?: string): Promise<Row> {
  const title = `${row.title}, ${processes === 1 ? '1 process' : `${processes} processes on Redis`}`
  const apps: RunningApp[] = []
  try {
    for (let index = 0; index < processes; index++) {
      apps.push(await bench.startApp(row.contestant, redis === undefined ? {} : { redis }))
    }
    const storms = bench.options.quick ? 2 : 5
    const total = { requests: 0, failed: 0, lost: 0 }
    for (let index = 0; index < storms; index++) {
      const { requests, failed, lost } = await runStorm(bench, row, apps)
      total.requests += requests
      total.failed += failed
      total.lost += lost ? 1 : 0
    }
    const target = { against: '', atMost: 1, ratio: total.requests / storms, met: total.requests === storms }
    return {
      title,
      values: {
        'token requests a storm': total.requests / storms,
        'failed calls a storm': total.failed / storms,
        'logins lost': `${total.lost} of ${storms}`
      },
      ...(row.contestant === THIS_PROJECT && { targets: [target] })
    }
  } catch (error) {
    return { title, values: {}, failure: (error as Error).message }
  } finally {
    for (const app of apps) bench.endApp(app)
  }
}

async function runStorm (bench: Bench, { contestant, path }: typeof ROWS[number], apps: RunningApp[]) {
  const expired = Date.now() + TOKEN_SECONDS * 1000
  await bench.setProvider({ expiresIn: TOKEN_SECONDS })
  const [cookie = ''] = await bench.logIn(contestant, apps[0]!, 1)
  await bench.setProvider({ expiresIn: 36_000, refreshDelay: REFRESH_DELAY })
  await new Promise(resolve => setTimeout(resolve, expired + 1000 - Date.now()))
  await bench.takeCounts()

  const count = Math.ceil(CALLS / apps.length)
  const send = async ({ origin }: RunningApp, calls: number) => {
    return bench.sendRequests({ origin, path, headers: { cookie }, count: calls, atOnce: calls, status: 200 })
  }
  const results = await Promise.all(apps.map(async app => send(app, count)))
  const { refreshes: requests } = await bench.takeCounts()
  const afterwards = await send(apps[0]!, 1)
  await bench.setProvider({ refreshDelay: 0 })
  return {
    requests,
    failed: results.reduce((sum, { failed }) => sum + failed, 0),
    lost: afterwards.failed > 0
  }
}
