import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { repository } from '../types/installed-package.ts'

// docs/versions.md against what decides it.

const read = (file: string) => readFile(join(repository, file), 'utf8')
const { devDependencies, engines, peerDependencies } = JSON.parse(await read('package.json'))
const page = await read('docs/versions.md')
const workflow = await read('.github/workflows/ci.yml')

/** The row of the table "What it runs with". */
function rowOf (name: string): string[] {
  const line = page.split('\n').find(line => line.startsWith(`| ${name}`)) ?? ''
  return line.split('|').slice(2, -1).map(cell => cell.trim())
}

t.test('Node.js: the oldest of package.json, and those of the workflow', async (t) => {
  const [from = '', tested = ''] = rowOf('Node.js')
  t.equal(`>=${from}`, engines.node)
  const [, list = ''] = /node: \[([^\]]*)\]/.exec(workflow) ?? []
  const versions = list.split(',').map(version => version.trim().replaceAll("'", ''))
  t.equal(versions[0], from, 'the oldest itself is tested')
  t.strictSame(versions.map(version => version.split('.')[0]), tested.match(/\d+/g))
})

t.test('Fastify and its plugins: the oldest of package.json', async (t) => {
  for (const name of ['Fastify', '@fastify/session', '@fastify/cookie']) {
    const [from = '', tested = ''] = rowOf(name)
    const range: string = peerDependencies[name.toLowerCase()]
    t.match(range.replace(/^\D+/, ''), new RegExp(`^${from.replace('.', '\\.')}`), name)
    const { version } = JSON.parse(await read(`node_modules/${name.toLowerCase()}/package.json`))
    t.equal(version.split('.')[0], tested, `${name} of the tests`)
  }
})

t.test('TypeScript: the oldest that the README names and the newest, which .ci/run compiles with', async (t) => {
  const [, oldest] = /TypeScript ([\d.]+) or newer/.exec(await read('README.md')) ?? []
  const run = await read('.ci/run')
  t.match(run, 'typescript@$oldest_typescript')
  const [, newest] = /newest-typescript@npm:typescript@(\d+)/.exec(run) ?? []
  const [, own] = /^~(\d+\.\d+)/.exec(devDependencies.typescript) ?? []
  const [from, tested = ''] = rowOf('TypeScript')
  t.equal(from, oldest)
  t.ok(tested.startsWith(`${oldest}, ${own} and ${newest}:`), tested)
})

t.test('the workflow runs what has to hold, and names no host', async (t) => {
  t.match(workflow, /- run: \.ci\/run\n/)
  t.notMatch(workflow, /https?:/)
})
