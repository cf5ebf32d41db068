/** What this project costs, beside hand-written code and other libraries. `npm run bench -- --help` has the options. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { Bench } from './bench.ts'
import { bytes } from './measures/bytes.ts'
import { call, call64 } from './measures/call.ts'
import { runLoadMeasure, type LoadMeasure } from './measures/load-measure.ts'
import { expiry } from './measures/expiry.ts'
import { growth } from './measures/growth.ts'
import { login } from './measures/login.ts'
import { redis } from './measures/redis.ts'
import { route } from './measures/route.ts'
import { start } from './measures/start.ts'
import { storm } from './measures/storm.ts'
import { wholeLogin } from './measures/whole-login.ts'
import { parseOptions, type MeasureName } from './options.ts'
import { pinned } from './processes.ts'
import { formatRemarks, formatTable } from './report.ts'
import { RESULTS_FOLDER, type MeasureResult } from './results.ts'
import { installedVersions } from './versions.ts'

const underLoad = (measure: LoadMeasure) => async (bench: Bench) => runLoadMeasure(bench, measure)

const MEASURES: Record<MeasureName, (bench: Bench) => Promise<MeasureResult>> = {
  call: underLoad(call),
  call64: underLoad(call64),
  route: underLoad(route),
  login: underLoad(login),
  'whole-login': underLoad(wholeLogin),
  bytes,
  start,
  storm,
  redis,
  expiry,
  growth
}

const options = parseOptions(process.argv.slice(2))
mkdirSync(RESULTS_FOLDER, { recursive: true })
const [cpu] = cpus()
const machine = {
  date: new Date().toISOString(),
  node: process.version,
  cpu: cpu?.model,
  cores: cpus().length,
  pinned,
  options,
  versions: installedVersions()
}
const place = pinned ? 'the app on a core of its own' : 'not pinned'
console.log(`Node.js ${process.version}, ${machine.cores} × ${machine.cpu}, ${place}`)

const bench = await Bench.start(options)
const results: MeasureResult[] = []
for (const name of options.only) {
  const began = performance.now()
  const result = await MEASURES[name](bench)
  results.push(result)
  const seconds = ((performance.now() - began) / 1000).toFixed(0)
  console.log(`\n${formatTable(result, options.markdown)}\n${options.markdown ? '' : `  (${name}, ${seconds} s)`}`)
  for (const remark of formatRemarks(result)) console.log(`  ${remark}`)
}
bench.end()

const file = `${RESULTS_FOLDER}${machine.date.replaceAll(':', '-')}.json`
writeFileSync(file, JSON.stringify({ ...machine, results }, null, 2))
// A peer that fails is listed; where it is this project, something is wrong.
const ownFailures = results.flatMap(({ rows }) => rows)
  .filter(({ title, failure }) => failure !== undefined && title.includes('fastify-oauth-session'))
if (ownFailures.length > 0) process.exitCode = 1
console.log(`\n${file}`)
