import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { repository } from '../types/installed-package.ts'

const read = (path: string) => readFileSync(join(repository, path), 'utf8')
const text = read('CONTRIBUTING.md')
const code = [...text.matchAll(/`([^`\n]+)`/g)].map(([, found = '']) => found)

t.test('every path that CONTRIBUTING.md names is there', async (t) => {
  const paths = code.flatMap(found => found.match(/(?:^|\s)(?:lib|test|docs|benchmark|\.ci)\/[\w./-]*/g) ?? [])
    .map(path => path.trim())
  const links = [...text.matchAll(/\]\(([^)]+)\)/g)].map(([, link = '']) => link)
  t.ok(paths.length > 30, `${paths.length} paths`)
  t.strictSame([...paths, ...links].filter(path => !existsSync(join(repository, path))), [])
})

t.test('every command that it names is a script, and every script of its own is named', async (t) => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  const named = new Set(['test', 'start'])
  for (const [, name = ''] of text.matchAll(/npm run ([\w:-]+)/g)) named.add(name)
  const hooks = ['prepack', 'prestart', 'pretest']
  t.strictSame([...named].sort(), Object.keys(scripts).filter(name => !hooks.includes(name)).sort())
})

t.test('every name that it points to is in the file beside it', async (t) => {
  const pointers = [...text.matchAll(/`(\w+)`[^`\n]*? in `(lib\/[\w./-]+\.ts|test\/[\w./-]+\.ts)`/g)]
  t.ok(pointers.length >= 4, `${pointers.length} names`)
  for (const [, name = '', file = ''] of pointers) {
    t.match(read(file), new RegExp(`\\b${name}\\b`), `${name} in ${file}`)
  }
})

t.test('every folder of tests has its line', async (t) => {
  const folders = readdirSync(join(repository, 'test'), { withFileTypes: true }).filter(entry => entry.isDirectory())
  t.strictSame(folders.map(({ name }) => name).filter(name => !text.includes(`test/${name}/`)), [])
})
