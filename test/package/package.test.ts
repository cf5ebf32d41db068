import { access, readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { documentPaths } from '../types/documents.ts'
import { installPackage, repository, run } from '../types/installed-package.ts'

const {
  name, main, types, exports: entries, files
} = JSON.parse(await readFile(join(repository, 'package.json'), 'utf8'))

t.test('the installed package', async (t) => {
  const folder = await installPackage(t)
  const installed = join(folder, 'node_modules', name)

  t.test('has every file that package.json names', async t => {
    const targets = [
      main,
      types,
      ...Object.values(entries).flatMap(entry => (typeof entry === 'string' ? [entry] : Object.values(entry as object)))
    ]
    for (const target of targets) await t.resolves(access(join(installed, target)), target)
    for (const file of files.filter((file: string) => file !== 'dist' && !file.startsWith('!'))) {
      await t.resolves(access(join(repository, file)), file)
    }
  })

  t.test('exports every module that we tell people to import', async (t) => {
    const sources = await readdir(join(repository, 'lib'), { recursive: true })
    const files = [
      ...documentPaths().filter(path => !path.startsWith('test/')),
      ...sources.filter(file => file.endsWith('.ts')).map(file => `lib/${file}`)
    ]
    const texts = await Promise.all(files.map(file => readFile(join(repository, file), 'utf8')))
    const named = new Set(
      texts.flatMap(text => [...text.matchAll(/fastify-oauth-session\/([a-z]+)\b/g)].map(([, module]) => `./${module}`))
    )
    t.ok(named.has('./providers'))
    t.strictSame([...named].filter(module => !(module in entries)), [])
  })

  t.test('import', async (t) => {
    const seen = await runProgram(t, folder, 'esm.mjs', `
      import plugin, * as all from 'fastify-oauth-session'
      import * as providers from 'fastify-oauth-session/providers'
      show({
        plugin: typeof plugin, same: plugin === all.fastifyOAuthSession,
        error: new all.LoginRequiredError('log in') instanceof all.OAuthError,
        github: typeof providers.github
      })`)
    t.match(seen, { plugin: 'function', same: true, error: true, github: 'function' })
  })

  t.test('require', async (t) => {
    const seen = await runProgram(t, folder, 'commonjs.cjs', `
      const plugin = require('fastify-oauth-session')
      const { github } = require('fastify-oauth-session/providers')
      import('fastify-oauth-session').then((all) => show({
        plugin: typeof plugin,
        same: [plugin.default, plugin.fastifyOAuthSession, all.default].every(item => item === plugin),
        missing: Object.keys(all).filter(name => name !== 'module.exports' && plugin[name] !== all[name]),
        classes: Object.keys(plugin).filter(name => name.endsWith('Error')).length,
        error: new plugin.LoginRequiredError('log in') instanceof plugin.OAuthError,
        github: typeof github, name: require('fastify-oauth-session/package.json').name
      }))`)
    t.match(seen, { plugin: 'function', same: true, missing: [], error: true, github: 'function', name })
    t.ok(seen.classes > 20, `${seen.classes} classes`)
  })

  t.test('registers in an app that is written in CommonJS', async (t) => {
    const seen = await runProgram(t, folder, 'app.cjs', `
      const app = require('fastify')()
      app.register(require('@fastify/cookie'))
      const cookie = { secure: 'auto' }
      app.register(require('@fastify/session'), { secret: 'thirty-two characters at the very least', cookie })
      const providers = { acme: { issuer: 'https://id.example', clientId: 'app' } }
      app.register(require('fastify-oauth-session'), { baseUrl: 'http://localhost', providers })
      app.get('/', { onRequest: (...args) => app.oauth.requireLogin()(...args) }, async () => 'in')
      app.inject('/').then(async ({ statusCode, json }) => {
        await app.close()
        show({ statusCode, code: json().code })
      })`)
    t.strictSame(seen, { statusCode: 401, code: 'FST_OAUTH_LOGIN_REQUIRED' })
  })
})

/** Runs a program of plain JavaScript beside the installed package; what it shows comes back. */
async function runProgram (t: Test, folder: string, file: string, code: string): Promise<Record<string, any>> {
  await writeFile(join(folder, file), `const show = value => console.log(JSON.stringify(value))\n${code}\n`)
  const { stdout, stderr } = await run(process.execPath, [file], folder)
  t.equal(stderr, '', 'no warning')
  return JSON.parse(stdout || '{}')
}
