import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { checklist, type Entry } from './checklist.ts'
import { parseResults, resultsOf, type Result } from './results.ts'
import { replaceTables, writeTables } from './table.ts'

// Writes the results of the last `npm test` into SECURITY.md. Nothing is written where a test of the checklist is not
// among them, was skipped, or did not pass.

const root = fileURLToPath(new URL('../../../', import.meta.url))
const document = join(root, 'SECURITY.md')
const problems: string[] = []
const files = new Map<string, Result[]>()
const times: number[] = []

function resultsIn (file: string): Result[] {
  let results = files.get(file)
  if (results !== undefined) return results
  const path = join(root, '.tap/test-results', `${file}.tap`)
  results = []
  if (!existsSync(path)) {
    problems.push(`${file}: no results; run it with tap`)
  } else {
    const { mtimeMs } = statSync(path)
    if (mtimeMs < statSync(join(root, file)).mtimeMs) problems.push(`${file}: has changed since it was run`)
    times.push(mtimeMs)
    const tap = readFileSync(path, 'utf8')
    if (!/^1\.\.\d+/m.test(tap)) problems.push(`${file}: its run has not come to an end`)
    results = parseResults(tap)
  }
  files.set(file, results)
  return results
}

function outcome ({ threat, file, title }: Entry): string {
  const all = resultsIn(file)
  const found = resultsOf(title, all)
  if (all.length > 0 && found.length === 0) problems.push(`${file}: no test "${title}" (${threat})`)
  for (const { title, passed, skipped } of found) {
    if (!passed) problems.push(`${file}: failed: ${title}`)
    else if (skipped) problems.push(`${file}: skipped: ${title}`)
  }
  return found.length === 1 ? 'passed' : `${found.length} passed`
}

const day = (time: number) => new Date(time).toISOString().slice(0, 10)

// The results are read before the heading can tell their date.
for (const { entries } of checklist) for (const { file } of entries) resultsIn(file)
const days = [...new Set(times.map(day))].sort()
const count = checklist.reduce((sum, { entries }) => sum + entries.length, 0)
const heading = `Run of ${days.join(', ')} with Node.js ${process.version}: ${count} entries in ${files.size} files.`
const tables = writeTables(checklist, heading, outcome)

if (problems.length > 0) {
  process.exitCode = 1
  console.error([...new Set(problems)].join('\n'))
} else {
  writeFileSync(document, replaceTables(readFileSync(document, 'utf8'), tables))
  console.log(`SECURITY.md: ${heading}`)
}
