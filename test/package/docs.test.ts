import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import t from 'tap'
import * as presets from '../../lib/providers.ts'
import { asInstalled, compile } from '../types/compile.ts'
import { documentBlocks, documentPaths, firstMember, isPart, read, type DocumentBlock } from '../types/documents.ts'
import { installPackage, linkImports, repository } from '../types/installed-package.ts'

// Every code block of README.md and docs/ is checked, by its language. CONTRIBUTING.md, "Write a page", says how:
// - `js name` and `ts name`: a whole program, which a test runs;
// - `js` and `ts`: a part of an app, compiled with what test/types/docs-context.ts declares, and run by a test;
// - `sh`: commands that exist;
// - `json`: it can be parsed.

const blocks = documentBlocks()
const tests = readdirSync(join(repository, 'test'), { recursive: true, encoding: 'utf8' })
  .filter(path => path.endsWith('.test.ts'))
  .map(path => readFileSync(join(repository, 'test', path), 'utf8'))
const packageJson = JSON.parse(read('package.json'))

t.test('every block is of a language that is checked, or that has nothing to check', async (t) => {
  const known = ['js', 'ts', 'sh', 'json', 'html', 'python', 'text']
  t.strictSame(blocks.filter(({ language }) => !known.includes(language)).map(placeOf), [])
})

t.test('a block that nothing checks is rare, and says why', async (t) => {
  const left = blocks.filter(({ notRun }) => notRun !== undefined)
  t.ok(left.length <= 5, left.map(placeOf).join(', '))
})

t.test('parts of an app compile', async (t) => {
  const parts = blocks.filter(({ language, file, notRun, code }) =>
    (language === 'js' || language === 'ts') && file === undefined && notRun === undefined &&
    !code.includes('interface OAuthProviders')) // types.test.ts compiles it apart: it counts for a whole app
  const files = new Map(parts.map(block => [`${placeOf(block).replace(':', '-line-')}.ts`, partOf(block)]))
  t.ok(files.size > 20, `${files.size} of them`)
  const folder = await installPackage(t)
  await linkImports(folder, [...files.values(), read('test/types/docs-context.ts')].join('\n'))
  await writeFile(join(folder, 'package.json'), JSON.stringify({ type: 'module' }))
  files.set('context.ts', context(parts))
  for (const [name, text] of files) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), text)
  }

  const { problems } = compile(folder, [...files.keys()])

  for (const name of files.keys()) {
    t.strictSame(problems.filter(({ file }) => file === name).map(({ text }) => text), [], name)
  }
  // The declarations of connect-redis need those of express-session, which few of its users have.
  const others = problems.filter(({ file }) => !files.has(file) && !file.includes('/node_modules/connect-redis/'))
  t.strictSame(others, [], 'nothing else')
})

t.test('every program is run by a test', async (t) => {
  const programs = blocks.filter(({ file, language, notRun }) =>
    file !== undefined && /^[jt]s$/.test(language) && notRun === undefined)
  t.ok(programs.length >= 2)
  for (const block of programs) {
    const call = `programOf('${block.path}', '${block.file}')`
    t.ok(tests.some(text => text.includes(call)), `${placeOf(block)}: a test has ${call}`)
  }
})

t.test('every part of an app is run by a test', async (t) => {
  for (const block of blocks.filter(block => isPart(block) && block.notRun === undefined)) {
    const { path, heading, code } = block
    if (code.startsWith('declare module')) continue // types alone: nothing runs
    // presets.test.ts calls the preset of each section of the page.
    if (path === 'docs/providers.md' && isCallOfPreset(code)) continue
    const literals = [path, heading].map(name => `'${name.replaceAll("'", "\\'")}'`)
    const isRun = tests.some(text => text.includes('runBlock(') && literals.every(literal => text.includes(literal)))
    t.ok(isRun, `${placeOf(block)}: a test has runBlock('${path}', '${heading}')`)
  }
})

t.test('commands exist', async (t) => {
  const commands = blocks.filter(({ language, notRun }) => language === 'sh' && notRun === undefined)
  for (const block of commands) {
    const lines = block.code.replaceAll('\\\n', ' ').split(/\n|&&/).map(line => line.replace(/ +#.*/, '').trim())
    for (const line of lines.filter(line => line !== '')) {
      t.ok(isCommand(line, block), `${placeOf(block)}: ${line}`)
    }
  }
})

t.test('JSON can be parsed', async (t) => {
  for (const block of blocks.filter(({ language }) => language === 'json')) {
    t.doesNotThrow(() => JSON.parse(block.code), placeOf(block))
  }
})

t.test('the index names every page', async (t) => {
  const pages = documentPaths('docs').filter(path => path !== 'docs/README.md').map(path => path.replace('docs/', ''))
  const index = read('docs/README.md')
  t.strictSame(pages.filter(page => !index.includes(`](${page})`)), [])
})

t.test('the README is a front door', async (t) => {
  t.ok(Buffer.byteLength(read('README.md')) <= 12 * 1024, '12 KB at most')
})

function placeOf ({ path, line }: DocumentBlock): string {
  return `${path}:${line}`
}

function isCallOfPreset (code: string): boolean {
  return Object.keys(presets).includes(/^(\w+)\(/.exec(code)?.[1] ?? '')
}

/** A block as a file of its own. One that shows members of the options alone becomes an object of them. */
function partOf ({ code }: DocumentBlock): string {
  const member = firstMember(code)
  if (member === undefined) return `${code}\nexport {}\n`
  const type = /^(?:providers$|on[A-Z]|routes$|pages$)/.test(member) ? 'Options' : 'Providers'
  return `export const part: ${type} = {\n${code.trimEnd()}\n}\n`
}

/** What test/types/docs-context.ts declares, and every variable of the environment and preset that blocks use. */
function context (parts: readonly DocumentBlock[]): string {
  const variables = new Set(parts.flatMap(({ code }) => [...code.matchAll(/\benv\.(\w+)/g)].map(([, name]) => `'${name}'`)))
  const declarations = [
    `const env: Record<${[...variables].join(' | ')}, string>`,
    ...Object.keys(presets).map(name => `const ${name}: typeof import('fastify-oauth-session/providers').${name}`)
  ]
  return `${asInstalled(read('test/types/docs-context.ts'))}\ndeclare global {\n${declarations.join('\n')}\n}\n`
}

function isCommand (line: string, { path }: DocumentBlock): boolean {
  const [command = '', ...args] = line.replace(/^(?:[A-Z_]+=\S+ )+/, '').split(/ +/)
  const has = (file: string) =>
    blocks.some(block => block.path === path && block.file === file) || existsSync(join(repository, file))
  if (command === 'cd' || command === 'mkdir' || command === 'openssl' || command === 'curl') return true
  if (command === 'node' && (args.includes('--test') || args.includes('--print'))) return true
  if (command === 'node') return has(args.find(arg => /^[^-].*js$/.test(arg)) ?? '')
  if (command === 'npx') {
    return Object.hasOwn(packageJson.bin ?? {}, args[0]!) || Object.hasOwn(packageJson.devDependencies, args[0]!)
  }
  if (command !== 'npm') return false
  const [task, ...rest] = args
  if (task === 'ci' || task === 'init') return true
  if (task === 'run') return Object.hasOwn(packageJson.scripts, rest[0]!)
  const known = [packageJson.name, ...Object.keys({ ...packageJson.dependencies, ...packageJson.devDependencies })]
  if (task === 'install') {
    return rest.filter(arg => !arg.startsWith('-')).every(arg => known.includes(arg.replace(/(?<=.)@[\d^.]+$/, '')))
  }
  return Object.hasOwn(packageJson.scripts, task!)
}
