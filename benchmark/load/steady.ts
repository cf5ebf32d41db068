/** Requests at a steady rate, however long each one takes: what users see while something else goes on. */
import { quantile } from './quantile.ts'
import { poolFor } from './requests.ts'

export interface SteadyLoad {
  origin: string
  path: string
  /** They take turns. */
  headers: Array<Record<string, string>>
  perSecond: number
  seconds: number
}

export interface SteadyResult {
  sent: number
  /** Those that were not answered with 200. */
  failed: number
  /** Milliseconds. */
  p50: number
  p99: number
  slowest: number
}

const TICK_MS = 10
const CONNECTIONS = 64

export async function sendSteadily ({ origin, path, headers, perSecond, seconds }: SteadyLoad): Promise<SteadyResult> {
  const pool = poolFor(origin, CONNECTIONS)
  const total = Math.round(perSecond * seconds)
  const times: number[] = []
  const pending: Array<Promise<void>> = []
  let failed = 0

  async function sendOne (index: number): Promise<void> {
    const options = { path, method: 'GET', headers: headers[index % headers.length]! } as const
    const start = performance.now()
    try {
      const { statusCode, body } = await pool.request(options)
      await body.dump()
      if (statusCode !== 200) failed++
    } catch {
      failed++
    }
    times.push(performance.now() - start)
  }

  const begin = performance.now()
  while (pending.length < total) {
    const due = Math.min(total, Math.floor((performance.now() - begin) / 1000 * perSecond))
    while (pending.length < due) pending.push(sendOne(pending.length))
    await new Promise(resolve => setTimeout(resolve, TICK_MS))
  }
  await Promise.all(pending)
  times.sort((a, b) => a - b)
  return { sent: total, failed, p50: quantile(times, 0.5), p99: quantile(times, 0.99), slowest: quantile(times, 1) }
}
