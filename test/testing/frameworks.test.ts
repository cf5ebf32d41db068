import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { findBinary, requireService } from '../helpers/services.ts'
import { programOf } from '../types/documents.ts'
import { installPackage, linkImports, run } from '../types/installed-package.ts'

// The programs of docs/testing.md, beside the built package in an empty folder.

const programs = {
  'app.mjs': programOf('docs/testing.md', 'app.mjs'),
  'app.test.mjs': programOf('docs/testing.md', 'app.test.mjs'),
  'steps.test.mjs': programOf('docs/testing.md', 'steps.test.mjs'),
  'app.spec.mjs': programOf('docs/testing.md', 'app.spec.mjs'),
  'browser.test.mjs': programOf('docs/testing.md', 'browser.test.mjs'),
  'store.test.mjs': programOf('docs/testing.md', 'store.test.mjs')
}

t.test('an app is tested with each test runner', async (t) => {
  const folder = await installPackage(t)
  await linkImports(folder, Object.values(programs).join('\n'))
  for (const [file, text] of Object.entries(programs)) await writeFile(join(folder, file), text)
  const passes = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(process.execPath, args, folder)
    t.equal(code, 0, `${args.at(-1)}\n${code === 0 ? '' : stdout + stderr}`)
    return stdout
  }

  const stdout = await passes('--test', '--test-reporter=tap', 'app.test.mjs')
  t.match(stdout, '# pass 3')
  t.match(await passes('--test', '--test-reporter=tap', 'steps.test.mjs'), '# pass 3')
  t.match(await passes('--test', '--test-reporter=tap', 'store.test.mjs'), /# pass [1-9]\d/)
  t.match(await passes('node_modules/vitest/vitest.mjs', 'run', 'app.spec.mjs'), /1 passed/)
  if (!requireService(t, 'chromium')) return
  process.env.CHROMIUM = findBinary('chromium') ?? ''
  t.match(await passes('--test', '--test-reporter=tap', 'browser.test.mjs'), '# pass 1')
})
