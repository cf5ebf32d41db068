/** What more sessions, more sessions of one user and more providers cost this project, in memory and on Redis. */
import type { AppSettings, Bench, RunningApp } from '../bench.ts'
import { THIS_PROJECT } from '../contestants.ts'
import type { LoadResult } from '../load/at-once.ts'
import { hasRedis, startRedis } from '../redis.ts'
import { reportProgress } from '../report.ts'
import type { MeasureResult, Row } from '../results.ts'
import { runRounds, type Candidate } from '../rounds.ts'
import { median, ratioOf } from '../statistics.ts'

interface Case {
  readonly title: string
  /** What grows. */
  readonly size: number
  readonly settings?: AppSettings
  /** Sessions of as many users. */
  readonly sessions: number
  /** Sessions of one user, whose logins are measured then. */
  readonly ofOneUser?: number
}

interface Series {
  /** The first one is the base. */
  readonly cases: readonly Case[]
  readonly atMost?: { call?: number, login?: number }
}

/** Of a turn. */
const CALLS = 1200
const LOGINS = 150
/** Logins before an app is filled, of browsers that log in again. */
const WARM_UP = 5000
const AT_ONCE = 16

const count = (number: number) => number.toLocaleString('en')

function seriesOf (quick: boolean): Series[] {
  const sessions = quick ? [100, 1000] : [1000, 10_000, 100_000]
  const ofOneUser = quick ? [0, 500] : [0, 200, 1000, 5000]
  const providers = quick ? [1, 16] : [1, 8, 64]
  return [
    {
      cases: sessions.map(sessions => ({ title: `${count(sessions)} sessions`, size: sessions, sessions })),
      atMost: { call: 1.05 }
    },
    {
      cases: ofOneUser.map(sessions => ({
        title: `a user with ${count(sessions)} sessions`,
        size: sessions,
        // All apps have as many sessions.
        sessions: ofOneUser.at(-1)! - sessions,
        ofOneUser: sessions
      })),
      atMost: { login: 1.10 }
    },
    {
      cases: providers.map(providers => ({
        title: providers === 1 ? '1 provider' : `${providers} providers`,
        size: providers,
        settings: { providers },
        sessions: 0
      }))
    }
  ]
}

export async function growth (bench: Bench): Promise<MeasureResult> {
  const rows: Row[] = []
  for (const series of seriesOf(bench.options.quick)) rows.push(...await runSeries(bench, series, 'in memory'))
  if (hasRedis) {
    for (const series of seriesOf(bench.options.quick)) {
      const { path, end } = await startRedis()
      rows.push(...await runSeries(bench, series, 'on Redis', path))
      end()
    }
  }
  return { name: 'growth', title: 'What growth costs: CPU of a call and of a whole login', rows }
}

async function runSeries (bench: Bench, { cases, atMost }: Series, place: string, redis?: string): Promise<Row[]> {
  const apps: RunningApp[] = []
  try {
    for (const one of cases) apps.push(await startFilled(bench, one, redis))
    const calls = await measure(bench, cases, apps, CALLS, async app => prepareCalls(bench, app))
    const logins = await measure(bench, cases, apps, LOGINS, async (app, one) => prepareLogins(bench, app, one))
    const [base = { title: '' }] = cases
    const rows = cases.map(({ title }, index): Row => {
      const call = ratioOf(calls[index]!, calls[0]!)
      const login = ratioOf(logins[index]!, logins[0]!)
      const last = index === cases.length - 1
      const targets = Object.entries(last ? atMost ?? {} : {}).map(([name, atMost]) => {
        const ratio = (name === 'call' ? call : login).median
        return { against: base.title, atMost, ratio, met: ratio <= atMost }
      })
      return {
        title: `${title}, ${place}`,
        values: {
          'call µs': Math.round(median(calls[index]!)),
          'x call': call,
          'login µs': Math.round(median(logins[index]!)),
          'x login': login,
          ...aDoubling(cases, index, 'call', calls),
          ...aDoubling(cases, index, 'login', logins)
        },
        targets
      }
    })
    for (const { title, values } of rows) {
      reportProgress(`growth: ${title}: call ${values['call µs']} µs, login ${values['login µs']} µs`)
    }
    return rows
  } catch (error) {
    return [{ title: `${cases[0]!.title} …, ${place}`, values: {}, failure: (error as Error).message }]
  } finally {
    await bench.setProvider({ sub: undefined, algorithm: 'RS256' })
    for (const app of apps) bench.endApp(app)
  }
}

/** What a doubling costs between the case before and this one. */
function aDoubling (cases: readonly Case[], index: number, operation: string, cpu: number[][]): Row['values'] {
  const before = cases[index - 1]
  if (before === undefined || before.size === 0) return {}
  const doublings = Math.log2(cases[index]!.size / before.size)
  return { [`${operation} a doubling`]: ratioOf(cpu[index]!, cpu[index - 1]!).median ** (1 / doublings) }
}

const subOf = ({ ofOneUser = 0 }: Case) => ofOneUser > 0 ? 'user-with-many' : undefined

async function startFilled (bench: Bench, one: Case, redis?: string): Promise<RunningApp> {
  const settings = { ...one.settings, ...(redis !== undefined && { redis }) }
  const app = await bench.startApp(THIS_PROJECT, settings, ['--max-old-space-size=6000', '--expose-gc'])
  const logIn = async (count: number, browsers?: number) => {
    const load = { origin: app.origin, path: '/login', count, atOnce: AT_ONCE }
    const { failed, firstFailure } = await bench.logInMany(browsers === undefined ? load : { ...load, browsers })
    if (failed > 0) throw new Error(`a login failed: ${firstFailure}`)
  }
  await bench.setProvider({ algorithm: 'ES256' })
  // Code is compiled by its use: an app that is filled less must not be slower for that.
  await logIn(bench.options.quick ? 500 : WARM_UP, 4 * AT_ONCE)
  await logIn(one.sessions)
  await bench.setProvider({ sub: subOf(one) })
  await logIn(one.ofOneUser ?? 0)
  await bench.setProvider({ sub: undefined, algorithm: 'RS256' })
  // What the logins left behind is collected before anything is measured.
  await app.peer.call('memory')
  reportProgress(`growth: ${one.title}, ready`)
  return app
}

type Run = (count: number) => Promise<LoadResult>

async function prepareCalls (bench: Bench, app: RunningApp): Promise<Run> {
  const headers = (await bench.logIn(THIS_PROJECT, app, AT_ONCE)).map(cookie => ({ cookie }))
  const load = { origin: app.origin, path: '/json', headers, atOnce: AT_ONCE, status: 200 }
  return async count => bench.sendRequests({ ...load, count })
}

async function prepareLogins (bench: Bench, { origin }: RunningApp, one: Case): Promise<Run> {
  return async (count) => {
    await bench.setProvider({ sub: subOf(one) })
    return bench.logInMany({ origin, path: '/login', count, atOnce: AT_ONCE })
  }
}

/** CPU in each round, for each case. */
async function measure (
  bench: Bench,
  cases: readonly Case[],
  apps: readonly RunningApp[],
  full: number,
  prepare: (app: RunningApp, one: Case) => Promise<Run>
): Promise<number[][]> {
  const { quick, rounds } = bench.options
  const candidates: Candidate[] = []
  for (const [index, one] of cases.entries()) {
    const app = apps[index]!
    candidates.push({ title: one.title, peer: app.peer, run: await prepare(app, one) })
  }
  const count = quick ? Math.ceil(full / 4) : full
  const outcomes = await runRounds(candidates, { rounds, count, warmUp: full * 2 })
  await bench.setProvider({ sub: undefined })
  return outcomes.map(({ turns, failure }) => {
    if (failure !== undefined) throw new Error(failure)
    return turns.map(({ cpu }) => cpu)
  })
}
