import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import type { AppProcessOptions, AppProcessReport } from './app-process.ts'

/** An app in a process of its own. */
export interface AppProcess {
  url: string
  reports: AppProcessReport[]
  /** Resolves once the process has reported such a thing. */
  reported (is: (report: AppProcessReport) => boolean): Promise<void>
}

/** Starts a process with an app on Redis, `app-process.ts`; it is killed when `t` is over. */
export async function startAppProcess (t: Test, options: AppProcessOptions): Promise<AppProcess> {
  const child = fork(fileURLToPath(new URL('./app-process.ts', import.meta.url)), [JSON.stringify(options)])
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  })
  const reports: AppProcessReport[] = []
  child.on('message', (report) => { reports.push(report as AppProcessReport) })
  const reported: AppProcess['reported'] = async (is) => {
    while (!reports.some(is)) await once(child, 'message')
  }
  await reported((report) => 'url' in report)
  const [{ url }] = reports as [{ url: string }]
  return { url, reports, reported }
}
