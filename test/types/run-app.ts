import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { freePort } from '../helpers/listen.ts'
import type { TestProvider } from '../helpers/provider.ts'
import { environment, installPackage } from './installed-package.ts'

export interface RunningApp {
  /** Its address, as the browser writes it. */
  readonly url: string
  /** What it has logged up to now. */
  log (): string
}

/** Starts a program of a document beside the installed package. Its environment names this provider and its API. */
export async function startProgram (
  t: Test, folder: string, program: string, provider: TestProvider, env: Record<string, string>
) {
  await writeFile(join(folder, 'program.mjs'), program)
  const child = spawn(process.execPath, ['program.mjs'], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: environment({
      ISSUER: provider.issuer,
      CLIENT_ID: provider.clientId,
      CLIENT_SECRET: provider.clientSecret,
      API_URL: provider.api.url,
      ...env
    })
  })
  t.after(async () => { if (child.kill('SIGKILL')) await once(child, 'exit') })
  return child
}

/**
 * Runs the program of a document as it is written, beside the installed package, in a process of its own. Its
 * environment names this provider and its API.
 * @param options.folder one of `installPackage`, which takes some seconds: for a file with several apps
 * @param options.env further variables
 * @returns when it listens; it ends with `t`
 */
export async function runApp (
  t: Test, program: string, provider: TestProvider, options: { folder?: string, env?: Record<string, string> } = {}
): Promise<RunningApp> {
  const folder = options.folder ?? await installPackage(t)
  const port = await freePort()
  const app = await startProgram(t, folder, program, provider, {
    SESSION_SECRET: 'thirty-two characters at the very least',
    PORT: String(port),
    BASE_URL: `http://localhost:${port}`,
    ...options.env
  })
  let log = ''
  app.stdout.on('data', (chunk: Buffer) => { log += chunk.toString() })
  while (!log.includes('Server listening')) {
    if (app.exitCode !== null || app.signalCode !== null) throw new Error(`the app has ended:\n${log}`)
    await sleep(20)
  }
  return { url: `http://localhost:${port}`, log: () => log }
}
