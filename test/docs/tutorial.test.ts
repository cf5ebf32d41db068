import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Browser } from '../helpers/browser.ts'
import { freePort } from '../helpers/listen.ts'
import { programOf, read } from '../types/documents.ts'
import { environment, installPackage, run } from '../types/installed-package.ts'
import { fencedBlocks } from '../types/markdown.ts'

// docs/tutorial.md, step by step, in a folder that has what it installs; with ports that are free.

const programs = {
  'provider.mjs': programOf('docs/tutorial.md', 'provider.mjs'),
  'app.mjs': programOf('docs/tutorial.md', 'app.mjs'),
  'server.mjs': programOf('docs/tutorial.md', 'server.mjs'),
  'app.test.mjs': programOf('docs/tutorial.md', 'app.test.mjs')
}
const settings = fencedBlocks(read('docs/tutorial.md')).find(({ language }) => language === 'text')!.code

t.test('the tutorial ends with a logged-in page and a test', async (t) => {
  const folder = await installPackage(t)
  const ports = new Map<string, string>()
  for (const port of ['3000', '4000', '4001']) ports.set(port, String(await freePort()))
  const withPorts = (text: string) => text.replaceAll(/\b(?:3000|4000|4001)\b/g, (port) => ports.get(port)!)
  for (const [name, code] of Object.entries({ ...programs, '.env': settings })) {
    await writeFile(join(folder, name), name === 'app.test.mjs' ? code : withPorts(code))
  }

  t.test('a login, a page, a logout', async (t) => {
    await start(t, folder, ['provider.mjs'], /API at/)
    await start(t, folder, ['--env-file=.env', 'server.mjs'], /Server listening/)
    const url = `http://localhost:${ports.get('3000')}`
    const browser = new Browser()
    const page = await browser.login(`${url}/orders`)
    t.match(page, { url: `${url}/orders`, text: /Orders of Alice Adams[\s\S]*<li>tea</ })
    t.match((await browser.get(url)).text, /Hello Alice Adams/)
    await browser.submitForm(browser.page!)
    t.match((await browser.get(url)).text, /Log in/)
  })

  t.test('the test of the app', async (t) => {
    const { code, stdout } = await run(process.execPath, ['--test', '--test-reporter=tap'], folder)
    t.equal(code, 0, stdout)
    t.match(stdout, '# pass 2')
  })
})

/** Starts a program; it ends with `t`. */
async function start (t: Test, cwd: string, args: string[], ready: RegExp): Promise<void> {
  const child = spawn(process.execPath, args, { cwd, stdio: ['ignore', 'pipe', 'inherit'], env: environment() })
  t.after(async () => { if (child.kill('SIGKILL')) await once(child, 'exit') })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => { output += chunk.toString() })
  while (!ready.test(output)) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`${args.join(' ')} has ended:\n${output}`)
    await sleep(20)
  }
}
