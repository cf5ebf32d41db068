/**
 * Runs conformance cases: `npm run conformance`, or `npm run conformance -- FILE` for another file of the same form.
 * Exits with 1 where a case fails.
 */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { readCases } from './case.ts'
import { report } from './report.ts'
import { runCases } from './runner.ts'

const [file = 'test/conformance/cases.json'] = process.argv.slice(2)
// npm runs scripts in the package's folder and says where it was called.
const called = resolve(process.env.INIT_CWD ?? '.', file)
const results = await runCases(await readCases(existsSync(called) ? called : resolve(file)))
for (const line of report(results)) console.log(line)
if (results.some(({ outcome }) => outcome === 'failed')) process.exitCode = 1
