// The installed package, required: run by .ci/run beside its dependencies.
const Fastify = require('fastify')
const plugin = require('fastify-oauth-session')
const manifest = require('fastify-oauth-session/package.json')
const { createChecks, visit } = require('./visit.mjs')

const { check, report } = createChecks('require')

async function main () {
  const names = [plugin.default, plugin.fastifyOAuthSession]
  check('the plugin is what require returns', typeof plugin === 'function' && names.every(name => name === plugin))
  check('error classes are its properties', new plugin.LoginRequiredError('log in') instanceof plugin.OAuthError)
  for (const [name, entry] of Object.entries(manifest.exports)) {
    const module = name.replace('.', manifest.name)
    if (typeof entry === 'object') check(`${module} can be required`, Object.keys(require(module)).length > 0)
  }
  await visit({ plugin, Fastify, cookie: require('@fastify/cookie'), session: require('@fastify/session'), check })
  report()
}

main()
