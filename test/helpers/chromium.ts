import { chromium, type Browser, type Page } from 'playwright-core'
import type { Test } from 'tap'
import { findBinary, requireService } from './services.ts'

// It must not connect to anything but the test: no updates, no sync, no QUIC.
const args = [
  '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
]

/**
 * The system's Chromium, ended after `t`; undefined, and the test skipped, where there is none. Start it after the
 * servers, for it to end before them: `close()` of a server waits for each connection on which a browser has sent
 * nothing yet.
 */
export async function startChromium (t: Pick<Test, 'after' | 'pass'>): Promise<Browser | undefined> {
  if (!requireService(t, 'chromium')) return undefined
  const executablePath = findBinary('chromium') ?? ''
  const server = await chromium.launchServer({ executablePath, args, chromiumSandbox: false })
  // It has nothing to put in order, so that nothing can keep it from ending.
  t.after(() => server.kill())
  return await chromium.connect(server.wsEndpoint())
}

/** Fills in the form of the provider that is on the page for alice, and sends it. */
export async function signIn (page: Page): Promise<void> {
  await page.fill('[name=login]', 'alice')
  await page.fill('[name=password]', 'alice-password')
  await page.getByRole('button', { name: 'Sign in' }).click()
}
