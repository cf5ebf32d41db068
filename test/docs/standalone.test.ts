import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { Browser } from '../helpers/browser.ts'
import { freePort } from '../helpers/listen.ts'
import { startProvider, type TestProvider } from '../helpers/provider.ts'
import { programOf } from '../types/documents.ts'
import { installPackage } from '../types/installed-package.ts'
import { startProgram } from '../types/run-app.ts'

// The programs of docs/standalone.md, in processes of their own.

const ORDERS = /id: 1[^]*id: 2/

/** Starts a program of the page. */
const start = (t: Test, folder: string, program: string, provider: TestProvider, port = 0) =>
  startProgram(t, folder, program, provider, { PORT: String(port) })

async function outputOf (child: ChildProcess): Promise<{ code: number, output: string }> {
  const [[code], output] = await Promise.all([once(child, 'close'), text(child.stdout!)])
  return { code, output }
}

t.test('a report with the app\'s own tokens', async (t) => {
  const provider = await startProvider(t)
  const folder = await installPackage(t)
  const { code, output } = await outputOf(
    await start(t, folder, programOf('docs/standalone.md', 'report.mjs'), provider))
  t.equal(code, 0)
  t.match(output, ORDERS)
  t.match(provider.tokenRequests.map(({ body }) => body.grant_type), ['client_credentials'])
})

t.test('a command that logs in once, goes on with its tokens, and keeps the refreshed ones', async (t) => {
  const provider = await startProvider(t)
  const folder = await installPackage(t)
  const port = await freePort()
  provider.allowRedirect(`http://localhost:${port}/callback`)
  const program = programOf('docs/standalone.md', 'connect.mjs')
  const kept = join(folder, 'tokens.json')

  const first = await start(t, folder, program, provider, port)
  const ended = once(first, 'close')
  const lines = createInterface(first.stdout!)[Symbol.asyncIterator]()
  const opened = /^Open (http:.+)$/.exec((await lines.next()).value)?.[1] ?? ''
  t.match((await new Browser().login(opened)).text, 'You are logged in')
  let output = ''
  for await (const line of lines) output += line
  t.match(output, ORDERS)
  t.strictSame(await ended, [0, null])
  t.equal((await stat(kept)).mode & 0o077, 0, 'for its owner alone')

  t.match(await outputOf(await start(t, folder, program, provider, port)), { code: 0, output: ORDERS })
  t.equal(provider.refreshRequests.length, 0)

  const tokens = JSON.parse(await readFile(kept, 'utf8')) as { refreshToken: string }
  await writeFile(kept, JSON.stringify({ ...tokens, expiresAt: 1 }))
  t.match(await outputOf(await start(t, folder, program, provider, port)), { code: 0, output: ORDERS })
  t.equal(provider.refreshRequests.length, 1)
  t.not(JSON.parse(await readFile(kept, 'utf8')).refreshToken, tokens.refreshToken, 'the rotated one is kept')
})
