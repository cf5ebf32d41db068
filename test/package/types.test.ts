import { copyFile, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import ts from 'typescript'
import { installPackage, repository } from '../types/installed-package.ts'
import { fencedBlocks } from '../types/markdown.ts'

// What a user's compiler says, on the declarations that the package carries and not on our sources. One compiler for
// nearly all files: it takes some seconds to warm up.

/** What the README's snippets take for granted. */
const readmeContext = `
  import type {} from '@fastify/csrf-protection'
  import type {} from '@fastify/rate-limit'
  import type { SessionStore } from '@fastify/session'
  import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
  import type { ProviderOptions, TokenSet } from 'fastify-oauth-session'
  declare module 'fastify' {
    interface Session { asked?: boolean }
  }
  declare global {
    const app: FastifyInstance, request: FastifyRequest, reply: FastifyReply
    const acme: ProviderOptions
    const kept: TokenSet
    function keep (tokens: TokenSet): Promise<void>
    const store: SessionStore
    const env: Record<
      'SESSION_SECRET' | 'OLD_SESSION_SECRET' | 'ENCRYPTION_KEY' | 'REDIS_URL' | 'CLIENT_ID' | 'CLIENT_SECRET', string>
    interface Order { id: number }
  }
`
const asInstalled = async (name: string) =>
  (await readFile(join(repository, 'test/types', name), 'utf8'))
    .replaceAll("'../../lib/index.ts'", "'fastify-oauth-session'")
    .replaceAll(/'..\/..\/lib\/(\w+)(?:\/index)?.ts'/g, "'fastify-oauth-session/$1'")
const readme = await readFile(join(repository, 'README.md'), 'utf8')
const porting = await readFile(join(repository, 'docs/from-requests-oauthlib.md'), 'utf8')
const logout = await readFile(join(repository, 'docs/logout.md'), 'utf8')
const snippetsOf = (markdown: string) => fencedBlocks(markdown).filter(({ language }) => language === 'ts')
const snippets = snippetsOf(readme)
const listsProviders = ({ code }: { code: string }) => code.includes('interface OAuthProviders')
const files = {
  'readme-context.ts': readmeContext,
  'public-api.ts': await asInstalled('public-api.ts'),
  'server-kinds.ts': await asInstalled('server-kinds.ts'),
  ...Object.fromEntries(
    snippets
      .filter(snippet => !listsProviders(snippet))
      .map(({ line, code }) => [`readme-line-${line}.ts`, `${code}\nexport {}\n`])
  ),
  ...Object.fromEntries(
    snippetsOf(porting).map(({ line, code }) => [`porting-line-${line}.ts`, `${code}\nexport {}\n`])
  ),
  ...Object.fromEntries(
    snippetsOf(logout).map(({ line, code }) => [`logout-line-${line}.ts`, `${code}\nexport {}\n`])
  )
}

t.test('types', async (t) => {
  const folder = await installPackage(t)
  for (const name of ['redis', '@fastify/csrf-protection', '@fastify/rate-limit']) {
    await symlink(join(repository, 'node_modules', name), join(folder, 'node_modules', name), 'dir')
  }
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
  t.ok(snippets.length > 5, 'snippets in the README')

  t.test('an app that lists its providers', async (t) => {
    await writeFile(join(folder, 'list.ts'), `${snippets.find(listsProviders)?.code}\nexport {}\n`)
    await copyFile(join(repository, 'test/types/provider-names.ts'), join(folder, 'provider-names.ts'))
    t.strictSame(compile(folder, ['list.ts', 'provider-names.ts']).problems, [])
  })
})

/** Compiles files of a folder as strictly as a user may; what the compiler says comes with the file it is about. */
function compile (folder: string, names: string[]) {
  const program = ts.createProgram(names.map(name => join(folder, name)), {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.NodeNext,
    strict: true,
    noUncheckedIndexedAccess: true,
    exactOptionalPropertyTypes: true,
    types: ['node'],
    noEmit: true
  })
  const problems = ts.getPreEmitDiagnostics(program).map(({ file, start, messageText }) => ({
    file: file?.fileName.replace(`${folder}/`, '') ?? '',
    text: (file === undefined ? '' : `${file.getLineAndCharacterOfPosition(start ?? 0).line + 1}: `) +
      ts.flattenDiagnosticMessageText(messageText, '\n')
  }))
  return { program, problems }
}
