import { randomBytes } from 'node:crypto'
import { symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { createClient } from 'redis'
import t from 'tap'
import { Browser } from '../helpers/browser.ts'
import { startProvider } from '../helpers/provider.ts'
import { startRedis } from '../helpers/redis.ts'
import { programOf } from '../types/documents.ts'
import { installPackage, repository } from '../types/installed-package.ts'
import { runApp } from '../types/run-app.ts'

// The program of docs/production.md, as it is written, in two processes on a Redis.

const program = programOf('docs/production.md', 'server.mjs')

t.test('two processes share a login, and one refresh', async (t) => {
  const redis = await startRedis(t, { appendonly: true, args: ['--maxmemory-policy', 'noeviction'] })
  if (redis === undefined) return
  const provider = await startProvider(t)
  const folder = await installPackage(t)
  for (const name of ['@fastify/rate-limit', 'connect-redis', 'redis']) {
    await symlink(join(repository, 'node_modules', name), join(folder, 'node_modules', name), 'dir')
  }
  const env = {
    REDIS_URL: redis.url,
    SESSION_SECRETS: `${randomBytes(48).toString('base64')},${randomBytes(48).toString('base64')}`,
    ENCRYPTION_KEYS: randomBytes(32).toString('base64url')
  }
  const one = await runApp(t, program, provider, { folder, env })
  const two = await runApp(t, program, provider, { folder, env: { ...env, BASE_URL: one.url } })
  const apps = [one.url, two.url]

  const browser = new Browser()
  t.match((await browser.login(`${one.url}/orders`)).json(), [{ id: 1 }, { id: 2 }])
  t.match((await browser.get(`${two.url}/`)).json(), { user: { id: 'alice' } }, 'the other process knows the user')

  provider.expireAccessTokens()
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, index) => browser.copy().get(`${apps[index % 2]}/orders`))
  )
  t.strictSame(answers.map(({ status }) => status), Array(20).fill(200))
  t.equal(provider.refreshRequests.length, 1)

  const client = createClient({ url: redis.url })
  await client.connect()
  t.after(() => client.destroy())
  const keys = await client.keys('*')
  t.ok(keys.length > 0 && keys.every(key => /^orders:(?:session|oauth):/.test(key)), keys.join(' '))
  t.strictSame([one, two].flatMap(app => app.log().split('\n').filter(line => /"level":[45]0/.test(line))), [],
    'no warning')

  await browser.logout(`${two.url}/logout`)
  t.strictSame((await browser.get(`${one.url}/`)).json(), { user: null })
})
