// `npm run docs`: the API reference, from the docstrings of what the package exports.
import { readFileSync } from 'node:fs'

const { exports: modules } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'))

export default {
  name: 'fastify-oauth-session',
  entryPoints: Object.values(modules)
    .flatMap(({ types }) => types === undefined ? [] : types.replace('./dist/', 'lib/').replace('.d.ts', '.ts')),
  tsconfig: 'tsconfig.build.json',
  out: 'reference',
  readme: 'none',
  excludePrivate: true,
  excludeInternal: true,
  excludeExternals: true,
  disableSources: true,
  includeVersion: true,
  validation: { notExported: false, invalidLink: true, notDocumented: false }
}
