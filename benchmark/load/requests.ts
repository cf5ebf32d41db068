/** Requests to one route, on kept connections. */
import { Pool } from 'undici'
import { runAtOnce, type LoadResult } from './at-once.ts'

export interface RequestLoad {
  origin: string
  path: string
  /** One, or several that take turns. */
  headers: Record<string, string> | Array<Record<string, string>>
  count: number
  atOnce: number
  /** The status that a request has to have. */
  status: number
}

const pools = new Map<string, Pool>()

/** Requests take their turns on so many connections, which are kept from round to round. */
export function poolFor (origin: string, connections: number): Pool {
  const key = `${origin} ${connections}`
  let pool = pools.get(key)
  if (pool === undefined) {
    pool = new Pool(origin, { connections, pipelining: 1, headersTimeout: 60_000 })
    pools.set(key, pool)
  }
  return pool
}

export async function sendRequests (load: RequestLoad): Promise<LoadResult> {
  const { origin, path, count, atOnce, status } = load
  const pool = poolFor(origin, atOnce)
  const headers = [load.headers].flat()
  return runAtOnce(count, atOnce, async (index) => {
    const { statusCode, body } = await pool.request({ path, method: 'GET', headers: headers[index % headers.length]! })
    if (statusCode === status) return body.dump()
    throw new Error(`${path} answered ${statusCode}: ${(await body.text()).slice(0, 300)}`)
  })
}
