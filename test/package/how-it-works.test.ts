import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { repository } from '../types/installed-package.ts'

const text = readFileSync(join(repository, 'docs/how-it-works.md'), 'utf8')
const lib = join(repository, 'lib')

/** How many files each walk may lead through. */
const LIMITS = { 'GET /login': 12, 'the callback': 20, 'a call with a fresh token': 8, 'a refresh': 15 }

for (const [name, limit] of Object.entries(LIMITS)) {
  t.test(`a walk through ${name}: one file a step, each there, at most ${limit}`, async (t) => {
    const files = walk(name)
    t.ok(files.length >= 3, `${files.length} steps`)
    t.ok(files.length <= limit, `${files.length} steps`)
    t.equal(new Set(files).size, files.length, 'each file is one step')
    t.strictSame(files.filter(file => !existsSync(join(lib, file))), [])
  })
}

t.test('every file and folder that it names is there', async (t) => {
  const named = [...text.matchAll(/`([\w./-]+(?:\.ts|\/))`/g)].map(([, path = '']) => path)
  t.ok(named.length > 30)
  t.strictSame(named.filter(path => !existsSync(join(lib, path)) && !existsSync(join(repository, path))), [])
})

t.test('the table of the folders has every folder and file of lib', async (t) => {
  const [, table = ''] = /^## The folders$([^]*?)^## /m.exec(text) ?? []
  const rows = table.split('\n').filter(line => line.startsWith('| `')).map(line => line.split('|')[1]!)
  const named = rows.flatMap(cell => [...cell.matchAll(/`([^`]+)`/g)].map(([, path]) => path!.replace(/\/$/, '')))
  t.strictSame(named.sort(), readdirSync(lib).sort())
})

/** The files of a walk: each step of its list begins with one. */
function walk (name: string): string[] {
  const start = text.indexOf(`\n## A walk: ${name}\n`)
  if (start === -1) throw new Error(`docs/how-it-works.md has no walk "${name}"`)
  const section = text.slice(start + 1).split(/^## /m)[1]!
  const steps = section.split('\n').filter(line => /^\d+\. /.test(line))
  return steps.map((step) => {
    const file = /^\d+\. `([\w./-]+\.ts)`/.exec(step)?.[1]
    if (file === undefined) throw new Error(`a step of "${name}" does not begin with its file: ${step}`)
    return file
  })
}
