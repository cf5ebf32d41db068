// Compiles lib/ into dist/, or into the folder that is given: types file by file, code as one file an entry point.
// Node takes half a millisecond to find, read and link a module, and an app's start needs a hundred of them.
import { build } from 'esbuild'
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const root = import.meta.dirname
const outdir = process.argv[2] ?? join(root, 'dist')
rmSync(outdir, { recursive: true, force: true })

const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc')
const project = ['-p', join(root, 'tsconfig.build.json'), '--outDir', outdir]
const { status } = spawnSync(process.execPath, [compiler, ...project], { stdio: 'inherit' })
if (status !== 0) process.exit(1)

await build({
  absWorkingDir: root,
  entryPoints: ['lib/index.ts', 'lib/providers.ts', 'lib/redis.ts'],
  outdir,
  bundle: true,
  packages: 'external',
  // What `import()` loads later, and what entry points share, is in files of its own.
  splitting: true,
  chunkNames: 'chunks/[name]-[hash]',
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  sourcemap: true,
  logLevel: 'warning'
})
