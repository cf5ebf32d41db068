import { readFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { Session } from 'node:inspector/promises'
import { join } from 'node:path'
import t from 'tap'
import { loggedInApp } from '../helpers/logged-in-app.ts'
import { callbackUrl } from '../helpers/login-app.ts'
import { expireTokens } from '../helpers/records.ts'
import { repository } from '../types/installed-package.ts'

// The walks of docs/how-it-works.md against what the engine ran: each file of a walk runs, and each file that runs is
// in the walk, in one that the walk names, or in the table of what no walk counts.

const document = readFileSync(join(repository, 'docs/how-it-works.md'), 'utf8')

t.test('the walks of docs/how-it-works.md hold the files that run', async (t) => {
  const { url, browser, store, orders } = await loggedInApp(t)
  const steps: Record<string, () => Promise<unknown>> = {
    'GET /login': () => browser.get(`${url}/login/acme`, { redirect: 'manual' }),
    'a call with a fresh token': orders,
    'a refresh': async () => {
      expireTokens(store)
      return await orders()
    }
  }
  await loadAll() // an app that listens loads what its start has left out, at any time
  const coverage = await startCoverage(t)
  for (const [name, step] of Object.entries(steps)) {
    await step() // what is made at first use is made now
    check(t, name, await coverage(step))
  }
  await browser.login(`${url}/login/acme`)
  const back = await callbackUrl(browser, `${url}/login/acme`)
  check(t, 'the callback', await coverage(() => browser.get(back, { redirect: 'manual' })))
})

function check (t: Pick<typeof import('tap').t, 'strictSame' | 'ok'>, name: string, ran: Set<string>): void {
  const walk = stepsOf(name)
  const named = sectionOf(name).match(/the walk "([^"]+)"/g)?.flatMap(text => stepsOf(text.slice(10, -1))) ?? []
  const uncounted = [...sectionOf('Not counted').matchAll(/`([\w./-]+)`/g)].map(([, path]) => path!)
  const isUncounted = (file: string) =>
    uncounted.some(path => path.endsWith('/') ? file.startsWith(path) : file === path)
  t.ok(ran.size > 3, name)
  t.strictSame(walk.filter(file => !ran.has(file)), [], `${name}: every step runs`)
  const left = [...ran].filter(file => !walk.includes(file) && !named.includes(file) && !isUncounted(file))
  t.strictSame(left.sort(), [], `${name}: no other file runs`)
}

/** Loads every file of lib, so that no code of a module itself runs later. */
async function loadAll (): Promise<void> {
  for (const file of await readdir(join(repository, 'lib'), { recursive: true })) {
    // `cli.ts` is a program.
    if (file.endsWith('.ts') && file !== 'cli.ts') await import(`../../lib/${file}`)
  }
}

/** Starts counting; what it returns runs something and resolves to the files of lib whose functions it called. */
async function startCoverage (t: { after: (end: () => void) => unknown }) {
  const session = new Session()
  session.connect()
  t.after(() => session.disconnect())
  await session.post('Profiler.enable')
  await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false })
  const lib = new URL('../../lib/', import.meta.url).href
  return async (run: () => Promise<unknown>): Promise<Set<string>> => {
    await session.post('Profiler.takePreciseCoverage') // starts again from nothing
    await run()
    const { result } = await session.post('Profiler.takePreciseCoverage')
    // The function that starts at 0 is the module's own.
    const hasRun = ({ ranges: [all] }: { ranges: { startOffset: number, count: number }[] }) =>
      all!.startOffset > 0 && all!.count > 0
    const called = result.filter(({ url, functions }) => url.startsWith(lib) && functions.some(hasRun))
    const files = called.map(({ url }) => url.slice(lib.length))
    return new Set(files.filter(file => !file.startsWith('testing'))) // the provider, which no app imports
  }
}

function sectionOf (heading: string): string {
  const sections = document.split(/^## /m)
  const starts = [`${heading}\n`, `A walk: ${heading}\n`]
  return sections.find(section => starts.some(start => section.startsWith(start))) ?? ''
}

function stepsOf (walk: string): string[] {
  return [...sectionOf(walk).matchAll(/^\d+\. `([\w./-]+\.ts)`/gm)].map(([, file]) => file!)
}
