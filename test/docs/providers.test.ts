import t from 'tap'
import oauth from '../../lib/index.ts'
import { apple } from '../../lib/providers.ts'
import { authorize } from '../../lib/testing/authorize.ts'
import { anonymous, loginAs, replaceProvider } from '../../lib/testing.ts'
import { pageApp, pageLoad } from '../helpers/page-app.ts'
import { APPLE_KEY } from '../helpers/preset-cases.ts'
import { runBlock } from '../helpers/run-block.ts'

// What docs/providers.md shows of an app; presets.test.ts has its calls of presets.

const baseUrl = 'https://app.example.com'

t.test('presets in an app: the redirect URIs, and a login at each', async (t) => {
  const app = await pageApp(t)
  const env = new Proxy({}, { get: (_env, name) => `the ${String(name)}` })
  await runBlock('docs/providers.md', 'Presets', { app, oauth, env })
  app.get('/me', async ({ oauth }) => ({ provider: oauth.provider, user: oauth.user?.id }))
  const chooser = await (await (await anonymous(app)).fetch('/login', pageLoad)).text()
  t.match(chooser, /Google[^]*GitHub/)

  const alice = await loginAs(app, { provider: 'google' })
  t.strictSame(await (await alice.fetch('/me')).json(), { provider: 'google', user: 'alice' })
  const [asked] = alice.testProvider.requests.filter(({ endpoint }) => endpoint === 'authorization')
  t.equal(asked!.params.redirect_uri, `${baseUrl}/login/google/callback`)
  const bob = await loginAs(app, { provider: 'github', sub: 'bob', claims: { id: 7 } })
  t.strictSame(await (await bob.fetch('/me')).json(), { provider: 'github', user: '7' })
})

t.test('Apple: the name that is posted once is kept by onLogin', async (t) => {
  const saved: unknown[] = []
  const saveName = async (...args: unknown[]) => { saved.push(args) }
  const { onLogin } = await runBlock('docs/providers.md', 'Apple', { saveName }, { index: 1 })
  const app = await pageApp(t)
  const providers = {
    apple: apple({ clientId: 'com.example.web', teamId: 'TEAM', keyId: 'KEY', privateKey: APPLE_KEY })
  }
  await app.register(oauth, { baseUrl, providers, onLogin })
  const provider = await replaceProvider(app)
  const visitor = await anonymous(app)
  const name = { firstName: 'Alice', lastName: 'Adams' }
  const first: Record<string, string> = { user: JSON.stringify({ name }) }
  for (const posted of [first, {}]) {
    const { headers } = await visitor.fetch('/login/apple', pageLoad)
    const { url, form } =
      await authorize(provider, new URL(headers.get('location')!), { login: { accountId: 'alice' } })
    const body = new URLSearchParams({ ...form, ...posted })
    const back = await visitor.fetch(url.pathname, { method: 'POST', body })
    t.ok(back.status < 400, await back.text())
  }
  t.strictSame(saved, [['alice', name]], 'at the first login alone')
})
