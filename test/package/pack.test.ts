import { copyFile, cp, mkdtemp, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { publint } from 'publint'
import t from 'tap'
import { repository, run } from '../types/installed-package.ts'

// What `npm publish` would send.

const bin = (name: string) => join(repository, 'node_modules/.bin', name)
const manifest = JSON.parse(await readFile(join(repository, 'package.json'), 'utf8'))

t.test('the packed package', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'packed-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  for (const file of ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md', 'SECURITY.md']) {
    await copyFile(join(repository, file), join(folder, file))
  }
  await cp(join(repository, 'docs'), join(folder, 'docs'), { recursive: true })
  // What must stay out, where `files` did not keep it out.
  await cp(join(repository, 'build.js'), join(folder, 'lib/secret.ts'))
  await cp(join(repository, 'build.js'), join(folder, '.env'))
  const built = await run(process.execPath, [join(repository, 'build.js'), join(folder, 'dist')], repository)
  t.equal(built.code, 0, built.stderr)
  const { code, stdout, stderr } = await run('npm', ['pack', '--ignore-scripts', '--json'], folder)
  t.equal(code, 0, stderr)
  const [{ filename, files, size }] = JSON.parse(stdout) as
    [{ filename: string, files: { path: string, mode: number }[], size: number }]
  const paths = files.map(({ path }) => path)

  t.test('holds the documents, the code with its maps, the types, and nothing else', async (t) => {
    const kinds = paths.map(path => path.replace(/^(dist|docs)\/.*?((?:\.d)?\.\w+(?:\.map)?)$/, '$1/*$2'))
    t.strictSame([...new Set(kinds)].sort(), [
      'CHANGELOG.md', 'LICENSE', 'README.md', 'SECURITY.md', 'dist/*.d.ts', 'dist/*.js', 'dist/*.js.map',
      'docs/*.json', 'docs/*.md', 'docs/*.png', 'docs/*.svg', 'docs/*.txt', 'package.json'
    ])
    t.ok(size < 1.5 * 1024 * 1024, `${size} bytes`)
  })

  t.test('has each entry, and its types', async (t) => {
    const targets = Object.values(manifest.exports as Record<string, string | Record<string, string>>)
      .flatMap(entry => typeof entry === 'string' ? [entry] : Object.values(entry))
    for (const target of [...targets, ...Object.values(manifest.bin as Record<string, string>)]) {
      t.ok(paths.includes(target.replace('./', '')), target)
    }
  })

  t.test('has every map that its code names, and the source is in it', async (t) => {
    for (const path of paths.filter(path => path.endsWith('.js'))) {
      const code = await readFile(join(folder, path), 'utf8')
      const [, map] = /\n\/\/# sourceMappingURL=(\S+)\s*$/.exec(code) ?? []
      t.ok(map !== undefined && paths.includes(join(path, '..', map)), path)
    }
  })

  t.test('has a command that can be run', async (t) => {
    const cli = manifest.bin['fastify-oauth-session'].replace('./', '')
    t.match(await readFile(join(folder, cli), 'utf8'), /^#!\/usr\/bin\/env node\n/)
    await symlink(join(repository, 'node_modules'), join(folder, 'node_modules'), 'dir')
    const { code, stdout } = await run(process.execPath, [join(folder, cli), '--version'], folder)
    t.strictSame([code, stdout], [0, `${manifest.version}\n`])
  })

  t.test('publint has nothing to say', async (t) => {
    const { messages } = await publint({ pkgDir: folder, pack: false, level: 'suggestion', strict: true })
    t.strictSame(messages, [])
  })

  // It does not know that Node.js 20.19 and newer require() ES modules; resolution as of Node.js 10 knows no `exports`.
  t.test('are the types wrong? No, for ES modules and bundlers', async (t) => {
    const args = [join(folder, filename), '--profile', 'esm-only', '-f', 'json']
    const { code, stdout } = await run(bin('attw'), args, folder)
    t.equal(code, 0, stdout)
    const { analysis } = JSON.parse(stdout)
    t.strictSame(Object.keys(analysis.entrypoints).length, Object.keys(manifest.exports).length)
  })
})
