import { copyFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { asInstalled, compile } from '../types/compile.ts'
import { read } from '../types/documents.ts'
import { installPackage, linkImports, repository } from '../types/installed-package.ts'
import { fencedBlocks } from '../types/markdown.ts'

// What a user's compiler says, on the declarations that the package carries and not on our sources.

const files = {
  'public-api.ts': asInstalled(read('test/types/public-api.ts')),
  'server-kinds.ts': asInstalled(read('test/types/server-kinds.ts')),
  'testing-api.ts': asInstalled(read('test/types/testing-api.ts'))
}

t.test('types', async (t) => {
  const folder = await installPackage(t)
  await linkImports(folder, Object.values(files).join('\n'))
  await writeFile(join(folder, 'package.json'), JSON.stringify({ type: 'module' }))
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text)

  const { program, problems } = compile(folder, Object.keys(files))

  t.equal(
    program.getSourceFile(join(folder, 'public-api.ts'))?.fileName,
    join(folder, 'public-api.ts'),
    'it was compiled'
  )
  t.ok(
    program.getSourceFiles().some(({ fileName }) => fileName.endsWith('fastify-oauth-session/dist/index.d.ts')),
    "on the package's declarations"
  )
  for (const name of Object.keys(files)) {
    t.strictSame(problems.filter(({ file }) => file === name).map(({ text }) => text), [], name)
  }
  t.strictSame(problems.filter(({ file }) => !(file in files)), [], 'nothing else')

  t.test('an app that lists its providers', async (t) => {
    const list = fencedBlocks(read('docs/accounts.md')).find(({ code }) => code.includes('interface OAuthProviders'))
    await writeFile(join(folder, 'list.ts'), `${list?.code}\nexport {}\n`)
    await copyFile(join(repository, 'test/types/provider-names.ts'), join(folder, 'provider-names.ts'))
    t.strictSame(compile(folder, ['list.ts', 'provider-names.ts']).problems, [])
  })
})
