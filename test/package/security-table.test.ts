import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { checklist } from '../security/checklist.ts'
import { parseResults, resultsOf } from '../security/results.ts'
import { BEGIN, END, replaceTables, rowStart, writeTables } from '../security/table.ts'
import { repository } from '../types/installed-package.ts'

const entries = checklist.flatMap(group => group.entries)
const read = (path: string) => readFileSync(join(repository, path), 'utf8')

/** Every literal of a file, as written: `${…}` stands in those that are templates. */
function literalsOf (source: string): string[] {
  const found = source.matchAll(/'((?:[^'\\\n]|\\.)*)'|"((?:[^"\\\n]|\\.)*)"|`((?:[^`\\]|\\.)*)`/g)
  return [...found].map(([, single, double, template]) => (single ?? double ?? template ?? '').replace(/\\(.)/g, '$1'))
}

/** Whether the title is a literal, begins one, or is what a template makes (or begins to make). */
function isWritten (title: string, literals: readonly string[]): boolean {
  return literals.some(literal => {
    if (literal.startsWith(title)) return true
    const parts = literal.split(/\$\{[^}]*\}/)
    if (parts.length === 1 || parts.join('').trim().length < 8) return false
    const escaped = parts.map(part => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    return new RegExp(`^${escaped.join('.+')}`).test(title)
  })
}

t.test('every entry of the checklist names a test that is there', async t => {
  const literals = new Map<string, string[]>()
  for (const { file, title } of entries) {
    if (!existsSync(join(repository, file))) {
      t.fail(`${file} is not there`)
      continue
    }
    // What is joined over several lines is one title.
    if (!literals.has(file)) literals.set(file, literalsOf(read(file).replace(/['"`] \+\n\s*['"`]/g, '')))
    if (!isWritten(title, literals.get(file)!)) t.fail(`${file} has no test "${title}"`)
  }
  t.ok(entries.length > 150, `${entries.length} entries`)
})

t.test('a title that no test has is found', async t => {
  const literals = literalsOf(read('test/login/id-token-checklist.test.ts'))
  t.ok(isWritten('ID token: alg none', literals))
  t.notOk(isWritten('a test that nobody wrote', literals))
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
