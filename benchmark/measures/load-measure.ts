/** A measure whose rows are routes under load: what they have in common. */
import type { Bench, RunningApp } from '../bench.ts'
import type { Contestant } from '../contestants.ts'
import type { LoadResult } from '../load/at-once.ts'
import type { Options } from '../options.ts'
import { RESULTS_FOLDER, type MeasureResult, type Row, type Target } from '../results.ts'
import { runRounds, type Candidate, type Turn } from '../rounds.ts'
import { median, ratioOf } from '../statistics.ts'

export interface LoadRow {
  readonly title: string
  readonly contestant: Contestant
  /** The route that is measured. */
  readonly path: string
  /** The part of the operations that it does: for those that slow down with each, default 1. */
  readonly share?: number | undefined
  /** Measured with `--quick` too. */
  readonly quick?: boolean
  readonly targets?: readonly Target[]
}

export interface LoadMeasure {
  readonly name: string
  readonly title: string
  /** The first one is the base. */
  readonly rows: readonly LoadRow[]
  /** Operations of a turn; a quarter of it with `--quick`. */
  readonly count: number
  /**
   * Checks that the contestant does what is measured, and throws if not.
   *
   * @returns What sends so many operations.
   */
  readonly prepare: (bench: Bench, row: LoadRow, app: RunningApp) => Promise<(count: number) => Promise<LoadResult>>
}

/**
 * Operations before the first round. V8 compiles what runs often, again and again, on threads whose time counts as
 * well: the first ten thousand calls of an app cost up to three times as much as those after them.
 */
const WARM_UP = 20_000

/**
 * While a contestant waits for its turn, V8 would shrink its heap, and drop compiled code with objects that the code
 * refers to. An app that has requests keeps its code.
 */
const NODE_OPTIONS = ['--no-memory-reducer']

export async function runLoadMeasure (bench: Bench, measure: LoadMeasure): Promise<MeasureResult> {
  const { rounds, cpuProfile } = bench.options
  const chosen = chooseRows(measure, bench.options)
  const apps = new Map<LoadRow, RunningApp>()
  const failures = new Map<LoadRow, string>()
  const candidates = new Map<LoadRow, Candidate>()
  await Promise.all(chosen.map(async (row) => {
    try {
      const app = await bench.startApp(row.contestant, {}, NODE_OPTIONS)
      apps.set(row, app)
    } catch (error) {
      failures.set(row, (error as Error).message)
    }
  }))
  // One after the other, in the order of the table.
  for (const row of chosen) {
    const app = apps.get(row)
    if (app === undefined) continue
    try {
      const run = await measure.prepare(bench, row, app)
      const { title, share } = row
      const profile = title === cpuProfile ? profileFile(measure.name, title) : undefined
      candidates.set(row, { title, peer: app.peer, run, share, profile })
    } catch (error) {
      failures.set(row, (error as Error).message)
    }
  }
  const count = bench.options.quick ? Math.ceil(measure.count / 4) : measure.count
  const warmUp = bench.options.quick ? measure.count : WARM_UP
  const outcomes = await runRounds([...candidates.values()], { rounds, count, warmUp })
  for (const app of apps.values()) bench.endApp(app)

  const turnsOf = new Map<string, Turn[]>()
  for (const [index, row] of [...candidates.keys()].entries()) {
    const { turns, failure } = outcomes[index]!
    if (failure === undefined) turnsOf.set(row.title, turns)
    else failures.set(row, failure)
  }
  const rows = chosen.map((row): Row => {
    const own = turnsOf.get(row.title)
    if (own === undefined) return { title: row.title, values: {}, failure: failures.get(row) ?? 'unknown' }
    return rowOf(row, own, turnsOf, measure.rows[0]!.title)
  })
  return { name: measure.name, title: measure.title, rows }
}

function profileFile (measure: string, title: string): string {
  return `${RESULTS_FOLDER}${measure}-${title.replaceAll(/[^\w.-]+/g, '-')}.cpuprofile`
}

function chooseRows ({ rows }: LoadMeasure, { quick, rows: parts, cpuProfile }: Options): LoadRow[] {
  return rows.filter((row, index) => {
    if (index === 0) return true
    if (cpuProfile !== undefined) return row.title === cpuProfile
    if (parts !== undefined) return parts.some(part => row.title.includes(part))
    return !quick || row.quick === true
  })
}

function rowOf (row: LoadRow, turns: Turn[], turnsOf: Map<string, Turn[]>, base: string): Row {
  const cpuOf = (of: Turn[]) => of.map(({ cpu }) => cpu)
  const middle = (name: keyof LoadResult & ('p50' | 'p99' | 'perSecond')) => median(turns.map(turn => turn[name]))
  const baseTurns = turnsOf.get(base)
  const targets = (row.targets ?? []).flatMap((target) => {
    const against = turnsOf.get(target.against)
    if (against === undefined) return []
    const ratio = ratioOf(cpuOf(turns), cpuOf(against)).median
    return [{ ...target, ratio, met: ratio <= target.atMost }]
  })
  return {
    title: row.title,
    values: {
      'CPU µs': median(cpuOf(turns)),
      ...(baseTurns !== undefined && { x: ratioOf(cpuOf(turns), cpuOf(baseTurns)) }),
      'p50 ms': middle('p50'),
      'p99 ms': middle('p99'),
      'per s': Math.round(middle('perSecond'))
    },
    targets,
    rounds: turns
  }
}
