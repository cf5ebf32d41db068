// The installed package, imported: run by .ci/run beside its dependencies.
import { access, readFile } from 'node:fs/promises'
import cookie from '@fastify/cookie'
import session from '@fastify/session'
import Fastify from 'fastify'
import plugin, * as all from 'fastify-oauth-session'
import { createChecks, visit } from './visit.mjs'

const { check, report } = createChecks('import')
const root = new URL(import.meta.resolve('fastify-oauth-session/package.json'))
const manifest = JSON.parse(await readFile(root))

check('the plugin is the default export', typeof plugin === 'function' && plugin === all.fastifyOAuthSession)
check('errors are exported', new all.LoginRequiredError('log in') instanceof all.OAuthError)
for (const [name, entry] of Object.entries(manifest.exports)) {
  const module = name.replace('.', manifest.name)
  for (const [condition, file] of Object.entries(typeof entry === 'string' ? { file: entry } : entry)) {
    check(`${module} has its ${condition}`, await access(new URL(file, root)).then(() => true, () => false))
  }
  if (typeof entry === 'object') check(`${module} can be imported`, Object.keys(await import(module)).length > 0)
}
await visit({ plugin, Fastify, cookie, session, check })
report()
