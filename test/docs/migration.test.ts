import t from 'tap'
import { Browser } from '../helpers/browser.ts'
import { startProvider } from '../helpers/provider.ts'
import { programOf } from '../types/documents.ts'
import { installPackage } from '../types/installed-package.ts'
import { runApp } from '../types/run-app.ts'

// The programs of docs/migration.md, as they are written.

const folder = await installPackage(t)

t.test('what was on @fastify/oauth2 keeps its redirect URI', async (t) => {
  const provider = await startProvider(t)
  const { url } = await runApp(t, programOf('docs/migration.md', 'after-oauth2.mjs'), provider, { folder })
  const browser = new Browser()
  const orders = await browser.login(`${url}/orders`)
  t.equal(orders.url, `${url}/orders`)
  t.match(orders.json(), [{ id: 1 }, { id: 2 }])
  t.ok(browser.history.some(page => page.url.startsWith(`${url}/login/callback?`)))
})

t.test('what was on @fastify/passport finds its own user after a login', async (t) => {
  const provider = await startProvider(t)
  const { url } = await runApp(t, programOf('docs/migration.md', 'after-passport.mjs'), provider, { folder })
  const browser = new Browser()
  t.strictSame((await browser.login(`${url}/me`)).json(), { number: 1, name: 'Alice Adams' })
  await browser.logout(`${url}/logout`)
  t.strictSame((await browser.login(`${url}/me`)).json(), { number: 1, name: 'Alice Adams' }, 'the same one again')
})

t.test('what was on express-openid-connect guards by login and by claim', async (t) => {
  const provider = await startProvider(t)
  const program = programOf('docs/migration.md', 'after-express-openid-connect.mjs')
  const { url } = await runApp(t, program, provider, { folder })
  const browser = new Browser()
  t.match((await browser.login(`${url}/orders`)).json(), [{ id: 1 }, { id: 2 }])
  t.ok(browser.history.some(page => page.url.startsWith(`${url}/callback?`)))
  t.match(await browser.get(`${url}/admin`), { status: 403, text: /for administrators/ })
  await browser.logout(`${url}/logout`)
  const { status } = await browser.get(`${url}/orders`, { headers: { accept: 'application/json' } })
  t.equal(status, 401)
})
