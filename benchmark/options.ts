import { parseArgs } from 'node:util'

/** Measured with `--quick` too. */
const QUICK = ['call', 'call64', 'route', 'login', 'whole-login', 'bytes', 'start'] as const

export const MEASURES = [...QUICK, 'storm', 'redis', 'expiry', 'growth'] as const

export type MeasureName = typeof MEASURES[number]

export interface Options {
  readonly only: readonly MeasureName[]
  readonly rounds: number
  /** Operations are fewer, and only this project, its floor and its nearest peer are measured. */
  readonly quick: boolean
  readonly markdown: boolean
  /** Parts of titles: of the measures under load, these rows alone, and the base. */
  readonly rows: readonly string[] | undefined
  /** The row whose rounds are profiled. */
  readonly cpuProfile: string | undefined
}

const HELP = `npm run bench -- [options]

  --quick              under a minute: fewer operations and rounds, the main rows of
                       ${QUICK.join(', ')}
  --only call,login    these measures alone; there are ${MEASURES.slice(QUICK.length).join(', ')} too
  --rounds N           rounds of each measure (11; 5 with --quick)
  --rows A,B           of call, call64, route, login, whole-login: rows whose title contains A or B, and the base
  --cpu-profile ROW    profiles the rounds of one row ('fastify-oauth-session'), beside the base alone
  --markdown           prints the tables as Markdown
  --help

Tables go to the standard output, everything to a JSON file in benchmark/results/, profiles too.
CPU is user and system time of the app's process for each operation. x is that against the first row:
the median of the ratios within the rounds, and the least and the greatest of them.`

export function parseOptions (args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      rounds: { type: 'string' },
      rows: { type: 'string' },
      'cpu-profile': { type: 'string' },
      markdown: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false }
    }
  })
  if (values.help) {
    console.log(HELP)
    process.exit()
  }
  const only = values.only?.split(',') ?? (values.quick ? QUICK : MEASURES)
  const unknown = only.filter(name => !MEASURES.includes(name as MeasureName))
  if (unknown.length > 0) throw new Error(`no such measure: ${unknown.join(', ')}; there are ${MEASURES.join(', ')}`)
  const rounds = Number(values.rounds ?? (values.quick ? 5 : 11))
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error('--rounds is a number from 1')
  return {
    only: only as MeasureName[],
    rounds,
    quick: values.quick,
    markdown: values.markdown,
    rows: values.rows?.split(','),
    cpuProfile: values['cpu-profile']
  }
}
