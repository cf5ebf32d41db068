import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { checklist } from '../security/checklist.ts'
import { parseResults, resultsOf } from '../security/results.ts'
import { BEGIN, END, replaceTables, rowStart, writeTables } from '../security/table.ts'
import { repository } from '../types/installed-package.ts'

const entries = checklist.flatMap(group => group.entries)
const read = (path: string) => readFileSync(join(repository, path), 'utf8')

/** A file's text, with titles that are joined over several lines in one piece. */
const sourceOf = (file: string) => read(file).replace(/['"`] \+\n\s*['"`]/g, '').replaceAll("\\'", "'")

/**
 * Whether a title, or the beginning of one, is written in a file: as it is, or as a template, up to the template's
 * second value. The first value has to be written there as well.
 */
function isWritten (title: string, source: string): boolean {
  if (['\'', '"', '`'].some(quote => source.includes(quote + title))) return true
  return [...source.matchAll(/(?<=`)[^`\n]*\$\{[^`\n]*/g)].some(([template]) => {
    const [head = '', next = ''] = template.split(/\$\{[^}]*\}/)
    if (!title.startsWith(head)) return false
    const rest = title.slice(head.length)
    const tail = next.slice(0, 10)
    const end = tail === '' ? rest.length : rest.indexOf(tail)
    if (end === -1 || head.length + tail.length < 8) return false
    return source.includes(rest.slice(0, end).replace(/^"|"$/g, ''))
  })
}

t.test('every entry of the checklist names a test that is there', async t => {
  const sources = new Map<string, string>()
  for (const { file, title } of entries) {
    if (!existsSync(join(repository, file))) {
      t.fail(`${file} is not there`)
      continue
    }
    if (!sources.has(file)) sources.set(file, sourceOf(file))
    if (!isWritten(title, sources.get(file)!)) t.fail(`${file} has no test "${title}"`)
  }
  t.ok(entries.length > 150, `${entries.length} entries`)
})

t.test('a title that no test has is found', async t => {
  const source = sourceOf('test/login/id-token-checklist.test.ts')
  t.ok(isWritten('ID token: alg none', source))
  t.notOk(isWritten('ID token: alg that nobody wrote', source))
  t.notOk(isWritten('a test that nobody wrote', source))
})

t.test('the table of SECURITY.md has a row for every entry, and a result in each', async t => {
  const document = read('SECURITY.md')
  const table = document.slice(document.indexOf(BEGIN), document.indexOf(END))
  const rows = table.split('\n').filter(line => line.includes('](test/'))
  t.equal(rows.length, entries.length)
  t.strictSame(
    rows.map(row => row.replace(/ (?:\d+ )?passed \|$/, '')),
    entries.map(rowStart),
    'npm run security-table writes it anew'
  )
})

t.test('the results of a run: tests and subtests, no assertions', async t => {
  const results = parseResults([
    'TAP version 14', '# Subtest: one \\# two', '    ok 1 - an assertion', '    # Subtest: inner',
    '        not ok 1 - false', '    not ok 2 - inner # time=1ms', 'ok 1 - one \\# two # time=1.5ms',
    'ok 2 - left out # SKIP no server'
  ].join('\n'))
  t.strictSame(results, [
    { title: 'inner', passed: false, skipped: false },
    { title: 'one # two', passed: true, skipped: false },
    { title: 'left out', passed: true, skipped: true }
  ])
  t.strictSame(resultsOf('one', results).map(({ title }) => title), ['one # two'], 'by the beginning of a title')
  t.strictSame(resultsOf('on two', results), [])
})

t.test('the table is replaced where it is, and nowhere else', async t => {
  const groups = [{ name: 'Group', entries: [{ threat: 'a | b', file: 'test/x.test.ts', title: 'x' }] }]
  const tables = writeTables(groups, 'Run.', () => 'passed')
  const once = replaceTables(`before\n${BEGIN}\nold\n${END}\nafter\n`, tables)
  t.equal(once, `before\n${tables}\nafter\n`)
  t.equal(replaceTables(once, tables), once)
  t.match(tables, '| a \\| b | [x.test.ts](test/x.test.ts) | passed |')
  t.throws(() => replaceTables('no place', tables), /has no place for the table/)
})
