import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, mkdtemp, readFile, realpath, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'

export const repository = fileURLToPath(new URL('../../', import.meta.url))

/**
 * Builds the package and puts it where `npm install` would, into the `node_modules` of an empty folder, beside what an
 * app needs with it. `dist/` stays out of it: it can be older than the sources.
 * @returns the folder; gone after `t`
 */
export async function installPackage (t: Pick<Test, 'after'>): Promise<string> {
  // TypeScript compares real paths, and the temporary folder may be a link itself.
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'installed-')))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const { name, dependencies, peerDependencies } = JSON.parse(await readFile(join(repository, 'package.json'), 'utf8'))
  const installed = join(folder, 'node_modules', name)
  await mkdir(installed, { recursive: true })
  await copyFile(join(repository, 'package.json'), join(installed, 'package.json'))
  for (const dependency of [...Object.keys({ ...dependencies, ...peerDependencies }), '@types/node']) {
    const link = join(folder, 'node_modules', dependency)
    await mkdir(dirname(link), { recursive: true })
    await symlink(join(repository, 'node_modules', dependency), link, 'dir')
  }
  const build = [join(repository, 'build.js'), join(installed, 'dist')]
  const { code, stdout, stderr } = await run(process.execPath, build, folder)
  if (code !== 0) throw new Error(`the package does not build:\n${stdout}${stderr}`)
  return folder
}

/** Runs a program to its end. */
export async function run (
  command: string,
  args: readonly string[],
  cwd: string
): Promise<{ code: number | null, stdout: string, stderr: string }> {
  const child = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'], env: environment() })
  const [[code], stdout, stderr] = await Promise.all([once(child, 'close'), text(child.stdout), text(child.stderr)])
  return { code, stdout, stderr }
}

/** The environment without what the test runner puts there: its loader has no place in a program of a user's. */
export function environment (own: Record<string, string> = {}): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _loader, ...rest } = process.env
  return { ...rest, ...own }
}

/** Puts the packages that code imports beside the installed one. */
export async function linkImports (folder: string, code: string): Promise<void> {
  for (const [, name = ''] of code.matchAll(/from '((?:@[\w-]+\/)?[\w-]+)[^']*'/g)) {
    const link = join(folder, 'node_modules', name)
    const target = join(repository, 'node_modules', name)
    if (existsSync(link) || !existsSync(target)) continue
    await mkdir(dirname(link), { recursive: true })
    await symlink(target, link, 'dir')
  }
}
