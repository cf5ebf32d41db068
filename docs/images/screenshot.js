// Takes the picture of the example app, `npm run screenshot`: example-app.png, beside this file. It needs Chromium, at
// the path of the environment variable CHROMIUM or at /usr/bin/chromium.
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'
import { start } from '../../example-app/dist/start.js'

const path = fileURLToPath(new URL('example-app.png', import.meta.url))
const board = await start({ accessTokenTtl: 12, logger: false })
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium' })
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 760 }, colorScheme: 'light' })
  await page.goto(`${board.appUrl}/board`)
  await page.getByLabel('User name').fill('alice')
  await page.getByLabel('Password').fill('croissant')
  await page.getByRole('button', { name: 'Log in' }).click()
  await page.waitForSelector('.order')
  await page.getByRole('button', { name: 'Out of the oven' }).first().click()
  await page.locator('#token[data-state=over]').waitFor()
  await page.getByRole('button', { name: '20 at once' }).click()
  await page.locator('#call-result').filter({ hasText: '20 of 20' }).waitFor()
  await page.locator('#log [data-kind=refresh]').waitFor()
  await page.screenshot({ path })
} finally {
  await browser.close()
  await board.close()
}
