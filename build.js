// Compiles lib/ into dist/, or into the folder that is given: types file by file, code as one file an entry point.
// Node takes half a millisecond to find, read and link a module, and an app's start needs a hundred of them.
import { build } from 'esbuild'
import { spawnSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const root = import.meta.dirname
const outdir = process.argv[2] ?? join(root, 'dist')
rmSync(outdir, { recursive: true, force: true })

const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc')
const project = ['-p', join(root, 'tsconfig.build.json'), '--outDir', outdir]
const { status } = spawnSync(process.execPath, [compiler, ...project], { stdio: 'inherit' })
if (status !== 0) process.exit(1)

const [index, ...others] = ['index', 'opentelemetry', 'providers', 'redis', 'testing', 'cli']
  .map(name => join(root, `lib/${name}.ts`))

// What index.ts shares with files that are loaded later is a chunk for each set of them that shares it: a dozen small
// files at the start. Where all of them import index.ts first, as an app does, it is one.
const oneChunk = {
  name: 'one-chunk',
  setup ({ onResolve, onLoad }) {
    const later = new Set(others)
    onResolve({ filter: /^\./ }, ({ kind, path, resolveDir }) => {
      if (kind === 'dynamic-import') later.add(join(resolveDir, path))
    })
    onLoad({ filter: /\.ts$/ }, ({ path }) => later.has(path)
      ? { loader: 'ts', contents: `${readFileSync(path, 'utf8')}\nimport ${JSON.stringify(index)}` }
      : undefined)
  }
}

await build({
  absWorkingDir: root,
  entryPoints: [index, ...others],
  outdir,
  bundle: true,
  packages: 'external',
  splitting: true,
  chunkNames: 'chunks/[name]-[hash]',
  plugins: [oneChunk],
  ignoreAnnotations: true, // package.json's `sideEffects` would drop these imports
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  sourcemap: true,
  logLevel: 'warning'
})
