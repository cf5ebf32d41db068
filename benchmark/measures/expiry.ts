/** Many sessions whose access tokens expire within the same minute, while their users go on calling. */
import type { Bench, RunningApp } from '../bench.ts'
import { FASTIFY_OAUTH2, THIS_PROJECT, type Contestant } from '../contestants.ts'
import type { MeasureResult, Row } from '../results.ts'
import type { ProviderCounts } from '../servers/provider.ts'

const ROWS: Array<{ title: string, contestant: Contestant, path: string }> = [
  { title: 'fastify-oauth-session', contestant: THIS_PROJECT, path: '/json' },
  { title: '@fastify/oauth2', contestant: FASTIFY_OAUTH2, path: '/orders' }
]

/** Milliseconds that the provider takes for a refresh. */
const REFRESH_DELAY = 50

interface Scale {
  sessions: number
  /** Seconds in which the tokens expire. */
  window: number
  /** Calls. */
  perSecond: number
}

const FULL: Scale = { sessions: 10_000, window: 60, perSecond: 300 }
const QUICK: Scale = { sessions: 200, window: 4, perSecond: 60 }

/** A token is refreshed from so many seconds before its end, but not before half of its life: the default. */
const LEEWAY = 30
/** Seconds of calls before the first refresh. */
const CALM = 10

export async function expiry (bench: Bench): Promise<MeasureResult> {
  const scale = bench.options.quick ? QUICK : FULL
  const rows: Row[] = []
  for (const { title, contestant, path } of ROWS) {
    const app = await bench.startApp(contestant)
    try {
      rows.push(...await watchExpiry(bench, scale, title, contestant, app, path))
    } catch (error) {
      rows.push({ title, values: {}, failure: (error as Error).message })
    } finally {
      await bench.setProvider({ expiresBetween: undefined, refreshDelay: 0 })
      bench.endApp(app)
    }
  }
  const sessions = scale.sessions.toLocaleString('en')
  const title = `${sessions} sessions whose tokens expire within ${scale.window} s, ${scale.perSecond} calls a second`
  return { name: 'expiry', title, rows }
}

async function watchExpiry (
  bench: Bench,
  { sessions, window, perSecond }: Scale,
  title: string,
  contestant: Contestant,
  app: RunningApp,
  path: string
): Promise<Row[]> {
  const logIn = async (count: number) => {
    const login = { origin: app.origin, path: contestant.login ?? '', count, atOnce: 16, keep: count }
    const { failed, firstFailure, cookies } = await bench.logInMany(login)
    if (failed > 0) throw new Error(`a login failed: ${firstFailure}`)
    return cookies
  }
  // How long the logins take is estimated from a part of them, which are not used.
  const part = Math.ceil(sessions / 10)
  await logIn(part)
  const began = Date.now()
  await logIn(part)
  const filling = (Date.now() - began) / 1000 * sessions / part * 1.5
  const from = Date.now() + (filling + CALM + LEEWAY) * 1000
  await bench.setProvider({ expiresBetween: [from, from + window * 1000], refreshDelay: REFRESH_DELAY })
  const cookies = await logIn(sessions)
  await bench.setProvider({ expiresBetween: undefined })

  const load = { origin: app.origin, path, headers: cookies.map(cookie => ({ cookie })), perSecond }
  const calm = (from - Date.now()) / 1000 - LEEWAY
  if (calm < 1) throw new Error('the logins took longer than a part of them did before')
  const before = await bench.sendSteadily({ ...load, seconds: Math.min(calm, CALM) })
  await bench.takeCounts()
  // Until each user has called once after their token's end.
  const seconds = (from - Date.now()) / 1000 + window + sessions / perSecond
  const meanwhile = await bench.sendSteadily({ ...load, seconds })
  const counts = await bench.takeCounts()
  const row = (when: string, { sent, failed, p50, p99, slowest }: typeof before, values: Row['values'] = {}): Row => ({
    title: `${title}, ${when}`,
    values: { calls: sent, failed, 'p50 ms': p50, 'p99 ms': p99, 'slowest ms': slowest, ...values }
  })
  return [
    row('before', before),
    row('meanwhile', meanwhile, {
      refreshes: counts.refreshes,
      refused: counts.refused,
      '80 % within s': spreadOf(counts),
      'most a second': mostASecond(counts),
      'most at once': counts.peak
    })
  ]
}

function mostASecond ({ times }: ProviderCounts): number {
  const seconds = new Map<number, number>()
  for (const time of times) {
    const second = Math.floor(time / 1000)
    seconds.set(second, (seconds.get(second) ?? 0) + 1)
  }
  return Math.max(0, ...seconds.values())
}

/** Seconds that the refreshes took, without the first tenth of them and the last. */
function spreadOf ({ times }: ProviderCounts): number {
  const sorted = times.toSorted((a, b) => a - b)
  const at = (part: number) => sorted[Math.floor((sorted.length - 1) * part)] ?? 0
  return Math.round((at(0.9) - at(0.1)) / 1000)
}
